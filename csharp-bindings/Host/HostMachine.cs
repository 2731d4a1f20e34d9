// The host's application: executes requests, writes the logs, answers questions as it was told to.
using System;
using System.IO;
using System.Threading;
using ManagedRSLib;

namespace RSLHost
{
    internal sealed class HostMachine : ManagedRSLStateMachine
    {
        private readonly object gate = new object();
        private readonly TextLog events;
        private readonly TextLog execLog;
        private HostState state = new HostState();
        private ulong lastDecree;
        private int index;

        // What the callbacks answer.
        public volatile bool MayAccept = true;
        public volatile bool MayLead = true;
        public volatile bool MaySave = true;
        public volatile byte[] PrimaryCookie;
        public volatile int ExecDelay;
        public volatile int SaveDelay;

        // What the callbacks have seen.
        public volatile bool IsPrimary;
        public volatile bool IsRecovered;
        public volatile string LastSaved = "";
        public volatile string LastCopied = "";
        public volatile byte[] AcceptCookie = new byte[0];
        public int Notified, Saves, Loads, Configurations, AbortedChanges, CopiedStates, Aborts, FastReads;

        public HostMachine(TextLog events, TextLog execLog)
        {
            this.events = events;
            this.execLog = execLog;
        }

        public HostState State
        {
            get
            {
                lock (gate)
                {
                    return state.Copy();
                }
            }
        }

        public void Event(string text)
        {
            events.Event(text);
        }

        public override bool LoadState(ManagedRSLCheckpointStream reader)
        {
            Interlocked.Increment(ref Loads);
            if (reader == null)
            {
                lock (gate)
                {
                    state = new HostState();
                }
                Event("LoadState NULL");
                return true;
            }
            string why;
            HostState loaded;
            try
            {
                loaded = HostState.Load(reader, out why);
            }
            catch (IOException error)
            {
                loaded = null;
                why = error.Message;
            }
            if (loaded == null)
            {
                Event("LoadState " + why);
                return false;
            }
            Event(string.Format(
                "LoadState ok count={0} hash={1:x16} lastSeq={2} pad={3} file={4} size={5}",
                loaded.Count, loaded.Hash, loaded.LastSeq, loaded.Pad, reader.FileName, reader.Length));
            lock (gate)
            {
                state = loaded;
            }
            return true;
        }

        public override void ExecuteReplicatedRequest(byte[] request, object cookie, ref bool saveState)
        {
            Delay(ExecDelay);
            var seq = GetCurrentSequenceNumber();
            ulong hash;
            lock (gate)
            {
                saveState = state.Execute(seq, request);
                hash = state.Hash;
            }
            // Requests of one decree follow each other.
            index = seq == lastDecree ? index + 1 : 0;
            lastDecree = seq;
            if (execLog.IsKept)
            {
                execLog.Line(
                    seq + " " + index + " " + request.Length + " " + hash.ToString("x16")
                    + (cookie == null ? " 0 " : " 1 ") + Hex.Encode(request, Math.Min(16, request.Length)));
            }
            var waiter = cookie as IWaiter;
            if (waiter != null)
            {
                waiter.Executed(seq, State);
            }
        }

        public override void ExecuteFastReadRequest(byte[] request, object cookie)
        {
            Interlocked.Increment(ref FastReads);
            ((IWaiter)cookie).Executed(GetCurrentSequenceNumber(), State);
        }

        public override void AbortRequest(RSLResponse status, object cookie)
        {
            Interlocked.Increment(ref Aborts);
            Event("AbortRequest " + status);
            var waiter = cookie as IWaiter;
            if (waiter != null)
            {
                waiter.Aborted(status);
            }
        }

        public override bool TrySaveState(ManagedRSLCheckpointStream writer)
        {
            Delay(SaveDelay);
            if (!MaySave)
            {
                Event("TrySaveState -> 0");
                return false;
            }
            SaveState(writer);
            return true;
        }

        public override void SaveState(ManagedRSLCheckpointStream writer)
        {
            Interlocked.Increment(ref Saves);
            var saved = State;
            Event(string.Format("SaveState count={0} hash={1:x16} seq={2}", saved.Count, saved.Hash, GetCurrentSequenceNumber()));
            try
            {
                saved.Save(writer);
            }
            catch (IOException error)
            {
                // The checkpoint fails by itself.
                Event("SaveState " + error.Message);
            }
        }

        public override void StateSaved(ulong seq, string fileName)
        {
            LastSaved = seq.ToString();
            Event("StateSaved seq=" + seq + " file=" + fileName);
        }

        public override void StateCopied(ulong seq, string fileName, object cookie)
        {
            Interlocked.Increment(ref CopiedStates);
            LastCopied = seq.ToString();
            Event(string.Format("StateCopied seq={0} file={1} cookie={2}", seq, fileName.Length == 0 ? "NULL" : fileName, cookie ?? 0));
        }

        public override void NotifyStatus(bool isPrimary)
        {
            Interlocked.Increment(ref Notified);
            IsRecovered = false;
            IsPrimary = isPrimary;
            Event(string.Format("NotifyStatus isPrimary={0} seq={1}", isPrimary ? 1 : 0, GetCurrentSequenceNumber()));
        }

        public override void NotifyPrimaryRecovered()
        {
            IsRecovered = true;
            Event("NotifyPrimaryRecovered seq=" + GetCurrentSequenceNumber());
        }

        public override void NotifyConfigurationChanged(object cookie)
        {
            Interlocked.Increment(ref Configurations);
            Event(string.Format("NotifyConfigurationChanged cookie={0} seq={1}", cookie ?? 0, GetCurrentSequenceNumber()));
        }

        public override void AbortChangeConfiguration(RSLResponse status, object cookie)
        {
            Interlocked.Increment(ref AbortedChanges);
            Event("AbortChangeConfiguration " + status + " cookie=" + (cookie ?? 0));
        }

        public override bool CanBecomePrimary(ref byte[] data)
        {
            data = PrimaryCookie;
            Event("CanBecomePrimary -> " + (MayLead ? 1 : 0));
            return MayLead;
        }

        public override bool AcceptMessageFromReplica(ManagedRSLNode node, byte[] data)
        {
            AcceptCookie = data ?? new byte[0];
            return MayAccept;
        }

        public override void ShutDown(RSLResponse status)
        {
            Event("ShutDown " + status);
            Console.WriteLine("ShutDown callback " + status);
        }

        private static void Delay(int milliseconds)
        {
            if (milliseconds > 0)
            {
                Thread.Sleep(milliseconds);
            }
        }
    }

    /// <summary>A text file that is appended to, line by line; or nothing.</summary>
    internal sealed class TextLog
    {
        private readonly FileStream file;

        public TextLog(string path)
        {
            if (path != null)
            {
                file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, 1);
            }
        }

        /// <summary>Whether lines go anywhere.</summary>
        public bool IsKept
        {
            get { return file != null; }
        }

        /// <summary>Writes a line with one call, so that a killed host leaves at most its last line torn.</summary>
        public void Line(string text)
        {
            if (file == null)
            {
                return;
            }
            var bytes = System.Text.Encoding.UTF8.GetBytes(text + "\n");
            lock (file)
            {
                file.Write(bytes, 0, bytes.Length);
                file.Flush();
            }
        }

        public void Event(string text)
        {
            Line(DateTime.UtcNow.ToString("HH:mm:ss.fff") + " " + text);
        }
    }
}
