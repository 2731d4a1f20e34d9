// A machine through its life: requests, cookies, queries, threads.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal static class Machines
    {
        private static readonly byte[] Request = { 1, 2, 3 };

        // [HARD-619] [HARD-602] [NET-24] Everything says so before Initialize, and after UnloadThisOne.
        [Test]
        public static void NothingWorksBeforeInitializeAndAfterUnload()
        {
            using (var machine = new TestMachine())
            {
                RefusesEverything(machine);
                machine.Lead();
                machine.UnloadThisOne();
                RefusesEverything(machine);
            }
        }

        private static void RefusesEverything(TestMachine machine)
        {
            uint number = 0;
            var set = new ManagedRSLMemberSet();
            var calls = new Action[]
            {
                () => machine.ReplicateRequest(Request, null), () => machine.ReplicateRequest(Request, null, true),
                () => machine.ReplicateRequest(Request, 0, 1, null), () => machine.FastReadRequest(0, Request, null),
                () => machine.FastReadRequest(0, Request, 0, 1, null), () => machine.FastReadRequest(0, Request, 0, 1, null, 5),
                () => machine.ChangeConfiguration(set, null), () => machine.CopyStateFromReplica(null),
                () => machine.Bootstrap(set, 1), () => machine.GetConfiguration(set, ref number),
                () => machine.GetReplicaHealth("one"), () => machine.MemberSetHealth.ToString(),
                () => machine.GetCurrentSequenceNumber(), () => machine.GetHighestPassedSequenceNumber(),
                () => machine.GetCurrentPrimary(new ManagedRSLNode()), () => machine.IsAnyRequestPendingExecution(),
                () => machine.AllowSaveState(true), () => machine.SetVotePayload(1), () => machine.ChangeElectionDelay(1),
                machine.Pause, machine.Resume, machine.UnloadThisOne, () => machine.GetStatisticsSnapshot(),
                () => machine.SetAcceptMessages(true), machine.AttemptPromotion, machine.RelinquishPrimaryStatus
            };
            for (var index = 0; index < calls.Length; index++)
            {
                var error = Expect.Throws<ApplicationException>(calls[index], "call " + index);
                Expect.Same("Initialize must be called first", error.Message, "call " + index);
            }
        }

        // [NET-24] [NET-29] [HARD-623] [HARD-624] Arguments are checked before anything else.
        [Test]
        public static void ArgumentsAreChecked()
        {
            using (var machine = new TestMachine())
            {
                var config = TestMachine.Config(machine.Dir);
                Expect.Throws<ArgumentNullException>(() => machine.Initialize(null, new[] { machine.Node }, machine.Node, TestMachine.Newest, false), "no configuration");
                Expect.Throws<ArgumentNullException>(() => machine.Initialize(config, null, machine.Node, TestMachine.Newest, false), "no nodes");
                Expect.Throws<ArgumentNullException>(() => machine.Initialize(config, null, TestMachine.Newest, false), "no node");
                machine.Lead();
                uint number = 0;
                Expect.Throws<ArgumentNullException>(() => machine.GetConfiguration(null, ref number), "no set");
                Expect.Throws<ArgumentNullException>(() => machine.GetCurrentPrimary(null), "no node");
                Expect.Throws<ArgumentNullException>(() => machine.GetReplicaHealth(null), "no id");
                Expect.Throws<ArgumentException>(() => machine.GetReplicaHealth(new string('x', 64)), "a long id");
                Expect.Throws<InvalidDataException>(() => machine.GetReplicaHealth("nobody"), "an unknown member");
                Expect.Throws<ArgumentNullException>(() => machine.Bootstrap(null, 1), "no set");
                Expect.Throws<ArgumentOutOfRangeException>(() => machine.Bootstrap(new ManagedRSLMemberSet(), -1), "a negative timeout");
                Expect.Throws<ArgumentNullException>(() => machine.ChangeConfiguration(null, null), "no set");

                Expect.Throws<ArgumentNullException>(() => machine.ReplicateRequest(null, null), "no request");
                Expect.Throws<ArgumentNullException>(() => machine.ReplicateRequest(null, null, true), "no request");
                Expect.Throws<ArgumentNullException>(() => machine.ReplicateRequest(null, 0, 0, null), "no request");
                Expect.Throws<ArgumentNullException>(() => machine.FastReadRequest(0, null, null), "no request");
                Expect.Throws<ArgumentNullException>(() => machine.FastReadRequest(0, null, 0, 0, null, 1), "no request");
                foreach (var range in new[] { new[] { -1, 1 }, new[] { 0, -1 }, new[] { 2, 2 }, new[] { int.MaxValue, int.MaxValue } })
                {
                    Expect.Throws<ArgumentException>(() => machine.ReplicateRequest(Request, range[0], range[1], null), "a range");
                    Expect.Throws<ArgumentException>(() => machine.FastReadRequest(0, Request, range[0], range[1], null), "a range");
                }
                Expect.Same(RSLResponse.RSLInvalidParameter, machine.ReplicateRequest(new byte[0], new object()), "an empty request");
                Expect.Same(RSLResponse.RSLInvalidParameter, machine.ReplicateRequest(Request, 1, 0, null), "no bytes of a request");
                Expect.Same(RSLResponse.RSLInvalidParameter, machine.FastReadRequest(0, Request, 3, 0, null), "no bytes of a read");
            }
        }

        // [NET-29] [NET-30] [NET-32] Bytes are copied; the callback gets the identical cookie, null too; the array it gets is
        // the application's.
        [Test]
        public static void RequestsAndCookiesComeBack()
        {
            using (var machine = new TestMachine().Lead())
            {
                machine.OnExecute = (request, given) =>
                {
                    for (var index = 0; index < request.Length; index++)
                    {
                        request[index]++;
                    }
                };
                var bytes = new byte[] { 9, 10, 20, 30 };
                var cookie = new List<int>();
                Expect.Same(RSLResponse.RSLSuccess, machine.ReplicateRequest(bytes, 1, 2, cookie), "a request");
                bytes[1] = bytes[2] = 99;
                Expect.Soon(() => TestMachine.Count(machine.Executed, (object)cookie) == 1, "its execution");
                lock (machine.Executed)
                {
                    Expect.Bytes(new byte[] { 11, 21 }, machine.Requests.Last(), "the bytes");
                    Expect.True(ReferenceEquals(cookie, machine.Executed.Last()), "another cookie");
                }
                Expect.Same(RSLResponse.RSLSuccess, machine.ReplicateRequest(Request, null), "a request without a cookie");
                Expect.Soon(() => TestMachine.Count(machine.Executed, null) == 1, "its execution");
                // A boxed number twice: the same object under way two times.
                object boxed = 7;
                machine.ReplicateRequest(Request, boxed);
                machine.ReplicateRequest(Request, boxed, false);
                Expect.Soon(() => TestMachine.Count(machine.Executed, boxed) == 2, "both");
                var read = new object();
                Expect.Same(RSLResponse.RSLSuccess, machine.FastReadRequest(0, Request, read), "a read");
                Expect.Soon(() => TestMachine.Count(machine.Executed, read) == 1, "its execution");
                Expect.Same(RSLResponse.RSLFastReadStale, machine.FastReadRequest(ulong.MaxValue, Request, new object()), "a read of the future");
                Expect.Throws<ArgumentException>(() => machine.FastReadRequest(0, Request, 1, 3, read, 10), "a range past the end");
                Expect.Same(RSLResponse.RSLSuccess, machine.ReplicateRequest(Request, "last", true), "the last request");
                Expect.Soon(() => TestMachine.Count(machine.Executed, (object)"last") == 1, "its execution");
                Expect.True(machine.ReplicateRequest(Request, null) != RSLResponse.RSLSuccess, "a request after the last one");
            }
        }

        // [NET-30] A cookie is alive while RSL has it, and collectable as soon as its callback has returned or it was refused.
        [Test]
        public static void CookiesAreRootedExactlyAsLong()
        {
            using (var machine = new TestMachine().Lead())
            {
                var gate = new ManualResetEvent(false);
                machine.OnExecute = (request, cookie) => gate.WaitOne();
                var held = Enumerable.Range(0, 20).Select(index => Submit(machine)).ToArray();
                Collect();
                Expect.True(held.All(cookie => cookie.IsAlive), "the cookie of a request under way was collected");
                gate.Set();
                Expect.Soon(() => machine.Executed.Count == 20, "their execution");
                lock (machine.Executed)
                {
                    machine.Executed.Clear();
                }
                machine.OnExecute = null;
                // Not all: the collector takes what old stack frames hold for references.
                Expect.Soon(() => held.Count(Gone) > 15, "cookies of executed requests are kept");
                var refused = Enumerable.Range(0, 20).Select(index => Refused(machine)).ToArray();
                Expect.Soon(() => refused.Count(Gone) > 15, "cookies of refused requests are kept");
            }
        }

        private static WeakReference Submit(TestMachine machine)
        {
            var cookie = new object();
            Expect.Same(RSLResponse.RSLSuccess, machine.ReplicateRequest(Request, cookie), "a request");
            return new WeakReference(cookie);
        }

        private static WeakReference Refused(TestMachine machine)
        {
            var cookie = new object();
            Expect.Same(RSLResponse.RSLFastReadStale, machine.FastReadRequest(ulong.MaxValue, Request, cookie), "a stale read");
            return new WeakReference(cookie);
        }

        private static bool Gone(WeakReference reference)
        {
            // The collector looks at stacks conservatively: other frames have to come over the old ones.
            Overwrite(50);
            Collect();
            return !reference.IsAlive;
        }

        private static int Overwrite(int depth)
        {
            return depth == 0 ? 0 : Overwrite(depth - 1) + depth;
        }

        private static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        // [NET-31] Cookies of configuration changes and state copies. A sole member finds no source: 0 and "".
        [Test]
        public static void OtherCookiesComeBack()
        {
            using (var machine = new TestMachine().Lead())
            {
                var set = new ManagedRSLMemberSet(new[] { machine.Node }, new byte[] { 5 }, 0, 1);
                Expect.Same(RSLResponse.RSLSuccess, machine.ChangeConfiguration(set, "change"), "a change");
                Expect.Soon(() => TestMachine.Count(machine.Events, "configuration change") == 1, "its callback");
                uint number = 0;
                var found = new ManagedRSLMemberSet();
                Expect.True(machine.GetConfiguration(found, ref number), "GetConfiguration");
                Expect.Same(2u, number, "its number");
                Expect.Bytes(new byte[] { 5 }, found.ConfigurationCookie, "its cookie");
                Expect.Same(machine.Node.RslPort, found.GetMemberInfo("one").RslPort, "its member");
                Expect.Same(RSLResponse.RSLInvalidParameter, machine.ChangeConfiguration(new ManagedRSLMemberSet(), "empty"), "an empty set");
                Expect.Same(RSLResponse.RSLSuccess, machine.CopyStateFromReplica("copy"), "a copy");
                Expect.Soon(() => TestMachine.Count(machine.Events, "copied 0 '' copy") == 1, "its callback");
            }
        }

        // [NET-25] [NET-27] [HARD-625] Unload aborts what waits, a null cookie too, calls ShutDown, returns; the machine starts
        // again with its state, ports and directory.
        [Test]
        public static void UnloadReturnsAndTheMachineStartsAgain()
        {
            using (var machine = new TestMachine().Lead())
            {
                machine.Execute(Request, new object());
                var entered = new ManualResetEvent(false);
                machine.OnExecute = (request, cookie) =>
                {
                    entered.Set();
                    Thread.Sleep(200);
                };
                machine.ReplicateRequest(Request, "first");
                entered.WaitOne();
                for (var count = 0; count < 50; count++)
                {
                    machine.ReplicateRequest(Request, count % 2 == 0 ? null : (object)count);
                }
                machine.UnloadThisOne();
                var ended = machine.Executed.Count + machine.Events.Count(text => text.StartsWith("abort RSLShuttingDown"));
                Expect.Same(52, ended, "requests that have ended");
                Expect.Same("shut down RSLSuccess", machine.Events.Last().Replace("RSLShuttingDown", "RSLSuccess"), "the last callback");
                machine.OnExecute = null;
                for (var round = 0; round < 3; round++)
                {
                    machine.Lead().Execute(Request, new object());
                    machine.UnloadThisOne();
                }
            }
        }

        // [NET-26] [HARD-620] Health: itself last on the primary; nothing known before it leads.
        [Test]
        public static void HealthOfMembers()
        {
            using (var machine = new TestMachine())
            {
                var other = TestMachine.NewNode();
                other.MemberId = "two";
                Expect.True(machine.Initialize(TestMachine.Config(machine.Dir), new[] { machine.Node, other }, machine.Node, TestMachine.Newest, false), "start");
                var health = machine.MemberSetHealth;
                Expect.Same(2, health.Length, "entries");
                Expect.True(health.All(one => one.MemberId == "" && !one.IsPrimary && one.FailedAt == DateTime.MinValue), "something is known");
                Expect.Throws<InvalidDataException>(() => machine.GetReplicaHealth("one"), "health on a secondary");
            }
            using (var machine = new TestMachine().Lead())
            {
                machine.Execute(Request, new object());
                var health = machine.MemberSetHealth.Single();
                Expect.True(health.MemberId == "one" && health.IsPrimary, "the primary");
                Expect.Same("one", machine.GetReplicaHealth("one").MemberId, "by id");
                var primary = new ManagedRSLNode();
                machine.GetCurrentPrimary(primary);
                Expect.Same("one", primary.MemberId, "GetCurrentPrimary");
                Expect.Same(machine.Node.RslPort + 1, (int)primary.RslLearnPort, "its learn port");
            }
        }

        // [NET-12] Queries and settings of a running machine.
        [Test]
        public static void QueriesAndSettings()
        {
            using (var machine = new TestMachine { Cookie = new byte[] { 1, 2 } }.Lead())
            {
                ulong inside = 0;
                machine.OnExecute = (request, cookie) => inside = machine.GetCurrentSequenceNumber();
                machine.Execute(Request, new object());
                Expect.True(inside > 0 && machine.GetCurrentSequenceNumber() >= inside, "sequence numbers");
                Expect.True(machine.GetHighestPassedSequenceNumber() >= inside, "the highest passed");
                Expect.True(machine.IsInStableState() && machine.GetEngineStatus().Role == ManagedRSLRole.Primary, "state");
                var first = machine.GetStatisticsSnapshot();
                Expect.True(first.decreesExecuted > 0 && first.logWrites > 0 && first.captureTimeInMicroseconds > 0, "statistics");
                Expect.True(!ReferenceEquals(first, machine.GetStatisticsSnapshot()), "the same snapshot");
                Expect.Same(0UL, machine.GetStatisticsSnapshot().logWriteBytes, "increments right after a snapshot");
                machine.SetVotePayload(ulong.MaxValue);
                machine.ChangeElectionDelay(7);
                machine.ChangeElectionDelay(0);
                machine.SetAcceptMessages(true);
                machine.AttemptPromotion();
                machine.Pause();
                Expect.Same(RSLResponse.RSLSuccess, machine.ReplicateRequest(Request, "paused"), "a request in a pause");
                Thread.Sleep(200);
                Expect.Same(0, TestMachine.Count(machine.Executed, (object)"paused"), "executed in the pause");
                machine.Resume();
                Expect.Soon(() => TestMachine.Count(machine.Executed, (object)"paused") == 1, "execution after the pause");
                machine.AllowSaveState(false);
                machine.Execute(new[] { (byte)'S' }, new object());
                Thread.Sleep(300);
                Expect.True(machine.Saved == null, "saved although it is not allowed");
                machine.AllowSaveState(true);
                Expect.True(machine.Checkpoint().EndsWith(".codex"), "a checkpoint");
                Expect.True(machine.GetLogFiles().Length > 0, "log files");
            }
        }

        // [NET-37] With the global flag nobody is asked about messages, and the flag decides.
        [Test]
        public static void TheGlobalFlagAcceptsWithoutAsking()
        {
            foreach (var global in new[] { false, true })
            {
                using (var first = new TestMachine())
                using (var second = new TestMachine())
                {
                    second.Node.MemberId = "two";
                    var nodes = new[] { first.Node, second.Node };
                    foreach (var machine in new[] { first, second })
                    {
                        var config = TestMachine.Config(machine.Dir);
                        config.UseGlobalAcceptMessagesFlag = global;
                        Expect.True(machine.Initialize(config, nodes, machine.Node, TestMachine.Newest, false), "start");
                        machine.SetAcceptMessages(true);
                    }
                    Expect.Soon(() => first.IsRecovered || second.IsRecovered, "a primary");
                    var leader = first.IsRecovered ? first : second;
                    var follower = first.IsRecovered ? second : first;
                    leader.Execute(Request, new object());
                    Expect.Soon(() => follower.Executed.Count == 1, "execution on the other");
                    Expect.True(global ? first.Asked + second.Asked == 0 : follower.Asked > 0, "asked " + first.Asked + ", " + second.Asked);
                    if (global)
                    {
                        follower.SetAcceptMessages(false);
                        leader.ReplicateRequest(Request, "refused");
                        Thread.Sleep(1500);
                        Expect.Same(0, TestMachine.Count(leader.Executed, (object)"refused"), "chosen although nobody accepts");
                    }
                }
            }
        }

        // A switch beside the legacy API: nobody is asked at all.
        [Test]
        public static void AllMessagesMayBeAccepted()
        {
            ManagedRSLExtensions.AcceptAllMessages = true;
            try
            {
                using (var first = new TestMachine())
                using (var second = new TestMachine())
                {
                    second.Node.MemberId = "two";
                    var nodes = new[] { first.Node, second.Node };
                    foreach (var machine in new[] { first, second })
                    {
                        Expect.True(machine.Initialize(TestMachine.Config(machine.Dir), nodes, machine.Node, TestMachine.Newest, false), "start");
                    }
                    Expect.Soon(() => first.IsRecovered || second.IsRecovered, "a primary");
                    (first.IsRecovered ? first : second).Execute(Request, new object());
                    Expect.Same(0, first.Asked + second.Asked, "questions");
                }
            }
            finally
            {
                ManagedRSLExtensions.AcceptAllMessages = false;
            }
        }

        // [NET-35] [NET-40] [HARD-630] Callbacks run on managed background threads or on the caller of Initialize; none runs
        // after Unload.
        [Test]
        public static void CallbacksRunOnManagedThreads()
        {
            var main = Thread.CurrentThread;
            Thread loading = null, executing = null;
            var running = 0;
            using (var machine = new TestMachine())
            {
                machine.OnLoad = stream =>
                {
                    loading = Thread.CurrentThread;
                    return true;
                };
                machine.OnExecute = (request, cookie) =>
                {
                    Interlocked.Increment(ref running);
                    executing = Thread.CurrentThread;
                    Thread.Sleep(20);
                    Interlocked.Decrement(ref running);
                };
                machine.Lead();
                Expect.True(ReferenceEquals(main, loading), "LoadState runs on another thread");
                machine.Execute(Request, new object());
                Expect.True(executing.IsBackground && !ReferenceEquals(main, executing), "the thread of execution");
                Expect.Same(ThreadPriority.Normal, executing.Priority, "its priority");
                for (var count = 0; count < 20; count++)
                {
                    machine.ReplicateRequest(Request, null);
                }
                machine.UnloadThisOne();
                Expect.Same(0, running, "callbacks after Unload");
                Expect.True(!executing.IsAlive, "the thread of execution lives");
            }
        }

        // [HARD-628] An empty array is no cookie.
        [Test]
        public static void AnEmptyPrimaryCookieIsNone()
        {
            using (var machine = new TestMachine { Cookie = new byte[0] }.Lead())
            {
                machine.Execute(Request, new object());
            }
        }

        // [NET-42] LoadState(null) may answer false on a first start.
        [Test]
        public static void AFirstStartToleratesFalse()
        {
            using (var machine = new TestMachine { OnLoad = stream => false }.Lead())
            {
                machine.Execute(Request, new object());
            }
        }

        // [NET-34] [HARD-627] What LoadState throws reaches the caller of Initialize; the machine can start again.
        [Test]
        public static void ExceptionsOfLoadStateReachInitialize()
        {
            using (var machine = new TestMachine { State = new byte[] { 1 } })
            {
                machine.OnLoad = stream => { throw new FormatException("no state"); };
                Expect.Same("no state", Expect.Throws<FormatException>(() => machine.Start(), "a first start").Message, "message");
                Expect.Same(1, machine.Events.Count, "callbacks");
                machine.OnLoad = null;
                machine.Lead().Checkpoint();
                machine.UnloadThisOne();
                machine.Events.Clear();
                machine.OnLoad = stream => { throw new FormatException("bad state"); };
                Expect.Throws<FormatException>(() => machine.Start(), "a restart");
                Expect.Same(1, machine.Events.Count, "callbacks");
                machine.OnLoad = null;
                machine.Lead();
            }
        }

        // [HARD-621] Dispose unloads; a machine that is unloaded can be collected, one that runs cannot.
        [Test]
        public static void MachinesAreCollectedOnceUnloaded()
        {
            var machine = new TestMachine().Lead();
            machine.Dispose();
            Expect.True(machine.Events.Last().StartsWith("shut down"), "ShutDown");
            Expect.Throws<ApplicationException>(() => machine.GetCurrentSequenceNumber(), "after Dispose");
            Expect.Throws<ObjectDisposedException>(() => machine.Start(), "a start after Dispose");
            machine.Dispose();
            var references = new List<WeakReference>();
            var makers = Enumerable.Range(0, 4).Select(index => new Thread(() => references.Add(StartAndUnload()))).ToList();
            foreach (var maker in makers)
            {
                maker.Start();
                maker.Join();
            }
            Expect.Soon(() => references.Any(Gone), "no unloaded machine was collected");
            var running = RunAndForget();
            Collect();
            Expect.True(running.IsAlive, "a running machine was collected");
            ((TestMachine)running.Target).Dispose();
        }

        private static WeakReference StartAndUnload()
        {
            var machine = new TestMachine().Lead();
            machine.UnloadThisOne();
            return new WeakReference(machine);
        }

        private static WeakReference RunAndForget()
        {
            return new WeakReference(new TestMachine().Lead());
        }

        // [NET-36] [NET-38] [HARD-629] Collections all the time: 160000 callbacks from threads that the library made, the
        // machine stays primary throughout, a state copy needs a new thread long after Initialize.
        [Test]
        public static void CollectionsDoNotDisturb()
        {
            const int Total = 160000;
            using (var machine = new TestMachine().Lead())
            {
                var stop = false;
                var collector = new Thread(() =>
                {
                    var garbage = new List<byte[]>();
                    for (var round = 0; !Volatile(ref stop); round++)
                    {
                        garbage.Add(new byte[1000]);
                        if (round % 2000 == 0)
                        {
                            garbage.Clear();
                            GC.Collect();
                        }
                    }
                }) { IsBackground = true };
                collector.Start();
                long executed = 0;
                machine.OnExecute = (request, cookie) => Interlocked.Increment(ref executed);
                for (var count = 0; count < Total; count++)
                {
                    while (machine.ReplicateRequest(BitConverter.GetBytes(count), count % 3 == 0 ? null : new object()) != RSLResponse.RSLSuccess)
                    {
                        Thread.Sleep(1);
                    }
                }
                Expect.Soon(() => Interlocked.Read(ref executed) == Total, "all executed");
                machine.CopyStateFromReplica("copy");
                Expect.Soon(() => TestMachine.Count(machine.Events, "copied 0 '' copy") == 1, "the copy");
                stop = true;
                collector.Join();
                Expect.Same(0, machine.Events.Count(text => text.StartsWith("abort") || text == "status False"), "lost leadership");
                lock (machine.Executed)
                {
                    for (var index = 0; index < Total; index++)
                    {
                        Expect.Same(index, BitConverter.ToInt32(machine.Requests[index], 0), "order");
                    }
                }
            }
        }

        private static bool Volatile(ref bool flag)
        {
            Thread.MemoryBarrier();
            return flag;
        }
    }
}
