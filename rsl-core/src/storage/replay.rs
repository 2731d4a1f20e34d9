//! The replay of a working directory: checkpoint selection, then the logs record by record [STOR-59]. Reads only,
//! except for checkpoints that replayed requests ask for.

mod gap;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint_reader::CheckpointReader;
use super::checkpoint_writer::{CheckpointWriter, NewCheckpoint, PublishError};
use super::directory::{Directory, Listing};
use super::disk::{Disk, OpenMode};
use super::log_index::IndexedLog;
use super::outcome::{Note, RestoreError, RestoreReason};
use super::restore::{RestoreSettings, RestoreTarget, SaveAnswer};
use crate::engine::CheckpointInfo;
use crate::format::{FileName, LogEnd, LogScanner, Promise, Record, Step, Tail};
use crate::types::{Ballot, Configuration, Decree, MemberId, Position, ProtocolVersion};
use crate::wire::{EncodeError, Header, Vote, VoteContent};

/// A checkpoint that was loaded, or saved while replaying.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) info: CheckpointInfo,
    pub(super) version: ProtocolVersion,
    /// The highest ballot its header carries.
    pub(super) promised: Ballot,
    pub(super) next_vote: Vote,
    /// Another replica has saved it: what was promised before this replica had come as far may be in older logs only.
    copied: bool,
}

/// A log file that was read.
#[derive(Debug)]
pub(super) struct ScannedLog {
    pub(super) indexed: IndexedLog,
    pub(super) end: LogEnd,
    /// Of its Vote and Prepare records.
    pub(super) highest_ballot: Ballot,
}

/// A torn or damaged vote at the end of a log that is not the last: the next vote must be of its decree [HARD-35].
struct Hidden {
    path: PathBuf,
    offset: u64,
    decree: Decree,
}

/// State of a replay.
pub(super) struct Replay<'a> {
    disk: &'a Arc<dyn Disk>,
    path: &'a Path,
    listing: &'a Listing,
    settings: &'a RestoreSettings,
    /// Nothing after this decree is loaded or executed.
    limit: Decree,
    /// Of the checkpoint or vote that the state comes from.
    pub(super) state_version: ProtocolVersion,
    /// A vote, or an empty one with the empty ballot.
    pub(super) accepted: Vote,
    pub(super) promised: Ballot,
    /// Invariant: `executed <= accepted.decree()` once a vote is accepted.
    pub(super) executed: Decree,
    pub(super) state_configuration: Configuration,
    pub(super) voting_configuration: Configuration,
    pub(super) checkpoint: Option<Loaded>,
    /// The checkpoint is ahead of every log: its next vote is the accepted one.
    pub(super) ahead: bool,
    pub(super) logs: Vec<ScannedLog>,
    /// Whole records stand behind a torn one in the newest log: they go when that is cut off.
    pub(super) beyond_torn: bool,
    /// Names of logs behind a gap that an unusable checkpoint covers, oldest first.
    pub(super) behind_gap: Vec<Decree>,
    /// The last vote behind it, or the placeholder of the configuration that a Decision there has begun.
    behind: Option<Vote>,
    /// Names of logs that only repeat what was read before them.
    pub(super) repeating: Vec<Decree>,
    pub(super) relearn: Option<Position>,
    pub(super) notes: Vec<Note>,
    pub(super) saving_refused: bool,
    /// Logs that are not replayed, and may be deleted, hold a promise that nothing else says.
    pub(super) promised_below: bool,
    /// Checkpoints saved while replaying.
    pub(super) saved: Vec<CheckpointInfo>,
    /// Checkpoints that could not be used, each with the promise in its header if only its state could not be loaded.
    unusable: Vec<(Decree, Ballot)>,
    /// Decree of the last vote record read.
    last_vote: Option<Decree>,
    hidden: Option<Hidden>,
}

/// The log that is being read.
struct Current<'a> {
    path: &'a Path,
    name: Decree,
    /// A vote or decision of it has been used.
    used: bool,
    /// A vote of it has been read.
    has_votes: bool,
    /// It begins with a vote that was read before.
    repeats: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        disk: &'a Arc<dyn Disk>,
        path: &'a Path,
        listing: &'a Listing,
        settings: &'a RestoreSettings,
        known: Promise,
    ) -> Result<Replay<'a>, RestoreError> {
        let number = u32::from(settings.initial_members.is_some());
        let configuration = Configuration::empty(number);
        let accepted = empty_vote(settings.version, settings.member, Decree::ZERO, number)
            .map_err(|error| RestoreError::new(path, error))?;
        Ok(Replay {
            disk,
            path,
            listing,
            settings,
            limit: Decree(u64::MAX),
            state_version: settings.version,
            accepted,
            promised: known.promised,
            executed: Decree::ZERO,
            state_configuration: configuration.clone(),
            voting_configuration: configuration,
            checkpoint: None,
            ahead: false,
            logs: Vec::new(),
            beyond_torn: false,
            behind_gap: Vec::new(),
            behind: None,
            repeating: Vec::new(),
            relearn: known.relearn,
            notes: listing.foreign.iter().cloned().map(Note::ForeignName).collect(),
            saving_refused: false,
            promised_below: false,
            saved: Vec::new(),
            unusable: Vec::new(),
            last_vote: None,
            hidden: None,
        })
    }

    /// Ends with this decree, for replay mode [STOR-66].
    pub(super) fn up_to(mut self, limit: Decree) -> Replay<'a> {
        self.limit = limit;
        self
    }

    /// Runs the whole replay. `save_to` is where checkpoints may be saved; without it nothing is written.
    pub(super) fn run(
        &mut self,
        target: &mut dyn RestoreTarget,
        save_to: Option<&Directory>,
    ) -> Result<(), RestoreError> {
        self.choose_checkpoint(target)?;
        self.take_initial_members();
        self.read_logs(target, save_to)?;
        // Of what was copied no log says the promise [PROTO-14]. It counts when all is read: a Decision on the way makes
        // more of a promise than was there.
        self.promised =
            self.unusable.iter().fold(self.promised, |promised, (_, ballot)| promised.max(*ballot));
        self.take_next_vote()?;
        self.require_members()?;
        let position = self.accepted.position();
        // As the engine decides when it is done: by decree, then by ballot.
        self.relearn =
            self.relearn.filter(|wanted| (wanted.decree, wanted.ballot) > (position.decree, position.ballot));
        Ok(())
    }

    /// How much younger the newest replayed log is than the checkpoint, or than the first replayed log [XFER-32].
    pub(super) fn checkpoint_lag(&self) -> Duration {
        let modified = |name| self.listing.modified(name);
        let newest = self.logs.last().and_then(|log| modified(FileName::Log(log.indexed.name)));
        let first = self.logs.first().and_then(|log| modified(FileName::Log(log.indexed.name)));
        let older = match &self.checkpoint {
            Some(loaded) => modified(FileName::Checkpoint(loaded.info.decree)),
            None => first,
        };
        newest.zip(older).map_or(Duration::ZERO, |(newest, older)| newest.saturating_sub(older))
    }

    fn choose_checkpoint(&mut self, target: &mut dyn RestoreTarget) -> Result<(), RestoreError> {
        let listing = self.listing;
        for &decree in listing.checkpoints.iter().rev().filter(|decree| **decree <= self.limit) {
            self.require_logs_after(decree)?;
            let path = self.path.join(FileName::Checkpoint(decree).to_string());
            let opened = CheckpointReader::open(&**self.disk, &path)
                .and_then(|reader| reader.expect_decree(decree).map(|()| reader));
            let mut reader = match opened {
                Ok(reader) => reader,
                Err(error) => {
                    self.unusable.push((decree, Ballot::EMPTY));
                    let reason = error.to_string();
                    self.notes.push(Note::CheckpointSkipped { decree, reason, clause: error.clause() });
                    continue;
                }
            };
            let with_state = reader.header().state_saved;
            let loaded = target.load(with_state.then_some(&mut reader));
            // An application that overlooked a read error must not go on with that state [STOR-46].
            if !loaded || reader.has_failed() {
                self.unusable.push((decree, reader.header().promised));
                let reason = "the application could not load it".to_owned();
                self.notes.push(Note::CheckpointSkipped { decree, reason, clause: None });
                continue;
            }
            self.use_checkpoint(decree, &reader);
            return Ok(());
        }
        if self.listing.logs.first().is_some_and(|&oldest| oldest != Decree::ZERO) {
            return Err(RestoreError::new(self.path, RestoreReason::MissingLog(Decree::ZERO)));
        }
        if !target.load(None) {
            // Decision 5: an existing client relies on it, on a true first start only [HARD-573].
            if !self.listing.logs.is_empty() || !self.listing.checkpoints.is_empty() {
                return Err(RestoreError::new(self.path, RestoreReason::LoadRefused));
            }
            self.notes.push(Note::FirstLoadRefused);
        }
        Ok(())
    }

    /// Finds a missing log by names only, before the checkpoint is looked at [STOR-61] [STOR-62].
    fn require_logs_after(&self, checkpoint: Decree) -> Result<(), RestoreError> {
        let next = checkpoint.next();
        let logs = &self.listing.logs;
        let needed = logs.last().is_some_and(|&newest| newest > next);
        if needed && logs.iter().all(|&log| log > next) {
            return Err(RestoreError::new(self.path, RestoreReason::MissingLog(next)));
        }
        Ok(())
    }

    fn use_checkpoint(&mut self, decree: Decree, reader: &CheckpointReader) {
        let header = reader.header();
        if let Some(configuration) = &header.configuration {
            self.state_configuration = configuration.clone();
            self.voting_configuration = configuration.clone();
        }
        self.executed = decree;
        self.state_version = header.version;
        self.promised = self.promised.max(header.promised);
        self.checkpoint = Some(Loaded {
            info: CheckpointInfo { decree, size: reader.file_size() },
            version: header.version,
            promised: header.promised,
            next_vote: header.next_vote.clone(),
            // A tool does not know whose directory it looks at.
            copied: header.member != self.settings.member && self.settings.member != MemberId::EMPTY,
        });
    }

    fn read_logs(
        &mut self,
        target: &mut dyn RestoreTarget,
        save_to: Option<&Directory>,
    ) -> Result<(), RestoreError> {
        let listing = self.listing;
        let next = self.executed.next();
        // Logs below the selected one are not replayed [STOR-63]. Without a checkpoint all are: even with `1.log` there,
        // `0.log` may hold a promise that nothing else says [HARD-39].
        let first = match &self.checkpoint {
            Some(_) => listing.logs.iter().rposition(|&log| log <= next).unwrap_or(listing.logs.len()),
            None => 0,
        };
        let (earlier, selected) = listing.logs.split_at(first);
        if self.checkpoint.as_ref().is_some_and(|loaded| loaded.copied) {
            self.read_promises(earlier, false)?;
        }
        for (at, &name) in selected.iter().enumerate() {
            if self.is_done() {
                break;
            }
            let later = &selected[at + 1..];
            let is_last = later.iter().all(|&log| listing.size(FileName::Log(log)) == 0);
            self.read_log(name, is_last, target, save_to)?;
        }
        if self.checkpoint.is_some() && self.logs.iter().all(|log| log.end.offset == 0) {
            self.read_promises(earlier, true)?;
        }
        if !self.behind_gap.is_empty() {
            let name = |log: &Decree| self.path.join(FileName::Log(*log).to_string());
            let set_aside = self.behind_gap.iter().map(name).collect();
            self.notes.push(Note::HistoryEnds { last: self.accepted.position(), set_aside });
        }
        Ok(())
    }

    /// Replay mode has come to its last decree; what follows in the logs is not looked at.
    fn is_done(&self) -> bool {
        self.executed >= self.limit
    }

    fn read_log(
        &mut self,
        name: Decree,
        is_last: bool,
        target: &mut dyn RestoreTarget,
        save_to: Option<&Directory>,
    ) -> Result<(), RestoreError> {
        let path = self.path.join(FileName::Log(name).to_string());
        let failed = |error| RestoreError::new(&path, RestoreReason::Io(error));
        let file = self.disk.open(&path, OpenMode::Read).map_err(failed)?;
        let mut indexed = IndexedLog::new(name, Arc::clone(&file));
        let mut scanner = LogScanner::new(&*file).map_err(failed)?;
        let mut highest_ballot = Ballot::EMPTY;
        let mut current = Current { path: &path, name, used: false, has_votes: false, repeats: false };
        let end = loop {
            match scanner.step().map_err(|fault| RestoreError::fault(&path, fault))? {
                Step::End(end) => break end,
                Step::Record { offset, record } => {
                    if !matches!(record, Record::Decision(_)) {
                        highest_ballot = highest_ballot.max(record.header().ballot);
                    }
                    if let Record::Vote(vote) = &record
                        && !indexed.note(vote.decree(), offset)
                    {
                        let found = vote.position();
                        let expected = self.last_vote.unwrap_or_default().next();
                        return Err(RestoreError::at(&path, offset, RestoreReason::Gap { expected, found }));
                    }
                    self.record(&mut current, offset, record, target, save_to)?;
                    if self.is_done() {
                        return Ok(());
                    }
                }
            }
        };
        if current.repeats {
            self.repeating.push(name);
            self.notes.push(Note::RepeatingLog(path));
            return Ok(());
        }
        indexed.end = end.offset;
        self.tail(&path, &end, is_last)?;
        if let Tail::Torn(damaged) | Tail::Damaged(damaged) = &end.tail
            && is_last
        {
            self.look_beyond(&path, &mut scanner, end.offset, damaged)?;
        }
        if self.behind_gap.is_empty() {
            self.logs.push(ScannedLog { indexed, end, highest_ballot });
        } else if self.behind_gap.last() != Some(&name) {
            self.behind_gap.push(name);
        }
        Ok(())
    }

    fn record(
        &mut self,
        current: &mut Current<'_>,
        offset: u64,
        record: Record,
        target: &mut dyn RestoreTarget,
        save_to: Option<&Directory>,
    ) -> Result<(), RestoreError> {
        let is_first_vote = !current.has_votes;
        current.has_votes |= matches!(record, Record::Vote(_));
        let fail = |reason| RestoreError::at(current.path, offset, reason);
        let position = record.position();
        if position.ballot == Ballot::EMPTY {
            return Err(fail(RestoreReason::EmptyBallot));
        }
        if !matches!(record, Record::Decision(_)) {
            // Whatever its decree: a promise must not be forgotten [HARD-39] [HARD-368].
            self.promised = self.promised.max(position.ballot);
        }
        if !self.behind_gap.is_empty() {
            return self.record_behind(current, offset, record);
        }
        if current.repeats {
            return self.repeated(&record).map_err(fail);
        }
        if let Record::Vote(vote) = &record
            && !self.follows(vote.decree())
        {
            if is_first_vote && position.decree <= self.executed && self.hidden.is_none() {
                current.repeats = true;
                return Ok(());
            }
            let expected = self.last_vote.unwrap_or(self.executed).next();
            return self.gap(current, offset, vote, expected);
        }
        // Decree 0 without a checkpoint was accepted, but is never executed [HARD-369].
        let is_first = self.checkpoint.is_none() && position.decree == Decree::ZERO;
        if position.decree <= self.executed && !(is_first && self.executed == Decree::ZERO) {
            return Ok(());
        }
        match record {
            Record::Prepare(_) => Ok(()),
            Record::Decision(header) => {
                current.used = true;
                self.decision(&header, target).map_err(fail)
            }
            Record::Vote(vote) => {
                current.used = true;
                self.vote(vote, target, save_to).map_err(fail)
            }
        }
    }

    /// Whether a vote of `decree` may come next in the records, and is not hidden behind a torn one [STOR-17].
    fn follows(&mut self, decree: Decree) -> bool {
        let in_order = match self.last_vote {
            Some(last) => decree == last || decree.follows(last),
            None => decree <= self.executed.next(),
        };
        let hidden = self.hidden.as_ref().is_some_and(|hidden| hidden.decree != decree);
        if in_order && !hidden {
            self.last_vote = Some(decree);
            self.hidden = None;
            return true;
        }
        false
    }

    fn decision(&mut self, header: &Header, target: &mut dyn RestoreTarget) -> Result<(), RestoreReason> {
        let decided = self.accepted.decree() == header.decree && self.accepted.ballot() >= header.ballot;
        if !decided || self.accepted.reconfiguration().is_none() {
            return Err(RestoreReason::DecisionWithoutVote(header.position()));
        }
        self.execute_accepted(target);
        self.voting_configuration = self.state_configuration.clone();
        self.promised = promise_of_next_configuration(self.promised);
        self.accepted = self.placeholder(header.decree)?;
        Ok(())
    }

    /// The accepted vote of a configuration that begins behind `decree` [WIRE-92].
    fn placeholder(&self, decree: Decree) -> Result<Vote, EncodeError> {
        empty_vote(self.settings.version, self.settings.member, decree.next(), 0)
    }

    fn vote(
        &mut self,
        vote: Vote,
        target: &mut dyn RestoreTarget,
        save_to: Option<&Directory>,
    ) -> Result<(), RestoreReason> {
        let previous = self.accepted.position();
        if previous != Position::default() {
            let found = vote.position();
            if !found.is_next(&previous) {
                return Err(RestoreReason::NotNext { previous: Box::new(previous), found });
            }
            if found.decree != previous.decree {
                // A vote of the next decree under the same ballot proves that this one was chosen [STOR-60].
                let save = self.execute_accepted(target);
                if let Some(directory) = save_to.filter(|_| save && !self.saving_refused) {
                    self.save(directory, &vote, target);
                }
            }
        }
        assert!(vote.ballot() <= self.promised, "every ballot read raises the promise");
        self.accepted = vote;
        Ok(())
    }

    /// Executes the accepted vote, unless it is decree 0 or already part of the state.
    fn execute_accepted(&mut self, target: &mut dyn RestoreTarget) -> bool {
        let decree = self.accepted.decree();
        if decree == self.executed {
            return false;
        }
        assert!(decree.follows(self.executed), "decrees are executed in order: {decree}");
        self.executed = decree;
        self.state_version = self.accepted.version();
        let save = target.execute(&self.accepted);
        if let Some(members) = self.accepted.reconfiguration() {
            self.state_configuration = Configuration {
                number: self.state_configuration.number.saturating_add(1),
                initial_decree: decree.next(),
                members: Arc::clone(members),
            };
            target.reconfigured(&self.state_configuration);
        }
        save
    }

    /// Saves a checkpoint that a replayed request asked for, at that decree [XFER-46]. Failing to is no reason not to
    /// start [HARD-362].
    fn save(&mut self, directory: &Directory, next_vote: &Vote, target: &mut dyn RestoreTarget) {
        let new = NewCheckpoint {
            member: self.settings.member,
            version: self.settings.version,
            executed: self.executed,
            next_vote: next_vote.clone(),
            promised: self.promised,
            configuration: self.state_configuration.clone(),
            state_saved: true,
        };
        match self.try_save(directory, new, target) {
            Ok(Some(loaded)) => {
                target.saved(&loaded.info);
                self.saved.push(loaded.info);
                self.checkpoint = Some(loaded);
            }
            Ok(None) => self.saving_refused = true,
            Err(error) => self.notes.push(Note::SaveFailed(error.to_string())),
        }
    }

    fn try_save(
        &self,
        directory: &Directory,
        new: NewCheckpoint,
        target: &mut dyn RestoreTarget,
    ) -> Result<Option<Loaded>, PublishError> {
        let (next_vote, promised) = (new.next_vote.clone(), new.promised);
        let mut writer = CheckpointWriter::new(directory, new)?;
        let version = writer.version();
        match target.save(&mut writer) {
            SaveAnswer::Saved => {}
            SaveAnswer::Refused => return Ok(None),
            SaveAnswer::Failed => {
                return Err(std::io::Error::other("the application failed to save its state").into());
            }
        }
        let info = writer.finish()?;
        Ok(Some(Loaded { info, version, promised, next_vote, copied: false }))
    }

    /// A checkpoint that is ahead of every log brings the accepted vote with it.
    fn take_next_vote(&mut self) -> Result<(), RestoreError> {
        if let Some(loaded) = &self.checkpoint
            && loaded.next_vote.decree() > self.accepted.decree()
        {
            let found = loaded.next_vote.position();
            // The log of that name goes on [HARD-371]; one that ends elsewhere is not what its name says [STOR-17].
            let goes_on = self.logs.iter().find(|log| log.indexed.name == found.decree);
            if let Some(log) = goes_on.filter(|log| !log.indexed.takes(found.decree)) {
                let path = self.path.join(FileName::Log(found.decree).to_string());
                let expected = log.indexed.last().unwrap_or_default().next();
                return Err(RestoreError::at(path, log.end.offset, RestoreReason::Gap { expected, found }));
            }
            self.accepted = loaded.next_vote.clone();
            self.ahead = true;
        }
        assert!(
            self.executed == Decree::ZERO || self.accepted.decree().follows(self.executed),
            "the accepted vote is the one after the executed state"
        );
        Ok(())
    }

    /// Where no checkpoint says who the members are, the caller does [STOR-64]; before the logs are read, because a
    /// checkpoint saved on the way says it, too [XFER-46].
    fn take_initial_members(&mut self) {
        if let Some(members) = &self.settings.initial_members
            && self.state_configuration.members.nodes.is_empty()
        {
            self.state_configuration.members = Arc::clone(members);
            self.voting_configuration.members = Arc::clone(members);
        }
    }

    fn require_members(&self) -> Result<(), RestoreError> {
        if self.settings.initial_members.is_some() || !self.state_configuration.members.nodes.is_empty() {
            return Ok(());
        }
        let bootstrapped = self.accepted.ballot().id > 0 || self.accepted.decree() > Decree(1);
        if bootstrapped {
            return Err(RestoreError::new(self.path, RestoreReason::NoMembers));
        }
        Ok(())
    }
}

/// What a Decision makes of the promise [PROTO-73].
fn promise_of_next_configuration(promised: Ballot) -> Ballot {
    Ballot::new(promised.id.saturating_add(1), MemberId::EMPTY)
}

/// An empty vote with the empty ballot: the accepted vote of a replica that accepted nothing yet.
fn empty_vote(
    version: ProtocolVersion,
    member: MemberId,
    decree: Decree,
    configuration: u32,
) -> Result<Vote, EncodeError> {
    let header = Header::new(version, member, decree, configuration, Ballot::EMPTY);
    Vote::new(header, &VoteContent::default())
}
