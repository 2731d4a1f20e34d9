//! Section 8: votes at a replica that did not propose them.

use super::receive::Cached;
use super::{Asked, LegacyModel};
use crate::engine::{Destination, Question, Role};
use crate::types::Decree;
use crate::wire::{Header, Message};

impl LegacyModel {
    /// Takes the whole of VC as a batch [PROTO-53] [PROTO-86].
    pub(super) fn take_batch(&mut self) {
        self.accepted_in_batch = false;
        if self.role == Role::Initializing || self.vote_cache.is_empty() {
            return;
        }
        self.batch = std::mem::take(&mut self.vote_cache);
        if self.relinquishing {
            self.dies("a batch of votes is discarded while relinquishing [HARD-316]");
        }
    }

    /// The rest of the batch, until something has to be waited for.
    pub(super) fn votes(&mut self) {
        while let Some(cached) = self.batch.pop_front() {
            self.vote(cached);
            if self.asked.is_some() || self.stopped {
                return;
            }
        }
        if self.accepted_in_batch {
            self.accepted_in_batch = false;
            self.secondary();
        }
    }

    fn vote(&mut self, cached: Cached) {
        if !self.verify(cached.from, cached.vote.header()) {
            return;
        }
        let position = cached.vote.position();
        // [PROTO-77]
        if position.is_lower(&self.at()) {
            if position.ballot < self.promised || is_far_below(position.decree, self.accepted.decree()) {
                self.refuse(cached.from, 0);
            }
            return;
        }
        // [PROTO-79]
        if !position.is_next(&self.at()) {
            self.batch.clear();
            self.accepted_in_batch = false;
            return self.init();
        }
        // [PROTO-78]
        if self.role == Role::Primary && position.ballot > self.promised {
            self.secondary();
            self.demote();
        }
        self.accept(cached.vote.clone(), Some(cached.at));
        self.accepted_in_batch = true;
        // [PROTO-80]
        let next = self.batch.front().map(|next| next.from.address);
        if next == Some(cached.from.address) {
            return;
        }
        // [PROTO-81]
        if position.ballot < self.promised {
            self.refuse(cached.from, self.vote_payload);
            self.vote_was_answered(&cached);
        } else if self.settings.use_global_accept_flag {
            let accept = self.accept_messages;
            self.answer_vote(&cached, accept);
        } else {
            let (from, cookie) = (cached.vote.header().member, cached.vote.cookie().clone());
            self.ask(Question::AcceptMessage { from, cookie }, Asked::AcceptVote(cached));
        }
    }

    pub(super) fn answer_vote(&mut self, cached: &Cached, accept: bool) {
        if accept {
            let header = Header {
                ballot: self.promised,
                payload: self.vote_payload,
                ..self.header(self.accepted.decree())
            };
            self.send(Destination::Connection(cached.from.connection), Message::VoteAccepted(header));
            self.vote_was_answered(cached);
        }
    }

    /// [PROTO-84]
    fn vote_was_answered(&mut self, cached: &Cached) {
        if cached.vote.relinquish() {
            self.batch.clear();
            self.accepted_in_batch = false;
            self.force = true;
        }
    }
}

/// d + 1 < A.d
pub(super) fn is_far_below(decree: Decree, accepted: Decree) -> bool {
    decree.next() < accepted
}
