// The replicated store: its state, what requests do to it, its checkpoints.
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using ManagedRSLib;

namespace KeyValue
{
    /// <summary>What happened to a request; the cookie of RSL.</summary>
    internal sealed class Pending
    {
        private readonly Action<string> answer;

        public Pending(Action<string> answer)
        {
            this.answer = answer;
        }

        public void Answer(string text)
        {
            answer(text);
        }
    }

    internal sealed class Store : ManagedRSLStateMachine
    {
        private const int Format = 1;
        private const int RequestsPerCheckpoint = 1000;

        // Fast reads run on other threads than execution.
        private readonly object gate = new object();

        // Sorted by the bytes of the keys: checkpoints of the same state are the same on every replica.
        private SortedDictionary<string, string> values = New();
        private int sinceCheckpoint;

        private static SortedDictionary<string, string> New()
        {
            return new SortedDictionary<string, string>(StringComparer.Ordinal);
        }

        /// <summary>Replicates a change; its result goes to <paramref name="answer"/>, now or later.</summary>
        public void Change(Request request, Action<string> answer)
        {
            Report(ReplicateRequest(request.Encode(), new Pending(answer)), answer);
        }

        /// <summary>Reads a value on this replica, as of now.</summary>
        public void Get(string key, Action<string> answer)
        {
            Report(FastReadRequest(0, Encoding.UTF8.GetBytes(key), new Pending(answer)), answer);
        }

        private static void Report(RSLResponse response, Action<string> answer)
        {
            if (response != RSLResponse.RSLSuccess)
            {
                // It was not and will not be executed.
                answer("refused: " + response);
            }
        }

        public override void ExecuteReplicatedRequest(byte[] bytes, object cookie, ref bool saveState)
        {
            var request = Request.Decode(bytes);
            string result;
            lock (gate)
            {
                result = request == null ? "no request" : request.Execute(values);
            }
            sinceCheckpoint++;
            if (sinceCheckpoint >= RequestsPerCheckpoint)
            {
                sinceCheckpoint = 0;
                saveState = true;
            }
            // Null on the other replicas, and for what came before a restart.
            var pending = cookie as Pending;
            if (pending != null)
            {
                pending.Answer(result);
            }
        }

        public override void ExecuteFastReadRequest(byte[] request, object cookie)
        {
            string value;
            lock (gate)
            {
                values.TryGetValue(Encoding.UTF8.GetString(request), out value);
            }
            ((Pending)cookie).Answer(value ?? "not there");
        }

        public override void SaveState(ManagedRSLCheckpointStream stream)
        {
            // Nothing is executed meanwhile.
            using (var writer = new BinaryWriter(stream, Encoding.UTF8))
            {
                writer.Write(Format);
                writer.Write(sinceCheckpoint);
                writer.Write(values.Count);
                foreach (var pair in values)
                {
                    writer.Write(pair.Key);
                    writer.Write(pair.Value);
                }
            }
        }

        public override bool LoadState(ManagedRSLCheckpointStream stream)
        {
            var loaded = New();
            var since = 0;
            if (stream != null)
            {
                var reader = new BinaryReader(stream, Encoding.UTF8);
                if (reader.ReadInt32() != Format)
                {
                    return false;
                }
                since = reader.ReadInt32();
                for (var left = reader.ReadInt32(); left > 0; left--)
                {
                    var key = reader.ReadString();
                    loaded.Add(key, reader.ReadString());
                }
            }
            lock (gate)
            {
                values = loaded;
                sinceCheckpoint = since;
            }
            return true;
        }

        public override void AbortRequest(RSLResponse status, object cookie)
        {
            // A change may have been executed all the same, without its cookie: read before asking again.
            ((Pending)cookie).Answer("not known: " + status);
        }

        public override void NotifyStatus(bool isPrimary)
        {
            Console.WriteLine(isPrimary ? "primary" : "not primary");
        }

        public override void NotifyPrimaryRecovered()
        {
            Console.WriteLine("ready");
        }

        public override void StateSaved(ulong seqNo, string fileName)
        {
            Console.WriteLine("checkpoint " + seqNo);
        }

        public override void NotifyConfigurationChanged(object cookie)
        {
        }

        public override void AbortChangeConfiguration(RSLResponse status, object cookie)
        {
        }

        public override bool CanBecomePrimary(ref byte[] data)
        {
            return true;
        }

        public override bool AcceptMessageFromReplica(ManagedRSLNode node, byte[] data)
        {
            return true;
        }

        public override void StateCopied(ulong seqNo, string fileName, object cookie)
        {
        }

        public override void ShutDown(RSLResponse status)
        {
        }
    }
}
