//! Tests of the packet service over loopback sockets: a service on one side, plain std sockets or a second service on
//! the other. Every wait is bounded.

mod bounds;
mod inbound;
mod outbound;
mod peers;
mod streams;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;

use super::{NetEvent, NetSettings, PacketService};
use crate::engine::{Destination, Direction, Origin};
use crate::types::{Ballot, Decree, Instant, MemberId, Node, ProtocolVersion};
use crate::wire::{Header, Message, Vote, VoteContent, encode_packet};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for loopback traffic that must not come.
const QUIET: Duration = Duration::from_millis(60);
/// Does not fit into the buffers of a connection to a test's own socket.
const BIG: usize = 10 << 20;

/// A loopback address; every test uses its own, so that tests can run at the same time.
fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// A packet service with a clock that tests can put forward.
struct Host {
    net: PacketService,
    started: std::time::Instant,
    skew: Duration,
    messages: Vec<(Origin, Message)>,
    unreachable: Vec<MemberId>,
}

impl Host {
    fn start(ip: Ipv4Addr) -> Host {
        Host::with(NetSettings::new(SocketAddrV4::new(ip, 0)))
    }

    fn with(settings: NetSettings) -> Host {
        let net = PacketService::start(settings, &AtomicBool::new(false)).unwrap();
        Host {
            net,
            started: std::time::Instant::now(),
            skew: Duration::from_secs(1),
            messages: Vec::new(),
            unreachable: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        Instant(0) + self.started.elapsed() + self.skew
    }

    fn address(&self) -> SocketAddrV4 {
        self.net.local_address().unwrap()
    }

    /// One round of the driver's loop.
    fn turn(&mut self) {
        self.net.wait(Some(Duration::from_millis(2))).unwrap();
        let mut events = Vec::new();
        self.net.turn(self.now(), &mut events);
        self.take(events);
    }

    fn flush(&mut self) {
        let mut events = Vec::new();
        self.net.flush(self.now(), &mut events);
        self.take(events);
    }

    fn take(&mut self, events: Vec<NetEvent>) {
        for event in events {
            match event {
                NetEvent::Message { from, message } => self.messages.push((from, message)),
                NetEvent::Unreachable(member) => self.unreachable.push(member),
            }
        }
    }

    /// Turns until `done`; fails after [`PATIENCE`].
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Host) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !done(self) {
            assert!(std::time::Instant::now() < end, "in vain: {what}; {:?}", self.net.stats());
            self.turn();
        }
    }

    /// Turns for a while.
    fn run(&mut self, duration: Duration) {
        let end = std::time::Instant::now() + duration;
        while std::time::Instant::now() < end {
            self.turn();
        }
    }

    fn send(&mut self, to: Destination, message: &Message) {
        self.net.send(self.now(), to, message).unwrap();
        self.flush();
    }

    /// Turns until `count` messages have arrived in all, and returns the decrees of all of them.
    fn decrees(&mut self, count: usize) -> Vec<u64> {
        self.until("messages", |host| host.messages.len() >= count);
        self.messages.iter().map(|(_, message)| message.header().decree.0).collect()
    }
}

/// A socket with a small receive buffer.
fn socket(ip: Ipv4Addr) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind(&SocketAddrV4::new(ip, 0).into()).unwrap();
    socket
}

/// A client of the packet port.
fn client(host: &Host) -> TcpStream {
    client_from(host, Ipv4Addr::LOCALHOST)
}

/// A client of the packet port with an address of its own.
fn client_from(host: &Host, ip: Ipv4Addr) -> TcpStream {
    let socket = socket(ip);
    socket.connect(&host.address().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Whether the other side has closed: everything before is skipped.
fn is_closed(host: &mut Host, stream: &mut TcpStream) -> bool {
    host.run(QUIET);
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Err(_) => return false,
        }
    }
}

/// Accepts on a listener of a test while the host turns.
fn accept(host: &mut Host, listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut accepted = None;
    host.until("a connection", |_| {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let stream = accepted.unwrap().0;
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads exactly `count` bytes while the host turns.
fn receive(host: &mut Host, stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    stream.set_nonblocking(true).unwrap();
    host.until("bytes", |_| {
        while filled < count {
            match stream.read(&mut bytes[filled..]) {
                Ok(0) => panic!("the stream ended after {filled} of {count} bytes"),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    });
    stream.set_nonblocking(false).unwrap();
    bytes
}

fn member(number: u64) -> MemberId {
    MemberId::from_number(number)
}

fn header(decree: u64) -> Header {
    let ballot = Ballot::new(1, member(1));
    Header::new(ProtocolVersion::V6, member(1), Decree(decree), 1, ballot)
}

fn query(decree: u64) -> Message {
    Message::StatusQuery(header(decree))
}

/// A vote with one request of `size` bytes.
fn vote(decree: u64, size: usize) -> Message {
    let requests = vec![Bytes::from(vec![7; size])];
    Message::Vote(Vote::new(header(decree), &VoteContent { requests, ..VoteContent::default() }).unwrap())
}

fn packet(message: &Message) -> Bytes {
    encode_packet(&message.encode().unwrap()).unwrap()
}

/// The packets of several messages, one behind the other.
fn packets(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|message| packet(message).to_vec()).collect()
}

fn node(number: u64, address: SocketAddrV4) -> Node {
    Node {
        id: member(number),
        ip: *address.ip(),
        rsl_port: address.port(),
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    }
}

fn v4(address: std::net::SocketAddr) -> SocketAddrV4 {
    super::connection::ipv4(address).unwrap()
}

/// An address where nothing listens until `listen` is called on the socket.
fn reserved(ip: Ipv4Addr) -> (socket2::Socket, SocketAddrV4) {
    let socket = socket(ip);
    let address = v4(socket.local_addr().unwrap().as_socket().unwrap());
    (socket, address)
}

/// A listener of a test, and its address.
fn listener(ip: Ipv4Addr) -> (TcpListener, SocketAddrV4) {
    let (socket, address) = reserved(ip);
    socket.listen(16).unwrap();
    (socket.into(), address)
}
