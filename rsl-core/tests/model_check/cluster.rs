//! Replicas of the model with a network between them, as a `stateright` model.
//!
//! The network is a set of messages: each may arrive in any order, or never, and some once more. A step of one replica
//! depends on that replica alone, so it is computed once and looked up afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsl_core::engine::{Recovered, Role};
use rsl_core::types::{Ballot, MemberSet};
use rsl_core::wire::Message;
use stateright::{Model, Property};

use super::replica::{Facts, Replica, Told, Weakness, members, restart};

/// What may happen at most how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Status rounds: each leads to a candidacy or to learning.
    pub(crate) rounds: u8,
    pub(crate) requests: u8,
    pub(crate) changes: u8,
    pub(crate) crashes: u8,
    /// Messages that stay under way although they have arrived.
    pub(crate) repeats: u8,
}

/// One replica in one state, and how to get there.
struct Local {
    member: u64,
    disk: Arc<Recovered>,
    at_start: Arc<Facts>,
    told: Vec<Told>,
    /// So many of them before the rules were weakened.
    strong: usize,
    facts: Facts,
    role: Role,
    is_primary: bool,
    initializing: bool,
    queries: bool,
    /// The member a pending transfer asks.
    fetches_from: Option<u64>,
}

impl Local {
    fn replica(&self, weakness: Weakness) -> Replica {
        let mut replica = Replica::start(self.member, &self.disk, &self.at_start);
        for (count, told) in self.told.iter().enumerate() {
            replica.weakness = if count < self.strong { Weakness::None } else { weakness };
            replica.tell(told);
        }
        replica.weakness = weakness;
        replica.sent.clear();
        replica
    }
}

/// What happens to one replica. Numbers are those of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver(usize),
    Sync,
    /// A status round with the answer of a replica in that state.
    Round(usize),
    Request(u8),
    Change,
    /// It crashes, keeping what was not synced or not, and starts again.
    Crash(bool),
    /// The pending transfer ends with the records of a replica in that state.
    Serve(usize),
}

/// All replica states and messages that were met, by number, and the steps between them.
#[derive(Default)]
struct Book {
    locals: Vec<Arc<Local>>,
    local_numbers: BTreeMap<String, usize>,
    messages: Vec<(u64, u64, Message)>,
    message_numbers: BTreeMap<(u64, u64, Vec<u8>), usize>,
    steps: BTreeMap<(usize, Event), (usize, Vec<usize>)>,
    /// The rules are weakened once the first member leads.
    weak: bool,
}

/// A state of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    nodes: Vec<usize>,
    network: BTreeSet<usize>,
    left: Bounds,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A message arrives, and may arrive again.
    Deliver(usize, bool),
    Sync(usize),
    /// The first starts a status round (as if its time had come), the second answers.
    Round(usize, usize),
    Request(usize),
    Change(usize),
    Crash(usize, bool),
    Serve(usize),
}

/// The model.
pub(crate) struct Cluster {
    /// Member numbers are the index plus one.
    size: u64,
    set: Arc<MemberSet>,
    next_set: Vec<u64>,
    bounds: Bounds,
    weakness: Weakness,
    /// Appends are durable at once: fewer states.
    syncs_at_once: bool,
    book: Mutex<Book>,
}

impl Cluster {
    pub(crate) fn new(size: u64, bounds: Bounds) -> Cluster {
        Cluster {
            size,
            set: members(1..=size),
            next_set: (1..size).collect(),
            bounds,
            weakness: Weakness::None,
            syncs_at_once: false,
            book: Mutex::default(),
        }
    }

    pub(crate) fn weakened(mut self, weakness: Weakness) -> Cluster {
        self.weakness = weakness;
        self
    }

    pub(crate) fn syncs_at_once(mut self) -> Cluster {
        self.syncs_at_once = true;
        self
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local(&self, number: usize) -> Arc<Local> {
        Arc::clone(&self.book().locals[number])
    }

    fn locals(&self, state: &State) -> Vec<Arc<Local>> {
        let book = self.book();
        state.nodes.iter().map(|number| Arc::clone(&book.locals[*number])).collect()
    }

    fn weakness(&self) -> Weakness {
        if self.book().weak { self.weakness } else { Weakness::None }
    }

    /// The number of the state that `replica` is in, after it was started from `disk` and `at_start`, and told `told`.
    fn enter(
        &self,
        replica: &Replica,
        disk: Arc<Recovered>,
        at_start: Arc<Facts>,
        told: Vec<Told>,
        strong: usize,
    ) -> usize {
        let member = replica.member;
        let key = format!("{member}{}", replica.key());
        let mut book = self.book();
        let strong = if book.weak { strong } else { told.len() };
        if let Some(number) = book.local_numbers.get(&key) {
            return *number;
        }
        let number = book.locals.len();
        book.locals.push(Arc::new(Local {
            member,
            disk,
            at_start,
            told,
            strong,
            facts: replica.facts.clone(),
            role: replica.engine.role(),
            is_primary: replica.engine.is_primary(),
            initializing: replica.is_initializing(),
            queries: replica.query.is_some(),
            fetches_from: replica.fetch.as_ref().map(|(_, from, ..)| *from),
        }));
        book.local_numbers.insert(key, number);
        number
    }

    /// What becomes of a replica, and the messages it sends; the same for the same state and event.
    fn step(&self, from: usize, event: Event) -> Option<(usize, Vec<usize>)> {
        if let Some(known) = self.book().steps.get(&(from, event)) {
            return Some(known.clone());
        }
        let local = self.local(from);
        let (to, sent) = match event {
            Event::Crash(keeps) => self.crash(&local, keeps),
            _ => {
                let mut replica = local.replica(self.weakness());
                let mut told = local.told.clone();
                for next in self.told(&local, &mut replica, event)? {
                    replica.tell(&next);
                    told.push(next);
                }
                if self.syncs_at_once {
                    while !replica.facts.unsynced.is_empty() {
                        replica.tell(&Told::Synced);
                        told.push(Told::Synced);
                    }
                }
                let sent = std::mem::take(&mut replica.sent);
                let (disk, at_start) = (Arc::clone(&local.disk), Arc::clone(&local.at_start));
                (self.enter(&replica, disk, at_start, told, local.strong), sent)
            }
        };
        let mut book = self.book();
        let sent = sent.into_iter().filter(|(to, _)| *to <= self.size).map(|(to, message)| {
            let key = (local.member, to, message.encode().unwrap().to_vec());
            if let Some(number) = book.message_numbers.get(&key) {
                return *number;
            }
            // Through real bytes.
            let message = Message::decode(&message.encode().unwrap()).unwrap();
            let number = book.messages.len();
            book.messages.push((local.member, to, message));
            book.message_numbers.insert(key, number);
            number
        });
        let sent: Vec<usize> = sent.collect();
        book.steps.insert((from, event), (to, sent.clone()));
        Some((to, sent))
    }

    /// What a replica is told by an event; `None`: the event cannot happen.
    fn told(&self, local: &Local, replica: &mut Replica, event: Event) -> Option<Vec<Told>> {
        Some(match event {
            Event::Deliver(number) => {
                let (from, _, message) = self.book().messages[number].clone();
                vec![Told::Message { from, message: Box::new(message) }]
            }
            Event::Sync => vec![Told::Synced],
            Event::Request(value) => vec![Told::Request(u64::from(value))],
            Event::Change => vec![Told::Change(self.next_set.clone())],
            Event::Serve(source) => {
                let (_, _, request, _) = replica.fetch.clone()?;
                vec![Told::Fetched(self.local(source).replica(self.weakness()).serve(&request))]
            }
            Event::Round(peer) => {
                let mut told = Vec::new();
                if !local.initializing {
                    replica.query = None;
                    told.push(Told::Promote);
                    replica.tell(&Told::Promote);
                }
                let query = replica.query.clone()?;
                let mut source = self.local(peer).replica(self.weakness());
                source.tell(&Told::Message { from: local.member, message: Box::new(query) });
                let is_answer =
                    |(_, message): &&(u64, Message)| matches!(message, Message::StatusResponse(_));
                let (_, message) = source.sent.iter().find(is_answer)?.clone();
                let answer = Told::Message { from: self.local(peer).member, message: Box::new(message) };
                // The promotion is told already; tell it again from the beginning.
                *replica = local.replica(self.weakness());
                told.push(answer);
                told
            }
            Event::Crash(_) => return None,
        })
    }

    fn crash(&self, local: &Local, keeps: bool) -> (usize, Vec<(u64, Message)>) {
        let mut facts = local.facts.clone();
        let unsynced = std::mem::take(&mut facts.unsynced);
        if keeps {
            facts.durable.extend(unsynced.into_iter().map(|(_, record)| record));
        }
        let disk = Arc::new(restart(local.member, &self.set, &facts.durable, self.weakness()));
        // Requests of the run before are gone with it.
        facts.ended.clear();
        let held = facts.durable.iter().map(|record| record.position().ballot).max().unwrap_or_default();
        if disk.promised < held {
            facts.broken = Some(format!("PROTO-14: starts with {}, {held} was durable", disk.promised));
        }
        let mut replica = Replica::start(local.member, &disk, &facts);
        let sent = std::mem::take(&mut replica.sent);
        (self.enter(&replica, disk, Arc::new(facts), Vec::new(), 0), sent)
    }

    fn after(&self, state: &State, node: usize, event: Event) -> Option<State> {
        let (to, sent) = self.step(state.nodes[node], event)?;
        let mut next = state.clone();
        next.nodes[node] = to;
        next.network.extend(sent);
        Some(next)
    }

    /// Everything that is under way arrives, until nothing changes.
    fn settle(&self, mut state: State) -> State {
        loop {
            let mut actions = Vec::new();
            self.actions(&state, &mut actions);
            let quiet =
                |action: &Action| matches!(action, Action::Deliver(..) | Action::Sync(_) | Action::Serve(_));
            let mut next = actions.into_iter().filter(quiet);
            match next.find_map(|action| self.next_state(&state, action)) {
                Some(next) => state = next,
                None => return state,
            }
        }
    }

    fn is_chosen_once(&self, state: &State) -> bool {
        let mut acks: BTreeMap<(u32, u64, Ballot, &str), usize> = BTreeMap::new();
        let locals = self.locals(state);
        for local in &locals {
            for (configuration, decree, ballot, value) in &local.facts.acked {
                *acks.entry((*configuration, *decree, *ballot, value)).or_default() += 1;
            }
        }
        let mut chosen: BTreeMap<u64, &str> = BTreeMap::new();
        acks.into_iter().all(|((configuration, decree, _, value), count)| {
            let size = if configuration <= 1 { self.set.nodes.len() } else { self.next_set.len() };
            count <= size / 2 || *chosen.entry(decree).or_insert(value) == value
        })
    }

    fn agrees(&self, state: &State) -> bool {
        let locals = self.locals(state);
        let mut executed: BTreeMap<u64, &str> = BTreeMap::new();
        let mut values = locals.iter().flat_map(|local| &local.facts.executed);
        values.all(|(decree, value)| *executed.entry(*decree).or_insert(value) == value)
    }

    /// The first broken rule of a state.
    pub(crate) fn broken(&self, state: &State) -> Option<String> {
        self.locals(state).iter().find_map(|local| local.facts.broken.clone())
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    /// Member 1 leads; the cluster is at rest.
    fn init_states(&self) -> Vec<State> {
        self.book().weak = false;
        let start = |member| {
            let disk = Arc::new(restart(member, &self.set, &[], Weakness::None));
            let facts = Arc::new(Facts::default());
            self.enter(&Replica::start(member, &disk, &facts), disk, facts, Vec::new(), 0)
        };
        let left = Bounds { rounds: 0, requests: 0, changes: 0, crashes: 0, repeats: 0 };
        let mut state = State { nodes: (1..=self.size).map(start).collect(), network: BTreeSet::new(), left };
        for round in 0..20 {
            let locals = self.locals(&state);
            let waits = |node: &usize| locals[*node].initializing;
            let node = (1..locals.len()).find(waits).unwrap_or(0);
            if node == 0 && locals[0].is_primary {
                break;
            }
            assert!(round < 19, "the first member comes to lead");
            let event = Event::Round(state.nodes[(node + 1) % state.nodes.len()]);
            state = self.settle(self.after(&state, node, event).unwrap_or(state));
        }
        let mut book = self.book();
        book.steps.clear();
        book.weak = true;
        drop(book);
        // What was said so far is over.
        vec![State { network: BTreeSet::new(), left: self.bounds, ..state }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let locals = self.locals(state);
        if locals.iter().any(|local| local.facts.broken.is_some()) {
            return;
        }
        for number in &state.network {
            actions.push(Action::Deliver(*number, false));
            if state.left.repeats > 0 {
                actions.push(Action::Deliver(*number, true));
            }
        }
        for (node, local) in locals.iter().enumerate() {
            let unsynced = !local.facts.unsynced.is_empty();
            if unsynced {
                actions.push(Action::Sync(node));
            }
            if local.fetches_from.is_some() {
                actions.push(Action::Serve(node));
            }
            let stands = local.role == Role::Secondary || (local.initializing && local.queries);
            if state.left.rounds > 0 && stands && local.fetches_from.is_none() {
                let peers = (0..locals.len()).filter(|peer| *peer != node);
                actions.extend(peers.map(|peer| Action::Round(node, peer)));
            }
            if state.left.requests > 0 && local.is_primary {
                actions.push(Action::Request(node));
            }
            if state.left.changes > 0 && local.is_primary {
                actions.push(Action::Change(node));
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(node, false));
                if unsynced {
                    actions.push(Action::Crash(node, true));
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut from = state.clone();
        let left = &mut from.left;
        let (node, event) = match action {
            Action::Deliver(number, again) => {
                if again {
                    left.repeats -= 1;
                } else {
                    from.network.remove(&number);
                }
                let (_, to, _) = self.book().messages[number];
                (usize::try_from(to - 1).ok()?, Event::Deliver(number))
            }
            Action::Sync(node) => (node, Event::Sync),
            Action::Round(node, peer) => {
                left.rounds -= 1;
                (node, Event::Round(state.nodes[peer]))
            }
            Action::Request(node) => {
                left.requests -= 1;
                (node, Event::Request(left.requests))
            }
            Action::Change(node) => {
                left.changes -= 1;
                (node, Event::Change)
            }
            Action::Crash(node, keeps) => {
                left.crashes -= 1;
                (node, Event::Crash(keeps))
            }
            Action::Serve(node) => {
                let source = self.local(state.nodes[node]).fetches_from?;
                (node, Event::Serve(*state.nodes.get(usize::try_from(source - 1).ok()?)?))
            }
        };
        let next = self.after(&from, node, event)?;
        // A message that changes nothing is as good as lost: the states with it cover those without.
        let idle = next.nodes == state.nodes && next.left == state.left;
        (!idle || !next.network.is_subset(&state.network)).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always("one value is chosen", Cluster::is_chosen_once),
            Property::<Self>::always("one value is executed", Cluster::agrees),
            Property::<Self>::always("promises are kept", |model, state| model.broken(state).is_none()),
        ];
        // That the interesting part of the space is reached.
        if self.bounds.rounds > 0 {
            properties.push(Property::<Self>::sometimes("another member leads", |model, state| {
                model.locals(state)[1..].iter().any(|local| local.is_primary)
            }));
        }
        if self.bounds.requests > 0 {
            properties.push(Property::<Self>::sometimes("a request is executed", |model, state| {
                let locals = model.locals(state);
                let mut values = locals.iter().flat_map(|local| local.facts.executed.values());
                values.any(|value| value.contains("request"))
            }));
        }
        // A set of two needs a round for each of them, and one to stand for election.
        if self.bounds.changes > 0 && (self.next_set.len() == 1 || self.bounds.rounds > 2) {
            properties.push(Property::<Self>::sometimes("the new set chooses", |model, state| {
                let locals = model.locals(state);
                let acked = |local: &Arc<Local>| local.facts.acked.iter().any(|(number, ..)| *number == 2);
                locals.iter().filter(|local| acked(local)).count() > model.next_set.len() / 2
            }));
        }
        properties
    }
}
