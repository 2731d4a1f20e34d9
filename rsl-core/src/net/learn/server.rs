//! The server of the learn port.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use parking_lot::{Condvar, Mutex};

use super::client::at_least_a_moment;
use super::pace::Pace;
use crate::net::caught;
use crate::net::connection::ipv4;
use crate::net::socket::{self, BindRetry, Service};
use crate::types::Decree;
use crate::wire::{Header, Message, PREFIX_SIZE, learn};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Pause after accepting has failed [HARD-19].
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a file that are read and sent at a time.
const CHUNK: usize = 128 * 1024;
/// A request has to be complete within this many receive timeouts [HARD-18].
const REQUEST_TIMEOUTS: u32 = 4;
/// How long stopping waits for the last connection threads.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Settings of the learn server.
#[derive(Clone, Debug)]
pub struct LearnSettings {
    /// Own address and learn port; 0.0.0.0 = all addresses [WIRE-2].
    pub address: SocketAddrV4,
    /// Attempts to listen [WIRE-6].
    pub bind_retry: BindRetry,
    /// A single receive without progress [WIRE-41]. Legacy: m_receiveTimeoutSec.
    pub receive_timeout: Duration,
    /// A single send without progress [WIRE-41]. Legacy: m_sendTimeoutSec.
    pub send_timeout: Duration,
    /// Connections served at a time, each by a thread; more wait in the backlog [HARD-18].
    pub max_connections: usize,
    /// A transfer may take this time, and that of the bytes sent at `min_rate` [HARD-18].
    pub grace: Duration,
    /// In bytes per second: below what any link between replicas has.
    pub min_rate: u64,
}

impl LearnSettings {
    /// The legacy defaults for an address, and bounds for what legacy did not bound.
    #[must_use]
    pub fn new(address: SocketAddrV4) -> LearnSettings {
        LearnSettings {
            address,
            bind_retry: BindRetry::LEARN,
            receive_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            max_connections: 32,
            grace: Duration::from_secs(60),
            min_rate: 16 * 1024,
        }
    }
}

/// A part of a file that is to be sent. The file is held open, so that its removal in the meantime does no harm.
#[derive(Debug)]
pub struct Segment {
    /// The file; its position is moved.
    pub file: File,
    /// Where to start, in bytes.
    pub offset: u64,
    /// How many bytes: up to the end of the last committed record or of the file [HARD-61].
    pub length: u64,
}

/// Where the answers come from. Called on the server's threads, several at a time; no member id, configuration number
/// or ballot of a request means anything [WIRE-33].
pub trait LearnSource: Send + Sync + 'static {
    /// The encoded StatusResponse, in the version this replica speaks; `None` = silence, while relinquishing
    /// [WIRE-34].
    fn status(&self, query: &Header, from: SocketAddrV4) -> Option<Bytes>;

    /// The log from the last vote for `decree` in the oldest served file that has it, to the end of the last served
    /// file; empty when no served file has it [WIRE-35].
    fn votes(&self, decree: Decree) -> Vec<Segment>;

    /// The checkpoint file of `decree`, if that is the current checkpoint [WIRE-37].
    fn checkpoint(&self, decree: Decree) -> Option<Segment>;

    /// A thread of the server has panicked.
    fn panicked(&self, text: String) {
        tracing::error!("{text}");
    }
}

/// The running server. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct LearnServer {
    address: SocketAddrV4,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stopping: AtomicBool,
    waker: mio::Waker,
    connections: Mutex<BTreeMap<u64, TcpStream>>,
    idle: Condvar,
}

impl LearnServer {
    /// Listens and starts the accept thread. Blocks while binding is retried; setting `stop` ends that early.
    ///
    /// # Errors
    /// When the system refuses the listener or the thread.
    pub fn start(
        settings: LearnSettings,
        source: Arc<dyn LearnSource>,
        stop: &AtomicBool,
    ) -> io::Result<LearnServer> {
        let poll = Poll::new()?;
        let listener = socket::listen(settings.address, Service::Learn, settings.bind_retry, stop)?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let address =
            ipv4(listener.local_addr()?).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            waker: mio::Waker::new(poll.registry(), WAKER)?,
            connections: Mutex::default(),
            idle: Condvar::new(),
        });
        let acceptor = Acceptor { settings, source, shared: Arc::clone(&shared), poll, listener, next: 0 };
        let source = Arc::clone(&acceptor.source);
        let acceptor = spawn("rsl-learn-accept", source, move || acceptor.run())?;
        Ok(LearnServer { address, shared, acceptor: Some(acceptor) })
    }

    /// The address it listens on, with the real port when the settings say 0.
    #[must_use]
    pub fn local_address(&self) -> SocketAddrV4 {
        self.address
    }

    /// How many connections are being served.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().len()
    }
}

impl Drop for LearnServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            tracing::error!("the accept thread of the learn port panicked");
        }
        let mut connections = self.shared.connections.lock();
        for stream in connections.values() {
            // Ends the reads and writes of the thread that serves it; closed already is as good.
            drop(stream.shutdown(Shutdown::Both));
        }
        let end = Instant::now() + STOP_PATIENCE;
        while !connections.is_empty() && !self.shared.idle.wait_until(&mut connections, end).timed_out() {}
    }
}

impl Shared {
    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the learn server");
        }
    }
}

/// A connection's place among the served ones; given back when dropped, whatever ends the thread.
struct Slot {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.connections.lock().remove(&self.number);
        self.shared.idle.notify_all();
        self.shared.wake();
    }
}

/// The accept thread.
struct Acceptor {
    settings: LearnSettings,
    source: Arc<dyn LearnSource>,
    shared: Arc<Shared>,
    poll: Poll,
    listener: TcpListener,
    next: u64,
}

impl Acceptor {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut pause = None;
        while !self.shared.stopping.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, pause) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "the learn port is closed: polling failed");
                    return;
                }
            }
            pause = self.accept();
        }
    }

    /// Accepts while there is room; returns how long to wait when nothing will wake us.
    fn accept(&mut self) -> Option<Duration> {
        let shared = Arc::clone(&self.shared);
        let most = self.settings.max_connections;
        let room = || !shared.stopping.load(Ordering::Acquire) && shared.connections.lock().len() < most;
        let Acceptor { listener, settings, source, next, .. } = self;
        let serve = |stream: TcpStream, remote| {
            *next += 1;
            if let Err(error) = serve(stream, remote, *next, &shared, settings, source) {
                tracing::warn!(%remote, %error, "learn connection not served");
            }
        };
        accept_all(room, || listener.accept().map(|(stream, remote)| (stream.into(), remote)), serve)
    }
}

/// Accepts and serves while there is room; returns the pause after a failure, `None` when the next event tells.
pub(super) fn accept_all(
    room: impl Fn() -> bool,
    mut accept: impl FnMut() -> io::Result<(TcpStream, SocketAddr)>,
    mut serve: impl FnMut(TcpStream, SocketAddrV4),
) -> Option<Duration> {
    while room() {
        match accept() {
            Ok((stream, remote)) => {
                if let Some(remote) = ipv4(remote) {
                    serve(stream, remote);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                tracing::warn!(%error, "cannot accept learn connections");
                return Some(ACCEPT_PAUSE);
            }
        }
    }
    None
}

/// Starts the thread that serves a connection.
fn serve(
    stream: TcpStream,
    remote: SocketAddrV4,
    number: u64,
    shared: &Arc<Shared>,
    settings: &LearnSettings,
    source: &Arc<dyn LearnSource>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let handle = stream.try_clone()?;
    let slot = Slot { shared: Arc::clone(shared), number };
    shared.connections.lock().insert(number, handle);
    let (settings, source, for_panic) = (settings.clone(), Arc::clone(source), Arc::clone(source));
    let work = move || {
        if let Err(error) = answer(stream, remote, &settings, &*source) {
            tracing::debug!(%remote, %error, "learn request failed");
        }
        drop(slot);
    };
    spawn("rsl-learn", for_panic, work).map(drop)
}

fn spawn(
    name: &'static str,
    source: Arc<dyn LearnSource>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let body = move || {
        if let Err(text) = caught(name, body) {
            source.panicked(text);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// Serves one connection.
fn answer(
    mut stream: TcpStream,
    remote: SocketAddrV4,
    settings: &LearnSettings,
    source: &dyn LearnSource,
) -> io::Result<()> {
    stream.set_write_timeout(Some(at_least_a_moment(settings.send_timeout)))?;
    let request = read_request(&mut stream, settings)?;
    let Ok(message) = Message::decode(&request) else {
        tracing::debug!(%remote, "malformed learn request");
        return Ok(());
    };
    let segments = match &message {
        Message::StatusQuery(query) => {
            if let Some(response) = source.status(query, remote) {
                stream.write_all(&response)?;
            }
            Vec::new()
        }
        Message::FetchVotes(header) => source.votes(header.decree),
        Message::FetchCheckpoint(header) => source.checkpoint(header.decree).into_iter().collect(),
        // [WIRE-32]
        Message::Vote(_)
        | Message::VoteAccepted(_)
        | Message::Prepare(_)
        | Message::PrepareAccepted(_)
        | Message::NotAccepted(_)
        | Message::StatusResponse(_)
        | Message::ReconfigurationDecision(_)
        | Message::DefunctConfiguration(_)
        | Message::Join(_)
        | Message::JoinRequest(_)
        | Message::Bootstrap(_) => Vec::new(),
    };
    let size = segments.iter().map(|segment| segment.length).fold(0, u64::saturating_add);
    let pace = Pace::new(settings.grace, settings.min_rate);
    let mut sent = 0;
    for segment in segments {
        send_segment(&mut stream, segment, pace, &mut sent)?;
    }
    tracing::info!(%remote, request = ?message.id(), decree = message.header().decree.0, size, "learn request served");
    stream.shutdown(Shutdown::Write)
}

/// Reads one request; an error for everything that has to be closed without an answer.
fn read_request(stream: &mut TcpStream, settings: &LearnSettings) -> io::Result<Bytes> {
    let end = Instant::now() + settings.receive_timeout.saturating_mul(REQUEST_TIMEOUTS);
    let mut prefix = [0; PREFIX_SIZE];
    receive(stream, &mut prefix, end, settings.receive_timeout)?;
    let length = learn::message_length(prefix, learn::MAX_REQUEST)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut message = BytesMut::from(&prefix[..]);
    message.resize(length, 0);
    receive(stream, &mut message[PREFIX_SIZE..], end, settings.receive_timeout)?;
    Ok(message.freeze())
}

/// Fills `buffer`: each read within `timeout`, all of it before `end` [WIRE-41] [HARD-18].
fn receive(stream: &mut TcpStream, buffer: &mut [u8], end: Instant, timeout: Duration) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(at_least_a_moment(timeout.min(left))))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends a part of a file in chunks as long as `pace` allows. A file that has become shorter ends the answer.
fn send_segment(stream: &mut TcpStream, mut segment: Segment, pace: Pace, sent: &mut u64) -> io::Result<()> {
    segment.file.seek(SeekFrom::Start(segment.offset))?;
    let mut left = segment.length;
    let mut chunk = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
    while left > 0 {
        if !pace.allows(*sent) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the receiver is too slow"));
        }
        if let Ok(left) = usize::try_from(left) {
            chunk.truncate(left);
        }
        segment.file.read_exact(&mut chunk)?;
        stream.write_all(&chunk)?;
        left -= chunk.len() as u64;
        *sent += chunk.len() as u64;
    }
    Ok(())
}
