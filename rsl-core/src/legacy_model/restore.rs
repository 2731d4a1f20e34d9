//! Restart from a directory as legacy does it: storage.md sections 3 and 5, transfer.md section 6, without what HARD
//! clauses ask for beyond.
//!
//! Shared with the product are codecs, the reader of checkpoint files, the scanner that finds the records of a log
//! [STOR-29], and the writers. Files of our own (`promise.dat`) mean nothing to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{CheckpointInfo, Recovered};
use crate::format::{FileName, LegacyName, LogScanner, Record, Step, Tail};
use crate::storage::{
    CheckpointReader, CheckpointWriter, DirEntry, Directory, DiskFile, IndexedLog, LogIndex, LogWriter,
    NewCheckpoint, OpenMode, PublishError, RestoreError, RestoreReason, RestoreSettings, RestoreTarget,
    Restored, SaveAnswer, read_defunct,
};
use crate::types::{Ballot, Configuration, Decree, Position};
use crate::wire::{Header, Vote, VoteContent};

/// Why legacy does not start.
#[derive(Debug)]
pub enum NoStart {
    /// Its start fails, and the application hears of it.
    Failed(RestoreError),
    /// An assertion fails: the process is gone. The text names the clause.
    Died(String),
}

impl From<RestoreError> for NoStart {
    fn from(error: RestoreError) -> NoStart {
        NoStart::Failed(error)
    }
}

/// Restores a replica as legacy does [STOR-59].
///
/// # Errors
/// When legacy fails its start, or dies.
pub fn restore(
    directory: &Directory,
    settings: &RestoreSettings,
    target: &mut dyn RestoreTarget,
) -> Result<Restored, NoStart> {
    let mut restart = Restart::new(directory, settings, target)?;
    restart.load_checkpoint()?;
    restart.read_logs()?;
    let log = restart.open_log()?;
    restart.finish(log)
}

struct Restart<'a> {
    directory: &'a Directory,
    settings: &'a RestoreSettings,
    target: &'a mut dyn RestoreTarget,
    entries: Vec<DirEntry>,
    /// `CPS` and `LOGS`, ascending.
    checkpoints: Vec<Decree>,
    logs: Vec<Decree>,
    /// `conf` and `paxosConf`.
    state: Configuration,
    voting: Configuration,
    /// `acc`, `M`, `exec`.
    accepted: Vote,
    promised: Ballot,
    executed: Decree,
    /// `cpVote`, and the newest checkpoint.
    next_vote: Option<Vote>,
    checkpoint: Option<CheckpointInfo>,
    indexed: Vec<IndexedLog>,
    saving_refused: bool,
}

impl<'a> Restart<'a> {
    fn new(
        directory: &'a Directory,
        settings: &'a RestoreSettings,
        target: &'a mut dyn RestoreTarget,
    ) -> Result<Restart<'a>, NoStart> {
        let path = directory.path();
        let entries = directory.disk().list(path).map_err(|error| failed(path, error))?;
        let (mut checkpoints, mut logs) = (Vec::new(), Vec::new());
        for entry in &entries {
            match LegacyName::parse(&entry.name) {
                LegacyName::Ignored => {}
                LegacyName::File(FileName::Log(decree)) => logs.push(decree),
                LegacyName::File(FileName::Checkpoint(decree)) => checkpoints.push(decree),
                // HARD-57
                LegacyName::Fatal => {
                    let reason = RestoreReason::Damaged("a name without a number".to_owned());
                    return Err(failed(&path.join(&entry.name), reason));
                }
            }
        }
        logs.sort_unstable();
        checkpoints.sort_unstable();
        let state = Configuration {
            number: u32::from(settings.initial_members.is_some()),
            initial_decree: Decree::ZERO,
            members: Arc::default(),
        };
        let mut restart = Restart {
            accepted: empty_vote(directory, settings, Decree::ZERO, state.number)?,
            directory,
            settings,
            target,
            entries,
            checkpoints,
            logs,
            voting: state.clone(),
            state,
            promised: Ballot::EMPTY,
            executed: Decree::ZERO,
            next_vote: None,
            checkpoint: None,
            indexed: Vec::new(),
            saving_refused: false,
        };
        // Only matters for a checkpoint that is saved on the way.
        restart.take_initial_members();
        Ok(restart)
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.directory.file(name)
    }

    /// The newest checkpoint that loads; without one, nothing [STOR-61] [STOR-62].
    fn load_checkpoint(&mut self) -> Result<(), NoStart> {
        for decree in self.checkpoints.clone().into_iter().rev() {
            let next = decree.next();
            if self.logs.last().is_some_and(|last| *last > next) && self.logs.iter().all(|log| *log > next) {
                return Err(failed(self.directory.path(), RestoreReason::MissingLog(next)));
            }
            let path = self.path(FileName::Checkpoint(decree));
            // What the file says its decree is, is not compared [HARD-48].
            let Ok(mut reader) = CheckpointReader::open(&**self.directory.disk(), &path) else { continue };
            let has_state = reader.header().state_saved;
            if !self.target.load(has_state.then_some(&mut reader)) {
                continue;
            }
            let header = reader.header();
            if let Some(configuration) = &header.configuration {
                self.state = configuration.clone();
                self.voting = configuration.clone();
            }
            self.executed = decree;
            self.promised = header.promised;
            self.next_vote = Some(header.next_vote.clone());
            self.checkpoint = Some(CheckpointInfo { decree, size: reader.file_size() });
            return Ok(());
        }
        if self.logs.first().is_some_and(|first| *first != Decree::ZERO) {
            return Err(failed(self.directory.path(), RestoreReason::MissingLog(Decree::ZERO)));
        }
        // The answer is ignored [HARD-573].
        self.target.load(None);
        Ok(())
    }

    fn read_logs(&mut self) -> Result<(), NoStart> {
        let next = self.executed.next();
        let Some(first) = self.logs.iter().rposition(|log| *log <= next) else { return Ok(()) };
        for index in first..self.logs.len() {
            self.read_log(self.logs[index])?;
        }
        Ok(())
    }

    fn read_log(&mut self, name: Decree) -> Result<(), NoStart> {
        let path = self.path(FileName::Log(name));
        let file =
            self.directory.disk().open(&path, OpenMode::Write).map_err(|error| failed(&path, error))?;
        let mut scanner = LogScanner::new(&*file).map_err(|error| failed(&path, error))?;
        let mut indexed = IndexedLog::new(name, Arc::clone(&file));
        loop {
            match scanner.step() {
                Ok(Step::Record { offset, record }) => {
                    indexed.end = offset + record.padded_len();
                    self.record(&record, &mut indexed, offset)?;
                }
                Ok(Step::End(end)) => {
                    // HARD-33
                    if let Tail::PartialPage { .. } = end.tail {
                        return Err(failed(&path, RestoreReason::PartialPage));
                    }
                    // What is behind the last record stays there [HARD-32] [HARD-367].
                    indexed.end = end.offset;
                    break;
                }
                Err(fault) => return Err(failed(&path, RestoreReason::Damaged(fault.to_string()))),
            }
        }
        self.indexed.push(indexed);
        Ok(())
    }

    fn record(&mut self, record: &Record, log: &mut IndexedLog, offset: u64) -> Result<(), NoStart> {
        let Position { decree, ballot } = record.position();
        if ballot == Ballot::EMPTY {
            return died("a record with the empty ballot [HARD-375]");
        }
        if let Record::Vote(_) = record
            && !log.note(decree, offset)
        {
            return died("votes of a log are not consecutive [HARD-374] [HARD-375]");
        }
        if decree <= self.executed {
            let one_higher = matches!(record, Record::Prepare(_))
                && decree == self.executed
                && self.promised.id.checked_add(1) == Some(ballot.id);
            // HARD-368, HARD-369: skipped, whatever it promises.
            if self.promised == Ballot::EMPTY || self.promised >= ballot || one_higher {
                return Ok(());
            }
            return died("a skipped record has a ballot above the checkpoint's [HARD-368]");
        }
        match record {
            Record::Prepare(_) => self.promised = self.promised.max(ballot),
            Record::Decision(_) => self.decision(decree, ballot)?,
            Record::Vote(vote) => self.vote(vote)?,
        }
        Ok(())
    }

    fn decision(&mut self, decree: Decree, ballot: Ballot) -> Result<(), NoStart> {
        let accepted = self.accepted.position();
        let decides = accepted.decree == decree
            && accepted.ballot >= ballot
            && self.accepted.reconfiguration().is_some();
        if !decides {
            return died("a decision does not follow its vote [HARD-375]");
        }
        self.execute()?;
        self.voting = self.state.clone();
        // A placeholder for the first decree of the configuration.
        self.accepted = empty_vote(self.directory, self.settings, decree.next(), self.voting.number)?;
        self.promised =
            Ballot { id: self.promised.id.wrapping_add(1), member: crate::types::MemberId::EMPTY };
        Ok(())
    }

    fn vote(&mut self, vote: &Vote) -> Result<(), NoStart> {
        let previous = self.accepted.position();
        if previous != Position::default() {
            if !vote.position().is_next(&previous) {
                return died("a vote does not follow the one before [HARD-374] [HARD-375]");
            }
            if vote.decree().follows(previous.decree) && self.execute()? && !self.saving_refused {
                self.save(vote)?;
            }
        }
        self.accepted = vote.clone();
        self.promised = self.promised.max(vote.ballot());
        Ok(())
    }

    /// Executes `acc`; true when the application asks for a checkpoint.
    fn execute(&mut self) -> Result<bool, NoStart> {
        let decree = self.accepted.decree();
        if decree == self.executed {
            return Ok(false);
        }
        if !decree.follows(self.executed) {
            return died("the decree to execute is not the next one [HARD-36]");
        }
        self.executed = decree;
        let save = self.target.execute(&self.accepted);
        if let Some(members) = self.accepted.reconfiguration() {
            self.state = Configuration {
                number: self.state.number.wrapping_add(1),
                initial_decree: decree.next(),
                members: Arc::clone(members),
            };
            self.target.reconfigured(&self.state);
        }
        Ok(save)
    }

    /// [XFER-46]
    fn save(&mut self, next_vote: &Vote) -> Result<(), NoStart> {
        match self.try_save(next_vote) {
            Ok(Some(info)) => {
                self.target.saved(&info);
                self.checkpoint = Some(info);
                self.next_vote = Some(next_vote.clone());
            }
            Ok(None) => self.saving_refused = true,
            Err(error) => return died(&format!("saving a checkpoint failed [HARD-362]: {error}")),
        }
        Ok(())
    }

    fn try_save(&mut self, next_vote: &Vote) -> Result<Option<CheckpointInfo>, PublishError> {
        let new = NewCheckpoint {
            member: self.settings.member,
            version: self.settings.version,
            executed: self.executed,
            next_vote: next_vote.clone(),
            promised: self.promised,
            configuration: self.state.clone(),
            state_saved: true,
        };
        let mut writer = CheckpointWriter::new(self.directory, new)?;
        match self.target.save(&mut writer) {
            SaveAnswer::Saved => writer.finish().map(Some),
            SaveAnswer::Refused => Ok(None),
            SaveAnswer::Failed => Err(std::io::Error::other("the application failed to save").into()),
        }
    }

    /// The log to go on with.
    fn open_log(&mut self) -> Result<LogWriter, NoStart> {
        let ahead = self.next_vote.take().filter(|vote| vote.decree() > self.accepted.decree());
        if let Some(vote) = &ahead {
            self.indexed.clear();
            // Written from its beginning, whatever is in it [HARD-371].
            self.open(vote.decree())?;
            self.accepted = vote.clone();
        } else if self.indexed.is_empty() {
            self.open(self.accepted.decree())?;
        }
        let Some(newest) = self.indexed.last().cloned() else {
            return died("no log to go on with");
        };
        let index = LogIndex::new(self.directory.path().to_owned(), std::mem::take(&mut self.indexed));
        let mut log = LogWriter::new(Arc::clone(self.directory.disk()), index, &newest);
        if let Some(vote) = ahead.filter(|vote| vote.ballot() != Ballot::EMPTY) {
            let written = log.append(&Record::Vote(vote), None).and_then(|()| log.flush());
            if let Err(error) = written {
                return died(&format!("the log cannot be written: {error}"));
            }
        }
        if self.executed != Decree::ZERO && !self.accepted.decree().follows(self.executed) {
            return died("the accepted vote is not the one after the state [HARD-48]");
        }
        Ok(log)
    }

    fn open(&mut self, name: Decree) -> Result<(), NoStart> {
        let (path, disk) = (self.path(FileName::Log(name)), self.directory.disk());
        let file: Arc<dyn DiskFile> = match disk.open(&path, OpenMode::Create) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.open(&path, OpenMode::Write)
            }
            result => result,
        }
        .map_err(|error| failed(&path, error))?;
        self.indexed.push(IndexedLog::new(name, file));
        Ok(())
    }

    /// [STOR-64]
    fn take_initial_members(&mut self) {
        if let Some(members) = &self.settings.initial_members
            && self.state.members.nodes.is_empty()
        {
            self.state.members = Arc::clone(members);
            self.voting.members = Arc::clone(members);
        }
    }

    fn finish(self, log: LogWriter) -> Result<Restored, NoStart> {
        let bootstrapped = self.accepted.ballot().id > 0 || self.accepted.decree() > Decree(1);
        if bootstrapped && self.state.members.nodes.is_empty() {
            return Err(failed(self.directory.path(), RestoreReason::NoMembers));
        }
        let path = self.directory.path();
        let defunct = read_defunct(&**self.directory.disk(), path).map_err(|error| failed(path, error))?;
        let logs = log.index().files();
        let recovered = Recovered {
            checkpoint_lag: self.checkpoint_lag(),
            accepted: self.accepted,
            promised: self.promised,
            executed: self.executed,
            state_configuration: self.state,
            voting_configuration: self.voting,
            checkpoint: self.checkpoint,
            defunct,
            relearn: None,
            logs,
        };
        Ok(Restored { recovered, log, notes: Vec::new(), saving_refused: self.saving_refused })
    }

    /// [STOR-25]
    fn checkpoint_lag(&self) -> Duration {
        let modified = |name: FileName| {
            let name = name.to_string();
            self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.modified)
        };
        let replayed = self.logs.iter().filter(|log| {
            let next = self.checkpoint.map_or(Decree(1), |info| info.decree.next());
            self.logs.iter().rfind(|first| **first <= next).is_some_and(|first| *log >= first)
        });
        let (first, newest) = (replayed.clone().next(), replayed.last());
        let older = match self.checkpoint {
            Some(info) => modified(FileName::Checkpoint(info.decree)),
            None => first.and_then(|log| modified(FileName::Log(*log))),
        };
        let newest = newest.and_then(|log| modified(FileName::Log(*log)));
        newest.zip(older).map_or(Duration::ZERO, |(newest, older)| newest.saturating_sub(older))
    }
}

fn empty_vote(
    directory: &Directory,
    settings: &RestoreSettings,
    decree: Decree,
    configuration: u32,
) -> Result<Vote, NoStart> {
    let header = Header::new(settings.version, settings.member, decree, configuration, Ballot::EMPTY);
    Vote::new(header, &VoteContent::default()).map_err(|error| failed(directory.path(), error))
}

fn failed(path: &Path, reason: impl Into<RestoreReason>) -> NoStart {
    NoStart::Failed(RestoreError { path: path.to_owned(), offset: None, reason: Box::new(reason.into()) })
}

fn died<T>(why: &str) -> Result<T, NoStart> {
    Err(NoStart::Died(format!("legacy crash: {why}")))
}
