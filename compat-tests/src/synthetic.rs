//! Working directories made here, in every version, in the shape of the recorded ones: see `damage.rs`.

use std::sync::Arc;

use bytes::Bytes;
use rsl_core::format::{CheckpointHeader, PAGE, Record};
use rsl_core::types::{Ballot, Configuration, Decree, MemberId, MemberSet, Node, ProtocolVersion};
use rsl_core::wire::{Header, Prepare, Vote, VoteContent, checksum};

use crate::damage::Files;
use crate::host_state::HostState;

/// The last vote.
const LAST: u64 = 143;

/// The members, all on loopback.
#[must_use]
pub fn members() -> Arc<MemberSet> {
    let nodes = (101..=103_u16)
        .map(|id| Node {
            id: MemberId::from_number(id.into()),
            ip: std::net::Ipv4Addr::LOCALHOST,
            rsl_port: 24000 + 10 * id,
            learn_port: 24001 + 10 * id,
            app_port: 0,
            host_name: Bytes::new(),
        })
        .collect();
    Arc::new(MemberSet { nodes, cookie: Bytes::new() })
}

/// The ballot of every vote.
#[must_use]
pub fn ballot() -> Ballot {
    Ballot::new(2, MemberId::from_number(102))
}

fn header(version: ProtocolVersion, decree: u64) -> Header {
    Header::new(version, MemberId::from_number(102), Decree(decree), 1, ballot())
}

/// The vote of a decree: without requests, or with one of the recorded length.
#[must_use]
pub fn vote(version: ProtocolVersion, decree: u64) -> Vote {
    let length = match decree {
        0 | 1 | 135..=137 | LAST => 0,
        115 => 20_000,
        138..=141 => 3000,
        142 => 1,
        _ => 900,
    };
    // Bytes that say which decree they are of and hold no zero page.
    let request = |i: u64| (i.wrapping_mul(31) ^ decree).to_le_bytes()[0] | 1;
    let requests = if length == 0 { vec![] } else { vec![(0..length).map(request).collect()] };
    Vote::new(header(version, decree), &VoteContent { requests, ..VoteContent::default() })
        .expect("a small vote")
}

/// An empty vote of the decree behind `previous`.
#[must_use]
pub fn next_vote(version: ProtocolVersion, previous: &Vote) -> Vote {
    Vote::new(header(version, previous.decree().0 + 1), &VoteContent::default()).expect("a small vote")
}

/// A promise to the ballot of every vote.
#[must_use]
pub fn prepare(version: ProtocolVersion, decree: u64) -> Record {
    Record::Prepare(Prepare { header: header(version, decree), cookie: Bytes::new() })
}

/// The pages of a vote with a request of 20000 bytes.
#[must_use]
pub fn long_vote(version: ProtocolVersion, decree: u64) -> Vec<u8> {
    let requests = vec![Bytes::from(vec![0x5A; 20_000])];
    let content = VoteContent { requests, ..VoteContent::default() };
    padded(&Record::Vote(Vote::new(header(version, decree), &content).expect("a vote")))
}

/// The bytes of a log: a Prepare where asked for, then the votes.
fn log(version: ProtocolVersion, prepare: bool, decrees: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    let mut records = Vec::new();
    if prepare {
        records.push(Record::Prepare(Prepare {
            header: header(version, *decrees.start()),
            cookie: Bytes::new(),
        }));
    }
    records.extend(decrees.map(|decree| Record::Vote(vote(version, decree))));
    records.iter().flat_map(padded).collect()
}

/// A record in whole pages.
#[must_use]
pub fn padded(record: &Record) -> Vec<u8> {
    let mut bytes = record.encode().expect("a small record").to_vec();
    while !(bytes.len() as u64).is_multiple_of(PAGE) {
        bytes.push(0);
    }
    bytes
}

/// The state after the votes through `decree`.
#[must_use]
pub fn state(version: ProtocolVersion, decree: u64) -> HostState {
    use rsl_core::storage::RestoreTarget;
    let mut state = HostState { pad: 1000, ..HostState::default() };
    for decree in 1..=decree {
        state.execute(&vote(version, decree));
    }
    state
}

/// Checkpoints of a small state at `decrees`, and nothing else.
#[must_use]
pub fn small(version: ProtocolVersion, decrees: &[u64]) -> Files {
    let file =
        |&decree: &u64| (format!("{decree}.codex"), with_state(version, decree, &HostState::default()));
    Files(decrees.iter().map(file).collect())
}

fn checkpoint(version: ProtocolVersion, decree: u64) -> Vec<u8> {
    with_state(version, decree, &state(version, decree))
}

fn with_state(version: ProtocolVersion, decree: u64, state: &HostState) -> Vec<u8> {
    let data = state.encode();
    let configuration = Configuration { number: 1, initial_decree: Decree::ZERO, members: members() };
    let mut header = CheckpointHeader {
        version,
        member: MemberId::from_number(101),
        executed: Decree(decree),
        promised: ballot(),
        configuration: version.has_configuration().then_some(configuration),
        state_saved: true,
        size: 0,
        block_size: CheckpointHeader::block_size_for(version),
        next_vote: vote(version, decree + 1),
    };
    let mut body = data.clone();
    if header.block_size > 0 {
        body.extend(checksum(&data).to_le_bytes());
        header.size = header.encoded_len() + body.len() as u64;
    }
    let mut file = header.encode().expect("a small header").to_vec();
    file.extend(body);
    file
}

/// The undamaged directory.
#[must_use]
pub fn files(version: ProtocolVersion) -> Files {
    Files(
        [
            ("0.log", log(version, true, 0..=57)),
            ("57.codex", checkpoint(version, 57)),
            ("58.log", log(version, false, 58..=114)),
            ("114.codex", checkpoint(version, 114)),
            ("115.log", log(version, false, 115..=LAST)),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into(),
    )
}
