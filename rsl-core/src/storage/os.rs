//! The operating system's file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::disk::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode};
use super::sys;
use crate::format::{LOCK_FILE, OWNER_FILE, ReadAt};

/// Between two attempts at a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

/// An open file.
#[derive(Debug)]
struct OsFile {
    file: File,
    /// The size was changed other than by appending: the metadata has to be flushed too.
    resized: AtomicBool,
}

impl ReadAt for OsFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match sys::read_some_at(&self.file, offset + done as u64, &mut into[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl DiskFile for OsFile {
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match sys::write_some_at(&self.file, offset, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.resized.store(true, Ordering::Relaxed);
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        if self.resized.swap(false, Ordering::Relaxed) {
            self.file.sync_all()
        } else {
            // fdatasync: data, and the size as far as it is needed to read them back [STOR-19].
            self.file.sync_data()
        }
    }
}

/// Holds the lock file; the operating system releases it when the process ends.
#[derive(Debug)]
struct OsLock {
    _file: File,
}

impl DirLock for OsLock {}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path)?;
        Ok(Arc::new(OsFile { file, resized: AtomicBool::new(false) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        sys::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        sys::remove(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Follows links, as opening the file will. An entry that vanished meanwhile is none.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_file: metadata.is_file(),
                size: metadata.len(),
                modified: modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
            });
        }
        Ok(entries)
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        sys::sync_dir(directory)
    }

    fn free_space(&self, directory: &Path) -> io::Result<u64> {
        fs4::available_space(directory)
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(LOCK_FILE))?;
        // The owner is named in a file of its own: a locked file cannot be read on Windows.
        let owner = directory.join(OWNER_FILE);
        let deadline = Instant::now() + sys::LOCK_PATIENCE;
        let mut tried = file.try_lock();
        while matches!(tried, Err(TryLockError::WouldBlock)) && Instant::now() < deadline {
            std::thread::sleep(LOCK_PAUSE);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(owner).unwrap_or_default();
                let holder = holder.lines().next().filter(|line| !line.is_empty());
                return Err(LockError::Held { holder: holder.unwrap_or("an unnamed process").to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let program = std::env::current_exe().unwrap_or_default();
        let text = format!("process {} ({})\n", std::process::id(), program.display());
        // Only a courtesy to whoever comes second: no reason not to start.
        let _ = File::create(owner).and_then(|mut file| file.write_all(text.as_bytes()));
        Ok(Box::new(OsLock { _file: file }))
    }
}
