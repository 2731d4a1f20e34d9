//! Packet framing: sizes, checksums, streams cut anywhere, limits.

use bytes::Bytes;

use super::super::{
    DecodeError, Message, PACKET_HEADER_SIZE, PacketDecoder, checksum, encode_packet, message_checksum,
    packet_header, packet_limit,
};
use super::{header, patched, vote};
use crate::types::ProtocolVersion::{V3, V6};

/// The default limit.
const LIMIT: u64 = packet_limit(100);

fn packet() -> Bytes {
    encode_packet(&Message::StatusQuery(header(V3)).encode().unwrap()).unwrap()
}

fn decoder_with(bytes: &[u8]) -> PacketDecoder {
    let mut decoder = PacketDecoder::new(LIMIT);
    decoder.feed(bytes);
    decoder
}

/// A packet whose checksum is right for whatever it holds.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[12..20].fill(0);
    let sum = checksum(&bytes);
    bytes[12..20].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// [WIRE-45] [WIRE-46] [WIRE-47] [WIRE-57]
#[test]
fn the_header_is_size_zeroes_and_checksum() {
    let packet = packet();
    assert_eq!(PACKET_HEADER_SIZE, 20);
    assert_eq!(packet[..4], [72, 0, 0, 0]);
    assert_eq!(packet[4..12], [0; 8]);
    let mut unsummed = packet.to_vec();
    unsummed[12..20].fill(0);
    assert_eq!(packet[12..20], checksum(&unsummed).to_le_bytes());
}

/// [WIRE-46]: a receiver takes any value in the two zero words.
#[test]
fn protocol_version_and_xid_are_not_looked_at() {
    let mut bytes = packet().to_vec();
    bytes[4..12].copy_from_slice(&[7, 0, 0, 0, 0xCD, 0xAB, 0, 0]);
    assert_eq!(decoder_with(&summed(bytes)).poll(), Ok(Some(packet().slice(20..))));
}

/// [WIRE-20]: packets come out whole and in order however the stream is cut.
#[test]
fn packets_are_found_in_any_pieces() {
    let messages: Vec<Bytes> =
        ["a", "bb", "ccc"].iter().map(|text| vote(V6, &[text]).encoded().clone()).collect();
    let stream: Vec<u8> = messages.iter().flat_map(|message| encode_packet(message).unwrap()).collect();
    for piece in [1, 2, 19, 20, 21, 100, 207, stream.len()] {
        let mut decoder = PacketDecoder::new(LIMIT);
        let mut found = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.feed(bytes);
            while let Some(message) = decoder.poll().unwrap() {
                found.push(message);
            }
        }
        assert_eq!(found, messages, "in pieces of {piece}");
        assert_eq!(decoder.buffered(), 0);
    }
}

/// [WIRE-48] [WIRE-50]: a bad size is found as soon as the header is there, without waiting for the rest.
#[test]
fn sizes_outside_the_limits_are_refused_at_once() {
    assert_eq!(LIMIT, 104_858_624);
    for size in [0, 1, 19, 104_858_625, 200 << 20, u32::MAX] {
        let mut header = packet()[..20].to_vec();
        header[..4].copy_from_slice(&size.to_le_bytes());
        let mut decoder = decoder_with(&header[..19]);
        assert_eq!(decoder.poll(), Ok(None));
        decoder.feed(&header[19..]);
        assert_eq!(decoder.poll(), Err(DecodeError::BadPacketSize { size, limit: LIMIT }));
    }
    for size in [21, 104_858_624_u32] {
        let header = patched(&packet(), 0, &size.to_le_bytes()).slice(..20);
        assert_eq!(decoder_with(&header).poll(), Ok(None), "size {size} is waited for");
    }
}

/// [WIRE-49]: after a wrong checksum nothing is looked at any more.
#[test]
fn a_wrong_checksum_ends_the_stream() {
    let good = packet();
    for at in 0..good.len() {
        if at < 4 {
            continue; // another size, another packet
        }
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        let mut decoder = decoder_with(&[&bad[..], &good].concat());
        let error = decoder.poll().unwrap_err();
        assert!(matches!(error, DecodeError::BadChecksum { .. }), "byte {at}: {error}");
        decoder.feed(&good);
        assert_eq!(decoder.poll(), Err(error));
        assert_eq!(decoder.buffered(), 0);
    }
}

/// [WIRE-18]: an empty payload and a malformed message are no concern of the packet layer.
#[test]
fn malformed_messages_do_not_break_the_framing() {
    let empty = summed(vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let garbage = encode_packet(&[0xEE; 33]).unwrap();
    let mut decoder = decoder_with(&[&empty[..], &garbage, &packet()].concat());
    for expected in [&[][..], &[0xEE; 33]] {
        let message = decoder.poll().unwrap().unwrap();
        assert_eq!(message, expected);
        assert!(Message::decode_packet_payload(&message).is_err());
    }
    assert_eq!(decoder.poll(), Ok(Some(packet().slice(20..))));
    assert_eq!(decoder.poll(), Ok(None));
}

/// [HARD-2] [HARD-518] [WIRE-50]: limits are computed in 64 bits and clamped.
#[test]
fn limits_do_not_wrap() {
    for (mebibytes, limit) in [
        (1, 1_049_600),
        (100, 104_858_624),
        (2047, 2_146_436_096),
        (2048, 2_146_436_096),
        (4096, 2_146_436_096),
        (u64::MAX, 2_146_436_096),
    ] {
        assert_eq!(packet_limit(mebibytes), limit);
        assert!(i32::try_from(limit).is_ok());
    }
}

/// [HARD-1]: a header that announces the largest packet allocates nothing for it.
#[test]
fn memory_follows_the_bytes_received() {
    let mut decoder = PacketDecoder::new(packet_limit(2047));
    decoder.feed(&patched(&packet(), 0, &2_146_436_096_u32.to_le_bytes()));
    assert_eq!(decoder.poll(), Ok(None));
    assert!(decoder.buffer().capacity() < 4096);
    decoder.feed(&[0; 10_000]);
    assert_eq!(decoder.poll(), Ok(None));
    assert!(decoder.buffer().capacity() < 64 * 1024);
}

/// [WIRE-47] [WIRE-56]: the checksum of a large vote need not be computed twice.
#[test]
fn a_known_message_checksum_gives_the_same_header() {
    for size in [1, 1000, 32 * 1024, 100_000] {
        let text: &'static str = Box::leak("r".repeat(size).into_boxed_str());
        let vote = vote(V6, &[text]);
        let tail = message_checksum(vote.encoded());
        assert_eq!(tail, vote.header().checksum);
        assert_eq!(packet_header(vote.encoded(), Some(tail)), packet_header(vote.encoded(), None));
    }
}
