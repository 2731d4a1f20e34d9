// What a machine reports about its members and its work.
using System;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>What a primary knows of one member. Times are UTC; <see cref="DateTime.MinValue"/> = never.</summary>
    public class ManagedReplicaHealth
    {
        private static readonly DateTime Epoch = new DateTime(1970, 1, 1);

        /// <summary>Nothing known.</summary>
        public ManagedReplicaHealth()
        {
            MemberId = "";
        }

        internal unsafe ManagedReplicaHealth(rsl_health* health)
        {
            MemberId = Utf8.Get(health->member_id, Abi.RSL_MEMBER_ID_SIZE);
            IsConnected = health->connected != 0;
            IsPrimary = health->is_primary != 0;
            NumOutstanding = health->num_outstanding;
            ConsecutiveFailures = (int)Math.Min(health->consecutive_failures, int.MaxValue);
            FailedAt = ConsecutiveFailures == 0 ? DateTime.MinValue : Time(health->failed_at_us);
            LastRequestSentAt = Time(health->last_request_sent_at_us);
            LastRequestVotedAt = Time(health->last_request_voted_at_us);
            LastVotePayload = health->last_vote_payload;
            NeedsResolve = health->needs_resolve != 0;
        }

        /// <summary>The member; empty where nothing is known.</summary>
        public string MemberId { get; set; }

        /// <summary>It is connected, as far as known.</summary>
        public bool IsConnected { get; set; }

        /// <summary>It is the primary that was asked.</summary>
        public bool IsPrimary { get; set; }

        /// <summary>Packets submitted and not finished.</summary>
        public int NumOutstanding { get; set; }

        /// <summary>When it was marked failed; never while there are no failures.</summary>
        public DateTime FailedAt { get; set; }

        /// <summary>Failed sends since the last one that worked.</summary>
        public int ConsecutiveFailures { get; set; }

        /// <summary>When the last send completed, well or not.</summary>
        public DateTime LastRequestSentAt { get; set; }

        /// <summary>When its last vote answer arrived.</summary>
        public DateTime LastRequestVotedAt { get; set; }

        /// <summary>The payload of its last vote answer.</summary>
        public ulong LastVotePayload { get; set; }

        /// <summary>Its address is not known.</summary>
        public bool NeedsResolve { get; set; }

        /// <summary>Microseconds since 1970 to whole milliseconds.</summary>
        internal static DateTime Time(long microseconds)
        {
            return microseconds == 0
                ? DateTime.MinValue
                : Epoch.AddTicks(microseconds / 1000 * TimeSpan.TicksPerMillisecond);
        }
    }

    /// <summary>Increments since the previous snapshot.</summary>
    public class ManagedRSLStats
    {
        /// <summary>Length of the period.</summary>
        public ulong captureTimeInMicroseconds;
        /// <summary>Advance of the current sequence number.</summary>
        public ulong decreesExecuted;
        /// <summary>Votes read back, and files served.</summary>
        public ulong logReads;
        /// <summary>Their bytes.</summary>
        public ulong logReadBytes;
        /// <summary>Their time.</summary>
        public ulong logReadMicroseconds;
        /// <summary>The longest.</summary>
        public uint logReadMaxMicroseconds;
        /// <summary>Votes appended to the log.</summary>
        public ulong logWrites;
        /// <summary>Their bytes.</summary>
        public ulong logWriteBytes;
        /// <summary>Their time.</summary>
        public ulong logWriteMicroseconds;
        /// <summary>The longest.</summary>
        public uint logWriteMaxMicroseconds;
        /// <summary>From proposing votes to their majority, altogether.</summary>
        public ulong votingTimeMicroseconds;
        /// <summary>The longest.</summary>
        public uint votingTimeMaxMicroseconds;

        internal static unsafe ManagedRSLStats Of(rsl_stats* stats)
        {
            return new ManagedRSLStats
            {
                captureTimeInMicroseconds = stats->capture_time_us,
                decreesExecuted = stats->decrees_executed,
                logReads = stats->log_reads,
                logReadBytes = stats->log_read_bytes,
                logReadMicroseconds = stats->log_read_us,
                logReadMaxMicroseconds = stats->log_read_max_us,
                logWrites = stats->log_writes,
                logWriteBytes = stats->log_write_bytes,
                logWriteMicroseconds = stats->log_write_us,
                logWriteMaxMicroseconds = stats->log_write_max_us,
                votingTimeMicroseconds = stats->voting_time_us,
                votingTimeMaxMicroseconds = stats->voting_time_max_us
            };
        }
    }
}
