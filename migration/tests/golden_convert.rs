//! `rsl convert` on directories that legacy replicas left: what a dry run says is what is done; afterwards `rsl verify` is
//! content and a legacy replica would start from the same history.
//!
//! Without golden data the tests count as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use compat_tests::golden;
use libtest_mimic::{Arguments, Failed, Trial};
use migration::inspect::dir::WorkingDir;
use migration::inspect::legacy::Outcome;
use migration::inspect::restart::{Members, Restart};
use rsl_core::storage::{CheckpointReader, OsDisk};
use rsl_core::types::ProtocolVersion;
use serde_json::Value;

type Test = fn(&Path) -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 3] = [
        ("tails_are_cut", tails_are_cut),
        ("versions_change", versions_change),
        ("logged_sets_change", logged_sets_change),
    ];
    let trials = tests.map(|(name, test)| match golden::dir() {
        Some(golden) => Trial::test(name, move || test(&golden.join("disk"))),
        None => Trial::test(name, || Err("there is no golden data".into())).with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn require(condition: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(what().into()) }
}

fn rsl(words: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(env!("CARGO_BIN_EXE_rsl")).args(words).output()?)
}

/// Runs `rsl convert --json`; gives exit code and object.
fn convert(dir: &Path, words: &[&str]) -> Result<(Option<i32>, Value), Failed> {
    let dir = dir.to_str().ok_or("no UTF-8")?;
    let output = rsl(&[&["convert", "--json", dir], words].concat())?;
    let value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    Ok((output.status.code(), value))
}

fn verify(dir: &Path) -> Result<(), Failed> {
    let output = rsl(&["verify", dir.to_str().ok_or("no UTF-8")?])?;
    require(output.status.success(), || format!("rsl verify: {output:?}"))
}

/// Every file below a directory with its bytes.
fn content(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(files)
}

/// Without the files of our own lock.
fn data(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut files = content(dir)?;
    files.retain(|path, _| {
        path.extension().is_some_and(|extension| extension == "log" || extension == "codex")
    });
    Ok(files)
}

/// A copy of a replica's directory.
fn copy(replica: &Path) -> Result<tempfile::TempDir, Failed> {
    let copy = tempfile::tempdir()?;
    for (path, bytes) in data(replica)? {
        fs::write(copy.path().join(path.file_name().ok_or("no name")?), bytes)?;
    }
    Ok(copy)
}

fn restart(dir: &Path) -> Result<(String, String), Failed> {
    let restart = Restart::of(&WorkingDir::open(dir)?, &Members::Assumed)?;
    let ours = restart
        .ours
        .outcome
        .as_ref()
        .map(|start| format!("{} {}", start.executed, start.accepted.position()));
    let ours = ours.map_err(|error| format!("ours: {error}"))?;
    require(matches!(restart.legacy.outcome, Outcome::Started), || "a legacy replica does not start".into())?;
    Ok((ours, restart.legacy.outcome.name().to_owned()))
}

/// Converts; a dry run before says the same and writes nothing, and there is nothing left to do behind it.
fn convert_and_check(dir: &Path, words: &[&str]) -> Result<Value, Failed> {
    let before = content(dir)?;
    let (code, dry) = convert(dir, &[words, &["--dry-run"]].concat())?;
    require(code == Some(0) && dry["written"] == false, || format!("{code:?} {dry}"))?;
    require(content(dir)? == before, || "the dry run wrote".into())?;
    let (code, done) = convert(dir, words)?;
    require(code == Some(0) && done["written"] == true, || format!("{code:?} {done}"))?;
    require(done["changes"] == dry["changes"], || format!("{dry} was said, {done} was done"))?;
    verify(dir)?;
    Ok(done)
}

/// Zeroes that were reserved, a part of a page, and a torn record are cut; the log is again, byte for byte, what the
/// legacy replica left. A damaged last record is none of our business, and nothing is written then.
/// Trial: [STOR-10] [STOR-81] [HARD-33] (decision 20)
fn tails_are_cut(disk: &Path) -> Result<(), Failed> {
    for replica in ["steady/v1/r101", "election/v3/r102", "reconfig/v6/ralpha", "bootstrap/v4/ralpha"] {
        let dir = copy(&disk.join(replica))?;
        let dir = dir.path();
        let original = data(dir)?;
        let start = restart(dir)?;
        let (log, bytes) =
            original.iter().rfind(|(path, _)| path.ends_with("0.log") || is_log(path)).ok_or("no log")?;
        let torn =
            bytes.get(..512).ok_or("a short log")?.iter().chain(&bytes[..100]).copied().collect::<Vec<u8>>();
        let mut record = torn;
        // Its length field says more than is there.
        record[2..6].copy_from_slice(&5000_u32.to_le_bytes());
        for tail in [vec![0; 1 << 20], vec![0; 100], record] {
            fs::write(log, [&bytes[..], &tail].concat())?;
            let done = convert_and_check(dir, &["--truncate"])?;
            require(done["changes"].as_array().is_some_and(|changes| changes.len() == 1), || {
                done.to_string()
            })?;
            require(data(dir)? == original, || format!("{replica}: the log is not what it was"))?;
            require(restart(dir)? == start, || format!("{replica}: another start"))?;
        }
        let (code, nothing) = convert(dir, &["--truncate"])?;
        require(code == Some(0) && nothing["changes"] == serde_json::json!([]), || nothing.to_string())?;

        let mut damaged = bytes.clone();
        let last = damaged.len() - 512;
        damaged[last + 10] ^= 1;
        fs::write(log, &damaged)?;
        let before = data(dir)?;
        let (code, refused) = convert(dir, &["--truncate"])?;
        require(code == Some(1) && refused["written"] == false, || refused.to_string())?;
        require(data(dir)? == before, || "a refused conversion wrote".into())?;
    }
    Ok(())
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// Checkpoints of versions 1 and 3 become ones of version 4, and back to 3; members are exchanged. The state stays, the
/// next vote too, and replicas start from them. Without members version 1 is refused.
/// Trial: [STOR-71] [STOR-72] [STOR-73] [HARD-55] [HARD-538]
fn versions_change(disk: &Path) -> Result<(), Failed> {
    let list = "101@127.0.0.1:7001,102@127.0.0.1:7011,103@127.0.0.1:7021";
    for (run, given) in [("steady/v1", true), ("steady/v3", false)] {
        let dir = copy(&disk.join(run).join("r101"))?;
        let dir = dir.path();
        let (path, state, vote) = state(dir)?;
        let start = restart(dir)?;
        if given {
            let (code, refused) = convert(dir, &["--checkpoint-version", "4"])?;
            require(code == Some(1) && refused["written"] == false, || refused.to_string())?;
        }
        let members: &[&str] = if given { &["--members", list] } else { &[] };
        for number in ["4", "3"] {
            convert_and_check(dir, &[&["--checkpoint-version", number], members].concat())?;
            let reader = CheckpointReader::open(&OsDisk, &path)?;
            require(reader.header().version.number().to_string() == number, || format!("version {number}"))?;
            require(reader.header().block_size == 0, || "a migrated body is raw".into())?;
            require(self::state(dir)?.1 == state && self::state(dir)?.2 == vote, || {
                "state or next vote".into()
            })?;
            require(restart(dir)? == start, || format!("{run}: another start"))?;
        }
        convert_and_check(dir, &["--members", "7@10.0.0.1:9"])?;
        let reader = CheckpointReader::open(&OsDisk, &path)?;
        let members = reader.header().configuration.clone().ok_or("no members")?.members;
        require(members.nodes.len() == 1 && reader.header().version == ProtocolVersion::V3, || {
            format!("{members:?}")
        })?;
    }
    Ok(())
}

/// The newest checkpoint: its path, its state, its next vote.
fn state(dir: &Path) -> Result<(PathBuf, Vec<u8>, Vec<u8>), Failed> {
    let files = data(dir)?;
    let path = files.keys().rfind(|path| !is_log(path)).ok_or("no checkpoint")?.clone();
    let mut reader = CheckpointReader::open(&OsDisk, &path)?;
    let vote = reader.header().next_vote.encoded().to_vec();
    let mut state = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut state)?;
    Ok((path, state, vote))
}

/// The members of a logged reconfiguration are exchanged, and nothing else of the log; a decree without one is refused.
/// Trial: [STOR-74] [HARD-58]
fn logged_sets_change(disk: &Path) -> Result<(), Failed> {
    let dir = copy(&disk.join("reconfig/v3/r101"))?;
    let dir = dir.path();
    let original = data(dir)?;
    let decree = fs::read_to_string(disk.join("reconfig/v3/manifest.json"))?;
    let manifest: Value = serde_json::from_str(&decree)?;
    let messages =
        manifest["replicas"]["101"]["files"]["0.log"]["messages"].as_array().ok_or("no messages")?;
    let decided = messages.iter().find(|message| message["msg"]["type"] == "ReconfigurationDecision");
    let decree = decided.and_then(|message| message["msg"]["decree"].as_u64()).ok_or("no reconfiguration")?;
    let (code, refused) = convert(dir, &["--log-members", "1=7@10.0.0.1:9"])?;
    require(code == Some(1) && data(dir)? == original, || refused.to_string())?;
    convert_and_check(dir, &["--log-members", &format!("{decree}=101@10.0.0.1:9,104@10.0.0.4:9")])?;
    require(data(dir)?.keys().eq(original.keys()), || "other files".into())?;
    let changed = data(dir)?;
    let (path, old) = original.first_key_value().ok_or("no log")?;
    let (old, new) = (records(old), records(&changed[path]));
    require(old.len() == new.len(), || "another number of records".into())?;
    let different = old.iter().zip(&new).filter(|(old, new)| old != new).count();
    require(different >= 1, || "nothing was changed".into())?;
    for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
        let set = |record: &rsl_core::format::Record| match record {
            rsl_core::format::Record::Vote(vote) => {
                vote.reconfiguration().map(|set| (vote.position(), set.clone()))
            }
            _ => None,
        };
        let (old, new) = (set(old).ok_or("no reconfiguration")?, set(new).ok_or("no reconfiguration")?);
        require(old.0 == new.0 && old.0.decree.0 == decree, || format!("{:?}", new.0))?;
        require(old.1.cookie == new.1.cookie && new.1.nodes.len() == 2, || format!("{:?}", new.1))?;
    }
    Ok(())
}

fn records(log: &[u8]) -> Vec<rsl_core::format::Record> {
    let Ok(mut scanner) = rsl_core::format::LogScanner::new(log) else { return Vec::new() };
    let mut records = Vec::new();
    while let Ok(rsl_core::format::Step::Record { record, .. }) = scanner.step() {
        records.push(record);
    }
    records
}
