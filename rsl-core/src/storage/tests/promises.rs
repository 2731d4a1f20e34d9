//! Promises survive restarts, whatever they were recorded in, and no restart makes them smaller.

use super::*;
use crate::format::{PROMISE_FILE, Promise};
use crate::types::Position;

fn promised(disk: &MemDisk) -> Ballot {
    start(disk).0.unwrap().recovered.promised
}

/// [HARD-39] [HARD-369]: `0.log` with Prepare 0 and Vote 0 only: both are restored, the vote is not executed. Legacy
/// forgets them.
#[test]
fn decree_zero_is_not_skipped() {
    let disk = disk();
    put_log(&disk, 0, &[prepare(0, 3)]);
    assert_eq!(promised(&disk), ballot(3));
    put_log(&disk, 0, &[prepare(0, 3), vote(0, 3), prepare(0, 4)]);
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    assert_eq!(recovered.accepted.position(), vote(0, 3).position());
    assert_eq!((recovered.promised, recovered.executed), (ballot(4), Decree(0)));
    assert_eq!(app.executed, [0; 0]);
}

/// [HARD-39]: without a checkpoint `0.log` is read even where `1.log` would do: a vote learned below a promise does not
/// show it.
#[test]
fn the_first_log_is_always_read_without_checkpoint() {
    let disk = disk();
    put_log(&disk, 0, &[vote(0, 1), prepare(0, 5)]);
    put_log(&disk, 1, &[vote(1, 1)]);
    assert_eq!(promised(&disk), ballot(5));
}

/// [HARD-368]: records at or below the executed decree count for the promise, above the checkpoint's ballot or not.
/// Legacy dies of them at every start.
#[test]
fn skipped_records_raise_the_promise() {
    let disk = disk();
    put_checkpoint(&disk, 3);
    let mut records = votes(0..=2);
    records.extend([prepare(2, 7), vote(3, 1)]);
    put_log(&disk, 0, &records);
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    assert_eq!((recovered.promised, recovered.executed, app.executed), (ballot(7), Decree(3), vec![]));
    assert_eq!(recovered.accepted.decree(), Decree(4), "the checkpoint's next vote");
}

/// [HARD-40] [HARD-371]: a checkpoint ahead of all logs opens a new log, which carries a promise from the old ones as
/// a Prepare. A log that is there is never emptied. Legacy loses the promise at the second start.
#[test]
fn promises_move_into_the_new_log() {
    let disk = disk();
    let next = empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY);
    let new = NewCheckpoint { state_saved: false, ..new_checkpoint(0, next, Ballot::EMPTY) };
    save(&open(&disk), new, &[]).unwrap();
    put_log(&disk, 0, &[prepare(1, 2)]);
    for round in 0..3 {
        let recovered = start(&disk).0.unwrap().recovered;
        assert_eq!(recovered.promised, ballot(2), "start {round}");
        assert_eq!(recovered.accepted.position(), Position::new(Decree(1), Ballot::EMPTY));
        let mut reader = crate::format::LogScanner::new(&disk.get(&log_name(1)).unwrap()[..]).unwrap().step();
        let Ok(crate::format::Step::Record { record: Record::Prepare(found), .. }) = &mut reader else {
            panic!("{reader:?}")
        };
        assert_eq!((found.header.ballot, found.header.decree), (ballot(2), Decree(1)));
        assert_eq!(found.header.configuration, 1);
        assert_eq!(disk.get(&log_name(1)).unwrap().len(), 512, "written once");
    }
    // A higher promise in the log that goes on is found there and not repeated.
    put_log(&disk, 1, &[prepare(1, 2), prepare(1, 5)]);
    assert_eq!(promised(&disk), ballot(5));
    assert_eq!(disk.get(&log_name(1)).unwrap().len(), 1024);
}

/// [HARD-40]: behind a next vote that is written, and only where the checkpoint does not carry the promise itself.
#[test]
fn the_prepare_follows_the_next_vote() {
    let disk = disk();
    put_checkpoint(&disk, 3);
    put_log(&disk, 0, &[vote(0, 1), prepare(0, 6)]);
    assert_eq!(promised(&disk), ballot(6));
    assert_eq!(disk.get(&log_name(4)), Some(log(&[vote(4, 1), prepare_from(6)])));
    assert_eq!(promised(&disk), ballot(6));

    let carried = super::disk();
    checkpoint(&carried, 3, vote_of(ProtocolVersion::V4, 4, 1), ballot(6), b"");
    put_log(&carried, 0, &[vote(0, 1), prepare(0, 6)]);
    assert_eq!(promised(&carried), ballot(6));
    assert_eq!(carried.get(&log_name(4)), Some(log(&[vote(4, 1)])));
}

fn prepare_from(id: u32) -> Record {
    prepare(4, id)
}

/// [HARD-41] [HARD-370]: a version 1 or 2 checkpoint has no room for the promise: it is kept in a file of its own, for
/// which no record is a substitute.
#[test]
fn old_checkpoints_leave_the_promise_to_a_file() {
    for version in [ProtocolVersion::V1, ProtocolVersion::V2] {
        // Saving.
        let disk = disk();
        checkpoint(&disk, 3, vote_of(version, 4, 1), ballot(8), b"state");
        let known = read_promise(&disk, &root()).unwrap();
        assert_eq!(known, Promise { promised: ballot(8), relearn: None });
        assert_eq!(promised(&disk), ballot(8));
        assert_eq!(disk.get(&log_name(4)), Some(log(&[Record::Vote(vote_of(version, 4, 1))])));
        // Found in logs that are not read any more.
        let disk = super::disk();
        checkpoint(&disk, 3, vote_of(version, 4, 1), ballot(1), b"state");
        put_log(&disk, 0, &[prepare(0, 9)]);
        assert_eq!(promised(&disk), ballot(9));
        assert_eq!(disk.get(&log_name(4)), Some(log(&[Record::Vote(vote_of(version, 4, 1))])));
        assert_eq!(promised(&disk), ballot(9), "and at the next start");
    }
}

/// [HARD-41]: the file only ever grows, and a damaged one fails the start: a promise would be lost.
#[test]
fn the_promise_file() {
    let disk = disk();
    let directory = open(&disk);
    let of = |id, relearn| Promise { promised: ballot(id), relearn };
    let position = |decree, id| Some(Position::new(Decree(decree), ballot(id)));
    directory.remember(of(5, None)).unwrap();
    directory.remember(of(3, position(7, 2))).unwrap();
    directory.remember(of(4, position(6, 2))).unwrap();
    assert_eq!(read_promise(&disk, &root()).unwrap(), of(5, position(7, 2)));
    drop(directory);
    assert_eq!(promised(&disk), ballot(5));
    let mut bytes = disk.get(&path(PROMISE_FILE)).unwrap();
    bytes[20] ^= 1;
    disk.put(&path(PROMISE_FILE), &bytes);
    assert!(matches!(*start(&disk).0.unwrap_err().reason, RestoreReason::Io(_)));
    assert!(!FileName::parse(PROMISE_FILE).is_some_and(|_| true), "matches neither pattern");
}

/// [HARD-371]: a legacy restart behind a bootstrap has left an empty `1.log`; the promise in `0.log`, which legacy has
/// forgotten by then, counts (found by the simulator).
#[test]
fn an_empty_log_hides_no_promise() {
    let disk = disk();
    let next = empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY);
    let new = NewCheckpoint { state_saved: false, ..new_checkpoint(0, next, Ballot::EMPTY) };
    save(&open(&disk), new, &[]).unwrap();
    put_log(&disk, 0, &[prepare(1, 2), prepare(1, 5)]);
    put_log(&disk, 1, &[]);
    for round in 0..2 {
        assert_eq!(promised(&disk), ballot(5), "start {round}");
    }
    // With a record in it, only that log is read.
    put_log(&disk, 1, &[prepare(1, 3)]);
    disk.remove(&path(PROMISE_FILE)).unwrap();
    assert_eq!(promised(&disk), ballot(3));
}

/// [HARD-368] [PROTO-14]: a checkpoint that was copied for the application is ahead of the log; a Prepare logged after that,
/// for an earlier decree, counts also when the logs have gone on behind the checkpoint, and when its log is deleted later.
#[test]
fn a_promise_before_a_copied_checkpoint_counts() {
    let start_with = |saver: &str| {
        let disk = disk();
        let new = NewCheckpoint {
            member: member(saver),
            ..new_checkpoint(22, vote_of(ProtocolVersion::V4, 23, 1), ballot(1))
        };
        save(&open(&disk), new, b"state").unwrap();
        let votes: Vec<_> = (14..=19).map(|decree| vote(decree, 1)).collect();
        put_log(&disk, 14, &[&votes[..], &[prepare(20, 7), vote(20, 1), vote(21, 1), vote(22, 1)]].concat());
        put_log(&disk, 23, &[vote(23, 1)]);
        let first = promised(&disk);
        disk.remove(&log_name(14)).unwrap();
        (first, promised(&disk))
    };
    assert_eq!(start_with("2"), (ballot(7), ballot(7)));
    // What this replica saves says what it had promised: older logs are not read [STOR-63].
    assert_eq!(start_with("1"), (ballot(1), ballot(1)));
}

/// A directory whose logs have a gap from 3 to 9 that checkpoint 9 jumped over.
fn with_gap() -> MemDisk {
    let disk = disk();
    put_checkpoint(&disk, 1);
    put_log(&disk, 0, &votes(0..=2));
    put_checkpoint(&disk, 9);
    put_log(&disk, 10, &[prepare(10, 4), vote(10, 4), vote(11, 4), vote(11, 6), prepare(11, 7)]);
    disk
}

/// [HARD-374]: where an unusable newer checkpoint covers a gap, the history ends before it. The replica starts behind,
/// keeps every promise, knows what it must learn anew, and remembers both at every further start.
#[test]
fn an_unusable_checkpoint_over_a_gap() {
    let disk = with_gap();
    assert_eq!(start(&disk).0.unwrap().recovered.accepted.decree(), Decree(11), "all is well");
    let disk = with_gap();
    disk.put(&path("9.codex"), b"damaged");
    let highest = Position::new(Decree(11), ballot(6));
    for round in 0..3 {
        let (restored, app) = start(&disk);
        let restored = restored.unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(2), "start {round}");
        assert_eq!((restored.recovered.executed, app.executed), (Decree(1), vec![]));
        assert_eq!(restored.recovered.promised, ballot(7));
        assert_eq!(restored.recovered.relearn, Some(highest));
        assert_eq!(restored.recovered.logs.len(), 1);
        assert_eq!(names(&disk), ["0.log", "1.codex", "10.log.unreachable", "9.codex", "promise.dat"]);
    }
    // Once the decree is there again under no lower ballot, nothing is left to learn.
    put_log(&disk, 0, &(0..=11).map(|decree| vote(decree, 6)).collect::<Vec<_>>());
    assert_eq!(start(&disk).0.unwrap().recovered.relearn, None);
}

/// [HARD-374]: the same where the first record of the log behind a checkpoint is the damaged one.
#[test]
fn a_damaged_length_behind_a_checkpoint() {
    let disk = disk();
    put_checkpoint(&disk, 12);
    let mut bytes = log(&[vote(13, 1), prepare(13, 4), vote(13, 4), vote(14, 4)]);
    bytes[5] = 0x40;
    disk.put(&log_name(13), &bytes);
    for round in 0..2 {
        let recovered = start(&disk).0.unwrap().recovered;
        assert_eq!(recovered.accepted.position(), Position::new(Decree(13), ballot(1)), "start {round}");
        assert_eq!(recovered.promised, ballot(4));
        assert_eq!(recovered.relearn, Some(Position::new(Decree(14), ballot(4))));
    }
}

/// [HARD-34] [HARD-37] [HARD-374]: a length that goes beyond the file is a torn tail, but the votes behind it were
/// acknowledged. They are not forgotten: neither their ballots, nor that they have to be learned anew.
#[test]
fn a_damaged_length_before_whole_records() {
    let with = |records: &[Record]| {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=2));
        let mut bytes = disk.get(&log_name(0)).unwrap();
        let damaged = bytes.len();
        bytes.extend(log(&[vote(3, 1)]));
        bytes[damaged + 5] = 0x40;
        bytes.extend(log(records));
        disk.put(&log_name(0), &bytes);
        (disk, damaged)
    };
    let (disk, damaged) = with(&[vote(4, 1), vote(5, 1), prepare(5, 7), vote(5, 7), vote(6, 7)]);
    let last = Position::new(Decree(6), ballot(7));
    let settings = RestoreSettings { refuse_damaged_tail: true, ..settings() };
    let refused = restore(&open(&disk), &settings, &mut App::default()).unwrap_err();
    assert!(matches!(*refused.reason, RestoreReason::DamagedTail(position) if position == last), "{refused}");
    for round in 0..2 {
        let restored = start(&disk).0.unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(2), "start {round}");
        assert_eq!(restored.recovered.promised, ballot(7));
        assert_eq!(restored.recovered.relearn, Some(last));
        let noted = restored.notes.iter().any(|note| note.clause() == Some("HARD-374"));
        assert_eq!(noted, round == 0, "the tail is cut at the first start");
        assert_eq!(disk.get(&log_name(0)).unwrap().len(), damaged);
    }
    for (records, promised, relearn) in [
        // A promise alone: the damaged vote was acknowledged before it. And a vote alone.
        (&[prepare(3, 7)][..], 7, Some(Position::new(Decree(3), ballot(1)))),
        (&[vote(4, 1)][..], 1, Some(Position::new(Decree(4), ballot(1)))),
        // Further than the history can be: bytes of a request.
        (&[vote(5, 9)][..], 1, None),
        (&[prepare(6, 9)][..], 1, None),
        // Older than the history: likewise.
        (&[vote(1, 9)][..], 1, None),
    ] {
        let (disk, _) = with(records);
        let recovered = start(&disk).0.unwrap().recovered;
        assert_eq!((recovered.promised, recovered.relearn), (ballot(promised), relearn), "{records:?}");
    }
}

/// [HARD-374] [PROTO-14]: the damaged record may have been a promise, with only a Decision behind it; or its first page
/// is that of another record, and nothing says what it was.
#[test]
fn a_damaged_record_is_believed_where_it_fits() {
    let with = |damaged: &[Record], behind: &[Record]| {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=2));
        let mut bytes = disk.get(&log_name(0)).unwrap();
        let end = bytes.len();
        bytes.extend(log(damaged));
        bytes[end + 5] = 0x40;
        bytes.extend(log(behind));
        disk.put(&log_name(0), &bytes);
        let recovered = start(&disk).0.unwrap().recovered;
        (recovered.promised, recovered.relearn)
    };
    let next = Some(Position::new(Decree(3), ballot(1)));
    assert_eq!(with(&[prepare(3, 9)], &[decision(2, 1)]), (next_configuration(9), None));
    assert_eq!(
        with(&[vote(3, 4)], &[decision(3, 4)]),
        (next_configuration(4), Some(Position::new(Decree(3), ballot(4))))
    );
    // It was the Decision, of the last vote read.
    assert_eq!(with(&[decision(2, 1)], &[prepare(3, 5)]), (ballot(5), None));
    // Votes behind it say what it can have been; its ballot is believed nevertheless.
    assert_eq!(with(&[vote(3, 4)], &[vote(4, 1)]), (ballot(4), Some(Position::new(Decree(4), ballot(1)))));
    // The page of an older vote, and of one that cannot be there.
    assert_eq!(with(&[vote(1, 1)], &[prepare(3, 7)]), (ballot(7), next));
    assert_eq!(with(&[vote(8, 1)], &[prepare(3, 7)]), (ballot(7), next));
    assert_eq!(with(&[vote(3, 4)], &[]), (ballot(1), None), "a torn tail is no more than that");
}

/// [HARD-34] [HARD-374]: a damaged length that reaches just to the end of the file takes the votes behind it into one
/// damaged record: neither is this the last record, nor are they forgotten (found by the simulator).
#[test]
fn a_damaged_length_over_whole_records() {
    let disk = disk();
    put_log(&disk, 0, &[vote(0, 1), vote(1, 1), vote(2, 1), vote(2, 5)]);
    let mut bytes = disk.get(&log_name(0)).unwrap();
    let damaged = bytes.len() / 4 * 2;
    bytes[damaged + 3] += 2;
    disk.put(&log_name(0), &bytes);
    for round in 0..2 {
        let restored = start(&disk).0.unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(1), "start {round}");
        assert_eq!(restored.recovered.promised, ballot(5));
        assert_eq!(restored.recovered.relearn, Some(Position::new(Decree(2), ballot(5))));
    }
}

/// [PROTO-14]: the promise in a checkpoint counts also when its state cannot be loaded: a copied one says what no log
/// here says (found by the simulator).
#[test]
fn an_unusable_checkpoint_keeps_its_promise() {
    let disk = disk();
    put_checkpoint(&disk, 1);
    put_log(&disk, 0, &votes(0..=12));
    checkpoint(&disk, 9, vote_of(ProtocolVersion::V4, 10, 1), ballot(8), b"state");
    let mut app = App { refuse_loads: 1, ..App::default() };
    let restored = restore(&open(&disk), &settings(), &mut app).unwrap();
    assert_eq!(restored.recovered.accepted.decree(), Decree(12));
    assert_eq!(restored.recovered.promised, ballot(8));
}

/// [HARD-374]: a vote behind the gap must be learned anew whatever its ballot.
#[test]
fn a_low_ballot_behind_a_gap_counts() {
    let disk = disk();
    put_log(&disk, 0, &[vote(0, 5), vote(1, 5)]);
    put_log(&disk, 10, &[vote(10, 4)]);
    disk.put(&path("9.codex"), b"damaged");
    for _ in 0..2 {
        let recovered = start(&disk).0.unwrap().recovered;
        assert_eq!(recovered.relearn, Some(Position::new(Decree(10), ballot(4))));
    }
}

/// What a Decision makes of a promise.
fn next_configuration(promised: u32) -> Ballot {
    Ballot::new(promised + 1, MemberId::EMPTY)
}

/// A vote for two members.
fn change(decree: u64) -> Record {
    reconfiguration(decree, 4, members(2))
}

/// [HARD-374] [PROTO-14] [PROTO-73]: a Decision behind the gap has raised the promise, that of the checkpoint over the gap
/// included (found by the simulator, ci 11340).
#[test]
fn a_decision_behind_a_gap_raises_the_promise() {
    let start_with = |records: &[Record], usable: bool| {
        let disk = disk();
        put_checkpoint(&disk, 1);
        put_log(&disk, 0, &votes(0..=2));
        if usable {
            checkpoint(&disk, 9, vote_of(ProtocolVersion::V4, 10, 4), ballot(6), b"state");
        } else {
            disk.put(&path("9.codex"), b"damaged");
        }
        put_log(&disk, 10, records);
        let mut app = App { refuse_loads: 1, ..App::default() };
        let recovered = restore(&open(&disk), &settings(), &mut app).unwrap().recovered;
        (recovered.promised, recovered.relearn)
    };
    let records = [vote(10, 4), change(11), decision(11, 4)];
    let last = Some(Position::new(Decree(11), ballot(4)));
    assert_eq!(start_with(&records, false), (next_configuration(4), last));
    assert_eq!(start_with(&records, true), (next_configuration(6), last));
    let records = [&records[..], &[prepare(12, 8), vote(12, 8), vote(13, 8)]].concat();
    assert_eq!(start_with(&records, true), (ballot(8), Some(Position::new(Decree(13), ballot(8)))));
}

/// [HARD-375] [STOR-17] [STOR-18]: behind the gap the records stand in order, too, and another gap needs another checkpoint
/// over it.
#[test]
fn behind_a_gap_the_order_is_demanded() {
    let refused = |records: &[Record], later: &[Record]| {
        let disk = disk();
        put_checkpoint(&disk, 1);
        put_log(&disk, 0, &votes(0..=2));
        disk.put(&path("9.codex"), b"damaged");
        put_log(&disk, 10, records);
        if let Some(first) = later.first() {
            put_log(&disk, first.position().decree.0, later);
        }
        let alone = start(&disk).0.map(|restored| restored.recovered.relearn).map_err(|error| error.reason);
        disk.put(&path("19.codex"), b"damaged");
        (alone, start(&disk).0.map(|restored| restored.recovered.relearn).map_err(|error| error.reason))
    };
    let (alone, covered) = refused(&[vote(10, 4), vote(11, 5)], &[]);
    assert!(
        matches!(alone.as_ref().map_err(|reason| &**reason), Err(RestoreReason::NotNext { .. })),
        "{alone:?}"
    );
    assert!(covered.is_err(), "{covered:?}");
    let (alone, _) = refused(&[vote(10, 4), decision(10, 4)], &[]);
    assert!(matches!(*alone.unwrap_err(), RestoreReason::DecisionWithoutVote(_)));
    let (alone, _) = refused(&[change(10), decision(11, 4)], &[]);
    assert!(matches!(*alone.unwrap_err(), RestoreReason::DecisionWithoutVote(_)));
    let (alone, covered) = refused(&[vote(10, 4), vote(11, 4)], &[vote(20, 4)]);
    assert!(matches!(*alone.unwrap_err(), RestoreReason::Gap { expected: Decree(12), .. }));
    assert_eq!(covered.unwrap(), Some(Position::new(Decree(20), ballot(4))));
    let (alone, _) = refused(&[vote(10, 4), vote(11, 4)], &[vote(12, 4), vote(13, 4)]);
    assert_eq!(alone.unwrap(), Some(Position::new(Decree(13), ballot(4))));
}

/// [HARD-374]: votes behind a damaged record count also when that stands far behind the gap.
#[test]
fn a_damaged_length_behind_a_gap() {
    let disk = disk();
    put_log(&disk, 0, &votes(0..=2));
    disk.put(&path("9.codex"), b"damaged");
    let mut records: Vec<_> = (10..=40).map(|decree| vote(decree, 4)).collect();
    let end = log(&records).len();
    records.extend([vote(41, 4), vote(42, 4)]);
    let mut bytes = log(&records);
    bytes[end + 5] = 0x40;
    disk.put(&log_name(10), &bytes);
    for round in 0..2 {
        let recovered = start(&disk).0.unwrap().recovered;
        assert_eq!(recovered.relearn, Some(Position::new(Decree(42), ballot(4))), "start {round}");
    }
}

/// [HARD-374] [HARD-375]: every other gap is a start failure.
#[test]
fn other_gaps_fail_the_start() {
    let missing = with_gap();
    missing.remove(&path("9.codex")).unwrap();
    let error = start(&missing).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::Gap { expected: Decree(3), .. }), "{error}");
    assert_eq!((error.path, error.reason.clause()), (log_name(10), Some("HARD-375")));

    let elsewhere = with_gap();
    elsewhere.rename(&path("9.codex"), &path("8.codex")).unwrap();
    let error = start(&elsewhere).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::Gap { .. }), "8.codex does not reach decree 10: {error}");
}

/// [STOR-19] [HARD-50]: a process dies between a write and its sync; the next one reads the record and speaks of it, so a
/// power failure must not take it away any more, nor the name of its file. Found by the simulator (seeds 83, 413).
#[test]
fn what_a_start_has_read_is_durable() {
    let disk = disk();
    let name = log_name(0);
    let file = disk.open(&name, OpenMode::Create).unwrap();
    file.write_at(0, &log(&[vote(0, 1), vote(1, 1), prepare(1, 7)])).unwrap();
    assert_eq!(promised(&disk), ballot(7));
    let disk = disk.after_power_failure(|_, _| 0);
    assert_eq!(promised(&disk), ballot(7));
    assert_eq!(disk.get(&name), Some(log(&[vote(0, 1), vote(1, 1), prepare(1, 7)])));
}

/// [HARD-40] [HARD-371]: a crash leaves the new log empty, or with a piece of its first record; the promise that was to
/// move into it is not lost. Found by the simulator (seed 1605).
#[test]
fn promises_survive_a_crash_of_the_move() {
    let prepared = || {
        let disk = disk();
        let next = empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY);
        let new = NewCheckpoint { state_saved: false, ..new_checkpoint(0, next, Ballot::EMPTY) };
        save(&open(&disk), new, &[]).unwrap();
        put_log(&disk, 0, &[prepare(1, 2)]);
        disk
    };
    let calls = {
        let disk = prepared();
        let before = disk.changes();
        assert_eq!(promised(&disk), ballot(2));
        disk.changes() - before
    };
    assert!(calls > 5, "{calls}");
    for call in 0..calls {
        for keep in [0, 100, usize::MAX] {
            let disk = prepared();
            disk.fail_after(Some(call));
            let outcome = start_or_fail(&disk);
            let disk = disk.after_power_failure(|_, _| keep);
            assert_eq!(promised(&disk), ballot(2), "after call {call}, {keep} bytes kept, start {outcome}");
        }
    }
}

/// Starts on a disk that fails; whether it started.
fn start_or_fail(disk: &MemDisk) -> bool {
    let Ok(directory) = Directory::open(Arc::new(disk.clone()), &root()) else { return false };
    restore(&directory, &settings(), &mut App::default()).is_ok()
}
