// The configuration of a machine.
using System;
using System.Runtime.CompilerServices;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>
    /// The configuration: legacy defaults and ranges; ranges are checked by Initialize, which answers false. Not for use by
    /// several threads at once.
    /// </summary>
    public unsafe class ManagedRSLConfigParam : IDisposable
    {
        private const int LongestWorkingDir = 260;

        private rsl_config values;
        private string workingDir = "";
        private bool disposed;

        /// <summary>The defaults of the library.</summary>
        /// <exception cref="DllNotFoundException">The native library is not there, or is another version.</exception>
        public ManagedRSLConfigParam()
        {
            NativeLibrary.Load();
            values = Defaults();
        }

        /// <summary>Releases nothing: a configuration is managed memory.</summary>
        ~ManagedRSLConfigParam()
        {
            Dispose(false);
        }

        /// <summary>The working directory; its parent has to exist.</summary>
        /// <exception cref="ArgumentNullException">It is null.</exception>
        /// <exception cref="ArgumentException">It has more than 260 bytes in UTF-8, or a NUL.</exception>
        public string WorkingDir
        {
            get
            {
                Check();
                return workingDir;
            }
            set
            {
                Check();
                if (value == null)
                {
                    throw new ArgumentNullException("WorkingDir");
                }
                if (Utf8.Length(value) > LongestWorkingDir || value.IndexOf('\0') >= 0)
                {
                    throw new ArgumentException("It may have at most 260 bytes, and no NUL", "WorkingDir");
                }
                workingDir = value;
            }
        }

        /// <summary>After another member's ballot was accepted, no own election for this long. Seconds, 1..3600.</summary>
        public long NewLeaderGracePeriodSec
        {
            get { return Values.new_leader_grace_period_sec; }
            set { Set().new_leader_grace_period_sec = value; }
        }

        /// <summary>Longest pause between the decrees of an idle primary. Seconds, 1..3600.</summary>
        public long HeartBeatIntervalSec
        {
            get { return Values.heart_beat_interval_sec; }
            set { Set().heart_beat_interval_sec = value; }
        }

        /// <summary>Silence after which a secondary stands for election. Seconds, 1..3600.</summary>
        public long ElectionDelaySec
        {
            get { return Values.election_delay_sec; }
            set { Set().election_delay_sec = value; }
        }

        /// <summary>Bound of the election delay's randomization. Seconds, 0..2^31-1.</summary>
        public long MaxElectionRandomizeSec
        {
            get { return Values.max_election_randomize_sec; }
            set { Set().max_election_randomize_sec = value; }
        }

        /// <summary>Period of the status queries while initializing. Seconds, 1..3600.</summary>
        public long InitializeRetryIntervalSec
        {
            get { return Values.initialize_retry_interval_sec; }
            set { Set().initialize_retry_interval_sec = value; }
        }

        /// <summary>Resending a Prepare to disconnected peers. Seconds, 1..3600.</summary>
        public long PrepareRetryIntervalSec
        {
            get { return Values.prepare_retry_interval_sec; }
            set { Set().prepare_retry_interval_sec = value; }
        }

        /// <summary>Resending a vote to disconnected peers. Seconds, 1..3600.</summary>
        public long VoteRetryIntervalSec
        {
            get { return Values.vote_retry_interval_sec; }
            set { Set().vote_retry_interval_sec = value; }
        }

        /// <summary>A vote without majority for this long makes the primary step down. Seconds, 1..3600.</summary>
        public long VoteMaxOutstandingIntervalSec
        {
            get { return Values.vote_max_outstanding_interval_sec; }
            set { Set().vote_max_outstanding_interval_sec = value; }
        }

        /// <summary>Period of a primary's search for a checkpoint to copy. Seconds, 1..3600.</summary>
        public long CPQueryRetryIntervalSec
        {
            get { return Values.cp_query_retry_interval_sec; }
            set { Set().cp_query_retry_interval_sec = value; }
        }

        /// <summary>Time between checkpoints; 0 = by log size only. Seconds.</summary>
        public long MaxCheckpointIntervalSec
        {
            get { return Values.max_checkpoint_interval_sec; }
            set { Set().max_checkpoint_interval_sec = value; }
        }

        /// <summary>Repetition of Join messages to a new configuration. Seconds, 1..3600.</summary>
        public long JoinMessagesIntervalSec
        {
            get { return Values.join_messages_interval_sec; }
            set { Set().join_messages_interval_sec = value; }
        }

        /// <summary>Log length at which a new log file and a checkpoint are due. MiB, 1..102400.</summary>
        public long MaxLogLenMB
        {
            get { return Values.max_log_len_mb; }
            set { Set().max_log_len_mb = value; }
        }

        /// <summary>A packet must be written within this time. Seconds, 1..3600.</summary>
        public uint SendTimeoutSec
        {
            get { return Values.send_timeout_sec; }
            set { Set().send_timeout_sec = value; }
        }

        /// <summary>Resending a vote to connected peers. Seconds, 1..3600.</summary>
        public uint ReceiveTimeoutSec
        {
            get { return Values.receive_timeout_sec; }
            set { Set().receive_timeout_sec = value; }
        }

        /// <summary>Votes cached while learning. MiB, 1..1024.</summary>
        public uint MaxCacheLengthMB
        {
            get { return Values.max_cache_length_mb; }
            set { Set().max_cache_length_mb = value; }
        }

        /// <summary>Checked, otherwise unused. 1..2^31-1.</summary>
        public uint MaxVotesInLog
        {
            get { return Values.max_votes_in_log; }
            set { Set().max_votes_in_log = value; }
        }

        /// <summary>Packets waiting for one peer before broadcasts skip it. 1..2^31-1.</summary>
        public uint MaxOutstandingPerReplica
        {
            get { return Values.max_outstanding_per_replica; }
            set { Set().max_outstanding_per_replica = value; }
        }

        /// <summary>Checkpoint files that are kept. 1..2^31-1.</summary>
        public uint MaxCheckpoints
        {
            get { return Values.max_checkpoints; }
            set { Set().max_checkpoints = value; }
        }

        /// <summary>Log files that are kept. 1..2^31-1.</summary>
        public uint MaxLogs
        {
            get { return Values.max_logs; }
            set { Set().max_logs = value; }
        }

        /// <summary>Randomization of the log length. Percent, 0..100.</summary>
        public uint LogLenRandomize
        {
            get { return Values.log_len_randomize; }
            set { Set().log_len_randomize = value; }
        }

        /// <summary>Randomization of the election delay. Percent, 0..100.</summary>
        public uint ElectionRandomize
        {
            get { return Values.election_randomize; }
            set { Set().election_randomize = value; }
        }

        /// <summary>How many decrees ahead of the executed one a fast read may wait for.</summary>
        public uint FastReadSeqThreshold
        {
            get { return Values.fast_read_seq_threshold; }
            set { Set().fast_read_seq_threshold = value; }
        }

        /// <summary>Passed votes kept in memory until they are executed; 0 = max_cache_length_mb. MiB.</summary>
        public uint InMemoryExecutionQueueSizeMB
        {
            get { return Values.in_memory_execution_queue_size_mb; }
            set { Set().in_memory_execution_queue_size_mb = value; }
        }

        /// <summary>Threads for fast reads; 0 = one per logical processor. 0..100.</summary>
        public uint NumReaderThreads
        {
            get { return Values.num_reader_threads; }
            set { Set().num_reader_threads = value; }
        }

        /// <summary>Largest packet; the same on every member. MiB, 1..2^31-1.</summary>
        public uint MaxMessageSizeMB
        {
            get { return Values.max_message_size_mb; }
            set { Set().max_message_size_mb = value; }
        }

        /// <summary>A larger checkpoint raises an alert; 0 = off. GiB. Not in the legacy managed API.</summary>
        public uint MaxCheckpointSizeGB
        {
            get { return Values.max_checkpoint_size_gb; }
            set { Set().max_checkpoint_size_gb = value; }
        }

        /// <summary>Free space below this many checkpoints raises an alert; 0 = off. Not in the legacy managed API.</summary>
        public uint MinCheckpointSpaceFileCount
        {
            get { return Values.min_checkpoint_space_file_count; }
            set { Set().min_checkpoint_space_file_count = value; }
        }

        /// <summary>A larger packet raises an alert; 0 = off. MiB. Not in the legacy managed API.</summary>
        public uint MaxMessageAlertSizeMB
        {
            get { return Values.max_message_alert_size_mb; }
            set { Set().max_message_alert_size_mb = value; }
        }

        /// <summary>Stand for election although passed decrees wait for execution.</summary>
        public bool AllowPrimaryPromotionWhileCatchingUp
        {
            get { return Has(Abi.RSL_CFG_PROMOTE_WHILE_CATCHING_UP); }
            set { Put(Abi.RSL_CFG_PROMOTE_WHILE_CATCHING_UP, value); }
        }

        /// <summary>The flag of SetAcceptMessages decides, natively; AcceptMessageFromReplica is not called.</summary>
        public bool UseGlobalAcceptMessagesFlag
        {
            get { return Has(Abi.RSL_CFG_GLOBAL_ACCEPT_FLAG); }
            set { Put(Abi.RSL_CFG_GLOBAL_ACCEPT_FLAG, value); }
        }

        /// <summary>Keep the data in a sub-directory of WorkingDir named like the member id. Not in the legacy managed API.</summary>
        public bool AddMemberIdToWorkingDir
        {
            get { return Has(Abi.RSL_CFG_MEMBER_ID_IN_WORKING_DIR); }
            set { Put(Abi.RSL_CFG_MEMBER_ID_IN_WORKING_DIR, value); }
        }

        /// <summary>Has no effect: reads are not overlapped. Not in the legacy managed API.</summary>
        public bool CancelDiskIo
        {
            get { return Has(Abi.RSL_CFG_CANCEL_DISK_IO); }
            set { Put(Abi.RSL_CFG_CANCEL_DISK_IO, value); }
        }

        private rsl_config Values
        {
            get
            {
                Check();
                return values;
            }
        }

        /// <summary>Ends the use of the object: its members throw <see cref="ObjectDisposedException"/> from now on.</summary>
        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        /// <summary>As <see cref="Dispose()"/>.</summary>
        protected virtual void Dispose(bool disposing)
        {
            disposed = true;
        }

        /// <summary>A copy for a native call, without the directory, which has to be pinned apart.</summary>
        internal rsl_config Copy(out byte[] directory)
        {
            directory = Utf8.Bytes(WorkingDir);
            return values;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static rsl_config Defaults()
        {
            var defaults = new rsl_config { struct_size = (uint)sizeof(rsl_config) };
            Status.Check(NativeMethods.rsl_config_defaults(&defaults));
            return defaults;
        }

        private ref rsl_config Set()
        {
            Check();
            return ref values;
        }

        private bool Has(uint flag)
        {
            return (Values.flags & flag) != 0;
        }

        private void Put(uint flag, bool on)
        {
            Check();
            values.flags = on ? values.flags | flag : values.flags & ~flag;
        }

        private void Check()
        {
            if (disposed)
            {
                throw new ObjectDisposedException("ManagedRSLConfigParam");
            }
        }
    }
}
