//! Appending to the log: one write and one sync for everything a turn has to say.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, OpenMode};
use super::log_index::{IndexedLog, LogIndex};
use crate::format::{FileName, Record};
use crate::types::Decree;

/// The log cannot be written any more: the replica must stop [STOR-21] [PROTO-30].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LogWriteError {
    /// The log file.
    pub path: PathBuf,
    /// What failed.
    pub reason: String,
}

/// Appends records to the newest log file. Owned by one thread.
///
/// Nothing is written ahead of the records, so a file always ends where its records end (decision 20) [STOR-10].
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    index: Arc<LogIndex>,
    file: Arc<dyn DiskFile>,
    name: Decree,
    /// End of the durable records in `file`: a multiple of 512 [STOR-81].
    end: u64,
    pending: Vec<Batch>,
    /// An empty buffer for the next batch.
    spare: Vec<u8>,
    failed: Option<LogWriteError>,
}

/// Longer buffers are given back after a flush.
const KEPT_BUFFER: usize = 1024 * 1024;

/// Records that go to one file with one write.
#[derive(Debug)]
struct Batch {
    /// The file to start with them.
    new_log: Option<Decree>,
    bytes: Vec<u8>,
    /// Votes among them, with offsets from the start of the batch.
    votes: Vec<(Decree, u64)>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter")
            .field("file", &self.path(self.name))
            .field("end", &self.end)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl LogWriter {
    /// Goes on writing at the end of the newest file of `index`, which must not be empty.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, index: LogIndex, newest: &IndexedLog) -> LogWriter {
        LogWriter {
            disk,
            directory: index.directory().to_owned(),
            index: Arc::new(index),
            file: Arc::clone(&newest.file),
            name: newest.name,
            end: newest.end,
            pending: Vec::new(),
            spare: Vec::new(),
            failed: None,
        }
    }

    /// The index of what is durable. It may be read from any thread.
    #[must_use]
    pub const fn index(&self) -> &Arc<LogIndex> {
        &self.index
    }

    fn path(&self, name: Decree) -> PathBuf {
        self.directory.join(FileName::Log(name).to_string())
    }

    /// Takes a record into the next write; with `new_log` it becomes the first record of the file of that decree
    /// [STOR-23] [STOR-83]. Nothing is durable before [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the record cannot be encoded, or an earlier write failed.
    pub fn append(&mut self, record: &Record, new_log: Option<Decree>) -> Result<(), LogWriteError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.pending.is_empty() || new_log.is_some() {
            let bytes = std::mem::take(&mut self.spare);
            self.pending.push(Batch { new_log, bytes, votes: Vec::new() });
        }
        let Some(batch) = self.pending.last_mut() else { return Ok(()) };
        let offset = batch.bytes.len() as u64;
        if let Err(error) = record.append_to(&mut batch.bytes) {
            let name = batch.new_log.unwrap_or(self.name);
            return Err(self.fail(name, &error));
        }
        if let Record::Vote(vote) = record {
            batch.votes.push((vote.decree(), offset));
        }
        Ok(())
    }

    /// Makes everything that was appended durable: one write and one sync for each file, files in order, and a sync of
    /// the directory where a file is new [STOR-19] [HARD-50]. When this returns, the index knows the records.
    ///
    /// # Errors
    /// When the disk fails. The failure is final: nothing more is written, here or elsewhere [PROTO-30].
    pub fn flush(&mut self) -> Result<(), LogWriteError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        for mut batch in std::mem::take(&mut self.pending) {
            let name = batch.new_log.unwrap_or(self.name);
            if let Err(error) = self.write(&mut batch) {
                return Err(self.fail(name, &error));
            }
            if batch.bytes.capacity() <= KEPT_BUFFER {
                batch.bytes.clear();
                self.spare = batch.bytes;
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        let start = if batch.new_log.is_some() { 0 } else { self.end };
        let created = match batch.new_log {
            Some(name) => Some((name, create_log(&*self.disk, &self.path(name))?)),
            None => None,
        };
        let file = created.as_ref().map_or(&self.file, |(_, file)| file);
        file.write_at(start, &batch.bytes)?;
        file.sync()?;
        if let Some((name, file)) = created {
            self.disk.sync_dir(&self.directory)?;
            self.index.add(IndexedLog::new(name, Arc::clone(&file)));
            self.name = name;
            self.file = file;
        }
        self.end = start + batch.bytes.len() as u64;
        for (_, offset) in &mut batch.votes {
            *offset += start;
        }
        self.index.commit(&batch.votes, self.end);
        Ok(())
    }

    fn fail(&mut self, name: Decree, reason: &dyn std::fmt::Display) -> LogWriteError {
        let error = LogWriteError { path: self.path(name), reason: reason.to_string() };
        self.pending.clear();
        self.failed = Some(error.clone());
        error
    }
}

/// Creates a log file. An empty one that a crash left behind is used; one with records is never overwritten
/// [HARD-371].
pub(super) fn create_log(disk: &dyn Disk, path: &std::path::Path) -> std::io::Result<Arc<dyn DiskFile>> {
    match disk.open(path, OpenMode::Create) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = disk.open(path, OpenMode::Write)?;
            if file.size()? == 0 { Ok(file) } else { Err(error) }
        }
        result => result,
    }
}
