//! When logs are switched, checkpoints saved, copied and cleaned up after [XFER-28..42].

use std::time::Duration;

use super::harness::{
    Bench, at, ballot, configuration, header, prepare, recovered, settings, status_response, vote,
};
use crate::engine::{
    Apply, CheckpointInfo, Command, Effect, FetchKind, FetchOutcome, Input, Role, SaveOutcome, SaveRequest,
    Settings,
};
use crate::types::Decree;
use crate::wire::{LogRange, Message, StatusResponse};

static LONG: [u8; 600] = [b'x'; 600];

fn long() -> &'static str {
    std::str::from_utf8(&LONG).unwrap()
}

/// A secondary whose logs hold one long record each.
fn small_logs(settings: Settings) -> Bench {
    Bench::secondary_with(Settings { max_log_len: 1000, ..settings }, at(5, 2, 2), ballot(2, 2))
}

fn accept(bench: &mut Bench, decree: u64) {
    bench.receive(2, Message::Vote(vote(at(decree, 2, 2), 2, long())));
}

fn saves(bench: &Bench) -> Vec<&SaveRequest> {
    bench
        .applied
        .iter()
        .filter_map(|apply| match apply {
            Apply::Save(request) => Some(request),
            _ => None,
        })
        .collect()
}

fn done(bench: &mut Bench, decree: u64) {
    let outcome = SaveOutcome::Done { decree: Decree(decree), size: 500 };
    bench.give(vec![Input::Saved(outcome)]);
}

/// [SCN-42] [STOR-23] [STOR-51] [XFER-28] [XFER-29] [XFER-33] [XFER-34] [XFER-41] [XFER-42] [XFER-4]: a full log is left at a new decree, a
/// checkpoint is saved with the next vote in it, and logs it covers are dropped.
#[test]
fn a_secondary_saves_when_its_log_is_full() {
    let mut bench = small_logs(settings(1));
    accept(&mut bench, 6);
    assert_eq!(bench.new_logs, [], "512 bytes are not above the limit");
    // A higher ballot for the same decree never starts a log.
    bench.receive(3, Message::Vote(vote(at(6, 3, 3), 3, long())));
    assert_eq!(bench.new_logs, []);
    bench.receive(3, Message::Vote(vote(at(7, 3, 3), 3, long())));
    assert_eq!(bench.new_logs, [Decree(7)]);
    let [save] = saves(&bench)[..] else { panic!("{:?}", saves(&bench)) };
    assert_eq!(save.at, Decree(6), "the state before the first decree of the new log");
    assert_eq!(save.next_vote.as_ref().map(crate::wire::Vote::position), Some(at(7, 3, 3)));
    assert_eq!(save.promised, ballot(3, 3));
    // Consensus goes on meanwhile; nothing else is saved.
    bench.receive(3, Message::Vote(vote(at(8, 3, 3), 3, long())));
    assert_eq!(saves(&bench).len(), 1);
    done(&mut bench, 6);
    assert_eq!(bench.cleanups, [Decree(7)], "the first log is not needed any more");
    let status = bench.engine.status();
    assert_eq!((status.log_range.checkpointed_decree, status.log_range.checkpoint_size), (Decree(6), 500));
    assert_eq!(status.log_range.min_decree_in_log, Decree(7));
}

/// [XFER-34] [PROTO-29]: the next vote has to be durable before the save starts.
#[test]
fn a_save_waits_for_the_next_vote() {
    let mut bench = small_logs(settings(1));
    accept(&mut bench, 6);
    bench.hold_disk = true;
    accept(&mut bench, 7);
    assert_eq!(bench.new_logs, [Decree(7)]);
    assert!(saves(&bench).is_empty());
    bench.sync();
    assert_eq!(saves(&bench)[0].at, Decree(6));
}

/// [STOR-40] [PROTO-14]: a checkpoint records the promise, which its next vote may be below.
#[test]
fn a_checkpoint_records_the_promise() {
    let mut bench = small_logs(settings(1));
    accept(&mut bench, 6);
    bench.receive(3, prepare(at(6, 7, 3), 3));
    accept(&mut bench, 7);
    let [save] = saves(&bench)[..] else { panic!("{:?}", saves(&bench)) };
    assert_eq!(save.next_vote.as_ref().map(crate::wire::Vote::position), Some(at(7, 2, 2)));
    assert_eq!(save.promised, ballot(7, 3));
}

/// [SCN-43] [STOR-51] [XFER-30] [XFER-31] [XFER-9] [PROTO-176] [XFER-25]: a primary polls for a checkpoint and copies it in the background.
#[test]
fn a_primary_copies_instead_of_saving() {
    let mut bench = Bench::primary(|settings| settings.max_log_len = 1000);
    let chosen = |bench: &mut Bench, decree: u64| {
        bench.replicate(decree, long());
        bench.receive(2, Message::VoteAccepted(header(at(decree, 4, 1), 2)));
    };
    chosen(&mut bench, 6);
    chosen(&mut bench, 7);
    assert_eq!(bench.new_logs, [Decree(6), Decree(7)]);
    assert!(saves(&bench).is_empty());
    let polls = |bench: &mut Bench| bench.said().iter().filter(|line| line.contains("StatusQuery")).count();
    assert_eq!(polls(&mut bench), 1, "at once");
    bench.wait(Duration::from_millis(4_900));
    assert_eq!(polls(&mut bench), 0);
    bench.wait(Duration::from_millis(200));
    assert_eq!(polls(&mut bench), 1, "every 5 s");
    let answer = |bench: &mut Bench, checkpoint: u64| {
        let held = bench.engine.status().accepted;
        let Message::StatusResponse(response) = status_response(at(4, 2, 2), held, 2, 0) else {
            unreachable!()
        };
        let log = LogRange { checkpointed_decree: Decree(checkpoint), checkpoint_size: 9, ..response.log };
        bench.receive(2, Message::StatusResponse(StatusResponse { log, ..response }));
    };
    answer(&mut bench, 4);
    assert!(bench.fetches.is_empty(), "too old");
    answer(&mut bench, 5);
    answer(&mut bench, 6);
    let Some(Effect::Fetch { fetch, kind, .. }) = bench.fetches.pop_front() else { panic!() };
    assert_eq!(kind, FetchKind::Checkpoint { decree: Decree(5), size: 9, promised: ballot(4, 1) });
    assert!(bench.fetches.is_empty(), "one copy at a time");
    let outcome = FetchOutcome::CheckpointCopied { decree: Decree(5), size: 9 };
    bench.give(vec![Input::FetchEnded { fetch, outcome }]);
    assert_eq!(bench.engine.role(), Role::Primary, "it goes on");
    assert!(matches!(bench.applied.last(), Some(Apply::StateCopied { decree: Decree(5) })));
    assert_eq!(bench.engine.status().log_range.checkpointed_decree, Decree(5));
}

/// [XFER-30]: a failed copy is forgotten; the next vote asks again.
#[test]
fn a_failed_background_copy_is_asked_for_again() {
    let mut bench = Bench::primary(|settings| settings.max_log_len = 1000);
    bench.replicate(1, long());
    assert_eq!(bench.engine.status().copy_at, Some(Decree(5)));
    bench.receive(2, Message::VoteAccepted(header(at(6, 4, 1), 2)));
    let held = bench.engine.status().accepted;
    let Message::StatusResponse(response) = status_response(at(4, 2, 2), held, 2, 0) else { unreachable!() };
    let log = LogRange { checkpointed_decree: Decree(5), checkpoint_size: 9, ..response.log };
    bench.receive(2, Message::StatusResponse(StatusResponse { log, ..response }));
    let Some(Effect::Fetch { fetch, .. }) = bench.fetches.pop_front() else { panic!() };
    bench.give(vec![Input::FetchEnded { fetch, outcome: FetchOutcome::CheckpointFailed }]);
    assert_eq!(bench.engine.status().copy_at, None);
    bench.replicate(2, long());
    assert_eq!(bench.engine.status().copy_at, Some(Decree(6)));
}

/// [SCN-44] [XFER-35] [PROTO-139] [XFER-31]: a save that a request asked for is taken at exactly its decree, on a primary too.
#[test]
fn a_requested_save_is_taken_at_its_decree() {
    let mut bench = Bench::primary(|_| {});
    bench.execute(5, true);
    assert!(saves(&bench).is_empty(), "there is no vote of decree 6 yet");
    bench.hold_execution = true;
    bench.replicate(1, "a");
    let [save] = saves(&bench)[..] else { panic!() };
    assert_eq!((save.at, save.next_vote.as_ref().map(|vote| vote.decree())), (Decree(5), Some(Decree(6))));
    done(&mut bench, 5);

    // Later decrees have passed meanwhile: the next vote is the head of the execution queue.
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.hold_execution = true;
    for decree in 6..=9 {
        accept(&mut bench, decree);
    }
    bench.execute(6, true);
    let [save] = saves(&bench)[..] else { panic!() };
    assert_eq!((save.at, save.next_vote.is_none()), (Decree(6), true));
}

/// [SCN-45] [XFER-38] [XFER-39]: refused or forbidden, a save waits, recorded, until it is allowed; execution does not.
#[test]
fn a_refused_save_waits_until_it_is_allowed() {
    let mut bench = small_logs(settings(1));
    accept(&mut bench, 6);
    assert_eq!(saves(&bench).len(), 0);
    accept(&mut bench, 7);
    assert_eq!(saves(&bench).len(), 1);
    bench.give(vec![Input::Saved(SaveOutcome::Refused)]);
    for decree in 8..=12 {
        accept(&mut bench, decree);
    }
    assert_eq!(saves(&bench).len(), 1);
    assert_eq!(bench.engine.status().save_at, Some(Decree(6)));
    bench.command(Command::AllowSaveState(true));
    assert_eq!(saves(&bench).last().unwrap().at, Decree(11), "at the state of that moment");

    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AllowSaveState(false));
    accept(&mut bench, 6);
    bench.execute(5, true);
    assert!(saves(&bench).is_empty());
    assert!(bench.applied.iter().any(|apply| matches!(apply, Apply::Release { decree: Decree(5) })));
    bench.command(Command::AllowSaveState(true));
    assert_eq!(saves(&bench).len(), 1);
}

/// [HARD-361] [HARD-362]: a failed save keeps the logs and is tried again after a minute.
#[test]
fn a_failed_save_is_tried_again() {
    let mut bench = small_logs(settings(1));
    for decree in 6..=8 {
        accept(&mut bench, decree);
    }
    bench.give(vec![Input::Saved(SaveOutcome::Failed)]);
    accept(&mut bench, 9);
    assert_eq!((saves(&bench).len(), bench.cleanups.len()), (1, 0));
    bench.now = bench.now + Duration::from_secs(61);
    accept(&mut bench, 10);
    assert_eq!(saves(&bench).len(), 2);
}

/// [XFER-40]: standing for election cancels an automatic save that has not started, not one the application asked for.
#[test]
fn an_election_cancels_automatic_saves_only() {
    for requested in [false, true] {
        let mut bench = small_logs(settings(1));
        bench.command(Command::AllowSaveState(false));
        for decree in 6..=8 {
            accept(&mut bench, decree);
        }
        if requested {
            bench.execute(7, true);
        }
        let at = if requested { 7 } else { 6 };
        assert_eq!(bench.engine.status().save_at, Some(Decree(at)));
        bench.command(Command::AttemptPromotion);
        let held = bench.engine.status().accepted;
        bench.receive(2, status_response(held, held, 2, 0));
        assert_eq!(bench.engine.role(), Role::Preparing);
        assert_eq!(bench.engine.status().save_at, requested.then_some(Decree(7)));
    }
}

/// [XFER-32] [STOR-23] [STOR-25]: time-based checkpoints switch the log when they are due, and only with traffic.
#[test]
fn checkpoints_are_due_by_time() {
    let timed = Settings { max_checkpoint_interval: Duration::from_secs(100), ..settings(1) };
    let disk = crate::engine::Recovered {
        checkpoint: Some(CheckpointInfo { decree: Decree(4), size: 1 }),
        ..recovered(&configuration(1..=3), at(5, 2, 2), ballot(2, 2))
    };
    let mut bench = Bench::new(timed, disk, 1);
    bench.receive(2, status_response(at(5, 2, 2), at(5, 2, 2), 2, 0));
    accept(&mut bench, 6);
    bench.now = bench.now + Duration::from_secs(49);
    accept(&mut bench, 7);
    assert_eq!(bench.new_logs, [], "not before half the interval");
    bench.now = bench.now + Duration::from_secs(102);
    assert_eq!(bench.new_logs, []);
    accept(&mut bench, 8);
    assert_eq!(bench.new_logs, [Decree(8)]);
    assert_eq!(saves(&bench)[0].at, Decree(7));
    done(&mut bench, 7);
    bench.now = bench.now + Duration::from_secs(79);
    accept(&mut bench, 9);
    assert_eq!(bench.new_logs.len(), 1);
    bench.now = bench.now + Duration::from_secs(42);
    accept(&mut bench, 10);
    assert_eq!(bench.new_logs.len(), 2);
}

/// [XFER-27]: a checkpoint the application had copied is offered at once, above the own decree even.
#[test]
fn an_installed_checkpoint_is_offered() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::InstallCheckpoint(CheckpointInfo { decree: Decree(50), size: 7 }));
    let range = bench.engine.status().log_range;
    assert_eq!((range.checkpointed_decree, range.checkpoint_size), (Decree(50), 7));
    bench.command(Command::InstallCheckpoint(CheckpointInfo { decree: Decree(40), size: 7 }));
    assert_eq!(bench.engine.status().log_range.checkpointed_decree, Decree(50), "never backwards");
}

/// [XFER-42] [STOR-57]: what is not executed yet stays in the logs, however far ahead a copied checkpoint is.
#[test]
fn a_checkpoint_ahead_leaves_the_logs_of_execution() {
    let mut bench = small_logs(settings(1));
    bench.hold_execution = true;
    (6..=12).for_each(|decree| accept(&mut bench, decree));
    assert!(bench.new_logs.len() >= 2, "{:?}", bench.new_logs);
    assert_eq!((bench.engine.status().executed, bench.engine.status().passed), (Decree(4), Decree(11)));
    bench.command(Command::InstallCheckpoint(CheckpointInfo { decree: Decree(50), size: 7 }));
    assert_eq!(bench.cleanups, [Decree::ZERO], "decree 5 is read back from the first log");
    (5..=11).for_each(|decree| bench.execute(decree, false));
    bench.command(Command::InstallCheckpoint(CheckpointInfo { decree: Decree(51), size: 7 }));
    assert_eq!(bench.cleanups.last(), bench.new_logs.last());
}

/// [HARD-339] [HARD-44] [HARD-31]: right after a configuration change the placeholder, with its checksum, is the next vote.
#[test]
fn a_placeholder_is_a_next_vote() {
    let mut bench = Bench::secondary(at(5, 2, 2), ballot(2, 2));
    bench.command(Command::AllowSaveState(false));
    let content = crate::wire::VoteContent {
        reconfiguration: Some(super::harness::members([1, 2, 3])),
        ..Default::default()
    };
    let change = crate::wire::Vote::new(header(at(6, 2, 2), 2), &content).unwrap();
    bench.receive(2, Message::Vote(change));
    bench.execute(5, true);
    bench.receive(2, Message::ReconfigurationDecision(header(at(6, 2, 2), 2)));
    bench.command(Command::AllowSaveState(true));
    let save = saves(&bench).pop().unwrap();
    let next = save.next_vote.as_ref().unwrap();
    assert_eq!((save.at, next.decree(), next.ballot().id), (Decree(6), Decree(7), 0));
    assert!(next.checksum_is_valid());
    assert_eq!((save.configuration.number, save.configuration.initial_decree), (2, Decree(7)));
}
