//! `cargo xtask install`: the library, headers and `rsl` below a prefix; and the check that programs can be built with them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::contents;
use super::steps::{self, Outcome, Steps};
use crate::native;
use crate::sample::Sample;

/// The programs that are built from the installed samples.
pub(crate) const SAMPLES: [&str; 4] = ["counter", "keyvalue", "reconfigure", "counter_c"];

/// Builds and installs. True.
pub(crate) fn run(prefix: &Path) -> Result<bool> {
    install(prefix)?;
    println!("installed below {}", prefix.display());
    Ok(true)
}

/// Gives the paths of the installed files.
fn install(prefix: &Path) -> Result<Vec<String>> {
    let entries = contents::entries(&contents::build()?)?;
    contents::write(&entries, prefix)?;
    Ok(entries.into_iter().map(|entry| entry.path).collect())
}

/// Installs, moves what was installed, and builds and runs the samples from there in every way.
pub(crate) fn check(steps: &mut Steps) {
    let place = native::target().join("install-check");
    let prefix = place.join("moved");
    let mut installed = false;
    steps.run("install", || {
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        install(&place.join("first"))?;
        fs::rename(place.join("first"), &prefix)?;
        installed = true;
        steps::command(Command::new(prefix.join("bin/rsl")).arg("--version"))
    });
    for way in [Way::PkgConfig, Way::CMake] {
        steps.run(&format!("installed library: {}", way.tool()), || {
            ensure!(installed, "nothing is installed");
            if !has(way.tool()) {
                println!(
                    "skipped: {0} is missing: apt-get install -y --no-install-recommends {0}",
                    way.tool()
                );
                return Ok(Outcome::skipped());
            }
            for is_static in [false, true] {
                let out =
                    place.join(format!("{}-{}", way.tool(), if is_static { "static" } else { "shared" }));
                fs::create_dir_all(&out)?;
                way.build(&prefix, &out, is_static)?;
                try_programs(&prefix, &out, is_static)?;
            }
            Ok(Outcome::check(true))
        });
    }
}

pub(crate) fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// How the samples are built.
#[derive(Clone, Copy)]
enum Way {
    PkgConfig,
    CMake,
}

impl Way {
    fn tool(self) -> &'static str {
        match self {
            Way::PkgConfig => "pkg-config",
            Way::CMake => "cmake",
        }
    }

    /// Builds the installed samples into `out`, as a service would.
    fn build(self, prefix: &Path, out: &Path, is_static: bool) -> Result<()> {
        match self {
            Way::PkgConfig => {
                let samples = prefix.join("share/rsl/samples");
                let package = if is_static { "rsl-static" } else { "rsl" };
                let script = format!(
                    "set -e\n\
                     flags=$(pkg-config --cflags --libs '{package} >= {version}')\n\
                     for sample in counter keyvalue reconfigure; do\n\
                     c++ -std=c++11 \"$1/$sample.cc\" -o \"$2/$sample\" $flags -Wl,-rpath,\"$3\"\n\
                     done\n\
                     cc -std=c11 \"$1/counter_c.c\" -o \"$2/counter_c\" $flags -Wl,-rpath,\"$3\"",
                    version = contents::VERSION,
                );
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, "sh"]).arg(&samples).arg(out).arg(prefix.join("lib"));
                native::run(shell.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")))
            }
            Way::CMake => cmake(prefix, out, is_static, &[]),
        }
    }
}

/// Builds the installed samples with CMake, which is told `more`.
pub(crate) fn cmake(prefix: &Path, out: &Path, is_static: bool, more: &[&str]) -> Result<()> {
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(prefix.join("share/rsl/samples")).arg("-B").arg(out).args(more);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    configure.arg(format!("-DRSL_STATIC={}", if is_static { "ON" } else { "OFF" }));
    native::run(&mut configure)?;
    native::run(Command::new("cmake").arg("--build").arg(out))
}

/// The programs need the library under its installed name, or not at all, and two of them run.
fn try_programs(prefix: &Path, out: &Path, is_static: bool) -> Result<()> {
    for sample in SAMPLES {
        let program = out.join(sample);
        // The loader itself says what it finds.
        let listed = Command::new("ldd").arg(&program).output().context("ldd")?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let needed: Vec<&str> = listed.lines().filter(|line| line.contains("librsl")).collect();
        let library = prefix.join("lib").join(contents::soname());
        let expected = format!("{} => {}", contents::soname(), library.display());
        let fits = match needed[..] {
            [] => is_static,
            [line] => !is_static && line.contains(&expected),
            _ => false,
        };
        ensure!(fits, "{}: {listed}", program.display());
    }
    try_samples(|sample| Command::new(out.join(sample)), &out.join("data"))
}

/// Starts two of the samples, as `program` says, and talks to them.
pub(crate) fn try_samples(program: impl Fn(&str) -> Command, data: &Path) -> Result<()> {
    let start = |sample: &str, directory: &str| {
        let directory = data.join(directory);
        fs::create_dir_all(&directory)?;
        Sample::start(program(sample).arg(directory).arg(free_port()?.to_string()))
    };
    let mut counter = start("counter_c", "c")?;
    let mut store = start("keyvalue", "kv")?;
    counter.expect("primary: 1")?;
    counter.say("5 7")?;
    counter.expect("12")?;
    store.expect("primary: 1")?;
    store.say("set a 17")?;
    store.expect("ok, ")?;
    store.say("get a")?;
    store.expect("17")?;
    counter.end()?;
    store.end()
}

/// A port with a free one behind it.
fn free_port() -> Result<u16> {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return Ok(port);
        }
    }
}
