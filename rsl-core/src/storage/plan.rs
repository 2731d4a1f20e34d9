//! What a restart would find and do, without changing anything: for `rsl inspect`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::checkpoint_reader::CheckpointReader;
use super::directory::{Listing, read_defunct, read_promise};
use super::disk::Disk;
use super::outcome::{Note, RestoreError};
use super::replay::Replay;
use super::restore::{RestoreSettings, RestoreTarget, SaveAnswer};
use crate::engine::{CheckpointInfo, LogFileInfo};
use crate::types::{Ballot, Configuration, Decree, Position};
use crate::wire::Vote;

/// What a restart would do with a directory.
#[derive(Debug)]
pub struct Plan {
    /// The state it would start with, or why it would not.
    pub outcome: Result<PlannedStart, RestoreError>,
    /// What it would report.
    pub notes: Vec<Note>,
    /// The highest defunct configuration number.
    pub defunct: u32,
}

/// The state a restart would start with.
#[derive(Clone, Debug)]
pub struct PlannedStart {
    /// The checkpoint it would load.
    pub checkpoint: Option<CheckpointInfo>,
    /// The highest accepted vote.
    pub accepted: Vote,
    /// The highest ballot promised or accepted.
    pub promised: Ballot,
    /// The last executed decree.
    pub executed: Decree,
    /// The configuration of the state.
    pub state_configuration: Configuration,
    /// The configuration that decides the next decrees.
    pub voting_configuration: Configuration,
    /// Decrees that must be learned anew first [HARD-374].
    pub relearn: Option<Position>,
    /// The logs that would be read, with the length that would be kept.
    pub logs: Vec<LogFileInfo>,
    /// A new log of this decree would go on, because the checkpoint is ahead of all logs or there is none.
    pub new_log: Option<Decree>,
}

/// An application that loads what `usable` accepts and executes anything.
struct Judge<'a> {
    usable: &'a mut dyn FnMut(&mut CheckpointReader) -> bool,
}

impl RestoreTarget for Judge<'_> {
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool {
        state.is_none_or(|state| (self.usable)(state))
    }

    fn execute(&mut self, _: &Vote) -> bool {
        false
    }

    fn reconfigured(&mut self, _: &Configuration) {}

    fn save(&mut self, _: &mut dyn Write) -> SaveAnswer {
        SaveAnswer::Refused
    }
}

/// Plays a restart through without writing. `usable` stands for the application's load of a state; one that knows no
/// better reads it to the end: `|state| state.verify_rest().is_ok()`.
///
/// # Errors
/// When the directory or one of its small files cannot be read at all.
pub fn plan(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    settings: &RestoreSettings,
    usable: &mut dyn FnMut(&mut CheckpointReader) -> bool,
) -> io::Result<Plan> {
    let listing = Listing::read(&**disk, directory)?;
    let defunct = read_defunct(&**disk, directory)?;
    let known = read_promise(&**disk, directory)?;
    let mut replay = match Replay::new(disk, directory, &listing, settings, known) {
        Ok(replay) => replay,
        Err(error) => return Ok(Plan { outcome: Err(error), notes: Vec::new(), defunct }),
    };
    let result = replay.run(&mut Judge { usable }, None);
    let notes = std::mem::take(&mut replay.notes);
    let outcome = result.map(|()| {
        let exists = replay.logs.iter().any(|log| log.indexed.name == replay.accepted.decree());
        let creates = replay.logs.is_empty() || (replay.ahead && !exists);
        PlannedStart {
            checkpoint: replay.checkpoint.map(|loaded| loaded.info),
            promised: replay.promised,
            executed: replay.executed,
            state_configuration: replay.state_configuration,
            voting_configuration: replay.voting_configuration,
            relearn: replay.relearn,
            logs: replay.logs.iter().map(|log| log.indexed.info()).collect(),
            new_log: creates.then(|| replay.accepted.decree()),
            accepted: replay.accepted,
        }
    });
    Ok(Plan { outcome, notes, defunct })
}
