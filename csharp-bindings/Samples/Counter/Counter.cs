// A replicated counter: every line of standard input is added on all replicas.
//
//   mono Counter.exe 0 7000 7010 7020    and the same with 1 and 2, each in a terminal of its own
using System;
using System.IO;
using System.Net;
using System.Threading;
using ManagedRSLib;

internal sealed class Counter : ManagedRSLStateMachine
{
    private long total;

    public override bool LoadState(ManagedRSLCheckpointStream reader)
    {
        total = reader == null ? 0 : new BinaryReader(reader).ReadInt64();
        return true;
    }

    public override void SaveState(ManagedRSLCheckpointStream writer)
    {
        new BinaryWriter(writer).Write(total);
    }

    public override void ExecuteReplicatedRequest(byte[] request, object cookie, ref bool saveState)
    {
        total += BitConverter.ToInt64(request, 0);
        Console.WriteLine(GetCurrentSequenceNumber() + ": " + total + (cookie == null ? "" : " (asked here)"));
    }

    public override void ExecuteFastReadRequest(byte[] request, object cookie) { }
    public override void AbortRequest(RSLResponse status, object cookie) { Console.WriteLine("not done: " + status); }
    public override void NotifyStatus(bool isPrimary) { Console.WriteLine(isPrimary ? "primary" : "not primary"); }
    public override void NotifyPrimaryRecovered() { }
    public override void NotifyConfigurationChanged(object cookie) { }
    public override void AbortChangeConfiguration(RSLResponse status, object cookie) { }
    public override bool CanBecomePrimary(ref byte[] data) { return true; }
    public override bool AcceptMessageFromReplica(ManagedRSLNode node, byte[] data) { return true; }
    public override void StateSaved(ulong seqNo, string fileName) { }
    public override void StateCopied(ulong seqNo, string fileName, object cookie) { }
    public override void ShutDown(RSLResponse status) { }

    private static int Main(string[] words)
    {
        var self = int.Parse(words[0]);
        var nodes = new ManagedRSLNode[words.Length - 1];
        for (var index = 0; index < nodes.Length; index++)
        {
            nodes[index] = new ManagedRSLNode { MemberId = "r" + index, Ip = IPAddress.Loopback, RslPort = ushort.Parse(words[index + 1]) };
        }
        Init(null);
        var counter = new Counter();
        var config = new ManagedRSLConfigParam { WorkingDir = "counter-" + self };
        if (!counter.Initialize(config, nodes, nodes[self], ManagedRSLProtocolVersion.ManagedRSLProtocolVersion_6, false))
        {
            return 1;
        }
        for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
        {
            long number;
            var response = long.TryParse(line, out number)
                ? counter.ReplicateRequest(BitConverter.GetBytes(number), line) : RSLResponse.RSLInvalidParameter;
            if (response != RSLResponse.RSLSuccess)
            {
                Console.WriteLine(response);
            }
        }
        Unload();
        return 0;
    }
}
