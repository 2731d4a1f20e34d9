//! Messages as JSON, in the names and number formats of the message vectors: 64-bit values as hex strings of 16
//! digits, smaller ones as numbers, byte strings as hex, flags as 0 or 1.
//!
//! What a version does not carry has the value that its reader takes [WIRE-111].

use rsl_core::types::{Ballot, MemberSet, Node};
use rsl_core::wire::{Header, LogRange, MAGIC, Message, MessageId, RawHeader, Vote};
use serde_json::{Map, Value, json};

/// The fields of an object, in the order in which they are shown.
pub(crate) type Fields = Map<String, Value>;

/// A 64-bit value: `0x` and 16 hex digits.
pub(crate) fn hex64(value: u64) -> Value {
    format!("{value:#018x}").into()
}

/// The fields of a message of any kind.
pub(crate) fn message_fields(message: &Message) -> Fields {
    if let Message::Vote(vote) = message {
        return vote_fields(vote);
    }
    let mut fields = header_fields(message.header(), message.id() as u16);
    match message {
        Message::Prepare(prepare) => {
            fields.insert("primaryCookie".into(), hex::encode(&prepare.cookie).into());
        }
        Message::PrepareAccepted(promise) => {
            fields.insert("vote".into(), vote_fields(&promise.vote).into());
        }
        Message::StatusResponse(response) => {
            fields.insert("queryDecree".into(), hex64(response.query.decree.0));
            insert_ballot(&mut fields, "queryBallotId", "queryBallotMemberId", response.query.ballot);
            fields.insert("lastReceivedAgo".into(), hex64(response.last_received_ago.cast_unsigned()));
            insert_log_range(&mut fields, &response.log);
            insert_ballot(&mut fields, "maxBallotId", "maxBallotMemberId", response.max_ballot);
            fields.insert("state".into(), response.state.into());
        }
        Message::Join(join) => {
            fields.insert("learnPort".into(), join.learn_port.into());
            insert_log_range(&mut fields, &join.log);
        }
        Message::Bootstrap(bootstrap) => insert_member_set(&mut fields, &bootstrap.members),
        Message::Vote(_)
        | Message::VoteAccepted(_)
        | Message::NotAccepted(_)
        | Message::StatusQuery(_)
        | Message::FetchVotes(_)
        | Message::FetchCheckpoint(_)
        | Message::ReconfigurationDecision(_)
        | Message::DefunctConfiguration(_)
        | Message::JoinRequest(_) => {}
    }
    fields
}

/// The fields of a vote.
pub(crate) fn vote_fields(vote: &Vote) -> Fields {
    // Readers do not look at the id of a vote inside a promise, so it may be any.
    let id = RawHeader::decode(vote.encoded()).map_or(MessageId::Vote as u16, |raw| raw.id);
    let mut fields = header_fields(vote.header(), id);
    fields.insert("primaryCookie".into(), hex::encode(vote.cookie()).into());
    fields.insert("isReconfiguration".into(), u8::from(vote.reconfiguration().is_some()).into());
    fields.insert("relinquishPrimary".into(), u8::from(vote.relinquish()).into());
    fields.insert("numRequests".into(), vote.request_count().into());
    let requests = vote.requests().map(|bytes| json!({ "len": bytes.len(), "hex": hex::encode(&bytes) }));
    fields.insert("requests".into(), requests.collect());
    if let Some(members) = vote.reconfiguration() {
        insert_member_set(&mut fields, members);
    }
    fields
}

fn header_fields(header: &Header, id: u16) -> Fields {
    let mut fields = Fields::new();
    fields.insert("memberId".into(), header.member.to_string().into());
    fields.insert("version".into(), header.version.number().into());
    fields.insert("msgId".into(), id.into());
    fields.insert("decree".into(), hex64(header.decree.0));
    fields.insert("configurationNumber".into(), header.configuration.into());
    insert_ballot(&mut fields, "ballotId", "ballotMemberId", header.ballot);
    fields.insert("payload".into(), hex64(header.payload));
    fields.insert("checksum".into(), hex64(header.checksum));
    fields.insert("magic".into(), hex64(MAGIC.into()));
    fields
}

fn insert_ballot(fields: &mut Fields, id: &str, member: &str, ballot: Ballot) {
    fields.insert(id.into(), ballot.id.into());
    fields.insert(member.into(), ballot.member.to_string().into());
}

fn insert_log_range(fields: &mut Fields, log: &LogRange) {
    fields.insert("minDecreeInLog".into(), hex64(log.min_decree_in_log.0));
    fields.insert("checkpointedDecree".into(), hex64(log.checkpointed_decree.0));
    fields.insert("checkpointSize".into(), hex64(log.checkpoint_size));
}

/// `members` and `configCookie`.
pub(crate) fn insert_member_set(fields: &mut Fields, set: &MemberSet) {
    fields.insert("members".into(), set.nodes.iter().map(node_fields).collect());
    fields.insert("configCookie".into(), hex::encode(&set.cookie).into());
}

fn node_fields(node: &Node) -> Value {
    json!({
        "memberId": node.id.to_string(),
        // The four octets as they are in memory, read as a little-endian number.
        "ip_as_uint": hex64(u32::from_le_bytes(node.ip.octets()).into()),
        "rslPort": node.rsl_port,
        "rslLearnPort": node.learn_port,
        "appPort": node.app_port,
        "hostName": String::from_utf8_lossy(&node.host_name),
    })
}
