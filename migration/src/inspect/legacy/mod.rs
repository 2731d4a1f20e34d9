//! What a legacy replica does when it starts on a directory: it starts, its initialisation fails, or its process ends.
//!
//! This follows the algorithm of STOR-59 with the reader of STOR-29 and the checks of STOR-37 and STOR-45, assertions
//! included. It never writes. It is here to tell operators whether the old binary could still be used.

mod checkpoint;

use std::io;
use std::path::Path;

use rsl_core::format::round_to_page;
use rsl_core::types::{Ballot, Decree, MemberId, Position};
use rsl_core::wire::Message;

use super::dir::WorkingDir;
use super::log::{Body, ChecksumState, Entry, Found, LogWalker, Record, is_logged};
pub(super) use checkpoint::is_host_directory;
use checkpoint::{Loaded, Refusal, has_long_cookie, kills, open_checkpoint, vote_members};

/// The buffer that a record is read into unless it is longer, in bytes.
const READ_BUFFER: u64 = 10 << 20;
/// How the start of a legacy replica ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Started,
    /// Its initialisation reports failure.
    InitFailed,
    /// An assertion or a memory fault ends the process.
    ProcessExits,
}

impl Outcome {
    /// `started`, `init_failed` or `process_exits`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Started => "started",
            Outcome::InitFailed => "init_failed",
            Outcome::ProcessExits => "process_exits",
        }
    }
}

/// A legacy start.
#[derive(Clone, Debug)]
pub struct LegacyRestart {
    /// How it ends.
    pub outcome: Outcome,
    /// Why it fails or ends, or the most remarkable thing that it passes over.
    pub notes: Vec<String>,
    /// What it holds; complete only when it started.
    pub state: State,
}

/// What a legacy replica holds after a restart.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last executed decree.
    pub executed: u64,
    /// Decree and ballot of the highest accepted vote.
    pub accepted: Position,
    /// Highest ballot promised or accepted.
    pub promised: Ballot,
    /// The checkpoint it loaded.
    pub checkpoint: Option<u64>,
    /// Number of its configuration.
    pub configuration: u32,
    /// Number of members it knows from its files.
    pub members: usize,
    /// The logs it serves: first and last vote decree (0 when there is none), bytes of records.
    pub logs: Vec<LogRange>,
}

/// A log as the index of a legacy replica holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Decree of the first vote.
    pub min: u64,
    /// Decree of the last vote.
    pub max: u64,
    /// Bytes of records.
    pub len: u64,
    has_votes: bool,
}

/// An end of the start before its end.
enum Stop {
    Failed(String),
    Dies(String),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// Starts a legacy replica on `dir`, in the mind. `members_passed`: the caller of the start gives it a member set (the
/// old way, and the only one for versions 1 and 2).
///
/// # Errors
/// When a file cannot be read.
pub fn restart(dir: &WorkingDir, members_passed: bool) -> io::Result<LegacyRestart> {
    let mut start = Start {
        dir,
        host: is_host_directory(dir)?,
        notes: Vec::new(),
        state: State { configuration: u32::from(members_passed), ..State::default() },
        pending: None,
        reached: 0,
    };
    let outcome = match start.run(members_passed) {
        Ok(()) => Outcome::Started,
        Err(Stop::Failed(why)) => {
            start.notes.push(why);
            Outcome::InitFailed
        }
        Err(Stop::Dies(why)) => {
            start.notes.push(why);
            Outcome::ProcessExits
        }
        Err(Stop::Io(error)) => return Err(error),
    };
    Ok(LegacyRestart { outcome, notes: start.notes, state: start.state })
}

struct Start<'a> {
    dir: &'a WorkingDir,
    host: bool,
    notes: Vec<String>,
    state: State,
    /// The members of an accepted reconfiguration vote that is not decided yet.
    pending: Option<usize>,
    /// The decree that recovery counts from: the number in the name of the checkpoint that was tried last.
    reached: u64,
}

impl Start<'_> {
    fn run(&mut self, members_passed: bool) -> Result<(), Stop> {
        let numbers = self.dir.legacy_numbers();
        let (checkpoints, logs) =
            numbers.map_err(|name| Stop::Failed(format!("no number in the name {name}")))?;
        let next_vote = self.load(&checkpoints, &logs)?;
        if self.state.checkpoint.is_none() {
            if let Some(&first) = logs.first().filter(|&&first| first != 0) {
                return Err(Stop::Failed(format!("no usable checkpoint, and the logs start at {first}")));
            }
            if logs.is_empty() {
                // It opens 0.log and is done.
                self.state.logs.push(LogRange::default());
                return self.finish(members_passed);
            }
        }
        self.replay(&logs)?;
        self.take_next_vote(next_vote);
        let State { executed, accepted, .. } = self.state;
        if executed != 0 && executed != accepted.decree.0.wrapping_sub(1) {
            return Err(Stop::Dies(format!(
                "asserts: executed through {executed}, accepted decree {}",
                accepted.decree
            )));
        }
        if self.state.logs.is_empty() {
            return Err(Stop::Dies("no log to go on with".into()));
        }
        self.finish(members_passed)
    }

    /// A replica that took part in something must know its members [STOR-64].
    fn finish(&self, members_passed: bool) -> Result<(), Stop> {
        let accepted = &self.state.accepted;
        let bootstrapped = accepted.ballot.id > 0 || accepted.decree.0 > 1;
        if !members_passed && self.state.members == 0 && bootstrapped {
            return Err(Stop::Failed("no member set in checkpoint or log, and none from outside".into()));
        }
        Ok(())
    }

    /// Loads the newest checkpoint it can; gives the position of the vote in its header.
    fn load(&mut self, checkpoints: &[u64], logs: &[u64]) -> Result<Option<Loaded>, Stop> {
        for &number in checkpoints.iter().rev().filter(|&&number| number <= i64::MAX.cast_unsigned()) {
            self.reached = number;
            let above = |log: u64| log > number + 1;
            // Names decide, before the checkpoint is opened [STOR-61].
            if !logs.is_empty() && logs.iter().all(|&log| above(log)) {
                return Err(Stop::Failed(format!("no log that starts at {} or below", number + 1)));
            }
            match open_checkpoint(&self.dir.checkpoint(number), self.host) {
                Ok(loaded) => {
                    self.state.checkpoint = Some(number);
                    self.state.executed = number;
                    self.state.promised = loaded.max_ballot;
                    if let Some((number, members)) = loaded.configuration {
                        self.state.configuration = number;
                        self.state.members = members;
                    }
                    return Ok(Some(loaded));
                }
                Err(Refusal::Refused(why)) => self.notes.push(format!("{number}.codex passed over: {why}")),
                Err(Refusal::Dies(why)) => return Err(Stop::Dies(format!("{number}.codex: {why}"))),
                Err(Refusal::Io(error)) => return Err(Stop::Io(error)),
            }
        }
        self.reached = 0;
        Ok(None)
    }

    fn replay(&mut self, logs: &[u64]) -> Result<(), Stop> {
        let Some(first) = logs.iter().rposition(|&log| log <= self.reached + 1) else { return Ok(()) };
        for &log in &logs[first..] {
            self.state.logs.push(LogRange::default());
            let path = self.dir.log(log);
            if path.is_dir() {
                return Err(Stop::Failed(format!("{log}.log is a directory")));
            }
            if path.exists() {
                self.replay_log(&path, log)?;
            } else {
                // The number came from another name; the log is created empty.
                self.notes.push(format!("{log}.log is created empty"));
            }
        }
        Ok(())
    }

    fn replay_log(&mut self, path: &Path, log: u64) -> Result<(), Stop> {
        let walker = LogWalker::open(path)?;
        let size = walker.size();
        let mut walker = walker.peekable();
        while let Some(entry) = walker.next() {
            let entry = entry?;
            let at = format!("{log}.log at {}", entry.offset);
            let record = match end_of_log(&entry, walker.peek(), size - entry.offset) {
                Reading::Record(record) => record,
                Reading::End(why) => {
                    self.notes.push(format!("{at}: {why}"));
                    return Ok(());
                }
                Reading::Fails(why) => return Err(Stop::Failed(format!("{at}: {why}"))),
                Reading::Dies(why) => return Err(Stop::Dies(format!("{at}: {why}"))),
            };
            self.record(record, entry.len).map_err(|why| Stop::Dies(format!("{at}: asserts: {why}")))?;
        }
        Ok(())
    }

    /// Takes a record; an error is an assertion that fails.
    fn record(&mut self, record: &Record, bytes: u64) -> Result<(), String> {
        let position = record.raw.header.position();
        let Position { decree, ballot } = position;
        if ballot == Ballot::EMPTY {
            return Err("a record with the empty ballot".into());
        }
        self.index(record, bytes)?;
        if decree.0 <= self.state.executed {
            let promised = self.state.promised;
            let one_above = matches!(record.body, Body::Message(Message::Prepare(_)))
                && decree.0 == self.state.executed
                && promised.id.wrapping_add(1) == ballot.id;
            if promised != Ballot::EMPTY && promised < ballot && !one_above {
                return Err(format!("the ballot of {position} is above {promised}"));
            }
            return Ok(());
        }
        match &record.body {
            Body::Message(Message::Prepare(_)) => self.state.promised = self.state.promised.max(ballot),
            Body::Message(Message::ReconfigurationDecision(_)) => self.decision(position)?,
            Body::Message(Message::Vote(vote)) => self.vote(position, vote_members(vote))?,
            // Too large to be taken apart: a plain vote.
            Body::NotListed => self.vote(position, None)?,
            Body::Message(_) | Body::WrongKind | Body::Malformed(_) => {}
        }
        Ok(())
    }

    fn vote(&mut self, position: Position, reconfigures: Option<usize>) -> Result<(), String> {
        let accepted = self.state.accepted;
        if accepted.ballot != Ballot::EMPTY || accepted.decree != Decree::ZERO {
            if !position.is_next(&accepted) {
                return Err(format!("{position} does not follow {accepted}"));
            }
            if position.decree != accepted.decree {
                self.execute()?;
            }
        }
        self.state.accepted = position;
        self.pending = reconfigures;
        self.state.promised = self.state.promised.max(position.ballot);
        Ok(())
    }

    fn decision(&mut self, position: Position) -> Result<(), String> {
        let accepted = self.state.accepted;
        if accepted.decree != position.decree || accepted.ballot < position.ballot || self.pending.is_none() {
            return Err(format!(
                "a decision {position} without its reconfiguration vote (accepted: {accepted})"
            ));
        }
        self.execute()?;
        self.state.accepted = Position::new(position.decree.next(), Ballot::EMPTY);
        self.pending = None;
        self.state.promised = Ballot::new(self.state.promised.id.wrapping_add(1), MemberId::EMPTY);
        Ok(())
    }

    /// Executes the accepted vote.
    fn execute(&mut self) -> Result<(), String> {
        let decree = self.state.accepted.decree.0;
        if decree == self.state.executed {
            return Ok(());
        }
        if decree != self.state.executed.wrapping_add(1) {
            return Err(format!("decree {decree} to be executed after {}", self.state.executed));
        }
        self.state.executed = decree;
        if let Some(members) = self.pending {
            self.state.configuration = self.state.configuration.wrapping_add(1);
            self.state.members = members;
        }
        Ok(())
    }

    /// The index of the log that is being read.
    fn index(&mut self, record: &Record, bytes: u64) -> Result<(), String> {
        let Some(log) = self.state.logs.last_mut() else { return Ok(()) };
        let said = match &record.body {
            // The length is that of the decoded message, not the one that was read.
            Body::Message(Message::Vote(_)) | Body::NotListed => bytes,
            Body::Message(message) => round_to_page(message.encoded_len()),
            Body::WrongKind | Body::Malformed(_) => bytes,
        };
        if matches!(record.body, Body::Message(Message::Vote(_)) | Body::NotListed) {
            let decree = record.raw.header.decree.0;
            if !log.has_votes {
                log.min = decree;
            } else if decree != log.max && decree != log.max.wrapping_add(1) {
                return Err(format!("decree {decree} in the log behind {}", log.max));
            }
            log.has_votes = true;
            log.max = decree;
        }
        log.len += said;
        if said != bytes {
            return Err(format!("a record of {bytes} bytes whose message takes {said}"));
        }
        Ok(())
    }

    /// The vote of the checkpoint goes into a log of its own when it is ahead of all logs.
    fn take_next_vote(&mut self, loaded: Option<Loaded>) {
        let Some(loaded) = loaded.filter(|loaded| loaded.next.decree > self.state.accepted.decree) else {
            return;
        };
        self.state.logs.clear();
        let decree = loaded.next.decree.0;
        self.state.logs.push(if loaded.next.ballot == Ballot::EMPTY {
            LogRange::default()
        } else {
            LogRange { min: decree, max: decree, len: loaded.next_len, has_votes: true }
        });
        self.state.accepted = loaded.next;
        self.pending = loaded.reconfigures;
    }
}

enum Reading<'a> {
    Record(&'a Record),
    End(String),
    Fails(String),
    Dies(String),
}

/// The reader of STOR-29 on one entry; `next` is what follows it, `left` what the file has from its offset on.
fn end_of_log<'a>(entry: &'a Entry, next: Option<&io::Result<Entry>>, left: u64) -> Reading<'a> {
    let rest_is_zero = match next {
        None => true,
        Some(Ok(next)) => next.to_end && matches!(next.found, Found::Zeros | Found::Fragment { zero: true }),
        Some(Err(_)) => false,
    };
    let why = entry.problem().unwrap_or_default();
    match &entry.found {
        Found::Record(record) => match (&record.body, record.checksum) {
            (Body::WrongKind, _) => Reading::Fails(why),
            (_, ChecksumState::Bad | ChecksumState::Zero) if rest_is_zero => Reading::End(why),
            (_, ChecksumState::Bad | ChecksumState::Zero) => Reading::Fails(why),
            (Body::Malformed(error), ChecksumState::Ok) if kills(error) => Reading::Dies(why),
            (Body::Malformed(_), ChecksumState::Ok) => Reading::Fails(why),
            (Body::Message(Message::Vote(vote)), ChecksumState::Ok) if has_long_cookie(vote) => {
                Reading::Fails("a member set with a cookie that legacy does not read".into())
            }
            (Body::Message(_) | Body::NotListed, ChecksumState::Ok) => Reading::Record(record),
        },
        Found::Torn { raw, .. } if !is_logged(raw.id) => Reading::Fails(why),
        // Rounded up in 32 bits that is nothing, and the rest of the file goes where a record of average size fits.
        Found::Torn { raw, .. }
            if round_to_page(raw.length.into()) > u64::from(u32::MAX) && left > READ_BUFFER =>
        {
            Reading::Dies(format!("{why}; legacy reads past its buffer"))
        }
        Found::Torn { .. } => Reading::End(why),
        Found::Zeros if entry.to_end => Reading::End(why),
        Found::Zeros | Found::Garbage { .. } | Found::Fragment { .. } => Reading::Fails(why),
    }
}
