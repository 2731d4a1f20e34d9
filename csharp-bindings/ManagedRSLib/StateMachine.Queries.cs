// What a machine can be asked.
using System;
using System.IO;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    public abstract unsafe partial class ManagedRSLStateMachine
    {
        /// <summary>The last executed decree; inside ExecuteReplicatedRequest the one being executed. Waits for nothing.</summary>
        public ulong GetCurrentSequenceNumber()
        {
            return NativeMethods.rsl_machine_current_sequence(Native());
        }

        /// <summary>The last decree known here to be chosen. Waits for nothing.</summary>
        public ulong GetHighestPassedSequenceNumber()
        {
            return NativeMethods.rsl_machine_highest_passed_sequence(Native());
        }

        /// <summary>Whether a chosen decree waits for execution or is being executed. Waits for nothing.</summary>
        public bool IsAnyRequestPendingExecution()
        {
            return NativeMethods.rsl_machine_has_pending_execution(Native()) != 0;
        }

        /// <summary>Fills in the node that is primary as far as known here; without an id when it is unknown.</summary>
        /// <exception cref="ArgumentNullException">The node is null.</exception>
        public void GetCurrentPrimary(ManagedRSLNode node)
        {
            if (node == null)
            {
                throw new ArgumentNullException("node");
            }
            rsl_node primary;
            Tell(NativeMethods.rsl_machine_current_primary(Native(), &primary));
            node.Take(&primary);
        }

        /// <summary>Fills in the executed configuration: an empty set and number 0 before bootstrap.</summary>
        /// <returns>False when the machine has ended.</returns>
        /// <exception cref="ArgumentNullException">The set is null.</exception>
        public bool GetConfiguration(ManagedRSLMemberSet gc_memberSet, ref uint gc_configNumber)
        {
            if (gc_memberSet == null)
            {
                throw new ArgumentNullException("gc_memberSet");
            }
            MemberSetHandle members;
            uint number;
            var status = NativeMethods.rsl_machine_get_configuration(Native(), out members, &number);
            using (members)
            {
                Tell(status);
                if (status != Abi.RSL_OK)
                {
                    return false;
                }
                gc_memberSet.Take(members);
            }
            gc_configNumber = number;
            return true;
        }

        /// <summary>What this primary knows of a member, itself included.</summary>
        /// <exception cref="ArgumentNullException">The id is null.</exception>
        /// <exception cref="ArgumentException">The id has 64 bytes or more.</exception>
        /// <exception cref="InvalidDataException">This is not the primary, or it knows no such member.</exception>
        public ManagedReplicaHealth GetReplicaHealth(string memberId)
        {
            if (memberId == null)
            {
                throw new ArgumentNullException("memberId");
            }
            if (Utf8.Length(memberId) >= Abi.RSL_MEMBER_ID_SIZE)
            {
                throw new ArgumentException("It may have at most 63 bytes", "memberId");
            }
            var health = new rsl_health { struct_size = (uint)sizeof(rsl_health) };
            fixed (byte* id = Utf8.Bytes(memberId))
            {
                if (NativeMethods.rsl_machine_replica_health(Native(), id, &health) != Abi.RSL_OK)
                {
                    throw new InvalidDataException("Legislator couldn't calculate the Health");
                }
            }
            return new ManagedReplicaHealth(&health);
        }

        /// <summary>
        /// One entry per member: on the primary peers first, itself last; elsewhere entries that say nothing. Empty before
        /// bootstrap.
        /// </summary>
        /// <exception cref="InvalidDataException">The configuration cannot be read.</exception>
        public ManagedReplicaHealth[] MemberSetHealth
        {
            get
            {
                var machine = Native();
                // The set may grow between two calls, but not for ever.
                for (var attempt = 0; attempt < 10; attempt++)
                {
                    UIntPtr count;
                    var known = new rsl_health[32 << attempt];
                    known[0].struct_size = (uint)sizeof(rsl_health);
                    fixed (rsl_health* first = known)
                    {
                        var status = NativeMethods.rsl_machine_replicas_health(machine, first, (UIntPtr)(uint)known.Length, &count);
                        if (status == Abi.RSL_OK)
                        {
                            return Known(first, (int)count);
                        }
                        if (status != Abi.RSL_E_BUFFER_TOO_SMALL)
                        {
                            break;
                        }
                    }
                }
                throw new InvalidDataException("The health of the members cannot be read");
            }
        }

        /// <summary>The increments since the previous snapshot.</summary>
        public ManagedRSLStats GetStatisticsSnapshot()
        {
            var stats = new rsl_stats { struct_size = (uint)sizeof(rsl_stats) };
            Tell(NativeMethods.rsl_machine_stats(Native(), &stats));
            return ManagedRSLStats.Of(&stats);
        }

        private ManagedReplicaHealth[] Known(rsl_health* first, int count)
        {
            if (count > 0)
            {
                var all = new ManagedReplicaHealth[count];
                for (var index = 0; index < count; index++)
                {
                    all[index] = new ManagedReplicaHealth(first + index);
                }
                return all;
            }
            uint number = 0;
            using (var members = new ManagedRSLMemberSet())
            {
                if (!GetConfiguration(members, ref number))
                {
                    throw new InvalidDataException("The configuration cannot be read");
                }
                return Array.ConvertAll(members.MemberArray, member => new ManagedReplicaHealth());
            }
        }
    }
}
