//! Reading a checkpoint: its header, and its state as a stream that verifies every block.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, DiskFile, OpenMode};
use crate::format::{
    BLOCK_CHECKSUM, BodyError, BodyLayout, CheckpointHeader, HeaderError, PAGE, read_exact_at,
};
use crate::types::Decree;
use crate::wire::{DecodeError, checksum};

/// Why a checkpoint file cannot be used: the next older one is tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The device failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// The header is not valid [STOR-37].
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The file is too short for its body, or its last block is [STOR-45].
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The file has another size than its header says [STOR-45].
    #[error("the file has {found} bytes, its header says {expected}")]
    Size {
        /// In the header.
        expected: u64,
        /// Of the file.
        found: u64,
    },
    /// The file holds the state of another decree than its name says [HARD-48].
    #[error("the file holds the state after decree {found}, not {expected}")]
    Decree {
        /// By its name, or as it was asked for.
        expected: Decree,
        /// In the header.
        found: Decree,
    },
    /// The next vote is not of the next decree [HARD-47] [HARD-48].
    #[error("the next vote is for decree {found}, not {expected}")]
    NextVote {
        /// One above the checkpoint's decree.
        expected: Decree,
        /// In the vote.
        found: Decree,
    },
    /// A block's checksum is wrong [STOR-46].
    #[error("the block at offset {offset} is damaged")]
    Block {
        /// Where the block starts in the file.
        offset: u64,
    },
}

impl CheckpointError {
    /// The hardening clause that refuses the file where legacy uses it or dies of it.
    #[must_use]
    pub const fn clause(&self) -> Option<&'static str> {
        match self {
            CheckpointError::Decree { .. } | CheckpointError::NextVote { .. } => Some("HARD-48"),
            // In versions 1 and 2 the length is that of the next vote.
            CheckpointError::Header(
                HeaderError::Length(_) | HeaderError::Decode(DecodeError::BadLength(_)),
            ) => Some("HARD-38"),
            CheckpointError::Header(HeaderError::Body(BodyError::BlockSize(_)))
            | CheckpointError::Body(BodyError::BlockSize(_)) => Some("HARD-54"),
            CheckpointError::Header(HeaderError::Decode(DecodeError::TrailingBytes(_))) => Some("HARD-9"),
            CheckpointError::Header(HeaderError::Decode(DecodeError::HostNameTooLong(_))) => Some("HARD-10"),
            CheckpointError::Io(_)
            | CheckpointError::Header(_)
            | CheckpointError::Body(_)
            | CheckpointError::Size { .. }
            | CheckpointError::Block { .. } => None,
        }
    }

    fn damaged(error: &io::Error) -> Option<u64> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<DamagedBlock>()).map(|block| block.0)
    }
}

/// The error a read ends with at a damaged block (legacy: error 23).
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint block at offset {0} is damaged")]
struct DamagedBlock(u64);

/// The application's state in a checkpoint file. Reads give the data in order, without block checksums; the end is
/// `Ok(0)`, a damaged block `InvalidData` [STOR-75].
pub struct CheckpointReader {
    file: Arc<dyn DiskFile>,
    header: CheckpointHeader,
    layout: BodyLayout,
    file_size: u64,
    length: u64,
    position: u64,
    /// The block read last, with the data offset it starts at.
    block: Vec<u8>,
    block_at: u64,
    failed: bool,
}

impl std::fmt::Debug for CheckpointReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointReader")
            .field("executed", &self.header.executed)
            .field("length", &self.length)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl CheckpointReader {
    /// Opens a file and validates header and size; blocks are verified when they are read [STOR-46].
    ///
    /// # Errors
    /// When the file is no valid checkpoint.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<CheckpointReader, CheckpointError> {
        CheckpointReader::new(disk.open(path, OpenMode::Read)?)
    }

    /// As [`open`](Self::open), for a file that is open already.
    ///
    /// # Errors
    /// When the file is no valid checkpoint.
    pub fn new(file: Arc<dyn DiskFile>) -> Result<CheckpointReader, CheckpointError> {
        let file_size = file.size()?;
        let header = read_header(&*file, file_size)?;
        let layout = header.layout()?;
        // The size is in the header only where there are blocks; a raw body takes what is there [STOR-47].
        if layout.has_blocks() && header.size != file_size {
            return Err(CheckpointError::Size { expected: header.size, found: file_size });
        }
        let length = layout.data_len(file_size)?;
        Ok(CheckpointReader {
            file,
            header,
            layout,
            file_size,
            length,
            position: 0,
            block: Vec::new(),
            block_at: 0,
            failed: false,
        })
    }

    /// Checks that this is the checkpoint of `decree` [HARD-47] [HARD-48].
    ///
    /// # Errors
    /// When header or next vote say otherwise.
    pub fn expect_decree(&self, decree: Decree) -> Result<(), CheckpointError> {
        check_decree(&self.header, decree)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &CheckpointHeader {
        &self.header
    }

    /// Size of the file in bytes.
    #[must_use]
    pub const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Bytes of state [STOR-76].
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is no byte of state.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where the next read starts, in bytes of state.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a read has failed: then the state that was loaded must not be used, whatever the application says.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Moves on by `count` bytes of state; past the end means the end [STOR-77] [HARD-56].
    pub fn skip(&mut self, count: u64) {
        self.position = self.position.saturating_add(count);
    }

    /// Reads the rest to the end, verifying each block.
    ///
    /// # Errors
    /// [`CheckpointError::Block`] with the first damaged one.
    pub fn verify_rest(&mut self) -> Result<(), CheckpointError> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    let block = CheckpointError::damaged(&error);
                    return Err(
                        block.map_or(CheckpointError::Io(error), |offset| CheckpointError::Block { offset })
                    );
                }
            }
        }
    }

    fn read_some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.position >= self.length {
            return Ok(0);
        }
        let Some(block) = self.layout.block_at(self.position, self.length) else {
            let rest = usize::try_from(self.length - self.position).unwrap_or(usize::MAX).min(into.len());
            let offset = self.layout.start() + self.position;
            read_exact_at(&*self.file, offset, &mut into[..rest])?;
            self.position += rest as u64;
            return Ok(rest);
        };
        if self.block.is_empty() || self.block_at != block.data_offset {
            self.block.clear();
            let with_checksum = usize::try_from(block.length + BLOCK_CHECKSUM).map_err(io::Error::other)?;
            let mut bytes = std::mem::take(&mut self.block);
            bytes.resize(with_checksum, 0);
            read_exact_at(&*self.file, block.file_offset, &mut bytes)?;
            let stored = bytes.split_off(with_checksum - 8);
            if checksum(&bytes).to_le_bytes() != stored[..] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, DamagedBlock(block.file_offset)));
            }
            self.block = bytes;
            self.block_at = block.data_offset;
        }
        let within = usize::try_from(self.position - self.block_at).map_err(io::Error::other)?;
        let rest = &self.block[within..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for CheckpointReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_some(into).inspect_err(|_| self.failed = true)
    }
}

impl Seek for CheckpointReader {
    /// Positions past the end give the end when read [HARD-56].
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.length.checked_add_signed(delta),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Reads and decodes the header of a file; what it asks for is bounded by the file's size [HARD-38].
fn read_header(file: &dyn DiskFile, size: u64) -> Result<CheckpointHeader, CheckpointError> {
    let read = |length: u64| -> Result<Bytes, CheckpointError> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        read_exact_at(file, 0, &mut bytes)?;
        Ok(bytes.into())
    };
    let length = CheckpointHeader::length_from(&read(size.min(PAGE))?, size)?;
    Ok(CheckpointHeader::decode(&read(length)?)?)
}

pub(super) fn check_decree(header: &CheckpointHeader, decree: Decree) -> Result<(), CheckpointError> {
    if header.executed != decree {
        return Err(CheckpointError::Decree { expected: decree, found: header.executed });
    }
    let next = header.next_vote.decree();
    if !next.follows(decree) {
        return Err(CheckpointError::NextVote { expected: decree.next(), found: next });
    }
    Ok(())
}
