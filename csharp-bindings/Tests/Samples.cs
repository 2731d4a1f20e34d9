// The samples as a user runs them: three processes each, fed on standard input.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal static class Samples
    {
        /// <summary>One replica of a sample, and what it has printed.</summary>
        private sealed class Replica : IDisposable
        {
            private readonly List<string> printed = new List<string>();
            private readonly Process process;

            public Replica(string program, string directory, string words)
            {
                var assembly = Path.Combine(Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location), program)
                    + Path.GetExtension(Assembly.GetExecutingAssembly().Location);
                process = Process.Start(new ProcessStartInfo
                {
                    FileName = Processes.Runtime ?? assembly,
                    Arguments = (Processes.Runtime == null ? "" : "\"" + assembly + "\" ") + words,
                    WorkingDirectory = directory,
                    UseShellExecute = false,
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true
                });
                var reader = new Thread(() =>
                {
                    for (var line = process.StandardOutput.ReadLine(); line != null; line = process.StandardOutput.ReadLine())
                    {
                        lock (printed)
                        {
                            printed.Add(line);
                        }
                    }
                }) { IsBackground = true };
                reader.Start();
            }

            public bool Printed(string line)
            {
                lock (printed)
                {
                    return printed.Contains(line);
                }
            }

            public string All()
            {
                lock (printed)
                {
                    return string.Join("; ", printed.ToArray());
                }
            }

            public void Type(string line)
            {
                process.StandardInput.WriteLine(line);
                process.StandardInput.Flush();
            }

            /// <summary>Types a line and waits for an answer that was not there before.</summary>
            public void Ask(string line, string answer)
            {
                lock (printed)
                {
                    printed.RemoveAll(old => old == answer);
                }
                Type(line);
                Expect.Soon(() => Printed(answer), answer + " for " + line + ": " + All());
            }

            /// <summary>Ends the input; the sample unloads and ends with 0.</summary>
            public void End()
            {
                process.StandardInput.Close();
                Expect.True(process.WaitForExit(30000), "it does not end");
                Expect.Same(0, process.ExitCode, "exit code");
            }

            public void Dispose()
            {
                if (!process.HasExited)
                {
                    process.Kill();
                    process.WaitForExit();
                }
                process.Dispose();
            }
        }

        private static List<Replica> Start(string program, string directory, string ports)
        {
            return Enumerable.Range(0, 3).Select(number => new Replica(program, directory, number + " " + ports)).ToList();
        }

        private static string Ports()
        {
            return string.Join(" ", Enumerable.Range(0, 3).Select(number => TestMachine.NewNode().RslPort.ToString()).ToArray());
        }

        private static Replica Primary(List<Replica> replicas, string word)
        {
            Expect.Soon(() => replicas.Any(replica => replica.Printed(word)), "a primary: " + string.Join(" | ", replicas.Select(replica => replica.All()).ToArray()));
            return replicas.First(replica => replica.Printed(word));
        }

        // The counter adds on all replicas.
        [Test]
        public static void TheCounterCounts()
        {
            var replicas = Start("Counter", TestMachine.NewDirectory(), Ports());
            try
            {
                var primary = Primary(replicas, "primary");
                primary.Type("5");
                primary.Type("7");
                foreach (var replica in replicas.Where(replica => replica != primary))
                {
                    Expect.Soon(() =>
                    {
                        // A vote tells the others that the one before it was chosen.
                        primary.Type("0");
                        Thread.Sleep(50);
                        return replica.All().Contains(": 12");
                    }, "the sum: " + replica.All());
                }
                replicas.ForEach(replica => replica.End());
            }
            finally
            {
                replicas.ForEach(replica => replica.Dispose());
            }
        }

        // Every request and its result; reads; a checkpoint after 1000 requests, from which all come back.
        [Test]
        public static void TheStoreKeepsItsValues()
        {
            var directory = TestMachine.NewDirectory();
            var ports = Ports();
            var replicas = Start("KeyValue", directory, ports);
            try
            {
                var primary = Primary(replicas, "ready");
                primary.Ask("put colour red", "put");
                primary.Ask("get colour", "red");
                primary.Ask("swap colour green blue", "not swapped: red");
                primary.Ask("swap colour red blue", "swapped");
                primary.Ask("get colour", "blue");
                primary.Ask("delete shape", "not there");
                primary.Ask("put shape round", "put");
                primary.Ask("delete shape", "deleted");
                for (var number = 0; number < 1000; number++)
                {
                    primary.Type("put key" + number % 10 + " " + number);
                }
                Expect.Soon(() => primary.All().Contains("checkpoint"), "a checkpoint");
                primary.Ask("get key9", "999");
                Expect.True(replicas.Where(replica => replica != primary).All(replica =>
                {
                    replica.Ask("put colour grey", "refused: RSLNotPrimary");
                    return true;
                }), "changes on others");
            }
            finally
            {
                replicas.ForEach(replica => replica.Dispose());
            }
            replicas = Start("KeyValue", directory, ports);
            try
            {
                var primary = Primary(replicas, "ready");
                primary.Ask("get colour", "blue");
                primary.Ask("get key9", "999");
                primary.Ask("get shape", "not there");
                replicas.ForEach(replica => replica.End());
            }
            finally
            {
                replicas.ForEach(replica => replica.Dispose());
            }
        }
    }
}
