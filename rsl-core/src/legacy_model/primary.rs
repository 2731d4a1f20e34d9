//! Section 11: the primary; the calls of the application.

use std::time::Duration;

use super::{BootstrapCall, LegacyModel, MAX_BATCH, Proposal};
use crate::engine::{
    AbortReason, Apply, BootstrapResult, Command, Effect, PeerVote, Request, Role, StopReason,
};
use crate::types::Instant;
use crate::wire::{Header, Message, VoteContent};

impl LegacyModel {
    pub(super) fn call(&mut self, command: Command) {
        match command {
            Command::Replicate(requests) => requests.into_iter().for_each(|request| self.replicate(request)),
            Command::ChangeConfiguration { members, token } => {
                if !self.is_primary || self.shutting_down {
                    let reason =
                        if self.is_primary { AbortReason::ShuttingDown } else { AbortReason::NotPrimary };
                    return self.emit(Effect::Apply(Apply::AbortChange { token, reason }));
                }
                let mut proposal = self.proposal(VoteContent {
                    cookie: self.cookie.clone(),
                    reconfiguration: Some(members),
                    ..VoteContent::default()
                });
                proposal.change = Some(token);
                self.queue.push_back(proposal);
            }
            Command::Bootstrap { members, timeout, token } => {
                let result = self.stage(&members);
                if result != BootstrapResult::Success {
                    return self.emit(Effect::BootstrapEnded { token, result });
                }
                let deadline = self.now + timeout;
                self.bootstrap =
                    Some(BootstrapCall { members: (*members).clone(), deadline, next: self.now, token });
            }
            Command::AttemptPromotion => self.force = true,
            Command::RelinquishPrimary => {
                if self.version.has_relinquish() && self.role == Role::Primary {
                    let content = VoteContent {
                        cookie: self.cookie.clone(),
                        relinquish: true,
                        ..VoteContent::default()
                    };
                    let proposal = self.proposal(content);
                    self.queue.push_back(proposal);
                }
            }
            Command::SetVotePayload(payload) => self.vote_payload = payload,
            Command::AllowSaveState(allow) => {
                self.allow_save = allow;
                self.try_save();
            }
            Command::SetAcceptMessages(accept) => self.accept_messages = accept,
            Command::InstallCheckpoint(info) => self.checkpoint_done(info.decree, info.size),
            Command::Stop(reason) if self.durable < self.appended => self.ending = Some(reason),
            Command::Stop(reason) => self.shut_down(reason),
            Command::ChangeElectionDelay(delay) => {
                self.settings.election_delay = delay;
                self.draw_election_delay();
            }
        }
    }

    fn proposal(&self, content: VoteContent) -> Proposal {
        Proposal {
            version: self.version,
            content,
            size: 0,
            exclusive: false,
            tokens: Vec::new(),
            change: None,
        }
    }

    /// [PROTO-97..99]
    fn replicate(&mut self, request: Request) {
        let Request { payload, token, exclusive, last_decree } = request;
        let reason = match (self.is_primary, self.shutting_down) {
            (false, _) => Some(AbortReason::NotPrimary),
            (true, true) => Some(AbortReason::ShuttingDown),
            (true, false) => None,
        };
        if let Some(reason) = reason {
            return self.emit(Effect::Apply(Apply::Abort { token, reason }));
        }
        let size = payload.len() + 4;
        let joins = !exclusive
            && self.queue.back().is_some_and(|last| {
                last.content.reconfiguration.is_none() && !last.exclusive && last.size + size <= MAX_BATCH
            });
        if !joins {
            let content = VoteContent { cookie: self.cookie.clone(), ..VoteContent::default() };
            let proposal = Proposal { exclusive, ..self.proposal(content) };
            self.queue.push_back(proposal);
        }
        if let Some(last) = self.queue.back_mut() {
            last.content.requests.push(payload);
            last.tokens.push(token);
            last.size += size;
        }
        self.shutting_down |= last_decree;
    }

    /// [PROTO-103]
    pub(super) fn vote_accepted(&mut self, header: &Header) {
        if self.role != Role::Primary {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&header.member) {
            let decree = peer.vote.map_or(header.decree, |vote| vote.decree.max(header.decree));
            peer.vote = Some(PeerVote { at: self.now, decree, payload: header.payload });
        }
        let here = self.at_promise();
        let Some(outstanding) = &self.outstanding else { return };
        if header.position() != here || outstanding.vote.position() != here {
            return;
        }
        self.answered.insert(header.member);
        if self.answered.len() + 1 < self.quorum() {
            return;
        }
        let vote = outstanding.vote.clone();
        self.action_at = None;
        self.emit(Effect::Voted { decree: vote.decree(), took: self.now.since(self.proposed_at) });
        if vote.reconfiguration().is_some() {
            let late = self.now.since(self.proposed_at) > self.settings.heartbeat_interval;
            if self.independent_heartbeat && late {
                // The heartbeat is proposed between the majority and what follows from it, so in the old configuration
                // [HARD-344].
                self.outstanding = None;
                let content = VoteContent { cookie: self.cookie.clone(), ..VoteContent::default() };
                self.propose(self.proposal(content));
            }
            self.decide(&vote);
        } else if vote.relinquish() {
            // O is cleared before the abort sequence: what joined that vote gets neither callback [HARD-319].
            self.outstanding = None;
            self.shut_down(StopReason::Relinquished);
        } else {
            self.pass();
            self.outstanding = None;
        }
    }

    /// At most one vote of SQ [PROTO-102].
    pub(super) fn propose_next(&mut self) {
        if let Some(proposal) = self.queue.pop_front() {
            self.propose(proposal);
        }
    }

    /// The watcher of the heartbeats [PROTO-110..112].
    pub(super) fn heartbeat(&mut self) {
        if self.now < self.heartbeat_poll_at {
            return;
        }
        self.heartbeat_poll_at = self.now + self.settings.heartbeat_interval / 3;
        if self.role == Role::Primary
            && self.is_primary
            && !self.shutting_down
            && self.outstanding.is_none()
            && self.queue.is_empty()
            && self.now.since(self.proposed_at) > self.settings.heartbeat_interval
        {
            let content = VoteContent { cookie: self.cookie.clone(), ..VoteContent::default() };
            let proposal = self.proposal(content);
            self.queue.push_back(proposal);
        }
    }

    /// [PROTO-106] [PROTO-109]
    pub(super) fn resend_vote(&mut self) {
        let Some(outstanding) = &self.outstanding else {
            return self.dies("nothing is outstanding [HARD-324]");
        };
        let age: Duration = self.now.since(self.proposed_at);
        if age >= self.settings.vote_max_outstanding_interval {
            return self.dies("a vote is outstanding for too long [HARD-323]");
        }
        let message = Message::Vote(outstanding.vote.clone());
        let interval = self.settings.vote_retry_interval;
        self.resend(&message, interval, age, true);
    }

    /// O, then SQ [PROTO-131] [PROTO-168].
    pub(super) fn abort_all(&mut self, reason: AbortReason) {
        if let Some(outstanding) = self.outstanding.take() {
            if (outstanding.vote.request_count() as usize) > outstanding.tokens.len() {
                return self.dies("a request without cookie is aborted [HARD-330]");
            }
            self.abort(outstanding.tokens, outstanding.change, reason);
        }
        while let Some(proposal) = self.queue.pop_front() {
            self.abort(proposal.tokens, proposal.change, reason);
        }
    }

    fn abort(
        &mut self,
        tokens: Vec<crate::engine::RequestToken>,
        change: Option<crate::engine::ChangeToken>,
        reason: AbortReason,
    ) {
        for token in tokens {
            self.emit(Effect::Apply(Apply::Abort { token, reason }));
        }
        if let Some(token) = change {
            self.emit(Effect::Apply(Apply::AbortChange { token, reason }));
        }
    }

    /// The Bootstrap call in progress [PROTO-159].
    pub(super) fn bootstrapping(&mut self) {
        let Some(call) = self.bootstrap.take() else { return };
        if self.is_bootstrapped() {
            return self.emit(Effect::BootstrapEnded { token: call.token, result: BootstrapResult::Success });
        }
        if self.now >= call.deadline {
            return self.emit(Effect::BootstrapEnded { token: call.token, result: BootstrapResult::Failed });
        }
        if self.now >= call.next {
            self.send_bootstrap(&call.members);
            let next: Instant = self.now + Duration::from_secs(1);
            self.bootstrap = Some(BootstrapCall { next, ..call });
        } else {
            self.bootstrap = Some(call);
        }
    }
}
