//! Primitives: integers, ids, ballots, cookies, member sets, and the limits on them.

use bytes::{Bytes, BytesMut};

use super::super::codec::{Reader, length_u32, put_ballot, put_member_id, put_primary_cookie};
use super::super::{
    CookieLimit, DecodeError, EncodeError, decode_member_set, encode_member_set, member_set_size,
};
use super::{as_read, ballot, member, node};
use crate::types::{MAX_MEMBER_SET_COOKIE, MemberSet, Node, ProtocolVersion};
use ProtocolVersion::{V1, V3, V4, V6};

/// What `put` appends.
fn written(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    out.to_vec()
}

fn encoded(set: &MemberSet, version: ProtocolVersion) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    encode_member_set(set, version, CookieLimit::Enforced, &mut out)?;
    Ok(out.freeze())
}

/// A set of one member without host name.
fn one_member() -> MemberSet {
    MemberSet { nodes: vec![node("1", 1, "")], cookie: Bytes::from_static(b"xy") }
}

/// [WIRE-58]: little-endian, unaligned.
#[test]
fn integers_are_little_endian() {
    let bytes = Bytes::from_static(&[9, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u8("byte"), Ok(9));
    assert_eq!(reader.u16("word"), Ok(0x0201));
    assert_eq!(reader.u32("double word"), Ok(0x0403_0201));
    assert_eq!(reader.u64("quad word"), Ok(0x0807_0605_0403_0201));
    let end = DecodeError::Truncated { what: "more", offset: 15, needed: 1, available: 0 };
    assert_eq!(reader.u8("more"), Err(end));
}

/// [WIRE-60] [WIRE-61] [WIRE-64] [HARD-14]
#[test]
fn ids_are_numbers_or_texts() {
    let numeric = written(|out| put_member_id(member("258"), V1, out).unwrap());
    assert_eq!(numeric, [2, 1, 0, 0, 0, 0, 0, 0]);
    let mut text = written(|out| put_member_id(member("ab"), V4, out).unwrap());
    assert_eq!(text, [&b"ab"[..], &[0; 62]].concat());
    let read = |bytes: &[u8], version| Reader::new(&Bytes::copy_from_slice(bytes)).member_id(version);
    assert_eq!(read(&numeric, V3), Ok(member("258")));
    assert_eq!(read(&[0; 8], V3), Ok(member("")));
    assert_eq!(read(&text, V6), Ok(member("ab")));
    // Leftovers behind the first NUL do not count, even when they hold more text.
    text[3..].fill(b'x');
    assert_eq!(read(&text, V6), Ok(member("ab")));
    assert_eq!(read(&[0; 64], V6), Ok(member("")));
    let mut full = [b'z'; 64];
    assert_eq!(read(&full, V4), Err(DecodeError::UnterminatedId));
    full[63] = 0;
    assert_eq!(read(&full, V4), Ok(member(&"z".repeat(63))));
}

/// [HARD-13] [WIRE-65] [HARD-302] [PROTO-2]: an id that would reach a reader as another one is not said at all.
#[test]
fn ids_without_canonical_number_have_no_encoding_below_version_4() {
    for text in ["alpha", "0", "007", "0x10", "-1", "+1", " 1", "18446744073709551616"] {
        for version in ProtocolVersion::ALL {
            let result = put_member_id(member(text), version, &mut BytesMut::new());
            let ballot = put_ballot(ballot(1, text), version, &mut BytesMut::new());
            let expected = if version.has_string_ids() {
                Ok(())
            } else {
                Err(EncodeError::IdNotNumeric { id: member(text), version })
            };
            assert_eq!(result, expected, "{text} in version {version}");
            assert_eq!(ballot, expected, "{text} in version {version}");
        }
    }
    for text in ["", "1", "18446744073709551615"] {
        let bytes = Bytes::from(written(|out| put_member_id(member(text), V1, out).unwrap()));
        assert_eq!(Reader::new(&bytes).member_id(V1), Ok(member(text)));
    }
}

/// [WIRE-67]: number first, then owner; 12 or 68 bytes.
#[test]
fn ballots_are_a_number_and_an_id() {
    for version in ProtocolVersion::ALL {
        let bytes = Bytes::from(written(|out| put_ballot(ballot(0x0102, "5"), version, out).unwrap()));
        assert_eq!(bytes.len(), if version.has_string_ids() { 68 } else { 12 });
        assert_eq!(bytes[..4], [2, 1, 0, 0]);
        assert_eq!(Reader::new(&bytes).ballot(version), Ok(ballot(0x0102, "5")));
    }
}

/// [WIRE-69] [WIRE-111]
#[test]
fn version_1_has_no_primary_cookie() {
    for version in ProtocolVersion::ALL {
        let bytes = Bytes::from(written(|out| put_primary_cookie(b"pk", version, out).unwrap()));
        let mut reader = Reader::new(&bytes);
        let cookie = reader.primary_cookie(version).unwrap();
        if version == V1 {
            assert_eq!((bytes.len(), cookie.len()), (0, 0));
        } else {
            assert_eq!((&bytes[..], &cookie[..]), (&b"\x02\0\0\0pk"[..], &b"pk"[..]));
        }
        assert_eq!(reader.remaining(), 0);
    }
}

/// [HARD-5] [HARD-7]: the length is compared in 64 bits and before anything is allocated.
#[test]
fn cookies_of_impossible_length_are_refused() {
    for length in [3, 0x7FFF_FFFF, 0xFFFF_FFFC, 0xFFFF_FFFE, u32::MAX] {
        let bytes = Bytes::from([&length.to_le_bytes()[..], b"pk"].concat());
        let error = Reader::new(&bytes).primary_cookie(V6).unwrap_err();
        let needed = u64::from(length);
        assert_eq!(error, DecodeError::Truncated { what: "primary cookie", offset: 4, needed, available: 2 });
    }
}

/// [WIRE-70] [WIRE-71] [WIRE-111]: sizes, round trip, and the port that a version does not carry.
#[test]
fn member_sets_survive_but_for_one_port() {
    let hosts = ["", "h", Box::leak("x".repeat(255).into_boxed_str())];
    let nodes = hosts.iter().zip(1..).map(|(host, n)| Node { app_port: 80, ..node(&n.to_string(), n, host) });
    let set = MemberSet { nodes: nodes.collect(), cookie: Bytes::from(vec![7; MAX_MEMBER_SET_COOKIE]) };
    for version in ProtocolVersion::ALL {
        let bytes = encoded(&set, version).unwrap();
        let fixed = if version.has_string_ids() { 74 } else { 18 };
        assert_eq!(bytes.len(), 6 + 8192 + 3 * fixed + 256);
        assert_eq!(member_set_size(&set, version), bytes.len() as u64);
        let (read, size) = decode_member_set(&bytes, version, CookieLimit::Enforced).unwrap();
        assert_eq!(size, bytes.len());
        assert_eq!(read, as_read(set.clone(), version), "version {version}");
        // The slot behind the RSL port.
        let slot = 2 + version.member_id_size() + 6;
        let port = u16::from_le_bytes([bytes[slot], bytes[slot + 1]]);
        assert_eq!(port, if version.has_string_ids() { 20001 } else { 80 });
    }
}

/// [WIRE-59]
#[test]
fn addresses_are_octets_and_ports_are_numbers() {
    let bytes = encoded(&one_member(), V3).unwrap();
    assert_eq!(
        hex::encode(bytes),
        "0100".to_owned() + "0100000000000000" + "0a000001" + "204e" + "0000" + "0000" + "02000000" + "7879"
    );
}

/// [WIRE-71] [HARD-10]
#[test]
fn host_names_above_255_bytes_are_refused() {
    let long = Node { host_name: Bytes::from(vec![b'h'; 256]), ..node("1", 1, "") };
    let set = MemberSet { nodes: vec![long], cookie: Bytes::new() };
    assert_eq!(encoded(&set, V6), Err(EncodeError::TooLong { what: "host name", length: 256 }));
    for length in [256_u16, 0x8000, u16::MAX] {
        // The host name length of the only member, with enough bytes behind it.
        let mut bytes = encoded(&one_member(), V3).unwrap().to_vec();
        bytes[18..20].copy_from_slice(&length.to_le_bytes());
        bytes.resize(70_000, b'h');
        let result = decode_member_set(&bytes.into(), V3, CookieLimit::Enforced);
        assert_eq!(result, Err(DecodeError::HostNameTooLong(length)));
    }
}

/// [WIRE-72] [HARD-11] [HARD-511]
#[test]
fn set_cookies_above_8192_bytes_are_refused_except_in_the_own_log() {
    let set = MemberSet { cookie: Bytes::from(vec![1; 8193]), ..one_member() };
    let what = "member set cookie";
    assert_eq!(encoded(&set, V4), Err(EncodeError::TooLong { what, length: 8193 }));
    let mut out = BytesMut::new();
    encode_member_set(&set, V4, CookieLimit::OwnLog, &mut out).unwrap();
    let bytes = out.freeze();
    assert_eq!(decode_member_set(&bytes, V4, CookieLimit::Enforced), Err(DecodeError::CookieTooLong(8193)));
    let (read, _) = decode_member_set(&bytes, V4, CookieLimit::OwnLog).unwrap();
    assert_eq!(read.cookie, set.cookie);
}

/// [HARD-12] [HARD-5]: what is not there is not read, whatever the counts say.
#[test]
fn member_counts_are_checked() {
    let set = MemberSet { nodes: vec![node("1", 1, ""); 65536], cookie: Bytes::new() };
    assert_eq!(encoded(&set, V3), Err(EncodeError::TooLong { what: "list of members", length: 65536 }));
    for count in [2_u16, 3, u16::MAX] {
        let mut bytes = encoded(&one_member(), V4).unwrap().to_vec();
        bytes[..2].copy_from_slice(&count.to_le_bytes());
        let result = decode_member_set(&bytes.into(), V4, CookieLimit::Enforced);
        assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{count} members: {result:?}");
    }
    for length in [3, 8192_u32] {
        let mut bytes = encoded(&one_member(), V3).unwrap().to_vec();
        bytes[20..24].copy_from_slice(&length.to_le_bytes());
        let result = decode_member_set(&bytes.into(), V3, CookieLimit::Enforced);
        assert!(matches!(result, Err(DecodeError::Truncated { .. })), "cookie of {length}: {result:?}");
    }
}

/// [HARD-4] [HARD-311]: narrowed only when it fits.
#[test]
fn lengths_are_never_truncated() {
    assert_eq!(length_u32("request", u64::from(u32::MAX)), Ok(u32::MAX));
    for length in [1 << 32, (1 << 32) + 5, u64::MAX] {
        assert_eq!(length_u32("request", length), Err(EncodeError::TooLong { what: "request", length }));
    }
}
