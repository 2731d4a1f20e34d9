//! One proxy: takes the connections of a replica's peers, finds out who they are, and carries bytes under the rules of the
//! link. On packet connections it carries whole packets, so that one can be repeated.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rsl_core::wire::{PACKET_HEADER_SIZE, PREFIX_SIZE, RawHeader};

use super::network::{NOTICE, Rules};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Packets in both directions.
    Packets,
    /// One bare message, answered by bytes.
    Learn,
}

/// Packets and pieces under way in one direction of a connection; the sender has to wait for more.
const QUEUE: usize = 256;
/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Longest first message of a learn connection that is waited for.
const LEARN_REQUEST: usize = 4 << 10;
const CONNECT: Duration = Duration::from_secs(1);
/// A peer that finds nobody is told so after this time: it would try again at once.
const REFUSE: Duration = Duration::from_millis(20);

/// Something on its way, and when it was sent.
type Sent = (Instant, Bytes);

/// Takes connections until the network ends.
pub(super) fn accept(rules: &Arc<Rules>, listener: &TcpListener, kind: Kind, to: &str, target: SocketAddr) {
    while let Ok((client, _)) = listener.accept() {
        if rules.is_closed() {
            break;
        }
        let (rules, to) = (Arc::clone(rules), to.to_owned());
        // An error is the end of a connection, which both ends see.
        std::thread::spawn(move || connection(&rules, client, kind, &to, target));
    }
}

fn connection(
    rules: &Arc<Rules>,
    client: TcpStream,
    kind: Kind,
    to: &str,
    target: SocketAddr,
) -> io::Result<()> {
    let mut requests = Source::new(client.try_clone()?, kind)?;
    let Some(first) = requests.first(rules)? else { return Ok(()) };
    let Ok(server) = TcpStream::connect_timeout(&target, CONNECT) else {
        std::thread::sleep(REFUSE);
        return Ok(());
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(NOTICE))?;
    }
    let from = first.sender.unwrap_or_default();
    let there = (from.clone(), to.to_owned());
    let back = (to.to_owned(), from);
    let answers = Source::new(server.try_clone()?, kind)?;
    let (first, answers_from) = (first.bytes, answers);
    for (source, first, destination, link) in [
        (requests, first, server.try_clone()?, there),
        (answers_from, Bytes::new(), client.try_clone()?, back),
    ] {
        let (queue, under_way) = sync_channel(QUEUE);
        let for_source = Arc::clone(rules);
        std::thread::spawn(move || source.carry(&for_source, first, &queue));
        let for_destination = Arc::clone(rules);
        let ends = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || deliver(&for_destination, &under_way, destination, kind, &link, &ends));
    }
    Ok(())
}

/// The first complete message of a connection.
struct First {
    /// All bytes up to its end.
    bytes: Bytes,
    /// Who says it; unknown when it is none that we can read.
    sender: Option<String>,
}

/// One direction of a connection, read in packets as long as they are any.
struct Source {
    stream: TcpStream,
    kind: Kind,
    buffer: BytesMut,
    /// What comes is no packet: it is carried as it is.
    unframed: bool,
}

impl Source {
    fn new(stream: TcpStream, kind: Kind) -> io::Result<Source> {
        stream.set_read_timeout(Some(NOTICE))?;
        Ok(Source { stream, kind, buffer: BytesMut::new(), unframed: kind == Kind::Learn })
    }

    /// Reads until the sender of the first message is known, or cannot be; nothing when the connection ends before.
    fn first(&mut self, rules: &Rules) -> io::Result<Option<First>> {
        loop {
            match self.kind {
                Kind::Packets => {
                    if let Some(bytes) = self.take() {
                        let sender = bytes.get(PACKET_HEADER_SIZE..).and_then(sender);
                        return Ok(Some(First { bytes, sender }));
                    }
                }
                Kind::Learn => {
                    let length = self.buffer.first_chunk::<PREFIX_SIZE>().map(|prefix| {
                        let [_, _, l0, l1, l2, l3] = *prefix;
                        u32::from_le_bytes([l0, l1, l2, l3]) as usize
                    });
                    if length.is_some_and(|length| self.buffer.len() >= length.min(LEARN_REQUEST)) {
                        let bytes = self.buffer.split().freeze();
                        let sender = sender(&bytes);
                        return Ok(Some(First { bytes, sender }));
                    }
                }
            }
            if !self.read(rules)? {
                return Ok(None);
            }
        }
    }

    /// Reads some bytes; false at the end of the stream and of the network.
    fn read(&mut self, rules: &Rules) -> io::Result<bool> {
        let mut piece = vec![0; PIECE];
        loop {
            if rules.is_closed() {
                return Ok(false);
            }
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(true);
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next packet, or whatever is there when it is none.
    fn take(&mut self) -> Option<Bytes> {
        if !self.unframed {
            let size = u32::from_le_bytes(*self.buffer.first_chunk()?) as usize;
            self.unframed = size < PACKET_HEADER_SIZE;
            if !self.unframed {
                return (self.buffer.len() >= size).then(|| self.buffer.split_to(size).freeze());
            }
        }
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    /// Puts everything into the queue until the stream or the network ends. Closing the queue is the end of the stream.
    fn carry(mut self, rules: &Rules, first: Bytes, queue: &SyncSender<Sent>) {
        let mut next = (!first.is_empty()).then_some(first);
        loop {
            while let Some(bytes) = next.take().or_else(|| self.take()) {
                if queue.send((Instant::now(), bytes)).is_err() {
                    return;
                }
            }
            if !matches!(self.read(rules), Ok(true)) {
                // What is no whole packet arrives all the same.
                if !self.buffer.is_empty() {
                    let _ = queue.send((Instant::now(), self.buffer.split().freeze()));
                }
                return;
            }
        }
    }
}

/// The sender named in a message.
fn sender(message: impl AsRef<[u8]>) -> Option<String> {
    let header = RawHeader::decode(&Bytes::copy_from_slice(message.as_ref())).ok()?;
    Some(header.header.member.to_string())
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Writes what comes out of the queue, each when its link lets it through.
fn deliver(
    rules: &Rules,
    under_way: &Receiver<Sent>,
    mut to: TcpStream,
    kind: Kind,
    link: &(String, String),
    ends: &(TcpStream, TcpStream),
) {
    let mut number = 0_u64;
    while let Ok((sent, bytes)) = under_way.recv() {
        let Some(rule) = rules.admit(link, sent) else { return };
        number += 1;
        let twice = kind == Kind::Packets && number.is_multiple_of(rule.duplicate_every);
        for _ in 0..=u8::from(twice) {
            if write(rules, &mut to, &bytes).is_err() {
                // Both directions end, as with a connection that broke.
                for end in [&ends.0, &ends.1] {
                    let _ = end.shutdown(Shutdown::Both);
                }
                return;
            }
        }
        rules.counters.delivered.fetch_add(1, Ordering::Relaxed);
        rules.counters.duplicated.fetch_add(u64::from(twice), Ordering::Relaxed);
    }
    // The receiver sees the end behind the last byte.
    let _ = to.shutdown(Shutdown::Write);
}

fn write(rules: &Rules, to: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        if rules.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
