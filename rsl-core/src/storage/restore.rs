//! Restart: from a working directory to the state an engine begins with, and a log ready to be appended to [STOR-59].

use std::io::{self, Write};
use std::sync::Arc;

use super::checkpoint_reader::CheckpointReader;
use super::directory::{Directory, Listing, read_defunct, read_promise};
use super::disk::{DiskFile, OpenMode};
use super::log_index::{IndexedLog, LogIndex};
use super::log_writer::{LogWriteError, LogWriter, create_log};
use super::outcome::{Note, RestoreError};
use super::replay::{Loaded, Replay, ScannedLog};
use super::retention::Retention;
use crate::engine::{CheckpointInfo, Recovered};
use crate::format::{FileName, Promise, Record};
use crate::types::{Ballot, Configuration, Decree, MemberId, MemberSet, ProtocolVersion};
use crate::wire::{Header, Prepare, PrimaryCookie, Vote};

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

/// A way to restart from a directory: [`restore`], or that of another consensus core.
pub type Restore = fn(&Directory, &RestoreSettings, &mut dyn RestoreTarget) -> Result<Restored, RestoreError>;

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
    let mut covered = vote.ballot();
    if let Some(log) = &existing {
        covered = covered.max(log.highest_ballot);
    }
    if loaded.version.has_configuration() {
        covered = covered.max(loaded.promised);
    }
    let uncovered = replay.promised > covered;
    if uncovered {
        // Before the new log is there: a crash may leave it without the record below, and nothing reads the old ones.
        let promise = Promise { promised: replay.promised, relearn: None };
        directory.remember(promise).map_err(|error| RestoreError::new(directory.path(), error))?;
    }
    let mut log = match existing {
        Some(mut log) => {
            cut_tail(directory, &mut log)?;
            writer(directory, vec![log.indexed.clone()], &log.indexed)
        }
        None => create(directory, name)?,
    };
    let fail = |error: LogWriteError| RestoreError::new(error.path.clone(), error);
    if vote.ballot() != Ballot::EMPTY {
        log.append(&Record::Vote(vote.clone()), None).map_err(fail)?;
    }
    if uncovered {
        let version = loaded.version.max(settings.version);
        let number = replay.voting_configuration.number;
        let header = Header::new(version, replay.promised.member, name, number, replay.promised);
        let prepare = Record::Prepare(Prepare { header, cookie: PrimaryCookie::new() });
        // For a legacy replica that takes over. In versions 1 and 2 it would trip over the next checkpoint, which says
        // too little.
        if loaded.version.has_configuration() && prepare.encode().is_ok() {
            log.append(&prepare, None).map_err(fail)?;
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

/// Notes what unusable records prove before they go, and what only logs say that are not needed any more. Takes logs behind
/// a gap out of the way [HARD-374], and those that only repeat others: what follows must not be appended behind old votes.
fn set_aside(directory: &Directory, replay: &mut Replay<'_>) -> Result<(), RestoreError> {
    let nothing = replay.behind_gap.is_empty() && replay.repeating.is_empty();
    if nothing && !replay.beyond_torn && !replay.promised_below {
        return Ok(());
    }
    let failed = |error| RestoreError::new(directory.path(), error);
    let promise = Promise { promised: replay.promised, relearn: replay.relearn };
    directory.remember(promise).map_err(failed)?;
    for log in replay.behind_gap.iter().chain(&replay.repeating) {
        let path = directory.file(FileName::Log(*log));
        let mut aside = path.clone().into_os_string();
        aside.push(".unreachable");
        directory.disk().rename(&path, aside.as_ref()).map_err(|error| RestoreError::new(path, error))?;
    }
    directory.disk().sync_dir(directory.path()).map_err(failed)
}
