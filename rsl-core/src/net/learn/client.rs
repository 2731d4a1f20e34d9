//! Clients of the learn port: open a stream, ask for a status.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;

use super::pace::Pace;
use crate::wire::{DecodeError, EncodeError, Message, PREFIX_SIZE, StatusResponse, learn};

/// An answer may take this long, and the time of the bytes received at [`MIN_RATE`] [HARD-364].
const GRACE: Duration = Duration::from_secs(60);
/// In bytes per second; far below what a link between replicas has.
const MIN_RATE: u64 = 4 * 1024;

/// The timeouts of a learn client. Zero is read as one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnTimeouts {
    /// Until the connection is there [HARD-20].
    pub connect: Duration,
    /// A single send without progress [WIRE-41]. Legacy: m_sendTimeoutSec.
    pub send: Duration,
    /// A single receive without progress [WIRE-41]. Legacy: m_receiveTimeoutSec.
    pub receive: Duration,
}

impl Default for LearnTimeouts {
    fn default() -> LearnTimeouts {
        let five = Duration::from_secs(5);
        LearnTimeouts { connect: five, send: five, receive: five }
    }
}

/// Why a learn request failed. The caller may try another replica.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// Connecting, sending or receiving failed or timed out.
    #[error("learn port {server}: {error}")]
    Io {
        /// The server.
        server: SocketAddrV4,
        /// What the system said.
        error: io::Error,
    },
    /// The request cannot be said in its version [HARD-13].
    #[error("learn request: {0}")]
    Encode(#[from] EncodeError),
    /// The answer is no message.
    #[error("learn port {server}: bad answer: {error}")]
    Decode {
        /// The server.
        server: SocketAddrV4,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The server closed without an answer, or with less than one: it may be relinquishing [WIRE-34].
    #[error("learn port {0}: no answer")]
    NoAnswer(SocketAddrV4),
    /// The answer is another message than a StatusResponse.
    #[error("learn port {0}: unexpected answer")]
    UnexpectedAnswer(SocketAddrV4),
}

/// Abandons a transfer from another thread: what is connected or read fails at once. Clones act on the same transfer.
#[derive(Clone, Debug, Default)]
pub struct LearnCanceller(Arc<Mutex<Cancel>>);

#[derive(Debug, Default)]
struct Cancel {
    cancelled: bool,
    stream: Option<TcpStream>,
}

impl LearnCanceller {
    /// Cancels. A connection attempt that is under way ends by its timeout.
    pub fn cancel(&self) {
        let mut cancel = self.0.lock();
        cancel.cancelled = true;
        if let Some(stream) = cancel.stream.take()
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "cancelled transfer was closed already");
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    fn check(&self) -> io::Result<()> {
        if self.is_cancelled() {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cancelled"))
        } else {
            Ok(())
        }
    }

    fn watch(&self, stream: &TcpStream) -> io::Result<()> {
        let stream = stream.try_clone()?;
        self.0.lock().stream = Some(stream);
        self.check()
    }
}

/// The raw answer to a learn request. Reading returns 0 at the end of the answer; a timeout or a cancellation is an
/// error, never an end.
#[derive(Debug)]
pub struct LearnStream {
    stream: TcpStream,
    canceller: LearnCanceller,
    pub(super) pace: Pace,
    received: u64,
}

impl Read for LearnStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.stream.read(buffer);
        self.canceller.check()?;
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing was received within the receive timeout",
            )),
            Ok(count) => {
                self.received += count as u64;
                if count > 0 && !self.pace.allows(self.received) {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the server is too slow"));
                }
                Ok(count)
            }
            Err(error) => Err(error),
        }
    }
}

/// Connects to a learn port, sends one request and returns the answer's stream [WIRE-31] [WIRE-41]. The socket is not
/// bound to a local address [WIRE-5].
///
/// # Errors
/// When the request cannot be encoded, or the server cannot be reached within the timeouts.
pub fn open(
    server: SocketAddrV4,
    request: &Message,
    timeouts: LearnTimeouts,
    canceller: &LearnCanceller,
) -> Result<LearnStream, LearnError> {
    let request = request.encode()?;
    let connect = || -> io::Result<LearnStream> {
        canceller.check()?;
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::V4(server), at_least_a_moment(timeouts.connect))?;
        stream.set_write_timeout(Some(at_least_a_moment(timeouts.send)))?;
        stream.set_read_timeout(Some(at_least_a_moment(timeouts.receive)))?;
        canceller.watch(&stream)?;
        stream.write_all(&request)?;
        let pace = Pace::new(GRACE, MIN_RATE);
        Ok(LearnStream { stream, canceller: canceller.clone(), pace, received: 0 })
    };
    connect().map_err(|error| LearnError::Io { server, error })
}

/// Asks a replica how far it is; `query` is a StatusQuery in the version of the asker. The answer is in the version of
/// the answerer, and says its member id [WIRE-34].
///
/// # Errors
/// When there is no answer within the timeouts, or not a StatusResponse.
pub fn status(
    server: SocketAddrV4,
    query: &Message,
    timeouts: LearnTimeouts,
) -> Result<StatusResponse, LearnError> {
    let mut stream = open(server, query, timeouts, &LearnCanceller::default())?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => LearnError::NoAnswer(server),
        _ => LearnError::Io { server, error },
    };
    let mut prefix = [0; PREFIX_SIZE];
    stream.read_exact(&mut prefix).map_err(failed)?;
    let decode = |error| LearnError::Decode { server, error };
    let length = learn::message_length(prefix, learn::MAX_RESPONSE).map_err(decode)?;
    let mut message = BytesMut::from(&prefix[..]);
    message.resize(length, 0);
    stream.read_exact(&mut message[PREFIX_SIZE..]).map_err(failed)?;
    match Message::decode(&message.freeze()).map_err(decode)? {
        Message::StatusResponse(response) => Ok(response),
        _ => Err(LearnError::UnexpectedAnswer(server)),
    }
}

/// Sockets do not take a timeout of zero.
pub(super) fn at_least_a_moment(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}
