//! What the engine tests share: messages to feed, one engine with its effects performed in memory, and a cluster of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{
    AbortReason, Answer, AppendSeq, Apply, BootstrapResult, ChangeToken, Command, ConnectionId, Destination,
    Direction, Effect, Engine, FetchKind, FetchOutcome, Input, LogFileInfo, Origin, Outbox, PeerLink, Prng,
    Question, Recovered, Report, Request, RequestToken, Settings, StopReason,
};
use crate::format::Record;
use crate::types::{
    Ballot, Configuration, Decree, Instant, MemberId, MemberSet, Node, Position, ProtocolVersion,
};
use crate::wire::{Header, Message, Prepare, PrepareAccepted, Vote, VoteContent};

pub(super) fn id(number: u64) -> MemberId {
    MemberId::from_number(number)
}

pub(super) fn ip(number: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(number).unwrap())
}

pub(super) fn ballot(number: u32, member: u64) -> Ballot {
    Ballot::new(number, id(member))
}

pub(super) fn at(decree: u64, number: u32, member: u64) -> Position {
    Position::new(Decree(decree), ballot(number, member))
}

pub(super) fn members(numbers: impl IntoIterator<Item = u64>) -> Arc<MemberSet> {
    let node = |number| Node {
        id: id(number),
        ip: ip(number),
        rsl_port: 20000,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    };
    Arc::new(MemberSet { nodes: numbers.into_iter().map(node).collect(), cookie: Bytes::new() })
}

pub(super) fn configuration(numbers: impl IntoIterator<Item = u64>) -> Configuration {
    Configuration { number: 1, initial_decree: Decree::ZERO, members: members(numbers) }
}

pub(super) fn settings(member: u64) -> Settings {
    Settings {
        member: id(member),
        learn_port: 20001,
        version: ProtocolVersion::V6,
        new_leader_grace_period: Duration::from_secs(15),
        heartbeat_interval: Duration::from_secs(2),
        election_delay: Duration::from_secs(10),
        election_randomize_percent: 10,
        max_election_randomize: Duration::from_secs(1),
        initialize_retry_interval: Duration::from_secs(1),
        prepare_retry_interval: Duration::from_secs(1),
        vote_retry_interval: Duration::from_secs(3),
        receive_timeout: Duration::from_secs(5),
        vote_max_outstanding_interval: Duration::from_secs(480),
        checkpoint_query_interval: Duration::from_secs(5),
        join_messages_interval: Duration::from_secs(1),
        max_checkpoint_interval: Duration::ZERO,
        max_log_len: 1 << 20,
        log_len_randomize_percent: 0,
        max_cache_len: 50 << 20,
        max_vote_len: 100 << 20,
        promote_while_catching_up: false,
        remote_bootstrap: true,
        use_global_accept_flag: true,
    }
}

/// A vote of `member` in configuration 1 with one request (or none, for an empty text).
pub(super) fn vote(position: Position, member: u64, request: &'static str) -> Vote {
    let header = Header::new(ProtocolVersion::V6, id(member), position.decree, 1, position.ballot);
    let requests = if request.is_empty() { vec![] } else { vec![Bytes::from_static(request.as_bytes())] };
    Vote::new(header, &VoteContent { requests, ..VoteContent::default() }).unwrap()
}

pub(super) fn header(position: Position, member: u64) -> Header {
    Header::new(ProtocolVersion::V6, id(member), position.decree, 1, position.ballot)
}

pub(super) fn prepare(position: Position, member: u64) -> Message {
    Message::Prepare(Prepare { header: header(position, member), cookie: Bytes::new() })
}

/// The start of a replica that holds `accepted` (its value is `request`) and has promised `promised`.
pub(super) fn recovered(set: &Configuration, accepted: Position, promised: Ballot) -> Recovered {
    let decree = accepted.decree;
    let votes = (accepted.ballot != Ballot::EMPTY).then_some((Decree::ZERO, decree));
    Recovered {
        accepted: vote(accepted, 9, if votes.is_some() { "held" } else { "" }),
        promised,
        executed: decree.previous(),
        state_configuration: set.clone(),
        voting_configuration: set.clone(),
        checkpoint: None,
        defunct: 0,
        relearn: None,
        checkpoint_lag: Duration::ZERO,
        logs: vec![LogFileInfo { name: Decree::ZERO, votes, len: 512 }],
    }
}

pub(super) fn origin(member: u64) -> Origin {
    Origin {
        connection: ConnectionId(member),
        direction: Direction::Inbound,
        address: SocketAddrV4::new(ip(member), 50000),
    }
}

/// One engine whose log is durable at once, whose application executes at once and agrees to everything.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    me: u64,
    pub(super) may_lead: bool,
    pub(super) lead_cookie: Bytes,
    /// Messages it has sent, released by the gate.
    pub(super) sent: Vec<(Destination, Message)>,
    pub(super) log: Vec<Record>,
    pub(super) applied: Vec<Apply>,
    pub(super) peers: Vec<u64>,
    pub(super) disconnected: Vec<ConnectionId>,
    pub(super) fetches: VecDeque<Effect>,
    pub(super) stopped: Option<StopReason>,
    pub(super) bootstraps: Vec<(u64, BootstrapResult)>,
    outbox: Outbox,
    appended: AppendSeq,
    /// Appends become durable only by [`Bench::sync`].
    pub(super) hold_disk: bool,
    /// The answer of AcceptMessageFromReplica.
    pub(super) accept: bool,
    /// The first member set can be written.
    pub(super) writes_members: bool,
    /// Passed decrees are executed only by [`Bench::execute`].
    pub(super) hold_execution: bool,
    pub(super) reports: Vec<Report>,
    pub(super) cleanups: Vec<Decree>,
    pub(super) new_logs: Vec<Decree>,
    /// Numbers to be noted as defunct, each with the append it has to wait for.
    pub(super) defunct: Vec<(u32, Option<AppendSeq>)>,
}

impl Bench {
    pub(super) fn new(settings: Settings, disk: Recovered, seed: u64) -> Bench {
        let now = Instant(1_000_000_000);
        let me = settings.member.as_number().unwrap();
        let engine = Engine::recover(settings, disk, seed, now);
        let mut bench = Bench {
            engine,
            now,
            me,
            may_lead: true,
            lead_cookie: Bytes::new(),
            sent: Vec::new(),
            log: Vec::new(),
            applied: Vec::new(),
            peers: Vec::new(),
            disconnected: Vec::new(),
            fetches: VecDeque::new(),
            stopped: None,
            bootstraps: Vec::new(),
            outbox: Outbox::default(),
            appended: AppendSeq(0),
            hold_disk: false,
            accept: true,
            writes_members: true,
            hold_execution: false,
            reports: Vec::new(),
            cleanups: Vec::new(),
            new_logs: Vec::new(),
            defunct: Vec::new(),
        };
        bench.give(vec![]);
        bench
    }

    /// A secondary of three members, 1 (itself) to 3: holds `accepted`, has promised `promised`.
    pub(super) fn secondary(accepted: Position, promised: Ballot) -> Bench {
        Bench::secondary_with(settings(1), accepted, promised)
    }

    pub(super) fn secondary_with(settings: Settings, accepted: Position, promised: Ballot) -> Bench {
        let set = configuration([1, 2, 3]);
        let mut bench = Bench::new(settings, recovered(&set, accepted, promised), 1);
        // A status round with a young answer: nobody is ahead and it is not time for an election.
        let query = bench.engine.status().accepted;
        bench.receive(2, status_response(accepted, query, 2, 0));
        assert_eq!(bench.engine.role(), crate::engine::Role::Secondary);
        bench.sent.clear();
        bench
    }

    pub(super) fn receive(&mut self, from: u64, message: Message) {
        self.give(vec![Input::Message { from: origin(from), message }]);
    }

    pub(super) fn receive_all(&mut self, messages: Vec<(u64, Message)>) {
        let input = |(from, message)| Input::Message { from: origin(from), message };
        self.give(messages.into_iter().map(input).collect());
    }

    pub(super) fn command(&mut self, command: Command) {
        self.give(vec![Input::Command(command)]);
    }

    pub(super) fn replicate(&mut self, token: u64, request: &'static str) {
        let payload = Bytes::from_static(request.as_bytes());
        let token = RequestToken(token);
        self.command(Command::Replicate(vec![Request {
            payload,
            token,
            exclusive: false,
            last_decree: false,
        }]));
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self) {
        self.sent.extend(self.outbox.appended(self.appended));
        self.give(vec![Input::Appended { through: self.appended }]);
    }

    /// Reports everything up to `decree` as executed.
    pub(super) fn execute(&mut self, decree: u64, save_state: bool) {
        self.give(vec![Input::Executed { decree: Decree(decree), save_state }]);
    }

    /// A primary of three members, promoted at (6, 4.1), its re-proposal of decree 5 being (5, 4.1).
    pub(super) fn primary(adjust: impl FnOnce(&mut Settings)) -> Bench {
        let mut settings = settings(1);
        adjust(&mut settings);
        let mut bench = Bench::secondary_with(settings, at(5, 3, 2), ballot(3, 2));
        bench.lead();
        bench.sent.clear();
        bench
    }

    /// Has it elected: a forced round, one promise, one vote.
    pub(super) fn lead(&mut self) {
        self.command(Command::AttemptPromotion);
        let held = self.engine.status().accepted;
        self.receive(2, status_response(held, held, 2, 0));
        assert_eq!(self.engine.role(), crate::engine::Role::Preparing);
        let own = self.engine.status().promised;
        self.receive(2, promise(Position::new(held.decree, own), 2, vote(held, 9, "held")));
        self.receive(2, Message::VoteAccepted(header(Position::new(held.decree, own), 2)));
        assert!(self.engine.is_primary());
    }

    /// Lets time pass up to `by`, with a turn at every deadline.
    pub(super) fn wait(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.engine.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.give(vec![]);
        }
        self.now = end;
        self.give(vec![]);
    }

    pub(super) fn give(&mut self, inputs: Vec<Input>) {
        let mut inputs = inputs;
        for turn in 0.. {
            assert!(turn < 100, "the engine comes to rest");
            let mut effects = Vec::new();
            self.engine.turn(self.now, std::mem::take(&mut inputs), &mut effects);
            for effect in effects {
                self.perform(effect, &mut inputs);
            }
            let pending = self.engine.deadline().is_some_and(|due| due <= self.now);
            if inputs.is_empty() && !pending {
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect, inputs: &mut Vec<Input>) {
        match effect {
            Effect::Append { seq, record, new_log } => {
                self.new_logs.extend(new_log);
                self.log.push(record);
                self.appended = seq;
                if !self.hold_disk {
                    inputs.push(Input::Appended { through: seq });
                    self.sent.extend(self.outbox.appended(seq));
                }
            }
            Effect::Send { to, message, after } => self.sent.extend(self.outbox.submit(to, message, after)),
            Effect::Disconnect(connection) => self.disconnected.push(connection),
            Effect::Ask { question, ask } => {
                let answer = match ask {
                    Question::CanBecomePrimary => {
                        Answer::MayLead(self.may_lead.then(|| self.lead_cookie.clone()))
                    }
                    Question::AcceptMessage { .. } => Answer::Accept(self.accept),
                };
                inputs.push(Input::Answered { question, answer });
            }
            Effect::Apply(apply) => {
                if let Apply::Execute { vote, .. } = &apply
                    && !self.hold_execution
                {
                    inputs.push(Input::Executed { decree: vote.decree(), save_state: false });
                }
                self.applied.push(apply);
            }
            fetch @ Effect::Fetch { .. } => self.fetches.push_back(fetch),
            Effect::Stop(reason) => self.stopped = Some(reason),
            Effect::PersistMembers(request) => {
                let members = request.configuration.members;
                inputs.push(Input::MembersPersisted { members, written: self.writes_members });
            }
            Effect::BootstrapEnded { token, result } => self.bootstraps.push((token.0, result)),
            Effect::Peers(configuration) => {
                let others = configuration.members.nodes.iter().map(|node| node.id.as_number().unwrap());
                self.peers = others.filter(|other| *other != self.me).collect();
            }
            Effect::CleanUp { serve_from } => self.cleanups.push(serve_from),
            Effect::Report(report) => self.reports.push(report),
            Effect::PersistDefunct { through, after } => self.defunct.push((through, after)),
            Effect::CancelFetch(_) | Effect::Voted { .. } => {}
        }
    }

    /// What was sent since the last call, in short form.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).iter().map(|(to, message)| said(to, message)).collect()
    }

    /// The tokens that ended, with how.
    pub(super) fn ended(&self) -> Vec<(u64, Option<AbortReason>)> {
        let mut ended = Vec::new();
        for apply in &self.applied {
            match apply {
                Apply::Execute { tokens, .. } => ended.extend(tokens.iter().map(|token| (token.0, None))),
                Apply::Abort { token, reason } => ended.push((token.0, Some(*reason))),
                _ => {}
            }
        }
        ended
    }
}

fn said(to: &Destination, message: &Message) -> String {
    let to = match to {
        Destination::AllPeers => "all".to_owned(),
        Destination::Peer(member) => format!("peer {member}"),
        Destination::Connection(connection) => format!("{}", connection.0),
    };
    format!("{to}: {:?} {}", message.id(), message.header().position())
}

pub(super) fn promise(position: Position, member: u64, vote: Vote) -> Message {
    Message::PrepareAccepted(PrepareAccepted { header: header(position, member), vote })
}

pub(super) fn status_response(position: Position, query: Position, member: u64, min: u64) -> Message {
    Message::StatusResponse(crate::wire::StatusResponse {
        header: header(position, member),
        query,
        last_received_ago: 0,
        log: crate::wire::LogRange { min_decree_in_log: Decree(min), ..Default::default() },
        max_ballot: position.ballot,
        state: 2,
    })
}

/// Engines that talk to each other over a perfect wire with one tick of delay; cut members neither send nor receive.
pub(super) struct Cluster {
    pub(super) benches: BTreeMap<u64, Bench>,
    pub(super) cut: Vec<u64>,
    /// Doubles and swaps messages.
    pub(super) unruly: Option<Prng>,
}

impl Cluster {
    pub(super) fn new(count: u64, adjust: impl Fn(u64, &mut Settings)) -> Cluster {
        Cluster::with(&configuration(1..=count), 1..=count, adjust)
    }

    /// The replicas `present`, started with the members of `set`, whether they are among them or not.
    pub(super) fn with(
        set: &Configuration,
        present: impl IntoIterator<Item = u64>,
        adjust: impl Fn(u64, &mut Settings),
    ) -> Cluster {
        let bench = |member| {
            let mut settings = settings(member);
            adjust(member, &mut settings);
            let disk = recovered(set, Position::new(Decree::ZERO, Ballot::EMPTY), Ballot::EMPTY);
            (member, Bench::new(settings, disk, member))
        };
        Cluster::of(present.into_iter().map(bench))
    }

    pub(super) fn of(benches: impl IntoIterator<Item = (u64, Bench)>) -> Cluster {
        Cluster { benches: benches.into_iter().collect(), cut: Vec::new(), unruly: None }
    }

    /// Asks member `on` for another set.
    pub(super) fn change(&mut self, on: u64, token: u64, set: impl IntoIterator<Item = u64>) {
        let token = ChangeToken(token);
        let command = Command::ChangeConfiguration { members: members(set), token };
        self.benches.get_mut(&on).unwrap().command(command);
    }

    /// Runs for `time`, in steps of 10 ms.
    pub(super) fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 10 {
            self.step();
        }
    }

    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Cluster) -> bool) {
        for _ in 0..limit.as_millis() / 10 {
            if done(self) {
                return;
            }
            self.step();
        }
        assert!(done(self), "not reached within {limit:?}: {:?}", self.roles());
    }

    pub(super) fn roles(&self) -> Vec<(u64, crate::engine::Role)> {
        self.benches.iter().map(|(member, bench)| (*member, bench.engine.role())).collect()
    }

    /// The only promoted member that is not cut off.
    pub(super) fn primary(&self) -> Option<u64> {
        let mut leads = self
            .benches
            .iter()
            .filter(|(member, bench)| bench.engine.is_primary() && !self.cut.contains(member))
            .map(|(member, _)| *member);
        let first = leads.next();
        if leads.next().is_some() { None } else { first }
    }

    fn step(&mut self) {
        let mut mail: Vec<(u64, u64, Message)> = Vec::new();
        let everyone: Vec<u64> = self.benches.keys().copied().collect();
        for (&member, bench) in &mut self.benches {
            for (to, message) in std::mem::take(&mut bench.sent) {
                match to {
                    Destination::AllPeers => {
                        mail.extend(bench.peers.iter().map(|other| (member, *other, message.clone())));
                    }
                    Destination::Peer(peer) => {
                        let peer = peer.as_number().unwrap();
                        mail.push((member, peer, message));
                    }
                    Destination::Connection(connection) => mail.push((member, connection.0, message)),
                }
            }
        }
        mail.retain(|(from, to, _)| !self.cut.contains(from) && !self.cut.contains(to));
        let mut inbox: BTreeMap<u64, Vec<(u64, Message)>> = BTreeMap::new();
        mail.retain(|(_, to, _)| self.benches.contains_key(to));
        if let Some(chance) = &mut self.unruly {
            for _ in 0..mail.len() {
                let from = usize::try_from(chance.below(mail.len() as u64)).unwrap();
                let to = usize::try_from(chance.below(mail.len() as u64)).unwrap();
                mail.swap(from, to);
            }
            let again: Vec<_> = mail.iter().filter(|_| chance.below(3) == 0).cloned().collect();
            mail.extend(again);
        }
        for (from, to, message) in mail {
            // Through real bytes.
            let bytes = message.encode().unwrap();
            inbox.entry(to).or_default().push((from, Message::decode(&bytes).unwrap()));
        }
        for member in everyone {
            self.serve_fetches(member);
            let bench = self.benches.get_mut(&member).unwrap();
            bench.now = bench.now + Duration::from_millis(10);
            bench.receive_all(inbox.remove(&member).unwrap_or_default());
        }
    }

    /// Answers FetchVotes from the source's log; checkpoints there are none.
    fn serve_fetches(&mut self, member: u64) {
        let fetches = std::mem::take(&mut self.benches.get_mut(&member).unwrap().fetches);
        for fetch in fetches {
            let Effect::Fetch { fetch, from, request, kind } = fetch else { continue };
            let source = u64::from(from.ip().octets()[3]);
            let cut = self.cut.contains(&source) || self.cut.contains(&member);
            let reachable = !cut && self.benches.contains_key(&source);
            let mut records = Vec::new();
            if reachable && matches!(kind, FetchKind::Votes) {
                let log = &self.benches[&source].log;
                let decree = request.header().decree;
                let is_it = |record: &Record| matches!(record, Record::Vote(vote) if vote.decree() == decree);
                if let Some(first) = log.iter().rposition(is_it) {
                    records = log[first..].to_vec();
                }
            }
            let empty = records.is_empty();
            let outcome = match kind {
                FetchKind::Votes => FetchOutcome::VotesEnded { empty },
                FetchKind::Checkpoint { .. } => FetchOutcome::CheckpointFailed,
            };
            let bench = self.benches.get_mut(&member).unwrap();
            bench.give(vec![Input::Fetched { fetch, records }, Input::FetchEnded { fetch, outcome }]);
        }
    }

    /// Every pair of replicas executed the same values as far as both have come [PROTO-12].
    pub(super) fn check_agreement(&self) {
        let mut chosen: BTreeMap<Decree, Vote> = BTreeMap::new();
        for (member, bench) in &self.benches {
            let mut last = None;
            for apply in &bench.applied {
                let Apply::Execute { vote, .. } = apply else { continue };
                let decree = vote.decree();
                assert!(last.is_none_or(|last| decree.follows(last)), "member {member} skips to {decree}");
                last = Some(decree);
                let first = chosen.entry(decree).or_insert_with(|| vote.clone());
                assert!(first.same_value(vote), "member {member} executes another value at {decree}");
            }
        }
    }
}

/// A link that works.
pub(super) fn link(member: u64, last_send: Option<Instant>) -> PeerLink {
    PeerLink { ip: ip(member), member: id(member), connected: true, unsent: 0, last_send }
}
