//! Reading a log file record by record, and telling a torn tail from damage [STOR-29] [STOR-30].

use std::io;

use bytes::Bytes;

use super::record::{PAGE, Record, RecordError, RecordId, record_head, round_to_page};
use crate::wire::Header;

/// Bytes that can be read at any offset: a file, or a slice.
pub trait ReadAt {
    /// Number of bytes.
    ///
    /// # Errors
    /// Of the device.
    fn size(&self) -> io::Result<u64>;

    /// Fills `into` from `offset` on; returns fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// Of the device.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// What follows the last good record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Zeroes to the end of the file, at least a page of them.
    Zeros,
    /// 1 to 511 bytes: fatal for a legacy replica [HARD-33].
    PartialPage {
        /// How many.
        length: u64,
    },
    /// The file ends inside a record: a torn write.
    Torn(TailRecord),
    /// A complete record with a wrong checksum and nothing but zeroes behind it: a torn write, or the silent loss of
    /// an acknowledged record [HARD-34].
    Damaged(TailRecord),
}

/// A record at the end of a log that was not accepted: what its first page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRecord {
    /// Its header; unverified.
    pub header: Header,
    /// What it is.
    pub id: RecordId,
    /// Its length field.
    pub length: u32,
}

/// How the reading of a log ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// End of the last good record: where appending goes on.
    pub offset: u64,
    /// What follows.
    pub tail: Tail,
    /// Size of the file.
    pub size: u64,
}

/// Damage that is no torn tail, or a failing device. Nothing behind it is read.
#[derive(Debug, thiserror::Error)]
#[error("offset {offset}: {reason}")]
pub struct LogFault {
    /// Where the bad record starts.
    pub offset: u64,
    /// What is wrong.
    pub reason: FaultReason,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultReason {
    /// These bytes are no record, and more follows.
    #[error(transparent)]
    Record(RecordError),
    /// The device failed.
    #[error("reading failed: {0}")]
    Io(#[source] io::Error),
}

/// The next thing in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record.
    Record {
        /// Where it starts.
        offset: u64,
        /// The record.
        record: Record,
    },
    /// No more records.
    End(LogEnd),
}

/// Bytes read ahead.
const WINDOW: usize = 256 * 1024;

/// Walks over the records of a log.
#[derive(Debug)]
pub struct LogScanner<'a, S: ?Sized> {
    source: &'a S,
    size: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a, S: ReadAt + ?Sized> LogScanner<'a, S> {
    /// Starts at the beginning of a log, whose size is taken now.
    ///
    /// # Errors
    /// When the size cannot be had.
    pub fn new(source: &'a S) -> io::Result<LogScanner<'a, S>> {
        let size = source.size()?;
        Ok(LogScanner { source, size, at: 0, window: Vec::new(), window_at: 0 })
    }

    /// Starts at `offset`, where a record must start, and ends at `end`.
    #[must_use]
    pub const fn within(source: &'a S, offset: u64, end: u64) -> LogScanner<'a, S> {
        LogScanner { source, size: end, at: offset, window: Vec::new(), window_at: 0 }
    }

    /// The next record, or how the log ends. After an end or a fault the same comes again.
    ///
    /// # Errors
    /// When the log is damaged elsewhere than in its last record.
    pub fn step(&mut self) -> Result<Step, LogFault> {
        let offset = self.at;
        let fault = |reason| LogFault { offset, reason };
        let remaining = self.size.saturating_sub(offset);
        if remaining == 0 {
            return Ok(self.end(Tail::Clean));
        }
        if remaining < PAGE {
            return Ok(self.end(Tail::PartialPage { length: remaining }));
        }
        let page = self.bytes(offset, PAGE).map_err(|error| fault(FaultReason::Io(error)))?;
        let (raw, id) = match record_head(&page) {
            Ok(head) => head,
            Err(error @ RecordError::Header(_)) => {
                return if self.is_zero_from(offset).map_err(|error| fault(FaultReason::Io(error)))? {
                    Ok(self.end(Tail::Zeros))
                } else {
                    Err(fault(FaultReason::Record(error)))
                };
            }
            Err(error) => return Err(fault(FaultReason::Record(error))),
        };
        let padded = round_to_page(u64::from(raw.length));
        let tail = TailRecord { header: raw.header, id, length: raw.length };
        // Compared in 64 bits before anything of that length is allocated [HARD-37].
        if padded > remaining {
            return Ok(self.end(Tail::Torn(tail)));
        }
        let bytes = self.bytes(offset, u64::from(raw.length));
        match Record::decode_own(&bytes.map_err(|error| fault(FaultReason::Io(error)))?) {
            Ok(record) => {
                self.at = offset + padded;
                Ok(Step::Record { offset, record })
            }
            Err(error @ RecordError::BadChecksum { .. }) => {
                if self.is_zero_from(offset + padded).map_err(|error| fault(FaultReason::Io(error)))? {
                    Ok(self.end(Tail::Damaged(tail)))
                } else {
                    Err(fault(FaultReason::Record(error)))
                }
            }
            Err(error) => Err(fault(FaultReason::Record(error))),
        }
    }

    /// Shows `each` whole record that starts at a page boundary from `offset` on, and where, whatever lies between. Behind a
    /// record that goes beyond the end of the file there are none, unless its length is what is damaged.
    ///
    /// # Errors
    /// Of the device.
    pub fn records_from(&mut self, offset: u64, mut each: impl FnMut(u64, &Record)) -> io::Result<()> {
        let mut at = offset;
        while self.size.saturating_sub(at) >= PAGE {
            let page = self.bytes(at, PAGE)?;
            let mut step = PAGE;
            if let Ok((raw, _)) = record_head(&page) {
                let padded = round_to_page(u64::from(raw.length));
                if padded <= self.size - at
                    && let Ok(record) = Record::decode_own(&self.bytes(at, u64::from(raw.length))?)
                {
                    each(at, &record);
                    step = padded;
                }
            }
            at += step;
        }
        Ok(())
    }

    fn end(&self, tail: Tail) -> Step {
        Step::End(LogEnd { offset: self.at, tail, size: self.size })
    }

    /// The `length` bytes at `offset`, which are within the size.
    fn bytes(&mut self, offset: u64, length: u64) -> io::Result<Bytes> {
        let wanted = usize::try_from(length).map_err(io::Error::other)?;
        let start = usize::try_from(offset.wrapping_sub(self.window_at)).unwrap_or(usize::MAX);
        if let Some(bytes) = self.window.get(start..).and_then(|rest| rest.get(..wanted)) {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        if wanted > WINDOW {
            let mut bytes = vec![0; wanted];
            read_exact_at(self.source, offset, &mut bytes)?;
            return Ok(bytes.into());
        }
        let ahead = self.size.saturating_sub(offset).min(WINDOW as u64);
        self.window.resize(usize::try_from(ahead).unwrap_or(WINDOW), 0);
        self.window_at = offset;
        if let Err(error) = read_exact_at(self.source, offset, &mut self.window) {
            self.window.clear();
            return Err(error);
        }
        Ok(Bytes::copy_from_slice(&self.window[..wanted]))
    }

    /// Whether nothing but zeroes follows, if anything does.
    fn is_zero_from(&self, mut offset: u64) -> io::Result<bool> {
        let mut buffer = vec![0; WINDOW];
        while offset < self.size {
            let rest = usize::try_from(self.size - offset).unwrap_or(WINDOW).min(WINDOW);
            read_exact_at(self.source, offset, &mut buffer[..rest])?;
            if buffer[..rest].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset += rest as u64;
        }
        Ok(true)
    }
}

/// Fills `into` or fails with `UnexpectedEof`.
///
/// # Errors
/// Of the device, or when the bytes end early.
pub fn read_exact_at<S: ReadAt + ?Sized>(source: &S, offset: u64, into: &mut [u8]) -> io::Result<()> {
    if source.read_at(offset, into)? == into.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
