//! Section 7: the procedures that all rules are made of.

use super::{Asked, Cookies, LegacyModel, Outstanding, Proposal};
use crate::engine::ChangeToken;
use crate::engine::{AppendSeq, Apply, Destination, Effect, Question, QuestionId, RequestToken, Role};
use crate::format::Record;
use crate::types::{Ballot, Configuration, Decree, Instant, Position};
use crate::wire::{Header, Message, Prepare, Vote, VoteContent};

impl LegacyModel {
    /// INIT [PROTO-60]
    pub(super) fn init(&mut self) {
        self.role = Role::Initializing;
        self.answered.clear();
        self.replies.clear();
        self.action_at = Some(self.now + self.settings.initialize_retry_interval);
        if self.quorum() == 1 {
            self.election_at = Some(Instant(0));
            self.maybe_elect();
        } else {
            self.query_all();
        }
    }

    /// StatusQuery to all peers.
    pub(super) fn query_all(&mut self) {
        let query = Header { ballot: self.accepted.ballot(), ..self.header(self.accepted.decree()) };
        self.send_all(Message::StatusQuery(query));
    }

    /// SEC [PROTO-61]
    pub(super) fn secondary(&mut self) {
        self.force = false;
        self.role = Role::Secondary;
        self.answered.clear();
        self.action_at = None;
    }

    /// ELECT? [PROTO-62] [PROTO-121]; goes on in [`may_lead`](Self::may_lead) when the application is asked.
    pub(super) fn maybe_elect(&mut self) {
        let due = self.election_at.is_some_and(|at| self.now >= at);
        if due || self.promised.member == self.settings.member || self.force {
            if !self.saving {
                // [XFER-40]
                if self.pending_save.is_some_and(|(_, by_application)| !by_application) {
                    self.pending_save = None;
                }
                if self.queue_is_ready() {
                    return self.ask(Question::CanBecomePrimary, Asked::MayLead);
                }
            }
            self.election_at = Some(self.now + self.settings.heartbeat_interval);
        }
        self.secondary();
    }

    pub(super) fn may_lead(&mut self, cookie: Option<crate::wire::PrimaryCookie>) {
        if let Some(cookie) = cookie {
            self.cookie = cookie;
            self.start_preparing();
        } else {
            self.election_at = Some(self.now + self.settings.heartbeat_interval);
            self.secondary();
        }
    }

    pub(super) fn ask(&mut self, ask: Question, asked: Asked) {
        self.next_question += 1;
        let question = QuestionId(self.next_question);
        self.asked = Some((question, asked));
        self.emit(Effect::Ask { question, ask });
    }

    /// PREP [PROTO-63] [PROTO-8]
    fn start_preparing(&mut self) {
        self.role = Role::Preparing;
        let own = |above: Ballot, model: &Self| {
            above.id.checked_add(1).map(|id| Ballot::new(id, model.settings.member))
        };
        let ballot = match own(self.promised, self) {
            Some(ballot) if ballot < self.seen => own(self.seen, self),
            other => other,
        };
        let Some(ballot) = ballot else { return self.dies("no ballot is left [HARD-306]") };
        self.action_at = Some(self.now + super::RESEND);
        self.give_up_at = Some(self.now + self.election_delay * 30);
        self.answered.clear();
        self.freshest = Some(self.accepted.clone());
        let header = Header { ballot, ..self.header(self.accepted.decree()) };
        let prepare = Prepare { header, cookie: self.cookie.clone() };
        if self.quorum() == 1 {
            self.log_prepare(prepare);
            self.become_primary();
        } else {
            self.send_all(Message::Prepare(prepare.clone()));
            self.prepare = Some(prepare.clone());
            self.log_prepare(prepare);
        }
    }

    /// PRIM [PROTO-64]
    pub(super) fn become_primary(&mut self) {
        self.transitioning = true;
        self.emit(Effect::Apply(Apply::Hold(true)));
        self.force = false;
        self.role = Role::Primary;
        self.outstanding = None;
        self.answered.clear();
        let Some(freshest) = self.freshest.take() else {
            return self.dies("a candidate has a freshest vote");
        };
        // With the cookies of the time when it was proposed here, also after they were aborted [HARD-331] [HARD-557].
        let cookies = self.cookies.take().filter(|cookies| cookies.at == freshest.position());
        let (tokens, change) = cookies.map_or((Vec::new(), None), |cookies| {
            let tokens = cookies.tokens.into_iter().map(RequestToken).collect();
            (tokens, cookies.change.map(ChangeToken))
        });
        // Re-encoded in the own version, whatever it had [HARD-314].
        self.propose(Proposal {
            version: self.version,
            content: VoteContent {
                cookie: self.cookie.clone(),
                reconfiguration: freshest.reconfiguration().cloned(),
                relinquish: false,
                requests: freshest.requests().collect(),
            },
            size: 0,
            exclusive: false,
            tokens,
            change,
        });
    }

    /// PROPOSE [PROTO-65]
    pub(super) fn propose(&mut self, proposal: Proposal) {
        if self.promised.member != self.settings.member || self.outstanding.is_some() {
            return self.dies("proposing under a foreign ballot [HARD-333]");
        }
        self.answered.clear();
        self.proposed_at = self.now;
        if self.relinquishing {
            // Its cookies leak [HARD-318].
            return;
        }
        let decree = self.accepted.decree();
        let decree = if self.promised == self.accepted.ballot() { decree.next() } else { decree };
        let header = Header { version: proposal.version, ballot: self.promised, ..self.header(decree) };
        let Proposal { content, tokens, change, .. } = proposal;
        let vote = match Vote::new(header, &content) {
            Ok(vote) => vote,
            Err(error) => {
                return self.dies(&format!("a vote cannot be encoded: {error} [HARD-302, 313, 314]"));
            }
        };
        self.relinquishing |= vote.relinquish();
        if self.quorum() > 1 {
            self.cookies = Some(Cookies {
                at: vote.position(),
                tokens: tokens.iter().map(|token| token.0).collect(),
                change: change.as_ref().map(|change| change.0),
            });
            self.outstanding = Some(Outstanding { vote: vote.clone(), tokens, change });
            self.action_at = Some(self.now + super::RESEND);
            self.log_vote(vote.clone(), Some(self.now));
            self.send_all(Message::Vote(vote));
        } else if vote.reconfiguration().is_some() {
            self.log_vote(vote.clone(), Some(self.now));
            self.outstanding = Some(Outstanding { vote: vote.clone(), tokens, change });
            self.decide(&vote);
        } else {
            self.log_vote(vote.clone(), Some(self.now));
            self.pass_with(vote, tokens, change);
            self.action_at = None;
        }
    }

    /// ACCEPT [PROTO-66]
    pub(super) fn accept(&mut self, vote: Vote, received: Option<Instant>) {
        let next = vote.position().is_next(&self.at());
        if !next || vote.header().configuration != self.configuration.number {
            return self.dies("a vote to be accepted is not the next one [HARD-336]");
        }
        if vote.decree().follows(self.accepted.decree()) {
            self.pass();
            let delay = if self.promised.member == self.settings.member {
                self.settings.heartbeat_interval
            } else {
                self.election_delay
            };
            self.election_at = Some(received.unwrap_or(self.now) + delay);
        }
        self.log_vote(vote, received);
    }

    /// LOGV [PROTO-67]
    pub(super) fn log_vote(&mut self, vote: Vote, received: Option<Instant>) {
        self.received_at = received;
        if vote.position().is_same(&self.at()) {
            self.accepted = vote;
            return;
        }
        if !vote.position().is_next(&self.at()) {
            return self.dies("ballot in decreasing order [HARD-336]");
        }
        let new_log = self.new_log_for(&vote);
        self.append(Record::Vote(vote.clone()), new_log);
        self.note_defunct(vote.header().configuration.saturating_sub(1));
        let ballot = vote.ballot();
        self.accepted = vote;
        self.raise(ballot);
        self.log_has_grown();
        self.try_save();
    }

    /// LOGP [PROTO-68]
    pub(super) fn log_prepare(&mut self, prepare: Prepare) {
        let ballot = prepare.header.ballot;
        if ballot < self.promised {
            return self.dies("a Prepare below the promise is to be logged");
        }
        if ballot > self.promised {
            self.append(Record::Prepare(prepare), None);
            self.raise(ballot);
        }
    }

    fn append(&mut self, record: Record, new_log: Option<Decree>) {
        self.appended = AppendSeq(self.appended.0 + 1);
        self.logs.append(&record, new_log);
        self.out.push(Effect::Append { seq: self.appended, record, new_log });
    }

    /// RAISE [PROTO-69]
    fn raise(&mut self, ballot: Ballot) {
        if ballot <= self.promised {
            return;
        }
        self.promised = ballot;
        let grace = if ballot.member == self.settings.member {
            self.settings.heartbeat_interval
        } else {
            self.settings.new_leader_grace_period
        };
        let earliest = self.now + grace;
        // Infinity stays infinity.
        self.election_at = self.election_at.map(|at| at.max(earliest));
    }

    /// PASS(A) [PROTO-70]; the cookies are those of O if A is that vote.
    pub(super) fn pass(&mut self) {
        let at = self.at();
        let (mut tokens, mut change) = (Vec::new(), None);
        if let Some(outstanding) =
            self.outstanding.as_mut().filter(|outstanding| outstanding.vote.position() == at)
        {
            tokens = std::mem::take(&mut outstanding.tokens);
            change = outstanding.change.take();
            self.cookies = None;
        }
        self.pass_with(self.accepted.clone(), tokens, change);
    }

    /// [PROTO-134] [PROTO-43]
    pub(super) fn pass_with(&mut self, vote: Vote, tokens: Vec<RequestToken>, change: Option<ChangeToken>) {
        let version = vote.version();
        if vote.decree() != self.passed {
            self.passed = vote.decree();
            self.emit(Effect::Apply(Apply::Execute { vote, tokens, change }));
        }
        self.version = self.version.max(version);
    }

    /// DECIDE [PROTO-71]
    pub(super) fn decide(&mut self, vote: &Vote) {
        let header = Header { ballot: vote.ballot(), ..self.header(vote.decree()) };
        let Some(Message::ReconfigurationDecision(header)) =
            with_checksum(&Message::ReconfigurationDecision(header))
        else {
            return self.dies("a Decision cannot be encoded [HARD-302]");
        };
        // Sent before the own record is written [PROTO-27 O6].
        self.send_all(Message::ReconfigurationDecision(header));
        self.log_decision(header);
    }

    /// LOGD [PROTO-72]
    pub(super) fn log_decision(&mut self, header: Header) {
        if header.position() != self.at() {
            return;
        }
        let Some(members) = self.accepted.reconfiguration().cloned() else {
            return self.dies("a Decision for a vote that is no reconfiguration [HARD-310]");
        };
        self.append(Record::Decision(header), None);
        self.pass();
        if self.outstanding.as_ref().is_some_and(|outstanding| outstanding.vote.position() == self.at()) {
            self.outstanding = None;
        }
        let configuration = Configuration {
            number: self.configuration.number + 1,
            initial_decree: self.accepted.decree().next(),
            members,
        };
        self.change_configuration(configuration);
    }

    /// NEWCFG [PROTO-73] [PROTO-148]
    fn change_configuration(&mut self, configuration: Configuration) {
        self.configuration = configuration.clone();
        self.configurations.push(configuration);
        self.seen = Ballot::EMPTY;
        self.promised =
            Ballot { id: self.promised.id.wrapping_add(1), member: crate::types::MemberId::EMPTY };
        if !self.set_placeholder(0) {
            return;
        }
        self.received_at = None;
        self.joins_sent_at = None;
        self.make_peers();
        self.vote_cache.clear();
        self.messages.clear();
        if self.configuration.members.contains(self.settings.member) {
            self.init();
        } else {
            self.inactive();
        }
    }

    /// A := the unlogged empty vote at the first decree of the configuration. After a change its configuration number is
    /// 0 and its checksum is not computed [WIRE-92]; at bootstrap the checkpoint needs the checksum.
    pub(super) fn set_placeholder(&mut self, configuration: u32) -> bool {
        let header = Header { configuration, ..self.header(self.configuration.initial_decree) };
        let vote = Vote::new(header, &VoteContent::default()).ok();
        let vote =
            vote.and_then(|vote| if configuration == 0 { without_checksum(&vote) } else { Some(vote) });
        if let Some(vote) = vote {
            self.accepted = vote;
            return true;
        }
        self.dies("an empty vote cannot be encoded");
        false
    }

    pub(super) fn make_peers(&mut self) {
        let others = self.configuration.members.nodes.iter().filter(|node| node.id != self.settings.member);
        self.peers = others
            .map(|node| (node.id, super::Peer { node: node.clone(), link: None, vote: None }))
            .collect();
        self.emit(Effect::Peers(self.configuration.clone()));
    }

    /// INACT [PROTO-74]
    fn inactive(&mut self) {
        self.role = Role::Inactive;
        self.replies.clear();
        self.answered.clear();
        self.election_at = None;
        self.action_at = None;
    }

    /// DEFUNCT [PROTO-75]
    pub(super) fn note_defunct(&mut self, number: u32) {
        if number <= self.defunct {
            return;
        }
        if self.configuration.number <= number && self.role != Role::Inactive {
            return self.init();
        }
        self.defunct = number;
        let after = (self.durable < self.appended).then_some(self.appended);
        self.emit(Effect::PersistDefunct { through: number, after });
    }

    pub(super) fn defunct_notice(&mut self, number: u32) {
        self.note_defunct(number);
    }

    /// NotAccepted(A.d, P).
    pub(super) fn refuse(&mut self, from: crate::engine::Origin, payload: u64) {
        let Position { decree, ballot } = self.at_promise();
        let header = Header { ballot, payload, ..self.header(decree) };
        self.send(Destination::Connection(from.connection), Message::NotAccepted(header));
    }
}

/// The message with its checksum computed.
pub(super) fn with_checksum(message: &Message) -> Option<Message> {
    Message::decode(&message.encode_with_checksum().ok()?).ok()
}

fn without_checksum(vote: &Vote) -> Option<Vote> {
    let mut bytes = vote.encoded().to_vec();
    // The checksum follows version and length.
    bytes.get_mut(6..14)?.fill(0);
    Vote::decode(&bytes.into()).ok()
}
