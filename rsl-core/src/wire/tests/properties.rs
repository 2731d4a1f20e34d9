//! Properties over random messages: whatever is encoded is decoded, and no bytes make the decoder panic.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::{
    Bootstrap, Header, Join, LogRange, Message, PacketDecoder, Prepare, PrepareAccepted, StatusResponse,
    Vote, VoteContent, encode_packet, packet_limit,
};
use super::as_read;
use crate::types::{Ballot, Decree, MemberId, MemberSet, Node, Position, ProtocolVersion};

fn version() -> impl Strategy<Value = ProtocolVersion> {
    proptest::sample::select(&ProtocolVersion::ALL[..])
}

/// An id that the version can say.
fn id(version: ProtocolVersion) -> BoxedStrategy<MemberId> {
    if version.has_string_ids() {
        vec(1_u8..=255, 0..64).prop_map(|bytes| MemberId::from_bytes(&bytes).unwrap()).boxed()
    } else {
        any::<u64>().prop_map(MemberId::from_number).boxed()
    }
}

fn ballot(version: ProtocolVersion) -> impl Strategy<Value = Ballot> {
    (any::<u32>(), id(version)).prop_map(|(number, member)| Ballot::new(number, member))
}

fn bytes(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), sizes).prop_map(Bytes::from)
}

/// A header as its reader finds it.
fn header(version: ProtocolVersion) -> impl Strategy<Value = Header> {
    (any::<u64>(), id(version), any::<u64>(), any::<u32>(), ballot(version), any::<u64>()).prop_map(
        move |(checksum, member, decree, configuration, ballot, payload)| {
            let decree = Decree(decree);
            Header { version, checksum, member, decree, configuration, ballot, payload }.as_read()
        },
    )
}

fn node(version: ProtocolVersion) -> impl Strategy<Value = Node> {
    (id(version), any::<[u8; 4]>(), any::<[u16; 3]>(), bytes(0..256)).prop_map(
        |(id, ip, [rsl_port, learn_port, app_port], host_name)| Node {
            id,
            ip: ip.into(),
            rsl_port,
            learn_port,
            app_port,
            host_name,
        },
    )
}

/// A set as the version's reader finds it.
fn member_set(version: ProtocolVersion) -> impl Strategy<Value = MemberSet> {
    (vec(node(version), 0..6), bytes(0..100))
        .prop_map(move |(nodes, cookie)| as_read(MemberSet { nodes, cookie }, version))
}

fn vote(version: ProtocolVersion) -> impl Strategy<Value = Vote> {
    let parts = (
        header(version),
        bytes(0..40),
        option::of(member_set(version)),
        any::<bool>(),
        vec(bytes(1..200), 0..8),
    );
    parts.prop_map(move |(header, cookie, set, relinquish, requests)| {
        let reconfiguration = set.filter(|_| version.has_configuration()).map(Into::into);
        let requests = if reconfiguration.is_some() { Vec::new() } else { requests };
        let relinquish = relinquish && version.has_relinquish();
        Vote::new(header, &VoteContent { cookie, reconfiguration, relinquish, requests }).unwrap()
    })
}

fn log_range() -> impl Strategy<Value = LogRange> {
    any::<[u64; 3]>().prop_map(|[first, checkpoint, checkpoint_size]| LogRange {
        min_decree_in_log: Decree(first),
        checkpointed_decree: Decree(checkpoint),
        checkpoint_size,
    })
}

fn status_response(version: ProtocolVersion) -> impl Strategy<Value = StatusResponse> {
    let parts = (
        header(version),
        (any::<u64>(), ballot(version)),
        any::<i64>(),
        log_range(),
        ballot(version),
        any::<u32>(),
    );
    parts.prop_map(|(header, (decree, query), last_received_ago, log, max_ballot, state)| StatusResponse {
        header,
        query: Position::new(Decree(decree), query),
        last_received_ago,
        log,
        max_ballot,
        state,
    })
}

/// Any message, as its reader finds it.
fn message() -> impl Strategy<Value = Message> {
    version().prop_flat_map(|version| {
        let has_cookie = version.has_primary_cookie();
        prop_oneof![
            4 => vote(version).prop_map(Message::Vote),
            4 => (header(version), proptest::sample::select(vec![2, 5, 6, 8, 9, 10, 11, 13_u16])).prop_map(
                |(header, id)| match id {
                    2 => Message::VoteAccepted(header),
                    5 => Message::NotAccepted(header),
                    6 => Message::StatusQuery(header),
                    8 => Message::FetchVotes(header),
                    9 => Message::FetchCheckpoint(header),
                    10 => Message::ReconfigurationDecision(header),
                    11 => Message::DefunctConfiguration(header),
                    _ => Message::JoinRequest(header),
                }
            ),
            2 => (header(version), bytes(0..300)).prop_map(move |(header, cookie)| {
                Message::Prepare(Prepare { header, cookie: if has_cookie { cookie } else { Bytes::new() } })
            }),
            3 => (header(version), self::version().prop_flat_map(vote))
                .prop_map(|(header, vote)| Message::PrepareAccepted(PrepareAccepted { header, vote })),
            2 => status_response(version).prop_map(Message::StatusResponse),
            1 => (header(version), any::<u16>(), log_range())
                .prop_map(|(header, learn_port, log)| Message::Join(Join { header, learn_port, log })),
            2 => (header(version), member_set(version))
                .prop_map(|(header, members)| Message::Bootstrap(Bootstrap { header, members })),
        ]
    })
}

/// One way to damage bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Number(usize, u32),
    Cut(usize),
    Append(Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let number = prop_oneof![
        any::<u32>(),
        0..300_u32,
        (0..300_u32).prop_map(|below| u32::MAX - below),
        (0..4_u32).prop_map(|shift| 0xFF << (8 * shift)),
    ];
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (any::<usize>(), number).prop_map(|(at, number)| Mutation::Number(at, number)),
        1 => any::<usize>().prop_map(Mutation::Cut),
        1 => vec(any::<u8>(), 0..40).prop_map(Mutation::Append),
    ]
}

fn mutated(bytes: &[u8], mutations: Vec<Mutation>) -> Bytes {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        let length = bytes.len();
        match mutation {
            Mutation::Set(at, byte) if length > 0 => bytes[at % length] = byte,
            Mutation::Number(at, number) if length >= 4 => {
                let at = at % (length - 3);
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            Mutation::Cut(at) if length > 0 => bytes.truncate(at % length),
            Mutation::Append(more) => bytes.extend(more),
            Mutation::Set(..) | Mutation::Number(..) | Mutation::Cut(_) => {}
        }
    }
    bytes.into()
}

/// What holds for any bytes: no panic; what decodes can be encoded, and decodes to the same again.
fn check_any_bytes(bytes: &Bytes) -> Result<(), TestCaseError> {
    if let Ok(message) = Message::decode(bytes) {
        let again = message.encode().expect("what was read can be written");
        prop_assert_eq!(again.len() as u64, message.encoded_len());
        prop_assert_eq!(Message::decode(&again), Ok(message));
    }
    if let Ok(vote) = Vote::decode_own(bytes) {
        prop_assert_eq!(&bytes[..vote.encoded().len()], &vote.encoded()[..]);
        prop_assert_eq!(vote.requests().count(), vote.request_count() as usize);
        prop_assert!(vote.same_value(&vote));
    }
    Ok(())
}

proptest! {
    /// [WIRE-74] [WIRE-75] [WIRE-83] [WIRE-106] [WIRE-111]: all messages, all versions, there and back.
    #[test]
    fn messages_survive_the_round_trip(message in message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(bytes.len() as u64, message.encoded_len());
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    /// [WIRE-18] [WIRE-85] [HARD-5] [HARD-6] [HARD-7] [HARD-8] [HARD-9] [HARD-10]
    #[test]
    fn damaged_messages_never_panic(message in message(), mutations in vec(mutation(), 1..6)) {
        check_any_bytes(&mutated(&message.encode().unwrap(), mutations))?;
    }

    /// [WIRE-18]
    #[test]
    fn random_bytes_never_panic(bytes in bytes(0..400)) {
        check_any_bytes(&bytes)?;
    }

    /// [WIRE-20] [WIRE-45] [WIRE-49]: streams of packets, cut anywhere, whole or damaged.
    #[test]
    fn streams_are_taken_apart(
        messages in vec(message(), 1..4),
        piece in 1..700_usize,
        damage in option::of(vec(mutation(), 1..3)),
    ) {
        let messages: Vec<Bytes> = messages.iter().map(|message| message.encode().unwrap()).collect();
        let mut stream: Vec<u8> =
            messages.iter().flat_map(|message| encode_packet(message).unwrap()).collect();
        let whole = damage.is_none();
        if let Some(damage) = damage {
            stream = mutated(&stream, damage).to_vec();
        }
        let mut decoder = PacketDecoder::new(packet_limit(1));
        let mut found = Vec::new();
        let mut failed = false;
        for bytes in stream.chunks(piece) {
            decoder.feed(bytes);
            loop {
                match decoder.poll() {
                    Ok(Some(message)) => {
                        prop_assert!(!failed, "a packet after an error");
                        found.push(message);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
        }
        if whole {
            prop_assert_eq!(&found, &messages);
        } else {
            // Damage may cost packets, it never invents them.
            prop_assert!(found.iter().zip(&messages).all(|(ours, theirs)| ours == theirs));
            prop_assert!(found.len() <= messages.len());
        }
    }
}
