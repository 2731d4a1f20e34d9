//! Connections that peers opened: accepting, reading, closing, and the bounds on what they may take up.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use mio::net::TcpStream;

use super::connection::{Closed, Connection, ipv4};
use super::deliver::{NetEvent, Sink};
use super::queue::SendQueue;
use super::service::PacketService;
use crate::engine::Direction;
use crate::types::Instant;

/// Pause after accepting has failed, for instance for want of descriptors [HARD-19].
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections accepted in one turn.
const ACCEPT_BUDGET: usize = 64;

#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) connection: Connection,
    pub(super) queue: SendQueue,
    heard: Instant,
}

impl PacketService {
    pub(super) fn read_inbound(&mut self, now: Instant, events: &mut Vec<NetEvent>) {
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

    /// Closes what holds most of too much memory, strangers first [HARD-1]. Outbound connections count, but each
    /// holds at most one packet and there are few of them: they stay.
    pub(super) fn bound_memory(&mut self) {
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

    pub(super) fn accept(&mut self, now: Instant) {
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
                Err(error) => self.accept_failed(now, &error),
            }
        }
    }

    /// Waits before accepting again, for instance until there are descriptors [HARD-19].
    pub(super) fn accept_failed(&mut self, now: Instant, error: &io::Error) {
        tracing::warn!(%error, "cannot accept connections");
        self.accept_after = now + ACCEPT_PAUSE;
    }

    pub(super) fn admit(&mut self, now: Instant, socket: TcpStream, remote: SocketAddrV4) {
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

    pub(super) fn close_inbound(&mut self, token: usize, reason: &Closed) {
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
}

/// Errors of accept that concern only the connection that was to be accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
