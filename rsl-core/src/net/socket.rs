//! Making sockets: listeners with their bind retries and outbound packet connections, with the options of both.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Listen backlog of both servers [WIRE-6].
const BACKLOG: i32 = 1024;
/// How long a pause may last before the stop flag is looked at again.
const PAUSE_SLICE: Duration = Duration::from_millis(50);

/// How often binding is tried before the start fails [WIRE-6].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindRetry {
    /// Attempts in all, at least one is made.
    pub attempts: u32,
    /// Pause between them.
    pub pause: Duration,
}

impl BindRetry {
    /// Of the packet service: 60 attempts 5 s apart.
    pub const PACKETS: BindRetry = BindRetry { attempts: 60, pause: Duration::from_secs(5) };
    /// Of the learn server: 120 attempts 1 s apart.
    pub const LEARN: BindRetry = BindRetry { attempts: 120, pause: Duration::from_secs(1) };
}

/// Which server a listener belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Packets,
    Learn,
}

/// A non-blocking listener. Retries as `retry` says and gives up early once `stop` is set.
///
/// On Unix SO_REUSEADDR is set: there it does not let two sockets listen on one port, it only allows a restarted
/// replica to listen while connections of its predecessor are in TIME_WAIT, which is what Windows does without the
/// option. On Windows, where the option would let another process take the port, it is left off [WIRE-15].
pub(super) fn listen(
    address: SocketAddrV4,
    service: Service,
    retry: BindRetry,
    stop: &AtomicBool,
) -> io::Result<TcpListener> {
    let mut attempt = 1;
    loop {
        match try_listen(address, service) {
            Ok(listener) => return Ok(listener),
            Err(error) if attempt >= retry.attempts || stop.load(Ordering::Relaxed) => return Err(error),
            Err(error) => {
                tracing::warn!(%address, attempt, of = retry.attempts, %error, "cannot listen, trying again");
            }
        }
        attempt += 1;
        let mut left = retry.pause;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            let slice = left.min(PAUSE_SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}

fn try_listen(address: SocketAddrV4, service: Service) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if service == Service::Packets {
        // [WIRE-15]: packet sockets run without Nagle's delay, learn sockets keep the system's defaults.
        socket.set_tcp_nodelay(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Starts a connection from `local` (any port) to `remote`; it is completed when the socket becomes writable
/// [WIRE-3] [PROTO-39] [HARD-20].
pub(super) fn connect(local: Ipv4Addr, remote: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(local, 0).into())?;
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}
