//! Checkpoint files made and changed while no replica uses them: a new one, other members, another version [STOR-71].

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint_reader::{CheckpointError, CheckpointReader};
use super::disk::{Disk, DiskFile, OpenMode};
use crate::format::{BodyLayout, CheckpointHeader, FileName, HeaderEncodeError};
use crate::types::{Ballot, Configuration, Decree, MemberId, MemberSet, MemberSetError, ProtocolVersion};
use crate::wire::{Checksum, EncodeError, Header, Vote, VoteContent};

/// Bytes of a raw body that are collected before they are written.
const RAW: u64 = 1 << 20;

/// Why a checkpoint file cannot be made or changed. What was there before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is no usable checkpoint.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// The header cannot be said.
    #[error(transparent)]
    Encode(#[from] HeaderEncodeError),
    /// The members cannot be used with the version.
    #[error(transparent)]
    Members(#[from] MemberSetError),
    /// Members are needed from version 3 on.
    #[error("members are needed from version 3 on")]
    NoMembers,
    /// Versions 1 and 2 hold no members.
    #[error("the file is older than version 3 and knows no members")]
    TooOld,
    /// No replica can have executed this decree, or no checkpoint can follow it.
    #[error("decree {0} cannot have a checkpoint")]
    Decree(Decree),
}

impl From<EncodeError> for RewriteError {
    fn from(error: EncodeError) -> Self {
        RewriteError::Encode(error.into())
    }
}

/// A checkpoint file in the making: takes the state. The header comes last, so that an unfinished file is no checkpoint;
/// dropped before it is finished, the file goes [HARD-536].
pub struct CheckpointRewrite {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: CheckpointHeader,
    layout: BodyLayout,
    block: Vec<u8>,
    size: u64,
    finished: bool,
}

impl std::fmt::Debug for CheckpointRewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointRewrite").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CheckpointRewrite {
    /// Creates the file, or overwrites it.
    ///
    /// # Errors
    /// Of the device, or when the header names an impossible layout.
    pub fn create(
        disk: Arc<dyn Disk>,
        header: CheckpointHeader,
        path: &Path,
    ) -> io::Result<CheckpointRewrite> {
        let layout = header.layout().map_err(io::Error::other)?;
        let file = match disk.open(path, OpenMode::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = disk.open(path, OpenMode::Write)?;
                file.set_len(0)?;
                file
            }
            result => result?,
        };
        file.set_len(layout.start())?;
        let (path, block) = (path.to_owned(), Vec::new());
        let size = layout.start();
        Ok(CheckpointRewrite { disk, file, path, header, layout, block, size, finished: false })
    }

    /// Creates a file with the header of the checkpoint that `like` has open.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn like(disk: Arc<dyn Disk>, like: &CheckpointReader, path: &Path) -> io::Result<CheckpointRewrite> {
        CheckpointRewrite::create(disk, like.header().clone(), path)
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn block_data(&self) -> usize {
        usize::try_from(self.layout.block_data().unwrap_or(RAW)).unwrap_or(usize::MAX)
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.layout.has_blocks() {
            let mut sum = Checksum::new();
            sum.update(&self.block);
            self.block.extend_from_slice(&sum.value().to_le_bytes());
        }
        self.file.write_at(self.size, &self.block)?;
        self.size += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left, then the header, each durably.
    ///
    /// # Errors
    /// Of the device; the file is no checkpoint then.
    pub fn finish(&mut self) -> io::Result<()> {
        self.put_block()?;
        if self.header.version.has_string_ids() {
            self.header.size = self.size;
        }
        self.file.sync()?;
        let header = self.header.encode().map_err(io::Error::other)?;
        self.file.write_at(0, &header)?;
        self.file.sync()?;
        self.finished = true;
        Ok(())
    }
}

impl Write for CheckpointRewrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.block_data() - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == self.block_data() {
            self.put_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for CheckpointRewrite {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody to tell: without a header it is no checkpoint anyway.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// Writes `<dir>/<executed>.codex`: the checkpoint of a replica that has executed that decree in the configuration
/// `number`. `fill` writes the state. The file appears when it is complete [STOR-71] [HARD-60].
///
/// # Errors
/// When members are missing or cannot be used, or the disk or `fill` fails; nothing appears then.
pub fn make_checkpoint(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    version: ProtocolVersion,
    executed: Decree,
    number: u32,
    members: Option<MemberSet>,
    fill: &mut dyn FnMut(&mut CheckpointRewrite) -> Result<(), RewriteError>,
) -> Result<(), RewriteError> {
    if executed == Decree::ZERO || executed == Decree(u64::MAX) {
        return Err(RewriteError::Decree(executed));
    }
    let named = version.has_configuration();
    if named && members.is_none() {
        return Err(RewriteError::NoMembers);
    }
    if let Some(members) = &members {
        members.verify(version)?;
    }
    let members = Arc::new(members.unwrap_or_default());
    let first = members.nodes.first().filter(|_| named).map_or(MemberId::EMPTY, |node| node.id);
    let ballot = Ballot { id: 1, member: first };
    let next = Header::new(version, first, executed.next(), number, ballot);
    let header = CheckpointHeader {
        version,
        member: first,
        executed,
        promised: ballot,
        configuration: named.then_some(Configuration { number, initial_decree: executed, members }),
        state_saved: true,
        size: 0,
        block_size: CheckpointHeader::block_size_for(version),
        next_vote: Vote::new(next, &VoteContent::default())?,
    };
    let path = dir.join(FileName::Checkpoint(executed).to_string());
    replace(disk, &path, header, |file| fill(file))
}

/// The header of a checkpoint with other members, and of another version unless that is `None`; the next vote stays as it
/// is [STOR-72] [STOR-73].
///
/// # Errors
/// When the members, or the ids in the header, cannot be used in that version.
pub fn changed_header(
    old: &CheckpointHeader,
    version: Option<ProtocolVersion>,
    members: MemberSet,
) -> Result<CheckpointHeader, RewriteError> {
    let mut header = old.clone();
    let version = match version {
        Some(version) => version,
        None if header.version.has_configuration() => header.version,
        None => return Err(RewriteError::TooOld),
    };
    members.verify(version)?;
    let members = Arc::new(members);
    header.configuration = Some(match header.configuration.take() {
        Some(configuration) => Configuration { members, ..configuration },
        None => Configuration { number: 1, initial_decree: Decree::ZERO, members },
    });
    header.version = version;
    if !version.has_string_ids() {
        // Version 3 has no blocks [HARD-538] [HARD-55].
        header.block_size = 0;
        header.size = 0;
    }
    header.encode()?;
    Ok(header)
}

/// Replaces the members in a checkpoint file, and its version unless that is `None`; the state and the next vote stay as
/// they are [API-43] [HARD-538].
///
/// # Errors
/// As [`changed_header`], and when the disk fails; the file stays as it is then.
pub fn change_checkpoint(
    disk: &Arc<dyn Disk>,
    path: &Path,
    version: Option<ProtocolVersion>,
    members: MemberSet,
) -> Result<(), RewriteError> {
    let unreadable = |error| RewriteError::Unreadable { path: path.to_owned(), error };
    let mut reader = CheckpointReader::open(&**disk, path).map_err(unreadable)?;
    let header = changed_header(reader.header(), version, members)?;
    // Closes the source at the end: an open file may not be replaceable on Windows.
    replace(disk, path, header, move |file| {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => file.write_all(&buffer[..count])?,
                Err(error) => return Err(unreadable(CheckpointError::Io(error))),
            }
        }
    })
}

/// Writes `<path>.tmp` and gives it its name when it is complete [API-43] [HARD-60].
fn replace(
    disk: &Arc<dyn Disk>,
    path: &Path,
    header: CheckpointHeader,
    fill: impl FnOnce(&mut CheckpointRewrite) -> Result<(), RewriteError>,
) -> Result<(), RewriteError> {
    let temporary = with_suffix(path, ".tmp");
    let mut file = CheckpointRewrite::create(Arc::clone(disk), header, &temporary)?;
    fill(&mut file)?;
    file.finish()?;
    drop(file);
    publish(disk, &temporary, path)?;
    Ok(())
}

/// The path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut longer = path.as_os_str().to_owned();
    longer.push(suffix);
    PathBuf::from(longer)
}

/// Renames a complete file durably; a failure leaves nothing of it.
pub(super) fn publish(disk: &Arc<dyn Disk>, temporary: &Path, path: &Path) -> io::Result<()> {
    disk.rename(temporary, path).inspect_err(|_| {
        // Best effort: a name that ends in .tmp is neither log nor checkpoint.
        let _ = disk.remove(temporary);
    })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_dir(directory)
}
