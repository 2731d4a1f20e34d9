//! A working directory between two processes: whether it is sound and what the next host will make of it.

use std::path::Path;

use migration::inspect::dir::WorkingDir;
use migration::inspect::legacy::Outcome;
use migration::inspect::restart::{Members, Restart};
use migration::inspect::survey::{ShowNothing, survey};

use super::plan::Side;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Directory {
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

/// Examines the directory of a replica that is down. After a kill the last record may be incomplete: then only what a
/// restart makes of it counts.
pub(super) fn examine(
    path: &Path,
    replica: &str,
    from: Side,
    to: Side,
    killed: bool,
) -> Result<Directory, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let (_, damage) = survey(path, &mut ShowNothing).map_err(failed)?;
    let restart = Restart::of(&WorkingDir::open(path).map_err(failed)?, &Members::Assumed).map_err(failed)?;
    let mut problems = if killed { Vec::new() } else { damage.lines };
    let (executed, promised) = match &restart.ours.outcome {
        Ok(start) => (start.executed.0, u64::from(start.promised.id)),
        Err(_) => (0, 0),
    };
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
    Ok(Directory { replica: replica.to_owned(), from, to, executed, promised, refused, problems })
}
