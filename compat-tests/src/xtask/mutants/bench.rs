//! A copy of the sources that is mutated, and the commands that must notice it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::sources::root;
use super::patch::Catcher;

/// A simulation or a test binary that runs this long does not end.
const LIMIT: Duration = Duration::from_secs(300);
/// What the unmutated tree needs is a fraction of that.
const POLL: Duration = Duration::from_millis(20);
/// Features and package of everything that is built here.
const WHAT: [&str; 7] = ["--locked", "--profile", "mutants", "--package", "rsl-core", "--features", "sim"];

/// What a check said.
#[derive(Debug)]
pub(super) enum Verdict {
    Green,
    /// Who noticed what.
    Caught(Finding),
}

/// How a mutant was noticed.
#[derive(Debug)]
pub(super) struct Finding {
    /// The rule of the checker, or the names of the failing tests.
    pub(super) by: String,
    /// The simulator's text; empty for tests.
    pub(super) text: String,
    /// How many seeds were simulated until then.
    pub(super) seeds: Option<u64>,
}

/// The copy, below `target/`: the user's tree is never touched.
pub(super) struct Bench {
    tree: PathBuf,
    build: PathBuf,
}

impl Bench {
    /// Copies the sources. A file that is the same already keeps its time, so that nothing is compiled anew for it.
    pub(super) fn new() -> Result<Bench> {
        let place = root().join("target/mutation");
        let bench = Bench { tree: place.join("tree"), build: place.join("build") };
        fs::create_dir_all(&bench.tree)?;
        let mut wanted = std::collections::BTreeSet::new();
        for entry in walk(root()).filter_entry(|entry| entry.file_name() != ".git").build() {
            let entry = entry?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let relative = entry.path().strip_prefix(root())?.to_owned();
            put(&bench.tree.join(&relative), &fs::read(entry.path())?)?;
            wanted.insert(relative);
        }
        for entry in walk(&bench.tree).git_ignore(false).parents(false).build() {
            let entry = entry?;
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            if is_file && !wanted.contains(entry.path().strip_prefix(&bench.tree)?) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(bench)
    }

    /// Puts a file of the copy in another state.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        put(&self.tree.join(path), text.as_bytes())
    }

    /// Takes back what a mutant has changed.
    pub(super) fn restore(&self, path: &str) -> Result<()> {
        put(&self.tree.join(path), &fs::read(root().join(path))?)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).args(WHAT).current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.build);
        command
    }

    /// Builds and runs a check: the simulator with `seeds` clusters, the unit tests, the model check.
    pub(super) fn check(&self, catcher: Catcher, seeds: u64) -> Result<Verdict> {
        match catcher {
            Catcher::Simulator => self.simulate(seeds),
            Catcher::Tests => self.run_tests(&["--lib"]),
            Catcher::Model => self.run_tests(&["--test", "model_check"]),
        }
    }

    /// Up to the first cluster that breaks a rule.
    fn simulate(&self, seeds: u64) -> Result<Verdict> {
        let built = self.cargo(&["build", "--quiet", "--bin", "rsl-sim"]).output()?;
        ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        let name = format!("rsl-sim{}", std::env::consts::EXE_SUFFIX);
        let mut command = Command::new(self.build.join("mutants").join(name));
        command.args(["--seeds", &format!("0..{seeds}"), "--profile", "ci", "--json"]);
        let Some((status, output)) = self.run(&mut command)? else {
            return Ok(caught("a seed that does not end", "", None));
        };
        let result: Value = match output.lines().last().map(serde_json::from_str) {
            Some(Ok(result)) => result,
            _ => return Ok(caught("the simulator dies", &status.to_string(), None)),
        };
        let Some(failure) = result["failures"].as_array().and_then(|failures| failures.first()) else {
            ensure!(status.success() && result["seeds"] == seeds, "the simulator says {result}");
            return Ok(Verdict::Green);
        };
        let text = |key: &str| failure[key].as_str().unwrap_or_default();
        Ok(caught(text("rule"), text("text"), failure["seed"].as_u64().map(|seed| seed + 1)))
    }

    fn run_tests(&self, which: &[&str]) -> Result<Verdict> {
        let mut failed = Vec::new();
        for binary in self.test_binaries(which)? {
            let mut command = Command::new(&binary);
            let Some((status, output)) = self.run(&mut command)? else {
                failed.push("a test that does not end".to_owned());
                continue;
            };
            if status.success() {
                ensure!(output.contains("test result: ok."), "{} runs no tests", binary.display());
                continue;
            }
            let names =
                output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            let before = failed.len();
            failed.extend(names.map(|name| name.trim_end_matches(" - should panic").to_owned()));
            if failed.len() == before {
                failed.push(format!("the test process dies ({status})"));
            }
        }
        if failed.is_empty() {
            return Ok(Verdict::Green);
        }
        Ok(Verdict::Caught(Finding { by: failed.join(" "), text: String::new(), seeds: None }))
    }

    fn test_binaries(&self, which: &[&str]) -> Result<Vec<PathBuf>> {
        let what = [&["test", "--no-run", "--message-format", "json"], which].concat();
        let built = self.cargo(&what).output()?;
        let output = String::from_utf8_lossy(&built.stdout);
        let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut binaries = Vec::new();
        let mut errors = String::new();
        for message in messages {
            if message["profile"]["test"] == true
                && let Some(path) = message["executable"].as_str()
            {
                binaries.push(PathBuf::from(path));
            }
            if message["message"]["level"] == "error" {
                errors.push_str(message["message"]["rendered"].as_str().unwrap_or_default());
            }
        }
        ensure!(built.status.success(), "the tests do not build:\n{errors}");
        ensure!(!binaries.is_empty(), "no test binary was built");
        Ok(binaries)
    }

    /// Runs a command that was built here, to its end or to the limit (then `None`); gives what it printed.
    fn run(&self, command: &mut Command) -> Result<Option<(ExitStatus, String)>> {
        let path = self.tree.with_file_name("output.txt");
        let output = File::create(&path)?;
        command.current_dir(self.tree.join("rsl-core")).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(POLL);
        };
        Ok(Some((status, String::from_utf8_lossy(&fs::read(&path)?).into_owned())))
    }
}

fn caught(by: &str, text: &str, seeds: Option<u64>) -> Verdict {
    Verdict::Caught(Finding { by: by.to_owned(), text: text.to_owned(), seeds })
}

fn walk(root: &Path) -> ignore::WalkBuilder {
    let mut walk = ignore::WalkBuilder::new(root);
    walk.hidden(false);
    walk
}

/// Writes a file unless it has that content.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
