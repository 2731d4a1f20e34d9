//! `rsl check-upgrade` over directories that legacy replicas left: as they are, and damaged in the recorded ways.
//!
//! Without golden data every test counts as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use compat_tests::damage::{CASES, Files};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = match compat_tests::golden::dir() {
        Some(golden) => trials(&golden),
        None => vec![
            Trial::test("golden_directories", || Err("there is no golden data".into()))
                .with_ignored_flag(true),
        ],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(golden: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for version in below(&golden.join("disk")).iter().flat_map(|scenario| below(scenario)) {
        let name = version.strip_prefix(golden).unwrap_or(&version).display().to_string();
        trials.push(Trial::test(name, move || sound(&version)));
    }
    for version in [1, 4] {
        let dir = golden.join("corruption");
        trials.push(Trial::test(format!("corruption v{version}"), move || damaged(&dir, version)));
    }
    trials
}

/// The directories in a directory, sorted; an unreadable one gives a trial that fails.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut dirs: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

fn json(path: &Path) -> Result<Value, Failed> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn check(dir: &Path, more: &[&str]) -> Result<(Option<i32>, Value), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsl"));
    let output = command.args(["check-upgrade", "--json"]).arg(dir).args(more).output()?;
    Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
}

fn contents(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            all.insert(path.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(all)
}

/// What the manifest says of a replica's files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorded {
    accepted: u64,
    ballot: u64,
    version: u64,
    checkpoint: Option<u64>,
}

impl Recorded {
    fn of(files: &Value) -> Recorded {
        let mut recorded = Recorded::default();
        for (name, file) in files.as_object().into_iter().flatten() {
            if let Some(decree) = name.strip_suffix(".codex").and_then(|decree| decree.parse().ok()) {
                recorded.checkpoint = recorded.checkpoint.max(Some(decree));
            }
            for message in file["messages"].as_array().into_iter().flatten() {
                let message = &message["msg"];
                let number = |value: &Value| value.as_u64().unwrap_or_default();
                recorded.version = recorded.version.max(number(&message["version"]));
                // Behind the decision of a configuration a replica that leaves it goes on with a placeholder [WIRE-92].
                let behind = u64::from(message["type"] == "ReconfigurationDecision");
                recorded.ballot = recorded.ballot.max(number(&message["ballot"][0]) + behind);
                if message["type"] == "Vote" || behind == 1 {
                    recorded.accepted = recorded.accepted.max(number(&message["decree"]) + behind);
                }
            }
        }
        recorded
    }
}

/// Trial: [STOR-59] [HARD-558] [HARD-559]: every directory of a legacy run can be taken over where it stopped, is not
/// touched, and can be given back; a message limit that is too small for the set is dangerous.
fn sound(version: &Path) -> Result<(), Failed> {
    let manifest = json(&version.join("manifest.json"))?;
    let replicas = below(version);
    if replicas.is_empty() {
        return Err("no replica".into());
    }
    for dir in replicas {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let recorded = Recorded::of(&manifest["replicas"][name.trim_start_matches('r')]["files"]);
        if recorded.accepted == 0 {
            return Err(format!("{name}: the manifest tells no vote").into());
        }
        let before = contents(&dir)?;
        let (code, found) = check(&dir, &[])?;
        let start = &found["start"];
        let told = Recorded {
            accepted: start["maxAcceptedDecree"].as_u64().unwrap_or_default(),
            ballot: start["maxBallot"][0].as_u64().unwrap_or_default(),
            version: found["version"].as_u64().unwrap_or_default(),
            checkpoint: start["checkpointedDecree"].as_u64(),
        };
        if code != Some(0) || found["wayBack"] != true || told != recorded {
            return Err(format!("{name}: {found}; recorded {recorded:?}").into());
        }
        // What the replica had executed is executed again, and nothing behind the last vote.
        let executed = start["executed"].as_u64().unwrap_or_default();
        let rows = fs::read_to_string(dir.join("exec.txt"))?;
        let last = rows.lines().last().and_then(|row| row.split(' ').next()?.parse().ok()).unwrap_or(0);
        if executed < last || executed > recorded.accepted {
            return Err(format!("{name}: executed {executed}, the run {last}").into());
        }
        let (code, small) = check(&dir, &["--max-message-size-mb", "1"])?;
        if code != Some(1) || !small["dangers"].to_string().contains("HARD-559") {
            return Err(format!("{name}: {small}").into());
        }
        if contents(&dir)? != before {
            return Err(format!("{name}: it wrote").into());
        }
    }
    Ok(())
}

/// Where a log just ends, or ends in zeros as before it is written, nothing tells that there was more. That no log goes on
/// behind the checkpoint is noted, and is so after every copy.
const UNSEEN: [&str; 6] = [
    "log tail: last vote removed at its boundary",
    "log tail: last vote zeroed",
    "last log empty (0 bytes)",
    "last log deleted",
    "last log and last checkpoint deleted",
    "all logs deleted, checkpoints present",
];

/// Trial: [STOR-30] [HARD-34] [HARD-374]: of a damaged directory it says what a legacy replica was seen to do with it; the
/// way back is open only where that one starts; and whoever would start with less than was accepted is warned, unless the
/// end of the last record had not been written, or cannot know it.
fn damaged(dir: &Path, version: u16) -> Result<(), Failed> {
    let recorded = json(&dir.join(format!("corruption_v{version}.json")))?;
    let base = Files::read(&dir.join(format!("base_v{version}")))?;
    let mut unseen = Vec::new();
    let mut dangerous = 0;
    for case in CASES {
        let outcome = recorded["cases"].as_array().into_iter().flatten();
        let outcome = outcome.filter(|one| one["case"] == case.name).find_map(|one| one["outcome"].as_str());
        let outcome = outcome.ok_or_else(|| format!("{} is not recorded", case.name))?;
        let legacy = match outcome {
            "started" => "started",
            "INIT FAILED" => "init_failed",
            _ => "process_exits",
        };
        let mut files = base.clone();
        (case.damage)(&mut files);
        let place = tempfile::tempdir()?;
        files.write(place.path())?;
        let (code, found) = check(place.path(), &[])?;
        let wrong = |what: &str| Err(Failed::from(format!("{}: {what}: {found}", case.name)));
        if found["legacy"] != legacy {
            return wrong("what legacy does");
        }
        if found["wayBack"] == true && legacy != "started" {
            return wrong("the way back");
        }
        if (code == Some(0)) != (found["ok"] == true) || found["ok"] == true && found["takeOver"] != true {
            return wrong("the verdict");
        }
        let whole = found["start"]["maxAcceptedDecree"] == 143;
        let notes = found["notes"].to_string();
        let incomplete =
            notes.contains("the file ends inside record") || notes.contains("less than a page is dropped");
        if case.name.contains("deleted, checkpoints present") && !notes.contains("no log goes on behind") {
            return wrong("the missing logs are not noted");
        }
        if found["ok"] == true && !whole && !incomplete {
            unseen.push(case.name);
        }
        dangerous += usize::from(found["ok"] == false);
    }
    if unseen != UNSEEN {
        return Err(format!("votes are missing and nobody is warned: {unseen:?}").into());
    }
    if dangerous == 0 { Err("no damage is dangerous".into()) } else { Ok(()) }
}
