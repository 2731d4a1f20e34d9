//! Connections to peers: opened when needed, one per address, resent after a break, given up after the timeout.

use super::*;
use crate::net::PeerHealth;
use crate::wire::{Join, LogRange};

fn health(host: &Host) -> PeerHealth {
    host.net.health()[0]
}

/// [WIRE-3] [WIRE-7] [WIRE-13] [WIRE-14] [WIRE-21] [PROTO-39] [PROTO-40]: the connection is opened by the first
/// packet, from the own address, once per address, and carries the packets in order.
#[test]
fn one_connection_per_address_opened_when_needed() {
    let mut host = Host::start(ip(51));
    let (peer, address) = listener(ip(52));
    host.net.set_peers(1, &[node(2, address), node(3, address)]);
    host.run(QUIET);
    assert_eq!(host.net.stats().connected, 0);
    let sent = [vote(1, 100), query(2), vote(3, 200_000)];
    for message in &sent {
        host.net.send(host.now(), Destination::AllPeers, message).unwrap();
    }
    host.flush();
    let mut stream = accept(&mut host, &peer);
    let remote = v4(stream.peer_addr().unwrap());
    assert_eq!(*remote.ip(), ip(51));
    assert_ne!(remote.port(), host.address().port());
    // Two members share the address: each gets its own copy.
    let expected: Vec<u8> = sent.iter().flat_map(|m| [packet(m), packet(m)].concat()).collect();
    assert!(receive(&mut host, &mut stream, expected.len()) == expected);
    host.until("completion", |host| host.net.links().iter().all(|link| link.unsent == 0 && link.connected));
    host.send(Destination::Peer(member(3)), &query(4));
    let expected = packet(&query(4));
    assert_eq!(receive(&mut host, &mut stream, expected.len()), expected);
    assert_eq!(host.net.stats().connected, 1);
}

/// [WIRE-25] [WIRE-26]: after a break everything unconfirmed is sent again over a new connection, in order and from
/// the first byte; confirmed packets are not.
#[test]
fn an_interrupted_packet_is_sent_again_from_its_first_byte() {
    let mut host = Host::start(ip(53));
    let (peer, address) = listener(ip(54));
    host.net.set_peers(1, &[node(2, address)]);
    let (small, big) = (query(1), vote(2, BIG));
    // Made first: it takes seconds in an emulator, and the send timeout runs.
    let expected = packets(&[big.clone(), query(3)]);
    for message in [&small, &big, &query(3)] {
        host.send(Destination::AllPeers, message);
    }
    let mut stream = accept(&mut host, &peer);
    let first = packet(&small).len() + 1000;
    receive(&mut host, &mut stream, first);
    assert_eq!(host.net.links()[0].unsent, 2);
    drop(stream);
    let mut stream = accept(&mut host, &peer);
    assert!(receive(&mut host, &mut stream, expected.len()) == expected);
    assert_eq!(health(&host).consecutive_failures, 0, "a break is no failure");
    assert_eq!(host.unreachable, [member(2)]);
}

/// [WIRE-26]: with something to send, connecting is tried every 20 ms until it works; with nothing, never.
#[test]
fn connecting_is_retried_while_something_waits() {
    let mut host = Host::start(ip(55));
    let (socket, address) = reserved(ip(56));
    host.net.set_peers(1, &[node(2, address)]);
    host.send(Destination::AllPeers, &query(1));
    host.run(Duration::from_millis(150));
    let attempts = host.net.stats().connect_failures;
    assert!((2..=8).contains(&attempts), "{attempts}");
    assert_eq!(host.unreachable, [member(2)], "reported once per second");
    socket.listen(16).unwrap();
    let peer = TcpListener::from(socket);
    let mut stream = accept(&mut host, &peer);
    let expected = packet(&query(1));
    assert_eq!(receive(&mut host, &mut stream, expected.len()), expected);
    drop((stream, peer));
    host.until("the break", |host| !host.net.links()[0].connected);
    let attempts = host.net.stats().connect_failures;
    host.run(QUIET);
    assert_eq!(host.net.stats().connect_failures, attempts, "nothing to send, nothing tried");
    assert_eq!(host.net.deadline(), None);
}

/// [HARD-26]: a peer that accepts and closes is not stormed.
#[test]
fn a_peer_that_closes_at_once_is_not_stormed() {
    let mut host = Host::start(ip(57));
    let (peer, address) = listener(ip(58));
    peer.set_nonblocking(true).unwrap();
    host.net.set_peers(1, &[node(2, address)]);
    // Too big to be handed over before the close.
    host.send(Destination::AllPeers, &vote(1, BIG));
    let started = std::time::Instant::now();
    let mut accepted = 0;
    while started.elapsed() < Duration::from_millis(200) {
        accepted += u32::from(peer.accept().is_ok());
        host.turn();
    }
    let most = u32::try_from(started.elapsed().as_millis() / 20).unwrap() + 1;
    assert!((2..=most).contains(&accepted), "{accepted} of at most {most}");
    assert_eq!(host.net.links()[0].unsent, 1);
}

/// [WIRE-17] [WIRE-23] [WIRE-24] [WIRE-29] [PROTO-107] [SCN-50]: a packet that is not written in time closes the
/// connection and takes the others along, which is one failure; three in a row mark the peer failed; a send that works
/// heals it.
#[test]
fn a_timeout_closes_the_connection_and_counts_as_failure() {
    let mut host = Host::start(ip(59));
    let (peer, address) = listener(ip(60));
    host.net.set_peers(1, &[node(2, address)]);
    for round in 1..=3 {
        host.send(Destination::AllPeers, &vote(1, BIG));
        let mut stream = accept(&mut host, &peer);
        receive(&mut host, &mut stream, 1000);
        host.skew += Duration::from_millis(3000);
        host.send(Destination::AllPeers, &query(2));
        host.turn();
        assert_eq!(host.net.links()[0].unsent, 2, "just in time");
        assert!(host.net.deadline().unwrap() <= host.now() + Duration::from_millis(2000));
        host.skew += Duration::from_millis(2001);
        host.turn();
        let link = host.net.links()[0];
        assert_eq!((link.unsent, link.connected), (0, false));
        assert!(link.last_send.is_some_and(|at| host.now().since(at) < Duration::from_millis(1900)));
        let stats = host.net.stats();
        assert_eq!((stats.packets_timed_out, stats.packets_aborted), (round, round));
        assert_eq!(u64::from(health(&host).consecutive_failures), round);
        assert_eq!(health(&host).failed_at.is_some(), round == 3);
        host.skew += Duration::from_secs(15);
    }
    host.send(Destination::AllPeers, &query(3));
    accept(&mut host, &peer);
    host.until("the send", |host| host.net.links()[0].connected);
    assert_eq!((health(&host).failed_at, health(&host).consecutive_failures), (None, 0));
}

/// [WIRE-28] [PROTO-105] [WIRE-4]: no more than the allowed packets wait for a peer, nothing for one without address;
/// the others get theirs.
#[test]
fn busy_and_unresolved_peers_are_left_out() {
    let mut host = Host::start(ip(61));
    let (_silent, address) = reserved(ip(62));
    let (working, other) = listener(ip(63));
    let nowhere = node(4, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 20000));
    host.net.set_peers(1, &[node(2, address), node(3, other), nowhere]);
    for decree in 0..15 {
        host.net.send(host.now(), Destination::AllPeers, &query(decree)).unwrap();
        host.flush();
        host.until("the working peer", |host| decree == 0 || host.net.links()[1].unsent == 0);
    }
    let mut stream = accept(&mut host, &working);
    let expected: Vec<u8> = (0..15).flat_map(|decree| packet(&query(decree)).to_vec()).collect();
    assert_eq!(receive(&mut host, &mut stream, expected.len()), expected);
    let unsent: Vec<u32> = host.net.links().iter().map(|link| link.unsent).collect();
    assert_eq!(unsent, [10, 0, 0]);
    assert_eq!(host.net.stats().requests_skipped, 5 + 15);
}

/// [WIRE-10] [PROTO-35]: on an outbound connection only answers are taken; other messages are dropped, the
/// connection stays. [WIRE-9] [PROTO-38]: an answer to an answer goes back the same way.
#[test]
fn only_answers_are_taken_on_outbound_connections() {
    let mut host = Host::start(ip(64));
    let (peer, address) = listener(ip(65));
    host.net.set_peers(1, &[node(2, address)]);
    host.send(Destination::AllPeers, &query(1));
    let mut stream = accept(&mut host, &peer);
    let asked = packet(&query(1)).len();
    receive(&mut host, &mut stream, asked);
    let join = Join { header: header(12), learn_port: 1, log: LogRange::default() };
    let dropped = [
        vote(1, 10),
        Message::Prepare(crate::wire::Prepare { header: header(3), cookie: Bytes::new() }),
        query(6),
        Message::ReconfigurationDecision(header(10)),
    ];
    let taken = [
        Message::VoteAccepted(header(2)),
        Message::NotAccepted(header(5)),
        Message::DefunctConfiguration(header(11)),
        Message::Join(join),
        Message::JoinRequest(header(13)),
    ];
    stream.write_all(&packets(&dropped)).unwrap();
    stream.write_all(&packets(&taken)).unwrap();
    assert_eq!(host.decrees(5), [2, 5, 11, 12, 13]);
    assert_eq!(host.net.stats().unexpected_messages, 4);
    let from = host.messages[0].0;
    assert_eq!((from.direction, from.address), (Direction::Outbound, address));
    let answer = Message::DefunctConfiguration(header(9));
    host.send(Destination::Connection(from.connection), &answer);
    let expected = packet(&answer);
    assert_eq!(receive(&mut host, &mut stream, expected.len()), expected);
    drop(stream);
    host.until("the break", |host| !host.net.links()[0].connected);
    host.send(Destination::Connection(from.connection), &answer);
    assert_eq!(host.net.stats().answers_dropped, 1, "not re-routed to another connection");
}

/// [WIRE-4] [PROTO-158]: nothing is sent to a peer without address; once it is known, packets go there; a new address
/// starts a new record, and packets to the old one bother it no more.
#[test]
fn addresses_arrive_and_change() {
    let mut host = Host::start(ip(66));
    host.net.set_peers(1, &[node(2, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 20000))]);
    host.send(Destination::AllPeers, &query(1));
    assert!(health(&host).needs_resolve);
    assert_eq!(host.net.stats().requests_skipped, 1);
    let (_silent, first) = reserved(ip(67));
    host.net.set_address(member(2), first);
    host.send(Destination::AllPeers, &query(2));
    assert_eq!((host.net.links()[0].ip, host.net.links()[0].unsent), (ip(67), 1));
    let (peer, second) = listener(ip(68));
    host.net.set_address(member(2), second);
    host.net.set_address(member(9), second);
    assert_eq!(host.net.links()[0].unsent, 0);
    host.send(Destination::AllPeers, &query(3));
    let mut stream = accept(&mut host, &peer);
    let expected = packet(&query(3));
    assert_eq!(receive(&mut host, &mut stream, expected.len()), expected);
    // The packet to the old address times out; that is nothing to the new record.
    host.until("the send", |host| host.net.links()[0].connected);
    host.skew += Duration::from_secs(6);
    host.turn();
    assert_eq!(host.net.stats().packets_timed_out, 1);
    assert_eq!(health(&host).consecutive_failures, 0);
    assert_eq!(host.net.deadline(), None, "the old address is forgotten");
    // An unchanged entry keeps what is known, also when others come and go.
    host.net.set_peers(2, &[node(5, first), node(2, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 20000))]);
    assert_eq!(host.net.links()[1].ip, ip(68));
    assert!(host.net.links()[1].connected);
}

/// [WIRE-29]: a message of a failed peer heals it if it is of the current configuration, from the peer's own address,
/// and of a kind that is checked for both.
#[test]
fn a_message_heals_a_failed_peer() {
    let mut host = Host::start(ip(69));
    let (silent, address) = reserved(ip(70));
    let peer = crate::types::Node { id: member(1), ..node(1, address) };
    host.net.set_peers(1, &[peer]);
    for _ in 0..3 {
        host.send(Destination::AllPeers, &query(1));
        host.skew += Duration::from_secs(6);
        host.turn();
    }
    assert!(health(&host).failed_at.is_some());
    let (mut own, mut strange) = (client_from(&host, ip(70)), client_from(&host, ip(71)));
    let later = Header { configuration: 2, ..header(3) };
    own.write_all(&packets(&[Message::NotAccepted(later), query(4)])).unwrap();
    strange.write_all(&packet(&Message::NotAccepted(header(5)))).unwrap();
    host.decrees(3);
    assert!(health(&host).failed_at.is_some());
    own.write_all(&packet(&Message::NotAccepted(header(6)))).unwrap();
    host.decrees(4);
    assert!(health(&host).failed_at.is_none());
    drop(silent);
}
