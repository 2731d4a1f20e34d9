//! The hand-made packets of `probes/`, and what live legacy replicas did with them.

use anyhow::{Result, bail};
use rsl_core::types::{Ballot, Decree, ProtocolVersion};
use rsl_core::wire::{Header, Message, checksum, encode_packet};
use serde_json::Value;

/// What becomes of bytes on a packet connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The connection is closed.
    Closed,
    /// The message is dropped, the connection stays.
    Dropped,
    /// This many messages are handled.
    Handled(usize),
}

/// The probes that the packet layer decides, by their names in the files.
pub const PROBES: [&str; 17] = [
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

/// The reaction that a file records.
///
/// # Errors
/// When it is none that we know.
pub fn legacy(result: &Value) -> Result<Reaction> {
    match result {
        Value::String(text) if text == "CLOSED" => Ok(Reaction::Closed),
        Value::Array(lines) if lines.first().is_some_and(|line| line == "OPEN, no reply") => {
            Ok(Reaction::Dropped)
        }
        Value::Array(replies) => Ok(Reaction::Handled(replies.len())),
        Value::Object(_) => Ok(Reaction::Handled(1)),
        other => bail!("unknown reaction {other}"),
    }
}

/// The bytes of a probe, sent as they are to the packet port.
///
/// # Errors
/// When the codec refuses to encode the message the probe starts from.
pub fn stream(probe: &str, version: ProtocolVersion) -> Result<Vec<u8>> {
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
