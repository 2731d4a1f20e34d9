//! Log records out of a FetchVotes stream.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};

use crate::format::{PAGE, Record, round_to_page};
use crate::wire::{DecodeError, Message, PREFIX_SIZE, message_checksum};

/// Bytes by which the buffer of a record grows: what a record claims is never allocated before it arrives [HARD-1].
const STEP: usize = 64 * 1024;
/// The unit in which records are padded.
const PAGE_SIZE: usize = 512;
const _: () = assert!(PAGE_SIZE as u64 == PAGE, "the unit of the log format");

/// Why a stream is not read any further. What was read before stays valid [WIRE-39].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection failed or timed out.
    #[error("vote stream broke at offset {offset}: {error}")]
    Io {
        /// Where the record starts.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The stream ends inside a record.
    #[error("vote stream ends inside the record at offset {offset}")]
    Short {
        /// Where the record starts.
        offset: u64,
    },
    /// The bytes are no message, or its checksum is wrong.
    #[error("bad record in the vote stream at offset {offset}: {error}")]
    Decode {
        /// Where the record starts.
        offset: u64,
        /// What is wrong.
        error: DecodeError,
    },
}

/// Reads the records of a FetchVotes answer [WIRE-36] [WIRE-39] [XFER-22]. Unlike recovery it is strict: zeros, torn
/// records and wrong checksums are errors. Configuration number and order of the records are the engine's to check.
#[derive(Debug)]
pub struct VoteStream<R> {
    input: R,
    limit: u64,
    offset: u64,
    failed: bool,
}

impl<R: Read> VoteStream<R> {
    /// Reads from `input`; messages of more than `limit` bytes are refused.
    pub fn new(input: R, limit: u64) -> VoteStream<R> {
        VoteStream { input, limit, offset: 0, failed: false }
    }

    /// Bytes of complete records so far, with padding.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; `None` at the end of the stream and after an error.
    ///
    /// # Errors
    /// When the next record is short, malformed, of another kind, or its checksum does not fit. The attempt has failed.
    pub fn next_record(&mut self) -> Result<Option<Record>, StreamError> {
        if self.failed {
            return Ok(None);
        }
        let result = self.read_record();
        self.failed = !matches!(result, Ok(Some(_)));
        result
    }

    fn read_record(&mut self) -> Result<Option<Record>, StreamError> {
        let offset = self.offset;
        let decode = |error| StreamError::Decode { offset, error };
        let mut buffer = BytesMut::zeroed(PAGE_SIZE);
        match self.fill(&mut buffer)? {
            0 => return Ok(None),
            PAGE_SIZE => {}
            _ => return Err(StreamError::Short { offset }),
        }
        let mut prefix = [0; PREFIX_SIZE];
        prefix.copy_from_slice(&buffer[..PREFIX_SIZE]);
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let length = crate::wire::learn::message_length(prefix, limit).map_err(decode)?;
        // The limit keeps this far from the end of the address space on every 64-bit target.
        let padded =
            usize::try_from(round_to_page(length as u64)).map_err(|_| StreamError::Short { offset })?;
        while buffer.len() < padded {
            let from = buffer.len();
            let step = STEP.min(padded - from);
            buffer.resize(from + step, 0);
            if self.fill(&mut buffer[from..])? < step {
                return Err(StreamError::Short { offset });
            }
        }
        buffer.truncate(length);
        let record = decode_record(&buffer.freeze()).map_err(decode)?;
        self.offset += padded as u64;
        Ok(Some(record))
    }

    /// Fills `buffer` as far as the stream reaches.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StreamError::Io { offset: self.offset, error }),
            }
        }
        Ok(filled)
    }
}

/// A record from exactly the bytes of its message.
fn decode_record(message: &Bytes) -> Result<Record, DecodeError> {
    let decoded = Message::decode(message)?;
    let id = decoded.id() as u16;
    let record = match decoded {
        Message::Vote(vote) => Record::Vote(vote),
        Message::Prepare(prepare) => Record::Prepare(prepare),
        Message::ReconfigurationDecision(header) => Record::Decision(header),
        _ => return Err(DecodeError::UnknownId(id)),
    };
    let (expected, found) = (message_checksum(message), record.header().checksum);
    if expected == found { Ok(record) } else { Err(DecodeError::BadChecksum { expected, found }) }
}
