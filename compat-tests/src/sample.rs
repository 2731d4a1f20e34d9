//! A program of the samples with its standard input and output.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a program may take for a line: an election with the library's defaults takes 10 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running sample; killed when it is dropped.
#[derive(Debug)]
pub struct Sample {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Sample {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Sample> {
        let name = format!("{command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().with_context(|| name.clone())?;
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Sample { name, child, lines })
    }

    /// Types a line.
    ///
    /// # Errors
    /// When it has closed its input.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().context("stdin is piped")?, "{line}")?)
    }

    /// Waits for a line that begins so.
    ///
    /// # Errors
    /// When none comes.
    pub fn expect(&mut self, begin: &str) -> Result<String> {
        let line = self.line(PATIENCE, |line| line.starts_with(begin));
        line.with_context(|| format!("{}: no line {begin:?}", self.name))
    }

    /// The next line as wanted, if it comes in time; the lines before it are forgotten.
    fn line(&mut self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + patience;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())).ok()?;
            if wanted(&line) {
                return Some(line);
            }
        }
    }

    /// Closes its input; it ends by itself with code 0.
    ///
    /// # Errors
    /// When it ends in another way.
    pub fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait()?;
        ensure!(status.success(), "{}: {status}", self.name);
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

/// Three counters of one set: the primary is asked to add 5 and 7, all of them come to 12, all end with code 0.
///
/// # Errors
/// When not.
pub fn counters_agree(mut counters: Vec<Sample>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let is_primary = |line: &str| matches!(line, "primary" | "primary: true" | "primary: 1");
    let moment = Duration::from_millis(50);
    let primary = loop {
        if let Some(place) =
            counters.iter_mut().position(|counter| counter.line(moment, is_primary).is_some())
        {
            break place;
        }
        if Instant::now() > end {
            bail!("no counter says that it is primary");
        }
    };
    counters[primary].say("5")?;
    counters[primary].say("7")?;
    for counter in &mut counters {
        // `decree 3: 12`, or `3: 12 (asked here)`.
        let is_sum =
            |line: &str| line.split_once(": ").is_some_and(|(_, sum)| sum.split(' ').next() == Some("12"));
        ensure!(counter.line(PATIENCE, is_sum).is_some(), "{}: does not come to 12", counter.name);
    }
    counters.into_iter().try_for_each(Sample::end)
}
