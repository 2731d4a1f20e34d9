//! What a demo prints at its end.

use std::path::Path;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

/// The state of a replica outside the set.
pub(crate) const INACTIVE: &str = "PaxosInactive";

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was played, if it was not the plain demo, and how long its steps took.
    pub(crate) scenario: Option<String>,
    pub(crate) steps: Vec<(String, Duration)>,
    pub(crate) version: u16,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) acknowledged: u64,
    pub(crate) executed: u64,
    pub(crate) failovers: Vec<Duration>,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) seconds: f64,
    /// Everything that must not be.
    pub(crate) problems: Vec<String>,
}

/// One replica at the end.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) id: String,
    /// The protocol version in force.
    pub(crate) version: u16,
    pub(crate) state: String,
    pub(crate) primary: bool,
    pub(crate) seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) hash: u64,
    pub(crate) count: u64,
    pub(crate) checkpointed: u64,
    /// Syncs of the log since the process started, if the host counts them.
    pub(crate) syncs: Option<u64>,
}

impl Replica {
    /// Reads the answer to `status`.
    pub(crate) fn read(status: &Value) -> Result<Self, String> {
        let wrong = |field: &str| format!("bad {field} in status {status}");
        let number = |field: &str| status[field].as_u64().ok_or_else(|| wrong(field));
        let hash = status["hash"].as_str().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Ok(Self {
            id: status["id"].as_str().ok_or_else(|| wrong("id"))?.to_owned(),
            version: u16::try_from(number("version")?).map_err(|_| wrong("version"))?,
            state: status["state"].as_str().ok_or_else(|| wrong("state"))?.to_owned(),
            primary: status["isPrimary"] == true,
            seq: number("seq")?,
            last_seq: number("lastSeq")?,
            hash: hash.ok_or_else(|| wrong("hash"))?,
            count: number("count")?,
            checkpointed: number("checkpointedDecree")?,
            syncs: None,
        })
    }
}

impl Outcome {
    /// Whether everything is as it must be.
    pub(crate) fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// The whole result as one JSON object.
    pub(crate) fn json(&self) -> Value {
        let milliseconds = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let failovers: Vec<u64> = self.failovers.iter().map(milliseconds).collect();
        let replicas: Vec<Value> = self
            .replicas
            .iter()
            .map(|replica| {
                json!({
                    "id": replica.id,
                    "role": replica.state,
                    "seq": replica.seq,
                    "hash": format!("{:016x}", replica.hash),
                    "count": replica.count,
                    "checkpointedDecree": replica.checkpointed,
                    "syncs": replica.syncs,
                })
            })
            .collect();
        let mut result = json!({
            "ok": self.ok(),
            "protocol": self.version,
            "replicas": replicas,
            "acknowledged": self.acknowledged,
            "executed": self.executed,
            "kills": self.failovers.len(),
            "failover_ms": failovers.iter().max(),
            "failovers_ms": failovers,
            "checkpoint": self.checkpoint,
            "secs": (self.seconds * 1000.0).round() / 1000.0,
            "problems": self.problems,
        });
        if let Some(scenario) = &self.scenario {
            let steps = self.steps.iter().map(|(name, took)| json!({"step": name, "ms": milliseconds(took)}));
            result["scenario"] = scenario.as_str().into();
            result["steps"] = steps.collect();
        }
        result
    }

    /// The result for people.
    pub(crate) fn text(&self, kept: Option<&Path>) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header(["replica", "role", "decree", "requests", "state hash", "checkpoint", "syncs"]);
        for replica in &self.replicas {
            table.add_row([
                replica.id.clone(),
                replica.state.clone(),
                replica.seq.to_string(),
                replica.count.to_string(),
                format!("{:016x}", replica.hash),
                replica.checkpointed.to_string(),
                replica.syncs.map_or_else(|| "-".to_owned(), |syncs| syncs.to_string()),
            ]);
        }
        let mut text = format!("{table}\n");
        text += &format!(
            "protocol {}: {} requests acknowledged, {} executed, in {:.1} s\n",
            self.version, self.acknowledged, self.executed, self.seconds
        );
        for (step, took) in &self.steps {
            text += &format!("{step}: {} ms\n", took.as_millis());
        }
        for (number, failover) in (1..).zip(&self.failovers) {
            text += &format!("kill {number}: served again after {} ms\n", failover.as_millis());
        }
        for problem in &self.problems {
            text += &format!("PROBLEM: {problem}\n");
        }
        if let Some(dir) = kept {
            text += &format!("files kept in {}\n", dir.display());
        }
        text += if self.ok() {
            "ok: all replicas agree, every acknowledged request was executed exactly once\n"
        } else {
            "FAILED\n"
        };
        text
    }
}
