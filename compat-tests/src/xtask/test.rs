//! `cargo xtask test`: everything that must pass before a change goes in.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::spec::Selection;
use super::steps::{self, Outcome, Steps};
use super::{clauses, dotnet, install, instructions, readme, shipped, tidy};

/// Specification files whose clauses are all tested, deferred or exempt; a gap in them fails the run.
const COMPLETE: &[&str] =
    &["wire.md", "storage.md", "protocol.md", "transfer.md", "api.md", "cabi.md", "managed.md", "tls.md"];

/// Installs what is missing, runs the steps (all, or those with `only` in their name) and prints their summary. True
/// when all passed.
pub(crate) fn run(only: Option<String>) -> Result<bool> {
    let mut steps = Steps::only(only);
    steps.run("tools", || tools().map(|()| Outcome::check(true)));
    steps.run("format", || steps::command(cargo().args(["fmt", "--all", "--check"])));
    steps.run("lints", || {
        let targets = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features"];
        steps::command(cargo().args(targets).args(["--", "-D", "warnings"]))
    });
    steps.run("the core builds without drivers", || {
        steps::command(cargo().args(["check", "--quiet", "--package", "rsl-core", "--no-default-features"]))
    });
    steps.run("tests", || {
        steps::test_command(cargo().args(["test", "--workspace", "--all-features", "--no-fail-fast"]))
    });
    steps.run("simulator", || simulate("0..2000", "ci"));
    steps.run("simulator, with old replicas", || simulate("0..240", "mixed"));
    steps.run("shipped libraries", || Ok(Outcome::check(shipped::run()?)));
    steps.run("tidy", || Ok(Outcome::check(tidy::run()?)));
    steps.run("clauses of complete files", || {
        let complete: Result<Vec<Selection>, String> = COMPLETE.iter().map(|file| file.parse()).collect();
        Ok(Outcome::check(clauses::run(&complete.map_err(anyhow::Error::msg)?, false)?))
    });
    // The tests have built it.
    let rsl = built_binary("debug", "rsl");
    steps.run("host contract", || steps::command(Command::new(&rsl).arg("conformance")));
    steps.run("host contract, version 3", || {
        steps::command(Command::new(&rsl).args(["conformance", "--protocol", "3"]))
    });
    steps.run("host contract, legacy model", || {
        steps::command(Command::new(&rsl).args(["conformance", "--legacy-model"]))
    });
    steps.run("managed bindings", dotnet::step);
    install::check(&mut steps);
    readme::add_steps(&mut steps);
    steps.run("instructions", instructions::step);
    steps.run("demo", || steps::command(Command::new(&rsl).arg("demo")));
    super::upgrades::usual(&mut steps, &rsl);
    Ok(steps.summary())
}

/// Runs seeds of the simulator, optimised: unoptimised it takes ten times as long. It needs no drivers.
pub(crate) fn simulate(seeds: &str, profile: &str) -> Result<Outcome> {
    let build =
        "build --quiet --release --package rsl-core --no-default-features --features sim --bin rsl-sim";
    ensure!(cargo().args(build.split(' ')).status()?.success(), "rsl-sim does not build");
    let simulator = built_binary("release", "rsl-sim");
    steps::command(Command::new(simulator).args(["--seeds", seeds, "--profile", profile]))
}

/// Where cargo puts a binary of the workspace.
pub(crate) fn built_binary(profile: &str, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    root().join(target).join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The cargo that runs us, at the top of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Rust itself is checked by cargo (`rust-version`); rustfmt and clippy are added when a minimal profile left
/// them out.
fn tools() -> Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let found = cargo().args([tool, "--version"]).output().is_ok_and(|output| output.status.success());
        if found {
            continue;
        }
        println!("installing {component}");
        let status =
            Command::new("rustup").args(["component", "add", component]).current_dir(root()).status();
        let added = status.with_context(|| format!("{component} is missing and rustup cannot be started"))?;
        ensure!(added.success(), "rustup could not add {component}");
    }
    Ok(())
}
