//! What the contract of the C++ API says of the engine: whose messages count, primary cookies, draining, bootstrap.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{
    Bench, at, ballot, configuration, header, members, origin, prepare, promise, recovered, settings,
    status_response, vote,
};
use crate::engine::{
    BootstrapResult, BootstrapToken, ChangeToken, Command, Input, Request, RequestToken, Role, Settings,
};
use crate::types::{Ballot, Configuration, Decree, Position, ProtocolVersion};
use crate::wire::{Join, LogRange, Message};

/// [API-18] Votes, Prepares, answers and decisions count only if id and source address belong to one member; anything else
/// is dropped without a trace and its connection closed. Status queries, invitations and reports of defunct
/// configurations are not checked so.
#[test]
fn a_member_is_known_by_id_and_address() {
    let held = at(5, 2, 2);
    let checked = |from: u64| {
        vec![
            Message::Vote(vote(at(6, 2, 2), from, "x")),
            prepare(at(6, 9, from), from),
            Message::VoteAccepted(header(held, from)),
            promise(at(5, 9, 1), from, vote(held, from, "held")),
            Message::NotAccepted(header(at(7, 9, 3), from)),
            status_response(at(9, 9, 3), held, from, 0),
            Message::ReconfigurationDecision(header(held, from)),
        ]
    };
    let by = |member: u64, source: u64| {
        checked(member).into_iter().map(move |message| (message, origin(source))).collect::<Vec<_>>()
    };
    // A member's id from elsewhere, a stranger from a member's address, and two members mixed up.
    for (message, from) in [by(2, 9), by(9, 2), by(3, 2)].concat() {
        let name = format!("{:?} of {} from {}", message.id(), message.header().member, from.address);
        let mut bench = Bench::secondary(held, ballot(2, 2));
        let before = bench.engine.status();
        bench.give(vec![Input::Message { from, message }]);
        assert_eq!(bench.said(), [""; 0], "{name}");
        assert_eq!(bench.log, [], "{name}");
        assert_eq!(bench.disconnected, [from.connection], "{name}");
        let after = bench.engine.status();
        assert_eq!(
            (after.accepted, after.promised, after.role),
            (before.accepted, before.promised, before.role),
            "{name}"
        );
    }
    // From the member itself the first two are answered: the check is what dropped them.
    let mut bench = Bench::secondary(held, ballot(2, 2));
    checked(2).into_iter().take(2).for_each(|message| bench.receive(2, message));
    assert_eq!(bench.log.len(), 2);
    assert_eq!(bench.disconnected, []);

    let mut bench = Bench::secondary(held, ballot(2, 2));
    bench.give(vec![Input::Message { from: origin(9), message: Message::StatusQuery(header(held, 9)) }]);
    assert_eq!(bench.said(), ["9: StatusResponse 5@2.2"]);
    for message in [
        Message::DefunctConfiguration(crate::wire::Header { configuration: 0, ..header(held, 9) }),
        Message::JoinRequest(header(held, 9)),
        Message::Join(Join { header: header(held, 9), learn_port: 1, log: LogRange::default() }),
    ] {
        bench.give(vec![Input::Message { from: origin(9), message }]);
        assert_eq!(bench.disconnected, []);
    }
}

/// The cookies of the Prepares and votes sent since the last call.
fn cookies(bench: &mut Bench) -> Vec<Bytes> {
    let sent = std::mem::take(&mut bench.sent);
    let cookie = |message: &Message| match message {
        Message::Prepare(prepare) => Some(prepare.cookie.clone()),
        Message::Vote(vote) => Some(vote.cookie().clone()),
        _ => None,
    };
    sent.iter().filter_map(|(_, message)| cookie(message)).collect()
}

/// [API-27] The cookie that CanBecomePrimary gave goes with every Prepare and vote until a later call returns true; one
/// that returns false leaves nothing behind. In version 1 nothing of it is on the wire.
#[test]
fn a_cookie_lasts_until_the_next_yes() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.lead_cookie = Bytes::from_static(b"first");
    bench.lead();
    bench.replicate(1, "x");
    assert_eq!(cookies(&mut bench), ["first"; 3], "Prepare, re-proposal, request");
    // Another primary comes and goes; this replica is not allowed to follow it.
    bench.receive(2, prepare(at(7, 9, 2), 2));
    assert_ne!(bench.engine.role(), Role::Primary);
    (bench.may_lead, bench.lead_cookie) = (false, Bytes::from_static(b"refused"));
    bench.command(Command::AttemptPromotion);
    let held = bench.engine.status().accepted;
    bench.receive(2, status_response(held, held, 2, 0));
    assert_eq!((bench.engine.role(), cookies(&mut bench)), (Role::Secondary, vec![]));
    (bench.may_lead, bench.lead_cookie) = (true, Bytes::from_static(b"second"));
    bench.lead();
    bench.replicate(2, "y");
    let sent = cookies(&mut bench);
    assert!(sent.len() >= 3 && sent.iter().all(|cookie| cookie == "second"), "{sent:?}");

    let old = Settings { version: ProtocolVersion::V1, ..settings(1) };
    let mut bench = Bench::secondary_with(old, Position::new(Decree::ZERO, Ballot::EMPTY), Ballot::EMPTY);
    bench.lead_cookie = Bytes::from_static(b"first");
    bench.lead();
    bench.replicate(1, "x");
    let decoded = |message: &Message| Message::decode(&message.encode().unwrap()).unwrap();
    for (_, message) in &mut bench.sent {
        *message = decoded(message);
    }
    let sent = cookies(&mut bench);
    assert!(sent.len() == 3 && sent.iter().all(Bytes::is_empty), "{sent:?}");
}

/// [HARD-561] (decision 4) A replica that drains does not stand for election, whatever asks for one; if it is the only member, it
/// does.
#[test]
fn a_draining_replica_stands_only_alone() {
    let last = || {
        Command::Replicate(vec![Request {
            payload: Bytes::from_static(b"last"),
            token: RequestToken(1),
            exclusive: true,
            last_decree: true,
        }])
    };
    let mut bench = Bench::primary(|_| {});
    bench.command(last());
    bench.receive(2, Message::VoteAccepted(header(at(6, 4, 1), 1)));
    bench.receive(2, prepare(at(6, 9, 2), 2));
    for _ in 0..3 {
        bench.wait(Duration::from_secs(60));
        bench.command(Command::AttemptPromotion);
        let held = bench.engine.status().accepted;
        bench.receive(2, status_response(held, held, 2, 0));
        assert_eq!(bench.engine.role(), Role::Secondary);
    }

    // Alone: the end of its term is that of its configuration.
    let set = configuration([1]);
    let mut bench = Bench::new(settings(1), recovered(&set, at(5, 2, 1), ballot(2, 1)), 1);
    assert!(bench.engine.is_primary());
    bench.command(last());
    let before = bench.engine.status().accepted;
    bench.command(Command::ChangeConfiguration { members: members([1]), token: ChangeToken(2) });
    bench.wait(Duration::from_secs(60));
    assert!(
        bench.engine.is_primary() && bench.engine.status().accepted.decree == before.decree,
        "nothing is taken any more"
    );
    bench.command(Command::AttemptPromotion);
    bench.wait(Duration::from_secs(60));
    assert!(bench.engine.is_primary());
}

/// [API-124] Bootstrap is for version 4 and later: below, the members were given at the start and the call cannot change
/// them, only compare and wait. A second call ends the one in flight.
#[test]
fn bootstrap_is_one_call_of_version_4() {
    let call = |bench: &mut Bench, token, set: &[u64], seconds| {
        let (members, token) = (members(set.iter().copied()), BootstrapToken(token));
        let timeout = Duration::from_secs(seconds);
        bench.command(Command::Bootstrap { members, timeout, token });
    };
    let fresh = Position::new(Decree::ZERO, Ballot::EMPTY);
    let old = Settings { version: ProtocolVersion::V3, ..settings(1) };
    let mut bench = Bench::new(old, recovered(&configuration(1..=3), fresh, Ballot::EMPTY), 1);
    call(&mut bench, 1, &[1, 2, 4], 60);
    assert_eq!(bench.bootstraps, [(1, BootstrapResult::Failed)], "at once");
    call(&mut bench, 2, &[1, 2, 3], 5);
    assert_eq!(bench.bootstraps.len(), 1, "waits for a primary");
    bench.wait(Duration::from_secs(6));
    assert_eq!(bench.bootstraps[1..], [(2, BootstrapResult::Failed)]);
    assert_eq!(bench.engine.status().configuration, 1);
    assert_eq!(bench.peers, [2, 3]);

    let unknown = recovered(&Configuration::empty(0), fresh, Ballot::EMPTY);
    let mut bench = Bench::new(settings(1), unknown, 1);
    call(&mut bench, 1, &[1, 2, 3], 60);
    call(&mut bench, 2, &[1, 2, 3], 60);
    assert_eq!(bench.bootstraps, [(1, BootstrapResult::Failed)]);
    assert!(bench.sent.iter().any(|(_, message)| matches!(message, Message::Bootstrap(_))));
    bench.wait(Duration::from_secs(61));
    assert_eq!(bench.bootstraps[1..], [(2, BootstrapResult::Failed)]);
    assert_eq!((bench.engine.status().configuration, bench.peers), (1, vec![2, 3]), "the set stays adopted");
}
