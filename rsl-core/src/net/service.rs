//! The packet service: one poll loop over the listener and all packet connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::connection::{Closed, Connection, ipv4};
use super::peer::{Peer, PeerKey, Skip};
use super::queue::{Frame, Packet, SendQueue};
use super::socket::{self, Service};
use super::{NetSettings, NetStats, PeerHealth};
use crate::engine::{ConnectionId, Destination, Direction, Origin, PeerLink};
use crate::types::{Instant, MemberId, Node};
use crate::wire::{EncodeError, Message, MessageId, PACKET_HEADER_SIZE};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Tokens of connections start here; they double as connection ids and are never reused.
const FIRST_CONNECTION: usize = 2;
/// Shortest time between two attempts to connect to one address [WIRE-26] [HARD-26].
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Pause after accepting has failed, for instance for want of descriptors [HARD-19].
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections accepted in one turn.
const ACCEPT_BUDGET: usize = 64;
/// Answers waiting on one connection.
const MAX_ANSWERS: usize = 1024;
/// Size of the read buffer that all connections share.
const READ_BUFFER: usize = 64 * 1024;

/// What the service tells its driver.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all events are messages, and they live for one turn")]
pub enum NetEvent {
    /// A decoded message from a packet whose checksum was right.
    Message {
        /// Where it came from.
        from: Origin,
        /// The message.
        message: Message,
    },
    /// An attempt to connect to a peer failed or its connection broke: its name should be resolved again [PROTO-158].
    /// At most once per second and peer.
    Unreachable(MemberId),
}

/// Ends [`PacketService::wait`] early, from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Makes the current or the next `wait` return at once.
    pub fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!(%error, "cannot wake the packet service");
        }
    }
}

#[derive(Debug)]
struct Inbound {
    connection: Connection,
    queue: SendQueue,
    heard: Instant,
}

#[derive(Debug)]
struct Outbound {
    connection: Option<Connection>,
    queue: SendQueue,
    /// Not before this time is another connection tried.
    next_attempt: Instant,
    /// The last attempt to connect.
    last_attempt: Instant,
}

/// All packet connections of a replica: accepts, connects, deframes, decodes, queues and writes [WIRE-13..30].
///
/// Driven by one thread, in this order: [`wait`](Self::wait) until something is ready, [`turn`](Self::turn) to read
/// messages and serve timers, any number of [`send`](Self::send), [`disconnect`](Self::disconnect) and setters, then
/// [`flush`](Self::flush). Everything but `wait` returns without blocking.
#[derive(Debug)]
pub struct PacketService {
    settings: NetSettings,
    poll: Poll,
    ready: Events,
    waker: Waker,
    listener: TcpListener,
    accept_ready: bool,
    accept_after: Instant,
    next_token: usize,
    inbound: BTreeMap<usize, Inbound>,
    inbound_addresses: BTreeMap<SocketAddrV4, usize>,
    outbound: BTreeMap<SocketAddrV4, Outbound>,
    outbound_tokens: BTreeMap<usize, SocketAddrV4>,
    peers: Vec<Peer>,
    configuration: u32,
    next_peer: u64,
    buffer: Vec<u8>,
    unfinished: bool,
    stats: NetStats,
}

impl PacketService {
    /// Listens on the address of `settings`. Blocks while binding is retried, at most
    /// `bind_retry.attempts * bind_retry.pause`; setting `stop` ends that early [WIRE-2] [WIRE-6].
    ///
    /// # Errors
    /// When the system refuses the poll, the waker or the listener.
    pub fn start(settings: NetSettings, stop: &AtomicBool) -> io::Result<PacketService> {
        let poll = Poll::new()?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        let listener = socket::listen(settings.address, Service::Packets, settings.bind_retry, stop)?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(PacketService {
            settings,
            poll,
            ready: Events::with_capacity(256),
            waker,
            listener,
            accept_ready: true,
            accept_after: Instant::default(),
            next_token: FIRST_CONNECTION,
            inbound: BTreeMap::new(),
            inbound_addresses: BTreeMap::new(),
            outbound: BTreeMap::new(),
            outbound_tokens: BTreeMap::new(),
            peers: Vec::new(),
            configuration: 0,
            next_peer: 1,
            buffer: vec![0; READ_BUFFER],
            unfinished: true,
            stats: NetStats::default(),
        })
    }

    /// The address it listens on, with the real port when the settings say 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddrV4> {
        ipv4(self.listener.local_addr()?).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Wakes this service from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The other members of the voting configuration and its number. Peers whose entry is unchanged keep their
    /// counters and resolved address; others start anew [PROTO-158].
    pub fn set_peers(&mut self, configuration: u32, peers: &[Node]) {
        self.configuration = configuration;
        let mut old = std::mem::take(&mut self.peers);
        for node in peers {
            let peer = match old.iter().position(|peer| peer.node == *node) {
                Some(known) => old.swap_remove(known),
                None => Peer::new(self.new_key(), node.clone()),
            };
            self.peers.push(peer);
        }
        self.forget_unused();
    }

    /// Gives a peer the address its name resolves to [WIRE-4]. Unknown members are ignored.
    pub fn set_address(&mut self, member: MemberId, address: SocketAddrV4) {
        let key = self.new_key();
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.node.id == member)
            && peer.resolved(key, address)
        {
            tracing::info!(peer = %member, %address, "address of a peer");
        }
        self.forget_unused();
    }

    /// The links to the peers, in the order of the configuration.
    #[must_use]
    pub fn links(&self) -> Vec<PeerLink> {
        let link = |peer: &Peer| PeerLink {
            ip: peer.ip(),
            member: peer.node.id,
            connected: peer.connected,
            unsent: peer.unsent,
            last_send: peer.last_send,
        };
        self.peers.iter().map(link).collect()
    }

    /// The health of the peers, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<PeerHealth> {
        self.peers.iter().map(Peer::health).collect()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        NetStats { inbound: self.inbound.len() as u64, receiving: self.held(), ..self.stats }
    }

    /// When the next turn is due even without traffic; a past time = at once, `None` = never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.unfinished {
            return Some(Instant::default());
        }
        let mut deadline = self.accept_ready.then_some(self.accept_after);
        let mut note = |at: Option<Instant>| deadline = deadline.into_iter().chain(at).min();
        for outbound in self.outbound.values() {
            note(outbound.queue.deadline());
            if outbound.connection.is_none() && !outbound.queue.is_empty() {
                note(Some(outbound.next_attempt));
            }
        }
        for inbound in self.inbound.values() {
            note(inbound.queue.deadline());
        }
        deadline
    }

    /// Blocks until a socket is ready, a [`Waker`] is used or `timeout` is over (`None` = no limit). The caller
    /// derives the timeout from [`deadline`](Self::deadline) and its own timers.
    ///
    /// # Errors
    /// When the system's poll fails for good.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.unfinished { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.ready, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.ready {
            let token = event.token();
            if token == LISTENER {
                self.accept_ready = true;
                continue;
            }
            let connection = match self.outbound_tokens.get(&token.0) {
                Some(address) => self.outbound.get_mut(address).and_then(|out| out.connection.as_mut()),
                None => self.inbound.get_mut(&token.0).map(|inbound| &mut inbound.connection),
            };
            if let Some(connection) = connection {
                connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            }
        }
        Ok(())
    }

    /// Reads every ready socket, accepts connections, serves the timers and writes what can be written. Events are
    /// appended in order of arrival per connection.
    pub fn turn(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        self.unfinished = false;
        self.read_outbound(now, events);
        self.read_inbound(now, events);
        self.bound_memory();
        self.accept(now);
        self.expire(now, events);
        self.write(now, events);
    }

    /// Submits a message. Requests to peers go to their outbound connections [WIRE-7]; an answer goes back on the
    /// connection named, and is dropped when that is gone [WIRE-8] [WIRE-9]. Nothing is written before
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the message cannot be encoded in its version [HARD-13]; nothing is sent then.
    pub fn send(&mut self, now: Instant, to: Destination, message: &Message) -> Result<(), EncodeError> {
        let frame = Frame::new(message)?;
        let urgent = matches!(message.id(), MessageId::Vote | MessageId::Prepare);
        match to {
            Destination::AllPeers => {
                for index in 0..self.peers.len() {
                    self.send_request(now, index, frame.clone(), urgent);
                }
            }
            Destination::Peer(member) => match self.peers.iter().position(|peer| peer.node.id == member) {
                Some(index) => self.send_request(now, index, frame, urgent),
                None => self.stats.requests_skipped += 1,
            },
            Destination::Connection(id) => self.send_answer(now, id, frame),
        }
        Ok(())
    }

    /// Writes what was submitted, as far as the sockets take it, and opens the connections that are needed.
    /// Connections that broke are reported by the next turn.
    pub fn flush(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        self.write(now, events);
    }

    /// Closes an inbound connection with everything queued on it; outbound connections are left alone [HARD-23].
    pub fn disconnect(&mut self, id: ConnectionId) {
        if let Ok(token) = usize::try_from(id.0) {
            self.close_inbound(token, &Closed::Stranger);
        }
    }

    fn new_key(&mut self) -> PeerKey {
        self.next_peer += 1;
        PeerKey(self.next_peer)
    }

    fn new_token(&mut self) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        token
    }

    fn send_request(&mut self, now: Instant, index: usize, frame: Frame, urgent: bool) {
        let settings = &self.settings;
        let peer = &mut self.peers[index];
        match peer.may_send(now, urgent, settings.max_outstanding, settings.send_timeout) {
            Ok(address) => {
                peer.submitted(now);
                let packet = Packet::new(frame, now + settings.send_timeout, Some(peer.key));
                let fresh = || Outbound {
                    connection: None,
                    queue: SendQueue::default(),
                    next_attempt: Instant::default(),
                    last_attempt: Instant::default(),
                };
                self.outbound.entry(address).or_insert_with(fresh).queue.push(packet);
            }
            Err(reason) => {
                self.stats.requests_skipped += 1;
                if reason != Skip::Unresolved {
                    tracing::debug!(peer = %peer.node.id, ?reason, "request not sent");
                }
            }
        }
    }

    fn send_answer(&mut self, now: Instant, id: ConnectionId, frame: Frame) {
        let token = usize::try_from(id.0).unwrap_or(usize::MAX);
        let queue = match self.outbound_tokens.get(&token) {
            Some(address) => self.outbound.get_mut(address).map(|outbound| &mut outbound.queue),
            None => self.inbound.get_mut(&token).map(|inbound| &mut inbound.queue),
        };
        let length = frame.len() as u64;
        let fits = |queue: &SendQueue| {
            queue.is_empty()
                || queue.len() < MAX_ANSWERS && queue.bytes() + length <= self.settings.packet_limit
        };
        match queue {
            Some(queue) if fits(queue) => {
                queue.push(Packet::new(frame, now + self.settings.send_timeout, None));
            }
            _ => {
                self.stats.answers_dropped += 1;
                tracing::debug!(connection = id.0, "answer dropped");
            }
        }
    }

    fn read_outbound(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        let addresses: Vec<SocketAddrV4> = self.outbound_tokens.values().copied().collect();
        for address in addresses {
            let Some(connection) = self.outbound.get_mut(&address).and_then(|out| out.connection.as_mut())
            else {
                continue;
            };
            if connection.connecting {
                if !connection.readable && !connection.writable {
                    continue;
                }
                match connection.finish_connecting() {
                    Ok(true) => {
                        self.stats.connected += 1;
                        tracing::info!(%address, "connected to a peer");
                    }
                    Ok(false) => {
                        (connection.readable, connection.writable) = (false, false);
                        continue;
                    }
                    Err(error) => {
                        self.outbound_broke(now, address, &error, events);
                        continue;
                    }
                }
            }
            if connection.readable {
                let origin = connection.origin();
                let mut sink = Sink {
                    origin,
                    events,
                    stats: &mut self.stats,
                    peers: &mut self.peers,
                    configuration: self.configuration,
                    alert_size: self.settings.alert_size,
                };
                match connection.receive(&mut self.buffer, |payload| sink.deliver(&payload)) {
                    Ok(count) => {
                        self.stats.bytes_received += count as u64;
                        self.unfinished |= connection.readable;
                    }
                    Err(error) => self.outbound_broke(now, address, &error, events),
                }
            }
        }
    }

    fn read_inbound(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        let mut closed = Vec::new();
        for (&token, inbound) in &mut self.inbound {
            let connection = &mut inbound.connection;
            if !connection.readable {
                continue;
            }
            let mut sink = Sink {
                origin: connection.origin(),
                events,
                stats: &mut self.stats,
                peers: &mut self.peers,
                configuration: self.configuration,
                alert_size: self.settings.alert_size,
            };
            inbound.heard = now;
            match connection.receive(&mut self.buffer, |payload| sink.deliver(&payload)) {
                Ok(count) => {
                    self.stats.bytes_received += count as u64;
                    self.unfinished |= connection.readable;
                }
                Err(error) => closed.push((token, error)),
            }
        }
        for (token, error) in closed {
            self.close_inbound(token, &error);
        }
    }

    /// Bytes held of incomplete packets.
    fn held(&self) -> u64 {
        self.connections().map(|connection| connection.buffered() as u64).sum()
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        let outbound = self.outbound.values().filter_map(|outbound| outbound.connection.as_ref());
        self.inbound.values().map(|inbound| &inbound.connection).chain(outbound)
    }

    fn is_peer(&self, ip: Ipv4Addr) -> bool {
        self.peers.iter().any(|peer| peer.ip() == ip)
    }

    /// Closes what holds most of too much memory, strangers first [HARD-1]. Outbound connections count, but each
    /// holds at most one packet and there are few of them: they stay.
    fn bound_memory(&mut self) {
        while self.held() > self.settings.receive_memory {
            let weight = |(&token, inbound): (&usize, &Inbound)| {
                let stranger = !self.is_peer(*inbound.connection.remote.ip());
                let held = inbound.connection.buffered();
                (held > 0).then_some((stranger, held, token))
            };
            let Some((_, _, token)) = self.inbound.iter().filter_map(weight).max() else {
                return;
            };
            self.stats.refused += 1;
            self.close_inbound(token, &Closed::Evicted);
        }
    }

    fn accept(&mut self, now: Instant) {
        let mut budget = ACCEPT_BUDGET;
        while self.accept_ready && now >= self.accept_after {
            if budget == 0 {
                self.unfinished = true;
                return;
            }
            budget -= 1;
            match self.listener.accept() {
                Ok((socket, remote)) => match ipv4(remote) {
                    Some(remote) => self.admit(now, socket, remote),
                    None => self.stats.refused += 1,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.accept_ready = false,
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    self.accept_after = now + ACCEPT_PAUSE;
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, socket: TcpStream, remote: SocketAddrV4) {
        if self.inbound_addresses.contains_key(&remote) || !self.make_room(*remote.ip()) {
            self.stats.refused += 1;
            tracing::debug!(%remote, "connection refused");
            return;
        }
        let token = self.new_token();
        let limit = self.settings.packet_limit;
        let registry = self.poll.registry();
        let connection = socket
            .set_nodelay(true)
            .and_then(|()| Connection::new(socket, registry, token, Direction::Inbound, remote, limit));
        match connection {
            Ok(connection) => {
                tracing::debug!(%remote, connection = token.0, "connection accepted");
                self.stats.accepted += 1;
                self.inbound_addresses.insert(remote, token.0);
                self.inbound.insert(token.0, Inbound { connection, queue: SendQueue::default(), heard: now });
            }
            Err(error) => tracing::debug!(%remote, %error, "accepted connection failed"),
        }
    }

    /// Makes room for one more connection from `ip`: a peer displaces the stranger that was silent longest.
    fn make_room(&mut self, ip: Ipv4Addr) -> bool {
        if self.inbound.len() < self.settings.max_inbound {
            return true;
        }
        if !self.is_peer(ip) {
            return false;
        }
        let strangers =
            self.inbound.iter().filter(|(_, inbound)| !self.is_peer(*inbound.connection.remote.ip()));
        match strangers.map(|(&token, inbound)| (inbound.heard, token)).min() {
            Some((_, token)) => {
                self.close_inbound(token, &Closed::Evicted);
                true
            }
            None => false,
        }
    }

    fn close_inbound(&mut self, token: usize, reason: &Closed) {
        let Some(mut inbound) = self.inbound.remove(&token) else {
            return;
        };
        let remote = inbound.connection.remote;
        self.inbound_addresses.remove(&remote);
        // [WIRE-19] [WIRE-27]: the socket closes in both directions, answers not yet written are lost.
        self.stats.answers_dropped += inbound.queue.clear().len() as u64;
        if matches!(reason, Closed::Packet(_)) {
            self.stats.malformed_packets += 1;
        }
        tracing::debug!(%remote, connection = token, %reason, "inbound connection closed");
    }

    /// An outbound connection is gone: what is queued waits for the next one [WIRE-25].
    fn outbound_broke(
        &mut self,
        now: Instant,
        address: SocketAddrV4,
        reason: &Closed,
        events: &mut Vec<NetEvent>,
    ) {
        let Some(outbound) = self.outbound.get_mut(&address) else {
            return;
        };
        // Without one, the attempt failed before there was a socket.
        if let Some(connection) = outbound.connection.take() {
            if let Ok(token) = usize::try_from(connection.id.0) {
                self.outbound_tokens.remove(&token);
            }
            outbound.queue.rewind();
            // [WIRE-26] [HARD-26]
            outbound.next_attempt = if connection.connecting {
                self.stats.connect_failures += 1;
                now + RECONNECT_PAUSE
            } else {
                now.max(outbound.last_attempt + RECONNECT_PAUSE)
            };
        }
        if matches!(reason, Closed::Packet(_)) {
            self.stats.malformed_packets += 1;
        }
        self.report_unreachable(now, address, reason, events);
    }

    fn report_unreachable(
        &mut self,
        now: Instant,
        address: SocketAddrV4,
        reason: &Closed,
        events: &mut Vec<NetEvent>,
    ) {
        for peer in self.peers.iter_mut().filter(|peer| peer.address() == Some(address)) {
            if peer.report_unreachable(now) {
                tracing::info!(peer = %peer.node.id, %address, %reason, "no connection to a peer");
                events.push(NetEvent::Unreachable(peer.node.id));
            }
        }
        self.forget_unused();
    }

    /// Forgets addresses that no peer uses, unless a connection or a packet is left [WIRE-17].
    fn forget_unused(&mut self) {
        let used: Vec<SocketAddrV4> = self.peers.iter().filter_map(Peer::address).collect();
        self.outbound.retain(|address, outbound| {
            outbound.connection.is_some() || !outbound.queue.is_empty() || used.contains(address)
        });
    }

    /// Serves the send timeouts [WIRE-23] [WIRE-24].
    fn expire(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        for inbound in self.inbound.values_mut() {
            self.stats.packets_timed_out += inbound.queue.expire(now) as u64;
        }
        let is_due = |out: &Outbound| out.queue.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<SocketAddrV4> =
            self.outbound.iter().filter(|(_, out)| is_due(out)).map(|(&address, _)| address).collect();
        for address in due {
            let packets = self.outbound.get_mut(&address).map(|out| out.queue.clear()).unwrap_or_default();
            for packet in packets {
                let peer = self.peers.iter_mut().find(|peer| packet.owner == Some(peer.key));
                let late = packet.deadline <= now;
                if late {
                    self.stats.packets_timed_out += 1;
                } else {
                    self.stats.packets_aborted += 1;
                }
                let Some(peer) = peer else { continue };
                if !late {
                    peer.finished(now);
                } else if peer.timed_out(now) {
                    tracing::warn!(peer = %peer.node.id, %address, "peer marked failed");
                }
            }
            self.outbound_broke(now, address, &Closed::Timeout, events);
        }
    }

    /// Writes every queue and opens the connections that are wanted.
    fn write(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
        let mut done = Vec::new();
        let addresses: Vec<SocketAddrV4> = self
            .outbound
            .iter()
            .filter(|(_, out)| !out.queue.is_empty())
            .map(|(&address, _)| address)
            .collect();
        for address in addresses {
            if let Err(error) = self.write_outbound(now, address, &mut done) {
                self.outbound_broke(now, address, &error, events);
            }
        }
        self.stats.packets_sent += done.len() as u64;
        for packet in &done {
            if let Some(peer) = self.peers.iter_mut().find(|peer| packet.owner == Some(peer.key)) {
                peer.sent(now);
            }
        }
        done.clear();
        let mut closed = Vec::new();
        for (&token, inbound) in &mut self.inbound {
            if inbound.queue.is_empty() {
                continue;
            }
            match inbound.connection.transmit(&mut inbound.queue, &mut done) {
                Ok(()) => self.unfinished |= inbound.connection.writable && !inbound.queue.is_empty(),
                Err(error) => closed.push((token, error)),
            }
        }
        self.stats.packets_sent += done.len() as u64;
        for (token, error) in closed {
            self.close_inbound(token, &error);
        }
    }

    fn write_outbound(
        &mut self,
        now: Instant,
        address: SocketAddrV4,
        done: &mut Vec<Packet>,
    ) -> Result<(), Closed> {
        let Some(outbound) = self.outbound.get_mut(&address) else {
            return Ok(());
        };
        match &mut outbound.connection {
            Some(connection) if connection.connecting => Ok(()),
            Some(connection) => {
                connection.transmit(&mut outbound.queue, done)?;
                self.unfinished |= connection.writable && !outbound.queue.is_empty();
                Ok(())
            }
            None if now >= outbound.next_attempt => self.dial(now, address),
            None => Ok(()),
        }
    }

    fn dial(&mut self, now: Instant, address: SocketAddrV4) -> Result<(), Closed> {
        let token = self.new_token();
        let Some(outbound) = self.outbound.get_mut(&address) else {
            return Ok(());
        };
        outbound.last_attempt = now;
        outbound.next_attempt = now + RECONNECT_PAUSE;
        let connection = socket::connect(*self.settings.address.ip(), address).and_then(|socket| {
            let socket = TcpStream::from_std(socket);
            let limit = self.settings.packet_limit;
            Connection::new(socket, self.poll.registry(), token, Direction::Outbound, address, limit)
        });
        match connection {
            Ok(connection) => {
                outbound.connection = Some(connection);
                self.outbound_tokens.insert(token.0, address);
                Ok(())
            }
            Err(error) => {
                self.stats.connect_failures += 1;
                Err(error.into())
            }
        }
    }
}

/// Where the payloads of one connection go.
struct Sink<'a> {
    origin: Origin,
    events: &'a mut Vec<NetEvent>,
    stats: &'a mut NetStats,
    peers: &'a mut [Peer],
    configuration: u32,
    alert_size: Option<u64>,
}

impl Sink<'_> {
    fn deliver(&mut self, payload: &Bytes) {
        let (from, stats) = (self.origin, &mut *self.stats);
        stats.packets_received += 1;
        let size = (PACKET_HEADER_SIZE + payload.len()) as u64;
        if self.alert_size.is_some_and(|alert| size > alert) {
            stats.alerts += 1;
            tracing::warn!(from = %from.address, size, "packet above the alert size");
        }
        let message = match Message::decode_packet_payload(payload) {
            Ok(message) => message,
            Err(error) => {
                stats.malformed_messages += 1;
                tracing::debug!(from = %from.address, %error, "malformed message dropped");
                return;
            }
        };
        if from.direction == Direction::Outbound && !is_answer(message.id()) {
            stats.unexpected_messages += 1;
            tracing::debug!(from = %from.address, id = ?message.id(), "message on an outbound connection dropped");
            return;
        }
        stats.messages_received += 1;
        if proves_health(message.id()) && message.header().configuration == self.configuration {
            let member = message.header().member;
            let is_sender = |peer: &&mut Peer| peer.node.id == member && peer.ip() == *from.address.ip();
            if let Some(peer) = self.peers.iter_mut().find(is_sender) {
                peer.heard();
            }
        }
        self.events.push(NetEvent::Message { from, message });
    }
}

/// Whether a message may arrive on a connection that this replica opened [WIRE-10] [PROTO-35].
const fn is_answer(id: MessageId) -> bool {
    match id {
        MessageId::VoteAccepted
        | MessageId::PrepareAccepted
        | MessageId::NotAccepted
        | MessageId::StatusResponse
        | MessageId::DefunctConfiguration
        | MessageId::Join
        | MessageId::JoinRequest => true,
        MessageId::Vote
        | MessageId::Prepare
        | MessageId::StatusQuery
        | MessageId::FetchVotes
        | MessageId::FetchCheckpoint
        | MessageId::ReconfigurationDecision
        | MessageId::Bootstrap => false,
    }
}

/// Whether a message takes the tests of WIRE-102, which a failed peer leaves healthy [WIRE-29].
const fn proves_health(id: MessageId) -> bool {
    match id {
        MessageId::Vote
        | MessageId::VoteAccepted
        | MessageId::Prepare
        | MessageId::PrepareAccepted
        | MessageId::NotAccepted
        | MessageId::StatusResponse
        | MessageId::ReconfigurationDecision => true,
        MessageId::StatusQuery
        | MessageId::FetchVotes
        | MessageId::FetchCheckpoint
        | MessageId::DefunctConfiguration
        | MessageId::Join
        | MessageId::JoinRequest
        | MessageId::Bootstrap => false,
    }
}

/// Errors of accept that concern only the connection that was to be accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
