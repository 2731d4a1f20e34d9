// The command line of the host contract.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Net;
using System.Reflection;
using ManagedRSLib;

namespace RSLHost
{
    internal sealed class UsageException : Exception
    {
        public UsageException(string message)
            : base(message)
        {
        }
    }

    internal sealed class Arguments
    {
        public const string Usage =
            "usage: RSLHost --id ID --dir DIR --version 1..6 --members id@ip:port[:learnport][/hostname],...\n"
            + "  [--self MEMBER] [--new-api] [--bootstrap] [--bootstrap-timeout S] [--control PORT] [--events FILE]\n"
            + "  [--execlog FILE] [--trace FILE] [--original-defaults] [--listen-all] [--independent-heartbeat 0/1]\n"
            + "  [--serialize-fastreads 0/1] [--cookie HEX] [--cannot-become] [--print-config] [--ssl-thumbs A[,B]]\n"
            + "  [--ssl-validate-ca] [--CONFIGPARAM N]";

        private static readonly Dictionary<string, long> TestDefaults = new Dictionary<string, long>
        {
            { "newLeaderGracePeriodSec", 3 }, { "heartBeatIntervalSec", 1 }, { "electionDelaySec", 4 },
            { "maxElectionRandomizeSec", 1 }, { "initializeRetryIntervalSec", 1 }, { "prepareRetryIntervalSec", 1 },
            { "voteRetryIntervalSec", 1 }, { "voteMaxOutstandingIntervalSec", 300 }, { "cPQueryRetryIntervalSec", 1 },
            { "maxCheckpointIntervalSec", 0 }, { "joinMessagesIntervalSec", 1 }, { "maxLogLenMB", 1 },
            { "sendTimeoutSec", 5 }, { "receiveTimeoutSec", 5 }, { "maxCacheLengthMB", 50 }, { "maxVotesInLog", 10000 },
            { "maxOutstandingPerReplica", 10 }, { "maxCheckpoints", 4 }, { "maxLogs", 10 }, { "logLenRandomize", 0 },
            { "electionRandomize", 50 }, { "fastReadSeqThreshold", 5 }, { "inMemoryExecutionQueueSizeMB", 10 },
            { "numReaderThreads", 2 }, { "maxMessageSizeMB", 100 }, { "addMemberIdToWorkingDir", 0 }
        };

        private readonly Dictionary<string, long> parameters = new Dictionary<string, long>();

        public string Id, Dir, Events, ExecLog, Trace, SslThumbs;
        public ManagedRSLProtocolVersion Version;
        public ManagedRSLNode[] Members = new ManagedRSLNode[0];
        public ManagedRSLNode Self;
        public int BootstrapTimeout = 30;
        public int? Control;
        public bool NewApi, Bootstrap, OriginalDefaults, ListenAll, SerializeFastReads, CannotBecome, PrintConfig, SslValidateCa;
        public byte[] Cookie;

        public static Arguments Parse(string[] words)
        {
            var arguments = new Arguments();
            for (var index = 0; index < words.Length; index++)
            {
                var option = words[index];
                Func<string> value = () =>
                {
                    if (++index >= words.Length)
                    {
                        throw new UsageException("a value is missing for " + option);
                    }
                    return words[index];
                };
                arguments.Take(option, value);
            }
            arguments.Check();
            return arguments;
        }

        public bool IsNewApi
        {
            get { return NewApi || Bootstrap || ((int)Version >= 4 && Members.Length == 0); }
        }

        /// <summary>The configuration: test defaults unless the library's are asked for, then what was given.</summary>
        public ManagedRSLConfigParam Config()
        {
            var config = new ManagedRSLConfigParam { WorkingDir = Dir };
            var all = OriginalDefaults ? new Dictionary<string, long>() : new Dictionary<string, long>(TestDefaults);
            foreach (var parameter in parameters)
            {
                all[parameter.Key] = parameter.Value;
            }
            foreach (var parameter in all)
            {
                Set(config, Property(parameter.Key), parameter.Value);
            }
            return config;
        }

        public static ManagedRSLNode Member(string text)
        {
            var at = text.IndexOf('@');
            var slash = text.IndexOf('/');
            var address = (slash < 0 ? text : text.Substring(0, slash)).Substring(at + 1).Split(':');
            IPAddress ip;
            ushort port, learn = 0;
            if (at < 0 || address.Length < 2 || address.Length > 3 || !IPAddress.TryParse(address[0], out ip)
                || !ushort.TryParse(address[1], out port) || (address.Length == 3 && !ushort.TryParse(address[2], out learn)))
            {
                throw new UsageException("no member: " + text);
            }
            return new ManagedRSLNode
            {
                MemberId = text.Substring(0, at),
                Ip = ip,
                RslPort = port,
                RslLearnPort = learn,
                HostName = slash < 0 ? "" : text.Substring(slash + 1)
            };
        }

        public static ManagedRSLNode[] MemberList(string text)
        {
            try
            {
                return Array.ConvertAll(text.Split(','), Member);
            }
            catch (ArgumentException error)
            {
                throw new UsageException(error.Message);
            }
        }

        private void Take(string option, Func<string> value)
        {
            switch (option)
            {
                case "--id": Id = value(); break;
                case "--dir": Dir = value(); break;
                case "--version": Version = (ManagedRSLProtocolVersion)Number(value(), 1, 6); break;
                case "--members": Members = MemberList(value()); break;
                case "--self": Self = MemberList(value())[0]; break;
                case "--new-api": NewApi = true; break;
                case "--bootstrap": Bootstrap = true; break;
                case "--bootstrap-timeout": BootstrapTimeout = (int)Number(value(), 0, int.MaxValue); break;
                case "--control": Control = (int)Number(value(), 1, 65535); break;
                case "--events": Events = value(); break;
                case "--execlog": ExecLog = value(); break;
                case "--trace": Trace = value(); break;
                case "--original-defaults": OriginalDefaults = true; break;
                case "--listen-all": ListenAll = true; break;
                // The managed API always has it.
                case "--independent-heartbeat": Number(value(), 0, 1); break;
                case "--serialize-fastreads": SerializeFastReads = Number(value(), 0, 1) == 1; break;
                case "--cookie": Cookie = Bytes(value()); break;
                case "--cannot-become": CannotBecome = true; break;
                case "--print-config": PrintConfig = true; break;
                case "--ssl-thumbs": SslThumbs = value(); break;
                case "--ssl-validate-ca": SslValidateCa = true; break;
                default:
                    if (!option.StartsWith("--") || Property(option.Substring(2)) == null)
                    {
                        throw new UsageException("unknown option " + option);
                    }
                    parameters[option.Substring(2)] = Number(value(), 0, uint.MaxValue);
                    break;
            }
        }

        private void Check()
        {
            if (Id == null || Dir == null || Version == 0)
            {
                throw new UsageException("--id, --dir and --version are needed");
            }
            Self = Self ?? Array.Find(Members, member => member.MemberId == Id);
            if (Self == null || Self.MemberId != Id)
            {
                throw new UsageException("--id is not among --members, and --self is not given");
            }
        }

        /// <summary>The property of a parameter; null when there is none.</summary>
        private static PropertyInfo Property(string parameter)
        {
            if (parameter.Length == 0 || !char.IsLower(parameter[0]))
            {
                return null;
            }
            var property = typeof(ManagedRSLConfigParam).GetProperty(char.ToUpperInvariant(parameter[0]) + parameter.Substring(1));
            return property == null || property.PropertyType == typeof(string) ? null : property;
        }

        private static void Set(ManagedRSLConfigParam config, PropertyInfo property, long value)
        {
            var given = property.PropertyType == typeof(bool) ? (object)(value != 0)
                : Convert.ChangeType(value, property.PropertyType, CultureInfo.InvariantCulture);
            property.SetValue(config, given, null);
        }

        private static long Number(string text, long least, long most)
        {
            long number;
            if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) || number < least || number > most)
            {
                throw new UsageException("no number from " + least + " to " + most + ": " + text);
            }
            return number;
        }

        private static byte[] Bytes(string text)
        {
            try
            {
                return Hex.Decode(text);
            }
            catch (CommandException error)
            {
                throw new UsageException(error.Message);
            }
        }
    }
}
