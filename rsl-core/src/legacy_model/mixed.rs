//! Mixed clusters in memory: every split of 3 and 5 members between the model and the engine, in every version. The
//! first primary is cut off and comes back; all execute the same values, and nothing that was executed is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::LegacyModel;
use super::tests::{node, settings};
use crate::engine::{
    Answer, Apply, Command, ConnectionId, Consensus, Destination, Direction, Effect, Engine, FetchId,
    FetchOutcome, Input, LogFileInfo, Origin, PeerLink, Prng, Question, Recovered, Request, RequestToken,
    Settings, Status, StopReason,
};
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, Instant, MemberSet, ProtocolVersion};
use crate::wire::{Header, Message, Vote, VoteContent};

/// Either core.
enum Core {
    Model(LegacyModel),
    Engine(Engine),
}

impl Core {
    fn recover(is_model: bool, settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Core {
        if is_model {
            Core::Model(Consensus::recover(settings, disk, seed, now))
        } else {
            Core::Engine(Consensus::recover(settings, disk, seed, now))
        }
    }

    fn turn(&mut self, now: Instant, inputs: Vec<Input>) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self {
            Core::Model(core) => core.turn(now, inputs, &mut effects),
            Core::Engine(core) => core.turn(now, inputs, &mut effects),
        }
        effects
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Core::Model(core) => core.deadline(),
            Core::Engine(core) => core.deadline(),
        }
    }

    fn status(&self) -> Status {
        match self {
            Core::Model(core) => core.status(),
            Core::Engine(core) => core.status(),
        }
    }
}

struct Member {
    core: Core,
    settings: Settings,
    is_model: bool,
    inbox: Vec<Input>,
    records: Vec<Record>,
    executed: BTreeMap<Decree, Vote>,
    stopped: Option<StopReason>,
}

/// A cluster; a message takes one step of a millisecond.
struct Cluster {
    now: Instant,
    members: Vec<Member>,
    wire: VecDeque<(usize, usize, Direction, Message)>,
    fetches: VecDeque<(usize, FetchId, usize, Decree)>,
    cut: Option<usize>,
    /// Directions in which nothing arrives.
    blocked: BTreeSet<(usize, usize)>,
    configuration: Configuration,
    next_token: u64,
    next_seed: u64,
}

/// What a restart makes of these records, in a configuration that never changes.
fn restored(settings: &Settings, configuration: &Configuration, records: &[Record]) -> Recovered {
    let header = Header::new(settings.version, settings.member, Decree::ZERO, 1, Ballot::EMPTY);
    let mut accepted = Vote::new(header, &VoteContent::default()).unwrap();
    let mut votes = None;
    for record in records {
        if let Record::Vote(vote) = record {
            let first = votes.map_or(vote.decree(), |(first, _)| first);
            votes = Some((first, vote.decree()));
            accepted = vote.clone();
        }
    }
    let promised = records.iter().map(|record| record.position().ballot).max().unwrap_or(Ballot::EMPTY);
    let len = records.iter().map(Record::padded_len).sum();
    Recovered {
        executed: accepted.decree().previous(),
        accepted,
        promised,
        state_configuration: configuration.clone(),
        voting_configuration: configuration.clone(),
        checkpoint: None,
        defunct: 0,
        relearn: None,
        checkpoint_lag: Duration::ZERO,
        logs: vec![LogFileInfo { name: Decree::ZERO, votes, len }],
    }
}

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

fn address(index: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, number(index)), 1000)
}

impl Cluster {
    /// Bit i of `models`: member i is a model.
    fn new(count: usize, models: u32, version: ProtocolVersion) -> Cluster {
        let now = Instant(1_000_000_000);
        let nodes = (0..count).map(|index| node(number(index))).collect();
        let set = Arc::new(MemberSet { nodes, cookie: Bytes::new() });
        let configuration = Configuration { number: 1, initial_decree: Decree::ZERO, members: set };
        let members = (0..count).map(|index| {
            let member = node(number(index)).id;
            let settings = Settings { member, version, election_randomize_percent: 10, ..settings() };
            let is_model = models >> index & 1 == 1;
            let disk = restored(&settings, &configuration, &[]);
            let core = Core::recover(is_model, settings.clone(), disk, 7 + index as u64, now);
            let (inbox, records, executed) = (Vec::new(), Vec::new(), BTreeMap::new());
            Member { core, settings, is_model, inbox, records, executed, stopped: None }
        });
        let members = members.collect();
        Cluster {
            now,
            members,
            wire: VecDeque::new(),
            fetches: VecDeque::new(),
            cut: None,
            blocked: BTreeSet::new(),
            configuration,
            next_token: 0,
            next_seed: 100,
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.cut != Some(from) && self.cut != Some(to) && !self.blocked.contains(&(from, to))
    }

    /// The process dies and starts again from its log.
    fn restart(&mut self, index: usize) {
        self.wire.retain(|(from, to, ..)| *from != index && *to != index);
        self.fetches.retain(|(learner, ..)| *learner != index);
        self.next_seed += 1;
        let (now, seed) = (self.now, self.next_seed);
        let member = &mut self.members[index];
        let disk = restored(&member.settings, &self.configuration, &member.records);
        // What the log does not prove passed is executed again.
        member.executed.retain(|decree, _| *decree <= disk.executed);
        member.core = Core::recover(member.is_model, member.settings.clone(), disk, seed, now);
        member.inbox.clear();
        member.stopped = None;
    }

    /// A request to whoever leads, without waiting for it.
    fn submit(&mut self, text: String) {
        if let Some(primary) = self.primary() {
            self.next_token += 1;
            let token = RequestToken(self.next_token);
            let request = Request { payload: text.into(), token, exclusive: false, last_decree: false };
            self.members[primary].inbox.push(Input::Command(Command::Replicate(vec![request])));
        }
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        for (from, to, direction, message) in std::mem::take(&mut self.wire) {
            if !self.reaches(from, to) {
                continue;
            }
            let connection = ConnectionId(from as u64 * 2 + u64::from(direction == Direction::Outbound));
            let from = Origin { connection, direction, address: address(from) };
            self.members[to].inbox.push(Input::Message { from, message });
        }
        for (index, fetch, source, decree) in std::mem::take(&mut self.fetches) {
            let served = self.reaches(index, source) && self.reaches(source, index);
            let records = &self.members[source].records;
            let first = records
                .iter()
                .rposition(|record| matches!(record, Record::Vote(vote) if vote.decree() == decree));
            let records = first.filter(|_| served).map_or(Vec::new(), |first| records[first..].to_vec());
            let outcome = FetchOutcome::VotesEnded { empty: served && records.is_empty() };
            let inbox = &mut self.members[index].inbox;
            inbox.push(Input::Fetched { fetch, records });
            inbox.push(Input::FetchEnded { fetch, outcome });
        }
        for index in 0..self.members.len() {
            self.turn(index);
        }
    }

    fn turn(&mut self, index: usize) {
        let now = self.now;
        let due = self.members[index].core.deadline().is_some_and(|deadline| deadline <= now);
        if self.members[index].stopped.is_some() || (!due && self.members[index].inbox.is_empty()) {
            return;
        }
        let mut inputs = std::mem::take(&mut self.members[index].inbox);
        if due {
            inputs.insert(0, Input::Links(self.links(index)));
        }
        for effect in self.members[index].core.turn(now, inputs) {
            self.perform(index, effect);
        }
    }

    fn links(&self, index: usize) -> Vec<PeerLink> {
        let others = (0..self.members.len()).filter(|other| *other != index);
        others
            .map(|other| PeerLink {
                ip: *address(other).ip(),
                member: node(number(other)).id,
                connected: self.reaches(index, other),
                unsent: 0,
                last_send: None,
            })
            .collect()
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Append { seq, record, .. } => {
                self.members[index].records.push(record);
                self.members[index].inbox.push(Input::Appended { through: seq });
            }
            // Everything is durable before the step ends in which messages travel.
            Effect::Send { to, message, .. } => match to {
                Destination::Connection(ConnectionId(connection)) => {
                    let to = usize::try_from(connection / 2).unwrap();
                    self.wire.push_back((index, to, Direction::Outbound, message));
                }
                Destination::Peer(peer) => {
                    let to = (0..self.members.len()).find(|to| node(number(*to)).id == peer).unwrap();
                    self.wire.push_back((index, to, Direction::Inbound, message));
                }
                Destination::AllPeers => {
                    for to in (0..self.members.len()).filter(|to| *to != index) {
                        self.wire.push_back((index, to, Direction::Inbound, message.clone()));
                    }
                }
            },
            Effect::Ask { question, ask } => {
                let answer = match ask {
                    Question::CanBecomePrimary => Answer::MayLead(Some(Bytes::new())),
                    Question::AcceptMessage { .. } => Answer::Accept(true),
                };
                self.members[index].inbox.push(Input::Answered { question, answer });
            }
            Effect::Apply(Apply::Execute { vote, .. }) => {
                let decree = vote.decree();
                let last =
                    self.members[index].executed.last_key_value().map_or(Decree::ZERO, |(last, _)| *last);
                assert!(decree.follows(last), "[PROTO-12] member {index} executes {decree} behind {last}");
                self.members[index].executed.insert(decree, vote);
                self.members[index].inbox.push(Input::Executed { decree, save_state: false });
            }
            Effect::Fetch { fetch, from, request, .. } => {
                let source = usize::from(from.ip().octets()[3]) - 1;
                self.fetches.push_back((index, fetch, source, request.header().decree));
            }
            Effect::CancelFetch(fetch) => self.fetches.retain(|(_, known, ..)| *known != fetch),
            Effect::Stop(reason) => self.members[index].stopped = Some(reason),
            _ => {}
        }
    }

    /// Steps until it holds.
    fn until(&mut self, what: &str, seconds: u64, holds: impl Fn(&Cluster) -> bool) {
        for _ in 0..seconds * 1000 {
            if holds(self) {
                return;
            }
            self.step();
        }
        let states: Vec<String> = self
            .members
            .iter()
            .map(|member| {
                format!(
                    "{:?} {} {:?}",
                    member.core.status().role,
                    member.core.status().accepted,
                    member.stopped
                )
            })
            .collect();
        panic!("{what}: not within {seconds} s; {states:?}");
    }

    fn primary(&self) -> Option<usize> {
        (0..self.members.len())
            .find(|index| self.cut != Some(*index) && self.members[*index].core.status().is_primary)
    }

    /// A request through the primary; executed by all that can be reached, when a heartbeat has followed.
    fn replicate(&mut self, text: &'static str) {
        self.until("a primary", 120, |cluster| cluster.primary().is_some());
        let primary = self.primary().unwrap();
        self.next_token += 1;
        let request = Request {
            payload: Bytes::from_static(text.as_bytes()),
            token: RequestToken(self.next_token),
            exclusive: false,
            last_decree: false,
        };
        self.members[primary].inbox.push(Input::Command(Command::Replicate(vec![request])));
        self.until(text, 120, |cluster| {
            (0..cluster.members.len())
                .filter(|index| cluster.cut != Some(*index))
                .all(|index| cluster.has(index, text))
        });
    }

    fn has(&self, index: usize, text: &str) -> bool {
        self.members[index].executed.values().any(|vote| vote.requests().any(|request| request == text))
    }

    /// [PROTO-11] [PROTO-12]
    fn agrees(&self) {
        let mut chosen: BTreeMap<Decree, &Vote> = BTreeMap::new();
        for member in &self.members {
            assert_eq!(member.stopped, None);
            for (decree, vote) in &member.executed {
                assert!(chosen.entry(*decree).or_insert(vote).same_value(vote), "decree {decree}");
            }
        }
    }
}

fn run(count: usize, models: u32, version: ProtocolVersion) {
    let mut cluster = Cluster::new(count, models, version);
    cluster.replicate("first");
    cluster.cut = cluster.primary();
    cluster.replicate("second");
    cluster.cut = None;
    cluster.replicate("third");
    let seen =
        (0..count).all(|index| ["first", "second", "third"].iter().all(|text| cluster.has(index, text)));
    assert!(seen, "{count} members, models {models:b}, {version}");
    cluster.agrees();
}

/// [PROTO-11] [PROTO-12] [PROTO-116] [XFER-14] [SCN-28]: every split of three, every version.
#[test]
fn every_split_of_three() {
    for version in ProtocolVersion::ALL {
        for models in 0..8 {
            run(3, models, version);
        }
    }
}

/// [PROTO-11] [PROTO-12]: every split of five.
#[test]
fn every_split_of_five() {
    for models in 0..32 {
        run(5, models, ProtocolVersion::V6);
    }
}

/// [SCN-51] [PROTO-11] [PROTO-12]: five members, old and new in every proportion: one-way partitions and kills at random for a
/// while; then, once all can talk, there is progress. A member that dies of a legacy assertion is started again like one
/// that was killed. Nothing here reads a wall clock, so its jumps have nothing to act on.
#[test]
fn a_mixed_set_survives_kills_and_partitions() {
    for seed in 0..8 {
        let mut chance = Prng::new(seed);
        let mut pick = |count: usize| usize::try_from(chance.below(count as u64)).unwrap();
        let models = u32::try_from(1 + pick(30)).unwrap();
        let version = ProtocolVersion::ALL[pick(6)];
        let mut cluster = Cluster::new(5, models, version);
        let mut submitted = 0;
        for _ in 0..25 {
            match pick(4) {
                0 => cluster.restart(pick(5)),
                1 => cluster.blocked.clear(),
                _ => {
                    let pair = (pick(5), pick(5));
                    cluster.blocked.insert(pair);
                }
            }
            for _ in 0..500 + pick(2500) {
                if pick(50) == 0 {
                    cluster.submit(format!("{seed}-{submitted}"));
                    submitted += 1;
                }
                cluster.step();
            }
            for index in 0..5 {
                if cluster.members[index].stopped.is_some() {
                    assert!(
                        cluster.members[index].is_model,
                        "seed {seed}: {:?}",
                        cluster.members[index].stopped
                    );
                    cluster.restart(index);
                }
            }
            cluster.agrees();
        }
        cluster.blocked.clear();
        cluster.replicate("progress");
        cluster.agrees();
        let executed: Vec<usize> = cluster.members.iter().map(|member| member.executed.len()).collect();
        assert!(executed.iter().all(|count| *count > 20), "seed {seed}: the load came through: {executed:?}");
    }
}
