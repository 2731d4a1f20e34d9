//! What the engine wants done: the contract between the pure core and whoever performs its effects.
//!
//! Contract for executors (the replica driver and the simulator):
//! 1. effects are performed in order; those of one turn before the inputs of the next;
//! 2. appends are contiguous; `Input::Appended` is monotonic and means stable storage. One write and one sync may
//!    cover all appends of a turn;
//! 3. a `Send` with `after` leaves only once that append is durable: [`Outbox`](super::Outbox) implements it for
//!    both. A `Send` without `after` should leave before the turn's log write starts (decision 11);
//! 4. a failed append is no input: the executor stops the replica for good [PROTO-30];
//! 5. `Apply` effects form one FIFO towards the execution context, with these exceptions, which take effect ahead of
//!    what is queued: `Save` and `Release` right after the decree they name; `Hold` and `Status { is_primary: true }`
//!    before the next decree starts;
//! 6. inputs for forgotten questions and transfers are harmless: they are dropped by id.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::input::ConnectionId;
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, MemberId, ProtocolVersion};
use crate::wire::{Message, PrimaryCookie, Vote};

/// Number of an append, counted from 1 in each run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendSeq(pub u64);

/// Number of a question to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub u64);

/// Number of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// The application's handle on a request it submitted here. Deliberately neither `Clone` nor `Copy`: a token is moved
/// from the admission through the queues into exactly one `Apply::Execute` or `Apply::Abort` (decision 12).
#[derive(Debug, PartialEq, Eq)]
pub struct RequestToken(pub u64);

/// The application's handle on a configuration change it asked for here; moved like a [`RequestToken`].
#[derive(Debug, PartialEq, Eq)]
pub struct ChangeToken(pub u64);

/// The application's handle on a Bootstrap call; ends in one `Effect::BootstrapEnded`.
#[derive(Debug, PartialEq, Eq)]
pub struct BootstrapToken(pub u64);

/// How a Bootstrap call ends [PROTO-160].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapResult {
    /// A primary has been elected in the new configuration.
    Success,
    /// The set is not valid in the present version.
    InvalidParameter,
    /// A primary has been seen before.
    AlreadyBootstrapped,
    /// Self is not in the set, another set was adopted, or the time is over.
    Failed,
}

/// One thing to be done.
#[derive(Debug)]
pub enum Effect {
    /// Append a record to the log.
    Append {
        /// Its number; contiguous.
        seq: AppendSeq,
        /// The record.
        record: Record,
        /// Start the log file of this decree with it [STOR-23].
        new_log: Option<Decree>,
    },
    /// Send a message.
    Send {
        /// To whom.
        to: Destination,
        /// What.
        message: Message,
        /// Not before this append is durable [PROTO-27].
        after: Option<AppendSeq>,
    },
    /// Close an inbound connection [WIRE-102].
    Disconnect(ConnectionId),
    /// From now on the peers are the members of this configuration other than this replica: `Destination::AllPeers`
    /// and `Destination::Peer` mean them. Given before the first message to any peer and at every change.
    Peers(Configuration),
    /// Write a checkpoint without application state that persists the first member set [STOR-52]; reported as
    /// `Input::MembersPersisted`.
    PersistMembers(SaveRequest),
    /// A Bootstrap call has ended.
    BootstrapEnded {
        /// Its token.
        token: BootstrapToken,
        /// How.
        result: BootstrapResult,
    },
    /// Ask the application; the answer comes as `Input::Answered`.
    Ask {
        /// The question's number.
        question: QuestionId,
        /// The question.
        ask: Question,
    },
    /// Work for the execution context.
    Apply(Apply),
    /// Start a transfer from a learn port.
    Fetch {
        /// Its number.
        fetch: FetchId,
        /// The learn port to connect to.
        from: SocketAddrV4,
        /// The message to send there: FetchVotes or FetchCheckpoint.
        request: Message,
        /// What is expected.
        kind: FetchKind,
    },
    /// Abandon a transfer; nothing of it is wanted any more.
    CancelFetch(FetchId),
    /// A checkpoint has become current: serve logs from the one named here on, delete what retention allows
    /// [STOR-55] [STOR-57].
    CleanUp {
        /// Name of the oldest log file that is still served.
        serve_from: Decree,
    },
    /// Note the highest defunct configuration number in `defunct.txt`, not before the append is durable [STOR-8].
    PersistDefunct {
        /// The number.
        through: u32,
        /// The vote that proves it.
        after: Option<AppendSeq>,
    },
    /// A decree proposed here has found its majority after this long; for statistics [PROTO-184].
    Voted {
        /// The decree.
        decree: Decree,
        /// From the proposal to the majority.
        took: Duration,
    },
    /// Tell the operator.
    Report(Report),
    /// The replica is finished; nothing follows.
    Stop(StopReason),
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Every peer of the current configuration, on the outbound connections [WIRE-7].
    AllPeers,
    /// One peer, on its outbound connection.
    Peer(MemberId),
    /// Back on the connection a message came in on; dropped when that is gone [WIRE-8].
    Connection(ConnectionId),
}

/// A question to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this replica become primary, and with which cookie [PROTO-124]?
    CanBecomePrimary,
    /// Should this message be answered positively [PROTO-85]?
    AcceptMessage {
        /// The sender.
        from: MemberId,
        /// The cookie of its vote or Prepare.
        cookie: PrimaryCookie,
    },
}

/// Work for the execution context, in order.
#[derive(Debug)]
pub enum Apply {
    /// Execute the next decree.
    Execute {
        /// The chosen vote.
        vote: Vote,
        /// One token per request if the requests entered here, else empty.
        tokens: Vec<RequestToken>,
        /// The token of a configuration change that was asked for here.
        change: Option<ChangeToken>,
    },
    /// A configuration change will not be executed on behalf of this process [PROTO-145].
    AbortChange {
        /// Its token.
        token: ChangeToken,
        /// Why.
        reason: AbortReason,
    },
    /// A request will not be executed on behalf of this process.
    Abort {
        /// Its token.
        token: RequestToken,
        /// Why.
        reason: AbortReason,
    },
    /// True: start no further decree until `Hold(false)` or `Status { is_primary: true }`. Given when this replica has
    /// won an election while passed decrees still wait for execution [PROTO-129].
    Hold(bool),
    /// NotifyStatus: the replica has become primary, or has stopped being it [PROTO-128] [PROTO-131]. Admission opens,
    /// respectively closes, when the effect is performed; the callback follows in the execution context.
    Status {
        /// The new role.
        is_primary: bool,
    },
    /// NotifyPrimaryRecovered, unless the replica has stopped being primary by then [PROTO-130].
    PrimaryRecovered,
    /// The first member set is persisted: StateSaved for checkpoint 0, then NotifyConfigurationChanged without cookie
    /// [PROTO-162] [HARD-350].
    MembersPersisted,
    /// Save a checkpoint right after executing decree `at`, before the next [XFER-33].
    Save(SaveRequest),
    /// Go on after a decree that asked for a checkpoint: none is taken now.
    Release {
        /// The decree that was reported with `save_state`.
        decree: Decree,
    },
    /// StateCopied: a primary's background copy has arrived [XFER-25].
    StateCopied {
        /// The checkpoint's decree.
        decree: Decree,
    },
}

/// What goes into a checkpoint's header.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// State after this decree.
    pub at: Decree,
    /// The vote of the next decree, durable here [XFER-34]. `None`: it is the head of the execution queue, which is
    /// durable as well.
    pub next_vote: Option<Vote>,
    /// The highest promise at this moment [STOR-40].
    pub promised: Ballot,
    /// Version of the header (already raised where HARD-42 asks for it).
    pub version: ProtocolVersion,
    /// The configuration of the state.
    pub configuration: Configuration,
}

/// Why a request was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The replica is not primary any more.
    NotPrimary,
    /// The replica is shutting down.
    ShuttingDown,
}

/// What a transfer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// Log records, delivered as `Input::Fetched`.
    Votes,
    /// A checkpoint file, published under its final name.
    Checkpoint {
        /// Its decree.
        decree: Decree,
        /// Announced file size, 0 = unknown [HARD-47].
        size: u64,
        /// The copy's max ballot is raised to this [STOR-53].
        promised: Ballot,
    },
}

/// Something the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A vote has found no majority for too long; the primary steps down (decision 2).
    VoteOutstandingTooLong(Decree),
    /// A vote with a wrong message checksum was dropped [HARD-303].
    BadVoteChecksum(MemberId),
    /// Two different values under one decree and ballot came from a peer (decision 21).
    ConflictingVote(MemberId),
    /// A ballot far above everything seen was refused [HARD-306].
    AbsurdBallot(MemberId),
    /// No ballot is left to choose [HARD-306].
    BallotsExhausted,
    /// A message of this member was dropped: the answer would need an id that the version cannot say [HARD-13].
    CannotEncode(MemberId),
    /// A reconfiguration decision names a vote that is none [HARD-310].
    BadDecision(MemberId),
    /// RelinquishPrimary was ignored: nobody could succeed [HARD-564].
    NoSuccessor,
}

/// Why a replica ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// A checkpoint was copied because the replica was too far behind: a restart loads it [XFER-24].
    CheckpointCopied,
    /// It gave up being primary and the vote was chosen [PROTO-113].
    Relinquished,
    /// The application unloaded it.
    Unloaded,
    /// It was to go on in place, but could not be started again [PROTO-169].
    ReloadFailed(String),
    /// A log write or sync failed; nothing more may be promised [PROTO-30].
    LogFailed(String),
    /// The system's poll failed for good.
    NetworkFailed(String),
    /// A thread of the replica panicked: a callback, or a broken belief of our own.
    Panicked(String),
}
