//! One vocabulary for comparing: what a decoded message says, and what each kind of golden file says of it.
//!
//! Numbers are numbers, ids and host names are texts, other bytes are hex. The golden files have three vocabularies;
//! each is translated key by key, and a key that is not known is an error, so that nothing goes unchecked.

use std::net::Ipv4Addr;

use libtest_mimic::Failed;
use rsl_core::types::{MemberSet, ProtocolVersion};
use rsl_core::wire::{Header, LogRange, Message, RawHeader, Vote};
use serde_json::{Map, Value, json};

/// What is said of a message.
pub(crate) type Said = Map<String, Value>;

/// A number, also one written as a hex string.
pub(crate) fn unsigned(value: &Value) -> Result<u64, Failed> {
    match value.as_str().and_then(|text| text.strip_prefix("0x")) {
        Some(digits) => Ok(u64::from_str_radix(digits, 16)?),
        None => number(value),
    }
}

/// A JSON number.
pub(crate) fn number(value: &Value) -> Result<u64, Failed> {
    value.as_u64().ok_or_else(|| format!("{value} is no number").into())
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> Result<&str, Failed> {
    value.as_str().ok_or_else(|| format!("{value} is no string").into())
}

/// A JSON array.
pub(crate) fn list(value: &Value) -> Result<&[Value], Failed> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{value} is no list").into())
}

/// The keys of `expected` that `actual` does not say the same of; an embedded vote is looked into.
pub(crate) fn differences(expected: &Said, actual: &Said) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in expected {
        match (value, actual.get(key)) {
            (Value::Object(expected), Some(Value::Object(actual))) => {
                found.extend(differences(expected, actual).iter().map(|inside| format!("{key}: {inside}")));
            }
            (value, Some(actual)) if value == actual => {}
            (value, Some(actual)) => found.push(format!("{key}: expected {value}, found {actual}")),
            (value, None) => found.push(format!("{key}: expected {value}, found nothing")),
        }
    }
    found
}

/// What a message that we decoded says.
pub(crate) fn say(message: &Message) -> Said {
    let mut said = Said::new();
    match message {
        Message::Vote(vote) => return say_vote(vote),
        Message::Prepare(prepare) => {
            said.insert("cookie".into(), hex::encode(&prepare.cookie).into());
        }
        Message::PrepareAccepted(promise) => {
            said.insert("vote".into(), say_vote(&promise.vote).into());
        }
        Message::StatusResponse(response) => {
            said.insert("query decree".into(), response.query.decree.0.into());
            said.insert("query ballot".into(), response.query.ballot.id.into());
            said.insert("query ballot of".into(), response.query.ballot.member.to_string().into());
            said.insert("ago".into(), response.last_received_ago.into());
            say_log(&response.log, &mut said);
            said.insert("max ballot".into(), response.max_ballot.id.into());
            said.insert("max ballot of".into(), response.max_ballot.member.to_string().into());
            said.insert("state".into(), response.state.into());
        }
        Message::Join(join) => {
            said.insert("learn port".into(), join.learn_port.into());
            say_log(&join.log, &mut said);
        }
        Message::Bootstrap(bootstrap) => {
            said.insert("members".into(), say_members(&bootstrap.members));
            said.insert("set cookie".into(), hex::encode(&bootstrap.members.cookie).into());
        }
        Message::VoteAccepted(_)
        | Message::NotAccepted(_)
        | Message::StatusQuery(_)
        | Message::FetchVotes(_)
        | Message::FetchCheckpoint(_)
        | Message::ReconfigurationDecision(_)
        | Message::DefunctConfiguration(_)
        | Message::JoinRequest(_) => {}
    }
    say_header(message.header(), message.id() as u16, &mut said);
    said
}

fn say_header(header: &Header, id: u16, said: &mut Said) {
    said.insert("version".into(), header.version.number().into());
    said.insert("id".into(), id.into());
    said.insert("checksum".into(), header.checksum.into());
    said.insert("member".into(), header.member.to_string().into());
    said.insert("decree".into(), header.decree.0.into());
    said.insert("configuration".into(), header.configuration.into());
    said.insert("ballot".into(), header.ballot.id.into());
    said.insert("ballot of".into(), header.ballot.member.to_string().into());
    said.insert("payload".into(), header.payload.into());
}

fn say_vote(vote: &Vote) -> Said {
    let mut said = Said::new();
    let id = RawHeader::decode(vote.encoded()).map_or(0, |raw| raw.id);
    say_header(vote.header(), id, &mut said);
    said.insert("length".into(), vote.encoded().len().into());
    said.insert("cookie".into(), hex::encode(vote.cookie()).into());
    said.insert("is reconfiguration".into(), u8::from(vote.reconfiguration().is_some()).into());
    said.insert("relinquish".into(), u8::from(vote.relinquish()).into());
    said.insert("request count".into(), vote.request_count().into());
    said.insert("requests".into(), vote.requests().map(|request| hex::encode(&request)).collect());
    said.insert("request lengths".into(), vote.requests().map(|request| request.len()).collect());
    // Manifests show the start of the first eight.
    let heads = vote.requests().take(8).map(|request| hex::encode(&request[..request.len().min(16)]));
    said.insert("request heads".into(), heads.collect());
    said.insert("checksum ok".into(), vote.checksum_is_valid().into());
    if let Some(set) = vote.reconfiguration() {
        said.insert("members".into(), say_members(set));
        said.insert("set cookie".into(), hex::encode(&set.cookie).into());
    }
    said
}

fn say_log(log: &LogRange, said: &mut Said) {
    said.insert("first decree in log".into(), log.min_decree_in_log.0.into());
    said.insert("checkpoint".into(), log.checkpointed_decree.0.into());
    said.insert("checkpoint size".into(), log.checkpoint_size.into());
}

/// Members as lists of id, address, RSL port, learn port, application port and host name.
pub(crate) fn say_members(set: &MemberSet) -> Value {
    let nodes = set.nodes.iter().map(|node| {
        json!([
            node.id.to_string(),
            node.ip.to_string(),
            node.rsl_port,
            node.learn_port,
            node.app_port,
            String::from_utf8_lossy(&node.host_name),
        ])
    });
    nodes.collect()
}

/// The fields of a message vector, which are those its writer had: what the version does not carry is replaced with
/// what its readers take instead [WIRE-111].
pub(crate) fn of_vector(fields: &Value) -> Result<Said, Failed> {
    let version = ProtocolVersion::from_number(u16::try_from(number(&fields["version"])?)?)
        .ok_or("a version from 1 to 6")?;
    let mut said = Said::new();
    for (key, value) in fields.as_object().ok_or("fields are no object")? {
        let (name, value): (&str, Value) = match key.as_str() {
            // A constant that the decoder checks, and how legacy kept the bytes in memory.
            "magic" | "numBuffers" => continue,
            "version" => ("version", value.clone()),
            "msgId" => ("id", value.clone()),
            "memberId" => ("member", value.clone()),
            "decree" => ("decree", unsigned(value)?.into()),
            "configurationNumber" if !version.has_configuration() => ("configuration", 1.into()),
            "configurationNumber" => ("configuration", value.clone()),
            "ballotId" => ("ballot", value.clone()),
            "ballotMemberId" => ("ballot of", value.clone()),
            "payload" if !version.has_payload() => ("payload", 0.into()),
            "payload" => ("payload", unsigned(value)?.into()),
            "checksum" => ("checksum", unsigned(value)?.into()),
            "primaryCookie" if !version.has_primary_cookie() => ("cookie", "".into()),
            "primaryCookie" => ("cookie", value.clone()),
            "isReconfiguration" if !version.has_configuration() => ("is reconfiguration", 0.into()),
            "isReconfiguration" => ("is reconfiguration", value.clone()),
            "relinquishPrimary" if !version.has_relinquish() => ("relinquish", 0.into()),
            "relinquishPrimary" => ("relinquish", value.clone()),
            "numRequests" => ("request count", value.clone()),
            "requests" => ("requests", list(value)?.iter().map(request_bytes).collect::<Result<_, _>>()?),
            "members" => ("members", members_of_vector(value, version)?),
            "configCookie" => ("set cookie", value.clone()),
            "vote" => ("vote", of_vector(value)?.into()),
            "queryDecree" => ("query decree", unsigned(value)?.into()),
            "queryBallotId" => ("query ballot", value.clone()),
            "queryBallotMemberId" => ("query ballot of", value.clone()),
            "lastReceivedAgo" => ("ago", unsigned(value)?.cast_signed().into()),
            "minDecreeInLog" => ("first decree in log", unsigned(value)?.into()),
            "checkpointedDecree" => ("checkpoint", unsigned(value)?.into()),
            "checkpointSize" => ("checkpoint size", unsigned(value)?.into()),
            "maxBallotId" => ("max ballot", value.clone()),
            "maxBallotMemberId" => ("max ballot of", value.clone()),
            "state" => ("state", value.clone()),
            "learnPort" => ("learn port", value.clone()),
            other => return Err(format!("unknown field {other}").into()),
        };
        said.insert(name.into(), value);
    }
    Ok(said)
}

/// A request in hex; long ones are described by their length and a formula.
fn request_bytes(request: &Value) -> Result<Value, Failed> {
    let length = usize::try_from(number(&request["len"])?)?;
    let bytes = match request.get("pattern") {
        Some(pattern) => {
            let offset = text(pattern)?
                .strip_prefix("byte[i]=(i*31+")
                .and_then(|rest| rest.strip_suffix(")&255"))
                .ok_or("an unknown pattern")?;
            let offset: usize = offset.parse()?;
            (0..length).map(|i| (i * 31 + offset).to_le_bytes()[0]).collect()
        }
        None => hex::decode(text(&request["hex"])?)?,
    };
    if bytes.len() != length {
        return Err(format!("a request of {length} bytes has {}", bytes.len()).into());
    }
    Ok(hex::encode(bytes).into())
}

/// The members of a vector as a reader of the version finds them.
pub(crate) fn members_of_vector(members: &Value, version: ProtocolVersion) -> Result<Value, Failed> {
    let strings = version.has_string_ids();
    let nodes = list(members)?.iter().map(|node| {
        let address = u32::try_from(unsigned(&node["ip_as_uint"])?)?;
        Ok(json!([
            node["memberId"],
            Ipv4Addr::from(address.to_le_bytes()).to_string(),
            node["rslPort"],
            if strings { node["rslLearnPort"].clone() } else { 0.into() },
            if strings { 0.into() } else { node["appPort"].clone() },
            node["hostName"],
        ]))
    });
    nodes.collect::<Result<Value, Failed>>()
}

/// What the legacy parser found in a malformed message.
pub(crate) fn of_malformed(result: &Value) -> Result<Said, Failed> {
    let is_vote = result["msgId"] == 1;
    let mut said = Said::new();
    for (key, value) in result.as_object().ok_or("the result is no object")? {
        let (name, value): (&str, Value) = match key.as_str() {
            "ok" => continue,
            // Only votes look at length and checksum.
            "unMarshalLen" if is_vote => ("length", value.clone()),
            "checksumOk" if is_vote => ("checksum ok", value.clone()),
            "unMarshalLen" | "checksumOk" => continue,
            "version" => ("version", value.clone()),
            "msgId" => ("id", value.clone()),
            "memberId" => ("member", unhexed(value)?),
            "decree" => ("decree", unsigned(value)?.into()),
            "config" => ("configuration", value.clone()),
            "ballotId" => ("ballot", value.clone()),
            "ballotMember" => ("ballot of", unhexed(value)?),
            "payload" => ("payload", unsigned(value)?.into()),
            "checksum" => ("checksum", unsigned(value)?.into()),
            "cookie" => ("cookie", value.clone()),
            "reconfig" => ("is reconfiguration", value.clone()),
            "relinquish" => ("relinquish", value.clone()),
            "numRequests" => ("request count", value.clone()),
            "reqLens" => ("request lengths", value.clone()),
            "vote" => ("vote", of_malformed(value)?.into()),
            "members" => ("members", list(value)?.iter().map(malformed_node).collect::<Result<_, _>>()?),
            "configCookie" => ("set cookie", value.clone()),
            "queryDecree" => ("query decree", unsigned(value)?.into()),
            "queryBallotId" => ("query ballot", value.clone()),
            "ago" => ("ago", unsigned(value)?.cast_signed().into()),
            "minDecree" => ("first decree in log", unsigned(value)?.into()),
            "cp" => ("checkpoint", unsigned(value)?.into()),
            "cpSize" => ("checkpoint size", unsigned(value)?.into()),
            "maxBallotId" => ("max ballot", value.clone()),
            "state" => ("state", value.clone()),
            "learnPort" => ("learn port", value.clone()),
            other => return Err(format!("unknown key {other}").into()),
        };
        said.insert(name.into(), value);
    }
    Ok(said)
}

fn unhexed(value: &Value) -> Result<Value, Failed> {
    Ok(String::from_utf8_lossy(&hex::decode(text(value)?)?).into())
}

fn malformed_node(node: &Value) -> Result<Value, Failed> {
    let address = u32::try_from(number(&node["ip"])?)?;
    Ok(json!([
        unhexed(&node["id"])?,
        Ipv4Addr::from(address.to_le_bytes()).to_string(),
        node["port"],
        node["learn"],
        node["app"],
        unhexed(&node["host"])?,
    ]))
}

/// A message in the manifest of a capture or of a directory.
pub(crate) fn of_manifest(message: &Value) -> Result<Said, Failed> {
    let is_vote = message["msgId"] == 1;
    let mut said = Said::new();
    for (key, value) in message.as_object().ok_or("the message is no object")? {
        let (name, value): (&str, Value) = match key.as_str() {
            "type" | "nonzeroGarbageAfterNul" => continue,
            "len" if is_vote => ("length", value.clone()),
            "checksumState" if is_vote => ("checksum ok", (value == "ok").into()),
            "len" | "checksumState" => continue,
            "version" => ("version", value.clone()),
            "msgId" => ("id", value.clone()),
            "memberId" => ("member", value.clone()),
            "decree" => ("decree", value.clone()),
            "config" => ("configuration", value.clone()),
            "payload" => ("payload", value.clone()),
            "checksum" => ("checksum", unsigned(value)?.into()),
            "cookie" => ("cookie", value.clone()),
            "isReconfiguration" => ("is reconfiguration", value.clone()),
            "relinquish" => ("relinquish", value.clone()),
            "numRequests" => ("request count", value.clone()),
            "requestLens" => ("request lengths", value.clone()),
            "requestHeads" => ("request heads", value.clone()),
            "vote" => ("vote", of_manifest(value)?.into()),
            "queryDecree" => ("query decree", value.clone()),
            "lastReceivedAgoMs" => ("ago", value.clone()),
            "minDecreeInLog" => ("first decree in log", value.clone()),
            "checkpointedDecree" => ("checkpoint", value.clone()),
            "checkpointSize" => ("checkpoint size", value.clone()),
            "state" => ("state", value.clone()),
            "learnPort" => ("learn port", value.clone()),
            "ballot" | "queryBallot" | "maxBallot" => {
                let (name, owner) = match key.as_str() {
                    "ballot" => ("ballot", "ballot of"),
                    "queryBallot" => ("query ballot", "query ballot of"),
                    _ => ("max ballot", "max ballot of"),
                };
                said.insert(owner.into(), value[1].clone());
                (name, value[0].clone())
            }
            "memberSet" | "newConfiguration" => {
                said.insert("set cookie".into(), value["cookie"].clone());
                let nodes = list(&value["members"])?.iter().map(manifest_node);
                ("members", nodes.collect())
            }
            other => return Err(format!("unknown key {other}").into()),
        };
        said.insert(name.into(), value);
    }
    Ok(said)
}

/// Of the two ports a manifest has only the one that the version carries.
fn manifest_node(node: &Value) -> Value {
    let port = |name: &str| node.get(name).cloned().unwrap_or_else(|| 0.into());
    json!([node["id"], node["ip"], node["rslPort"], port("learnPort"), port("appPort"), node["host"]])
}
