// What garbage collections and threads of the library have to do with each other.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading;
using ManagedRSLib.Interop;

namespace ManagedRSLib.Tests
{
    internal static class Collector
    {
        // Objects that a collection has to look at.
        private sealed class Link
        {
            public Link Next;
            public object Other;
        }

        private static Link heap;

        private static void Fill(int count)
        {
            for (var index = 0; index < count; index++)
            {
                heap = new Link { Next = heap };
                heap.Other = heap;
            }
        }

        // [NET-36] [NET-37] The world stands still, and votes go on: no managed code runs for a long moment, in which the
        // primary proposes and the other one accepts votes that were queued before. Both are in this process.
        [Test]
        public static void VotesGoOnDuringACollection()
        {
            using (var first = new TestMachine())
            using (var second = new TestMachine())
            {
                second.Node.MemberId = "two";
                var nodes = new[] { first.Node, second.Node };
                foreach (var machine in new[] { first, second })
                {
                    var config = TestMachine.Config(machine.Dir);
                    config.UseGlobalAcceptMessagesFlag = true;
                    Expect.True(machine.Initialize(config, nodes, machine.Node, TestMachine.Newest, false), "start");
                    machine.SetAcceptMessages(true);
                }
                Expect.Soon(() => first.IsRecovered || second.IsRecovered, "a primary");
                var leader = first.IsRecovered ? first : second;
                var follower = first.IsRecovered ? second : first;
                Fill(6000000);
                Standstill found = null;
                // A collection may be over too soon to say anything.
                for (var round = 0; round < 20 && found == null; round++)
                {
                    for (var count = 0; count < 2000; count++)
                    {
                        leader.ReplicateRequestExclusiveVote(new byte[] { 1 }, null);
                    }
                    found = Collect(follower);
                    Expect.Soon(() => !leader.IsAnyRequestPendingExecution(), "execution");
                }
                heap = null;
                Expect.True(found != null, "no collection stopped managed code for 50 ms while votes went on");
                Console.WriteLine("{0} votes accepted while nothing managed ran for {1:0} ms", found.Votes, found.Milliseconds);
                Expect.Same(0, leader.Events.FindAll(text => text == "status False").Count, "lost leadership");
            }
        }

        /// <summary>A moment in which no managed code ran.</summary>
        private sealed class Standstill
        {
            public ulong Votes;
            public double Milliseconds;
        }

        /// <summary>
        /// Collects while another thread does nothing but look at the clock, and asks how far the follower is before and after. Its
        /// longest pause counts when it is most of the collection: it was not just waiting for a processor. Null when it was
        /// too short, or fewer than 3 votes were accepted: one or two may be from the millisecond before it.
        /// </summary>
        private static Standstill Collect(TestMachine follower)
        {
            var longest = new Standstill();
            var stop = false;
            var started = new ManualResetEvent(false);
            var looker = new Thread(() =>
            {
                while (!stop)
                {
                    var accepted = follower.GetEngineStatus().AcceptedDecree;
                    started.Set();
                    var pause = LongestPause(1);
                    if (pause > longest.Milliseconds)
                    {
                        longest.Milliseconds = pause;
                        longest.Votes = follower.GetEngineStatus().AcceptedDecree - accepted;
                    }
                    Thread.MemoryBarrier();
                }
            }) { IsBackground = true };
            looker.Start();
            started.WaitOne();
            var watch = Stopwatch.StartNew();
            GC.Collect();
            var collection = watch.Elapsed.TotalMilliseconds;
            stop = true;
            looker.Join();
            return longest.Milliseconds >= Math.Max(50, collection * 0.6) && longest.Votes >= 3 ? longest : null;
        }

        /// <summary>Looks at the clock for some milliseconds: the longest time between two looks.</summary>
        private static double LongestPause(double milliseconds)
        {
            var watch = Stopwatch.StartNew();
            double longest = 0, before = 0;
            while (before < milliseconds)
            {
                var now = watch.Elapsed.TotalMilliseconds;
                longest = Math.Max(longest, now - before);
                before = now;
            }
            return longest;
        }

        // [NET-34] [NET-38] 160000 callbacks on threads that the library itself made, and no runtime knew before, under
        // collections all the time.
        [Test]
        public static void ForeignThreadsCallIn()
        {
            Expect.True(Processes.Child("foreign", 0).Contains("160000 callbacks"), "callbacks");
        }

        /// <summary>In a process of its own: without a spawn routine an unload ends the process.</summary>
        internal static unsafe void Foreign()
        {
            const int Total = 160000;
            var machine = new TestMachine();
            Thread executing = null;
            long executed = 0;
            machine.OnExecute = (request, cookie) =>
            {
                executing = Thread.CurrentThread;
                Expect.Same(executed, BitConverter.ToInt64(request, 0), "order");
                Interlocked.Increment(ref executed);
            };
            NativeLibrary.Load();
            StartWithoutSpawn(machine, out var native);
            Expect.Soon(() => machine.IsRecovered, "primary");
            var stop = false;
            var collector = new Thread(() =>
            {
                while (!stop)
                {
                    GC.Collect();
                    Thread.Sleep(5);
                    Thread.MemoryBarrier();
                }
            }) { IsBackground = true };
            collector.Start();
            for (long count = 0; count < Total; count++)
            {
                while (NativeMethods.rsl_machine_replicate(native, &count, (UIntPtr)8, IntPtr.Zero, 0) != Abi.RSL_OK)
                {
                    Thread.Sleep(1);
                }
            }
            Expect.Soon(() => Interlocked.Read(ref executed) == Total, "all executed");
            stop = true;
            collector.Join();
            Expect.True(executing != null && executing != Thread.CurrentThread && executing.Name == null, "the thread of execution");
            Console.WriteLine(Total + " callbacks");
            Console.Out.Flush();
            // At its orderly end mono waits for threads that it did not make.
            if (System.IO.Path.DirectorySeparatorChar == '/')
            {
                _exit(0);
            }
            Environment.Exit(0);
        }

        [DllImport("libc")]
        private static extern void _exit(int code);

        private static unsafe void StartWithoutSpawn(TestMachine machine, out MachineHandle native)
        {
            var context = GCHandle.Alloc(machine);
            var callbacks = Thunks.Table();
            Expect.Same(Abi.RSL_OK, NativeMethods.rsl_machine_create(&callbacks, GCHandle.ToIntPtr(context), out native), "create");
            native.Own(context);
            byte[] directory;
            var config = TestMachine.Config(machine.Dir).Copy(out directory);
            var handle = native;
            using (var members = new ManagedRSLMemberSet(new[] { machine.Node }, null, 0, 0))
            {
                rsl_node self;
                machine.Node.Fill(&self);
                var node = &self;
                var settings = &config;
                fixed (byte* path = directory)
                {
                    config.working_dir = (IntPtr)path;
                    var started = members.Lend(view => NativeMethods.rsl_machine_initialize(handle, settings, view, node, 6, 0, null, 1));
                    Expect.Same(Abi.RSL_OK, started, "start: " + Status.LastError());
                }
            }
        }
    }
}
