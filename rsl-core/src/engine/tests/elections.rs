//! Status rounds, candidacies and the gates around them [PROTO-94..96] [PROTO-115..124].

use std::time::Duration;

use super::harness::{
    Bench, Cluster, at, ballot, configuration, header, link, prepare, promise, recovered, settings,
    status_response, vote,
};
use crate::engine::{Command, Input, Role, Settings};
use crate::format::Record;
use crate::types::{Ballot, Decree, Instant, Position, ProtocolVersion};
use crate::wire::Message;

fn candidate() -> Bench {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.role(), Role::Preparing);
    bench.said();
    bench
}

/// [SCN-10] [PROTO-64] [PROTO-94] [PROTO-21] [WIRE-93] [PROTO-10] [WIRE-88]: which reported votes count, and which value is proposed.
#[test]
fn the_freshest_reported_value_is_proposed() {
    for (decree, number, member, leads, value) in [
        (5, 1, 3, true, "held"),
        (5, 3, 1, true, "reported"),
        (5, 2, 3, true, "reported"),
        (4, 2, 3, true, "held"),
        (6, 2, 3, false, ""),
        (5, 9, 3, false, ""),
    ] {
        let mut bench = candidate();
        assert_eq!(bench.engine.status().promised, ballot(3, 1));
        let reported = vote(at(decree, number, member), member, "reported");
        bench.receive(3, promise(at(5, 3, 1), 3, reported));
        let role = if leads { Role::Primary } else { Role::Preparing };
        assert_eq!(bench.engine.role(), role, "reported {decree}@{number}.{member}");
        if leads {
            let Some(Record::Vote(proposed)) = bench.log.last() else { panic!() };
            assert_eq!(proposed.position(), at(5, 3, 1));
            assert_eq!(proposed.header().member, super::harness::id(1));
            let expected = bytes::Bytes::from_static(value.as_bytes());
            assert_eq!(proposed.requests().collect::<Vec<_>>(), [expected], "{decree}@{number}");
        }
    }
    // Promises for something else do not count.
    let mut bench = candidate();
    for position in [at(5, 2, 1), at(4, 3, 1), at(6, 3, 1), at(5, 3, 2)] {
        bench.receive(3, promise(position, 3, vote(at(5, 1, 3), 3, "x")));
        assert_eq!(bench.engine.role(), Role::Preparing, "{position}");
    }
}

/// [PROTO-31] [WIRE-79] [PROTO-95] [PROTO-106]: the first Prepare carries no checksum, its repetitions do, byte by byte.
#[test]
fn prepares_are_repeated_with_their_checksum() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    let checksums = |bench: &mut Bench| -> Vec<u64> {
        let sent = std::mem::take(&mut bench.sent);
        let prepares = sent.iter().filter(|(_, message)| matches!(message, Message::Prepare(_)));
        prepares.map(|(_, message)| message.header().checksum).collect()
    };
    assert_eq!(checksums(&mut bench), [0]);
    bench.wait(Duration::from_millis(1_500));
    let again = checksums(&mut bench);
    assert_eq!(again.len(), 2, "one to each peer");
    let bytes = Message::Prepare(match bench.log.last() {
        Some(Record::Prepare(prepare)) => prepare.clone(),
        other => panic!("{other:?}"),
    })
    .encode_with_checksum()
    .unwrap();
    assert!(again.iter().all(|sum| *sum == crate::wire::message_checksum(&bytes)));
}

/// [PROTO-95] [PROTO-150]: other messages to a peer put the repetition of a Prepare off, but not for the whole candidacy:
/// Joins go out every second (found by the simulator).
#[test]
fn joins_do_not_keep_a_prepare_from_being_repeated() {
    let mut bench = candidate();
    let start = bench.now;
    let mut repeated = Vec::new();
    for second in 1..=22 {
        bench.now = Instant(start.0 + second * 1_000_000);
        let just_before = Some(Instant(bench.now.0 - 500_000));
        let links = [2, 3].map(|peer| link(peer, just_before));
        bench.give(vec![Input::Links(links.to_vec())]);
        let prepares = bench.sent.drain(..).filter(|(_, message)| matches!(message, Message::Prepare(_)));
        repeated.push(prepares.count());
    }
    let times: Vec<_> = (1..).zip(repeated).filter(|(_, count)| *count > 0).collect();
    assert_eq!(times, [(10, 2), (20, 2)], "after twice the receive timeout of 5 s, each time");
}

/// [PROTO-95] [PROTO-175]: a candidate nobody promises anything gives up after 30 election delays.
#[test]
fn a_lonely_candidate_gives_up() {
    let mut bench = candidate();
    bench.wait(Duration::from_secs(260));
    assert_eq!(bench.engine.role(), Role::Preparing);
    bench.wait(Duration::from_secs(80));
    assert_eq!(bench.engine.role(), Role::Initializing);
}

/// [PROTO-8] [PROTO-56] [PROTO-63]: the new ballot is above the promise and above everything seen.
#[test]
fn a_new_ballot_is_above_everything_seen() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive(3, Message::VoteAccepted(header(at(3, 7, 3), 3)));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.status().promised, ballot(8, 1));
    // Equal ids: the member decides.
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive(2, Message::VoteAccepted(header(Position::new(Decree(3), ballot(3, 0)), 2)));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.status().promised, ballot(3, 1), "3.1 is above 3.");
}

/// [SCN-26] [PROTO-118] [XFER-48] [PROTO-59]: whoever holds its own promise stands at once; others wait for the delay.
#[test]
fn an_owner_of_the_promise_does_not_wait() {
    for (promised, role) in [(ballot(2, 1), Role::Preparing), (ballot(2, 2), Role::Secondary)] {
        let disk = recovered(&configuration([1, 2, 3]), at(5, 1, 2), promised);
        let mut bench = Bench::new(settings(1), disk, 1);
        assert_eq!(bench.engine.role(), Role::Initializing);
        bench.receive(2, status_response(at(5, 1, 2), at(5, 1, 2), 2, 0));
        assert_eq!(bench.engine.role(), role, "promise {promised}");
    }
}

/// [PROTO-117] [XFER-8]: the deadline follows from the youngest answer; negative ages count as 0, huge ones as the clock.
#[test]
fn the_first_deadline_follows_from_the_answers() {
    for (age, due_in) in [(0, 9_000..11_000), (-5, 9_000..11_000), (4_000, 5_000..7_000), (i64::MAX, 0..1)] {
        let disk = recovered(&configuration([1, 2, 3]), at(5, 1, 2), ballot(1, 2));
        let mut bench = Bench::new(settings(1), disk, 1);
        let mut answer = status_response(at(5, 1, 2), at(5, 1, 2), 2, 0);
        if let Message::StatusResponse(response) = &mut answer {
            response.last_received_ago = age;
        }
        bench.receive(2, answer);
        if due_in.end == 1 {
            assert_eq!(bench.engine.role(), Role::Preparing, "{age}");
            continue;
        }
        let due = bench.engine.deadline().unwrap().since(bench.now).as_millis();
        assert!(due_in.contains(&u64::try_from(due).unwrap()), "age {age}: due in {due} ms");
    }
}

/// [SCN-27] [SCN-46] [PROTO-62] [PROTO-121] [PROTO-120] [XFER-36]: refused, busy with execution or saving, it retries after a heartbeat.
#[test]
fn a_refused_candidacy_is_retried_after_a_heartbeat() {
    for case in ["refused", "executing", "saving"] {
        let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
        match case {
            "refused" => bench.may_lead = false,
            "executing" => {
                bench.hold_execution = true;
                bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
            }
            _ => {
                // A request of decree 5 asks for a checkpoint; decree 6 is its next vote.
                bench.hold_execution = true;
                bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
                bench.execute(5, true);
            }
        }
        let held = bench.engine.status().accepted;
        bench.command(Command::AttemptPromotion);
        bench.receive(2, status_response(held, held, 2, 0));
        assert_eq!(bench.engine.role(), Role::Secondary, "{case}");
        let due = bench.engine.deadline().unwrap().since(bench.now);
        assert_eq!(due, Duration::from_secs(2), "{case}");
        bench.said();
        bench.wait(Duration::from_millis(2_100));
        assert_eq!(bench.engine.role(), Role::Initializing, "{case}: another round");
    }
}

/// [PROTO-61] [PROTO-122]: a forced election is one attempt, from any state, without waiting for the deadline.
#[test]
fn promotion_is_attempted_once() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.may_lead = false;
    bench.command(Command::AttemptPromotion);
    assert_eq!(bench.engine.role(), Role::Initializing);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.role(), Role::Secondary);
    bench.may_lead = true;
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.engine.role(), Role::Secondary, "the attempt is over");
}

/// [PROTO-119] [PROTO-69]: promising to another member postpones the own election by the grace period.
#[test]
fn a_new_leader_gets_a_grace_period() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive(3, prepare(at(5, 3, 3), 3));
    let due = bench.engine.deadline().unwrap().since(bench.now);
    assert_eq!(due, Duration::from_secs(15));
    // A new decree sets the usual delay, which may be earlier.
    bench.receive(3, Message::Vote(vote(at(5, 3, 3), 3, "held")));
    bench.receive(3, Message::Vote(vote(at(6, 3, 3), 3, "x")));
    let due = bench.engine.deadline().unwrap().since(bench.now);
    assert!(due < Duration::from_secs(12), "{due:?}");
}

/// [PROTO-123] [PROTO-177]: another delay takes effect with the next deadline, randomized once.
#[test]
fn the_election_delay_can_be_changed() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    let before = bench.engine.deadline();
    bench.command(Command::ChangeElectionDelay(Duration::from_secs(100)));
    assert_eq!(bench.engine.deadline(), before, "a set deadline stays");
    bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
    let due = bench.engine.deadline().unwrap().since(bench.now).as_secs();
    assert!((98..=101).contains(&due), "{due}");
}

/// [HARD-325] [SCN-52]: a candidate whose ballot a peer has outgrown prepares anew within a second, not after minutes.
#[test]
fn a_hopeless_candidacy_is_renewed() {
    let mut bench = candidate();
    bench.receive(3, Message::NotAccepted(header(at(4, 9, 3), 3)));
    assert_eq!(bench.engine.role(), Role::Preparing);
    bench.wait(Duration::from_millis(1_000));
    let said = bench.said();
    assert!(said.contains(&"all: Prepare 5@10.1".to_owned()), "{said:?}");
}

/// [SCN-52] [PROTO-11]: two members forced to stand at once: one leads within seconds.
#[test]
fn two_candidates_settle_quickly() {
    let mut cluster = Cluster::new(3, |_, _| {});
    cluster.run_until(Duration::from_secs(120), |cluster| cluster.primary().is_some());
    for _ in 0..5 {
        for member in 1..=3 {
            cluster.benches.get_mut(&member).unwrap().command(Command::AttemptPromotion);
        }
        cluster.run(Duration::from_millis(200));
        cluster.run_until(Duration::from_secs(8), |cluster| cluster.primary().is_some());
    }
    cluster.check_agreement();
}

/// [SCN-31] [PROTO-85] [PROTO-89] [PROTO-81]: the application's no silences the answer; record and promise stay.
#[test]
fn the_accept_gate_silences_answers() {
    for global in [true, false] {
        let settings = Settings { use_global_accept_flag: global, ..settings(1) };
        let mut bench = Bench::secondary_with(settings, at(5, 2, 2), ballot(2, 2));
        let gate = |bench: &mut Bench, open: bool| {
            bench.accept = open;
            bench.command(Command::SetAcceptMessages(open));
        };
        gate(&mut bench, false);
        bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
        assert_eq!((bench.said(), bench.log.len()), (vec![], 1), "logged, unanswered");
        gate(&mut bench, true);
        bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
        assert_eq!((bench.said(), bench.log.len()), (vec!["2: VoteAccepted 6@2.2".to_owned()], 1));
        gate(&mut bench, false);
        bench.receive(3, prepare(at(6, 3, 3), 3));
        assert_eq!((bench.said(), bench.engine.status().promised), (vec![], ballot(3, 3)));
        // A refusal passes the gate.
        bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
        assert_eq!(bench.said(), ["2: NotAccepted 6@3.3"]);
    }
}

/// [SCN-34] [PROTO-147] [PROTO-145]: a reconfiguration that the primary could not finish is finished by the next one.
#[test]
fn a_half_done_change_is_finished_by_the_next_primary() {
    let mut cluster = Cluster::with(&configuration([1, 2, 3]), 1..=4, |_, _| {});
    cluster.run_until(Duration::from_secs(120), |cluster| cluster.primary().is_some());
    cluster.run(Duration::from_secs(1));
    let first = cluster.primary().unwrap();
    cluster.change(first, 7, [1, 2, 3, 4]);
    // The vote reaches the others; the primary never hears their answers.
    cluster.run(Duration::from_millis(10));
    cluster.cut.push(first);
    cluster.run(Duration::from_secs(60));
    let others = (1..=4).filter(|member| *member != first);
    for member in others {
        assert_eq!(cluster.benches[&member].engine.status().configuration, 2, "member {member}");
    }
    cluster.cut.clear();
    cluster.run(Duration::from_secs(20));
    let status = cluster.benches[&first].engine.status();
    assert_eq!((status.configuration, status.defunct), (2, 1));
    cluster.check_agreement();
    let aborted = cluster.benches[&first]
        .applied
        .iter()
        .any(|apply| matches!(apply, crate::engine::Apply::AbortChange { token, .. } if token.0 == 7));
    assert!(aborted, "the token ends where it was given");
}

/// [HARD-314] [PROTO-45] [WIRE-108]: a re-proposal keeps the version its value needs; the placeholder of a start needs none.
#[test]
fn reproposals_keep_the_version_of_their_value() {
    let version = |bench: &Bench| match bench.log.last() {
        Some(Record::Vote(vote)) => vote.version(),
        other => panic!("{other:?}"),
    };
    let settings = Settings { version: ProtocolVersion::V3, ..settings(1) };
    let mut bench = Bench::secondary_with(settings.clone(), at(5, 2, 2), ballot(2, 2));
    bench.lead();
    assert_eq!(version(&bench), ProtocolVersion::V6, "the held vote is of version 6");
    let fresh = Position::new(Decree::ZERO, Ballot::EMPTY);
    let disk = recovered(&configuration([1, 2, 3]), fresh, Ballot::EMPTY);
    let mut bench = Bench::new(settings, disk, 1);
    bench.receive(2, status_response(fresh, fresh, 2, 0));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, status_response(fresh, fresh, 2, 0));
    bench.receive(2, promise(at(0, 1, 1), 2, vote(fresh, 2, "")));
    assert_eq!(version(&bench), ProtocolVersion::V3);
}

/// [PROTO-129] [PROTO-130]: elected while decrees wait, execution holds until the promotion is announced.
#[test]
fn execution_holds_during_a_promotion() {
    use crate::engine::Apply;
    let settings = Settings { promote_while_catching_up: true, ..settings(1) };
    let mut bench = Bench::secondary_with(settings, at(5, 2, 2), ballot(2, 2));
    bench.hold_execution = true;
    bench.receive(2, Message::Vote(vote(at(6, 2, 2), 2, "x")));
    let from = bench.applied.len();
    bench.lead();
    let kinds: Vec<&str> = bench.applied[from..]
        .iter()
        .map(|apply| match apply {
            Apply::Hold(true) => "hold",
            Apply::Hold(false) => "release",
            Apply::Status { is_primary: true } => "primary",
            Apply::Execute { .. } => "execute",
            Apply::PrimaryRecovered => "recovered",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["hold", "primary", "execute", "recovered"]);
}
