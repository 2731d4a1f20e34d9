//! The packet service: one poll loop over the listener and all packet connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Closed, Connection, ipv4};
use super::deliver::NetEvent;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::peer::{Peer, PeerKey, Skip};
use super::queue::{Frame, Packet, SendQueue};
use super::socket::{self, Service};
use super::{NetSettings, NetStats, PeerHealth};
use crate::engine::{ConnectionId, Destination, PeerLink};
use crate::types::{Instant, MemberId, Node};
use crate::wire::{EncodeError, Message, MessageId};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Tokens of connections start here; they double as connection ids and are never reused.
const FIRST_CONNECTION: usize = 2;
/// Answers waiting on one connection.
const MAX_ANSWERS: usize = 1024;
/// Size of the read buffer that all connections share.
const READ_BUFFER: usize = 64 * 1024;

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

/// All packet connections of a replica: accepts, connects, deframes, decodes, queues and writes [WIRE-13..30].
///
/// Driven by one thread, in this order: [`wait`](Self::wait) until something is ready, [`turn`](Self::turn) to read
/// messages and serve timers, any number of [`send`](Self::send), [`disconnect`](Self::disconnect) and setters, then
/// [`flush`](Self::flush). Everything but `wait` returns without blocking.
#[derive(Debug)]
pub struct PacketService {
    pub(super) settings: NetSettings,
    pub(super) poll: Poll,
    pub(super) ready: Events,
    pub(super) waker: Waker,
    pub(super) listener: TcpListener,
    pub(super) accept_ready: bool,
    pub(super) accept_after: Instant,
    pub(super) next_token: usize,
    pub(super) inbound: BTreeMap<usize, Inbound>,
    pub(super) inbound_addresses: BTreeMap<SocketAddrV4, usize>,
    pub(super) outbound: BTreeMap<SocketAddrV4, Outbound>,
    pub(super) outbound_tokens: BTreeMap<usize, SocketAddrV4>,
    pub(super) peers: Vec<Peer>,
    pub(super) configuration: u32,
    pub(super) next_peer: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) unfinished: bool,
    pub(super) stats: NetStats,
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

    /// Takes packets of up to `limit` bytes on all connections from now on; a smaller limit than before changes nothing.
    /// For a replica whose log holds a vote above the configured limit: promises that carry it must get through
    /// (decision 19) [HARD-558].
    pub fn raise_limit(&mut self, limit: u64) {
        self.settings.packet_limit = self.settings.packet_limit.max(limit);
        let inbound = self.inbound.values_mut().map(|inbound| &mut inbound.connection);
        let outbound = self.outbound.values_mut().filter_map(|outbound| outbound.connection.as_mut());
        inbound.chain(outbound).for_each(|connection| connection.raise_limit(limit));
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
                connection.ending |= event.is_read_closed() || event.is_error();
                connection.readable |= event.is_readable() || connection.ending;
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

    pub(super) fn new_key(&mut self) -> PeerKey {
        self.next_peer += 1;
        PeerKey(self.next_peer)
    }

    pub(super) fn new_token(&mut self) -> Token {
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
                self.outbound.entry(address).or_default().queue.push(packet);
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

    /// Bytes held of incomplete packets.
    pub(super) fn held(&self) -> u64 {
        self.connections().map(|connection| connection.buffered() as u64).sum()
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        let outbound = self.outbound.values().filter_map(|outbound| outbound.connection.as_ref());
        self.inbound.values().map(|inbound| &inbound.connection).chain(outbound)
    }

    /// The options of every connection's socket.
    #[cfg(test)]
    pub(super) fn socket_options(&self) -> Vec<(bool, bool, Option<Duration>)> {
        self.connections().map(Connection::socket_options).collect()
    }

    pub(super) fn is_peer(&self, ip: Ipv4Addr) -> bool {
        self.peers.iter().any(|peer| peer.ip() == ip)
    }
}
