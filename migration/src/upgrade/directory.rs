//! A working directory between two processes: whether it is sound and what the next host will make of it.

use std::path::Path;

use migration::inspect::dir::WorkingDir;
use migration::inspect::legacy::Outcome;
use migration::inspect::restart::{Members, Restart};
use migration::inspect::survey::survey;

use super::ledger::Votes;
use super::plan::Side;

/// What its process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It ended in good order.
    Stopped,
    /// It was killed, or is not known to have ended well.
    Killed,
    /// It runs.
    Running,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Killed => "killed",
            State::Running => "running",
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// What its process was doing.
    pub(super) state: State,
    /// The replica's id.
    pub(super) replica: String,
    /// Who wrote it last, and who is next.
    pub(super) from: Side,
    pub(super) to: Side,
    /// The decree that a restart executes through.
    pub(super) executed: u64,
    /// Number of the highest ballot promised.
    pub(super) promised: u64,
    /// Why the next host would not start.
    pub(super) refused: Option<String>,
    /// What must not be, whoever is next.
    pub(super) problems: Vec<String>,
}

/// Examines the directory of a replica, and what its votes say was decided. Unless the process ended in good order the last
/// record may be incomplete: then only what a restart makes of it counts.
pub(super) fn examine(
    path: &Path,
    replica: &str,
    from: Side,
    to: Side,
    state: State,
) -> Result<(Directory, Votes), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut votes = Votes::default();
    let (_, damage) = survey(path, &mut votes).map_err(failed)?;
    let restart = Restart::of(&WorkingDir::open(path).map_err(failed)?, &Members::Assumed).map_err(failed)?;
    let mut problems = if state == State::Stopped { damage.lines } else { Vec::new() };
    let (executed, promised, checkpoint) = match &restart.ours.outcome {
        Ok(start) => {
            let checkpoint = start.checkpoint.map_or(0, |checkpoint| checkpoint.decree.0);
            (start.executed.0, u64::from(start.promised.id), checkpoint)
        }
        Err(_) => (0, 0, 0),
    };
    votes.keep_decided(checkpoint, executed);
    let ours = restart.ours.outcome.as_ref().err().map(ToString::to_string);
    let legacy = (restart.legacy.outcome != Outcome::Started)
        .then(|| format!("{}: {}", restart.legacy.outcome.name(), restart.legacy.notes.join("; ")));
    let refused = match to {
        Side::New => ours,
        Side::Old => {
            problems.extend(ours.map(|why| format!("our library would not start: {why}")));
            legacy
        }
    };
    let replica = replica.to_owned();
    Ok((Directory { state, replica, from, to, executed, promised, refused, problems }, votes))
}
