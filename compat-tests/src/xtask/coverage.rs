//! `cargo xtask coverage`: which lines of the deterministic core the simulator runs.
//!
//! The simulator is built with `-C instrument-coverage`; the seeds run as in every check, but fewer. Only lines that the
//! compiler has made code of count; unit tests are not part of that program. A covered line was run, not checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::test::cargo;

/// What is looked at.
const PARTS: [&str; 4] = ["engine", "storage", "format", "wire"];
/// Installs what is needed.
const INSTALL: &str = "rustup component add llvm-tools";

/// What to run and to print.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds of the profile `ci`.
    #[arg(long, default_value_t = 300, value_name = "COUNT")]
    ci: u64,
    /// Seeds of the profile `mixed`.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    mixed: u64,
    /// Print every line that was not run.
    #[arg(long)]
    missed: bool,
}

/// How often each line was run, by file below `rsl-core/src`.
type Lines = BTreeMap<String, BTreeMap<usize, u64>>;

/// Builds, runs, counts and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (host, tools) = toolchain()?;
    let place = root().join("target/coverage");
    let program = build(&place, &host)?;
    let profiles = place.join("profiles");
    if profiles.exists() {
        std::fs::remove_dir_all(&profiles)?;
    }
    for (profile, seeds) in [("ci", args.ci), ("mixed", args.mixed)] {
        if seeds == 0 {
            continue;
        }
        let status = Command::new(&program)
            .args(["--seeds", &format!("0..{seeds}"), "--profile", profile])
            .env("LLVM_PROFILE_FILE", profiles.join(format!("{profile}.profraw")))
            .status()?;
        ensure!(status.success(), "the simulator fails");
    }
    let merged = place.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "--sparse", "--output"]).arg(&merged).arg(&profiles);
    ensure!(merge.status()?.success(), "llvm-profdata fails");
    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "--format=lcov", "--instr-profile"]).arg(&merged).arg(&program);
    let exported = export.output()?;
    ensure!(exported.status.success(), "llvm-cov fails: {}", String::from_utf8_lossy(&exported.stderr));
    let lines = parse(&String::from_utf8(exported.stdout)?, &root().join("rsl-core/src"))?;
    print(&lines, args.missed)
}

/// The name of this platform, and where the toolchain keeps its LLVM tools.
fn toolchain() -> Result<(String, PathBuf)> {
    let rustc = |what: &[&str]| -> Result<String> {
        let output = Command::new("rustc").args(what).current_dir(root()).output().context("rustc")?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let sysroot = rustc(&["--print", "sysroot"])?;
    let version = rustc(&["-vV"])?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    let is_there = |name: &str| tools.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).exists();
    ensure!(is_there("llvm-cov") && is_there("llvm-profdata"), "llvm-cov is missing: {INSTALL}");
    Ok((host.to_owned(), tools))
}

fn build(place: &Path, host: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--release", "--package", "rsl-core", "--features", "sim"]);
    // With a target named, build scripts and macros are not instrumented.
    build.args(["--bin", "rsl-sim", "--target", host]);
    build.env("CARGO_TARGET_DIR", place).env("RUSTFLAGS", "-C instrument-coverage");
    // In one unit, or the linker drops what is never called, and its lines do not count as missed.
    build.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    ensure!(build.status()?.success(), "rsl-sim does not build");
    Ok(place.join(host).join("release").join(format!("rsl-sim{}", std::env::consts::EXE_SUFFIX)))
}

/// Takes the lines of the looked-at parts out of an lcov report.
fn parse(report: &str, sources: &Path) -> Result<Lines> {
    let mut lines = Lines::new();
    let mut current: Option<String> = None;
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let relative = Path::new(path).strip_prefix(sources).ok();
            let relative = relative.map(|path| path.to_string_lossy().replace('\\', "/"));
            current = relative.filter(|path| PARTS.iter().any(|part| part_of(path) == *part));
        } else if let Some(counted) = line.strip_prefix("DA:")
            && let Some(path) = &current
        {
            let (number, count) = counted.split_once(',').context("a line without count")?;
            *lines.entry(path.clone()).or_default().entry(number.parse()?).or_default() +=
                count.parse::<u64>()?;
        }
    }
    Ok(lines)
}

fn part_of(path: &str) -> &str {
    path.split_once('/').map_or("", |(part, _)| part)
}

fn print(lines: &Lines, missed: bool) -> Result<()> {
    let mut parts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    println!("{:<36} {:>6} {:>6} {:>7}", "file", "lines", "run", "share");
    for (path, counts) in lines {
        let run = counts.values().filter(|count| **count > 0).count();
        row(path, counts.len(), run);
        let part = parts.entry(part_of(path)).or_default();
        *part = (part.0 + counts.len(), part.1 + run);
        if missed {
            let source = std::fs::read_to_string(root().join("rsl-core/src").join(path))?;
            let text: Vec<&str> = source.lines().collect();
            for (number, _) in counts.iter().filter(|(_, count)| **count == 0) {
                println!("{number:>6}: {}", text.get(number - 1).copied().unwrap_or_default());
            }
        }
    }
    for part in PARTS {
        ensure!(parts.contains_key(part), "no line of {part} was counted");
    }
    println!();
    for (part, (all, run)) in &parts {
        row(part, *all, *run);
    }
    let (all, run) = parts.values().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    row("all", all, run);
    Ok(())
}

fn row(name: &str, all: usize, run: usize) {
    println!("{name:<36} {all:>6} {run:>6} {:>6.1}%", 100.0 * run as f64 / all as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_file() {
        let report = "SF:/r/engine/core.rs\nDA:3,0\nDA:4,7\nend_of_record\nSF:/r/sim/mod.rs\nDA:1,1\nend_of_record\n\
                      SF:/other/engine/x.rs\nDA:1,1\nend_of_record\nSF:/r/wire/vote.rs\nDA:9,1\n";
        let lines = parse(report, Path::new("/r")).unwrap();
        let paths: Vec<_> = lines.keys().map(String::as_str).collect();
        assert_eq!(paths, ["engine/core.rs", "wire/vote.rs"]);
        assert_eq!(lines["engine/core.rs"], BTreeMap::from([(3, 0), (4, 7)]));
        assert!(parse("SF:/r/wire/vote.rs\nDA:x\n", Path::new("/r")).is_err());
    }
}
