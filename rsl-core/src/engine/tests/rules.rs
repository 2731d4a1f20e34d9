//! Rules that cut across the duties: order of a turn, invariants of answers, odd orders of arrival, what readers see.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::{
    Bench, Cluster, at, ballot, configuration, header, id, ip, members, prepare, promise, recovered,
    settings, status_response, vote,
};
use crate::engine::{
    Apply, Command, ConnectionId, Destination, Direction, Effect, Input, Origin, Prng, Role, Settings,
};
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, Position};
use crate::wire::{Header, Join, LogRange, Message, Vote, VoteContent};

/// [PROTO-60] [PROTO-175] [PROTO-59]: a start and a round without answers ask everybody, again every second.
#[test]
fn a_round_is_repeated_until_it_is_answered() {
    let disk = recovered(&configuration(1..=3), at(5, 2, 2), ballot(2, 2));
    let mut bench = Bench::new(settings(1), disk, 1);
    assert_eq!(bench.engine.role(), Role::Initializing);
    assert_eq!(bench.said(), ["all: StatusQuery 5@2.2"]);
    bench.wait(Duration::from_millis(3_500));
    assert_eq!(bench.said().len(), 3);
}

/// [PROTO-53] [PROTO-54] [WIRE-99]: within a turn votes go before other messages, whatever came first.
#[test]
fn votes_go_before_other_messages() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive_all(vec![(3, prepare(at(5, 3, 3), 3)), (2, Message::Vote(vote(at(6, 2, 2), 2, "x")))]);
    // The vote came second, was handled first, and makes the Prepare one decree old: no answer [HARD-326].
    assert_eq!(bench.said(), ["2: VoteAccepted 6@2.2"]);
    // The vote of a ballot whose Prepare waits behind it raises the promise itself; the Prepare is then a repetition.
    bench.receive_all(vec![(3, prepare(at(6, 4, 3), 3)), (3, Message::Vote(vote(at(6, 4, 3), 3, "x")))]);
    assert_eq!(bench.said(), ["3: VoteAccepted 6@4.3", "3: PrepareAccepted 6@4.3"]);
}

/// [HARD-347] [PROTO-48]: a query is answered ahead of everything that came before it in the turn.
#[test]
fn queries_go_first() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive_all(vec![
        (2, Message::Vote(vote(at(6, 2, 2), 2, "x"))),
        (3, Message::StatusQuery(header(at(1, 1, 3), 3))),
    ]);
    assert_eq!(bench.said(), ["3: StatusResponse 5@2.2", "2: VoteAccepted 6@2.2"]);
}

/// [PROTO-14] [PROTO-15] [PROTO-16] [PROTO-17] [PROTO-18] [PROTO-93]: whatever two rivals send, in whatever order, the answers keep the
/// promises and the log its order.
#[test]
fn answers_keep_their_promises() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
        let mut promised = Ballot::EMPTY;
        for _ in 0..60 {
            let member = 2 + prng.below(2);
            let number = 1 + u32::try_from(prng.below(8)).unwrap();
            let held = bench.engine.status().accepted.decree.0;
            let position = at((held + prng.below(4)).saturating_sub(1), number, member);
            let message = match prng.below(4) {
                0 => prepare(position, member),
                1 => Message::NotAccepted(header(position, member)),
                2 => status_response(position, bench.engine.status().accepted, member, 0),
                // The value depends on the decree only, as agreement demands.
                _ => Message::Vote(vote(position, member, "value")),
            };
            bench.fetches.clear();
            let before = bench.engine.status();
            bench.receive(member, message);
            let after = bench.engine.status();
            assert!(after.promised >= before.promised, "seed {seed}");
            for (_, answer) in std::mem::take(&mut bench.sent) {
                let position = answer.header().position();
                match answer {
                    Message::PrepareAccepted(promise) => {
                        assert!(position.ballot >= promised, "seed {seed}: promise below a promise");
                        assert!(promise.vote.decree() <= position.decree, "seed {seed}");
                        promised = position.ballot;
                    }
                    Message::VoteAccepted(_) => {
                        assert!(position.ballot >= promised, "seed {seed}: accepted below a promise");
                        // Votes that waited for the end of a round are answered one after the other.
                        assert!(position.ballot <= after.promised, "seed {seed}");
                        assert!(
                            accepted_before(&bench, position),
                            "seed {seed}: {position} is not in the log"
                        );
                        promised = position.ballot;
                    }
                    Message::NotAccepted(_) => {
                        assert!(
                            position.decree <= after.accepted.decree && position.ballot <= after.promised
                        );
                    }
                    _ => {}
                }
            }
        }
        let mut last = at(5, 2, 2);
        for record in &bench.log {
            if let Record::Vote(vote) = record {
                assert!(vote.position().is_next(&last), "seed {seed}: {} after {last}", vote.position());
                last = vote.position();
            }
        }
    }
}

/// The log, or what the replica started with, holds a vote at this position.
fn accepted_before(bench: &Bench, position: Position) -> bool {
    position == at(5, 2, 2)
        || bench.log.iter().any(|record| matches!(record, Record::Vote(vote) if vote.position() == position))
}

/// [PROTO-96]: whatever is accepted while preparing ends the candidacy.
#[test]
fn a_candidate_that_accepts_is_none() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.role(), Role::Preparing);
    bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
    assert_eq!(bench.engine.role(), Role::Secondary);
    bench.receive(2, promise(at(5, 3, 1), 2, vote(at(5, 2, 2), 2, "held")));
    assert_eq!(bench.engine.role(), Role::Secondary, "a late promise elects nobody");
}

/// [PROTO-84] [PROTO-114]: an answered relinquish vote makes the secondary stand at once; an unanswered one does not.
#[test]
fn an_answered_relinquish_vote_forces_an_election() {
    for accept in [true, false] {
        let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
        bench.command(Command::SetAcceptMessages(accept));
        let content = VoteContent { relinquish: true, ..VoteContent::default() };
        bench.receive(2, Message::Vote(Vote::new(header(at(6, 2, 2), 2), &content).unwrap()));
        let role = if accept { Role::Initializing } else { Role::Secondary };
        assert_eq!(bench.engine.role(), role, "answered: {accept}");
        if accept {
            bench.receive(3, status_response(at(6, 2, 2), at(6, 2, 2), 3, 0));
            assert_eq!(bench.engine.role(), Role::Preparing);
        }
    }
}

/// [PROTO-96] [PROTO-84]: a candidate that records a relinquish vote of an older ballot holds another decree than it asked
/// promises for: late promises elect nobody, and it stands again. Found by the simulator (seed 8685).
#[test]
fn a_relinquish_vote_ends_a_candidacy() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AttemptPromotion);
    bench.receive(3, status_response(at(5, 2, 2), at(5, 2, 2), 3, 0));
    assert_eq!(bench.engine.role(), Role::Preparing);
    let content = VoteContent { relinquish: true, ..VoteContent::default() };
    bench.receive(2, Message::Vote(Vote::new(header(at(6, 2, 2), 2), &content).unwrap()));
    assert_eq!(bench.engine.role(), Role::Initializing);
    bench.receive(3, promise(at(5, 3, 1), 3, vote(at(5, 2, 2), 2, "held")));
    assert_eq!(bench.engine.role(), Role::Initializing);
    bench.receive(3, status_response(at(6, 2, 2), at(6, 2, 2), 3, 0));
    assert_eq!((bench.engine.role(), bench.engine.status().promised), (Role::Preparing, ballot(4, 1)));
}

/// [PROTO-124] [PROTO-46]: the cookie of CanBecomePrimary goes with the Prepare and every vote, from version 2 on.
#[test]
fn the_primary_cookie_travels_with_the_office() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.lead_cookie = b"cookie".as_slice().into();
    bench.lead();
    bench.replicate(1, "x");
    let mut cookies = Vec::new();
    for (_, message) in &bench.sent {
        match message {
            Message::Prepare(prepare) => cookies.push(prepare.cookie.clone()),
            Message::Vote(vote) => cookies.push(vote.cookie().clone()),
            _ => {}
        }
    }
    assert_eq!(cookies.len(), 3);
    assert!(cookies.iter().all(|cookie| cookie.as_ref() == b"cookie"));
}

/// [PROTO-126]: the primary is who owns the accepted ballot, if that is a member.
#[test]
fn the_current_primary_owns_the_accepted_ballot() {
    let primary = |bench: &Bench| bench.engine.status().current_primary;
    assert_eq!(primary(&Bench::secondary(at(5, 2, 2), ballot(7, 3))), Some(id(2)));
    assert_eq!(primary(&Bench::secondary(at(5, 2, 8), ballot(2, 8))), None, "no member");
    let fresh = Position::new(Decree::ZERO, Ballot::EMPTY);
    let disk = recovered(&configuration(1..=3), fresh, Ballot::EMPTY);
    assert_eq!(primary(&Bench::new(settings(1), disk, 1)), None);
    assert_eq!(primary(&Bench::primary(|_| {})), Some(id(1)));
}

/// [PROTO-19] [PROTO-140] [PROTO-138] [PROTO-134] [PROTO-25]: a secondary passes a decree when it sees the next one, once.
#[test]
fn a_secondary_executes_one_decree_behind() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    let seen = |bench: &Bench| {
        let status = bench.engine.status();
        (status.executed.0, status.passed.0, status.accepted.decree.0)
    };
    assert_eq!(seen(&bench), (4, 4, 5));
    bench.receive(2, Message::Vote(vote(at(5, 3, 3), 2, "held")));
    assert_eq!(seen(&bench), (4, 4, 5), "another ballot proves nothing");
    bench.receive(2, Message::Vote(vote(at(6, 3, 3), 2, "x")));
    assert_eq!(seen(&bench), (5, 5, 6));
    bench.hold_execution = true;
    bench.receive(2, Message::Vote(vote(at(7, 3, 3), 2, "x")));
    assert_eq!(seen(&bench), (5, 6, 7));
    let executed = bench.applied.iter().filter(|apply| matches!(apply, Apply::Execute { .. })).count();
    assert_eq!(executed, 2);
}

/// [PROTO-76] [PROTO-127]: decree 0 of a fresh old-API set passes, promotes, and is never executed.
#[test]
fn decree_zero_is_not_executed() {
    let fresh = Position::new(Decree::ZERO, Ballot::EMPTY);
    let disk = recovered(&configuration([1]), fresh, Ballot::EMPTY);
    let bench = Bench::new(settings(1), disk, 1);
    assert!(bench.engine.is_primary());
    let kinds: Vec<bool> = bench.applied.iter().map(|apply| matches!(apply, Apply::Execute { .. })).collect();
    assert_eq!(kinds, [false, false], "NotifyStatus and NotifyPrimaryRecovered only");
    assert_eq!(bench.engine.status().accepted.decree, Decree::ZERO);
}

/// [PROTO-57] [HARD-23] [PROTO-35] [WIRE-10]: answers of strangers close nothing; requests on our own connections are dropped.
#[test]
fn outbound_connections_carry_answers_only() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    let on = |member: u64, direction, message| {
        let address = std::net::SocketAddrV4::new(ip(member), 20000);
        let from = Origin { connection: ConnectionId(70 + member), direction, address };
        vec![Input::Message { from, message }]
    };
    bench.give(on(9, Direction::Outbound, Message::VoteAccepted(header(at(5, 2, 2), 9))));
    assert!(bench.disconnected.is_empty());
    for message in [
        prepare(at(6, 9, 2), 2),
        Message::Vote(vote(at(6, 2, 2), 2, "x")),
        Message::StatusQuery(header(at(1, 1, 2), 2)),
        Message::ReconfigurationDecision(header(at(5, 2, 2), 2)),
    ] {
        let name = message.id();
        bench.give(on(2, Direction::Outbound, message));
        assert_eq!((bench.said(), bench.log.len()), (vec![], 0), "{name:?}");
    }
    bench.give(on(2, Direction::Outbound, Message::NotAccepted(header(at(5, 9, 3), 2))));
    assert_eq!(bench.engine.status().promised, ballot(9, 3), "answers are taken");
    bench.give(on(2, Direction::Learn, Message::VoteAccepted(header(at(5, 2, 2), 2))));
    bench.give(on(2, Direction::Learn, Message::StatusQuery(header(at(1, 1, 2), 2))));
    assert_eq!(bench.said(), ["72: StatusResponse 5@2.2"]);
}

/// [PROTO-58] [PROTO-166] [PROTO-141]: a replica that was never bootstrapped.
#[test]
fn a_replica_without_configuration_takes_no_part() {
    let disk = recovered(&Configuration::empty(0), Position::new(Decree::ZERO, Ballot::EMPTY), Ballot::EMPTY);
    let mut bench = Bench::new(settings(1), disk, 1);
    assert_eq!((bench.engine.role(), bench.engine.deadline()), (Role::Inactive, None));
    let zero = Header { configuration: 0, ..header(at(1, 1, 2), 2) };
    bench.receive(2, Message::NotAccepted(zero));
    assert_eq!(bench.said(), ["2: DefunctConfiguration 0@0."]);
    bench.receive(2, prepare(at(1, 1, 2), 2));
    assert_eq!(bench.said(), ["2: JoinRequest 0@0."]);
    bench.receive(2, Message::StatusQuery(zero));
    assert_eq!(bench.said(), ["2: StatusResponse 0@0."]);
}

/// [PROTO-52]: a configuration change drops what waits behind it: cached votes and messages of the turn.
#[test]
fn a_configuration_change_drops_what_waits() {
    let content = VoteContent { reconfiguration: Some(members([1, 2, 3])), ..VoteContent::default() };
    let change = Vote::new(header(at(6, 2, 2), 2), &content).unwrap();
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive(2, Message::Vote(change));
    bench.said();
    let fresh = Header { configuration: 2, ..header(at(7, 9, 2), 2) };
    bench.receive_all(vec![
        (2, Message::ReconfigurationDecision(header(at(6, 2, 2), 2))),
        (2, Message::Prepare(crate::wire::Prepare { header: fresh, cookie: bytes::Bytes::new() })),
        (3, prepare(at(6, 9, 3), 3)),
    ]);
    assert_eq!(bench.said(), ["all: StatusQuery 7@0.", "all: Join 6@0."]);
    assert_eq!(bench.engine.status().promised, Ballot::new(3, crate::types::MemberId::EMPTY));
}

/// [PROTO-146] [PROTO-145] [PROTO-131]: the order of callbacks on the primary that made a change.
#[test]
fn the_callbacks_of_a_change_come_in_order() {
    let mut bench = Bench::primary(|_| {});
    let from = bench.applied.len();
    bench.replicate(1, "before");
    let command =
        Command::ChangeConfiguration { members: members([2, 3]), token: crate::engine::ChangeToken(7) };
    bench.command(command);
    bench.replicate(2, "behind");
    bench.receive(2, Message::VoteAccepted(header(at(6, 4, 1), 2)));
    bench.receive(2, Message::VoteAccepted(header(at(7, 4, 1), 2)));
    let told: Vec<String> = bench.applied[from..]
        .iter()
        .map(|apply| match apply {
            Apply::Execute { vote, change, .. } => {
                format!("execute {} {:?}", vote.decree(), change.as_ref().map(|c| c.0))
            }
            Apply::Abort { token, .. } => format!("abort {}", token.0),
            Apply::Status { is_primary } => format!("primary {is_primary}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["execute 6 None", "execute 7 Some(7)", "abort 2", "primary false"]);
    assert_eq!(bench.engine.role(), Role::Inactive);
    // [HARD-334] [PROTO-156]: outside the set it takes no part in rounds, whatever it hears.
    bench.wait(Duration::from_secs(60));
    bench.receive(2, Message::NotAccepted(Header { configuration: 2, ..header(at(20, 9, 2), 2) }));
    bench.receive(2, Message::DefunctConfiguration(Header { configuration: 2, ..header(at(0, 0, 2), 2) }));
    assert_eq!(bench.engine.role(), Role::Inactive);
    assert!(!bench.said().iter().any(|line| line.contains("StatusQuery")));
}

/// [PROTO-154] [WIRE-105] [PROTO-150]: what an invitation says.
#[test]
fn an_invitation_names_log_and_checkpoint() {
    let mut bench = Bench::primary(|settings| settings.learn_port = 777);
    let install = crate::engine::CheckpointInfo { decree: Decree(3), size: 44 };
    bench.command(Command::InstallCheckpoint(install));
    let command =
        Command::ChangeConfiguration { members: members([1, 2, 3]), token: crate::engine::ChangeToken(7) };
    bench.command(command);
    bench.receive(2, Message::VoteAccepted(header(at(6, 4, 1), 2)));
    let joins: Vec<Join> = bench
        .sent
        .iter()
        .filter_map(|(to, message)| match message {
            Message::Join(join) if *to == Destination::AllPeers => Some(*join),
            _ => None,
        })
        .collect();
    let [join] = joins[..] else { panic!("{joins:?}") };
    let log =
        LogRange { min_decree_in_log: Decree::ZERO, checkpointed_decree: Decree(3), checkpoint_size: 44 };
    assert_eq!(
        (join.learn_port, join.log, join.header.decree, join.header.configuration),
        (777, log, Decree(6), 2)
    );
    bench.said();
    bench.wait(Duration::from_millis(2_500));
    assert_eq!(bench.said().iter().filter(|line| line.contains("Join")).count(), 2, "once a second");
}

/// [HARD-333] [PROTO-152]: an old primary that is invited leaves office before it learns.
#[test]
fn an_invited_primary_leaves_office_first() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.said();
    let from = Header { configuration: 2, ..header(at(1, 0, 2), 2) };
    let join = Join { header: from, learn_port: 9, log: LogRange::default() };
    // A stranger does not unseat it [HARD-309].
    bench.receive(99, Message::Join(join));
    assert_eq!(bench.engine.role(), Role::Primary);
    bench.receive(2, Message::Join(join));
    assert_eq!(bench.engine.role(), Role::Initializing);
    assert_eq!(bench.ended(), [(1, Some(crate::engine::AbortReason::NotPrimary))]);
    assert_eq!(bench.fetches.len(), 1);
    bench.wait(Duration::from_secs(10));
    assert_eq!(bench.said(), Vec::<String>::new(), "no vote of the old ballot any more");
}

/// [HARD-341] [HARD-340]: learning leads through a configuration whose only member is this replica: no election in the stream.
#[test]
fn no_election_in_the_middle_of_a_stream() {
    let held = at(5, 2, 2);
    let disk = recovered(&configuration(1..=3), held, held.ballot);
    let mut bench = Bench::new(settings(1), disk, 1);
    bench.receive(2, status_response(at(99, 2, 2), held, 2, 0));
    let Some(Effect::Fetch { fetch, .. }) = bench.fetches.pop_front() else { panic!() };
    let change = |position: Position, number: u32, set: &[u64]| {
        let header = Header { configuration: number, ..header(position, 2) };
        let members = Some(members(set.iter().copied()));
        Record::Vote(
            Vote::new(header, &VoteContent { reconfiguration: members, ..VoteContent::default() }).unwrap(),
        )
    };
    let decision = |position: Position, number: u32| {
        Record::Decision(Header { configuration: number, ..header(position, 2) })
    };
    bench.give(vec![Input::Fetched {
        fetch,
        records: vec![
            Record::Vote(vote(held, 2, "held")),
            change(at(6, 2, 2), 1, &[1]),
            decision(at(6, 2, 2), 1),
        ],
    }]);
    assert_eq!(bench.engine.status().configuration, 2);
    assert_eq!((bench.engine.role(), bench.engine.is_primary()), (Role::Initializing, false));
    bench.give(vec![Input::Fetched {
        fetch,
        records: vec![change(at(7, 4, 1), 2, &[2, 3, 4]), decision(at(7, 4, 1), 2)],
    }]);
    assert_eq!(bench.engine.status().configuration, 3);
    bench.give(vec![Input::FetchEnded {
        fetch,
        outcome: crate::engine::FetchOutcome::VotesEnded { empty: false },
    }]);
    assert_eq!(bench.engine.role(), Role::Inactive, "its removal was in the stream");
    assert!(!bench.log.iter().any(|record| matches!(record, Record::Prepare(_))));
}

/// [HARD-304]: a stranger's vote, or one of another configuration, leaves no trace in the cache.
#[test]
fn strangers_do_not_touch_the_cache() {
    let held = at(5, 2, 2);
    let disk = recovered(&configuration(1..=3), held, held.ballot);
    let mut bench = Bench::new(settings(1), disk, 1);
    let foreign = Header { configuration: 2, ..header(at(90, 5, 2), 2) };
    bench.receive_all(vec![
        (9, Message::Vote(vote(at(1 << 60, 1000, 9), 9, "x"))),
        (2, Message::Vote(Vote::new(foreign, &VoteContent::default()).unwrap())),
        (2, Message::Vote(vote(at(6, 2, 2), 2, "x"))),
    ]);
    // Were the stranger's vote cached, the source for 6 would not do.
    bench.receive(2, status_response(at(6, 2, 2), held, 2, 0));
    assert_eq!(bench.fetches.len(), 1);
    assert_eq!(bench.engine.status().promised, ballot(2, 2));
}

/// [HARD-328]: a demotion does not wait for a slow application: the role changes at once, the aborts queue behind.
#[test]
fn a_demotion_does_not_wait_for_execution() {
    let mut bench = Bench::primary(|_| {});
    bench.hold_execution = true;
    bench.replicate(1, "a");
    bench.replicate(2, "b");
    bench.receive(2, Message::VoteAccepted(header(at(6, 4, 1), 2)));
    bench.said();
    bench.receive(3, prepare(at(7, 9, 3), 3));
    assert_eq!(bench.said(), ["3: PrepareAccepted 7@9.3"]);
    let executed = bench.engine.status().executed.0;
    assert_eq!(executed, 5, "decree 6 is still being executed");
    assert!(matches!(bench.applied.last(), Some(Apply::Status { is_primary: false })));
}

/// [HARD-329] [HARD-330]: ended while execution holds for a promotion, it is released, and nothing that did not enter here
/// is aborted.
#[test]
fn an_end_during_a_promotion_releases_execution() {
    let settings = Settings { promote_while_catching_up: true, ..settings(1) };
    let mut bench = Bench::secondary_with(settings, at(5, 2, 2), ballot(2, 2));
    bench.hold_execution = true;
    bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(6, 2, 2), at(6, 2, 2), 2, 0));
    bench.receive(2, promise(at(6, 3, 1), 2, vote(at(6, 2, 2), 2, "x")));
    assert!(matches!(bench.applied.last(), Some(Apply::Hold(true))));
    let from = Header { configuration: 2, ..header(at(1, 0, 2), 2) };
    let log = LogRange { min_decree_in_log: Decree(50), checkpointed_decree: Decree(60), checkpoint_size: 1 };
    bench.receive(2, Message::Join(Join { header: from, learn_port: 9, log }));
    let Some(Effect::Fetch { fetch, .. }) = bench.fetches.pop_front() else { panic!() };
    let outcome = crate::engine::FetchOutcome::CheckpointCopied { decree: Decree(60), size: 1 };
    bench.give(vec![Input::FetchEnded { fetch, outcome }]);
    assert_eq!(bench.stopped, Some(crate::engine::StopReason::CheckpointCopied));
    assert!(bench.applied.iter().any(|apply| matches!(apply, Apply::Hold(false))));
    assert_eq!(bench.ended(), []);
}

/// [PROTO-34] [PROTO-12] [PROTO-11] [PROTO-13]: a wire that doubles and swaps messages changes nothing.
#[test]
fn duplicates_and_reordering_are_harmless() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, |_, _| {});
        cluster.unruly = Some(Prng::new(seed));
        cluster.run_until(Duration::from_secs(120), |cluster| cluster.primary().is_some());
        let mut token = 0;
        for _ in 0..10 {
            let Some(primary) = cluster.primary() else {
                cluster.run(Duration::from_secs(1));
                continue;
            };
            token += 1;
            cluster.benches.get_mut(&primary).unwrap().replicate(token, "request");
            cluster.run(Duration::from_millis(200));
        }
        cluster.run(Duration::from_secs(10));
        cluster.check_agreement();
        let mut ends: BTreeMap<u64, usize> = BTreeMap::new();
        for bench in cluster.benches.values() {
            for (token, _) in bench.ended() {
                *ends.entry(token).or_default() += 1;
            }
        }
        assert_eq!(ends, (1..=token).map(|token| (token, 1)).collect(), "seed {seed}: every token ends once");
    }
}

/// [PROTO-20]: under one ballot the proposed decrees are an interval that starts at the re-proposed one.
#[test]
fn a_ballot_proposes_an_interval() {
    let mut bench = Bench::primary(|_| {});
    for decree in 6..=9 {
        bench.replicate(decree, "x");
        bench.receive(3, Message::VoteAccepted(header(at(decree, 4, 1), 3)));
    }
    let proposed: Vec<u64> = bench
        .log
        .iter()
        .filter(|record| record.position().ballot == ballot(4, 1))
        .filter_map(|record| match record {
            Record::Vote(vote) => Some(vote.decree().0),
            _ => None,
        })
        .collect();
    assert_eq!(proposed, [5, 6, 7, 8, 9]);
}

/// [WIRE-77] [WIRE-107] [PROTO-31]: what each message this replica originates says of it: own id, decree, configuration and
/// ballot, in the version it speaks.
#[test]
fn headers_follow_the_table() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(4, 3));
    let said = |bench: &mut Bench| {
        let (_, message) = bench.sent.pop().unwrap();
        let header = *message.header();
        assert_eq!(
            (header.member, header.version),
            (id(1), crate::types::ProtocolVersion::V6),
            "{message:?}"
        );
        (format!("{:?}", message.id()), header.position(), header.configuration, header.checksum)
    };
    let one = |name: &str, position| (name.to_owned(), position, 1, 0);
    bench.receive(2, Message::StatusQuery(header(at(1, 1, 2), 2)));
    assert_eq!(said(&mut bench), one("StatusResponse", at(5, 3, 2)));
    bench.receive(2, Message::Vote(vote(at(5, 3, 2), 2, "held")));
    assert_eq!(said(&mut bench), one("NotAccepted", at(5, 4, 3)));
    bench.receive(3, Message::Vote(vote(at(5, 4, 3), 3, "held")));
    assert_eq!(said(&mut bench), one("VoteAccepted", at(5, 4, 3)));
    bench.receive(3, prepare(at(6, 5, 3), 3));
    let query = bench.sent.pop().unwrap().1;
    assert_eq!(query.header().position(), at(5, 4, 3), "a round follows");
    assert_eq!(said(&mut bench), one("PrepareAccepted", at(6, 5, 3)));
    bench.receive(2, Message::NotAccepted(Header { configuration: 7, ..header(at(1, 1, 2), 2) }));
    let none = Position::new(Decree::ZERO, Ballot::EMPTY);
    assert_eq!(said(&mut bench), ("JoinRequest".to_owned(), none, 7, 0));
    bench.receive(2, Message::NotAccepted(Header { configuration: 0, ..header(at(1, 1, 2), 2) }));
    assert_eq!(said(&mut bench), ("DefunctConfiguration".to_owned(), none, 0, 0));
}

/// [WIRE-110] [XFER-49] [PROTO-43] [API-123]: after a restart the configured version counts again, until a newer vote passes.
#[test]
fn a_restart_speaks_the_configured_version() {
    let old = Settings { version: crate::types::ProtocolVersion::V4, ..settings(1) };
    let mut bench = Bench::secondary_with(old, at(5, 2, 2), ballot(2, 2));
    let version = |bench: &Bench| bench.engine.status().version.number();
    assert_eq!(version(&bench), 4, "the vote of version 6 in the log has not passed");
    bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
    assert_eq!(version(&bench), 6);
    assert_eq!(bench.sent.last().unwrap().1.header().version.number(), 6, "raised before the answer");
}
