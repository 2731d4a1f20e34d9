// The commands of the control port.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using System.Threading;
using ManagedRSLib;

namespace RSLHost
{
    internal sealed class Commands
    {
        private const long Patience = 60000;
        private const int MaxRandom = 1 << 30;
        private const int FirstChange = 0x1001;

        private readonly HostMachine machine;
        private readonly string id;
        private readonly RandomRequests random = new RandomRequests();
        private int changes;

        public Commands(HostMachine machine, string id)
        {
            this.machine = machine;
            this.id = id;
        }

        /// <summary>Runs one line; a wrong argument is answered.</summary>
        public Json Run(string line)
        {
            try
            {
                var words = new Words(line);
                var answer = Answer(words.Next() ?? "", words);
                words.End();
                return answer;
            }
            catch (Exception error)
            {
                if (error is CommandException || error is UsageException || error is ApplicationException)
                {
                    return new Json { { "error", error.Message } };
                }
                throw;
            }
        }

        private static Json Ok
        {
            get { return new Json { { "ok", true } }; }
        }

        private Json Answer(string command, Words words)
        {
            switch (command)
            {
                case "status": return Report.Status(machine, id);
                case "replicate": return Replicate(words, Grouping.Batched, true);
                case "replicate-exclusive": return Replicate(words, Grouping.Exclusive, true);
                case "replicate-last": return Replicate(words, Grouping.Last, true);
                case "replicate-nowait": return Replicate(words, Grouping.Batched, false);
                case "replicate-random": return ReplicateRandom(words, Grouping.Batched);
                case "replicate-random-exclusive": return ReplicateRandom(words, Grouping.Exclusive);
                case "checkpoint": return Submit(new[] { HostState.SaveHead }, Grouping.Batched, true);
                case "pad":
                    var pad = HostState.PadHead.Concat(BitConverter.GetBytes(words.Number("the padding"))).ToArray();
                    words.End();
                    return Submit(new[] { pad }, Grouping.Batched, true);
                case "fastread": return FastRead(words);
                case "wait-seq": return WaitSeq(words);
                case "bootstrap": return Bootstrap(words);
                case "changeconfig": return ChangeConfig(words);
                case "copystate":
                    var copy = (object)words.Optional("the cookie") ?? 0UL;
                    words.End();
                    return Rc(machine.CopyStateFromReplica(copy));
                case "config": return Report.Configuration(machine);
                case "primary": return Report.Primary(machine);
                case "replicas": return Report.Replicas(machine);
                case "stats": return Report.Stats(machine);
                case "stable": return new Json { { "stable", machine.IsInStableState() } };
                case "pending": return new Json { { "pending", machine.IsAnyRequestPendingExecution() } };
                default:
                    Set(command, words);
                    return Ok;
            }
        }

        /// <summary>Commands that only set something or tell the machine.</summary>
        private void Set(string command, Words words)
        {
            switch (command)
            {
                case "relinquish": machine.RelinquishPrimaryStatus(); break;
                case "promote": machine.AttemptPromotion(); break;
                case "pause": machine.Pause(); break;
                case "resume": machine.Resume(); break;
                case "election-delay": machine.ChangeElectionDelay((uint)words.Number("the delay")); break;
                case "payload": machine.SetVotePayload(words.Number("the payload")); break;
                case "allowsave": machine.AllowSaveState(words.Flag()); break;
                case "global-accept": machine.SetAcceptMessages(words.Flag()); break;
                case "trysave": machine.MaySave = words.Flag(); break;
                case "accept": machine.MayAccept = words.Flag(); break;
                case "canbecome": machine.MayLead = words.Flag(); break;
                case "cookie": machine.PrimaryCookie = words.Hex(); break;
                case "exec-delay": machine.ExecDelay = (int)words.Number("the delay"); break;
                case "save-delay": machine.SaveDelay = (int)words.Number("the delay"); break;
                case "": throw new CommandException("empty line");
                default: throw new CommandException("unknown command: " + command);
            }
        }

        private Json Replicate(Words words, Grouping grouping, bool wait)
        {
            var requests = new List<byte[]>();
            for (var request = words.Hex(); request != null; request = words.Hex())
            {
                requests.Add(request);
            }
            if (requests.Count == 0)
            {
                throw new CommandException("no request is given");
            }
            return Submit(requests, grouping, wait);
        }

        private Json Submit(IEnumerable<byte[]> requests, Grouping grouping, bool wait)
        {
            return new Batch(machine, grouping, long.MaxValue, Patience).Run(requests, wait);
        }

        private Json ReplicateRandom(Words words, Grouping grouping)
        {
            var count = words.Number("the number of requests");
            var size = words.Number("the size");
            var window = words.Optional("the window") ?? (ulong)long.MaxValue;
            var timeout = words.Optional("the time in milliseconds") ?? (ulong)Patience;
            var seed = words.Optional("the seed");
            words.End();
            if (size == 0 || size > MaxRandom || count > uint.MaxValue || window == 0 || window > long.MaxValue || timeout > int.MaxValue)
            {
                throw new CommandException("size, number and window must be at least 1, and not absurd");
            }
            lock (random)
            {
                // Without a seed the sequence of the last call goes on.
                if (seed != null)
                {
                    random.Seed(seed.Value);
                }
                return new Batch(machine, grouping, (long)window, (long)timeout).Run(Random(count, (int)size), true);
            }
        }

        private IEnumerable<byte[]> Random(ulong count, int size)
        {
            for (ulong number = 0; number < count; number++)
            {
                yield return random.Next(size);
            }
        }

        private Json FastRead(Words words)
        {
            var seq = words.Optional("the sequence number") ?? 0;
            var timeout = words.Optional("the time in milliseconds") ?? 0;
            words.End();
            var read = new FastRead();
            var request = new[] { (byte)'r' };
            var rc = machine.FastReadRequest(seq, request, 0, 1, read, (uint)Math.Min(timeout, uint.MaxValue));
            return rc == RSLResponse.RSLSuccess ? read.Answer(TimeSpan.FromMilliseconds(timeout + Patience)) : Rc(rc);
        }

        private Json WaitSeq(Words words)
        {
            var seq = words.Number("the sequence number");
            var timeout = words.Optional("the time in milliseconds") ?? (ulong)Patience;
            words.End();
            // Empty decrees call nothing, so it polls.
            for (var watch = Stopwatch.StartNew(); machine.GetCurrentSequenceNumber() < seq && (ulong)watch.ElapsedMilliseconds < timeout;)
            {
                Thread.Sleep(10);
            }
            return Report.Status(machine, id);
        }

        private Json Bootstrap(Words words)
        {
            var nodes = words.Members();
            var timeout = words.Optional("the time in seconds") ?? 30;
            var cookie = words.Hex();
            words.End();
            return Rc(machine.Bootstrap(new ManagedRSLMemberSet(nodes, cookie, 0, cookie == null ? 0 : cookie.Length), (int)Math.Min(timeout, int.MaxValue)));
        }

        private Json ChangeConfig(Words words)
        {
            var nodes = words.Members();
            var cookie = words.Hex();
            words.End();
            var set = new ManagedRSLMemberSet(nodes, cookie, 0, cookie == null ? 0 : cookie.Length);
            return Rc(machine.ChangeConfiguration(set, FirstChange + Interlocked.Increment(ref changes) - 1));
        }

        private static Json Rc(RSLResponse response)
        {
            return new Json { { "rc", response.ToString() } };
        }

        /// <summary>The words of a command line.</summary>
        private sealed class Words
        {
            private readonly string[] words;
            private int at;

            public Words(string line)
            {
                words = line.Split(new[] { ' ', '\t', '\r', '\n' }, StringSplitOptions.RemoveEmptyEntries);
            }

            public string Next()
            {
                return at < words.Length ? words[at++] : null;
            }

            public ulong? Optional(string what)
            {
                var word = Next();
                ulong number;
                if (word == null)
                {
                    return null;
                }
                if (!ulong.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out number))
                {
                    throw new CommandException(what + " is no number: " + word);
                }
                return number;
            }

            public ulong Number(string what)
            {
                var number = Optional(what);
                if (number == null)
                {
                    throw new CommandException(what + " is missing");
                }
                return number.Value;
            }

            public bool Flag()
            {
                var word = Next();
                if (word != "0" && word != "1")
                {
                    throw new CommandException("expected 0 or 1");
                }
                return word == "1";
            }

            public byte[] Hex()
            {
                var word = Next();
                return word == null ? null : RSLHost.Hex.Decode(word);
            }

            public ManagedRSLNode[] Members()
            {
                var word = Next();
                if (word == null)
                {
                    throw new CommandException("the members are missing");
                }
                return Arguments.MemberList(word);
            }

            public void End()
            {
                if (at < words.Length)
                {
                    throw new CommandException("unexpected: " + words[at]);
                }
            }
        }
    }
}
