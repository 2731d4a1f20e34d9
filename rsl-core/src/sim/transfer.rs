//! The learn port: votes and checkpoints on their way from one replica's files to another's [XFER-1].

use std::time::Duration;

use bytes::Bytes;

use super::checker::Violation;
use super::network::End;
use super::process::{DIRECTORY, Process};
use super::world::{Check, Event, World};
use crate::engine::{CheckpointInfo, Command, FetchId, FetchKind, FetchOutcome, Input};
use crate::format::{FileName, Record, RecordStream, StreamError, read_exact_at};
use crate::storage::{CopyRequest, Directory, DiskFile, OpenMode, PublishError, copy_checkpoint};
use crate::types::{Ballot, Decree, Instant};
use crate::wire::{Header, Message};

/// Longest checkpoint header that is copied.
const MAX_HEADER: u64 = 100 << 20;
/// The transfer that the application has asked for; the core never numbers its own that high.
const FOR_APPLICATION: FetchId = FetchId(u64::MAX);
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
        let mut stream = RecordStream::new(&self.received[..], RECORD_LIMIT);
        let outcome = loop {
            match stream.next_record() {
                Ok(Some(record)) => records.push(record),
                // A part of a record, whose rest is under way.
                Ok(None) | Err(StreamError::Io(_)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let taken = usize::try_from(stream.offset()).unwrap_or(usize::MAX);
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
            let current = process.core.status().log_range.checkpointed_decree;
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

impl World<'_> {
    pub(super) fn fetch(
        &mut self,
        end: End,
        fetch: FetchId,
        source: usize,
        request: &Message,
        kind: FetchKind,
    ) -> Check {
        let request = request.encode().map_err(|error| Violation::new("WIRE-31", error.to_string()))?;
        self.trace.note(self.now, &[11, end.node as u64, source as u64], || {
            format!("node {} fetches {kind:?} from {source}", end.node)
        });
        let Some(process) = self.process(end) else { return Ok(()) };
        let transfer = Transfer { kind, request, source, server: None, received: Vec::new(), records: 0 };
        process.transfers.insert(fetch, transfer);
        let pause = self.dice.millis(0, 30);
        self.after(pause, Event::Serve(end, fetch));
        Ok(())
    }

    /// Copies the checkpoint of `source` for the application of `node`, unless that has a newer one [XFER-26].
    pub(super) fn copy_state(&mut self, node: usize, source: usize) -> Check {
        let Some(end) = self.end(node).filter(|_| source != node) else { return Ok(()) };
        let Some(server) = self.end(source) else { return Ok(()) };
        let range = self.process(server).map(|process| process.core.status().log_range);
        let (Some(process), Some(offered)) = (self.process(end), range) else { return Ok(()) };
        let status = process.core.status();
        let decree = offered.checkpointed_decree;
        let asked = process.transfers.contains_key(&FOR_APPLICATION);
        if asked || decree == Decree::ZERO || decree < status.log_range.checkpointed_decree {
            return Ok(());
        }
        let header = Header::new(status.version, process.member, decree, 1, Ballot::EMPTY);
        let kind = FetchKind::Checkpoint { decree, size: offered.checkpoint_size, promised: status.promised };
        self.fetch(end, FOR_APPLICATION, source, &Message::FetchCheckpoint(header), kind)
    }

    /// A learn request reaches its server, which sends what it has in pieces.
    pub(super) fn serve(&mut self, end: End, fetch: FetchId) -> Check {
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get(&fetch) else { return Ok(()) };
        let (source, bytes) = (transfer.source, transfer.request.clone());
        let request =
            Message::decode(&bytes).map_err(|error| Violation::new("WIRE-31", error.to_string()))?;
        let passes = self.network.passes(end.node, source, self.now)
            && self.network.passes(source, end.node, self.now);
        let server = self.end(source).filter(|_| passes);
        let Some(server) = server else {
            let timeout = self.dice.millis(0, 3_000);
            self.after(timeout, Event::TransferFails(end, fetch));
            return Ok(());
        };
        let Some(serving) = self.process(server) else { return Ok(()) };
        let bytes = Bytes::from(answer(serving, &request));
        if let Some(transfer) = self.process(end).and_then(|process| process.transfers.get_mut(&fetch)) {
            transfer.server = Some(server);
        }
        let breaks = !self.is_healed() && self.dice.chance(100);
        let sent = if breaks { self.dice.index(bytes.len() + 1) } else { bytes.len() };
        let pieces = 1 + self.dice.index(4);
        let slow = if self.is_healed() { 5 } else { self.dice.pick(&[5, 5, 50, 500]) };
        let mut at = self.now;
        let mut from = 0;
        for index in 0..pieces {
            at = at + self.dice.millis(0, slow) + Duration::from_micros(1);
            let last = index + 1 == pieces;
            let to = if last { sent } else { from + self.dice.index(sent - from + 1) };
            let piece = Piece { bytes: bytes.slice(from..to), last };
            from = to;
            self.at(at, Event::Piece(end, fetch, piece));
        }
        Ok(())
    }

    pub(super) fn piece(&mut self, end: End, fetch: FetchId, piece: &Piece) -> Check {
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get_mut(&fetch) else { return Ok(()) };
        let (source, server) = (transfer.source, transfer.server);
        if server.is_none() || self.end(source) != server || !self.network.passes(source, end.node, self.now)
        {
            self.transfer_fails(end, fetch);
            return Ok(());
        }
        let wounded = self.nodes[source].disk.is_wounded();
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get_mut(&fetch) else { return Ok(()) };
        transfer.received.extend_from_slice(&piece.bytes);
        match transfer.kind {
            FetchKind::Votes => {
                let records = match transfer.take_records() {
                    Ok(records) => records,
                    Err(_) if wounded => {
                        self.transfer_fails(end, fetch);
                        return Ok(());
                    }
                    Err(error) => {
                        let text = format!("stream of node {source}: {error}");
                        return Err(Violation::new("XFER-22", text));
                    }
                };
                let empty = transfer.records == 0 && transfer.received.is_empty();
                if piece.last {
                    process.transfers.remove(&fetch);
                    self.counts.learned += u64::from(!empty);
                }
                if !records.is_empty() {
                    self.give(end, Input::Fetched { fetch, records });
                }
                if piece.last {
                    let outcome = FetchOutcome::VotesEnded { empty };
                    self.give(end, Input::FetchEnded { fetch, outcome });
                }
                Ok(())
            }
            FetchKind::Checkpoint { .. } if piece.last => self.copy(end, fetch),
            FetchKind::Checkpoint { .. } => Ok(()),
        }
    }

    /// All bytes of a checkpoint that will come are here.
    fn copy(&mut self, end: End, fetch: FetchId) -> Check {
        let faulty = self.disk_is_faulty(end.node);
        self.nodes[end.node].disk.set_now(self.now.since(Instant(0)));
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.remove(&fetch) else { return Ok(()) };
        let outcome = match copy(process, &transfer) {
            Ok(decree) => {
                let size = transfer.received.len() as u64;
                self.counts.copied += 1;
                self.verify_checkpoint(end, decree)?;
                FetchOutcome::CheckpointCopied { decree, size }
            }
            Err(PublishError::Io(error)) if !faulty => {
                return Err(Violation::new("XFER-23", format!("node {} copies: {error}", end.node)));
            }
            Err(_) => FetchOutcome::CheckpointFailed,
        };
        self.trace
            .note(self.now, &[12, end.node as u64], || format!("node {} copies: {outcome:?}", end.node));
        self.copied(end, fetch, outcome);
        Ok(())
    }

    /// Tells the core, or for the application that there is another checkpoint [XFER-27].
    fn copied(&mut self, end: End, fetch: FetchId, outcome: FetchOutcome) {
        if fetch != FOR_APPLICATION {
            self.give(end, Input::FetchEnded { fetch, outcome });
        } else if let FetchOutcome::CheckpointCopied { decree, size } = outcome {
            self.counts.installed += 1;
            self.command(end, Command::InstallCheckpoint(CheckpointInfo { decree, size }));
        }
    }

    pub(super) fn transfer_fails(&mut self, end: End, fetch: FetchId) {
        let Some(process) = self.process(end) else { return };
        let Some(transfer) = process.transfers.remove(&fetch) else { return };
        let outcome = match transfer.kind {
            FetchKind::Votes => FetchOutcome::VotesEnded { empty: false },
            FetchKind::Checkpoint { .. } => FetchOutcome::CheckpointFailed,
        };
        self.copied(end, fetch, outcome);
    }
}

fn copy(process: &mut Process, transfer: &Transfer) -> Result<Decree, PublishError> {
    let FetchKind::Checkpoint { decree, size, promised } = transfer.kind else {
        return Err(PublishError::Io(std::io::Error::other("no checkpoint was asked for")));
    };
    let request = CopyRequest { decree, size, promised, max_header: MAX_HEADER };
    let info = copy_checkpoint(&process.directory, request, &mut &transfer.received[..])?;
    Ok(info.decree)
}
