//! What a rehearsal prints: a table for people, one JSON object for programs.

use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use migration::host::Traffic;
use serde_json::{Value, json};

use super::checks::{Check, Findings, Verdict};
use super::course::Played;
use super::directory::{Directory, State};
use super::fleet::Move;
use super::plan::Side;
use super::sampler::{Sample, without_primary};
use crate::client::Batch;
use crate::demo::report::Replica;

/// A replica at the end.
pub(super) struct AtEnd {
    pub(super) side: Side,
    pub(super) replica: Replica,
}

/// Everything about a rehearsal.
pub(super) struct Rehearsal {
    pub(super) name: String,
    pub(super) title: String,
    /// The commands of the two hosts.
    pub(super) old: String,
    pub(super) new: String,
    pub(super) version: u16,
    /// When it began, in UTC.
    pub(super) date: String,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) steps: Vec<Played>,
    pub(super) members: Vec<AtEnd>,
    /// Ids of all replicas, by place.
    pub(super) ids: Vec<String>,
    pub(super) samples: Vec<Vec<Sample>>,
    pub(super) moves: Vec<Move>,
    pub(super) answered: Vec<Batch>,
    pub(super) acknowledged: u64,
    pub(super) executed: u64,
    pub(super) directories: Vec<Directory>,
    /// How many decrees the logs of all replicas were compared in.
    pub(super) decided: usize,
    /// What the proxies did, where there were any.
    pub(super) network: Option<Traffic>,
    /// Requests in the history of all replicas.
    pub(super) history: u64,
    pub(super) problems: Findings,
}

/// The price of a step.
pub(super) struct Price {
    /// No replica was seen as serving primary.
    pub(super) without_primary: Duration,
    /// The longest time without an acknowledged request.
    pub(super) longest_gap: Duration,
    pub(super) acknowledged: u64,
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

impl Rehearsal {
    /// Whether everything is as it must be.
    pub(super) fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// What a check looked at, and how it ended.
    pub(super) fn verdict(&self, check: Check) -> (u64, Verdict) {
        let running = self.directories.iter().filter(|found| found.state == State::Running).count();
        let looked_at = match check {
            Check::Course => self.steps.len() as u64,
            Check::History | Check::Requests => self.history,
            Check::Acknowledged => self.acknowledged,
            Check::Decided => self.decided as u64,
            Check::Directories => self.directories.len() as u64,
            Check::Promises => running as u64,
        };
        (looked_at, Verdict::of(looked_at, self.problems.of(check).next().is_some()))
    }

    /// What a step cost.
    pub(super) fn price(&self, step: &Played) -> Price {
        let within: Vec<Batch> = self
            .answered
            .iter()
            .filter(|batch| (step.began..=step.ended).contains(&batch.at))
            .copied()
            .collect();
        let mut before = step.began;
        let mut longest_gap = Duration::ZERO;
        for at in within.iter().map(|batch| batch.at).chain([step.ended]) {
            longest_gap = longest_gap.max(at.saturating_duration_since(before));
            before = at;
        }
        Price {
            without_primary: without_primary(&self.samples, step.began, step.ended),
            longest_gap,
            acknowledged: within.iter().map(|batch| batch.executed).sum(),
        }
    }

    /// The whole result as one JSON object.
    pub(super) fn json(&self) -> Value {
        let steps = self.steps.iter().map(|step| {
            let price = self.price(step);
            json!({
                "step": step.name,
                "ok": step.failed.is_none(),
                "error": step.failed,
                "swap": step.swap,
                "ms": milliseconds(step.ended - step.began),
                "without_primary_ms": milliseconds(price.without_primary),
                "longest_gap_ms": milliseconds(price.longest_gap),
                "acknowledged": price.acknowledged,
            })
        });
        let replicas = self.members.iter().map(|AtEnd { side, replica }| {
            json!({
                "id": replica.id,
                "host": side.to_string(),
                "version": replica.version,
                "role": replica.state,
                "seq": replica.seq,
                "hash": format!("{:016x}", replica.hash),
                "count": replica.count,
                "checkpointedDecree": replica.checkpointed,
            })
        });
        let directories = self.directories.iter().map(|found| {
            json!({
                "replica": found.replica,
                "state": found.state.name(),
                "from": found.from.to_string(),
                "to": found.to.to_string(),
                "executed": found.executed,
                "ballot": found.promised,
                "ok": found.refused.is_none() && found.problems.is_empty(),
            })
        });
        let checks = Check::ALL.into_iter().map(|check| {
            let (looked_at, verdict) = self.verdict(check);
            json!({
                "check": check.name(),
                "ok": verdict != Verdict::Failed,
                "looked_at": looked_at,
                "problems": self.problems.of(check).collect::<Value>(),
            })
        });
        let network = self.network.map(|done| {
            json!({
                "delivered": done.delivered,
                "held": done.held,
                "delayed": done.delayed,
                "duplicated": done.duplicated,
            })
        });
        json!({
            "ok": self.ok(),
            "plan": self.name,
            "date": self.date,
            "title": self.title,
            "protocol": self.version,
            "old": self.old,
            "new": self.new,
            "steps": steps.collect::<Value>(),
            "replicas": replicas.collect::<Value>(),
            "directories": directories.collect::<Value>(),
            "decrees_compared_on_disk": self.decided,
            "network": network,
            "acknowledged": self.acknowledged,
            "executed": self.executed,
            "without_primary_ms": milliseconds(without_primary(&self.samples, self.began, self.ended)),
            "secs": (self.ended - self.began).as_secs_f64(),
            "checks": checks.collect::<Value>(),
            "problems": self.problems.lines().collect::<Value>(),
        })
    }

    /// The result for people.
    pub(super) fn text(&self, kept: Option<&Path>) -> String {
        let mut text = format!("{}: {}\nold: {}\nnew: {}\n", self.name, self.title, self.old, self.new);
        let mut steps = Table::new();
        steps.load_preset(presets::UTF8_FULL_CONDENSED);
        steps.set_header(["step", "took", "without primary", "longest gap", "requests", ""]);
        for step in &self.steps {
            let price = self.price(step);
            steps.add_row([
                step.name.clone(),
                seconds(step.ended - step.began),
                seconds(price.without_primary),
                seconds(price.longest_gap),
                price.acknowledged.to_string(),
                if step.failed.is_some() { "FAILED" } else { "ok" }.to_owned(),
            ]);
        }
        let mut replicas = Table::new();
        replicas.load_preset(presets::UTF8_FULL_CONDENSED);
        replicas.set_header([
            "replica",
            "host",
            "version",
            "role",
            "decree",
            "requests",
            "state hash",
            "checkpoint",
        ]);
        for AtEnd { side, replica } in &self.members {
            replicas.add_row([
                replica.id.clone(),
                side.to_string(),
                replica.version.to_string(),
                replica.state.clone(),
                replica.seq.to_string(),
                replica.count.to_string(),
                format!("{:016x}", replica.hash),
                replica.checkpointed.to_string(),
            ]);
        }
        text += &format!("{steps}\n{replicas}\n");
        text += &format!(
            "{} requests acknowledged, {} executed, in {:.1} s\n",
            self.acknowledged,
            self.executed,
            (self.ended - self.began).as_secs_f64()
        );
        if let Some(done) = &self.network {
            text += &format!(
                "links: {} packets delivered, {} of them held back by a cut, {} delayed; {} delivered twice\n",
                done.delivered, done.held, done.delayed, done.duplicated
            );
        }
        let mut checks = Table::new();
        checks.load_preset(presets::UTF8_FULL_CONDENSED);
        checks.set_header(["check", "looked at", ""]);
        for check in Check::ALL {
            let (looked_at, verdict) = self.verdict(check);
            checks.add_row([
                check.text().to_owned(),
                format!("{looked_at} {}", check.unit()),
                verdict.word().to_owned(),
            ]);
        }
        text += &format!("{checks}\n");
        for problem in Check::ALL.into_iter().flat_map(|check| self.problems.shown(check)) {
            text += &format!("PROBLEM: {problem}\n");
        }
        if let Some(dir) = kept {
            text += &format!("files kept in {}\n", dir.display());
        }
        text += if self.ok() { "ok\n" } else { "FAILED\n" };
        text
    }
}
