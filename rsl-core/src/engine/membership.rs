//! Configurations: decisions, the switch to a new member set, invitations, defunct configurations.

use std::net::SocketAddrV4;

use super::core::{Engine, Peer, Role};
use super::effect::{AppendSeq, Destination, Effect, Report};
use super::input::Origin;
use super::proposer::Proposal;
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, MemberId};
use crate::wire::{Header, Join, Message, Vote, VoteContent, message_checksum};

/// Defunct reports that wait for a second source.
const MAX_DEFUNCT_REPORTS: usize = 16;

impl Engine {
    /// DECIDE [PROTO-71]: the reconfiguration vote is chosen.
    pub(super) fn decide(&mut self, vote: &Vote, proposal: Proposal) {
        assert!(self.log.all_durable(), "the decided vote is durable here");
        let mut header = self.own_header(vote.ballot());
        header.checksum = checksum_of(&Message::ReconfigurationDecision(header));
        // Before the own record: peers may switch first [PROTO-27].
        let message = Message::ReconfigurationDecision(header);
        self.out.push(Effect::Send { to: Destination::AllPeers, message, after: None });
        self.log_decision(header, proposal);
    }

    /// A peer, or the log it serves, says that the accepted reconfiguration vote is chosen [PROTO-143]. A lower ballot
    /// than the accepted one decides the same value [HARD-337]. `live`: a message, not a learned record.
    pub(super) fn on_decision(&mut self, header: &Header, live: bool) {
        let accepted = self.accepted.position();
        if header.decree != accepted.decree || header.ballot > accepted.ballot {
            return;
        }
        if self.accepted.reconfiguration().is_none() {
            if header.ballot == accepted.ballot {
                self.report(Report::BadDecision(header.member));
            }
            return;
        }
        if live {
            // What a transfer builds on changes under it [XFER-21].
            self.abandon_transfer();
        }
        // The record names the ballot of the vote before it, so that legacy readers of this log can follow.
        let version = if header.ballot == accepted.ballot {
            header.version
        } else {
            header.version.max(self.accepted.version())
        };
        let record = Header { version, ballot: accepted.ballot, checksum: 0, payload: 0, ..*header };
        self.log_decision(record, Proposal::default());
    }

    /// LOGD [PROTO-72]: everything said from here on waits until the record is durable.
    fn log_decision(&mut self, header: Header, proposal: Proposal) {
        let vote = self.accepted.clone();
        let Some(members) = vote.reconfiguration().cloned() else { return };
        self.append(Record::Decision(header), None);
        let next = Configuration {
            number: self.configuration.number.saturating_add(1),
            initial_decree: vote.decree().next(),
            members,
        };
        self.pass(vote, proposal.tokens, proposal.change);
        self.change_configuration(next);
    }

    /// NEWCFG [PROTO-73]
    fn change_configuration(&mut self, next: Configuration) {
        tracing::info!(number = next.number, members = next.members.nodes.len(), "configuration changes");
        self.former_members.extend(self.peers.values().map(Peer::ip));
        self.configuration = next;
        self.configuration_changes += 1;
        self.highest_seen = Ballot::EMPTY;
        self.promised = Ballot::new(self.promised.id.saturating_add(1), MemberId::EMPTY);
        self.accepted = self.placeholder();
        self.received_at = None;
        self.invite_at = self.now;
        self.vote_cache.clear();
        self.questions.clear();
        self.links.clear();
        self.candidate = None;
        self.election_question = None;
        self.rebuild_peers();
        if self.is_learning() {
            // The stream goes on; where it leads to is decided at its end [HARD-340] [HARD-341].
            self.set_role(Role::Initializing);
        } else if self.is_member() {
            self.initialize();
        } else {
            self.deactivate();
        }
    }

    /// The empty vote that stands for the first decree of a configuration until its first primary proposes one; never
    /// logged [PROTO-148].
    fn placeholder(&self) -> Vote {
        let header = Header::new(
            self.version,
            self.settings.member,
            self.configuration.initial_decree,
            0,
            Ballot::EMPTY,
        );
        Vote::new(header, &VoteContent::default()).expect("an empty vote of this member can be said")
    }

    /// INACT [PROTO-74]
    pub(super) fn deactivate(&mut self) {
        self.set_role(Role::Inactive);
        self.acks.clear();
        self.candidate = None;
        self.election_question = None;
        self.learner.start_round();
        self.vote_cache.clear();
        self.election_at = None;
        self.action_at = None;
    }

    pub(super) fn rebuild_peers(&mut self) {
        let me = self.settings.member;
        let nodes = self.configuration.members.nodes.iter().filter(|node| node.id != me);
        self.peers = nodes.map(|node| (node.id, Peer::new(node))).collect();
        self.apply_links();
        self.out.push(Effect::Peers(self.configuration.clone()));
    }

    /// DEFUNCT [PROTO-75] on own evidence: a vote of the following configuration.
    pub(super) fn note_defunct(&mut self, number: u32, after: Option<AppendSeq>) {
        if number > self.defunct && (number < self.configuration.number || self.role == Role::Inactive) {
            self.defunct = number;
            self.defunct_reports.clear();
            self.out.push(Effect::PersistDefunct { through: number, after });
        }
    }

    /// DefunctConfiguration of a peer [PROTO-155], believed as far as HARD-307 and HARD-21 allow.
    pub(super) fn on_defunct(&mut self, from: &Origin, header: &Header) {
        let number = header.configuration;
        if number <= self.defunct || number == u32::MAX || !self.is_known_address(from) {
            return;
        }
        if self.configuration.number <= number && self.role != Role::Inactive {
            let pause = self.settings.initialize_retry_interval;
            let recent = self.defunct_round_at.is_some_and(|at| self.now.since(at) < pause);
            if !recent && !self.learner.is_busy() {
                self.defunct_round_at = Some(self.now);
                self.initialize();
            }
            return;
        }
        let confirmed = number == self.defunct.saturating_add(1)
            || self.defunct_reports.get(&number).is_some_and(|first| *first != header.member);
        if confirmed {
            self.note_defunct(number, None);
        } else {
            self.defunct_reports.entry(number).or_insert(header.member);
            if self.defunct_reports.len() > MAX_DEFUNCT_REPORTS {
                self.defunct_reports.pop_last();
            }
        }
    }

    /// The address of a member of a configuration this replica is or was in.
    fn is_known_address(&self, from: &Origin) -> bool {
        let ip = from.address.ip();
        self.peers.values().any(|peer| peer.ip() == *ip)
            || self.configuration.members.nodes.iter().any(|node| node.ip == *ip)
            || self.former_members.contains(ip)
    }

    pub(super) fn answer_defunct(&mut self, from: &Origin) {
        let header =
            Header::new(self.version, self.settings.member, Decree::ZERO, self.defunct, Ballot::EMPTY);
        self.answer(from, Message::DefunctConfiguration(header));
    }

    pub(super) fn answer_join_request(&mut self, from: &Origin, configuration: u32) {
        let header =
            Header::new(self.version, self.settings.member, Decree::ZERO, configuration, Ballot::EMPTY);
        self.answer(from, Message::JoinRequest(header));
    }

    /// [PROTO-153]
    pub(super) fn on_join_request(&mut self, from: &Origin, header: &Header) {
        if header.configuration == self.configuration.number {
            let join = self.invitation();
            self.answer(from, Message::Join(join));
        }
    }

    /// [PROTO-154]
    fn invitation(&self) -> Join {
        let decree = Decree(self.configuration.initial_decree.0.wrapping_sub(1));
        let header =
            Header::new(self.version, self.settings.member, decree, self.configuration.number, Ballot::EMPTY);
        Join { header, learn_port: self.settings.learn_port, log: self.log_range() }
    }

    /// The configuration is not yet known to be established [PROTO-150].
    pub(super) fn invites_members(&self) -> bool {
        self.configuration.number > self.defunct.saturating_add(1)
    }

    /// Step 6 of a turn: invites the members of a new configuration [PROTO-150] [WIRE-105].
    pub(super) fn invite_members(&mut self) {
        if !self.stopped && self.invites_members() && self.now >= self.invite_at {
            self.invite_at = self.now + self.settings.join_messages_interval;
            let join = self.invitation();
            self.send(Destination::AllPeers, Message::Join(join));
        }
    }

    /// [PROTO-152]. Nobody leaves office for a stranger; apart from that an unknown sender is followed, because its
    /// history may lead to a set it is in (decision 17) [HARD-309].
    pub(super) fn on_join(&mut self, from: &Origin, join: &Join) {
        let number = join.header.configuration;
        let own = self.configuration.number;
        if number <= own {
            if number <= self.defunct.saturating_add(1) {
                self.answer_defunct(from);
            }
            return;
        }
        let trusted = own == 0 || self.role != Role::Primary || self.is_known_address(from);
        if self.learner.is_busy() || !trusted {
            return;
        }
        let source = SocketAddrV4::new(*from.address.ip(), join.learn_port);
        let decree = self.accepted.decree();
        if own > 0 && decree >= join.log.min_decree_in_log {
            self.start_learning(join.header.member, source);
        } else if join.log.checkpointed_decree >= decree {
            self.copy_state(join.header.member, source, &join.log);
        }
    }
}

/// The checksum of an own message that carries one; its ids can be said, or it will not be sent.
pub(super) fn checksum_of(message: &Message) -> u64 {
    message.encode().map_or(0, |bytes| message_checksum(&bytes))
}
