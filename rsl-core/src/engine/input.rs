//! What the engine is told: messages, commands of the application, completions and link states.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::effect::{AppendSeq, BootstrapToken, ChangeToken, FetchId, QuestionId, RequestToken, StopReason};
use super::recovered::CheckpointInfo;
use crate::format::Record;
use crate::types::{Decree, Instant, MemberId, MemberSet};
use crate::wire::{Message, PrimaryCookie};

/// A connection, numbered by the driver; never reused in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What kind of connection a message came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A packet connection the peer opened.
    Inbound,
    /// A packet connection this replica opened: only answers are accepted on it [WIRE-10] [PROTO-35].
    Outbound,
    /// A connection to the learn port; carries one StatusQuery [XFER-6].
    Learn,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The connection.
    pub connection: ConnectionId,
    /// Its kind.
    pub direction: Direction,
    /// Its remote address.
    pub address: SocketAddrV4,
}

/// One thing the engine is told.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, from the driver into the turn; a box would cost an allocation per message"
)]
pub enum Input {
    /// A decoded message whose packet checksum was right. The message checksum of a vote is verified by the engine.
    Message {
        /// Where it came from.
        from: Origin,
        /// The message.
        message: Message,
    },
    /// The application wants something.
    Command(Command),
    /// All records up to this one are on stable storage. Monotonic.
    Appended {
        /// The last durable record.
        through: AppendSeq,
    },
    /// The execution context has executed everything up to `decree`. Coalescing is allowed, except that a decree
    /// with `save_state` is reported by itself, last, and the context then waits for `Apply::Save` or
    /// `Apply::Release`.
    Executed {
        /// The last executed decree.
        decree: Decree,
        /// A request of that decree asked for a checkpoint [PROTO-139].
        save_state: bool,
    },
    /// A save requested with `Apply::Save` has ended.
    Saved(SaveOutcome),
    /// What `Effect::PersistMembers` asked for is done.
    MembersPersisted {
        /// The members in it.
        members: Arc<MemberSet>,
        /// The checkpoint is durable; if not, the set is not adopted.
        written: bool,
    },
    /// The application answered a question.
    Answered {
        /// Which one. Answers to forgotten questions are dropped.
        question: QuestionId,
        /// The verdict.
        answer: Answer,
    },
    /// Records of a FetchVotes stream, in stream order, each decoded and with a right checksum.
    Fetched {
        /// Which transfer. Records of forgotten transfers are dropped.
        fetch: FetchId,
        /// The records.
        records: Vec<Record>,
    },
    /// A transfer is over.
    FetchEnded {
        /// Which one.
        fetch: FetchId,
        /// How it ended.
        outcome: FetchOutcome,
    },
    /// The links to the peers as they are now. The driver gives it at least in every turn whose deadline has passed.
    Links(Vec<PeerLink>),
}

/// What the application (or the host) asks for.
#[derive(Debug)]
pub enum Command {
    /// Requests in the order in which they were admitted. While not primary they are aborted.
    Replicate(Vec<Request>),
    /// Proposes another member set [PROTO-101]; checked by the admission. Aborted while not primary.
    ChangeConfiguration {
        /// The new members.
        members: Arc<MemberSet>,
        /// Its token.
        token: ChangeToken,
    },
    /// Adopts a first member set and waits for its first primary [PROTO-159]; ends in `Effect::BootstrapEnded`.
    Bootstrap {
        /// The members.
        members: Arc<MemberSet>,
        /// How long to wait.
        timeout: Duration,
        /// Its token.
        token: BootstrapToken,
    },
    /// Forces one election attempt [PROTO-122].
    AttemptPromotion,
    /// Gives up being primary [PROTO-113].
    RelinquishPrimary,
    /// The payload of the next vote answers [PROTO-187].
    SetVotePayload(u64),
    /// Whether checkpoints may be saved [XFER-39].
    AllowSaveState(bool),
    /// The global accept flag [PROTO-85].
    SetAcceptMessages(bool),
    /// A checkpoint was copied on behalf of the application and is durable under its final name [XFER-27].
    InstallCheckpoint(CheckpointInfo),
    /// Another election delay, randomized anew [PROTO-123].
    ChangeElectionDelay(Duration),
    /// The replica ends: what waits here is aborted, and nothing is done any more [PROTO-168].
    Stop(StopReason),
}

/// A client request with the token that ends in exactly one execution or abort.
#[derive(Debug)]
pub struct Request {
    /// The request's bytes; at least one, and within the message limit: the admission checks both.
    pub payload: Bytes,
    /// Its token.
    pub token: RequestToken,
    /// Gets a vote of its own that nothing joins [PROTO-99].
    pub exclusive: bool,
    /// Additionally the last decree this primary proposes for the application [PROTO-99].
    pub last_decree: bool,
}

/// How a save ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// The checkpoint is durable under its final name.
    Done {
        /// State after this decree.
        decree: Decree,
        /// File size in bytes.
        size: u64,
    },
    /// The application declined [XFER-38].
    Refused,
    /// Writing or verifying failed; logs are kept [HARD-361] [HARD-362].
    Failed,
}

/// An answer of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// CanBecomePrimary: `Some(cookie)` = yes, with the primary cookie (empty if none).
    MayLead(Option<PrimaryCookie>),
    /// AcceptMessageFromReplica.
    Accept(bool),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The stream ended or broke; what was delivered before stays.
    VotesEnded {
        /// The source was reached and had not one record; false when it could not be reached or the stream broke.
        empty: bool,
    },
    /// The checkpoint is durable under its final name.
    CheckpointCopied {
        /// State after this decree.
        decree: Decree,
        /// File size in bytes.
        size: u64,
    },
    /// The checkpoint could not be copied.
    CheckpointFailed,
}

/// The link to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLink {
    /// Its address as far as known: the configured one, or what its host name resolves to; 0.0.0.0 = unresolved.
    pub ip: std::net::Ipv4Addr,
    /// The peer.
    pub member: MemberId,
    /// Its outbound connection works.
    pub connected: bool,
    /// Packets submitted to it and not yet handed to the socket.
    pub unsent: u32,
    /// When the last send to it completed, well or not [PROTO-106].
    pub last_send: Option<Instant>,
}
