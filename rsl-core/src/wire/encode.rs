//! Messages as bytes: `Message::decode` and `Message::encode`.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{
    CookieLimit, Reader, encode_member_set, length_u32, member_set_size, put_ballot, put_primary_cookie,
};
use super::header::{CHECKSUM_FIELD, CHECKSUM_FROM, RawHeader, put_header, read_header};
use super::{
    Bootstrap, DecodeError, EncodeError, Header, Join, LogRange, Message, MessageId, Prepare,
    PrepareAccepted, StatusResponse, Vote, checksum,
};
use crate::types::{Decree, Position};

/// The checksum of an encoded message: over everything behind the checksum field [WIRE-79]. `message` must end where
/// the message ends; 14 bytes or fewer have the checksum of nothing.
#[must_use]
pub fn message_checksum(message: &[u8]) -> u64 {
    checksum(message.get(CHECKSUM_FROM..).unwrap_or_default())
}

impl Message {
    /// Decodes a message of any id, 1 to 14, from the start of `bytes`. Only a vote compares its length with the
    /// bytes present [WIRE-76] [WIRE-85]; other messages take the bytes their fields need and ignore the rest
    /// [WIRE-52]. Shares `bytes`; verifies no checksum [WIRE-81].
    ///
    /// # Errors
    /// When it is malformed. The message is to be dropped and the connection kept [WIRE-18].
    pub fn decode(bytes: &Bytes) -> Result<Message, DecodeError> {
        let mut reader = Reader::new(bytes);
        let RawHeader { header, id, .. } = read_header(&mut reader)?;
        let id = MessageId::from_number(id).ok_or(DecodeError::UnknownId(id))?;
        Ok(match id {
            MessageId::Vote => Message::Vote(Vote::decode(bytes)?),
            MessageId::VoteAccepted => Message::VoteAccepted(header),
            MessageId::Prepare => {
                let cookie = reader.primary_cookie(header.version)?;
                Message::Prepare(Prepare { header, cookie })
            }
            MessageId::PrepareAccepted => {
                let vote = Vote::decode(&reader.rest())?;
                Message::PrepareAccepted(PrepareAccepted { header, vote })
            }
            MessageId::NotAccepted => Message::NotAccepted(header),
            MessageId::StatusQuery => Message::StatusQuery(header),
            MessageId::StatusResponse => Message::StatusResponse(read_status_response(&mut reader, header)?),
            MessageId::FetchVotes => Message::FetchVotes(header),
            MessageId::FetchCheckpoint => Message::FetchCheckpoint(header),
            MessageId::ReconfigurationDecision => Message::ReconfigurationDecision(header),
            MessageId::DefunctConfiguration => Message::DefunctConfiguration(header),
            MessageId::Join => {
                let learn_port = reader.u16("learn port")?;
                Message::Join(Join { header, learn_port, log: read_log_range(&mut reader)? })
            }
            MessageId::JoinRequest => Message::JoinRequest(header),
            MessageId::Bootstrap => {
                let members = reader.member_set(header.version, CookieLimit::Enforced)?;
                Message::Bootstrap(Bootstrap { header, members })
            }
        })
    }

    /// Decodes the payload of a packet, where the requests of the learn port are unknown [WIRE-12].
    ///
    /// # Errors
    /// As [`Message::decode`], and for ids 8 and 9.
    pub fn decode_packet_payload(bytes: &Bytes) -> Result<Message, DecodeError> {
        match Message::decode(bytes)? {
            message @ (Message::FetchVotes(_) | Message::FetchCheckpoint(_)) => {
                Err(DecodeError::UnknownId(message.id() as u16))
            }
            message => Ok(message),
        }
    }

    /// Size of the encoded message [WIRE-75].
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        let version = self.header().version;
        let id = version.member_id_size() as u64;
        let body = match self {
            Message::Vote(vote) => return vote.encoded().len() as u64,
            Message::Prepare(prepare) if version.has_primary_cookie() => 4 + prepare.cookie.len() as u64,
            Message::PrepareAccepted(promise) => promise.vote.encoded().len() as u64,
            Message::StatusResponse(_) => 52 + 2 * id,
            Message::Join(_) => 26,
            Message::Bootstrap(bootstrap) => member_set_size(&bootstrap.members, version),
            Message::Prepare(_)
            | Message::VoteAccepted(_)
            | Message::NotAccepted(_)
            | Message::StatusQuery(_)
            | Message::FetchVotes(_)
            | Message::FetchCheckpoint(_)
            | Message::ReconfigurationDecision(_)
            | Message::DefunctConfiguration(_)
            | Message::JoinRequest(_) => 0,
        };
        version.base_size() as u64 + body
    }

    /// Encodes the message in its header's version. A vote, alone or in a promise, is copied with the bytes it
    /// came in [WIRE-62]; every other message gets `header.checksum` as it stands.
    ///
    /// # Errors
    /// When an id cannot be said in that version [HARD-13] or a length does not fit.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        if let Message::Vote(vote) = self {
            return Ok(vote.encoded().clone());
        }
        self.encode_fields().map(BytesMut::freeze)
    }

    /// Encodes the message with its checksum filled in, as log records and ReconfigurationDecision carry it
    /// [WIRE-79]. A vote keeps the bytes it has.
    ///
    /// # Errors
    /// As [`Message::encode`].
    pub fn encode_with_checksum(&self) -> Result<Bytes, EncodeError> {
        if let Message::Vote(vote) = self {
            return Ok(vote.encoded().clone());
        }
        let mut out = self.encode_fields()?;
        let sum = message_checksum(&out);
        out[CHECKSUM_FIELD].copy_from_slice(&sum.to_le_bytes());
        Ok(out.freeze())
    }

    fn encode_fields(&self) -> Result<BytesMut, EncodeError> {
        let header = self.header();
        let version = header.version;
        let length = length_u32("message", self.encoded_len())?;
        let mut out = BytesMut::with_capacity(length as usize);
        put_header(header, self.id(), length, &mut out)?;
        match self {
            Message::Vote(vote) => {
                out.clear();
                out.put_slice(vote.encoded());
            }
            Message::Prepare(prepare) => put_primary_cookie(&prepare.cookie, version, &mut out)?,
            Message::PrepareAccepted(promise) => out.put_slice(promise.vote.encoded()),
            Message::StatusResponse(response) => put_status_response(response, &mut out)?,
            Message::Join(join) => {
                out.put_u16_le(join.learn_port);
                put_log_range(&join.log, &mut out);
            }
            Message::Bootstrap(bootstrap) => {
                encode_member_set(&bootstrap.members, version, CookieLimit::Enforced, &mut out)?;
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
        assert_eq!(out.len(), length as usize, "size of a message");
        Ok(out)
    }
}

fn read_status_response(reader: &mut Reader<'_>, header: Header) -> Result<StatusResponse, DecodeError> {
    let version = header.version;
    Ok(StatusResponse {
        header,
        query: Position::new(Decree(reader.u64("query decree")?), reader.ballot(version)?),
        last_received_ago: reader.u64("last received ago")?.cast_signed(),
        log: read_log_range(reader)?,
        max_ballot: reader.ballot(version)?,
        state: reader.u32("state")?,
    })
}

fn put_status_response(response: &StatusResponse, out: &mut BytesMut) -> Result<(), EncodeError> {
    let version = response.header.version;
    out.put_u64_le(response.query.decree.0);
    put_ballot(response.query.ballot, version, out)?;
    out.put_i64_le(response.last_received_ago);
    put_log_range(&response.log, out);
    put_ballot(response.max_ballot, version, out)?;
    out.put_u32_le(response.state);
    Ok(())
}

fn read_log_range(reader: &mut Reader<'_>) -> Result<LogRange, DecodeError> {
    Ok(LogRange {
        min_decree_in_log: Decree(reader.u64("min decree in log")?),
        checkpointed_decree: Decree(reader.u64("checkpointed decree")?),
        checkpoint_size: reader.u64("checkpoint size")?,
    })
}

fn put_log_range(log: &LogRange, out: &mut BytesMut) {
    out.put_u64_le(log.min_decree_in_log.0);
    out.put_u64_le(log.checkpointed_decree.0);
    out.put_u64_le(log.checkpoint_size);
}
