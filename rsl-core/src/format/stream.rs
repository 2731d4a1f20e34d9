//! Reading the records of a FetchVotes stream: stricter than a log on disk [WIRE-39] [XFER-22].

use std::io::{self, Read};

use bytes::Bytes;

use super::record::{PAGE, Record, RecordError, record_head, round_to_page};

/// Bytes by which a record's buffer grows at a time [HARD-360].
const GROWTH: u64 = 64 * 1024;

/// Why a stream of records broke. Records read before stay accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection failed, or ended inside a record (`UnexpectedEof`).
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
    /// Not a record, or a damaged one.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Longer than the cap.
    #[error("a record of {0} bytes is longer than allowed")]
    TooLong(u32),
}

/// Reads the records of a stream; memory grows with the bytes received, up to the cap.
#[derive(Debug)]
pub struct RecordStream<R> {
    reader: R,
    cap: u64,
    offset: u64,
    ended: bool,
}

impl<R: Read> RecordStream<R> {
    /// Reads from `reader` records of at most `cap` bytes. The cap should be well above the message limit, because
    /// legacy logs can hold votes above it [HARD-360] [HARD-558].
    pub const fn new(reader: R, cap: u64) -> RecordStream<R> {
        RecordStream { reader, cap, offset: 0, ended: false }
    }

    /// Bytes of complete records so far, with padding.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; `None` at the end of the stream and after an error.
    ///
    /// # Errors
    /// When the stream breaks or brings something else: the attempt has failed.
    pub fn next_record(&mut self) -> Result<Option<Record>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.read_record();
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    fn read_record(&mut self) -> Result<Option<Record>, StreamError> {
        let mut buffer = Vec::new();
        self.fill(&mut buffer, PAGE)?;
        if buffer.is_empty() {
            return Ok(None);
        }
        if (buffer.len() as u64) < PAGE {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let page = Bytes::from(buffer);
        let (raw, _) = record_head(&page)?;
        if u64::from(raw.length) > self.cap {
            return Err(StreamError::TooLong(raw.length));
        }
        let padded = round_to_page(u64::from(raw.length));
        let mut buffer = Vec::from(page);
        while (buffer.len() as u64) < padded {
            let before = buffer.len() as u64;
            let wanted = (padded - before).min(GROWTH);
            self.fill(&mut buffer, wanted)?;
            if (buffer.len() as u64) < before + wanted {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let record = Record::decode(&buffer.into())?;
        self.offset += padded;
        Ok(Some(record))
    }

    /// Reads up to `wanted` more bytes; fewer only at the end of the stream.
    fn fill(&mut self, buffer: &mut Vec<u8>, wanted: u64) -> io::Result<()> {
        (&mut self.reader).take(wanted).read_to_end(buffer)?;
        Ok(())
    }
}
