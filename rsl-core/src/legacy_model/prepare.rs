//! Sections 9 and 10: Prepare, NotAccepted, and the candidate.

use std::time::Duration;

use super::procedures::with_checksum;
use super::votes::is_far_below;
use super::{Asked, LegacyModel};
use crate::engine::{Destination, Origin, Question, Role};
use crate::wire::{Header, Message, Prepare, PrepareAccepted, PrimaryCookie};

impl LegacyModel {
    /// [PROTO-87..91]
    pub(super) fn prepare(&mut self, from: Origin, prepare: Prepare) {
        if self.relinquishing {
            return;
        }
        let position = prepare.header.position();
        if position.is_lower(&self.at_promise()) {
            if is_far_below(position.decree, self.accepted.decree()) || position.ballot < self.promised {
                self.refuse(from, 0);
            }
            return;
        }
        if self.role == Role::Initializing {
            return;
        }
        self.log_prepare(prepare.clone());
        if self.settings.use_global_accept_flag {
            let accept = self.accept_messages;
            self.answer_prepare(&prepare, from, accept);
        } else {
            let ask = Question::AcceptMessage { from: prepare.header.member, cookie: prepare.cookie.clone() };
            self.ask(ask, Asked::AcceptPrepare(prepare, from));
        }
    }

    pub(super) fn answer_prepare(&mut self, prepare: &Prepare, from: Origin, accept: bool) {
        let decree = prepare.header.decree;
        if accept {
            let header = Header { ballot: prepare.header.ballot, ..self.header(decree) };
            let promise = PrepareAccepted { header, vote: self.accepted.clone() };
            self.send(Destination::Connection(from.connection), Message::PrepareAccepted(promise));
        }
        if decree > self.accepted.decree() { self.init() } else { self.secondary() }
    }

    /// [PROTO-92]
    pub(super) fn not_accepted(&mut self, header: &Header) {
        if header.position().is_lower(&self.at()) || self.role == Role::Initializing {
            return;
        }
        if header.decree > self.accepted.decree() {
            return self.init();
        }
        if header.ballot > self.promised {
            let header = Header { checksum: 0, payload: 0, ..*header };
            self.log_prepare(Prepare { header, cookie: PrimaryCookie::new() });
            self.secondary();
        }
    }

    /// [PROTO-94]
    pub(super) fn prepare_accepted(&mut self, promise: PrepareAccepted) {
        let PrepareAccepted { header, vote } = promise;
        if self.role != Role::Preparing || header.position() != self.at_promise() {
            return;
        }
        if vote.decree() > header.decree || vote.ballot() > header.ballot {
            return;
        }
        let Some(freshest) = &self.freshest else { return };
        if vote.decree() == freshest.decree() && vote.ballot() > freshest.ballot() {
            self.freshest = Some(vote);
        }
        self.answered.insert(header.member);
        if self.answered.len() + 1 >= self.quorum() {
            self.become_primary();
        }
    }

    /// [PROTO-95]; a Prepare sent again has the checksum that was computed for the log.
    pub(super) fn resend_prepare(&mut self) {
        let Some(prepare) = self.prepare.clone() else { return };
        let Some(message) = with_checksum(&Message::Prepare(prepare)) else { return };
        let interval = self.settings.prepare_retry_interval;
        self.resend(&message, interval, Duration::ZERO, false);
    }

    /// [PROTO-106]
    pub(super) fn resend(&mut self, message: &Message, disconnected: Duration, age: Duration, is_vote: bool) {
        let mut to = Vec::new();
        for (id, peer) in &self.peers {
            if self.answered.contains(id) {
                continue;
            }
            let connected = peer.link.is_some_and(|link| link.connected);
            let interval = if connected { self.settings.receive_timeout } else { disconnected };
            let sent = peer.link.and_then(|link| link.last_send).unwrap_or_default();
            let unsent = peer.link.map_or(0, |link| link.unsent);
            if unsent == 0 && (self.now.since(sent) >= interval || (is_vote && age >= interval)) {
                to.push(*id);
            }
        }
        for id in to {
            self.send(Destination::Peer(id), message.clone());
        }
    }
}
