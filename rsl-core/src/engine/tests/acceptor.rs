//! What an acceptor answers: the tables of PROTO-77..93 around one secondary.

use std::time::Duration;

use super::harness::{Bench, at, ballot, header, prepare, status_response, vote};
use crate::engine::Role;
use crate::format::Record;
use crate::types::Position;
use crate::wire::Message;

fn answers(
    accepted: Position,
    promised: crate::types::Ballot,
    message: Message,
) -> (Vec<String>, Role, usize) {
    let mut bench = Bench::secondary(accepted, promised);
    bench.receive(2, message);
    let said = bench.said();
    (said, bench.engine.role(), bench.log.len())
}

/// [SCN-5] [PROTO-66] [PROTO-67] [PROTO-77] [PROTO-78] [PROTO-79] [PROTO-83]: a secondary at (5, 3.2) and each vote around it.
#[test]
fn votes_around_the_accepted_one() {
    let held = at(5, 3, 2);
    for (decree, number, expected, role, records) in [
        (4, 3, vec![], Role::Secondary, 0),
        (5, 3, vec!["2: VoteAccepted 5@3.2"], Role::Secondary, 0),
        (6, 3, vec!["2: VoteAccepted 6@3.2"], Role::Secondary, 1),
        (4, 2, vec!["2: NotAccepted 5@3.2"], Role::Secondary, 0),
        (5, 2, vec!["2: NotAccepted 5@3.2"], Role::Secondary, 0),
        (6, 2, vec!["2: NotAccepted 5@3.2"], Role::Secondary, 0),
        (4, 4, vec![], Role::Secondary, 0),
        (5, 4, vec!["2: VoteAccepted 5@4.2"], Role::Secondary, 1),
        (6, 4, vec!["all: StatusQuery 5@3.2"], Role::Initializing, 0),
        (3, 4, vec!["2: NotAccepted 5@3.2"], Role::Secondary, 0),
        (7, 3, vec!["all: StatusQuery 5@3.2"], Role::Initializing, 0),
    ] {
        let proposal = vote(at(decree, number, 2), 2, "held");
        let got = answers(held, ballot(3, 2), Message::Vote(proposal));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(got, (expected, role, records), "vote {decree}@{number}.2");
    }
}

/// [SCN-6] [PROTO-22] [PROTO-82] [PROTO-81] [PROTO-93]: the worked example of section 8, promise above the accepted ballot.
#[test]
fn votes_below_the_promise_are_recorded_and_refused() {
    let held = at(5, 1, 2);
    for (decree, number, expected, role, records) in [
        (4, 1, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 0),
        (5, 1, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 0),
        (5, 2, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 1),
        (6, 1, vec!["2: NotAccepted 6@3.3"], Role::Secondary, 1),
        (5, 4, vec!["2: VoteAccepted 5@4.2"], Role::Secondary, 1),
    ] {
        let got = answers(held, ballot(3, 3), Message::Vote(vote(at(decree, number, 2), 2, "held")));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(got, (expected, role, records), "vote {decree}@{number}.2");
    }
}

/// [SCN-7] [PROTO-68] [PROTO-88] [PROTO-89] [PROTO-90] [HARD-326]: Prepares around (5, promise 3.3).
#[test]
fn prepares_around_the_promise() {
    let held = at(5, 1, 2);
    for (decree, number, member, expected, role, records) in [
        (4, 4, 2, vec![], Role::Secondary, 0),
        (4, 2, 2, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 0),
        (3, 4, 2, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 0),
        (5, 2, 2, vec!["2: NotAccepted 5@3.3"], Role::Secondary, 0),
        (5, 3, 3, vec!["3: PrepareAccepted 5@3.3"], Role::Secondary, 0),
        (5, 4, 2, vec!["2: PrepareAccepted 5@4.2"], Role::Secondary, 1),
        (6, 4, 2, vec!["2: PrepareAccepted 6@4.2", "all: StatusQuery 5@1.2"], Role::Initializing, 1),
    ] {
        let mut bench = Bench::secondary(held, ballot(3, 3));
        bench.receive(member, prepare(at(decree, number, member), member));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(bench.said(), expected, "Prepare {decree}@{number}.{member}");
        assert_eq!((bench.engine.role(), bench.log.len()), (role, records), "Prepare {decree}@{number}");
    }
}

/// [SCN-8] [PROTO-88] [PROTO-89]: an initializing replica refuses, but promises nothing.
#[test]
fn an_initializing_replica_promises_nothing() {
    for (decree, number, expected) in
        [(4, 4, vec![]), (5, 2, vec!["2: NotAccepted 5@3.3"]), (5, 4, vec![]), (6, 4, vec![])]
    {
        let mut bench = Bench::secondary(at(5, 1, 2), ballot(3, 3));
        bench.receive(2, Message::Vote(vote(at(9, 3, 2), 2, "far")));
        assert_eq!(bench.engine.role(), Role::Initializing);
        bench.sent.clear();
        bench.receive(2, prepare(at(decree, number, 2), 2));
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(bench.said(), expected, "Prepare {decree}@{number}");
        assert_eq!((bench.engine.role(), bench.log.len()), (Role::Initializing, 0));
    }
}

/// [SCN-9] [PROTO-92] [WIRE-108]: NotAccepted at a secondary that holds (5, 3.2) and has promised 3.2.
#[test]
fn refusals_raise_the_promise_or_start_a_round() {
    for (decree, number, role, records) in [
        (4, 4, Role::Secondary, 0),
        (5, 2, Role::Secondary, 0),
        (5, 3, Role::Secondary, 0),
        (5, 4, Role::Secondary, 1),
        (6, 3, Role::Initializing, 0),
        (6, 4, Role::Initializing, 0),
    ] {
        let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
        bench.receive(3, Message::NotAccepted(header(at(decree, number, 2), 3)));
        assert_eq!(
            (bench.engine.role(), bench.log.len()),
            (role, records),
            "NotAccepted {decree}@{number}.2"
        );
        if records == 1 {
            assert!(matches!(&bench.log[0], Record::Prepare(p) if p.header.ballot == ballot(number, 2)));
            assert_eq!(bench.engine.status().promised, ballot(number, 2));
        }
    }
}

/// [SCN-16] [PROTO-80] [WIRE-104]: a run on one connection gets one answer, for its last vote.
#[test]
fn a_run_of_votes_gets_one_answer() {
    let run = |decree| Message::Vote(vote(at(decree, 3, 2), 2, "held"));
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive_all(vec![(2, run(6)), (2, run(7)), (2, run(8))]);
    assert_eq!(bench.said(), ["2: VoteAccepted 8@3.2"]);
    assert_eq!(bench.log.len(), 3);
}

/// [SCN-17] [HARD-327] [HARD-303] [HARD-15]: an invalid vote at the end of a run takes nobody's answer away, and is not logged.
#[test]
fn the_last_accepted_vote_of_a_run_is_answered() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    let damaged = {
        let vote = vote(at(7, 3, 2), 2, "held");
        let mut bytes = vote.encoded().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        crate::wire::Vote::decode(&bytes.into()).unwrap()
    };
    bench.receive_all(vec![(2, Message::Vote(vote(at(6, 3, 2), 2, "held"))), (2, Message::Vote(damaged))]);
    assert_eq!(bench.said(), ["2: VoteAccepted 6@3.2"]);
    bench.receive_all(vec![
        (2, Message::Vote(vote(at(7, 3, 2), 2, "held"))),
        (2, Message::Vote(vote(at(9, 3, 2), 2, "held"))),
    ]);
    assert_eq!(bench.said(), ["2: VoteAccepted 7@3.2", "all: StatusQuery 7@3.2"]);
}

/// Decision 21: another value under the same decree and ballot is dropped, unanswered and unlogged.
#[test]
fn a_second_value_under_one_ballot_is_dropped() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(2, Message::Vote(vote(at(5, 3, 2), 2, "other")));
    assert_eq!(bench.said(), Vec::<String>::new());
    assert_eq!(bench.log.len(), 0);
}

/// [PROTO-48] [WIRE-100]: status queries are answered in every state, whoever asks.
#[test]
fn anybody_may_ask_for_the_status() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(4, 3));
    bench.receive(77, Message::StatusQuery(header(at(1, 1, 8), 8)));
    let [(_, Message::StatusResponse(response))] = &bench.sent[..] else { panic!("{:?}", bench.sent) };
    assert_eq!(response.header.position(), at(5, 3, 2));
    assert_eq!(response.query, at(1, 1, 8));
    assert_eq!(response.max_ballot, ballot(4, 3));
    assert_eq!(response.state, Role::Secondary as u32);
}

/// [PROTO-56] [WIRE-102] [HARD-23]: strangers, wrong addresses, own id and other configurations.
#[test]
fn messages_are_verified() {
    let next = vote(at(6, 3, 2), 2, "held");
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    // Member 2 speaks from the address of member 3: unknown, disconnected.
    bench.receive(3, Message::Vote(next.clone()));
    assert_eq!((bench.said(), bench.log.len(), bench.disconnected.len()), (vec![], 0, 1));
    // A stranger.
    bench.receive(9, prepare(at(6, 7, 9), 9));
    assert_eq!((bench.said(), bench.log.len(), bench.disconnected.len()), (vec![], 0, 2));
    // Own id: dropped, the connection stays.
    bench.receive(1, prepare(at(6, 7, 1), 1));
    assert_eq!((bench.said(), bench.log.len(), bench.disconnected.len()), (vec![], 0, 2));
    for (number, expected) in [(0, "2: DefunctConfiguration 0@0."), (2, "2: JoinRequest 0@0.")] {
        let mut other = header(at(6, 7, 2), 2);
        other.configuration = number;
        bench.receive(2, Message::NotAccepted(other));
        assert_eq!(bench.said(), [expected], "configuration {number}");
    }
    bench.receive(2, Message::Vote(next));
    assert_eq!(bench.said(), ["2: VoteAccepted 6@3.2"]);
}

/// [HARD-306]: an absurd ballot is refused wherever it comes, so that nobody has to outbid it.
#[test]
fn absurd_ballots_are_refused() {
    for number in [3 + (1 << 20) + 1, 1 << 31, u32::MAX] {
        let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
        bench.receive(2, prepare(at(5, number, 2), 2));
        bench.receive(2, Message::Vote(vote(at(5, number, 2), 2, "held")));
        bench.receive(2, Message::NotAccepted(header(at(5, number, 2), 2)));
        assert_eq!((bench.said(), bench.log.len()), (vec![], 0), "{number}");
        assert_eq!(bench.engine.status().promised, ballot(3, 2));
    }
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(2, prepare(at(5, 3 + (1 << 20), 2), 2));
    assert_eq!(bench.said(), ["2: PrepareAccepted 5@1048579.2"], "an honest margin passes");
}

/// [PROTO-115] [PROTO-119]: silence starts a status round after the election delay, not before.
#[test]
fn silence_starts_a_round() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.receive(2, Message::Vote(vote(at(6, 3, 2), 2, "held")));
    bench.sent.clear();
    bench.wait(Duration::from_millis(8_900));
    assert_eq!((bench.said(), bench.engine.role()), (vec![], Role::Secondary));
    bench.wait(Duration::from_millis(2_200));
    assert_eq!(bench.said()[0], "all: StatusQuery 6@3.2");
    assert_eq!(bench.engine.role(), Role::Initializing);
    // Nobody is ahead and the other one is as old: it stands for election.
    let query = bench.engine.status().accepted;
    bench.receive(3, status_response(at(6, 3, 2), query, 3, 0));
    assert_eq!(bench.engine.role(), Role::Preparing);
    assert_eq!(bench.said().last().unwrap(), "all: Prepare 6@4.1");
}
