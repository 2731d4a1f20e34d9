//! Any bytes as a stream of packets, in pieces of any size: no panic, the pieces do not matter, and every packet that
//! comes out is framed as it came in.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rsl_core::wire::{
    DecodeError, Message, PACKET_HEADER_SIZE, PREFIX_SIZE, PacketDecoder, checksum, encode_packet, learn,
    packet_limit,
};

fuzz_target!(|data: &[u8]| {
    let Some((&piece, stream)) = data.split_first() else { return };
    // Half of the streams get right checksums, so that damage reaches what is behind them.
    let resummed = if piece % 2 == 1 { with_checksums(stream) } else { stream.to_vec() };
    let stream = &resummed[..];
    let whole = packets(stream, stream.len().max(1));
    assert_eq!(packets(stream, usize::from(piece).max(1)), whole);
    let mut at = 0;
    for message in &whole.0 {
        // The two words that a receiver does not look at may have any value.
        let framed = encode_packet(message).expect("a packet within the limits");
        let (header, rest) = (&stream[at..at + PACKET_HEADER_SIZE], &stream[at + PACKET_HEADER_SIZE..]);
        assert_eq!(header[..4], framed[..4]);
        assert_eq!(rest[..message.len()], message[..]);
        if header[4..12] == [0; 8] {
            assert_eq!(header, &framed[..PACKET_HEADER_SIZE]);
        }
        at += framed.len();
        // A bad message is an error, never more.
        let _ = Message::decode_packet_payload(message);
    }
    if let Some(prefix) = stream.first_chunk::<PREFIX_SIZE>() {
        if let Ok(length) = learn::message_length(*prefix, learn::MAX_REQUEST) {
            assert!(length <= learn::MAX_REQUEST as usize);
        }
    }
});

/// The messages found in a stream that arrives in pieces, and the error that ended it.
fn packets(stream: &[u8], piece: usize) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut decoder = PacketDecoder::new(packet_limit(1));
    let mut found = Vec::new();
    for bytes in stream.chunks(piece) {
        decoder.feed(bytes);
        loop {
            match decoder.poll() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// The stream with the checksum of every packet set right, as far as the sizes lead.
fn with_checksums(stream: &[u8]) -> Vec<u8> {
    let mut stream = stream.to_vec();
    let mut at = 0;
    while let Some(size) = stream.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let size = u32::from_le_bytes(*size) as usize;
        if size < PACKET_HEADER_SIZE || size > stream.len() - at {
            break;
        }
        let packet = &mut stream[at..at + size];
        packet[12..PACKET_HEADER_SIZE].fill(0);
        let sum = checksum(packet);
        packet[12..PACKET_HEADER_SIZE].copy_from_slice(&sum.to_le_bytes());
        at += size;
    }
    stream
}
