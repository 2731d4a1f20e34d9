//! What a restart makes of a working directory: with this library, and with a legacy replica.

use std::fmt;
use std::io;
use std::sync::Arc;

use rsl_core::storage::{
    CheckpointReader, Disk, Note, OsDisk, Plan, PlannedStart, RestoreError, RestoreSettings, Retention, plan,
};
use rsl_core::types::{Ballot, Configuration, MemberId, MemberSet, Position, ProtocolVersion};
use serde_json::{Value, json};

use super::app::Payload;
use super::dir::WorkingDir;
use super::json::{Fields, ballot, member_set};
use super::legacy::{self, LegacyRestart, Outcome};

/// What the caller of a start tells the replica about its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Something, we do not know what: it is not needed to tell how a restart ends.
    Assumed,
    /// These.
    Given(Arc<MemberSet>),
    /// Nothing: they have to be in the files.
    NotPassed,
}

impl Members {
    /// Whether a member set comes with the start.
    #[must_use]
    pub const fn are_passed(&self) -> bool {
        !matches!(self, Members::NotPassed)
    }
}

/// The restart of a working directory.
#[derive(Debug)]
pub struct Restart {
    /// What ours would do.
    pub ours: Plan,
    /// What a legacy replica would do.
    pub legacy: LegacyRestart,
}

impl Restart {
    /// Restarts on `dir` without writing there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(dir: &WorkingDir, members: &Members) -> io::Result<Restart> {
        let initial_members = match members {
            Members::Assumed => Some(Arc::default()),
            Members::Given(members) => Some(Arc::clone(members)),
            Members::NotPassed => None,
        };
        let settings = RestoreSettings {
            // Only what a new configuration starts with depends on these two, and whether promises in logs older than a
            // copied checkpoint count: here they do not.
            member: MemberId::EMPTY,
            version: ProtocolVersion::V6,
            initial_members,
            retention: Retention::default(),
            refuse_damaged_tail: false,
        };
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let host = legacy::is_host_directory(dir)?;
        let ours = plan(&disk, &dir.path, &settings, &mut |state| is_usable(state, host))?;
        Ok(Restart { ours, legacy: legacy::restart(dir, members.are_passed())? })
    }

    /// Whether our replica would start.
    #[must_use]
    pub const fn succeeds(&self) -> bool {
        self.ours.outcome.is_ok()
    }

    /// The hardening clauses that shape this restart: each asks for something that legacy does not do.
    #[must_use]
    pub fn clauses(&self) -> Vec<&'static str> {
        let failure = self.ours.outcome.as_ref().err().and_then(|error| error.reason.clause());
        let mut clauses: Vec<_> = self.ours.notes.iter().filter_map(Note::clause).chain(failure).collect();
        clauses.sort_unstable();
        clauses.dedup();
        clauses
    }

    /// In the names of the host contract's `status`.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut fields = Fields::new();
        match &self.ours.outcome {
            Ok(start) => insert_start(&mut fields, start),
            Err(error) => insert_error(&mut fields, error),
        }
        fields.insert("defunct".into(), self.ours.defunct.into());
        fields.insert("notes".into(), self.ours.notes.iter().map(describe).collect());
        fields.insert("clauses".into(), json!(self.clauses()));
        fields.insert("legacy".into(), self.legacy.outcome.name().into());
        fields.insert("legacyNotes".into(), json!(self.legacy.notes));
        fields.insert("legacyState".into(), legacy_state(&self.legacy));
        fields.into()
    }
}

/// Whether the application loads a state: the reference host's judgement is known, another one reads to the end.
fn is_usable(state: &mut CheckpointReader, host: bool) -> bool {
    let length = state.len();
    let accepted = match Payload::read_data(&mut *state, length) {
        Ok(Payload::Host(_)) => true,
        Ok(Payload::DamagedHost(_) | Payload::Foreign) => !host,
        Err(_) => false,
    };
    accepted && state.verify_rest().is_ok()
}

fn insert_start(fields: &mut Fields, start: &PlannedStart) {
    fields.insert("outcome".into(), "started".into());
    fields.insert("checkpoint".into(), start.checkpoint.map(|checkpoint| checkpoint.decree.0).into());
    fields.insert("seq".into(), start.executed.0.into());
    fields.insert("maxAcceptedDecree".into(), start.accepted.decree().0.into());
    fields.insert("maxAcceptedBallot".into(), ballot(start.accepted.ballot()));
    fields.insert("maxBallot".into(), ballot(start.promised));
    let checkpointed = start.checkpoint.map_or(0, |checkpoint| checkpoint.decree.0);
    fields.insert("checkpointedDecree".into(), checkpointed.into());
    fields.insert("configNumber".into(), start.voting_configuration.number.into());
    fields.insert("stateConfigNumber".into(), start.state_configuration.number.into());
    fields.insert("configuration".into(), configuration(&start.voting_configuration));
    let logs: Vec<Value> = start
        .logs
        .iter()
        .map(|log| {
            let (min, max) = log.votes.map_or((0, 0), |(min, max)| (min.0, max.0));
            json!({ "name": log.name.0, "min": min, "max": max, "len": log.len })
        })
        .collect();
    fields.insert("logs".into(), logs.into());
    fields.insert("newLog".into(), start.new_log.map(|decree| decree.0).into());
    if let Some(Position { decree, ballot: wanted }) = start.relearn {
        fields.insert("relearn".into(), json!([decree.0, ballot(wanted)]));
    }
}

fn insert_error(fields: &mut Fields, error: &RestoreError) {
    fields.insert("outcome".into(), "failed".into());
    fields.insert("error".into(), error.to_string().into());
}

fn configuration(configuration: &Configuration) -> Value {
    json!({
        "number": configuration.number,
        "initialDecree": configuration.initial_decree.0,
        "memberSet": member_set(&configuration.members, ProtocolVersion::V6),
    })
}

fn describe(note: &Note) -> Value {
    json!({ "note": note.to_string(), "clause": note.clause() })
}

/// What a legacy replica would report as its status; null when it does not start.
fn legacy_state(restart: &LegacyRestart) -> Value {
    if restart.outcome != Outcome::Started {
        return Value::Null;
    }
    let state = &restart.state;
    let logs: Vec<Value> =
        state.logs.iter().map(|log| json!({ "min": log.min, "max": log.max, "len": log.len })).collect();
    json!({
        "seq": state.executed,
        "maxAcceptedDecree": state.accepted.decree.0,
        "maxAcceptedBallot": ballot(state.accepted.ballot),
        "maxBallot": ballot(state.promised),
        "checkpointedDecree": state.checkpoint.unwrap_or(0),
        "configNumber": state.configuration,
        "logs": logs,
    })
}

/// A ballot as people read it.
fn shown(ballot: Ballot) -> String {
    if ballot == Ballot::EMPTY { "none".into() } else { ballot.to_string() }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pair = |name: &str, value: String| writeln!(f, "  {name:<16} {value}");
        let none = || "none".to_owned();
        match &self.ours.outcome {
            Ok(start) => {
                pair("this library", "starts".into())?;
                let checkpoint = start.checkpoint;
                pair(
                    "  checkpoint",
                    checkpoint.map_or_else(none, |found| format!("{}.codex", found.decree)),
                )?;
                pair("  executed", format!("through decree {}", start.executed))?;
                let accepted = &start.accepted;
                pair(
                    "  accepted",
                    format!("decree {}, ballot {}", accepted.decree(), shown(accepted.ballot())),
                )?;
                pair("  promised", format!("ballot {}", shown(start.promised)))?;
                let configuration = &start.voting_configuration;
                let members = configuration.members.nodes.len();
                pair("  configuration", format!("{}, {members} members known", configuration.number))?;
                for log in &start.logs {
                    let votes = match log.votes {
                        Some((first, last)) => format!("votes {first} to {last}, {} bytes", log.len),
                        None => "no votes".into(),
                    };
                    pair("  log", format!("{}.log, {votes}", log.name))?;
                }
                if let Some(decree) = start.new_log {
                    pair("  log", format!("{decree}.log is started"))?;
                }
                if let Some(position) = start.relearn {
                    pair("  learns first", format!("everything through {position}"))?;
                }
            }
            Err(error) => pair("this library", format!("does not start: {error}"))?,
        }
        for note in &self.ours.notes {
            pair("  note", note.to_string())?;
        }
        pair("legacy replica", self.legacy.outcome.name().replace('_', " "))?;
        if self.legacy.outcome == Outcome::Started {
            let state = &self.legacy.state;
            let checkpoint = state.checkpoint;
            pair("  checkpoint", checkpoint.map_or_else(none, |decree| format!("{decree}.codex")))?;
            pair("  executed", format!("through decree {}", state.executed))?;
            let accepted = &state.accepted;
            pair("  accepted", format!("decree {}, ballot {}", accepted.decree, shown(accepted.ballot)))?;
            pair("  promised", format!("ballot {}", shown(state.promised)))?;
        }
        for note in &self.legacy.notes {
            pair("  note", note.clone())?;
        }
        let clauses = self.clauses();
        if !clauses.is_empty() {
            pair("differences", clauses.join(", "))?;
        }
        Ok(())
    }
}
