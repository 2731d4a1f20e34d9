//! Captured conversations of legacy clusters, replayed into the engine and into the legacy model: each takes the place
//! of one recorded replica, gets what that replica received, and has to say what it said.
//!
//! Without golden data every test counts as ignored.

mod admissible;
mod capture;
mod compare;
mod explained;
mod replay;
mod rig;
mod search;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rsl_core::engine::{Consensus, Engine};
use rsl_core::legacy_model::LegacyModel;

use capture::Capture;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    match compat_tests::golden::dir() {
        Some(golden) => trials.extend(conversations(&golden.join("captures"))),
        None => trials.push(
            Trial::test("conversations", || Err("there is no golden data".into())).with_ignored_flag(true),
        ),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial for each recorded replica and each core, and one that there are any.
fn conversations(captures: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for run in capture::runs(captures) {
        let name = run.strip_prefix(captures).unwrap_or(&run).display().to_string();
        for id in capture::replicas(&run) {
            let (path, member) = (run.clone(), id.clone());
            trials.push(Trial::test(format!("model/{name}/{id}"), move || {
                agrees::<LegacyModel>("model", &path, &member)
            }));
            let path = run.clone();
            trials.push(Trial::test(format!("engine/{name}/{id}"), move || {
                agrees::<Engine>("engine", &path, &id)
            }));
        }
    }
    let count = trials.len();
    trials.push(Trial::test("there_are_conversations", move || {
        if count < 6 { Err(format!("{count} conversations found").into()) } else { Ok(()) }
    }));
    trials
}

fn agrees<C: Consensus>(core: &str, run: &Path, id: &str) -> Result<(), Failed> {
    let capture = Capture::read(run)?;
    let outcome = replay::replay::<C>(&capture, id, core == "engine")?;
    if std::env::var_os("REPLAY_COUNTS").is_some() {
        let replay::Outcome { matched, surplus, attempts, ended, .. } = &outcome;
        let run = run.display();
        eprintln!("{core} {run} {id}: {matched} matched, {surplus} surplus, {attempts} orders, {ended:?}");
    }
    match outcome.deviation {
        Some(deviation) => Err(format!(
            "{} messages agree, then (best of {} orders):\n{deviation}",
            outcome.matched, outcome.attempts
        )
        .into()),
        None if outcome.matched == 0 => Err("nothing was compared".into()),
        // The timers here do not run like those of the record: there may be a round or two more.
        None if outcome.surplus >= 2 * capture.members.nodes.len() => {
            Err(format!("{} messages of its own are not in the record", outcome.surplus).into())
        }
        None => Ok(()),
    }
}
