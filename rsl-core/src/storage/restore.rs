//! Restart: from a working directory to the state an engine begins with, and a log ready to be appended to [STOR-59].

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint_reader::{CheckpointError, CheckpointReader};
use super::directory::{Directory, Listing, read_defunct, read_promise};
use super::disk::{DiskFile, OpenMode};
use super::log_index::{IndexedLog, LogIndex};
use super::log_writer::{LogWriteError, LogWriter, create_log};
use super::replay::{Loaded, Replay, ScannedLog};
use super::retention::Retention;
use crate::engine::{CheckpointInfo, Recovered};
use crate::format::{FileName, LogFault, Promise, Record, TailRecord};
use crate::types::{Ballot, Configuration, Decree, MemberId, MemberSet, Position, ProtocolVersion};
use crate::wire::{EncodeError, Header, Prepare, PrimaryCookie, Vote};

/// What a restart must know beside the files.
#[derive(Clone, Debug)]
pub struct RestoreSettings {
    /// This replica.
    pub member: MemberId,
    /// The version it is configured to speak [STOR-65].
    pub version: ProtocolVersion,
    /// The members given at initialization, for replicas whose files hold none [STOR-64].
    pub initial_members: Option<Arc<MemberSet>>,
    /// What is kept when a checkpoint is saved while replaying.
    pub retention: Retention,
    /// Fail instead of dropping a complete last record with a wrong checksum, which may have been acknowledged
    /// [HARD-34].
    pub refuse_damaged_tail: bool,
}

/// How the application answered a request to save its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveAnswer {
    /// All of it is written.
    Saved,
    /// It does not want to save now: automatic saving stays off [XFER-38].
    Refused,
    /// Writing failed.
    Failed,
}

/// The application, as a restart drives it. Called from one thread, in order.
pub trait RestoreTarget {
    /// Loads the state of a checkpoint, or the initial state. False = not usable: an older checkpoint is tried.
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool;

    /// Executes the requests of the next decree; true when one of them asks for a checkpoint.
    fn execute(&mut self, vote: &Vote) -> bool;

    /// A reconfiguration has been executed.
    fn reconfigured(&mut self, configuration: &Configuration);

    /// Saves its state [XFER-46].
    fn save(&mut self, into: &mut dyn Write) -> SaveAnswer;

    /// That checkpoint is durable under its final name.
    fn saved(&mut self, checkpoint: &CheckpointInfo) {
        let _ = checkpoint;
    }
}

/// A restored replica.
#[derive(Debug)]
pub struct Restored {
    /// What the engine begins with.
    pub recovered: Recovered,
    /// Appends behind the last accepted record.
    pub log: LogWriter,
    /// What the operator should know.
    pub notes: Vec<Note>,
    /// The application declined to save during replay: automatic saving is off [XFER-46].
    pub saving_refused: bool,
}

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
            Note::TornTail { .. } | Note::SaveFailed(_) | Note::FirstLoadRefused => None,
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
            crate::format::FaultReason::Io(error) => RestoreReason::Io(error),
            crate::format::FaultReason::Record(error) => RestoreReason::Damaged(error.to_string()),
        };
        RestoreError::at(path, offset, reason)
    }
}

/// Restores a replica: loads the newest usable checkpoint into `target`, replays the logs, cuts a torn tail off and
/// opens the log for appending [STOR-59] [XFER-44].
///
/// # Errors
/// When the files do not allow a safe start; nothing has been deleted then.
pub fn restore(
    directory: &Directory,
    settings: &RestoreSettings,
    target: &mut dyn RestoreTarget,
) -> Result<Restored, RestoreError> {
    let path = directory.path();
    let failed = |error: io::Error| RestoreError::new(path, error);
    let listing = Listing::read(&**directory.disk(), path).map_err(failed)?;
    let defunct = read_defunct(&**directory.disk(), path).map_err(failed)?;
    let known = read_promise(&**directory.disk(), path).map_err(failed)?;
    let mut replay = Replay::new(directory.disk(), path, &listing, settings, known)?;
    replay.run(target, Some(directory))?;
    let checkpoint_lag = replay.checkpoint_lag();
    // Names that an earlier process left without a sync are built upon from here on [STOR-19] [HARD-50].
    directory.disk().sync_dir(path).map_err(failed)?;
    let log = open_log(directory, settings, &mut replay)?;
    if !replay.saved.is_empty() {
        // Deleting is best effort; what is left goes with the next checkpoint [STOR-58].
        drop(directory.retain(settings.retention));
    }
    let recovered = Recovered {
        accepted: replay.accepted,
        promised: replay.promised,
        executed: replay.executed,
        state_configuration: replay.state_configuration,
        voting_configuration: replay.voting_configuration,
        checkpoint: replay.checkpoint.map(|loaded| loaded.info),
        defunct,
        relearn: replay.relearn,
        checkpoint_lag,
        logs: log.index().files(),
    };
    Ok(Restored { recovered, log, notes: replay.notes, saving_refused: replay.saving_refused })
}

/// Opens the log for appending, as the replay found it.
fn open_log(
    directory: &Directory,
    settings: &RestoreSettings,
    replay: &mut Replay<'_>,
) -> Result<LogWriter, RestoreError> {
    set_aside(directory, replay)?;
    let mut logs = std::mem::take(&mut replay.logs);
    if let Some(loaded) = replay.checkpoint.as_ref().filter(|_| replay.ahead) {
        return open_ahead(directory, settings, replay, loaded, logs);
    }
    let Some(mut newest) = logs.pop() else {
        return create(directory, replay.accepted.decree());
    };
    // A file before the newest is cut only where nothing but empty files follow it.
    if newest.end.size == 0
        && let Some(before) = logs.iter_mut().rev().find(|log| log.end.size > 0)
    {
        cut_tail(directory, before)?;
    }
    cut_tail(directory, &mut newest)?;
    let mut indexed: Vec<_> = logs.into_iter().map(|log| log.indexed).collect();
    indexed.push(newest.indexed.clone());
    Ok(writer(directory, indexed, &newest.indexed))
}

fn writer(directory: &Directory, indexed: Vec<IndexedLog>, newest: &IndexedLog) -> LogWriter {
    let index = LogIndex::new(directory.path().to_owned(), indexed);
    LogWriter::new(Arc::clone(directory.disk()), index, newest)
}

/// Starts a log file without records, durably [HARD-50].
fn create(directory: &Directory, name: Decree) -> Result<LogWriter, RestoreError> {
    let path = directory.file(FileName::Log(name));
    let file = create_log(&**directory.disk(), &path)
        .and_then(|file| directory.disk().sync_dir(directory.path()).map(|()| file))
        .map_err(|error| RestoreError::new(path, error))?;
    let log = IndexedLog::new(name, file);
    Ok(writer(directory, vec![log.clone()], &log))
}

/// The checkpoint is ahead of every log: a log named after its next vote goes on. One that is there already is
/// appended to, never emptied [HARD-371]; promises that would be forgotten are carried over [HARD-40] [HARD-41].
fn open_ahead(
    directory: &Directory,
    settings: &RestoreSettings,
    replay: &Replay<'_>,
    loaded: &Loaded,
    logs: Vec<ScannedLog>,
) -> Result<LogWriter, RestoreError> {
    let vote = &loaded.next_vote;
    let name = vote.decree();
    let existing = logs.into_iter().find(|log| log.indexed.name == name);
    let mut covered = Ballot::EMPTY;
    let mut log = match existing {
        Some(mut log) => {
            covered = log.highest_ballot;
            cut_tail(directory, &mut log)?;
            writer(directory, vec![log.indexed.clone()], &log.indexed)
        }
        None => create(directory, name)?,
    };
    let fail = |error: LogWriteError| RestoreError::new(error.path.clone(), error);
    if vote.ballot() != Ballot::EMPTY {
        covered = covered.max(vote.ballot());
        log.append(&Record::Vote(vote.clone()), None).map_err(fail)?;
    }
    if loaded.version.has_configuration() {
        covered = covered.max(loaded.promised);
    }
    if replay.promised > covered {
        let version = loaded.version.max(settings.version);
        let number = replay.voting_configuration.number;
        let header = Header::new(version, replay.promised.member, name, number, replay.promised);
        let prepare = Record::Prepare(Prepare { header, cookie: PrimaryCookie::new() });
        // In versions 1 and 2 a record would trip legacy over the next checkpoint, which says too little.
        if loaded.version.has_configuration() && prepare.encode().is_ok() {
            log.append(&prepare, None).map_err(fail)?;
        } else {
            let promise = Promise { promised: replay.promised, relearn: None };
            directory.remember(promise).map_err(|error| RestoreError::new(directory.path(), error))?;
        }
    }
    log.flush().map_err(fail)?;
    Ok(log)
}

/// Cuts what follows the last accepted record before anything is appended [HARD-32] [HARD-367], and makes what stays
/// durable: a process that died between its write and its sync leaves records that are not, and from here on they are
/// spoken of [STOR-19].
fn cut_tail(directory: &Directory, log: &mut ScannedLog) -> Result<(), RestoreError> {
    let path = directory.file(FileName::Log(log.indexed.name));
    let cut = || -> io::Result<Arc<dyn DiskFile>> {
        let file = directory.disk().open(&path, OpenMode::Write)?;
        if file.size()? > log.end.offset {
            file.set_len(log.end.offset)?;
        }
        file.sync()?;
        Ok(file)
    };
    log.indexed.file = cut().map_err(|error| RestoreError::new(&path, error))?;
    Ok(())
}

/// Notes what unusable records prove before they go, and takes logs behind a gap out of the way [HARD-374].
fn set_aside(directory: &Directory, replay: &mut Replay<'_>) -> Result<(), RestoreError> {
    if replay.behind_gap.is_empty() && !replay.beyond_torn {
        return Ok(());
    }
    let failed = |error| RestoreError::new(directory.path(), error);
    let promise = Promise { promised: replay.promised, relearn: replay.relearn };
    directory.remember(promise).map_err(failed)?;
    for log in &replay.behind_gap {
        let path = directory.file(FileName::Log(*log));
        let mut aside = path.clone().into_os_string();
        aside.push(".unreachable");
        directory.disk().rename(&path, aside.as_ref()).map_err(|error| RestoreError::new(path, error))?;
    }
    directory.disk().sync_dir(directory.path()).map_err(failed)
}

/// How a checkpoint error reads in a note.
pub(super) fn skipped(decree: Decree, error: &CheckpointError) -> Note {
    Note::CheckpointSkipped { decree, reason: error.to_string(), clause: error.clause() }
}

/// Position of an unaccepted record.
pub(super) const fn tail_position(tail: &TailRecord) -> Position {
    tail.header.position()
}

/// How much younger `newer` is.
pub(super) fn lag(newer: Option<Duration>, older: Option<Duration>) -> Duration {
    match (newer, older) {
        (Some(newer), Some(older)) => newer.saturating_sub(older),
        _ => Duration::ZERO,
    }
}
