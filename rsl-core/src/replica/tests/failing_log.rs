//! Logs that cannot be synced: what the driver lets go of, and when.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::setup::FileSystem;
use super::super::testing::{Event, wait_for};
use super::super::{Cookie, Grouping};
use super::three::Trio;
use crate::engine::StopReason;
use crate::format::ReadAt;
use crate::storage::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode, OsDisk};
use crate::types::ProtocolVersion;

/// The member whose files can be synced; 0 = everybody's can.
static SPARED: AtomicU32 = AtomicU32::new(0);

struct FailingDisk;

struct FailingFile {
    file: Arc<dyn DiskFile>,
    member: u32,
}

impl ReadAt for FailingFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, into)
    }
}

impl DiskFile for FailingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        let spared = SPARED.load(Ordering::SeqCst);
        if spared != 0 && spared != self.member {
            // Long enough for whatever left too early to arrive and be counted.
            std::thread::sleep(Duration::from_millis(300));
            return Err(io::Error::other("no sync any more"));
        }
        self.file.sync()
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut parts = path.components().rev().filter_map(|part| part.as_os_str().to_str()?.parse().ok());
        let member = parts.next().unwrap_or_default();
        Ok(Arc::new(FailingFile { file: OsDisk.open(path, mode)?, member }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        OsDisk.list(directory)
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        OsDisk.create_dir(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        OsDisk.sync_dir(directory)
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError> {
        OsDisk.lock(directory)
    }
}

/// [PROTO-27] [PROTO-16] [PROTO-30] [STOR-21] Secondaries whose log cannot be synced acknowledge nothing and stop: what was
/// proposed to them is not executed by the primary.
#[test]
fn nothing_is_acknowledged_before_the_sync() {
    let trio = Trio::set_up(
        ProtocolVersion::V6,
        // Answers are ready in the turn of the vote: the application is not asked first.
        |config| config.use_global_accept_flag(true),
        |mut setup| {
            setup.disk = FileSystem(Arc::new(FailingDisk));
            setup
        },
    );
    let primary = trio.primary(None);
    let (replica, app) = &trio.replicas[primary];
    replica.replicate("durable", Cookie(1), Grouping::Exclusive).unwrap();
    wait_for(app, |events| events.iter().any(|event| matches!(event, Event::Executed(_, _, 1))));
    SPARED.store(101 + u32::try_from(primary).unwrap(), Ordering::SeqCst);
    replica.replicate("not durable", Cookie(2), Grouping::Exclusive).unwrap();
    for (index, (other, _)) in trio.replicas.iter().enumerate() {
        if index != primary {
            let reason = other.wait();
            assert!(matches!(reason, Some(StopReason::LogFailed(_))), "{reason:?}");
        }
    }
    // Whatever they said has arrived by now.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!trio.executed(primary).iter().any(|(_, request)| request == b"not durable"));
    replica.unload();
}
