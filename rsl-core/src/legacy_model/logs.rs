//! The log files as legacy keeps book of them (transfer.md section 5).

use super::LegacyModel;
use crate::engine::{LogFileInfo, Role};
use crate::format::Record;
use crate::types::Decree;
use crate::wire::Vote;

/// The serving list, oldest first, and the limit of the newest file.
#[derive(Debug)]
pub(super) struct Logs {
    files: Vec<LogFileInfo>,
    limit: u64,
}

impl Logs {
    pub(super) const fn new(files: Vec<LogFileInfo>, limit: u64) -> Logs {
        Logs { files, limit }
    }

    pub(super) fn served(&self) -> Vec<LogFileInfo> {
        self.files.clone()
    }

    /// [XFER-8]: 0 for a file without votes [HARD-372].
    pub(super) fn min_decree(&self) -> Decree {
        self.files.first().map_or(Decree::ZERO, first_decree)
    }

    pub(super) fn append(&mut self, record: &Record, new_log: Option<Decree>) {
        if let Some(name) = new_log {
            self.files.push(LogFileInfo { name, votes: None, len: 0 });
        }
        let Some(file) = self.files.last_mut() else { return };
        file.len += record.padded_len();
        if let Record::Vote(vote) = record {
            let first = file.votes.map_or(vote.decree(), |(first, _)| first);
            file.votes = Some((first, vote.decree()));
        }
    }

    /// Drops what `needed` and later decrees do not need; the name of the oldest file that is left [XFER-42].
    pub(super) fn trim(&mut self, needed: Decree) -> Decree {
        // An empty newest file counts as starting at 0 [HARD-373].
        while self.files.get(1).is_some_and(|next| first_decree(next) <= needed.next()) {
            self.files.remove(0);
        }
        self.files.first().map_or(Decree::ZERO, |file| file.name)
    }
}

fn first_decree(file: &LogFileInfo) -> Decree {
    file.votes.map_or(Decree::ZERO, |(first, _)| first)
}

impl LegacyModel {
    /// [XFER-28]
    pub(super) fn new_log_for(&mut self, vote: &Vote) -> Option<Decree> {
        if !vote.decree().follows(self.accepted.decree()) {
            return None;
        }
        let current = self.logs.files.last()?;
        let due = self.checkpoint_due.is_some_and(|due| self.now > due)
            && self.checkpoint.0.next() >= first_decree(current);
        if current.len <= self.logs.limit && !due {
            return None;
        }
        let (limit, percent) = (self.settings.max_log_len, self.settings.log_len_randomize_percent);
        self.logs.limit = self.prng.randomize(limit, percent, limit);
        Some(vote.decree())
    }

    /// [XFER-29]
    pub(super) fn log_has_grown(&mut self) {
        let Some(first) = self.logs.files.last().map(first_decree) else { return };
        let nothing_planned = self.pending_save.is_none() && self.wanted_copy.is_none();
        if first > self.checkpoint.0.next() && nothing_planned && self.role != Role::Preparing {
            if self.role == Role::Primary && self.quorum() > 1 {
                self.wanted_copy = Some(first.previous());
                self.query_at = Some(crate::types::Instant(0));
            } else {
                self.pending_save = Some((first.previous(), false));
            }
        }
    }
}
