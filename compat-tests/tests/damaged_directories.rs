//! Damaged directories in every version, made here: what a legacy replica does with them, what ours does, and what is
//! left afterwards for either.

use std::path::Path;

use compat_tests::damage::{CASES, Files, Legacy};
use compat_tests::host_state::restart;
use compat_tests::synthetic::{self, ballot, members, vote};
use migration::inspect::inspect_json;
use migration::inspect::restart::Members;
use rsl_core::format::Record;
use rsl_core::types::{Decree, MemberId, ProtocolVersion};
use serde_json::Value;

fn inspected(path: &Path) -> Value {
    let (_, out) = inspect_json(path, &Members::Assumed, Vec::new()).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// How a legacy start ends. Where ours ends otherwise, a clause is named.
fn outcome(restart: &Value) -> Legacy {
    let alike = (restart["legacy"] == "started") == (restart["outcome"] == "started");
    let dies = restart["legacy"] == "process_exits";
    assert!((alike && !dies) || restart["clauses"] != serde_json::json!([]), "no clause is named: {restart}");
    let number = |name: &str| restart["legacyState"][name].as_u64().unwrap();
    match restart["legacy"].as_str().unwrap() {
        "started" => Legacy::Starts(number("seq"), number("maxAcceptedDecree"), number("checkpointedDecree")),
        "init_failed" => Legacy::Fails,
        "process_exits" => Legacy::Dies,
        other => panic!("{other}"),
    }
}

/// Names that stop a legacy replica and that we report, ignore and leave alone.
const STAYS_FATAL: [&str; 3] =
    ["extra file abc.log", "extra file abc.codex", "last checkpoint copied as decree+100 (beyond the logs)"];

fn member() -> MemberId {
    MemberId::from_number(101)
}

/// [STOR-5] [STOR-7] [STOR-30] [STOR-37] [STOR-45] [STOR-46] [STOR-47] [STOR-59] [STOR-61] [STOR-62] [STOR-63]: what
/// was seen with versions 1 and 4 holds for all.
#[test]
fn legacy_replicas_end_alike_in_every_version() {
    for version in ProtocolVersion::ALL {
        let base = synthetic::files(version);
        for case in CASES {
            let mut files = base.clone();
            (case.damage)(&mut files);
            let dir = tempfile::tempdir().unwrap();
            files.write(dir.path()).unwrap();
            let found = inspected(dir.path());
            let expected = case.legacy(version.number());
            let notes = &found["restart"]["legacyNotes"];
            assert_eq!(outcome(&found["restart"]), expected, "version {version}, {}: {notes}", case.name);
        }
    }
}

fn sound_after_our_restart(version: ProtocolVersion) {
    let base = synthetic::files(version);
    for case in CASES {
        let mut files = base.clone();
        (case.damage)(&mut files);
        let dir = tempfile::tempdir().unwrap();
        files.write(dir.path()).unwrap();
        let at = format!("version {version}, {}", case.name);
        let planned = inspected(dir.path())["restart"].take();
        let first = restart(dir.path(), member(), version, &members());
        assert_eq!(planned["outcome"] == "started", first.is_ok(), "{at}: plan and restart agree");
        let Ok((state, mut restored)) = first else { continue };
        let executed = restored.recovered.executed;
        assert_eq!(planned["seq"], executed.0, "{at}");
        assert_eq!(planned["maxAcceptedDecree"], restored.recovered.accepted.decree().0, "{at}");
        if case.name.contains("state hash") && version < ProtocolVersion::V4 {
            // Nothing in the file protects those bytes.
            continue;
        }
        // Both sums start from the same padding once a checkpoint has been loaded.
        let expected = synthetic::state(version, executed.0);
        assert_eq!((state.count, state.hash), (expected.count, expected.hash), "{at}: the state");

        // More is appended, then both kinds of replica start again.
        let record = Record::Vote(synthetic::next_vote(version, &restored.recovered.accepted));
        restored.log.append(&record, None).unwrap();
        restored.log.flush().unwrap();
        drop(restored);
        let again = inspected(dir.path())["restart"].take();
        if !STAYS_FATAL.contains(&case.name) {
            assert_eq!(again["legacy"], "started", "{at}: {}", again["legacyNotes"]);
            assert_eq!(again["legacyState"]["maxAcceptedDecree"], record.position().decree.0, "{at}");
        }
        assert_eq!(again["outcome"], "started", "{at}: {}", again["error"]);
        assert_eq!(again["maxAcceptedDecree"], record.position().decree.0, "{at}");
    }
}

/// [HARD-32] [HARD-33] [HARD-367] [STOR-22] [STOR-80] [STOR-81] [STOR-83]: after our restart on any damage the
/// directory is sound again, for us and for a legacy replica, and nothing is lost twice.
#[test]
fn a_directory_is_sound_after_our_restart() {
    std::thread::scope(|scope| {
        for version in ProtocolVersion::ALL {
            scope.spawn(move || sound_after_our_restart(version));
        }
    });
}

/// [HARD-32] [HARD-367]: a torn vote of many pages, a restart, shorter records behind it. A legacy replica that goes
/// on in such a file cannot start a second time; after our restart both kinds can.
#[test]
fn a_torn_tail_does_not_come_back() {
    for version in ProtocolVersion::ALL {
        let torn = |files: &mut Files| {
            let log: Vec<u8> =
                (0..4).flat_map(|decree| synthetic::padded(&Record::Vote(vote(version, decree)))).collect();
            let mut next = synthetic::long_vote(version, 4);
            next.truncate(14_336 + 512);
            files.0.insert("0.log".into(), [log, next].concat());
        };
        let mut files = Files::default();
        torn(&mut files);
        let dir = tempfile::tempdir().unwrap();
        files.write(dir.path()).unwrap();
        let found = inspected(dir.path())["restart"].take();
        assert_eq!(outcome(&found), Legacy::Starts(2, 3, 0), "version {version}");
        let end = usize::try_from(found["legacyState"]["logs"][0]["len"].as_u64().unwrap()).unwrap();

        // Legacy writes the next record over the start of the torn one and leaves the rest.
        let short = synthetic::padded(&Record::Vote(synthetic::next_vote(version, &vote(version, 3))));
        let log = files.0.get_mut("0.log").unwrap();
        assert!(log.len() > end + short.len());
        log[end..end + short.len()].copy_from_slice(&short);
        let legacy = tempfile::tempdir().unwrap();
        files.write(legacy.path()).unwrap();
        assert_eq!(outcome(&inspected(legacy.path())["restart"]), Legacy::Fails, "version {version}");

        let (_, mut restored) = restart(dir.path(), member(), version, &members()).unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(3));
        assert_eq!(restored.recovered.promised, ballot());
        let record = Record::Vote(synthetic::next_vote(version, &restored.recovered.accepted));
        restored.log.append(&record, None).unwrap();
        restored.log.flush().unwrap();
        drop(restored);
        let found = inspected(dir.path());
        assert_eq!(found["problems"], serde_json::json!([]), "version {version}");
        assert_eq!(outcome(&found["restart"]), Legacy::Starts(3, 4, 0), "version {version}");
        let (_, restored) = restart(dir.path(), member(), version, &members()).unwrap();
        assert_eq!(restored.recovered.accepted.decree(), Decree(4));
    }
}

/// Sets bytes of a file.
fn put(files: &mut Files, name: &str, at: usize, bytes: &[u8]) {
    files.0.get_mut(name).unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
}

/// [STOR-5] [STOR-11] [STOR-29] [STOR-35] [STOR-45] [HARD-10] [HARD-37] [HARD-38] [HARD-54]: damage that was not
/// recorded, with the outcome that the procedures give. Where a legacy process ends, ours falls back or fails.
#[test]
fn damaged_lengths_and_ids_follow_the_procedure() {
    for version in ProtocolVersion::ALL {
        let end_of = |damage: &dyn Fn(&mut Files)| {
            let mut files = synthetic::files(version);
            damage(&mut files);
            let dir = tempfile::tempdir().unwrap();
            files.write(dir.path()).unwrap();
            let found = inspected(dir.path());
            (
                outcome(&found["restart"]),
                found["restart"]["outcome"].clone(),
                found["restart"]["checkpoint"].clone(),
            )
        };
        let at = synthetic::files(version).vote_offset("115.log", 129);
        let of_vote = |field: usize, bytes: &'static [u8]| {
            end_of(&move |files| put(files, "115.log", at + field, bytes))
        };
        let of_header =
            |field: usize, bytes: &'static [u8]| end_of(&move |files| put(files, "114.codex", field, bytes));
        let fails = (Legacy::Fails, "failed".into(), Value::Null);
        assert_eq!(of_vote(2, &[0, 0, 0, 0]), fails, "no length, version {version}");
        assert_eq!(of_vote(18, &[5]), fails, "another message, version {version}");
        let (legacy, ours, _) = of_vote(2, &[0, 0, 0, 0x10]);
        assert_eq!((legacy, ours), (Legacy::Starts(127, 128, 114), "started".into()), "version {version}");

        let older = |legacy| (legacy, "started".into(), 57.into());
        assert_eq!(of_header(2, &[0, 0, 0, 0]), older(Legacy::Dies), "no header length, version {version}");
        assert_eq!(of_header(0, &[9]), older(Legacy::Starts(142, 143, 57)), "version 9, version {version}");
        if version.has_configuration() {
            let members = if version.has_string_ids() { 166 } else { 54 };
            let host_name = members + 2 + version.member_id_size() + 8;
            assert_eq!(of_header(host_name, &[44, 1]), older(Legacy::Dies), "host name, version {version}");
        }
        if version.has_string_ids() {
            let flag = 166 + usize::try_from(rsl_core::wire::member_set_size(&members(), version)).unwrap();
            assert_eq!(
                of_header(flag + 1, &[1]),
                older(Legacy::Starts(142, 143, 57)),
                "size, version {version}"
            );
            assert_eq!(
                of_header(flag + 9, &[0xE8, 3, 0, 0]),
                older(Legacy::Dies),
                "block size, version {version}"
            );
        }
    }
}

/// [STOR-5] [HARD-57]: a directory that is called like a log stops a legacy replica; we ignore it.
#[test]
fn directories_are_no_logs() {
    let dir = tempfile::tempdir().unwrap();
    synthetic::files(ProtocolVersion::V4).write(dir.path()).unwrap();
    std::fs::create_dir(dir.path().join("150.log")).unwrap();
    let found = inspected(dir.path())["restart"].take();
    assert_eq!((outcome(&found), &found["outcome"]), (Legacy::Fails, &"started".into()));
}
