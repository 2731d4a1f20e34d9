//! Messages, member sets and records as JSON, in the names and number formats of the golden disk manifests: decrees as
//! integers, ballots as `[id, member]`, checksums as hex, byte strings as hex, flags as 0 or 1.
//!
//! What a version does not carry has the value that its reader takes.

use rsl_core::types::{Ballot, MemberSet, ProtocolVersion};
use rsl_core::wire::{Message, MessageId, RawHeader, Vote};
use serde_json::{Map, Value, json};

use super::log::{Body, ChecksumState, Entry, Found, Record};

/// The fields of an object, in the order in which they are shown.
pub(super) type Fields = Map<String, Value>;

/// Requests whose first bytes `requestHeads` shows, and how many bytes.
const HEADS: usize = 8;
const HEAD: usize = 16;

/// A ballot: `[id, member]`.
pub(super) fn ballot(ballot: Ballot) -> Value {
    json!([ballot.id, ballot.member.to_string()])
}

/// A member set with the port that its version carries.
pub(super) fn member_set(set: &MemberSet, version: ProtocolVersion) -> Value {
    let members: Vec<Value> = set
        .nodes
        .iter()
        .map(|node| {
            let (port, value) = if version.has_string_ids() {
                ("learnPort", node.learn_port)
            } else {
                ("appPort", node.app_port)
            };
            json!({
                "id": node.id.to_string(),
                "ip": node.ip.to_string(),
                "rslPort": node.rsl_port,
                port: value,
                "host": String::from_utf8_lossy(&node.host_name),
            })
        })
        .collect();
    json!({ "members": members, "cookie": hex::encode(&set.cookie) })
}

/// What a header says, before its body is looked at.
pub(super) fn header(raw: &RawHeader) -> Fields {
    let header = &raw.header;
    let name = MessageId::from_number(raw.id).map_or_else(|| "unknown".into(), |id| format!("{id:?}"));
    let mut fields = Fields::new();
    fields.insert("version".into(), header.version.number().into());
    fields.insert("len".into(), raw.length.into());
    fields.insert("checksum".into(), format!("{:#018x}", header.checksum).into());
    fields.insert("msgId".into(), raw.id.into());
    fields.insert("type".into(), name.into());
    fields.insert("memberId".into(), header.member.to_string().into());
    fields.insert("decree".into(), header.decree.0.into());
    fields.insert("config".into(), header.configuration.into());
    fields.insert("ballot".into(), ballot(header.ballot));
    fields.insert("payload".into(), header.payload.into());
    fields
}

/// What a vote says behind its header.
pub(super) fn insert_vote(fields: &mut Fields, vote: &Vote) {
    fields.insert("cookie".into(), hex::encode(vote.cookie()).into());
    fields.insert("isReconfiguration".into(), u8::from(vote.reconfiguration().is_some()).into());
    if let Some(members) = vote.reconfiguration() {
        fields.insert("newConfiguration".into(), member_set(members, vote.version()));
    }
    fields.insert("relinquish".into(), u8::from(vote.relinquish()).into());
    fields.insert("numRequests".into(), vote.request_count().into());
    fields.insert("requestLens".into(), vote.requests().map(|request| request.len()).collect());
    let head = |request: bytes::Bytes| hex::encode(&request[..request.len().min(HEAD)]);
    fields.insert("requestHeads".into(), vote.requests().take(HEADS).map(head).collect());
}

/// The state of the checksum, and the undefined bytes where there are any.
pub(super) fn insert_state(fields: &mut Fields, checksum: ChecksumState, undefined: u64) {
    fields.insert("checksumState".into(), checksum.name().into());
    if undefined > 0 {
        fields.insert("nonzeroGarbageAfterNul".into(), undefined.into());
    }
}

/// The message of a record.
fn record_message(record: &Record) -> Fields {
    let mut fields = header(&record.raw);
    match &record.body {
        Body::Message(Message::Vote(vote)) => insert_vote(&mut fields, vote),
        Body::Message(Message::Prepare(prepare)) => {
            fields.insert("cookie".into(), hex::encode(&prepare.cookie).into());
        }
        Body::Message(_) | Body::WrongKind | Body::Malformed(_) | Body::NotListed => {}
    }
    insert_state(&mut fields, record.checksum, record.undefined);
    fields
}

/// An entry of `messages`. What is no sound record has an `error`.
pub(super) fn entry(entry: &Entry) -> Value {
    let mut fields = Fields::new();
    fields.insert("offset".into(), entry.offset.into());
    fields.insert("paddedLen".into(), entry.len.into());
    match &entry.found {
        Found::Record(record) => {
            fields.insert("paddingZero".into(), record.padding_zero.into());
            fields.insert("msg".into(), record_message(record).into());
        }
        Found::Torn { raw, .. } => {
            fields.insert("msg".into(), header(raw).into());
        }
        Found::Zeros | Found::Garbage { .. } | Found::Fragment { .. } => {}
    }
    if let Some(problem) = entry.problem() {
        fields.insert("error".into(), problem.into());
    }
    fields.into()
}
