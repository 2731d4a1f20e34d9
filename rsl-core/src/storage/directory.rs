//! The data directory of a replica: where it is, its lock, its small files, what is in it [STOR-1] [STOR-2].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::disk::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode, read_file};
use crate::format::{
    DEFUNCT_FILE, FileName, PROMISE_FILE, Promise, PromiseError, TEMP_DIRECTORY, decode_defunct,
    encode_defunct, is_foreign,
};
use crate::types::{Decree, MemberId};

/// Longest promise file that is read.
const MAX_PROMISE_FILE: usize = 4096;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The member id is no single path component [HARD-62].
    #[error("member id {0} cannot be the name of a directory")]
    MemberId(MemberId),
    /// Another replica works in it (decision 26).
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Creating or reading it failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why that failed.
        source: io::Error,
    },
}

/// The data directory of a member: `working`, or its sub-directory named like the member [STOR-1]. The path is used
/// literally [HARD-59].
///
/// # Errors
/// When the member id is no single path component [HARD-62].
pub fn data_directory(
    working: &Path,
    member: MemberId,
    add_member_id: bool,
) -> Result<PathBuf, DirectoryError> {
    if !add_member_id {
        return Ok(working.to_owned());
    }
    let name = std::str::from_utf8(member.as_bytes()).ok().filter(|name| is_component(name));
    Ok(working.join(name.ok_or(DirectoryError::MemberId(member))?))
}

/// Whether a name is one path component on every operating system.
fn is_component(name: &str) -> bool {
    let forbidden =
        |c: char| matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') || c.is_control();
    !name.is_empty() && name != "." && name != ".." && !name.contains(forbidden)
}

/// Creates a directory unless it is there; its parent must be.
fn create_leaf(disk: &dyn Disk, path: &Path) -> Result<(), DirectoryError> {
    if disk.list(path).is_ok() {
        return Ok(());
    }
    disk.create_dir(path).map_err(|source| DirectoryError::Io { path: path.to_owned(), source })
}

/// A data directory in use: created where missing, locked, with an empty `Temp`.
pub struct Directory {
    pub(super) disk: Arc<dyn Disk>,
    path: PathBuf,
    temp: PathBuf,
    next_temp: AtomicU64,
    /// Held while the promise file is read and replaced: two checkpoints may be written at once.
    promise: Mutex<()>,
    _lock: Box<dyn DirLock>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Directory {
    /// Opens the data directory of a member [STOR-1]: `working` and the member's sub-directory are created where they
    /// are missing, but not what `working` is in [STOR-2].
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the member id is no single path component [HARD-62].
    pub fn open_for(
        disk: Arc<dyn Disk>,
        working: &Path,
        member: MemberId,
        add_member_id: bool,
    ) -> Result<Directory, DirectoryError> {
        let path = data_directory(working, member, add_member_id)?;
        create_leaf(&*disk, working)?;
        Directory::open(disk, &path)
    }

    /// Opens `path`: creates it and `Temp` where they are missing, takes the lock, and deletes the files in `Temp`
    /// [STOR-2] [STOR-3].
    ///
    /// # Errors
    /// When another replica uses it, or the disk fails.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Directory, DirectoryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DirectoryError::Io { path, source }
        };
        create_leaf(&*disk, path)?;
        let lock = disk.lock(path)?;
        let temp = path.join(TEMP_DIRECTORY);
        create_leaf(&*disk, &temp)?;
        for entry in disk.list(&temp).map_err(failed(&temp))? {
            if entry.is_file {
                let file = temp.join(&entry.name);
                disk.remove(&file).map_err(failed(&file))?;
            }
        }
        Ok(Directory {
            disk,
            path: path.to_owned(),
            temp,
            next_temp: AtomicU64::new(1),
            promise: Mutex::new(()),
            _lock: lock,
        })
    }

    /// Bytes that can still be written below it.
    ///
    /// # Errors
    /// Of the device.
    pub fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space(&self.path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk it is on.
    #[must_use]
    pub const fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The path of a log or checkpoint.
    #[must_use]
    pub fn file(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// A new file in `Temp`, open for writing.
    pub(super) fn new_temp(&self) -> io::Result<(PathBuf, Arc<dyn DiskFile>)> {
        loop {
            let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
            let path = self.temp.join(format!("Cod{number:X}.tmp"));
            match self.disk.open(&path, OpenMode::Create) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|file| (path, file)),
            }
        }
    }

    /// Notes the highest defunct configuration number [STOR-7] [HARD-51] [HARD-52].
    ///
    /// # Errors
    /// When the disk fails; the old number stays then.
    pub fn write_defunct(&self, number: u32) -> io::Result<()> {
        self.replace(DEFUNCT_FILE, &encode_defunct(number))
    }

    /// Remembers a promise that no log or checkpoint carries [HARD-41]; never lowers what is there.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged; the old content stays then.
    pub fn remember(&self, promise: Promise) -> io::Result<()> {
        let _guard = self.promise.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read_promise(&*self.disk, &self.path)?;
        let merged = known.merge(promise);
        if merged == known { Ok(()) } else { self.replace(PROMISE_FILE, &merged.encode()) }
    }

    /// Replaces a small file as a whole: a crash leaves the old or the new one.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (temp, file) = self.new_temp()?;
        let written = file.write_at(0, bytes).and_then(|()| file.sync());
        drop(file);
        let replaced = written.and_then(|()| self.disk.rename(&temp, &self.path.join(name)));
        if let Err(error) = replaced {
            // Not needed any more; what stays is deleted at the next start.
            let _ = self.disk.remove(&temp);
            return Err(error);
        }
        self.disk.sync_dir(&self.path)
    }
}

/// What is in a data directory; taken without changing anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Decrees of the checkpoints, ascending.
    pub checkpoints: Vec<Decree>,
    /// Decrees of the logs, ascending.
    pub logs: Vec<Decree>,
    /// Names that look like logs or checkpoints but are none; ignored [HARD-57].
    pub foreign: Vec<String>,
    /// All entries.
    pub entries: Vec<DirEntry>,
}

impl Listing {
    /// Lists a directory [STOR-5].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Listing> {
        let mut listing = Listing { entries: disk.list(path)?, ..Listing::default() };
        listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in &listing.entries {
            match FileName::parse(&entry.name).filter(|_| entry.is_file) {
                Some(FileName::Log(decree)) => listing.logs.push(decree),
                Some(FileName::Checkpoint(decree)) => listing.checkpoints.push(decree),
                // Legacy takes directories for files.
                None if is_foreign(&entry.name) || FileName::parse(&entry.name).is_some() => {
                    listing.foreign.push(entry.name.clone());
                }
                None => {}
            }
        }
        listing.logs.sort_unstable();
        listing.checkpoints.sort_unstable();
        Ok(listing)
    }

    /// The name of the checkpoint of a decree.
    #[must_use]
    pub fn checkpoint_name(decree: Decree) -> String {
        FileName::Checkpoint(decree).to_string()
    }

    /// The directory entry of a log or checkpoint.
    fn entry(&self, name: FileName) -> Option<&DirEntry> {
        let name = name.to_string();
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Size of a log or checkpoint; 0 when it is not there.
    #[must_use]
    pub fn size(&self, name: FileName) -> u64 {
        self.entry(name).map_or(0, |entry| entry.size)
    }

    /// When a log or checkpoint was last modified.
    #[must_use]
    pub fn modified(&self, name: FileName) -> Option<Duration> {
        self.entry(name).map(|entry| entry.modified)
    }
}

/// Reads `defunct.txt`; 0 when it is missing or short [STOR-7].
///
/// # Errors
/// When the disk fails.
pub fn read_defunct(disk: &dyn Disk, directory: &Path) -> io::Result<u32> {
    let file = match disk.open(&directory.join(DEFUNCT_FILE), OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result?,
    };
    let mut bytes = [0; 4];
    let count = file.read_at(0, &mut bytes)?;
    Ok(decode_defunct(&bytes[..count]))
}

/// Reads the promise file; nothing promised when it is missing [HARD-41].
///
/// # Errors
/// When the disk fails, or (as `InvalidData`) when the file is damaged.
pub fn read_promise(disk: &dyn Disk, directory: &Path) -> io::Result<Promise> {
    match read_file(disk, &directory.join(PROMISE_FILE), MAX_PROMISE_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Promise::default()),
        Err(error) => Err(error),
        Ok(bytes) => Promise::decode(&bytes.into())
            .map_err(|error: PromiseError| io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
