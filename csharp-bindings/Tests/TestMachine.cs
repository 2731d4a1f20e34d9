// A machine for tests, alone in its set, with a directory and ports of its own.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace ManagedRSLib.Tests
{
    internal class TestMachine : ManagedRSLStateMachine
    {
        public const ManagedRSLProtocolVersion Newest = ManagedRSLProtocolVersion.ManagedRSLProtocolVersion_6;

        public readonly List<object> Executed = new List<object>();
        public readonly List<byte[]> Requests = new List<byte[]>();
        public readonly List<string> Events = new List<string>();
        public readonly string Dir;
        public readonly ManagedRSLNode Node;
        public volatile bool IsRecovered;
        public byte[] State = new byte[0];
        public Func<ManagedRSLCheckpointStream, bool> OnLoad;
        public Action<ManagedRSLCheckpointStream> OnSave;
        public Action<byte[], object> OnExecute;
        public byte[] Cookie;
        public volatile string Saved;
        public int Asked;
        // The name of a callback that throws.
        public string ThrowsIn;

        public TestMachine()
            : this(NewDirectory(), NewNode())
        {
        }

        public TestMachine(string dir, ManagedRSLNode node)
        {
            Dir = dir;
            Node = node;
        }

        public static string NewDirectory()
        {
            var path = Path.Combine(Path.GetTempPath(), "managed-rsl-" + Guid.NewGuid().ToString("N"));
            Directory.CreateDirectory(path);
            AppDomain.CurrentDomain.ProcessExit += (sender, arguments) => Remove(path);
            return path;
        }

        // Pairs of ports below those that the system hands out, which a connection may take at any time; a place of its own
        // for each process, and never the same pair again soon.
        private const int FirstPort = 30002, PortPairs = 1380;
        private static int usedPairs = Process.GetCurrentProcess().Id * 41;

        public static ManagedRSLNode NewNode()
        {
            // Two neighbours: the learn port is the next one.
            for (var attempt = 0; attempt < PortPairs; attempt++)
            {
                var pair = (uint)Interlocked.Increment(ref usedPairs) % PortPairs;
                var port = FirstPort + 2 * (int)pair;
                if (IsFree(port) && IsFree(port + 1))
                {
                    return new ManagedRSLNode { MemberId = "one", Ip = IPAddress.Loopback, RslPort = (ushort)port };
                }
            }
            throw new AssertionException("no two free ports");
        }

        private static bool IsFree(int port)
        {
            var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                listener.Stop();
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }

        public static ManagedRSLConfigParam Config(string dir)
        {
            return new ManagedRSLConfigParam
            {
                WorkingDir = dir,
                ElectionDelaySec = 1,
                MaxElectionRandomizeSec = 0,
                HeartBeatIntervalSec = 1,
                NewLeaderGracePeriodSec = 1,
                NumReaderThreads = 2,
                MaxCheckpointIntervalSec = 0
            };
        }

        /// <summary>Starts as the sole member.</summary>
        public bool Start()
        {
            return Initialize(Config(Dir), new[] { Node }, Node, Newest, false);
        }

        /// <summary>Starts and waits until it is primary.</summary>
        public TestMachine Lead()
        {
            IsRecovered = false;
            Expect.True(Start(), "the machine does not start");
            Expect.Soon(() => IsRecovered, "primary");
            return this;
        }

        /// <summary>Executes a request and waits for it.</summary>
        public void Execute(byte[] request, object cookie)
        {
            Expect.Same(RSLResponse.RSLSuccess, ReplicateRequest(request, cookie), "the request");
            Expect.Soon(() => Count(Executed, cookie) == 1, "execution");
        }

        /// <summary>Takes a checkpoint; its file.</summary>
        public string Checkpoint()
        {
            Saved = null;
            Execute(new[] { (byte)'S' }, new object());
            Expect.Soon(() => Saved != null, "checkpoint");
            return Saved;
        }

        public static int Count<T>(List<T> list, T wanted)
        {
            lock (list)
            {
                return list.FindAll(item => ReferenceEquals(item, wanted) || Equals(item, wanted)).Count;
            }
        }

        public void Note(string text)
        {
            lock (Events)
            {
                Events.Add(text);
            }
        }

        private void MayThrow(string callback)
        {
            if (ThrowsIn == callback)
            {
                throw new FormatException("on purpose");
            }
        }

        public override bool LoadState(ManagedRSLCheckpointStream reader)
        {
            Note(reader == null ? "load null" : "load");
            return OnLoad == null || OnLoad(reader);
        }

        public override void ExecuteReplicatedRequest(byte[] request, object cookie, ref bool saveState)
        {
            MayThrow("ExecuteReplicatedRequest");
            Expect.True(!saveState, "saveState is true on entry");
            saveState = request[0] == 'S';
            if (OnExecute != null)
            {
                OnExecute(request, cookie);
            }
            lock (Executed)
            {
                Requests.Add(request);
                Executed.Add(cookie);
            }
        }

        public override void ExecuteFastReadRequest(byte[] request, object cookie)
        {
            MayThrow("ExecuteFastReadRequest");
            lock (Executed)
            {
                Requests.Add(request);
                Executed.Add(cookie);
            }
        }

        public override void AbortRequest(RSLResponse status, object cookie)
        {
            MayThrow("AbortRequest");
            Note("abort " + status + " " + (cookie ?? "null"));
        }

        public override void SaveState(ManagedRSLCheckpointStream writer)
        {
            MayThrow("TrySaveState");
            if (OnSave != null)
            {
                OnSave(writer);
                return;
            }
            writer.Write(State, 0, State.Length);
        }

        public override void StateSaved(ulong seqNo, string fileName)
        {
            MayThrow("StateSaved");
            Saved = fileName;
        }

        public override void StateCopied(ulong seqNo, string fileName, object cookie)
        {
            MayThrow("StateCopied");
            Note("copied " + seqNo + " '" + fileName + "' " + (cookie ?? "null"));
        }

        public override void NotifyStatus(bool isPrimary)
        {
            MayThrow("NotifyStatus");
            Note("status " + isPrimary);
        }

        public override void NotifyPrimaryRecovered()
        {
            MayThrow("NotifyPrimaryRecovered");
            IsRecovered = true;
        }

        public override void NotifyConfigurationChanged(object cookie)
        {
            MayThrow("NotifyConfigurationChanged");
            Note("configuration " + (cookie ?? "null"));
        }

        public override void AbortChangeConfiguration(RSLResponse status, object cookie)
        {
            Note("abort configuration " + status + " " + (cookie ?? "null"));
        }

        public override bool CanBecomePrimary(ref byte[] data)
        {
            MayThrow("CanBecomePrimary");
            Expect.True(data == null, "data is not null on entry");
            data = Cookie;
            return true;
        }

        public override bool AcceptMessageFromReplica(ManagedRSLNode node, byte[] data)
        {
            MayThrow("AcceptMessageFromReplica");
            Interlocked.Increment(ref Asked);
            return true;
        }

        public override void ShutDown(RSLResponse status)
        {
            MayThrow("ShutDown");
            Note("shut down " + status);
        }

        private static void Remove(string path)
        {
            try
            {
                Directory.Delete(path, true);
            }
            catch (IOException)
            {
                // Left to the system.
            }
        }
    }
}
