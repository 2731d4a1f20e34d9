//! `cargo xtask instructions`: what a request costs in instructions, beside what it cost before.
//!
//! Valgrind counts the instructions of `rsl-core/examples/hot_path.rs`: three replicas in memory, engine, codecs, packets and
//! log writer. Counts are repeatable where times are not. Two runs of different length are subtracted, so start and
//! election do not count. Nothing fails here but a missing tool: whoever changes the hot path looks at the change and
//! records the new figures with `--record`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::steps::Outcome;
use super::test::cargo;

/// Requests per decree and bytes per request of each case.
const CASES: &[(u64, u64)] = &[(1, 16), (64, 16), (64, 1024), (512, 16), (4, 65536)];
/// Decrees of the short and of the long run.
const SHORT: u64 = 50;
const LONG: u64 = 150;
/// Installs what is needed.
const INSTALL: &str = "apt-get install valgrind";

/// Instructions per decree, by case.
type Figures = BTreeMap<String, u64>;

fn record_file() -> PathBuf {
    root().join("compat-tests/instructions.json")
}

/// Whether the tool is there.
fn is_available() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Prints the change in a check; it fails only when it cannot be counted.
pub(crate) fn step() -> Result<Outcome> {
    if !is_available() {
        println!("skipped: valgrind is missing: {INSTALL}");
        return Ok(Outcome::skipped());
    }
    run(false)?;
    Ok(Outcome::check(true))
}

/// Counts, prints the change, and with `record` keeps the new figures.
pub(crate) fn run(record: bool) -> Result<()> {
    ensure!(is_available(), "valgrind is missing: {INSTALL}");
    let program = build()?;
    let text = std::fs::read_to_string(record_file()).unwrap_or_else(|_| "{}".into());
    let before: Figures = serde_json::from_str(&text).context("instructions.json")?;
    let mut now = Figures::new();
    println!("{:>8} {:>8} {:>14} {:>14} {:>9}", "requests", "bytes", "per decree", "per request", "change");
    for (requests, bytes) in CASES {
        let count = |decrees| count(&program, decrees, *requests, *bytes);
        let per_decree = (count(LONG)? - count(SHORT)?) / (LONG - SHORT);
        let name = format!("{requests}x{bytes}");
        let change = match before.get(&name) {
            Some(before) => format!("{:+.1} %", (per_decree as f64 / *before as f64 - 1.0) * 100.0),
            None => "new".into(),
        };
        println!("{requests:>8} {bytes:>8} {per_decree:>14} {:>14} {change:>9}", per_decree / requests);
        now.insert(name, per_decree);
    }
    if record {
        let text = serde_json::to_string_pretty(&now)? + "\n";
        std::fs::write(record_file(), text).context("instructions.json")?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let arguments = ["build", "--quiet", "--release", "--package", "rsl-core", "--features", "sim"];
    let status = cargo().args(arguments).args(["--example", "hot_path"]).status()?;
    ensure!(status.success(), "the example hot_path does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release/examples/hot_path"))
}

/// Instructions of one run.
fn count(program: &PathBuf, decrees: u64, requests: u64, bytes: u64) -> Result<u64> {
    let arguments = [decrees, requests, bytes].map(|number| number.to_string());
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "hot_path failed under valgrind: {text}");
    let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1));
    let number = collected.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("callgrind says no count: {text}"))
}
