//! The worked examples S-1 to S-5 of storage.md, byte for byte.

use super::*;
use crate::types::{MemberSet, Node};

/// Lines of `name hex`.
const EXAMPLES: &str = include_str!("../../../../docs/spec/tools/vectors.txt");

fn example(name: &str) -> Bytes {
    let line = EXAMPLES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    hex::decode(line.unwrap().trim()).unwrap().into()
}

fn node(id: &str, last: u8, learn_port: u16, app_port: u16, host_name: &'static str) -> Node {
    Node {
        id: member(id),
        ip: [10, 0, 0, last].into(),
        rsl_port: 20_000,
        learn_port,
        app_port,
        host_name: Bytes::from_static(host_name.as_bytes()),
    }
}

fn vote_with(header: Header, requests: &'static [&'static [u8]]) -> Vote {
    let requests = requests.iter().map(|request| Bytes::from_static(request)).collect();
    Vote::new(header, &VoteContent { requests, ..VoteContent::default() }).unwrap()
}

/// The two members of the version 3 examples.
fn pair() -> MemberSet {
    let nodes = vec![node("1", 1, 0, 80, "alpha.example"), node("2", 2, 0, 80, "")];
    MemberSet { nodes, cookie: Bytes::new() }
}

/// The three members of the version 4 examples.
fn three() -> MemberSet {
    let nodes = vec![
        node("alpha", 1, 20_001, 0, "alpha.example"),
        node("beta", 2, 20_001, 0, "beta.example"),
        node("gamma", 3, 20_001, 0, ""),
    ];
    MemberSet { nodes, cookie: Bytes::new() }
}

/// S-1 [STOR-10] [STOR-12]: a log of Prepare, vote, reconfiguration vote and decision.
#[test]
fn s1_log() {
    let at = |decree| header(ProtocolVersion::V3, decree);
    let change = VoteContent { reconfiguration: Some(pair().into()), ..VoteContent::default() };
    let records = [
        Record::Prepare(Prepare { header: at(0), cookie: PrimaryCookie::new() }),
        Record::Vote(vote_with(at(0), &[])),
        Record::Vote(Vote::new(at(1), &change).unwrap()),
        Record::Decision(at(1)),
    ];
    let bytes = example("S-1");
    assert_eq!(log(&records), bytes);
    let (found, end) = scan(&bytes);
    assert_eq!(found.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 512, 1024, 1536]);
    assert!(found.iter().zip(&records).all(|((_, found), record)| *found == as_read(record)));
    assert_eq!(end.unwrap().tail, Tail::Clean);
}

/// The header starts a file of these bytes and comes back; `body` follows it.
fn starts(name: &str, header: &CheckpointHeader, body: &[u8]) {
    let bytes = example(name);
    let length = CheckpointHeader::length_from(&bytes, bytes.len() as u64).unwrap();
    let encoded = header.encode().unwrap();
    assert_eq!(encoded.len() as u64, length, "{name}");
    assert_eq!(bytes.split_at(encoded.len()), (&encoded[..], body), "{name}");
    assert_eq!(CheckpointHeader::decode(&bytes), Ok(header.clone()), "{name}");
}

/// S-2 [STOR-32] [STOR-33] [STOR-42] [STOR-44]: version 4, 11 bytes of state in a block.
#[test]
fn s2_version_4() {
    let promised = Ballot::new(2, member("alpha"));
    let next = Header::new(ProtocolVersion::V4, member("alpha"), Decree(6), 1, promised);
    let header = CheckpointHeader {
        version: ProtocolVersion::V4,
        member: member("beta"),
        executed: Decree(5),
        promised,
        configuration: Some(Configuration { number: 1, initial_decree: Decree(1), members: three().into() }),
        state_saved: true,
        size: 1043,
        block_size: BLOCK_SIZE,
        next_vote: vote_with(next, &[b"hello"]),
    };
    let state = b"hello state";
    let block = [&state[..], &crate::wire::checksum(state).to_le_bytes()].concat();
    starts("S-2", &header, &block);
    assert_eq!(header.layout().unwrap().file_size(11), 1043);
}

/// S-3 [STOR-32] [STOR-41]: version 3, a raw body.
#[test]
fn s3_version_3() {
    let promised = Ballot::new(2, member("1"));
    let next = Header::new(ProtocolVersion::V3, member("1"), Decree(6), 1, promised);
    let header = CheckpointHeader {
        version: ProtocolVersion::V3,
        member: member("2"),
        executed: Decree(5),
        promised,
        configuration: Some(Configuration { number: 1, initial_decree: Decree(0), members: pair().into() }),
        state_saved: true,
        size: 0,
        block_size: 0,
        next_vote: vote_with(next, &[b"hello"]),
    };
    starts("S-3", &header, b"hello state");
}

/// S-4 [STOR-38]: version 1, nothing but the next vote.
#[test]
fn s4_version_1() {
    let promised = Ballot::new(2, member("1"));
    let next = Header::new(ProtocolVersion::V1, member("1"), Decree(6), 1, promised);
    let header = CheckpointHeader {
        version: ProtocolVersion::V1,
        member: member("1"),
        executed: Decree(5),
        promised,
        configuration: None,
        state_saved: true,
        size: 0,
        block_size: 0,
        next_vote: vote_with(next, &[b"hello"]),
    };
    starts("S-4", &header, b"hello state");
}

/// S-5 [STOR-52]: the checkpoint of a bootstrap.
#[test]
fn s5_bootstrap() {
    let next = Header::new(ProtocolVersion::V4, member("alpha"), Decree(1), 1, Ballot::EMPTY);
    let header = CheckpointHeader {
        version: ProtocolVersion::V4,
        member: member("alpha"),
        executed: Decree(0),
        promised: Ballot::EMPTY,
        configuration: Some(Configuration { number: 1, initial_decree: Decree(1), members: three().into() }),
        state_saved: false,
        size: 1024,
        block_size: BLOCK_SIZE,
        next_vote: vote_with(next, &[]),
    };
    starts("S-5", &header, b"");
}
