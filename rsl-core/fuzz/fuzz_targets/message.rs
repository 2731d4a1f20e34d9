//! Any bytes as a message: no panic, and what decodes can be written and reads as the same again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rsl_core::types::ProtocolVersion;
use rsl_core::wire::{
    CookieLimit, EncodeError, Message, RawHeader, Vote, decode_member_set, encode_member_set,
};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::decode(&bytes) {
        let again = message.encode().expect("what was read can be written");
        assert_eq!(again.len() as u64, message.encoded_len());
        assert!(again.len() <= bytes.len(), "fields come from bytes that are there");
        assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
        let summed = message.encode_with_checksum().expect("what was read can be written");
        let raw = RawHeader::decode(&summed).expect("a header");
        assert_eq!((raw.length as usize, raw.id), (summed.len(), message.id() as u16));
    }
    if let Ok(vote) = Vote::decode_own(&bytes) {
        check_vote(&vote, &bytes);
    }
    for version in ProtocolVersion::ALL {
        if let Ok((set, size)) = decode_member_set(&bytes, version, CookieLimit::OwnLog) {
            let mut again = bytes::BytesMut::new();
            encode_member_set(&set, version, CookieLimit::OwnLog, &mut again).expect("a set that was read");
            assert_eq!(again.len(), size);
            let read = decode_member_set(&again.freeze(), version, CookieLimit::OwnLog);
            assert_eq!(read, Ok((set, size)));
        }
    }
});

/// A vote keeps its bytes, its requests lie within them, and it can be proposed again in every version.
fn check_vote(vote: &Vote, bytes: &Bytes) {
    assert_eq!(vote.encoded()[..], bytes[..vote.encoded().len()]);
    assert_eq!(vote.requests().count(), vote.request_count() as usize);
    assert!(vote.requests().all(|request| !request.is_empty()));
    for version in ProtocolVersion::ALL {
        let header = rsl_core::wire::Header { version, ..*vote.header() };
        match vote.repropose(header, vote.cookie().clone()) {
            Ok(again) => {
                assert!(again.same_value(vote) && again.checksum_is_valid() && !again.relinquish());
                assert_eq!(Vote::decode_own(again.encoded()).map(|read| read.same_value(vote)), Ok(true));
            }
            Err(error) => assert!(matches!(error, EncodeError::IdNotNumeric { .. }), "{error}"),
        }
    }
}
