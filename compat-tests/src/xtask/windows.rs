//! `cargo xtask windows`: the library, its tools and programs for Windows x86_64 under `target/windows/`, and their tests
//! under Wine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::contents;
use super::sources::root;
use super::steps::{self, Outcome, Steps};
use super::test::cargo;
use super::windows_package;
use crate::windows::{
    TARGET, cross, cross_target, directory, exports_and_imports, language, program, programs,
};

/// Builds everything, and with `test` tests it; only the steps with `only` in their name. True when all went well.
pub(crate) fn run(test: bool, only: Option<String>) -> Result<bool> {
    let mut steps = Steps::only(only);
    add_steps(&mut steps, test);
    Ok(steps.summary())
}

/// Runs the steps, for `cargo xtask nightly` too.
pub(crate) fn add_steps(steps: &mut Steps, test: bool) {
    steps.run("Windows: library and tools", || build().map(|()| Outcome::check(true)));
    if test {
        steps.run("Windows: unit tests under Wine", unit_tests);
        steps.run("Windows: golden data under Wine", golden_tests);
        steps.run("Windows: programs and sets under Wine", program_tests);
        steps.run("Windows: archive, used with CMake", windows_package::check);
    }
}

/// Cargo for Windows, optimised or not.
fn cross_cargo(command: &str) -> Command {
    let mut cargo = cross(TARGET);
    cargo.args(["cargo", command, "--quiet", "--target", TARGET, "--target-dir"]).arg(cross_target());
    cargo
}

/// Builds `rsl.dll`, its import libraries, the static library, `rsl.exe`, the C++ host and the samples.
pub(crate) fn build() -> Result<()> {
    let mut cargo = cross_cargo("build");
    // No directories of this machine, and no debug information that only gdb reads; names for backtraces stay.
    cargo.env("RUSTFLAGS", format!("{} -Cstrip=debuginfo", contents::short_paths()?));
    let built = cargo.args(["--release", "--package", "rsl-ffi", "--package", "migration"]).status()?;
    ensure!(built.success(), "the library does not build for Windows");
    let (from, to) = (cross_target().join(TARGET).join("release"), directory());
    std::fs::create_dir_all(&to)?;
    for name in ["rsl.dll", "librsl.dll.a", "librsl.a", "rsl.exe"] {
        std::fs::copy(from.join(name), to.join(name)).context(name)?;
    }
    definition(&to)?;
    for (name, source) in programs()? {
        let output = to.join(name).with_extension("exe");
        program(language(&source), &[source], &output)?;
        println!("{}", output.display());
    }
    Ok(())
}

/// Writes `rsl.def`, from which any toolchain makes its import library, and `rsl.lib`, the one of Microsoft's linker.
fn definition(directory: &Path) -> Result<()> {
    let (exports, _) = exports_and_imports(&directory.join("rsl.dll"))?;
    let text = format!("LIBRARY rsl.dll\nEXPORTS\n    {}\n", exports.join("\n    "));
    let definition = directory.join("rsl.def");
    std::fs::write(&definition, text)?;
    let mut tool = Command::new("x86_64-w64-mingw32-dlltool");
    tool.arg("-d").arg(&definition).arg("-l").arg(directory.join("rsl.lib")).args(["-m", "i386:x86-64"]);
    crate::native::run(&mut tool)
}

/// The unit tests of the crates that run on Windows.
fn unit_tests() -> Result<Outcome> {
    let mut cargo = cross_cargo("test");
    cargo.args(["--no-fail-fast", "--package", "rsl-core", "--package", "rsl-ffi", "--package", "migration"]);
    // Processes of one prefix share a server, and time is short for elections: few at once.
    cargo.args(["--features", "rsl-core/sim", "--lib", "--bins", "--", "--test-threads=2"]);
    steps::test_command(&mut cargo)
}

/// What legacy replicas wrote and said, read by the Windows build.
fn golden_tests() -> Result<Outcome> {
    let mut cargo = cross_cargo("test");
    cargo.args(["--no-fail-fast", "--package", "compat-tests"]);
    for test in
        ["golden_wire", "golden_net", "golden_disk", "golden_restore", "golden_corruption", "golden_replay"]
    {
        cargo.args(["--test", test]);
    }
    cargo.args(["--package", "migration"]);
    for test in ["golden_decode", "golden_convert", "golden_check_upgrade", "golden_demo"] {
        cargo.args(["--test", test]);
    }
    steps::test_command(&mut cargo)
}

/// The tests of this machine that look at what was built, and run it under Wine.
fn program_tests() -> Result<Outcome> {
    let mut tests = cargo();
    tests.args([
        "test",
        "--no-fail-fast",
        "--package",
        "compat-tests",
        "--test",
        "windows",
        "--test",
        "golden_cpp",
    ]);
    tests.args(["--", "windows_", "--ignored", "--test-threads=1"]).current_dir(root());
    steps::test_command(&mut tests)
}
