//! Connections that peers opened: what closes them, what is dropped, where answers go.

use super::*;
use crate::net::connection::Closed;
use crate::wire::{Bootstrap, Join, LogRange, Prepare, PrepareAccepted, StatusResponse};

/// A client that has sent `bytes`; returns whether its connection was closed, and the decrees that were delivered.
fn reaction(host: &mut Host, bytes: &[u8]) -> (bool, Vec<u64>) {
    host.messages.clear();
    let mut stream = client(host);
    stream.write_all(bytes).unwrap();
    let closed = is_closed(host, &mut stream);
    (closed, host.decrees(0))
}

/// [WIRE-17] [WIRE-48] [WIRE-49] [WIRE-50] [PROTO-37] [SCN-49]: a malformed packet closes the connection at once, and
/// no later byte is looked at; packets before it are processed.
#[test]
fn a_malformed_packet_closes_the_connection() {
    let mut host = Host::start(ip(11));
    let good = packet(&query(1));
    let mut wrong_sum = packet(&query(2)).to_vec();
    wrong_sum[12] ^= 1;
    let claims = |size: u32| [&size.to_le_bytes()[..], &[0; 16]].concat();
    let limit = 100 * 1_048_576 + 1024;
    for bad in [claims(0), claims(19), claims(limit + 1), claims(u32::MAX), wrong_sum] {
        let before = host.net.stats().malformed_packets;
        let bytes = [&good[..], &bad, &good].concat();
        assert_eq!(reaction(&mut host, &bytes), (true, vec![1]), "{:?}", &bad[..4]);
        assert_eq!(host.net.stats().malformed_packets, before + 1);
    }
    assert_eq!(reaction(&mut host, &claims(limit)), (false, vec![]), "the largest size is waited for");
}

/// [WIRE-12] [WIRE-18] [WIRE-52] [PROTO-36] [SCN-49]: a malformed message in a good packet is dropped, the connection
/// goes on; surplus bytes behind a message are ignored.
#[test]
fn a_malformed_message_is_dropped_alone() {
    let mut host = Host::start(ip(12));
    let message = query(1).encode().unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut message = message.to_vec();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    let mut bad = vec![
        Vec::new(),
        b"garbage".to_vec(),
        message[..100].to_vec(),
        changed(0, &[7, 0]),
        changed(0, &[0, 0]),
        changed(2, &[17, 0, 0, 0]),
        changed(14, &[0; 4]),
    ];
    bad.extend([0u16, 8, 9, 15, 99, 0xFFFF].map(|id| changed(18, &id.to_le_bytes())));
    let count = bad.len() as u64;
    let mut stream = Vec::new();
    for bytes in bad {
        stream.extend_from_slice(&encode_packet(&bytes).unwrap());
    }
    stream.extend_from_slice(&packet(&query(5)));
    stream.extend_from_slice(&encode_packet(&[&message[..], b"surplus"].concat()).unwrap());
    assert_eq!(reaction(&mut host, &stream), (false, vec![5, 1]));
    assert_eq!(host.net.stats().malformed_messages, count);
}

/// [WIRE-20] [WIRE-46]: packets may be split and coalesced anywhere; the two zero words may hold anything.
#[test]
fn packets_may_be_split_and_coalesced() {
    let mut host = Host::start(ip(13));
    let mut bytes = packets(&[query(1), vote(2, 3000), query(3)]);
    let mut stream = client(&host);
    for byte in &bytes[..200] {
        stream.write_all(&[*byte]).unwrap();
        host.net.wait(Some(Duration::ZERO)).unwrap();
        host.turn();
    }
    stream.write_all(&bytes[200..]).unwrap();
    assert_eq!(host.decrees(3), [1, 2, 3]);
    let first = packet(&query(1)).len();
    bytes.truncate(first);
    bytes[4..12].copy_from_slice(&[7, 0, 0, 0, 0xCD, 0xAB, 0, 0]);
    bytes[12..20].fill(0);
    let sum = crate::wire::checksum(&bytes);
    bytes[12..20].copy_from_slice(&sum.to_le_bytes());
    stream.write_all(&bytes).unwrap();
    assert_eq!(host.decrees(4), [1, 2, 3, 1]);
}

/// [WIRE-11] [PROTO-35]: an inbound connection carries every parseable message, answers too, in arrival order
/// [WIRE-99].
#[test]
fn an_inbound_connection_carries_every_message() {
    let mut host = Host::start(ip(14));
    let Message::Vote(inner) = vote(4, 10) else { unreachable!() };
    let response = StatusResponse {
        header: header(7),
        query: header(1).position(),
        last_received_ago: 0,
        log: LogRange::default(),
        max_ballot: Ballot::default(),
        state: 2,
    };
    let members = crate::types::MemberSet { nodes: vec![node(1, host.address())], cookie: Bytes::new() };
    let all = [
        vote(1, 10),
        Message::VoteAccepted(header(2)),
        Message::Prepare(Prepare { header: header(3), cookie: Bytes::new() }),
        Message::PrepareAccepted(PrepareAccepted { header: header(4), vote: inner }),
        Message::NotAccepted(header(5)),
        query(6),
        Message::StatusResponse(response),
        Message::ReconfigurationDecision(header(10)),
        Message::DefunctConfiguration(header(11)),
        Message::Join(Join { header: header(12), learn_port: 1, log: LogRange::default() }),
        Message::JoinRequest(header(13)),
        Message::Bootstrap(Bootstrap { header: header(14), members }),
    ];
    let mut stream = client(&host);
    stream.write_all(&packets(&all)).unwrap();
    host.decrees(all.len());
    let received: Vec<&Message> = host.messages.iter().map(|(_, message)| message).collect();
    assert_eq!(received, all.iter().collect::<Vec<_>>());
    let origin = host.messages[0].0;
    assert_eq!(origin.direction, Direction::Inbound);
    assert_eq!(origin.address, v4(stream.local_addr().unwrap()));
}

/// [WIRE-17] [WIRE-19] [WIRE-27]: a half close by the peer ends both directions; what was not written is lost.
#[test]
fn a_half_close_closes_both_directions() {
    let mut host = Host::start(ip(15));
    let mut stream = client(&host);
    stream.write_all(&packet(&query(1))).unwrap();
    host.decrees(1);
    let from = host.messages[0].0;
    // More than fits into the socket, so that something is queued when the end comes.
    for decree in 0..3 {
        host.send(Destination::Connection(from.connection), &vote(decree, BIG));
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    host.until("the close", |host| host.net.stats().inbound == 0);
    assert!(host.net.stats().answers_dropped > 0);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(rest.len() < 3 * BIG, "{ended:?}");
}

/// [WIRE-17]: the end is noticed although it arrived together with the last bytes, and those are processed.
#[test]
fn an_end_behind_the_last_bytes_is_noticed() {
    let mut host = Host::start(ip(24));
    let mut early = client(&host);
    early.write_all(&packet(&query(1))).unwrap();
    drop(early);
    host.until("the end", |host| host.net.stats().accepted == 1 && host.net.stats().inbound == 0);
    assert_eq!(host.decrees(1), [1]);
    let mut late = client(&host);
    host.until("the connection", |host| host.net.stats().inbound == 1);
    host.run(QUIET);
    late.write_all(&packet(&query(2))).unwrap();
    drop(late);
    host.until("the end", |host| host.net.stats().inbound == 0);
    assert_eq!(host.decrees(2), [1, 2]);
}

/// [WIRE-8] [WIRE-9] [PROTO-38]: an answer takes the connection of the question, and is dropped when that is gone,
/// although another connection of the same host is open.
#[test]
fn answers_go_back_on_the_same_connection_or_nowhere() {
    let mut host = Host::start(ip(16));
    let (mut first, mut second) = (client(&host), client(&host));
    first.write_all(&packet(&query(1))).unwrap();
    second.write_all(&packet(&query(2))).unwrap();
    host.decrees(2);
    for (from, message) in std::mem::take(&mut host.messages) {
        let answer = Message::NotAccepted(*message.header());
        host.send(Destination::Connection(from.connection), &answer);
        host.messages.push((from, message));
    }
    for (stream, decree) in [(&mut first, 1), (&mut second, 2)] {
        let expected = packet(&Message::NotAccepted(header(decree)));
        assert_eq!(receive(&mut host, stream, expected.len()), expected);
    }
    let gone = host.messages.iter().find(|(_, message)| message.header().decree == Decree(1)).unwrap().0;
    drop(first);
    host.until("the close", |host| host.net.stats().inbound == 1);
    host.send(Destination::Connection(gone.connection), &Message::NotAccepted(header(1)));
    host.run(QUIET);
    assert_eq!(host.net.stats().answers_dropped, 1);
    second.set_nonblocking(true).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// [WIRE-16]: the second connection from one address is closed at once, the older one is kept.
#[test]
fn the_older_connection_of_an_address_wins() {
    let mut host = Host::start(ip(17));
    let mut old = client(&host);
    old.write_all(&packet(&query(1))).unwrap();
    host.decrees(1);
    let remote = v4(old.local_addr().unwrap());
    // TCP hands out such a pair only when the old one is dead without our knowing.
    let (other, address) = listener(ip(17));
    let mut new = TcpStream::connect(address).unwrap();
    let accepted = mio::net::TcpStream::from_std(other.accept().unwrap().0);
    host.net.admit(host.now(), accepted, remote);
    new.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(new.read(&mut [0]).unwrap(), 0, "closed at once");
    assert_eq!((host.net.stats().refused, host.net.stats().inbound), (1, 1));
    old.write_all(&packet(&query(2))).unwrap();
    assert_eq!(host.decrees(2), [1, 2]);
}

/// [WIRE-17] [WIRE-102] [HARD-23]: a stranger's connection is closed on demand, no other and no outbound one.
#[test]
fn disconnect_closes_one_inbound_connection() {
    let mut host = Host::start(ip(18));
    let (peer, address) = listener(ip(19));
    host.net.set_peers(1, &[node(2, address)]);
    host.send(Destination::AllPeers, &query(1));
    let mut outbound = accept(&mut host, &peer);
    outbound.write_all(&packet(&Message::VoteAccepted(header(7)))).unwrap();
    let (mut first, mut second) = (client(&host), client(&host));
    first.write_all(&packet(&query(8))).unwrap();
    host.decrees(2);
    for (from, _) in host.messages.clone() {
        host.net.disconnect(from.connection);
    }
    assert!(is_closed(&mut host, &mut first));
    assert!(!is_closed(&mut host, &mut second));
    assert!(!is_closed(&mut host, &mut outbound), "outbound connections are left alone");
}

/// [WIRE-23] [WIRE-24]: an answer that is not written in time is dropped, its connection stays.
#[test]
fn a_late_answer_is_dropped_and_the_connection_kept() {
    let mut host = Host::start(ip(20));
    let mut stream = client(&host);
    stream.write_all(&packet(&query(1))).unwrap();
    host.decrees(1);
    let to = Destination::Connection(host.messages[0].0.connection);
    let (big, small) = (vote(1, BIG), Message::NotAccepted(header(2)));
    // Made first: it takes seconds in an emulator, and the send timeout runs.
    let expected = packets(&[big.clone(), Message::NotAccepted(header(3))]);
    host.send(to, &big);
    host.send(to, &small);
    host.skew += Duration::from_secs(6);
    host.turn();
    assert_eq!(host.net.stats().packets_timed_out, 2);
    host.send(to, &Message::NotAccepted(header(3)));
    // The rest of the packet that was begun still comes first, the other late one is gone.
    assert!(receive(&mut host, &mut stream, expected.len()) == expected);
    assert_eq!(host.net.stats().inbound, 1);
}

/// [WIRE-14] [WIRE-15] [PROTO-40]: no idle timeout, no keep-alive, no delay, no lingering, in both directions.
#[test]
fn connections_stay_open_and_undelayed() {
    let mut host = Host::start(ip(21));
    let (peer, address) = listener(ip(22));
    host.net.set_peers(1, &[node(2, address)]);
    host.send(Destination::AllPeers, &query(1));
    let mut outbound = accept(&mut host, &peer);
    let mut inbound = client(&host);
    inbound.write_all(&packet(&query(1))).unwrap();
    host.decrees(1);
    let options = host.net.socket_options();
    assert_eq!(options.len(), 2);
    for option in options {
        assert_eq!(option, (true, false, None));
    }
    host.skew += Duration::from_secs(24 * 3600);
    assert!(!is_closed(&mut host, &mut inbound));
    assert!(!is_closed(&mut host, &mut outbound));
    assert_eq!(host.net.deadline(), None, "nothing to be done");
}

/// [HARD-24]: a connection that met itself is given up.
#[test]
fn a_connection_to_itself_is_refused() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddrV4::new(ip(23), 0).into()).unwrap();
    let own = v4(socket.local_addr().unwrap().as_socket().unwrap());
    socket.connect(&own.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let poll = mio::Poll::new().unwrap();
    let socket = mio::net::TcpStream::from_std(socket.into());
    let direction = Direction::Outbound;
    let mut connection = super::super::connection::Connection::new(
        socket,
        poll.registry(),
        mio::Token(2),
        direction,
        own,
        1024,
    )
    .unwrap();
    assert!(matches!(connection.finish_connecting(), Err(Closed::Itself)));
}
