//! `rsl inspect --json` against the manifests of directories that a legacy replica left: every file, every record,
//! every field that both sides have. Also checkpoints with user data around the block size.
//!
//! Without golden data the tests count as ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use compat_tests::damage::Files;
use compat_tests::host_state::{HostState, restart};
use compat_tests::synthetic::members;
use libtest_mimic::{Arguments, Failed, Trial};
use migration::inspect::inspect_json;
use migration::inspect::restart::Members;
use rsl_core::types::ProtocolVersion;
use serde_json::Value;

/// Fields of a manifest that an inspection may leave out.
const OPTIONAL: [&str; 4] = ["app", "tailNonzero", "tailGarbageRange", "requestHeads"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    match compat_tests::golden::dir() {
        Some(golden) => {
            trials.extend(directories(&golden));
            trials.push(Trial::test("codex_edges", move || edges(&golden.join("codex_edges"))));
        }
        None => {
            for name in ["directories", "codex_edges"] {
                trials.push(
                    Trial::test(name, || Err("there is no golden data".into())).with_ignored_flag(true),
                );
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test for each replica's directory, and one that there are any.
fn directories(golden: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for scenario in folders(&golden.join("disk")) {
        for run in folders(&scenario) {
            for replica in folders(&run) {
                let name = replica.strip_prefix(golden).unwrap_or(&replica).display().to_string();
                let copy = replica.clone();
                trials.push(Trial::test(format!("{name} restarts"), move || restarts(&copy)));
                trials.push(Trial::test(name, move || agrees(&run_of(&replica)?, &replica)));
            }
        }
    }
    let count = trials.len();
    trials.push(Trial::test("there_are_directories", move || {
        if count < 3 { Err(format!("{count} directories found").into()) } else { Ok(()) }
    }));
    trials
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn json(path: &Path) -> Result<Value, Failed> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The manifest's part about a replica's directory, which is called `r` and its id.
fn run_of(replica: &Path) -> Result<Value, Failed> {
    let run = replica.parent().ok_or("no parent")?;
    let name = replica.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = name.strip_prefix('r').ok_or("a directory of another name")?;
    let manifest = json(&run.join("manifest.json"))?;
    let found = manifest["replicas"].get(id).cloned();
    Ok(found.ok_or_else(|| format!("no replica {id} in the manifest"))?)
}

fn inspected(path: &Path) -> Result<(bool, Value), Failed> {
    let (sound, out) = inspect_json(path, &Members::Assumed, Vec::new())?;
    Ok((sound, serde_json::from_slice(&out)?))
}

/// Trial: [STOR-4] [STOR-7] [STOR-10] [STOR-12] [STOR-13] [STOR-32] [STOR-33] [STOR-34] [STOR-38] [STOR-42] [STOR-44]
fn agrees(replica: &Value, path: &Path) -> Result<(), Failed> {
    let (sound, found) = inspected(path)?;
    let expected = replica["files"].as_object().ok_or("no files in the manifest")?;
    let mut problems = Vec::new();
    for (name, file) in expected {
        // The scratch directory was not kept with the rest.
        if name != "Temp/" {
            compare(name, file, found["files"].get(name), &mut problems);
        }
    }
    for name in found["files"].as_object().ok_or("no files found")?.keys() {
        if !expected.contains_key(name) {
            problems.push(format!("{name} is not in the manifest"));
        }
    }
    if !sound {
        problems.push(format!("damage reported: {}", found["problems"]));
    }
    if found["restart"]["legacy"] != "started" {
        problems.push(format!("a legacy restart ends as {}", found["restart"]["legacy"]));
    }
    summary(&problems)
}

/// Trial: [STOR-59] [STOR-60] [XFER-44] [XFER-45]: after our restart on a copy the state is the one that was executed
/// through that decree, and a second restart finds the same.
fn restarts(replica: &Path) -> Result<(), Failed> {
    let copy = tempfile::tempdir()?;
    Files::read(replica)?.write(copy.path())?;
    let run = replica.parent().ok_or("no parent")?;
    let version =
        json(&run.join("manifest.json"))?["version"].as_u64().and_then(|version| version.try_into().ok());
    let version = version.and_then(ProtocolVersion::from_number).ok_or("no version")?;
    let name = replica.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let member = name.trim_start_matches('r').parse()?;
    let mut before = None;
    for _ in 0..2 {
        let (state, restored) =
            restart(copy.path(), member, version, &members()).map_err(|error| format!("{error:#}"))?;
        let executed = restored.recovered.executed.0;
        let expected = last_row(run, executed)?;
        if state.hash != expected {
            return Err(format!(
                "state {:016x} after decree {executed}, {expected:016x} was seen",
                state.hash
            )
            .into());
        }
        let now = (state, restored.recovered.accepted.position(), restored.recovered.promised);
        if before.as_ref().is_some_and(|before| before != &now) {
            return Err(format!("{before:?}, then {now:?}").into());
        }
        before = Some(now);
    }
    Ok(())
}

/// The hash in the last row of any replica's execution log that is of a decree up to `decree`.
fn last_row(run: &Path, decree: u64) -> Result<u64, Failed> {
    let mut last: Option<((u64, u64), u64)> = None;
    for replica in folders(run) {
        for line in fs::read_to_string(replica.join("exec.txt"))?.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [seq, index, _, hash, ..] = words[..] else { continue };
            let at = (seq.parse()?, index.parse()?);
            if at.0 <= decree && last.is_none_or(|(newest, _)| newest <= at) {
                last = Some((at, u64::from_str_radix(hash, 16)?));
            }
        }
    }
    Ok(last.map_or(HostState::default().hash, |(_, hash)| hash))
}

/// Every field of `expected` is in `found` with the same value.
fn compare(at: &str, expected: &Value, found: Option<&Value>, problems: &mut Vec<String>) {
    let Some(found) = found else {
        problems.push(format!("{at} is missing"));
        return;
    };
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                let there = found.get(name);
                if there.is_some() || !OPTIONAL.contains(&name.as_str()) {
                    compare(&format!("{at}.{name}"), value, there, problems);
                }
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            if expected.len() != found.len() {
                problems.push(format!("{at}: {} where {} are expected", found.len(), expected.len()));
            }
            for (index, value) in expected.iter().enumerate() {
                compare(&format!("{at}[{index}]"), value, found.get(index), problems);
            }
        }
        _ if expected == found => {}
        _ => problems.push(format!("{at}: {found} where {expected} is expected")),
    }
}

/// Trial: [STOR-41] [STOR-42] [STOR-44] [STOR-45] [STOR-47]: user data around the block size.
fn edges(dir: &Path) -> Result<(), Failed> {
    let manifest = json(&dir.join("manifest.json"))?;
    let mut checked = 0;
    let mut problems = Vec::new();
    for file in manifest["files"].as_array().ok_or("no files")? {
        // Not every file that was made is kept here.
        let Some(name) = file["file"].as_str().filter(|name| dir.join(name).exists()) else { continue };
        checked += 1;
        // The name says what the file is about, not its decree.
        let (_, found) = inspected(&dir.join(name))?;
        let header = &found["files"][name]["checkpoint"];
        for (ours, theirs) in [
            (&header["version"], &file["version"]),
            (&header["fileLen"], &file["fileLen"]),
            (&header["headerLen"], &file["parsed"]["headerLen"]),
            (&header["size"], &file["parsed"]["size"]),
            (&header["blocks"], &file["parsed"]["blocks"]),
            (&header["checksumBlockSize"], &file["parsed"]["checksumBlockSize"]),
        ] {
            if ours != theirs {
                problems.push(format!("{name}: {ours} where {theirs} is expected"));
            }
        }
        let data: u64 = match header["blocks"].as_array() {
            Some(blocks) => blocks.iter().filter_map(|block| block["dataLen"].as_u64()).sum(),
            None => header["bodyLen"].as_u64().unwrap_or(u64::MAX),
        };
        if Some(data) != file["dataLen"].as_u64() {
            problems.push(format!("{name}: {data} bytes of data where {} are expected", file["dataLen"]));
        }
        if found["problems"] != serde_json::json!([]) {
            problems.push(format!("{name}: {}", found["problems"]));
        }
    }
    if checked == 0 {
        problems.push("no file was checked".into());
    }
    summary(&problems)
}

fn summary(problems: &[String]) -> Result<(), Failed> {
    if problems.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = problems.iter().take(20).map(String::as_str).collect();
    Err(format!("{} differences:\n{}", problems.len(), first.join("\n")).into())
}
