//! Where each vote is in the log files that are served; shared by the writer, the learn server and the read-back of
//! passed votes [STOR-27] [STOR-28].

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::disk::DiskFile;
use crate::engine::LogFileInfo;
use crate::format::{FaultReason, FileName, LogFault, LogScanner, Record, Step};
use crate::types::Decree;
use crate::wire::Vote;

/// The served log files. Any thread may ask; only the log writer adds.
#[derive(Debug)]
pub struct LogIndex {
    directory: PathBuf,
    files: RwLock<VecDeque<IndexedLog>>,
}

/// A served log file.
#[derive(Clone)]
pub struct IndexedLog {
    pub(super) name: Decree,
    pub(super) file: Arc<dyn DiskFile>,
    /// Decree of the first vote record.
    first: Decree,
    /// Offset of the last vote record of `first`, `first + 1`, and so on.
    offsets: Vec<u64>,
    /// End of the last durable record [HARD-61].
    pub end: u64,
}

impl std::fmt::Debug for IndexedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexedLog").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl IndexedLog {
    /// A file without records, open for writing.
    #[must_use]
    pub const fn new(name: Decree, file: Arc<dyn DiskFile>) -> IndexedLog {
        IndexedLog { name, file, first: Decree::ZERO, offsets: Vec::new(), end: 0 }
    }

    /// Notes a vote record; false when its decree does not follow the previous one's [STOR-17].
    #[must_use]
    pub fn note(&mut self, decree: Decree, offset: u64) -> bool {
        match self.last() {
            None => {
                self.first = decree;
                self.offsets.push(offset);
            }
            Some(last) if decree == last => {
                if let Some(latest) = self.offsets.last_mut() {
                    *latest = offset;
                }
            }
            Some(last) if decree.follows(last) => self.offsets.push(offset),
            Some(_) => return false,
        }
        true
    }

    /// Whether a vote record of `decree` may come next.
    pub(super) fn takes(&self, decree: Decree) -> bool {
        self.last().is_none_or(|last| decree == last || decree.follows(last))
    }

    /// Decree of the last vote record.
    pub(super) fn last(&self) -> Option<Decree> {
        let count = self.offsets.len() as u64;
        count.checked_sub(1).map(|steps| Decree(self.first.0 + steps))
    }

    fn offset_of(&self, decree: Decree) -> Option<u64> {
        let steps = decree.0.checked_sub(self.first.0)?;
        self.offsets.get(usize::try_from(steps).ok()?).copied()
    }

    pub(super) fn info(&self) -> LogFileInfo {
        LogFileInfo { name: self.name, votes: self.last().map(|last| (self.first, last)), len: self.end }
    }
}

/// A part of a log file to be sent: open, so that it can be read even after the file was deleted [HARD-366].
#[derive(Clone)]
pub struct Segment {
    /// The file's path, for reports.
    pub path: PathBuf,
    /// The open file.
    pub file: Arc<dyn DiskFile>,
    /// Where to start.
    pub offset: u64,
    /// How many bytes: up to the end of the last durable record.
    pub length: u64,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}..+{}]", self.path.display(), self.offset, self.length)
    }
}

/// Why a passed vote could not be read back: the log is damaged and must not be trusted for promises [HARD-376].
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ReadBackError {
    /// The log file.
    pub path: PathBuf,
    /// Where and why.
    #[source]
    pub fault: LogFault,
}

impl LogIndex {
    /// An index of these files of `directory`, oldest first.
    #[must_use]
    pub fn new(directory: PathBuf, files: Vec<IndexedLog>) -> LogIndex {
        LogIndex { directory, files: RwLock::new(files.into()) }
    }

    fn read(&self) -> RwLockReadGuard<'_, VecDeque<IndexedLog>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, VecDeque<IndexedLog>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: Decree) -> PathBuf {
        self.directory.join(FileName::Log(name).to_string())
    }

    /// The directory of the log files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files, oldest first.
    #[must_use]
    pub fn files(&self) -> Vec<LogFileInfo> {
        self.read().iter().map(IndexedLog::info).collect()
    }

    /// A file comes into the index once its first record is durable [XFER-28].
    pub(super) fn add(&self, log: IndexedLog) {
        self.write().push_back(log);
    }

    /// Makes durable records of the newest file known: the votes among them with their offsets, and where they end.
    pub(super) fn commit(&self, votes: &[(Decree, u64)], end: u64) {
        let mut files = self.write();
        let log = files.back_mut().expect("the file that is written is in the index");
        for &(decree, offset) in votes {
            assert!(log.note(decree, offset), "the log has no gaps: {decree} in {}.log", log.name);
        }
        log.end = end;
    }

    /// What a FetchVotes for `decree` is answered with: the oldest file that holds a vote for it, from the last one
    /// on, and every later file. Empty = nothing to send [WIRE-35] [XFER-3] [HARD-61].
    #[must_use]
    pub fn segments(&self, decree: Decree) -> Vec<Segment> {
        let files = self.read();
        let start = files.iter().enumerate().find_map(|(at, log)| match log.last() {
            None => (decree == Decree::ZERO).then_some((at, 0)),
            Some(_) => log.offset_of(decree).map(|offset| (at, offset)),
        });
        let Some((first, offset)) = start else { return Vec::new() };
        let later = files.iter().skip(first).enumerate();
        later
            .map(|(at, log)| {
                let offset = if at == 0 { offset } else { 0 };
                Segment {
                    path: self.path(log.name),
                    file: Arc::clone(&log.file),
                    offset,
                    length: log.end - offset,
                }
            })
            .filter(|segment| segment.length > 0)
            .collect()
    }

    /// Reads back accepted votes from decree `from` on, the last one of each decree, as many as fit `max_bytes` and at
    /// least one. Empty when `from` is not in the index.
    ///
    /// # Errors
    /// When a record cannot be read or is damaged [HARD-376].
    pub fn read_votes(&self, from: Decree, max_bytes: u64) -> Result<Vec<Vote>, ReadBackError> {
        let mut votes = Vec::new();
        let mut left = max_bytes;
        let mut decree = from;
        while let Some(run) = self.run_from(decree) {
            let path = self.path(run.name);
            let mut scanner = LogScanner::within(&*run.file, run.offsets[0], run.end);
            for offset in run.offsets {
                let vote = read_vote(&mut scanner, offset, decree)
                    .map_err(|fault| ReadBackError { path: path.clone(), fault })?;
                let length = vote.encoded().len() as u64;
                if length > left && !votes.is_empty() {
                    return Ok(votes);
                }
                left = left.saturating_sub(length);
                votes.push(vote);
                decree = decree.next();
            }
        }
        Ok(votes)
    }

    /// The votes from `decree` on that are in one file: the newest that has it.
    fn run_from(&self, decree: Decree) -> Option<Run> {
        self.read().iter().rev().find_map(|log| {
            let steps = usize::try_from(decree.0.checked_sub(log.first.0)?).ok()?;
            let rest = log.offsets.get(steps..).filter(|rest| !rest.is_empty())?;
            let offsets = rest[..rest.len().min(LONGEST_RUN)].to_vec();
            Some(Run { name: log.name, file: Arc::clone(&log.file), offsets, end: log.end })
        })
    }

    /// Serves logs from the one named `serve_from` on; the newest always stays [STOR-57].
    pub fn trim(&self, serve_from: Decree) {
        let mut files = self.write();
        while files.len() > 1 && files.front().is_some_and(|log| log.name < serve_from) {
            files.pop_front();
        }
    }
}

/// Votes of consecutive decrees in one file.
struct Run {
    name: Decree,
    file: Arc<dyn DiskFile>,
    /// Where they are, ascending; at least one.
    offsets: Vec<u64>,
    end: u64,
}

/// Most votes that are looked up at once.
const LONGEST_RUN: usize = 1024;

/// The vote at `offset`, which is not before the scanner's position.
fn read_vote(
    scanner: &mut LogScanner<'_, dyn DiskFile>,
    wanted: u64,
    decree: Decree,
) -> Result<Vote, LogFault> {
    loop {
        match scanner.step()? {
            Step::Record { offset, .. } if offset < wanted => {}
            Step::Record { offset, record: Record::Vote(vote) }
                if offset == wanted && vote.decree() == decree =>
            {
                return Ok(vote);
            }
            Step::Record { .. } | Step::End(_) => {
                let text = format!("the vote for decree {decree} is not where it was written");
                let error = io::Error::new(io::ErrorKind::InvalidData, text);
                return Err(LogFault { offset: wanted, reason: FaultReason::Io(error) });
            }
        }
    }
}
