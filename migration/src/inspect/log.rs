//! Walks a log file from its first byte to its last, whatever state it is in: every record, and every stretch of bytes
//! that is no record. One record is in memory at a time.
//!
//! This is the reader of a person, not of a replica: it goes on behind damage as soon as it finds a whole record again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use rsl_core::format::{PAGE, round_to_page};
use rsl_core::wire::{CHECKSUM_FROM, Checksum, DecodeError, Message, MessageId, RawHeader, Vote};

/// Records above this many bytes are summed, but not taken apart.
const LARGEST_LISTED: u64 = 256 << 20;
/// Piece in which long stretches are read, in bytes: a multiple of [`PAGE`].
const PIECE: u64 = 1 << 20;
/// [`PAGE`] as a length in memory.
const PAGE_LEN: usize = 512;
const _: () = assert!(PAGE_LEN as u64 == PAGE);

/// A part of a log file.
#[derive(Debug)]
pub struct Entry {
    /// Where it starts.
    pub offset: u64,
    /// Bytes of the file it takes.
    pub len: u64,
    /// Whether it reaches to the end of the file.
    pub to_end: bool,
    /// What it is.
    pub found: Found,
}

impl Entry {
    /// Where the next entry starts.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// What a part of a log file is.
#[derive(Debug)]
pub enum Found {
    /// A header with all the bytes that its length asks for.
    Record(Box<Record>),
    /// A header whose length goes beyond the end of the file: the record was cut off, or its length is damaged.
    Torn {
        /// The header.
        raw: RawHeader,
        /// Bytes the record would take.
        needed: u64,
    },
    /// Whole pages and what is left of the file behind them, all zero.
    Zeros,
    /// Bytes that are no record and not all zero.
    Garbage {
        /// Why the first page is no header.
        error: DecodeError,
    },
    /// Less than a page, at the end of the file.
    Fragment {
        /// Whether all of it is zero.
        zero: bool,
    },
}

/// A record with its header.
#[derive(Debug)]
pub struct Record {
    /// The header.
    pub raw: RawHeader,
    /// Whether the checksum holds.
    pub checksum: ChecksumState,
    /// What follows the header.
    pub body: Body,
    /// Whether the bytes behind the message, up to the next page, are zero.
    pub padding_zero: bool,
    /// Bytes behind the terminators of 64-byte ids that are not zero; they are undefined [STOR-34].
    pub undefined: u64,
}

/// The message of a record.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them is in memory at a time, and in a box")]
pub enum Body {
    /// A record.
    Message(Message),
    /// A message that must not be in a log, by its id [STOR-11].
    WrongKind,
    /// The fields do not decode.
    Malformed(DecodeError),
    /// Too large to be taken apart here; the checksum was verified.
    NotListed,
}

/// What the checksum field says [STOR-12].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumState {
    /// It is the checksum of the bytes.
    Ok,
    /// It is not.
    Bad,
    /// None was filled in.
    Zero,
}

impl ChecksumState {
    /// The state of a stored checksum.
    #[must_use]
    pub fn of(stored: u64, computed: u64) -> ChecksumState {
        match stored {
            _ if stored == computed => ChecksumState::Ok,
            0 => ChecksumState::Zero,
            _ => ChecksumState::Bad,
        }
    }

    /// `ok`, `bad` or `zero`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChecksumState::Ok => "ok",
            ChecksumState::Bad => "bad",
            ChecksumState::Zero => "zero",
        }
    }
}

/// The entries of a log file, in order.
#[derive(Debug)]
pub struct LogWalker {
    file: File,
    size: u64,
    offset: u64,
}

impl LogWalker {
    /// Opens a log for reading; nothing is ever written.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<LogWalker> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(LogWalker { file, size, offset: 0 })
    }

    /// Size of the file in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(range.start))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }

    fn entry(&mut self) -> io::Result<Option<Entry>> {
        let offset = self.offset;
        if offset == self.size {
            return Ok(None);
        }
        let (end, found) = self.at(offset)?;
        Ok(Some(Entry { offset, len: end - offset, to_end: end == self.size, found }))
    }

    /// What starts at `offset`, which is inside the file, and where it ends.
    fn at(&mut self, offset: u64) -> io::Result<(u64, Found)> {
        let left = self.size - offset;
        if left < PAGE {
            let zero = is_zero(&self.read(offset..self.size)?);
            return Ok((self.size, Found::Fragment { zero }));
        }
        let page = self.read(offset..offset + PAGE)?;
        let raw = match RawHeader::decode(&page) {
            Ok(raw) => raw,
            Err(error) => {
                let end = self.next_record(offset + PAGE)?;
                let zero = self.range_is_zero(offset..end)?;
                return Ok((end, if zero { Found::Zeros } else { Found::Garbage { error } }));
            }
        };
        let needed = round_to_page(raw.length.into());
        if needed > left {
            return Ok((self.next_record(offset + PAGE)?, Found::Torn { raw, needed }));
        }
        let record = self.record(offset, raw)?;
        Ok((offset + needed, Found::Record(Box::new(record))))
    }

    /// The record at `offset`, all of whose bytes are there.
    fn record(&mut self, offset: u64, raw: RawHeader) -> io::Result<Record> {
        let end = offset + u64::from(raw.length);
        let padding_zero = self.range_is_zero(end..offset + round_to_page(raw.length.into()))?;
        if u64::from(raw.length) > LARGEST_LISTED {
            let computed = self.checksum(offset + CHECKSUM_FROM as u64..end)?;
            let checksum = ChecksumState::of(raw.header.checksum, computed);
            return Ok(Record { raw, checksum, body: Body::NotListed, padding_zero, undefined: 0 });
        }
        let bytes = self.read(offset..end)?;
        let computed = rsl_core::wire::message_checksum(&bytes);
        let checksum = ChecksumState::of(raw.header.checksum, computed);
        let undefined = undefined_bytes(&bytes, &raw);
        Ok(Record { raw, checksum, body: decode(&bytes, raw.id), padding_zero, undefined })
    }

    fn checksum(&mut self, range: Range<u64>) -> io::Result<u64> {
        let mut sum = Checksum::new();
        self.pieces(range, |piece| {
            sum.update(piece);
            true
        })?;
        Ok(sum.value())
    }

    fn range_is_zero(&mut self, range: Range<u64>) -> io::Result<bool> {
        let mut zero = true;
        self.pieces(range, |piece| {
            zero = is_zero(piece);
            zero
        })?;
        Ok(zero)
    }

    /// Shows `range` to `each`, in pieces, until it says `false`.
    fn pieces(&mut self, range: Range<u64>, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = (at + PIECE).min(range.end);
            if !each(&self.read(at..end)?) {
                break;
            }
            at = end;
        }
        Ok(())
    }

    /// The first offset from `from` on where a whole record with a good checksum starts, or the end of the file.
    fn next_record(&mut self, from: u64) -> io::Result<u64> {
        let mut at = from;
        while at + PAGE <= self.size {
            let piece = self.read(at..(at + PIECE).min(self.size))?;
            for inside in (0..piece.len() / PAGE_LEN).map(|page| page * PAGE_LEN) {
                let page = piece.slice(inside..inside + PAGE_LEN);
                let offset = at + inside as u64;
                if let Ok(raw) = RawHeader::decode(&page)
                    && is_logged(raw.id)
                    && round_to_page(raw.length.into()) <= self.size - offset
                {
                    let sum = offset + CHECKSUM_FROM as u64..offset + u64::from(raw.length);
                    if self.checksum(sum)? == raw.header.checksum {
                        return Ok(offset);
                    }
                }
            }
            at += (piece.len() / PAGE_LEN * PAGE_LEN) as u64;
        }
        Ok(self.size)
    }
}

impl Iterator for LogWalker {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry().transpose()?;
        // An error of the disk ends the walk.
        self.offset = entry.as_ref().map_or(self.size, Entry::end);
        Some(entry)
    }
}

/// Whether a record of this id belongs in a log [STOR-11].
#[must_use]
pub fn is_logged(id: u16) -> bool {
    matches!(
        MessageId::from_number(id),
        Some(MessageId::Vote | MessageId::Prepare | MessageId::ReconfigurationDecision)
    )
}

fn decode(bytes: &Bytes, id: u16) -> Body {
    if !is_logged(id) {
        return Body::WrongKind;
    }
    let message = if id == MessageId::Vote as u16 {
        Vote::decode_own(bytes).map(Message::Vote)
    } else {
        Message::decode(bytes)
    };
    message.map_or_else(Body::Malformed, Body::Message)
}

/// Whether every byte is zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// How many bytes behind the terminators of the 64-byte ids in a message are not zero.
#[must_use]
pub fn undefined_bytes(message: &[u8], raw: &RawHeader) -> u64 {
    let version = raw.header.version;
    if !version.has_string_ids() {
        return 0;
    }
    // The sender behind version, length, checksum, magic and id; the ballot's owner behind the ballot id.
    let mut ids = vec![20, 100];
    if raw.id == MessageId::Vote as u16 {
        ids.extend(member_offsets(message, version.base_size()).unwrap_or_default());
    }
    ids.into_iter().filter_map(|at| message.get(at..at + 64)).map(after_terminator).sum()
}

fn after_terminator(id: &[u8]) -> u64 {
    id.iter().skip_while(|&&byte| byte != 0).filter(|&&byte| byte != 0).count() as u64
}

/// Where the ids of the member set of a reconfiguration vote stand.
fn member_offsets(vote: &[u8], base: usize) -> Option<Vec<usize>> {
    let number = |at: usize| Some(u16::from_le_bytes(*vote.get(at..)?.first_chunk()?));
    let cookie = u32::from_le_bytes(*vote.get(base..)?.first_chunk()?) as usize;
    let flag = base + 4 + cookie;
    if *vote.get(flag)? == 0 {
        return None;
    }
    let mut at = flag + 3;
    let mut ids = Vec::new();
    for _ in 0..number(flag + 1)? {
        ids.push(at);
        // Id, address, two ports, length of the host name.
        at += 64 + 8 + 2 + usize::from(number(at + 72)?);
    }
    Some(ids)
}

impl Entry {
    /// What is wrong here; `None` for a sound record, whatever its padding.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        Some(match &self.found {
            Found::Record(record) => return record.problem(),
            Found::Torn { raw, needed } => format!(
                "the file ends inside the record {} {} (length {}): it takes {needed} bytes, {} bytes long is what is \
                 there",
                kind(raw),
                raw.header.position(),
                raw.length,
                self.len
            ),
            Found::Zeros => format!("{} zero bytes", self.len),
            Found::Garbage { error } => format!("{} bytes that are no record: {error}", self.len),
            Found::Fragment { zero: true } => format!("{} zero bytes, less than a page", self.len),
            Found::Fragment { zero: false } => format!("{} bytes, less than a page", self.len),
        })
    }
}

impl Record {
    fn problem(&self) -> Option<String> {
        let what = kind(&self.raw);
        let position = self.raw.header.position();
        match (&self.body, self.checksum) {
            (Body::WrongKind, _) => Some(format!("{what} {position} does not belong in a log")),
            (_, ChecksumState::Zero) => Some(format!("{what} {position} has no checksum")),
            (_, ChecksumState::Bad) => Some(format!("{what} {position} has a wrong checksum")),
            (Body::Malformed(error), ChecksumState::Ok) => {
                Some(format!("{what} {position} is malformed: {error}"))
            }
            (Body::Message(_) | Body::NotListed, ChecksumState::Ok) => None,
        }
    }
}

/// The name of the message id.
#[must_use]
pub fn kind(raw: &RawHeader) -> String {
    MessageId::from_number(raw.id).map_or_else(|| format!("message id {}", raw.id), |id| format!("{id:?}"))
}
