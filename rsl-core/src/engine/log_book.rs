//! What the engine knows of its own log: append numbers, the files that are served, when to start another.

use std::collections::VecDeque;

use super::effect::AppendSeq;
use super::recovered::LogFileInfo;
use crate::format::Record;
use crate::types::Decree;

/// Bookkeeping of appends and log files. The files themselves are the driver's; this decides names and order.
#[derive(Debug)]
pub(super) struct LogBook {
    /// Number of the last append that was asked for.
    last: AppendSeq,
    /// Number of the last append that is on stable storage. Invariant: `durable <= last`.
    durable: AppendSeq,
    /// Oldest first. Invariant: never empty.
    files: VecDeque<LogFileInfo>,
    /// Length at which the next file is started; drawn anew for each file [STOR-24].
    limit: u64,
}

impl LogBook {
    pub(super) fn new(files: Vec<LogFileInfo>, limit: u64) -> LogBook {
        assert!(!files.is_empty(), "a restored replica has a log");
        LogBook { last: AppendSeq(0), durable: AppendSeq(0), files: files.into(), limit }
    }

    pub(super) const fn last(&self) -> AppendSeq {
        self.last
    }

    /// The gate for anything that speaks of the present state: `None` when all of it is durable already.
    pub(super) fn gate(&self) -> Option<AppendSeq> {
        (self.durable < self.last).then_some(self.last)
    }

    pub(super) fn is_durable(&self, seq: AppendSeq) -> bool {
        seq <= self.durable
    }

    pub(super) fn all_durable(&self) -> bool {
        self.durable == self.last
    }

    pub(super) fn appended(&mut self, through: AppendSeq) {
        assert!(through >= self.durable, "durability never goes backwards");
        assert!(through <= self.last, "only what was appended becomes durable");
        self.durable = through;
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &LogFileInfo> {
        self.files.iter()
    }

    fn current(&mut self) -> &mut LogFileInfo {
        self.files.back_mut().expect("never empty: see the invariant")
    }

    /// Whether the current file is longer than its limit [STOR-23].
    pub(super) fn is_full(&self) -> bool {
        self.files.back().is_some_and(|file| file.len > self.limit)
    }

    /// First vote of the newest file that has one.
    pub(super) fn newest_first_vote(&self) -> Option<Decree> {
        self.files.back().and_then(|file| file.votes).map(|(first, _)| first)
    }

    /// Whether no file of this name, or of a later one, is there. A crash during a switch leaves an empty file, which then
    /// takes what is logged next, whatever its decree; it is never started a second time [HARD-371].
    pub(super) fn may_start(&self, name: Decree) -> bool {
        self.files.back().is_none_or(|file| file.name < name)
    }

    /// Starts the file that the next vote record opens.
    pub(super) fn rotate(&mut self, name: Decree, limit: u64) {
        assert!(self.may_start(name), "names of log files rise");
        self.files.push_back(LogFileInfo { name, votes: None, len: 0 });
        self.limit = limit;
    }

    /// Notes an append and numbers it.
    pub(super) fn append(&mut self, record: &Record) -> AppendSeq {
        self.last = AppendSeq(self.last.0 + 1);
        let file = self.current();
        file.len += record.padded_len();
        if let Record::Vote(vote) = record {
            let decree = vote.decree();
            file.votes = Some(file.votes.map_or((decree, decree), |(first, _)| (first, decree)));
        }
        self.last
    }

    /// First decree that can really be served; 2^63-1 when there is none [HARD-372] [XFER-13].
    pub(super) fn min_decree(&self) -> Decree {
        let first = self.files.iter().find_map(|file| file.votes).map(|(first, _)| first);
        first.unwrap_or(Decree(i64::MAX as u64))
    }

    /// Forgets files whose successor already starts at or below `needed` [XFER-42]; empty files do not count as
    /// successors [HARD-373]. Returns the name of the oldest file that stays.
    pub(super) fn trim(&mut self, needed: Decree) -> Decree {
        while self.files.len() > 1 {
            let next = self.files.iter().skip(1).find_map(|file| file.votes).map(|(first, _)| first);
            if next.is_none_or(|first| first > needed) {
                break;
            }
            self.files.pop_front();
        }
        self.current_oldest()
    }

    fn current_oldest(&self) -> Decree {
        self.files.front().map_or(Decree::ZERO, |file| file.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: u64, votes: Option<(u64, u64)>) -> LogFileInfo {
        let votes = votes.map(|(first, last)| (Decree(first), Decree(last)));
        LogFileInfo { name: Decree(name), votes, len: 0 }
    }

    /// [XFER-42] [HARD-373] [HARD-372] [XFER-8]: files go when their successor starts low enough; empty files are no successors and
    /// serve nothing.
    #[test]
    fn files_are_dropped_and_counted_by_their_votes() {
        let mut book = LogBook::new(vec![file(0, Some((0, 9))), file(10, Some((10, 19))), file(20, None)], 1);
        assert_eq!(book.min_decree(), Decree(0));
        assert_eq!(book.trim(Decree(9)), Decree(0), "decree 9 is still needed");
        assert_eq!(book.trim(Decree(10)), Decree(10));
        assert_eq!(book.trim(Decree(50)), Decree(10), "the empty file does not replace the one before it");
        assert_eq!(book.min_decree(), Decree(10));
        let empty = LogBook::new(vec![file(0, None)], 1);
        assert_eq!(empty.min_decree(), Decree((1 << 63) - 1), "nothing can be served");
        let opened = LogBook::new(vec![file(5, None), file(8, Some((8, 8)))], 1);
        assert_eq!(opened.min_decree(), Decree(8));
    }
}
