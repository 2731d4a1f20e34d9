//! Configuration changes and bootstrap, on a perfect wire [PROTO-141..166].

use std::time::Duration;

use super::harness::{Bench, Cluster, at, ballot, configuration, header, members, recovered, settings, vote};
use crate::engine::{AbortReason, Apply, BootstrapResult, BootstrapToken, Command, Role};
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, Position};
use crate::wire::{Bootstrap, Header, Join, LogRange, Message, Vote, VoteContent};

const LONG: Duration = Duration::from_secs(120);

fn elected(set: &Configuration, present: impl IntoIterator<Item = u64>) -> (Cluster, u64) {
    let mut cluster = Cluster::with(set, present, |_, _| {});
    cluster.run_until(LONG, |cluster| cluster.primary().is_some());
    cluster.run(Duration::from_secs(1));
    let primary = cluster.primary().unwrap();
    (cluster, primary)
}

fn configuration_of(cluster: &Cluster, member: u64) -> (u32, u32, u32) {
    let status = cluster.benches[&member].engine.status();
    (status.configuration, status.state_configuration, status.defunct)
}

/// [SCN-32] [PROTO-141] [PROTO-142] [PROTO-145] [PROTO-148] [PROTO-150] [PROTO-151] [PROTO-156]: D joins, another member leaves.
#[test]
fn one_member_replaces_another() {
    let (mut cluster, primary) = elected(&configuration([1, 2, 3]), 1..=4);
    assert_eq!(cluster.benches[&4].engine.role(), Role::Inactive);
    let leaving = (1..=3).find(|member| *member != primary).unwrap();
    let stays: Vec<u64> = (1..=4).filter(|member| *member != leaving).collect();
    let decree = cluster.benches[&primary].engine.status().passed.0 + 1;
    cluster.change(primary, 7, stays.clone());
    cluster.run(Duration::from_secs(25));
    for &member in &stays {
        assert_eq!(configuration_of(&cluster, member), (2, 2, 1), "member {member}");
    }
    assert_eq!(configuration_of(&cluster, leaving).0, 2);
    assert_eq!(cluster.benches[&leaving].engine.role(), Role::Inactive);
    assert!(stays.contains(&cluster.primary().unwrap()));
    cluster.check_agreement();
    // The token was delivered where it was given, exactly once; decree + 1 is an empty re-proposal.
    for (member, bench) in &cluster.benches {
        let executed: Vec<(u64, Option<u64>, bool)> = bench
            .applied
            .iter()
            .filter_map(|apply| match apply {
                Apply::Execute { vote, change, .. } if vote.decree().0 >= decree => {
                    Some((vote.decree().0, change.as_ref().map(|token| token.0), vote.is_empty()))
                }
                _ => None,
            })
            .take(2)
            .collect();
        let token = (*member == primary).then_some(7);
        assert_eq!(executed[0], (decree, token, false), "member {member}");
        if *member != leaving {
            assert_eq!(executed[1], (decree + 1, None, true), "member {member}");
        }
    }
    // Ballots grow through the change.
    assert!(cluster.benches[&primary].engine.status().promised > ballot(2, 0));
}

/// [SCN-33] [PROTO-71] [PROTO-74] [PROTO-147] [PROTO-149] [PROTO-156]: to a disjoint set; the old primary is demoted, invitations stop.
#[test]
fn a_disjoint_set_takes_over() {
    let (mut cluster, primary) = elected(&configuration([1, 2, 3]), 1..=6);
    cluster.benches.get_mut(&primary).unwrap().replicate(1, "before");
    cluster.change(primary, 7, [4, 5, 6]);
    cluster.benches.get_mut(&primary).unwrap().replicate(2, "too late");
    cluster.run(Duration::from_secs(30));
    let ended = cluster.benches[&primary].ended();
    assert_eq!(ended, [(1, None), (2, Some(AbortReason::NotPrimary))]);
    let lead = cluster.primary().unwrap();
    assert!(lead >= 4);
    cluster.check_agreement();
    for member in 4..=6 {
        assert_eq!(configuration_of(&cluster, member), (2, 2, 1), "member {member}");
    }
    for bench in cluster.benches.values_mut() {
        bench.sent.clear();
    }
    cluster.run(Duration::from_secs(1));
    for member in 4..=6 {
        let said = cluster.benches.get_mut(&member).unwrap().said();
        assert!(!said.iter().any(|line| line.contains("Join")), "{said:?}");
    }
}

/// [SCN-39] [PROTO-104] [PROTO-133] [PROTO-157]: a single member decides alone, changes to itself, then grows.
#[test]
fn a_single_member_grows() {
    let (mut cluster, primary) = elected(&configuration([1]), 1..=3);
    assert_eq!(primary, 1);
    let status_calls = |cluster: &Cluster| {
        let applied = &cluster.benches[&1].applied;
        applied.iter().filter(|apply| matches!(apply, Apply::Status { .. })).count()
    };
    cluster.change(1, 1, [1]);
    cluster.benches.get_mut(&1).unwrap().replicate(5, "alone");
    cluster.run(Duration::from_secs(1));
    assert_eq!(configuration_of(&cluster, 1), (2, 2, 1));
    assert_eq!(cluster.benches[&1].ended(), [(5, None)]);
    assert_eq!(status_calls(&cluster), 1, "no role callback for a change that keeps the only member");
    cluster.change(1, 2, [1, 2, 3]);
    cluster.run(Duration::from_secs(30));
    for member in 1..=3 {
        assert_eq!(configuration_of(&cluster, member), (3, 3, 2), "member {member}");
    }
    cluster.check_agreement();
}

/// [SCN-36] [XFER-18] [HARD-340] [HARD-309]: a replica that missed several changes learns its way through all of them.
#[test]
fn several_missed_changes_are_learned() {
    let (mut cluster, mut primary) = elected(&configuration([1, 2, 3]), 1..=5);
    cluster.cut.push(1);
    if primary == 1 {
        cluster.run_until(LONG, |cluster| cluster.primary().is_some_and(|primary| primary != 1));
        primary = cluster.primary().unwrap();
    }
    for set in [[2, 3, 4], [3, 4, 5]] {
        cluster.change(primary, 1, set);
        cluster.run_until(LONG, |cluster| {
            cluster.primary().is_some_and(|primary| {
                set.contains(&primary)
                    && configuration_of(cluster, primary).2 + 1 == configuration_of(cluster, primary).0
            })
        });
        cluster.run(Duration::from_secs(5));
        primary = cluster.primary().unwrap();
    }
    cluster.cut.clear();
    cluster.change(primary, 1, [1, 4, 5]);
    cluster.run(Duration::from_secs(40));
    assert_eq!(configuration_of(&cluster, 1), (4, 4, 3));
    assert_ne!(cluster.benches[&1].engine.role(), Role::Inactive);
    cluster.check_agreement();
}

fn reconfiguration(position: Position, member: u64, set: impl IntoIterator<Item = u64>) -> Vote {
    let header = header(position, member);
    let content = VoteContent { reconfiguration: Some(members(set)), ..VoteContent::default() };
    Vote::new(header, &content).unwrap()
}

/// [PROTO-72] [PROTO-73] [PROTO-143] [PROTO-144] [SCN-35] [HARD-337] [HARD-310] [HARD-16]: which decisions a member believes, and the record it writes.
#[test]
fn decisions_take_effect_at_the_accepted_reconfiguration() {
    for (decree, number, switches) in
        [(6, 3, true), (6, 2, true), (6, 4, false), (5, 3, false), (7, 3, false)]
    {
        let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
        bench.receive(2, Message::Vote(reconfiguration(at(6, 3, 2), 2, [1, 2, 4])));
        bench.sent.clear();
        let records = bench.log.len();
        bench.receive(2, Message::ReconfigurationDecision(header(at(decree, number, 2), 2)));
        let expected = if switches { 2 } else { 1 };
        assert_eq!(bench.engine.status().configuration, expected, "decision {decree}@{number}");
        if switches {
            assert!(
                matches!(&bench.log[records], Record::Decision(header) if header.position() == at(6, 3, 2))
            );
            assert_eq!(bench.engine.status().accepted, Position::new(Decree(7), Ballot::EMPTY));
            assert_eq!(bench.engine.status().promised, Ballot::new(4, "".parse().unwrap()));
            let said = bench.said();
            assert!(said.contains(&"all: StatusQuery 7@0.".to_owned()), "{said:?}");
            assert!(said.contains(&"all: Join 6@0.".to_owned()), "{said:?}");
        } else {
            assert_eq!(bench.log.len(), records);
        }
    }
    // A decision for an ordinary vote is a broken peer.
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(2, Message::ReconfigurationDecision(header(at(5, 3, 2), 2)));
    assert_eq!((bench.engine.status().configuration, bench.log.len()), (1, 0));
}

/// [SCN-37] [PROTO-55] [WIRE-103]: what a member of a defunct configuration hears.
#[test]
fn a_member_of_an_old_configuration_is_told() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(2, Message::Vote(reconfiguration(at(6, 3, 2), 2, [1, 2, 3])));
    bench.receive(2, Message::ReconfigurationDecision(header(at(6, 3, 2), 2)));
    // The first vote of the new configuration makes the old one defunct.
    let mut first = header(at(7, 5, 2), 2);
    first.configuration = 2;
    let query = bench.engine.status().accepted;
    let mut answer = super::harness::status_response(query, query, 2, 0);
    if let Message::StatusResponse(response) = &mut answer {
        response.header.configuration = 2;
    }
    bench.receive(2, answer);
    bench.receive(2, Message::Vote(Vote::new(first, &VoteContent::default()).unwrap()));
    assert_eq!(bench.engine.status().defunct, 1);
    bench.sent.clear();
    let old = header(at(6, 3, 3), 3);
    let log = LogRange::default();
    for message in [
        Message::Vote(vote(at(6, 3, 3), 3, "old")),
        Message::VoteAccepted(old),
        Message::NotAccepted(old),
        Message::JoinRequest(old),
        Message::Join(Join { header: old, learn_port: 1, log }),
        Message::ReconfigurationDecision(old),
        super::harness::prepare(at(6, 9, 3), 3),
        super::harness::status_response(at(6, 3, 3), at(6, 3, 3), 3, 0),
    ] {
        let id = message.id();
        bench.receive(3, message);
        assert_eq!(bench.said(), ["3: DefunctConfiguration 0@0."], "{id:?}");
    }
    bench.receive(3, Message::DefunctConfiguration(old));
    assert_eq!(bench.said(), Vec::<String>::new());
    bench.receive(3, Message::StatusQuery(old));
    assert_eq!(bench.said(), ["3: StatusResponse 7@5.2"]);
}

/// [SCN-38] [PROTO-152] [PROTO-153] [XFER-24]: Join by configuration, log start and checkpoint.
#[test]
fn invitations_lead_to_the_log_or_the_checkpoint() {
    for (number, min, checkpoint, expected) in [
        (0, 0, 0, "DefunctConfiguration"),
        (1, 0, 0, "DefunctConfiguration"),
        (2, 5, 0, "FetchVotes"),
        (2, 4, 0, "FetchVotes"),
        (2, 6, 5, "FetchCheckpoint"),
        (2, 6, 9, "FetchCheckpoint"),
        (2, 6, 4, "nothing"),
    ] {
        let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
        let mut from = header(at(1, 0, 2), 2);
        from.configuration = number;
        let log = LogRange {
            min_decree_in_log: Decree(min),
            checkpointed_decree: Decree(checkpoint),
            checkpoint_size: 7,
        };
        bench.receive(2, Message::Join(Join { header: from, learn_port: 777, log }));
        let got = match (bench.fetches.pop_front(), bench.said().first()) {
            (Some(crate::engine::Effect::Fetch { request, from, .. }), _) => {
                assert_eq!(from.port(), 777);
                format!("{:?}", request.id())
            }
            (_, Some(said)) => said.split([' ', ':']).nth(2).unwrap().to_owned(),
            _ => "nothing".to_owned(),
        };
        assert_eq!(got, expected, "Join {number}, log from {min}, checkpoint {checkpoint}");
    }
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    for (number, answers) in [(1, true), (2, false)] {
        let mut from = header(at(0, 0, 2), 2);
        from.configuration = number;
        bench.receive(2, Message::JoinRequest(from));
        assert_eq!(bench.said().len(), usize::from(answers), "JoinRequest {number}");
    }
}

/// [PROTO-75] [PROTO-155] [HARD-307] [HARD-21]: whom a report of a defunct configuration impresses, and how often.
#[test]
fn defunct_reports_are_believed_with_care() {
    let report =
        |number| Message::DefunctConfiguration(Header { configuration: number, ..header(at(0, 0, 2), 2) });
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(99, report(1));
    assert_eq!(bench.engine.role(), Role::Secondary, "a stranger is not believed");
    bench.receive(2, report(u32::MAX));
    assert_eq!(bench.engine.role(), Role::Secondary, "the number that would disable for ever is ignored");
    bench.receive(2, report(1));
    assert_eq!(bench.engine.role(), Role::Initializing);
    assert_eq!(bench.engine.status().defunct, 0, "a member does not record it");
    let rounds = |bench: &mut Bench| bench.said().iter().filter(|line| line.contains("StatusQuery")).count();
    rounds(&mut bench);
    bench.receive(2, report(1));
    assert_eq!(rounds(&mut bench), 0, "at most one round a second");

    // An inactive replica records the next number at once, a higher one only from two sources.
    let set = configuration([2, 3, 4]);
    let disk = recovered(&set, at(5, 3, 2), ballot(3, 2));
    let mut outside = Bench::new(settings(1), disk, 1);
    assert_eq!(outside.engine.role(), Role::Inactive);
    outside.receive(2, report(5));
    assert_eq!(outside.engine.status().defunct, 0);
    let other = Header { member: super::harness::id(3), configuration: 5, ..header(at(0, 0, 3), 3) };
    outside.receive(3, Message::DefunctConfiguration(other));
    assert_eq!(outside.engine.status().defunct, 5);
}

fn unbootstrapped(member: u64) -> Bench {
    let set = Configuration::empty(0);
    let disk = recovered(&set, Position::new(Decree::ZERO, Ballot::EMPTY), Ballot::EMPTY);
    Bench::new(settings(member), disk, member)
}

fn call(bench: &mut Bench, token: u64, set: impl IntoIterator<Item = u64>) {
    bench.command(Command::Bootstrap {
        members: members(set),
        timeout: Duration::from_secs(15),
        token: BootstrapToken(token),
    });
}

/// [SCN-1] [PROTO-159] [PROTO-162] [PROTO-164] [PROTO-76] [WIRE-98]: one call bootstraps the whole set.
#[test]
fn a_set_is_bootstrapped_by_one_call() {
    let mut cluster = Cluster::of((1..=3).map(|member| (member, unbootstrapped(member))));
    call(cluster.benches.get_mut(&1).unwrap(), 9, [1, 2, 3]);
    cluster.run(Duration::from_secs(20));
    assert_eq!(cluster.benches[&1].bootstraps, [(9, BootstrapResult::Success)]);
    assert!(cluster.primary().is_some());
    for (member, bench) in &cluster.benches {
        let adopted = bench.applied.iter().filter(|apply| matches!(apply, Apply::MembersPersisted)).count();
        assert_eq!(adopted, 1, "member {member}");
        let first = bench.applied.iter().find_map(|apply| match apply {
            Apply::Execute { vote, .. } => Some((vote.decree().0, vote.is_empty())),
            _ => None,
        });
        assert_eq!(first, Some((1, true)), "member {member}");
    }
    cluster.check_agreement();
    // [SCN-3] [PROTO-161]
    let primary = cluster.benches.get_mut(&1).unwrap();
    call(primary, 10, [1, 2, 3]);
    assert_eq!(primary.bootstraps.last(), Some(&(10, BootstrapResult::AlreadyBootstrapped)));
}

/// [SCN-2] [PROTO-160] [PROTO-163]: before there is a primary only the adopted set is taken again.
#[test]
fn an_adopted_set_is_not_exchanged() {
    let mut bench = unbootstrapped(1);
    call(&mut bench, 1, [2, 3]);
    assert_eq!(bench.bootstraps, [(1, BootstrapResult::Failed)], "without self");
    call(&mut bench, 2, []);
    assert_eq!(bench.bootstraps.last(), Some(&(2, BootstrapResult::InvalidParameter)));
    assert_eq!(bench.engine.role(), Role::Inactive);
    call(&mut bench, 3, [1, 2, 3]);
    assert_eq!(bench.engine.role(), Role::Initializing);
    assert_eq!(bench.bootstraps.len(), 2, "it waits");
    for (token, set) in [(4, vec![1, 2]), (5, vec![1, 2, 4]), (6, vec![1, 2, 3, 4])] {
        call(&mut bench, token, set);
        assert_eq!(bench.bootstraps.last(), Some(&(token, BootstrapResult::Failed)));
    }
    assert_eq!(bench.engine.status().configuration, 1);
    bench.wait(Duration::from_secs(16));
    assert_eq!(bench.bootstraps.last(), Some(&(3, BootstrapResult::Failed)), "the time is over");
    assert_eq!(bench.engine.role(), Role::Initializing, "the set stays adopted");
}

/// [PROTO-162]: a set whose checkpoint cannot be written is not adopted, and does not keep another one out.
#[test]
fn a_set_that_cannot_be_written_is_not_adopted() {
    let mut bench = unbootstrapped(1);
    bench.writes_members = false;
    call(&mut bench, 1, [1, 2, 3]);
    assert_eq!(bench.bootstraps, [(1, BootstrapResult::Failed)]);
    assert_eq!((bench.engine.role(), bench.engine.status().configuration), (Role::Inactive, 0));
    assert!(bench.applied.is_empty() && bench.sent.is_empty(), "{:?}", bench.applied);
    bench.writes_members = true;
    call(&mut bench, 2, [1, 2]);
    assert_eq!((bench.engine.role(), bench.engine.status().configuration), (Role::Initializing, 1));
    assert_eq!(bench.engine.status().state_members, members([1, 2]));
}

/// [HARD-308]: a Bootstrap message counts only from a member of the set it proposes, and where that is allowed.
#[test]
fn strangers_do_not_bootstrap() {
    let message = |set: [u64; 3]| {
        let header = Header { configuration: 0, ..header(Position::new(Decree::ZERO, Ballot::EMPTY), 2) };
        Message::Bootstrap(Bootstrap { header, members: (*members(set)).clone() })
    };
    let mut bench = unbootstrapped(1);
    bench.receive(3, message([1, 2, 3]));
    assert_eq!(bench.engine.role(), Role::Inactive, "member 2 does not speak from that address");
    bench.receive(2, message([1, 3, 4]));
    assert_eq!(bench.engine.role(), Role::Inactive, "the sender is not in the set");
    let mut locked = {
        let disk =
            recovered(&Configuration::empty(0), Position::new(Decree::ZERO, Ballot::EMPTY), Ballot::EMPTY);
        Bench::new(crate::engine::Settings { remote_bootstrap: false, ..settings(1) }, disk, 1)
    };
    locked.receive(2, message([1, 2, 3]));
    assert_eq!(locked.engine.role(), Role::Inactive, "switched off");
    bench.receive(2, message([1, 2, 3]));
    assert_eq!(bench.engine.role(), Role::Initializing);
}
