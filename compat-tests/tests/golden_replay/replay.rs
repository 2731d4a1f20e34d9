//! Drives a core through the events of a recorded replica and compares what it says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Failed;
use rsl_core::engine::{
    BootstrapToken, ChangeToken, Command, ConnectionId, Consensus, Destination, Direction, Input, Origin,
    Request, RequestToken, StopReason,
};
use rsl_core::storage::{MemDisk, Retention};
use rsl_core::types::{Instant, MemberId};
use rsl_core::wire::{Message, Vote};

use crate::admissible::{fits, is_surplus, payload_of_answer};
use crate::capture::{Capture, Event, What};
use crate::compare::{may_be_read, says_the_same, short};
use crate::explained;
use crate::rig::{Query, Rig, Said, Start};
use crate::search::{Choice, Found, Script, improved};

/// The clock at the start: the machine has been up for long [PROTO-117].
pub(crate) const EPOCH: Instant = Instant(1_000_000_000_000);
/// Longest time a timer may need to bring a recorded message.
const PATIENCE: Duration = Duration::from_secs(7);
/// Seconds after which received messages have been looked at, whatever the record shows: a turn of legacy starts every
/// 10 ms, but may be held up by learning or by the disk.
const LATENCIES: [f64; 3] = [0.1, 0.02, 0.01];
/// An answer that is not in the record after this time is not given there.
const ANSWERED_WITHIN: f64 = 0.3;
/// Seeds that are tried: chance decides whom a replica learns from.
const SEEDS: u64 = 3;

/// Something that was said otherwise, or not at all, or without being in the record.
#[derive(Debug)]
pub(crate) struct Deviation {
    at: f64,
    text: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}: {}", self.at, self.text)
    }
}

/// Received and not looked at yet: the engine thread of the recorded replica took it at some later time, connections and
/// votes and other messages in any order [PROTO-54].
struct Pending {
    at: f64,
    from: Origin,
    message: Message,
    /// The payload that the answer to this vote has.
    payload: Option<u64>,
    /// The configuration of the replica when it was received.
    configuration: u32,
}

/// Messages of the record that were said, and what was not in the best order that was found.
pub(crate) struct Outcome {
    pub(crate) matched: usize,
    /// Messages of its own beyond the record, to peers that could have got them.
    pub(crate) surplus: usize,
    pub(crate) attempts: usize,
    /// Why the record cannot be followed to its end.
    pub(crate) ended: Option<&'static str>,
    pub(crate) deviation: Option<Deviation>,
}

struct Replay<'a, C> {
    capture: &'a Capture,
    /// It may say otherwise what a hardening clause changes.
    hardened: bool,
    id: MemberId,
    seed: u64,
    script: Script,
    disk: MemDisk,
    rig: Option<Rig<C>>,
    pending: Vec<Pending>,
    /// The last message of the record to each peer, and its connection.
    sent: BTreeMap<MemberId, (u64, Message)>,
    /// Messages that old have been looked at, whatever the record shows.
    latency: f64,
    /// A learn port was asked for its status: the next copy is the application's.
    asked: bool,
    payload: u64,
    next_token: u64,
    matched: usize,
    /// Messages of its own that were skipped.
    surplus: usize,
    /// The conversation goes another way from here on, for this reason.
    ended: Option<&'static str>,
    events: &'a [Event],
    /// The event that is looked at.
    index: usize,
}

/// Replays until an order is found that explains the record. A `hardened` core may say otherwise what a hardening clause
/// changes.
pub(crate) fn replay<C: Consensus>(capture: &Capture, id: &str, hardened: bool) -> Result<Outcome, Failed> {
    let events = capture.events(id);
    let id: MemberId = id.parse()?;
    let mut attempts = 0;
    let mut run = |(seed, latency): (u64, f64), script: Script| {
        attempts += 1;
        let mut replay = Replay::<C> {
            capture,
            hardened,
            id,
            seed,
            script,
            disk: MemDisk::with_directory(Path::new("data")),
            rig: None,
            pending: Vec::new(),
            sent: BTreeMap::new(),
            latency,
            asked: false,
            payload: 0,
            next_token: 0,
            matched: 0,
            surplus: 0,
            ended: None,
            events: &events,
            index: 0,
        };
        let result = replay.run();
        let mut script = replay.script;
        script.made.truncate(script.next);
        let answers = |said: &&Said| matches!(said.to, Destination::Connection(_));
        let waiting = replay.pending.len();
        let extra = waiting + replay.rig.map_or(0, |rig| rig.said.iter().filter(answers).count());
        let (matched, surplus, ended) = (replay.matched, replay.surplus, replay.ended);
        let deviation = result.err().filter(|_| ended.is_none());
        Found { matched, surplus, extra, script, ended, deviation }
    };
    let mut best: Option<Found> = None;
    let starts = (0..SEEDS).flat_map(|seed| LATENCIES.map(|latency| (seed, latency)));
    for start in starts {
        // Goes on from the order that explains most, with one choice changed, then two.
        let mut here = run(start, Script::default());
        while here.deviation.is_some() {
            let Some(better) = improved(&here, &mut |script| run(start, script)) else { break };
            here = better;
        }
        let solved = here.deviation.is_none();
        if solved || best.as_ref().is_none_or(|best| here.matched > best.matched) {
            best = Some(here);
        }
        if solved {
            break;
        }
    }
    let Found { matched, surplus, ended, deviation, .. } = best.ok_or("no seed")?;
    Ok(Outcome { matched, surplus, attempts, ended, deviation })
}

impl<C: Consensus> Replay<'_, C> {
    fn run(&mut self) -> Result<(), Deviation> {
        let (mut epoch, events) = (0, self.events);
        for (index, event) in events.iter().enumerate() {
            self.index = index;
            let failed = |text| Deviation { at: event.at, text };
            if event.epoch > epoch {
                self.end().map_err(failed)?;
                epoch = event.epoch;
            }
            if self.rig.as_ref().is_some_and(|rig| rig.stopped.is_some()) {
                continue;
            }
            let rig = self.rig().map_err(failed)?;
            rig.follow(event.at);
            self.event(event, &events[index + 1..]).map_err(failed)?;
            self.unrecorded().map_err(failed)?;
        }
        let last = events.last().map_or(0.0, |event| event.at);
        self.end().map_err(|text| Deviation { at: last, text })
    }

    /// The replica is gone.
    fn end(&mut self) -> Result<(), String> {
        self.pending.clear();
        self.unrecorded()?;
        let unsaid = self.rig.iter().flat_map(|rig| &rig.said);
        self.surplus += unsaid.filter(|said| is_surplus(self.capture, self.id, said)).count();
        match self.rig.take().and_then(|rig| rig.stopped) {
            Some(StopReason::Panicked(text)) => Err(format!("dies: {text}")),
            _ => Ok(()),
        }
    }

    /// Answers that the recorded replica does not give from here on, though their connection lasts. They are looked for
    /// as soon as they are said: a choice that was wrong is found close to where it was made.
    fn unrecorded(&mut self) -> Result<(), String> {
        let Some(rig) = &self.rig else { return Ok(()) };
        let extra = rig.said.iter().find(|said| match said.to {
            Destination::Connection(connection) => {
                self.capture.opened_to(self.id, connection.0).is_none()
                    && self.capture.closed(connection.0) > said.at + ANSWERED_WITHIN
                    && !self.is_recorded(connection, said)
            }
            Destination::Peer(_) | Destination::AllPeers => false,
        });
        let Some(said) = extra else { return Ok(()) };
        Err(format!("not in the record: {} to {:?} at {:.6}", short(&said.message), said.to, said.at))
    }

    /// Whether the record has this answer, or the one for a run of votes that ends it [PROTO-80].
    fn is_recorded(&self, connection: ConnectionId, said: &Said) -> bool {
        let soon = self.events[self.index..].iter().take_while(|event| event.at < said.at + ANSWERED_WITHIN);
        soon.filter_map(|event| match &event.what {
            What::Answered { connection: on, message } if *on == connection.0 => Some(message),
            _ => None,
        })
        .any(|message| {
            let is_run =
                matches!((&said.message, message), (Message::VoteAccepted(_), Message::VoteAccepted(_)));
            let as_legacy = || self.hardened.then(|| explained::as_legacy(&said.message, message)).flatten();
            is_run
                || says_the_same(&said.message, message)
                || as_legacy().is_some_and(|said| says_the_same(&said, message))
        })
    }

    fn rig(&mut self) -> Result<&mut Rig<C>, String> {
        if self.rig.is_none() {
            let node = self.capture.members.get(self.id).ok_or("not a member")?;
            let id = self.id.to_string();
            let argument = |name: &str| self.capture.argument(name);
            let files = |name: &str, default: u64| {
                usize::try_from(argument(name).unwrap_or(default)).unwrap_or(usize::MAX)
            };
            let start = Start {
                member: self.id,
                version: self.capture.version_of(&id),
                members: self.capture.initial_members(&id),
                learn_port: node.learn_port,
                retention: Retention {
                    max_checkpoints: files("maxCheckpoints", 4),
                    max_logs: files("maxLogs", 10),
                },
                seed: self.seed,
                now: EPOCH,
                argument: &argument,
            };
            self.payload = 0;
            self.rig = Some(Rig::start(&self.disk, start)?);
        }
        self.rig.as_mut().ok_or_else(|| "no rig".to_owned())
    }

    fn event(&mut self, event: &Event, later: &[Event]) -> Result<(), String> {
        let latency = self.latency;
        let old = |pending: &Pending| pending.at < event.at - latency;
        while let Some(index) = self.pending.iter().position(old) {
            self.feed(self.pending[index].from.connection, false)?;
        }
        match &event.what {
            What::Received { connection, address, opened_here, learn, message } => {
                let direction = match (opened_here, learn) {
                    (true, _) => Direction::Outbound,
                    (false, true) => Direction::Learn,
                    (false, false) => Direction::Inbound,
                };
                let from = Origin { connection: ConnectionId(*connection), direction, address: *address };
                let message = message.clone();
                if matches!(message, Message::StatusQuery(_)) {
                    self.rig()?.queries.push(Query { from, message, candidates: Vec::new() });
                    return self.rig()?.settle(Vec::new());
                }
                let payload = payload_of_answer(*connection, &message, later);
                let configuration = self.rig()?.status().configuration;
                self.pending.push(Pending { at: event.at, from, message, payload, configuration });
                Ok(())
            }
            What::Answered { connection, message } => {
                self.expect(Destination::Connection(ConnectionId(*connection)), message, later)
            }
            What::Sent { connection, to, message } => {
                let known = self.sent.get(to).is_some_and(|(on, last)| *on != *connection && last == message);
                self.sent.insert(*to, (*connection, message.clone()));
                if known {
                    // A packet that was interrupted is sent again, first of all, on the next connection [PROTO-34].
                    return Ok(());
                }
                self.expect(Destination::Peer(*to), message, later)
            }
            What::Fetched { from, request, stream } => self.fetched(*from, request, stream),
        }
    }

    /// Gives the first message, or the first vote, of a connection.
    fn feed(&mut self, connection: ConnectionId, vote: bool) -> Result<(), String> {
        let first = self.pending.iter().position(|pending| {
            pending.from.connection == connection && (!vote || matches!(pending.message, Message::Vote(_)))
        });
        let Some(first) = first else { return Ok(()) };
        let Pending { from, message, payload, configuration, .. } = self.pending.remove(first);
        if let Some(payload) = payload.filter(|payload| *payload != self.payload) {
            self.payload = payload;
            self.rig()?.settle(vec![Input::Command(Command::SetVotePayload(payload))])?;
        }
        let rig = self.rig()?;
        let (known, was_queued) = (rig.said.len(), rig.status().configuration != configuration);
        rig.settle(vec![Input::Message { from, message }])?;
        if was_queued {
            // Legacy drops what waits in its queues when the configuration changes [PROTO-73].
            let new = self.rig()?.said.split_off(known);
            let to = Destination::Connection(connection);
            let kept = new.into_iter().filter(|said| said.to != to || self.is_recorded(connection, said));
            let kept: Vec<Said> = kept.collect();
            self.rig()?.said.extend(kept);
        }
        self.unrecorded()
    }

    fn feed_votes(&mut self, connection: ConnectionId) -> Result<(), String> {
        let of = |pending: &&Pending| pending.from.connection == connection;
        let votes =
            self.pending.iter().filter(of).filter(|pending| matches!(pending.message, Message::Vote(_)));
        for _ in 0..votes.count() {
            self.feed(connection, true)?;
        }
        Ok(())
    }

    /// Whether, and as which of its words, the core has said `message`. What is said to a peer on a connection of the
    /// replica's own leaves on the next one if that one breaks [PROTO-34].
    fn find(&mut self, to: Destination, message: &Message) -> Result<Option<usize>, String> {
        let (hardened, capture, id) = (self.hardened, self.capture, self.id);
        let as_legacy = |ours: &Message, theirs: &Message| {
            if hardened { explained::as_legacy(ours, theirs) } else { None }
        };
        let rig = self.rig()?;
        if let Message::StatusResponse(theirs) = message {
            return Ok(rig.queries.iter().position(|query| {
                let mut candidates = query.candidates.clone();
                candidates.extend(query.candidates.iter().filter_map(|said| as_legacy(said, message)));
                Destination::Connection(query.from.connection) == to && may_be_read(&candidates, theirs)
            }));
        }
        Ok(rig.said.iter().position(|said| {
            let there = match (said.to, to) {
                (Destination::Connection(connection), Destination::Peer(peer)) => {
                    capture.opened_to(id, connection.0) == Some(peer)
                }
                (ours, theirs) => ours == theirs,
            };
            let as_legacy =
                || as_legacy(&said.message, message).is_some_and(|said| says_the_same(&said, message));
            there && (says_the_same(&said.message, message) || as_legacy())
        }))
    }

    fn take(&mut self, found: usize, message: &Message) -> Result<(), String> {
        self.matched += 1;
        let (capture, id) = (self.capture, self.id);
        let rig = self.rig()?;
        if matches!(message, Message::StatusResponse(_)) {
            rig.queries.remove(found);
            return Ok(());
        }
        let destination = rig.said.remove(found).to;
        let (mut skipped, mut surplus) = (Vec::new(), 0);
        let mut index = 0;
        rig.said.retain(|said| {
            index += 1;
            let earlier = index <= found && said.to == destination;
            if earlier && matches!(destination, Destination::Connection(_)) {
                skipped.push(said.message.clone());
            }
            // What was to be said to a peer before was not said: there was no connection then, or it is surplus.
            let is_answer = matches!(destination, Destination::Connection(_));
            let skip = earlier && (said.message.id() == message.id() || is_answer);
            surplus += usize::from(skip && is_surplus(capture, id, said));
            !skip
        });
        self.surplus += surplus;
        // Of a run of votes only the last one was answered [PROTO-80].
        let coalesced = |said: &Message| {
            matches!(said, Message::VoteAccepted(_)) && matches!(message, Message::VoteAccepted(_))
        };
        match skipped.iter().find(|said| !coalesced(said)) {
            Some(said) => Err(format!("not in the record: {} to {destination:?}", short(said))),
            None => Ok(()),
        }
    }

    /// What may come next while `wanted` is waited for.
    fn choices(&self, to: Destination, message: Option<&Message>, found: bool, call: bool) -> Vec<Choice> {
        let mut connections: Vec<(bool, ConnectionId)> = Vec::new();
        for pending in &self.pending {
            let connection = pending.from.connection;
            if connections.iter().all(|(_, known)| *known != connection) {
                let cause = match to {
                    Destination::Connection(to) => connection == to,
                    _ => pending.from.direction == Direction::Outbound,
                };
                connections.push((!cause, connection));
            }
        }
        connections.sort_by_key(|(other, _)| *other);
        let status = self.rig.as_ref().map(Rig::status);
        let fits = message.is_some_and(|message| status.is_some_and(|status| fits(&status, to, message)));
        let feeds = |cause: bool| {
            let of = connections.iter().filter(move |(other, _)| *other != cause);
            of.flat_map(|(_, connection)| {
                let waiting = || self.pending.iter().filter(|pending| pending.from.connection == *connection);
                let is_vote = |pending: &&Pending| matches!(pending.message, Message::Vote(_));
                let votes = waiting().filter(is_vote).count();
                let behind = votes > 0 && !waiting().next().is_some_and(|first| is_vote(&first));
                let vote = behind.then_some(Choice::FeedVote(*connection));
                let all = (votes > 1).then_some(Choice::FeedVotes(*connection));
                std::iter::once(Choice::Feed(*connection)).chain(vote).chain(all)
            })
        };
        let mut choices = Vec::new();
        if found {
            choices.push(Choice::Take);
            choices.extend(feeds(true).chain(feeds(false)));
            return choices;
        }
        if call {
            choices.push(Choice::Call);
        }
        choices.extend(feeds(true));
        if fits && !call {
            choices.push(Choice::Wait);
        }
        choices.extend(feeds(false));
        if !fits || call {
            choices.push(Choice::Wait);
        }
        choices
    }

    /// The core has to say `message`, now or when its next timers expire.
    fn expect(&mut self, to: Destination, message: &Message, later: &[Event]) -> Result<(), String> {
        let mut called = false;
        let mut waits = 0;
        let most = if matches!(to, Destination::Connection(_)) { 1 } else { 4 };
        while self.rig()?.stopped.is_none() && waits < most {
            let found = self.find(to, message)?;
            let command = if called || found.is_some() { None } else { self.command_for(message, later) };
            let choices = self.choices(to, Some(message), found.is_some(), command.is_some());
            match (self.script.choose(&choices), found, command) {
                (Some(Choice::Take), Some(found), _) => return self.take(found, message),
                (Some(Choice::Call), _, Some(command)) => {
                    called = true;
                    self.rig()?.settle(vec![Input::Command(command)])?;
                }
                (Some(Choice::Feed(connection)), ..) => self.feed(connection, false)?,
                (Some(Choice::FeedVote(connection)), ..) => self.feed(connection, true)?,
                (Some(Choice::FeedVotes(connection)), ..) => self.feed_votes(connection)?,
                _ => {
                    waits += 1;
                    self.rig()?.advance(PATIENCE)?;
                }
            }
        }
        if let Some(found) = self.find(to, message)? {
            return self.take(found, message);
        }
        let rig = self.rig()?;
        let state = rig.describe();
        let to_it = rig.said.iter().filter(|said| said.to == to);
        let all: Vec<&Message> = to_it.map(|said| &said.message).collect();
        let elsewhere = explained::leads_elsewhere(&rig.status(), &all, message);
        let said = rig.said.iter().filter(|said| said.to == to);
        let mut near: Vec<String> = said.map(|said| short(&said.message)).take(5).collect();
        if matches!(message, Message::StatusResponse(_)) {
            near = rig.queries.iter().flat_map(|query| &query.candidates).map(short).collect();
            near.dedup();
        }
        self.ended = elsewhere.filter(|_| self.hardened);
        Err(format!("never said: {} to {to:?}; said {near:?}; {state}", short(message)))
    }

    /// What the application did to make a replica say this.
    fn command_for(&mut self, message: &Message, later: &[Event]) -> Option<Command> {
        let rig = self.rig.as_ref()?;
        match message {
            Message::Vote(vote) if rig.is_primary() && self.is_unsaid(message) => self.command_of_vote(vote),
            Message::StatusQuery(_) if rig.status().configuration == 0 => {
                let bootstrap = later.iter().find_map(|event| match &event.what {
                    What::Sent { message: Message::Bootstrap(bootstrap), .. } => Some(bootstrap),
                    _ => None,
                })?;
                Some(Command::Bootstrap {
                    members: Arc::new(bootstrap.members.clone()),
                    timeout: Duration::from_secs(15),
                    token: BootstrapToken(self.token()),
                })
            }
            _ => None,
        }
    }

    /// Whether the core has not said it to anybody yet.
    fn is_unsaid(&self, message: &Message) -> bool {
        let Some(rig) = &self.rig else { return true };
        !rig.said.iter().any(|said| says_the_same(&said.message, message))
    }

    fn command_of_vote(&mut self, vote: &Vote) -> Option<Command> {
        if vote.relinquish() {
            return Some(Command::RelinquishPrimary);
        }
        if let Some(members) = vote.reconfiguration() {
            let token = ChangeToken(self.token());
            return Some(Command::ChangeConfiguration { members: Arc::clone(members), token });
        }
        let requests: Vec<Request> = vote
            .requests()
            .map(|payload| Request {
                payload,
                token: RequestToken(self.token()),
                exclusive: false,
                last_decree: false,
            })
            .collect();
        (!requests.is_empty()).then_some(Command::Replicate(requests))
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn fetched(
        &mut self,
        from: std::net::SocketAddrV4,
        request: &Message,
        stream: &Bytes,
    ) -> Result<(), String> {
        // CopyStateFromReplica asks the learn port for the status and copies, without the core [XFER-26].
        if matches!(request, Message::StatusQuery(_)) {
            self.asked = true;
            return Ok(());
        }
        if matches!(request, Message::FetchCheckpoint(_)) && std::mem::take(&mut self.asked) {
            return self.rig()?.install(request.header().decree, stream);
        }
        let source = self.capture.members.nodes.iter().find(|node| node.learn_port == from.port());
        let to = source.map_or(Destination::AllPeers, |node| Destination::Peer(node.id));
        let mut waits = 0;
        while self.rig()?.fetches.is_empty() && self.rig()?.stopped.is_none() && waits < 4 {
            match self.script.choose(&self.choices(to, None, false, false)) {
                Some(Choice::Feed(connection)) => self.feed(connection, false)?,
                Some(Choice::FeedVote(connection)) => self.feed(connection, true)?,
                Some(Choice::FeedVotes(connection)) => self.feed_votes(connection)?,
                _ => {
                    waits += 1;
                    self.rig()?.advance(PATIENCE)?;
                }
            }
        }
        // While legacy learns it receives on.
        while !self.rig()?.fetches.is_empty() {
            let mut choices = self.choices(to, None, true, false);
            choices.truncate(8);
            match self.script.choose(&choices) {
                Some(Choice::Feed(connection)) => self.feed(connection, false)?,
                Some(Choice::FeedVote(connection)) => self.feed(connection, true)?,
                Some(Choice::FeedVotes(connection)) => self.feed_votes(connection)?,
                _ => break,
            }
        }
        let rig = self.rig()?;
        if rig.fetches.is_empty() {
            return Err(format!("never fetched: {} from {from}; {}", short(request), rig.describe()));
        }
        let fetch = rig.fetches.remove(0);
        if !says_the_same(&fetch.request, request) {
            return Err(format!("fetched: {} where {} is recorded", short(&fetch.request), short(request)));
        }
        if fetch.from != from {
            return Err(format!("fetched from {} where {from} is recorded", fetch.from));
        }
        self.matched += 1;
        self.rig()?.deliver(&fetch, stream)
    }
}
