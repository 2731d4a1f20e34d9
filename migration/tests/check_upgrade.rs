//! `rsl check-upgrade` as a process: sound directories, damaged ones, and what is none.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn rsl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rsl")).args(arguments).output().unwrap()
}

fn check(dir: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let output = rsl(&[&["check-upgrade", "--json", dir.to_str().unwrap()], more].concat());
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), value)
}

/// The contents of a directory, to see that nothing was written.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}

/// [HARD-558] [HARD-559] [HARD-34] One directory that a replica left, as it is and then damaged.
#[test]
fn a_directory_is_judged_without_being_touched() {
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("kept");
    let demo = rsl(&["demo", "--replicas", "1", "--requests", "200", "--dir", kept.to_str().unwrap()]);
    assert!(demo.status.success(), "{demo:?}");
    let dir = kept.join("r101");
    let before = contents(&dir);

    let (code, found) = check(&dir, &[]);
    assert_eq!((code, &found["ok"], &found["wayBack"]), (Some(0), &true.into(), &true.into()), "{found}");
    assert!(found["start"]["executed"].as_u64() > Some(1), "{found}");
    assert_eq!((&found["legacy"], &found["version"]), (&"started".into(), &6.into()), "{found}");
    let text = String::from_utf8(rsl(&["check-upgrade", dir.to_str().unwrap()]).stdout).unwrap();
    assert!(text.contains("take over    yes") && text.contains("way back     open"), "{text}");

    let (code, small) = check(&dir, &["--max-message-size-mb", "1"]);
    assert_eq!((code, &small["takeOver"]), (Some(1), &true.into()), "{small}");
    assert!(small["dangers"].to_string().contains("HARD-559"), "{small}");
    assert_eq!(contents(&dir), before, "it wrote");

    // The last record, complete, with a wrong checksum: it may have been acknowledged.
    let log = before.iter().rfind(|(name, _)| name.ends_with(".log")).unwrap();
    let mut bytes = log.1.clone();
    let last_page = bytes.len() - 512;
    bytes[last_page + 60] ^= 1;
    std::fs::write(&log.0, &bytes).unwrap();
    let (code, damaged) = check(&dir, &[]);
    assert_eq!((code, &damaged["ok"]), (Some(1), &false.into()), "{damaged}");

    // All of it.
    std::fs::write(&log.0, vec![7; bytes.len()]).unwrap();
    let (code, lost) = check(&dir, &[]);
    assert_eq!((code, &lost["ok"]), (Some(1), &false.into()), "{lost}");
    assert!(lost["dangers"].as_array().is_some_and(|dangers| !dangers.is_empty()), "{lost}");
}

#[test]
fn what_is_no_directory_of_a_replica_is_said() {
    let missing = rsl(&["check-upgrade", "no-such-directory"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-directory"));
    let empty = tempfile::tempdir().unwrap();
    let (code, found) = check(empty.path(), &[]);
    assert_eq!(code, Some(1));
    assert!(found["dangers"].to_string().contains("no log"), "{found}");
}
