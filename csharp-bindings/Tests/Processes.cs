// What concerns a whole process: Init and Unload, the native library, exceptions that end it.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal static class Processes
    {
        // One after the other: a child must not inherit the pipes of another one.
        private static readonly object Starting = new object();

        /// <summary>The program that runs assemblies here; null where they run by themselves.</summary>
        internal static string Runtime
        {
            get
            {
                var running = Process.GetCurrentProcess().MainModule.FileName;
                return string.Equals(running, Assembly.GetExecutingAssembly().Location, StringComparison.OrdinalIgnoreCase) ? null : running;
            }
        }

        /// <summary>Runs this program again as a child; its exit code and what it printed.</summary>
        private static int Run(string program, string words, out string printed)
        {
            var start = new ProcessStartInfo
            {
                FileName = Runtime ?? program,
                Arguments = (Runtime == null ? "" : "\"" + program + "\" ") + "child " + words,
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true
            };
            start.EnvironmentVariables["LD_LIBRARY_PATH"] = "";
            start.EnvironmentVariables["MONO_CRASH_NOFILE"] = "1";
            // Where there is a debugger, a crash would run it: slowly, and at times without end.
            start.EnvironmentVariables["MONO_DEBUG"] = "no-gdb-backtrace";
            // A child that fails fast cleans nothing up.
            start.EnvironmentVariables["TMPDIR"] = TestMachine.NewDirectory();
            Process child;
            lock (Starting)
            {
                child = Process.Start(start);
            }
            using (child)
            {
                var errors = child.StandardError.Collect();
                var output = child.StandardOutput.Collect();
                var ended = child.WaitForExit(60000);
                if (!ended)
                {
                    child.Kill();
                    child.WaitForExit();
                }
                printed = (ended ? "" : "it does not end: ") + output() + errors();
                return ended ? child.ExitCode : 0;
            }
        }

        private static Func<string> Collect(this StreamReader reader)
        {
            var text = "";
            var thread = new Thread(() => text = reader.ReadToEnd()) { IsBackground = true };
            thread.Start();
            return () =>
            {
                thread.Join();
                return text;
            };
        }

        internal static string Child(string words, int expected)
        {
            string printed;
            var code = Run(Assembly.GetExecutingAssembly().Location, words, out printed);
            Expect.True(code == expected, words + " ended with " + code + ": " + printed);
            return printed;
        }

        // [NET-19] [NET-20] [NET-21] [NET-22] [NET-23] [HARD-615] [HARD-616] [HARD-617] [HARD-618]
        // Every form of Init and Replace, refused and accepted; the claim; notifications.
        [Test]
        public static void InitClaimsTheProcess()
        {
            Child("init", 0);
        }

        // [NET-34] [HARD-627] An exception in any callback is notified at level Assert with type, message and stack; the
        // process ends by FailFast. From LoadState it is only one outside of Initialize, which cannot be had here.
        [Test]
        public static void ExceptionsEndTheProcess()
        {
            var failures = new List<string>();
            var left = new Queue<string>(Children.Throwing);
            ThreadStart next = null;
            next = () =>
            {
                string callback, printed;
                lock (left)
                {
                    if (left.Count == 0)
                    {
                        return;
                    }
                    callback = left.Dequeue();
                }
                var code = Run(Assembly.GetExecutingAssembly().Location, "throw " + callback, out printed);
                var expected = "notified Assert Exception in " + callback + ": System.FormatException: on purpose";
                if (code == 0 || code == 1 || code == 99 || !(callback == "NotificationsCallback" || printed.Contains(expected)) || !printed.Contains("at ManagedRSLib.Tests."))
                {
                    lock (failures)
                    {
                        failures.Add(callback + " ended with " + code + ": " + printed);
                    }
                }
                next();
            };
            var threads = Enumerable.Range(0, 4).Select(number => new Thread(next) { IsBackground = true }).ToList();
            threads.ForEach(thread => thread.Start());
            threads.ForEach(thread => thread.Join());
            Expect.Same("", string.Join("\n", failures.ToArray()), "callbacks");
        }

        // [HARD-626] A cookie that comes back twice, or was never given, takes the fatal path.
        [Test]
        public static void UnknownCookiesAreFatal()
        {
            var handle = Interop.Cookie.Give(new object());
            new Interop.Cookie(handle).Dispose();
            var error = false;
            try
            {
                new Interop.Cookie(handle);
            }
            catch (InvalidOperationException)
            {
                error = true;
            }
            Expect.True(error, "a cookie came back twice");
            Expect.True(new Interop.Cookie(IntPtr.Zero).Value == null, "a null cookie");
        }

        // [NET-39] [HARD-631] Init, use and Unload in one AppDomain after the other; notifications come to the one that asked.
        [Test]
        public static void AppDomainsFollowEachOther()
        {
            Child("domains", 0);
        }

        // [NET-25] Relinquishing ends the process with 0.
        [Test]
        public static void RelinquishingEndsTheProcess()
        {
            Child("relinquish ends", 0);
        }

        // [NET-25] A switch, or who is asked, keeps the process: the machine goes on in place.
        [Test]
        public static void AMachineMayGoOnInPlace()
        {
            Child("relinquish asked", 0);
            Child("relinquish switched", 0);
        }

        // [NET-1] A native library that is missing, or has another interface, is named.
        [Test]
        public static void ALibraryThatDoesNotFitIsRefused()
        {
            var directory = TestMachine.NewDirectory();
            var here = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location);
            foreach (var file in Directory.GetFiles(here, "ManagedRSLib*"))
            {
                File.Copy(file, Path.Combine(directory, Path.GetFileName(file)));
            }
            string printed;
            var program = Path.Combine(directory, Path.GetFileName(Assembly.GetExecutingAssembly().Location));
            Expect.Same(7, Run(program, "library", out printed), "exit code: " + printed);
            Expect.True(printed.Contains("neither beside ManagedRSLib.dll"), printed);

            var packaged = Path.Combine(directory, Path.Combine("runtimes", Path.Combine(Path.DirectorySeparatorChar == '/' ? "linux-x64" : "win-x64", "native")));
            Directory.CreateDirectory(packaged);
            File.Copy(Path.Combine(here, LibraryName), Path.Combine(packaged, LibraryName));
            Expect.Same(0, Run(program, "library", out printed), "from runtimes/: " + printed);

            // Another interface; another library; no library.
            var beside = Path.Combine(directory, LibraryName);
            File.Copy(Path.Combine(Path.Combine(here, "other"), LibraryName), beside);
            Expect.Same(7, Run(program, "library", out printed), "another interface: " + printed);
            Expect.True(printed.Contains("has interface 9.0; this assembly needs"), printed);
            File.Copy(Path.Combine(Path.Combine(here, "foreign"), LibraryName), beside, true);
            Expect.Same(7, Run(program, "library", out printed), "another library: " + printed);
            Expect.True(printed.Contains("is not that of RSL"), printed);
            File.WriteAllText(beside, "no library");
            Directory.Delete(packaged, true);
            Expect.Same(7, Run(program, "library", out printed), "no library: " + printed);
            Expect.True(printed.Contains("native library"), printed);

            Expect.Throws<DllNotFoundException>(() => Interop.NativeLibrary.Compare(0), "interface 0.0");
            Interop.NativeLibrary.Compare((uint)Interop.Abi.RSL_ABI_MAJOR << 16 | 99);
        }

        private static string LibraryName
        {
            get { return Path.DirectorySeparatorChar == '/' ? "librsl.so" : "rsl.dll"; }
        }
    }

    /// <summary>What the children do.</summary>
    internal static class Children
    {
        public static int Run(string[] words)
        {
            switch (words[0])
            {
                case "init": Init(); return 0;
                case "throw": return Throw(words[1]);
                case "foreign": Collector.Foreign(); return 0;
                case "domains": Domains(); return 0;
                case "relinquish": return Relinquish(words[1]);
                case "library": return Library();
                default: throw new AssertionException(words[0]);
            }
        }

        private static void Init()
        {
            var notes = new List<string>();
            ManagedRSLStateMachine.NotificationsCallback = (level, log, title, message) =>
            {
                lock (notes)
                {
                    notes.Add(level + " " + log + " " + title + " " + (message ?? "null"));
                }
            };
            var tls = Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.Init(null, "no thumbprint", null, false, true, true), "bad thumbprints");
            Expect.Same("Couldn't set up thumbprints", tls.Message, "its message");
            var subject = Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.Init(null, null, null, "a", null, null, null, false, false, true, true), "bad subjects");
            Expect.Same("Couldn't set up subjects", subject.Message, "its message");
            Expect.Same("Couldn't set up thumbprints", Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.ReplaceThumbprints("x", null, true, true), "thumbprints").Message, "its message");
            Expect.Same("Couldn't set up subjects", Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.ReplaceSubjects("x", null, null, null, true), "subjects").Message, "its message");
            Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.ReplaceThumbprintsAndSubjects("x", null, null, null, null, null, false, true, true), "both");

            // Refused settings leave no claim, but no machine starts in plaintext either.
            using (var machine = new TestMachine())
            {
                Expect.True(!machine.Start(), "a machine started although TLS was asked for");
            }
            ManagedRSLStateMachine.ReplaceThumbprintsAndSubjects(null, "", null, null, null, null, false, true, true);

            ManagedRSLStateMachine.Init("", "", null, false, true, true, false);
            Expect.True(notes.Any(note => note.StartsWith("Warning") && note.Contains("listenOnAllIPs is false")), "no warning: " + string.Join("; ", notes.ToArray()));
            var second = Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.Init(null), "a second Init");
            Expect.Same("Another AppDomain has initialized RSL already", second.Message, "its message");
            var started = new TestMachine().Lead();
            ManagedRSLStateMachine.Unload();
            Expect.True(started.Events.Last().StartsWith("shut down"), "Unload unloads every machine");
            ManagedRSLStateMachine.Unload();

            ManagedRSLExtensions.HonorListenOnAllIPs = true;
            notes.Clear();
            var logs = TestMachine.NewDirectory();
            ManagedRSLStateMachine.Init(logs, null, null, false, true, true);
            Expect.Same(0, notes.Count, "warnings with the switch");
            using (var machine = new TestMachine())
            {
                var config = TestMachine.Config(machine.Dir);
                config.ElectionDelaySec = 0;
                Expect.True(!machine.Initialize(config, new[] { machine.Node }, machine.Node, TestMachine.Newest, false), "a bad configuration");
                Expect.True(notes.Contains("Error RSLLib Could not load config null"), string.Join("; ", notes.ToArray()));
                ManagedRSLStateMachine.NotificationsCallback = null;
                Expect.True(!machine.Initialize(config, new[] { machine.Node }, machine.Node, TestMachine.Newest, false), "the same, unheard");
            }
            Expect.True(Directory.GetFiles(Path.Combine(logs, "Logs"), "*.log").Length > 0, "no log file");
            ManagedRSLStateMachine.Unload();
            ManagedRSLStateMachine.Init(null, true);
            ManagedRSLStateMachine.Unload();
            Expect.Throws<Exception>(() => ManagedRSLStateMachine.Init("/dev/null"), "a log path that cannot be");
            ManagedRSLStateMachine.Init(null, null, null, null, null, null, null, false, false, true, true, true);
            ManagedRSLStateMachine.Unload();
        }

        /// <summary>The callbacks that <see cref="Throw"/> lets throw.</summary>
        internal static readonly string[] Throwing =
        {
            "ExecuteReplicatedRequest", "ExecuteFastReadRequest", "AbortRequest", "TrySaveState", "StateSaved", "StateCopied",
            "NotifyStatus", "NotifyPrimaryRecovered", "NotifyConfigurationChanged", "CanBecomePrimary",
            "AcceptMessageFromReplica", "ShutDown", "NotificationsCallback"
        };

        private static int Throw(string callback)
        {
            ManagedRSLStateMachine.NotificationsCallback = (level, log, title, message) => Console.WriteLine("notified " + level + " " + title);
            ManagedRSLStateMachine.Init(null);
            var machine = new TestMachine { ThrowsIn = callback };
            var second = new TestMachine();
            second.Node.MemberId = "two";
            if (callback == "NotificationsCallback")
            {
                ManagedRSLStateMachine.NotificationsCallback = (level, log, title, message) => { throw new FormatException("on purpose"); };
                machine.Initialize(new ManagedRSLConfigParam { MaxLogs = 0 }, machine.Node, TestMachine.Newest, false);
                return 99;
            }
            if (callback == "AcceptMessageFromReplica")
            {
                // Either may become primary; the other one is asked.
                second.ThrowsIn = callback;
                foreach (var one in new[] { machine, second })
                {
                    one.Initialize(TestMachine.Config(one.Dir), new[] { machine.Node, second.Node }, one.Node, TestMachine.Newest, false);
                }
                Thread.Sleep(30000);
                return 99;
            }
            machine.Start();
            Expect.Soon(() => machine.IsRecovered, "primary");
            machine.FastReadRequest(0, new byte[] { 1 }, null);
            machine.ReplicateRequest(new[] { (byte)'S' }, null);
            machine.ChangeConfiguration(new ManagedRSLMemberSet(new[] { machine.Node }, null, 0, 0), null);
            machine.CopyStateFromReplica(null);
            Thread.Sleep(3000);
            machine.OnExecute = (request, cookie) => Thread.Sleep(500);
            for (var count = 0; count < 20; count++)
            {
                machine.ReplicateRequestExclusiveVote(new byte[] { 1 }, null);
            }
            machine.UnloadThisOne();
            return 99;
        }

#if NETSTANDARD2_0
        // One AppDomain only: once per process until Unload.
        private static void Domains()
        {
            for (var round = 0; round < 3; round++)
            {
                UseUntilUnload(IsClaimed);
            }
        }
#else
        private static void Domains()
        {
            for (var round = 0; round < 3; round++)
            {
                var domain = AppDomain.CreateDomain("round " + round, null, AppDomain.CurrentDomain.SetupInformation);
                domain.DoCallBack(InDomain);
                AppDomain.Unload(domain);
            }
        }

        private static void InDomain()
        {
            var other = AppDomain.CreateDomain("other", null, AppDomain.CurrentDomain.SetupInformation);
            UseUntilUnload(() => other.DoCallBack(IsClaimed));
            AppDomain.Unload(other);
        }
#endif

        private static void UseUntilUnload(Action whileClaimed)
        {
            var notes = 0;
            ManagedRSLStateMachine.NotificationsCallback = (level, log, title, message) => notes++;
            ManagedRSLStateMachine.Init(null);
            whileClaimed();
            var refused = new TestMachine();
            Expect.True(!refused.Initialize(new ManagedRSLConfigParam { MaxLogs = 0 }, refused.Node, TestMachine.Newest, false), "a bad configuration");
            Expect.Same(1, notes, "notifications");
            var machine = new TestMachine().Lead();
            machine.Execute(new byte[] { 1 }, new object());
            ManagedRSLStateMachine.Unload();
        }

        private static void IsClaimed()
        {
            Expect.Throws<InvalidOperationException>(() => ManagedRSLStateMachine.Init(null), "Init while it is claimed");
        }

        // A set of two, and the primary relinquishes to the other one. What happens then depends on the way.
        private static int Relinquish(string way)
        {
            ManagedRSLExtensions.ReloadInPlace = way == "switched";
            var asked = 0;
            ManagedRSLExtensions.EndingProcess = code =>
            {
                Expect.Same(0, code, "exit code");
                asked++;
                return way == "ends";
            };
            var first = new TestMachine { State = new byte[] { 1 } };
            var second = new TestMachine { State = new byte[] { 1 } };
            second.Node.MemberId = "two";
            var nodes = new[] { first.Node, second.Node };
            foreach (var machine in new[] { first, second })
            {
                Expect.True(machine.Initialize(TestMachine.Config(machine.Dir), nodes, machine.Node, TestMachine.Newest, false), "start");
            }
            Expect.Soon(() => first.IsRecovered || second.IsRecovered, "a primary");
            var leader = first.IsRecovered ? first : second;
            var follower = first.IsRecovered ? second : first;
            leader.Execute(new byte[] { 1 }, new object());
            Expect.Soon(() => follower.Executed.Count == 1, "execution on the other");
            Expect.True(follower.Executed[0] == null, "a cookie of another machine");
            var main = Thread.CurrentThread;
            var reloaded = "";
            leader.OnLoad = stream =>
            {
                reloaded = Thread.CurrentThread.IsBackground && !ReferenceEquals(Thread.CurrentThread, main) ? "on a thread of the machine" : "elsewhere";
                return true;
            };
            leader.RelinquishPrimaryStatus();
            if (way == "ends")
            {
                Thread.Sleep(20000);
                return 99;
            }
            Expect.Soon(() => reloaded != "", "LoadState again");
            Expect.Same("on a thread of the machine", reloaded, "LoadState");
            Expect.Same(way == "asked" ? 1 : 0, asked, "questions");
            Expect.Same(1, TestMachine.Count(leader.Events, "status False"), "NotifyStatus(false)");
            Expect.Soon(() => follower.IsRecovered, "the other to be primary");
            var executed = leader.Executed.Count;
            follower.Execute(new byte[] { 2 }, new object());
            follower.Execute(new byte[] { 3 }, new object());
            Expect.Soon(() => leader.Executed.Count > executed, "execution in place");
            Expect.True(!leader.Events.Any(text => text.StartsWith("shut down")), "ShutDown");
            ManagedRSLStateMachine.Unload();
            Expect.True(leader.Events.Last().StartsWith("shut down"), "ShutDown at the end");
            return 0;
        }

        private static int Library()
        {
            try
            {
                new ManagedRSLConfigParam();
                return 0;
            }
            catch (DllNotFoundException error)
            {
                Console.WriteLine(error.Message);
                return 7;
            }
        }
    }
}
