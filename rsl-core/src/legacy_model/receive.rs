//! Sections 5 and 6: what the network thread does with a message, dispatch and verification.

use std::net::SocketAddrV4;

use super::{LearnThen, LegacyModel};
use crate::engine::{AppendSeq, Destination, Direction, Effect, Input, Origin, Role};
use crate::types::{Decree, Instant};
use crate::wire::{Header, Join, LogRange, Message, StatusResponse, Vote};

/// A vote in VC.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) from: Origin,
    pub(super) at: Instant,
    pub(super) vote: Vote,
}

/// A message in MQ.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) from: Origin,
    pub(super) message: Message,
}

impl LegacyModel {
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Message { from, message } => self.receive(from, message),
            Input::Command(command) => self.call(command),
            Input::Appended { through } => self.written(through),
            Input::Executed { decree, save_state } => self.has_executed(decree, save_state),
            Input::Saved(outcome) => self.has_saved(outcome),
            Input::MembersPersisted { members, written } => self.members_persisted(&members, written),
            Input::Answered { question, answer } => self.has_answered(question, answer),
            Input::Fetched { fetch, records } => self.fetched(fetch, records),
            Input::FetchEnded { fetch, outcome } => self.fetch_ended(fetch, outcome),
            Input::Links(links) => {
                for link in links {
                    if let Some(peer) = self.peers.get_mut(&link.member) {
                        peer.link = Some(link);
                    }
                }
            }
        }
    }

    fn written(&mut self, through: AppendSeq) {
        self.durable = self.durable.max(through);
        if self.durable >= self.appended {
            self.out.append(&mut self.held);
            if let Some(reason) = self.ending.take() {
                self.shut_down(reason);
            }
        }
    }

    /// The network thread [PROTO-35] [PROTO-48..51].
    fn receive(&mut self, from: Origin, message: Message) {
        let answers = matches!(
            message,
            Message::VoteAccepted(_)
                | Message::PrepareAccepted(_)
                | Message::StatusResponse(_)
                | Message::NotAccepted(_)
                | Message::DefunctConfiguration(_)
                | Message::Join(_)
                | Message::JoinRequest(_)
        );
        if from.direction == Direction::Outbound && !answers {
            return;
        }
        match message {
            Message::StatusQuery(query) => {
                if !self.relinquishing {
                    let status = self.status_response(&query);
                    self.answer(from, Message::StatusResponse(status));
                }
            }
            Message::Vote(vote) => {
                let last = self.vote_cache.back().map(|cached| cached.vote.position());
                if last.is_some_and(|last| vote.position().is_lower(&last) || vote.position().is_same(&last))
                {
                    return;
                }
                let size: usize = self.vote_cache.iter().map(|cached| cached.vote.encoded().len()).sum();
                if size as u64 > self.settings.max_cache_len {
                    self.vote_cache.clear();
                }
                self.vote_cache.push_back(Cached { from, at: self.now, vote });
                self.wake = true;
            }
            message => {
                self.messages.push_back(Queued { from, message });
                self.wake = true;
            }
        }
    }

    /// [PROTO-55]
    pub(super) fn dispatch(&mut self, Queued { from, message }: Queued) {
        let header = *message.header();
        match message {
            Message::Bootstrap(message) => {
                // The result of a message is discarded [PROTO-160].
                let _ = self.stage(&message.members);
                return;
            }
            Message::DefunctConfiguration(header) => return self.defunct_notice(header.configuration),
            _ => {}
        }
        if header.configuration <= self.defunct {
            return self.send_defunct(from);
        }
        match message {
            Message::Join(join) => return self.join(from, &join),
            Message::JoinRequest(_) => return self.join_request(from, &header),
            _ => {}
        }
        if !self.verify(from, &header) {
            return;
        }
        match message {
            Message::VoteAccepted(header) => self.vote_accepted(&header),
            Message::Prepare(prepare) => self.prepare(from, prepare),
            Message::PrepareAccepted(promise) => self.prepare_accepted(promise),
            Message::NotAccepted(header) => self.not_accepted(&header),
            Message::StatusResponse(status) => self.status_reply(&status),
            Message::ReconfigurationDecision(header) => self.log_decision(header),
            _ => {}
        }
    }

    /// [PROTO-56]
    pub(super) fn verify(&mut self, from: Origin, header: &Header) -> bool {
        if header.configuration <= self.defunct {
            self.send_defunct(from);
            return false;
        }
        if header.configuration < self.configuration.number {
            return false;
        }
        if header.configuration > self.configuration.number {
            let request = Header { configuration: header.configuration, ..self.header(Decree::ZERO) };
            self.answer(from, Message::JoinRequest(request));
            return false;
        }
        if self.role == Role::Inactive {
            return false;
        }
        let known = self.peers.get(&header.member).is_some_and(|peer| peer.ip() == *from.address.ip());
        if header.member == self.settings.member {
            return false;
        }
        if !known {
            if from.direction == Direction::Inbound {
                self.emit(Effect::Disconnect(from.connection));
            }
            return false;
        }
        self.seen = self.seen.max(header.ballot);
        true
    }

    /// A header of a message of this replica: own version, configuration and no ballot.
    pub(super) fn header(&self, decree: Decree) -> Header {
        Header::new(
            self.version,
            self.settings.member,
            decree,
            self.configuration.number,
            crate::types::Ballot::EMPTY,
        )
    }

    pub(super) fn send_defunct(&mut self, from: Origin) {
        let header = Header { configuration: self.defunct, ..self.header(Decree::ZERO) };
        self.answer(from, Message::DefunctConfiguration(header));
    }

    pub(super) fn answer(&mut self, from: Origin, message: Message) {
        self.send(Destination::Connection(from.connection), message);
    }

    /// Everything is sent behind the appends before it: legacy writes synchronously.
    pub(super) fn send(&mut self, to: Destination, message: Message) {
        let after = (self.durable < self.appended).then_some(self.appended);
        self.emit(Effect::Send { to, message, after });
    }

    pub(super) fn send_all(&mut self, message: Message) {
        self.send(Destination::AllPeers, message);
    }

    /// [XFER-8]
    pub(super) fn log_range(&self) -> LogRange {
        LogRange {
            min_decree_in_log: self.logs.min_decree(),
            checkpointed_decree: self.checkpoint.0,
            checkpoint_size: self.checkpoint.1,
        }
    }

    fn status_response(&self, query: &Header) -> StatusResponse {
        let age = self.now.since(self.received_at.unwrap_or_default());
        StatusResponse {
            header: Header { ballot: self.accepted.ballot(), ..self.header(self.accepted.decree()) },
            query: query.position(),
            last_received_ago: i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
            log: self.log_range(),
            max_ballot: self.promised,
            state: self.role as u32,
        }
    }

    pub(super) fn join_message(&self) -> Message {
        let before = Decree(self.configuration.initial_decree.0.wrapping_sub(1));
        Message::Join(Join {
            header: self.header(before),
            learn_port: self.settings.learn_port,
            log: self.log_range(),
        })
    }

    /// [PROTO-152]
    fn join(&mut self, from: Origin, join: &Join) {
        let number = join.header.configuration;
        if number <= self.configuration.number {
            if number <= self.defunct.saturating_add(1) {
                self.send_defunct(from);
            }
            return;
        }
        let source = SocketAddrV4::new(*from.address.ip(), join.learn_port);
        if self.accepted.decree() >= join.log.min_decree_in_log && self.configuration.number > 0 {
            self.learn(source, LearnThen::Nothing);
        } else if join.log.checkpointed_decree >= self.accepted.decree() {
            self.copy(source, join.log, LearnThen::Nothing);
        }
    }

    /// [PROTO-153]
    fn join_request(&mut self, from: Origin, header: &Header) {
        if header.configuration == self.configuration.number {
            let join = self.join_message();
            self.answer(from, join);
        }
    }
}
