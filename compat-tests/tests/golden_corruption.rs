//! Damaged directories: what `rsl inspect` says a legacy replica does with them is what it was seen to do, and what
//! ours does is the same, unless a clause of the hardening asks for something else.
//!
//! Without golden data the tests count as ignored.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use compat_tests::damage::{CASES, Case, Files};
use compat_tests::host_state::restart;
use compat_tests::synthetic::{self, members};
use libtest_mimic::{Arguments, Failed, Trial};
use migration::inspect::inspect_json;
use migration::inspect::restart::Members;
use rsl_core::format::Record;
use rsl_core::types::{MemberId, ProtocolVersion};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    match compat_tests::golden::dir() {
        Some(golden) => {
            for version in [1, 4] {
                trials.extend(recorded(&golden.join("corruption"), version));
            }
            let path = golden.join("corruption/torn_tail_second_restart.json");
            trials.push(Trial::test("torn_tail_second_restart", move || torn_tail(&path)));
        }
        None => trials.push(
            Trial::test("recorded_cases", || Err("there is no golden data".into())).with_ignored_flag(true),
        ),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn json(path: &Path) -> Result<Value, Failed> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// A test for each recorded case of a version, and one that all of them are there.
fn recorded(dir: &Path, version: u16) -> Vec<Trial> {
    let read = || -> Result<(Vec<Value>, Files), Failed> {
        let recorded = json(&dir.join(format!("corruption_v{version}.json")))?;
        let base = Files::read(&dir.join(format!("base_v{version}")))?;
        Ok((recorded["cases"].as_array().cloned().unwrap_or_default(), base))
    };
    let (recorded, base) = match read() {
        Ok(read) => read,
        Err(error) => return vec![Trial::test(format!("v{version}"), move || Err(error))],
    };
    let base = Arc::new(base);
    let mut trials = Vec::new();
    for case in recorded {
        let name = case["case"].as_str().unwrap_or_default().to_owned();
        let base = base.clone();
        trials.push(Trial::test(format!("v{version} {name}"), move || {
            let known = CASES.iter().find(|known| known.name == name);
            check(known.ok_or("a case that is not known here")?, &case, &base)
        }));
    }
    let count = trials.len();
    trials.push(Trial::test(format!("v{version} every case is recorded"), move || {
        if count == CASES.len() { Ok(()) } else { Err(format!("{count} of {}", CASES.len()).into()) }
    }));
    trials
}

/// Fields that a status has under the same name in the recorded runs, in our view of a legacy replica and in ours.
const STATE: [&str; 6] =
    ["seq", "maxAcceptedDecree", "maxAcceptedBallot", "maxBallot", "checkpointedDecree", "configNumber"];

/// Trial: [STOR-5] [STOR-30] [STOR-37] [STOR-45] [STOR-46] [STOR-47] [STOR-59] [STOR-61] [STOR-62] [HARD-33] [HARD-48]
/// [HARD-57] [HARD-375]: a recorded case.
fn check(case: &Case, recorded: &Value, base: &Files) -> Result<(), Failed> {
    let mut files = base.clone();
    (case.damage)(&mut files);
    let dir = tempfile::tempdir()?;
    files.write(dir.path())?;
    let (_, out) = inspect_json(dir.path(), &Members::Assumed, Vec::new())?;
    let found: Value = serde_json::from_slice(&out)?;
    let restart = &found["restart"];
    legacy_agrees(restart, recorded)?;
    ours_agrees(case.name, restart, recorded)?;
    if restart["outcome"] == "started" { restarts_twice(case, dir.path(), &found, recorded) } else { Ok(()) }
}

/// A restart for real gives the state that was seen, and a second one the same; so does a roll-back to legacy.
fn restarts_twice(case: &Case, dir: &Path, found: &Value, recorded: &Value) -> Result<(), Failed> {
    let version = found["files"].as_object().into_iter().flatten().find_map(|(_, file)| {
        let version =
            file["messages"][0]["msg"]["version"].as_u64().or(file["checkpoint"]["version"].as_u64());
        ProtocolVersion::from_number(u16::try_from(version?).ok()?)
    });
    let version = version.unwrap_or(ProtocolVersion::V4);
    let member = MemberId::from_number(101);
    for round in ["first", "second"] {
        let (state, restored) =
            restart(dir, member, version, &members()).map_err(|error| format!("{error:#}"))?;
        let recovered = &restored.recovered;
        let planned = &found["restart"];
        let name = format!("{round} restart: seq");
        same(&name, &recovered.executed.0.into(), &planned["seq"])?;
        same("maxAcceptedDecree", &recovered.accepted.decree().0.into(), &planned["maxAcceptedDecree"])?;
        // Where we do something else, legacy's state may lack a decree: that is why.
        let alike = DIFFERENCES.iter().all(|difference| difference.case != case.name);
        if alike && recorded["outcome"] == "started" {
            same("seq", &recovered.executed.0.into(), &recorded["status"]["seq"])?;
            same("count", &state.count.into(), &recorded["status"]["count"])?;
            same("hash", &format!("{:016x}", state.hash).into(), &recorded["status"]["hash"])?;
        }
    }
    if recorded["outcome"] == "started" {
        let (_, out) = inspect_json(dir, &Members::Assumed, Vec::new())?;
        let after: Value = serde_json::from_slice(&out)?;
        if after["restart"]["legacy"] != "started" {
            return Err(format!("{}: legacy would not start any more", case.name).into());
        }
    }
    Ok(())
}

/// Trial: [HARD-32] [HARD-367]: the recorded directories that a legacy replica damages further by going on in them.
fn torn_tail(path: &Path) -> Result<(), Failed> {
    let runs = json(path)?;
    for run in runs.as_array().filter(|runs| !runs.is_empty()).ok_or("nothing recorded")? {
        let number = run["version"].as_u64().and_then(|version| version.try_into().ok());
        let version = number.and_then(ProtocolVersion::from_number).ok_or("no version")?;
        let size =
            |name: &str| run[name].as_u64().and_then(|size| usize::try_from(size).ok()).ok_or("no size");
        let (torn, end) = (size("tornOffset")?, size("tornFileSize")?);
        // A Prepare and empty votes of a page each, then the start of a long one.
        let mut vote = synthetic::vote(version, 0);
        let mut log = synthetic::padded(&synthetic::prepare(version, 0));
        while log.len() < torn {
            log.extend(synthetic::padded(&Record::Vote(vote.clone())));
            vote = synthetic::next_vote(version, &vote);
        }
        let last = vote.decree().0 - 1;
        log.extend(synthetic::long_vote(version, last + 1));
        log.truncate(end);
        let legacy = |log: &[u8]| -> Result<Value, Failed> {
            let dir = tempfile::tempdir()?;
            fs::write(dir.path().join("0.log"), log)?;
            let (_, out) = inspect_json(dir.path(), &Members::Assumed, Vec::new())?;
            Ok(serde_json::from_slice::<Value>(&out)?["restart"].take())
        };
        let first = legacy(&log)?;
        same("first restart", &first["legacy"], &"started".into())?;
        same("maxAcceptedDecree", &first["legacyState"]["maxAcceptedDecree"], &last.into())?;
        same("log", &first["legacyState"]["logs"][0]["len"], &torn.into())?;

        // It writes a Prepare and a vote there and leaves the rest of the torn one behind them.
        let seen = &run["afterFirstRestart"];
        same("the file is not cut", &seen["fileSize"], &end.into())?;
        let more = [synthetic::prepare(version, last), Record::Vote(vote)];
        let more: Vec<u8> = more.iter().flat_map(synthetic::padded).collect();
        same("records", &seen["status"]["logs"][0]["len"], &(torn + more.len()).into())?;
        let mut damaged = log.clone();
        damaged[torn..torn + more.len()].copy_from_slice(&more);
        let failed = run["secondRestart"].as_str().is_some_and(|text| text.contains("INIT FAILED"));
        let second = legacy(&damaged)?;
        same("second restart", &(second["legacy"] == "init_failed").into(), &failed.into())?;

        // Ours cuts the file, so that the same records behind it start anywhere.
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("0.log"), &log)?;
        let member = MemberId::from_number(101);
        restart(dir.path(), member, version, &members()).map_err(|error| format!("{error:#}"))?;
        let mut cut = fs::read(dir.path().join("0.log"))?;
        same("our file", &cut.len().into(), &torn.into())?;
        cut.extend(&more);
        let after = legacy(&cut)?;
        same("legacy after ours", &after["legacy"], &"started".into())?;
        same("ours after ours", &after["outcome"], &"started".into())?;
        same("maxAcceptedDecree", &after["maxAcceptedDecree"], &(last + 1).into())?;
    }
    Ok(())
}

/// Our view of a legacy replica is what a legacy replica did.
fn legacy_agrees(restart: &Value, recorded: &Value) -> Result<(), Failed> {
    let outcome = match recorded["outcome"].as_str() {
        Some("started") => "started",
        Some("INIT FAILED") => "init_failed",
        Some(exit) if exit.starts_with("process exited") => "process_exits",
        _ => return Err("an outcome that is not known here".into()),
    };
    if restart["legacy"] != outcome {
        return Err(
            format!("{} where {outcome} was seen: {}", restart["legacy"], restart["legacyNotes"]).into()
        );
    }
    if outcome == "started" {
        let status = &recorded["status"];
        for name in STATE.iter().chain(&["logs"]) {
            same(name, &restart["legacyState"][name], &status[name])?;
        }
        same("defunct", &restart["defunct"], &status["defunct"])?;
    }
    Ok(())
}

fn same(name: &str, found: &Value, expected: &Value) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{name}: {found} where {expected} was seen").into()) }
}

/// A case in which we do something else than legacy, the clause that asks for it, and what we do.
struct Difference {
    case: &'static str,
    clause: &'static str,
    ours: Ours,
}

/// What our restart does.
enum Ours {
    Fails,
    /// Decree executed last, decree accepted, checkpoint loaded.
    Starts(u64, u64, u64),
}

static DIFFERENCES: &[Difference] = &[
    Difference {
        case: "log tail: truncated 100 bytes into the last vote (file size not multiple of 512)",
        clause: "HARD-33",
        ours: Ours::Starts(141, 142, 114),
    },
    Difference { case: "log tail: +100 zero bytes", clause: "HARD-33", ours: Ours::Starts(142, 143, 114) },
    Difference { case: "log tail: +100 garbage bytes", clause: "HARD-33", ours: Ours::Starts(142, 143, 114) },
    Difference {
        case: "log middle: a vote removed (hole in decrees)",
        clause: "HARD-375",
        ours: Ours::Fails,
    },
    Difference { case: "middle log and last checkpoint deleted", clause: "HARD-375", ours: Ours::Fails },
    Difference { case: "extra file abc.log", clause: "HARD-57", ours: Ours::Starts(142, 143, 114) },
    Difference { case: "extra file abc.codex", clause: "HARD-57", ours: Ours::Starts(142, 143, 114) },
    Difference {
        case: "last checkpoint renamed to decree+1",
        clause: "HARD-48",
        ours: Ours::Starts(142, 143, 57),
    },
    Difference {
        case: "last checkpoint copied as decree+100 (beyond the logs)",
        clause: "HARD-48",
        ours: Ours::Starts(142, 143, 114),
    },
];

/// Our restart does what legacy does, or what the clause in the table asks for, and says so.
fn ours_agrees(name: &str, restart: &Value, recorded: &Value) -> Result<(), Failed> {
    let Some(difference) = DIFFERENCES.iter().find(|difference| difference.case == name) else {
        if recorded["outcome"] != "started" {
            return same("outcome", &restart["outcome"], &"failed".into());
        }
        same("outcome", &restart["outcome"], &"started".into())?;
        for name in STATE {
            same(name, &restart[name], &recorded["status"][name])?;
        }
        return Ok(());
    };
    let clauses = restart["clauses"].as_array().ok_or("no clauses")?;
    if !clauses.iter().any(|clause| clause == difference.clause) {
        return Err(format!("{} is not among the clauses named: {clauses:?}", difference.clause).into());
    }
    match difference.ours {
        Ours::Fails => same("outcome", &restart["outcome"], &"failed".into()),
        Ours::Starts(seq, accepted, checkpoint) => {
            same("outcome", &restart["outcome"], &"started".into())?;
            same("seq", &restart["seq"], &seq.into())?;
            same("maxAcceptedDecree", &restart["maxAcceptedDecree"], &accepted.into())?;
            same("checkpoint", &restart["checkpoint"], &checkpoint.into())
        }
    }
}
