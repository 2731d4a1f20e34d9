//! `rsl conformance`: runs the whole host contract against a host program.
//!
//! Each case starts hosts of its own in an empty directory and checks one part of the contract: options and exit
//! codes (`startup.rs`), control commands (`commands.rs`), state, checkpoints and logs (`state.rs`), sets of three
//! (`sets.rs`).

mod checks;
mod commands;
mod lab;
mod sets;
mod startup;
mod state;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use migration::host::Template;
use parking_lot::Mutex;
use serde_json::json;

use checks::Failure;
use lab::Lab;

/// Check that a program follows the replica host contract.
///
/// Starts the host many times on loopback, one to three at a time, and checks options, exit codes, control commands,
/// logs and checkpoints. A command that the host answers with {"error":"not supported yet"} counts as skipped. Exit
/// code 0 when nothing failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to start the host: a program and arguments with {id} {dir} {version} {members} {self} {control} {events}
    /// {execlog}. Without it: `rsl replica` of this binary.
    #[arg(long, value_name = "COMMAND")]
    host: Option<String>,
    /// Check `rsl legacy-model` of this binary.
    #[arg(long, conflicts_with = "host")]
    legacy_model: bool,
    /// The protocol version to run with.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=6))]
    protocol: u16,
    /// Run only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Cases to run at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Print one JSON object: {"ok", "passed", "failed", "skipped", "cases": [...]}.
    #[arg(long)]
    json: bool,
}

/// A named part of the contract.
pub(crate) struct Case {
    name: &'static str,
    run: fn(&Lab) -> Result<(), Failure>,
}

/// How a case ended.
struct Ended {
    name: &'static str,
    result: Result<(), Failure>,
    took: Duration,
}

impl Args {
    /// Runs the cases and reports.
    pub(crate) fn run(self) -> ExitCode {
        let template = match &self.host {
            Some(text) => Template::parse(text).map_err(|error| error.to_string()),
            None => std::env::current_exe()
                .map(|exe| {
                    if self.legacy_model {
                        Template::rsl_legacy_model(&exe)
                    } else {
                        Template::rsl_replica(&exe)
                    }
                })
                .map_err(|error| format!("cannot find this program: {error}")),
        };
        let template = match template {
            Ok(template) => template,
            Err(error) => {
                eprintln!("rsl conformance: {error}");
                return ExitCode::from(2);
            }
        };
        let all = [startup::CASES, commands::CASES, state::CASES, sets::CASES].concat();
        let wanted = |case: &&Case| self.only.as_ref().is_none_or(|text| case.name.contains(text.as_str()));
        let cases: Vec<&Case> = all.iter().copied().filter(wanted).collect();
        if cases.is_empty() {
            eprintln!("rsl conformance: no case has such a name");
            return ExitCode::from(2);
        }
        let mut ended = self.run_cases(&cases, &template);
        ended.sort_by_key(|end| cases.iter().position(|case| case.name == end.name));
        report(&ended, self.json)
    }

    fn run_cases(&self, cases: &[&Case], template: &Template) -> Vec<Ended> {
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(Vec::with_capacity(cases.len()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let start = Instant::now();
                        let result = run_case(case, template, self.protocol);
                        if !self.json {
                            println!("{:<7} {}", verdict(&result), case.name);
                        }
                        ended.lock().push(Ended { name: case.name, result, took: start.elapsed() });
                    }
                });
            }
        });
        ended.into_inner()
    }
}

fn run_case(case: &Case, template: &Template, version: u16) -> Result<(), Failure> {
    let dir = tempfile::Builder::new().prefix("rsl-conformance-").tempdir();
    let dir = dir.map_err(|error| Failure::broken(format!("no temporary directory: {error}")))?;
    let result = (case.run)(&Lab::new(template.clone(), version, dir.path()));
    if matches!(result, Err(Failure::Broken(_))) {
        // What the hosts printed and logged helps to find out why.
        let kept = dir.keep();
        return result.map_err(|failure| failure.with(&format!("files kept in {}", Path::display(&kept))));
    }
    result
}

fn verdict(result: &Result<(), Failure>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Failure::Broken(_)) => "FAILED",
        Err(Failure::Unsupported(_)) => "skipped",
    }
}

fn report(ended: &[Ended], as_json: bool) -> ExitCode {
    let count = |which: &str| ended.iter().filter(|end| verdict(&end.result) == which).count();
    let (passed, failed, skipped) = (count("ok"), count("FAILED"), count("skipped"));
    // A host that supports nothing conforms to nothing.
    let ok = failed == 0 && passed > 0;
    if as_json {
        let cases: Vec<_> = ended
            .iter()
            .map(|end| {
                json!({
                    "name": end.name,
                    "result": verdict(&end.result),
                    "why": end.result.as_ref().err().map(ToString::to_string),
                    "secs": (end.took.as_secs_f64() * 1000.0).round() / 1000.0,
                })
            })
            .collect();
        println!(
            "{}",
            json!({ "ok": ok, "passed": passed, "failed": failed, "skipped": skipped, "cases": cases })
        );
    } else {
        for end in ended {
            if let Err(why) = &end.result {
                println!("{} {}: {why}", verdict(&end.result), end.name);
            }
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
