//! What a restart reports, and why it fails.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::log_writer::LogWriteError;
use crate::format::{FaultReason, LogFault};
use crate::types::{Decree, Position};
use crate::wire::EncodeError;

/// Something remarkable that did not prevent the start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A name that looks like a log or checkpoint and is ignored [HARD-57].
    ForeignName(String),
    /// A checkpoint that could not be used.
    CheckpointSkipped {
        /// Its decree by its name.
        decree: Decree,
        /// Why.
        reason: String,
        /// The hardening clause that asks for this, where legacy would use the file or die of it.
        clause: Option<&'static str>,
    },
    /// A torn last record was dropped [STOR-30].
    TornTail {
        /// The log.
        path: PathBuf,
        /// Where it starts.
        offset: u64,
        /// Its decree and ballot, unverified.
        position: Position,
    },
    /// A complete last record with a wrong checksum was dropped: it may have been acknowledged [HARD-34].
    DamagedTail {
        /// The log.
        path: PathBuf,
        /// Where it starts.
        offset: u64,
        /// Its decree and ballot, unverified.
        position: Position,
    },
    /// Less than a page followed the last record [HARD-33].
    PartialPage {
        /// The log.
        path: PathBuf,
        /// Where it starts.
        offset: u64,
    },
    /// Part of the history is missing because a newer checkpoint could not be used; these logs were set aside
    /// [HARD-374].
    HistoryEnds {
        /// The last usable vote.
        last: Position,
        /// Logs behind the gap.
        set_aside: Vec<PathBuf>,
    },
    /// Whole records stand behind one that goes beyond the end of its file, so its length is damaged. They are dropped
    /// with it; votes among them have to be learned anew before the replica votes again [HARD-34] [HARD-374].
    RecordsBeyondTorn {
        /// The log.
        path: PathBuf,
        /// Where the damaged record starts.
        offset: u64,
        /// The last of them.
        last: Position,
    },
    /// A log that begins with votes read before and holds nothing new. Legacy passes over them, too, but appends to it
    /// and dies of that; ours sets it aside.
    RepeatingLog(PathBuf),
    /// A checkpoint asked for during replay could not be saved.
    SaveFailed(String),
    /// The application's load of nothing failed on a first start (decision 5).
    FirstLoadRefused,
}

impl Note {
    /// The hardening clause under which this differs from legacy, if it does.
    #[must_use]
    pub const fn clause(&self) -> Option<&'static str> {
        match self {
            Note::ForeignName(_) => Some("HARD-57"),
            Note::PartialPage { .. } => Some("HARD-33"),
            Note::HistoryEnds { .. } | Note::RecordsBeyondTorn { .. } => Some("HARD-374"),
            Note::DamagedTail { .. } => Some("HARD-34"),
            Note::CheckpointSkipped { clause, .. } => *clause,
            Note::TornTail { .. } | Note::RepeatingLog(_) | Note::SaveFailed(_) | Note::FirstLoadRefused => {
                None
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::ForeignName(name) => write!(f, "{name} is ignored: no file of a canonical name"),
            Note::CheckpointSkipped { decree, reason, .. } => {
                write!(f, "the checkpoint of decree {decree} is passed over: {reason}")
            }
            Note::TornTail { path, offset, position } => write!(
                f,
                "{} at offset {offset}: the file ends inside record {position}, which is dropped",
                path.display()
            ),
            Note::DamagedTail { path, offset, position } => write!(
                f,
                "{} at offset {offset}: the complete last record {position} has a wrong checksum and is dropped; it \
                 may have been acknowledged",
                path.display()
            ),
            Note::PartialPage { path, offset } => {
                write!(f, "{} at offset {offset}: less than a page is dropped", path.display())
            }
            Note::HistoryEnds { last, set_aside } => {
                write!(f, "the history ends at {last}: what follows was covered by an unusable checkpoint;")?;
                let names: Vec<_> = set_aside.iter().map(|path| path.display().to_string()).collect();
                write!(f, " set aside: {}", names.join(", "))
            }
            Note::RecordsBeyondTorn { path, offset, last } => write!(
                f,
                "{} at offset {offset}: whole records through {last} stand behind one with a damaged length; they \
                 are dropped, and votes among them will be learned anew",
                path.display()
            ),
            Note::RepeatingLog(path) => {
                write!(f, "{} repeats older records and nothing else: set aside", path.display())
            }
            Note::SaveFailed(reason) => {
                write!(f, "a checkpoint asked for during replay was not saved: {reason}")
            }
            Note::FirstLoadRefused => write!(f, "the application refused its first load of nothing"),
        }
    }
}

/// Why a replica cannot start from its directory.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), offset.map(|at| format!(" at offset {at}")).unwrap_or_default())]
pub struct RestoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: Option<u64>,
    /// What is wrong.
    pub reason: Box<RestoreReason>,
}

/// What prevents a start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreReason {
    /// The device failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Logs are missing by their names [STOR-61].
    #[error("the logs from decree {0} on are missing")]
    MissingLog(Decree),
    /// A log is damaged [STOR-29].
    #[error("{0}")]
    Damaged(String),
    /// A log that is not the last ends in a piece of a page [STOR-30].
    #[error("a piece of a page in a log that is not the last")]
    PartialPage,
    /// A log that is not the last ends in a torn record, and the next does not start with it [HARD-35].
    #[error(
        "a torn record of decree {0} in a log that is not the last, and the next log does not start with it"
    )]
    TornInside(Decree),
    /// The last record is complete but damaged, and the settings forbid to drop it [HARD-34].
    #[error("the last record ({0}) is damaged; it may have been acknowledged")]
    DamagedTail(Position),
    /// A record with the empty ballot [STOR-15] [HARD-375].
    #[error("a record with the empty ballot")]
    EmptyBallot,
    /// Decrees are missing [STOR-17] [HARD-375].
    #[error("vote {found} where decree {expected} was expected")]
    Gap {
        /// The decree that should have come, or the last one again.
        expected: Decree,
        /// What came.
        found: Position,
    },
    /// A vote that cannot follow the one before [STOR-17] [HARD-375].
    #[error("vote {found} cannot follow {previous}")]
    NotNext {
        /// The vote before.
        previous: Box<Position>,
        /// What came.
        found: Position,
    },
    /// A ReconfigurationDecision without the vote it decides [STOR-18] [HARD-375].
    #[error("the decision {0} does not follow the reconfiguration vote it decides")]
    DecisionWithoutVote(Position),
    /// The application could not load its initial state [HARD-573].
    #[error("the application refuses to start without a checkpoint")]
    LoadRefused,
    /// The replica has a history, but nothing says who its members are [STOR-64].
    #[error("neither the files nor the caller say who the members are")]
    NoMembers,
    /// A value cannot be encoded in the configured version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The log could not be written.
    #[error(transparent)]
    Write(#[from] LogWriteError),
}

impl RestoreReason {
    /// The hardening clause that asks for this failure where legacy does something else.
    #[must_use]
    pub const fn clause(&self) -> Option<&'static str> {
        match self {
            RestoreReason::TornInside(_) => Some("HARD-35"),
            RestoreReason::DamagedTail(_) => Some("HARD-34"),
            RestoreReason::EmptyBallot
            | RestoreReason::Gap { .. }
            | RestoreReason::NotNext { .. }
            | RestoreReason::DecisionWithoutVote(_) => Some("HARD-375"),
            RestoreReason::LoadRefused => Some("HARD-573"),
            RestoreReason::Io(_)
            | RestoreReason::MissingLog(_)
            | RestoreReason::Damaged(_)
            | RestoreReason::PartialPage
            | RestoreReason::NoMembers
            | RestoreReason::Encode(_)
            | RestoreReason::Write(_) => None,
        }
    }
}

impl RestoreError {
    pub(super) fn new(path: impl Into<PathBuf>, reason: impl Into<RestoreReason>) -> RestoreError {
        RestoreError { path: path.into(), offset: None, reason: Box::new(reason.into()) }
    }

    pub(super) fn at(path: impl Into<PathBuf>, offset: u64, reason: RestoreReason) -> RestoreError {
        RestoreError { path: path.into(), offset: Some(offset), reason: Box::new(reason) }
    }

    pub(super) fn fault(path: impl Into<PathBuf>, fault: LogFault) -> RestoreError {
        let offset = fault.offset;
        let reason = match fault.reason {
            FaultReason::Io(error) => RestoreReason::Io(error),
            FaultReason::Record(error) => RestoreReason::Damaged(error.to_string()),
        };
        RestoreError::at(path, offset, reason)
    }
}
