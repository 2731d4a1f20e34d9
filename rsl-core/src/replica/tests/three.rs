//! Three replicas in one process: leadership changes hands, and every cookie comes back once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::{Event, Place, Recorder};
use super::super::{Cookie, Grouping, Replica, Setup};
use crate::engine::{Role, StopReason};
use crate::types::{MemberSet, Node, ProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(30);

struct Trio {
    replicas: Vec<(Replica, Arc<Recorder>)>,
    // Dropped last.
    _place: Place,
}

impl Trio {
    fn start(version: ProtocolVersion) -> Trio {
        let place = Place::new();
        let nodes: Vec<Node> = (0..3).map(|index| place.node(index)).collect();
        let start = |node: &Node| {
            let recorder = Arc::new(Recorder::default());
            let members = MemberSet { nodes: nodes.clone(), ..MemberSet::default() };
            let setup = Setup::new(place.config().build().unwrap(), version, node.clone()).members(members);
            (Replica::start(setup, Arc::clone(&recorder) as _).unwrap(), recorder)
        };
        Trio { replicas: nodes.iter().map(start).collect(), _place: place }
    }

    /// A primary other than `not`.
    fn leader(&self, not: Option<usize>) -> Option<usize> {
        (0..3).find(|index| Some(*index) != not && self.replicas[*index].0.is_primary())
    }

    /// Waits for a primary other than `not`.
    fn primary(&self, not: Option<usize>) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = self.leader(not) {
                return index;
            }
            assert!(Instant::now() < deadline, "no primary");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn executed(&self, index: usize) -> Vec<(u64, Vec<u8>)> {
        let executed = |event| match event {
            Event::Executed(decree, request, _) => Some((decree, request)),
            _ => None,
        };
        self.replicas[index].1.events().into_iter().filter_map(executed).collect()
    }

    fn unload(&self) {
        self.replicas.iter().for_each(|(replica, _)| replica.unload());
    }
}

/// What became of the cookies of one replica, in the order of its callbacks: executed and aborted ones.
fn cookies(events: &[Event]) -> (Vec<u64>, Vec<u64>) {
    let (mut executed, mut aborted) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Executed(_, _, cookie) if *cookie > 0 => executed.push(*cookie),
            Event::Aborted(_, cookie) => aborted.push(*cookie),
            _ => {}
        }
    }
    (executed, aborted)
}

/// [API-65] [API-70] [API-80] [API-105] [API-67] [PROTO-131] [PROTO-12] [SCN-13] While requests are submitted all the
/// time, leadership moves four times. Every accepted cookie comes back exactly once; none comes between a demotion and
/// the next promotion; all replicas execute the same requests at the same decrees.
#[test]
fn every_cookie_comes_back_once_while_leadership_moves() {
    let trio = Trio::start(ProtocolVersion::V6);
    let mut accepted = vec![Vec::new(); 3];
    let mut next = 1;
    let mut primary = trio.primary(None);
    for _ in 0..5 {
        let target = (primary + 1) % 3;
        let mut promote_at = Instant::now() + Duration::from_millis(60);
        let deadline = Instant::now() + PATIENCE;
        // The old primary is fed until another one leads.
        while trio.leader(Some(primary)).is_none() {
            assert!(Instant::now() < deadline, "the primary is not deposed");
            let request = format!("request {next}").into_bytes();
            if trio.replicas[primary].0.replicate(request, Cookie(next), Grouping::Batched).is_ok() {
                accepted[primary].push(next);
                next += 1;
            }
            // An attempt may be lost [PROTO-122].
            if Instant::now() >= promote_at {
                trio.replicas[target].0.attempt_promotion();
                promote_at += Duration::from_millis(300);
            }
            if next % 8 == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        primary = trio.primary(Some(primary));
    }
    // Everything chosen reaches everybody: an empty decree of the last primary passes what came before.
    let deadline = Instant::now() + PATIENCE;
    while !(0..3).all(|index| trio.executed(index).len() == trio.executed(0).len()) {
        assert!(Instant::now() < deadline, "the replicas do not agree");
        std::thread::sleep(Duration::from_millis(50));
    }
    trio.unload();
    for (index, accepted) in accepted.iter().enumerate() {
        let events = trio.replicas[index].1.events();
        let (executed, aborted) = cookies(&events);
        assert!(executed.is_sorted(), "in order of acceptance");
        let mut all = [executed, aborted].concat();
        all.sort_unstable();
        assert_eq!(all, *accepted, "replica {index}");
        let mut is_primary = false;
        for event in &events {
            match event {
                Event::Status(primary) => {
                    assert_ne!(*primary, is_primary, "only changes are notified [API-79]");
                    is_primary = *primary;
                }
                Event::Executed(_, _, cookie) if *cookie > 0 => assert!(is_primary),
                Event::Aborted(_, _) => assert!(is_primary),
                _ => {}
            }
        }
        assert_eq!(events.last(), Some(&Event::ShutDown));
    }
    // The end may catch one replica a little earlier than another.
    let histories: Vec<_> = (0..3).map(|index| trio.executed(index)).collect();
    let common = histories.iter().map(Vec::len).min().unwrap_or(0);
    assert!(common > 0);
    for history in &histories {
        assert!(history[..common] == histories[0][..common], "one history");
    }
}

/// [SCN-29] [API-86] [PROTO-113] [PROTO-114] [PROTO-168] A primary that relinquishes ends with its reason and the
/// callbacks of section 22.6; another one leads at once, and nothing is lost.
#[test]
fn a_relinquishing_primary_is_succeeded_at_once() {
    let trio = Trio::start(ProtocolVersion::V6);
    let primary = trio.primary(None);
    let (replica, recorder) = &trio.replicas[primary];
    replica.replicate(&b"before"[..], Cookie(1), Grouping::Batched).unwrap();
    super::super::testing::wait_for(recorder, |events| events.contains(&Event::After));
    let asked = Instant::now();
    replica.relinquish_primary();
    let successor = trio.primary(Some(primary));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "sooner than any election delay: {took:?}");
    assert_eq!(replica.wait(), Some(StopReason::Relinquished));
    let events = recorder.events();
    assert_eq!(events.last(), Some(&Event::ShutDown));
    assert!(!events.contains(&Event::Status(false)));
    let (replica, recorder) = &trio.replicas[successor];
    replica.replicate(&b"after"[..], Cookie(2), Grouping::Batched).unwrap();
    super::super::testing::wait_for(recorder, |events| {
        events.iter().any(|event| matches!(event, Event::Executed(_, request, 2) if request == b"after"))
    });
    let requests: Vec<Vec<u8>> = trio.executed(successor).into_iter().map(|(_, request)| request).collect();
    assert_eq!(requests, [b"before".to_vec(), b"after".to_vec()]);
    trio.unload();
}

/// [PROTO-185] [API-28] [HARD-523] [API-84] A primary lists the peers in configuration order, then itself, with the
/// payload of their vote answers; nobody else lists anything. [SCN-48] is for processes.
#[test]
fn a_primary_knows_its_peers() {
    let trio = Trio::start(ProtocolVersion::V6);
    let primary = trio.primary(None);
    for (index, (replica, _)) in trio.replicas.iter().enumerate() {
        replica.set_vote_payload(1000 + index as u64);
    }
    let (replica, _) = &trio.replicas[primary];
    let deadline = Instant::now() + PATIENCE;
    let health = loop {
        replica.replicate(&b"x"[..], Cookie::NONE, Grouping::Batched).unwrap();
        let health = replica.replicas_information();
        if health.len() == 3 && health.iter().all(|member| member.last_vote_payload >= 1000) {
            break health;
        }
        assert!(Instant::now() < deadline, "{health:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let ids: Vec<_> = trio.replicas.iter().map(|(replica, _)| replica.node().id).collect();
    let mut expected: Vec<_> = ids.iter().copied().filter(|id| *id != ids[primary]).collect();
    expected.push(ids[primary]);
    assert_eq!(health.iter().map(|member| member.member).collect::<Vec<_>>(), expected);
    for member in &health {
        assert_eq!(member.is_primary, member.member == ids[primary]);
        assert!(member.connected && member.consecutive_failures == 0 && !member.needs_resolve);
        assert!(member.last_request_voted_at.is_some() && member.failed_at.is_none());
        assert!(member.last_request_voted_decree.0 > 0);
    }
    for (index, (replica, _)) in trio.replicas.iter().enumerate() {
        if index != primary {
            assert_eq!(replica.status().map(|status| status.role), Some(Role::Secondary));
            assert!(replica.replicas_information().is_empty());
        }
        assert_eq!(replica.current_primary().map(|node| node.id), Some(ids[primary]));
    }
    trio.unload();
}
