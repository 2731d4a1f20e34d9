//! Connections to peers: opening, reading, writing, timeouts, reconnecting.

use std::net::SocketAddrV4;
use std::time::Duration;

use mio::net::TcpStream;

use super::connection::{Closed, Connection};
use super::deliver::{NetEvent, Sink};
use super::peer::Peer;
use super::queue::{Packet, SendQueue};
use super::service::PacketService;
use super::socket;
use crate::engine::Direction;
use crate::types::Instant;

/// Shortest time between two attempts to connect to one address [WIRE-26] [HARD-26].
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) connection: Option<Connection>,
    pub(super) queue: SendQueue,
    /// Not before this time is another connection tried.
    pub(super) next_attempt: Instant,
    /// The last attempt to connect.
    last_attempt: Instant,
}

impl PacketService {
    pub(super) fn read_outbound(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
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

    /// An outbound connection is gone: what is queued waits for the next one [WIRE-25].
    pub(super) fn outbound_broke(
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
    pub(super) fn forget_unused(&mut self) {
        let used: Vec<SocketAddrV4> = self.peers.iter().filter_map(Peer::address).collect();
        self.outbound.retain(|address, outbound| {
            outbound.connection.is_some() || !outbound.queue.is_empty() || used.contains(address)
        });
    }

    /// Serves the send timeouts [WIRE-23] [WIRE-24].
    pub(super) fn expire(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
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
    pub(super) fn write(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
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
