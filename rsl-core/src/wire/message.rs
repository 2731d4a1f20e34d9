//! The messages as values: one variant per message id, and the header all of them share.

use bytes::Bytes;

use super::Vote;
use crate::types::{Ballot, Decree, MemberId, MemberSet, Position, ProtocolVersion};

/// Message ids 1 to 14 [WIRE-12].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum MessageId {
    /// A proposed vote.
    Vote = 1,
    /// The answer to a vote that was accepted.
    VoteAccepted = 2,
    /// A candidate asks for promises.
    Prepare = 3,
    /// A promise, with the highest accepted vote.
    PrepareAccepted = 4,
    /// A refusal that names what the sender holds.
    NotAccepted = 5,
    /// Asks how far a replica is.
    StatusQuery = 6,
    /// Says how far a replica is.
    StatusResponse = 7,
    /// Asks for log records (learn port only).
    FetchVotes = 8,
    /// Asks for a checkpoint file (learn port only).
    FetchCheckpoint = 9,
    /// A reconfiguration vote has been chosen.
    ReconfigurationDecision = 10,
    /// The configuration named in a message is defunct.
    DefunctConfiguration = 11,
    /// Invitation to a later configuration.
    Join = 12,
    /// Asks for that invitation.
    JoinRequest = 13,
    /// The first member set.
    Bootstrap = 14,
}

impl MessageId {
    /// The id of a number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<MessageId> {
        Some(match number {
            1 => MessageId::Vote,
            2 => MessageId::VoteAccepted,
            3 => MessageId::Prepare,
            4 => MessageId::PrepareAccepted,
            5 => MessageId::NotAccepted,
            6 => MessageId::StatusQuery,
            7 => MessageId::StatusResponse,
            8 => MessageId::FetchVotes,
            9 => MessageId::FetchCheckpoint,
            10 => MessageId::ReconfigurationDecision,
            11 => MessageId::DefunctConfiguration,
            12 => MessageId::Join,
            13 => MessageId::JoinRequest,
            14 => MessageId::Bootstrap,
            _ => return None,
        })
    }
}

/// The values every message starts with [WIRE-74]. The message id and the length follow from the message itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version the message is encoded in.
    pub version: ProtocolVersion,
    /// The message checksum as found or to be written; 0 = none [WIRE-79].
    pub checksum: u64,
    /// Who sends it (in a vote: who proposed it).
    pub member: MemberId,
    /// The decree [section 5.1 of wire.md].
    pub decree: Decree,
    /// The configuration number; read as 1 below version 3.
    pub configuration: u32,
    /// The ballot.
    pub ballot: Ballot,
    /// The application's vote payload; absent (0) below version 6 [WIRE-78].
    pub payload: u64,
}

impl Header {
    /// A header with checksum and payload 0.
    #[must_use]
    pub const fn new(
        version: ProtocolVersion,
        member: MemberId,
        decree: Decree,
        configuration: u32,
        ballot: Ballot,
    ) -> Header {
        Header { version, checksum: 0, member, decree, configuration, ballot, payload: 0 }
    }

    /// Decree and ballot together.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position::new(self.decree, self.ballot)
    }
}

/// The opaque bytes a primary attaches to its Prepare and its votes, from version 2 on [WIRE-69].
pub type PrimaryCookie = Bytes;

/// A candidate's Prepare [WIRE-90].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// Decree = the candidate's highest accepted decree, ballot = the ballot it asks promises for.
    pub header: Header,
    /// The candidate's primary cookie; lost in version 1.
    pub cookie: PrimaryCookie,
}

/// A promise [WIRE-91].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareAccepted {
    /// Decree and ballot of the Prepare.
    pub header: Header,
    /// The sender's highest accepted vote, in its own version and with its own bytes.
    pub vote: Vote,
}

/// How far a replica is [WIRE-94].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// Decree and ballot of the sender's highest accepted vote.
    pub header: Header,
    /// Decree and ballot of the query, echoed.
    pub query: Position,
    /// Milliseconds since the highest accepted vote was received [WIRE-95].
    pub last_received_ago: i64,
    /// What the sender can serve and load.
    pub log: LogRange,
    /// The sender's highest promise; informational [WIRE-96].
    pub max_ballot: Ballot,
    /// The sender's role as a number (0 inactive .. 4 initializing); informational, any value is read.
    pub state: u32,
}

/// What a replica can serve, as StatusResponse and Join report it [XFER-8].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// First decree of the oldest log it serves.
    pub min_decree_in_log: Decree,
    /// Decree of its newest checkpoint, 0 if none.
    pub checkpointed_decree: Decree,
    /// Size of that checkpoint's file in bytes, 0 = none or unknown.
    pub checkpoint_size: u64,
}

/// Invitation to the sender's configuration [WIRE-97].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Decree = initial decree of the configuration - 1 (modulo 2^64).
    pub header: Header,
    /// The sender's learn port.
    pub learn_port: u16,
    /// What it can serve.
    pub log: LogRange,
}

/// The first member set of a replica that has none [WIRE-98].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Decree 0, configuration 0, empty ballot.
    pub header: Header,
    /// The proposed members.
    pub members: MemberSet,
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Id 1.
    Vote(Vote),
    /// Id 2.
    VoteAccepted(Header),
    /// Id 3.
    Prepare(Prepare),
    /// Id 4.
    PrepareAccepted(PrepareAccepted),
    /// Id 5.
    NotAccepted(Header),
    /// Id 6.
    StatusQuery(Header),
    /// Id 7.
    StatusResponse(StatusResponse),
    /// Id 8.
    FetchVotes(Header),
    /// Id 9.
    FetchCheckpoint(Header),
    /// Id 10.
    ReconfigurationDecision(Header),
    /// Id 11.
    DefunctConfiguration(Header),
    /// Id 12.
    Join(Join),
    /// Id 13.
    JoinRequest(Header),
    /// Id 14.
    Bootstrap(Bootstrap),
}

impl Message {
    /// The message's id.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        match self {
            Message::Vote(_) => MessageId::Vote,
            Message::VoteAccepted(_) => MessageId::VoteAccepted,
            Message::Prepare(_) => MessageId::Prepare,
            Message::PrepareAccepted(_) => MessageId::PrepareAccepted,
            Message::NotAccepted(_) => MessageId::NotAccepted,
            Message::StatusQuery(_) => MessageId::StatusQuery,
            Message::StatusResponse(_) => MessageId::StatusResponse,
            Message::FetchVotes(_) => MessageId::FetchVotes,
            Message::FetchCheckpoint(_) => MessageId::FetchCheckpoint,
            Message::ReconfigurationDecision(_) => MessageId::ReconfigurationDecision,
            Message::DefunctConfiguration(_) => MessageId::DefunctConfiguration,
            Message::Join(_) => MessageId::Join,
            Message::JoinRequest(_) => MessageId::JoinRequest,
            Message::Bootstrap(_) => MessageId::Bootstrap,
        }
    }

    /// The header values.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Message::Vote(vote) => vote.header(),
            Message::Prepare(message) => &message.header,
            Message::PrepareAccepted(message) => &message.header,
            Message::StatusResponse(message) => &message.header,
            Message::Join(message) => &message.header,
            Message::Bootstrap(message) => &message.header,
            Message::VoteAccepted(header)
            | Message::NotAccepted(header)
            | Message::StatusQuery(header)
            | Message::FetchVotes(header)
            | Message::FetchCheckpoint(header)
            | Message::ReconfigurationDecision(header)
            | Message::DefunctConfiguration(header)
            | Message::JoinRequest(header) => header,
        }
    }
}
