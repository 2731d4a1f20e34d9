//! A network between replicas that can be disturbed: one proxy before each replica, one set of rules for each link.
//!
//! Replicas know each other by the ports of the proxies and listen on others. Both connections of a pair are told apart
//! by the sender in the first message, so that every rule is for what one replica says to another, on whichever connection.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::proxy::{self, Kind};
use super::{HostError, Member};

/// What happens to everything that one replica says to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing arrives. What was sent meanwhile arrives late, in order, as TCP would deliver it after a short partition.
    pub cut: bool,
    /// Everything arrives so much later.
    pub delay: Duration,
    /// Each packet with a number divisible by this arrives twice; 0: none does.
    pub duplicate_every: u64,
}

/// What the proxies have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that arrived, and pieces of learn connections.
    pub delivered: u64,
    /// Those of them that were held back by a cut.
    pub held: u64,
    /// Those that came later by a delay.
    pub delayed: u64,
    /// Packets that arrived a second time.
    pub duplicated: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) delivered: AtomicU64,
    pub(super) held: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) duplicated: AtomicU64,
}

/// The rules, shared by all threads of the proxies.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By sender and receiver. A link without an entry is undisturbed.
    links: Mutex<BTreeMap<(String, String), Link>>,
    changed: Condvar,
    closed: AtomicBool,
    pub(super) counters: Counters,
}

/// Threads notice the end of the network after this time.
pub(super) const NOTICE: Duration = Duration::from_millis(200);

impl Rules {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Waits until what was sent at `sent` may arrive; gives the rule it arrives under, nothing when the network ends.
    pub(super) fn admit(&self, link: &(String, String), sent: Instant) -> Option<Link> {
        let (mut held, mut delayed) = (false, false);
        let mut links = self.links.lock();
        while !self.is_closed() {
            let rule = links.get(link).copied().unwrap_or_default();
            let left = (sent + rule.delay).saturating_duration_since(Instant::now());
            if !rule.cut && left.is_zero() {
                self.counters.held.fetch_add(u64::from(held), Ordering::Relaxed);
                self.counters.delayed.fetch_add(u64::from(delayed), Ordering::Relaxed);
                return Some(rule);
            }
            held |= rule.cut;
            delayed |= !left.is_zero();
            let wait = if rule.cut { NOTICE } else { left.min(NOTICE) };
            self.changed.wait_for(&mut links, wait);
        }
        None
    }
}

/// The proxies of a set. Dropped, they end, and every connection with them.
#[derive(Debug, Default)]
pub struct Network {
    rules: Arc<Rules>,
    listening: Vec<SocketAddr>,
}

impl Network {
    /// Puts a proxy before a replica: whoever connects to the ports of `advertised` is connected to those of `real`.
    pub fn add(&mut self, advertised: &Member, real: &Member) -> Result<(), HostError> {
        for (kind, from, to) in [
            (Kind::Packets, advertised.address.port(), real.address.port()),
            (Kind::Learn, advertised.learn_address().port(), real.learn_address().port()),
        ] {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, from));
            let listener = TcpListener::bind(address).map_err(|error| {
                HostError::Ports(format!("proxy of replica {}: {address}: {error}", real.id))
            })?;
            let target = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
            let (rules, id) = (Arc::clone(&self.rules), real.id.clone());
            std::thread::spawn(move || proxy::accept(&rules, &listener, kind, &id, target));
            self.listening.push(address);
        }
        Ok(())
    }

    /// Changes the rule for what `from` says to `to`.
    pub fn set(&self, from: &str, to: &str, change: impl FnOnce(&mut Link)) {
        change(self.rules.links.lock().entry((from.to_owned(), to.to_owned())).or_default());
        self.rules.changed.notify_all();
    }

    /// No link is disturbed from now on.
    pub fn heal(&self) {
        self.rules.links.lock().clear();
        self.rules.changed.notify_all();
    }

    /// What was done so far.
    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.rules.counters;
        Traffic {
            delivered: read(&counters.delivered),
            held: read(&counters.held),
            delayed: read(&counters.delayed),
            duplicated: read(&counters.duplicated),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.rules.closed.store(true, Ordering::Relaxed);
        self.rules.changed.notify_all();
        for address in &self.listening {
            // Wakes the thread that accepts; it may have ended.
            let _ = std::net::TcpStream::connect_timeout(address, NOTICE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use rsl_core::types::{Ballot, Decree, ProtocolVersion};
    use rsl_core::wire::{Header, Message, encode_packet};

    use super::*;
    use crate::host::ports;

    const SOON: Duration = Duration::from_millis(300);

    /// A packet of replica `from`.
    fn packet(from: &str, decree: u64, version: ProtocolVersion) -> Vec<u8> {
        let header = Header::new(version, from.parse().unwrap(), Decree(decree), 1, Ballot::default());
        encode_packet(&Message::StatusQuery(header).encode().unwrap()).unwrap().to_vec()
    }

    /// The proxy of replica 2 and what it stands before.
    struct Lab {
        network: Network,
        advertised: Member,
        real: TcpListener,
        learn: TcpListener,
        _leases: Vec<ports::PortLease>,
    }

    impl Lab {
        fn new() -> Lab {
            let leases = ports::lease(2).unwrap();
            let [advertised, real] = [0, 1].map(|index| Member::on_loopback("2", leases[index].first()));
            let mut network = Network::default();
            let (main, learn) = (real.address, real.learn_address());
            network.add(&advertised, &real).unwrap();
            let [real, learn] = [main, learn].map(|address| TcpListener::bind(address).unwrap());
            Lab { network, advertised, real, learn, _leases: leases }
        }

        /// A connection from a peer, whose first bytes are these, and where it comes out.
        fn connect(&self, first: &[u8]) -> (TcpStream, TcpStream) {
            let mut peer = TcpStream::connect(self.advertised.address).unwrap();
            peer.write_all(first).unwrap();
            let (own, _) = self.real.accept().unwrap();
            for stream in [&peer, &own] {
                stream.set_read_timeout(Some(SOON)).unwrap();
            }
            (peer, own)
        }
    }

    /// Everything that arrives until nothing does for a while.
    fn arrived(stream: &mut TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        let mut piece = [0; 1000];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            all.extend_from_slice(&piece[..count]);
        }
        all
    }

    /// Both versions of ids say who speaks, so each direction has its own rule, whoever opened the connection.
    #[test]
    fn a_link_is_cut_one_way_and_delivers_late() {
        for version in [ProtocolVersion::V1, ProtocolVersion::V6] {
            let lab = Lab::new();
            let first = packet("1", 1, version);
            let (mut peer, mut own) = lab.connect(&first);
            assert_eq!(arrived(&mut own), first);
            lab.network.set("1", "2", |link| link.cut = true);
            let second = packet("1", 2, version);
            peer.write_all(&second).unwrap();
            own.write_all(b"answers are carried as they are").unwrap();
            own.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(arrived(&mut peer), b"answers are carried as they are");
            assert!(arrived(&mut own).is_empty(), "the link is cut");
            lab.network.heal();
            assert_eq!(arrived(&mut own), second);
            let done = lab.network.traffic();
            assert_eq!((done.delivered, done.held, done.duplicated), (3, 1, 0));
        }
    }

    #[test]
    fn packets_arrive_twice_and_whole() {
        let lab = Lab::new();
        lab.network.set("1", "2", |link| link.duplicate_every = 2);
        let packets = [1, 2, 3, 4].map(|decree| packet("1", decree, ProtocolVersion::V4));
        let (_peer, mut own) = lab.connect(&packets.concat());
        let [one, two, three, four] = &packets;
        assert_eq!(arrived(&mut own), [one, two, two, three, four, four].map(Vec::as_slice).concat());
        assert_eq!(lab.network.traffic().duplicated, 2);
    }

    #[test]
    fn a_slow_link_delays_what_one_side_says() {
        let lab = Lab::new();
        let first = packet("1", 1, ProtocolVersion::V4);
        let (mut peer, mut own) = lab.connect(&first);
        arrived(&mut own);
        lab.network.set("2", "1", |link| link.delay = Duration::from_millis(150));
        let asked = Instant::now();
        own.write_all(&first).unwrap();
        peer.read_exact(&mut vec![0; first.len()]).unwrap();
        assert!(asked.elapsed() >= Duration::from_millis(150));
        assert_eq!(lab.network.traffic().delayed, 1);
        // Another replica is not concerned, and what is no packet is carried as well.
        let (mut other, mut own) = lab.connect(&packet("3", 1, ProtocolVersion::V4));
        arrived(&mut own);
        other.write_all(&[7; 30]).unwrap();
        assert!(arrived(&mut own).is_empty(), "it may become a packet");
        drop(other);
        assert_eq!(arrived(&mut own), [7; 30]);
    }

    #[test]
    fn learn_connections_have_the_rule_of_who_asks() {
        let lab = Lab::new();
        lab.network.set("1", "2", |link| link.cut = true);
        for (from, comes) in [("1", false), ("3", true)] {
            let question = packet(from, 9, ProtocolVersion::V6)[20..].to_vec();
            let mut peer = TcpStream::connect(lab.advertised.learn_address()).unwrap();
            peer.write_all(&question).unwrap();
            let (mut own, _) = lab.learn.accept().unwrap();
            own.set_read_timeout(Some(SOON)).unwrap();
            assert_eq!(arrived(&mut own) == question, comes, "{from}");
        }
    }

    #[test]
    fn nobody_behind_the_proxy_is_the_end_of_the_connection() {
        let lab = Lab::new();
        drop((lab.real, lab.learn));
        let mut peer = TcpStream::connect(lab.advertised.address).unwrap();
        peer.write_all(&packet("1", 1, ProtocolVersion::V4)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(matches!(peer.read(&mut [0; 10]), Ok(0) | Err(_)));
        let twice = Network::default().add(&lab.advertised, &lab.advertised);
        assert!(twice.unwrap_err().to_string().contains("proxy of replica 2"), "its port is taken");
    }
}
