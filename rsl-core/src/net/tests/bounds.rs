//! Bounds: connections, memory, listeners, alerts.

use super::*;
use crate::net::BindRetry;

fn quick(attempts: u32, pause: u64) -> BindRetry {
    BindRetry { attempts, pause: Duration::from_millis(pause) }
}

/// [WIRE-6] [WIRE-15]: binding is retried the given number of times, ends when the port becomes free, and early when
/// the replica stops. Two services never share a port. The defaults are those of legacy.
#[test]
fn binding_is_retried() {
    assert_eq!(BindRetry::PACKETS, quick(60, 5000));
    assert_eq!(BindRetry::LEARN, quick(120, 1000));
    let mut settings = NetSettings::new(SocketAddrV4::new(ip(31), 0));
    assert_eq!(settings.bind_retry, BindRetry::PACKETS);
    let first = Host::with(settings.clone());
    settings.address = first.address();
    settings.bind_retry = quick(4, 20);
    let started = std::time::Instant::now();
    let error = PacketService::start(settings.clone(), &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(started.elapsed() >= Duration::from_millis(60), "four attempts, three pauses");
    settings.bind_retry = quick(1000, 5);
    assert!(PacketService::start(settings.clone(), &AtomicBool::new(true)).is_err(), "stopped");
    let waiting = std::thread::spawn(move || PacketService::start(settings, &AtomicBool::new(false)).is_ok());
    std::thread::sleep(Duration::from_millis(40));
    drop(first);
    assert!(waiting.join().unwrap());
}

/// [WIRE-6]: hundreds of connections wait in the backlog, where the usual 128 would overflow.
#[test]
fn the_backlog_is_long() {
    let mut host = Host::start(ip(32));
    let address = host.address().into();
    let connect = |_| TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    let clients: Vec<TcpStream> = (0..400).map(connect).collect();
    host.until("all of them", |host| host.net.stats().inbound == 400);
    drop(clients);
    host.until("their end", |host| host.net.stats().inbound == 0);
}

/// [WIRE-2] [WIRE-3]: address 0 means all addresses, for listening and for outbound connections.
#[test]
fn address_zero_listens_everywhere() {
    let mut host = Host::start(Ipv4Addr::UNSPECIFIED);
    let port = host.address().port();
    for last in [1, 33] {
        let mut stream = TcpStream::connect(SocketAddrV4::new(ip(last), port)).unwrap();
        stream.write_all(&packet(&query(1))).unwrap();
    }
    host.decrees(2);
    let (peer, address) = listener(ip(34));
    host.net.set_peers(1, &[node(2, address)]);
    host.send(Destination::AllPeers, &query(1));
    accept(&mut host, &peer);
}

/// [HARD-1]: what a header claims costs nothing; above the total, the connection that holds most is closed, and a
/// stranger's before a peer's.
#[test]
fn memory_follows_the_bytes_received() {
    let mut settings = NetSettings::new(SocketAddrV4::new(ip(35), 0));
    settings.receive_memory = 1_000_000;
    let mut host = Host::with(settings);
    let peer = SocketAddrV4::new(ip(36), 1);
    host.net.set_peers(1, &[node(2, peer)]);
    let claim = [&(100u32 << 20).to_le_bytes()[..], &[0; 16]].concat();
    let mut open = |from: Ipv4Addr, bytes: usize| {
        let mut stream = client_from(&host, from);
        let before = host.net.stats().bytes_received;
        stream.write_all(&claim).unwrap();
        stream.write_all(&vec![0; bytes]).unwrap();
        let expected = before + (claim.len() + bytes) as u64;
        host.until("the bytes", |host| host.net.stats().bytes_received >= expected);
        (stream, host.net.stats())
    };
    let (_one, stats) = open(ip(36), 600_000);
    assert!(stats.receiving < 700_000 && stats.inbound == 1);
    let (_two, stats) = open(ip(1), 100_000);
    assert!(stats.receiving < 800_000 && stats.inbound == 2);
    let (mut three, stats) = open(ip(1), 400_000);
    assert_eq!((stats.inbound, stats.refused), (2, 1));
    assert!(is_closed(&mut host, &mut three), "the largest stranger goes, although the peer holds more");
}

/// [HARD-1]: the number of connections is bounded; a peer displaces a stranger, a stranger nobody.
#[test]
fn connections_are_bounded() {
    let mut settings = NetSettings::new(SocketAddrV4::new(ip(37), 0));
    settings.max_inbound = 2;
    let mut host = Host::with(settings);
    host.net.set_peers(1, &[node(2, SocketAddrV4::new(ip(38), 1))]);
    let mut first = client(&host);
    host.until("the first", |host| host.net.stats().inbound == 1);
    let mut second = client(&host);
    host.until("the second", |host| host.net.stats().inbound == 2);
    let mut third = client(&host);
    assert!(is_closed(&mut host, &mut third));
    let mut peer = client_from(&host, ip(38));
    assert!(is_closed(&mut host, &mut first), "the one that was silent longest");
    assert!(!is_closed(&mut host, &mut second));
    assert!(!is_closed(&mut host, &mut peer));
}

/// [WIRE-50] [WIRE-51] [HARD-2]: the limits count the whole packet; a packet above the alert size is processed.
#[test]
fn limits_count_the_whole_packet() {
    let mut settings = NetSettings::new(SocketAddrV4::new(ip(39), 0));
    assert_eq!(settings.packet_limit, 104_858_624);
    let size = packet(&vote(1, 1000)).len() as u64;
    settings.packet_limit = size;
    settings.alert_size = Some(size - 1);
    let mut host = Host::with(settings);
    let mut stream = client(&host);
    stream.write_all(&packets(&[vote(1, 999), vote(2, 1000)])).unwrap();
    assert_eq!(host.decrees(2), [1, 2]);
    assert_eq!(host.net.stats().alerts, 1, "strictly larger");
    stream.write_all(&packets(&[vote(3, 1001)])).unwrap();
    assert!(is_closed(&mut host, &mut stream));
    assert_eq!(host.decrees(0), [1, 2]);
}

/// [HARD-558]: the limit can be raised for a vote that is in the log already, on old and new connections; it is never
/// lowered.
#[test]
fn the_limit_can_be_raised() {
    let mut settings = NetSettings::new(SocketAddrV4::new(ip(43), 0));
    let size = packet(&vote(1, 1000)).len() as u64;
    settings.packet_limit = size;
    let mut host = Host::with(settings);
    let mut old = client(&host);
    host.until("the connection", |host| host.net.stats().inbound == 1);
    host.net.raise_limit(size + 1000);
    host.net.raise_limit(size);
    old.write_all(&packet(&vote(1, 2000))).unwrap();
    assert_eq!(host.decrees(1), [1]);
    let mut new = client(&host);
    new.write_all(&packet(&vote(2, 2000))).unwrap();
    assert_eq!(host.decrees(2), [1, 2]);
    new.write_all(&packet(&vote(3, 2001))).unwrap();
    assert!(is_closed(&mut host, &mut new));
}

/// [HARD-19]: while accepting fails it is tried again after a pause, without spinning.
#[test]
fn accepting_is_not_tried_without_pause() {
    let mut host = Host::start(ip(40));
    host.turn();
    host.net.accept_ready = true;
    host.net.accept_failed(host.now(), &std::io::Error::other("no descriptors"));
    let mut stream = client(&host);
    let due = host.net.deadline().unwrap();
    assert!(due > host.now() && due <= host.now() + Duration::from_millis(100));
    host.turn();
    assert_eq!(host.net.stats().accepted, 0);
    stream.write_all(&packet(&query(1))).unwrap();
    host.skew += Duration::from_millis(100);
    assert_eq!(host.decrees(1), [1]);
}

/// A connection that sends without end does not keep the others waiting.
#[test]
fn a_busy_connection_does_not_starve_the_others() {
    let mut host = Host::start(ip(41));
    let (mut busy, mut other) = (client(&host), client(&host));
    let flood = packets(&vec![vote(1, 50_000); 20]);
    let writer = std::thread::spawn(move || while busy.write_all(&flood).is_ok() {});
    host.until("the flood", |host| host.net.stats().bytes_received > 4 << 20);
    other.write_all(&packet(&query(77))).unwrap();
    let mut turns = 0;
    host.until("the other", |host| {
        turns += 1;
        host.messages.drain(..).any(|(_, message)| message.header().decree == Decree(77))
    });
    assert!(turns < 50, "{turns}");
    drop(host);
    writer.join().unwrap();
}

/// The waker ends a wait without timeout, also when used before.
#[test]
fn the_waker_ends_a_wait() {
    let mut host = Host::start(ip(42));
    host.turn();
    let waker = host.net.waker();
    waker.wake();
    host.net.wait(None).unwrap();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        waker.wake();
    });
    host.net.wait(None).unwrap();
    thread.join().unwrap();
}
