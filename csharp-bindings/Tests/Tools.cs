// Checkpoint files outside a machine, and replay.
using System;
using System.IO;
using System.Linq;

namespace ManagedRSLib.Tests
{
    internal static class Tools
    {
        private sealed class Creator : IManagedRSLCheckpointCreator
        {
            public Action<ManagedRSLCheckpointStream> Save;

            public void SaveState(ManagedRSLCheckpointStream writer)
            {
                Save(writer);
            }
        }

        private static void Save(string directory, int version, ulong decree, ManagedRSLMemberSet set, Action<ManagedRSLCheckpointStream> save)
        {
            ManagedRSLCheckpointUtility.SaveCheckpoint(directory, (ManagedRSLProtocolVersion)version, decree, 3, set, new Creator { Save = save });
        }

        private static ManagedRSLMemberSet Set(params string[] ids)
        {
            var nodes = Array.ConvertAll(ids, id => new ManagedRSLNode { MemberId = id, Ip = System.Net.IPAddress.Loopback, RslPort = 77 });
            return new ManagedRSLMemberSet(nodes, new byte[] { 1, 2 }, 0, 2);
        }

        private static string Ids(string file)
        {
            var set = new ManagedRSLMemberSet();
            Expect.True(ManagedRSLCheckpointUtility.GetReplicaSet(file, set), "members of " + file);
            Expect.Bytes(new byte[] { 1, 2 }, set.ConfigurationCookie, "cookie");
            return string.Join(",", set.MemberArray.Select(node => node.MemberId).ToArray());
        }

        // [NET-18] Checkpoints are written, found, given other members, brought to other versions; null is refused everywhere.
        [Test]
        public static void CheckpointsAreWrittenAndChanged()
        {
            var directory = TestMachine.NewDirectory();
            Action<ManagedRSLCheckpointStream> state = writer => writer.Write(new byte[] { 7, 8, 9 }, 0, 3);
            Save(directory, 6, 50, Set("1", "2"), state);
            Save(directory, 3, 9, Set("1", "2"), state);
            Save(directory, 2, 8, Set("1", "2"), state);
            var newest = ManagedRSLCheckpointUtility.GetLatestCheckpoint(directory);
            Expect.Same(Path.Combine(directory, "50.codex"), newest, "the newest");
            Expect.Same("1,2", Ids(newest), "its members");
            Expect.True(ManagedRSLCheckpointUtility.ChangeReplicaSet(newest, Set("3", "4", "5")), "ChangeReplicaSet");
            Expect.Same("3,4,5", Ids(newest), "its members now");
            using (var reader = new ManagedRSLCheckpointStream(newest, true))
            {
                Expect.Same(3L, reader.Length, "its state");
                Expect.Same(7, reader.ReadByte(), "its state");
            }
            var third = Path.Combine(directory, "9.codex");
            Expect.True(ManagedRSLCheckpointUtility.MigrateToVersion4(third, Set("6")), "MigrateToVersion4");
            Expect.Same("6", Ids(third), "its members");
            Expect.True(ManagedRSLCheckpointUtility.MigrateToVersion3(third, Set("7")), "MigrateToVersion3");
            Expect.Same("7", Ids(third), "its members");
            var old = Path.Combine(directory, "8.codex");
            Expect.True(!ManagedRSLCheckpointUtility.GetReplicaSet(old, new ManagedRSLMemberSet()), "members before version 3");
            Expect.True(!ManagedRSLCheckpointUtility.ChangeReplicaSet(old, Set("1")), "ChangeReplicaSet before version 3");
            Expect.True(!ManagedRSLCheckpointUtility.GetReplicaSet(old + "x", new ManagedRSLMemberSet()), "no such file");

            Expect.Throws<FormatException>(() => Save(directory, 6, 60, Set("1"), writer =>
            {
                writer.WriteByte(1);
                throw new FormatException();
            }), "a creator that throws");
            Expect.Same(newest, ManagedRSLCheckpointUtility.GetLatestCheckpoint(directory), "the newest after that");
            Expect.Throws<ArgumentException>(() => Save(directory, 9, 60, Set("1"), state), "version 9");
            Expect.Throws<IOException>(() => Save(Path.Combine(directory, "not there"), 6, 60, Set("1"), state), "no such directory");

            var set = new ManagedRSLMemberSet();
            foreach (var call in new Action[]
            {
                () => Save(null, 6, 1, set, state), () => Save(directory, 1, 1, null, state),
                () => ManagedRSLCheckpointUtility.SaveCheckpoint(directory, TestMachine.Newest, 1, 1, set, null),
                () => ManagedRSLCheckpointUtility.ChangeReplicaSet(null, set), () => ManagedRSLCheckpointUtility.ChangeReplicaSet(newest, null),
                () => ManagedRSLCheckpointUtility.MigrateToVersion3(null, set), () => ManagedRSLCheckpointUtility.MigrateToVersion4(newest, null),
                () => ManagedRSLCheckpointUtility.GetReplicaSet(null, set), () => ManagedRSLCheckpointUtility.GetReplicaSet(newest, null),
                () => ManagedRSLCheckpointUtility.GetLatestCheckpoint(null), () => ManagedRSLCheckpointUtility.GetLatestCheckpoint("")
            })
            {
                Expect.Throws<ArgumentNullException>(call, "null");
            }
            var error = Expect.Throws<Exception>(() => ManagedRSLCheckpointUtility.GetLatestCheckpoint(TestMachine.NewDirectory()), "an empty directory");
            Expect.Same("Win32 error code: 2", error.Message, "its message");
        }

        // [HARD-622] Replay executes the history on this thread; what follows is clean: queries, Unload, Initialize.
        [Test]
        public static void DirectoriesAreReplayed()
        {
            var machine = new TestMachine();
            for (byte count = 1; count <= 5; count++)
            {
                if (count == 1)
                {
                    machine.Lead();
                }
                machine.Execute(new[] { count }, new object());
            }
            machine.UnloadThisOne();
            // Its own directory is below the one in the configuration.
            var directory = Path.Combine(machine.Dir, "one");
            using (var replayed = new TestMachine(machine.Dir, machine.Node))
            {
                Expect.Throws<ArgumentException>(() => replayed.Replay(null, 1), "no directory");
                Expect.Throws<ArgumentException>(() => replayed.Replay("", 1), "no directory");
                Expect.True(!replayed.Replay(Path.Combine(directory, "not there"), 9), "a directory that is not there");
                Expect.True(replayed.Replay(directory, ulong.MaxValue), "Replay");
                // Nothing in the logs says that the last one was chosen.
                Expect.Same("1,2,3,4", string.Join(",", replayed.Requests.Select(request => request[0].ToString()).ToArray()), "requests");
                Expect.True(replayed.Executed.All(cookie => cookie == null), "cookies");
                Expect.True(replayed.GetCurrentSequenceNumber() >= 4, "the sequence number");
                uint number = 0;
                var set = new ManagedRSLMemberSet();
                // A first set that no checkpoint holds is not in the directory.
                Expect.True(replayed.GetConfiguration(set, ref number), "GetConfiguration");
                Expect.Same("1, 0", number + ", " + set.MemberArray.Length, "the configuration's number and members");
                Expect.True(replayed.ReplicateRequest(new byte[] { 1 }, null) != RSLResponse.RSLSuccess, "a request after Replay");
                replayed.UnloadThisOne();
                replayed.Requests.Clear();
                replayed.Lead();
                Expect.Same(5, replayed.Requests.Count, "requests of a start");
            }
        }
    }
}
