//! What a restart found on disk: the durable state an engine begins with.

use std::time::Duration;

use crate::types::{Ballot, Configuration, Decree, Position};
use crate::wire::Vote;

/// The result of restoring a working directory [STOR-59] [XFER-44].
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The highest accepted vote. With nothing accepted: an empty vote with the empty ballot (decree 0, or the
    /// first decree of a configuration), which is not logged.
    pub accepted: Vote,
    /// The highest ballot promised or accepted.
    pub promised: Ballot,
    /// The last executed decree.
    /// Invariant: `executed + 1 == accepted.decree()`, or both are 0 [PROTO-25].
    pub executed: Decree,
    /// The configuration recorded in the executed state.
    pub state_configuration: Configuration,
    /// The configuration that decides the next decrees.
    pub voting_configuration: Configuration,
    /// The newest usable checkpoint.
    pub checkpoint: Option<CheckpointInfo>,
    /// The highest defunct configuration number (`defunct.txt`).
    pub defunct: u32,
    /// Set when part of the history is missing [HARD-374]: the highest vote this replica is known to have accepted.
    /// It takes no part in votes or elections before it has learned that decree anew.
    pub relearn: Option<Position>,
    /// How much younger the newest log file is than the checkpoint [XFER-32].
    pub checkpoint_lag: Duration,
    /// The logs from the one selected at restore to the current one, oldest first; at least one [STOR-28].
    pub logs: Vec<LogFileInfo>,
}

/// A checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// It holds the state after this decree.
    pub decree: Decree,
    /// File size in bytes; 0 when unknown.
    pub size: u64,
}

/// A log file that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFileInfo {
    /// The number in its name.
    pub name: Decree,
    /// Decrees of its first and last Vote record.
    pub votes: Option<(Decree, Decree)>,
    /// Bytes of its records.
    pub len: u64,
}
