//! Services that talk to each other, as replicas do.

use super::*;

/// [WIRE-7] [WIRE-8]: requests on the asker's connection, answers on the same, two connections per pair.
#[test]
fn three_services_ask_and_answer() {
    let mut hosts: Vec<Host> = (81..84).map(|last| Host::start(ip(last))).collect();
    let nodes: Vec<Node> = hosts.iter().zip(1..).map(|(host, id)| node(id, host.address())).collect();
    for (host, own) in hosts.iter_mut().zip(&nodes) {
        let peers: Vec<Node> = nodes.iter().filter(|node| node.id != own.id).cloned().collect();
        host.net.set_peers(1, &peers);
        host.send(Destination::AllPeers, &vote(u64::from(own.rsl_port), 100));
    }
    let mut answers = 0;
    let end = std::time::Instant::now() + PATIENCE;
    while answers < 6 {
        assert!(std::time::Instant::now() < end, "{answers} answers");
        for host in &mut hosts {
            host.turn();
            for (from, message) in std::mem::take(&mut host.messages) {
                if matches!(message, Message::Vote(_)) {
                    let answer = Message::VoteAccepted(*message.header());
                    host.send(Destination::Connection(from.connection), &answer);
                } else {
                    assert_eq!(message.header().decree, Decree(u64::from(host.address().port())));
                    assert_eq!(from.direction, Direction::Outbound);
                    answers += 1;
                }
            }
        }
    }
    for host in &hosts {
        let stats = host.net.stats();
        assert_eq!((stats.inbound, stats.connected, stats.packets_sent), (2, 2, 4));
    }
}

/// [WIRE-17]: when the service stops, its connections are closed.
#[test]
fn stopping_closes_everything() {
    let (mut stopping, mut other) = (Host::start(ip(84)), Host::start(ip(85)));
    stopping.net.set_peers(1, &[node(2, other.address())]);
    other.net.set_peers(1, &[node(1, stopping.address())]);
    stopping.send(Destination::AllPeers, &query(1));
    other.send(Destination::AllPeers, &query(2));
    stopping.until("the message", |host| {
        other.turn();
        !host.messages.is_empty() && !other.messages.is_empty()
    });
    drop(stopping);
    other.until("the ends", |host| host.net.stats().inbound == 0 && !host.net.links()[0].connected);
}

/// [HARD-13]: a message that its version cannot say is refused when it is submitted; nothing is sent.
#[test]
fn what_cannot_be_said_is_refused() {
    let mut host = Host::start(ip(86));
    let (_peer, address) = listener(ip(87));
    host.net.set_peers(1, &[node(2, address)]);
    let name = "alpha".parse().unwrap();
    let message = Message::NotAccepted(Header { version: ProtocolVersion::V3, member: name, ..header(1) });
    assert!(host.net.send(host.now(), Destination::AllPeers, &message).is_err());
    assert_eq!(host.net.links()[0].unsent, 0);
}
