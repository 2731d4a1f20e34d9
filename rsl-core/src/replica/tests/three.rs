//! Three replicas in one process: leadership changes hands, and every cookie comes back once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::{Event, Place, Recorder, wait_for};
use super::super::{ByteSize, ConfigBuilder, Cookie, Grouping, Replica, Setup};
use crate::engine::{Role, StopReason};
use crate::types::{Decree, MemberSet, ProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Trio {
    pub(super) replicas: Vec<(Replica, Arc<Recorder>)>,
    // Dropped last.
    place: Place,
}

impl Trio {
    fn start(version: ProtocolVersion) -> Trio {
        Trio::with(version, |config| config)
    }

    fn with(version: ProtocolVersion, adjust: fn(ConfigBuilder) -> ConfigBuilder) -> Trio {
        Trio::set_up(version, adjust, |setup| setup)
    }

    pub(super) fn set_up(
        version: ProtocolVersion,
        adjust: fn(ConfigBuilder) -> ConfigBuilder,
        switch: fn(Setup) -> Setup,
    ) -> Trio {
        let place = Place::new();
        let mut trio = Trio { replicas: Vec::new(), place };
        (0..3).for_each(|index| trio.join(index, version, adjust, switch));
        trio
    }

    /// Starts one more.
    fn join(
        &mut self,
        index: u32,
        version: ProtocolVersion,
        adjust: fn(ConfigBuilder) -> ConfigBuilder,
        switch: fn(Setup) -> Setup,
    ) {
        let recorder = Arc::new(Recorder::default());
        let nodes = (0..3).map(|index| self.place.node(index)).collect();
        let members = MemberSet { nodes, ..MemberSet::default() };
        let config = adjust(self.place.config()).build().unwrap();
        let setup = Setup::new(config, version, self.place.node(index)).members(members);
        let replica = Replica::start(switch(setup), Arc::clone(&recorder) as _).unwrap();
        self.replicas.push((replica, recorder));
    }

    /// A primary other than `not`.
    fn leader(&self, not: Option<usize>) -> Option<usize> {
        (0..self.replicas.len()).find(|index| Some(*index) != not && self.replicas[*index].0.is_primary())
    }

    /// Waits for a primary other than `not`.
    pub(super) fn primary(&self, not: Option<usize>) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = self.leader(not) {
                return index;
            }
            assert!(Instant::now() < deadline, "no primary");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn executed(&self, index: usize) -> Vec<(u64, Vec<u8>)> {
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

/// The terms of a replica with what happened in and between them, for reports.
fn terms(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Status(primary) => text += if *primary { " [" } else { "] " },
            Event::Executed(_, _, 0) => text += ".",
            Event::Executed(_, _, cookie) => text += &format!("e{cookie} "),
            Event::Aborted(code, cookie) => text += &format!("a{code}:{cookie} "),
            Event::ShutDown => text += "!",
            _ => {}
        }
    }
    text
}

/// [API-65] [API-70] [API-80] [API-85] [API-105] [API-67] [PROTO-131] [PROTO-12] [SCN-13] While requests are submitted all the
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
                Event::Aborted(code, cookie) => {
                    assert!(is_primary, "abort {code} of {cookie} outside a term: {}", terms(&events));
                }
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
    wait_for(recorder, |events| events.contains(&Event::After));
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
    wait_for(recorder, |events| {
        events.iter().any(|event| matches!(event, Event::Executed(_, request, 2) if request == b"after"))
    });
    let requests: Vec<Vec<u8>> = trio.executed(successor).into_iter().map(|(_, request)| request).collect();
    assert_eq!(requests, [b"before".to_vec(), b"after".to_vec()]);
    trio.unload();
}

/// [PROTO-185] [PROTO-186] [API-28] [API-126] [HARD-523] [HARD-356] [API-84] A primary lists the peers in configuration order, then itself, with the
/// payload of their vote answers; nobody else lists anything.
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

/// [API-83] [API-125] With the configuration switch the flag decides and nobody is asked; what the others do not answer
/// is not chosen until they do [SCN-31].
#[test]
fn the_global_flag_decides_about_answers() {
    let trio = Trio::with(ProtocolVersion::V6, |config| {
        // Resent before anybody stands for election.
        config
            .use_global_accept_flag(true)
            .receive_timeout(Duration::from_secs(1))
            .election_delay(Duration::from_secs(8))
    });
    let primary = trio.primary(None);
    let others: Vec<usize> = (0..3).filter(|index| *index != primary).collect();
    let accept = |yes| {
        for (replica, _) in others.iter().map(|index| &trio.replicas[*index]) {
            replica.set_accept_messages(yes);
            // Taken in the turn that answers the first, so it holds when the second is answered.
            assert!(replica.status().is_some() && replica.status().is_some());
        }
    };
    let (replica, recorder) = &trio.replicas[primary];
    let send = |request: &'static [u8], cookie| {
        replica.replicate(request, Cookie(cookie), Grouping::Batched).unwrap();
    };
    send(b"first", 1);
    wait_for(recorder, |events| cookies(events).0 == [1]);
    accept(false);
    send(b"second", 2);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cookies(&recorder.events()).0, [1]);
    accept(true);
    // Resent votes are answered.
    let deadline = Instant::now() + PATIENCE;
    while cookies(&recorder.events()).0 != [1, 2] {
        assert!(Instant::now() < deadline, "not resent");
        std::thread::sleep(Duration::from_millis(20));
    }
    trio.unload();
}

/// [SCN-53] [API-101] [XFER-26] CopyStateFromReplica: no checkpoint anywhere, an equal one, only older ones, a newer
/// one. [PROTO-183] A secondary serves fast reads.
#[test]
fn a_checkpoint_is_copied_on_request() {
    let trio = Trio::start(ProtocolVersion::V6);
    let primary = trio.primary(None);
    let other = (primary + 1) % 3;
    let copied = |index: usize| {
        let (replica, recorder): &(Replica, Arc<Recorder>) = &trio.replicas[index];
        let count =
            |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Copied(_))).count();
        let before = count(&recorder.events());
        replica.copy_state_from_replica(Cookie(5)).unwrap();
        wait_for(recorder, |events| count(events) > before);
        let last = recorder.events().into_iter().rev().find_map(|event| match event {
            Event::Copied(decree) => Some(decree),
            _ => None,
        });
        last.unwrap()
    };
    let save = |on: &[usize]| {
        let saved = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Saved(_))).count();
        let before: Vec<usize> = on.iter().map(|index| saved(&trio.replicas[*index].1.events())).collect();
        trio.replicas[primary].0.replicate(&b"save"[..], Cookie::NONE, Grouping::Batched).unwrap();
        for (index, before) in on.iter().zip(before) {
            wait_for(&trio.replicas[*index].1, |events| saved(events) > before);
        }
        // The engine hears of it a moment later.
        let deadline = Instant::now() + PATIENCE;
        let current = |index: usize| trio.replicas[index].0.status().unwrap().log_range.checkpointed_decree.0;
        while on.iter().any(|index| current(*index) == 0) {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(50));
        current(primary)
    };
    assert_eq!(copied(primary), 0);
    let first = save(&[0, 1, 2]);
    assert_eq!(copied(primary), first);
    let others = [other, (primary + 2) % 3];
    others.iter().for_each(|index| trio.replicas[*index].0.allow_save_state(false));
    let second = save(&[primary]);
    assert!(second > first);
    assert_eq!(copied(primary), 0);
    // An equal one would do as well, so only the newer one is left to ask for.
    trio.replicas[others[1]].0.unload();
    let _ = trio.replicas[primary].0.take_stats();
    assert_eq!(copied(other), second);
    // [API-30] A file that is served counts as a read.
    let reads = trio.replicas[primary].0.take_stats().log_reads;
    assert!(reads.count >= 1 && reads.bytes >= 512, "{reads:?}");
    // It is offered to others from the next turn on [XFER-27].
    let deadline = Instant::now() + PATIENCE;
    while trio.replicas[other].0.status().unwrap().log_range.checkpointed_decree.0 != second {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let (replica, recorder) = &trio.replicas[other];
    replica.fast_read(Decree(first), &b"r"[..], Cookie(9), Duration::ZERO).unwrap();
    wait_for(recorder, |events| events.contains(&Event::FastRead(9)));
    trio.unload();
}

/// [API-90] [API-91] [API-92] A member that is left out gets the notification, becomes inactive and keeps running; the
/// issuer sees its cookie, then the loss of its role, and the rest elects again.
#[test]
fn a_member_that_is_left_out_becomes_inactive() {
    let trio = Trio::start(ProtocolVersion::V6);
    let primary = trio.primary(None);
    let out = (primary + 1) % 3;
    let (replica, recorder) = &trio.replicas[primary];
    let (number, members) = replica.configuration();
    assert_eq!(number, 1);
    let gone = trio.replicas[out].0.node().id;
    let nodes = members.nodes.iter().filter(|node| node.id != gone).cloned().collect();
    let smaller = MemberSet { nodes, cookie: bytes::Bytes::from_static(b"two") };
    replica.change_configuration(smaller.clone(), Cookie(77)).unwrap();
    wait_for(recorder, |events| events.contains(&Event::Configuration(77)));
    wait_for(&trio.replicas[out].1, |events| events.contains(&Event::Configuration(0)));
    let deadline = Instant::now() + PATIENCE;
    while trio.replicas[out].0.status().unwrap().role != Role::Inactive || trio.leader(Some(out)).is_none() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    for (replica, _) in &trio.replicas {
        assert_eq!(replica.configuration(), (2, Arc::new(smaller.clone())));
    }
    let leader = trio.primary(Some(out));
    trio.replicas[leader].0.replicate(&b"after"[..], Cookie(1), Grouping::Batched).unwrap();
    wait_for(&trio.replicas[leader].1, |events| cookies(events).0 == [1]);
    assert!(recorder.events().contains(&Event::Status(false)));
    trio.unload();
}

/// [PROTO-169] [HARD-321] [HARD-380] With the switch a primary that relinquishes goes on in place: what waited is aborted, the role
/// ends, the state is loaded again without a ShutDown, and the same handle follows the next primary, which it does not
/// try to replace for an election delay.
#[test]
fn a_relinquishing_primary_reloads_in_place() {
    let trio = Trio::set_up(ProtocolVersion::V6, |config| config, |setup| setup.reload_in_place(true));
    let first = trio.primary(None);
    let (replica, recorder) = &trio.replicas[first];
    replica.replicate(b"before".to_vec(), Cookie(1), Grouping::Batched).unwrap();
    wait_for(recorder, |events| cookies(events).0 == [1]);
    replica.set_vote_payload(77);
    replica.relinquish_primary();
    let second = trio.primary(Some(first));
    wait_for(recorder, |events| events.iter().filter(|event| matches!(event, Event::Loaded(_))).count() == 2);
    let events = recorder.events();
    assert!(!events.contains(&Event::ShutDown), "{}", terms(&events));
    let reloaded = events.iter().rposition(|event| matches!(event, Event::Loaded(_))).unwrap();
    let demoted = events.iter().rposition(|event| *event == Event::Status(false)).unwrap();
    assert!(demoted < reloaded, "the role ends first");

    // It takes part again, behind the same handle.
    let (leader, _) = &trio.replicas[second];
    leader.replicate(b"after".to_vec(), Cookie(2), Grouping::Batched).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !trio.executed(first).iter().any(|(_, request)| request == b"after") {
        assert!(Instant::now() < deadline, "the reloaded replica does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = replica.status().unwrap();
    assert_eq!(status.role, Role::Secondary);
    // What was executed before is executed again from the log, at the same decree, without the cookie.
    let before: Vec<_> =
        trio.executed(first).into_iter().filter(|(_, request)| request == b"before").collect();
    assert_eq!((before.len(), before.first()), (2, before.last()));
    assert_eq!(cookies(&recorder.events()).0, [1]);
    trio.unload();
    assert_eq!(replica.wait(), Some(StopReason::Unloaded));
    assert_eq!(recorder.events().last(), Some(&Event::ShutDown));
}

/// [HARD-380] [XFER-24] A replica that is too far behind copies a checkpoint and, with the switch, loads it in place: one handle,
/// StateCopied, no ShutDown, and then it follows.
#[test]
fn a_copied_checkpoint_is_loaded_in_place() {
    let (version, small) =
        (ProtocolVersion::V6, |config: ConfigBuilder| config.max_log_len(ByteSize::mib(1)));
    let mut trio = Trio { replicas: Vec::new(), place: Place::new() };
    (0..2).for_each(|index| trio.join(index, version, small, |setup| setup));
    let (leader, leads) = trio.replicas[trio.primary(None)].clone();
    // Enough to leave several log files behind.
    for cookie in 1..=12 {
        leader.replicate(vec![b'x'; 512 * 1024], Cookie(cookie), Grouping::Exclusive).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while (0..2).any(|index| {
        let status = trio.replicas[index].0.status().unwrap();
        status.log_range.min_decree_in_log <= Decree(1) || status.log_range.checkpointed_decree <= Decree(1)
    }) {
        assert!(Instant::now() < deadline, "no checkpoint replaces the first log");
        std::thread::sleep(Duration::from_millis(50));
    }
    trio.join(2, version, small, |setup| setup.reload_in_place(true));
    let (late, recorder) = trio.replicas[2].clone();
    leader.replicate(b"last".to_vec(), Cookie(99), Grouping::Batched).unwrap();
    wait_for(&leads, |events| cookies(events).0.contains(&99));
    while !trio.executed(2).iter().any(|(_, request)| request == b"last") {
        assert!(Instant::now() < deadline + PATIENCE, "it does not catch up: {:?}", late.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    let events = recorder.events();
    let loads: Vec<bool> = events
        .iter()
        .filter_map(|event| match event {
            Event::Loaded(size) => Some(size.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(loads, [false, true], "first empty, then the copy");
    assert!(!events.contains(&Event::ShutDown));
    assert_eq!(late.status().unwrap().role, Role::Secondary);
    trio.unload();
}
