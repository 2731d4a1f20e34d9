//! `rsl inspect` and `rsl verify` as commands: exit codes, one JSON value, and what a person reads.

use std::path::Path;
use std::process::{Command, Output};

use rsl_core::format::Record;
use rsl_core::types::{Ballot, Decree, MemberId, ProtocolVersion};
use rsl_core::wire::{Header, Vote, VoteContent};

fn rsl(arguments: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rsl")).args(arguments).arg(path).output().unwrap()
}

/// The pages of an empty vote.
fn vote(decree: u64) -> Vec<u8> {
    let member = MemberId::from_number(1);
    let header = Header::new(ProtocolVersion::V4, member, Decree(decree), 1, Ballot::new(1, member));
    let mut bytes =
        Record::Vote(Vote::new(header, &VoteContent::default()).unwrap()).encode().unwrap().to_vec();
    bytes.resize(512, 0);
    bytes
}

/// A sound directory: exit code 0, silence from `verify`, one JSON value from `inspect --json`.
#[test]
fn sound_files_pass() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("0.log"), [vote(0), vote(1)].concat()).unwrap();
    let verified = rsl(&["verify"], dir.path());
    assert_eq!((verified.status.code(), verified.stdout.len()), (Some(0), 0));
    let inspected = rsl(&["inspect", "--json"], dir.path());
    assert_eq!(inspected.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["files"]["0.log"]["messages"].as_array().unwrap().len(), 2);
    assert_eq!(value["restart"]["maxAcceptedDecree"], 1);
    assert_eq!(value["restart"]["legacy"], "started");
    let text = String::from_utf8(rsl(&["inspect"], dir.path()).stdout).unwrap();
    assert!(text.contains("legacy replica   started"), "{text}");
    let members = ["inspect", "--members", "1@127.0.0.1:20000,2@127.0.0.1:20010:20011/host"];
    let text = String::from_utf8(rsl(&members, dir.path()).stdout).unwrap();
    assert!(text.contains("2 members known"), "{text}");
    assert_eq!(
        rsl(&["inspect", "--no-members"], dir.path()).status.code(),
        Some(1),
        "nobody says who the members are"
    );
}

/// Damage: exit code 1, and the place is named.
#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = [vote(0), vote(1), vote(2)].concat();
    log[512 + 160] ^= 1;
    let path = dir.path().join("0.log");
    std::fs::write(&path, log).unwrap();
    for command in ["inspect", "verify"] {
        for path in [dir.path(), &path] {
            let output = rsl(&[command], path);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains("0.log at 512: Vote 1@1.1 has a wrong checksum"), "{text}");
        }
    }
    std::fs::write(dir.path().join("3.codex"), b"short").unwrap();
    let output = rsl(&["verify", "--json"], &dir.path().join("3.codex"));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &value["ok"]), (Some(1), &false.into()));
}

/// What is not there, or no file of ours: exit code 2 and nothing on stdout.
#[test]
fn unreadable_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"").unwrap();
    for name in ["missing.log", "notes.txt"] {
        for arguments in [&["inspect"][..], &["inspect", "--json"], &["verify"], &["verify", "--json"]] {
            let output = rsl(arguments, &dir.path().join(name));
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}");
            assert!(!output.stderr.is_empty());
        }
    }
}
