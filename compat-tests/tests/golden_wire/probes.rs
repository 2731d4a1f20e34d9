//! `probes/`: what live legacy replicas did with hand-made packets, as far as the codec decides it.

use std::path::Path;

use libtest_mimic::Failed;
use rsl_core::types::{Ballot, Decree, ProtocolVersion};
use rsl_core::wire::{Header, Message, PacketDecoder, checksum, encode_packet, packet_limit};
use serde_json::Value;

use crate::expect::{list, text};
use crate::{json, listed, summary};

/// What becomes of bytes on a packet connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// The connection is closed.
    Closed,
    /// The message is dropped, the connection stays.
    Dropped,
    /// This many messages are handled.
    Handled(usize),
}

/// The probes that the codec decides, by their names in the files.
const PROBES: [&str; 17] = [
    "StatusQuery from an unknown member id, rsl port",
    "packet protoVersion=7 xid=0xABCD",
    "packet sent byte by byte",
    "three packets in one segment",
    "packet checksum wrong",
    "packet size field 19",
    "packet size field 0",
    "packet size 200 MB",
    "packet with empty payload (size 20)",
    "valid packet, garbage payload",
    "valid packet, message magic wrong",
    "valid packet, message version 7",
    "valid packet, message length field too small",
    "valid packet, message length field too big",
    "msgId 99",
    "FetchVotes on the rsl port",
    "FetchCheckpoint on the rsl port",
];

pub(crate) fn reactions(dir: &Path) -> Result<(), Failed> {
    let mut problems = Vec::new();
    let mut done = 0;
    for file in listed(&dir.join("probes"), ".json")? {
        for version in ProtocolVersion::ALL {
            for probe in list(&json(&file)?)? {
                let name = text(&probe["probe"])?;
                if PROBES.contains(&name) {
                    let (legacy, ours) = (legacy(&probe["result"])?, reaction(name, version)?);
                    done += 1;
                    if legacy != ours {
                        problems.push(format!("{name}: legacy {legacy:?}, in version {version} {ours:?}"));
                    }
                }
            }
        }
    }
    if done % (PROBES.len() * ProtocolVersion::ALL.len()) != 0 {
        problems.push("a probe is missing from a file".into());
    }
    summary(done, &problems)
}

fn legacy(result: &Value) -> Result<Reaction, Failed> {
    match result {
        Value::String(text) if text == "CLOSED" => Ok(Reaction::Closed),
        Value::Array(lines) if lines.first().is_some_and(|line| line == "OPEN, no reply") => {
            Ok(Reaction::Dropped)
        }
        Value::Array(replies) => Ok(Reaction::Handled(replies.len())),
        Value::Object(_) => Ok(Reaction::Handled(1)),
        other => Err(format!("unknown reaction {other}").into()),
    }
}

/// What our decoder does with the bytes of a probe.
fn reaction(probe: &str, version: ProtocolVersion) -> Result<Reaction, Failed> {
    let bytes = stream(probe, version)?;
    let piece = if probe.contains("byte by byte") { 1 } else { bytes.len() };
    let mut decoder = PacketDecoder::new(packet_limit(100));
    let mut handled = 0;
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.poll().map(|payload| payload.map(|bytes| Message::decode_packet_payload(&bytes))) {
                Err(_) => return Ok(Reaction::Closed),
                Ok(Some(Err(_))) => return Ok(Reaction::Dropped),
                Ok(Some(Ok(_))) => handled += 1,
                Ok(None) => break,
            }
        }
    }
    Ok(Reaction::Handled(handled))
}

fn stream(probe: &str, version: ProtocolVersion) -> Result<Vec<u8>, Failed> {
    let header = Header::new(version, "888".parse()?, Decree(77), 1, Ballot::new(5, "888".parse()?));
    let message = match probe {
        "FetchVotes on the rsl port" => Message::FetchVotes(header),
        "FetchCheckpoint on the rsl port" => Message::FetchCheckpoint(header),
        _ => Message::StatusQuery(header),
    };
    let mut message = message.encode()?.to_vec();
    match probe {
        "packet with empty payload (size 20)" => message.clear(),
        "valid packet, garbage payload" => message.fill(0xA7),
        "valid packet, message magic wrong" => message[14] ^= 1,
        "valid packet, message version 7" => message[0] = 7,
        "valid packet, message length field too small" => message[2..6].fill(0),
        "valid packet, message length field too big" => message[5] = 0x7F,
        "msgId 99" => message[18] = 99,
        _ => {}
    }
    let mut packet = encode_packet(&message)?.to_vec();
    match probe {
        "packet protoVersion=7 xid=0xABCD" => {
            packet[4] = 7;
            packet[8..10].copy_from_slice(&[0xCD, 0xAB]);
            packet[12..20].fill(0);
            let sum = checksum(&packet);
            packet[12..20].copy_from_slice(&sum.to_le_bytes());
        }
        "packet checksum wrong" => packet[12] ^= 1,
        "packet size field 19" => packet[..4].copy_from_slice(&19_u32.to_le_bytes()),
        "packet size field 0" => packet[..4].fill(0),
        "packet size 200 MB" => packet[..4].copy_from_slice(&(200_u32 << 20).to_le_bytes()),
        "three packets in one segment" => packet = packet.repeat(3),
        _ => {}
    }
    Ok(packet)
}
