//! Arbitrary byte streams, pushed through a real connection.

use proptest::prelude::*;

use super::*;

/// Pieces of a stream: good packets, packets with a broken message, noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let good = (0u64..100, 1usize..5000).prop_map(|(decree, size)| packet(&vote(decree, size)).to_vec());
    let broken = proptest::collection::vec(any::<u8>(), 0..200)
        .prop_map(|bytes| encode_packet(&bytes).unwrap().to_vec());
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![6 => good, 2 => broken, 1 => noise]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// [WIRE-17] [WIRE-18] [WIRE-20] [WIRE-49] [HARD-1]: whatever arrives, in whatever cuts: no panic; every good
    /// packet before the first malformed one is delivered, nothing behind it; memory holds one packet at most.
    #[test]
    fn any_stream_is_survived(pieces in proptest::collection::vec(piece(), 1..12), cut in 1usize..3000) {
        let stream: Vec<u8> = pieces.concat();
        let mut decoder = crate::wire::PacketDecoder::new(crate::wire::packet_limit(100));
        decoder.feed(&stream);
        let mut expected = Vec::new();
        let malformed = loop {
            match decoder.poll() {
                Ok(Some(payload)) => expected.extend(Message::decode_packet_payload(&payload).ok()),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        let mut host = Host::start(ip(91));
        let mut sender = client(&host);
        for part in stream.chunks(cut) {
            // The service may have closed already.
            if sender.write_all(part).is_err() {
                break;
            }
            host.turn();
            prop_assert!(host.net.stats().receiving <= stream.len() as u64);
        }
        host.until("the messages", |host| host.messages.len() >= expected.len());
        if malformed {
            host.until("the close", |host| host.net.stats().inbound == 0);
        } else {
            prop_assert!(!is_closed(&mut host, &mut sender));
        }
        let received: Vec<Message> = host.messages.drain(..).map(|(_, message)| message).collect();
        prop_assert_eq!(received, expected);
    }
}
