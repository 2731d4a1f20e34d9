//! transfer.md sections 2 to 4: the status round, learning votes, copying checkpoints.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use super::LegacyModel;
use crate::engine::{Apply, Effect, FetchId, FetchKind, FetchOutcome, Role, StopReason};
use crate::format::Record;
use crate::types::{Ballot, Decree, Position};
use crate::wire::{Header, LogRange, Message, StatusResponse, Vote, VoteContent};

/// A status reply of the current round, with the learn port of its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    status: StatusResponse,
    from: SocketAddrV4,
}

/// What comes after a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LearnThen {
    /// SEC when it succeeded, else INIT [XFER-11]; after a copy exit, else INIT [XFER-10].
    Go,
    /// After a Join: the result of learning is ignored; after a copy exit [PROTO-152].
    Nothing,
}

/// The transfer that the turn waits for.
#[derive(Debug)]
pub(super) struct Transfer {
    fetch: FetchId,
    then: LearnThen,
    /// `last`: what the next record of the stream is compared with.
    last: Option<Position>,
    need: Option<Decree>,
}

impl LegacyModel {
    /// [XFER-9]
    pub(super) fn status_reply(&mut self, status: &StatusResponse) {
        let Some(peer) = self.peers.get(&status.header.member) else { return };
        let from = SocketAddrV4::new(peer.ip(), peer.node.effective_learn_port());
        if self.wanted_copy.is_some_and(|wanted| status.log.checkpointed_decree >= wanted)
            && self.background.is_none()
        {
            self.query_at = None;
            self.background = Some(self.fetch_checkpoint(from, status.log));
        }
        if self.role == Role::Primary || status.query != self.at() {
            return;
        }
        let here = status.header.position();
        if self.role != Role::Initializing {
            if here.decree.follows(self.accepted.decree())
                && here.ballot >= self.accepted.ballot()
                && self.vote_cache.is_empty()
            {
                self.learn(from, LearnThen::Go);
            }
            return;
        }
        self.replies.insert(status.header.member, Reply { status: *status, from });
        if self.replies.len() + 1 >= self.quorum() {
            self.decide_round();
        }
    }

    /// [XFER-10]
    fn decide_round(&mut self) {
        let here = self.at();
        let served = |reply: &&Reply| reply.status.log.min_decree_in_log <= here.decree;
        let replies: Vec<Reply> = self.replies.values().copied().collect();
        let head = self.head_of_cache().filter(|head| *head > here.decree);
        if let Some(head) = head {
            let before = Position::new(head.previous(), here.ballot);
            let ahead: Vec<_> = replies.iter().filter(served).filter(|r| r.is_ahead_of(&before)).collect();
            if let Some(source) = self.prng.choose(&ahead) {
                return self.learn(source.from, LearnThen::Go);
            }
        }
        let ahead: Vec<_> = replies.iter().filter(|r| r.is_ahead_of(&here)).collect();
        let serving: Vec<_> = ahead.iter().copied().filter(served).collect();
        if let Some(source) = self.prng.choose(&serving) {
            return self.learn(source.from, LearnThen::Go);
        }
        if ahead.is_empty() {
            // [PROTO-117]
            if self.election_at.is_none() {
                let ages = replies.iter().map(|r| u64::try_from(r.status.last_received_ago).unwrap_or(0));
                let youngest = std::time::Duration::from_millis(ages.min().unwrap_or(0));
                self.election_at = Some(self.now - youngest + self.election_delay);
            }
            return self.maybe_elect();
        }
        let copies: Vec<_> =
            replies.iter().filter(|r| r.status.log.checkpointed_decree >= here.decree).collect();
        if let Some(source) = self.prng.choose(&copies) {
            self.copy(source.from, source.status.log, LearnThen::Go);
        }
    }

    fn head_of_cache(&self) -> Option<Decree> {
        self.vote_cache.front().map(|cached| cached.vote.decree())
    }

    fn next_fetch(&mut self) -> FetchId {
        self.next_fetch += 1;
        FetchId(self.next_fetch)
    }

    /// LEARN [XFER-14]
    pub(super) fn learn(&mut self, from: SocketAddrV4, then: LearnThen) {
        let need = self.head_of_cache();
        let header = Header { ballot: self.accepted.ballot(), ..self.header(self.accepted.decree()) };
        let fetch = self.next_fetch();
        self.transfer = Some(Transfer { fetch, then, last: None, need });
        self.emit(Effect::Fetch {
            fetch,
            from,
            request: Message::FetchVotes(header),
            kind: FetchKind::Votes,
        });
    }

    /// COPY [XFER-23] [XFER-24]
    pub(super) fn copy(&mut self, from: SocketAddrV4, log: LogRange, then: LearnThen) {
        let fetch = self.fetch_checkpoint(from, log);
        self.transfer = Some(Transfer { fetch, then, last: None, need: None });
    }

    fn fetch_checkpoint(&mut self, from: SocketAddrV4, log: LogRange) -> FetchId {
        let decree = log.checkpointed_decree;
        let header = Header { configuration: 1, ballot: Ballot::EMPTY, ..self.header(decree) };
        let kind = FetchKind::Checkpoint { decree, size: log.checkpoint_size, promised: self.promised };
        let fetch = self.next_fetch();
        self.emit(Effect::Fetch { fetch, from, request: Message::FetchCheckpoint(header), kind });
        fetch
    }

    pub(super) fn fetched(&mut self, fetch: FetchId, records: Vec<Record>) {
        let Some(mut transfer) = self.transfer.take() else { return };
        if transfer.fetch != fetch {
            self.transfer = Some(transfer);
            return;
        }
        for record in VecDeque::from(records) {
            let ended = self.learn_record(&mut transfer, record);
            if self.stopped {
                return;
            }
            if let Some(caught_up) = ended {
                self.emit(Effect::CancelFetch(fetch));
                return self.learned(transfer.then, caught_up);
            }
        }
        self.transfer = Some(transfer);
    }

    /// What a record of the stream does; the result of LEARN if it ends with it.
    fn learn_record(&mut self, transfer: &mut Transfer, record: Record) -> Option<bool> {
        if record.header().configuration != self.configuration.number {
            return Some(false);
        }
        let vote = match record {
            Record::Prepare(prepare) => {
                if prepare.header.ballot > self.promised {
                    self.log_prepare(prepare);
                }
                return None;
            }
            Record::Decision(header) => {
                self.log_decision(header);
                transfer.last = Some(self.at());
                return None;
            }
            Record::Vote(vote) => vote,
        };
        let (position, here) = (vote.position(), self.accepted.decree());
        let fits = match transfer.last {
            None => position.decree == here,
            Some(last) => {
                position.is_next(&last) && position.decree >= here && position.decree <= here.next()
            }
        };
        if !fits {
            return Some(false);
        }
        transfer.last = Some(position);
        if position.ballot < self.accepted.ballot() {
            return None;
        }
        if !position.is_next(&self.at()) {
            // The synthetic vote [XFER-16]; an append of its own [HARD-377].
            let header = Header { ballot: self.accepted.ballot(), payload: 0, ..*vote.header() };
            let content = VoteContent {
                cookie: vote.cookie().clone(),
                reconfiguration: vote.reconfiguration().cloned(),
                relinquish: false,
                requests: vote.requests().collect(),
            };
            let Ok(filler) = Vote::new(header, &content) else {
                self.dies("the synthetic vote cannot be encoded");
                return None;
            };
            self.accept(filler, None);
        }
        self.accept(vote, None);
        if transfer.need.is_none_or(|need| need <= position.decree) {
            transfer.need = self.head_of_cache();
            if transfer.need.is_some_and(|need| need <= position.decree) {
                return Some(true);
            }
        }
        None
    }

    fn learned(&mut self, then: LearnThen, caught_up: bool) {
        match then {
            LearnThen::Go if caught_up => self.secondary(),
            LearnThen::Go => self.init(),
            LearnThen::Nothing => {}
        }
    }

    pub(super) fn fetch_ended(&mut self, fetch: FetchId, outcome: FetchOutcome) {
        if self.background == Some(fetch) {
            self.background = None;
            self.wanted_copy = None;
            match outcome {
                FetchOutcome::CheckpointCopied { decree, size } => {
                    self.checkpoint_done(decree, size);
                    self.emit(Effect::Apply(Apply::StateCopied { decree }));
                }
                FetchOutcome::VotesEnded { .. } | FetchOutcome::CheckpointFailed => {}
            }
            return;
        }
        let Some(transfer) = self.transfer.take_if(|transfer| transfer.fetch == fetch) else { return };
        match outcome {
            FetchOutcome::VotesEnded { .. } => self.learned(transfer.then, false),
            FetchOutcome::CheckpointCopied { decree, size } => {
                self.checkpoint_done(decree, size);
                self.shut_down(StopReason::CheckpointCopied);
            }
            FetchOutcome::CheckpointFailed => self.learned(transfer.then, false),
        }
    }
}

impl Reply {
    fn is_ahead_of(&self, here: &Position) -> bool {
        self.status.header.position().is_higher(here)
    }
}
