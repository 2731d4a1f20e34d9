//! Votes: what they hold, what is refused, and that their bytes are kept.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{DecodeError, EncodeError, Header, Message, Vote, VoteContent};
use super::{ballot, extended, header, member, node, patched, reconfiguration, requests, vote};
use crate::types::{Decree, MemberSet, Node, ProtocolVersion};
use ProtocolVersion::{V1, V2, V3, V4, V5, V6};

/// A set of two members.
fn two_members() -> MemberSet {
    MemberSet { nodes: vec![node("1", 1, "one"), node("2", 2, "")], cookie: Bytes::from_static(b"mc") }
}

/// Where the requests of a vote without cookie start.
fn requests_at(version: ProtocolVersion) -> usize {
    vote(version, &[]).encoded().len()
}

/// [WIRE-83] [WIRE-80] [WIRE-87]: requests keep their order; no request at all is fine.
#[test]
fn requests_keep_their_order() {
    for version in ProtocolVersion::ALL {
        for texts in [&[][..], &["x"], &["c", "a", "b", "a"]] {
            let built = vote(version, texts);
            let read = Vote::decode(built.encoded()).unwrap();
            assert_eq!(read, built);
            assert_eq!(read.request_count() as usize, texts.len());
            assert_eq!(read.requests().collect::<Vec<_>>(), requests(texts));
            assert!(read.checksum_is_valid());
        }
    }
    let large: Vec<Bytes> = [1, 4096, 70_000, 5].map(|size| Bytes::from(vec![b'r'; size])).into();
    let content = VoteContent { requests: large.clone(), ..VoteContent::default() };
    let built = Vote::new(header(V6), &content).unwrap();
    assert_eq!(built.encoded().len(), requests_at(V6) + 4 * 4 + 74_102);
    assert_eq!(Vote::decode(built.encoded()).unwrap().requests().collect::<Vec<_>>(), large);
}

/// [WIRE-111] [WIRE-69] [PROTO-33]: what a version cannot say is not there for its reader.
#[test]
fn flags_and_cookie_depend_on_the_version() {
    let cookie = Bytes::from_static(b"pk");
    for version in ProtocolVersion::ALL {
        let content = VoteContent { cookie: cookie.clone(), ..VoteContent::default() };
        let built = Vote::new(header(version), &content).unwrap();
        assert_eq!(built.cookie().is_empty(), version == V1);
        assert_eq!(Vote::decode(built.encoded()), Ok(built));

        let content = VoteContent { relinquish: true, ..VoteContent::default() };
        match Vote::new(header(version), &content) {
            Ok(built) if version.has_relinquish() => {
                assert!(Vote::decode(built.encoded()).unwrap().relinquish());
            }
            result => assert_eq!(result, Err(EncodeError::NotInVersion { what: "relinquish flag", version })),
        }
        let content =
            VoteContent { reconfiguration: Some(Arc::new(two_members())), ..VoteContent::default() };
        match Vote::new(header(version), &content) {
            Ok(built) if version.has_configuration() => {
                let read = Vote::decode(built.encoded()).unwrap();
                let set = read.reconfiguration().expect("a reconfiguration vote");
                assert_eq!(**set, super::as_read(two_members(), version));
            }
            result => assert_eq!(result, Err(EncodeError::NotInVersion { what: "reconfiguration", version })),
        }
    }
}

/// [WIRE-58]: any byte but 0 is true.
#[test]
fn flags_are_zero_or_not() {
    let plain = vote(V6, &[]);
    let relinquish_at = plain.encoded().len() - 1;
    for flag in [1, 2, 0x80, 0xFF] {
        let read = Vote::decode(&patched(plain.encoded(), relinquish_at, &[flag])).unwrap();
        assert!(read.relinquish());
        let changed = reconfiguration(V6, MemberSet::default());
        let flagged = patched(changed.encoded(), V6.base_size() + 4, &[flag]);
        let read = Vote::decode(&flagged).unwrap();
        assert!(read.reconfiguration().is_some());
        assert_eq!(*read.encoded(), flagged);
    }
}

/// [WIRE-84] [HARD-9] [HARD-301]: no request in a reconfiguration vote, no byte behind its fields.
#[test]
fn reconfiguration_votes_carry_nothing_else() {
    for version in [V3, V4, V5, V6] {
        let content = VoteContent {
            reconfiguration: Some(Arc::new(two_members())),
            requests: requests(&["x"]),
            ..VoteContent::default()
        };
        assert_eq!(Vote::new(header(version), &content), Err(EncodeError::RequestsInReconfiguration));
        let built = reconfiguration(version, two_members());
        for trailing in [1, 4, 5, 600] {
            let length = u32::try_from(built.encoded().len()).unwrap() + trailing;
            let longer = extended(built.encoded(), &vec![1; trailing as usize]);
            // Outside `length` they are surplus, inside it an error.
            assert_eq!(Vote::decode(&longer), Vote::decode(built.encoded()));
            assert_eq!(
                Vote::decode(&patched(&longer, 2, &length.to_le_bytes())),
                Err(DecodeError::TrailingBytes(trailing as usize))
            );
        }
    }
}

/// [WIRE-84]: readers accept requests in a relinquishing vote.
#[test]
fn relinquishing_votes_may_carry_requests() {
    for version in [V5, V6] {
        let content =
            VoteContent { relinquish: true, requests: requests(&["late"]), ..VoteContent::default() };
        let read = Vote::decode(Vote::new(header(version), &content).unwrap().encoded()).unwrap();
        assert!(read.relinquish());
        assert_eq!(read.requests().collect::<Vec<_>>(), requests(&["late"]));
    }
}

/// [WIRE-85] [HARD-5] [HARD-6] [HARD-312]: request lengths of 0, beyond the end, near 2^32, and 1 to 3 stray bytes.
#[test]
fn malformed_requests_are_refused() {
    for version in ProtocolVersion::ALL {
        let built = vote(version, &["abc"]);
        let at = requests_at(version);
        assert_eq!(Vote::decode(&patched(built.encoded(), at, &[0; 4])), Err(DecodeError::EmptyRequest));
        for length in [4, 0x7FFF_FFFF, 0xFFFF_FFF9, 0xFFFF_FFFC, u32::MAX] {
            let bad = patched(built.encoded(), at, &u32::to_le_bytes(length));
            assert!(matches!(Vote::decode(&bad), Err(DecodeError::Truncated { what: "request", .. })));
        }
        for stray in 1..4_u32 {
            let length = u32::try_from(built.encoded().len()).unwrap() + stray;
            let longer = extended(built.encoded(), &vec![1; stray as usize]);
            let result = Vote::decode(&patched(&longer, 2, &length.to_le_bytes()));
            assert!(matches!(result, Err(DecodeError::Truncated { what: "request length", .. })));
        }
        let content = VoteContent { requests: vec![Bytes::new()], ..VoteContent::default() };
        assert_eq!(Vote::new(header(version), &content), Err(EncodeError::EmptyRequest));
    }
}

/// [WIRE-85] [HARD-8]: `length` is compared with what is there before anything is allocated.
#[test]
fn votes_longer_than_their_bytes_are_refused() {
    for version in ProtocolVersion::ALL {
        let built = vote(version, &["abc"]);
        let length = u32::try_from(built.encoded().len()).unwrap();
        for claimed in [length + 1, 0x7FFF_FFFF, 0xFFFF_F001, u32::MAX] {
            let bad = patched(built.encoded(), 2, &claimed.to_le_bytes());
            assert_eq!(Vote::decode(&bad), Err(DecodeError::BadLength(claimed)));
        }
        // A shorter length cuts a request, or ends in front of it.
        let cut = patched(built.encoded(), 2, &(length - 1).to_le_bytes());
        assert!(Vote::decode(&cut).is_err());
        let none = patched(built.encoded(), 2, &(length - 7).to_le_bytes());
        assert_eq!(Vote::decode(&none).unwrap().request_count(), 0);
    }
}

/// [WIRE-85]: cookie, flags and member set have to fit into `length`.
#[test]
fn fields_before_the_requests_have_to_fit() {
    for version in [V2, V3, V4, V5, V6] {
        let built = vote(version, &["abc"]);
        for length in [8, 0x7FFF_FFFF, 0xFFFF_FFFC, u32::MAX] {
            let bad = patched(built.encoded(), version.base_size(), &u32::to_le_bytes(length));
            assert!(Vote::decode(&bad).is_err(), "cookie of {length} in {version}");
        }
        for length in version.base_size()..requests_at(version) {
            let bad = patched(built.encoded(), 2, &u32::try_from(length).unwrap().to_le_bytes());
            assert!(matches!(Vote::decode(&bad), Err(DecodeError::Truncated { .. })), "{length}");
        }
    }
    for version in [V3, V4, V5, V6] {
        let built = reconfiguration(version, two_members());
        for length in version.base_size()..built.encoded().len() {
            let bad = patched(built.encoded(), 2, &u32::try_from(length).unwrap().to_le_bytes());
            assert!(Vote::decode(&bad).is_err(), "{length} bytes in {version}");
        }
    }
}

/// [WIRE-86] [WIRE-52]
#[test]
fn bytes_beyond_the_length_are_ignored() {
    for version in ProtocolVersion::ALL {
        let built = vote(version, &["abc"]);
        let read = Vote::decode(&extended(built.encoded(), &[0xAB; 700])).unwrap();
        assert_eq!(read, built);
        assert_eq!(read.encoded().len(), built.encoded().len());
    }
}

/// [WIRE-61] [WIRE-62] [WIRE-79]: what follows the NUL of an id is no part of it, but of the bytes and the checksum.
#[test]
fn undefined_bytes_are_kept_and_summed() {
    for version in [V4, V5, V6] {
        let mut bytes = vote(version, &["abc"]).encoded().to_vec();
        bytes[22..84].fill(0xC3);
        bytes[102..164].fill(0x5A);
        let sum = super::super::message_checksum(&bytes);
        bytes[6..14].copy_from_slice(&sum.to_le_bytes());
        let bytes = Bytes::from(bytes);
        let read = Vote::decode(&bytes).unwrap();
        assert_eq!((read.header().member, read.ballot()), (member("1"), ballot(7, "2")));
        assert!(read.checksum_is_valid());
        assert_eq!(*read.encoded(), bytes);
        assert_eq!(Message::Vote(read).encode().unwrap(), bytes);
        assert!(!Vote::decode(&patched(&bytes, 83, &[0])).unwrap().checksum_is_valid());
    }
}

/// [WIRE-88] [WIRE-108] [PROTO-10] [HARD-27] [HARD-314]: the value stays, everything else is the new primary's; a
/// version is only raised.
#[test]
fn a_repeated_proposal_keeps_the_value() {
    let content = VoteContent {
        cookie: Bytes::from_static(b"old"),
        relinquish: true,
        requests: requests(&["a", "bc"]),
        ..VoteContent::default()
    };
    let old = Vote::new(Header { payload: 9, ..header(V6) }, &content).unwrap();
    for version in ProtocolVersion::ALL {
        let new = Header { payload: 5, ..Header::new(version, member("3"), Decree(101), 4, ballot(8, "3")) };
        let again = old.repropose(new, Bytes::from_static(b"new")).unwrap();
        assert_eq!(again.version(), V6);
        assert_eq!(again.requests().collect::<Vec<_>>(), requests(&["a", "bc"]));
        assert_eq!((&again.cookie()[..], again.relinquish()), (&b"new"[..], false));
        assert_eq!((again.header().payload, again.header().configuration), (0, 4));
        assert_eq!((again.header().member, again.ballot()), (member("3"), ballot(8, "3")));
        assert!(again.checksum_is_valid() && again.same_value(&old));
        assert_eq!(Vote::decode(again.encoded()), Ok(again));

        let raised = vote(V1, &["a", "bc"]).repropose(new, Bytes::new()).unwrap();
        assert_eq!(raised.version(), version);
        assert!(raised.same_value(&old));
        assert_eq!(Vote::decode(raised.encoded()), Ok(raised));
    }
    let change = reconfiguration(V3, two_members());
    let again = change.repropose(header(V1), Bytes::new()).unwrap();
    assert_eq!(again.version(), V3);
    assert!(again.same_value(&change));
}

/// [PROTO-10]: requests in order, or member set with cookie; nothing else.
#[test]
fn values_are_compared_as_values() {
    let plain = vote(V3, &["a", "b"]);
    assert!(plain.same_value(&vote(V6, &["a", "b"])));
    assert!(!plain.same_value(&vote(V3, &["b", "a"])));
    assert!(!plain.same_value(&vote(V3, &["ab"])));
    assert!(!plain.same_value(&vote(V3, &[])));
    let change = reconfiguration(V4, two_members());
    assert!(change.same_value(&reconfiguration(V6, two_members())));
    // Version 3 says the application port, version 4 the learn port: the rest has to agree.
    assert!(change.same_value(&reconfiguration(V3, two_members())));
    assert!(!change.same_value(&vote(V4, &[])));
    let other_cookie = MemberSet { cookie: Bytes::from_static(b"MC"), ..two_members() };
    assert!(!change.same_value(&reconfiguration(V4, other_cookie)));
    let mut other_port = two_members();
    other_port.nodes[1] = Node { rsl_port: 7, ..node("2", 2, "") };
    assert!(!change.same_value(&reconfiguration(V4, other_port)));
    let mut reordered = two_members();
    reordered.nodes.reverse();
    assert!(!change.same_value(&reconfiguration(V4, reordered)));
}

/// [HARD-28] [WIRE-69]: no cookie size is special.
#[test]
fn large_primary_cookies_are_encoded() {
    for (version, size) in [(V5, 32599), (V6, 32590), (V6, 32591), (V6, 32592), (V6, 36687), (V6, 1 << 20)] {
        let content = VoteContent {
            cookie: Bytes::from(vec![7; size]),
            requests: requests(&["x"]),
            ..VoteContent::default()
        };
        let built = Vote::new(header(version), &content).unwrap();
        let read = Vote::decode(built.encoded()).unwrap();
        assert_eq!(read.cookie().len(), size);
        assert_eq!(read, built);
    }
}

/// [HARD-511] [WIRE-72]: an oversized member-set cookie is read from the own log only, and can be proposed again.
#[test]
fn oversized_set_cookies_come_from_the_own_log_only() {
    let small = reconfiguration(V4, MemberSet::default());
    let cookie_at = small.encoded().len() - 4;
    let length = u32::try_from(small.encoded().len() + 9000).unwrap();
    let bytes = extended(small.encoded(), &[3; 9000]);
    let bytes = patched(&bytes, 2, &length.to_le_bytes());
    let bytes = patched(&bytes, cookie_at, &9000_u32.to_le_bytes());
    assert_eq!(Vote::decode(&bytes), Err(DecodeError::CookieTooLong(9000)));
    let own = Vote::decode_own(&bytes).unwrap();
    let again = own.repropose(header(V4), Bytes::new()).unwrap();
    assert!(again.same_value(&own));
    let content = VoteContent { reconfiguration: own.reconfiguration().cloned(), ..VoteContent::default() };
    let refused = EncodeError::TooLong { what: "member set cookie", length: 9000 };
    assert_eq!(Vote::new(header(V4), &content), Err(refused));
}
