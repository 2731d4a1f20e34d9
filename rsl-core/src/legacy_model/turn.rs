//! The engine turn; elections, role notification, shutdown and timers (sections 5.6, 12, 13, 17, 19).

use std::time::Duration;

use super::{Asked, LegacyModel, POLL};
use crate::engine::{AbortReason, Answer, Apply, Effect, QuestionId, Role, StopReason};
use crate::types::Instant;

/// Where the turn in progress is [PROTO-53].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// No turn is in progress.
    Idle,
    Bootstrap,
    Votes,
    /// So many messages of MQ are left for this turn.
    Messages(usize),
    Roles,
    Timers,
    Joins,
}

impl LegacyModel {
    /// Runs the turn in progress, or a new one, until it ends or has to wait.
    pub(super) fn run(&mut self) {
        if self.step == Step::Idle {
            let due = self.last_turn.is_none_or(|last| self.now >= last + POLL);
            if self.is_waiting() || !(self.wake || due) {
                return;
            }
            self.wake = false;
            self.last_turn = Some(self.now);
            self.heartbeat();
            self.step = Step::Bootstrap;
        }
        while !self.must_stop() && self.step != Step::Idle {
            self.step = match self.step {
                Step::Idle => Step::Idle,
                Step::Bootstrap => {
                    self.bootstrapping();
                    if self.role == Role::Inactive {
                        self.check_bootstrap();
                    }
                    if !self.persisting {
                        self.take_batch();
                    }
                    Step::Votes
                }
                Step::Votes => {
                    self.votes();
                    let rest = !self.batch.is_empty() || self.accepted_in_batch;
                    if rest { Step::Votes } else { Step::Messages(self.messages.len()) }
                }
                Step::Messages(0) => Step::Roles,
                Step::Messages(left) => {
                    if let Some(message) = self.messages.pop_front() {
                        self.dispatch(message);
                    }
                    Step::Messages(left - 1)
                }
                Step::Roles => {
                    self.roles();
                    Step::Timers
                }
                Step::Timers => {
                    self.timers();
                    Step::Joins
                }
                Step::Joins => {
                    self.send_joins();
                    Step::Idle
                }
            };
        }
    }

    /// Within a turn appends need not be waited for: all that depends on them is held back.
    fn must_stop(&self) -> bool {
        self.stopped || self.deadlocked || self.persisting || self.asked.is_some() || self.transfer.is_some()
    }

    pub(super) fn has_answered(&mut self, question: QuestionId, answer: Answer) {
        let Some((expected, _)) = &self.asked else { return };
        if *expected != question {
            return;
        }
        let asked = self.asked.take().map(|(_, asked)| asked);
        match (asked, answer) {
            (Some(Asked::MayLead), Answer::MayLead(cookie)) => self.may_lead(cookie),
            (Some(Asked::AcceptVote(vote)), Answer::Accept(accept)) => self.answer_vote(&vote, accept),
            (Some(Asked::AcceptPrepare(prepare, from)), Answer::Accept(accept)) => {
                self.answer_prepare(&prepare, from, accept);
            }
            _ => self.dies("the answer does not fit the question"),
        }
    }

    /// [PROTO-102] [PROTO-127] [PROTO-128]
    fn roles(&mut self) {
        if self.role == Role::Primary {
            if self.outstanding.is_some() {
                return;
            }
            if !self.is_primary {
                self.is_primary = true;
                // The recovery decree A.d is ahead of the notification in the queue [PROTO-130].
                self.emit(Effect::Apply(Apply::Status { is_primary: true }));
                self.emit(Effect::Apply(Apply::PrimaryRecovered));
            }
            self.end_transition();
            self.propose_next();
        } else {
            self.demote();
            self.end_transition();
        }
    }

    fn end_transition(&mut self) {
        if self.transitioning {
            self.transitioning = false;
            self.emit(Effect::Apply(Apply::Hold(false)));
        }
    }

    /// [PROTO-131]
    pub(super) fn demote(&mut self) {
        if self.is_primary {
            self.is_primary = false;
            self.abort_all(AbortReason::NotPrimary);
            self.emit(Effect::Apply(Apply::Status { is_primary: false }));
        }
    }

    /// [PROTO-168]
    pub(super) fn shut_down(&mut self, reason: StopReason) {
        self.shutting_down = true;
        if self.transitioning && self.executed < self.passed {
            // Shutdown waits for execution, execution for promotion [HARD-329].
            self.deadlocked = true;
            return;
        }
        self.abort_all(AbortReason::ShuttingDown);
        self.stop(reason);
    }

    /// [PROTO-115] [PROTO-175] [PROTO-176]
    fn timers(&mut self) {
        let reached = self.election_at.is_some_and(|at| self.now >= at);
        if self.role == Role::Secondary && (reached || self.force) && self.vote_cache.is_empty() {
            self.init();
        }
        let passed = |at: Option<Instant>| at.is_some_and(|at| self.now > at);
        if passed(self.action_at) {
            match self.role {
                Role::Initializing => self.init(),
                Role::Preparing if passed(self.give_up_at) => self.init(),
                Role::Preparing => {
                    self.resend_prepare();
                    self.action_at = Some(self.now + super::RESEND);
                }
                Role::Primary => {
                    self.resend_vote();
                    self.action_at = Some(self.now + super::RESEND);
                }
                Role::Inactive | Role::Secondary => {}
            }
        }
        if self.query_at.is_some_and(|at| self.now > at) {
            if self.role == Role::Primary && self.wanted_copy.is_some() {
                self.query_all();
                self.query_at = Some(self.now + self.settings.checkpoint_query_interval);
            } else {
                self.wanted_copy = None;
                self.query_at = None;
            }
        }
    }

    /// When a turn finds something to do that no input announces. Legacy takes a turn every 10 ms; those in between do
    /// nothing.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let unsaid = self.role == Role::Primary && self.outstanding.is_none() && !self.queue.is_empty();
        if self.wake || unsaid || self.step != Step::Idle || self.staged.is_some() {
            return Some(self.now);
        }
        let election = match self.role {
            Role::Secondary if self.force => Some(self.now),
            Role::Secondary => self.election_at,
            _ => None,
        };
        let heartbeat =
            (self.role == Role::Primary && self.outstanding.is_none()).then_some(self.heartbeat_poll_at);
        let joins = (self.configuration.number > self.defunct.saturating_add(1))
            .then(|| self.joins_sent_at.map_or(self.now, |at| at + self.settings.join_messages_interval));
        let bootstrap = self.bootstrap.as_ref().map(|call| call.next.min(call.deadline));
        // These have to be passed, not only reached.
        let passed = |at: Option<Instant>| at.map(|at| at + Duration::from_micros(1));
        let timers = [election, passed(self.action_at), passed(self.query_at), heartbeat, joins, bootstrap];
        timers.into_iter().flatten().min()
    }

    /// [PROTO-150]
    fn send_joins(&mut self) {
        if self.configuration.number <= self.defunct.saturating_add(1) {
            return;
        }
        let due = self.joins_sent_at.is_none_or(|at| self.now >= at + self.settings.join_messages_interval);
        if due {
            let join = self.join_message();
            self.send_all(join);
            self.joins_sent_at = Some(self.now);
        }
    }
}
