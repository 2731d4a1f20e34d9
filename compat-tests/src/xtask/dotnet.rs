//! `cargo xtask dotnet`: builds the managed bindings, their host and samples with mono's C# compiler, and tests them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::steps::{self, Outcome, Steps};
use super::test::{built_binary, cargo};
use crate::native;

const INSTALL: &str =
    "the C# compiler and runtime are missing: apt-get install -y --no-install-recommends mono-mcs mono-devel";

/// Where the assemblies go; the native library lies beside them.
fn output() -> PathBuf {
    native::target().join("dotnet")
}

/// Builds and tests everything. True when all went well.
pub(crate) fn run() -> Result<bool> {
    ensure!(installed(), "{INSTALL}");
    let mut steps = Steps::default();
    steps.run("managed bindings", tests);
    steps.run("host contract, C# host", || with_host(&["conformance", "--host"]));
    steps.run("upgrade to the C# host", || with_host(&["upgrade", "classic-3", "--json", "--new"]));
    for version in ["3", "6"] {
        steps.run(&format!("Rust and C# hosts in one set, version {version}"), || {
            with_host(&["demo", "--protocol", version, "--kills", "3", "--host", "rsl", "--host"])
        });
    }
    Ok(steps.summary())
}

/// The tests alone, for `cargo xtask test`: skipped, with the command that installs what is missing.
pub(crate) fn step() -> Result<Outcome> {
    if !installed() {
        println!("skipped: {INSTALL}");
        return Ok(Outcome::skipped());
    }
    tests()
}

fn installed() -> bool {
    ["mcs", "mono"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success()))
}

/// Builds everything and runs the tests of the bindings.
fn tests() -> Result<Outcome> {
    build()?;
    let mut mono = Command::new("mono");
    mono.arg("--debug").arg(output().join("ManagedRSLib.Tests.exe")).current_dir(root());
    steps::test_command(&mut mono)
}

/// Runs a command of `rsl` that takes the C# host as its last argument.
fn with_host(arguments: &[&str]) -> Result<Outcome> {
    let built =
        cargo().args(["build", "--quiet", "--package", "migration", "--bin", "rsl"]).status()?.success();
    ensure!(built, "rsl does not build");
    let rsl = built_binary("debug", "rsl");
    steps::command(Command::new(rsl).args(arguments).arg(host_template()))
}

/// How the C# host is started, for `rsl conformance` and `rsl demo`.
fn host_template() -> String {
    let host = output().join("RSLHost.exe");
    format!(
        "mono '{}' --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} --self {{self}} \
         --control {{control}} --events {{events}} --execlog {{execlog}}",
        host.display()
    )
}

/// Compiles all assemblies and puts the native library beside them.
fn build() -> Result<()> {
    let out = output();
    std::fs::create_dir_all(out.join("spec")).with_context(|| out.display().to_string())?;
    let library = native::library(false)?.join(library_name());
    std::fs::copy(&library, out.join(library_name())).with_context(|| library.display().to_string())?;
    // The surface as the specification has it, to be compared with ours.
    let surface = root().join("docs/spec/tools/ManagedSurface.cs");
    compile(
        &out.join("spec/ManagedRSLib.dll"),
        &[surface],
        &["-target:library".into(), "-nowarn:67,414".into()],
    )?;
    let bindings = out.join("ManagedRSLib.dll");
    let xml = out.join("ManagedRSLib.xml");
    compile(&bindings, &sources("ManagedRSLib"), &["-target:library".into(), option("-doc:", &xml)])?;
    let with_bindings = [option("-r:", &bindings)];
    for (program, directory) in
        [("RSLHost.exe", "Host"), ("ManagedRSLib.Tests.exe", "Tests"), ("Counter.exe", "Samples/Counter")]
    {
        compile(&out.join(program), &sources(directory), &with_bindings)?;
    }
    Ok(())
}

fn library_name() -> &'static str {
    if cfg!(windows) { "rsl.dll" } else { "librsl.so" }
}

fn sources(directory: &str) -> Vec<PathBuf> {
    vec![root().join("csharp-bindings").join(directory).join("*.cs")]
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// Compiles for .NET Framework 4.0, every warning an error. A pattern among the sources includes directories below.
fn compile(output: &Path, sources: &[PathBuf], options: &[OsString]) -> Result<()> {
    let mut mcs = Command::new("mcs");
    mcs.args(["-sdk:4.0-api", "-langversion:7.2", "-warnaserror", "-unsafe", "-optimize", "-debug"]);
    mcs.args(["-r:System.dll", "-r:System.Core.dll"]).args(options).arg(option("-out:", output));
    for source in sources {
        mcs.arg(option("-recurse:", source));
    }
    native::run(&mut mcs)
}
