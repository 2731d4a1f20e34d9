// Requests under way: the batches of the replicate commands, and fast reads.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using ManagedRSLib;

namespace RSLHost
{
    /// <summary>What the cookies of this host are.</summary>
    internal interface IWaiter
    {
        void Executed(ulong seq, HostState state);

        void Aborted(RSLResponse why);
    }

    /// <summary>How requests are submitted.</summary>
    internal enum Grouping
    {
        Batched,
        Exclusive,
        Last
    }

    /// <summary>Requests that one command submitted.</summary>
    internal sealed class Batch
    {
        private readonly object gate = new object();
        private readonly List<double> latencies = new List<double>();
        private readonly Stopwatch watch = Stopwatch.StartNew();
        private readonly HostMachine machine;
        private readonly Grouping grouping;
        private readonly long window;
        private readonly long timeout;
        private long issued;
        private long aborted;
        // Whoever waits is woken when so few are in flight.
        private long wakeAt;
        private string lastAbort = "";
        private ulong lastSeq;
        private RSLResponse rc = RSLResponse.RSLSuccess;

        public Batch(HostMachine machine, Grouping grouping, long window, long timeout)
        {
            this.machine = machine;
            this.grouping = grouping;
            this.window = window;
            this.timeout = timeout;
        }

        /// <summary>Submits requests until one is refused, then waits for those accepted.</summary>
        public Json Run(IEnumerable<byte[]> requests, bool wait)
        {
            foreach (var request in requests)
            {
                rc = Submit(request);
                if (rc != RSLResponse.RSLSuccess)
                {
                    break;
                }
            }
            if (wait)
            {
                Wait(0);
            }
            lock (gate)
            {
                latencies.Sort();
                var seconds = watch.Elapsed.TotalSeconds;
                return new Json
                {
                    { "rc", rc.ToString() },
                    { "issued", issued },
                    { "executed", latencies.Count },
                    { "aborted", aborted },
                    { "lastAbort", lastAbort },
                    { "seq", lastSeq },
                    { "hash", machine.State.Hash.ToString("x16") },
                    { "secs", seconds },
                    { "ops", Math.Round(seconds > 0 ? latencies.Count / seconds : 0) },
                    { "p50us", Percentile(50) },
                    { "p99us", Percentile(99) },
                    { "maxus", Percentile(100) }
                };
            }
        }

        private long InFlight
        {
            get { return issued - aborted - latencies.Count; }
        }

        private RSLResponse Submit(byte[] request)
        {
            while (true)
            {
                if (!HasRoom())
                {
                    return RSLResponse.RSLQueueFull;
                }
                lock (gate)
                {
                    issued++;
                }
                var result = Replicate(request, new Waiter(this, watch.Elapsed));
                if (result == RSLResponse.RSLSuccess)
                {
                    return result;
                }
                lock (gate)
                {
                    issued--;
                }
                if (result != RSLResponse.RSLQueueFull || watch.ElapsedMilliseconds >= timeout)
                {
                    return result;
                }
                Thread.Sleep(1);
            }
        }

        private RSLResponse Replicate(byte[] request, object cookie)
        {
            switch (grouping)
            {
                case Grouping.Exclusive:
                    return machine.ReplicateRequestExclusiveVote(request, cookie);
                case Grouping.Last:
                    return machine.ReplicateRequest(request, cookie, true);
                default:
                    return machine.ReplicateRequest(request, cookie);
            }
        }

        /// <summary>Waits until a good part of a full window is free: not every execution has to wake the submitter.</summary>
        private bool HasRoom()
        {
            lock (gate)
            {
                if (InFlight < window)
                {
                    return true;
                }
            }
            return Wait(window / 4 * 3);
        }

        private bool Wait(long atMost)
        {
            lock (gate)
            {
                for (wakeAt = atMost; InFlight > atMost;)
                {
                    var left = timeout - watch.ElapsedMilliseconds;
                    if (left <= 0)
                    {
                        return false;
                    }
                    Monitor.Wait(gate, (int)Math.Min(left, int.MaxValue));
                }
                return true;
            }
        }

        /// <summary>A request has ended; the gate is held.</summary>
        private void Ended()
        {
            if (InFlight <= wakeAt)
            {
                Monitor.PulseAll(gate);
            }
        }

        private long Percentile(int percent)
        {
            var at = (latencies.Count * percent + 99) / 100 - 1;
            return latencies.Count == 0 ? 0 : (long)(latencies[Math.Max(0, at)] * 1000);
        }

        private sealed class Waiter : IWaiter
        {
            private readonly Batch batch;
            private readonly TimeSpan start;

            public Waiter(Batch batch, TimeSpan start)
            {
                this.batch = batch;
                this.start = start;
            }

            public void Executed(ulong seq, HostState state)
            {
                lock (batch.gate)
                {
                    batch.latencies.Add((batch.watch.Elapsed - start).TotalMilliseconds);
                    batch.lastSeq = seq;
                    batch.Ended();
                }
            }

            public void Aborted(RSLResponse why)
            {
                lock (batch.gate)
                {
                    batch.aborted++;
                    batch.lastAbort = why.ToString();
                    batch.Ended();
                }
            }
        }
    }

    /// <summary>One fast read.</summary>
    internal sealed class FastRead : IWaiter
    {
        private readonly ManualResetEvent ended = new ManualResetEvent(false);
        private Json answer;

        public void Executed(ulong seq, HostState state)
        {
            answer = new Json
            {
                { "rc", "RSLSuccess" },
                { "seq", seq },
                { "count", state.Count },
                { "hash", state.Hash.ToString("x16") }
            };
            ended.Set();
        }

        public void Aborted(RSLResponse why)
        {
            answer = new Json { { "rc", "RSLSuccess" }, { "abort", why.ToString() } };
            ended.Set();
        }

        public Json Answer(TimeSpan patience)
        {
            if (!ended.WaitOne(patience))
            {
                throw new CommandException("the read did not end");
            }
            return answer;
        }
    }

    /// <summary>The random requests of replicate-random: xorshift64 (13, 7, 17), each step one little-endian word.</summary>
    internal sealed class RandomRequests
    {
        private ulong state = 88172645463325252;

        public void Seed(ulong seed)
        {
            state = seed | 1;
        }

        public byte[] Next(int size)
        {
            var bytes = new byte[size];
            for (var at = 0; at < size; at += 8)
            {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                var word = BitConverter.GetBytes(state);
                Buffer.BlockCopy(word, 0, bytes, at, Math.Min(8, size - at));
            }
            if (bytes[0] == 0)
            {
                bytes[0] = 1;
            }
            return bytes;
        }
    }
}
