//! Log files changed while no replica uses them: cut behind their last record, and the debugging function that exchanges
//! the members of reconfigurations [STOR-74].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, OpenMode};
use super::rewrite::{publish, with_suffix};
use crate::format::{FileName, LogEnd, LogFault, LogScanner, Record, Step, Tail};
use crate::types::{Decree, MemberSet, MemberSetError};
use crate::wire::{EncodeError, Header, Vote, VoteContent};

/// Why a log file cannot be changed. It stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogUpdateError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is damage that is no torn tail.
    #[error("{}: {fault}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and what.
        fault: LogFault,
    },
    /// A complete record with a wrong checksum is the last one: it may have been acknowledged [HARD-34].
    #[error("{}: the record at offset {offset} is complete but damaged", path.display())]
    LastRecord {
        /// The file.
        path: PathBuf,
        /// Where it starts.
        offset: u64,
    },
    /// A record cannot be said in its version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The new members cannot be used in the version of the vote.
    #[error("decree {decree}: {error}")]
    Members {
        /// Of the reconfiguration.
        decree: Decree,
        /// Why.
        error: MemberSetError,
    },
}

/// Where the records of a log end, and what follows them. Reads only.
///
/// # Errors
/// When it cannot be read, or is damaged before its end.
pub fn log_end(disk: &dyn Disk, path: &Path) -> Result<LogEnd, LogUpdateError> {
    let file = disk.open(path, OpenMode::Read)?;
    scan(&*file, path, &mut |_| Ok(()))
}

fn scan(
    file: &dyn DiskFile,
    path: &Path,
    each: &mut dyn FnMut(Record) -> Result<(), LogUpdateError>,
) -> Result<LogEnd, LogUpdateError> {
    let mut scanner = LogScanner::new(file)?;
    loop {
        match scanner.step() {
            Ok(Step::Record { record, .. }) => each(record)?,
            Ok(Step::End(end)) => return Ok(end),
            Err(fault) => return Err(LogUpdateError::Damaged { path: path.to_owned(), fault }),
        }
    }
}

/// Cuts a log durably behind its last record (decision 20): zeroes, a part of a page, a torn record go. Returns how many
/// bytes.
///
/// # Errors
/// When the log is damaged - also in its last record, which may have been acknowledged [HARD-34] - or the disk fails.
pub fn cut_log(disk: &dyn Disk, path: &Path) -> Result<u64, LogUpdateError> {
    let end = log_end(disk, path)?;
    if let Tail::Damaged(_) = end.tail {
        return Err(LogUpdateError::LastRecord { path: path.to_owned(), offset: end.offset });
    }
    if end.offset == end.size {
        return Ok(0);
    }
    let file = disk.open(path, OpenMode::Write)?;
    file.set_len(end.offset)?;
    file.sync()?;
    Ok(end.size - end.offset)
}

/// Writes `n.log` anew: the reconfiguration votes of the decrees in `members` get these members, with the cookie that the
/// old ones had; every other vote is copied as it is, other records are encoded again, a tolerated tail is dropped
/// [STOR-74]. The new file has another kind of name until it is complete [HARD-58]. Returns how many votes were changed.
///
/// # Errors
/// When the log is damaged, members cannot be used, or the disk fails; the log stays as it is then.
pub fn update_log(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: Decree,
    members: &BTreeMap<Decree, MemberSet>,
) -> Result<usize, LogUpdateError> {
    let path = dir.join(FileName::Log(log).to_string());
    let source = disk.open(&path, OpenMode::Read)?;
    let mut changed = 0;
    // One log has at most a few hundred MiB.
    let mut bytes = Vec::new();
    scan(&*source, &path, &mut |record| {
        let updated = match record {
            Record::Vote(vote) => {
                match members.get(&vote.decree()).filter(|_| vote.reconfiguration().is_some()) {
                    Some(members) => {
                        changed += 1;
                        Record::Vote(with_members(&vote, members)?)
                    }
                    None => Record::Vote(vote),
                }
            }
            other => other,
        };
        Ok(updated.append_to(&mut bytes)?)
    })?;
    let temporary = with_suffix(&path, ".tmp");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = disk.open(&temporary, OpenMode::Create)?;
    let written = file.write_at(0, &bytes).and_then(|()| file.sync());
    written.inspect_err(|_| {
        // Best effort: the name is not that of a log.
        let _ = disk.remove(&temporary);
    })?;
    // Open files may not be replaceable on Windows.
    drop((source, file));
    publish(disk, &temporary, &path)?;
    Ok(changed)
}

/// The same reconfiguration with other members: relinquish 0, payload 0, checksum computed.
fn with_members(vote: &Vote, members: &MemberSet) -> Result<Vote, LogUpdateError> {
    let cookie = vote.reconfiguration().map(|old| old.cookie.clone()).unwrap_or_default();
    let members = MemberSet { nodes: members.nodes.clone(), cookie };
    let version = vote.version();
    members.verify(version).map_err(|error| LogUpdateError::Members { decree: vote.decree(), error })?;
    let old = vote.header();
    let header = Header::new(version, old.member, old.decree, old.configuration, old.ballot);
    let content = VoteContent {
        reconfiguration: Some(Arc::new(members)),
        cookie: vote.cookie().clone(),
        ..VoteContent::default()
    };
    Ok(Vote::new(header, &content)?)
}
