//! A replica around a consensus core: disk in memory, the host's state machine, a clock that moves when told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compat_tests::host_state::HostState;
use rsl_core::engine::{
    Answer, Apply, Consensus, Destination, Effect, FetchId, FetchKind, FetchOutcome, Input, Origin, Outbox,
    PeerLink, Question, SaveOutcome, SaveRequest, Settings, Status, StopReason,
};
use rsl_core::storage::{
    CheckpointWriter, CopyRequest, Directory, LogWriter, MemDisk, NewCheckpoint, RestoreSettings,
    RestoreTarget, Retention, copy_checkpoint, restore,
};
use rsl_core::types::{Decree, Instant, MemberId, MemberSet, ProtocolVersion};
use rsl_core::wire::{Message, PrimaryCookie, Vote};

/// Where the data is on the disk.
const DIRECTORY: &str = "data";
/// Turns without progress of time that are taken for a loop.
const MAX_SPINS: u32 = 1_000;

/// A transfer the core has asked for.
pub(crate) struct Fetch {
    pub(crate) id: FetchId,
    pub(crate) from: SocketAddrV4,
    pub(crate) request: Message,
    pub(crate) kind: FetchKind,
}

/// A StatusQuery that waits for the recorded answer. Legacy answers it on its network thread, at any moment between the
/// recorded query and the recorded answer: all answers of that time are candidates.
pub(crate) struct Query {
    pub(crate) from: Origin,
    pub(crate) message: Message,
    pub(crate) candidates: Vec<Message>,
}

/// What the core has said.
pub(crate) struct Said {
    /// The time in the record.
    pub(crate) at: f64,
    pub(crate) to: Destination,
    pub(crate) message: Message,
}

pub(crate) struct Rig<C> {
    core: C,
    member: MemberId,
    pub(crate) now: Instant,
    directory: Directory,
    log: LogWriter,
    outbox: Outbox,
    state: HostState,
    executed: Decree,
    jobs: VecDeque<Apply>,
    waiting_behind: Option<Decree>,
    peers: Vec<MemberId>,
    members: Arc<MemberSet>,
    last_send: BTreeMap<MemberId, Instant>,
    inbox: Vec<Input>,
    pub(crate) queries: Vec<Query>,
    /// What it has said and nobody has looked at: on connections, and to peers.
    pub(crate) said: Vec<Said>,
    /// The time in the record.
    pub(crate) recorded: f64,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) stopped: Option<StopReason>,
}

/// How a replica is started.
pub(crate) struct Start<'a> {
    pub(crate) member: MemberId,
    pub(crate) version: ProtocolVersion,
    pub(crate) members: Option<Arc<MemberSet>>,
    pub(crate) learn_port: u16,
    pub(crate) retention: Retention,
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    /// A configuration parameter, where it is not the test default.
    pub(crate) argument: &'a dyn Fn(&str) -> Option<u64>,
}

impl<C: Consensus> Rig<C> {
    pub(crate) fn start(disk: &MemDisk, start: Start<'_>) -> Result<Rig<C>, String> {
        let directory = Directory::open(Arc::new(disk.clone()), Path::new(DIRECTORY))
            .map_err(|error| error.to_string())?;
        let restore_settings = RestoreSettings {
            member: start.member,
            version: start.version,
            initial_members: start.members.clone(),
            retention: start.retention,
            refuse_damaged_tail: false,
        };
        let mut state = HostState::default();
        let restored =
            restore(&directory, &restore_settings, &mut state).map_err(|error| error.to_string())?;
        let executed = restored.recovered.executed;
        let seed = start.seed;
        let core = C::recover(settings(&start), restored.recovered, seed, start.now);
        Ok(Rig {
            core,
            member: start.member,
            now: start.now,
            directory,
            log: restored.log,
            outbox: Outbox::default(),
            state,
            executed,
            jobs: VecDeque::new(),
            waiting_behind: None,
            peers: Vec::new(),
            members: Arc::default(),
            last_send: BTreeMap::new(),
            inbox: Vec::new(),
            queries: Vec::new(),
            said: Vec::new(),
            recorded: 0.0,
            fetches: Vec::new(),
            stopped: None,
        })
    }

    /// Where consensus is.
    pub(crate) fn status(&self) -> Status {
        self.core.status()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.core.is_primary()
    }

    pub(crate) fn describe(&self) -> String {
        let status = self.core.status();
        format!(
            "{:?} A={} P={} N={} LE={} at +{:?}",
            status.role,
            status.accepted,
            status.promised,
            status.configuration,
            self.executed,
            self.now.since(super::replay::EPOCH)
        )
    }

    /// Gives inputs and takes turns until there is nothing left to do at this moment.
    pub(crate) fn settle(&mut self, inputs: Vec<Input>) -> Result<(), String> {
        let (mut inputs, mut settled) = (inputs, false);
        for _ in 0..MAX_SPINS {
            if self.stopped.is_some() {
                return Ok(());
            }
            if self.core.deadline().is_some_and(|deadline| deadline <= self.now) {
                inputs.insert(0, Input::Links(self.links()));
            }
            // Legacy answers a StatusQuery on another thread: at each moment there is.
            for query in &self.queries {
                let message = query.message.clone();
                inputs.insert(0, Input::Message { from: query.from, message });
            }
            let mut effects = Vec::new();
            self.core.turn(self.now, inputs, &mut effects);
            for effect in effects {
                self.perform(effect)?;
            }
            self.log.flush().map_err(|error| error.to_string())?;
            self.work()?;
            inputs = std::mem::take(&mut self.inbox);
            let due = self.core.deadline().is_some_and(|deadline| deadline <= self.now);
            if inputs.is_empty() && !due {
                if self.queries.is_empty() || settled {
                    return Ok(());
                }
                settled = true;
            }
        }
        Err(format!("the core spins: {}", self.describe()))
    }

    /// The time in the record is `at`: as much time passes here as lets no timer expire.
    pub(crate) fn follow(&mut self, at: f64) {
        let passed = if self.recorded > 0.0 { (at - self.recorded).max(0.0) } else { 0.0 };
        self.recorded = at;
        let latest = self.core.deadline().map_or(self.now, |deadline| deadline - Duration::from_micros(1));
        self.now = (self.now + Duration::from_secs_f64(passed)).min(latest).max(self.now);
    }

    /// Lets time pass until something is said or `patience` is over.
    pub(crate) fn advance(&mut self, patience: Duration) -> Result<(), String> {
        let (limit, known, asked) = (self.now + patience, self.said.len(), self.fetches.len());
        while self.stopped.is_none()
            && self.now < limit
            && (self.said.len(), self.fetches.len()) == (known, asked)
        {
            let next = self.core.deadline().unwrap_or(self.now + Duration::from_millis(10));
            self.now = next.max(self.now + Duration::from_micros(1));
            self.settle(Vec::new())?;
        }
        Ok(())
    }

    fn links(&self) -> Vec<PeerLink> {
        let nodes = self.members.nodes.iter().filter(|node| node.id != self.member);
        nodes
            .map(|node| PeerLink {
                ip: node.ip,
                member: node.id,
                connected: true,
                unsent: 0,
                last_send: self.last_send.get(&node.id).copied(),
            })
            .collect()
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Append { seq, record, new_log } => {
                self.log.append(&record, new_log).map_err(|error| error.to_string())?;
                self.inbox.push(Input::Appended { through: seq });
                // The write is instantaneous here.
                for (to, message) in self.outbox.appended(seq) {
                    self.say(to, message);
                }
            }
            Effect::Send { to, message, after } => {
                if let Some((to, message)) = self.outbox.submit(to, message, after) {
                    self.say(to, message);
                }
            }
            Effect::Peers(configuration) => {
                let others = configuration.members.nodes.iter().map(|node| node.id);
                self.peers = others.filter(|id| *id != self.member).collect();
                self.members = configuration.members;
            }
            Effect::PersistMembers(request) => {
                let members = Arc::clone(&request.configuration.members);
                let written = self.save_members(&request).is_ok();
                self.inbox.push(Input::MembersPersisted { members, written });
            }
            Effect::Ask { question, ask } => {
                let answer = match ask {
                    Question::CanBecomePrimary => Answer::MayLead(Some(PrimaryCookie::new())),
                    Question::AcceptMessage { .. } => Answer::Accept(true),
                };
                self.inbox.push(Input::Answered { question, answer });
            }
            Effect::Apply(apply) => match apply {
                Apply::Save(request) if request.at == self.executed => self.save(&request, None),
                Apply::Release { decree } => {
                    self.waiting_behind.take_if(|waiting| *waiting == decree);
                }
                apply => self.jobs.push_back(apply),
            },
            Effect::Fetch { fetch, from, request, kind } => {
                self.fetches.push(Fetch { id: fetch, from, request, kind });
            }
            Effect::CancelFetch(fetch) => self.fetches.retain(|known| known.id != fetch),
            Effect::CleanUp { serve_from } => self.log.index().trim(serve_from),
            Effect::Stop(reason) => self.stopped = Some(reason),
            Effect::PersistDefunct { through, .. } => {
                self.directory.write_defunct(through).map_err(|error| error.to_string())?;
            }
            Effect::Disconnect(_) | Effect::BootstrapEnded { .. } | Effect::Voted { .. } => {}
            Effect::Report(report) => return Err(format!("reports {report:?}")),
        }
        Ok(())
    }

    fn say(&mut self, to: Destination, message: Message) {
        match to {
            Destination::AllPeers => {
                for peer in self.peers.clone() {
                    self.say(Destination::Peer(peer), message.clone());
                }
                return;
            }
            Destination::Peer(peer) => {
                self.last_send.insert(peer, self.now);
            }
            Destination::Connection(connection) => {
                let query = self.queries.iter_mut().find(|query| query.from.connection == connection);
                if let (Some(query), Message::StatusResponse(_)) = (query, &message) {
                    query.candidates.push(message);
                    return;
                }
            }
        }
        self.said.push(Said { at: self.recorded, to, message });
    }

    /// The execution context: everything at once.
    fn work(&mut self) -> Result<(), String> {
        while self.waiting_behind.is_none() {
            let Some(job) = self.jobs.pop_front() else { return Ok(()) };
            match job {
                Apply::Execute { vote, .. } => {
                    if !vote.decree().follows(self.executed) {
                        return Err(format!("executes {} behind {}", vote.decree(), self.executed));
                    }
                    self.executed = vote.decree();
                    let save_state = self.state.execute(&vote);
                    self.inbox.push(Input::Executed { decree: self.executed, save_state });
                    if save_state {
                        self.waiting_behind = Some(self.executed);
                    }
                    let due = self
                        .jobs
                        .iter()
                        .position(|job| matches!(job, Apply::Save(request) if request.at == self.executed));
                    if let Some(Apply::Save(request)) = due.and_then(|index| self.jobs.remove(index)) {
                        let head = self.head();
                        self.save(&request, head);
                    }
                }
                Apply::Save(request) => {
                    let head = self.head();
                    self.save(&request, head);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn head(&self) -> Option<Vote> {
        self.jobs.iter().find_map(|job| match job {
            Apply::Execute { vote, .. } => Some(vote.clone()),
            _ => None,
        })
    }

    fn save(&mut self, request: &SaveRequest, head: Option<Vote>) {
        self.waiting_behind.take_if(|waiting| *waiting == request.at);
        let outcome = match self.try_save(request, head.or_else(|| self.head())) {
            Ok((decree, size)) => SaveOutcome::Done { decree, size },
            Err(_) => SaveOutcome::Failed,
        };
        self.inbox.push(Input::Saved(outcome));
    }

    fn try_save(&mut self, request: &SaveRequest, head: Option<Vote>) -> Result<(Decree, u64), String> {
        let head = request.next_vote.clone().or(head).ok_or("no next vote")?;
        let new = NewCheckpoint::from_request(request, &head, self.member);
        let mut writer = CheckpointWriter::new(&self.directory, new).map_err(|error| error.to_string())?;
        self.state.save(&mut writer);
        let info = writer.finish().map_err(|error| error.to_string())?;
        Ok((info.decree, info.size))
    }

    fn save_members(&mut self, request: &SaveRequest) -> Result<(), String> {
        let head = request.next_vote.clone().ok_or("no next vote")?;
        let new =
            NewCheckpoint { state_saved: false, ..NewCheckpoint::from_request(request, &head, self.member) };
        let writer = CheckpointWriter::new(&self.directory, new).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())?;
        Ok(())
    }

    /// A transfer brings what the recorded one brought.
    pub(crate) fn deliver(&mut self, fetch: &Fetch, stream: &Bytes) -> Result<(), String> {
        self.fetches.retain(|known| known.id != fetch.id);
        let (id, kind) = (fetch.id, fetch.kind);
        match kind {
            FetchKind::Votes => {
                let records = super::capture::records(stream);
                let empty = records.is_empty();
                // A StatusQuery may be answered between any two of them.
                for record in records {
                    self.settle(vec![Input::Fetched { fetch: id, records: vec![record] }])?;
                }
                let outcome = FetchOutcome::VotesEnded { empty };
                self.settle(vec![Input::FetchEnded { fetch: id, outcome }])
            }
            FetchKind::Checkpoint { decree, size, promised } => {
                let request = CopyRequest { decree, size, promised, max_header: 100 << 20 };
                let outcome = match copy_checkpoint(&self.directory, request, &mut &stream[..]) {
                    Ok(info) => FetchOutcome::CheckpointCopied { decree: info.decree, size: info.size },
                    Err(_) => FetchOutcome::CheckpointFailed,
                };
                self.settle(vec![Input::FetchEnded { fetch: id, outcome }])
            }
        }
    }

    /// CopyStateFromReplica: the checkpoint arrives without the core.
    pub(crate) fn install(&mut self, decree: Decree, stream: &Bytes) -> Result<(), String> {
        let promised = self.core.status().promised;
        let request = CopyRequest { decree, size: 0, promised, max_header: 100 << 20 };
        let info =
            copy_checkpoint(&self.directory, request, &mut &stream[..]).map_err(|error| error.to_string())?;
        self.settle(vec![Input::Command(rsl_core::engine::Command::InstallCheckpoint(info))])
    }
}

/// The test defaults of the host contract, but for what the replica was started with.
fn settings(start: &Start<'_>) -> Settings {
    let number = |name: &str, default: u64| (start.argument)(name).unwrap_or(default);
    let seconds = |name: &str, default: u64| Duration::from_secs(number(name, default));
    let percent = |name: &str, default: u64| u32::try_from(number(name, default)).unwrap_or(u32::MAX);
    let flag = |name: &str| number(name, 0) != 0;
    Settings {
        member: start.member,
        learn_port: start.learn_port,
        version: start.version,
        new_leader_grace_period: seconds("newLeaderGracePeriodSec", 3),
        heartbeat_interval: seconds("heartBeatIntervalSec", 1),
        election_delay: seconds("electionDelaySec", 4),
        election_randomize_percent: percent("electionRandomize", 50),
        max_election_randomize: seconds("maxElectionRandomizeSec", 1),
        initialize_retry_interval: seconds("initializeRetryIntervalSec", 1),
        prepare_retry_interval: seconds("prepareRetryIntervalSec", 1),
        vote_retry_interval: seconds("voteRetryIntervalSec", 1),
        receive_timeout: seconds("receiveTimeoutSec", 5),
        vote_max_outstanding_interval: seconds("voteMaxOutstandingIntervalSec", 300),
        checkpoint_query_interval: seconds("cPQueryRetryIntervalSec", 1),
        join_messages_interval: seconds("joinMessagesIntervalSec", 1),
        max_checkpoint_interval: seconds("maxCheckpointIntervalSec", 0),
        max_log_len: number("maxLogLenMB", 1) << 20,
        log_len_randomize_percent: percent("logLenRandomize", 0),
        max_cache_len: number("maxCacheLengthMB", 50) << 20,
        max_vote_len: number("maxMessageSizeMB", 100) << 20,
        promote_while_catching_up: flag("allowPrimaryPromotionWhileCatchingUp"),
        remote_bootstrap: true,
        use_global_accept_flag: flag("useGlobalAcceptMessagesFlag"),
    }
}
