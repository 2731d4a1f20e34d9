//! The engine itself: its state, the order of one turn, timers and the copy of the state for readers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use super::acceptor::PositiveAnswer;
use super::bootstrap::Bootstrapping;
use super::checkpointing::Checkpointing;
use super::effect::{Apply, Destination, FetchId, QuestionId};
use super::input::{Direction, Origin, PeerLink};
use super::invariants::Snapshot;
use super::learner::Learner;
use super::log_book::LogBook;
use super::prng::Prng;
use super::proposer::{Candidate, Outstanding, Queue};
use super::status::PeerVote;
use super::vote_cache::VoteCache;
use super::{
    AbortReason, BootstrapResult, Command, Effect, Input, Question, Recovered, Settings, StopReason,
};
use crate::types::{Ballot, Configuration, Decree, Instant, MemberId, Node, Position, ProtocolVersion};
use crate::wire::{Header, LogRange, Message, PrimaryCookie, Vote};

/// How often an outstanding vote or Prepare is examined for resending [PROTO-106].
pub(super) const RESEND_INTERVAL: Duration = Duration::from_secs(1);

/// What a replica is doing; the numbers are those of StatusResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Role {
    /// Not a member of the current configuration.
    Inactive = 0,
    /// Owns the promised ballot and proposes.
    Primary = 1,
    /// Follows votes.
    Secondary = 2,
    /// Candidate: collects promises.
    Preparing = 3,
    /// Finding out whether it is behind.
    Initializing = 4,
}

/// Another member of the voting configuration.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: Node,
    pub(super) link: Option<PeerLink>,
    pub(super) vote: Option<PeerVote>,
}

impl Peer {
    pub(super) fn new(node: &Node) -> Peer {
        Peer { node: node.clone(), link: None, vote: None }
    }

    /// The address its messages come from: what its host name resolves to, else the configured one.
    pub(super) fn ip(&self) -> std::net::Ipv4Addr {
        self.link.map_or(self.node.ip, |link| link.ip)
    }
}

/// One replica's consensus.
///
/// The letters of protocol.md: A = `accepted`, P = `promised`, SB = `highest_seen`, N = `configuration`, D = `defunct`,
/// O = `outstanding`, R = `acks`, SQ = `queue`, VC = `vote_cache`, LE = `executed`, LP = `passed`.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Settings,
    pub(super) prng: Prng,
    /// Time of the current turn.
    pub(super) now: Instant,
    /// Effects of the current turn.
    pub(super) out: Vec<Effect>,
    pub(super) stopped: bool,

    pub(super) role: Role,
    /// The application has been promoted. Implies `role == Primary` between turns.
    pub(super) is_primary: bool,
    /// Never falls while the process runs [PROTO-43].
    pub(super) version: ProtocolVersion,

    /// The newest vote in the log, or the unlogged empty vote of a start or of a new configuration.
    pub(super) accepted: Vote,
    /// When it was received or proposed; `None` = not in this run.
    pub(super) received_at: Option<Instant>,
    /// Invariant: `promised >= accepted.ballot()`; never falls [PROTO-14]. In the log, though perhaps not yet durable:
    /// whatever speaks of it is gated.
    pub(super) promised: Ballot,
    pub(super) highest_seen: Ballot,
    pub(super) log: LogBook,
    pub(super) relearn: Option<Position>,

    pub(super) configuration: Configuration,
    /// The configuration of the executed state, then those that have passed but are not executed. Never empty.
    pub(super) state_configurations: VecDeque<Configuration>,
    pub(super) defunct: u32,
    /// Other members of `configuration`.
    pub(super) peers: BTreeMap<MemberId, Peer>,
    pub(super) links: Vec<PeerLink>,
    /// Addresses of members of earlier configurations of this run.
    pub(super) former_members: BTreeSet<std::net::Ipv4Addr>,
    /// Counts configuration changes: messages that wait behind one are dropped [PROTO-52].
    pub(super) configuration_changes: u64,
    /// Who reported a defunct number that needs a second source, and when the last report made this replica start a
    /// round [HARD-307].
    pub(super) defunct_reports: BTreeMap<u32, MemberId>,
    pub(super) defunct_round_at: Option<Instant>,

    pub(super) bootstrap: Bootstrapping,
    pub(super) vote_cache: VoteCache,
    pub(super) learner: Learner,
    pub(super) checkpoints: Checkpointing,
    /// Passed, and handed to the execution context.
    pub(super) passed: Decree,
    pub(super) executed: Decree,

    /// Members that answered the current Prepare or vote.
    pub(super) acks: BTreeSet<MemberId>,
    pub(super) candidate: Option<Candidate>,
    pub(super) outstanding: Option<Outstanding>,
    pub(super) queue: Queue,
    pub(super) relinquishing: bool,
    /// The last decree for the application has been taken [PROTO-99].
    pub(super) draining: bool,
    /// Execution has been told to hold [PROTO-129].
    pub(super) holding: bool,
    /// When this primary proposed last.
    pub(super) proposed_at: Instant,
    pub(super) cookie: PrimaryCookie,
    pub(super) vote_payload: u64,
    pub(super) accept_messages: bool,

    pub(super) next_question: u64,
    pub(super) next_fetch: u64,
    /// CanBecomePrimary has been asked; void once anything it depends on has changed.
    pub(super) election_question: Option<QuestionId>,
    pub(super) questions: BTreeMap<QuestionId, PositiveAnswer>,

    /// Randomized once, and again by ChangeElectionDelay [PROTO-123].
    pub(super) election_delay: Duration,
    /// Re-election requested.
    pub(super) force: bool,
    /// Deadlines; `None` = never.
    pub(super) election_at: Option<Instant>,
    pub(super) action_at: Option<Instant>,
    pub(super) invite_at: Instant,
}

impl Engine {
    /// Starts from what the disk holds. `seed` feeds every random choice.
    ///
    /// Requires a member id that the settings' version can say [HARD-302]: the driver refuses other starts.
    #[must_use]
    pub fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Engine {
        assert!(
            settings.version.has_string_ids() || settings.member.is_canonical_number(),
            "the member id can be said in the configured version"
        );
        assert!(disk.promised >= disk.accepted.ballot(), "a vote is accepted under a promise");
        let mut prng = Prng::new(seed);
        let log_limit =
            prng.randomize(settings.max_log_len, settings.log_len_randomize_percent, settings.max_log_len);
        let election_delay = randomized_election_delay(&settings, settings.election_delay, &mut prng);
        let checkpoints = Checkpointing::new(&settings, &disk, &mut prng, now);
        let mut states = VecDeque::from([disk.state_configuration.clone()]);
        if disk.voting_configuration.number > disk.state_configuration.number {
            states.push_back(disk.voting_configuration.clone());
        }
        Engine {
            prng,
            now,
            out: Vec::new(),
            stopped: false,
            role: Role::Inactive,
            is_primary: false,
            version: settings.version,
            accepted: disk.accepted,
            received_at: None,
            promised: disk.promised,
            highest_seen: Ballot::EMPTY,
            log: LogBook::new(disk.logs, log_limit),
            relearn: disk.relearn,
            configuration: disk.voting_configuration,
            state_configurations: states,
            defunct: disk.defunct,
            peers: BTreeMap::new(),
            links: Vec::new(),
            former_members: BTreeSet::new(),
            configuration_changes: 0,
            defunct_reports: BTreeMap::new(),
            defunct_round_at: None,
            bootstrap: Bootstrapping::default(),
            vote_cache: VoteCache::new(settings.max_cache_len),
            learner: Learner::default(),
            checkpoints,
            passed: disk.executed,
            executed: disk.executed,
            acks: BTreeSet::new(),
            candidate: None,
            outstanding: None,
            queue: Queue::default(),
            relinquishing: false,
            draining: false,
            holding: false,
            proposed_at: now,
            cookie: PrimaryCookie::new(),
            vote_payload: 0,
            accept_messages: true,
            next_question: 0,
            next_fetch: 0,
            election_question: None,
            questions: BTreeMap::new(),
            election_delay,
            force: false,
            election_at: None,
            action_at: None,
            invite_at: now,
            settings,
        }
    }

    /// One engine turn [PROTO-53]: takes the inputs, then handles commands, votes, other messages, proposals and timers,
    /// and appends what is to be done to `effects`. `now` never goes backwards.
    pub fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        assert!(now >= self.now, "the driver's clock is monotonic");
        self.now = now;
        self.out = mem::take(effects);
        let before = Snapshot::of(self);
        let mut messages = Vec::new();
        let mut commands = Vec::new();
        for input in inputs {
            self.take_in(input, &mut messages, &mut commands);
        }
        self.enter_configuration();
        // Before anything can end the term in which requests were accepted: their aborts precede the notification
        // [API-105].
        for command in commands {
            self.on_command(command);
        }
        self.on_cached_votes();
        self.on_messages(messages);
        self.lead_or_demote();
        self.on_time();
        self.invite_members();
        self.request_save();
        before.check(self);
        *effects = mem::take(&mut self.out);
    }

    /// Completions, link states and status queries take effect at once [PROTO-48]; votes go to the cache; the rest waits
    /// for its place in the turn.
    fn take_in(&mut self, input: Input, messages: &mut Vec<(Origin, Message)>, commands: &mut Vec<Command>) {
        if self.stopped {
            if let Input::Command(command) = input {
                self.refuse(command, AbortReason::ShuttingDown);
            }
            return;
        }
        match input {
            Input::Message { from, message: Message::StatusQuery(query) }
                if from.direction != Direction::Outbound =>
            {
                self.on_status_query(&from, &query);
            }
            Input::Message { from, message } => {
                if !is_acceptable(&from, &message) {
                    tracing::debug!(id = ?message.id(), from = %from.address, "message dropped: not allowed on its connection");
                } else if let Message::Vote(vote) = message {
                    self.cache_vote(from, vote);
                } else {
                    messages.push((from, message));
                }
            }
            Input::Command(command) => commands.push(command),
            Input::Appended { through } => {
                self.log.appended(through);
                // Now that the vote after the state is durable, and before another one is proposed [XFER-34].
                self.request_save();
                self.check_promises();
                self.check_majority();
            }
            Input::Executed { decree, save_state } => self.on_executed(decree, save_state),
            Input::Saved(outcome) => self.on_saved(outcome),
            Input::MembersPersisted { members, written } => self.on_members_persisted(members, written),
            Input::Answered { question, answer } => self.on_answered(question, answer),
            Input::Fetched { fetch, records } => self.on_fetched(fetch, records),
            Input::FetchEnded { fetch, outcome } => self.on_fetch_ended(fetch, outcome),
            Input::Links(links) => {
                self.links = links;
                self.apply_links();
            }
        }
    }

    pub(super) fn apply_links(&mut self) {
        for link in &self.links {
            if let Some(peer) = self.peers.get_mut(&link.member) {
                peer.link = Some(*link);
            }
        }
    }

    fn on_messages(&mut self, messages: Vec<(Origin, Message)>) {
        let changes = self.configuration_changes;
        for (from, message) in messages {
            if self.stopped || self.configuration_changes != changes {
                break;
            }
            self.on_message(from, message);
        }
    }

    fn on_command(&mut self, command: Command) {
        if self.stopped {
            return self.refuse(command, AbortReason::ShuttingDown);
        }
        match command {
            Command::Replicate(requests) => {
                for request in requests {
                    self.on_request(request);
                }
            }
            Command::ChangeConfiguration { members, token } => self.on_change_configuration(members, token),
            Command::Bootstrap { members, timeout, token } => self.on_bootstrap_call(members, timeout, token),
            Command::AttemptPromotion => self.force = true,
            Command::RelinquishPrimary => self.on_relinquish(),
            Command::SetVotePayload(payload) => self.vote_payload = payload,
            Command::AllowSaveState(allowed) => self.checkpoints.allow(allowed),
            Command::InstallCheckpoint(checkpoint) => self.install_checkpoint(checkpoint),
            Command::SetAcceptMessages(accept) => self.accept_messages = accept,
            Command::ChangeElectionDelay(delay) => {
                self.election_delay = randomized_election_delay(&self.settings, delay, &mut self.prng);
            }
            Command::Stop(reason) => self.shut_down(reason),
        }
    }

    /// Aborts what a command asks for.
    pub(super) fn refuse(&mut self, command: Command, reason: AbortReason) {
        match command {
            Command::Replicate(requests) => {
                for request in requests {
                    self.apply(Apply::Abort { token: request.token, reason });
                }
            }
            Command::ChangeConfiguration { token, .. } => self.apply(Apply::AbortChange { token, reason }),
            Command::Bootstrap { token, .. } => self.end_bootstrap(token, BootstrapResult::Failed),
            Command::AttemptPromotion
            | Command::RelinquishPrimary
            | Command::SetVotePayload(_)
            | Command::AllowSaveState(_)
            | Command::InstallCheckpoint(_)
            | Command::SetAcceptMessages(_)
            | Command::ChangeElectionDelay(_)
            | Command::Stop(_) => {}
        }
    }

    /// The timers of each role [PROTO-115] [PROTO-175] [PROTO-176].
    fn on_time(&mut self) {
        if self.stopped {
            return;
        }
        let action_due = is_due(self.action_at, self.now);
        match self.role {
            Role::Initializing if action_due => self.initialize(),
            Role::Secondary if self.election_is_due() && self.vote_cache.is_empty() => self.initialize(),
            Role::Preparing => self.on_candidate_time(action_due),
            Role::Primary if action_due => self.on_resend_time(),
            Role::Inactive | Role::Initializing | Role::Secondary | Role::Primary => {}
        }
        self.on_checkpoint_time();
        self.on_bootstrap_time();
    }

    fn election_is_due(&self) -> bool {
        self.force || is_due(self.election_at, self.now)
    }

    /// When the next turn is due at the latest, even without input.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        if self.has_work() {
            return Some(self.now);
        }
        let by_role = match self.role {
            Role::Secondary => self.election_at,
            Role::Preparing => self.candidate.as_ref().and_then(|candidate| candidate.retry_at),
            Role::Primary => self.heartbeat_at(),
            Role::Inactive | Role::Initializing => None,
        };
        let invite = self.invites_members().then_some(self.invite_at);
        [by_role, self.action_at, invite, self.checkpoints.deadline(), self.bootstrap_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Something was left for another turn right after this one.
    fn has_work(&self) -> bool {
        let demotion = self.role != Role::Primary && self.is_primary && !self.keeps_office();
        demotion
            || match self.role {
                Role::Primary => self.is_primary && self.outstanding.is_none() && !self.queue.is_empty(),
                Role::Secondary => self.force || !self.vote_cache.is_empty(),
                Role::Preparing => !self.vote_cache.is_empty(),
                Role::Inactive => self.is_member() || self.wants_members_persisted(),
                Role::Initializing => false,
            }
    }

    /// The role, without copying the rest of the state.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The version it speaks now.
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Whether the application has been promoted [PROTO-128].
    #[must_use]
    pub const fn is_primary(&self) -> bool {
        self.is_primary
    }

    pub(super) fn state_configuration(&self) -> &Configuration {
        self.state_configurations.front().unwrap_or(&self.configuration)
    }

    pub(super) fn is_member(&self) -> bool {
        self.configuration.members.contains(self.settings.member)
    }

    /// Majority of the configuration when self is a member (Q).
    pub(super) fn quorum(&self) -> usize {
        self.peers.len().div_ceil(2) + 1
    }

    /// Self and the members in `acks` are a majority.
    pub(super) fn acks_suffice(&self) -> bool {
        self.acks.len() + 1 >= self.quorum()
    }

    pub(super) fn log_range(&self) -> LogRange {
        let (checkpointed_decree, checkpoint_size) = self.checkpoints.current();
        LogRange { min_decree_in_log: self.log.min_decree(), checkpointed_decree, checkpoint_size }
    }

    /// A header of this replica about its highest accepted decree.
    pub(super) fn own_header(&self, ballot: Ballot) -> Header {
        Header::new(
            self.version,
            self.settings.member,
            self.accepted.decree(),
            self.configuration.number,
            ballot,
        )
    }

    pub(super) fn apply(&mut self, apply: Apply) {
        self.out.push(Effect::Apply(apply));
    }

    /// Sends a message that speaks of the present state: it leaves once all of that is durable [PROTO-27].
    pub(super) fn send(&mut self, to: Destination, message: Message) {
        let after = self.log.gate();
        self.out.push(Effect::Send { to, message, after });
    }

    pub(super) fn answer(&mut self, from: &Origin, message: Message) {
        self.send(Destination::Connection(from.connection), message);
    }

    pub(super) fn ask(&mut self, ask: Question) -> QuestionId {
        self.next_question += 1;
        let question = QuestionId(self.next_question);
        self.out.push(Effect::Ask { question, ask });
        question
    }

    pub(super) fn new_fetch(&mut self) -> FetchId {
        self.next_fetch += 1;
        FetchId(self.next_fetch)
    }

    /// Ends this replica: aborts what is left [PROTO-168]; nothing is done after it.
    pub(super) fn shut_down(&mut self, reason: StopReason) {
        if mem::take(&mut self.holding) {
            self.apply(Apply::Hold(false));
        }
        self.abort_proposals(AbortReason::ShuttingDown);
        self.abort_bootstrap();
        self.stopped = true;
        tracing::info!(?reason, "replica stops");
        self.out.push(Effect::Stop(reason));
    }
}

/// Only answers are taken from a connection this replica opened, and only status queries from the learn port
/// [PROTO-35] [WIRE-10].
fn is_acceptable(from: &Origin, message: &Message) -> bool {
    match from.direction {
        Direction::Inbound => true,
        Direction::Outbound => match message {
            Message::VoteAccepted(_)
            | Message::PrepareAccepted(_)
            | Message::StatusResponse(_)
            | Message::NotAccepted(_)
            | Message::DefunctConfiguration(_)
            | Message::Join(_)
            | Message::JoinRequest(_) => true,
            Message::Vote(_)
            | Message::Prepare(_)
            | Message::StatusQuery(_)
            | Message::FetchVotes(_)
            | Message::FetchCheckpoint(_)
            | Message::ReconfigurationDecision(_)
            | Message::Bootstrap(_) => false,
        },
        Direction::Learn => false,
    }
}

pub(super) fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| now >= deadline)
}

fn randomized_election_delay(settings: &Settings, delay: Duration, prng: &mut Prng) -> Duration {
    prng.randomize_duration(delay, settings.election_randomize_percent, settings.max_election_randomize)
}
