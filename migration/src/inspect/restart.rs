//! What a restart makes of a working directory.

use std::fmt;
use std::io;

use serde_json::{Value, json};

use super::dir::WorkingDir;
use super::json::{Fields, ballot};
use super::legacy::{self, LegacyRestart, Members, Outcome};

/// The restart of a working directory.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Of a legacy replica.
    pub legacy: LegacyRestart,
    /// The highest defunct configuration number.
    pub defunct: u32,
}

impl Restart {
    /// Restarts on `dir` without writing there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(dir: &WorkingDir, members: Members) -> io::Result<Restart> {
        Ok(Restart { legacy: legacy::restart(dir, members)?, defunct: dir.defunct_number() })
    }

    /// Whether our replica would start.
    #[must_use]
    pub fn succeeds(&self) -> bool {
        self.legacy.outcome == Outcome::Started
    }

    /// In the names of the host contract's `status`.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut fields = Fields::new();
        fields.insert("defunct".into(), self.defunct.into());
        fields.insert("legacy".into(), self.legacy.outcome.name().into());
        fields.insert("legacyNotes".into(), json!(self.legacy.notes));
        fields.insert("legacyState".into(), legacy_state(&self.legacy));
        fields.into()
    }
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

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &self.legacy.state;
        writeln!(f, "  legacy replica   {}", self.legacy.outcome.name())?;
        if self.legacy.outcome == Outcome::Started {
            let checkpoint = state.checkpoint.map_or("none".into(), |decree| format!("{decree}.codex"));
            writeln!(f, "    checkpoint     {checkpoint}")?;
            writeln!(f, "    executed       {}", state.executed)?;
            writeln!(f, "    accepted       {}", state.accepted)?;
            writeln!(f, "    promised       {}", state.promised)?;
        }
        for note in &self.legacy.notes {
            writeln!(f, "    {note}")?;
        }
        Ok(())
    }
}
