// What a machine is asked to do.
using System;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    public abstract unsafe partial class ManagedRSLStateMachine
    {
        /// <summary>
        /// Adopts a first member set, sends it to the members and waits for the first primary. Not inside a callback. After a
        /// timeout, in seconds, the set stays adopted.
        /// </summary>
        /// <exception cref="ArgumentOutOfRangeException">The timeout is negative.</exception>
        public RSLResponse Bootstrap(ManagedRSLMemberSet gc_memberSet, int timeout)
        {
            if (gc_memberSet == null)
            {
                throw new ArgumentNullException("gc_memberSet");
            }
            if (timeout < 0)
            {
                throw new ArgumentOutOfRangeException("timeout");
            }
            var machine = Native();
            return Response(gc_memberSet.Lend(view => NativeMethods.rsl_machine_bootstrap(machine, view, (uint)timeout)));
        }

        /// <summary>
        /// Submits a request; never waits for its execution. The bytes are copied. After RSLSuccess the cookie comes back in
        /// exactly one ExecuteReplicatedRequest or AbortRequest; otherwise in none.
        /// </summary>
        /// <exception cref="ArgumentNullException">The request is null.</exception>
        public RSLResponse ReplicateRequest(byte[] gc_request, object gc_cookie)
        {
            return Replicate(gc_request, 0, LengthOf(gc_request), gc_cookie, 0);
        }

        /// <summary>As the form without <paramref name="isLastRequest"/>; true = alone in its decree, and the last request
        /// that the machine takes.</summary>
        public RSLResponse ReplicateRequest(byte[] gc_request, object gc_cookie, bool isLastRequest)
        {
            var flags = isLastRequest ? Abi.RSL_REQ_EXCLUSIVE | Abi.RSL_REQ_LAST : 0;
            return Replicate(gc_request, 0, LengthOf(gc_request), gc_cookie, (uint)flags);
        }

        /// <summary>As the form for a whole array.</summary>
        /// <exception cref="ArgumentException">The range is outside the array.</exception>
        public RSLResponse ReplicateRequest(byte[] gc_request, int offset, int count, object gc_cookie)
        {
            return Replicate(gc_request, offset, count, gc_cookie, 0);
        }

        /// <summary>
        /// Submits a read that needs the state of decree <paramref name="maxSeenSeqNo"/> or later, and is refused rather than
        /// made to wait. The bytes are copied. After RSLSuccess the cookie comes back in exactly one ExecuteFastReadRequest or
        /// AbortRequest.
        /// </summary>
        /// <exception cref="ArgumentNullException">The request is null.</exception>
        public RSLResponse FastReadRequest(ulong maxSeenSeqNo, byte[] gc_request, object gc_cookie)
        {
            return FastReadRequest(maxSeenSeqNo, gc_request, 0, LengthOf(gc_request), gc_cookie, 0);
        }

        /// <summary>As the form for a whole array.</summary>
        /// <exception cref="ArgumentException">The range is outside the array.</exception>
        public RSLResponse FastReadRequest(ulong maxSeenSeqNo, byte[] gc_request, int offset, int count, object gc_cookie)
        {
            return FastReadRequest(maxSeenSeqNo, gc_request, offset, count, gc_cookie, 0);
        }

        /// <summary>As the form for a whole array, but made to wait for <paramref name="timeout"/> milliseconds.</summary>
        /// <exception cref="ArgumentException">The range is outside the array.</exception>
        public RSLResponse FastReadRequest(ulong maxSeenSeqNo, byte[] gc_request, int offset, int count, object gc_cookie, uint timeout)
        {
            CheckRange(gc_request, offset, count);
            var machine = Native();
            if (count == 0)
            {
                return RSLResponse.RSLInvalidParameter;
            }
            var cookie = Cookie.Give(gc_cookie);
            var status = Abi.RSL_E_ARGUMENT;
            try
            {
                fixed (byte* bytes = gc_request)
                {
                    status = NativeMethods.rsl_machine_fast_read(machine, maxSeenSeqNo, bytes + offset, (UIntPtr)(uint)count, cookie, timeout);
                }
            }
            finally
            {
                DropUnlessAccepted(status, cookie);
            }
            return Response(status);
        }

        /// <summary>
        /// Proposes another member set; never waits. After RSLSuccess the cookie comes back in exactly one
        /// NotifyConfigurationChanged or AbortChangeConfiguration of this machine.
        /// </summary>
        /// <exception cref="ArgumentNullException">The set is null.</exception>
        public RSLResponse ChangeConfiguration(ManagedRSLMemberSet gc_memberSet, object gc_cookie)
        {
            if (gc_memberSet == null)
            {
                throw new ArgumentNullException("gc_memberSet");
            }
            var machine = Native();
            var cookie = Cookie.Give(gc_cookie);
            var status = Abi.RSL_E_ARGUMENT;
            try
            {
                status = gc_memberSet.Lend(view => NativeMethods.rsl_machine_change_configuration(machine, view, cookie));
            }
            finally
            {
                DropUnlessAccepted(status, cookie);
            }
            return Response(status);
        }

        /// <summary>
        /// Copies a checkpoint from a peer; never waits. After RSLSuccess there is exactly one StateCopied with the cookie.
        /// </summary>
        public RSLResponse CopyStateFromReplica(object gc_cookie)
        {
            var machine = Native();
            var cookie = Cookie.Give(gc_cookie);
            var status = Abi.RSL_E_ARGUMENT;
            try
            {
                status = NativeMethods.rsl_machine_copy_state(machine, cookie);
            }
            finally
            {
                DropUnlessAccepted(status, cookie);
            }
            return Response(status);
        }

        /// <summary>Another election delay from the next deadline on, in seconds; ignored outside 1..3600.</summary>
        public void ChangeElectionDelay(uint delayInSecs)
        {
            Tell(NativeMethods.rsl_machine_change_election_delay(Native(), delayInSecs));
        }

        /// <summary>Suspends or allows saving checkpoints. Not kept over a restart.</summary>
        public void AllowSaveState(bool yes)
        {
            Tell(NativeMethods.rsl_machine_allow_save_state(Native(), yes ? 1 : 0));
        }

        /// <summary>The payload of this machine's vote answers, from the next one on.</summary>
        public void SetVotePayload(ulong payload)
        {
            Tell(NativeMethods.rsl_machine_set_vote_payload(Native(), payload));
        }

        /// <summary>Whether messages are answered, where UseGlobalAcceptMessagesFlag says that this decides.</summary>
        public void SetAcceptMessages(bool acceptMessages)
        {
            Tell(NativeMethods.rsl_machine_set_accept_messages(Native(), acceptMessages ? 1 : 0));
        }

        /// <summary>Asks for one election attempt.</summary>
        public virtual void AttemptPromotion()
        {
            Tell(NativeMethods.rsl_machine_attempt_promotion(Native()));
        }

        /// <summary>
        /// Gives up being primary. Once a quorum has accepted, the machine shuts down and the process ends with code 0, unless
        /// <see cref="ManagedRSLExtensions.EndingProcess"/> says otherwise.
        /// </summary>
        public virtual void RelinquishPrimaryStatus()
        {
            Tell(NativeMethods.rsl_machine_relinquish_primary(Native()));
        }

        /// <summary>Waits until the machine handles no more messages and timers. For tests; not inside a callback.</summary>
        public void Pause()
        {
            Tell(NativeMethods.rsl_machine_pause(Native()));
        }

        /// <summary>Ends a pause. Not inside a callback.</summary>
        public void Resume()
        {
            Tell(NativeMethods.rsl_machine_resume(Native()));
        }

        internal RSLResponse Replicate(byte[] request, int offset, int count, object cookie, uint flags)
        {
            CheckRange(request, offset, count);
            var machine = Native();
            if (count == 0)
            {
                return RSLResponse.RSLInvalidParameter;
            }
            var given = Cookie.Give(cookie);
            var status = Abi.RSL_E_ARGUMENT;
            try
            {
                fixed (byte* bytes = request)
                {
                    status = NativeMethods.rsl_machine_replicate(machine, bytes + offset, (UIntPtr)(uint)count, given, flags);
                }
            }
            finally
            {
                DropUnlessAccepted(status, given);
            }
            return Response(status);
        }

        private static void DropUnlessAccepted(int status, IntPtr cookie)
        {
            if (status != Abi.RSL_OK)
            {
                Cookie.Drop(cookie);
            }
        }

        /// <summary>A machine that was unloaded meanwhile is not initialised; one that ended by itself shuts down.</summary>
        private RSLResponse Response(int status)
        {
            if (status == Abi.RSL_E_STATE)
            {
                Native();
            }
            return Status.Response(status);
        }

        /// <summary>A result without a response: a machine that has ended by itself is told nothing.</summary>
        private void Tell(int status)
        {
            if (status == Abi.RSL_E_STATE)
            {
                Native();
                return;
            }
            Status.Check(status);
        }

        private static int LengthOf(byte[] request)
        {
            if (request == null)
            {
                throw new ArgumentNullException("request");
            }
            return request.Length;
        }

        private static void CheckRange(byte[] request, int offset, int count)
        {
            LengthOf(request);
            if (offset < 0 || count < 0 || offset > request.Length - count)
            {
                throw new ArgumentException("The range is outside the request");
            }
        }
    }
}
