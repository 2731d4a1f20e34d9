//! `rsl demo --from`: a set started from what a legacy set left behind, and driven on.
//!
//! Runs over every scenario directory of the golden data; without golden data the tests are ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() {
    let mut arguments = Arguments::from_args();
    // Three processes each; an election must not wait for the processor.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let trials = match compat_tests::golden::dir() {
        None => {
            vec![Trial::test("golden_data", || Err("there is no golden data".into())).with_ignored_flag(true)]
        }
        Some(golden) => directories(&golden)
            .into_iter()
            .map(|dir| {
                let name = dir.strip_prefix(&golden).unwrap_or(&dir).display().to_string();
                Trial::test(name, move || drive_on(&dir))
            })
            .collect(),
    };
    libtest_mimic::run(&arguments, trials).exit();
}

fn directories(golden: &Path) -> Vec<PathBuf> {
    let below = |dir: PathBuf| {
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()))
    };
    let mut found: Vec<PathBuf> =
        below(golden.join("disk")).flat_map(below).filter(|dir| dir.is_dir()).collect();
    found.sort();
    found
}

/// Trial: the state after the start is that of the legacy exec logs, and the history goes on from there.
fn drive_on(dir: &Path) -> Result<(), Failed> {
    let from = dir.to_string_lossy();
    let output = Command::new(env!("CARGO_BIN_EXE_rsl"))
        .args(["demo", "--json", "--requests", "200", "--kills", "0", "--from", &from])
        .output()?;
    let result: Value = serde_json::from_slice(&output.stdout)?;
    let problem = |what: &str| Err(Failed::from(format!("{what}: {result}")));
    if !output.status.success() || result["ok"] != true {
        return problem("not ok");
    }
    // SAV is a request too; whatever the legacy set had executed comes on top.
    let count = result["replicas"][0]["count"].as_u64().unwrap_or_default();
    let legacy = u64::try_from(executed_before(dir)?)?;
    if count < legacy + 201 {
        return problem(&format!("{count} requests executed, {legacy} of them before"));
    }
    Ok(())
}

/// How many requests the legacy replicas had executed.
fn executed_before(dir: &Path) -> Result<usize, Failed> {
    let mut history = migration::exec_log::History::default();
    for entry in std::fs::read_dir(dir)? {
        let log = entry?.path().join("exec.txt");
        if log.is_file() {
            let rows = migration::exec_log::parse(&std::fs::read_to_string(&log)?)?;
            history.add(&log.to_string_lossy(), &rows)?;
        }
    }
    Ok(history.len())
}
