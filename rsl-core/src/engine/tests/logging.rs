//! What is logged, when, and into which file: section 2 of storage.md.

use std::collections::BTreeSet;

use super::harness::{Bench, at, ballot, configuration, header, id, prepare, recovered, settings, vote};
use crate::engine::{AppendSeq, Destination, Outbox, Role, Settings};
use crate::format::Record;
use crate::types::{Decree, ProtocolVersion};
use crate::wire::{Header, Message, MessageId};

/// The records since the last call, in short form.
fn logged(bench: &mut Bench) -> Vec<String> {
    std::mem::take(&mut bench.log)
        .iter()
        .map(|record| {
            let kind = match record {
                Record::Vote(_) => "vote",
                Record::Prepare(_) => "prepare",
                Record::Decision(_) => "decision",
            };
            format!("{kind} {}", record.position())
        })
        .collect()
}

/// [STOR-16]: a secondary logs votes that are next and not the same, and Prepares above everything it promised.
#[test]
fn a_secondary_logs_what_is_new() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    for (message, records) in [
        (Message::Vote(vote(at(5, 2, 2), 2, "held")), vec![]),
        (Message::Vote(vote(at(6, 2, 2), 2, "a")), vec!["vote 6@2.2"]),
        (Message::Vote(vote(at(6, 2, 2), 2, "a")), vec![]),
        (Message::Vote(vote(at(5, 2, 2), 2, "held")), vec![]),
        (prepare(at(6, 3, 3), 3), vec!["prepare 6@3.3"]),
        (prepare(at(6, 3, 3), 3), vec![]),
        (prepare(at(6, 2, 3), 3), vec![]),
        (Message::Vote(vote(at(6, 3, 3), 3, "a")), vec!["vote 6@3.3"]),
    ] {
        let name = format!("{:?} {}", message.id(), message.header().position());
        bench.receive(if message.header().ballot.member == id(3) { 3 } else { 2 }, message);
        assert_eq!(logged(&mut bench), records, "{name}");
    }
}

/// [STOR-16]: a NotAccepted under a higher ballot is logged as a Prepare in its version, with its sender, our
/// configuration number and no cookie.
#[test]
fn a_refusal_is_logged_as_a_promise() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    let refusal = Header { version: ProtocolVersion::V4, configuration: 1, ..header(at(5, 7, 3), 3) };
    bench.receive(3, Message::NotAccepted(refusal));
    let [Record::Prepare(found)] = &bench.log[..] else { panic!("{:?}", bench.log) };
    let expected = Header { checksum: found.header.checksum, payload: 0, ..refusal };
    assert_eq!((found.header, found.cookie.len()), (expected, 0));
    bench.log.clear();
    bench.receive(3, Message::NotAccepted(Header { ballot: ballot(6, 3), ..refusal }));
    assert_eq!(logged(&mut bench), [""; 0], "below the promise");
}

/// [STOR-16] [STOR-19]: a candidate sends its Prepare before it is durable, but reacts to no answer before.
#[test]
fn a_candidate_logs_its_prepare() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.hold_disk = true;
    bench.command(crate::engine::Command::AttemptPromotion);
    bench.receive(2, super::harness::status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    assert_eq!(bench.engine.role(), Role::Preparing);
    let own = bench.engine.status().promised;
    assert_eq!(logged(&mut bench), [format!("prepare 5@{own}")]);
    let said = bench.said();
    assert!(said.contains(&format!("all: Prepare 5@{own}")), "{said:?}");
    let answer = super::harness::promise(at(5, own.id, 1), 2, vote(at(5, 2, 2), 9, "held"));
    bench.receive(2, answer);
    assert_eq!(logged(&mut bench), [""; 0], "nothing is proposed yet");
    bench.sync();
    assert_eq!(logged(&mut bench), [format!("vote 5@{own}")]);
}

/// [HARD-368]: with a checkpoint above the log, a promise is recorded for the decree after the checkpoint: legacy dies of
/// a higher ballot in a record that its checkpoint covers.
#[test]
fn promises_below_an_installed_checkpoint() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.receive(3, prepare(at(5, 3, 3), 3));
    let checkpoint = crate::engine::CheckpointInfo { decree: Decree(50), size: 7 };
    bench.command(crate::engine::Command::InstallCheckpoint(checkpoint));
    bench.receive(3, prepare(at(5, 4, 3), 3));
    bench.receive(3, prepare(at(60, 5, 3), 3));
    assert_eq!(logged(&mut bench), ["prepare 5@3.3", "prepare 51@4.3", "prepare 60@5.3"]);
    assert_eq!(bench.engine.status().promised, ballot(5, 3));
}

/// [STOR-16] [STOR-14]: a primary logs what it proposes, once, and a secondary what it receives, byte for byte.
#[test]
fn votes_are_logged_as_they_are_sent() {
    let mut bench = Bench::primary(|_| {});
    bench.log.clear();
    bench.replicate(1, "request");
    let sent: Vec<_> = bench
        .sent
        .iter()
        .filter_map(|(to, message)| match (to, message) {
            (Destination::AllPeers, Message::Vote(vote)) => Some(vote.encoded().clone()),
            _ => None,
        })
        .collect();
    assert_eq!(bench.log.len(), 1);
    assert_eq!(bench.log[0].encode().unwrap(), sent[0]);
    let mut secondary = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    let received = vote(at(6, 2, 2), 2, "x");
    secondary.receive(2, Message::Vote(received.clone()));
    assert_eq!(secondary.log[0].encode().unwrap(), received.encoded());
    // Acknowledged only now.
    assert_eq!(secondary.sent.last().map(|(_, message)| message.id()), Some(MessageId::VoteAccepted));
}

/// [STOR-23] [STOR-24]: the limit is drawn for each file within maxLogLen +- the percentage, anew each time; Prepares and
/// re-proposals never start one.
#[test]
fn log_lengths_are_drawn_anew() {
    static LONG: [u8; 1000] = [b'x'; 1000];
    let long = std::str::from_utf8(&LONG).unwrap();
    let settings = Settings { max_log_len: 20_000, log_len_randomize_percent: 50, ..settings(1) };
    let mut bench = Bench::secondary_with(settings, at(5, 2, 2), ballot(2, 2));
    let record = Record::Vote(vote(at(6, 2, 2), 2, long)).padded_len();
    let mut length = 512;
    let mut lengths = Vec::new();
    for decree in 6..600 {
        bench.receive(2, Message::Vote(vote(at(decree, 2, 2), 2, long)));
        if bench.new_logs.last() == Some(&Decree(decree)) {
            lengths.push(length);
            length = 0;
        }
        length += record;
    }
    assert!(lengths.len() > 10, "{lengths:?}");
    // Strictly above the limit, by less than a record.
    assert!(lengths.iter().all(|length| (10_001..=30_000 + record).contains(length)), "{lengths:?}");
    assert!(lengths.iter().collect::<BTreeSet<_>>().len() > 3, "{lengths:?}");

    let full = Settings { max_log_len: 1, ..super::harness::settings(1) };
    let mut bench = Bench::secondary_with(full, at(5, 2, 2), ballot(2, 2));
    bench.receive(3, prepare(at(5, 3, 3), 3));
    bench.receive(3, Message::Vote(vote(at(5, 3, 3), 3, "held")));
    assert_eq!((bench.log.len(), bench.new_logs.len()), (2, 0));
    bench.receive(3, Message::Vote(vote(at(6, 3, 3), 3, "a")));
    assert_eq!(bench.new_logs, [Decree(6)]);
}

/// [STOR-23] [HARD-371]: a crash during a log switch has left an empty `6.log`. The vote of decree 5 that is logged next goes
/// into it and fills it; decree 6 then starts no second file of that name, decree 7 does. Found by the simulator (seeds
/// 4422, 7692): the log writer refused, and again after every restart.
#[test]
fn a_log_file_is_started_once() {
    use crate::engine::LogFileInfo;
    let set = configuration([1, 2, 3]);
    let mut disk = recovered(&set, at(5, 2, 2), ballot(2, 2));
    disk.logs.push(LogFileInfo { name: Decree(6), votes: None, len: 0 });
    let mut bench = Bench::new(Settings { max_log_len: 1, ..settings(1) }, disk, 1);
    bench.receive(2, super::harness::status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    bench.receive(3, Message::Vote(vote(at(5, 3, 3), 3, "held")));
    bench.receive(3, Message::Vote(vote(at(6, 3, 3), 3, "a")));
    assert_eq!((bench.log.len(), bench.new_logs.len()), (2, 0));
    bench.receive(3, Message::Vote(vote(at(7, 3, 3), 3, "b")));
    assert_eq!(bench.new_logs, [Decree(7)]);
}

/// [STOR-8]: after a vote of configuration c the number c - 1 is noted, once that vote is durable, and a number is
/// noted only when it grows.
#[test]
fn defunct_numbers_are_noted_when_they_grow() {
    let set = crate::types::Configuration { number: 3, ..configuration(1..=3) };
    let mut bench = Bench::new(settings(1), recovered(&set, at(5, 2, 2), ballot(2, 2)), 1);
    let of = |position, member| Header { configuration: 3, ..header(position, member) };
    let status = super::harness::status_response(at(5, 2, 2), at(5, 2, 2), 2, 0);
    let Message::StatusResponse(status) = status else { unreachable!() };
    bench.receive(
        2,
        Message::StatusResponse(crate::wire::StatusResponse { header: of(at(5, 2, 2), 2), ..status }),
    );
    assert_eq!((bench.engine.role(), &bench.defunct[..]), (Role::Secondary, &[][..]));
    for decree in 6..9 {
        let content = crate::wire::VoteContent::default();
        let next = crate::wire::Vote::new(of(at(decree, 2, 2), 2), &content).unwrap();
        bench.receive(2, Message::Vote(next));
    }
    assert_eq!(bench.defunct, [(2, Some(AppendSeq(1)))], "with the first vote, after it");
    let mut known = Bench::new(
        settings(1),
        crate::engine::Recovered { defunct: 2, ..recovered(&set, at(5, 2, 2), ballot(2, 2)) },
        1,
    );
    known.receive(
        2,
        Message::StatusResponse(crate::wire::StatusResponse { header: of(at(5, 2, 2), 2), ..status }),
    );
    let next = crate::wire::Vote::new(of(at(6, 2, 2), 2), &crate::wire::VoteContent::default()).unwrap();
    known.receive(2, Message::Vote(next));
    assert_eq!(known.log.len(), 1);
    assert_eq!(known.defunct, [], "it is known already");
}

/// [PROTO-27]: a message leaves with the append it waits for, not with one before it; what waits for nothing leaves at once.
#[test]
fn a_message_waits_for_its_append() {
    let message = |decree| Message::NotAccepted(header(at(decree, 2, 2), 1));
    let mut outbox = Outbox::default();
    assert!(outbox.submit(Destination::AllPeers, message(1), None).is_some());
    assert!(outbox.submit(Destination::AllPeers, message(2), Some(AppendSeq(2))).is_none());
    assert!(outbox.submit(Destination::AllPeers, message(3), Some(AppendSeq(3))).is_none());
    assert_eq!(outbox.appended(AppendSeq(1)), []);
    assert_eq!(outbox.appended(AppendSeq(2)), [(Destination::AllPeers, message(2))]);
    assert!(
        outbox.submit(Destination::AllPeers, message(4), Some(AppendSeq(2))).is_some(),
        "durable already"
    );
    assert_eq!(outbox.appended(AppendSeq(3)), [(Destination::AllPeers, message(3))]);
}
