// A small test runner: every method marked [Test] is a case that passes unless it throws.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;

namespace ManagedRSLib.Tests
{
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class TestAttribute : Attribute
    {
    }

    internal sealed class AssertionException : Exception
    {
        public AssertionException(string message)
            : base(message)
        {
        }
    }

    internal static class Runner
    {
        /// <summary>Longest time of a case; then the whole run fails.</summary>
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(240);

        private static int Main(string[] words)
        {
            if (words.Length > 0 && words[0] == "child")
            {
                return Children.Run(words.Skip(1).ToArray());
            }
            // Without log files, and on loopback only.
            ManagedRSLStateMachine.Init(null, null, null, null, null, null, null, false, false, true, true);
            var failed = new List<string>();
            var passed = 0;
            var cases = typeof(Runner).Assembly.GetTypes()
                .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
                .Where(method => method.IsDefined(typeof(TestAttribute), false))
                .Where(method => words.Length == 0 || words.Any(word => Name(method).Contains(word)));
            var watch = Stopwatch.StartNew();
            foreach (var test in cases)
            {
                var start = watch.Elapsed;
                var why = Run(test);
                Console.WriteLine("test {0} ... {1} ({2:0.0} s)", Name(test), why == null ? "ok" : "FAILED", (watch.Elapsed - start).TotalSeconds);
                if (why == null)
                {
                    passed++;
                }
                else
                {
                    failed.Add(Name(test));
                    Console.WriteLine(why);
                }
            }
            foreach (var name in failed)
            {
                Console.WriteLine("failed: " + name);
            }
            // The words of cargo's runner, then those for people.
            Console.WriteLine("test result: {0}. {1} passed; {2} failed; 0 ignored", failed.Count == 0 ? "ok" : "FAILED", passed, failed.Count);
            Console.WriteLine("{0} passed, {1} failed", passed, failed.Count);
            Console.Out.Flush();
            // A case that hangs must not keep the process.
            Environment.Exit(failed.Count == 0 && passed > 0 ? 0 : 1);
            return 0;
        }

        private static string Name(MethodInfo test)
        {
            return test.DeclaringType.Name + "." + test.Name;
        }

        private static string Run(MethodInfo test)
        {
            string why = null;
            var thread = new Thread(() =>
            {
                try
                {
                    test.Invoke(null, null);
                }
                catch (TargetInvocationException error)
                {
                    why = error.InnerException.ToString();
                }
            }) { IsBackground = true };
            thread.Start();
            return thread.Join(Patience) ? why : "it does not end";
        }
    }

    /// <summary>What cases say they expect.</summary>
    internal static class Expect
    {
        public static void True(bool condition, string what)
        {
            if (!condition)
            {
                throw new AssertionException(what);
            }
        }

        public static void Same<T>(T expected, T found, string what)
        {
            if (!EqualityComparer<T>.Default.Equals(expected, found))
            {
                throw new AssertionException(what + ": expected " + expected + ", found " + found);
            }
        }

        public static void Bytes(byte[] expected, byte[] found, string what)
        {
            Same(expected == null ? null : BitConverter.ToString(expected), found == null ? null : BitConverter.ToString(found), what);
        }

        /// <summary>The exception, of exactly this type.</summary>
        public static T Throws<T>(Action action, string what) where T : Exception
        {
            try
            {
                action();
            }
            catch (Exception error)
            {
                if (error.GetType() == typeof(T))
                {
                    return (T)error;
                }
                throw new AssertionException(what + " threw " + error);
            }
            throw new AssertionException(what + " threw nothing");
        }

        /// <summary>Waits for a condition that has to come.</summary>
        public static void Soon(Func<bool> condition, string what)
        {
            for (var watch = Stopwatch.StartNew(); !condition(); Thread.Sleep(5))
            {
                True(watch.Elapsed < TimeSpan.FromSeconds(30), "waited in vain: " + what);
            }
        }
    }
}
