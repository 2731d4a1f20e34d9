//! The conformance scenarios of protocol.md that are restarts.

use std::time::Duration;

use super::*;
use crate::engine::{
    AppendSeq, ConnectionId, Direction, Effect, Engine, Input, Origin, Outbox, Recovered, Settings,
};
use crate::types::{Instant, Position};
use crate::wire::Message;

/// exec, acc, promised of a start that succeeds.
fn started(disk: &MemDisk) -> (u64, Position, Ballot) {
    let recovered = start(disk).0.unwrap().recovered;
    (recovered.executed.0, recovered.accepted.position(), recovered.promised)
}

fn at(decree: u64, id: u32) -> Position {
    Position::new(Decree(decree), ballot(id))
}

/// [SCN-40] A clean log, a zero-filled tail, half a record, the last decree twice: what was accepted and promised is
/// restored, the last vote is not executed.
#[test]
fn what_the_end_of_a_log_may_look_like() {
    let whole = log(&[vote(0, 1), vote(1, 1), prepare(1, 2), vote(1, 2), vote(2, 2)]);
    let half = log(&[big_vote(3, 2, 3000)]);
    for tail in [vec![], vec![0; 4096], half[..half.len() / 2].to_vec()] {
        let disk = disk();
        disk.put(&log_name(0), &[whole.clone(), tail].concat());
        let (restored, app) = start(&disk);
        let recovered = restored.unwrap().recovered;
        assert_eq!((recovered.accepted.position(), recovered.promised), (at(2, 2), ballot(2)));
        assert_eq!((app.executed, recovered.executed), (vec![1], Decree(1)));
    }
    let disk = disk();
    disk.put(&log_name(0), &[whole, log(&[vote(2, 3)])].concat());
    assert_eq!(started(&disk), (1, at(2, 3), ballot(3)));
}

/// [SCN-40] A corrupt newest checkpoint, and an application that refuses two states: the next older one is taken, last
/// of all nothing; only when nothing is usable the start fails.
#[test]
fn what_checkpoints_may_look_like() {
    let with_checkpoints = || {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=9));
        [3, 5, 7].into_iter().for_each(|decree| put_checkpoint(&disk, decree));
        disk
    };
    let disk = with_checkpoints();
    disk.put(&path("7.codex"), b"damaged");
    let (restored, app) = start(&disk);
    let restored = restored.unwrap();
    assert_eq!(restored.recovered.checkpoint.unwrap().decree, Decree(5));
    assert_eq!((app.executed, restored.recovered.accepted.decree()), (vec![6, 7, 8], Decree(9)));

    let refusing = |count| App { refuse_loads: count, ..App::default() };
    let (restored, app) = start_with(&with_checkpoints(), &settings(), refusing(2));
    let recovered = restored.unwrap().recovered;
    assert_eq!((recovered.checkpoint.unwrap().decree, app.loads.len()), (Decree(3), 3));
    assert_eq!((app.executed, recovered.accepted.decree()), ((4..=8).collect(), Decree(9)));

    let (restored, app) = start_with(&with_checkpoints(), &settings(), refusing(3));
    assert_eq!((restored.unwrap().recovered.checkpoint, app.executed), (None, (1..=8).collect()));

    let disk = with_checkpoints();
    disk.put(&log_name(4), &log(&votes(4..=9)));
    let app = App { refuse_nothing: true, ..refusing(3) };
    start_with(&disk, &settings(), app).0.unwrap_err();
}

fn engine_settings() -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        member: member("1"),
        learn_port: 20_002,
        version: ProtocolVersion::V4,
        new_leader_grace_period: 15 * second,
        heartbeat_interval: 2 * second,
        election_delay: 10 * second,
        election_randomize_percent: 10,
        max_election_randomize: second,
        initialize_retry_interval: second,
        prepare_retry_interval: second,
        vote_retry_interval: 3 * second,
        receive_timeout: 5 * second,
        vote_max_outstanding_interval: 480 * second,
        checkpoint_query_interval: 5 * second,
        join_messages_interval: second,
        max_checkpoint_interval: Duration::ZERO,
        max_log_len: 1 << 20,
        log_len_randomize_percent: 0,
        max_cache_len: 50 << 20,
        max_vote_len: 100 << 20,
        promote_while_catching_up: false,
        remote_bootstrap: true,
        use_global_accept_flag: true,
    }
}

/// What a restarted replica, whose log is durable at once, says to one message.
fn answers(recovered: Recovered, message: Message) -> Vec<Message> {
    let now = Instant(1_000_000_000);
    let mut engine = Engine::recover(engine_settings(), recovered, 1, now);
    let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 50_000);
    let from = Origin { connection: ConnectionId(1), direction: Direction::Inbound, address };
    let mut outbox = Outbox::default();
    let mut sent = Vec::new();
    let mut inputs = vec![Input::Message { from, message }];
    for _ in 0..5 {
        let mut effects = Vec::new();
        engine.turn(now, std::mem::take(&mut inputs), &mut effects);
        let mut durable = AppendSeq(0);
        for effect in effects {
            match effect {
                Effect::Append { seq, .. } => durable = seq,
                Effect::Send { to, message, after } => sent.extend(outbox.submit(to, message, after)),
                _ => {}
            }
        }
        if durable > AppendSeq(0) {
            sent.extend(outbox.appended(durable));
            inputs.push(Input::Appended { through: durable });
        }
    }
    sent.into_iter().map(|(_, message)| message).collect()
}

fn prepare_of(decree: u64, id: u32) -> Message {
    let mut header = header(ProtocolVersion::V4, decree, Ballot::new(id, member("2")));
    header.member = member("2");
    Message::Prepare(Prepare { header, cookie: PrimaryCookie::new() })
}

/// [SCN-54] [HARD-369] A replica that promised or accepted at decree 0, started from a member list, is restarted: both are
/// still known, and a lower ballot is refused with the promise.
#[test]
fn decree_zero_survives_a_restart() {
    for (records, accepted, promise) in [
        (vec![prepare(0, 3)], Position::default(), 3),
        (vec![prepare(0, 3), vote(0, 3)], at(0, 3), 3),
        (vec![prepare(0, 3), vote(0, 3), prepare(0, 4)], at(0, 3), 4),
    ] {
        let disk = disk();
        put_log(&disk, 0, &records);
        assert_eq!(started(&disk), (0, accepted, ballot(promise)));
        let said = answers(start(&disk).0.unwrap().recovered, prepare_of(0, promise - 1));
        let refusal =
            |message: &Message| matches!(message, Message::NotAccepted(no) if no.ballot == ballot(promise));
        assert!(said.iter().any(refusal), "{said:?}");
        assert!(!said.iter().any(|message| matches!(message, Message::PrepareAccepted(_))), "{said:?}");
    }
}

/// [SCN-55] [HARD-371] A bootstrapped replica promised a ballot at decree 1, nothing was voted: the promise is known
/// after two restarts.
#[test]
fn a_promise_after_bootstrap_survives_restarts() {
    let disk = disk();
    let next = empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY);
    let bootstrap = NewCheckpoint { state_saved: false, ..new_checkpoint(0, next, Ballot::EMPTY) };
    save(&open(&disk), bootstrap, &[]).unwrap();
    {
        let directory = open(&disk);
        let mut restored = restore(&directory, &settings(), &mut App::default()).unwrap();
        assert_eq!(restored.recovered.accepted.position(), Position::new(Decree(1), Ballot::EMPTY));
        restored.log.append(&prepare(1, 2), None).unwrap();
        restored.log.flush().unwrap();
    }
    for _ in 0..3 {
        let (executed, accepted, promised) = started(&disk);
        assert_eq!((executed, accepted.decree, promised), (0, Decree(1), ballot(2)));
    }
}

/// [SCN-56] [HARD-367] A crash in the middle of a vote of several pages, then shorter appends, then a restart: the log
/// holds exactly what was appended, nothing of the torn vote.
#[test]
fn shorter_votes_after_a_torn_one() {
    let torn = log(&[big_vote(3, 1, 20_000)]);
    for kept in [1, 512, 513, 4096, torn.len() - 512, torn.len() - 1] {
        let disk = disk();
        disk.put(&log_name(0), &[log(&votes(0..=2)), torn[..kept].to_vec()].concat());
        {
            let directory = open(&disk);
            let mut restored = restore(&directory, &settings(), &mut App::default()).unwrap();
            for decree in 3..=4 {
                restored.log.append(&vote(decree, 1), None).unwrap();
                restored.log.flush().unwrap();
            }
        }
        let (restored, app) = start(&disk);
        let restored = restored.unwrap();
        assert_eq!(restored.notes, [], "{kept} bytes of the torn vote");
        assert_eq!((app.executed, restored.recovered.accepted.position()), (vec![1, 2, 3], at(4, 1)));
        assert_eq!(disk.get(&log_name(0)), Some(log(&votes(0..=4))));
    }
}

/// [SCN-57] [HARD-368] A replica copied a checkpoint through the API and goes on in the log it had, where a Prepare below
/// the checkpoint follows: it starts, and keeps the promise.
#[test]
fn a_promise_below_a_copied_checkpoint() {
    let source = disk();
    put_checkpoint(&source, 5);
    let bytes = source.get(&path("5.codex")).unwrap();
    let disk = disk();
    put_log(&disk, 0, &votes(0..=2));
    {
        let directory = open(&disk);
        let mut restored = restore(&directory, &settings(), &mut App::default()).unwrap();
        let request = CopyRequest {
            decree: Decree(5),
            size: bytes.len() as u64,
            promised: restored.recovered.promised,
            max_header: 1 << 20,
        };
        copy_checkpoint(&directory, request, &mut bytes.as_slice()).unwrap();
        restored.log.append(&prepare(2, 7), None).unwrap();
        restored.log.flush().unwrap();
    }
    for _ in 0..2 {
        let (executed, accepted, promised) = started(&disk);
        assert_eq!((executed, accepted.decree, promised), (5, Decree(6), ballot(7)));
    }
}
