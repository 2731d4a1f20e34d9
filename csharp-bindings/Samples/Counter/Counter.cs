// A replicated counter: every line of standard input is added on all replicas. Arguments: own number, port of each replica.
using System;
using System.IO;
using System.Linq;
using System.Net;
using ManagedRSLib;

internal sealed class Counter : ManagedRSLStateMachine
{
    private long total;

    public override bool LoadState(ManagedRSLCheckpointStream reader)
    {
        total = reader == null ? 0 : new BinaryReader(reader).ReadInt64();
        return true;
    }

    public override void SaveState(ManagedRSLCheckpointStream writer) { new BinaryWriter(writer).Write(total); }

    public override void ExecuteReplicatedRequest(byte[] request, object cookie, ref bool saveState)
    {
        // The same on every replica: nothing but the state and the request decides it.
        total += BitConverter.ToInt64(request, 0);
        Console.WriteLine(GetCurrentSequenceNumber() + ": " + total + (cookie == null ? "" : " (asked here)"));
    }

    public override void ExecuteFastReadRequest(byte[] request, object cookie) { }
    public override void AbortRequest(RSLResponse status, object cookie) { Console.WriteLine("not known whether it is done: " + status); }
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
        var nodes = words.Skip(1).Select((port, index) => new ManagedRSLNode { MemberId = "r" + index, Ip = IPAddress.Loopback, RslPort = ushort.Parse(port) }).ToArray();
        // On loopback only; Init(null) would listen on all addresses.
        Init(null, null, null, null, null, null, null, false, false, true, true);
        var counter = new Counter();
        var config = new ManagedRSLConfigParam { WorkingDir = "counter-data" };
        if (!counter.Initialize(config, nodes, nodes[self], ManagedRSLProtocolVersion.ManagedRSLProtocolVersion_6, false)) { return 1; }
        long step;
        for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
        {
            if (!long.TryParse(line, out step)) { continue; }
            var response = counter.ReplicateRequest(BitConverter.GetBytes(step), line);
            if (response != RSLResponse.RSLSuccess) { Console.WriteLine(response); }
        }
        Unload();
        return 0;
    }
}
