//! Clauses about messages, roles, requests and elections: one core, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::LegacyModel;
use super::super::tests::{Bench, empty_vote, header, member, node, request};
use crate::engine::{ChangeToken, Command, Consensus, Engine, Input, Role, StopReason};
use crate::types::{Ballot, Decree, MemberSet};
use crate::wire::{Message, Prepare, Vote, VoteContent};

/// True when legacy's behaviour shows.
type Shows<C> = fn() -> (bool, Bench<C>);

macro_rules! cases {
    ($($clause:literal: $scenario:ident,)*) => {{
        let cases: &[(&str, Shows<LegacyModel>, Shows<Engine>)] =
            &[$(($clause, $scenario::<LegacyModel>, $scenario::<Engine>),)*];
        cases
    }};
}

fn ballot(id: u32, of: u8) -> Ballot {
    Ballot::new(id, member(&of.to_string()))
}

fn prepare(from: u8, decree: u64, id: u32) -> Message {
    Message::Prepare(Prepare { header: header(from, decree, ballot(id, from)), cookie: Bytes::new() })
}

fn accepts<C>(bench: &Bench<C>) -> usize {
    bench.said.iter().filter(|message| matches!(message, Message::VoteAccepted(_))).count()
}

/// A stranger's vote with a huge decree hides all later ones.
fn stranger_masks_votes<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::of(3);
    bench.hear(88, Message::Vote(empty_vote(8, 1 << 40, ballot(5, 3))));
    bench.hear(3, Message::Vote(empty_vote(3, 0, ballot(5, 3))));
    let mut status = header(2, 0, Ballot::EMPTY);
    status.ballot = Ballot::EMPTY;
    // A peer that heard from a primary lately: no reason to stand for election.
    bench.hear(
        2,
        Message::StatusResponse(crate::wire::StatusResponse {
            header: status,
            query: status.position(),
            last_received_ago: 0,
            log: crate::wire::LogRange::default(),
            max_ballot: Ballot::EMPTY,
            state: 4,
        }),
    );
    bench.wait(Duration::from_millis(20));
    (accepts(&bench) == 0, bench)
}

/// The highest ballot id leaves none to choose.
fn absurd_ballot_is_fatal<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.hear(3, prepare(3, 0, u32::MAX));
    bench.stand_again();
    (bench.crashed(), bench)
}

/// A primary gives up for a DefunctConfiguration of anybody.
fn anybody_deposes<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    let mut notice = header(9, 0, Ballot::EMPTY);
    notice.configuration = 7;
    bench.hear(99, Message::DefunctConfiguration(notice));
    (bench.core.role() == Role::Initializing, bench)
}

/// A Decision about a vote that changes nothing ends the process.
fn false_decision_is_fatal<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.hear(3, Message::ReconfigurationDecision(header(3, 0, ballot(1, 1))));
    (bench.crashed(), bench)
}

/// A relinquishing primary dies of any vote.
fn vote_kills_relinquishing<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.command(Command::RelinquishPrimary);
    bench.wait(Duration::from_millis(10));
    bench.hear(3, Message::Vote(empty_vote(3, 1, ballot(9, 3))));
    (bench.crashed(), bench)
}

/// Outbid, it ignores Prepares for ever.
fn relinquishing_is_deaf<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.command(Command::RelinquishPrimary);
    bench.wait(Duration::from_millis(10));
    bench.hear(3, Message::NotAccepted(header(3, 1, ballot(8, 3))));
    assert_eq!(bench.core.role(), Role::Secondary);
    bench.said.clear();
    bench.hear(3, prepare(3, 1, 9));
    (!bench.said.iter().any(|message| matches!(message, Message::PrepareAccepted(_))), bench)
}

/// A sole member that relinquishes swallows the requests that follow.
fn sole_member_wedges<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(1);
    bench.command(Command::RelinquishPrimary);
    bench.wait(Duration::from_millis(10));
    bench.replicate(1);
    bench.pass(1);
    (bench.executed.is_empty() && bench.aborted.is_empty(), bench)
}

/// A request that joins the relinquish vote gets neither callback.
fn relinquish_loses_a_request<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    let commands = [Command::RelinquishPrimary, Command::Replicate(vec![request(1)])];
    bench.give(commands.into_iter().map(Input::Command).collect());
    bench.wait(Duration::from_millis(10));
    bench.peer_accepts();
    bench.wait(Duration::from_millis(10));
    bench.peer_accepts();
    assert_eq!(bench.stopped, Some(StopReason::Relinquished));
    (!bench.executed.contains(&1) && !bench.aborted.contains(&1), bench)
}

/// A vote that finds no majority for 480 s ends the process.
fn outstanding_too_long_is_fatal<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.replicate(1);
    for _ in 0..482 {
        assert!(!bench.crashed() || bench.now >= super::super::tests::START + Duration::from_secs(480));
        bench.wait(Duration::from_secs(1));
    }
    (bench.crashed(), bench)
}

/// A candidate with a dead ballot does not take the hint of a peer that is behind.
fn dead_ballot_is_kept<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.replicate(1);
    bench.peer_accepts();
    bench.hear(3, prepare(3, 1, 2));
    bench.stand_again();
    let dead = bench.candidacy().unwrap();
    let mut refusal = header(2, 0, ballot(9, 3));
    refusal.configuration = 1;
    bench.hear(2, Message::NotAccepted(refusal));
    bench.pass(3);
    (bench.candidacy() == Some(dead), bench)
}

/// The answer to an accepted vote is withheld for a vote that then fails verification.
fn answer_is_withheld<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.hear(3, Message::Vote(empty_vote(3, 0, ballot(2, 3))));
    bench.said.clear();
    let mut old = header(3, 2, ballot(2, 3));
    old.configuration = 0;
    let old = Vote::new(old, &VoteContent::default()).unwrap();
    let votes = [empty_vote(3, 1, ballot(2, 3)), old];
    let from = Bench::<C>::origin(3);
    bench.give(votes.map(|vote| Input::Message { from, message: Message::Vote(vote) }).into());
    assert_eq!(bench.core.status().accepted.decree, Decree(1));
    (accepts(&bench) == 0, bench)
}

/// A shutdown while the previous primary's request is proposed anew ends in a crash.
fn null_cookie_is_fatal<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    let requests = vec![Bytes::from_static(b"of another primary")];
    let content = VoteContent { requests, ..VoteContent::default() };
    let vote = Vote::new(header(3, 0, ballot(2, 3)), &content).unwrap();
    bench.hear(3, Message::Vote(vote));
    bench.stand_again();
    bench.peer_promises();
    assert_eq!(bench.core.role(), Role::Primary);
    bench.command(Command::Stop(StopReason::Unloaded));
    (bench.crashed(), bench)
}

/// A request that was aborted is executed with its cookie.
fn cookie_comes_twice<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    bench.replicate(1);
    bench.hear(3, prepare(3, 1, 2));
    bench.wait(Duration::from_millis(10));
    assert_eq!(bench.aborted, [1]);
    bench.stand_again();
    bench.peer_promises();
    bench.peer_accepts();
    bench.wait(Duration::from_millis(10));
    assert!(bench.core.is_primary());
    (bench.executed.contains(&1), bench)
}

/// A Decision with the ballot the vote had before it was proposed anew is ignored.
fn older_decision_is_ignored<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::elected(3);
    let members = MemberSet { nodes: (1..=2).map(node).collect(), cookie: Bytes::new() };
    let content = VoteContent { reconfiguration: Some(Arc::new(members)), ..VoteContent::default() };
    for id in [2, 4] {
        let vote = Vote::new(header(3, 0, ballot(id, 3)), &content).unwrap();
        bench.hear(3, Message::Vote(vote));
    }
    bench.hear(3, Message::ReconfigurationDecision(header(3, 0, ballot(2, 3))));
    (bench.core.status().configuration == 1, bench)
}

/// An empty log claims to hold everything.
fn empty_log_claims_everything<C: Consensus>() -> (bool, Bench<C>) {
    let mut bench = Bench::<C>::of(3);
    bench.hear(2, Message::StatusQuery(header(2, 0, Ballot::EMPTY)));
    let answer = bench.said.iter().find_map(|message| match message {
        Message::StatusResponse(status) => Some(status.log.min_decree_in_log),
        _ => None,
    });
    (answer.unwrap() == Decree::ZERO, bench)
}

/// A ReconfigurationDecision too late: the heartbeat thread proposes the next decree in the old configuration.
fn heartbeat_outruns_a_decision<C: Consensus>(mut bench: Bench<C>) -> bool {
    let members = Arc::new(MemberSet { nodes: (1..=2).map(node).collect(), cookie: Bytes::new() });
    bench.command(Command::ChangeConfiguration { members, token: ChangeToken(1) });
    bench.wait(Duration::from_millis(10));
    // The vote takes longer than a heartbeat.
    bench.wait(Duration::from_millis(2500));
    bench.said.clear();
    bench.peer_accepts();
    bench.wait(Duration::from_millis(10));
    let old = |message: &Message| matches!(message, Message::Vote(vote) if vote.header().configuration == 1);
    let decided = bench.said.iter().any(|message| matches!(message, Message::ReconfigurationDecision(_)));
    assert!(decided, "{:?}", bench.said);
    bench.said.iter().any(old) && bench.core.status().configuration == 1
}

/// [HARD-304] [HARD-306] [HARD-307] [HARD-310] [HARD-316] [HARD-317] [HARD-318] [HARD-319] [HARD-323] [HARD-325]
/// [HARD-327] [HARD-330] [HARD-331] [HARD-337] [HARD-372] [HARD-557] The model has each fault, the engine has none.
#[test]
fn each_fault_is_the_models_and_not_the_engines() {
    let cases = cases! {
        "HARD-304": stranger_masks_votes,
        "HARD-306": absurd_ballot_is_fatal,
        "HARD-307": anybody_deposes,
        "HARD-310": false_decision_is_fatal,
        "HARD-316": vote_kills_relinquishing,
        "HARD-317": relinquishing_is_deaf,
        "HARD-318": sole_member_wedges,
        "HARD-319": relinquish_loses_a_request,
        "HARD-323": outstanding_too_long_is_fatal,
        "HARD-325": dead_ballot_is_kept,
        "HARD-327": answer_is_withheld,
        "HARD-330": null_cookie_is_fatal,
        "HARD-331, HARD-557": cookie_comes_twice,
        "HARD-337": older_decision_is_ignored,
        "HARD-372": empty_log_claims_everything,
    };
    let mut wrong = Vec::new();
    for (clause, model, engine) in cases {
        let (shows, bench) = model();
        if !shows {
            wrong.push(format!("{clause}: not shown by the model, {:?}", bench.core.status()));
        }
        if let Some(StopReason::Panicked(text)) = &bench.stopped
            && !text.contains(clause)
        {
            wrong.push(format!("{clause}: the model dies of something else: {text}"));
        }
        let (shows, bench) = engine();
        if shows || bench.crashed() {
            wrong.push(format!("{clause}: shown by the engine, {:?}", bench.core.status()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// [HARD-344] With independent heartbeats the model splits the configurations; the engine, whose heartbeats are always
/// its own, does not, and neither does the model without them.
#[test]
fn a_heartbeat_gets_before_a_decision() {
    let independent = || {
        let mut bench = Bench::<LegacyModel>::elected(3);
        bench.core = std::mem::replace(&mut bench.core, Bench::of(3).core).with_independent_heartbeat();
        bench
    };
    assert!(heartbeat_outruns_a_decision(independent()));
    assert!(!heartbeat_outruns_a_decision(Bench::<LegacyModel>::elected(3)));
    assert!(!heartbeat_outruns_a_decision(Bench::<Engine>::elected(3)));
}
