//! `captures/SCENARIO/vN`: both directions of every connection of real runs, packet and learn connections.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use libtest_mimic::Failed;
use rsl_core::format::round_to_page;
use rsl_core::wire::{
    Message, PREFIX_SIZE, PacketDecoder, encode_packet, learn, message_checksum, packet_limit,
};
use serde_json::Value;

use crate::expect::{differences, list, number, of_manifest, say, text};
use crate::messages::rewritten;
use crate::{json, listed, summary};

pub(crate) fn streams(dir: &Path) -> Result<(), Failed> {
    let mut problems = Vec::new();
    let mut done = 0;
    for scenario in listed(&dir.join("captures"), "")? {
        for run in listed(&scenario, "")? {
            for connection in list(&json(&run.join("manifest.json"))?["connections"])? {
                for direction in ["c2s", "s2c"] {
                    let stream = &connection[direction];
                    let bytes: Bytes = fs::read(run.join(text(&stream["file"])?))?.into();
                    let (messages, found) = one_stream(stream, &bytes)?;
                    done += messages;
                    let place = run.strip_prefix(dir)?.display();
                    let name = format!("{place} {} {direction}", connection["name"]);
                    problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
                }
            }
        }
    }
    summary(done, &problems)
}

/// The number of messages in a stream, and what is wrong with them.
fn one_stream(stream: &Value, bytes: &Bytes) -> Result<(usize, Vec<String>), Failed> {
    if let Some(packets) = stream.get("packets") {
        return packet_stream(list(packets)?, bytes);
    }
    if let Some(request) = stream.get("request") {
        return Ok((1, bare_message(request, bytes)?));
    }
    let Some(messages) = stream.get("messages") else {
        // Checkpoint files are checked with the files.
        return Ok((0, Vec::new()));
    };
    let mut problems = Vec::new();
    for message in list(messages)? {
        if message.get("paddedLen").is_some() {
            problems.extend(record(message, bytes)?);
        } else {
            problems.extend(bare_message(message, bytes)?);
        }
    }
    Ok((list(messages)?.len(), problems))
}

/// Packets, received in pieces as TCP would cut them.
fn packet_stream(packets: &[Value], bytes: &Bytes) -> Result<(usize, Vec<String>), Failed> {
    let mut decoder = PacketDecoder::new(packet_limit(100));
    let mut payloads = Vec::new();
    for piece in bytes.chunks(1448) {
        decoder.feed(piece);
        while let Some(payload) = decoder.poll().map_err(|error| error.to_string())? {
            payloads.push(payload);
        }
    }
    // The run may have ended in the middle of a packet.
    let (whole, cut): (Vec<_>, Vec<_>) = packets.iter().partition(|packet| packet.get("msg").is_some());
    let mut problems = Vec::new();
    if payloads.len() != whole.len() || (decoder.buffered() > 0) == cut.is_empty() {
        problems.push(format!("{} packets, {} bytes left", payloads.len(), decoder.buffered()));
    }
    for (packet, payload) in whole.iter().zip(&payloads) {
        let offset = usize::try_from(number(&packet["offset"])?)?;
        let size = usize::try_from(number(&packet["size"])?)?;
        let framed = encode_packet(payload).map_err(|error| error.to_string())?;
        if framed != bytes.slice(offset..offset + size) {
            problems.push(format!("packet at {offset}: framed otherwise"));
        }
        match Message::decode_packet_payload(payload) {
            Ok(message) => {
                let found = compare(&packet["msg"], &message, payload)?;
                problems.extend(found.into_iter().map(|problem| format!("packet at {offset}: {problem}")));
            }
            Err(error) => problems.push(format!("packet at {offset}: {error}")),
        }
    }
    Ok((payloads.len(), problems))
}

fn compare(expected: &Value, message: &Message, bytes: &[u8]) -> Result<Vec<String>, Failed> {
    let mut problems = differences(&of_manifest(expected)?, &say(message));
    problems.extend(rewritten(message, bytes)?);
    if message.encoded_len() != number(&expected["len"])? {
        problems.push("another length".into());
    }
    Ok(problems)
}

/// A learn request or its answer: nothing but one message.
fn bare_message(expected: &Value, bytes: &Bytes) -> Result<Vec<String>, Failed> {
    let prefix: [u8; PREFIX_SIZE] = *bytes.first_chunk().ok_or("no message")?;
    let length = learn::message_length(prefix, learn::MAX_RESPONSE).map_err(|error| error.to_string())?;
    if length != bytes.len() {
        return Ok(vec![format!("{} bytes where {length} are announced", bytes.len())]);
    }
    compare(expected, &Message::decode(bytes).map_err(|error| error.to_string())?, bytes)
}

/// A log record in the answer to FetchVotes.
fn record(expected: &Value, stream: &Bytes) -> Result<Vec<String>, Failed> {
    let offset = usize::try_from(number(&expected["offset"])?)?;
    let bytes = stream.slice(offset..);
    let message = Message::decode(&bytes).map_err(|error| error.to_string())?;
    let length = usize::try_from(message.encoded_len())?;
    let mut problems = compare(&expected["msg"], &message, &bytes)?;
    if round_to_page(message.encoded_len()) != number(&expected["paddedLen"])? {
        problems.push("padded otherwise".into());
    }
    if message_checksum(&bytes[..length]) != message.header().checksum {
        problems.push("the checksum differs".into());
    }
    Ok(problems.into_iter().map(|problem| format!("record at {offset}: {problem}")).collect())
}
