//! Dispatch and verification: which messages reach a handler [PROTO-55] [PROTO-56].

use super::core::{Engine, Role};
use super::effect::{Effect, Report};
use super::input::{Direction, Origin};
use super::vote_cache::CachedVote;
use crate::types::{Ballot, MemberId};
use crate::wire::{Header, Message, Vote};

/// A ballot id may be this much above everything seen; honest candidates add one [HARD-306].
const BALLOT_MARGIN: u32 = 1 << 20;
/// No ballot id above this one is taken or chosen [HARD-306].
pub(super) const MAX_BALLOT_ID: u32 = 1 << 31;

impl Engine {
    pub(super) fn on_message(&mut self, from: Origin, message: Message) {
        match message {
            Message::Bootstrap(bootstrap) => self.on_bootstrap_message(&from, &bootstrap),
            Message::DefunctConfiguration(header) => self.on_defunct(&from, &header),
            message if message.header().configuration <= self.defunct => self.answer_defunct(&from),
            Message::Join(join) => self.on_join(&from, &join),
            Message::JoinRequest(header) => self.on_join_request(&from, &header),
            message => {
                if self.verify(&from, message.header()) {
                    self.handle(from, message);
                }
            }
        }
    }

    fn handle(&mut self, from: Origin, message: Message) {
        tracing::trace!(id = ?message.id(), position = %message.header().position(), from = %message.header().member, "message");
        match message {
            Message::VoteAccepted(header) => self.on_vote_accepted(&header),
            Message::Prepare(prepare) => self.on_prepare(&from, prepare),
            Message::PrepareAccepted(promise) => self.on_prepare_accepted(promise),
            Message::NotAccepted(header) => self.on_not_accepted(&header),
            Message::StatusResponse(response) => self.on_status_response(&from, response),
            Message::ReconfigurationDecision(header) => self.on_decision(&header, true),
            // Handled before verification, cached, or unknown on a packet connection.
            Message::Vote(_)
            | Message::StatusQuery(_)
            | Message::FetchVotes(_)
            | Message::FetchCheckpoint(_)
            | Message::DefunctConfiguration(_)
            | Message::Join(_)
            | Message::JoinRequest(_)
            | Message::Bootstrap(_) => {}
        }
    }

    /// Verifies a vote and puts it into the cache; a vote that fails does not touch the cache [HARD-304].
    pub(super) fn cache_vote(&mut self, from: Origin, vote: Vote) {
        if !self.verify(&from, vote.header()) {
            return;
        }
        let sender = vote.header().member;
        // Nobody else proposes under our ballots, and nobody at all under the empty one [PROTO-7].
        if vote.ballot() == Ballot::EMPTY || vote.ballot().member == self.settings.member {
            tracing::warn!(from = %sender, ballot = %vote.ballot(), "vote dropped: not the sender's ballot");
            return;
        }
        if !vote.checksum_is_valid() {
            self.report(Report::BadVoteChecksum(sender));
            return;
        }
        self.vote_cache.push(CachedVote { from, at: self.now, vote });
    }

    /// The steps of PROTO-56. Whether the message goes on to its handler.
    fn verify(&mut self, from: &Origin, header: &Header) -> bool {
        if header.configuration <= self.defunct {
            self.answer_defunct(from);
            return false;
        }
        if header.configuration < self.configuration.number {
            return false;
        }
        if header.configuration > self.configuration.number {
            self.answer_join_request(from, header.configuration);
            return false;
        }
        if self.role == Role::Inactive || header.member == self.settings.member {
            return false;
        }
        if !self.is_peer(header.member, from) {
            tracing::warn!(member = %header.member, from = %from.address, "message of an unknown member dropped");
            if from.direction == Direction::Inbound {
                self.out.push(Effect::Disconnect(from.connection));
            }
            return false;
        }
        if !self.is_plausible(header.ballot) {
            self.report(Report::AbsurdBallot(header.member));
            return false;
        }
        if !self.can_say(header.ballot.member) {
            self.report(Report::CannotEncode(header.member));
            return false;
        }
        self.highest_seen = self.highest_seen.max(header.ballot);
        true
    }

    /// Members are known by id and source address together.
    fn is_peer(&self, member: MemberId, from: &Origin) -> bool {
        self.peers.get(&member).is_some_and(|peer| peer.ip() == *from.address.ip())
    }

    /// Not so far above everything seen that only a broken peer can have chosen it [HARD-306].
    pub(super) fn is_plausible(&self, ballot: Ballot) -> bool {
        let highest = self.promised.id.max(self.highest_seen.id);
        ballot.id <= MAX_BALLOT_ID && ballot.id <= highest.saturating_add(BALLOT_MARGIN)
    }

    /// Whether an answer in the present version can echo this id [HARD-13].
    pub(super) fn can_say(&self, member: MemberId) -> bool {
        self.version.has_string_ids() || member.is_canonical_number()
    }

    pub(super) fn report(&mut self, report: Report) {
        self.out.push(Effect::Report(report));
    }
}
