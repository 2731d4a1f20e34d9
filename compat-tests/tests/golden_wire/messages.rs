//! `messages/vN.json`: every message as bytes, as a log record, in a packet, and some parts of messages.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use libtest_mimic::Failed;
use rsl_core::format::round_to_page;
use rsl_core::types::{MemberSet, ProtocolVersion};
use rsl_core::wire::codec::{Reader, put_ballot, put_member_id};
use rsl_core::wire::{
    CookieLimit, Message, PacketDecoder, decode_member_set, encode_member_set, encode_packet,
    message_checksum, packet_limit,
};
use serde_json::Value;

use crate::expect::{differences, list, members_of_vector, number, of_vector, say, say_members, text};
use crate::{json, listed, summary};

/// Calls `check` for each vector of a kind; collects what it complains of. A message of type `None` (id 0) is one
/// that no reader accepts.
fn for_each(
    dir: &Path,
    kind: &str,
    check: impl Fn(&Path, &Value) -> Result<Vec<String>, Failed>,
) -> Result<(), Failed> {
    let dir = dir.join("messages");
    let mut done = 0;
    let mut problems = Vec::new();
    for file in listed(&dir, ".json")? {
        for vector in list(&json(&file)?["messages"])? {
            if vector["kind"] == kind {
                done += 1;
                let name = format!("version {} {}", vector["version"], vector["name"]);
                let found = match check(&dir, vector) {
                    Ok(found) => found,
                    Err(error) => vec![error.message().unwrap_or("failed").to_owned()],
                };
                problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
            }
        }
    }
    summary(done, &problems)
}

/// The bytes of a vector: in the file itself under `hex_key`, or in a file of their own named by `file_key`.
fn bytes_of(dir: &Path, vector: &Value, hex_key: &str, file_key: &str) -> Result<Bytes, Failed> {
    match vector.get(hex_key) {
        Some(hex) => Ok(hex::decode(text(hex)?)?.into()),
        None => Ok(fs::read(dir.join(text(&vector[file_key])?))?.into()),
    }
}

/// Complaints about a message and its bytes: fields, and what we write for it.
fn compare(vector: &Value, bytes: &Bytes) -> Result<Vec<String>, Failed> {
    let decoded = Message::decode(bytes);
    if vector["type"] == "None" {
        return Ok(decoded.ok().map(|_| "decoded".into()).into_iter().collect());
    }
    let message = decoded.map_err(|error| error.to_string())?;
    let mut problems = differences(&of_vector(&vector["fields"])?, &say(&message));
    problems.extend(rewritten(&message, bytes)?);
    Ok(problems)
}

/// The complaint if we write other bytes for a message than those it came in: any for a vote; for other messages one
/// that is no leftover behind an id, where we write zero [HARD-14].
pub(crate) fn rewritten(message: &Message, bytes: &[u8]) -> Result<Option<String>, Failed> {
    let ours = message.encode().map_err(|error| error.to_string())?;
    let leftovers = if matches!(message, Message::Vote(_)) { Vec::new() } else { leftovers(message, bytes) };
    Ok(first_difference(&ours, bytes, &leftovers))
}

fn first_difference(ours: &[u8], theirs: &[u8], leftovers: &[usize]) -> Option<String> {
    if ours.len() > theirs.len() {
        return Some(format!("{} bytes instead of {}", ours.len(), theirs.len()));
    }
    let expected = |at: usize| if leftovers.contains(&at) { 0 } else { theirs[at] };
    let at = (0..ours.len()).find(|&at| ours[at] != expected(at))?;
    Some(format!("byte {at} is written as {:#04x}, not {:#04x}", ours[at], expected(at)))
}

/// Offsets of the bytes that follow the NUL of a 64-byte id, outside an embedded vote.
fn leftovers(message: &Message, bytes: &[u8]) -> Vec<usize> {
    let version = message.header().version;
    if !version.has_string_ids() {
        return Vec::new();
    }
    let body = version.base_size();
    let mut ids = vec![20, 100];
    match message {
        Message::StatusResponse(_) => ids.extend([body + 12, body + 112]),
        Message::Bootstrap(bootstrap) => ids.extend(ids_of_members(&bootstrap.members, body)),
        _ => {}
    }
    behind_ids(&ids, bytes)
}

fn behind_ids(ids: &[usize], bytes: &[u8]) -> Vec<usize> {
    ids.iter().flat_map(|&id| (id..id + 64).skip_while(|&at| bytes[at] != 0)).collect()
}

/// Where the 64-byte ids of a member set are that starts at `at`.
fn ids_of_members(set: &MemberSet, at: usize) -> Vec<usize> {
    let mut next = at + 2;
    let ids = set.nodes.iter().map(|node| {
        let id = next;
        next += 74 + node.host_name.len();
        id
    });
    ids.collect()
}

pub(crate) fn whole(dir: &Path) -> Result<(), Failed> {
    for_each(dir, "message", |dir, vector| {
        let bytes = bytes_of(dir, vector, "hex", "file")?;
        let mut problems = compare(vector, &bytes)?;
        if bytes.len() as u64 != number(&vector["length"])? {
            problems.push("the length differs".into());
        }
        Ok(problems)
    })
}

/// Records have a checksum and are padded with zeros to whole pages.
pub(crate) fn padded(dir: &Path) -> Result<(), Failed> {
    for_each(dir, "disk", |dir, vector| {
        let bytes = bytes_of(dir, vector, "hex", "file")?;
        let mut problems = compare(vector, &bytes)?;
        if vector["type"] == "None" {
            return Ok(problems);
        }
        let message = Message::decode(&bytes).map_err(|error| error.to_string())?;
        let length = usize::try_from(message.encoded_len())?;
        if round_to_page(message.encoded_len()) != bytes.len() as u64 {
            problems.push(format!("{length} bytes do not take {} with padding", bytes.len()));
        }
        if message_checksum(&bytes[..length]) != message.header().checksum {
            problems.push("the checksum differs".into());
        }
        if bytes[length..].iter().any(|&byte| byte != 0) {
            problems.push("the padding is not zero".into());
        }
        Ok(problems)
    })
}

pub(crate) fn packets(dir: &Path) -> Result<(), Failed> {
    for_each(dir, "message", |dir, vector| {
        let message = bytes_of(dir, vector, "hex", "file")?;
        let packet = bytes_of(dir, vector, "packetHex", "packet")?;
        let mut problems = Vec::new();
        if encode_packet(&message).map_err(|error| error.to_string())? != packet {
            problems.push("another packet".into());
        }
        let mut decoder = PacketDecoder::new(packet_limit(100));
        decoder.feed(&packet);
        if decoder.poll() != Ok(Some(message)) || decoder.buffered() != 0 {
            problems.push("another payload".into());
        }
        Ok(problems)
    })
}

pub(crate) fn parts(dir: &Path) -> Result<(), Failed> {
    for_each(dir, "part", |_, vector| {
        let bytes: Bytes = hex::decode(text(&vector["hex"])?)?.into();
        let version = ProtocolVersion::from_number(u16::try_from(number(&vector["version"])?)?)
            .ok_or("a version from 1 to 6")?;
        let fields = &vector["fields"];
        let mut reader = Reader::new(&bytes);
        let mut ours = BytesMut::new();
        let mut problems = Vec::new();
        let mut compare = |name: &str, expected: &Value, found: Value| {
            if *expected != found {
                problems.push(format!("{name}: expected {expected}, found {found}"));
            }
        };
        let ids = match text(&vector["type"])? {
            "MemberId" => {
                let id = reader.member_id(version)?;
                compare("id", &fields["memberId"], id.to_string().into());
                put_member_id(id, version, &mut ours)?;
                vec![0]
            }
            "BallotNumber" => {
                let ballot = reader.ballot(version)?;
                compare("number", &fields["ballotId"], ballot.id.into());
                compare("owner", &fields["memberId"], ballot.member.to_string().into());
                put_ballot(ballot, version, &mut ours)?;
                vec![4]
            }
            "MemberSet" => {
                let (set, size) = decode_member_set(&bytes, version, CookieLimit::Enforced)?;
                compare("size", &vector["length"], size.into());
                compare("members", &members_of_vector(&fields["members"], version)?, say_members(&set));
                compare("cookie", &fields["configCookie"], hex::encode(&set.cookie).into());
                encode_member_set(&set, version, CookieLimit::Enforced, &mut ours)?;
                ids_of_members(&set, 0)
            }
            other => return Err(format!("unknown part {other}").into()),
        };
        let ids = if version.has_string_ids() { ids } else { Vec::new() };
        if ours.len() != bytes.len() {
            problems.push("another size".into());
        }
        problems.extend(first_difference(&ours, &bytes, &behind_ids(&ids, &bytes)));
        Ok(problems)
    })
}
