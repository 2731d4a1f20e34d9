// RSLHost: one replica of a test service over the managed API, as the host contract says.
using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading;
using ManagedRSLib;

namespace RSLHost
{
    internal static class Program
    {
        private const int BadArguments = 2, ControlPortTaken = 3, LibraryFailed = 4, InitializeFailed = 5, TlsFailed = 6, Crash = 42;
        private const int MaxLine = 32 << 20;

        private static int Main(string[] words)
        {
            Arguments arguments;
            TextLog events, execLog, trace;
            try
            {
                arguments = Arguments.Parse(words);
                events = new TextLog(arguments.Events);
                execLog = new TextLog(arguments.ExecLog);
                trace = new TextLog(arguments.Trace);
            }
            catch (Exception error)
            {
                if (error is UsageException || error is IOException || error is ArgumentException)
                {
                    Console.Error.WriteLine("RSLHost: " + error.Message);
                    Console.Error.WriteLine(Arguments.Usage);
                    return BadArguments;
                }
                throw;
            }
            TcpListener listener = null;
            if (arguments.Control != null)
            {
                listener = new TcpListener(IPAddress.Loopback, arguments.Control.Value);
                try
                {
                    listener.Start();
                }
                catch (SocketException error)
                {
                    Console.Error.WriteLine("RSLHost: control port: " + error.Message);
                    return ControlPortTaken;
                }
            }
            var code = StartLibrary(arguments, trace);
            return code != 0 ? code : RunMachine(arguments, new HostMachine(events, execLog), listener);
        }

        private static int StartLibrary(Arguments arguments, TextLog trace)
        {
            ManagedRSLStateMachine.NotificationsCallback = (level, log, title, message) =>
            {
                var text = string.Format("NOTIFY level={0} id={1} {2} {3}", (int)level, (int)log, title, message);
                trace.Event(text);
                Console.WriteLine(text);
            };
            // Without thumbprints an explicit form too: the short ones listen on all addresses.
            var thumbs = (arguments.SslThumbs ?? "").Split(',');
            try
            {
                ManagedRSLStateMachine.Init(
                    null, thumbs[0], thumbs.Length > 1 ? thumbs[1] : null, null, null, null, null, false,
                    arguments.ListenAll, arguments.SslValidateCa, arguments.SslValidateCa);
                return 0;
            }
            catch (InvalidOperationException error)
            {
                Console.Error.WriteLine("RSLHost: " + error.Message);
                return TlsFailed;
            }
            catch (Exception error)
            {
                Console.Error.WriteLine("RSLHost: " + error.Message);
                return LibraryFailed;
            }
        }

        private static int RunMachine(Arguments arguments, HostMachine machine, TcpListener listener)
        {
            machine.PrimaryCookie = arguments.Cookie;
            machine.MayLead = !arguments.CannotBecome;
            machine.Event(string.Format(
                "START id={0} version={1} newApi={2} pid={3}",
                arguments.Id, (int)arguments.Version, arguments.IsNewApi ? 1 : 0, System.Diagnostics.Process.GetCurrentProcess().Id));
            var config = arguments.Config();
            if (arguments.PrintConfig)
            {
                foreach (var property in typeof(ManagedRSLConfigParam).GetProperties())
                {
                    Console.WriteLine(property.Name + " = " + property.GetValue(config, null));
                }
            }
            var started = arguments.IsNewApi
                ? machine.Initialize(config, arguments.Self, arguments.Version, arguments.SerializeFastReads)
                : machine.Initialize(config, arguments.Members, arguments.Self, arguments.Version, arguments.SerializeFastReads);
            if (!started)
            {
                Say("INIT FAILED");
                return InitializeFailed;
            }
            if (listener != null)
            {
                var commands = new Commands(machine, arguments.Id);
                Start(() => Accept(listener, commands, machine));
            }
            Say("READY");
            if (arguments.Bootstrap)
            {
                var set = new ManagedRSLMemberSet(arguments.Members, null, 0, 0);
                Say("BOOTSTRAP " + machine.Bootstrap(set, arguments.BootstrapTimeout));
            }
            // The library ends the process when the replica has to be started again.
            Thread.Sleep(Timeout.Infinite);
            return 0;
        }

        private static void Accept(TcpListener listener, Commands commands, HostMachine machine)
        {
            while (true)
            {
                var client = listener.AcceptTcpClient();
                Start(() =>
                {
                    try
                    {
                        Serve(client, commands, machine);
                    }
                    catch (IOException)
                    {
                        // The connection has ended.
                    }
                });
            }
        }

        private static void Serve(TcpClient client, Commands commands, HostMachine machine)
        {
            client.NoDelay = true;
            using (var stream = client.GetStream())
            {
                var input = new BufferedStream(stream, 64 * 1024);
                for (var line = ReadLine(input); line != null; line = ReadLine(input))
                {
                    var command = line.Trim();
                    if (command == "crash")
                    {
                        End(Crash);
                    }
                    if (command == "unload")
                    {
                        // As legacy without a spawn routine: the process ends and no answer comes.
                        machine.UnloadThisOne();
                        End(0);
                    }
                    var answer = command == "exit" ? new Json { { "ok", true } } : commands.Run(command);
                    var bytes = Encoding.UTF8.GetBytes(answer + "\n");
                    stream.Write(bytes, 0, bytes.Length);
                    if (command == "exit")
                    {
                        End(0);
                    }
                }
            }
        }

        /// <summary>A line without its end; null at the end of the connection.</summary>
        private static string ReadLine(Stream input)
        {
            var line = new MemoryStream();
            for (var value = input.ReadByte(); value != '\n'; value = input.ReadByte())
            {
                if (value < 0)
                {
                    return line.Length == 0 ? null : Encoding.UTF8.GetString(line.ToArray());
                }
                if (line.Length < MaxLine)
                {
                    line.WriteByte((byte)value);
                }
            }
            return line.Length < MaxLine ? Encoding.UTF8.GetString(line.ToArray()) : "a-line-that-is-too-long";
        }

        private static void Start(ThreadStart body)
        {
            new Thread(body) { IsBackground = true }.Start();
        }

        /// <summary>Ends the process at once, without any clean-up.</summary>
        private static void End(int code)
        {
            Console.Out.Flush();
            if (Path.DirectorySeparatorChar == '/')
            {
                _exit(code);
            }
            Environment.Exit(code);
        }

        private static void Say(string line)
        {
            Console.WriteLine(line);
            Console.Out.Flush();
        }

        [System.Runtime.InteropServices.DllImport("libc")]
        private static extern void _exit(int code);
    }
}
