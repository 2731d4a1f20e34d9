//! `rsl check-upgrade`: whether this library can take over the directory of a legacy replica, and whether there is a way
//! back. Reads only.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use rsl_core::format::{LOCK_FILE, OWNER_FILE, PROMISE_FILE};
use rsl_core::storage::{Note, PlannedStart};
use rsl_core::types::{Ballot, ProtocolVersion};
use serde_json::json;

use crate::inspect::checkpoint::CheckpointView;
use crate::inspect::dir::WorkingDir;
use crate::inspect::legacy::{LegacyRestart, Outcome};
use crate::inspect::log::{Entry, Found};
use crate::inspect::restart::{Members, Restart};
use crate::inspect::survey::{Show, survey};

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;
/// Batches of a legacy primary grow to this length whatever the message limit is [HARD-559].
const LEGACY_BATCH: u64 = 10 * MIB;
/// What a PrepareAccepted adds to the vote it carries, packet header included, at most.
const ENVELOPE: u64 = ProtocolVersion::V6.base_size() as u64 + 16;

/// Check whether this library can take over a legacy replica's working directory, and whether the way back is open.
///
/// Reads only; stop the process first. Exit code 0: it can, and nothing is dangerous; 1: it cannot, or something is, one
/// line for each; 2: the directory cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The working directory.
    dir: PathBuf,
    /// The message limit of the replicas in MiB (m_maxMessageSizeMB), the smallest if they differ.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=4095))]
    max_message_size_mb: u64,
    /// No member set comes with the start: it has to be in the files.
    #[arg(long)]
    no_members: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    /// Where our replica would start; nothing when it would not.
    start: Option<Start>,
    /// What a legacy replica would do with the directory as it is: `started`, `init_failed` or `process_exits`.
    legacy: String,
    /// What happens to the files when our replica starts.
    changes: Vec<String>,
    /// Why a legacy replica could not go on where ours stops; empty: the way back is open.
    no_way_back: Vec<String>,
    /// What must be looked at before the upgrade.
    dangers: Vec<String>,
    /// What is good to know.
    notes: Vec<String>,
    /// The highest protocol version in the files.
    version: u16,
}

/// Where a replica starts.
#[derive(Debug)]
struct Start {
    executed: u64,
    accepted: u64,
    promised: Ballot,
    checkpoint: Option<u64>,
    configuration: u32,
}

impl Args {
    /// Checks. The exit code says whether the directory can be taken over.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let result = self.check().and_then(|report| {
            let mut out = io::stdout().lock();
            if self.json {
                writeln!(out, "{}", report.json())?
            } else {
                report.write(&mut out)?
            }
            Ok(report.ok())
        });
        match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("rsl check-upgrade: {}: {error}", self.dir.display());
                ExitCode::from(2)
            }
        }
    }

    fn check(&self) -> io::Result<Report> {
        if !self.dir.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a directory"));
        }
        let mut seen = Seen::default();
        let (_, damage) = survey(&self.dir, &mut seen)?;
        let dir = WorkingDir::open(&self.dir)?;
        let members = if self.no_members { Members::NotPassed } else { Members::Assumed };
        let restart = Restart::of(&dir, &members)?;
        let mut report = Report {
            legacy: restart.legacy.outcome.name().to_owned(),
            version: seen.version,
            notes: damage.lines,
            ..Report::default()
        };
        match &restart.ours.outcome {
            Ok(start) => {
                report.notes.extend(ends_at_checkpoint(start));
                report.start = Some(Start::of(start));
                report.changes = changes(&dir, start);
                report.no_way_back = way_back(&restart.legacy, start, &dir);
            }
            Err(error) => report.dangers.push(format!("this library does not start: {error}")),
        }
        for note in &restart.ours.notes {
            let text = match note.clause() {
                Some(clause) => format!("{note} [{clause}]"),
                None => note.to_string(),
            };
            // What was acknowledged may be lost in these; the others lose nothing.
            if matches!(
                note,
                Note::DamagedTail { .. } | Note::HistoryEnds { .. } | Note::RecordsBeyondTorn { .. }
            ) {
                report.dangers.push(text);
            } else {
                report.notes.push(text);
            }
        }
        report.dangers.extend(message_limit(self.max_message_size_mb, seen.largest_vote));
        if dir.logs.is_empty() && dir.checkpoints.is_empty() {
            report.dangers.push("the directory holds no log and no checkpoint".to_owned());
        }
        Ok(report)
    }
}

impl Start {
    fn of(start: &PlannedStart) -> Start {
        Start {
            executed: start.executed.0,
            accepted: start.accepted.decree().0,
            promised: start.promised,
            checkpoint: start.checkpoint.map(|checkpoint| checkpoint.decree.0),
            configuration: start.voting_configuration.number,
        }
    }
}

/// What happens to the files when our replica starts on them.
fn changes(dir: &WorkingDir, start: &PlannedStart) -> Vec<String> {
    let mut changes =
        vec![format!("{LOCK_FILE} and {OWNER_FILE} are written; a legacy replica does not look at them")];
    if let Some(names) = dir.temp.as_ref().filter(|names| !names.is_empty()) {
        changes
            .push(format!("{} unfinished files in Temp are deleted, as a legacy replica does", names.len()));
    }
    if let Some(decree) = start.new_log {
        changes.push(format!("{decree}.log is started"));
    }
    for log in &start.logs {
        let path = dir.log(log.name.0);
        let size = path.metadata().map_or(0, |found| found.len());
        if size > log.len {
            changes.push(format!(
                "{}.log: {} bytes behind its last whole record are cut off",
                log.name,
                size - log.len
            ));
        }
    }
    changes
}

/// Why a legacy replica could not go on from here. Ours writes the same formats, so what holds for the directory now
/// holds when it comes back, as long as the protocol version stays.
fn way_back(legacy: &LegacyRestart, start: &PlannedStart, dir: &WorkingDir) -> Vec<String> {
    let mut reasons = Vec::new();
    if legacy.outcome != Outcome::Started {
        let why = legacy.notes.join("; ");
        reasons.push(format!("a legacy replica does not start here now ({}): {why}", legacy.outcome.name()));
        return reasons;
    }
    let (accepted, theirs) = (start.accepted.decree().0, legacy.state.accepted.decree.0);
    if theirs != accepted {
        reasons
            .push(format!("a legacy replica finds votes through decree {theirs}, this library {accepted}"));
    }
    if legacy.state.promised != start.promised {
        reasons.push(format!(
            "a legacy replica finds the promise {}, this library {}",
            legacy.state.promised, start.promised
        ));
    }
    if dir.others.iter().any(|name| name == PROMISE_FILE) {
        reasons.push(format!("{PROMISE_FILE} holds a promise that a legacy replica does not read"));
    }
    reasons
}

/// A checkpoint that was just copied has nothing behind it; neither has one whose logs were lost.
fn ends_at_checkpoint(start: &PlannedStart) -> Option<String> {
    let checkpoint = start.checkpoint.as_ref()?.decree.0;
    (checkpoint > 0 && start.accepted.decree().0 <= checkpoint + 1).then(|| {
        format!(
            "no log goes on behind checkpoint {checkpoint}: right after a copy; otherwise what was accepted since is forgotten"
        )
    })
}

/// What the message limit makes dangerous [HARD-558] [HARD-559].
fn message_limit(limit_mib: u64, largest_vote: u64) -> Vec<String> {
    let limit = limit_mib * MIB;
    let mut dangers = Vec::new();
    if largest_vote + ENVELOPE > limit {
        dangers.push(format!(
            "the log holds a vote of {largest_vote} bytes, more than the message limit of {limit_mib} MiB lets through: no \
             replica can become primary with it; set m_maxMessageSizeMB to at least {} on every replica, legacy ones too \
             [HARD-558]",
            (largest_vote + ENVELOPE).div_ceil(MIB)
        ));
    }
    if limit < LEGACY_BATCH + ENVELOPE {
        dangers.push(format!(
            "with a message limit of {limit_mib} MiB a legacy primary can batch small requests into a vote that no replica \
             takes; set m_maxMessageSizeMB to at least {} on every replica while one is legacy [HARD-559]",
            (LEGACY_BATCH + ENVELOPE).div_ceil(MIB)
        ));
    }
    dangers
}

impl Report {
    fn ok(&self) -> bool {
        self.start.is_some() && self.dangers.is_empty()
    }

    fn json(&self) -> serde_json::Value {
        let start = self.start.as_ref().map(|start| {
            json!({
                "executed": start.executed,
                "maxAcceptedDecree": start.accepted,
                "maxBallot": [start.promised.id, start.promised.member.to_string()],
                "checkpointedDecree": start.checkpoint,
                "configNumber": start.configuration,
            })
        });
        json!({
            "ok": self.ok(),
            "takeOver": self.start.is_some(),
            "start": start,
            "legacy": self.legacy,
            "wayBack": self.start.is_some() && self.no_way_back.is_empty(),
            "noWayBack": self.no_way_back,
            "changes": self.changes,
            "dangers": self.dangers,
            "notes": self.notes,
            "version": self.version,
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.start {
            Some(start) => {
                writeln!(out, "take over    yes")?;
                writeln!(out, "  executed   through decree {}", start.executed)?;
                writeln!(out, "  accepted   through decree {}", start.accepted)?;
                writeln!(out, "  promised   ballot {}", start.promised)?;
                match start.checkpoint {
                    Some(decree) => writeln!(out, "  checkpoint {decree}.codex")?,
                    None => writeln!(out, "  checkpoint none")?,
                }
                writeln!(out, "  configuration {}", start.configuration)?;
            }
            None => writeln!(out, "take over    no")?,
        }
        writeln!(out, "legacy now   {}", self.legacy.replace('_', " "))?;
        let open = self.start.is_some() && self.no_way_back.is_empty();
        if open {
            writeln!(
                out,
                "way back     open, as long as the version in force is one that the old program knows (now {})",
                self.version
            )?;
        } else {
            writeln!(out, "way back     closed")?;
        }
        for (title, lines) in [
            ("no way back", &self.no_way_back),
            ("on disk", &self.changes),
            ("note", &self.notes),
            ("DANGER", &self.dangers),
        ] {
            for line in lines {
                writeln!(out, "{title:<12} {line}")?;
            }
        }
        Ok(())
    }
}

/// What a pass over the files notices.
#[derive(Debug, Default)]
struct Seen {
    largest_vote: u64,
    version: u16,
}

impl Show for Seen {
    fn log(&mut self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if let Found::Record(record) = &entry.found {
            self.largest_vote = self.largest_vote.max(record.raw.length.into());
            self.version = self.version.max(record.raw.header.version.number());
        }
        Ok(())
    }
    fn log_end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &str, view: &CheckpointView) -> io::Result<()> {
        if let Some(checkpoint) = &view.checkpoint {
            self.version = self.version.max(checkpoint.version.number());
        }
        Ok(())
    }
    fn defunct(&mut self, _: &str, _: &[u8], _: u32) -> io::Result<()> {
        Ok(())
    }
    fn temp(&mut self, _: &str, _: &[String]) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [HARD-558] [HARD-559] What a message limit makes dangerous is said before the upgrade.
    #[test]
    fn a_limit_below_a_vote_or_a_legacy_batch_is_dangerous() {
        assert!(message_limit(100, 5000).is_empty());
        assert!(message_limit(11, LEGACY_BATCH).is_empty());
        let small = message_limit(10, 5000);
        assert!(small.len() == 1 && small[0].contains("at least 11") && small[0].contains("HARD-559"));
        let vote = message_limit(20, 20 * MIB);
        assert!(vote.len() == 1 && vote[0].contains("at least 21") && vote[0].contains("HARD-558"));
        assert!(message_limit(20, 20 * MIB - ENVELOPE).is_empty(), "it fits exactly");
        assert_eq!(message_limit(1, 3 * MIB).len(), 2);
    }
}
