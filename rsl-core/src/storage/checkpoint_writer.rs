//! Writing checkpoints: saving the own state, copying a peer's, and giving the file its final name [STOR-49].

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint_reader::{CheckpointError, CheckpointReader, check_decree};
use super::directory::Directory;
use super::disk::DiskFile;
use crate::engine::{CheckpointInfo, SaveRequest};
use crate::format::{BodyLayout, CheckpointHeader, FileName, HeaderEncodeError, HeaderError, PAGE, Promise};
use crate::types::{Ballot, Configuration, Decree, MemberId, ProtocolVersion};
use crate::wire::{Checksum, EncodeError, Vote};

/// What a new checkpoint says beside the application's state.
#[derive(Clone, Debug)]
pub struct NewCheckpoint {
    /// This replica.
    pub member: MemberId,
    /// The version of the header [STOR-39]; raised where the next vote needs it [HARD-42].
    pub version: ProtocolVersion,
    /// The state is that after this decree.
    pub executed: Decree,
    /// The vote of the next decree [STOR-48].
    pub next_vote: Vote,
    /// The highest ballot promised or accepted [STOR-40].
    pub promised: Ballot,
    /// The configuration of the state.
    pub configuration: Configuration,
    /// Whether there is application state; false only for the checkpoint of a bootstrap [STOR-52].
    pub state_saved: bool,
}

impl NewCheckpoint {
    /// The checkpoint an engine asks `member` to save. `head` is the head of the execution queue, the next vote of
    /// a request that names none [XFER-33].
    #[must_use]
    pub fn from_request(request: &SaveRequest, head: &Vote, member: MemberId) -> NewCheckpoint {
        NewCheckpoint {
            member,
            version: request.version,
            executed: request.at,
            next_vote: request.next_vote.as_ref().unwrap_or(head).clone(),
            promised: request.promised,
            configuration: request.configuration.clone(),
            state_saved: true,
        }
    }

    fn header(self) -> Result<CheckpointHeader, EncodeError> {
        let next_vote = with_checksum(self.next_vote)?;
        let version = CheckpointHeader::version_for(self.version, &next_vote);
        Ok(CheckpointHeader {
            version,
            member: self.member,
            executed: self.executed,
            promised: self.promised.max(next_vote.ballot()),
            configuration: version.has_configuration().then_some(self.configuration),
            state_saved: self.state_saved || !version.has_string_ids(),
            size: 0,
            block_size: CheckpointHeader::block_size_for(version),
            next_vote,
        })
    }
}

/// A placeholder may have come without checksum; a checkpoint's next vote must have one [HARD-44].
fn with_checksum(vote: Vote) -> Result<Vote, EncodeError> {
    if vote.header().checksum != 0 {
        return Ok(vote);
    }
    vote.repropose(*vote.header(), vote.cookie().clone())
}

/// Why a checkpoint could not be saved or copied. Nothing of it stays; only the log stops a replica [HARD-362].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The disk, or the source of a copy, failed.
    #[error("writing the checkpoint failed: {0}")]
    Io(#[from] io::Error),
    /// The header cannot be encoded.
    #[error(transparent)]
    Encode(#[from] HeaderEncodeError),
    /// What was written or received does not verify [HARD-45] [HARD-46].
    #[error(transparent)]
    Verify(#[from] CheckpointError),
    /// The source sent fewer bytes than it announced [STOR-53].
    #[error("the copy ends after {received} of {expected} bytes")]
    Short {
        /// Announced, or by the header.
        expected: u64,
        /// Received, header included.
        received: u64,
    },
    /// The announced size is not the one in the header [HARD-47].
    #[error("{announced} bytes were announced, the header says {header}")]
    Announced {
        /// In the status of the source.
        announced: u64,
        /// In the header.
        header: u64,
    },
}

impl From<EncodeError> for PublishError {
    fn from(error: EncodeError) -> Self {
        PublishError::Encode(error.into())
    }
}

impl From<HeaderError> for PublishError {
    fn from(error: HeaderError) -> Self {
        PublishError::Verify(error.into())
    }
}

/// Written between two syncs. What the operating system holds back comes at once in the end, and the log of this replica
/// and of others on the disk waits for it.
const PORTION: usize = 1024 * 1024;

/// A file in `Temp` that vanishes unless it is published [HARD-381].
struct Scratch<'a> {
    directory: &'a Directory,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Written since the last sync.
    unsynced: usize,
    published: bool,
}

impl<'a> Scratch<'a> {
    fn new(directory: &'a Directory) -> io::Result<Scratch<'a>> {
        let (path, file) = directory.new_temp()?;
        Ok(Scratch { directory, path, file, unsynced: 0, published: false })
    }

    /// Writes, and syncs every [`PORTION`].
    fn write_at(&mut self, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(PORTION) {
            self.file.write_at(offset, part)?;
            offset += part.len() as u64;
            self.unsynced += part.len();
            if self.unsynced >= PORTION {
                self.file.sync()?;
                self.unsynced = 0;
            }
        }
        Ok(())
    }

    /// Syncs, verifies every block, and gives the file its final name, durably [HARD-45] [HARD-50] [HARD-363]. A file
    /// that has the name already stays if it verifies, else it is replaced [STOR-49] [HARD-49].
    fn publish(mut self, decree: Decree, promised: Ballot) -> Result<CheckpointInfo, PublishError> {
        self.file.sync()?;
        let mut reader = CheckpointReader::new(Arc::clone(&self.file))?;
        reader.expect_decree(decree)?;
        reader.verify_rest()?;
        let size = reader.file_size();
        if reader.header().promised < promised {
            // Versions 1 and 2 have no room for it; it must be durable before older logs can go [HARD-41] [HARD-370].
            self.directory.remember(Promise { promised, relearn: None })?;
        }
        drop(reader);
        let name = self.directory.file(FileName::Checkpoint(decree));
        if let Ok(size) = verify(self.directory, decree) {
            return Ok(CheckpointInfo { decree, size });
        }
        self.directory.disk.rename(&self.path, &name)?;
        self.published = true;
        self.directory.disk.sync_dir(self.directory.path())?;
        Ok(CheckpointInfo { decree, size })
    }
}

/// Verifies the whole checkpoint of `decree` in its final place; returns the file's size.
fn verify(directory: &Directory, decree: Decree) -> Result<u64, CheckpointError> {
    let path = directory.file(FileName::Checkpoint(decree));
    let mut reader = CheckpointReader::open(&*directory.disk, &path)?;
    reader.expect_decree(decree)?;
    reader.verify_rest()?;
    Ok(reader.file_size())
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be deleted now is deleted at the next start [STOR-3].
            let _ = self.directory.disk.remove(&self.path);
        }
    }
}

/// Bytes that a raw body is collected to before they are written.
const RAW_BUFFER: u64 = 1024 * 1024;

/// Takes the application's state and makes a checkpoint of it. Dropped without [`finish`](Self::finish), it leaves
/// nothing behind [STOR-50].
pub struct CheckpointWriter<'a> {
    scratch: Scratch<'a>,
    header: CheckpointHeader,
    layout: BodyLayout,
    promised: Ballot,
    /// Data of the block that is not complete yet.
    block: Vec<u8>,
    sum: Checksum,
    /// Where that block goes.
    offset: u64,
    error: Option<io::ErrorKind>,
}

impl std::fmt::Debug for CheckpointWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointWriter")
            .field("executed", &self.header.executed)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<'a> CheckpointWriter<'a> {
    /// Starts a file in `Temp`, with room for the header.
    ///
    /// # Errors
    /// When the disk fails or the header cannot be encoded.
    pub fn new(directory: &'a Directory, new: NewCheckpoint) -> Result<CheckpointWriter<'a>, PublishError> {
        let promised = new.promised;
        let header = new.header()?;
        // Fails now rather than after all state has been written.
        header.encode()?;
        let layout = header.layout().map_err(CheckpointError::from)?;
        let scratch = Scratch::new(directory)?;
        scratch.file.set_len(layout.start())?;
        Ok(CheckpointWriter {
            scratch,
            offset: layout.start(),
            header,
            layout,
            promised,
            block: Vec::new(),
            sum: Checksum::new(),
            error: None,
        })
    }

    /// The version of the header.
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.header.version
    }

    /// Completes the file and publishes it as `N.codex`: header, sync, verification, rename, sync of the directory.
    ///
    /// # Errors
    /// When any of these, or an earlier write, failed; no checkpoint has appeared then.
    pub fn finish(mut self) -> Result<CheckpointInfo, PublishError> {
        if let Some(kind) = self.error {
            return Err(io::Error::from(kind).into());
        }
        self.put_block()?;
        if self.header.version.has_string_ids() {
            self.header.size = self.offset;
        }
        self.scratch.file.set_len(self.offset)?;
        self.scratch.file.write_at(0, &self.header.encode()?)?;
        self.scratch.publish(self.header.executed, self.promised)
    }

    /// Bytes that are collected before they are written: the data of a block.
    fn block_data(&self) -> usize {
        usize::try_from(self.layout.block_data().unwrap_or(RAW_BUFFER)).unwrap_or(usize::MAX)
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.layout.has_blocks() {
            self.block.extend_from_slice(&self.sum.value().to_le_bytes());
        }
        self.scratch.write_at(self.offset, &self.block)?;
        self.offset += self.block.len() as u64;
        self.block.clear();
        self.sum = Checksum::new();
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.block_data() - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.sum.update(&bytes[..count]);
        if self.block.len() == self.block_data() {
            self.put_block()?;
        }
        Ok(count)
    }
}

impl Write for CheckpointWriter<'_> {
    /// Pieces of any size; the file depends on their concatenation only [STOR-78].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.error {
            return Err(kind.into());
        }
        self.write_some(bytes).inspect_err(|error| self.error = Some(error.kind()))
    }

    /// Does nothing: [`CheckpointWriter::finish`] makes the file durable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is to be copied.
#[derive(Clone, Copy, Debug)]
pub struct CopyRequest {
    /// The checkpoint's decree, as it was asked for.
    pub decree: Decree,
    /// The announced file size; 0 = unknown [HARD-47].
    pub size: u64,
    /// The copy's highest ballot is raised to this [STOR-53].
    pub promised: Ballot,
    /// Longest header that is accepted; derive it from the message limit [HARD-38].
    pub max_header: u64,
}

/// Copies a checkpoint from a learn stream and publishes it [STOR-53] [XFER-23]. Progress timeouts are the reader's
/// business: its errors end the copy.
///
/// # Errors
/// When the source fails, sends something else than was asked for, or the disk fails. Nothing of it stays.
pub fn copy_checkpoint(
    directory: &Directory,
    request: CopyRequest,
    source: &mut dyn Read,
) -> Result<CheckpointInfo, PublishError> {
    let mut source = Counted { source, received: 0 };
    let mut header = receive_header(&mut source, request.max_header)?;
    check_decree(&header, request.decree)?;
    let expected = expected_size(&header, request.size)?;
    header.raise_promised(request.promised);
    let mut scratch = Scratch::new(directory)?;
    let encoded = header.encode()?;
    scratch.file.write_at(0, &encoded)?;
    let mut offset = encoded.len() as u64;
    let mut buffer = vec![0; 256 * 1024];
    while expected.is_none_or(|expected| source.received < expected) {
        let left = expected.map_or(u64::MAX, |expected| expected - source.received);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = source.read(&mut buffer[..wanted])?;
        if count == 0 {
            break;
        }
        scratch.write_at(offset, &buffer[..count])?;
        offset += count as u64;
    }
    let received = source.received;
    if let Some(expected) = expected.filter(|&expected| received != expected) {
        return Err(PublishError::Short { expected, received });
    }
    scratch.publish(request.decree, request.promised)
}

/// The exact size of the file that is to come, where it is known [HARD-47].
fn expected_size(header: &CheckpointHeader, announced: u64) -> Result<Option<u64>, PublishError> {
    let own = (header.block_size > 0).then_some(header.size);
    match own {
        Some(header) if announced != 0 && announced != header => {
            Err(PublishError::Announced { announced, header })
        }
        Some(header) => Ok(Some(header)),
        None => Ok((announced != 0).then_some(announced)),
    }
}

fn receive_header(source: &mut Counted<'_>, cap: u64) -> Result<CheckpointHeader, PublishError> {
    let mut bytes = Vec::new();
    source.by_ref().take(PAGE).read_to_end(&mut bytes)?;
    let page = Bytes::from(bytes);
    let length = CheckpointHeader::length_from(&page, cap)?;
    let mut bytes = Vec::from(page);
    // Grows with what really arrives.
    source.by_ref().take(length - PAGE).read_to_end(&mut bytes)?;
    let received = bytes.len() as u64;
    if received < length {
        return Err(PublishError::Short { expected: length, received });
    }
    let header = CheckpointHeader::decode(&bytes.into())?;
    if header.encoded_len() != length {
        // The body would start elsewhere than its reader expects [STOR-32].
        return Err(HeaderError::Length(length).into());
    }
    Ok(header)
}

/// Counts the bytes received.
struct Counted<'a> {
    source: &'a mut dyn Read,
    received: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.received += count as u64;
        Ok(count)
    }
}
