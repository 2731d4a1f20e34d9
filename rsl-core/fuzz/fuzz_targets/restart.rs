//! Any bytes as the log of a replica that restarts, with a checkpoint or without: either the start fails, or it leads to a state that an append, a
//! power failure and another restart keep. No panic.

#![no_main]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rsl_core::format::{CheckpointHeader, Record};
use rsl_core::storage::{
    CheckpointReader, Directory, MemDisk, RestoreSettings, RestoreTarget, Restored, Retention, SaveAnswer,
    restore,
};
use rsl_core::types::{Ballot, Configuration, Decree, ProtocolVersion};
use rsl_core::wire::{Header, Vote, VoteContent};
use rsl_core_fuzz::with_message_checksums;

const DATA: &str = "/data";

fuzz_target!(|data: &[u8]| {
    let Some((&mode, log)) = data.split_first() else { return };
    let log = if mode % 2 == 1 { with_message_checksums(log) } else { log.to_vec() };
    let disk = MemDisk::with_directory(Path::new(DATA));
    disk.put(&Path::new(DATA).join(if mode & 2 == 0 { "0.log" } else { "2.log" }), &log);
    if mode & 4 != 0 {
        put_checkpoint(&disk, mode & 8 == 0);
    }
    restarted(&disk);
});

/// A checkpoint after decree 1, as the one of the worked examples' two members; damaged ones are passed over.
fn put_checkpoint(disk: &MemDisk, sound: bool) {
    let member = "1".parse().expect("an id");
    let ballot = Ballot::new(1, member);
    let header = Header::new(ProtocolVersion::V3, member, Decree(2), 1, ballot);
    let header = CheckpointHeader {
        version: ProtocolVersion::V3,
        member,
        executed: Decree(1),
        promised: ballot,
        configuration: Some(Configuration::empty(1)),
        state_saved: true,
        size: 0,
        block_size: 0,
        next_vote: Vote::new(header, &VoteContent::default()).expect("a vote"),
    };
    let bytes = header.encode().expect("a header");
    disk.put(&Path::new(DATA).join("1.codex"), if sound { &bytes } else { b"damaged" });
}

struct App(Vec<u64>);

impl RestoreTarget for App {
    fn load(&mut self, _: Option<&mut CheckpointReader>) -> bool {
        true
    }

    fn execute(&mut self, vote: &Vote) -> bool {
        self.0.push(vote.decree().0);
        false
    }

    fn reconfigured(&mut self, _: &Configuration) {}

    fn save(&mut self, _: &mut dyn Write) -> SaveAnswer {
        SaveAnswer::Refused
    }
}

fn start(disk: &MemDisk) -> Option<(Restored, Vec<u64>)> {
    let directory = Directory::open(Arc::new(disk.clone()), Path::new(DATA)).expect("nobody else uses it");
    let settings = RestoreSettings {
        member: "1".parse().expect("an id"),
        version: ProtocolVersion::V6,
        initial_members: Some(Arc::default()),
        retention: Retention::default(),
        refuse_damaged_tail: false,
    };
    let mut app = App(Vec::new());
    let restored = restore(&directory, &settings, &mut app).ok()?;
    Some((restored, app.0))
}

fn restarted(disk: &MemDisk) {
    let Some((mut first, executed)) = start(disk) else { return };
    assert!(executed.windows(2).all(|pair| pair[0] + 1 == pair[1]), "decrees are executed in order");
    let accepted = first.recovered.accepted.clone();
    let promised = first.recovered.promised;
    assert!(promised >= accepted.ballot());
    if accepted.ballot() == Ballot::EMPTY || accepted.decree().next() == accepted.decree() {
        return;
    }
    let header =
        Header { version: ProtocolVersion::V6, decree: accepted.decree().next(), ..*accepted.header() };
    let next = Vote::new(header, &VoteContent::default()).expect("a vote");
    first.log.append(&Record::Vote(next.clone()), None).expect("a record");
    first.log.flush().expect("a disk");
    drop(first);
    let left = disk.after_power_failure(|_, _| 0);
    let (second, _) = start(&left).expect("what started once starts again");
    assert_eq!(second.recovered.accepted, next);
    assert_eq!(second.recovered.executed, accepted.decree());
    assert!(second.recovered.promised >= promised);
}
