//! `cargo xtask nightly`: what takes too long for every change.
//!
//! Needs more than a new machine has (cargo-fuzz, cargo-deny, apt packages for other targets); what is missing makes
//! its step fail.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::{files, root};
use super::steps::{self, Outcome, Steps};
use super::test::{built_binary, cargo, simulate};
use super::{arm, compatibility, dotnet, mutants, nuget, sanitize, windows};
use crate::managed;

/// Runs the long steps (all, or those with `only` in their name), each fuzz target for `fuzz_seconds`. True when all
/// passed.
pub(crate) fn run(fuzz_seconds: u64, only: Option<String>) -> Result<bool> {
    let program = build_rsl()?;
    let rsl = |arguments: &str| {
        let mut command = Command::new(&program);
        command.args(arguments.split(' ')).current_dir(root());
        command
    };
    let mut steps = Steps::only(only);
    steps.run("simulator", || simulate("0..20000", "nightly"));
    steps.run("simulator, with old replicas", || simulate("0..4800", "mixed"));
    steps.run("mutants", || Ok(Outcome::check(mutants::run(&mutants::Options::all())?)));
    for scenario in ["bootstrap", "grow", "shrink", "replace-primary", "relinquish", "promote", "upgrade"] {
        steps.run(&format!("demo: {scenario}"), || {
            steps::command(&mut rsl(&format!("demo --scenario {scenario} --json")))
        });
    }
    steps.run("demo: 100 kills", || steps::command(&mut rsl("demo --kills 100 --requests 50000 --json")));
    for version in 1..=6 {
        steps.run(&format!("conformance, version {version}"), || {
            steps::command(&mut rsl(&format!("conformance --protocol {version}")))
        });
        steps.run(&format!("demo, version {version}"), || {
            steps::command(&mut rsl(&format!("demo --protocol {version} --kills 3 --requests 10000 --json")))
        });
    }
    for version in [3, 6] {
        steps.run(&format!("conformance of the legacy model, version {version}"), || {
            steps::command(&mut rsl(&format!("conformance --legacy-model --protocol {version}")))
        });
    }
    let listed = plans(&mut rsl("upgrade --list"))?;
    super::upgrades::all(&mut steps, &program, &listed);
    steps.run("upgrade: soak", || steps::command(&mut rsl("upgrade soak --seconds 600 --json")));
    steps.run("get .NET", || steps::command(&mut Command::new(root().join(managed::GET_DOTNET))));
    windows::add_steps(&mut steps, true);
    steps.run("long tests", || {
        steps::test_command(cargo().args([
            "test",
            "--workspace",
            "--all-features",
            "--release",
            "--",
            "--ignored",
            // They ran in the step before.
            "--skip",
            "windows_",
            // They need a checkout that only some have.
            "--skip",
            "legacy_source_",
        ]))
    });
    steps.run("sanitizers", || Ok(Outcome::check(sanitize::run(None)?)));
    for target in fuzz_targets()? {
        steps.run(&format!("fuzz {target}"), || fuzz(&target, fuzz_seconds));
    }
    steps.run("managed bindings, everywhere", || Ok(Outcome::check(dotnet::run(dotnet::Args::thorough())?)));
    arm::add_steps(&mut steps);
    steps.run("package of the managed bindings", || Ok(Outcome::check(nuget::run()?)));
    steps.run("docs/COMPATIBILITY.md", || Ok(Outcome::check(compatibility::run(true)?)));
    steps.run("licences, bans, sources", || {
        steps::command(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
    });
    Ok(steps.summary())
}

/// The names of the plans that `rsl upgrade` brings.
fn plans(list: &mut Command) -> Result<Vec<String>> {
    let listed = list.output().context("rsl upgrade --list")?;
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "rsl upgrade --list names no plan");
    Ok(names)
}

/// Builds `rsl` optimised; gives the path of the binary.
fn build_rsl() -> Result<PathBuf> {
    let status = cargo().args(["build", "--release", "--package", "migration", "--bin", "rsl"]).status()?;
    ensure!(status.success(), "rsl does not build");
    Ok(built_binary("release", "rsl"))
}

/// Names of the fuzz targets: one file each.
fn fuzz_targets() -> Result<Vec<String>> {
    let sources = files(&root().join("rsl-core/fuzz/fuzz_targets"), &[".rs"])?;
    ensure!(!sources.is_empty(), "no fuzz target found");
    Ok(sources.iter().map(|source| source.path.trim_end_matches(".rs").to_owned()).collect())
}

/// Seeds the corpus and fuzzes on the stable toolchain, without sanitizer: there is no unsafe code to watch.
fn fuzz(target: &str, seconds: u64) -> Result<Outcome> {
    let directory = root().join("rsl-core/fuzz");
    let seeded = cargo().args(["run", "--quiet", "--example", "seeds"]).current_dir(&directory).status();
    ensure!(seeded.context("writing the seeds")?.success(), "the seeds cannot be written");
    let time = format!("-max_total_time={seconds}");
    let mut command = cargo();
    command.args(["fuzz", "run", "-s", "none", target, "--", &time]).current_dir(root().join("rsl-core"));
    steps::command(command.env("RUSTC_BOOTSTRAP", "1"))
}
