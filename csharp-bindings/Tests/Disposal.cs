// Dispose in every state of a machine, and of the plain objects.
using System;
using System.Linq;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal static class Disposal
    {
        private static readonly byte[] Request = { 1 };

        /// <summary>Disposes within a limit, twice; then the machine refuses to work and to start.</summary>
        private static void Dispose(TestMachine machine, string state)
        {
            Exception failure = null;
            var thread = new Thread(() =>
            {
                try
                {
                    machine.Dispose();
                    machine.Dispose();
                }
                catch (Exception error)
                {
                    failure = error;
                }
            }) { IsBackground = true };
            thread.Start();
            Expect.True(thread.Join(TimeSpan.FromSeconds(30)), state + ": Dispose does not return");
            Expect.True(failure == null, state + ": " + failure);
            Expect.Throws<ApplicationException>(() => machine.GetCurrentSequenceNumber(), state);
            Expect.Throws<ObjectDisposedException>(() => machine.Start(), state);
            Expect.Throws<ObjectDisposedException>(() => machine.Replay(machine.Dir, 1), state);
        }

        private static void EndsWithShutDown(TestMachine machine, string state)
        {
            Dispose(machine, state);
            Expect.True(machine.Events.Last().StartsWith("shut down"), state + ": the last callback is " + machine.Events.Last());
            Expect.Same(1, machine.Events.Count(text => text.StartsWith("shut down")), state + ": ShutDown");
        }

        private static ManagedRSLNode[] WithPeersThatAreNotThere(TestMachine machine)
        {
            return new[] { "one", "two", "three" }.Select(id =>
            {
                var node = id == "one" ? machine.Node : TestMachine.NewNode();
                node.MemberId = id;
                return node;
            }).ToArray();
        }

        // [NET-4] [HARD-621] A machine that was never started, could not start, was replayed, was unloaded.
        [Test]
        public static void OfAMachineThatDoesNotRun()
        {
            Dispose(new TestMachine(), "new");
            var refused = new TestMachine();
            var config = TestMachine.Config(refused.Dir);
            config.ElectionDelaySec = 0;
            Expect.True(!refused.Initialize(config, new[] { refused.Node }, refused.Node, TestMachine.Newest, false), "a bad configuration");
            Dispose(refused, "refused");
            var failed = new TestMachine { OnLoad = stream => { throw new FormatException(); } };
            Expect.Throws<FormatException>(() => failed.Start(), "LoadState throws");
            Dispose(failed, "LoadState has thrown");
            var unloaded = new TestMachine().Lead();
            unloaded.Execute(Request, new object());
            unloaded.UnloadThisOne();
            var replayed = new TestMachine(unloaded.Dir, unloaded.Node);
            Expect.True(replayed.Replay(System.IO.Path.Combine(unloaded.Dir, "one"), ulong.MaxValue), "Replay");
            Dispose(replayed, "replayed");
            Dispose(unloaded, "unloaded");
        }

        // [NET-4] [NET-40] [HARD-621] A machine that waits to be bootstrapped, for a majority, leads, is paused, works, saves.
        [Test]
        public static void OfAMachineThatRuns()
        {
            var empty = new TestMachine();
            Expect.True(empty.Initialize(TestMachine.Config(empty.Dir), empty.Node, TestMachine.Newest, false), "start");
            EndsWithShutDown(empty, "waits to be bootstrapped");

            var alone = new TestMachine();
            Expect.True(alone.Initialize(TestMachine.Config(alone.Dir), WithPeersThatAreNotThere(alone), alone.Node, TestMachine.Newest, false), "start");
            EndsWithShutDown(alone, "has just started");

            var electing = new TestMachine();
            Expect.True(electing.Initialize(TestMachine.Config(electing.Dir), WithPeersThatAreNotThere(electing), electing.Node, TestMachine.Newest, false), "start");
            Thread.Sleep(1500);
            EndsWithShutDown(electing, "stands for election");

            EndsWithShutDown(new TestMachine().Lead(), "leads");

            var paused = new TestMachine().Lead();
            paused.Pause();
            paused.ReplicateRequest(Request, "paused");
            Dispose(paused, "paused");

            var busy = new TestMachine().Lead();
            busy.OnExecute = (request, cookie) => Thread.Sleep(20);
            var accepted = Enumerable.Range(0, 50).Count(number => busy.ReplicateRequest(Request, new object()) == RSLResponse.RSLSuccess);
            EndsWithShutDown(busy, "works");
            Expect.Same(accepted, busy.Executed.Count + busy.Events.Count(text => text.StartsWith("abort")), "requests that have ended");

            var saving = new TestMachine();
            var entered = new ManualResetEvent(false);
            saving.OnSave = stream =>
            {
                entered.Set();
                Thread.Sleep(300);
            };
            saving.Lead().ReplicateRequest(new[] { (byte)'S' }, null);
            Expect.True(entered.WaitOne(30000), "saves");
            EndsWithShutDown(saving, "saves");
        }

        // [NET-40] From two threads at once; while Initialize loads the state; inside a callback it is refused.
        [Test]
        public static void AtOddMoments()
        {
            var machine = new TestMachine().Lead();
            var threads = Enumerable.Range(0, 4).Select(number => new Thread(machine.Dispose) { IsBackground = true }).ToList();
            threads.ForEach(thread => thread.Start());
            Expect.True(threads.All(thread => thread.Join(30000)), "Dispose from four threads");
            Expect.Same(1, machine.Events.Count(text => text.StartsWith("shut down")), "ShutDown");

            var loading = new ManualResetEvent(false);
            var slow = new TestMachine();
            slow.OnLoad = stream =>
            {
                loading.Set();
                Thread.Sleep(300);
                return true;
            };
            var started = false;
            var starter = new Thread(() => started = slow.Start()) { IsBackground = true };
            starter.Start();
            Expect.True(loading.WaitOne(30000), "LoadState");
            // It waits for the start, then unloads.
            Dispose(slow, "loads");
            Expect.True(starter.Join(30000) && started, "Initialize");

            var inside = new TestMachine().Lead();
            Exception refused = null;
            inside.OnExecute = (request, cookie) =>
            {
                try
                {
                    inside.Dispose();
                }
                catch (InvalidOperationException error)
                {
                    refused = error;
                }
            };
            inside.Execute(Request, new object());
            Expect.True(refused != null, "Dispose inside a callback");
            inside.OnExecute = null;
            inside.Execute(Request, new object());
            EndsWithShutDown(inside, "after a refused Dispose");
        }
    }
}
