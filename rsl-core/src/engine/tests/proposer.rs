//! What a primary does: batches, quorum, durability, resending, losing the role [PROTO-97..131].

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Bench, at, ballot, header, link, origin, prepare, vote};
use crate::engine::{
    AbortReason, Apply, ChangeToken, Command, Input, Report, Request, RequestToken, Role, StopReason,
};
use crate::format::Record;
use crate::types::{Decree, Instant};
use crate::wire::Message;

fn votes(bench: &Bench) -> Vec<(u64, Vec<Bytes>)> {
    let vote = |record: &Record| match record {
        Record::Vote(vote) => Some((vote.decree().0, vote.requests().collect())),
        Record::Prepare(_) | Record::Decision(_) => None,
    };
    bench.log.iter().filter_map(vote).collect()
}

fn accepted(decree: u64, from: u64) -> Message {
    Message::VoteAccepted(header(at(decree, 4, 1), from))
}

fn request(token: u64, payload: &'static [u8]) -> Request {
    let payload = Bytes::from_static(payload);
    Request { payload, token: RequestToken(token), exclusive: false, last_decree: false }
}

/// [SCN-11] [PROTO-103] [WIRE-8]: only the matching answer of a member counts, and once.
#[test]
fn a_vote_passes_on_the_matching_answer() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    let passed = |bench: &Bench| bench.engine.status().passed.0;
    assert_eq!(passed(&bench), 5);
    for (decree, number, owner) in [(5, 4, 1), (7, 4, 1), (6, 3, 1), (6, 5, 1), (6, 4, 2)] {
        bench.receive(2, Message::VoteAccepted(header(at(decree, number, owner), 2)));
        assert_eq!(passed(&bench), 5, "answer {decree}@{number}.{owner}");
        assert_eq!(bench.engine.role(), Role::Primary);
    }
    bench.receive(9, accepted(6, 9));
    assert_eq!(passed(&bench), 5, "answer of a stranger");
    bench.receive(2, accepted(6, 2));
    assert_eq!(passed(&bench), 6);
    bench.receive_all(vec![(2, accepted(6, 2)), (3, accepted(6, 3))]);
    assert_eq!((passed(&bench), bench.ended()), (6, vec![(1, None)]));
}

/// [PROTO-103]: answers of one member count once: five members need two of them.
#[test]
fn one_member_is_one_answer() {
    let set = super::harness::configuration(1..=5);
    let disk = super::harness::recovered(&set, at(5, 3, 2), ballot(3, 2));
    let mut bench = Bench::new(super::harness::settings(1), disk, 1);
    bench.command(Command::AttemptPromotion);
    for member in [2, 3] {
        bench.receive(member, super::harness::status_response(at(5, 3, 2), at(5, 3, 2), member, 0));
    }
    let promise = |member| super::harness::promise(at(5, 4, 1), member, vote(at(5, 3, 2), 9, "held"));
    bench.receive_all(vec![(2, promise(2)), (2, promise(2))]);
    assert_eq!(bench.engine.role(), Role::Preparing);
    bench.receive(3, promise(3));
    assert_eq!(bench.engine.role(), Role::Primary);
    bench.receive_all(vec![(2, accepted(5, 2)), (2, accepted(5, 2))]);
    assert!(!bench.engine.is_primary());
    bench.receive(4, accepted(5, 4));
    assert!(bench.engine.is_primary());
}

/// [SCN-12] [PROTO-65] [PROTO-100] [PROTO-102] [PROTO-5] [SCN-59]: the next vote leaves in the turn in which the first has its majority,
/// never before, with everything queued meanwhile in order.
#[test]
fn queued_requests_follow_in_one_vote() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.replicate(2, "b");
    bench.replicate(3, "c");
    assert_eq!(bench.said(), ["all: Vote 6@4.1"]);
    bench.receive(3, accepted(6, 3));
    assert_eq!(bench.said(), ["all: Vote 7@4.1"]);
    bench.receive(2, accepted(7, 2));
    assert_eq!(bench.ended(), [(1, None), (2, None), (3, None)]);
    let last = votes(&bench).pop().unwrap();
    assert_eq!(last, (7, vec![Bytes::from_static(b"b"), Bytes::from_static(b"c")]));
}

/// [PROTO-97] [PROTO-98] [WIRE-89] [HARD-559]: batches end at 10 MiB or at the message limit; exclusive requests stay alone.
#[test]
fn batches_are_bounded() {
    static BIG: [u8; 4 << 20] = [1; 4 << 20];
    let big = |token| request(token, &BIG);
    let batches = |max_vote_len: u64, requests: Vec<Request>| {
        let mut bench = Bench::primary(|settings| settings.max_vote_len = max_vote_len);
        bench.replicate(1, "first");
        bench.command(Command::Replicate(requests));
        for decree in 6..12 {
            bench.receive(2, accepted(decree, 2));
        }
        votes(&bench).into_iter().skip(2).map(|(_, requests)| requests.len()).collect::<Vec<_>>()
    };
    assert_eq!(batches(100 << 20, (2..=6).map(big).collect()), [2, 2, 1]);
    assert_eq!(batches(5 << 20, (2..=4).map(big).collect()), [1, 1, 1]);
    let alone = Request { exclusive: true, ..request(3, b"x") };
    assert_eq!(
        batches(100 << 20, vec![request(2, b"a"), alone, request(4, b"b"), request(5, b"c")]),
        [1, 1, 2]
    );
    // Exactly at the limit: envelope of version 6 without cookie is 178 bytes.
    static FIT: [u8; 100] = [1; 100];
    let fit = |token| request(token, &FIT);
    assert_eq!(batches(178 + 3 * 104, (2..=5).map(fit).collect()), [3, 1]);
}

/// [PROTO-99] [HARD-322]: after the last decree requests are refused, heartbeats end, and it does not stand again.
#[test]
fn draining_ends_requests_and_heartbeats() {
    let mut bench = Bench::primary(|_| {});
    bench.command(Command::Replicate(vec![Request { last_decree: true, ..request(1, b"last") }]));
    bench.replicate(2, "late");
    bench.receive(2, accepted(6, 2));
    assert_eq!(bench.ended(), [(2, Some(AbortReason::ShuttingDown)), (1, None)]);
    bench.said();
    bench.wait(Duration::from_secs(30));
    assert_eq!((bench.said(), bench.engine.role()), (vec![], Role::Primary));
    bench.receive(2, prepare(at(6, 9, 2), 2));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, super::harness::status_response(at(6, 4, 1), at(6, 4, 1), 2, 0));
    assert_eq!(bench.engine.role(), Role::Secondary);
}

/// [PROTO-27] O4, [PROTO-28]: a vote is sent while it is being logged, but the own record counts only when it is durable.
#[test]
fn the_own_record_counts_when_durable() {
    let mut bench = Bench::primary(|_| {});
    bench.hold_disk = true;
    bench.replicate(1, "a");
    assert_eq!(bench.said(), ["all: Vote 6@4.1"], "sent before the write is confirmed");
    bench.receive_all(vec![(2, accepted(6, 2)), (3, accepted(6, 3))]);
    assert_eq!(bench.engine.status().passed.0, 5, "both others have it, but not we");
    bench.sync();
    assert_eq!((bench.engine.status().passed.0, bench.ended()), (6, vec![(1, None)]));
}

/// [PROTO-27] O3, [PROTO-7] [PROTO-9]: a candidate asks before its own promise is durable, but leads only after it.
#[test]
fn no_vote_leaves_before_the_own_promise() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.hold_disk = true;
    bench.command(Command::AttemptPromotion);
    bench.receive(2, super::harness::status_response(at(5, 3, 2), at(5, 3, 2), 2, 0));
    assert_eq!(bench.said().last().unwrap(), "all: Prepare 5@4.1");
    bench.receive(2, super::harness::promise(at(5, 4, 1), 2, vote(at(5, 3, 2), 9, "held")));
    assert_eq!((bench.engine.role(), bench.said()), (Role::Preparing, vec![]));
    bench.sync();
    assert_eq!((bench.engine.role(), bench.said()), (Role::Primary, vec!["all: Vote 5@4.1".to_owned()]));
}

/// [PROTO-27] O1, O2: promises and acceptances leave after their records.
#[test]
fn answers_wait_for_the_disk() {
    for (message, expected) in [
        (prepare(at(5, 4, 2), 2), "2: PrepareAccepted 5@4.2"),
        (Message::Vote(vote(at(6, 3, 2), 2, "x")), "2: VoteAccepted 6@3.2"),
        (Message::NotAccepted(header(at(5, 9, 3), 2)), ""),
    ] {
        let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
        bench.hold_disk = true;
        bench.receive(2, message);
        assert_eq!(bench.said(), Vec::<String>::new());
        // Whatever else is said of the new state waits, too.
        bench.receive(3, Message::StatusQuery(header(at(1, 1, 3), 3)));
        assert_eq!(bench.said(), Vec::<String>::new());
        bench.sync();
        let said = bench.said();
        assert!(expected.is_empty() || said[0] == expected, "{said:?}");
        assert!(said.last().unwrap().starts_with("3: StatusResponse"), "{said:?}");
    }
}

/// [SCN-13] [PROTO-131] [PROTO-132] [PROTO-92]: outbid, it aborts what waited, in order, then reports its role.
#[test]
fn a_deposed_primary_aborts_in_order() {
    let mut bench = Bench::primary(|_| {});
    for (token, text) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.replicate(token, text);
    }
    let from = bench.applied.len();
    bench.receive(2, Message::NotAccepted(header(at(6, 9, 3), 2)));
    assert_eq!(bench.engine.role(), Role::Secondary);
    let refused = Some(AbortReason::NotPrimary);
    assert_eq!(bench.ended(), [(1, refused), (2, refused), (3, refused)]);
    assert!(matches!(bench.applied.last(), Some(Apply::Status { is_primary: false })));
    assert_eq!(bench.applied.len(), from + 4);
    bench.replicate(4, "d");
    assert_eq!(bench.ended().last(), Some(&(4, refused)), "no request is taken any more");
}

/// [API-105] [PROTO-131]: a request that arrives together with the vote that ends the term is aborted before the role is
/// reported, like those before it.
#[test]
fn a_request_in_the_turn_of_the_demotion_is_aborted_first() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    let request = Command::Replicate(vec![request(2, b"late")]);
    let message = Message::Vote(vote(at(6, 9, 2), 2, "other"));
    bench.give(vec![Input::Message { from: origin(2), message }, Input::Command(request)]);
    let refused = Some(AbortReason::NotPrimary);
    assert_eq!(bench.ended(), [(1, refused), (2, refused)]);
    let status = |apply: &Apply| matches!(apply, Apply::Status { is_primary: false });
    let ended = bench.applied.iter().position(status).expect("demoted");
    let later = &bench.applied[ended..];
    assert!(!later.iter().any(|apply| matches!(apply, Apply::Abort { .. })), "{later:?}");
}

/// [SCN-14] [SCN-15] [HARD-331] [HARD-557]: a value that was aborted is executed without its token, whoever gets it chosen.
#[test]
fn an_aborted_request_may_be_executed_without_token() {
    // By itself, elected again.
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.receive(2, Message::NotAccepted(header(at(6, 9, 3), 2)));
    bench.command(Command::AttemptPromotion);
    bench.receive(2, super::harness::status_response(at(6, 4, 1), at(6, 4, 1), 2, 0));
    let own = bench.engine.status().promised;
    assert_eq!(own, ballot(10, 1));
    bench.receive(2, super::harness::promise(at(6, 10, 1), 2, vote(at(5, 4, 1), 9, "held")));
    bench.receive(2, Message::VoteAccepted(header(at(6, 10, 1), 2)));
    assert_eq!(bench.ended(), [(1, Some(AbortReason::NotPrimary))]);
    let executed = bench.applied.iter().rev().find_map(|apply| match apply {
        Apply::Execute { vote, tokens, .. } => Some((vote.requests().next(), tokens.len())),
        _ => None,
    });
    assert_eq!(executed, Some((Some(Bytes::from_static(b"a")), 0)));

    // By another primary.
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.receive(2, Message::Vote(vote(at(6, 9, 2), 2, "a")));
    bench.receive(2, Message::Vote(vote(at(7, 9, 2), 2, "b")));
    assert_eq!(bench.ended(), [(1, Some(AbortReason::NotPrimary))]);
    assert_eq!(bench.engine.status().passed.0, 6);
}

/// [HARD-331] [HARD-557]: the same for a configuration change: it takes effect, and its caller hears of it once.
#[test]
fn an_aborted_change_may_take_effect_without_token() {
    let mut bench = Bench::primary(|_| {});
    let set = super::harness::members([1, 2, 4]);
    bench.command(Command::ChangeConfiguration { members: set, token: ChangeToken(1) });
    bench.receive(2, Message::NotAccepted(header(at(6, 9, 3), 2)));
    let aborted =
        |apply: &Apply| matches!(apply, Apply::AbortChange { token, .. } if *token == ChangeToken(1));
    assert_eq!(bench.applied.iter().filter(|apply| aborted(apply)).count(), 1);
    bench.command(Command::AttemptPromotion);
    bench.receive(2, super::harness::status_response(at(6, 4, 1), at(6, 4, 1), 2, 0));
    bench.receive(2, super::harness::promise(at(6, 10, 1), 2, vote(at(5, 4, 1), 9, "held")));
    bench.receive(2, Message::VoteAccepted(header(at(6, 10, 1), 2)));
    assert_eq!(bench.engine.status().configuration, 2);
    let told = bench.applied.iter().filter_map(|apply| match apply {
        Apply::Execute { vote, change, .. } => vote.reconfiguration().map(|_| change.is_some()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [false]);
}

/// [PROTO-91] [PROTO-88]: from a higher Prepare on nothing of the old ballot is sent or counted.
#[test]
fn a_higher_prepare_ends_the_old_ballot() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.said();
    bench.receive_all(vec![(2, prepare(at(6, 9, 2), 2)), (3, accepted(6, 3))]);
    assert_eq!(bench.said(), ["2: PrepareAccepted 6@9.2"]);
    assert_eq!(bench.engine.status().passed.0, 5);
    bench.wait(Duration::from_secs(8));
    assert!(!bench.said().iter().any(|line| line.contains("Vote 6")));
}

/// [PROTO-106] [PROTO-6] [WIRE-30]: who gets the vote again, and when, byte by byte the same.
#[test]
fn votes_are_sent_again() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    let start = bench.now;
    let first = match bench.sent.pop() {
        Some((_, Message::Vote(vote))) => vote.encoded().clone(),
        other => panic!("{other:?}"),
    };
    let resent = |bench: &mut Bench, after: u64, connected: bool, unsent: u32| {
        let mut links = [link(2, Some(start)), link(3, Some(start))];
        links[0].connected = connected;
        links[0].unsent = unsent;
        bench.now = Instant(start.0 + after * 1_000_000);
        bench.give(vec![Input::Links(links.to_vec())]);
        for (_, message) in &bench.sent {
            if let Message::Vote(vote) = message
                && vote.decree() == Decree(6)
            {
                assert_eq!(vote.encoded(), &first, "every copy is the same");
            }
        }
        bench.said()
    };
    assert_eq!(resent(&mut bench, 2, true, 0), Vec::<String>::new());
    assert_eq!(resent(&mut bench, 3, false, 0), ["peer 2: Vote 6@4.1"], "not connected: after 3 s");
    assert_eq!(resent(&mut bench, 4, true, 0), Vec::<String>::new());
    assert_eq!(
        resent(&mut bench, 5, true, 1),
        ["peer 3: Vote 6@4.1"],
        "connected: after 5 s; not behind unsent packets"
    );
    bench.receive(3, accepted(6, 3));
    bench.said();
    assert!(!resent(&mut bench, 12, true, 0).iter().any(|line| line.contains("6@4.1")), "chosen by now");
}

/// [PROTO-109] [HARD-323] [HARD-567]: a vote that finds no majority for 480 s makes the primary step down, and live on.
#[test]
fn a_primary_without_majority_steps_down() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.wait(Duration::from_secs(479));
    assert_eq!(bench.engine.role(), Role::Primary);
    bench.wait(Duration::from_secs(3));
    assert_eq!(bench.engine.role(), Role::Initializing);
    assert!(bench.reports.contains(&Report::VoteOutstandingTooLong(Decree(6))));
    assert_eq!(bench.ended(), [(1, Some(AbortReason::NotPrimary))]);
    assert!(matches!(bench.applied.last(), Some(Apply::Status { is_primary: false })));
}

/// [SCN-30] [PROTO-86] [PROTO-87] [HARD-317] [HARD-320] [PROTO-113] [HARD-316]: outbid before its relinquish vote is chosen, it serves on.
#[test]
fn a_primary_outbid_while_relinquishing_serves_on() {
    let mut bench = Bench::primary(|_| {});
    bench.command(Command::RelinquishPrimary);
    assert_eq!(bench.said(), ["all: Vote 6@4.1"]);
    // While relinquishing it answers neither queries nor Prepares, and survives votes.
    bench.receive(3, Message::StatusQuery(header(at(5, 3, 2), 3)));
    bench.receive(3, prepare(at(6, 8, 3), 3));
    bench.receive(3, Message::Vote(vote(at(6, 8, 3), 3, "x")));
    assert_eq!((bench.said(), bench.engine.role()), (vec![], Role::Primary));
    bench.receive(2, Message::NotAccepted(header(at(6, 9, 3), 2)));
    assert_eq!(bench.engine.role(), Role::Secondary);
    bench.receive(3, Message::StatusQuery(header(at(5, 3, 2), 3)));
    bench.receive(3, prepare(at(6, 10, 3), 3));
    assert_eq!(bench.said(), ["3: StatusResponse 6@4.1", "3: PrepareAccepted 6@10.3"]);
    assert_eq!(bench.stopped, None);
}

/// [SCN-29] [PROTO-113] [HARD-319] [HARD-565] [HARD-30]: chosen, it stops; requests behind the vote are aborted, none joins it.
#[test]
fn a_chosen_relinquish_vote_stops_the_replica() {
    let mut bench = Bench::primary(|_| {});
    bench.replicate(1, "a");
    bench.command(Command::RelinquishPrimary);
    bench.replicate(2, "b");
    bench.receive(2, accepted(6, 2));
    bench.receive(2, accepted(7, 2));
    assert_eq!(bench.stopped, Some(StopReason::Relinquished));
    assert_eq!(bench.ended(), [(1, None), (2, Some(AbortReason::ShuttingDown))]);
    assert_eq!(votes(&bench).last(), Some(&(7, vec![])));
    bench.replicate(3, "c");
    assert_eq!(bench.ended().last(), Some(&(3, Some(AbortReason::ShuttingDown))));
}

/// [PROTO-46] [WIRE-112] [HARD-564] [HARD-318]: no relinquishing below version 5, nor without a successor.
#[test]
fn relinquishing_needs_version_5_and_a_successor() {
    let mut bench = Bench::primary(|settings| settings.version = crate::types::ProtocolVersion::V4);
    // The re-proposed vote was of version 6 and has raised the version; below 5 there is no flag.
    assert_eq!(bench.engine.status().version, crate::types::ProtocolVersion::V6);
    bench.command(Command::RelinquishPrimary);
    assert_eq!(bench.said(), ["all: Vote 6@4.1"]);

    let set = super::harness::configuration([1]);
    let fresh = crate::types::Position::new(Decree::ZERO, crate::types::Ballot::EMPTY);
    let sole = |version| {
        let disk = super::harness::recovered(&set, fresh, crate::types::Ballot::EMPTY);
        let settings = crate::engine::Settings { version, ..super::harness::settings(1) };
        Bench::new(settings, disk, 1)
    };
    let mut alone = sole(crate::types::ProtocolVersion::V6);
    assert!(alone.engine.is_primary());
    alone.command(Command::RelinquishPrimary);
    assert_eq!((alone.reports.clone(), alone.stopped.clone()), (vec![Report::NoSuccessor], None));
    alone.replicate(1, "goes on");
    assert_eq!(alone.ended(), [(1, None)]);
    let mut old = sole(crate::types::ProtocolVersion::V4);
    old.command(Command::RelinquishPrimary);
    assert_eq!(old.reports, []);
}

/// [PROTO-185] [PROTO-187] [WIRE-78]: answers carry the payload, and the primary notes it.
#[test]
fn payloads_travel_with_vote_answers() {
    let mut bench = Bench::secondary(at(5, 3, 2), ballot(3, 2));
    bench.command(Command::SetVotePayload(77));
    bench.receive(2, Message::Vote(vote(at(6, 3, 2), 2, "x")));
    let payload = |bench: &Bench| bench.sent.last().map(|(_, message)| message.header().payload);
    assert_eq!(payload(&bench), Some(77));
    bench.receive(3, prepare(at(6, 2, 3), 3));
    assert_eq!(payload(&bench), Some(0), "a plain refusal carries none");

    let mut bench = Bench::primary(|_| {});
    let mut answer = header(at(3, 1, 2), 2);
    answer.payload = 5;
    bench.receive(2, Message::VoteAccepted(answer));
    let votes = bench.engine.status().votes;
    let noted = votes.iter().find(|(member, _)| *member == super::harness::id(2)).unwrap().1;
    assert_eq!((noted.decree.0, noted.payload), (5, 5), "the highest decree, the newest payload");
}

/// [HARD-344] [HARD-345] [SCN-58] [PROTO-23] [PROTO-111]: nothing is proposed between a chosen reconfiguration and the switch.
#[test]
fn no_heartbeat_slips_into_a_reconfiguration() {
    let mut bench = Bench::primary(|_| {});
    let members = super::harness::members([1, 2, 3]);
    bench.command(Command::ChangeConfiguration { members, token: ChangeToken(1) });
    bench.wait(Duration::from_secs(5));
    bench.said();
    bench.receive(2, accepted(6, 2));
    let said = bench.said();
    assert_eq!(said[..2], ["all: ReconfigurationDecision 6@4.1", "all: StatusQuery 7@0."], "{said:?}");
    let later = votes(&bench).into_iter().filter(|(decree, _)| *decree > 6).count();
    assert_eq!(later, 0, "no vote above the reconfiguration in the old configuration");
}

/// [HARD-324] A primary without an outstanding vote whose retry time is over has nothing to resend.
#[test]
fn nothing_outstanding_is_nothing_to_resend() {
    let mut bench = Bench::primary(|settings| settings.heartbeat_interval = Duration::from_secs(100));
    assert!(bench.engine.is_primary());
    bench.wait(Duration::from_secs(30));
    assert!(bench.engine.is_primary());
    assert!(bench.sent.iter().all(|(_, message)| !matches!(message, Message::Vote(_))), "{:?}", bench.sent);
}
