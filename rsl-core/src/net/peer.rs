//! What is known about a peer's outbound traffic: packets under way, failures, and when it is worth trying.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::types::{Instant, MemberId, Node};

/// Failures in a row that mark a peer failed [WIRE-29].
const FAILURES_TO_FAIL: u32 = 3;
/// Longest pause between attempts to send to a failed peer [HARD-25].
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// A failed peer gets a Vote or Prepare at least this often [HARD-353].
const URGENT_BACK_OFF: Duration = Duration::from_secs(1);
/// A peer is reported unreachable at most this often.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Number of a peer record. A record that is replaced never sees the packets of its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerKey(pub(super) u64);

/// Why a broadcast leaves a peer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// No address yet [WIRE-4].
    Unresolved,
    /// Too many packets under way [WIRE-28].
    Busy,
    /// Marked failed and tried recently [HARD-25].
    Failed,
}

/// The health of a peer as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// The peer.
    pub member: MemberId,
    /// The last send worked and the connection has not broken since.
    pub connected: bool,
    /// Packets submitted and unfinished.
    pub outstanding: u32,
    /// Sends that failed since the last one that worked.
    pub consecutive_failures: u32,
    /// When it was marked failed; `None` = healthy.
    pub failed_at: Option<Instant>,
    /// When the last send completed, well or not.
    pub last_send: Option<Instant>,
    /// It has no address yet.
    pub needs_resolve: bool,
}

/// A peer [PROTO-107].
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) node: Node,
    /// The address in use: configured or resolved; 0.0.0.0 = unknown.
    ip: Ipv4Addr,
    port: u16,
    pub(super) unsent: u32,
    pub(super) connected: bool,
    failures: u32,
    failed_at: Option<Instant>,
    pub(super) last_send: Option<Instant>,
    last_attempt: Option<Instant>,
    last_report: Option<Instant>,
}

impl Peer {
    pub(super) fn new(key: PeerKey, node: Node) -> Peer {
        Peer {
            key,
            ip: node.ip,
            port: node.rsl_port,
            node,
            unsent: 0,
            connected: false,
            failures: 0,
            failed_at: None,
            last_send: None,
            last_attempt: None,
            last_report: None,
        }
    }

    /// Where its packets go; `None` = unresolved.
    pub(super) fn address(&self) -> Option<SocketAddrV4> {
        (!self.ip.is_unspecified()).then(|| SocketAddrV4::new(self.ip, self.port))
    }

    /// Its address, 0.0.0.0 when unresolved.
    pub(super) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Takes a resolved address; a changed one starts a new record [PROTO-158]. Returns whether it changed.
    pub(super) fn resolved(&mut self, key: PeerKey, address: SocketAddrV4) -> bool {
        if (self.ip, self.port) == (*address.ip(), address.port()) {
            return false;
        }
        *self = Peer { ip: *address.ip(), port: address.port(), ..Peer::new(key, self.node.clone()) };
        true
    }

    /// Whether a request may be submitted now [WIRE-28] [PROTO-105] [PROTO-108]. `urgent` = Vote or Prepare.
    pub(super) fn may_send(
        &self,
        now: Instant,
        urgent: bool,
        max_outstanding: u32,
        send_timeout: Duration,
    ) -> Result<SocketAddrV4, Skip> {
        let address = self.address().ok_or(Skip::Unresolved)?;
        if self.unsent >= max_outstanding {
            return Err(Skip::Busy);
        }
        let pause = LONGEST_BACK_OFF.min(send_timeout.saturating_mul(3));
        let pause = if urgent { pause.min(URGENT_BACK_OFF) } else { pause };
        match (self.failed_at, self.last_attempt) {
            (Some(_), Some(last)) if now.since(last) < pause => Err(Skip::Failed),
            _ => Ok(address),
        }
    }

    pub(super) fn submitted(&mut self, now: Instant) {
        self.unsent += 1;
        self.last_attempt = Some(now);
    }

    /// A packet was handed to the socket.
    pub(super) fn sent(&mut self, now: Instant) {
        self.finished(now);
        self.connected = true;
        self.heard();
    }

    /// A packet timed out. Returns whether that marked the peer failed.
    pub(super) fn timed_out(&mut self, now: Instant) -> bool {
        self.finished(now);
        self.connected = false;
        self.failures = self.failures.saturating_add(1);
        let fails = self.failures >= FAILURES_TO_FAIL && self.failed_at.is_none();
        if fails {
            self.failed_at = Some(now);
        }
        fails
    }

    /// A packet was dropped because another one timed out: no failure [WIRE-24].
    pub(super) fn finished(&mut self, now: Instant) {
        assert!(self.unsent > 0, "every packet finishes once");
        self.unsent -= 1;
        self.last_send = Some(now);
    }

    /// The peer is alive: a send worked or a message of its configuration came [WIRE-29].
    pub(super) fn heard(&mut self) {
        self.failures = 0;
        self.failed_at = None;
    }

    /// Whether to report that the peer cannot be reached, at most once per second.
    pub(super) fn report_unreachable(&mut self, now: Instant) -> bool {
        self.connected = false;
        if self.last_report.is_some_and(|last| now.since(last) < REPORT_PAUSE) {
            return false;
        }
        self.last_report = Some(now);
        true
    }

    pub(super) fn health(&self) -> PeerHealth {
        PeerHealth {
            member: self.node.id,
            connected: self.connected,
            outstanding: self.unsent,
            consecutive_failures: self.failures,
            failed_at: self.failed_at,
            last_send: self.last_send,
            needs_resolve: self.address().is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn peer(ip: Ipv4Addr) -> Peer {
        let node = Node {
            id: MemberId::from_number(2),
            ip,
            rsl_port: 20000,
            learn_port: 0,
            app_port: 0,
            host_name: bytes::Bytes::new(),
        };
        Peer::new(PeerKey(1), node)
    }

    fn at(seconds: u64) -> Instant {
        Instant(0) + Duration::from_secs(seconds)
    }

    /// [WIRE-29] [PROTO-107]: three failures in a row, not counting aborted packets; one success forgives.
    #[test]
    fn three_failures_in_a_row_mark_a_peer_failed() {
        let mut peer = peer(Ipv4Addr::LOCALHOST);
        for _ in 0..9 {
            peer.submitted(at(0));
        }
        assert!(!peer.timed_out(at(1)));
        assert!(!peer.timed_out(at(2)));
        peer.sent(at(3));
        assert_eq!((peer.connected, peer.failures, peer.unsent), (true, 0, 6));
        assert!(!peer.timed_out(at(4)));
        peer.finished(at(5));
        assert!(!peer.timed_out(at(6)));
        assert_eq!(peer.health().consecutive_failures, 2);
        assert!(peer.timed_out(at(7)));
        assert!(!peer.timed_out(at(8)), "reported once");
        assert_eq!((peer.failed_at, peer.connected, peer.last_send), (Some(at(7)), false, Some(at(8))));
        peer.heard();
        assert_eq!(peer.health().failed_at, None);
    }

    /// [WIRE-28] [PROTO-105]
    #[test]
    fn busy_and_unresolved_peers_are_skipped() {
        let mut known = peer(Ipv4Addr::LOCALHOST);
        for _ in 0..10 {
            assert!(known.may_send(at(0), true, 10, TIMEOUT).is_ok());
            known.submitted(at(0));
        }
        assert_eq!(known.may_send(at(0), true, 10, TIMEOUT), Err(Skip::Busy));
        known.sent(at(0));
        assert!(known.may_send(at(0), true, 10, TIMEOUT).is_ok());
        let unknown = peer(Ipv4Addr::UNSPECIFIED);
        assert_eq!(unknown.may_send(at(0), true, 10, TIMEOUT), Err(Skip::Unresolved));
        assert!(unknown.health().needs_resolve);
    }

    /// [HARD-25] [HARD-353] [PROTO-108]: a failed peer gets votes once per second, other requests every 15 s, or
    /// every 30 s when the send timeout is long.
    #[test]
    fn failed_peers_are_tried_less_often() {
        let mut peer = peer(Ipv4Addr::LOCALHOST);
        for _ in 0..4 {
            peer.submitted(at(100));
        }
        for _ in 0..3 {
            peer.timed_out(at(105));
        }
        let after = |millis, urgent, timeout| {
            peer.may_send(at(100) + Duration::from_millis(millis), urgent, 10, timeout).is_ok()
        };
        assert!(!after(999, true, TIMEOUT) && after(1000, true, TIMEOUT));
        assert!(!after(14_999, false, TIMEOUT) && after(15_000, false, TIMEOUT));
        let long = Duration::from_secs(3600);
        assert!(!after(29_999, false, long) && after(30_000, false, long));
    }

    /// [PROTO-158]: a changed address starts from zero, the same address changes nothing.
    #[test]
    fn a_changed_address_resets_the_counters() {
        let mut peer = peer(Ipv4Addr::UNSPECIFIED);
        let first = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 20000);
        assert!(peer.resolved(PeerKey(2), first));
        peer.submitted(at(0));
        assert!(!peer.resolved(PeerKey(3), first));
        assert_eq!((peer.key, peer.unsent), (PeerKey(2), 1));
        assert!(peer.resolved(PeerKey(4), SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 20000)));
        assert_eq!((peer.key, peer.unsent, peer.last_send), (PeerKey(4), 0, None));
    }
}
