// Values that cross the boundary field by field, and what sets of several members answer.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Text;
using System.Threading;
using ManagedRSLib.Interop;

namespace ManagedRSLib.Tests
{
    internal static class Members
    {
        private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

        /// <summary>A name without what the two languages write differently.</summary>
        private static string Plain(string name)
        {
            return name.Replace("_", "").ToLowerInvariant().Replace("inmicroseconds", "us").Replace("microseconds", "us");
        }

        private static FieldInfo FieldOf(Type type, string name)
        {
            var field = type.GetFields(Fields).SingleOrDefault(one => Plain(one.Name) == Plain(name));
            Expect.True(field != null, "no native field for " + name);
            return field;
        }

        // [NET-8] [NET-9] [NET-41] Every number of a configuration arrives in the native field of its name, every switch in a
        // flag of its own, the directory as UTF-8.
        [Test]
        public static void ConfigurationsArriveFieldByField()
        {
            byte[] directory;
            var flags = new List<uint>();
            foreach (var property in typeof(ManagedRSLConfigParam).GetProperties())
            {
                var config = new ManagedRSLConfigParam();
                var before = config.Copy(out directory);
                if (property.PropertyType == typeof(string))
                {
                    config.WorkingDir = "d\u00e9";
                    config.Copy(out directory);
                    Expect.Bytes(Encoding.UTF8.GetBytes("d\u00e9\0"), directory, "the directory");
                }
                else if (property.PropertyType == typeof(bool))
                {
                    property.SetValue(config, !(bool)property.GetValue(config, null), null);
                    flags.Add(before.flags ^ config.Copy(out directory).flags);
                }
                else
                {
                    property.SetValue(config, Convert.ChangeType(4711, property.PropertyType), null);
                    object after = config.Copy(out directory);
                    var field = FieldOf(typeof(rsl_config), property.Name);
                    Expect.Same("4711", field.GetValue(after).ToString(), property.Name);
                    foreach (var other in typeof(rsl_config).GetFields(Fields).Where(one => one != field))
                    {
                        Expect.Same(other.GetValue(before), other.GetValue(after), other.Name + " after a change of " + property.Name);
                    }
                }
            }
            Expect.True(flags.All(flag => flag != 0 && (flag & (flag - 1)) == 0) && flags.Distinct().Count() == flags.Count, "flags");
        }

        // [NET-11] [NET-12] Statistics, health and the state of the engine come from the native fields of their names.
        [Test]
        public static unsafe void ReportsComeFieldByField()
        {
            object filled = new rsl_stats();
            Fill(filled);
            var stats = (rsl_stats)filled;
            var managed = ManagedRSLStats.Of(&stats);
            foreach (var field in typeof(ManagedRSLStats).GetFields())
            {
                Expect.Same(FieldOf(typeof(rsl_stats), field.Name).GetValue(filled).ToString(), field.GetValue(managed).ToString(), field.Name);
            }

            filled = new rsl_engine_status();
            Fill(filled);
            var status = (rsl_engine_status)filled;
            status.role = (int)ManagedRSLRole.Preparing;
            status.accepted_member[0] = (byte)'a';
            status.promised_member[0] = (byte)'p';
            status.current_primary[0] = (byte)'c';
            var engine = new ManagedRSLEngineStatus(&status);
            foreach (var property in typeof(ManagedRSLEngineStatus).GetProperties().Where(one => one.PropertyType.IsPrimitive && one.PropertyType != typeof(bool)))
            {
                Expect.Same(FieldOf(typeof(rsl_engine_status), property.Name).GetValue(filled).ToString(), property.GetValue(engine, null).ToString(), property.Name);
            }
            Expect.Same("Preparing a p c True", string.Join(" ", engine.Role, engine.AcceptedMember, engine.PromisedMember, engine.CurrentPrimary, engine.IsSaving), "the others");

            var native = new rsl_health { num_outstanding = 3, consecutive_failures = 4, failed_at_us = 1000000, last_request_sent_at_us = 2000000, last_request_voted_at_us = 3000000, last_vote_payload = 6, is_primary = 1 };
            native.member_id[0] = (byte)'m';
            var health = new ManagedReplicaHealth(&native);
            Expect.Same("m 3 4 1 2 3 6 True False", string.Join(" ", health.MemberId, health.NumOutstanding, health.ConsecutiveFailures,
                health.FailedAt.Second, health.LastRequestSentAt.Second, health.LastRequestVotedAt.Second, health.LastVotePayload, health.IsPrimary, health.IsConnected), "health");
        }

        /// <summary>Gives every number of a boxed struct a value of its own.</summary>
        private static void Fill(object target)
        {
            var value = 100;
            foreach (var field in target.GetType().GetFields(Fields).Where(one => one.FieldType.IsPrimitive))
            {
                value++;
                field.SetValue(target, Convert.ChangeType(value, field.FieldType));
            }
        }

        // [NET-24] [HARD-623] Bootstrap: three machines in one process with one configuration object, asked on each of them;
        // and alone among members that are not there.
        [Test]
        public static void SetsAreBootstrapped()
        {
            var machines = new[] { "one", "two", "three" }.Select(id =>
            {
                var machine = new TestMachine();
                machine.Node.MemberId = id;
                return machine;
            }).ToArray();
            try
            {
                var config = TestMachine.Config(machines[0].Dir);
                var set = new ManagedRSLMemberSet(machines.Select(machine => machine.Node).ToArray(), new byte[] { 9 }, 0, 1);
                foreach (var machine in machines)
                {
                    Expect.True(machine.Initialize(config, machine.Node, TestMachine.Newest, false), "start");
                    Expect.Same(0, machine.MemberSetHealth.Length, "health before there is a set");
                }
                Expect.Same(RSLResponse.RSLSuccess, machines[0].Bootstrap(set, 60), "Bootstrap");
                foreach (var machine in machines)
                {
                    Expect.Soon(() =>
                    {
                        uint number = 0;
                        var found = new ManagedRSLMemberSet();
                        return machine.GetConfiguration(found, ref number) && found.MemberArray.Length == 3 && found.ConfigurationCookie[0] == 9;
                    }, "the set");
                    Expect.Same(RSLResponse.RSLAlreadyBootstrapped, machine.Bootstrap(set, 10), "Bootstrap again");
                }
                PayloadsAreSeen(machines);
            }
            finally
            {
                Array.ForEach(machines, machine => machine.Dispose());
            }
            using (var alone = new TestMachine())
            {
                var absent = TestMachine.NewNode();
                absent.MemberId = "absent";
                var third = TestMachine.NewNode();
                third.MemberId = "third";
                Expect.True(alone.Initialize(TestMachine.Config(alone.Dir), alone.Node, TestMachine.Newest, false), "start");
                Expect.Same(RSLResponse.RSLBootstrapFailed, alone.Bootstrap(new ManagedRSLMemberSet(new[] { alone.Node, absent, third }, null, 0, 0), 1), "Bootstrap alone");
            }
        }

        // The payloads that members set travel with their answers to votes.
        private static void PayloadsAreSeen(TestMachine[] machines)
        {
            for (var index = 0; index < machines.Length; index++)
            {
                machines[index].SetVotePayload(ulong.MaxValue - (ulong)index);
            }
            ManagedReplicaHealth[] all = null;
            Expect.Soon(() =>
            {
                // Whoever leads now: it may change under load.
                var leader = machines.FirstOrDefault(machine => machine.ReplicateRequest(new byte[] { 1 }, null) == RSLResponse.RSLSuccess);
                Thread.Sleep(20);
                all = leader == null ? new ManagedReplicaHealth[0] : leader.MemberSetHealth;
                return all.Length == 3 && all[2].MemberId == leader.Node.MemberId && all[2].IsPrimary
                    && all.All(health => health.LastVotePayload == ulong.MaxValue - (ulong)Array.FindIndex(machines, machine => machine.Node.MemberId == health.MemberId));
            }, "the payloads of all, the primary last");
            Expect.True(all[0].IsConnected && all[0].LastRequestVotedAt > DateTime.UtcNow.AddMinutes(-5) && all[0].ConsecutiveFailures == 0, "health of another");
        }
    }
}
