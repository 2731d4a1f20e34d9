//! What the logs of all replicas say was decided: once a decree is decided, every directory must say the same for ever.

use std::collections::BTreeMap;

use migration::inspect::checkpoint::CheckpointView;
use migration::inspect::log::{Body, Entry, Found};
use migration::inspect::survey::Show;
use rsl_core::types::{Decree, MemberSet};
use rsl_core::wire::{Checksum, Message, Vote};

/// The last vote of each decree in one directory.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<u64, u64>);

impl Votes {
    /// Leaves only the decrees that a restart executes, for which the directory says that they were decided.
    pub(super) fn keep_decided(&mut self, behind: u64, through: u64) {
        self.0.retain(|decree, _| (behind + 1..=through).contains(decree));
    }

    #[cfg(test)]
    pub(super) fn of(votes: &[(u64, u64)]) -> Votes {
        Votes(votes.iter().copied().collect())
    }
}

impl Show for Votes {
    fn log(&mut self, _: &str, _: u64) -> std::io::Result<()> {
        Ok(())
    }
    fn entry(&mut self, entry: &Entry) -> std::io::Result<()> {
        if let Found::Record(record) = &entry.found
            && let Body::Message(Message::Vote(vote)) = &record.body
        {
            let Decree(decree) = vote.decree();
            self.0.insert(decree, value(vote));
        }
        Ok(())
    }
    fn log_end(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &str, _: &CheckpointView) -> std::io::Result<()> {
        Ok(())
    }
    fn defunct(&mut self, _: &str, _: &[u8], _: u32) -> std::io::Result<()> {
        Ok(())
    }
    fn temp(&mut self, _: &str, _: &[String]) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is decided by a vote, whatever its ballot and version: requests, or members.
fn value(vote: &Vote) -> u64 {
    let mut sum = Checksum::new();
    if let Some(set) = vote.reconfiguration() {
        members(&mut sum, set);
    }
    for request in vote.requests() {
        sum.update(&(request.len() as u64).to_le_bytes());
        sum.update(&request);
    }
    sum.value()
}

fn members(sum: &mut Checksum, set: &MemberSet) {
    for node in &set.nodes {
        sum.update(node.id.to_string().as_bytes());
        sum.update(&node.ip.octets());
        sum.update(&node.rsl_port.to_le_bytes());
    }
    sum.update(&set.cookie);
}

/// What was found decided so far, in all directories.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    decided: BTreeMap<u64, (u64, String)>,
    /// Through which decree each replica, by place, has executed when it was looked at last.
    reached: BTreeMap<usize, u64>,
}

impl Ledger {
    /// How many decrees are known as decided.
    pub(super) fn len(&self) -> usize {
        self.decided.len()
    }

    /// The files of a replica were taken away or damaged on purpose: they may say less than before.
    pub(super) fn forget(&mut self, place: usize) {
        self.reached.remove(&place);
    }

    /// Compares a directory with all that was seen before; gives what it contradicts.
    pub(super) fn add(&mut self, place: usize, who: &str, votes: Votes, executed: u64) -> Vec<String> {
        let mut problems = Vec::new();
        let before = self.reached.insert(place, executed).unwrap_or_default();
        if executed < before {
            problems
                .push(format!("it is decided through decree {executed}, and was through {before} before"));
        }
        for (decree, value) in votes.0 {
            let (known, other) = self.decided.entry(decree).or_insert_with(|| (value, who.to_owned()));
            if *known != value {
                problems.push(format!("decree {decree} was decided otherwise in the directory of {other}"));
                break;
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [PROTO-10] A decree that was decided says the same in every directory, before and after a swap.
    #[test]
    fn a_decided_decree_never_changes() {
        let mut ledger = Ledger::default();
        assert!(ledger.add(0, "101", Votes::of(&[(2, 7), (3, 8)]), 3).is_empty());
        assert!(ledger.add(1, "102", Votes::of(&[(3, 8), (4, 9)]), 4).is_empty());
        let changed = ledger.add(0, "101", Votes::of(&[(3, 8), (4, 1)]), 4);
        assert!(
            changed.len() == 1 && changed[0].contains("decree 4") && changed[0].contains("102"),
            "{changed:?}"
        );
        let shorter = ledger.add(1, "102", Votes::of(&[(3, 8)]), 3);
        assert!(shorter.len() == 1 && shorter[0].contains("through 4 before"), "{shorter:?}");
        ledger.forget(1);
        assert!(ledger.add(1, "102", Votes::default(), 0).is_empty());
        assert_eq!(ledger.len(), 3);
    }

    #[test]
    fn only_what_a_restart_executes_counts_as_decided() {
        let mut votes = Votes::of(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
        votes.keep_decided(1, 3);
        assert_eq!(votes.0.into_keys().collect::<Vec<_>>(), [2, 3]);
    }
}
