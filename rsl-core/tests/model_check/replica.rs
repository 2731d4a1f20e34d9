//! One replica of the model: the production engine, outbox, log writer and restart, and what an observer notes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsl_core::engine::{
    Answer, AppendSeq, Apply, ChangeToken, Command, ConnectionId, Destination, Direction, Effect, Engine,
    FetchId, FetchKind, FetchOutcome, Input, Origin, Outbox, Question, Recovered, Request, RequestToken,
    Role, Settings,
};
use rsl_core::format::Record;
use rsl_core::storage::{
    CheckpointReader, Directory, MemDisk, RestoreSettings, RestoreTarget, Retention, SaveAnswer, restore,
};
use rsl_core::types::{Ballot, Configuration, Instant, MemberId, MemberSet, Node, Position, ProtocolVersion};
use rsl_core::wire::{Message, Vote};

/// A rule that is weakened, to see that the checker can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    None,
    /// Messages leave before what they speak of is durable.
    NoGate,
    /// A restart forgets promises.
    ForgetsPromises,
    /// A primary counts a peer that has not answered: one vote is a majority.
    QuorumOfOne,
    /// A vote below the promise is acknowledged.
    AcceptsBelowPromise,
}

/// What a replica is told; enough to tell it again.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Message {
        from: u64,
        message: Box<Message>,
    },
    /// Everything appended is durable.
    Synced,
    Promote,
    Request(u64),
    Change(Vec<u64>),
    /// Records of the pending transfer, all there will be.
    Fetched(Vec<Record>),
}

pub(crate) fn id(number: u64) -> MemberId {
    MemberId::from_number(number)
}

fn number(member: MemberId) -> u64 {
    member.as_number().unwrap()
}

fn ip(member: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(member).unwrap())
}

pub(crate) fn members(numbers: impl IntoIterator<Item = u64>) -> Arc<MemberSet> {
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

fn settings(member: u64) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        member: id(member),
        learn_port: 20001,
        version: ProtocolVersion::V6,
        new_leader_grace_period: second * 15,
        heartbeat_interval: second * 2,
        election_delay: second * 10,
        election_randomize_percent: 0,
        max_election_randomize: second,
        initialize_retry_interval: second,
        prepare_retry_interval: second,
        vote_retry_interval: second * 3,
        receive_timeout: second * 5,
        vote_max_outstanding_interval: second * 480,
        checkpoint_query_interval: second * 5,
        join_messages_interval: second,
        max_checkpoint_interval: Duration::ZERO,
        max_log_len: 1 << 30,
        log_len_randomize_percent: 0,
        max_cache_len: 50 << 20,
        max_vote_len: 100 << 20,
        promote_while_catching_up: false,
        remote_bootstrap: true,
        use_global_accept_flag: true,
    }
}

/// The value of a vote [PROTO-10].
fn value(vote: &Vote) -> String {
    let requests: Vec<_> = vote.requests().collect();
    let members = vote.reconfiguration().map(|set| set.nodes.iter().map(|node| node.id).collect::<Vec<_>>());
    format!("{requests:?}{members:?}")
}

/// What an observer knows of a replica, across its restarts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Records on stable storage, and those that a crash may take.
    pub(crate) durable: Vec<Record>,
    pub(crate) unsynced: Vec<(AppendSeq, Record)>,
    /// Values executed, by decree.
    pub(crate) executed: BTreeMap<u64, String>,
    /// Configuration, decree, ballot and value of votes that it acknowledged, as proposer by having them durable.
    pub(crate) acked: BTreeSet<(u32, u64, Ballot, String)>,
    /// The highest ballot it has spoken for.
    spoken: Ballot,
    /// Tokens that came to their end in this run.
    pub(crate) ended: BTreeSet<u64>,
    /// The first rule that it broke.
    pub(crate) broken: Option<String>,
}

/// A running replica.
pub(crate) struct Replica {
    pub(crate) member: u64,
    pub(crate) weakness: Weakness,
    pub(crate) engine: Engine,
    outbox: Outbox,
    peers: Vec<u64>,
    appended: AppendSeq,
    pub(crate) facts: Facts,
    /// The newest status query that has left.
    pub(crate) query: Option<Message>,
    /// The transfer that waits for its records, with the member it asks.
    pub(crate) fetch: Option<(FetchId, u64, Message, FetchKind)>,
    /// Messages that have left and were not taken yet.
    pub(crate) sent: Vec<(u64, Message)>,
}

/// Nothing in the model takes time: timers that are not due at once never are.
const NOW: Instant = Instant(1_000_000_000);

impl Replica {
    pub(crate) fn start(member: u64, disk: &Recovered, facts: &Facts) -> Replica {
        let mut replica = Replica {
            member,
            weakness: Weakness::None,
            engine: Engine::recover(settings(member), disk.clone(), member, NOW),
            outbox: Outbox::default(),
            peers: Vec::new(),
            appended: AppendSeq(0),
            facts: facts.clone(),
            query: None,
            fetch: None,
            sent: Vec::new(),
        };
        replica.turns(Vec::new());
        replica
    }

    /// Everything that decides what it does next, and what is noted of it. Without the engine's chance: while time stands
    /// still, and with one peer to learn from, it decides nothing.
    pub(crate) fn key(&self) -> String {
        let Replica { engine, outbox, facts, query, fetch, .. } = self;
        let engine = format!("{engine:?}");
        let (before, chance) = engine.split_once("prng: Prng(").expect("an engine has a generator");
        let (_, after) = chance.split_once(')').expect("it ends");
        format!("{before}{after}{outbox:?}{facts:?}{query:?}{fetch:?}")
    }

    /// Tells it one thing and performs what it wants done, until it rests. A panic is a broken rule.
    pub(crate) fn tell(&mut self, told: &Told) {
        let done = catch_unwind(AssertUnwindSafe(|| self.give(told)));
        if let Err(panic) = done {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            self.breaks(format!("panic: {}", text.unwrap_or_default()));
        }
    }

    fn give(&mut self, told: &Told) {
        let inputs = match told {
            Told::Message { from, message } => {
                self.acknowledge_anyway(*from, message);
                let address = SocketAddrV4::new(ip(*from), 50000);
                let connection = ConnectionId(*from);
                vec![Input::Message {
                    from: Origin { connection, direction: Direction::Inbound, address },
                    message: Message::clone(message),
                }]
            }
            Told::Synced => {
                let through = self.appended;
                for (_, record) in std::mem::take(&mut self.facts.unsynced) {
                    self.note_durable(&record);
                    self.facts.durable.push(record);
                }
                for (to, message) in self.outbox.appended(through) {
                    self.leave(to, message);
                }
                vec![Input::Appended { through }]
            }
            Told::Promote => vec![Input::Command(Command::AttemptPromotion)],
            Told::Request(value) => {
                let payload = Bytes::from(format!("request {value}"));
                let token = RequestToken(*value);
                let request = Request { payload, token, exclusive: false, last_decree: false };
                vec![Input::Command(Command::Replicate(vec![request]))]
            }
            Told::Change(set) => {
                let members = members(set.iter().copied());
                vec![Input::Command(Command::ChangeConfiguration { members, token: ChangeToken(99) })]
            }
            Told::Fetched(records) => {
                let Some((fetch, _, _, kind)) = self.fetch.take() else { return };
                let empty = records.is_empty();
                let outcome = match kind {
                    FetchKind::Votes => FetchOutcome::VotesEnded { empty },
                    FetchKind::Checkpoint { .. } => FetchOutcome::CheckpointFailed,
                };
                vec![Input::Fetched { fetch, records: records.clone() }, Input::FetchEnded { fetch, outcome }]
            }
        };
        self.turns(inputs);
    }

    fn turns(&mut self, mut inputs: Vec<Input>) {
        loop {
            let mut effects = Vec::new();
            self.engine.turn(NOW, std::mem::take(&mut inputs), &mut effects);
            for effect in effects {
                self.perform(effect, &mut inputs);
            }
            if inputs.is_empty() && self.engine.deadline().is_none_or(|due| due > NOW) {
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect, inputs: &mut Vec<Input>) {
        match effect {
            Effect::Append { seq, record, .. } => {
                self.appended = seq;
                if let (Weakness::QuorumOfOne, Record::Vote(vote)) = (self.weakness, &record)
                    && vote.ballot().member == id(self.member)
                    && let Some(peer) = self.peers.first()
                {
                    let mut header = *vote.header();
                    (header.member, header.checksum) = (id(*peer), 0);
                    let address = SocketAddrV4::new(ip(*peer), 50000);
                    let connection = ConnectionId(*peer);
                    inputs.push(Input::Message {
                        from: Origin { connection, direction: Direction::Inbound, address },
                        message: Message::VoteAccepted(header),
                    });
                }
                self.facts.unsynced.push((seq, record));
            }
            Effect::Send { to, message, after } => {
                let after = after.filter(|_| self.weakness != Weakness::NoGate);
                if let Some((to, message)) = self.outbox.submit(to, message, after) {
                    self.leave(to, message);
                }
            }
            Effect::Peers(configuration) => {
                let others = configuration.members.nodes.iter().map(|node| number(node.id));
                self.peers = others.filter(|other| *other != self.member).collect();
            }
            Effect::Ask { question, ask: Question::CanBecomePrimary } => {
                inputs.push(Input::Answered { question, answer: Answer::MayLead(Some(Bytes::new())) });
            }
            Effect::Apply(apply) => self.apply(apply, inputs),
            Effect::Fetch { fetch, from, request, kind } => {
                self.fetch = Some((fetch, u64::from(from.ip().octets()[3]), request, kind));
            }
            Effect::CancelFetch(fetch) => drop(self.fetch.take_if(|(pending, ..)| *pending == fetch)),
            Effect::Ask { .. }
            | Effect::Stop(_)
            | Effect::Disconnect(_)
            | Effect::PersistMembers(_)
            | Effect::BootstrapEnded { .. }
            | Effect::CleanUp { .. }
            | Effect::PersistDefunct { .. }
            | Effect::Voted { .. }
            | Effect::Report(_) => {}
        }
    }

    fn apply(&mut self, apply: Apply, inputs: &mut Vec<Input>) {
        let mut ended = Vec::new();
        match apply {
            Apply::Execute { vote, tokens, change } => {
                let decree = vote.decree();
                let before = self.facts.executed.insert(decree.0, value(&vote));
                if before.is_some_and(|before| before != value(&vote)) {
                    self.breaks(format!("PROTO-12: executes two values at {decree}"));
                }
                ended.extend(tokens.iter().map(|token| token.0));
                ended.extend(change.map(|token| token.0));
                inputs.push(Input::Executed { decree, save_state: false });
            }
            Apply::Abort { token, .. } => ended.push(token.0),
            Apply::AbortChange { token, .. } => ended.push(token.0),
            _ => {}
        }
        for token in ended {
            if !self.facts.ended.insert(token) {
                self.breaks(format!("HARD-557: token {token} comes back twice"));
            }
        }
    }

    fn leave(&mut self, to: Destination, message: Message) {
        match &message {
            // Their rounds are one step of the model.
            Message::StatusQuery(_) => return self.query = Some(message),
            Message::VoteAccepted(header) => {
                let position = header.position();
                let held = self.durable_vote(position).map(value);
                self.speak(position.ballot, "VoteAccepted");
                match held {
                    Some(value) => {
                        let ack = (header.configuration, position.decree.0, position.ballot, value);
                        self.facts.acked.insert(ack);
                    }
                    None => self.breaks(format!("PROTO-16: acknowledges {position}, which is not durable")),
                }
            }
            Message::PrepareAccepted(promise) => {
                let ballot = promise.header.ballot;
                self.speak(ballot, "PrepareAccepted");
                if !self.facts.durable.iter().any(|record| record.position().ballot >= ballot) {
                    self.breaks(format!("PROTO-15: promises {ballot}, which is not durable"));
                }
            }
            Message::Vote(vote) => {
                let ballot = vote.ballot();
                if ballot.member != id(self.member)
                    || !self.facts.durable.iter().any(|record| record.position().ballot >= ballot)
                {
                    self.breaks(format!("PROTO-7: proposes under {ballot}"));
                }
            }
            _ => {}
        }
        match to {
            Destination::AllPeers => {
                self.sent.extend(self.peers.iter().map(|peer| (*peer, message.clone())));
            }
            Destination::Peer(peer) => self.sent.push((number(peer), message)),
            Destination::Connection(connection) => self.sent.push((connection.0, message)),
        }
    }

    fn speak(&mut self, ballot: Ballot, what: &str) {
        if ballot < self.facts.spoken {
            self.breaks(format!("PROTO-17: {what} for {ballot} after {}", self.facts.spoken));
        }
        self.facts.spoken = self.facts.spoken.max(ballot);
    }

    fn note_durable(&mut self, record: &Record) {
        if let Record::Vote(vote) = record
            && vote.ballot().member == id(self.member)
            && vote.header().member == id(self.member)
        {
            let ack = (vote.header().configuration, vote.decree().0, vote.ballot(), value(vote));
            self.facts.acked.insert(ack);
        }
    }

    fn breaks(&mut self, rule: String) {
        self.facts.broken.get_or_insert(rule);
    }

    fn durable_vote(&self, position: Position) -> Option<&Vote> {
        self.facts.durable.iter().rev().find_map(|record| match record {
            Record::Vote(vote) if vote.position() == position => Some(vote),
            _ => None,
        })
    }

    /// [`Weakness::AcceptsBelowPromise`]: what the engine refuses is acknowledged past it.
    fn acknowledge_anyway(&mut self, from: u64, message: &Message) {
        let Message::Vote(vote) = message else { return };
        let status = self.engine.status();
        let low = vote.ballot() < status.promised && vote.header().configuration == status.configuration;
        if self.weakness == Weakness::AcceptsBelowPromise && low {
            let mut header = *vote.header();
            (header.member, header.checksum) = (id(self.member), 0);
            let ack = (header.configuration, vote.decree().0, vote.ballot(), value(vote));
            self.facts.acked.insert(ack);
            self.sent.push((from, Message::VoteAccepted(header)));
        }
    }

    /// The records a FetchVotes of `request` brings: from the newest vote of its decree on.
    pub(crate) fn serve(&self, request: &Message) -> Vec<Record> {
        let decree = request.header().decree;
        let is_it = |record: &Record| matches!(record, Record::Vote(vote) if vote.decree() == decree);
        let first = self.facts.durable.iter().rposition(is_it);
        first.map(|first| self.facts.durable[first..].to_vec()).unwrap_or_default()
    }

    pub(crate) fn is_initializing(&self) -> bool {
        self.engine.role() == Role::Initializing
    }
}

struct NoApplication;

impl RestoreTarget for NoApplication {
    fn load(&mut self, _: Option<&mut CheckpointReader>) -> bool {
        true
    }

    fn execute(&mut self, _: &Vote) -> bool {
        false
    }

    fn reconfigured(&mut self, _: &Configuration) {}

    fn save(&mut self, _: &mut dyn Write) -> SaveAnswer {
        SaveAnswer::Refused
    }
}

/// What the production restart finds after the production log writer has written these records.
pub(crate) fn restart(
    member: u64,
    set: &Arc<MemberSet>,
    records: &[Record],
    weakness: Weakness,
) -> Recovered {
    let path = Path::new("data");
    let disk = MemDisk::with_directory(path);
    let settings = RestoreSettings {
        member: id(member),
        version: ProtocolVersion::V6,
        initial_members: Some(Arc::clone(set)),
        retention: Retention::default(),
        refuse_damaged_tail: false,
    };
    let start = || {
        let directory = Directory::open(Arc::new(disk.clone()), path).unwrap();
        restore(&directory, &settings, &mut NoApplication).unwrap()
    };
    let mut log = start().log;
    for record in records {
        log.append(record, None).unwrap();
    }
    log.flush().unwrap();
    drop(log);
    let mut recovered = start().recovered;
    if weakness == Weakness::ForgetsPromises {
        recovered.promised = recovered.accepted.ballot();
    }
    recovered
}
