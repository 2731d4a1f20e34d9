//! Runs the steps of a check one after another and sums up what they counted.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that is not a test of a test runner.
    pub(crate) fn one(ok: bool) -> Self {
        Self { passed: u64::from(ok), failed: u64::from(!ok), skipped: 0 }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts in a closing line of `cargo test`, in whose words the C# tests report too:
    /// `test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; ...`.
    fn from_closing_line(line: &str) -> Option<Self> {
        let rest = line.trim_start().strip_prefix("test result: ")?;
        let count = |word: &str| -> Option<u64> {
            rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The steps done so far.
#[derive(Default)]
pub(crate) struct Steps {
    only: Option<String>,
    done: Vec<Step>,
}

struct Step {
    name: String,
    ok: bool,
    counts: Counts,
    took: Duration,
}

impl Steps {
    /// Only the steps with this in their name; None = all.
    pub(crate) fn only(part: Option<String>) -> Steps {
        Steps { only: part, done: Vec::new() }
    }

    /// Runs `step` and notes its result; a failing step does not stop the later ones.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        if self.only.as_ref().is_some_and(|part| !name.contains(part)) {
            return;
        }
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step().unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::check(false)
        });
        let Outcome { ok, counts } = outcome;
        self.done.push(Step { name: name.to_owned(), ok, counts, took: start.elapsed() });
    }

    /// Prints one line per step and the sum. True when all went well, and there was something to do.
    pub(crate) fn summary(&self) -> bool {
        println!("\n== summary");
        let mut total = Counts::default();
        for step in &self.done {
            let verdict = if step.ok { "ok" } else { "FAILED" };
            println!("{verdict:<7} {:<34} {:>6.1} s   {}", step.name, step.took.as_secs_f64(), step.counts);
            total.add(step.counts);
        }
        println!("{total}");
        !self.done.is_empty() && self.done.iter().all(|step| step.ok)
    }
}

/// The result of one step.
pub(crate) struct Outcome {
    ok: bool,
    counts: Counts,
}

impl Outcome {
    /// A step that is one check.
    pub(crate) fn check(ok: bool) -> Self {
        Self { ok, counts: Counts::one(ok) }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    /// A step that cannot run here.
    pub(crate) fn skipped() -> Self {
        Self { ok: true, counts: Counts { skipped: 1, ..Counts::default() } }
    }
}

/// Runs a command to its end; the step passes when it exits 0.
pub(crate) fn command(command: &mut Command) -> Result<Outcome> {
    announce(command);
    Ok(Outcome::check(command.status().with_context(|| format!("starting {command:?}"))?.success()))
}

/// Runs a test runner whose output holds the closing lines of `cargo test`, shows that output, and counts.
pub(crate) fn test_command(command: &mut Command) -> Result<Outcome> {
    announce(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {command:?}"))?;
    let mut counts = Counts::default();
    let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    for line in output.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        counts.add(Counts::from_closing_line(&line).unwrap_or_default());
    }
    let ok = child.wait()?.success();
    if !ok && counts.failed == 0 {
        counts.failed = 1;
    }
    // A runner that found nothing to run proves nothing.
    let ok = ok && counts.passed > 0;
    Ok(Outcome { ok, counts })
}

fn announce(command: &Command) {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    println!("$ {}", words.join(" ".as_ref()).to_string_lossy());
    // The child writes to the same place, past our buffer.
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        let line = "test result: FAILED. 11 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.16s";
        assert_eq!(Counts::from_closing_line(line), Some(Counts { passed: 11, failed: 1, skipped: 2 }));
        assert_eq!(Counts::from_closing_line("test wire::x ... ok"), None);
        assert_eq!(Counts::from_closing_line("test result: odd"), None);
    }

    #[test]
    fn failures_and_empty_runs_fail_the_step() {
        let shell = |script: &str| test_command(Command::new("sh").args(["-c", script])).unwrap();
        let good = "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured";
        let outcome = shell(&format!("echo '{good}'; echo '{good}'"));
        assert!(outcome.ok);
        assert_eq!(outcome.counts, Counts { passed: 2, failed: 0, skipped: 2 });
        assert!(!shell(&format!("echo '{good}'; exit 1")).ok);
        assert!(!shell("true").ok);
        let mut steps = Steps::default();
        steps.run("x", || anyhow::bail!("broken"));
        assert!(!steps.summary());
        let mut some = Steps::only(Some("good".to_owned()));
        assert!(!some.summary());
        some.run("bad", || anyhow::bail!("left out"));
        some.run("a good one", || Ok(Outcome::check(true)));
        assert!(some.summary());
    }
}
