//! `cargo xtask dotnet`: builds the managed bindings, their host and samples, and tests them on every runtime that is here.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::sources::root;
use super::steps::{self, Outcome, Steps};
use super::test::{built_binary, cargo};
use crate::managed::{self, GET_DOTNET, GET_MONO, Runtime, Sdk};
use crate::native;

/// What to do beyond the tests of the bindings on every runtime and the host contract on the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Args {
    /// Against the optimised library.
    #[arg(long)]
    release: bool,
    /// Build only.
    #[arg(long)]
    build: bool,
    /// The host contract and mixed sets with the host on every runtime, scenarios too; a runtime that is missing is a
    /// failure.
    #[arg(long, conflicts_with = "build")]
    thorough: bool,
}

impl Args {
    /// What the nightly run does.
    pub(crate) const fn thorough() -> Args {
        Args { release: false, build: false, thorough: true }
    }
}

/// Builds everything, and tests it unless told otherwise. True when all went well.
pub(crate) fn run(args: Args) -> Result<bool> {
    let mut steps = Steps::default();
    let sdk = Sdk::find();
    ensure!(managed::has_mono() || sdk.is_some(), "neither mono ({GET_MONO}) nor a .NET SDK ({GET_DOTNET})");
    if managed::has_mono() {
        steps.run("build for .NET Framework 4.0", || {
            managed::build_framework(args.release).map(|()| Outcome::check(true))
        });
    }
    if let Some(sdk) = &sdk {
        steps.run("build for .NET Standard 2.0", || {
            managed::build_standard(sdk, args.release).map(|()| Outcome::check(true))
        });
    }
    if args.build {
        return Ok(steps.summary());
    }
    let runtimes = Runtime::all();
    for runtime in &runtimes {
        steps.run(&format!("tests on {}", runtime.name), || tests(runtime, args.thorough));
    }
    let present = runtimes.iter().filter(|runtime| runtime.is_here);
    for runtime in present.take(if args.thorough { usize::MAX } else { 1 }) {
        hosts(&mut steps, runtime, args.thorough)?;
    }
    Ok(steps.summary())
}

/// The tests on mono alone, for `cargo xtask test`.
pub(crate) fn step() -> Result<Outcome> {
    let mono = Runtime::mono();
    if mono.is_here {
        managed::build_framework(false)?;
    }
    tests(&mono, false)
}

/// Runs the tests of the bindings on a runtime; says what gets it where it is not.
fn tests(runtime: &Runtime, needed: bool) -> Result<Outcome> {
    if !runtime.is_here {
        ensure!(!needed, "{} is not here: {}", runtime.name, runtime.install);
        println!("skipped: {} is not here: {}", runtime.name, runtime.install);
        return Ok(Outcome::skipped());
    }
    // Tests of how a process ends cannot clean up behind it.
    let scratch = native::target().join(format!("dotnet-scratch-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut tests = runtime.command("ManagedRSLib.Tests");
    let outcome = steps::test_command(tests.current_dir(root()).env("TMPDIR", &scratch))?;
    if outcome.is_ok() {
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(outcome)
}

/// The host contract, an upgrade, and sets of three languages.
fn hosts(steps: &mut Steps, runtime: &Runtime, thorough: bool) -> Result<()> {
    let built = cargo().args(["build", "--quiet", "--package", "migration", "--bin", "rsl"]).status()?;
    ensure!(built.success(), "rsl does not build");
    let cpp = cpp_host_template(&native::build_programs(false)?[0]);
    let csharp = runtime.host_template();
    let name = runtime.name;
    let rsl = |arguments: &[&str]| steps::command(Command::new(built_binary("debug", "rsl")).args(arguments));
    steps.run(&format!("host contract, {name}"), || rsl(&["conformance", "--host", &csharp]));
    steps.run(&format!("upgrade to C#, {name}"), || {
        rsl(&["upgrade", "classic-3", "--json", "--new", &csharp])
    });
    let all = ["--host", "rsl", "--host", &cpp, "--host", &csharp];
    for version in ["3", "6"] {
        steps.run(&format!("Rust, C++, C#: version {version}, {name}"), || {
            rsl(&[&["demo", "--protocol", version, "--kills", "3"], &all[..]].concat())
        });
        let scenarios: &[&str] = if thorough { &["grow", "shrink", "replace-primary"] } else { &[] };
        for scenario in scenarios {
            steps.run(&format!("Rust, C++, C#: {scenario}, {version}, {name}"), || {
                rsl(&[&["demo", "--protocol", version, "--scenario", scenario], &all[..]].concat())
            });
        }
    }
    Ok(())
}

/// How the C++ host is started.
fn cpp_host_template(program: &Path) -> String {
    format!(
        "'{}' --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} --self {{self}} \
         --control {{control}} --events {{events}} --execlog {{execlog}}",
        program.display()
    )
}
