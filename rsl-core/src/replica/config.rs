//! The configuration of a replica: every legacy parameter with its default and range, as a builder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::Settings;
use crate::types::{Node, ProtocolVersion};
use crate::wire::{PACKET_HEADER_SIZE, packet_limit};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// That many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// That many MiB, in 64 bits [HARD-518].
    #[must_use]
    pub const fn mib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(Self::MIB))
    }

    /// That many GiB.
    #[must_use]
    pub const fn gib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(Self::GIB))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(Self::MIB) {
            write!(f, "{} MiB", self.0 / Self::MIB)
        } else {
            write!(f, "{} bytes", self.0)
        }
    }
}

/// Why a configuration is refused; names the legacy field [API-24].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is outside its range.
    #[error("{field} is {value}, allowed is {low} to {high}")]
    OutOfRange {
        /// The legacy name of the parameter.
        field: &'static str,
        /// The value.
        value: String,
        /// The smallest value allowed.
        low: String,
        /// The largest value allowed.
        high: String,
    },
    /// No working directory was given.
    #[error("m_workingDir is empty")]
    NoWorkingDirectory,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Upper bound of the legacy 32-bit parameters: 2^31 - 1.
const MAX_I32: u32 = 0x7fff_ffff;
/// The range of nearly all legacy intervals.
const HOUR: (Duration, Duration) = (seconds(1), seconds(3600));
/// An hour is 3600 s: what fits a legacy count of at least one.
const COUNT: (u32, u32) = (1, MAX_I32);

/// How a value of the configuration appears in an error.
trait Shown: Copy + PartialOrd {
    fn shown(self) -> String;
}

impl Shown for Duration {
    fn shown(self) -> String {
        format!("{} s", self.as_secs_f64())
    }
}

impl Shown for ByteSize {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for u32 {
    fn shown(self) -> String {
        self.to_string()
    }
}

fn check<T: Shown>(field: &'static str, value: T, (low, high): (T, T)) -> Result<(), ConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { field, value: value.shown(), low: low.shown(), high: high.shown() })
}

/// Declares the ranged parameters once: field, getter, setter, default, range.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, in $range:expr, $legacy:literal;)*) => {
        /// A checked configuration. Values are those of the legacy `RSLConfigParam` [API-23]; made by [`ConfigBuilder`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($name: $type,)*
            promote_while_catching_up: bool,
            working_dir: PathBuf,
            member_id_in_working_dir: bool,
            cancel_disk_io: bool,
            use_global_accept_flag: bool,
            remote_bootstrap: bool,
        }

        impl Config {
            $($(#[$doc])* #[must_use] pub const fn $name(&self) -> $type { self.$name })*

            /// The first parameter out of range, in the order of the legacy table.
            fn check_ranges(&self) -> Result<(), ConfigError> {
                $(check($legacy, self.$name, $range)?;)*
                Ok(())
            }

            fn defaults(working_dir: PathBuf) -> Config {
                Config {
                    $($name: $default,)*
                    promote_while_catching_up: false,
                    working_dir,
                    member_id_in_working_dir: true,
                    cancel_disk_io: true,
                    use_global_accept_flag: false,
                    remote_bootstrap: true,
                }
            }
        }

        impl ConfigBuilder {
            $($(#[$doc])* #[must_use] pub const fn $name(mut self, value: $type) -> Self {
                self.0.$name = value;
                self
            })*
        }
    };
}

parameters! {
    /// After another member's new ballot was accepted, no own election for this long. Default 15 s, 1 s to 1 h.
    /// Legacy: m_newLeaderGracePeriodSec.
    new_leader_grace_period: Duration = seconds(15), in HOUR, "m_newLeaderGracePeriodSec";
    /// Longest pause between the decrees of an idle primary; also the delay after a declined promotion. Default 2 s,
    /// 1 s to 1 h. Legacy: m_heartBeatIntervalSec.
    heartbeat_interval: Duration = seconds(2), in HOUR, "m_heartBeatIntervalSec";
    /// Silence after which a secondary stands for election. Default 10 s, 1 s to 1 h. Legacy: m_electionDelaySec.
    election_delay: Duration = seconds(10), in HOUR, "m_electionDelaySec";
    /// Bound of the election delay's randomization. Default 1 s, 0 to 2^31-1 s. Legacy: m_maxElectionRandomizeSec.
    max_election_randomize: Duration = seconds(1), in (Duration::ZERO, seconds(MAX_I32 as u64)),
        "m_maxElectionRandomizeSec";
    /// Period of the status queries while initializing. Default 1 s, 1 s to 1 h. Legacy: m_initializeRetryIntervalSec.
    initialize_retry_interval: Duration = seconds(1), in HOUR, "m_initializeRetryIntervalSec";
    /// Resending a Prepare to disconnected peers. Default 1 s, 1 s to 1 h. Legacy: m_prepareRetryIntervalSec.
    prepare_retry_interval: Duration = seconds(1), in HOUR, "m_prepareRetryIntervalSec";
    /// Resending a vote to disconnected peers. Default 3 s, 1 s to 1 h. Legacy: m_voteRetryIntervalSec.
    vote_retry_interval: Duration = seconds(3), in HOUR, "m_voteRetryIntervalSec";
    /// A vote without majority for this long makes the primary step down (decision 2). Default 480 s, 1 s to 1 h.
    /// Legacy: m_voteMaxOutstandingIntervalSec.
    vote_max_outstanding_interval: Duration = seconds(480), in HOUR, "m_voteMaxOutstandingIntervalSec";
    /// Period of a primary's search for a checkpoint to copy. Default 5 s, 1 s to 1 h.
    /// Legacy: m_cPQueryRetryIntervalSec.
    checkpoint_query_interval: Duration = seconds(5), in HOUR, "m_cPQueryRetryIntervalSec";
    /// Time between checkpoints; zero = by log size only. Default 0, 0 to 2^63-1 s.
    /// Legacy: m_maxCheckpointIntervalSec.
    max_checkpoint_interval: Duration = Duration::ZERO, in (Duration::ZERO, seconds(i64::MAX as u64)),
        "m_maxCheckpointIntervalSec";
    /// Repetition of Join messages to a new configuration. Default 1 s, 1 s to 1 h. Legacy: m_joinMessagesIntervalSec.
    join_messages_interval: Duration = seconds(1), in HOUR, "m_joinMessagesIntervalSec";
    /// Log length (randomized) at which a new log file and a checkpoint are due. Default 100 MiB, 1 MiB to 100 GiB.
    /// Legacy: m_maxLogLenMB.
    max_log_len: ByteSize = ByteSize::mib(100), in (ByteSize::mib(1), ByteSize::mib(102_400)), "m_maxLogLenMB";
    /// A packet must be written within this time; send timeout of learn sockets. Default 5 s, 1 s to 1 h.
    /// Legacy: m_sendTimeoutSec.
    send_timeout: Duration = seconds(5), in HOUR, "m_sendTimeoutSec";
    /// Resending a vote to connected peers; receive timeout of learn sockets. Default 5 s, 1 s to 1 h.
    /// Legacy: m_receiveTimeoutSec.
    receive_timeout: Duration = seconds(5), in HOUR, "m_receiveTimeoutSec";
    /// Votes cached while learning; beyond it the cache is dropped. Default 50 MiB, 1 MiB to 1 GiB.
    /// Legacy: m_maxCacheLengthMB.
    max_cache_len: ByteSize = ByteSize::mib(50), in (ByteSize::mib(1), ByteSize::mib(1024)), "m_maxCacheLengthMB";
    /// Checked, otherwise unused, as in legacy. Default 10000, 1 to 2^31-1. Legacy: m_maxVotesInLog.
    max_votes_in_log: u32 = 10_000, in COUNT, "m_maxVotesInLog";
    /// Packets waiting for one peer before broadcasts skip it. Default 10, 1 to 2^31-1.
    /// Legacy: m_maxOutstandingPerReplica.
    max_outstanding_per_replica: u32 = 10, in COUNT, "m_maxOutstandingPerReplica";
    /// Checkpoint files that are kept. Default 4, 1 to 2^31-1. Legacy: m_maxCheckpoints.
    max_checkpoints: u32 = 4, in COUNT, "m_maxCheckpoints";
    /// A larger checkpoint raises an alert; zero = off. Default 0, 0 to 2^31-1 GiB. Legacy: m_maxCheckpointSizeGB.
    max_checkpoint_size: ByteSize = ByteSize::bytes(0), in (ByteSize::bytes(0), ByteSize::gib(MAX_I32 as u64)),
        "m_maxCheckpointSizeGB";
    /// Free space below this many checkpoints raises an alert; 0 = off. Default 0, 0 to 2^31-1.
    /// Legacy: m_minCheckpointSpaceFileCount.
    min_checkpoint_space_file_count: u32 = 0, in (0, MAX_I32), "m_minCheckpointSpaceFileCount";
    /// Log files that are kept; older ones go only when a kept checkpoint covers them. Default 10, 1 to 2^31-1.
    /// Legacy: m_maxLogs.
    max_logs: u32 = 10, in COUNT, "m_maxLogs";
    /// Randomization of the log length in percent. Default 20, 0 to 100. Legacy: m_logLenRandomize.
    log_len_randomize_percent: u32 = 20, in (0, 100), "m_logLenRandomize";
    /// Randomization of the election delay in percent. Default 10, 0 to 100. Legacy: m_electionRandomize.
    election_randomize_percent: u32 = 10, in (0, 100), "m_electionRandomize";
    /// How many decrees ahead of the executed one a fast read may wait for. Default 0, 0 to 2^31-1.
    /// Legacy: m_fastReadSeqThreshold.
    fast_read_threshold: u32 = 0, in (0, MAX_I32), "m_fastReadSeqThreshold";
    /// Passed votes kept in memory until they are executed; zero = as `max_cache_len`. Default 0, 0 to 2^31-1 MiB.
    /// Legacy: m_inMemoryExecutionQueueSizeMB.
    execution_queue_size: ByteSize = ByteSize::bytes(0), in (ByteSize::bytes(0), ByteSize::mib(MAX_I32 as u64)),
        "m_inMemoryExecutionQueueSizeMB";
    /// Threads for fast reads; 0 = one per logical processor. Default 1, 0 to 100. Legacy: m_numReaderThreads.
    reader_threads: u32 = 1, in (0, 100), "m_numReaderThreads";
    /// Largest packet in MiB (1 KiB is added); more than 2047 MiB is used as 2047 MiB [HARD-2]. Has to be the same on
    /// every member. Default 100 MiB, 1 to 2^31-1 MiB. Legacy: m_maxMessageSizeMB.
    max_message_size: ByteSize = ByteSize::mib(100), in (ByteSize::mib(1), ByteSize::mib(MAX_I32 as u64)),
        "m_maxMessageSizeMB";
    /// A larger packet raises an alert; zero = off. Default 0, 0 to 2^31-1 MiB. Legacy: m_maxMessageAlertSizeMB.
    max_message_alert_size: ByteSize = ByteSize::bytes(0), in (ByteSize::bytes(0), ByteSize::mib(MAX_I32 as u64)),
        "m_maxMessageAlertSizeMB";
}

/// Builds a [`Config`]. Starts with the legacy defaults; [`build`](Self::build) checks the ranges.
#[derive(Clone, Debug)]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// All defaults, with this working directory. Legacy: m_workingDir.
    pub fn new(working_dir: impl Into<PathBuf>) -> ConfigBuilder {
        ConfigBuilder(Config::defaults(working_dir.into()))
    }

    /// Stand for election although passed decrees wait for execution. Default false.
    /// Legacy: m_allowPrimaryPromotionWhileCatchingUp.
    #[must_use]
    pub const fn promote_while_catching_up(mut self, yes: bool) -> Self {
        self.0.promote_while_catching_up = yes;
        self
    }

    /// Keep the data in a sub-directory named like the member id. Default true. Legacy: m_addMemberIdToWorkingDir.
    #[must_use]
    pub const fn member_id_in_working_dir(mut self, yes: bool) -> Self {
        self.0.member_id_in_working_dir = yes;
        self
    }

    /// Cancel pending reads when a reader is closed. Has no effect here: reads are not overlapped. Default true.
    /// Legacy: m_cancelDiskIo.
    #[must_use]
    pub const fn cancel_disk_io(mut self, yes: bool) -> Self {
        self.0.cancel_disk_io = yes;
        self
    }

    /// Use the flag of `set_accept_messages` instead of asking the application [API-83]. Default false.
    /// Legacy: m_useGlobalAcceptMessagesFlag.
    #[must_use]
    pub const fn use_global_accept_flag(mut self, yes: bool) -> Self {
        self.0.use_global_accept_flag = yes;
        self
    }

    /// Let members of a proposed set bootstrap this replica by message [HARD-308]. Default true (decision 15). No legacy
    /// parameter.
    #[must_use]
    pub const fn remote_bootstrap(mut self, yes: bool) -> Self {
        self.0.remote_bootstrap = yes;
        self
    }

    /// Checks every range [API-23].
    ///
    /// # Errors
    /// Names the first parameter that is out of range.
    pub fn build(self) -> Result<Config, ConfigError> {
        self.0.check_ranges()?;
        if self.0.working_dir.as_os_str().is_empty() {
            return Err(ConfigError::NoWorkingDirectory);
        }
        Ok(self.0)
    }
}

impl Config {
    /// A builder with all defaults.
    pub fn builder(working_dir: impl Into<PathBuf>) -> ConfigBuilder {
        ConfigBuilder::new(working_dir)
    }

    /// The working directory.
    #[must_use]
    pub fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// Whether pending reads are cancelled; without effect here.
    #[must_use]
    pub const fn cancel_disk_io(&self) -> bool {
        self.cancel_disk_io
    }

    /// Whether the data is in a sub-directory named like the member id [API-25].
    #[must_use]
    pub const fn member_id_in_working_dir(&self) -> bool {
        self.member_id_in_working_dir
    }

    /// Bytes of passed votes that stay in memory until they are executed.
    #[must_use]
    pub const fn execution_queue_limit(&self) -> ByteSize {
        if self.execution_queue_size.0 == 0 { self.max_cache_len } else { self.execution_queue_size }
    }

    /// The largest packet in bytes [WIRE-50].
    #[must_use]
    pub const fn packet_limit(&self) -> u64 {
        packet_limit(self.max_message_size.0 / ByteSize::MIB)
    }

    /// The largest vote in bytes: a PrepareAccepted of any version that holds it still fits a packet [HARD-558].
    #[must_use]
    pub const fn max_vote_len(&self) -> u64 {
        self.packet_limit() - (PACKET_HEADER_SIZE + ProtocolVersion::V6.base_size()) as u64
    }

    /// Reader threads that are really started.
    #[must_use]
    pub fn reader_thread_count(&self) -> u32 {
        match self.reader_threads {
            0 => std::thread::available_parallelism()
                .map_or(1, |count| u32::try_from(count.get()).unwrap_or(100)),
            count => count,
        }
    }

    /// What the engine runs with.
    #[must_use]
    pub const fn settings(&self, node: &Node, version: ProtocolVersion) -> Settings {
        Settings {
            member: node.id,
            learn_port: node.effective_learn_port(),
            version,
            new_leader_grace_period: self.new_leader_grace_period,
            heartbeat_interval: self.heartbeat_interval,
            election_delay: self.election_delay,
            election_randomize_percent: self.election_randomize_percent,
            max_election_randomize: self.max_election_randomize,
            initialize_retry_interval: self.initialize_retry_interval,
            prepare_retry_interval: self.prepare_retry_interval,
            vote_retry_interval: self.vote_retry_interval,
            receive_timeout: self.receive_timeout,
            vote_max_outstanding_interval: self.vote_max_outstanding_interval,
            checkpoint_query_interval: self.checkpoint_query_interval,
            join_messages_interval: self.join_messages_interval,
            max_checkpoint_interval: self.max_checkpoint_interval,
            max_log_len: self.max_log_len.0,
            log_len_randomize_percent: self.log_len_randomize_percent,
            max_cache_len: self.max_cache_len.0,
            max_vote_len: self.max_vote_len(),
            promote_while_catching_up: self.promote_while_catching_up,
            remote_bootstrap: self.remote_bootstrap,
            use_global_accept_flag: self.use_global_accept_flag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ConfigBuilder {
        Config::builder("data")
    }

    fn field(result: Result<Config, ConfigError>) -> &'static str {
        match result {
            Err(ConfigError::OutOfRange { field, .. }) => field,
            other => panic!("expected a range error, got {other:?}"),
        }
    }

    /// [API-23] The defaults of the legacy table.
    #[test]
    fn defaults_are_those_of_legacy() {
        let config = builder().build().unwrap();
        let secs = |duration: Duration| duration.as_secs();
        assert_eq!(secs(config.new_leader_grace_period()), 15);
        assert_eq!(secs(config.heartbeat_interval()), 2);
        assert_eq!(secs(config.election_delay()), 10);
        assert_eq!(secs(config.max_election_randomize()), 1);
        assert_eq!(secs(config.initialize_retry_interval()), 1);
        assert_eq!(secs(config.prepare_retry_interval()), 1);
        assert_eq!(secs(config.vote_retry_interval()), 3);
        assert_eq!(secs(config.vote_max_outstanding_interval()), 480);
        assert_eq!(secs(config.checkpoint_query_interval()), 5);
        assert_eq!(secs(config.max_checkpoint_interval()), 0);
        assert_eq!(secs(config.join_messages_interval()), 1);
        assert_eq!(config.max_log_len(), ByteSize::mib(100));
        assert_eq!((secs(config.send_timeout()), secs(config.receive_timeout())), (5, 5));
        assert_eq!(config.max_cache_len(), ByteSize::mib(50));
        assert_eq!(config.max_votes_in_log(), 10_000);
        assert_eq!(config.max_outstanding_per_replica(), 10);
        assert_eq!((config.max_checkpoints(), config.max_logs()), (4, 10));
        assert_eq!(config.max_checkpoint_size(), ByteSize::bytes(0));
        assert_eq!(config.min_checkpoint_space_file_count(), 0);
        assert_eq!((config.log_len_randomize_percent(), config.election_randomize_percent()), (20, 10));
        assert_eq!(config.fast_read_threshold(), 0);
        assert_eq!(config.execution_queue_limit(), ByteSize::mib(50));
        assert_eq!(config.reader_thread_count(), 1);
        assert_eq!(config.max_message_size(), ByteSize::mib(100));
        assert_eq!(config.max_message_alert_size(), ByteSize::bytes(0));
        assert!(config.cancel_disk_io() && config.member_id_in_working_dir);
        assert!(!config.promote_while_catching_up && !config.use_global_accept_flag);
    }

    /// [API-23] [API-24] [WIRE-113] Both ends of a range are allowed, the values beyond are not, and the error names the field.
    #[test]
    fn ranges_are_checked() {
        let ok = |builder: ConfigBuilder| builder.build().is_ok();
        assert!(ok(builder().election_delay(seconds(1))) && ok(builder().election_delay(seconds(3600))));
        assert_eq!(field(builder().election_delay(seconds(0)).build()), "m_electionDelaySec");
        assert_eq!(field(builder().election_delay(seconds(3601)).build()), "m_electionDelaySec");
        assert!(ok(builder().max_election_randomize(Duration::ZERO)));
        assert_eq!(
            field(builder().max_election_randomize(seconds(1 << 31)).build()),
            "m_maxElectionRandomizeSec"
        );
        assert!(ok(builder().max_checkpoint_interval(seconds(i64::MAX as u64))));
        assert_eq!(
            field(builder().max_checkpoint_interval(seconds(1 << 63)).build()),
            "m_maxCheckpointIntervalSec"
        );
        assert_eq!(field(builder().max_log_len(ByteSize::mib(102_401)).build()), "m_maxLogLenMB");
        assert_eq!(field(builder().max_log_len(ByteSize::bytes(1)).build()), "m_maxLogLenMB");
        assert_eq!(field(builder().max_cache_len(ByteSize::mib(1025)).build()), "m_maxCacheLengthMB");
        assert_eq!(field(builder().max_checkpoints(0).build()), "m_maxCheckpoints");
        assert_eq!(field(builder().max_logs(1 << 31).build()), "m_maxLogs");
        assert_eq!(field(builder().election_randomize_percent(101).build()), "m_electionRandomize");
        assert_eq!(field(builder().log_len_randomize_percent(101).build()), "m_logLenRandomize");
        assert_eq!(field(builder().reader_threads(101).build()), "m_numReaderThreads");
        assert_eq!(field(builder().max_message_size(ByteSize::bytes(0)).build()), "m_maxMessageSizeMB");
        assert_eq!(Config::builder("").build(), Err(ConfigError::NoWorkingDirectory));
        // The first wrong field of the table is named.
        let both = builder().max_logs(0).heartbeat_interval(Duration::ZERO).build();
        assert_eq!(field(both), "m_heartBeatIntervalSec");
        let text = builder().max_logs(0).build().unwrap_err().to_string();
        assert_eq!(text, "m_maxLogs is 0, allowed is 1 to 2147483647");
    }

    /// [HARD-518] [HARD-2] [HARD-558] Sizes are computed in 64 bits; a promise with the largest vote fits a packet.
    #[test]
    fn size_limits_do_not_overflow() {
        let limits = |mib| builder().max_message_size(ByteSize::mib(mib)).build().unwrap();
        assert_eq!(limits(1).packet_limit(), (1 << 20) + 1024);
        assert_eq!(limits(1).max_vote_len(), (1 << 20) + 1024 - 20 - 172);
        assert_eq!(limits(4096).packet_limit(), 2047 * (1 << 20) + 1024);
        let queue = builder().execution_queue_size(ByteSize::mib(4096)).build().unwrap();
        assert_eq!(queue.execution_queue_limit().as_bytes(), 1 << 32);
    }
}
