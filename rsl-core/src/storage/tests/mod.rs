//! Tests of storage over a disk in memory: a small application, and helpers to make records.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::engine::LogFileInfo;
use crate::format::{FileName, Record};
use crate::types::{Ballot, Configuration, Decree, MemberId, MemberSet, Node, ProtocolVersion};
use crate::wire::{Header, Prepare, PrimaryCookie, Vote, VoteContent};

mod checkpoints;
mod log;
mod offline;
#[cfg(feature = "runtime")]
mod os;
mod promises;
mod rerun;
mod restart;
mod scenarios;

/// The working directory of these tests.
fn root() -> PathBuf {
    PathBuf::from("/data")
}

fn disk() -> MemDisk {
    MemDisk::with_directory(&root())
}

fn open(disk: &MemDisk) -> Directory {
    Directory::open(Arc::new(disk.clone()), &root()).unwrap()
}

fn path(name: &str) -> PathBuf {
    root().join(name)
}

fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

fn ballot(id: u32) -> Ballot {
    Ballot::new(id, member("1"))
}

fn members(count: u16) -> Arc<MemberSet> {
    let node = |number: u16| Node {
        id: member(&number.to_string()),
        ip: std::net::Ipv4Addr::LOCALHOST,
        rsl_port: 20_000 + number,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::from_static(b"host.example"),
    };
    Arc::new(MemberSet { nodes: (1..=count).map(node).collect(), cookie: Bytes::from_static(b"cookie") })
}

fn header(version: ProtocolVersion, decree: u64, ballot: Ballot) -> Header {
    Header::new(version, member("1"), Decree(decree), 1, ballot)
}

/// A vote whose only request names its decree.
fn vote_of(version: ProtocolVersion, decree: u64, id: u32) -> Vote {
    let requests = vec![Bytes::from(format!("request of {decree}"))];
    Vote::new(header(version, decree, ballot(id)), &VoteContent { requests, ..VoteContent::default() })
        .unwrap()
}

fn vote(decree: u64, id: u32) -> Record {
    Record::Vote(vote_of(ProtocolVersion::V4, decree, id))
}

fn big_vote(decree: u64, id: u32, size: usize) -> Record {
    let requests = vec![Bytes::from(vec![0x5A; size])];
    let content = VoteContent { requests, ..VoteContent::default() };
    Record::Vote(Vote::new(header(ProtocolVersion::V4, decree, ballot(id)), &content).unwrap())
}

fn empty_vote(version: ProtocolVersion, decree: u64, ballot: Ballot) -> Vote {
    Vote::new(header(version, decree, ballot), &VoteContent::default()).unwrap()
}

fn reconfiguration(decree: u64, id: u32, members: Arc<MemberSet>) -> Record {
    let content = VoteContent { reconfiguration: Some(members), ..VoteContent::default() };
    Record::Vote(Vote::new(header(ProtocolVersion::V4, decree, ballot(id)), &content).unwrap())
}

fn decision(decree: u64, id: u32) -> Record {
    Record::Decision(header(ProtocolVersion::V4, decree, ballot(id)))
}

fn prepare(decree: u64, id: u32) -> Record {
    let header = header(ProtocolVersion::V4, decree, ballot(id));
    Record::Prepare(Prepare { header, cookie: PrimaryCookie::new() })
}

/// The bytes of a log.
fn log(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.append_to(&mut bytes).unwrap();
    }
    bytes
}

fn settings() -> RestoreSettings {
    RestoreSettings {
        member: member("1"),
        version: ProtocolVersion::V4,
        initial_members: Some(members(3)),
        retention: Retention::default(),
        refuse_damaged_tail: false,
    }
}

/// An application whose state is the list of requests it executed.
#[derive(Debug, Default)]
struct App {
    executed: Vec<u64>,
    state: Vec<u8>,
    /// Sizes of the states it was asked to load; `None` = nothing.
    loads: Vec<Option<u64>>,
    refuse_loads: usize,
    refuse_nothing: bool,
    /// Asks for a checkpoint at this decree.
    save_at: Option<u64>,
    save_answer: Option<SaveAnswer>,
    configurations: Vec<u32>,
}

impl RestoreTarget for App {
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool {
        self.loads.push(state.as_ref().map(|state| state.len()));
        self.state.clear();
        if self.refuse_loads > 0 {
            self.refuse_loads -= 1;
            return false;
        }
        match state {
            Some(state) => state.read_to_end(&mut self.state).is_ok(),
            None => !self.refuse_nothing,
        }
    }

    fn execute(&mut self, vote: &Vote) -> bool {
        self.executed.push(vote.decree().0);
        for request in vote.requests() {
            self.state.extend_from_slice(&request);
        }
        self.save_at == Some(vote.decree().0)
    }

    fn reconfigured(&mut self, configuration: &Configuration) {
        self.configurations.push(configuration.number);
    }

    fn save(&mut self, into: &mut dyn Write) -> SaveAnswer {
        if let Some(answer) = self.save_answer {
            return answer;
        }
        into.write_all(&self.state).map_or(SaveAnswer::Failed, |()| SaveAnswer::Saved)
    }
}

/// Restores and returns what came of it together with the application. The directory is released again.
fn start(disk: &MemDisk) -> (Result<Restored, RestoreError>, App) {
    start_with(disk, &settings(), App::default())
}

fn start_with(
    disk: &MemDisk,
    settings: &RestoreSettings,
    mut app: App,
) -> (Result<Restored, RestoreError>, App) {
    let directory = open(disk);
    let result = restore(&directory, settings, &mut app);
    (result, app)
}

/// Saves a checkpoint with `state` through the writer.
fn checkpoint(disk: &MemDisk, decree: u64, next: Vote, promised: Ballot, state: &[u8]) {
    let new = new_checkpoint(decree, next, promised);
    save(&open(disk), new, state).unwrap();
}

fn save(
    directory: &Directory,
    new: NewCheckpoint,
    state: &[u8],
) -> Result<crate::engine::CheckpointInfo, PublishError> {
    let mut writer = CheckpointWriter::new(directory, new)?;
    writer.write_all(state)?;
    writer.finish()
}

fn new_checkpoint(decree: u64, next_vote: Vote, promised: Ballot) -> NewCheckpoint {
    NewCheckpoint {
        member: member("1"),
        version: next_vote.version(),
        executed: Decree(decree),
        next_vote,
        promised,
        configuration: Configuration { number: 1, initial_decree: Decree(1), members: members(3) },
        state_saved: true,
    }
}

fn names(disk: &MemDisk) -> Vec<String> {
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    disk.paths().iter().map(|path| relative(path)).collect()
}

fn log_name(decree: u64) -> PathBuf {
    path(&FileName::Log(Decree(decree)).to_string())
}

fn votes(range: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    range.map(|decree| vote(decree, 1)).collect()
}

fn put_log(disk: &MemDisk, name: u64, records: &[Record]) {
    disk.put(&log_name(name), &log(records));
}

/// A checkpoint after `decree` whose state is what the requests up to it make.
fn put_checkpoint(disk: &MemDisk, decree: u64) {
    let state: String = (0..=decree).map(|decree| format!("request of {decree}")).collect();
    checkpoint(disk, decree, vote_of(ProtocolVersion::V4, decree + 1, 1), ballot(1), state.as_bytes());
}
