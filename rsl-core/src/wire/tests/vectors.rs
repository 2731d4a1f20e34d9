//! The worked examples W-1 to W-18 of wire.md, built from values and decoded back. They are the only bytes of
//! versions 2 and 5 that anyone has.

use bytes::Bytes;

use super::super::{
    Bootstrap, Header, Join, LogRange, Message, PacketDecoder, Prepare, PrepareAccepted, StatusResponse,
    Vote, VoteContent, encode_packet, packet_limit,
};
use super::{ballot, member, node, reconfiguration, requests};
use crate::types::{Ballot, Decree, MemberSet, Node, Position, ProtocolVersion};
use ProtocolVersion::{V1, V2, V3, V4, V5, V6};

/// The examples as lines of name and hex.
const EXAMPLES: &str = include_str!("../../../../docs/spec/tools/vectors.txt");

/// The bytes of an example.
fn example(name: &str) -> Bytes {
    let line = EXAMPLES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    hex::decode(line.expect("the example is listed").trim()).expect("valid hex").into()
}

/// Values, bytes and values again: all three agree.
fn check(name: &str, message: &Message) {
    let bytes = example(name);
    assert_eq!(hex::encode(message.encode().unwrap()), hex::encode(&bytes), "{name} encoded");
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message), "{name} decoded");
    if let Message::Vote(vote) = message {
        assert!(vote.checksum_is_valid(), "{name}");
    }
}

/// A header as the examples have it.
fn header(version: ProtocolVersion, sender: &str, decree: u64, configuration: u32, ballot: Ballot) -> Header {
    Header::new(version, member(sender), Decree(decree), configuration, ballot)
}

fn prepare(header: Header, cookie: &'static str) -> Message {
    Message::Prepare(Prepare { header, cookie: Bytes::from_static(cookie.as_bytes()) })
}

fn plain_vote(header: Header, texts: &[&'static str]) -> Vote {
    Vote::new(header, &VoteContent { requests: requests(texts), ..VoteContent::default() }).unwrap()
}

/// W-1 and W-2: [WIRE-69] [WIRE-90] [WIRE-79]
#[test]
fn prepare_messages() {
    check("W-1", &prepare(header(V1, "1", 100, 1, ballot(7, "1")), ""));
    let logged = prepare(header(V2, "1", 100, 1, ballot(7, "1")), "pk");
    assert_eq!(logged.encode_with_checksum().unwrap(), example("W-2"));
    let decoded = Message::decode(&example("W-2")).unwrap();
    assert_eq!(decoded.header().checksum, 0x9D5D_7912_BA57_0650);
    check("W-2", &decoded);
    let Message::Prepare(Prepare { cookie, .. }) = decoded else { panic!("another message") };
    assert_eq!(&cookie[..], b"pk");
}

/// W-3: [WIRE-91] [WIRE-79] [WIRE-80]
#[test]
fn promise_with_an_embedded_vote() {
    let embedded = plain_vote(header(V2, "2", 100, 1, ballot(6, "2")), &["abc"]);
    assert_eq!(embedded.header().checksum, 0x78EE_4ED6_1197_4FAF);
    let promise = PrepareAccepted { header: header(V2, "3", 100, 1, ballot(7, "1")), vote: embedded };
    check("W-3", &Message::PrepareAccepted(promise));
}

/// W-4, W-7 and W-10: [WIRE-83] [WIRE-80] [WIRE-75]
#[test]
fn votes_with_requests_cookie_and_relinquish_flag() {
    let alpha = |version, decree| header(version, "alpha", decree, 2, ballot(7, "alpha"));
    check("W-4", &Message::Vote(plain_vote(header(V3, "1", 101, 1, ballot(7, "1")), &["hello"])));
    let content = VoteContent {
        cookie: Bytes::from_static(b"pk"),
        requests: requests(&["ab", "cde"]),
        ..VoteContent::default()
    };
    check("W-7", &Message::Vote(Vote::new(alpha(V6, 102), &content).unwrap()));
    let content = VoteContent { relinquish: true, ..VoteContent::default() };
    check("W-10", &Message::Vote(Vote::new(alpha(V5, 104), &content).unwrap()));
}

/// W-5, W-6, W-13, W-14 and W-17: [WIRE-82] [WIRE-74] [WIRE-78] [WIRE-31]
#[test]
fn messages_without_body() {
    let accepted = header(V4, "beta", 101, 2, ballot(7, "alpha"));
    check("W-5", &Message::VoteAccepted(accepted));
    let accepted = Header { version: V6, payload: 0x1122_3344_5566_7788, ..accepted };
    check("W-6", &Message::VoteAccepted(accepted));
    let decision = Message::ReconfigurationDecision(header(V3, "1", 103, 1, ballot(7, "1")));
    assert_eq!(decision.encode_with_checksum().unwrap(), example("W-13"));
    check("W-13", &Message::decode(&example("W-13")).unwrap());
    check("W-14", &Message::FetchVotes(header(V3, "2", 101, 1, ballot(7, "1"))));
    check("W-17", &Message::JoinRequest(header(V3, "2", 0, 4, Ballot::EMPTY)));
}

/// W-8 and W-18: [WIRE-70] [WIRE-59] [WIRE-73] [HARD-14]
#[test]
fn reconfiguration_votes() {
    let nodes =
        vec![node("alpha", 1, "alpha.example"), node("beta", 2, "beta.example"), node("gamma", 3, "")];
    let content = VoteContent {
        reconfiguration: Some(MemberSet { nodes, cookie: Bytes::from_static(b"mc") }.into()),
        ..VoteContent::default()
    };
    let vote = Vote::new(header(V6, "alpha", 103, 2, ballot(7, "alpha")), &content).unwrap();
    check("W-8", &Message::Vote(vote));
    let numeric = |node: Node| Node { learn_port: 0, app_port: 80, ..node };
    let nodes = vec![numeric(node("1", 1, "alpha.example")), numeric(node("2", 2, ""))];
    let content = VoteContent {
        reconfiguration: Some(MemberSet { nodes, cookie: Bytes::new() }.into()),
        ..VoteContent::default()
    };
    let vote = Vote::new(header(V3, "1", 103, 1, ballot(7, "1")), &content).unwrap();
    check("W-18", &Message::Vote(vote));
    assert_eq!(reconfiguration(V3, MemberSet::default()).encoded().len(), 63);
}

/// W-9, W-11 and W-12: [WIRE-94] [WIRE-97] [WIRE-70]
#[test]
fn status_bootstrap_and_join() {
    let log =
        LogRange { min_decree_in_log: Decree(50), checkpointed_decree: Decree(90), checkpoint_size: 1536 };
    check(
        "W-9",
        &Message::StatusResponse(StatusResponse {
            header: header(V4, "beta", 101, 2, ballot(7, "alpha")),
            query: Position::new(Decree(100), ballot(6, "gamma")),
            last_received_ago: 1500,
            log,
            max_ballot: ballot(8, "gamma"),
            state: 2,
        }),
    );
    let members = MemberSet { nodes: vec![node("1", 1, "alpha.example")], cookie: Bytes::new() };
    check("W-11", &Message::Bootstrap(Bootstrap { header: header(V4, "1", 0, 0, Ballot::EMPTY), members }));
    let header = header(V6, "alpha", 103, 3, Ballot::EMPTY);
    check("W-12", &Message::Join(Join { header, learn_port: 20001, log }));
}

/// W-15 and W-16: [WIRE-45] [WIRE-46] [WIRE-47]
#[test]
fn whole_packets() {
    let refusal = Message::NotAccepted(header(V3, "2", 105, 1, ballot(9, "3")));
    for (name, message) in [("W-15", prepare(header(V1, "1", 100, 1, ballot(7, "1")), "")), ("W-16", refusal)]
    {
        let bytes = message.encode().unwrap();
        assert_eq!(encode_packet(&bytes).unwrap(), example(name), "{name}");
        let mut decoder = PacketDecoder::new(packet_limit(100));
        decoder.feed(&example(name));
        assert_eq!(decoder.poll(), Ok(Some(bytes)), "{name}");
    }
}
