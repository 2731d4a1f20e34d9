//! Restart: the tables of storage.md sections 3 and 5.

use super::*;
use crate::types::Position;

/// exec, acc, promised of a start that succeeds.
fn started(disk: &MemDisk) -> (u64, u64, Ballot) {
    let (restored, _) = start(disk);
    let recovered = restored.unwrap().recovered;
    (recovered.executed.0, recovered.accepted.decree().0, recovered.promised)
}

/// [STOR-59] [STOR-64] [XFER-44] [PROTO-165]: no files: success, an empty state, an empty `0.log`.
#[test]
fn an_empty_directory_starts_empty() {
    let disk = disk();
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    assert_eq!(app.loads, [None]);
    assert_eq!(recovered.accepted.position(), Position::default());
    assert_eq!((recovered.executed, recovered.checkpoint, recovered.defunct), (Decree(0), None, 0));
    assert_eq!(recovered.state_configuration.number, 1);
    assert_eq!(recovered.state_configuration.members, members(3));
    assert_eq!(recovered.state_configuration.initial_decree, Decree(0));
    assert_eq!(recovered.voting_configuration, recovered.state_configuration);
    assert_eq!(recovered.logs, [LogFileInfo { name: Decree(0), votes: None, len: 0 }]);
    assert_eq!(names(&disk), ["0.log"]);
    assert_eq!(started(&disk), (0, 0, Ballot::EMPTY));
}

/// [STOR-60] [XFER-45]: the last accepted vote is not executed, however often it is there.
#[test]
fn the_last_vote_is_not_executed() {
    let disk = disk();
    put_log(&disk, 0, &[vote(0, 1), vote(1, 1), vote(2, 1), vote(2, 2), vote(2, 3)]);
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    assert_eq!(app.executed, [1], "decree 0 is never executed");
    assert_eq!((recovered.executed, recovered.accepted.position()), (Decree(1), vote(2, 3).position()));
    assert_eq!(recovered.promised, ballot(3));
}

/// Which note a tolerated tail leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tolerated {
    Silently,
    Torn,
    Damaged,
    Partial,
}

fn kind(notes: &[Note]) -> Tolerated {
    match notes {
        [] => Tolerated::Silently,
        [Note::TornTail { .. }] => Tolerated::Torn,
        [Note::DamagedTail { .. }] => Tolerated::Damaged,
        [Note::PartialPage { .. }] => Tolerated::Partial,
        other => panic!("{other:?}"),
    }
}

/// [STOR-11] [STOR-12] [STOR-20] [STOR-29] [STOR-30] [XFER-47] [HARD-33] [HARD-34]: what may follow five records. What
/// is tolerated is cut off, durably, before anything is appended [HARD-32] [HARD-367] [STOR-22].
#[test]
fn tails_are_tolerated_as_in_the_table() {
    use Tolerated::{Damaged, Partial, Silently, Torn};
    let good = log(&votes(0..=4));
    let next = log(&[big_vote(5, 1, 2000)]);
    let flipped = |mut bytes: Vec<u8>| {
        bytes[300] ^= 1;
        bytes
    };
    let other = {
        let message = crate::wire::Message::NotAccepted(header(ProtocolVersion::V4, 5, ballot(1)));
        let mut bytes = message.encode_with_checksum().unwrap().to_vec();
        bytes.resize(512, 0);
        bytes
    };
    assert_eq!(next.len(), 2560);
    let zeros = |count: usize| vec![0; count];
    let cases: Vec<(&str, Vec<u8>, Option<Tolerated>)> = vec![
        ("nothing", vec![], Some(Silently)),
        ("a page of zeros", zeros(512), Some(Silently)),
        ("pages of zeros", zeros(5120), Some(Silently)),
        ("zeros, no whole page at the end", zeros(612), Some(Silently)),
        ("a piece of a page of zeros", zeros(100), Some(Partial)),
        ("the start of a page", next[..300].to_vec(), Some(Partial)),
        ("one page of five", next[..512].to_vec(), Some(Torn)),
        ("one page and a byte", next[..513].to_vec(), Some(Torn)),
        ("two pages", next[..1024].to_vec(), Some(Torn)),
        ("a damaged record", flipped(next.clone()), Some(Damaged)),
        ("a damaged record and zeros", [flipped(next.clone()), zeros(1024)].concat(), Some(Damaged)),
        ("a damaged record and a good one", [flipped(next.clone()), next.clone()].concat(), None),
        ("garbage", vec![0x55; 512], None),
        ("zeros and garbage", [zeros(512), vec![0x55; 512]].concat(), None),
        ("another message", other, None),
    ];
    for (name, tail, expected) in cases {
        let disk = disk();
        disk.put(&log_name(0), &[good.clone(), tail].concat());
        let (restored, app) = start(&disk);
        let Some(expected) = expected else {
            let error = restored.expect_err(name);
            assert_eq!(error.offset, Some(good.len() as u64), "{name}");
            assert!(matches!(*error.reason, RestoreReason::Damaged(_)), "{name}: {error}");
            continue;
        };
        let restored = restored.expect(name);
        assert_eq!(kind(&restored.notes), expected, "{name}");
        assert_eq!(app.executed, [1, 2, 3], "{name}");
        assert_eq!(restored.recovered.accepted.decree(), Decree(4), "{name}");
        let left = disk.after_power_failure(|_, _| 0);
        assert_eq!(left.get(&log_name(0)), Some(good.clone()), "{name}: cut off durably");
    }
}

/// [HARD-34]: a complete but damaged record may have been acknowledged; a setting refuses to go on without it.
#[test]
fn damaged_tails_can_be_refused() {
    let disk = disk();
    let mut bytes = log(&votes(0..=4));
    let last = bytes.len() - 512;
    bytes[last + 180] ^= 1;
    disk.put(&log_name(0), &bytes);
    let strict = RestoreSettings { refuse_damaged_tail: true, ..settings() };
    let error = start_with(&disk, &strict, App::default()).0.unwrap_err();
    assert!(
        matches!(*error.reason, RestoreReason::DamagedTail(position) if position == vote(4, 1).position())
    );
    assert_eq!(error.reason.clause(), Some("HARD-34"));
    // A record that the file ends inside of was never acknowledged: no reason to refuse.
    disk.put(&log_name(0), &log(&[vote(0, 1), big_vote(1, 1, 2000)])[..1024]);
    assert!(start_with(&disk, &strict, App::default()).0.is_ok());
}

/// [HARD-37] [HARD-360]: a length field beyond the file is a torn tail, whatever it says; nothing of that size is
/// allocated.
#[test]
fn absurd_lengths_are_torn_tails() {
    for length in [513, 0x7FFF_FFFF, 0xFFFF_FE00, 0xFFFF_FE01, u32::MAX] {
        let mut bytes = log(&votes(0..=2));
        let last = bytes.len() - 512;
        bytes[last + 2..last + 6].copy_from_slice(&length.to_le_bytes());
        let disk = disk();
        disk.put(&log_name(0), &bytes);
        assert_eq!(started(&disk), (0, 1, ballot(1)), "length {length}");
    }
}

/// [STOR-12]: padding is not looked at. [STOR-13]: each record has its own version.
#[test]
fn padding_and_versions_may_be_anything() {
    let of = |version, decree| Record::Vote(vote_of(version, decree, 1));
    let mut bytes = Vec::new();
    for (decree, version) in (0..).zip(ProtocolVersion::ALL) {
        of(version, decree).append_to(&mut bytes).unwrap();
        *bytes.last_mut().unwrap() = 0xAA;
    }
    let disk = disk();
    disk.put(&log_name(0), &bytes);
    let (restored, app) = start(&disk);
    assert_eq!(restored.unwrap().recovered.accepted.version(), ProtocolVersion::V6);
    assert_eq!(app.executed, [1, 2, 3, 4]);
}

/// [STOR-31] [HARD-35]: a torn record in a log that is not the last. It must be what the next log starts with.
#[test]
fn torn_records_inside_the_history() {
    let torn = [log(&votes(0..=2)), log(&[big_vote(3, 1, 2000)])[..1024].to_vec()].concat();
    let disk = disk();
    disk.put(&log_name(0), &torn);
    put_log(&disk, 3, &[vote(3, 1), vote(4, 1)]);
    assert_eq!(started(&disk), (3, 4, ballot(1)));
    assert_eq!(disk.get(&log_name(0)), Some(torn.clone()), "only the last log is cut");

    put_log(&disk, 3, &[vote(4, 1)]);
    let error = start(&disk).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::TornInside(Decree(3))), "{error}");
    assert_eq!((error.offset, error.reason.clause()), (Some(1536), Some("HARD-35")));

    // A torn Prepare hides no decree: legacy leaves it behind when it starts another log.
    let mut long = prepare(2, 9);
    if let Record::Prepare(prepare) = &mut long {
        prepare.cookie = vec![7; 3000].into();
    }
    disk.put(&log_name(0), &[log(&votes(0..=2)), log(&[long])[..1024].to_vec()].concat());
    put_log(&disk, 3, &[vote(3, 1), vote(4, 1)]);
    assert_eq!(started(&disk), (3, 4, ballot(1)));

    // A piece of a page is tolerated in the last log only [HARD-33].
    disk.put(&log_name(0), &[log(&votes(0..=2)), vec![1; 100]].concat());
    let error = start(&disk).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::PartialPage), "{error}");
    // Empty logs behind it do not make it an inner one, and it is cut as the last one is.
    disk.put(&log_name(3), &[]);
    assert_eq!(started(&disk), (1, 2, ballot(1)));
    assert_eq!(disk.get(&log_name(0)).unwrap().len(), 1536);
}

/// [STOR-15] [STOR-17] [STOR-18] [HARD-36] [HARD-375]: what no replica writes is a start failure that names file and
/// offset.
#[test]
fn inconsistent_records_fail_the_start() {
    let empty = Record::Vote(empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY));
    let cases: Vec<(&str, Vec<Record>, u64)> = vec![
        ("empty ballot", vec![vote(0, 1), empty], 512),
        ("gap", vec![vote(0, 1), vote(1, 1), vote(3, 1)], 1024),
        ("going back", vec![vote(0, 1), vote(1, 1), vote(2, 1), vote(1, 1)], 1536),
        ("higher ballot in the next decree", vec![vote(0, 1), vote(1, 1), vote(2, 2)], 1024),
        ("lower ballot in the same decree", vec![vote(0, 1), vote(1, 2), vote(1, 1)], 512),
        ("decision without its vote", vec![vote(0, 1), vote(1, 1), decision(1, 1)], 1024),
        (
            "decision of another decree",
            vec![vote(0, 1), reconfiguration(1, 1, members(2)), decision(2, 1)],
            1024,
        ),
        (
            "decision above the vote's ballot",
            vec![vote(0, 1), reconfiguration(1, 1, members(2)), decision(1, 2)],
            1024,
        ),
    ];
    for (name, records, offset) in cases {
        let disk = disk();
        put_log(&disk, 0, &records);
        let error = start(&disk).0.expect_err(name);
        assert_eq!((error.path.clone(), error.offset), (log_name(0), Some(offset)), "{name}: {error}");
        assert_eq!(error.reason.clause(), Some("HARD-375"), "{name}");
    }
}

/// [STOR-59] [STOR-83] A later log that only repeats older votes changes nothing, as in legacy; what comes next is not
/// appended behind those votes, so that either library starts again. One with something new is no repetition.
#[test]
fn a_log_that_repeats_others_is_set_aside() {
    for repeated in [0..=2, 2..=4] {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=4));
        put_log(&disk, 54, &votes(repeated));
        let mut restored = start(&disk).0.unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(4));
        restored.log.append(&vote(5, 1), None).unwrap();
        restored.log.flush().unwrap();
        drop(restored);
        assert!(disk.get(&path("54.log.unreachable")).is_some() && disk.get(&log_name(54)).is_none());
        assert_eq!(started(&disk), (4, 5, ballot(1)));
    }
    for new in [votes(2..=5), vec![vote(2, 1), vote(3, 1), vote(4, 2)], vec![vote(3, 1), decision(4, 1)]] {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=4));
        put_log(&disk, 54, &new);
        let error = start(&disk).0.unwrap_err();
        assert_eq!((error.path.clone(), error.reason.clause()), (log_name(54), Some("HARD-375")), "{error}");
        assert_eq!(disk.get(&log_name(54)).unwrap(), log(&new));
    }
}

/// The rows of STOR-65's table that have no clause of their own: [STOR-61] [STOR-62] [STOR-63] [STOR-6].
#[test]
fn situations_of_the_table() {
    // `3.log` only.
    let only = disk();
    put_log(&only, 3, &[vote(3, 1)]);
    let error = start(&only).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::MissingLog(Decree(0))), "{error}");

    // `3.codex`, no logs: a start creates `4.log` containing vote 4.
    let alone = disk();
    put_checkpoint(&alone, 3);
    assert_eq!(started(&alone), (3, 4, ballot(1)));
    assert_eq!(alone.get(&log_name(4)), Some(log(&[vote(4, 1)])));
    assert_eq!(started(&alone), (3, 4, ballot(1)), "and again");

    // `3.codex`, `0.log` with votes 0..5: `0.log` stays in use.
    let both = disk();
    put_checkpoint(&both, 3);
    put_log(&both, 0, &votes(0..=5));
    let (restored, app) = start(&both);
    let restored = restored.unwrap();
    assert_eq!((restored.recovered.executed, app.executed), (Decree(4), vec![4]));
    assert_eq!(app.state, b"request of 0request of 1request of 2request of 3request of 4");
    assert_eq!(restored.recovered.checkpoint.map(|found| found.decree), Some(Decree(3)));
    assert_eq!(names(&both), ["0.log", "3.codex"]);

    // `3.codex`, `0.log`, `4.log`: only `4.log` is read, whatever `0.log` holds.
    both.put(&log_name(0), &[0x55; 700]);
    put_log(&both, 4, &votes(4..=6));
    assert_eq!(started(&both), (5, 6, ballot(1)));

    // `3.codex`, `5.log`.
    let hole = disk();
    put_checkpoint(&hole, 3);
    put_log(&hole, 5, &[vote(5, 1)]);
    let error = start(&hole).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::MissingLog(Decree(4))), "{error}");
    // The same when the checkpoint cannot even be read, although an older one could do.
    hole.put(&path("3.codex"), b"");
    put_checkpoint(&hole, 1);
    assert!(matches!(*start(&hole).0.unwrap_err().reason, RestoreReason::MissingLog(Decree(4))));

    // `9.codex`, `0.log` up to vote 3: logs forgotten, not deleted.
    let ahead = disk();
    put_checkpoint(&ahead, 9);
    put_log(&ahead, 0, &votes(0..=3));
    let restored = start(&ahead).0.unwrap();
    assert_eq!(restored.recovered.accepted.decree(), Decree(10));
    assert_eq!(
        restored.recovered.logs,
        [LogFileInfo { name: Decree(10), votes: Some((Decree(10), Decree(10))), len: 512 }]
    );
    assert_eq!(names(&ahead), ["0.log", "10.log", "9.codex"]);
}

/// [STOR-45] [STOR-46] [STOR-62]: a checkpoint that cannot be used is passed over; every attempt loads once, and the
/// last resort is a complete replay.
#[test]
fn unusable_checkpoints_are_passed_over() {
    let full = disk();
    put_checkpoint(&full, 3);
    put_log(&full, 0, &votes(0..=5));
    let checkpoint = full.get(&path("3.codex")).unwrap();
    let state = (checkpoint.len() - 1024 - 8) as u64;

    let with = |bytes: &[u8]| {
        let disk = full.fork();
        disk.put(&path("3.codex"), bytes);
        let (restored, app) = start(&disk);
        (restored.unwrap().recovered.executed.0, app.loads, app.executed)
    };
    assert_eq!(with(&checkpoint), (4, vec![Some(state)], vec![4]));
    let all = vec![1, 2, 3, 4];
    let longer = [checkpoint.clone(), vec![0]].concat();
    let mut damaged = checkpoint.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(with(&checkpoint[..checkpoint.len() - 1]), (4, vec![None], all.clone()), "too short");
    assert_eq!(with(&longer), (4, vec![None], all.clone()), "too long");
    assert_eq!(with(b""), (4, vec![None], all.clone()), "empty");
    assert_eq!(with(&damaged), (4, vec![Some(state), None], all), "a damaged block is found by loading");

    // An older checkpoint comes before the replay from the start.
    put_checkpoint(&full, 1);
    full.put(&path("3.codex"), &damaged);
    let (restored, app) = start(&full);
    let restored = restored.unwrap();
    assert_eq!(app.executed, [2, 3, 4]);
    assert_eq!(restored.recovered.checkpoint.map(|found| found.decree), Some(Decree(1)));
    assert!(matches!(restored.notes[..], [Note::CheckpointSkipped { decree: Decree(3), .. }]));

    // The application decides, too.
    let picky = App { refuse_loads: 2, ..App::default() };
    let (restored, app) = start_with(&full, &settings(), picky);
    assert_eq!((app.loads.len(), app.executed), (3, vec![1, 2, 3, 4]));
    assert!(restored.is_ok());
}

/// [HARD-48]: a file under another name is passed over. Legacy believes the name.
#[test]
fn a_renamed_checkpoint_is_not_believed() {
    let disk = disk();
    put_checkpoint(&disk, 3);
    put_log(&disk, 0, &votes(0..=5));
    let bytes = disk.get(&path("3.codex")).unwrap();
    disk.put(&path("4.codex"), &bytes);
    let (restored, _) = start(&disk);
    let restored = restored.unwrap();
    assert_eq!(restored.recovered.checkpoint.map(|found| found.decree), Some(Decree(3)));
    assert!(matches!(restored.notes[..], [Note::CheckpointSkipped { decree: Decree(4), .. }]));
}

/// [HARD-371] [HARD-375]: a log named after the next vote of a checkpoint ahead of it goes on only if the vote can
/// follow what it holds; it is never emptied.
#[test]
fn a_log_that_cannot_go_on_fails_the_start() {
    let fitting = disk();
    put_checkpoint(&fitting, 9);
    put_log(&fitting, 10, &votes(5..=9));
    assert_eq!(started(&fitting), (9, 10, ballot(1)));
    assert_eq!(fitting.get(&log_name(10)), Some(log(&votes(5..=10))));
    let hole = disk();
    put_checkpoint(&hole, 9);
    put_log(&hole, 10, &votes(5..=7));
    let error = start(&hole).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::Gap { expected: Decree(8), .. }), "{error}");
    assert_eq!((error.path, error.offset), (log_name(10), Some(1536)));
    assert_eq!(hole.get(&log_name(10)), Some(log(&votes(5..=7))));
}

/// [HARD-48]: there is no decree after the last one, so no checkpoint either.
#[test]
fn a_checkpoint_of_the_last_decree_is_refused() {
    let disk = disk();
    checkpoint(&disk, 3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1), b"");
    let mut header = CheckpointReader::open(&disk, &path("3.codex")).unwrap().header().clone();
    header.executed = Decree(u64::MAX);
    header.next_vote = vote_of(ProtocolVersion::V4, u64::MAX, 1);
    header.size = header.encoded_len();
    disk.remove(&path("3.codex")).unwrap();
    disk.put(&path("18446744073709551615.codex"), &header.encode().unwrap());
    assert_eq!(started(&disk), (0, 0, Ballot::EMPTY));
}

/// [HARD-573]: the application may refuse to load nothing on a true first start only (decision 5).
#[test]
fn refusing_the_initial_state() {
    let refusing = || App { refuse_nothing: true, ..App::default() };
    let (restored, _) = start_with(&disk(), &settings(), refusing());
    assert_eq!(restored.unwrap().notes, [Note::FirstLoadRefused]);
    let logged = disk();
    put_log(&logged, 0, &[vote(0, 1)]);
    let error = start_with(&logged, &settings(), refusing()).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::LoadRefused), "{error}");
}

/// [STOR-59]: reconfiguration vote 4, decision 4, end: exec 4, configuration + 1, a placeholder for decree 5.
#[test]
fn a_decision_changes_the_configuration() {
    let disk = disk();
    let mut records = votes(0..=3);
    records.extend([reconfiguration(4, 1, members(2)), decision(4, 1)]);
    put_log(&disk, 0, &records);
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    let expected = Configuration { number: 2, initial_decree: Decree(5), members: members(2) };
    assert_eq!((app.executed, app.configurations), (vec![1, 2, 3, 4], vec![2]));
    assert_eq!(recovered.executed, Decree(4));
    assert_eq!(recovered.accepted.position(), Position::new(Decree(5), Ballot::EMPTY));
    assert_eq!(recovered.accepted.header().configuration, 0);
    assert_eq!(recovered.promised, Ballot::new(2, MemberId::EMPTY));
    assert_eq!(recovered.state_configuration, expected);
    assert_eq!(recovered.voting_configuration, expected);

    // The first vote of the new configuration may have any ballot [STOR-17].
    records.push(vote(5, 7));
    put_log(&disk, 0, &records);
    assert_eq!(started(&disk), (4, 5, ballot(7)));
}

/// [STOR-59]: a next vote with the empty ballot after a reconfiguration: accepted, and the new log starts empty.
/// [STOR-52] [XFER-43]: so it is with the checkpoint of a bootstrap, which holds no state.
#[test]
fn checkpoints_whose_next_vote_has_no_ballot() {
    let bootstrapped = disk();
    let next = empty_vote(ProtocolVersion::V4, 1, Ballot::EMPTY);
    let new = NewCheckpoint { state_saved: false, ..new_checkpoint(0, next, Ballot::EMPTY) };
    save(&open(&bootstrapped), new, &[]).unwrap();
    let (restored, app) = start(&bootstrapped);
    let recovered = restored.unwrap().recovered;
    assert_eq!(app.loads, [None], "there is no state to load");
    assert_eq!(recovered.accepted.position(), Position::new(Decree(1), Ballot::EMPTY));
    assert_eq!((recovered.executed, recovered.promised), (Decree(0), Ballot::EMPTY));
    assert_eq!(recovered.state_configuration.members, members(3), "from the checkpoint");
    assert_eq!(bootstrapped.get(&log_name(1)), Some(vec![]));
}

/// [STOR-64] [PROTO-165]: members come from the files, else from the caller, and without any a used replica cannot start.
#[test]
fn members_must_be_known() {
    let settings = RestoreSettings { initial_members: None, ..settings() };
    let fresh = disk();
    let restored = start_with(&fresh, &settings, App::default()).0.unwrap();
    assert_eq!(restored.recovered.state_configuration, Configuration::empty(0), "waits for its bootstrap");
    let used = disk();
    put_log(&used, 0, &votes(0..=2));
    let error = start_with(&used, &settings, App::default()).0.unwrap_err();
    assert!(matches!(*error.reason, RestoreReason::NoMembers), "{error}");
    put_checkpoint(&used, 1);
    assert!(start_with(&used, &settings, App::default()).0.is_ok(), "the checkpoint says them");
    // What is given is ignored then.
    let settings = RestoreSettings { initial_members: Some(members(1)), ..settings };
    let restored = start_with(&used, &settings, App::default()).0.unwrap();
    assert_eq!(restored.recovered.state_configuration.members, members(3));
}

/// [STOR-65] [XFER-49]: the configured version is in force, whatever the files hold: the placeholder shows it.
#[test]
fn the_configured_version_is_in_force() {
    let disk = disk();
    let new = RestoreSettings { version: ProtocolVersion::V6, ..settings() };
    put_log(&disk, 0, &[vote(0, 1), reconfiguration(1, 1, members(2)), decision(1, 1)]);
    let recovered = start_with(&disk, &new, App::default()).0.unwrap().recovered;
    assert_eq!(recovered.accepted.version(), ProtocolVersion::V6);
}

/// [STOR-38] [XFER-50]: versions 1 and 2 carry no configuration; it stays the caller's.
#[test]
fn old_checkpoints_leave_the_configuration_to_the_caller() {
    let disk = disk();
    checkpoint(&disk, 3, vote_of(ProtocolVersion::V2, 4, 5), ballot(5), b"state");
    let (restored, app) = start(&disk);
    let recovered = restored.unwrap().recovered;
    assert_eq!(
        (recovered.executed, recovered.promised, app.state),
        (Decree(3), ballot(5), b"state".to_vec())
    );
    assert_eq!(recovered.state_configuration.number, 1);
    assert_eq!(recovered.state_configuration.members, members(3));
}

/// [XFER-46]: a replayed request may ask for a checkpoint; it is taken at that decree, with the vote just read.
#[test]
fn checkpoints_are_saved_while_replaying() {
    let asking = disk();
    put_log(&asking, 0, &votes(0..=5));
    let app = App { save_at: Some(3), ..App::default() };
    let (restored, _) = start_with(&asking, &settings(), app);
    let restored = restored.unwrap();
    assert_eq!(restored.recovered.checkpoint.map(|saved| saved.decree), Some(Decree(3)));
    assert!(!restored.saving_refused);
    let (_, app) = start(&asking);
    assert_eq!((app.loads, app.executed), (vec![Some(36)], vec![4]));
    let reader = CheckpointReader::open(&asking, &path("3.codex")).unwrap();
    assert_eq!(reader.header().next_vote.position(), vote(4, 1).position());
    // Whoever copies it learns the members from it. Found by the simulator (seed 14771): it named none.
    let configuration = reader.header().configuration.clone().unwrap();
    assert_eq!((configuration.number, configuration.members), (1, members(3)));

    // A refusal is remembered and does not fail the start; neither does a failure.
    for (answer, refused) in [(SaveAnswer::Refused, true), (SaveAnswer::Failed, false)] {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=5));
        let app = App { save_at: Some(3), save_answer: Some(answer), ..App::default() };
        let restored = start_with(&disk, &settings(), app).0.unwrap();
        assert_eq!((restored.saving_refused, restored.recovered.checkpoint), (refused, None));
        assert_eq!(names(&disk), ["0.log"], "nothing is left behind");
    }
}

/// [STOR-5] [HARD-57] [HARD-517]: other names are ignored and reported, once.
#[test]
fn foreign_names_are_ignored_and_reported() {
    let disk = disk();
    put_log(&disk, 0, &votes(0..=2));
    let foreign =
        [" 5.log", "+6.log", "-1.log", "00000.log", "12abc.log", "5.logx", "7.LOG", "abc.codex", "abc.log"];
    for name in foreign {
        disk.put(&path(name), &[0x55; 512]);
    }
    for name in [".hidden.log", "notes.txt", "defunct.txt.bak"] {
        disk.put(&path(name), b"whatever");
    }
    let restored = start(&disk).0.unwrap();
    let reported: Vec<_> = restored
        .notes
        .iter()
        .map(|note| match note {
            Note::ForeignName(name) => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reported, foreign);
    assert_eq!(restored.recovered.accepted.decree(), Decree(2));
}

/// [XFER-32] [STOR-25]: how much younger the newest log is than the checkpoint, else than the first log.
#[test]
fn the_lag_of_the_checkpoint() {
    use std::time::Duration;
    let seconds = Duration::from_secs;
    let lag = |checkpoint: Option<u64>, first, newest| {
        let disk = disk();
        put_log(&disk, 0, &votes(0..=2));
        put_log(&disk, 3, &votes(3..=4));
        disk.set_modified(&log_name(0), seconds(first));
        disk.set_modified(&log_name(3), seconds(newest));
        if let Some(modified) = checkpoint {
            put_checkpoint(&disk, 1);
            disk.set_modified(&path("1.codex"), seconds(modified));
        }
        start(&disk).0.unwrap().recovered.checkpoint_lag
    };
    assert_eq!(lag(Some(4), 1, 9), seconds(5));
    assert_eq!(lag(Some(9), 1, 4), Duration::ZERO, "the checkpoint is younger");
    assert_eq!(lag(None, 1, 9), seconds(8));
}

/// A plan says what the restart then does, and changes nothing.
#[test]
fn a_plan_is_what_a_restart_does() {
    let disk = disk();
    put_checkpoint(&disk, 3);
    disk.put(&log_name(0), &[log(&votes(0..=5)), vec![0; 512]].concat());
    let before = disk.get(&log_name(0));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let made = plan(&shared, &root(), &settings(), &mut |state| state.verify_rest().is_ok()).unwrap();
    let planned = made.outcome.unwrap();
    assert_eq!(disk.get(&log_name(0)), before);
    let recovered = start(&disk).0.unwrap().recovered;
    assert_eq!(planned.accepted, recovered.accepted);
    assert_eq!((planned.executed, planned.promised), (recovered.executed, recovered.promised));
    assert_eq!((planned.logs, planned.checkpoint), (recovered.logs, recovered.checkpoint));
    assert_eq!(planned.new_log, None);

    let refusing = plan(&shared, &root(), &settings(), &mut |_| false).unwrap();
    assert_eq!(refusing.outcome.unwrap().checkpoint, None, "no checkpoint is usable");
}
