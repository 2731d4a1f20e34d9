//! `cargo xtask arm`: builds for Linux on aarch64 and runs the unit tests in an emulator.

use anyhow::Result;

use super::steps::{self, Outcome, Steps};
use crate::windows::{cross, cross_target};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Builds library and tools, and runs the unit tests under qemu-user. True when all went well.
pub(crate) fn run() -> Result<bool> {
    let mut steps = Steps::default();
    add_steps(&mut steps);
    Ok(steps.summary())
}

/// Runs the steps, for `cargo xtask nightly` too.
pub(crate) fn add_steps(steps: &mut Steps) {
    steps.run("aarch64: library and tools", || {
        steps::command(cargo("build").args(["--package", "rsl-ffi", "--package", "migration"]))
    });
    steps.run("aarch64: unit tests under qemu", unit_tests);
}

fn cargo(command: &str) -> std::process::Command {
    let mut cargo = cross(TARGET);
    cargo.args(["cargo", command, "--quiet", "--target", TARGET, "--target-dir"]).arg(cross_target());
    cargo
}

fn unit_tests() -> Result<Outcome> {
    let mut cargo = cargo("test");
    cargo.args(["--no-fail-fast", "--package", "rsl-core", "--package", "rsl-ffi", "--package", "migration"]);
    cargo.args(["--features", "rsl-core/sim", "--lib", "--bins", "--", "--test-threads=2"]);
    // In qemu-user, starting a program that is not there succeeds.
    cargo.args(["--skip", "a_host_that_fails_hangs_or_is_missing_is_reported"]);
    steps::test_command(&mut cargo)
}
