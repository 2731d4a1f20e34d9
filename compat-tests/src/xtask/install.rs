//! `cargo xtask install`: the library, headers and `rsl` below a prefix; and the check that programs can be built with them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::contents;
use super::steps::{self, Outcome, Steps};
use crate::native;

/// How long a sample may take until it answers: an election with the library's defaults takes 10 s.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let samples = prefix.join("share/rsl/samples");
        match self {
            Way::PkgConfig => {
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
            Way::CMake => {
                let mut configure = Command::new("cmake");
                configure.arg("-S").arg(&samples).arg("-B").arg(out);
                configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
                configure.arg(format!("-DRSL_STATIC={}", if is_static { "ON" } else { "OFF" }));
                native::run(&mut configure)?;
                native::run(Command::new("cmake").arg("--build").arg(out))
            }
        }
    }
}

/// The programs need the library under its installed name, or not at all, and two of them run.
fn try_programs(prefix: &Path, out: &Path, is_static: bool) -> Result<()> {
    for sample in ["counter", "keyvalue", "reconfigure", "counter_c"] {
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
    let data = out.join("data");
    let mut counter = Sample::start(&out.join("counter_c"), &data.join("c"))?;
    let mut store = Sample::start(&out.join("keyvalue"), &data.join("kv"))?;
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

/// A sample with its standard input and output; killed when it is dropped.
struct Sample {
    name: PathBuf,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Sample {
    /// Starts `PROGRAM DIRECTORY PORT`.
    fn start(program: &Path, directory: &Path) -> Result<Sample> {
        fs::create_dir_all(directory)?;
        let mut command = Command::new(program);
        command.arg(directory).arg(free_port()?.to_string());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Sample { name: program.to_owned(), child, lines })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().context("stdin is piped")?, "{line}")?)
    }

    /// Waits for a line that begins so.
    fn expect(&mut self, begin: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(begin) => return Ok(()),
                Ok(_) => {}
                Err(_) => bail!("{}: no line {begin:?}", self.name.display()),
            }
        }
    }

    /// Closes its input; it ends by itself with code 0.
    fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait()?;
        ensure!(status.success(), "{}: {status}", self.name.display());
        Ok(())
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // It has ended already, unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
