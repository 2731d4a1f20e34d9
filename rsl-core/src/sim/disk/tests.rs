//! The simulated disk: what survives, what dies, what is damaged.

use super::*;
use crate::format::Record;
use crate::types::{Ballot, Decree, MemberId, ProtocolVersion};
use crate::wire::{Header, Vote, VoteContent};

fn disk_with(synced: &[u8], unsynced: &[u8]) -> SimDisk {
    let root = Path::new("d");
    let disk = SimDisk::with_directory(root);
    let file = disk.open(&root.join("f"), OpenMode::Create).unwrap();
    file.write_at(0, synced).unwrap();
    file.sync().unwrap();
    disk.sync_dir(root).unwrap();
    file.write_at(synced.len() as u64, unsynced).unwrap();
    disk
}

fn content(disk: &SimDisk) -> Vec<u8> {
    crate::storage::read_file(disk, Path::new("d/f"), 1000).unwrap()
}

/// [STOR-19] What was synced survives every power failure, the rest as a prefix; every prefix occurs; the death of a
/// process loses nothing.
#[test]
fn power_failures_keep_a_prefix() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk_with(b"synced", b"tail");
        disk.crash(Crash::Kill, &mut Dice::new(seed, 0));
        assert_eq!(content(&disk), b"syncedtail");
        disk.crash(Crash::Power, &mut Dice::new(seed, 0));
        let content = content(&disk);
        assert!(b"syncedtail".starts_with(&content) && content.starts_with(b"synced"), "{content:?}");
        seen.insert(content.len());
    }
    assert_eq!(seen, (6..=10).collect());
}

/// Damage is done to what is stored only, it can be read, and it is put right again; holes are behind what was synced.
#[test]
fn damage_is_seen_and_repaired() {
    let root = Path::new("d");
    let header = Header::new(ProtocolVersion::V4, MemberId::from_number(1), Decree(0), 1, Ballot::EMPTY);
    let votes: Vec<u8> = (0..4)
        .flat_map(|decree| {
            let ballot = Ballot::new(1, MemberId::from_number(1));
            let header = Header { decree: Decree(decree), ballot, ..header };
            let vote = Vote::new(header, &VoteContent::default()).unwrap();
            let mut bytes = Vec::new();
            Record::Vote(vote).append_to(&mut bytes).unwrap();
            bytes
        })
        .collect();
    let disk = SimDisk::with_directory(root);
    let file = disk.open(&root.join("0.log"), OpenMode::Create).unwrap();
    file.write_at(0, &votes).unwrap();
    let mut dice = Dice::new(1, 0);
    assert_eq!(disk.harm(Harm::Flip, &mut dice), None, "nothing is stored yet");
    file.sync().unwrap();
    disk.sync_dir(root).unwrap();
    let read = || crate::storage::read_file(&disk, Path::new("d/0.log"), 1 << 20).unwrap();
    for harm in [Harm::Flip, Harm::Zero, Harm::Misdirected] {
        while disk.harm(harm, &mut dice).is_none() {}
        assert!(disk.is_wounded());
        let damaged = read();
        assert_eq!(damaged.len(), votes.len());
        assert_ne!(damaged[..], votes[..], "{harm:?}");
        let last = votes.len() / 4 * 3;
        assert_eq!(damaged[last..], votes[last..], "the last record stays");
        disk.repair();
        assert_eq!(read()[..], votes[..]);
        assert!(!disk.is_wounded());
    }
    let mut torn = 0;
    for seed in 0..50 {
        file_of(&disk).write_at(votes.len() as u64, &[7; 5 * 512]).unwrap();
        disk.allow_holes(true);
        disk.crash(Crash::Power, &mut Dice::new(seed, 0));
        assert_eq!(read()[..votes.len()], votes[..]);
        torn += u64::from(disk.is_wounded());
        disk.repair();
        disk.crash(Crash::Kill, &mut dice);
        file_of(&disk).set_len(votes.len() as u64).unwrap();
        file_of(&disk).sync().unwrap();
    }
    assert!(torn > 5, "{torn}");
}

fn file_of(disk: &SimDisk) -> Arc<dyn DiskFile> {
    disk.open(Path::new("d/0.log"), OpenMode::Write).unwrap()
}

/// Names that were not synced may be gone; handles of the dead process do nothing any more; the lock is free.
#[test]
fn names_and_handles_die() {
    let (mut gone, mut kept) = (0, 0);
    for seed in 0..100 {
        let disk = disk_with(b"", b"");
        let root = Path::new("d");
        let file = disk.open(Path::new("d/f"), OpenMode::Write).unwrap();
        let lock = disk.lock(root).unwrap();
        disk.rename(Path::new("d/f"), Path::new("d/g")).unwrap();
        disk.crash(Crash::Power, &mut Dice::new(seed, 0));
        assert!(file.write_at(0, b"late").is_err());
        let _second = disk.lock(root).unwrap();
        drop(lock);
        assert!(disk.lock(root).is_err());
        match disk.open(Path::new("d/g"), OpenMode::Read) {
            Ok(_) => kept += 1,
            Err(_) => gone += 1,
        }
    }
    assert!(gone > 10 && kept > 10, "{gone} {kept}");
}

/// An armed disk goes off in the middle of a row of calls, and comes back with the crash.
#[test]
fn the_power_goes_off_at_a_call() {
    let disk = disk_with(b"a", b"");
    let file = disk.open(Path::new("d/f"), OpenMode::Write).unwrap();
    disk.arm(1);
    file.write_at(1, b"b").unwrap();
    assert!(file.sync().is_err());
    assert!(disk.is_off() && disk.list(Path::new("d")).is_err());
    disk.crash(Crash::Power, &mut Dice::new(1, 0));
    assert!(!disk.is_off() && disk.list(Path::new("d")).is_ok());
}
