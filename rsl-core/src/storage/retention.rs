//! Deleting checkpoints and logs that are not needed any more [STOR-55] [STOR-56].

use std::io;
use std::path::PathBuf;

use super::directory::{Directory, Listing};
use crate::format::FileName;
use crate::types::Decree;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Checkpoint files that stay, at least 1. Legacy: m_maxCheckpoints, default 4.
    pub max_checkpoints: usize,
    /// Log files from which on logs older than every checkpoint go, at least 1. Legacy: m_maxLogs, default 10.
    pub max_logs: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { max_checkpoints: 4, max_logs: 10 }
    }
}

/// A file that could not be deleted; that is only reported [STOR-58].
#[derive(Debug)]
pub struct DeleteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Which files can go, from the decrees of all files in ascending order.
#[must_use]
pub fn superfluous(checkpoints: &[Decree], logs: &[Decree], retention: Retention) -> Vec<FileName> {
    let surplus = checkpoints.len().saturating_sub(retention.max_checkpoints.max(1));
    let mut names: Vec<_> = checkpoints[..surplus].iter().copied().map(FileName::Checkpoint).collect();
    // The oldest checkpoint as it was before the deletions: a restart from it must find its log.
    if let Some(oldest) = checkpoints.first() {
        let surplus = logs.len().saturating_sub(retention.max_logs.max(1));
        let covered = logs.windows(2).take(surplus).take_while(|pair| pair[1] <= oldest.next());
        names.extend(covered.map(|pair| FileName::Log(pair[0])));
    }
    names
}

impl Directory {
    /// Deletes what retention allows; to be called after a new checkpoint is durable.
    ///
    /// # Errors
    /// None: what could not be deleted (or listed) is returned [STOR-58] [HARD-362].
    pub fn retain(&self, retention: Retention) -> Vec<DeleteError> {
        let listing = match Listing::read(&*self.disk, self.path()) {
            Ok(listing) => listing,
            Err(error) => return vec![DeleteError { path: self.path().to_owned(), error }],
        };
        let names = superfluous(&listing.checkpoints, &listing.logs, retention);
        names
            .into_iter()
            .filter_map(|name| {
                let path = self.file(name);
                self.disk.remove(&path).err().map(|error| DeleteError { path, error })
            })
            .collect()
    }
}
