//! The header, the bodies of all messages but the vote, and what each version lacks.

use bytes::Bytes;

use super::super::{
    Bootstrap, DecodeError, EncodeError, Header, MAGIC, Message, MessageId, Prepare, PrepareAccepted,
    RawHeader, message_checksum,
};
use super::{
    as_read, ballot, extended, header, member, node, patched, reconfiguration, smallest_messages, vote,
};
use crate::types::{Ballot, Decree, MemberSet, ProtocolVersion};
use ProtocolVersion::{V1, V2, V3, V4, V5, V6};

/// [WIRE-74] [WIRE-78] [WIRE-111] [PROTO-33]: every field at its offset, and its default where the version has none.
#[test]
fn header_fields_are_where_the_table_says() {
    // version, decree, configuration, ballot, payload, base size; 0 = absent
    for (version, decree, configuration, ballot_at, payload, base) in [
        (V1, 28, 0, 36, 0, 48),
        (V2, 28, 0, 36, 0, 48),
        (V3, 28, 36, 40, 0, 52),
        (V4, 84, 92, 96, 0, 164),
        (V5, 84, 92, 96, 0, 164),
        (V6, 84, 92, 96, 164, 172),
    ] {
        let filled = Header {
            checksum: 0x0102_0304_0506_0708,
            configuration: 0x2122_2324,
            payload: 0x3132_3334_3536_3738,
            ballot: Ballot::new(0x4142_4344, member("9")),
            decree: Decree(0x5152_5354_5556_5758),
            ..header(version)
        };
        let bytes = Message::NotAccepted(filled).encode().unwrap();
        assert_eq!((version.base_size(), bytes.len()), (base, base), "version {version}");
        let field = |at: usize, size: usize| {
            bytes[at..at + size].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
        };
        assert_eq!(field(0, 2), u64::from(version.number()));
        assert_eq!(field(2, 4), base as u64);
        assert_eq!(field(6, 8), filled.checksum);
        assert_eq!(field(14, 4), u64::from(MAGIC));
        assert_eq!(field(18, 2), 5);
        assert_eq!(bytes[20], if version.has_string_ids() { b'1' } else { 1 });
        assert_eq!(field(decree, 8), filled.decree.0);
        assert_eq!(field(ballot_at, 4), 0x4142_4344);
        assert_eq!(bytes[ballot_at + 4], if version.has_string_ids() { b'9' } else { 9 });
        let mut expected = filled;
        if configuration == 0 {
            expected.configuration = 1;
        } else {
            assert_eq!(field(configuration, 4), 0x2122_2324);
        }
        if payload == 0 {
            expected.payload = 0;
        } else {
            assert_eq!(field(payload, 8), filled.payload);
        }
        assert_eq!(expected, filled.as_read());
        assert_eq!(Message::decode(&bytes), Ok(Message::NotAccepted(expected)), "version {version}");
    }
}

/// [WIRE-75] [WIRE-82] [WIRE-94] [WIRE-97] [WIRE-90] [WIRE-91]: the table of sizes; `length` is the size.
#[test]
fn sizes_follow_the_table() {
    // base, vote, prepare, promise, status response, join, bootstrap
    for (version, sizes) in ProtocolVersion::ALL.into_iter().zip([
        [48, 48, 48, 96, 116, 74, 54],
        [48, 52, 52, 100, 116, 74, 54],
        [52, 57, 56, 109, 120, 78, 58],
        [164, 169, 168, 333, 344, 190, 170],
        [164, 170, 168, 334, 344, 190, 170],
        [172, 178, 176, 350, 352, 198, 178],
    ]) {
        for message in smallest_messages(version) {
            let size = match message.id() {
                MessageId::Vote => sizes[1],
                MessageId::Prepare => sizes[2],
                MessageId::PrepareAccepted => sizes[3],
                MessageId::StatusResponse => sizes[4],
                MessageId::Join => sizes[5],
                MessageId::Bootstrap => sizes[6],
                MessageId::VoteAccepted
                | MessageId::NotAccepted
                | MessageId::StatusQuery
                | MessageId::FetchVotes
                | MessageId::FetchCheckpoint
                | MessageId::ReconfigurationDecision
                | MessageId::DefunctConfiguration
                | MessageId::JoinRequest => sizes[0],
            };
            let bytes = message.encode().unwrap();
            let id = message.id();
            assert_eq!((bytes.len() as u64, message.encoded_len()), (size, size), "{id:?} in {version}");
            assert_eq!(u64::from(RawHeader::decode(&bytes).unwrap().length), size, "{id:?} in {version}");
        }
    }
    for (version, size) in [(V3, 63), (V4, 175), (V5, 176), (V6, 184)] {
        assert_eq!(reconfiguration(version, MemberSet::default()).encoded().len(), size);
    }
}

/// [WIRE-106] [WIRE-111]: every message of every version decodes to what was encoded.
#[test]
fn messages_of_every_version_are_read() {
    for version in ProtocolVersion::ALL {
        let messages = smallest_messages(version);
        assert_eq!(messages.len(), 14);
        for (message, id) in messages.iter().zip(1..) {
            assert_eq!(message.id() as u16, id);
            assert_eq!(MessageId::from_number(id), Some(message.id()));
            let bytes = message.encode().unwrap();
            assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
            // Surplus bytes behind a message are ignored [WIRE-52] [WIRE-86].
            assert_eq!(Message::decode(&extended(&bytes, &[0xFF; 300])).as_ref(), Ok(message));
        }
    }
}

/// [WIRE-76] [WIRE-18]: no prefix of a message is one.
#[test]
fn truncated_messages_are_refused() {
    for version in ProtocolVersion::ALL {
        for message in smallest_messages(version) {
            let bytes = message.encode().unwrap();
            for length in 0..bytes.len() {
                let result = Message::decode(&bytes.slice(..length));
                assert!(result.is_err(), "{length} bytes of {:?} in {version}", message.id());
            }
        }
    }
    let expected = DecodeError::Truncated { what: "version", offset: 0, needed: 2, available: 0 };
    assert_eq!(Message::decode(&Bytes::new()), Err(expected));
}

/// [WIRE-76]: version, magic, `length` below the base size, id without NUL.
#[test]
fn bad_headers_are_refused() {
    for version in ProtocolVersion::ALL {
        let bytes = Message::StatusQuery(header(version)).encode().unwrap();
        for number in [0, 7, 256, u16::MAX] {
            let bad = patched(&bytes, 0, &number.to_le_bytes());
            assert_eq!(Message::decode(&bad), Err(DecodeError::UnknownVersion(number)));
        }
        let base = u32::try_from(version.base_size()).unwrap();
        for length in [0, 1, 20, base - 1] {
            let bad = patched(&bytes, 2, &length.to_le_bytes());
            assert_eq!(Message::decode(&bad), Err(DecodeError::BadLength(length)));
        }
        for magic in (0..32).map(|bit| MAGIC ^ (1 << bit)).chain([0, MAGIC.swap_bytes()]) {
            let bad = patched(&bytes, 14, &magic.to_le_bytes());
            assert_eq!(Message::decode(&bad), Err(DecodeError::BadMagic(magic)));
        }
        if version.has_string_ids() {
            for at in [20, 100] {
                let bad = patched(&bytes, at, &[b'm'; 64]);
                assert_eq!(Message::decode(&bad), Err(DecodeError::UnterminatedId));
            }
        }
    }
}

/// [PROTO-32]: bytes behind the known fields are ignored, within `length` or beyond it; those of a vote's `length` are
/// requests.
#[test]
fn bytes_behind_the_fields_are_ignored() {
    for version in ProtocolVersion::ALL {
        for message in smallest_messages(version) {
            let bytes = message.encode().unwrap();
            let longer = [&bytes[..], &[0xAB; 40]].concat();
            assert_eq!(Message::decode(&longer.clone().into()).as_ref(), Ok(&message), "beyond the length");
            let length = u32::try_from(longer.len()).unwrap();
            let result = Message::decode(&patched(&longer.into(), 2, &length.to_le_bytes()));
            if message.id() == MessageId::Vote {
                assert!(result.is_err(), "40 bytes are no request: {result:?}");
            } else {
                assert_eq!(result.as_ref(), Ok(&message), "within the length");
            }
        }
    }
}

/// [WIRE-76]: `length` is not compared with what was received, except in votes.
#[test]
fn a_length_above_the_message_does_not_matter() {
    for version in ProtocolVersion::ALL {
        for message in smallest_messages(version) {
            let bytes = message.encode().unwrap();
            for length in [u32::try_from(bytes.len()).unwrap() + 1, 0x7FFF_FFFF, u32::MAX] {
                let result = Message::decode(&patched(&bytes, 2, &length.to_le_bytes()));
                if message.id() == MessageId::Vote {
                    assert_eq!(result, Err(DecodeError::BadLength(length)));
                } else {
                    assert_eq!(result.as_ref(), Ok(&message));
                }
            }
        }
    }
}

/// [WIRE-12] [WIRE-11]: in a packet ids 8 and 9 are as unknown as 0 and 15.
#[test]
fn ids_are_1_to_14_and_two_of_them_belong_to_the_learn_port() {
    for version in ProtocolVersion::ALL {
        let bytes = Message::StatusQuery(header(version)).encode().unwrap();
        for id in [0, 15, 99, 256, u16::MAX] {
            let bad = patched(&bytes, 18, &id.to_le_bytes());
            assert_eq!(Message::decode(&bad), Err(DecodeError::UnknownId(id)));
            assert_eq!(Message::decode_packet_payload(&bad), Err(DecodeError::UnknownId(id)));
            assert_eq!(MessageId::from_number(id), None);
        }
        for message in smallest_messages(version) {
            let bytes = message.encode().unwrap();
            let expected = match message.id() {
                id @ (MessageId::FetchVotes | MessageId::FetchCheckpoint) => {
                    Err(DecodeError::UnknownId(id as u16))
                }
                _ => Ok(message),
            };
            assert_eq!(Message::decode_packet_payload(&bytes), expected);
        }
    }
}

/// [WIRE-79] [WIRE-81] [HARD-15]: computed over everything behind the field; nobody but a vote's receiver looks.
#[test]
fn the_message_checksum_covers_what_follows_it() {
    for version in ProtocolVersion::ALL {
        for message in smallest_messages(version) {
            let plain = message.encode().unwrap();
            let summed = message.encode_with_checksum().unwrap();
            let sum = message_checksum(&summed);
            assert_eq!(summed[6..14], sum.to_le_bytes());
            assert_eq!((&summed[..6], &summed[14..]), (&plain[..6], &plain[14..]));
            assert_eq!(sum, super::super::checksum(&summed[14..]));
            // Version, length and the checksum are not covered.
            assert_eq!(message_checksum(&patched(&summed, 0, &[0; 14])), sum);
            let mut wrong = summed.to_vec();
            wrong[6] ^= 1;
            let decoded = Message::decode(&wrong.into()).unwrap();
            assert_eq!(decoded.header().checksum, sum ^ 1);
            if let Message::Vote(vote) = decoded {
                assert!(!vote.checksum_is_valid());
            }
        }
    }
    assert_eq!(message_checksum(&[0; 14]), super::super::EMPTY_CHECKSUM);
    assert_eq!(message_checksum(&[]), super::super::EMPTY_CHECKSUM);
}

/// [WIRE-58] [WIRE-95] [WIRE-96]: signed milliseconds, and any state is read.
#[test]
fn status_responses_keep_odd_values() {
    for version in ProtocolVersion::ALL {
        let Message::StatusResponse(mut response) = smallest_messages(version).remove(6) else {
            panic!("the seventh message has id 7")
        };
        response.last_received_ago = -2;
        response.state = u32::MAX;
        response.max_ballot = Ballot::EMPTY;
        response.header.decree = Decree(u64::MAX);
        let bytes = Message::StatusResponse(response).encode().unwrap();
        let ago = version.base_size() + if version.has_string_ids() { 76 } else { 20 };
        assert_eq!(bytes[ago..ago + 8], (-2_i64).to_le_bytes());
        assert_eq!(Message::decode(&bytes), Ok(Message::StatusResponse(response)));
    }
}

/// [WIRE-91] [WIRE-62] [WIRE-108]: the vote of a promise may have any version and keeps its bytes.
#[test]
fn promises_embed_votes_of_any_version() {
    for outer in ProtocolVersion::ALL {
        for inner in ProtocolVersion::ALL {
            let vote = vote(inner, &["abc"]);
            let promise =
                Message::PrepareAccepted(PrepareAccepted { header: header(outer), vote: vote.clone() });
            let bytes = promise.encode().unwrap();
            assert_eq!(bytes.len(), outer.base_size() + vote.encoded().len());
            assert_eq!(bytes[outer.base_size()..], vote.encoded()[..]);
            assert_eq!(Message::decode(&bytes), Ok(promise));
        }
    }
}

/// [WIRE-92] [HARD-31]: the placeholder after a reconfiguration, with and without checksum.
#[test]
fn placeholder_votes_are_accepted() {
    for version in [V3, V4, V5, V6] {
        let placeholder = Header::new(version, member("1"), Decree(104), 0, Ballot::EMPTY);
        let vote = super::super::Vote::new(placeholder, &Default::default()).unwrap();
        let promise = Message::PrepareAccepted(PrepareAccepted { header: header(version), vote });
        let summed = promise.encode().unwrap();
        let unsummed = patched(&summed, version.base_size() + 6, &[0; 8]);
        for bytes in [summed, unsummed] {
            let Ok(Message::PrepareAccepted(read)) = Message::decode(&bytes) else { panic!("no promise") };
            assert_eq!(read.vote.header().configuration, 0);
            assert_eq!(read.vote.position(), placeholder.position());
            assert_eq!(read.vote.request_count(), 0);
            assert_eq!(Message::PrepareAccepted(read).encode().unwrap(), bytes);
        }
    }
}

/// [HARD-13]: an answer that would have to echo an id without number is an error, never a crash.
#[test]
fn answers_below_version_4_cannot_name_text_ids() {
    for version in ProtocolVersion::ALL {
        let echo = Header { ballot: ballot(3, "alpha"), ..header(version) };
        let mut messages = vec![Message::NotAccepted(echo)];
        if let Message::StatusResponse(mut response) = smallest_messages(version).remove(6) {
            response.query.ballot = ballot(3, "alpha");
            messages.push(Message::StatusResponse(response));
            response.query.ballot = ballot(3, "1");
            response.max_ballot = ballot(3, "alpha");
            messages.push(Message::StatusResponse(response));
        }
        assert_eq!(messages.len(), 3);
        for message in messages {
            let expected = EncodeError::IdNotNumeric { id: member("alpha"), version };
            match message.encode() {
                Ok(bytes) if version.has_string_ids() => assert_eq!(Message::decode(&bytes), Ok(message)),
                result => assert_eq!(result, Err(expected)),
            }
        }
    }
}

/// [WIRE-70] [WIRE-73]: a Bootstrap carries its set in the layout of its version.
#[test]
fn bootstraps_carry_member_sets() {
    let nodes = vec![node("1", 1, "one.example"), node("2", 2, "")];
    let members = MemberSet { nodes, cookie: Bytes::from_static(b"cookie") };
    for version in ProtocolVersion::ALL {
        let message = Message::Bootstrap(Bootstrap { header: header(version), members: members.clone() });
        let bytes = message.encode().unwrap();
        let read = Bootstrap { header: header(version), members: as_read(members.clone(), version) };
        assert_eq!(Message::decode(&bytes), Ok(Message::Bootstrap(read)));
    }
}

/// [HARD-7] [HARD-5]: the length of a Prepare's cookie is checked before it is used.
#[test]
fn prepare_cookies_are_bounded_by_the_message() {
    for version in [V2, V3, V4, V5, V6] {
        let cookie = Bytes::from_static(b"0123456789");
        let message = Message::Prepare(Prepare { header: header(version), cookie });
        let bytes = message.encode().unwrap();
        assert_eq!(Message::decode(&bytes), Ok(message));
        for length in [11, 0x7FFF_FFFF, 0xFFFF_FFF6, u32::MAX] {
            let bad = patched(&bytes, version.base_size(), &u32::to_le_bytes(length));
            assert!(matches!(Message::decode(&bad), Err(DecodeError::Truncated { .. })));
        }
    }
}
