//! Tests of the wire formats, and the values they share.

mod codec;
mod messages;
mod packets;
mod properties;
mod vectors;
mod votes;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Bootstrap, Header, Join, LogRange, Message, Prepare, PrepareAccepted, StatusResponse, Vote, VoteContent,
};
use crate::types::{Ballot, Decree, MemberId, MemberSet, Node, Position, ProtocolVersion};

/// A member id.
fn member(text: &str) -> MemberId {
    text.parse().expect("a member id")
}

/// A ballot of a member.
fn ballot(id: u32, owner: &str) -> Ballot {
    Ballot::new(id, member(owner))
}

/// A header with numeric ids, which every version can say.
fn header(version: ProtocolVersion) -> Header {
    Header::new(version, member("1"), Decree(101), 1, ballot(7, "2"))
}

/// A node at 10.0.0.N with ports 20000 and 20001.
fn node(id: &str, last_octet: u8, host_name: &'static str) -> Node {
    Node {
        id: member(id),
        ip: Ipv4Addr::new(10, 0, 0, last_octet),
        rsl_port: 20000,
        learn_port: 20001,
        app_port: 0,
        host_name: Bytes::from_static(host_name.as_bytes()),
    }
}

/// The nodes as a reader of `version` finds them.
fn as_read(mut set: MemberSet, version: ProtocolVersion) -> MemberSet {
    for node in &mut set.nodes {
        if version.has_string_ids() {
            node.app_port = 0;
        } else {
            node.learn_port = 0;
        }
    }
    set
}

/// Requests from texts.
fn requests(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

/// A vote without cookie.
fn vote(version: ProtocolVersion, texts: &[&'static str]) -> Vote {
    let content = VoteContent { requests: requests(texts), ..VoteContent::default() };
    Vote::new(header(version), &content).expect("a valid vote")
}

/// A reconfiguration vote.
fn reconfiguration(version: ProtocolVersion, set: MemberSet) -> Vote {
    let content = VoteContent { reconfiguration: Some(Arc::new(set)), ..VoteContent::default() };
    Vote::new(header(version), &content).expect("a valid vote")
}

/// One message of every id, with no content that could be left out.
fn smallest_messages(version: ProtocolVersion) -> Vec<Message> {
    let header = header(version);
    vec![
        Message::Vote(vote(version, &[])),
        Message::VoteAccepted(header),
        Message::Prepare(Prepare { header, cookie: Bytes::new() }),
        Message::PrepareAccepted(PrepareAccepted { header, vote: vote(version, &[]) }),
        Message::NotAccepted(header),
        Message::StatusQuery(header),
        Message::StatusResponse(StatusResponse {
            header,
            query: Position::new(Decree(100), ballot(6, "3")),
            last_received_ago: 1500,
            log: LogRange {
                min_decree_in_log: Decree(50),
                checkpointed_decree: Decree(90),
                checkpoint_size: 1536,
            },
            max_ballot: ballot(8, "3"),
            state: 2,
        }),
        Message::FetchVotes(header),
        Message::FetchCheckpoint(header),
        Message::ReconfigurationDecision(header),
        Message::DefunctConfiguration(header),
        Message::Join(Join { header, learn_port: 20001, log: LogRange::default() }),
        Message::JoinRequest(header),
        Message::Bootstrap(Bootstrap { header, members: MemberSet::default() }),
    ]
}

/// `bytes` with the bytes from `at` replaced.
fn patched(bytes: &Bytes, at: usize, new: &[u8]) -> Bytes {
    let mut copy = bytes.to_vec();
    copy[at..at + new.len()].copy_from_slice(new);
    copy.into()
}

/// `bytes` with more bytes behind them.
fn extended(bytes: &Bytes, more: &[u8]) -> Bytes {
    [bytes, more].concat().into()
}
