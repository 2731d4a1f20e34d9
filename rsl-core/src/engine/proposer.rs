//! Proposer duties: the request queue, the outstanding vote, quorum, heartbeats, and what happens on losing the role.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::core::{Engine, RESEND_INTERVAL, Role};
use super::effect::{AppendSeq, Apply, ChangeToken, Destination, Effect, Report, RequestToken};
use super::status::PeerVote;
use super::{AbortReason, Request, StopReason};
use crate::types::{Instant, MemberSet, ProtocolVersion};
use crate::wire::{Header, Message, Prepare, Vote, VoteContent};

/// Requests are batched up to this size of a vote, in bytes [WIRE-89].
pub(crate) const MAX_BATCH: u64 = 10 * 1024 * 1024;

/// A candidacy.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As it is sent again: with its checksum.
    pub(super) prepare: Prepare,
    /// The append of the own promise.
    pub(super) promised: AppendSeq,
    /// The vote to re-propose: the highest ballot reported for the candidate's decree.
    pub(super) freshest: Vote,
    /// When the Prepare was last sent, to whomever.
    pub(super) said_at: Instant,
    pub(super) gives_up_at: Instant,
    pub(super) retry_at: Option<Instant>,
}

/// Who waits here for a vote.
#[derive(Debug, Default)]
pub(super) struct Proposal {
    /// One per request, or none.
    pub(super) tokens: Vec<RequestToken>,
    pub(super) change: Option<ChangeToken>,
}

/// The proposed vote that has no majority yet.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) vote: Vote,
    pub(super) proposal: Proposal,
    pub(super) seq: AppendSeq,
    pub(super) proposed_at: Instant,
}

/// A vote that waits to be proposed.
#[derive(Debug, Default)]
pub(super) struct QueuedVote {
    requests: Vec<Bytes>,
    proposal: Proposal,
    members: Option<Arc<MemberSet>>,
    relinquish: bool,
    /// Nothing joins it.
    closed: bool,
    len: u64,
}

/// The votes that wait to be proposed, in order.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<QueuedVote>);

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a request to the last vote if that is open and has room, else to a new one [PROTO-97].
    fn push(&mut self, request: Request, envelope: u64, max_len: u64) {
        let len = 4 + request.payload.len() as u64;
        let exclusive = request.exclusive || request.last_decree;
        let joins = !exclusive && self.0.back().is_some_and(|last| !last.closed && last.len + len <= max_len);
        if !joins {
            self.0.push_back(QueuedVote { len: envelope, closed: exclusive, ..QueuedVote::default() });
        }
        if let Some(last) = self.0.back_mut() {
            last.requests.push(request.payload);
            last.proposal.tokens.push(request.token);
            last.len += len;
        }
    }
}

impl Engine {
    /// Takes a request into the queue, or aborts it.
    pub(super) fn on_request(&mut self, request: Request) {
        if !self.is_primary || self.draining {
            let reason = if self.is_primary { AbortReason::ShuttingDown } else { AbortReason::NotPrimary };
            return self.apply(Apply::Abort { token: request.token, reason });
        }
        assert!(!request.payload.is_empty(), "the admission refuses empty requests [HARD-312]");
        self.draining = request.last_decree;
        let envelope = envelope_len(self.version, &self.cookie);
        let max_len = MAX_BATCH.min(self.settings.max_vote_len);
        self.queue.push(request, envelope, max_len);
    }

    /// Queues a reconfiguration vote [PROTO-101].
    pub(super) fn on_change_configuration(&mut self, members: Arc<MemberSet>, token: ChangeToken) {
        if !self.is_primary || self.draining {
            let reason = if self.is_primary { AbortReason::ShuttingDown } else { AbortReason::NotPrimary };
            return self.apply(Apply::AbortChange { token, reason });
        }
        assert!(self.version.has_configuration(), "the admission refuses changes below version 3 [HARD-313]");
        let proposal = Proposal { tokens: Vec::new(), change: Some(token) };
        self.queue.0.push_back(QueuedVote {
            proposal,
            members: Some(members),
            closed: true,
            ..QueuedVote::default()
        });
    }

    /// [PROTO-113]; ignored without a possible successor [HARD-564] and below version 5 [PROTO-46].
    pub(super) fn on_relinquish(&mut self) {
        if self.role != Role::Primary || !self.version.has_relinquish() {
            return;
        }
        if self.quorum() == 1 {
            return self.report(Report::NoSuccessor);
        }
        if !self.queue.0.iter().any(|vote| vote.relinquish) {
            self.queue.0.push_back(QueuedVote { relinquish: true, closed: true, ..QueuedVote::default() });
        }
    }

    /// Step 4 of a turn: tells the application about the role, proposes at most one vote [PROTO-102] [PROTO-127].
    pub(super) fn lead_or_demote(&mut self) {
        if self.stopped {
            return;
        }
        if self.role != Role::Primary {
            if !self.keeps_office() {
                self.demote();
            }
            return;
        }
        if self.outstanding.is_some() || !self.is_primary {
            return;
        }
        let next = match self.queue.0.pop_front() {
            Some(next) => next,
            None if self.heartbeat_at().is_some_and(|at| self.now >= at) => QueuedVote::default(),
            None => return,
        };
        let mut header = self.own_header(self.promised);
        if self.accepted.ballot() == self.promised {
            header.decree = header.decree.next();
        }
        let content = VoteContent {
            cookie: self.cookie.clone(),
            reconfiguration: next.members,
            relinquish: next.relinquish,
            requests: next.requests,
        };
        match Vote::new(header, &content) {
            Ok(vote) => self.propose(vote, next.proposal),
            Err(error) => {
                tracing::error!(%error, "a queued vote cannot be encoded; the admission should have refused it");
                self.abort(next.proposal, AbortReason::NotPrimary);
            }
        }
    }

    /// A sole member that decided a change to another set of one is its own successor: the application notices nothing
    /// [PROTO-133] [PROTO-146].
    pub(super) fn keeps_office(&self) -> bool {
        let succeeds = self.election_question.is_some() || self.candidate.is_some();
        self.is_primary && self.quorum() == 1 && succeeds
    }

    /// When an idle primary has to propose an empty vote [PROTO-110] [PROTO-112].
    pub(super) fn heartbeat_at(&self) -> Option<Instant> {
        let idle = self.is_primary && self.outstanding.is_none() && !self.draining;
        idle.then(|| self.proposed_at + self.settings.heartbeat_interval)
    }

    /// PROPOSE [PROTO-65]: one vote at a time under the own ballot.
    pub(super) fn propose(&mut self, vote: Vote, proposal: Proposal) {
        assert_eq!(self.role, Role::Primary, "only a primary proposes");
        assert_eq!(self.promised.member, self.settings.member, "a primary owns its ballot [PROTO-7]");
        assert_eq!(vote.ballot(), self.promised, "votes carry the promised ballot");
        assert!(self.outstanding.is_none(), "one decree in flight [PROTO-5]");
        assert!(!self.relinquishing, "nothing follows a relinquish vote [PROTO-113]");
        self.relinquishing = vote.relinquish();
        self.acks.clear();
        self.proposed_at = self.now;
        // Sent while it is being logged (decision 11), but not before the own promise is durable [PROTO-7].
        let promise = self.log.gate();
        if self.quorum() > 1 {
            self.action_at = Some(self.now + RESEND_INTERVAL);
            let message = Message::Vote(vote.clone());
            self.out.push(Effect::Send { to: Destination::AllPeers, message, after: promise });
        } else {
            self.action_at = None;
        }
        let seq = self.log_vote(vote.clone(), Some(self.now));
        self.outstanding = Some(Outstanding { vote, proposal, seq, proposed_at: self.now });
    }

    /// [PROTO-103]
    pub(super) fn on_vote_accepted(&mut self, header: &Header) {
        if self.role != Role::Primary {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&header.member) {
            let before = peer.vote.unwrap_or_default();
            let decree = before.decree.max(header.decree);
            peer.vote = Some(PeerVote { at: self.now, decree, payload: header.payload });
        }
        let current = self.outstanding.as_ref().map(|outstanding| outstanding.vote.position());
        if current == Some(header.position()) {
            self.acks.insert(header.member);
            self.check_majority();
        }
    }

    /// The outstanding vote is chosen once a majority holds it durably, self included [PROTO-27].
    pub(super) fn check_majority(&mut self) {
        if self.role != Role::Primary || !self.acks_suffice() {
            return;
        }
        let durable = |outstanding: &mut Outstanding| self.log.is_durable(outstanding.seq);
        let Some(chosen) = self.outstanding.take_if(durable) else { return };
        assert_eq!(chosen.vote.position(), self.accepted.position(), "a primary holds what it proposes");
        self.action_at = None;
        let took = self.now.since(chosen.proposed_at);
        self.out.push(Effect::Voted { decree: chosen.vote.decree(), took });
        if chosen.vote.reconfiguration().is_some() {
            self.decide(&chosen.vote, chosen.proposal);
        } else if chosen.vote.relinquish() {
            self.abort(chosen.proposal, AbortReason::ShuttingDown);
            self.shut_down(StopReason::Relinquished);
        } else {
            let recovered = !self.is_primary;
            self.promote();
            self.pass(chosen.vote, chosen.proposal.tokens, chosen.proposal.change);
            if recovered {
                self.apply(Apply::PrimaryRecovered);
            }
        }
    }

    /// [PROTO-128]
    fn promote(&mut self) {
        let held = std::mem::take(&mut self.holding);
        if !self.is_primary {
            self.is_primary = true;
            self.apply(Apply::Status { is_primary: true });
        } else if held {
            self.apply(Apply::Hold(false));
        }
    }

    /// [PROTO-131]: aborts what waited here, in order, then tells the application. The execution context delivers it
    /// behind everything that has passed [HARD-328].
    fn demote(&mut self) {
        if std::mem::take(&mut self.holding) {
            self.apply(Apply::Hold(false));
        }
        self.abort_proposals(AbortReason::NotPrimary);
        if std::mem::take(&mut self.is_primary) {
            self.apply(Apply::Status { is_primary: false });
        }
    }

    pub(super) fn abort_proposals(&mut self, reason: AbortReason) {
        if let Some(outstanding) = self.outstanding.take() {
            self.abort(outstanding.proposal, reason);
        }
        for queued in std::mem::take(&mut self.queue.0) {
            self.abort(queued.proposal, reason);
        }
    }

    fn abort(&mut self, proposal: Proposal, reason: AbortReason) {
        for token in proposal.tokens {
            self.apply(Apply::Abort { token, reason });
        }
        if let Some(token) = proposal.change {
            self.apply(Apply::AbortChange { token, reason });
        }
    }

    /// The outstanding vote has waited another second [PROTO-106], or too long [PROTO-109].
    pub(super) fn on_resend_time(&mut self) {
        let Some(outstanding) = &self.outstanding else {
            self.action_at = None;
            return;
        };
        let proposed_at = outstanding.proposed_at;
        if self.now.since(proposed_at) >= self.settings.vote_max_outstanding_interval {
            // A primary that finds no majority for so long is none (decision 2).
            self.report(Report::VoteOutstandingTooLong(outstanding.vote.decree()));
            return self.initialize();
        }
        let message = Message::Vote(outstanding.vote.clone());
        self.resend(&message, self.settings.vote_retry_interval, proposed_at);
        self.action_at = Some(self.now + RESEND_INTERVAL);
    }

    /// Sends again to each peer that has not answered and has waited long enough [PROTO-106]: since the last message to
    /// it, or for this one since `waits_since`. Says whether it was sent to anybody.
    pub(super) fn resend(&mut self, message: &Message, retry: Duration, waits_since: Instant) -> bool {
        let waited = |since: Instant, interval| self.now.since(since) >= interval;
        let due: Vec<_> = self
            .peers
            .iter()
            .filter(|(id, _)| !self.acks.contains(id))
            .filter(|(_, peer)| {
                let link = peer.link;
                let connected = link.is_some_and(|link| link.connected);
                let interval = if connected { self.settings.receive_timeout } else { retry };
                link.is_none_or(|link| link.unsent == 0)
                    && (link.and_then(|link| link.last_send).is_none_or(|at| waited(at, interval))
                        || waited(waits_since, interval))
            })
            .map(|(id, _)| *id)
            .collect();
        let after = match message {
            Message::Vote(_) => self.outstanding.as_ref().map(|outstanding| outstanding.seq),
            _ => None,
        };
        let sent = !due.is_empty();
        for peer in due {
            let to = Destination::Peer(peer);
            self.out.push(Effect::Send { to, message: message.clone(), after });
        }
        sent
    }
}

/// Bytes of a vote before its requests.
pub(crate) fn envelope_len(version: ProtocolVersion, cookie: &Bytes) -> u64 {
    let cookie = if version.has_primary_cookie() { 4 + cookie.len() } else { 0 };
    let flags = usize::from(version.has_configuration()) + usize::from(version.has_relinquish());
    (version.base_size() + cookie + flags) as u64
}
