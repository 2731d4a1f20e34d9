//! Learning: deciding from the status answers who is ahead, fetching votes or a checkpoint, applying what comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use super::core::{Engine, Role};
use super::effect::{Apply, Effect, FetchId, FetchKind, Report, StopReason};
use super::input::{FetchOutcome, Origin};
use crate::format::Record;
use crate::types::{Ballot, Decree, MemberId, Position};
use crate::wire::{Header, LogRange, Message, StatusResponse, Vote};

/// A source that sent nothing this often has no log for us [HARD-372].
const MAX_EMPTY_ANSWERS: u32 = 2;

/// A status answer with where its sender serves its log.
#[derive(Clone, Copy, Debug)]
struct Answer {
    member: MemberId,
    learn: SocketAddrV4,
    position: Position,
    received_ago: i64,
    log: LogRange,
}

/// Votes being fetched (LEARN, XFER-14).
#[derive(Debug)]
struct Learning {
    fetch: FetchId,
    source: MemberId,
    /// Decree of the oldest cached live vote: learning has succeeded when it is reached.
    need: Option<Decree>,
    last: Option<Position>,
    /// What was accepted when it started.
    started_at: Position,
}

/// What became of a learned record.
enum Learned {
    Continue,
    /// Live traffic takes over.
    Done,
    Failed(&'static str),
}

/// The status round and the transfer it leads to.
#[derive(Debug, Default)]
pub(super) struct Learner {
    answers: BTreeMap<MemberId, Answer>,
    /// Sources whose log gave nothing in this round, and those whose checkpoint could not be copied [HARD-378].
    failed_logs: BTreeSet<MemberId>,
    failed_copies: BTreeSet<MemberId>,
    /// Empty answers by source, while nothing new has been accepted.
    empty: BTreeMap<MemberId, u32>,
    learning: Option<Learning>,
    /// A checkpoint that will replace this replica's state, and its source.
    copying: Option<(FetchId, MemberId)>,
}

impl Learner {
    pub(super) fn start_round(&mut self) {
        self.answers.clear();
        self.failed_logs.clear();
        self.failed_copies.clear();
    }

    /// A transfer is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.learning.is_some() || self.copying.is_some()
    }

    pub(super) fn min_received_ago(&self) -> Option<i64> {
        self.answers.values().map(|answer| answer.received_ago).min()
    }
}

impl Engine {
    /// [XFER-9]
    pub(super) fn on_status_response(&mut self, from: &Origin, response: StatusResponse) {
        let header = response.header;
        let Some(peer) = self.peers.get(&header.member) else { return };
        let learn = SocketAddrV4::new(*from.address.ip(), peer.node.effective_learn_port());
        self.copy_wanted_checkpoint(learn, &response.log);
        let answer = Answer {
            member: header.member,
            learn,
            position: header.position(),
            received_ago: response.last_received_ago,
            log: response.log,
        };
        let current = self.accepted.position();
        if !response.query.is_same(&current) {
            return;
        }
        match self.role {
            Role::Primary | Role::Inactive => {}
            Role::Secondary | Role::Preparing => {
                let next = header.decree.follows(current.decree) && header.ballot >= current.ballot;
                if next && self.vote_cache.is_empty() && !self.learner.is_busy() {
                    self.start_learning(answer.member, answer.learn);
                }
            }
            Role::Initializing => {
                self.learner.answers.insert(header.member, answer);
                self.decide_round();
            }
        }
    }

    /// [XFER-10]: with a majority of answers, who is ahead?
    fn decide_round(&mut self) {
        if self.learner.is_busy() || self.learner.answers.len() + 1 < self.quorum() {
            return;
        }
        let current = self.accepted.position();
        let live = self.vote_cache.first_decree().filter(|first| *first > current.decree);
        let answers: Vec<Answer> = self.learner.answers.values().copied().collect();
        let serves_log = |answer: &&Answer| {
            let empty = self.learner.empty.get(&answer.member).copied().unwrap_or(0);
            answer.log.min_decree_in_log <= current.decree && empty < MAX_EMPTY_ANSWERS
        };
        let is_fresh = |answer: &&Answer| !self.learner.failed_logs.contains(&answer.member);
        let ahead_of = |reference: Position| move |answer: &&Answer| answer.position.is_higher(&reference);
        let sources = |reference: Position| -> Vec<Answer> {
            answers.iter().filter(serves_log).filter(ahead_of(reference)).copied().collect()
        };
        let mut usable = match live {
            Some(first) => sources(Position::new(first.previous(), current.ballot)),
            None => Vec::new(),
        };
        if usable.is_empty() {
            usable = sources(current);
        }
        if !usable.is_empty() {
            usable.retain(|answer| is_fresh(&answer));
            if let Some(source) = self.prng.choose(&usable).copied() {
                self.learn_from(source.member, source.learn);
            }
            return;
        }
        let ahead: Vec<Answer> = answers.iter().filter(ahead_of(current)).copied().collect();
        if !ahead.is_empty() {
            return self.copy_state_from(&ahead, &answers);
        }
        if self.must_relearn() || self.election_question.is_some() {
            return;
        }
        self.set_election_time();
        self.consider_candidacy();
    }

    /// The logs of those ahead are too short: takes a checkpoint, the highest among those ahead if they have one
    /// [HARD-379].
    fn copy_state_from(&mut self, ahead: &[Answer], answers: &[Answer]) {
        let fits = |answer: &&Answer| {
            let decree = answer.log.checkpointed_decree;
            decree >= self.accepted.decree()
                && decree > Decree::ZERO
                && !self.learner.failed_copies.contains(&answer.member)
        };
        let highest = ahead.iter().filter(fits).map(|answer| answer.log.checkpointed_decree).max();
        let candidates: Vec<Answer> = match highest {
            Some(decree) => {
                ahead.iter().filter(fits).filter(|a| a.log.checkpointed_decree == decree).copied().collect()
            }
            None => answers.iter().filter(fits).copied().collect(),
        };
        match self.prng.choose(&candidates).copied() {
            Some(source) => self.copy_state(source.member, source.learn, &source.log),
            // No checkpoint to prefer: those whose log gave nothing are asked again in a later round [HARD-372].
            None => self.learner.empty.clear(),
        }
    }

    /// Fetches a checkpoint that replaces the state of this replica [XFER-24].
    pub(super) fn copy_state(&mut self, source: MemberId, learn: SocketAddrV4, log: &LogRange) {
        let fetch = self.fetch_checkpoint(learn, log);
        self.learner.copying = Some((fetch, source));
        if self.role == Role::Initializing {
            self.election_question = None;
            self.action_at = None;
        }
    }

    pub(super) fn fetch_checkpoint(&mut self, from: SocketAddrV4, log: &LogRange) -> FetchId {
        let fetch = self.new_fetch();
        let decree = log.checkpointed_decree;
        // Configuration 1 and no ballot, whatever the present ones are [WIRE-38].
        let header = Header::new(self.version, self.settings.member, decree, 1, Ballot::EMPTY);
        self.out.push(Effect::Fetch {
            fetch,
            from,
            request: Message::FetchCheckpoint(header),
            kind: FetchKind::Checkpoint { decree, size: log.checkpoint_size, promised: self.promised },
        });
        fetch
    }

    /// Learns outside a status round: any office is laid down first [HARD-333].
    pub(super) fn start_learning(&mut self, source: MemberId, from: SocketAddrV4) {
        self.candidate = None;
        self.acks.clear();
        self.set_role(Role::Initializing);
        self.learner.start_round();
        self.learn_from(source, from);
    }

    /// LEARN [XFER-14]. Until it ends the replica behaves as initializing [XFER-21].
    pub(super) fn learn_from(&mut self, source: MemberId, from: SocketAddrV4) {
        assert!(!self.learner.is_busy(), "one transfer at a time");
        assert_eq!(self.role, Role::Initializing, "learning replicas are initializing");
        let fetch = self.new_fetch();
        let header = self.own_header(self.accepted.ballot());
        self.learner.learning = Some(Learning {
            fetch,
            source,
            need: self.vote_cache.first_decree(),
            last: None,
            started_at: self.accepted.position(),
        });
        self.election_question = None;
        self.action_at = None;
        tracing::info!(%source, %from, decree = %header.decree, "learning");
        self.out.push(Effect::Fetch {
            fetch,
            from,
            request: Message::FetchVotes(header),
            kind: FetchKind::Votes,
        });
    }

    pub(super) fn on_fetched(&mut self, fetch: FetchId, records: Vec<Record>) {
        for record in records {
            if self.stopped || self.learner.learning.as_ref().is_none_or(|learning| learning.fetch != fetch) {
                return;
            }
            match self.learn(record) {
                Learned::Continue => {}
                Learned::Done => {
                    self.out.push(Effect::CancelFetch(fetch));
                    self.end_learning(true, false);
                }
                Learned::Failed(why) => {
                    tracing::warn!(why, "learning ends");
                    self.out.push(Effect::CancelFetch(fetch));
                    self.end_learning(false, false);
                }
            }
        }
    }

    fn learn(&mut self, record: Record) -> Learned {
        let position = record.position();
        if record.header().configuration != self.configuration.number {
            return Learned::Failed("a record of another configuration");
        }
        if !self.is_plausible(position.ballot) {
            return Learned::Failed("an absurd ballot");
        }
        match record {
            Record::Prepare(prepare) => {
                if position.ballot > self.promised {
                    self.log_promise(prepare);
                }
                Learned::Continue
            }
            Record::Decision(header) => {
                self.on_decision(&header, false);
                let accepted = self.accepted.position();
                if let Some(learning) = &mut self.learner.learning {
                    learning.last = Some(accepted);
                }
                Learned::Continue
            }
            Record::Vote(vote) => self.learn_vote(vote),
        }
    }

    fn learn_vote(&mut self, vote: Vote) -> Learned {
        let position = vote.position();
        let current = self.accepted.position();
        let Some(learning) = &mut self.learner.learning else { return Learned::Continue };
        let follows = match learning.last {
            None => position.decree == current.decree,
            Some(last) => {
                position.is_next(&last)
                    && (position.decree == current.decree || position.decree.follows(current.decree))
            }
        };
        if !follows {
            return Learned::Failed("a vote that does not follow");
        }
        if position.ballot == Ballot::EMPTY {
            return Learned::Failed("a vote without ballot");
        }
        learning.last = Some(position);
        if position.ballot < current.ballot {
            return Learned::Continue; // Older history than ours.
        }
        if position == current && !vote.same_value(&self.accepted) {
            self.report(Report::ConflictingVote(vote.header().member));
            return Learned::Failed("two values under one ballot");
        }
        if !position.is_next(&current) {
            // The log keeps its order with a copy under the ballot we hold; it is never acknowledged [XFER-16].
            let header = Header { ballot: current.ballot, ..*vote.header() };
            match vote.repropose(header, vote.cookie().clone()) {
                Ok(filler) => self.accept(filler, None),
                Err(_) => return Learned::Failed("a vote that cannot be copied"),
            }
        }
        let decree = position.decree;
        self.accept(vote, None);
        if self.must_relearn() {
            return Learned::Continue; // Live votes have to wait.
        }
        let first = self.vote_cache.first_decree();
        let Some(learning) = &mut self.learner.learning else { return Learned::Continue };
        if learning.need.is_none_or(|need| need <= decree) {
            learning.need = first;
            if first.is_some_and(|first| first <= decree) {
                return Learned::Done;
            }
        }
        Learned::Continue
    }

    pub(super) fn on_fetch_ended(&mut self, fetch: FetchId, outcome: FetchOutcome) {
        if self.learner.learning.as_ref().is_some_and(|learning| learning.fetch == fetch) {
            let empty = matches!(outcome, FetchOutcome::VotesEnded { empty: true });
            return self.end_learning(false, empty);
        }
        if let Some((_, source)) = self.learner.copying.take_if(|(id, _)| *id == fetch) {
            if let FetchOutcome::CheckpointCopied { decree, .. } = outcome {
                self.apply(Apply::StateCopied { decree });
                return self.shut_down(StopReason::CheckpointCopied);
            }
            self.learner.failed_copies.insert(source);
            return self.try_another_source();
        }
        self.on_background_copy_ended(fetch, outcome);
    }

    /// [XFER-11] [XFER-15]: the end of the stream is the usual end, and leads to another round.
    fn end_learning(&mut self, caught_up: bool, empty: bool) {
        let Some(learning) = self.learner.learning.take() else { return };
        let advanced = self.accepted.position() != learning.started_at;
        if advanced {
            self.learner.empty.clear();
        } else if empty {
            *self.learner.empty.entry(learning.source).or_insert(0) += 1;
        }
        if self.role == Role::Inactive || !self.is_member() {
            // Its own removal was in what it learned [HARD-340].
            self.deactivate();
        } else if caught_up && !self.must_relearn() {
            self.become_secondary();
        } else if advanced || caught_up {
            self.initialize();
        } else {
            self.learner.failed_logs.insert(learning.source);
            self.try_another_source();
        }
    }

    /// Tries another source of this round, or waits for the next round [HARD-378].
    fn try_another_source(&mut self) {
        if self.role != Role::Initializing {
            return;
        }
        self.action_at = Some(self.now + self.settings.initialize_retry_interval);
        self.decide_round();
    }

    /// Gives a transfer up because what it builds on has changed [XFER-21].
    pub(super) fn abandon_transfer(&mut self) {
        let learning = self.learner.learning.take().map(|learning| learning.fetch);
        let copying = self.learner.copying.take().map(|(fetch, _)| fetch);
        for fetch in learning.into_iter().chain(copying) {
            self.out.push(Effect::CancelFetch(fetch));
        }
    }

    /// Whether a running transfer of votes brought this replica here: it goes on through configuration changes.
    pub(super) fn is_learning(&self) -> bool {
        self.learner.learning.is_some()
    }
}
