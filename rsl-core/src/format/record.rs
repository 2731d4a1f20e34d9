//! Log records: the three messages that are logged, each padded to whole pages [STOR-10] [STOR-11].

use bytes::Bytes;

use crate::types::Position;
use crate::wire::codec::Reader;
use crate::wire::message_checksum;
use crate::wire::{DecodeError, EncodeError, Header, Message, MessageId, Prepare, RawHeader, Vote};

/// Every record and header starts at a multiple of this many bytes, whatever the device says [STOR-9].
pub const PAGE: u64 = 512;

/// `length` rounded up to whole pages, in 64 bits [HARD-37] [HARD-360].
#[must_use]
pub const fn round_to_page(length: u64) -> u64 {
    length.div_ceil(PAGE).saturating_mul(PAGE)
}

/// A record of the transaction log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An accepted vote, with the bytes it arrived with [STOR-14].
    Vote(Vote),
    /// A promise.
    Prepare(Prepare),
    /// A reconfiguration vote has been chosen.
    Decision(Header),
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No message starts here.
    #[error("no message header: {0}")]
    Header(DecodeError),
    /// A message that is never logged [STOR-11].
    #[error("message id {0} is none of a log record")]
    NotLogged(u16),
    /// The bytes end before the record does.
    #[error("the record has {length} bytes, {present} are there")]
    Incomplete {
        /// The record's length field.
        length: u32,
        /// Bytes present.
        present: u64,
    },
    /// The message checksum does not match [STOR-12].
    #[error("checksum {found:#018x} where {expected:#018x} was computed")]
    BadChecksum {
        /// Computed from the bytes.
        expected: u64,
        /// Stored in the record.
        found: u64,
    },
    /// The checksum is right but the fields are not.
    #[error("the record's body does not decode: {0}")]
    Body(DecodeError),
}

/// Whose limits hold for a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Peer,
    OwnLog,
}

impl Record {
    /// The header values.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Record::Vote(vote) => vote.header(),
            Record::Prepare(prepare) => &prepare.header,
            Record::Decision(header) => header,
        }
    }

    /// Which of the three it is.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        match self {
            Record::Vote(_) => RecordId::Vote,
            Record::Prepare(_) => RecordId::Prepare,
            Record::Decision(_) => RecordId::Decision,
        }
    }

    /// Decree and ballot.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.header().position()
    }

    /// Bytes of the encoded message, without padding.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        match self {
            Record::Vote(vote) => vote.encoded().len() as u64,
            Record::Prepare(prepare) => {
                let version = prepare.header.version;
                let cookie = if version.has_primary_cookie() { 4 + prepare.cookie.len() } else { 0 };
                (version.base_size() + cookie) as u64
            }
            Record::Decision(header) => header.version.base_size() as u64,
        }
    }

    /// Bytes the record takes in the log.
    #[must_use]
    pub fn padded_len(&self) -> u64 {
        round_to_page(self.encoded_len())
    }

    /// The record's message: a vote as it arrived, the others with a computed checksum [STOR-12] [STOR-14].
    ///
    /// # Errors
    /// When an id cannot be said in the record's version.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Record::Vote(vote) => Ok(vote.encoded().clone()),
            Record::Prepare(prepare) => Message::Prepare(prepare.clone()).encode_with_checksum(),
            Record::Decision(header) => Message::ReconfigurationDecision(*header).encode_with_checksum(),
        }
    }

    /// Appends the record to `out`, which must end at a page boundary, padded with zeroes to the next one.
    ///
    /// # Errors
    /// As [`Record::encode`]; `out` is unchanged then.
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let message = self.encode()?;
        // Fits: the bytes are in memory.
        let end =
            usize::try_from(out.len() as u64 + round_to_page(message.len() as u64)).unwrap_or(usize::MAX);
        out.reserve(end - out.len());
        out.extend_from_slice(&message);
        out.resize(end, 0);
        Ok(())
    }

    /// Decodes and verifies the record at the start of `bytes`, as a peer sent it on a learn stream. Shares `bytes`;
    /// what follows the record's length is ignored [STOR-12].
    ///
    /// # Errors
    /// When it is no record, incomplete or damaged.
    pub fn decode(bytes: &Bytes) -> Result<Record, RecordError> {
        Record::decode_from(bytes, Source::Peer)
    }

    /// As [`Record::decode`], for a record of the replica's own log: the cookie of a member set may have any length
    /// [HARD-511].
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn decode_own(bytes: &Bytes) -> Result<Record, RecordError> {
        Record::decode_from(bytes, Source::OwnLog)
    }

    fn decode_from(bytes: &Bytes, source: Source) -> Result<Record, RecordError> {
        let (raw, id) = record_head(bytes)?;
        let present = bytes.len() as u64;
        let incomplete = RecordError::Incomplete { length: raw.length, present };
        let length = usize::try_from(raw.length).map_err(|_| incomplete.clone())?;
        if length > bytes.len() {
            return Err(incomplete);
        }
        let message = bytes.slice(..length);
        let (expected, found) = (message_checksum(&message), raw.header.checksum);
        if expected != found {
            return Err(RecordError::BadChecksum { expected, found });
        }
        match id {
            RecordId::Vote if source == Source::OwnLog => Vote::decode_own(&message).map(Record::Vote),
            RecordId::Vote => Vote::decode(&message).map(Record::Vote),
            RecordId::Decision => Ok(Record::Decision(raw.header)),
            RecordId::Prepare => {
                let mut reader = Reader::new(&message);
                let skipped = reader.take("header", raw.header.version.base_size() as u64);
                skipped
                    .and_then(|_| reader.primary_cookie(raw.header.version))
                    .map(|cookie| Record::Prepare(Prepare { header: raw.header, cookie }))
            }
        }
        .map_err(RecordError::Body)
    }
}

/// Which of the three records a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordId {
    /// Message id 1.
    Vote,
    /// Message id 3.
    Prepare,
    /// Message id 10.
    Decision,
}

/// Reads the header of the record at the start of `bytes`; the body need not be there. This is how logs and learn
/// streams are read: a page first, then what [`round_to_page`] of the length field asks for.
///
/// # Errors
/// [`RecordError::Header`] and [`RecordError::NotLogged`].
pub fn record_head(bytes: &Bytes) -> Result<(RawHeader, RecordId), RecordError> {
    let raw = RawHeader::decode(bytes).map_err(RecordError::Header)?;
    let id = match MessageId::from_number(raw.id) {
        Some(MessageId::Vote) => RecordId::Vote,
        Some(MessageId::Prepare) => RecordId::Prepare,
        Some(MessageId::ReconfigurationDecision) => RecordId::Decision,
        _ => return Err(RecordError::NotLogged(raw.id)),
    };
    Ok((raw, id))
}
