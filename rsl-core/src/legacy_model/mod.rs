//! The legacy model: what a replica of the old library does, as protocol.md and transfer.md state it, for comparison.
//!
//! It is written from the clauses and shares only codecs and format records with the product: no consensus, no recovery.
//! Quirks are in; of a HARD clause it does the part marked L. It stands behind the boundary of
//! [`Engine`](crate::engine::Engine), so that the simulator and the drivers can host either.
//!
//! | file | section of protocol.md |
//! |---|---|
//! | `receive.rs` | 5, 6: vote cache, message queue, verification |
//! | `procedures.rs` | 7: the procedures |
//! | `votes.rs` | 8: votes at a non-proposer |
//! | `prepare.rs` | 9, 10: Prepare, NotAccepted, candidate |
//! | `primary.rs` | 11: primary; API calls |
//! | `turn.rs` | 5.6, 12, 13, 17, 19: the engine turn, elections, role notification, shutdown, timers |
//! | `execution.rs` | 14 and transfer.md 5: execution, checkpoints |
//! | `configuration.rs` | 15, 16: configuration changes, bootstrap |
//! | `learning.rs` | transfer.md 2 to 4: status round, learning, copying |
//! | `logs.rs` | transfer.md 5: log files |
//! | `restore.rs` | storage.md 3, 5: restart from a directory |
//!
//! Two things differ because of the boundary. What legacy waits for inside a turn (an append, a question to the
//! application, a transfer) is waited for between two calls of [`LegacyModel::turn`]; until it is over nothing else
//! happens, except what other threads of legacy do. And demotion does not wait for the execution queue [HARD-328]: the
//! order of the callbacks is the same, as they go through that queue.
//!
//! A failed legacy assertion ("crash") ends the model with [`StopReason::Panicked`] and a text that names the clause.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod configuration;
mod execution;
mod learning;
mod logs;
mod prepare;
mod primary;
mod procedures;
mod receive;
mod restore;
mod turn;
mod votes;

#[cfg(test)]
mod hard;
#[cfg(test)]
mod mixed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::engine::{
    AppendSeq, BootstrapToken, ChangeToken, Command, Consensus, Effect, FetchId, Input, PeerLink, PeerVote,
    Prng, QuestionId, Recovered, RequestToken, Role, Settings, Status, StopReason,
};
use crate::types::{
    Ballot, Configuration, Decree, Instant, MemberId, MemberSet, Node, Position, ProtocolVersion,
};
use crate::wire::{Prepare, PrimaryCookie, Vote, VoteContent};

use learning::{LearnThen, Reply, Transfer};
use logs::Logs;
use receive::{Cached, Queued};
pub use restore::{NoStart, restore};
use turn::Step;

/// A turn starts when something arrives and at least this often [PROTO-53].
const POLL: Duration = Duration::from_millis(10);
/// Tact of a candidate and of an outstanding vote [PROTO-175].
const RESEND: Duration = Duration::from_secs(1);
/// Requests join a queued vote up to this many bytes [PROTO-97].
const MAX_BATCH: usize = 10 * 1024 * 1024;

/// One replica of the old library. The symbols are those of protocol.md section 0.1.
#[derive(Debug)]
pub struct LegacyModel {
    settings: Settings,
    prng: Prng,
    now: Instant,
    out: Vec<Effect>,

    /// `V`.
    version: ProtocolVersion,
    /// `S`.
    role: Role,
    /// `A`.
    accepted: Vote,
    /// When `A` was received or proposed; `None` = not in this run.
    received_at: Option<Instant>,
    /// `P`.
    promised: Ballot,
    /// `SB`.
    seen: Ballot,
    /// `N`.
    configuration: Configuration,
    /// All configurations since the one of the recovered state, oldest first: `NS` is the last one whose initial
    /// decree is at most LE + 1.
    configurations: Vec<Configuration>,
    /// `D`.
    defunct: u32,
    peers: BTreeMap<MemberId, Peer>,
    /// `O`.
    outstanding: Option<Outstanding>,
    /// The cookies that hang on A, as it was proposed here: an abort does not strip them [HARD-331].
    cookies: Option<Cookies>,
    /// `R`.
    answered: BTreeSet<MemberId>,
    /// `F`.
    freshest: Option<Vote>,
    /// `VC`.
    vote_cache: VecDeque<Cached>,
    /// `MQ`.
    messages: VecDeque<Queued>,
    /// `SQ`.
    queue: VecDeque<Proposal>,
    /// `LE`.
    executed: Decree,
    /// `LP`.
    passed: Decree,

    /// `Tel`; `None` = infinite, as below.
    election_at: Option<Instant>,
    /// `Tact`.
    action_at: Option<Instant>,
    /// `Tprep`.
    give_up_at: Option<Instant>,
    /// `Tcp`.
    query_at: Option<Instant>,
    /// `Tjoin`; `None` = 0.
    joins_sent_at: Option<Instant>,
    heartbeat_poll_at: Instant,
    /// The configured election delay, randomized [PROTO-123].
    election_delay: Duration,

    is_primary: bool,
    /// `trans`.
    transitioning: bool,
    /// `force`.
    force: bool,
    /// `relq`.
    relinquishing: bool,
    /// No further requests [PROTO-99] [PROTO-168].
    shutting_down: bool,
    cookie: PrimaryCookie,
    /// The Prepare being sent, for retransmission.
    prepare: Option<Prepare>,
    /// When the last vote was proposed.
    proposed_at: Instant,
    vote_payload: u64,
    accept_messages: bool,
    /// Status replies of the current round.
    replies: BTreeMap<MemberId, Reply>,

    logs: Logs,
    /// `CK` and the size of its file.
    checkpoint: (Decree, u64),
    /// A save is pending at this decree or later; whether the application asked for it.
    pending_save: Option<(Decree, bool)>,
    /// The executor waits behind this decree for a save or a release.
    save_wanted_behind: Option<Decree>,
    saving: bool,
    allow_save: bool,
    /// A copy of a checkpoint of this decree or later is wanted [XFER-29].
    wanted_copy: Option<Decree>,
    /// When a time-based checkpoint is due [XFER-32].
    checkpoint_due: Option<Instant>,
    /// The primary's background copy.
    background: Option<FetchId>,

    /// Set by a Bootstrap call or message, not yet persisted.
    staged: Option<MemberSet>,
    persisting: bool,
    bootstrap: Option<BootstrapCall>,

    appended: AppendSeq,
    durable: AppendSeq,
    /// Effects behind an append that is not durable yet.
    held: Vec<Effect>,
    /// The process is to end once that append is durable: the thread that writes holds the lock that the end needs.
    ending: Option<StopReason>,
    next_question: u64,
    next_fetch: u64,
    /// What the turn waits for.
    asked: Option<(QuestionId, Asked)>,
    transfer: Option<Transfer>,
    /// The turn in progress.
    step: Step,
    batch: VecDeque<Cached>,
    accepted_in_batch: bool,
    last_turn: Option<Instant>,
    wake: bool,
    /// Heartbeats come from a thread of their own [HARD-344].
    independent_heartbeat: bool,
    /// It waits for something that never comes [HARD-329].
    deadlocked: bool,
    stopped: bool,
}

/// Another member of `members(N)`.
#[derive(Debug)]
struct Peer {
    node: Node,
    link: Option<PeerLink>,
    vote: Option<PeerVote>,
}

impl Peer {
    fn ip(&self) -> Ipv4Addr {
        self.link.map_or(self.node.ip, |link| link.ip)
    }
}

/// A vote that is not proposed yet [PROTO-97].
#[derive(Debug)]
struct Proposal {
    /// The version in force when it was created [WIRE-108].
    version: ProtocolVersion,
    content: VoteContent,
    size: usize,
    exclusive: bool,
    tokens: Vec<RequestToken>,
    change: Option<ChangeToken>,
}

/// The vote a primary waits for.
#[derive(Debug)]
struct Outstanding {
    vote: Vote,
    tokens: Vec<RequestToken>,
    change: Option<ChangeToken>,
}

/// Cookies of a vote, as numbers: a token cannot be copied, legacy's cookies can.
#[derive(Debug)]
struct Cookies {
    at: Position,
    tokens: Vec<u64>,
    change: Option<u64>,
}

/// A Bootstrap call in progress [PROTO-159].
#[derive(Debug)]
struct BootstrapCall {
    members: MemberSet,
    deadline: Instant,
    next: Instant,
    token: BootstrapToken,
}

/// What was asked, and what the turn does with the answer.
#[derive(Debug)]
enum Asked {
    MayLead,
    AcceptVote(Cached),
    AcceptPrepare(Prepare, crate::engine::Origin),
}

impl Consensus for LegacyModel {
    /// A replica as legacy has restored it. `disk.relearn` and `promise.dat` mean nothing to it.
    fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> LegacyModel {
        let mut prng = Prng::new(seed);
        let limit =
            prng.randomize(settings.max_log_len, settings.log_len_randomize_percent, settings.max_log_len);
        let (interval, lag) = (settings.max_checkpoint_interval, disk.checkpoint_lag);
        let checkpoint_due = (!interval.is_zero()).then(|| {
            let due = now + prng.randomize_duration(interval, 50, interval);
            if due - lag > now { due - lag } else { due }
        });
        let mut configurations = vec![disk.state_configuration];
        if configurations[0].number != disk.voting_configuration.number {
            configurations.push(disk.voting_configuration.clone());
        }
        let mut model = LegacyModel {
            prng,
            now,
            out: Vec::new(),
            version: settings.version,
            role: Role::Inactive,
            accepted: disk.accepted,
            received_at: None,
            promised: disk.promised,
            seen: Ballot::EMPTY,
            configuration: disk.voting_configuration,
            configurations,
            defunct: disk.defunct,
            peers: BTreeMap::new(),
            outstanding: None,
            cookies: None,
            answered: BTreeSet::new(),
            freshest: None,
            vote_cache: VecDeque::new(),
            messages: VecDeque::new(),
            queue: VecDeque::new(),
            executed: disk.executed,
            passed: disk.executed,
            election_at: None,
            action_at: None,
            give_up_at: None,
            query_at: None,
            joins_sent_at: None,
            heartbeat_poll_at: now,
            election_delay: Duration::ZERO,
            is_primary: false,
            transitioning: false,
            force: false,
            relinquishing: false,
            shutting_down: false,
            cookie: PrimaryCookie::new(),
            prepare: None,
            proposed_at: now,
            vote_payload: 0,
            accept_messages: true,
            replies: BTreeMap::new(),
            logs: Logs::new(disk.logs, limit),
            checkpoint: disk.checkpoint.map_or((Decree::ZERO, 0), |info| (info.decree, info.size)),
            pending_save: None,
            save_wanted_behind: None,
            saving: false,
            allow_save: true,
            wanted_copy: None,
            checkpoint_due,
            background: None,
            staged: None,
            persisting: false,
            bootstrap: None,
            appended: AppendSeq(0),
            durable: AppendSeq(0),
            held: Vec::new(),
            ending: None,
            next_question: 0,
            next_fetch: 0,
            asked: None,
            transfer: None,
            step: Step::Idle,
            batch: VecDeque::new(),
            accepted_in_batch: false,
            last_turn: None,
            wake: false,
            independent_heartbeat: false,
            deadlocked: false,
            stopped: false,
            settings,
        };
        model.draw_election_delay();
        model
    }

    fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        self.now = now;
        self.out = std::mem::take(effects);
        for input in inputs {
            // Calls come from threads of the application: each gets its answer, also once shutdown is declared [PROTO-168].
            let has_caller =
                matches!(&input, Input::Command(Command::Replicate(_) | Command::ChangeConfiguration { .. }));
            if !self.stopped || has_caller {
                self.take(input);
            }
        }
        self.run();
        *effects = std::mem::take(&mut self.out);
    }

    fn deadline(&self) -> Option<Instant> {
        if self.is_waiting() {
            return None;
        }
        let Some(last) = self.last_turn else { return Some(self.now) };
        self.next_timer().map(|at| at.max(last + POLL))
    }

    fn version(&self) -> ProtocolVersion {
        self.version
    }

    fn status(&self) -> Status {
        let owner = self.accepted.ballot().member;
        let known = owner == self.settings.member || self.peers.contains_key(&owner);
        let state = self.state_configuration(self.executed);
        Status {
            role: self.role,
            is_primary: self.is_primary,
            version: self.version,
            accepted: self.accepted.position(),
            accepted_configuration: self.accepted.header().configuration,
            promised: self.promised,
            passed: self.passed,
            executed: self.executed,
            log_range: self.log_range(),
            configuration: self.configuration.number,
            state_configuration: state.number,
            state_members: state.members,
            defunct: self.defunct,
            logs: self.logs.served(),
            save_at: self.pending_save.map(|(decree, _)| decree),
            copy_at: self.wanted_copy,
            saving: self.saving,
            current_primary: known.then_some(owner),
            received_at: self.received_at,
            votes: self.peers.iter().filter_map(|(id, peer)| Some((*id, peer.vote?))).collect(),
        }
    }

    fn role(&self) -> Role {
        self.role
    }

    fn is_primary(&self) -> bool {
        self.is_primary
    }
}

impl LegacyModel {
    /// The independent mode of heartbeats, at its worst: where that thread can get in between, it does [HARD-344].
    #[must_use]
    pub fn with_independent_heartbeat(mut self) -> LegacyModel {
        self.independent_heartbeat = true;
        self
    }

    /// `Q` [HARD-334]: computed as if this replica were a member.
    fn quorum(&self) -> usize {
        self.peers.len().div_ceil(2) + 1
    }

    /// (`A.d`, `A.b`).
    fn at(&self) -> Position {
        self.accepted.position()
    }

    /// (`A.d`, `P`).
    fn at_promise(&self) -> Position {
        Position::new(self.accepted.decree(), self.promised)
    }

    /// `NS` behind `decree`.
    fn state_configuration(&self, decree: Decree) -> Configuration {
        let known = self.configurations.iter().rev().find(|known| known.initial_decree <= decree.next());
        known.or(self.configurations.first()).unwrap_or(&self.configuration).clone()
    }

    fn is_waiting(&self) -> bool {
        self.stopped
            || self.deadlocked
            || self.persisting
            || self.asked.is_some()
            || self.transfer.is_some()
            || self.durable < self.appended
    }

    fn draw_election_delay(&mut self) {
        let Settings { election_delay, election_randomize_percent, max_election_randomize, .. } =
            self.settings;
        self.election_delay =
            self.prng.randomize_duration(election_delay, election_randomize_percent, max_election_randomize);
    }

    /// A failed assertion: the process is gone.
    fn dies(&mut self, why: &str) {
        self.stop(StopReason::Panicked(format!("legacy crash: {why}")));
    }

    fn stop(&mut self, reason: StopReason) {
        if !self.stopped {
            self.stopped = true;
            self.emit(Effect::Stop(reason));
        }
    }

    /// What is not an append or a message happens after the appends before it.
    fn emit(&mut self, effect: Effect) {
        let waits = self.durable < self.appended && !self.stopped;
        match effect {
            Effect::Append { .. } | Effect::Send { .. } | Effect::Peers(_) => self.out.push(effect),
            _ if waits => self.held.push(effect),
            _ => self.out.push(effect),
        }
    }
}
