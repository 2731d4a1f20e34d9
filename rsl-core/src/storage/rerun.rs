//! Replay mode: a directory's history executed up to a decree, reading only; and the checkpoint made of that state
//! [STOR-66..70] [XFER-51].

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint_writer::{CheckpointWriter, NewCheckpoint, PublishError};
use super::directory::{Directory, DirectoryError, Listing, read_promise};
use super::disk::Disk;
use super::outcome::{Note, RestoreError};
use super::replay::Replay;
use super::restore::{RestoreSettings, RestoreTarget, SaveAnswer};
use super::retention::Retention;
use crate::engine::CheckpointInfo;
use crate::types::{Ballot, Configuration, Decree, MemberId, ProtocolVersion};
use crate::wire::{Header, Vote};

/// The state that a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// The last executed decree. Below the one that was asked for where the logs do not prove more to be chosen.
    pub executed: Decree,
    /// The configuration of the state.
    pub configuration: Configuration,
    /// The version of that state.
    pub version: ProtocolVersion,
    /// The newest vote read: that of the next decree.
    pub next_vote: Vote,
    /// The highest ballot promised or accepted in what was read.
    pub promised: Ballot,
    /// What the operator should know.
    pub notes: Vec<Note>,
}

/// Loads the newest usable checkpoint at or below `max` into `target` and executes what the logs prove to be chosen,
/// up to decree `max`. Takes no lock, and opens files for reading only [STOR-68] [HARD-382].
///
/// # Errors
/// When the files do not allow it.
pub fn rerun(
    disk: &Arc<dyn Disk>,
    path: &Path,
    max: Decree,
    target: &mut dyn RestoreTarget,
) -> Result<Replayed, RestoreError> {
    let failed = |error: io::Error| RestoreError::new(path, error);
    let listing = Listing::read(&**disk, path).map_err(failed)?;
    let known = read_promise(&**disk, path).map_err(failed)?;
    let settings = RestoreSettings {
        member: MemberId::EMPTY,
        version: ProtocolVersion::V1,
        // Configuration 1; whose members it has is not needed to execute.
        initial_members: Some(Arc::default()),
        retention: Retention::default(),
        refuse_damaged_tail: false,
    };
    let mut replay = Replay::new(disk, path, &listing, &settings, known)?.up_to(max);
    replay.run(target, None)?;
    Ok(Replayed {
        executed: replay.executed,
        configuration: replay.state_configuration,
        // A placeholder has the version of what it follows.
        version: replay.state_version.max(replay.accepted.version()),
        next_vote: replay.accepted,
        promised: replay.promised,
        notes: replay.notes,
    })
}

/// Why a replayed state could not be written as a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RerunSaveError {
    /// The output directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The file could not be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The application declined.
    #[error("the application did not save its state")]
    Refused,
}

/// Writes the replayed state of `target` to the directory `into` as the checkpoint of decree `named`: its next vote is the newest
/// vote with that decree, its layout that of the vote's version [STOR-69] [STOR-70] [HARD-43].
///
/// # Errors
/// When it cannot be written; nothing stays under the final name then.
pub fn save_rerun(
    disk: &Arc<dyn Disk>,
    into: &Path,
    replayed: &Replayed,
    named: Decree,
    target: &mut dyn RestoreTarget,
) -> Result<CheckpointInfo, RerunSaveError> {
    let directory = Directory::open(Arc::clone(disk), into)?;
    let vote = &replayed.next_vote;
    let version = replayed.version;
    let header = Header { version, decree: Decree(named.0.wrapping_add(1)), checksum: 0, ..*vote.header() };
    let next_vote = vote.repropose(header, vote.cookie().clone()).map_err(PublishError::from)?;
    let new = NewCheckpoint {
        member: vote.header().member,
        version,
        executed: named,
        next_vote,
        promised: replayed.promised,
        configuration: replayed.configuration.clone(),
        state_saved: true,
    };
    let mut writer = CheckpointWriter::new(&directory, new)?;
    if target.save(&mut writer) != SaveAnswer::Saved {
        return Err(RerunSaveError::Refused);
    }
    let info = writer.finish()?;
    target.saved(&info);
    Ok(info)
}
