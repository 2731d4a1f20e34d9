//! What must hold, watched from outside: what replicas send, log, execute, promise, and find again after a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::history::{History, Key, value_of};
use super::plan::member;
use crate::engine::AppendSeq;
use crate::format::Record;
use crate::storage::CheckpointReader;
use crate::types::{Ballot, Configuration, Decree, MemberId, Position};
use crate::wire::{Message, PrepareAccepted, Vote};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The clause, or what else was expected.
    pub rule: &'static str,
    /// What happened.
    pub text: String,
}

impl Violation {
    pub(super) fn new(rule: &'static str, text: impl Into<String>) -> Violation {
        Violation { rule, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.rule, self.text)
    }
}

type Check = Result<(), Violation>;

/// A record on its way to the disk.
#[derive(Debug)]
struct Pending {
    seq: AppendSeq,
    record: Record,
    /// A proposal of this replica.
    own: bool,
}

/// What is known of one replica, across its restarts.
#[derive(Debug, Default)]
struct Facts {
    pending: VecDeque<Pending>,
    /// Vote records known to be durable.
    durable: BTreeSet<(Decree, Ballot)>,
    /// The highest ballot known to be durable.
    promised: Ballot,
    /// The newest vote in the log, with its value.
    held: (Position, u64),
    /// Values of the votes of this replica by position.
    values: BTreeMap<(Decree, Ballot), u64>,
    /// The highest ballot it ever spoke for.
    spoken: Ballot,
    /// The newest vote it acknowledged.
    acked: Position,
    /// The configuration that an old replica has entered in a turn whose appends are not durable yet, and its size.
    entered: Option<(u32, usize)>,
    /// Tokens of this run that have not ended, with what had been acknowledged before they were given out.
    tokens: BTreeMap<u64, Decree>,
}

/// Watches a run.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) history: History,
    facts: Vec<Facts>,
    /// Requests acknowledged to clients.
    acknowledged: Vec<Vec<u8>>,
    pub(super) aborted: u64,
    /// The highest decree that a client has got an answer from.
    answered: Decree,
    /// Which nodes are the model of the old library.
    models: Vec<bool>,
    /// Cookies that an old replica delivered twice.
    pub(super) doubled: u64,
    /// Restarts of old replicas that would have forgotten a promise or a vote, or that die of an assertion.
    pub(super) forgotten: u64,
    /// Logs of old replicas that did not start before an operator had cut the remains of a torn record off.
    pub(super) repaired: u64,
}

impl Checker {
    pub(super) fn new(models: Vec<bool>, configuration: &Configuration) -> Checker {
        let mut history = History::default();
        history.first_configuration(configuration.number, configuration.members.nodes.len());
        Checker {
            history,
            facts: models.iter().map(|_| Facts::default()).collect(),
            acknowledged: Vec::new(),
            aborted: 0,
            answered: Decree::ZERO,
            models,
            doubled: 0,
            forgotten: 0,
            repaired: 0,
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// A replica asks for an append; `own`: a vote it proposes itself.
    pub(super) fn appended(&mut self, node: usize, seq: AppendSeq, record: &Record, own: bool) -> Check {
        let facts = &mut self.facts[node];
        if let Record::Vote(vote) = record {
            if !vote.position().is_next(&facts.held.0) && facts.held.0.ballot != Ballot::EMPTY {
                let text = format!("node {node} logs {} behind {}", vote.position(), facts.held.0);
                return Err(Violation::new("PROTO-18", text));
            }
            let value = value_of(vote);
            facts.held = (vote.position(), value);
            facts.values.insert((vote.decree(), vote.ballot()), value);
            if own {
                self.history.proposed(vote)?;
            }
        }
        if let Record::Decision(header) = record {
            // What follows begins a configuration.
            let facts = &mut self.facts[node];
            facts.held = (Position::new(header.decree.next(), Ballot::EMPTY), 0);
        }
        self.facts[node].pending.push_back(Pending { seq, record: record.clone(), own });
        Ok(())
    }

    /// Everything up to `through` is on stable storage.
    pub(super) fn flushed(&mut self, node: usize, through: AppendSeq) -> Check {
        while let Some(pending) = self.facts[node].pending.pop_front_if(|pending| pending.seq <= through) {
            let facts = &mut self.facts[node];
            facts.promised = facts.promised.max(pending.record.position().ballot);
            if let Record::Vote(vote) = &pending.record {
                facts.durable.insert((vote.decree(), vote.ballot()));
                if pending.own {
                    self.acked(node, Key::of(vote))?;
                }
            }
        }
        self.check_entered(node)
    }

    /// A replica works in a configuration of so many members [PROTO-141].
    pub(super) fn entered(&mut self, node: usize, number: u32, members: usize) -> Check {
        self.facts[node].entered = Some((number, members));
        self.check_entered(node)
    }

    /// What an old replica waits for within a turn, as the sole member for its own vote, is waited for behind it.
    fn check_entered(&mut self, node: usize) -> Check {
        let facts = &mut self.facts[node];
        let waits = self.models[node] && !facts.pending.is_empty();
        match facts.entered.take_if(|_| !waits) {
            Some((number, members)) => self.history.entered(number, members),
            None => Ok(()),
        }
    }

    fn acked(&mut self, node: usize, key: Key) -> Check {
        let facts = &mut self.facts[node];
        let value = facts.values.get(&(key.decree, key.ballot)).copied();
        let Some(value) = value else {
            return Err(Violation::new("PROTO-16", format!("node {node} acknowledges {key:?} unseen")));
        };
        facts.acked = Position::new(key.decree, key.ballot);
        facts.spoken = facts.spoken.max(key.ballot);
        self.history.acked(member(node), key, value)
    }

    /// A message leaves a replica.
    pub(super) fn sent(&mut self, node: usize, message: &Message) -> Check {
        match message {
            Message::Vote(vote) => self.sent_vote(node, vote),
            Message::Prepare(prepare) => {
                let ballot = prepare.header.ballot;
                if ballot.member != member(node) {
                    return Err(Violation::new("PROTO-7", format!("node {node} prepares {ballot}")));
                }
                Ok(())
            }
            Message::VoteAccepted(header) => self.sent_vote_accepted(
                node,
                Key { configuration: header.configuration, decree: header.decree, ballot: header.ballot },
            ),
            Message::PrepareAccepted(promise) => self.sent_promise(node, promise),
            Message::NotAccepted(_)
            | Message::StatusQuery(_)
            | Message::StatusResponse(_)
            | Message::FetchVotes(_)
            | Message::FetchCheckpoint(_)
            | Message::ReconfigurationDecision(_)
            | Message::DefunctConfiguration(_)
            | Message::Join(_)
            | Message::JoinRequest(_)
            | Message::Bootstrap(_) => Ok(()),
        }
    }

    fn sent_vote(&mut self, node: usize, vote: &Vote) -> Check {
        let ballot = vote.ballot();
        let facts = &self.facts[node];
        if ballot.member != member(node) || vote.header().member != member(node) {
            return Err(Violation::new("PROTO-7", format!("node {node} sends a vote under {ballot}")));
        }
        if facts.promised < ballot {
            let text = format!("node {node} sends a vote under {ballot}, durable is {}", facts.promised);
            return Err(Violation::new("PROTO-7", text));
        }
        self.history.proposed(vote)
    }

    fn sent_vote_accepted(&mut self, node: usize, key: Key) -> Check {
        let facts = &self.facts[node];
        if !facts.durable.contains(&(key.decree, key.ballot)) {
            return Err(Violation::new("PROTO-16", format!("node {node} acknowledges {key:?}, not durable")));
        }
        if key.ballot < facts.spoken {
            let text = format!("node {node} acknowledges {key:?} after a promise for {}", facts.spoken);
            return Err(Violation::new("PROTO-17", text));
        }
        self.acked(node, key)
    }

    fn sent_promise(&mut self, node: usize, promise: &PrepareAccepted) -> Check {
        let asked = promise.header.position();
        let reported = promise.vote.position();
        let facts = &mut self.facts[node];
        if asked.ballot < facts.spoken {
            let text = format!("node {node} promises {} after {}", asked.ballot, facts.spoken);
            return Err(Violation::new("PROTO-17", text));
        }
        if facts.promised < asked.ballot {
            let text = format!("node {node} promises {}, durable is {}", asked.ballot, facts.promised);
            return Err(Violation::new("PROTO-15", text));
        }
        if reported.decree > asked.decree {
            return Err(Violation::new("PROTO-15", format!("node {node} holds {reported}, asked {asked}")));
        }
        if reported.decree < facts.acked.decree
            || (reported.decree == facts.acked.decree && reported.ballot < facts.acked.ballot)
        {
            let text = format!("node {node} reports {reported}, it acknowledged {}", facts.acked);
            return Err(Violation::new("PROTO-21", text));
        }
        facts.spoken = asked.ballot;
        Ok(())
    }

    /// What a restart has found: nothing that was durable may be gone [PROTO-14] [PROTO-17].
    pub(super) fn recovered(
        &mut self,
        node: usize,
        accepted: &Vote,
        promised: Ballot,
        relearn: Option<Position>,
    ) -> Check {
        let facts = &mut self.facts[node];
        facts.pending.clear();
        facts.entered = None;
        facts.tokens.clear();
        let position = accepted.position();
        if promised < facts.promised {
            let text = format!("node {node} starts with promise {promised}, durable was {}", facts.promised);
            return Err(Violation::new("PROTO-14", text));
        }
        let newest = facts.durable.last().copied().unwrap_or_default();
        // What is missing has to be learned before anything is said again [HARD-374].
        let missing = relearn.map(|relearn| (relearn.decree, relearn.ballot)).unwrap_or_default();
        if (position.decree, position.ballot).max(missing) < newest {
            let text = format!("node {node} starts with {position}, durable was {} {}", newest.0, newest.1);
            return Err(Violation::new("PROTO-26", text));
        }
        // What a Decision makes of a promise is nobody's ballot and was promised to nobody. A checkpoint saved after the
        // Decision makes it one too high when the Decision is replayed behind it [STOR-59] [PROTO-73].
        if promised.member != MemberId::EMPTY {
            facts.promised = promised;
        }
        facts.held = (position, value_of(accepted));
        if position.ballot != Ballot::EMPTY {
            let before = facts.values.insert((position.decree, position.ballot), value_of(accepted));
            if before.is_some_and(|before| before != value_of(accepted)) {
                return Err(Violation::new(
                    "PROTO-13",
                    format!("node {node} starts with another {position}"),
                ));
            }
            facts.durable.insert((position.decree, position.ballot));
        }
        Ok(())
    }

    /// A checkpoint has appeared on a replica [PROTO-24].
    pub(super) fn checkpoint(
        &self,
        node: usize,
        decree: Decree,
        reader: &CheckpointReader,
        digest: Option<[u64; 4]>,
    ) -> Check {
        let fail = |text: String| Err(Violation::new("PROTO-24", format!("node {node}: {text}")));
        let header = reader.header();
        let next = header.next_vote.position();
        if header.executed != decree || !next.decree.follows(decree) {
            return fail(format!("{decree}.codex holds {} and next vote {next}", header.executed));
        }
        if header.promised < next.ballot {
            return fail(format!("{decree}.codex promises {} and holds {next}", header.promised));
        }
        if header.configuration.as_ref().is_some_and(|configuration| configuration.members.nodes.is_empty()) {
            return fail(format!("{decree}.codex names no members"));
        }
        let Some(digest) = digest else { return fail(format!("the state in {decree}.codex is damaged")) };
        self.history.is_state_after(decree, digest).or_else(fail)
    }

    /// A save is asked for: the vote behind the state must be durable here [XFER-34].
    pub(super) fn saving(&self, node: usize, next_vote: &Vote) -> Check {
        let position = next_vote.position();
        let durable = &self.facts[node].durable;
        if position.ballot == Ballot::EMPTY || durable.contains(&(position.decree, position.ballot)) {
            return Ok(());
        }
        Err(Violation::new("XFER-34", format!("node {node} saves with {position}, which is not durable")))
    }

    /// A token is given to an engine.
    pub(super) fn issued(&mut self, node: usize, token: u64) {
        self.facts[node].tokens.insert(token, self.answered);
    }

    /// A request has been executed on behalf of its client, in `decree`: behind everything that was answered before it
    /// was submitted, so that the order of the decrees is one the clients could have seen.
    pub(super) fn ended_well(
        &mut self,
        node: usize,
        token: u64,
        request: Option<&[u8]>,
        decree: Decree,
    ) -> Check {
        let before = self.end(node, token)?;
        if decree <= before {
            let text =
                format!("token {token} of node {node} is executed in {decree}, submitted after {before}");
            return Err(Violation::new("linearizability", text));
        }
        self.answered = self.answered.max(decree);
        self.acknowledged.extend(request.map(<[u8]>::to_vec));
        Ok(())
    }

    pub(super) fn aborted(&mut self, node: usize, token: u64) -> Check {
        self.aborted += 1;
        self.end(node, token).map(|_| ())
    }

    fn end(&mut self, node: usize, token: u64) -> Result<Decree, Violation> {
        if let Some(before) = self.facts[node].tokens.remove(&token) {
            return Ok(before);
        }
        if self.models[node] {
            // Aborted, then executed when the same replica wins again [HARD-331].
            self.doubled += 1;
            return Ok(Decree::ZERO);
        }
        Err(Violation::new("decision 12", format!("token {token} of node {node} ends twice")))
    }

    /// A replica has ended in good order: no token may be left [PROTO-168].
    pub(super) fn ended(&mut self, node: usize) -> Check {
        let left = std::mem::take(&mut self.facts[node].tokens);
        match left.first_key_value() {
            None => Ok(()),
            Some((token, _)) => Err(Violation::new(
                "PROTO-168",
                format!("node {node} ended without a word about token {token} and {} in all", left.len()),
            )),
        }
    }

    /// A client that has seen everything up to `answered` reads the state of a replica behind `executed`. True when that
    /// is new enough for it; then it has seen this state, too.
    pub(super) fn read(
        &mut self,
        node: usize,
        executed: Decree,
        digest: [u64; 4],
    ) -> Result<bool, Violation> {
        if executed < self.answered {
            return Ok(false);
        }
        let told = self.history.is_state_after(executed, digest);
        told.map_err(|text| Violation::new("PROTO-183", format!("a read at node {node}: {text}")))?;
        self.answered = executed;
        Ok(true)
    }

    /// At the end: everything that was acknowledged is in the history.
    pub(super) fn finish(&self) -> Check {
        match self.acknowledged.iter().find(|request| !self.history.contains_request(request)) {
            None => Ok(()),
            Some(request) => Err(Violation::new("acknowledged requests", format!("{request:?} is lost"))),
        }
    }
}
