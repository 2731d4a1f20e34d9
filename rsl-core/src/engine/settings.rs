//! The settings the engine runs with; the driver derives them from the replica's configuration.

use std::time::Duration;

use crate::types::{MemberId, ProtocolVersion};

/// Settings of one engine, already validated. Randomization is the engine's own business.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This replica.
    pub member: MemberId,
    /// Its learn port in use [WIRE-1].
    pub learn_port: u16,
    /// The version it starts to speak [PROTO-41].
    pub version: ProtocolVersion,
    /// Postpones the own election after another member's new ballot. Legacy: m_newLeaderGracePeriodSec.
    pub new_leader_grace_period: Duration,
    /// Longest pause between votes of an idle primary. Legacy: m_heartBeatIntervalSec.
    pub heartbeat_interval: Duration,
    /// Silence after which a secondary stands for election. Legacy: m_electionDelaySec.
    pub election_delay: Duration,
    /// Its randomization in percent, 0..=100. Legacy: m_electionRandomize.
    pub election_randomize_percent: u32,
    /// Bound of that randomization. Legacy: m_maxElectionRandomizeSec.
    pub max_election_randomize: Duration,
    /// Period of the status rounds. Legacy: m_initializeRetryIntervalSec.
    pub initialize_retry_interval: Duration,
    /// Resending a Prepare to a peer that is not connected. Legacy: m_prepareRetryIntervalSec.
    pub prepare_retry_interval: Duration,
    /// Resending a vote to a peer that is not connected. Legacy: m_voteRetryIntervalSec.
    pub vote_retry_interval: Duration,
    /// Resending to a connected peer. Legacy: m_receiveTimeoutSec.
    pub receive_timeout: Duration,
    /// A vote without majority for this long makes the primary step down. Legacy: m_voteMaxOutstandingIntervalSec.
    pub vote_max_outstanding_interval: Duration,
    /// Period of a primary's search for a checkpoint to copy. Legacy: m_cPQueryRetryIntervalSec.
    pub checkpoint_query_interval: Duration,
    /// Period of the invitations to a new configuration. Legacy: m_joinMessagesIntervalSec.
    pub join_messages_interval: Duration,
    /// Time between checkpoints; zero = by log size only. Legacy: m_maxCheckpointIntervalSec.
    pub max_checkpoint_interval: Duration,
    /// Log size in bytes at which a new file is started. Legacy: m_maxLogLenMB.
    pub max_log_len: u64,
    /// Its randomization in percent, 0..=100. Legacy: m_logLenRandomize.
    pub log_len_randomize_percent: u32,
    /// Bytes of votes kept while initializing. Legacy: m_maxCacheLengthMB.
    pub max_cache_len: u64,
    /// Largest vote in bytes: the message limit less the envelope of a PrepareAccepted [HARD-558].
    pub max_vote_len: u64,
    /// Stand for election although passed decrees wait for execution. Legacy: m_allowPrimaryPromotionWhileCatchingUp.
    pub promote_while_catching_up: bool,
    /// Believe Bootstrap messages of peers [HARD-308] (decision 15).
    pub remote_bootstrap: bool,
    /// Use the flag of SetAcceptMessages instead of asking the application. Legacy: m_useGlobalAcceptMessagesFlag.
    pub use_global_accept_flag: bool,
}
