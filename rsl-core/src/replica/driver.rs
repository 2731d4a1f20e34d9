//! The loop: network, engine and log on one thread, a turn at a time.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::copier::Sources;
use super::errands::Errand;
use super::files::Files;
use super::mailbox::Note;
use super::resolver::Resolver;
use super::shared::Shared;
use super::transfers::Transfers;
use super::{PeerHealth, Refused};
use crate::engine::{
    Answer, AppendSeq, Apply, BootstrapResult, BootstrapToken, Command, ConnectionId, Consensus, Destination,
    Effect, FetchOutcome, Input, Outbox, Question, Report, SaveOutcome, SaveRequest, Status, StopReason,
};
use crate::format::Record;
use crate::net::{NetEvent, PacketService};
use crate::storage::LogWriter;
use crate::types::{Configuration, Decree, Instant, MemberId, Node};
use crate::wire::Message;

/// How long the loop sleeps at most while it is paused.
const PAUSED: Duration = Duration::from_millis(10);

/// The state of the loop, around a consensus core `C`: the engine, in all that is shipped.
///
/// One turn [PROTO-53]: take what the sockets, the mailbox and the admission have; one engine turn; then its effects in
/// this order, which is the contract of [`Effect`]:
/// 1. messages that need no durability leave (decision 11: a vote goes out before our own log write starts);
/// 2. decrees go to the execution thread;
/// 3. all records of the turn are written and synced, once;
/// 4. messages that waited for them leave, and the engine hears of them in the next turn, which follows at once.
pub(super) struct Driver<C> {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: C,
    pub(super) net: PacketService,
    pub(super) log: LogWriter,
    pub(super) files: Arc<Files>,
    pub(super) transfers: Transfers,
    pub(super) errands: Sender<Errand>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) outbox: Outbox,
    /// The voting configuration, as the engine named it last.
    pub(super) members: Configuration,
    /// Inputs for the next turn.
    pub(super) inputs: Vec<Input>,
    /// Status queries on the learn port that wait for their answer in this turn.
    pub(super) learn_queries: BTreeMap<ConnectionId, Sender<Bytes>>,
    /// Bootstrap calls that wait.
    pub(super) bootstraps: BTreeMap<u64, Sender<Result<(), Refused>>>,
    pub(super) next_bootstrap: u64,
    pub(super) paused: bool,
    /// The application is not asked about messages.
    pub(super) accept_all_messages: bool,
}

/// What a turn's effects have left to do after the messages.
#[derive(Default)]
struct Rest {
    applies: Vec<Apply>,
    /// The last append, and the padded sizes of the votes appended.
    appended: Option<AppendSeq>,
    votes: Vec<u64>,
    defunct: Option<u32>,
    clean_up: bool,
    stop: Option<StopReason>,
}

impl<C: Consensus> Driver<C> {
    /// Runs until the replica ends; returns why.
    pub(super) fn run(&mut self) -> StopReason {
        let mut events = Vec::new();
        let reason = loop {
            let timeout = self.timeout();
            if let Err(error) = self.net.wait(timeout) {
                break StopReason::NetworkFailed(error.to_string());
            }
            if let Some(reason) = self.turn(&mut events) {
                break reason;
            }
        };
        self.transfers.cancel_all();
        self.end_engine(&reason);
        reason
    }

    /// How long the loop may sleep; `None` = until it is woken.
    fn timeout(&self) -> Option<Duration> {
        if self.paused {
            return Some(PAUSED);
        }
        if !self.inputs.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline = self.engine.deadline().into_iter().chain(self.net.deadline()).min();
        deadline.map(|at| self.shared.clock.until(at))
    }

    /// One turn; `Some` = the replica ends.
    fn turn(&mut self, events: &mut Vec<NetEvent>) -> Option<StopReason> {
        if let Some(reason) = self.read_mailbox() {
            return Some(reason);
        }
        if self.paused {
            std::thread::sleep(PAUSED);
            return None;
        }
        let now = self.shared.clock.now();
        self.shared.counters.turn();
        self.net.turn(now, events);
        self.take_events(events);
        let (commands, waited) = self.shared.admission.take();
        self.inputs.extend(commands.into_iter().map(Input::Command));
        waited.into_iter().for_each(|waited| self.shared.counters.queued(waited));
        if self.engine.deadline().is_some_and(|deadline| deadline <= now) {
            self.inputs.push(Input::Links(self.net.links()));
        }
        let mut effects = Vec::new();
        self.engine.turn(now, std::mem::take(&mut self.inputs), &mut effects);
        self.shared.progress.set_version(self.engine.version());
        if self.shared.progress.set_role(self.engine.role()) {
            tracing::info!(role = ?self.engine.role(), "role");
            self.shared.reads.wake();
        }
        let reason = self.perform(now, effects, events);
        // A learn query is answered in its turn or not at all [WIRE-34].
        self.learn_queries.clear();
        reason
    }

    /// Takes what other threads have posted.
    fn read_mailbox(&mut self) -> Option<StopReason> {
        for note in self.shared.mailbox.take() {
            match note {
                Note::Input(input) => {
                    self.note_checkpoint(&input);
                    self.inputs.push(input);
                }
                // An asker that is gone does not mind.
                Note::Status(asker) => drop(asker.send(self.engine.status())),
                Note::Health(asker) => drop(asker.send(self.health())),
                Note::LearnQuery { from, message, answer } => {
                    self.learn_queries.insert(from.connection, answer);
                    self.inputs.push(Input::Message { from, message });
                }
                Note::Resolved(node) => {
                    let address = SocketAddrV4::new(node.ip, node.rsl_port);
                    self.net.set_address(node.id, address);
                    self.inputs.push(Input::Links(self.net.links()));
                }
                Note::Bootstrap { members, timeout, done } => {
                    self.next_bootstrap += 1;
                    self.bootstraps.insert(self.next_bootstrap, done);
                    let token = BootstrapToken(self.next_bootstrap);
                    self.inputs.push(Input::Command(Command::Bootstrap { members, timeout, token }));
                }
                Note::CopyState { cookie, accepted } => {
                    self.errand(Errand::CopyState { cookie, sources: self.sources() });
                    let _ = accepted.send(());
                }
                Note::Pause(paused, done) => {
                    if self.paused == paused {
                        tracing::warn!(paused, "pause or resume without effect");
                    }
                    self.paused = paused;
                    let _ = done.send(());
                }
                Note::Stop(reason) => return Some(reason),
            }
        }
        None
    }

    /// A checkpoint that has become current is served from now on [XFER-27].
    fn note_checkpoint(&self, input: &Input) {
        match input {
            Input::Saved(SaveOutcome::Done { decree, .. }) => self.files.set_checkpoint(*decree),
            Input::FetchEnded { outcome: FetchOutcome::CheckpointCopied { decree, .. }, .. } => {
                self.files.set_checkpoint(*decree);
            }
            _ => {}
        }
    }

    fn take_events(&mut self, events: &mut Vec<NetEvent>) {
        for event in events.drain(..) {
            match event {
                NetEvent::Message { from, message } => {
                    self.shared.counters.received();
                    self.inputs.push(Input::Message { from, message });
                }
                NetEvent::Unreachable(member) => {
                    if let Some(node) = self.members.members.get(member) {
                        self.resolver.want(node.clone());
                    }
                }
            }
        }
    }

    /// Performs the effects of one turn.
    fn perform(
        &mut self,
        now: Instant,
        effects: Vec<Effect>,
        events: &mut Vec<NetEvent>,
    ) -> Option<StopReason> {
        let mut rest = Rest::default();
        for effect in effects {
            if let Err(reason) = self.perform_one(now, effect, &mut rest) {
                return Some(reason);
            }
        }
        self.net.flush(now, events);
        if !rest.applies.is_empty() {
            self.shared.execution.submit(&self.shared, rest.applies);
        }
        if let Some(through) = rest.appended {
            if let Err(reason) = self.write_log(&rest.votes) {
                return Some(reason);
            }
            let now = self.shared.clock.now();
            for (to, message) in self.outbox.appended(through) {
                self.send(now, to, &message);
            }
            self.net.flush(now, events);
            self.inputs.push(Input::Appended { through });
        }
        if let Some(through) = rest.defunct {
            self.files.write_defunct(through);
        }
        if rest.clean_up {
            self.transfers.clean_up();
        }
        rest.stop
    }

    fn perform_one(&mut self, now: Instant, effect: Effect, rest: &mut Rest) -> Result<(), StopReason> {
        match effect {
            Effect::Send { to, message, after } => {
                if let Some((to, message)) = self.outbox.submit(to, message, after) {
                    self.send(now, to, &message);
                }
            }
            Effect::Append { seq, record, new_log } => {
                self.log
                    .append(&record, new_log)
                    .map_err(|error| StopReason::LogFailed(error.to_string()))?;
                rest.appended = Some(seq);
                match &record {
                    Record::Vote(vote) => {
                        rest.votes.push(record.padded_len());
                        self.set_primary(vote.ballot().member);
                    }
                    // The next configuration starts without a primary [PROTO-126].
                    Record::Decision(_) => self.set_primary(MemberId::EMPTY),
                    Record::Prepare(_) => {}
                }
            }
            Effect::Disconnect(connection) => self.net.disconnect(connection),
            Effect::Peers(configuration) => self.set_peers(configuration),
            Effect::PersistMembers(request) => self.persist_members(request),
            Effect::BootstrapEnded { token, result } => {
                if let Some(done) = self.bootstraps.remove(&token.0) {
                    let _ = done.send(match result {
                        BootstrapResult::Success => Ok(()),
                        BootstrapResult::InvalidParameter => Err(Refused::InvalidParameter),
                        BootstrapResult::AlreadyBootstrapped => Err(Refused::AlreadyBootstrapped),
                        BootstrapResult::Failed => Err(Refused::BootstrapFailed),
                    });
                }
            }
            Effect::Ask { question, ask: Question::AcceptMessage { .. } } if self.accept_all_messages => {
                // An input of the next turn, which follows at once.
                self.inputs.push(Input::Answered { question, answer: Answer::Accept(true) });
            }
            Effect::Ask { question, ask } => {
                let from = match &ask {
                    Question::AcceptMessage { from, .. } => self.members.members.get(*from).cloned(),
                    Question::CanBecomePrimary => None,
                };
                self.errand(Errand::Ask { question, ask, from });
            }
            Effect::Apply(apply) => {
                if let Apply::Execute { vote, .. } = &apply {
                    self.shared.progress.set_passed(vote.decree());
                }
                rest.applies.push(apply);
            }
            Effect::Fetch { fetch, from, request, kind } => self.transfers.start(fetch, from, request, kind),
            Effect::CancelFetch(fetch) => self.transfers.cancel(fetch),
            Effect::CleanUp { serve_from } => {
                self.log.index().trim(serve_from);
                rest.clean_up = true;
            }
            // All appends of a turn are durable before the rest is done, so `after` needs no look.
            Effect::PersistDefunct { through, after: _ } => rest.defunct = Some(through),
            Effect::Voted { decree: _, took } => self.shared.counters.voted(took),
            Effect::Report(report) => report_to_operator(&report),
            Effect::Stop(reason) => rest.stop = Some(reason),
        }
        Ok(())
    }

    /// One write and one sync for all records of the turn; nothing may be promised after a failure [PROTO-30].
    fn write_log(&mut self, votes: &[u64]) -> Result<(), StopReason> {
        let started = self.shared.clock.now();
        self.log.flush().map_err(|error| {
            tracing::error!(%error, "the log cannot be written: the replica stops");
            StopReason::LogFailed(error.to_string())
        })?;
        let took = self.shared.clock.now().since(started);
        self.shared.counters.log_written(votes.iter().copied(), took);
        Ok(())
    }

    fn send(&mut self, now: Instant, to: Destination, message: &Message) {
        if let Destination::Connection(connection) = to
            && let Some(asker) = self.learn_queries.remove(&connection)
        {
            match message.encode() {
                // The asker may have given up.
                Ok(bytes) => drop(asker.send(bytes)),
                Err(error) => tracing::error!(%error, "a status cannot be encoded"),
            }
            return;
        }
        self.shared.counters.sent(match to {
            Destination::AllPeers => self.members.members.nodes.len().saturating_sub(1) as u64,
            Destination::Peer(_) | Destination::Connection(_) => 1,
        });
        if let Err(error) = self.net.send(now, to, message) {
            tracing::error!(?to, id = ?message.id(), %error, "a message cannot be encoded");
        }
    }

    fn errand(&self, errand: Errand) {
        // The callback thread ends before the loop only by a panic, which ends the loop as well.
        let _ = self.errands.send(errand);
    }

    fn set_primary(&self, owner: MemberId) {
        let mut primary = self.shared.current_primary.lock();
        if primary.as_ref().map_or(MemberId::EMPTY, |node| node.id) != owner {
            *primary = self.members.members.get(owner).cloned();
        }
    }

    fn set_peers(&mut self, configuration: Configuration) {
        let own = self.shared.node.id;
        let peers: Vec<Node> =
            configuration.members.nodes.iter().filter(|node| node.id != own).cloned().collect();
        tracing::info!(number = configuration.number, peers = peers.len(), "configuration");
        self.net.set_peers(configuration.number, &peers);
        self.resolver.keep(&peers);
        peers.into_iter().for_each(|peer| self.resolver.want(peer));
        self.members = configuration;
        // Whether the owner of the newest ballot is a member may have changed [PROTO-126].
        let owner = self.engine.status().current_primary;
        *self.shared.current_primary.lock() = owner.and_then(|id| self.members.members.get(id).cloned());
        self.inputs.push(Input::Links(self.net.links()));
    }

    /// Where a checkpoint could be copied from: the peers with a known address.
    fn sources(&self) -> Sources {
        let status = self.engine.status();
        let learn_port = |member| self.members.members.get(member).map(Node::effective_learn_port);
        let links = self.net.links().into_iter().filter(|link| !link.ip.is_unspecified());
        Sources {
            peers: links
                .filter_map(|link| Some(SocketAddrV4::new(link.ip, learn_port(link.member)?)))
                .collect(),
            version: status.version,
            promised: status.promised,
            at_least: status.log_range.checkpointed_decree,
        }
    }

    /// Writes the first member set as checkpoint 0 [STOR-52]. It is small, and nothing goes on without it.
    fn persist_members(&mut self, request: SaveRequest) {
        let members = Arc::clone(&request.configuration.members);
        let written = self.files.persist_members(&request);
        if written {
            self.files.set_checkpoint(request.at);
            *self.shared.configuration.lock() = request.configuration;
        }
        self.inputs.push(Input::MembersPersisted { members, written });
    }

    /// Peers, then this replica; nothing unless primary [PROTO-185] [PROTO-186].
    fn health(&self) -> Vec<PeerHealth> {
        let status = self.engine.status();
        if !status.is_primary {
            return Vec::new();
        }
        let times = Times { clock: self.shared.clock.now(), system: SystemTime::now() };
        let peer = |link: crate::net::PeerHealth| {
            let vote = status.votes.iter().find(|(id, _)| *id == link.member).map(|(_, vote)| *vote);
            PeerHealth {
                member: link.member,
                is_primary: false,
                connected: link.connected,
                outstanding: link.outstanding,
                failed_at: link.failed_at.map(|at| times.system(at)),
                last_request_sent_at: link.last_send.map(|at| times.system(at)),
                last_request_voted_at: vote.map(|vote| times.system(vote.at)),
                last_request_voted_decree: vote.map_or(Decree::ZERO, |vote| vote.decree),
                consecutive_failures: link.consecutive_failures,
                needs_resolve: link.needs_resolve,
                last_vote_payload: vote.map_or(0, |vote| vote.payload),
            }
        };
        let proposed_at = status.received_at.map(|at| times.system(at));
        let own = PeerHealth {
            member: self.shared.node.id,
            is_primary: true,
            connected: true,
            outstanding: 0,
            failed_at: None,
            last_request_sent_at: proposed_at,
            last_request_voted_at: proposed_at,
            last_request_voted_decree: status.accepted.decree,
            consecutive_failures: 0,
            needs_resolve: false,
            last_vote_payload: self.shared.vote_payload.load(Ordering::Relaxed),
        };
        self.net.health().into_iter().map(peer).chain([own]).collect()
    }

    /// The engine gives up what it holds: requests that were accepted are aborted [PROTO-168].
    fn end_engine(&mut self, reason: &StopReason) {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.retain(|input| matches!(input, Input::Command(_)));
        inputs.push(Input::Command(Command::Stop(reason.clone())));
        let mut effects = Vec::new();
        self.engine.turn(self.shared.clock.now(), inputs, &mut effects);
        let applies = effects.into_iter().filter_map(|effect| match effect {
            Effect::Apply(apply) => Some(apply),
            _ => None,
        });
        self.shared.execution.submit(&self.shared, applies);
    }

    /// The engine's last state.
    pub(super) fn status(&self) -> Box<Status> {
        Box::new(self.engine.status())
    }
}

/// Two clocks at one moment.
struct Times {
    clock: Instant,
    system: SystemTime,
}

impl Times {
    fn system(&self, at: Instant) -> SystemTime {
        self.system.checked_sub(self.clock.since(at)).unwrap_or(self.system)
    }
}

fn report_to_operator(report: &Report) {
    match report {
        Report::VoteOutstandingTooLong(decree) => {
            tracing::error!(decree = decree.0, "a vote has found no majority for too long: stepping down");
        }
        Report::BadVoteChecksum(from) => tracing::error!(%from, "a vote with a wrong checksum was dropped"),
        Report::ConflictingVote(from) => {
            tracing::error!(%from, "another value for an accepted decree and ballot was dropped");
        }
        Report::AbsurdBallot(from) => {
            tracing::error!(%from, "a ballot far above everything seen was refused")
        }
        Report::BallotsExhausted => tracing::error!("no ballot is left to choose"),
        Report::CannotEncode(from) => {
            tracing::error!(%from, "a message was dropped: its answer cannot be said in its version");
        }
        Report::BadDecision(from) => {
            tracing::error!(%from, "a decision about a vote that changes nothing was dropped")
        }
        Report::NoSuccessor => tracing::warn!("relinquishing was ignored: nobody could succeed"),
    }
}
