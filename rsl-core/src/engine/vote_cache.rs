//! The vote cache: received votes that wait for their turn.

use std::collections::VecDeque;

use super::input::Origin;
use crate::types::{Decree, Instant};
use crate::wire::Vote;

/// A vote with where and when it arrived.
#[derive(Debug)]
pub(super) struct CachedVote {
    pub(super) from: Origin,
    pub(super) at: Instant,
    pub(super) vote: Vote,
}

/// Votes in arrival order; kept while initializing, drained in every turn otherwise [PROTO-51].
#[derive(Debug)]
pub(super) struct VoteCache {
    votes: VecDeque<CachedVote>,
    len: u64,
    max_len: u64,
}

impl VoteCache {
    pub(super) const fn new(max_len: u64) -> VoteCache {
        VoteCache { votes: VecDeque::new(), len: 0, max_len }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }

    /// Decree of the oldest cached vote.
    pub(super) fn first_decree(&self) -> Option<Decree> {
        self.votes.front().map(|cached| cached.vote.decree())
    }

    /// Takes a verified vote. One that is not ahead of the last cached vote of its proposer is dropped [PROTO-49]; the
    /// proposers are kept apart so that a rival's higher ballot does not mask a vote [HARD-305]. Above its limit the
    /// cache is emptied first [PROTO-50].
    pub(super) fn push(&mut self, cached: CachedVote) {
        let position = cached.vote.position();
        let sender = cached.vote.header().member;
        let last = self.votes.iter().rev().find(|other| other.vote.header().member == sender);
        if last.is_some_and(|last| {
            position.is_lower(&last.vote.position()) || position.is_same(&last.vote.position())
        }) {
            return;
        }
        if self.len > self.max_len {
            self.clear();
        }
        self.len += cached.vote.encoded().len() as u64;
        self.votes.push_back(cached);
    }

    pub(super) fn take(&mut self) -> VecDeque<CachedVote> {
        self.len = 0;
        std::mem::take(&mut self.votes)
    }

    pub(super) fn clear(&mut self) {
        self.take();
    }
}
