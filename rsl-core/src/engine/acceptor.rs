//! Acceptor duties: what a replica promises and accepts, and how it answers.

use super::core::{Engine, Role};
use super::effect::{AppendSeq, Effect, Question, QuestionId, Report};
use super::input::{Answer, Origin};
use super::vote_cache::CachedVote;
use crate::format::Record;
use crate::types::{Ballot, Decree, Instant, Position};
use crate::wire::{Header, Message, Prepare, PrepareAccepted, Vote};

/// Answers that wait for the application's verdict; more than this many are never useful.
const MAX_QUESTIONS: usize = 64;

/// A positive answer that has passed every rule of the protocol; the accept gate is still to be asked [PROTO-85].
#[derive(Clone, Copy, Debug)]
pub(super) enum PositiveAnswer {
    /// VoteAccepted for this vote.
    Vote { to: Origin, vote: Position, relinquish: bool },
    /// PrepareAccepted for this Prepare.
    Promise { to: Origin, prepare: Position },
}

impl Engine {
    /// Processes the cached votes as one batch [PROTO-77..84].
    pub(super) fn on_cached_votes(&mut self) {
        match self.role {
            Role::Initializing => return,
            Role::Inactive => return self.vote_cache.clear(),
            Role::Secondary | Role::Preparing | Role::Primary => {}
        }
        let batch = self.vote_cache.take();
        if self.relinquishing || self.stopped {
            return;
        }
        // The last accepted vote of a run on one connection is answered [PROTO-80] [HARD-327].
        let mut unanswered: Option<Origin> = None;
        let mut accepted_any = false;
        for CachedVote { from, at, vote } in batch {
            if let Some(origin) = unanswered.take_if(|origin| origin.connection != from.connection)
                && self.answer_accepted(&origin)
            {
                return self.stand_after_relinquish();
            }
            let position = vote.position();
            let current = self.accepted.position();
            if position.is_lower(&current) {
                if position.ballot < self.promised || position.decree.next() < current.decree {
                    self.answer_not_accepted(&from, 0);
                }
            } else if position.is_next(&current) {
                if position.is_same(&current) && !vote.same_value(&self.accepted) {
                    // Decision 21: the sender proposed two values under one ballot.
                    self.report(Report::ConflictingVote(vote.header().member));
                    continue;
                }
                if self.role == Role::Primary {
                    self.become_secondary();
                    self.lead_or_demote();
                }
                self.accept(vote, Some(at));
                accepted_any = true;
                unanswered = Some(from);
            } else {
                // Votes were missed [PROTO-79].
                if let Some(origin) = unanswered {
                    self.answer_accepted(&origin);
                }
                return self.initialize();
            }
        }
        if let Some(origin) = unanswered
            && self.answer_accepted(&origin)
        {
            return self.stand_after_relinquish();
        }
        if accepted_any {
            self.become_secondary();
        }
    }

    /// A relinquish vote was answered: an election is due [PROTO-84]. A candidate collects promises for a decree that it
    /// does not hold any more, so it begins anew [PROTO-96].
    fn stand_after_relinquish(&mut self) {
        if self.role == Role::Preparing {
            self.become_secondary();
        }
        self.force = true;
    }

    /// Answers the vote that is accepted now [PROTO-81]. True: that was a relinquish vote, and an election is due
    /// [PROTO-84].
    fn answer_accepted(&mut self, to: &Origin) -> bool {
        let relinquish = self.accepted.relinquish();
        if self.accepted.ballot() < self.promised {
            self.answer_not_accepted(to, self.vote_payload);
            self.force |= relinquish;
            return relinquish;
        }
        let answer = PositiveAnswer::Vote { to: *to, vote: self.accepted.position(), relinquish };
        let cookie = self.accepted.cookie().clone();
        let from = self.accepted.header().member;
        self.answer_positively(answer, Question::AcceptMessage { from, cookie }) && relinquish
    }

    /// Passes an answer through the accept gate [PROTO-85]. Whether it was sent at once.
    fn answer_positively(&mut self, answer: PositiveAnswer, question: Question) -> bool {
        if self.settings.use_global_accept_flag {
            if self.accept_messages {
                self.deliver(answer);
            }
            return self.accept_messages;
        }
        let id = self.ask(question);
        self.questions.insert(id, answer);
        if self.questions.len() > MAX_QUESTIONS {
            self.questions.pop_first();
        }
        false
    }

    pub(super) fn on_answered(&mut self, question: QuestionId, answer: Answer) {
        match answer {
            Answer::Accept(accept) => {
                if let Some(positive) = self.questions.remove(&question).filter(|_| accept) {
                    self.deliver(positive);
                }
            }
            Answer::MayLead(verdict) => self.on_may_lead(question, verdict),
        }
    }

    /// Sends a positive answer if it is still true: the state may have moved on while the application was asked.
    fn deliver(&mut self, answer: PositiveAnswer) {
        match answer {
            PositiveAnswer::Vote { to, vote, relinquish } => {
                // [PROTO-16]; durability is the gate's business.
                if self.accepted.position() == vote && self.promised == vote.ballot {
                    let header = Header { payload: self.vote_payload, ..self.own_header(self.promised) };
                    self.answer(&to, Message::VoteAccepted(header));
                    self.force |= relinquish;
                }
            }
            PositiveAnswer::Promise { to, prepare } => {
                // [PROTO-15]
                if self.promised == prepare.ballot && self.accepted.decree() <= prepare.decree {
                    let header = Header { decree: prepare.decree, ..self.own_header(prepare.ballot) };
                    let vote = self.accepted.clone();
                    self.answer(&to, Message::PrepareAccepted(PrepareAccepted { header, vote }));
                }
            }
        }
    }

    fn answer_not_accepted(&mut self, to: &Origin, payload: u64) {
        let header = Header { payload, ..self.own_header(self.promised) };
        self.answer(to, Message::NotAccepted(header));
    }

    /// [PROTO-87..91]
    pub(super) fn on_prepare(&mut self, from: &Origin, prepare: Prepare) {
        let position = prepare.header.position();
        let decree = self.accepted.decree();
        if self.relinquishing || position.ballot == Ballot::EMPTY {
            return;
        }
        if position.is_lower(&Position::new(decree, self.promised)) {
            // Exactly one decree behind stays unanswered on purpose [HARD-326].
            if position.decree.next() < decree || position.ballot < self.promised {
                self.answer_not_accepted(from, 0);
            }
            return;
        }
        // Not ours: nobody else may ask promises for our ballots [PROTO-7].
        if self.role == Role::Initializing || position.ballot.member == self.settings.member {
            return;
        }
        let question =
            Question::AcceptMessage { from: prepare.header.member, cookie: prepare.cookie.clone() };
        self.log_promise(prepare);
        self.answer_positively(PositiveAnswer::Promise { to: *from, prepare: position }, question);
        if position.decree > decree { self.initialize() } else { self.become_secondary() }
    }

    /// [PROTO-92] [HARD-325]
    pub(super) fn on_not_accepted(&mut self, header: &Header) {
        let position = header.position();
        if self.role == Role::Initializing {
            return;
        }
        if position.is_lower(&self.accepted.position()) {
            if self.role == Role::Preparing && position.ballot > self.promised {
                self.retry_candidacy_soon();
            }
            return;
        }
        if position.decree > self.accepted.decree() {
            self.initialize();
        } else if position.ballot > self.promised {
            // A promise on behalf of whoever holds that ballot, in the version of the message [WIRE-108].
            let header = Header { checksum: 0, payload: 0, ..*header };
            self.log_promise(Prepare { header, cookie: bytes::Bytes::new() });
            self.become_secondary();
        }
    }

    /// ACCEPT [PROTO-66]: `vote` is *next* to the accepted one; a following decree proves that the accepted one passed.
    pub(super) fn accept(&mut self, vote: Vote, received_at: Option<Instant>) {
        assert!(
            vote.position().is_next(&self.accepted.position()),
            "an accepted vote is next to the previous one"
        );
        assert_eq!(
            vote.header().configuration,
            self.configuration.number,
            "votes are of the voting configuration"
        );
        if vote.decree() > self.accepted.decree() {
            self.pass(self.accepted.clone(), Vec::new(), None);
            let own = self.promised.member == self.settings.member;
            let delay = if own { self.settings.heartbeat_interval } else { self.election_delay };
            self.election_at = Some(received_at.unwrap_or(self.now) + delay);
        }
        self.log_vote(vote, received_at);
    }

    /// LOGV [PROTO-67]: appends a vote unless it is the accepted one again. The number of the append that covers it.
    pub(super) fn log_vote(&mut self, vote: Vote, received_at: Option<Instant>) -> AppendSeq {
        let current = self.accepted.position();
        if vote.position() == current {
            // Byte-identical but for version and checksum [PROTO-6]; the record in the log stays.
            assert!(vote.same_value(&self.accepted), "one value per decree and ballot");
            self.accepted = vote;
            self.received_at = received_at;
            return self.log.last();
        }
        assert!(vote.position().is_next(&current), "records of a log follow each other [PROTO-18]");
        let new_log = self.start_log_if_due(vote.decree(), current.decree);
        let seq = self.append(Record::Vote(vote.clone()), new_log);
        self.note_defunct(vote.header().configuration.saturating_sub(1), Some(seq));
        let ballot = vote.ballot();
        self.accepted = vote;
        self.received_at = received_at;
        self.raise_promise(ballot);
        self.start_checkpoint_if_due();
        seq
    }

    /// LOGP [PROTO-68]: promises `prepare`'s ballot durably, unless it is promised already.
    pub(super) fn log_promise(&mut self, mut prepare: Prepare) {
        let ballot = prepare.header.ballot;
        assert!(ballot >= self.promised, "promises never fall [PROTO-14]");
        if ballot > self.promised {
            let checkpoint = self.checkpoints.current().0;
            if checkpoint >= self.accepted.decree() && checkpoint > Decree::ZERO {
                // A checkpoint was copied above the log [XFER-27]. At every start a legacy replica would die of a higher
                // ballot in a record that this checkpoint covers [HARD-368].
                prepare.header.decree = prepare.header.decree.max(checkpoint.next());
            }
            self.append(Record::Prepare(prepare), None);
            self.raise_promise(ballot);
        }
    }

    pub(super) fn append(&mut self, record: Record, new_log: Option<Decree>) -> AppendSeq {
        let seq = self.log.append(&record);
        self.out.push(Effect::Append { seq, record, new_log });
        seq
    }

    /// RAISE [PROTO-69]
    fn raise_promise(&mut self, ballot: Ballot) {
        if ballot > self.promised {
            self.promised = ballot;
            let own = ballot.member == self.settings.member;
            let grace =
                if own { self.settings.heartbeat_interval } else { self.settings.new_leader_grace_period };
            self.election_at = self.election_at.map(|at| at.max(self.now + grace));
        }
    }
}
