//! One packet connection: its stream, what was received of the next packet, and whether the socket is ready.

use std::io::{self, IoSlice, Read};
use std::net::{SocketAddr, SocketAddrV4};

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::queue::{Packet, SendQueue};
use crate::engine::{ConnectionId, Direction, Origin};
use crate::wire::{DecodeError, PacketDecoder};

/// Bytes read from one connection before the others get their turn.
const READ_BUDGET: usize = 1024 * 1024;
/// Bytes written to one connection before the others get their turn.
const WRITE_BUDGET: usize = 4 * 1024 * 1024;

/// The flag that keeps a send from raising SIGPIPE. Rust's own `write_vectored` does not set it.
#[cfg(unix)]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(unix))]
const NO_SIGNAL: i32 = 0;

/// The transport below the packets. TLS becomes a second variant that reads and writes records over the same socket
/// [WIRE-43].
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
}

impl Stream {
    fn socket(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(socket) => socket,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
        }
    }

    /// A peer that is gone is an error, never SIGPIPE: that would end a C or C++ program.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => {
                socket.try_io(|| SockRef::from(&*socket).send_vectored_with_flags(slices, NO_SIGNAL))
            }
        }
    }
}

/// Why a connection is closed [WIRE-17].
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the peer closed the connection")]
    EndOfStream,
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("malformed packet: {0}")]
    Packet(#[from] DecodeError),
    #[error("both ends of the connection are the same socket")]
    Itself,
    #[error("a packet was not written within the send timeout")]
    Timeout,
    #[error("a message from an unknown member arrived")]
    Stranger,
    #[error("another connection needs the room")]
    Evicted,
}

/// A connection in either direction.
///
/// Readiness is edge-triggered: a flag is set by an event and cleared when the socket says that it would block. On
/// Unix a short read or write says so too, and saves a system call: whatever changes later is a new event. Only the
/// end of the stream may have been announced together with the last bytes, so that is read up to. On Windows only
/// an operation that would block arms the next event.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) direction: Direction,
    pub(super) remote: SocketAddrV4,
    pub(super) connecting: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// An event said that nothing more will come: the end has to be read to be seen.
    pub(super) ending: bool,
    stream: Stream,
    decoder: PacketDecoder,
}

impl Connection {
    /// Takes over a socket and registers it. An outbound one starts as `connecting`.
    pub(super) fn new(
        mut socket: TcpStream,
        registry: &Registry,
        token: Token,
        direction: Direction,
        remote: SocketAddrV4,
        limit: u64,
    ) -> io::Result<Connection> {
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let connecting = direction == Direction::Outbound;
        Ok(Connection {
            id: ConnectionId(token.0 as u64),
            direction,
            remote,
            connecting,
            // Whatever arrived before the registration is reported by the first event.
            readable: false,
            writable: !connecting,
            ending: false,
            stream: Stream::Plain(socket),
            decoder: PacketDecoder::new(limit),
        })
    }

    /// Where a message on this connection comes from.
    pub(super) fn origin(&self) -> Origin {
        Origin { connection: self.id, direction: self.direction, address: self.remote }
    }

    /// Bytes held of packets that are not complete [HARD-1].
    pub(super) fn buffered(&self) -> usize {
        self.decoder.buffered()
    }

    /// Takes larger packets from now on.
    pub(super) fn raise_limit(&mut self, limit: u64) {
        self.decoder.raise_limit(limit);
    }

    /// No delay, keep-alive, linger.
    #[cfg(test)]
    pub(super) fn socket_options(&self) -> (bool, bool, Option<std::time::Duration>) {
        let Stream::Plain(socket) = &self.stream;
        let socket = SockRef::from(socket);
        (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap(), socket.linger().unwrap())
    }

    /// After an event on a connecting socket: is the connection there? `Ok(false)` = not yet.
    pub(super) fn finish_connecting(&mut self) -> Result<bool, Closed> {
        let socket = self.stream.socket();
        if let Some(error) = socket.take_error()? {
            return Err(error.into());
        }
        match socket.peer_addr() {
            // Connecting to an own ephemeral port can meet itself [HARD-24].
            Ok(peer) if socket.local_addr()? == peer => Err(Closed::Itself),
            Ok(_) => {
                self.connecting = false;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there, up to the budget of a turn, and hands the payload of every complete packet to `deliver`,
    /// in order, also those before the error that ends the connection [WIRE-20].
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut deliver: impl FnMut(Bytes),
    ) -> Result<usize, Closed> {
        let mut total = 0;
        while self.readable && total < READ_BUDGET {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Closed::EndOfStream),
                Ok(count) => {
                    total += count;
                    if cfg!(unix) && count < buffer.len() && !self.ending {
                        self.readable = false;
                    }
                    self.decoder.feed(&buffer[..count]);
                    while let Some(payload) = self.decoder.poll()? {
                        deliver(payload);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(total)
    }

    /// Writes from the queue until the socket is full, the queue empty or the budget of a turn spent. Completed
    /// packets go to `done`.
    pub(super) fn transmit(&mut self, queue: &mut SendQueue, done: &mut Vec<Packet>) -> Result<(), Closed> {
        let mut total = 0;
        while self.writable && !queue.is_empty() && total < WRITE_BUDGET {
            let slices = queue.slices();
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            match self.stream.write_vectored(&slices) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    total += count;
                    if cfg!(unix) && count < offered {
                        self.writable = false;
                    }
                    queue.advance(count, done);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The IPv4 form of an address; RSL speaks nothing else.
pub(super) fn ipv4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    /// [WIRE-17] Writing to a peer that closed gives an error, and no signal that ends a program which does not expect it.
    #[test]
    fn a_closed_peer_raises_no_signal() {
        let raised = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, raised.clone()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        socket.set_nonblocking(true).unwrap();
        let mut stream = Stream::Plain(TcpStream::from_std(socket));
        let end = Instant::now() + Duration::from_secs(10);
        // The first write is answered with a reset, a later one fails.
        let error = loop {
            assert!(Instant::now() < end);
            if let Err(error) = stream.write_vectored(&[IoSlice::new(b"x")]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!raised.load(Ordering::Relaxed));
    }
}
