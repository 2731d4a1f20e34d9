//! The replica's directory as the threads beside the loop see it: saving, reading back, serving.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::executor::{ExecutionDisk, Saved};
use super::mailbox::Note;
use super::shared::Shared;
use crate::engine::{CheckpointInfo, ConnectionId, Direction, Origin, SaveRequest, StopReason};
use crate::format::FileName;
use crate::net::learn::{LearnSource, Segment};
use crate::storage::{
    CheckpointWriter, CopyRequest, Directory, LogIndex, NewCheckpoint, PublishError, Retention,
    copy_checkpoint,
};
use crate::types::{Decree, Instant, MemberId};
use crate::wire::{Header, Message, Vote};

/// No checkpoint is current.
const NONE: u64 = u64::MAX;
/// How long a status query on the learn port waits for the loop.
const STATUS_WAIT: Duration = Duration::from_secs(5);
/// Connections of the learn port are numbered apart from packet connections.
const FIRST_LEARN_CONNECTION: u64 = 1 << 63;

/// The files of one replica, for any thread.
#[derive(Debug)]
pub(super) struct Files {
    directory: Directory,
    index: Arc<LogIndex>,
    settings: FileSettings,
    /// The current checkpoint [XFER-5].
    checkpoint: AtomicU64,
}

/// How the files are treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSettings {
    pub(super) retention: Retention,
    pub(super) member: MemberId,
    /// Longest checkpoint header that is copied [HARD-38].
    pub(super) max_header: u64,
    /// A larger checkpoint raises an alert; 0 = off [PROTO-188].
    pub(super) alert_size: u64,
    /// Less free space than so many checkpoints raises an alert; 0 = off [PROTO-188].
    pub(super) alert_space: u32,
}

impl FileSettings {
    /// Whether a checkpoint of `size` is too large, and whether `free` bytes are too few after it.
    fn alerts(&self, size: u64, free: u64) -> (bool, bool) {
        let wanted = u64::from(self.alert_space).saturating_mul(size);
        (self.alert_size > 0 && size > self.alert_size, free < wanted)
    }
}

impl Files {
    pub(super) fn new(
        directory: Directory,
        index: Arc<LogIndex>,
        settings: FileSettings,
        checkpoint: Option<Decree>,
    ) -> Files {
        let checkpoint = AtomicU64::new(checkpoint.map_or(NONE, |decree| decree.0));
        Files { directory, index, settings, checkpoint }
    }

    /// A checkpoint was published: it is current if it is newer.
    pub(super) fn set_checkpoint(&self, decree: Decree) {
        let newer = |known: u64| (known == NONE || decree.0 > known).then_some(decree.0);
        let _ = self.checkpoint.fetch_update(Ordering::SeqCst, Ordering::SeqCst, newer);
    }

    pub(super) fn checkpoint_path(&self, decree: Decree) -> PathBuf {
        self.directory.file(FileName::Checkpoint(decree))
    }

    /// Notes a defunct configuration number; only a hint, so a failure is only reported.
    pub(super) fn write_defunct(&self, number: u32) {
        if let Err(error) = self.directory.write_defunct(number) {
            tracing::error!(number, %error, "cannot note the defunct configuration number");
        }
    }

    /// Deletes what retention allows.
    pub(super) fn clean_up(&self) {
        for failure in self.directory.retain(self.settings.retention) {
            tracing::warn!(path = %failure.path.display(), error = %failure.error, "cannot delete a file");
        }
    }

    /// Copies a checkpoint from a learn stream.
    pub(super) fn copy(
        &self,
        decree: Decree,
        size: u64,
        promised: crate::types::Ballot,
        source: &mut dyn io::Read,
    ) -> Result<CheckpointInfo, PublishError> {
        let request = CopyRequest { decree, size, promised, max_header: self.settings.max_header };
        copy_checkpoint(&self.directory, request, source).inspect(|info| self.alert(info))
    }

    fn alert(&self, info: &CheckpointInfo) {
        // A file system that cannot tell is no reason for an alert.
        let free = self.directory.free_space().unwrap_or(u64::MAX);
        let (too_large, too_little_space) = self.settings.alerts(info.size, free);
        let decree = info.decree.0;
        if too_large {
            tracing::warn!(alert = true, decree, size = info.size, "checkpoint above the alert size");
        }
        if too_little_space {
            tracing::warn!(alert = true, decree, size = info.size, free, "little disk space is left");
        }
    }

    /// Writes the checkpoint of a bootstrap, which has no application state; false = it could not be written.
    pub(super) fn persist_members(&self, request: &SaveRequest) -> bool {
        let written = match &request.next_vote {
            Some(next_vote) => self.writer(request, next_vote, false).and_then(CheckpointWriter::finish),
            None => return false,
        };
        written.inspect_err(|error| tracing::error!(%error, "the member set cannot be persisted")).is_ok()
    }

    fn writer(
        &self,
        request: &SaveRequest,
        next_vote: &Vote,
        state_saved: bool,
    ) -> Result<CheckpointWriter<'_>, PublishError> {
        let new = NewCheckpoint {
            member: self.settings.member,
            version: request.version,
            executed: request.at,
            next_vote: next_vote.clone(),
            promised: request.promised,
            configuration: request.configuration.clone(),
            state_saved,
        };
        CheckpointWriter::new(&self.directory, new)
    }

    fn save(
        &self,
        request: &SaveRequest,
        next_vote: &Vote,
        write: &mut dyn FnMut(&mut dyn Write) -> bool,
    ) -> Result<Saved, PublishError> {
        let mut writer = self.writer(request, next_vote, true)?;
        if !write(&mut writer) {
            return Ok(Saved::Refused);
        }
        let info = writer.finish()?;
        self.alert(&info);
        Ok(Saved::Done { size: info.size })
    }
}

/// What the execution thread sees.
impl ExecutionDisk for Arc<Files> {
    fn save(
        &mut self,
        request: &SaveRequest,
        next_vote: &Vote,
        write: &mut dyn FnMut(&mut dyn Write) -> bool,
    ) -> Saved {
        Files::save(self, request, next_vote, write).unwrap_or_else(|error| {
            // The one before it stays [HARD-575] [HARD-362].
            tracing::error!(alert = true, decree = request.at.0, %error, "the checkpoint could not be saved");
            Saved::Failed
        })
    }

    fn read_votes(&mut self, first: Decree, last: Decree, bytes: u64) -> io::Result<Vec<Vote>> {
        let mut votes = self.index.read_votes(first, bytes).map_err(io::Error::other)?;
        votes.retain(|vote| vote.decree() <= last);
        Ok(votes)
    }

    fn checkpoint_path(&self, decree: Decree) -> PathBuf {
        Files::checkpoint_path(self, decree)
    }
}

/// What the learn server sees.
#[derive(Debug)]
pub(super) struct LearnFiles {
    files: Arc<Files>,
    shared: Arc<Shared>,
    next_connection: AtomicU64,
}

impl LearnFiles {
    pub(super) fn new(files: Arc<Files>, shared: Arc<Shared>) -> LearnFiles {
        LearnFiles { files, shared, next_connection: AtomicU64::new(FIRST_LEARN_CONNECTION) }
    }
}

impl LearnFiles {
    /// Counts a file that is sent; the time on the network is not the disk's [API-30].
    fn served(&self, length: u64, started: Instant) {
        self.shared.counters.log_read(length, self.shared.clock.now().since(started));
    }
}

impl LearnSource for LearnFiles {
    fn status(&self, query: &Header, from: SocketAddrV4) -> Option<Bytes> {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (answer, receiver) = mpsc::channel();
        self.shared.mailbox.post(Note::LearnQuery {
            from: Origin { connection, direction: Direction::Learn, address: from },
            message: Message::StatusQuery(*query),
            answer,
        });
        receiver.recv_timeout(STATUS_WAIT).ok()
    }

    fn votes(&self, decree: Decree) -> Vec<Segment> {
        let segments = self.files.index.segments(decree).into_iter();
        // A file that was deleted meanwhile ends the stream; the learner asks again [XFER-7].
        segments
            .map_while(|segment| {
                let started = self.shared.clock.now();
                let file = File::open(&segment.path).ok()?;
                self.served(segment.length, started);
                Some(Segment { file, offset: segment.offset, length: segment.length })
            })
            .collect()
    }

    fn panicked(&self, text: String) {
        self.shared.stop(StopReason::Panicked(text));
    }

    fn checkpoint(&self, decree: Decree) -> Option<Segment> {
        let started = self.shared.clock.now();
        // Open first, then check: the file cannot disappear in between [HARD-366].
        let file = File::open(self.files.checkpoint_path(decree)).ok()?;
        let length = file.metadata().ok()?.len();
        let is_current = self.files.checkpoint.load(Ordering::SeqCst) == decree.0;
        is_current.then(|| {
            self.served(length, started);
            Segment { file, offset: 0, length }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [PROTO-188] A checkpoint above its limit, and free space for fewer checkpoints of its size than configured; both
    /// are off at 0. (Large packets: `net/tests/bounds.rs`.)
    #[test]
    fn checkpoints_raise_alerts() {
        let settings = FileSettings {
            retention: Retention::default(),
            member: MemberId::from_number(1),
            max_header: 0,
            alert_size: 1000,
            alert_space: 3,
        };
        assert_eq!(settings.alerts(1000, 3000), (false, false));
        assert_eq!(settings.alerts(1001, 3003), (true, false));
        assert_eq!(settings.alerts(1000, 2999), (false, true));
        assert_eq!(
            FileSettings { alert_size: 0, alert_space: 0, ..settings }.alerts(5000, 0),
            (false, false)
        );
        assert_eq!(settings.alerts(u64::MAX, u64::MAX), (true, false));
        let free = crate::storage::Disk::free_space(&crate::storage::OsDisk, &std::env::temp_dir()).unwrap();
        assert!(free > 0 && free < u64::MAX);
    }
}
