//! Random damage to a working directory: nothing panics, the plan is what the restart does, and no record that is still
//! whole is forgotten without a word.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use compat_tests::damage::Files;
use compat_tests::host_state::restart;
use compat_tests::synthetic::{self, members};
use migration::inspect::restart::Members;
use migration::inspect::{inspect_json, inspect_text};
use proptest::prelude::*;
use rsl_core::format::Record;
use rsl_core::storage::{Note, Restored};
use rsl_core::types::{Ballot, Decree, MemberId, Position, ProtocolVersion};
use rsl_core::wire::{Header, Prepare, Vote, VoteContent};

/// One change to the files. Places are fractions, so that any change fits any directory.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        file: usize,
        at: f64,
        mask: u8,
    },
    /// In the first bytes of a page, where the fields of headers are.
    FlipHeader {
        file: usize,
        page: f64,
        at: usize,
        mask: u8,
    },
    Cut {
        file: usize,
        at: f64,
    },
    Extend {
        file: usize,
        byte: u8,
        count: usize,
    },
    ZeroPage {
        file: usize,
        page: f64,
    },
    CopyPage {
        file: usize,
        from: f64,
        to: f64,
    },
    Remove {
        file: usize,
    },
    Rename {
        file: usize,
        to: usize,
    },
}

const NAMES: [&str; 6] = ["0.log", "6.log", "13.log", "5.codex", "12.codex", "x.log"];

fn damage() -> impl Strategy<Value = Damage> {
    let (file, at, mask) = (0..8_usize, 0.0..1.0_f64, 1..=255_u8);
    prop_oneof![
        3 => (file.clone(), at.clone(), mask.clone()).prop_map(|(file, at, mask)| Damage::Flip { file, at, mask }),
        3 => (file.clone(), at.clone(), 0..64_usize, mask)
            .prop_map(|(file, page, at, mask)| Damage::FlipHeader { file, page, at, mask }),
        2 => (file.clone(), at.clone()).prop_map(|(file, at)| Damage::Cut { file, at }),
        1 => (file.clone(), any::<u8>(), 1..1500_usize)
            .prop_map(|(file, byte, count)| Damage::Extend { file, byte, count }),
        1 => (file.clone(), at.clone()).prop_map(|(file, page)| Damage::ZeroPage { file, page }),
        1 => (file.clone(), at.clone(), at).prop_map(|(file, from, to)| Damage::CopyPage { file, from, to }),
        1 => file.clone().prop_map(|file| Damage::Remove { file }),
        1 => (file, 0..NAMES.len()).prop_map(|(file, to)| Damage::Rename { file, to }),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction of a small length"
)]
fn part(of: usize, fraction: f64) -> usize {
    ((of as f64 * fraction) as usize).min(of.saturating_sub(1))
}

impl Damage {
    fn apply(&self, files: &mut Files) {
        let (Damage::Flip { file, .. }
        | Damage::FlipHeader { file, .. }
        | Damage::Cut { file, .. }
        | Damage::Extend { file, .. }
        | Damage::ZeroPage { file, .. }
        | Damage::CopyPage { file, .. }
        | Damage::Remove { file }
        | Damage::Rename { file, .. }) = *self;
        let Some(name) = files.0.keys().nth(file % files.0.len().max(1)).cloned() else { return };
        let bytes = files.0.get_mut(&name).unwrap();
        let pages = bytes.len() / 512;
        match *self {
            Damage::Flip { at, mask, .. } if !bytes.is_empty() => {
                let at = part(bytes.len(), at);
                bytes[at] ^= mask;
            }
            Damage::FlipHeader { page, at, mask, .. } if pages > 0 => {
                bytes[part(pages, page) * 512 + at] ^= mask
            }
            Damage::Cut { at, .. } => bytes.truncate(part(bytes.len(), at)),
            Damage::Extend { byte, count, .. } => bytes.extend(std::iter::repeat_n(byte, count)),
            Damage::ZeroPage { page, .. } if pages > 0 => {
                let at = part(pages, page) * 512;
                bytes[at..at + 512].fill(0);
            }
            Damage::CopyPage { from, to, .. } if pages > 0 => {
                let (from, to) = (part(pages, from) * 512, part(pages, to) * 512);
                bytes.copy_within(from..from + 512, to);
            }
            Damage::Remove { .. } => {
                files.0.remove(&name);
            }
            Damage::Rename { to, .. } => {
                let bytes = files.0.remove(&name).unwrap();
                files.0.insert(NAMES[to].into(), bytes);
            }
            Damage::Flip { .. }
            | Damage::FlipHeader { .. }
            | Damage::ZeroPage { .. }
            | Damage::CopyPage { .. } => {}
        }
    }
}

fn ballot(id: u32) -> Ballot {
    Ballot::new(id, MemberId::from_number(102))
}

/// A small directory: logs 0, 6 and 13, checkpoints 5 and 12, a change of ballots in each log; with every record, by
/// log and offset.
fn base(version: ProtocolVersion) -> (Files, BTreeMap<(String, usize), Record>) {
    let mut files = synthetic::small(version, &[5, 12]);
    let mut records = BTreeMap::new();
    let mut id = 2;
    let header = |decree: u64, id: u32| {
        Header::new(version, MemberId::from_number(102), Decree(decree), 1, ballot(id))
    };
    let vote = |decree: u64, id: u32| {
        let length = usize::try_from(decree * 97 % 1300).unwrap();
        let requests = if length == 0 { vec![] } else { vec![Bytes::from(vec![7; length])] };
        Record::Vote(
            Vote::new(header(decree, id), &VoteContent { requests, ..VoteContent::default() }).unwrap(),
        )
    };
    for (name, decrees) in [("0.log", 0..=5_u64), ("6.log", 6..=12), ("13.log", 13..=20)] {
        let mut bytes = Vec::new();
        let mut add = |record: Record| {
            records.insert((name.to_owned(), bytes.len()), record.clone());
            bytes.extend(synthetic::padded(&record));
        };
        for decree in decrees {
            add(vote(decree, id));
            if decree % 7 == 2 {
                id += 1;
                add(Record::Prepare(Prepare { header: header(decree, id), cookie: Bytes::new() }));
                add(vote(decree, id));
            }
        }
        files.0.insert(name.into(), bytes);
    }
    (files, records)
}

/// Nothing that is whole, and that this start has read, is forgotten silently.
fn check_nothing_is_lost(
    files: &Files,
    records: &BTreeMap<(String, usize), Record>,
    restored: &Restored,
) -> Result<(), TestCaseError> {
    let recovered = &restored.recovered;
    let first = recovered.logs.first().map_or(u64::MAX, |log| log.name.0);
    for ((name, offset), record) in records {
        let number: u64 = name.trim_end_matches(".log").parse().unwrap();
        let encoded = synthetic::padded(record);
        let whole = files.0.get(name).and_then(|bytes| bytes.get(*offset..*offset + encoded.len()));
        if number < first || whole != Some(&encoded[..]) {
            continue;
        }
        let position = record.position();
        prop_assert!(recovered.promised >= position.ballot, "{name} at {offset}: {position} is forgotten");
        if matches!(record, Record::Vote(_)) && position.decree > recovered.accepted.decree() {
            let covers = |relearn: &Position| relearn.decree >= position.decree;
            prop_assert!(
                recovered.relearn.as_ref().is_some_and(covers),
                "{name} at {offset}: {position} is lost"
            );
            prop_assert!(restored.notes.iter().any(|note| note.clause().is_some()), "without a word");
        }
    }
    Ok(())
}

fn inspected(path: &Path) -> serde_json::Value {
    inspect_text(path, &Members::Assumed, std::io::sink()).unwrap();
    let (_, out) = inspect_json(path, &Members::Assumed, Vec::new()).unwrap();
    serde_json::from_slice(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// [HARD-32] [HARD-33] [HARD-34] [HARD-35] [HARD-36] [HARD-37] [HARD-38] [HARD-54] [HARD-374] [HARD-375]
    #[test]
    fn no_damage_panics_or_loses_a_whole_record(
        version in 0..6_usize,
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let version = ProtocolVersion::ALL[version];
        let (mut files, records) = base(version);
        for damage in &damages {
            damage.apply(&mut files);
        }
        let dir = tempfile::tempdir().unwrap();
        files.write(dir.path()).unwrap();
        let planned = inspected(dir.path())["restart"].take();
        match restart(dir.path(), MemberId::from_number(101), version, &members()) {
            Err(error) => prop_assert_eq!(&planned["outcome"], "failed", "{:#}", error),
            Ok((_, restored)) => {
                prop_assert_eq!(&planned["outcome"], "started", "{}", planned["error"]);
                let accepted = restored.recovered.accepted.position();
                // A log of version 1 or 2 that is called a checkpoint is one, of an application that we do not know.
                let refused = |note: &Note| matches!(note, Note::CheckpointSkipped { .. }) && note.to_string().contains("application");
                if !restored.notes.iter().any(refused) {
                    prop_assert_eq!(&planned["maxAcceptedDecree"], accepted.decree.0);
                    // Only the replica itself knows of a checkpoint, here a log under another name, that it was copied.
                    let renamed = damages.iter().any(|damage| matches!(damage, Damage::Rename { .. }));
                    let (ballot, promised) = (planned["maxBallot"][0].as_u64(), restored.recovered.promised.id);
                    prop_assert!(
                        ballot == Some(promised.into()) || renamed && ballot < Some(promised.into()),
                        "planned {:?}, promised {}", ballot, promised
                    );
                }
                check_nothing_is_lost(&files, &records, &restored)?;
                let (executed, relearn) = (restored.recovered.executed, restored.recovered.relearn);
                drop(restored);
                // What the first start settled, the second finds.
                let (_, again) = restart(dir.path(), MemberId::from_number(101), version, &members())
                    .map_err(|error| TestCaseError::fail(format!("second start: {error:#}")))?;
                prop_assert_eq!(again.recovered.accepted.position(), accepted);
                prop_assert_eq!(again.recovered.executed, executed);
                prop_assert_eq!(again.recovered.relearn, relearn);
            }
        }
    }
}
