//! A file system in memory that forgets what was not synced: for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::disk::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode};
use crate::format::ReadAt;

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Directories; creating one is durable at once.
    directories: BTreeSet<PathBuf>,
    /// Names as they are, and as a power failure leaves them.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Never removed: open handles go on working.
    files: Vec<Content>,
    locked: BTreeSet<PathBuf>,
    modified: BTreeMap<PathBuf, Duration>,
    /// Calls that change something, counted down to the one that fails.
    fail_after: Option<u64>,
    changes: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What was done since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Change {
    /// Bytes of which any prefix may survive.
    fn weight(&self) -> usize {
        match self {
            Change::Write(_, bytes) => bytes.len(),
            Change::Resize(_) => 1,
        }
    }

    fn apply(&self, content: &mut Vec<u8>, keep: usize) {
        match self {
            Change::Write(offset, bytes) => write(content, *offset, &bytes[..keep]),
            Change::Resize(size) => content.resize(to_usize(*size), 0),
        }
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory")
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = to_usize(offset);
    if content.len() < start {
        content.resize(start, 0);
    }
    let inside = bytes.len().min(content.len() - start);
    content[start..start + inside].copy_from_slice(&bytes[..inside]);
    content.extend_from_slice(&bytes[inside..]);
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.fail_after {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl MemDisk {
    /// An empty disk with one directory.
    #[must_use]
    pub fn with_directory(path: &Path) -> MemDisk {
        let disk = MemDisk::default();
        disk.state().directories.insert(path.to_owned());
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.files.len();
        state.files.push(Content { live: bytes.to_vec(), durable: bytes.to_vec(), unsynced: Vec::new() });
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    /// Says when a file was last modified; by itself the disk says zero.
    pub fn set_modified(&self, path: &Path, modified: Duration) {
        self.state().modified.insert(path.to_owned(), modified);
    }

    /// The bytes of a file.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|&id| state.files[id].live.clone())
    }

    /// All files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// A copy that shares nothing.
    #[must_use]
    pub fn fork(&self) -> MemDisk {
        let state = self.state();
        let state = State {
            directories: state.directories.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            files: state.files.clone(),
            modified: state.modified.clone(),
            ..State::default()
        };
        MemDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// What a power failure leaves: `keep` is asked for each file with unsynced bytes how many of them survive, of how
    /// many. Names that were not synced are gone. The locks are free.
    #[must_use]
    pub fn after_power_failure(&self, mut keep: impl FnMut(&Path, usize) -> usize) -> MemDisk {
        let copy = self.fork();
        {
            let mut state = copy.state();
            let names = state.durable_names.clone();
            for (path, &id) in &names {
                let content = &mut state.files[id];
                let unsynced = std::mem::take(&mut content.unsynced);
                let total = unsynced.iter().map(Change::weight).sum();
                let mut left = if total > 0 { keep(path, total).min(total) } else { 0 };
                let mut bytes = std::mem::take(&mut content.durable);
                for change in &unsynced {
                    let part = change.weight().min(left);
                    left -= part;
                    if part > 0 {
                        change.apply(&mut bytes, part);
                    }
                }
                *content = Content { durable: bytes.clone(), live: bytes, unsynced: Vec::new() };
            }
            state.names = names;
        }
        copy
    }

    /// Lets every change after the next `count` fail as on a full disk; `None` = none fails.
    pub fn fail_after(&self, count: Option<u64>) {
        self.state().fail_after = count;
    }

    /// Calls so far that changed something.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }
}

struct MemFile {
    disk: MemDisk,
    id: usize,
    writable: bool,
}

impl MemFile {
    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.state();
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        state.change()?;
        Ok(state)
    }
}

impl ReadAt for MemFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.id].live.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.disk.state().files[self.id].live.read_at(offset, into)
    }
}

impl DiskFile for MemFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.changing()?;
        let content = &mut state.files[self.id];
        write(&mut content.live, offset, bytes);
        content.unsynced.push(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        let mut state = self.changing()?;
        let content = &mut state.files[self.id];
        content.live.resize(to_usize(size), 0);
        content.unsynced.push(Change::Resize(size));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.changing()?;
        let Content { live, durable, unsynced } = &mut state.files[self.id];
        for change in unsynced.drain(..) {
            change.apply(durable, change.weight());
        }
        debug_assert_eq!(live, durable, "a file is what was done to it");
        Ok(())
    }
}

struct MemLock {
    disk: MemDisk,
    directory: PathBuf,
}

impl DirLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.directory);
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let id = match (mode, state.names.get(path).copied()) {
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Create, None) => {
                if !path.parent().is_some_and(|parent| state.directories.contains(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.change()?;
                let id = state.files.len();
                state.files.push(Content::default());
                state.names.insert(path.to_owned(), id);
                id
            }
            (_, found) => found.ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(Arc::new(MemFile { disk: self.clone(), id, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        if !state.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let child = |path: &Path| {
            let name = (path.parent() == Some(directory)).then(|| path.file_name()).flatten()?;
            Some(name.to_string_lossy().into_owned())
        };
        let entry = |path: &Path, is_file, size| {
            let modified = state.modified.get(path).copied().unwrap_or_default();
            Some(DirEntry { name: child(path)?, is_file, size, modified })
        };
        let directories = state.directories.iter().filter_map(|path| entry(path, false, 0));
        let files =
            state.names.iter().filter_map(|(path, &id)| entry(path, true, state.files[id].live.len() as u64));
        Ok(directories.chain(files).collect())
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.directories.contains(directory) {
            return Ok(());
        }
        if !directory.parent().is_some_and(|parent| state.directories.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change()?;
        state.directories.insert(directory.to_owned());
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let inside = |path: &Path| path.parent() == Some(directory);
        let State { names, durable_names, .. } = &mut *state;
        durable_names.retain(|path, _| !inside(path) || names.contains_key(path));
        for (path, &id) in names.iter().filter(|(path, _)| inside(path)) {
            durable_names.insert(path.clone(), id);
        }
        Ok(())
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError> {
        if !self.state().locked.insert(directory.to_owned()) {
            return Err(LockError::Held { holder: "another replica".to_owned() });
        }
        Ok(Box::new(MemLock { disk: self.clone(), directory: directory.to_owned() }))
    }
}
