//! What the contract of the C++ API says of whole replicas: addresses, unknown outcomes, sequence numbers, old versions.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::testing::{Event, Place, Recorder, wait_for};
use super::super::{Cookie, Grouping, Replica, Setup, StartError, StateMachine};
use crate::types::{Decree, MemberSet, Node, ProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(20);

fn members(nodes: &[Node]) -> MemberSet {
    MemberSet { nodes: nodes.to_vec(), ..MemberSet::default() }
}

fn start(setup: Setup) -> Result<(Replica, Arc<Recorder>), StartError> {
    let recorder = Arc::new(Recorder::default());
    Ok((Replica::start(setup, Arc::clone(&recorder) as _)?, recorder))
}

/// The sole member of a place, in a version; primary when this returns.
fn sole(place: &Place, version: ProtocolVersion) -> (Replica, Arc<Recorder>) {
    let node = place.node(0);
    let members = members(std::slice::from_ref(&node));
    let (replica, recorder) =
        start(Setup::new(place.config().build().unwrap(), version, node).members(members)).unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    (replica, recorder)
}

/// A member that proposes nothing by itself, and stands for election only when it is asked to.
fn calm(place: &Place, index: usize, nodes: &[Node]) -> (Replica, Arc<Recorder>) {
    let minute = Duration::from_secs(60);
    let config = place.config().heartbeat_interval(minute).election_delay(minute).build().unwrap();
    start(Setup::new(config, ProtocolVersion::V6, nodes[index].clone()).members(members(nodes))).unwrap()
}

/// Makes it primary.
fn promote(replica: &Replica, recorder: &Recorder) {
    until("the promotion", || {
        replica.attempt_promotion();
        std::thread::sleep(Duration::from_millis(50));
        replica.is_primary()
    });
    wait_for(recorder, |events| events.contains(&Event::Recovered));
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn executed(events: &[Event]) -> Vec<(Vec<u8>, u64)> {
    let one = |event: &Event| match event {
        Event::Executed(_, request, cookie) => Some((request.clone(), *cookie)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

/// [API-13] Packet listener, learn listener and outgoing connections use the address of the own node. With the switch, or
/// where that address is 0, they use all of them.
#[test]
fn the_own_address_is_bound() {
    let other = Ipv4Addr::new(127, 99, 99, 99);
    for (listen_on_all, own_ip_known) in [(false, true), (true, true), (false, false)] {
        let place = Place::new();
        let everywhere = listen_on_all || !own_ip_known;
        let peer = TcpListener::bind((place.ip(1), 0)).unwrap();
        peer.set_nonblocking(true).unwrap();
        let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
        let real = Node { rsl_port: port, ..place.node(0) };
        let node =
            if own_ip_known { real.clone() } else { Node { ip: Ipv4Addr::UNSPECIFIED, ..real.clone() } };
        let second = Node { rsl_port: peer.local_addr().unwrap().port(), ..place.node(1) };
        let setup = Setup::new(place.config().build().unwrap(), ProtocolVersion::V6, node)
            .members(members(&[real, second]))
            .listen_on_all(listen_on_all);
        let (replica, _) = start(setup).unwrap();
        for port in [port, port + 1] {
            TcpStream::connect((place.ip(0), port)).unwrap();
            let elsewhere = TcpStream::connect(SocketAddrV4::new(other, port));
            assert_eq!(elsewhere.is_ok(), everywhere, "port {port}: {elsewhere:?}");
        }
        let mut source = None;
        until("a connection to the peer", || peer.accept().map(|(_, from)| source = Some(from.ip())).is_ok());
        // An unbound connection to a loopback address comes from that address or 127.0.0.1, as the system likes.
        assert_eq!(source == Some(place.ip(0).into()), !everywhere, "{source:?}");
        replica.unload();
    }
}

/// [API-73] A request that was aborted may be executed all the same, later and without its cookie: its vote was in a log.
#[test]
fn an_aborted_request_may_be_executed_later() {
    let place = Place::new();
    let nodes = [place.node(0), place.node(1)];
    let (first, seen) = calm(&place, 0, &nodes);
    let (second, other) = calm(&place, 1, &nodes);
    promote(&first, &seen);
    second.pause();
    first.replicate(&b"in doubt"[..], Cookie(5), Grouping::Batched).unwrap();
    until("the vote in the log", || {
        first.status().unwrap().accepted.decree > first.highest_passed_sequence_number()
    });
    first.unload();
    assert!(seen.events().contains(&Event::Aborted(3, 5)), "{:?}", seen.events());
    assert_eq!(executed(&seen.events()), []);
    second.resume();
    let (again, seen) = calm(&place, 0, &nodes);
    promote(&again, &seen);
    // What the primary executed the other learns with the next vote.
    again.replicate(&b"next"[..], Cookie(6), Grouping::Batched).unwrap();
    wait_for(&seen, |events| executed(events) == [(b"in doubt".to_vec(), 0), (b"next".to_vec(), 6)]);
    wait_for(&other, |events| executed(events) == [(b"in doubt".to_vec(), 0)]);
    again.unload();
    second.unload();
}

/// [API-103] [API-26] The sequence number never falls while a replica runs; after a restart it is one lower, until an election
/// confirms the newest logged vote. What is in the directory is logs, checkpoints, `Temp`, and files of ours that match
/// no pattern of legacy's.
#[test]
fn the_sequence_number_falls_by_a_restart_only() {
    let place = Place::new();
    let node = place.node(0);
    let (replica, recorder) = calm(&place, 0, std::slice::from_ref(&node));
    promote(&replica, &recorder);
    let (watched, done) = (replica.clone(), Arc::new(AtomicBool::new(false)));
    let is_done = Arc::clone(&done);
    let watcher = std::thread::spawn(move || {
        let mut last = Decree::ZERO;
        loop {
            // Once more after the end, however late this thread gets its turn.
            let is_last = is_done.load(Ordering::Relaxed);
            let now = watched.current_sequence_number();
            assert!(now >= last, "{now} after {last}");
            last = now;
            if is_last {
                return last;
            }
        }
    });
    for cookie in 1..=200 {
        let request = if cookie % 60 == 0 { &b"save"[..] } else { b"x" };
        replica.replicate(request, Cookie(cookie), Grouping::Exclusive).unwrap();
    }
    wait_for(&recorder, |events| executed(events).len() == 200);
    let reached = replica.current_sequence_number();
    replica.unload();
    done.store(true, Ordering::Relaxed);
    assert_eq!(watcher.join().unwrap(), reached);
    let data = place.path().join("101");
    let mut names: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| crate::format::FileName::parse(name).is_none());
    names.sort();
    assert!(names.contains(&"Temp".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| crate::format::is_foreign(name)), "{names:?}");
    std::fs::write(data.join("Temp/left.tmp"), b"over").unwrap();

    let (replica, recorder) = calm(&place, 0, &[node]);
    assert_eq!(replica.current_sequence_number(), reached.previous());
    assert!(!data.join("Temp/left.tmp").exists());
    promote(&replica, &recorder);
    assert!(replica.current_sequence_number() >= reached);
    replica.unload();
}

/// [API-122] Versions 1 and 2 store no members: without a list a directory of theirs does not start, in whatever version. Once
/// a checkpoint of version 3 is there, it says them, and the list is not needed any more.
#[test]
fn leaving_version_2_takes_a_checkpoint_of_version_3() {
    let place = Place::new();
    let (replica, recorder) = sole(&place, ProtocolVersion::V2);
    replica.replicate(&b"save"[..], Cookie(1), Grouping::Batched).unwrap();
    wait_for(&recorder, |events| events.iter().any(|event| matches!(event, Event::Saved(_))));
    replica.unload();
    let without_list = || {
        let config = place.config().build().unwrap();
        start(Setup::new(config, ProtocolVersion::V4, place.node(0)))
    };
    assert!(matches!(without_list(), Err(StartError::NoMemberSet)));

    let (replica, recorder) = sole(&place, ProtocolVersion::V3);
    replica.replicate(&b"x"[..], Cookie(2), Grouping::Batched).unwrap();
    wait_for(&recorder, |events| executed(events).contains(&(b"x".to_vec(), 2)));
    replica.unload();
    assert!(matches!(without_list(), Err(StartError::NoMemberSet)), "votes do not say the members");

    let (replica, recorder) = sole(&place, ProtocolVersion::V3);
    replica.replicate(&b"save"[..], Cookie(3), Grouping::Batched).unwrap();
    wait_for(&recorder, |events| events.iter().any(|event| matches!(event, Event::Saved(_))));
    replica.unload();
    let (replica, recorder) = without_list().unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    assert_eq!(replica.configuration(), (1, Arc::new(members(&[place.node(0)]))));
    replica.unload();
}

/// [API-47] A port that is taken does not fail the start: it waits for it.
#[test]
fn a_start_waits_for_its_ports() {
    let place = Place::new();
    let node = place.node(0);
    let taken = TcpListener::bind((node.ip, node.effective_learn_port())).unwrap();
    let holding = Duration::from_millis(700);
    let holder = std::thread::spawn(move || {
        std::thread::sleep(holding);
        drop(taken);
    });
    let began = Instant::now();
    let config = place.config().build().unwrap();
    let list = members(std::slice::from_ref(&node));
    let (replica, recorder) = start(Setup::new(config, ProtocolVersion::V6, node).members(list)).unwrap();
    let took = began.elapsed();
    assert!(took >= holding && took < Duration::from_secs(10), "{took:?}");
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    holder.join().unwrap();
    replica.unload();
}

/// [HARD-550] A directory is replayed while its replica runs.
#[test]
fn a_directory_in_use_is_replayed() {
    let place = Place::new();
    let (replica, recorder) = sole(&place, ProtocolVersion::V6);
    for request in [&b"a"[..], b"b"] {
        replica.replicate(request, Cookie(1), Grouping::Exclusive).unwrap();
    }
    wait_for(&recorder, |events| executed(events).len() == 2);
    let seen = Arc::new(Recorder::default());
    let machine: Arc<dyn StateMachine> = Arc::clone(&seen) as _;
    let replayed = Replica::replay(&place.path().join("101"), Decree(u64::MAX), &machine).unwrap();
    assert!(replayed.current_sequence_number() > Decree::ZERO);
    assert_eq!(executed(&seen.events())[0], (b"a".to_vec(), 0));
    replica.replicate(&b"c"[..], Cookie(2), Grouping::Batched).unwrap();
    wait_for(&recorder, |events| executed(events).contains(&(b"c".to_vec(), 2)));
    replica.unload();
}
