// What the control port answers about the machine.
using System;
using ManagedRSLib;

namespace RSLHost
{
    internal static class Report
    {
        private static readonly string[] States = { "PaxosInactive", "StablePrimary", "StableSecondary", "Preparing", "Initializing" };

        public static Json Status(HostMachine machine, string id)
        {
            var engine = machine.GetEngineStatus();
            if (engine == null)
            {
                return new Json { { "error", "the replica is not running" } };
            }
            var state = machine.State;
            return new Json
            {
                { "id", id },
                { "state", States[(int)engine.Role] },
                { "isPrimary", machine.IsPrimary },
                { "recovered", machine.IsRecovered },
                { "version", engine.Version },
                { "seq", machine.GetCurrentSequenceNumber() },
                { "highestPassed", machine.GetHighestPassedSequenceNumber() },
                { "count", state.Count },
                { "hash", state.Hash.ToString("x16") },
                { "lastSeq", state.LastSeq },
                { "pad", state.Pad },
                { "last", Hex.Encode(state.Last, Math.Min(32, state.Last.Length)) },
                { "maxAcceptedDecree", engine.AcceptedDecree },
                { "maxAcceptedBallot", new object[] { engine.AcceptedBallot, engine.AcceptedMember } },
                { "maxAcceptedConfig", engine.AcceptedConfiguration },
                { "maxBallot", new object[] { engine.PromisedBallot, engine.PromisedMember } },
                { "checkpointedDecree", engine.CheckpointedDecree },
                { "checkpointSize", engine.CheckpointSize },
                { "configNumber", engine.Configuration },
                { "stateConfigNumber", engine.StateConfiguration },
                { "defunct", engine.Defunct },
                { "logs", Array.ConvertAll(machine.GetLogFiles(), Log) },
                { "saveCheckpointAt", engine.SaveCheckpointAt },
                { "copyCheckpointAt", engine.CopyCheckpointAt },
                { "isSaving", engine.IsSaving ? 1 : 0 },
                { "currentPrimary", engine.CurrentPrimary },
                { "notify", machine.Notified },
                { "saves", machine.Saves },
                { "loads", machine.Loads },
                { "confs", machine.Configurations },
                { "abortConfs", machine.AbortedChanges },
                { "copied", machine.CopiedStates },
                { "aborts", machine.Aborts },
                { "fastReads", machine.FastReads },
                { "lastSaved", machine.LastSaved },
                { "lastCopied", machine.LastCopied },
                { "acceptCookie", Hex.Encode(machine.AcceptCookie, machine.AcceptCookie.Length) }
            };
        }

        public static Json Configuration(HostMachine machine)
        {
            uint number = 0;
            var set = new ManagedRSLMemberSet();
            machine.GetConfiguration(set, ref number);
            var cookie = set.ConfigurationCookie ?? new byte[0];
            return new Json
            {
                { "number", number },
                { "members", Array.ConvertAll(set.MemberArray, Node) },
                { "cookie", Hex.Encode(cookie, cookie.Length) }
            };
        }

        public static Json Primary(HostMachine machine)
        {
            var node = new ManagedRSLNode();
            machine.GetCurrentPrimary(node);
            return Node(node);
        }

        public static Json Replicas(HostMachine machine)
        {
            return new Json { { "replicas", Array.ConvertAll(machine.MemberSetHealth, Health) } };
        }

        public static Json Stats(HostMachine machine)
        {
            var stats = machine.GetStatisticsSnapshot();
            var json = new Json();
            foreach (var field in typeof(ManagedRSLStats).GetFields())
            {
                json.Add(field.Name, field.GetValue(stats));
            }
            return json;
        }

        private static Json Log(ManagedRSLLogFile file)
        {
            return new Json { { "min", file.First }, { "max", file.Last }, { "len", file.Length } };
        }

        private static Json Node(ManagedRSLNode node)
        {
            return new Json
            {
                { "id", node.MemberId },
                { "ip", node.Ip.ToString() },
                { "port", node.RslPort },
                { "learnPort", node.RslLearnPort },
                { "hostName", node.HostName }
            };
        }

        // The managed API does not tell the decree that a member voted for last.
        private static Json Health(ManagedReplicaHealth health)
        {
            return new Json
            {
                { "id", health.MemberId },
                { "isPrimary", health.IsPrimary },
                { "connected", health.IsConnected },
                { "outstanding", health.NumOutstanding },
                { "failures", health.ConsecutiveFailures },
                { "needsResolve", health.NeedsResolve },
                { "payload", health.LastVotePayload }
            };
        }
    }
}
