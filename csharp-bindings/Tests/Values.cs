// Nodes, member sets, configurations and other plain values.
using System;
using System.Net;
using ManagedRSLib.Interop;

namespace ManagedRSLib.Tests
{
    internal static class Values
    {
        private static ManagedRSLNode Node(string id)
        {
            return new ManagedRSLNode { MemberId = id, HostName = "host", Ip = IPAddress.Parse("10.0.0.7"), RslPort = 7, RslLearnPort = 9 };
        }

        // [NET-6] [HARD-601] [HARD-602] A new node is empty; text is UTF-8 and has to fit; what is refused changes nothing.
        [Test]
        public static unsafe void NodesTakeWhatFits()
        {
            var node = new ManagedRSLNode();
            Expect.Same("", node.MemberId + node.HostName, "texts of a new node");
            Expect.Same("0.0.0.0", node.Ip.ToString(), "address of a new node");
            Expect.Same(0, node.RslPort + node.RslLearnPort, "ports of a new node");
            Expect.Same(63UL, ManagedRSLNode.MaxMemberIdLength, "MaxMemberIdLength");

            node.MemberId = "r\u00e9plique";
            rsl_node native;
            node.Fill(&native);
            Expect.Same(0xc3, native.member_id[1], "first byte of a letter in UTF-8");
            var back = new ManagedRSLNode();
            back.Take(&native);
            Expect.Same("r\u00e9plique", back.MemberId, "the id, there and back");

            node.MemberId = new string('a', 63);
            Expect.Throws<ArgumentException>(() => node.MemberId = new string('b', 64), "64 bytes");
            Expect.Throws<ArgumentException>(() => node.MemberId = new string('\u00e9', 32), "64 bytes of 32 letters");
            Expect.Throws<ArgumentNullException>(() => node.MemberId = null, "no id");
            Expect.Same(new string('a', 63), node.MemberId, "the id after refusals");
            node.HostName = new string('h', 255);
            Expect.Throws<ArgumentException>(() => node.HostName = new string('h', 256), "256 bytes");
            Expect.Throws<ArgumentNullException>(() => node.HostName = null, "no host name");
            Expect.Same(255, node.HostName.Length, "the host name after refusals");
            node.Ip = new IPAddress(0x0100007F);
            Expect.Throws<ArgumentException>(() => node.Ip = IPAddress.IPv6Loopback, "IPv6");
            Expect.Throws<ArgumentNullException>(() => node.Ip = null, "no address");
            node.Fill(&native);
            Expect.Same("127.0.0.1", node.Ip.ToString(), "the address after refusals");
            Expect.Same(0x0100007Fu, native.ip, "network order");

            node.Dispose();
            node.Dispose();
            Expect.Throws<ObjectDisposedException>(() => node.MemberId.ToString(), "get");
            Expect.Throws<ObjectDisposedException>(() => node.RslPort = 1, "set");
            Expect.Throws<ObjectDisposedException>(() => node.Ip = IPAddress.Loopback, "set of the address");
        }

        // [NET-7] [HARD-603] [HARD-604] Sets copy in and out; cookies are ranges of an array.
        [Test]
        public static void MemberSetsCopy()
        {
            var nodes = new[] { Node("a"), Node("b") };
            var cookie = new byte[] { 1, 2, 3, 4 };
            var set = new ManagedRSLMemberSet(nodes, cookie, 1, 2);
            nodes[0].MemberId = "changed";
            cookie[1] = 9;
            Expect.Same("a", set.MemberArray[0].MemberId, "a member after its node changed");
            Expect.Bytes(new byte[] { 2, 3 }, set.ConfigurationCookie, "the cookie after its array changed");
            set.MemberArray[1].RslPort = 1;
            set.ConfigurationCookie[0] = 9;
            Expect.Same(7, (int)set.MemberArray[1].RslPort, "a member after its copy changed");
            Expect.Bytes(new byte[] { 2, 3 }, set.ConfigurationCookie, "the cookie after its copy changed");
            Expect.Same("10.0.0.7", set.GetMemberInfo("b").Ip.ToString(), "a member by id");
            Expect.True(set.GetMemberInfo("B") == null && set.GetMemberInfo("c") == null, "ids are compared as they are");
            Expect.Throws<ArgumentNullException>(() => set.GetMemberInfo(null), "no id");

            Expect.Same(0, new ManagedRSLMemberSet().MemberArray.Length, "members of an empty set");
            Expect.True(new ManagedRSLMemberSet().ConfigurationCookie == null, "cookie of an empty set");
            Expect.True(new ManagedRSLMemberSet(nodes, null, -1, 77).ConfigurationCookie == null, "no cookie, odd numbers");
            Expect.True(new ManagedRSLMemberSet(nodes, new byte[0], 0, 0).ConfigurationCookie == null, "an empty cookie");
            Expect.Throws<ArgumentNullException>(() => new ManagedRSLMemberSet(null, null, 0, 0), "no members");
            Expect.Throws<ArgumentException>(() => new ManagedRSLMemberSet(new ManagedRSLNode[1], null, 0, 0), "a null member");
            Expect.Throws<ArgumentException>(() => new ManagedRSLMemberSet(nodes, cookie, 4, 0), "an offset at the end");
            Expect.Throws<ArgumentException>(() => new ManagedRSLMemberSet(nodes, cookie, 2, 3), "a range past the end");
            Expect.Throws<ArgumentException>(() => new ManagedRSLMemberSet(nodes, cookie, 2, int.MaxValue), "a sum that overflows");
            Expect.Throws<ArgumentOutOfRangeException>(() => new ManagedRSLMemberSet(nodes, cookie, -1, 1), "a negative offset");
            Expect.Throws<ArgumentOutOfRangeException>(() => new ManagedRSLMemberSet(nodes, cookie, 1, -1), "a negative length");
            set.Dispose();
            Expect.Throws<ObjectDisposedException>(() => set.MemberArray.ToString(), "members after Dispose");
            nodes[0].Dispose();
            Expect.Throws<ObjectDisposedException>(() => new ManagedRSLMemberSet(nodes, null, 0, 0), "a disposed member");
        }

        // [NET-8] [NET-9] [NET-10] [HARD-605] Defaults are those of the library; every property keeps its own value.
        [Test]
        public static void ConfigurationsHaveTheDefaults()
        {
            var config = new ManagedRSLConfigParam();
            Expect.Same("", config.WorkingDir, "WorkingDir");
            Expect.Same(10L, config.ElectionDelaySec, "ElectionDelaySec");
            Expect.True(config.AddMemberIdToWorkingDir && config.CancelDiskIo, "what legacy fixes is true");
            Expect.True(!config.UseGlobalAcceptMessagesFlag && !config.AllowPrimaryPromotionWhileCatchingUp, "flags");
            ulong value = 1000;
            var properties = typeof(ManagedRSLConfigParam).GetProperties();
            foreach (var property in properties)
            {
                value++;
                var given = property.PropertyType == typeof(string) ? value.ToString()
                    : property.PropertyType == typeof(bool) ? (object)!(bool)property.GetValue(config, null)
                    : Convert.ChangeType(value, property.PropertyType);
                property.SetValue(config, given, null);
            }
            var fresh = new ManagedRSLConfigParam();
            value = 1000;
            foreach (var property in properties)
            {
                value++;
                var found = property.GetValue(config, null);
                var expected = property.PropertyType == typeof(bool) ? (!(bool)property.GetValue(fresh, null)).ToString() : value.ToString();
                Expect.Same(expected, found.ToString(), property.Name);
            }
            config.WorkingDir = new string('d', 260);
            Expect.Throws<ArgumentException>(() => config.WorkingDir = new string('d', 261), "261 bytes");
            Expect.Throws<ArgumentNullException>(() => config.WorkingDir = null, "no directory");
            Expect.Same(260, config.WorkingDir.Length, "the directory after refusals");
            config.Dispose();
            Expect.Throws<ObjectDisposedException>(() => config.MaxLogs = 1, "set after Dispose");
        }

        // [NET-11] Times are UTC to the millisecond, of no declared kind; never is MinValue.
        [Test]
        public static unsafe void HealthHasTimes()
        {
            var native = new rsl_health { failed_at_us = 1500000000123999, last_request_sent_at_us = 1500000000123999, num_outstanding = 3, last_vote_payload = 5, connected = 1 };
            var health = new ManagedReplicaHealth(&native);
            Expect.Same(new DateTime(2017, 7, 14, 2, 40, 0, 123), health.LastRequestSentAt, "a time");
            Expect.Same(DateTimeKind.Unspecified, health.LastRequestSentAt.Kind, "its kind");
            Expect.Same(DateTime.MinValue, health.FailedAt, "FailedAt without failures");
            Expect.Same(DateTime.MinValue, health.LastRequestVotedAt, "never");
            Expect.True(health.IsConnected && !health.IsPrimary && !health.NeedsResolve, "flags");
            native.consecutive_failures = uint.MaxValue;
            health = new ManagedReplicaHealth(&native);
            Expect.Same(health.LastRequestSentAt, health.FailedAt, "FailedAt with failures");
            Expect.Same(int.MaxValue, health.ConsecutiveFailures, "more failures than fit");
        }

        // [API-45] The checksum has the vectors of the specification.
        [Test]
        public static void ChecksumsAreThoseOfTheLibrary()
        {
            var all = new byte[256];
            for (var index = 0; index < all.Length; index++)
            {
                all[index] = (byte)index;
            }
            Expect.Same(0xa795d0f29b4dcdf8UL, ManagedRSLUtils.CalculateChecksum(new byte[0]), "nothing");
            Expect.Same(0xd62bafc94e2152f3UL, ManagedRSLUtils.CalculateChecksum(new[] { (byte)'a' }), "a");
            Expect.Same(0x774eff5062172237UL, ManagedRSLUtils.CalculateChecksum(new byte[1024]), "zeroes");
            Expect.Same(0xb90188ff122abd99UL, ManagedRSLUtils.CalculateChecksum(all), "all bytes");
            Expect.Throws<ArgumentNullException>(() => ManagedRSLUtils.CalculateChecksum(null), "no bytes");
        }
    }
}
