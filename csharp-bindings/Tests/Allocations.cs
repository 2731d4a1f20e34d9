// What a request leaves for the garbage collector.
using System;
using System.Reflection;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal static class Allocations
    {
        private const int Requests = 20000;
        private const int Size = 100;

        /// <summary>Bytes that this thread has allocated. Newer than the API that this is compiled against.</summary>
        private static readonly Func<long> Allocated = (Func<long>)Delegate.CreateDelegate(
            typeof(Func<long>),
            typeof(GC).GetMethod("GetAllocatedBytesForCurrentThread", BindingFlags.Public | BindingFlags.Static));

        /// <summary>Counts what its execution thread allocates between the first and the last request.</summary>
        private sealed class Counting : TestMachine
        {
            private long first;
            public long Done;
            public long Bytes;

            public override void ExecuteReplicatedRequest(byte[] request, object cookie, ref bool saveState)
            {
                var now = Allocated();
                if (Done == 0)
                {
                    first = now;
                }
                Bytes = now - first;
                Interlocked.Increment(ref Done);
            }
        }

        // [NET-32] [NET-41] A request costs the array that the callback gets, and next to nothing else: no marshalled copies,
        // no closures, no boxes.
        [Test]
        public static void ARequestAllocatesItsArrayOnly()
        {
            using (var machine = new Counting())
            {
                machine.Lead();
                var request = new byte[Size];
                var cookie = new object();
                // The tables that know the cookies under way grow while more are under way than ever before: the best of
                // some rounds is what a request costs.
                double submitting = double.MaxValue, executing = double.MaxValue;
                for (var round = 0; round < 8; round++)
                {
                    var before = Allocated();
                    Run(machine, request, cookie);
                    submitting = Math.Min(submitting, (Allocated() - before) / (double)Requests);
                    executing = Math.Min(executing, machine.Bytes / (double)(Requests - 1));
                }
                Console.WriteLine("{0} bytes per request: {1:0.0} allocated where it is submitted, {2:0.0} where it is executed", Size, submitting, executing);
                Expect.True(submitting < 16, "submitting allocates " + submitting + " bytes");
                Expect.True(executing < Size + 48, "executing allocates " + executing + " bytes");
            }
        }

        private static void Run(Counting machine, byte[] request, object cookie)
        {
            Interlocked.Exchange(ref machine.Done, 0);
            for (var count = 0; count < Requests; count++)
            {
                while (machine.ReplicateRequest(request, cookie) != RSLResponse.RSLSuccess)
                {
                    Thread.Sleep(1);
                }
            }
            while (Interlocked.Read(ref machine.Done) < Requests)
            {
                Thread.Sleep(1);
            }
        }
    }
}
