//! What storage asks of a file system: the seam between the log and real or simulated disks.
//!
//! Durability as every implementation must provide it, and a simulated disk may exploit it:
//! - bytes and sizes are durable once [`DiskFile::sync`] has returned, not before; of writes since the last sync any
//!   prefix may survive a power failure, down to the byte;
//! - a new name, a rename and a removal are durable once [`Disk::sync_dir`] of the directory that holds the (new) name
//!   has returned; before that either state may survive. A rename is atomic;
//! - after an error nothing is known about the bytes concerned.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::format::ReadAt;

/// An open file; reads and writes name their offset, so that one handle serves many threads.
pub trait DiskFile: ReadAt + Send + Sync {
    /// Writes all of `bytes` at `offset`, growing the file.
    ///
    /// # Errors
    /// Of the device; part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or grows (with zeroes) the file.
    ///
    /// # Errors
    /// Of the device.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// Waits until all bytes and the size are on stable storage.
    ///
    /// # Errors
    /// Of the device. What was written since the last sync may be lost even if a later sync succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; fails with `AlreadyExists` when the name is taken.
    Create,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name; one that is not UTF-8 is given lossily and matches no file of ours.
    pub name: String,
    /// A regular file.
    pub is_file: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, since an origin of the disk's choice [STOR-25].
    pub modified: Duration,
}

/// Keeps a directory locked until it is dropped.
pub trait DirLock: Send + Sync {}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another replica works in it (decision 26).
    #[error("the directory is in use by {holder}")]
    Held {
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The lock could not be tried.
    #[error("locking failed: {0}")]
    Io(#[from] io::Error),
}

/// A file system. Calls may come from several threads at once.
pub trait Disk: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` and those of the device.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file within the file system, replacing one of the new name.
    ///
    /// # Errors
    /// Of the device.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles go on working; on some systems the name goes when they are closed.
    ///
    /// # Errors
    /// `NotFound` and those of the device.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no particular order.
    ///
    /// # Errors
    /// `NotFound` and those of the device.
    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>>;

    /// Creates a directory whose parent exists; a directory that is there already is left alone.
    ///
    /// # Errors
    /// Of the device.
    fn create_dir(&self, directory: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are on stable storage.
    ///
    /// # Errors
    /// Of the device.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that can still be written below a directory; `u64::MAX` when there is no bound.
    ///
    /// # Errors
    /// Of the device.
    fn free_space(&self, directory: &Path) -> io::Result<u64> {
        let _ = directory;
        Ok(u64::MAX)
    }

    /// Takes the lock on a directory, or says who has it (decision 26).
    ///
    /// # Errors
    /// When it is held or cannot be tried.
    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError>;
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// Of the device, and `InvalidData` when it is longer.
pub fn read_file(disk: &dyn Disk, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let size = usize::try_from(file.size()?).ok().filter(|&size| size <= limit);
    let mut bytes = vec![0; size.ok_or(io::ErrorKind::InvalidData)?];
    crate::format::read_exact_at(&*file, 0, &mut bytes)?;
    Ok(bytes)
}
