//! The learn port: votes and checkpoints on their way from one replica's files to another's [XFER-1].

use bytes::Bytes;

use super::network::End;
use super::process::{DIRECTORY, Process};
use crate::engine::FetchKind;
use crate::format::{FileName, Record, RecordStream, StreamError, read_exact_at};
use crate::storage::{Directory, DiskFile, OpenMode};
use crate::types::Decree;
use crate::wire::Message;

/// Longest record of a stream.
const RECORD_LIMIT: u64 = 100 << 20;

/// A transfer a replica has asked for.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) kind: FetchKind,
    pub(super) request: Bytes,
    pub(super) source: usize,
    /// The run that serves it.
    pub(super) server: Option<End>,
    /// Received and not yet taken.
    pub(super) received: Vec<u8>,
    /// Records received.
    pub(super) records: u64,
}

/// A piece of an answer.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) last: bool,
}

impl Transfer {
    /// The complete records received so far; an error ends the transfer.
    pub(super) fn take_records(&mut self) -> Result<Vec<Record>, StreamError> {
        let mut records = Vec::new();
        let mut taken = 0;
        let outcome = loop {
            let rest = &self.received[taken..];
            match RecordStream::new(rest, RECORD_LIMIT).next_record() {
                Ok(Some(record)) => {
                    taken += usize::try_from(record.padded_len()).unwrap_or(usize::MAX).min(rest.len());
                    records.push(record);
                }
                Ok(None) => break Ok(()),
                Err(StreamError::Io(_)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.received.drain(..taken);
        self.records += records.len() as u64;
        if records.is_empty() {
            outcome?;
        }
        Ok(records)
    }
}

/// What the learn server of a replica answers; nothing when it has nothing [XFER-3] [XFER-5].
pub(super) fn answer(process: &Process, request: &Message) -> Vec<u8> {
    match request {
        Message::FetchVotes(header) => votes(process, header.decree),
        Message::FetchCheckpoint(header) => {
            let current = process.engine.status().log_range.checkpointed_decree;
            if current == header.decree { checkpoint(&process.directory, current) } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

fn votes(process: &Process, decree: Decree) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in process.log.index().segments(decree) {
        let from = bytes.len();
        bytes.resize(from + usize::try_from(segment.length).unwrap_or(0), 0);
        if read_exact_at(&*segment.file, segment.offset, &mut bytes[from..]).is_err() {
            bytes.truncate(from);
            break;
        }
    }
    bytes
}

fn checkpoint(directory: &Directory, decree: Decree) -> Vec<u8> {
    let read = |file: &dyn DiskFile| {
        let mut bytes = vec![0; usize::try_from(file.size()?).unwrap_or(0)];
        read_exact_at(file, 0, &mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let path = std::path::Path::new(DIRECTORY).join(FileName::Checkpoint(decree).to_string());
    let opened = directory.disk().open(&path, OpenMode::Read);
    opened.and_then(|file| read(&*file)).unwrap_or_default()
}
