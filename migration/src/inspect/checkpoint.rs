//! Takes a checkpoint file apart, whatever state it is in: header fields, next vote, blocks of the body.
//!
//! Fields are read as they stand. What a replica makes of them is decided elsewhere.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use rsl_core::format::{PAGE, round_to_page};
use rsl_core::types::{Ballot, Decree, MemberId, MemberSet, ProtocolVersion};
use rsl_core::wire::codec::Reader;
use rsl_core::wire::{
    Checksum, CookieLimit, DecodeError, MessageId, PREFIX_SIZE, RawHeader, Vote, member_set_size,
    message_checksum,
};

use super::app::Payload;
use super::log::{ChecksumState, kind, undefined_bytes};

/// Headers above this many bytes are not read.
const LARGEST_HEADER: u64 = 256 << 20;
/// Bytes of the checksum behind each block.
const SUM: u64 = 8;
/// Piece in which blocks are summed, in bytes.
const PIECE: u64 = 1 << 20;

/// A checkpoint file.
#[derive(Debug)]
pub struct Checkpoint {
    /// Size of the file.
    pub size: u64,
    /// Version and length of the header: the first six bytes.
    pub version: ProtocolVersion,
    /// The length that the file says its header has; in versions 1 and 2 the length of the next vote.
    pub said_length: u32,
    /// The fields that version 3 added.
    pub fields: Option<HeaderFields>,
    /// Where the next vote starts.
    pub vote_offset: u64,
    /// The next vote, or what is wrong with it.
    pub next_vote: Result<NextVote, VoteError>,
}

/// Header fields of version 3 on.
#[derive(Clone, Debug)]
pub struct HeaderFields {
    /// Unused, 0.
    pub checksum: u64,
    /// Who wrote the file.
    pub member: MemberId,
    /// The decree whose state it holds.
    pub last_executed: Decree,
    /// Highest ballot promised or accepted.
    pub max_ballot: Ballot,
    /// Number of the state's configuration.
    pub configuration_number: u32,
    /// First decree of that configuration.
    pub initial_decree: Decree,
    /// Its members.
    pub members: MemberSet,
    /// What version 4 added.
    pub saved: Option<SavedFields>,
}

/// Header fields of version 4 on.
#[derive(Clone, Copy, Debug)]
pub struct SavedFields {
    /// 0: the body holds no state.
    pub state_saved: u8,
    /// Size of the file.
    pub size: u64,
    /// Bytes of a block with its checksum; 0 = the body is raw.
    pub block_size: u32,
}

/// The vote in a header.
#[derive(Debug)]
pub struct NextVote {
    /// Its header.
    pub raw: RawHeader,
    /// The vote.
    pub vote: Vote,
    /// Whether its checksum holds.
    pub checksum: ChecksumState,
    /// Bytes behind the terminators of its ids that are not zero.
    pub undefined: u64,
    /// Where the body starts: what readers compute from the decoded header [STOR-32].
    pub header_len: u64,
    /// Whether the bytes behind the vote, up to the next page of its own counting, are zero.
    pub padding_zero: bool,
    /// The undefined bytes behind that [STOR-34].
    pub tail: Range<u64>,
    /// How many of them are not zero.
    pub tail_nonzero: u64,
}

/// What is wrong with the vote in a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Another message.
    #[error("a {0} where the next vote should be")]
    Kind(String),
    /// It does not decode.
    #[error("the next vote does not decode: {0}")]
    Malformed(#[from] DecodeError),
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Less than a page.
    #[error("the file has {0} bytes, a header has at least {PAGE}")]
    TooShort(u64),
    /// No version of a checkpoint.
    #[error("unknown version {0}")]
    UnknownVersion(u16),
    /// A length that no header has.
    #[error("the header has an impossible length of {0} bytes")]
    BadLength(u32),
    /// The header is longer than the file.
    #[error("the header has {said} bytes, the file ends after {size}")]
    CutOff {
        /// The header's length, in whole pages.
        said: u64,
        /// Size of the file.
        size: u64,
    },
    /// A field does not decode.
    #[error("header: {0}")]
    Field(#[from] DecodeError),
}

impl Checkpoint {
    /// Reads the header.
    ///
    /// # Errors
    /// When there is none that could be shown.
    pub fn open(path: &Path) -> Result<Checkpoint, HeaderError> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        if size < PAGE {
            return Err(HeaderError::TooShort(size));
        }
        let page = read_range(&mut file, 0..PAGE)?;
        let mut prefix = Reader::new(&page);
        let version = prefix.u16("version")?;
        let version = ProtocolVersion::from_number(version).ok_or(HeaderError::UnknownVersion(version))?;
        let said_length = prefix.u32("header length")?;
        let pages = round_to_page(said_length.into());
        if said_length == 0 || pages > u64::from(u32::MAX) {
            return Err(HeaderError::BadLength(said_length));
        }
        if pages > size {
            return Err(HeaderError::CutOff { said: pages, size });
        }
        if pages > LARGEST_HEADER {
            return Err(HeaderError::BadLength(said_length));
        }
        let bytes = read_range(&mut file, 0..pages)?;
        // Only what the length covers is decoded.
        let header = bytes.slice(..said_length as usize);
        let mut reader = Reader::new(&header);
        let fields =
            version.has_configuration().then(|| HeaderFields::read(&mut reader, version)).transpose()?;
        let vote_offset = reader.offset() as u64;
        let next_vote = NextVote::read(&reader.rest(), &bytes, vote_offset, version, fields.as_ref());
        Ok(Checkpoint { size, version, said_length, fields, vote_offset, next_vote })
    }

    /// The decree whose state the file holds, from its contents [STOR-38].
    #[must_use]
    pub fn decree(&self) -> Option<Decree> {
        match &self.fields {
            Some(fields) => Some(fields.last_executed),
            None => self.next_vote.as_ref().ok().map(|next| next.vote.decree().previous()),
        }
    }

    /// Highest ballot promised or accepted, as far as the file says [STOR-38].
    #[must_use]
    pub fn max_ballot(&self) -> Option<Ballot> {
        match &self.fields {
            Some(fields) => Some(fields.max_ballot),
            None => self.next_vote.as_ref().ok().map(|next| next.vote.ballot()),
        }
    }

    /// Whether the body holds state.
    #[must_use]
    pub fn state_saved(&self) -> bool {
        self.saved().is_none_or(|saved| saved.state_saved != 0)
    }

    /// Bytes of a block with its checksum, 0 for a raw body.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.saved().map_or(0, |saved| saved.block_size)
    }

    /// The fields of version 4 on.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedFields> {
        self.fields.as_ref()?.saved.as_ref()
    }
}

impl HeaderFields {
    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<HeaderFields, DecodeError> {
        reader.take("version and length", PREFIX_SIZE as u64)?;
        Ok(HeaderFields {
            checksum: reader.u64("checksum")?,
            member: reader.member_id(version)?,
            last_executed: Decree(reader.u64("last executed decree")?),
            max_ballot: reader.ballot(version)?,
            configuration_number: reader.u32("configuration number")?,
            initial_decree: Decree(reader.u64("initial decree")?),
            members: reader.member_set(version, CookieLimit::OwnLog)?,
            saved: version.has_string_ids().then(|| SavedFields::read(reader)).transpose()?,
        })
    }

    /// Bytes of all the fields [STOR-32].
    fn encoded_len(&self, version: ProtocolVersion) -> u64 {
        let fixed = if self.saved.is_some() { 179 } else { 54 };
        fixed + member_set_size(&self.members, version)
    }
}

impl SavedFields {
    fn read(reader: &mut Reader<'_>) -> Result<SavedFields, DecodeError> {
        Ok(SavedFields {
            state_saved: reader.u8("state saved")?,
            size: reader.u64("size")?,
            block_size: reader.u32("checksum block size")?,
        })
    }
}

impl NextVote {
    /// `rest` is what the header's length leaves for the vote, `bytes` all of the header in whole pages.
    fn read(
        rest: &Bytes,
        bytes: &Bytes,
        offset: u64,
        version: ProtocolVersion,
        fields: Option<&HeaderFields>,
    ) -> Result<NextVote, VoteError> {
        let raw = RawHeader::decode(rest)?;
        if raw.id != MessageId::Vote as u16 {
            return Err(VoteError::Kind(kind(&raw)));
        }
        let vote = Vote::decode_own(rest)?;
        let length = u64::from(raw.length);
        let header_len =
            round_to_page(round_to_page(length) + fields.map_or(0, |fields| fields.encoded_len(version)));
        let tail_start = offset + round_to_page(length);
        let tail = tail_start..header_len.max(tail_start);
        let stand = |range: Range<u64>| {
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes
                .get(at(range.start)..at(range.end))
                .unwrap_or_default()
                .iter()
                .filter(|&&byte| byte != 0)
                .count()
        };
        Ok(NextVote {
            checksum: ChecksumState::of(raw.header.checksum, message_checksum(vote.encoded())),
            undefined: undefined_bytes(vote.encoded(), &raw),
            padding_zero: stand(offset + length..tail_start) == 0,
            tail_nonzero: stand(tail.clone()) as u64,
            raw,
            vote,
            header_len,
            tail,
        })
    }
}

/// A block of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts in the file.
    pub offset: u64,
    /// Bytes of data in it.
    pub data_len: u64,
    /// Whether the checksum behind the data is theirs.
    pub checksum_ok: bool,
}

/// The blocks of a body that starts at `start`, in order [STOR-42]. A last block too short for a checksum is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn blocks(path: &Path, start: u64, block_size: u32) -> io::Result<Vec<Block>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let step = u64::from(block_size);
    let mut found = Vec::new();
    let mut offset = start;
    // Every block takes bytes of the file: as many blocks as there are, and no more.
    while step > SUM && offset + SUM < size {
        let end = (offset + step).min(size);
        let mut sum = Checksum::new();
        let mut at = offset;
        while at < end - SUM {
            let to = (at + PIECE).min(end - SUM);
            sum.update(&read_range(&mut file, at..to)?);
            at = to;
        }
        let stored = read_range(&mut file, end - SUM..end)?;
        let stored = stored.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        found.push(Block { offset, data_len: end - SUM - offset, checksum_ok: sum.value() == stored });
        offset = end;
    }
    Ok(found)
}

/// Reads the data of a body without the checksums between.
#[derive(Debug)]
pub struct BodyReader {
    file: File,
    at: u64,
    size: u64,
    start: u64,
    /// Bytes of a block with its checksum, `None` for a raw body.
    step: Option<u64>,
}

impl BodyReader {
    /// Opens the body that starts at `start`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, start: u64, block_size: u32) -> io::Result<BodyReader> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let step = (u64::from(block_size) > SUM).then_some(block_size.into());
        Ok(BodyReader { file, at: start, size, start, step })
    }

    /// Bytes of data in the body [STOR-45] [STOR-47].
    #[must_use]
    pub fn data_len(&self) -> u64 {
        let total = self.size.saturating_sub(self.start);
        match self.step {
            None => total,
            Some(step) => total / step * (step - SUM) + (total % step).saturating_sub(SUM),
        }
    }

    /// Data bytes from `at` to the end of its block, or of the body.
    fn run(&self, at: u64) -> u64 {
        let Some(step) = self.step else { return self.size.saturating_sub(at) };
        let block_start = self.start + (at - self.start) / step * step;
        let block_end = (block_start + step).min(self.size);
        block_end.saturating_sub(SUM).saturating_sub(at)
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.run(self.at) == 0 && self.step.is_some() {
            // Behind the data of a block: on to the next one.
            self.at = self.at.saturating_add(SUM).min(self.size).max(self.start);
        }
        let run = self.run(self.at);
        let length = buffer.len().min(usize::try_from(run).unwrap_or(usize::MAX));
        self.file.seek(SeekFrom::Start(self.at))?;
        let read = self.file.read(&mut buffer[..length])?;
        self.at += read as u64;
        Ok(read)
    }
}

fn read_range(file: &mut File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

/// A checkpoint file with its body, and everything that is wrong with it.
#[derive(Debug)]
pub struct CheckpointView {
    /// Size of the file.
    pub size: u64,
    /// The header, as far as there is one.
    pub checkpoint: Option<Checkpoint>,
    /// The blocks of the body; `None` where there are none by format.
    pub blocks: Option<Vec<Block>>,
    /// What the data is.
    pub payload: Option<Payload>,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

impl CheckpointView {
    /// Reads the whole file, with all block checksums. `name` is the decree in its name, where it has one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path, name: Option<u64>) -> io::Result<CheckpointView> {
        let mut view = CheckpointView {
            size: path.metadata()?.len(),
            checkpoint: None,
            blocks: None,
            payload: None,
            problems: Vec::new(),
        };
        let checkpoint = match Checkpoint::open(path) {
            Ok(checkpoint) => checkpoint,
            Err(HeaderError::Io(error)) => return Err(error),
            Err(error) => {
                view.problems.push(error.to_string());
                return Ok(view);
            }
        };
        view.problems = checkpoint.problems(name);
        if let Ok(next) = &checkpoint.next_vote {
            let block_size = checkpoint.block_size();
            if checkpoint.saved().is_some() && is_block_size(block_size) && block_size > 0 {
                view.blocks = Some(blocks(path, next.header_len, block_size)?);
            }
            if checkpoint.state_saved() {
                view.payload = Some(Payload::read(BodyReader::open(path, next.header_len, block_size)?)?);
            }
        }
        for block in view.blocks.iter().flatten().filter(|block| !block.checksum_ok) {
            view.problems.push(format!(
                "the block at {} ({} bytes of data) has a wrong checksum",
                block.offset, block.data_len
            ));
        }
        if let Some(Payload::DamagedHost(why)) = &view.payload {
            view.problems.push(format!("the state looks like that of the reference host, but {why}"));
        }
        view.checkpoint = Some(checkpoint);
        Ok(view)
    }
}

/// Largest block that is accepted [HARD-54].
const LARGEST_BLOCK: u32 = 64 << 20;

fn is_block_size(block_size: u32) -> bool {
    block_size <= LARGEST_BLOCK && u64::from(block_size).is_multiple_of(PAGE)
}

impl Checkpoint {
    /// What is wrong with the header, or with the size of the file.
    fn problems(&self, name: Option<u64>) -> Vec<String> {
        let mut problems = Vec::new();
        let next = match &self.next_vote {
            Ok(next) => next,
            Err(error) => {
                problems.push(format!("at {}: {error}", self.vote_offset));
                return problems;
            }
        };
        if next.checksum != ChecksumState::Ok {
            problems.push(format!("at {}: the next vote has a wrong checksum", self.vote_offset));
        }
        if let Some(decree) = self.decree() {
            if name.is_some_and(|name| name != decree.0) {
                problems
                    .push(format!("its name does not agree with its contents, the state of decree {decree}"));
            }
            if !next.vote.decree().follows(decree) {
                problems
                    .push(format!("next vote {} behind the state of decree {decree}", next.vote.position()));
            }
        }
        if let Some(ballot) = self.max_ballot().filter(|&ballot| ballot < next.vote.ballot()) {
            problems.push(format!("max ballot {ballot} is below the next vote's {}", next.vote.ballot()));
        }
        if round_to_page(self.said_length.into()) != next.header_len {
            problems
                .push(format!("header length {} where {} was computed", self.said_length, next.header_len));
        }
        if next.header_len > self.size {
            problems
                .push(format!("the file ends at {}, within the header of {}", self.size, next.header_len));
        }
        if let Some(saved) = self.saved() {
            let step = u64::from(saved.block_size);
            if !is_block_size(saved.block_size) {
                problems.push(format!("blocks of {step} bytes"));
            } else if step > 0 && saved.size != self.size {
                problems.push(format!("the file has {} bytes, the header says {}", self.size, saved.size));
            } else if step > 0 && (1..=SUM).contains(&(self.size.saturating_sub(next.header_len) % step)) {
                problems.push("the last block is too short for its checksum".into());
            }
        }
        problems
    }
}
