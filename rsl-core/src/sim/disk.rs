//! A disk in memory that loses what was not synced, tears writes, fails and goes off in the middle of things.
//!
//! It exploits what [`crate::storage::Disk`] allows: of the bytes written to a file since its last sync any prefix may
//! survive a power failure; of the name changes since the last sync of a directory any prefix may survive. The death of
//! a process alone loses nothing, but what it did not sync stays unsynced. What a disk must not do and does: `damage.rs`.

mod damage;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dice::Dice;
use crate::format::ReadAt;
use crate::storage::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode};
pub(super) use damage::Harm;

/// How a replica's machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process dies; the operating system keeps what was written.
    Kill,
    /// The power fails: what was not synced may be gone.
    Power,
}

/// One replica's disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// All of a disk, as it was.
#[derive(Debug)]
pub(super) struct Kept(State);

#[derive(Clone, Debug, Default)]
struct State {
    now: Duration,
    /// Handles of an earlier epoch are dead.
    epoch: u64,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    renames: Vec<NameChange>,
    files: Vec<Content>,
    locked: BTreeSet<PathBuf>,
    /// Calls that change something, counted down to the one at which the power goes off.
    power: Option<u64>,
    off: bool,
    /// Writes fail as on a full disk.
    full: bool,
    /// Syncs fail.
    broken: bool,
    /// The next power failure leaves holes in what was not synced.
    holes: bool,
    /// What is wrong with the stored bytes.
    wounds: Vec<damage::Wound>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    modified: Duration,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set { path: PathBuf, id: usize, from: Option<PathBuf> },
    Remove(PathBuf),
}

impl NameChange {
    /// The directory whose sync makes it durable.
    fn directory(&self) -> Option<&Path> {
        match self {
            NameChange::Set { path, .. } | NameChange::Remove(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Set { path, id, from } => {
                if let Some(from) = from {
                    names.remove(from);
                }
                names.insert(path.clone(), *id);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Change {
    fn weight(&self) -> u64 {
        match self {
            Change::Write(_, bytes) => bytes.len() as u64,
            Change::Resize(_) => 1,
        }
    }

    fn apply(&self, content: &mut Vec<u8>, keep: u64) {
        match self {
            Change::Write(offset, bytes) => write(content, *offset, &bytes[..to_usize(keep)]),
            Change::Resize(size) => content.resize(to_usize(*size), 0),
        }
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("a file in memory")
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = to_usize(offset);
    if content.len() < start + bytes.len() {
        content.resize(start + bytes.len(), 0);
    }
    content[start..start + bytes.len()].copy_from_slice(bytes);
}

impl Content {
    fn survive(&mut self, dice: &mut Dice) {
        let total: u64 = self.unsynced.iter().map(Change::weight).sum();
        let mut left = match dice.below(4) {
            _ if total == 0 => 0,
            0 => 0,
            1 => total,
            2 => dice.below(total + 1),
            _ => dice.below(total + 1) / 512 * 512,
        };
        for change in std::mem::take(&mut self.unsynced) {
            let part = change.weight().min(left);
            left -= part;
            if part > 0 {
                change.apply(&mut self.durable, part);
            }
        }
        self.live.clone_from(&self.durable);
    }
}

impl State {
    /// A call that changes something; fails when the power is off or goes off with it.
    fn change(&mut self) -> io::Result<()> {
        self.reachable()?;
        match &mut self.power {
            Some(0) => {
                self.off = true;
                Err(io::Error::other("the power goes off"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn reachable(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn rename_to(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }
}

impl SimDisk {
    pub(super) fn with_directory(path: &Path) -> SimDisk {
        let disk = SimDisk::default();
        disk.state().directories.insert(path.to_owned());
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that files get.
    pub(super) fn set_now(&self, now: Duration) {
        self.state().now = now;
    }

    pub(super) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    pub(super) fn set_broken(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// The power goes off at the call after the next `calls` that change something.
    pub(super) fn arm(&self, calls: u64) {
        self.state().power = Some(calls);
    }

    pub(super) fn disarm(&self) {
        self.state().power = None;
    }

    pub(super) fn is_off(&self) -> bool {
        self.state().off
    }

    /// Everything that was written is on the disk.
    pub(super) fn settle(&self) {
        let state = &mut *self.state();
        state.renames.clear();
        state.durable_names = state.names.clone();
        for content in &mut state.files {
            content.unsynced.clear();
            content.durable.clone_from(&content.live);
        }
    }

    /// What is on it now, for [`put_back`](SimDisk::put_back).
    pub(super) fn keep(&self) -> Kept {
        Kept(self.state().clone())
    }

    /// Makes everything as it was; nobody uses the disk.
    pub(super) fn put_back(&self, kept: Kept) {
        *self.state() = kept.0;
    }

    /// The process that used it is gone.
    pub(super) fn crash(&self, crash: Crash, dice: &mut Dice) {
        let state = &mut *self.state();
        state.epoch += 1;
        state.locked.clear();
        state.power = None;
        state.off = false;
        if crash == Crash::Kill {
            return;
        }
        let changes = std::mem::take(&mut state.renames);
        let kept = if dice.chance(300) { changes.len() } else { dice.index(changes.len() + 1) };
        for change in &changes[..kept] {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        let used: BTreeSet<usize> = state.names.values().copied().collect();
        for (id, content) in state.files.iter_mut().enumerate() {
            if used.contains(&id) {
                let synced = content.durable.len();
                content.survive(dice);
                if state.holes && content.tear(synced, dice) {
                    state.wounds.push(damage::Wound::Holes { file: id, synced });
                }
            } else {
                *content = Content::default();
            }
        }
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
    epoch: u64,
    writable: bool,
}

impl SimFile {
    fn reading(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.reachable()?;
        if state.epoch != self.epoch {
            return Err(io::Error::other("a handle of a dead process"));
        }
        Ok(state)
    }

    fn writing(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.reading()?;
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(state)
    }

    fn put(&self, change: Change) -> io::Result<()> {
        let mut state = self.writing()?;
        // What the power interrupts may yet arrive in part.
        let outcome = state.change();
        let full = state.full;
        let now = state.now;
        let content = &mut state.files[self.id];
        let weight = change.weight();
        let part = if full { weight / 2 } else { weight };
        if part > 0 {
            change.apply(&mut content.live, part);
            let change = match change {
                Change::Write(offset, mut bytes) => {
                    bytes.truncate(to_usize(part));
                    Change::Write(offset, bytes)
                }
                resize @ Change::Resize(_) => resize,
            };
            content.unsynced.push(change);
            content.modified = now;
        }
        outcome?;
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl ReadAt for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.reading()?.files[self.id].live.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.reading()?.files[self.id].live.read_at(offset, into)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(Change::Write(offset, bytes.to_vec()))
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.put(Change::Resize(size))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.writing()?;
        state.change()?;
        if state.broken {
            return Err(io::Error::other("the sync failed"));
        }
        let content = &mut state.files[self.id];
        for change in std::mem::take(&mut content.unsynced) {
            change.apply(&mut content.durable, change.weight());
        }
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    epoch: u64,
    directory: PathBuf,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locked.remove(&self.directory);
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.reachable()?;
        let id = match (mode, state.names.get(path).copied()) {
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Create, None) => {
                if !path.parent().is_some_and(|parent| state.directories.contains(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.change()?;
                let id = state.files.len();
                let modified = state.now;
                state.files.push(Content { modified, ..Content::default() });
                state.rename_to(NameChange::Set { path: path.to_owned(), id, from: None });
                id
            }
            (OpenMode::Read | OpenMode::Write, found) => found.ok_or(io::ErrorKind::NotFound)?,
        };
        let epoch = state.epoch;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), id, epoch, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let id = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.rename_to(NameChange::Set { path: to.to_owned(), id, from: Some(from.to_owned()) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_to(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        state.reachable()?;
        if !state.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let child = |path: &Path| {
            let name = (path.parent() == Some(directory)).then(|| path.file_name()).flatten()?;
            Some(name.to_string_lossy().into_owned())
        };
        let directories = state.directories.iter().filter_map(|path| {
            let modified = Duration::ZERO;
            Some(DirEntry { name: child(path)?, is_file: false, size: 0, modified })
        });
        let files = state.names.iter().filter_map(|(path, &id)| {
            let content = &state.files[id];
            let size = content.live.len() as u64;
            Some(DirEntry { name: child(path)?, is_file: true, size, modified: content.modified })
        });
        Ok(directories.chain(files).collect())
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.directories.insert(directory.to_owned());
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if state.broken {
            return Err(io::Error::other("the sync failed"));
        }
        let changes = std::mem::take(&mut state.renames);
        for change in changes {
            if change.directory() == Some(directory) {
                change.apply(&mut state.durable_names);
            } else {
                state.renames.push(change);
            }
        }
        Ok(())
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError> {
        let mut state = self.state();
        state.reachable()?;
        if !state.locked.insert(directory.to_owned()) {
            return Err(LockError::Held { holder: "another replica".to_owned() });
        }
        let epoch = state.epoch;
        drop(state);
        Ok(Box::new(SimLock { disk: self.clone(), epoch, directory: directory.to_owned() }))
    }
}

#[cfg(test)]
mod tests;
