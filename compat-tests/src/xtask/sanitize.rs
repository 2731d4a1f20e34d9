//! `cargo xtask sanitize`: the C and C++ tests under sanitizers and Valgrind, and the models of loom.
//!
//! What is missing is a failure that names the command which installs it. Helgrind is not among the tools: it knows the locks
//! of pthread only, and takes every datum behind a lock or an atomic of Rust for a race.

use std::process::Command;

use anyhow::{Result, ensure};

use super::steps::{self, Steps};
use super::test::cargo;
use crate::native::{TEST_FLAGS, TEST_RUNNER};

/// Instruments what the C and C++ compiler sees; the allocator is watched for the whole process, the library included.
const SANITIZERS: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer";
/// Every access of the process. Only what nobody can reach any more is a leak: a process may end while others run.
const MEMCHECK: &str = "valgrind --quiet --error-exitcode=98 --leak-check=full --errors-for-leak-kinds=definite \
                        --show-leak-kinds=definite";
/// How many preemptions of a schedule loom explores.
const PREEMPTIONS: &str = "3";

/// Runs the steps, or those with `only` in their name. True when all went well.
pub(crate) fn run(only: Option<String>) -> Result<bool> {
    let mut steps = Steps::only(only);
    steps.run("ASAN, UBSAN: C and C++ tests", || {
        let probe =
            "echo 'int main() { return 0; }' | c++ -fsanitize=address,undefined -x c++ - -o /dev/null";
        needed(Command::new("sh").args(["-c", probe]), "libasan8 libubsan1 g++")?;
        steps::test_command(tests(&["c_abi", "cpp_api"]).env(TEST_FLAGS, SANITIZERS))
    });
    steps.run("Valgrind: C tests", || {
        needed(Command::new("valgrind").arg("--version"), "valgrind libc6-dbg")?;
        steps::test_command(tests(&["c_abi"]).env(TEST_RUNNER, MEMCHECK))
    });
    steps.run("loom: admission", || {
        let mut loom = cargo();
        loom.args(["test", "--package", "rsl-core", "--lib", "--target-dir"]);
        loom.arg(crate::native::target().join("loom")).arg("explored");
        loom.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS);
        steps::test_command(&mut loom)
    });
    Ok(steps.summary())
}

/// Test programs of this package.
fn tests(names: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "compat-tests"]);
    for name in names {
        command.args(["--test", name]);
    }
    command
}

fn needed(probe: &mut Command, packages: &str) -> Result<()> {
    let works = probe.output().is_ok_and(|output| output.status.success());
    ensure!(works, "missing: apt-get install -y --no-install-recommends {packages}");
    Ok(())
}
