// A replicated key-value store: one replica per process, commands on standard input.
//
//   mono KeyValue.exe 0 7000 7010 7020    and with 1 and 2 in two other terminals; changes go to the primary
using System;
using System.Linq;
using System.Net;
using ManagedRSLib;

namespace KeyValue
{
    internal static class Program
    {
        private const string Usage = "put KEY VALUE | delete KEY | swap KEY EXPECTED VALUE | get KEY";

        private static int Main(string[] words)
        {
            if (words.Length < 2)
            {
                Console.Error.WriteLine("usage: KeyValue NUMBER PORT...    then: " + Usage);
                return 2;
            }
            var self = int.Parse(words[0]);
            var nodes = words.Skip(1).Select((port, number) => new ManagedRSLNode
            {
                MemberId = "replica-" + number,
                Ip = IPAddress.Loopback,
                RslPort = ushort.Parse(port)
            }).ToArray();
            // The long form: the short ones listen on all addresses.
            ManagedRSLStateMachine.Init(null, null, null, null, null, null, null, false, false, true, true);
            var store = new Store();
            var config = new ManagedRSLConfigParam { WorkingDir = "key-value-data" };
            if (!store.Initialize(config, nodes, nodes[self], ManagedRSLProtocolVersion.ManagedRSLProtocolVersion_6, false))
            {
                Console.Error.WriteLine("the replica does not start");
                return 1;
            }
            for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
            {
                Run(store, line.Split(' '));
            }
            ManagedRSLStateMachine.Unload();
            return 0;
        }

        private static void Run(Store store, string[] words)
        {
            switch (words[0] + words.Length)
            {
                case "put3":
                    store.Change(new Put { Key = words[1], Value = words[2] }, Console.WriteLine);
                    break;
                case "delete2":
                    store.Change(new Delete { Key = words[1] }, Console.WriteLine);
                    break;
                case "swap4":
                    store.Change(new Swap { Key = words[1], Expected = words[2], Value = words[3] }, Console.WriteLine);
                    break;
                case "get2":
                    store.Get(words[1], Console.WriteLine);
                    break;
                default:
                    Console.WriteLine(Usage);
                    break;
            }
        }
    }
}
