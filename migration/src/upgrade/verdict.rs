//! The judge: one history on all replicas, computed again from the requests that were submitted.

use std::fs;

use migration::exec_log::{self, History};
use migration::oracle::{Oracle, PAD, SAVE};

use super::checks::{Check, Findings};
use super::fleet::Fleet;
use crate::client::Load;
use crate::demo::report::Replica;

/// What the logs say.
pub(super) struct Judgement {
    /// How many requests of the load were executed.
    pub(super) executed: u64,
    /// How many requests were executed in all.
    pub(super) history: u64,
    /// Everything that must not be.
    pub(super) problems: Findings,
}

/// Judges the exec logs of all replicas, and what the members report about their state at the end.
pub(super) fn judge(fleet: &Fleet<'_>, load: &Load, members: &[(usize, Replica)]) -> Judgement {
    let mut problems = Findings::default();
    let mut history = History::default();
    for host in fleet.cluster.hosts() {
        let path = host.settings().exec_log();
        let rows = fs::read_to_string(&path).map_err(|error| error.to_string());
        match rows.and_then(|rows| exec_log::parse(&rows)) {
            Ok(rows) => problems.add(Check::History, history.add(host.id(), &rows).err()),
            Err(why) => problems.add(Check::History, [format!("{}: {why}", path.display())]),
        }
    }
    let (executed, contradictions) = load.check(&history);
    problems.add(Check::Acknowledged, contradictions);
    problems.add(Check::Requests, recompute(&history, load));
    problems.add(Check::History, members.iter().filter_map(|(_, replica)| claim(&history, replica)));
    Judgement { executed, history: history.len() as u64, problems }
}

/// Executes the history again: the first row whose hash does not follow from the requests before it.
fn recompute(history: &History, load: &Load) -> Option<String> {
    let mut oracle = Oracle::default();
    let (save, pad) = (hex::encode(SAVE), hex::encode(PAD));
    for row in history.rows() {
        let request = if row.head == save || row.head.starts_with(&pad) {
            // A command of the plan: it is not longer than what the log shows of it.
            hex::decode(&row.head).ok()
        } else {
            load.find(&row.head)
        };
        let Some(request) = request else {
            return Some(format!("decree {}: request {} was submitted by nobody", row.seq, row.head));
        };
        oracle.execute(row.seq, &request);
        if (oracle.hash, request.len() as u64) != (row.hash, row.length) {
            return Some(format!(
                "decree {} request {}: the logs say hash {:016x}, the requests give {:016x}",
                row.seq, row.index, row.hash, oracle.hash
            ));
        }
    }
    None
}

/// What a replica says about itself against what the logs say.
fn claim(history: &History, replica: &Replica) -> Option<String> {
    let expected = history.last().map_or_else(|| Oracle::default().hash, |row| row.hash);
    let same = (replica.hash, replica.count) == (expected, history.len() as u64);
    (!same).then(|| {
        format!(
            "replica {} reports {} requests and hash {:016x}, the logs say {} and {expected:016x}",
            replica.id,
            replica.count,
            replica.hash,
            history.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use migration::exec_log::Row;

    use super::*;

    /// The history of a batch of three requests, and the books about it.
    fn executed() -> (Load, Vec<Row>) {
        let mut load = Load::new(5, 40);
        let command = load.next_command(3);
        load.acknowledge(3).unwrap();
        let mut oracle = Oracle::default();
        let rows = (2..).zip(command.split(' ').skip(1)).map(|(seq, text)| {
            oracle.execute(seq, &hex::decode(text).unwrap());
            Row { seq, index: 0, length: 40, hash: oracle.hash, cookie: false, head: text[..32].to_owned() }
        });
        let rows = rows.collect();
        (load, rows)
    }

    fn history(rows: &[Row]) -> History {
        let mut history = History::default();
        history.add("a", rows).unwrap();
        history
    }

    #[test]
    fn a_true_history_is_computed_again() {
        let (load, rows) = executed();
        assert_eq!(recompute(&history(&rows), &load), None);
    }

    #[test]
    fn hosts_that_lie_alike_are_found_out() {
        let (load, rows) = executed();
        let found = |rows: &[Row]| recompute(&history(rows), &load).unwrap_or_default();
        let mut wrong = rows.clone();
        wrong[1].hash ^= 1;
        assert!(found(&wrong).contains("decree 3"));
        let mut short = rows.clone();
        short[2].length = 39;
        assert!(found(&short).contains("decree 4"));
        assert!(found(&[rows[0].clone(), rows[2].clone()]).contains("decree 4"), "one is missing");
        let mut foreign = rows;
        foreign[0].head = "ff".repeat(16);
        assert!(found(&foreign).contains("submitted by nobody"));
    }

    #[test]
    fn a_replica_has_to_report_what_was_executed() {
        let (_, rows) = executed();
        let history = history(&rows);
        let mut replica = Replica {
            id: "101".to_owned(),
            version: 4,
            state: "StablePrimary".to_owned(),
            primary: true,
            seq: 4,
            last_seq: 4,
            hash: rows[2].hash,
            count: 3,
            checkpointed: 0,
            syncs: None,
        };
        assert_eq!(claim(&history, &replica), None);
        replica.count = 2;
        assert!(claim(&history, &replica).is_some());
    }
}
