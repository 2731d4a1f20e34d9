//! Elections: status round, candidacy, and the way back to being a secondary.

use std::time::Duration;

use super::core::{Engine, RESEND_INTERVAL, Role, is_due};
use super::effect::{Apply, Destination, Effect, Question, QuestionId, Report};
use super::input::Origin;
use super::membership::checksum_of;
use super::proposer::{Candidate, Proposal};
use super::receive::MAX_BALLOT_ID;
use crate::types::{Ballot, Instant};
use crate::wire::{
    EncodeError, Header, Message, Prepare, PrepareAccepted, PrimaryCookie, StatusResponse, Vote, VoteContent,
};

/// A candidate gives up after this many election delays [PROTO-95].
const CANDIDACY: u32 = 30;
/// Upper bound of the random pause before a hopeless candidacy is renewed [HARD-325].
const MAX_RETRY_PAUSE: u64 = 1_000_000;

impl Engine {
    /// Step 1 of a turn: a member of the configuration that is still inactive starts to take part [PROTO-59] [PROTO-162].
    pub(super) fn enter_configuration(&mut self) {
        if self.role != Role::Inactive || self.stopped {
            return;
        }
        self.persist_members();
        if self.is_member() {
            self.rebuild_peers();
            self.initialize();
        }
    }

    /// INIT [PROTO-60]: starts a status round.
    pub(super) fn initialize(&mut self) {
        assert!(self.is_member(), "only members run status rounds [HARD-334]");
        self.set_role(Role::Initializing);
        self.acks.clear();
        self.candidate = None;
        self.election_question = None;
        self.learner.start_round();
        if self.learner.is_busy() {
            // The round starts when the transfer has ended [XFER-21] [HARD-341].
            self.action_at = None;
            return;
        }
        self.action_at = Some(self.now + self.settings.initialize_retry_interval);
        if self.quorum() > 1 {
            self.query_status();
        } else if !self.must_relearn() {
            self.election_at = Some(self.now);
            self.consider_candidacy();
        }
    }

    pub(super) fn query_status(&mut self) {
        let query = self.own_header(self.accepted.ballot());
        self.send(Destination::AllPeers, Message::StatusQuery(query));
    }

    /// SEC [PROTO-61]
    pub(super) fn become_secondary(&mut self) {
        self.force = false;
        self.set_role(Role::Secondary);
        self.acks.clear();
        self.candidate = None;
        self.election_question = None;
        self.action_at = None;
    }

    pub(super) fn set_role(&mut self, role: Role) {
        if self.role != role {
            tracing::info!(from = ?self.role, to = ?role, accepted = %self.accepted.position(), promised = %self.promised, "role changes");
        }
        self.role = role;
        if role != Role::Primary {
            // A primary that was outbid is an ordinary replica again [HARD-317].
            self.relinquishing = false;
        }
    }

    /// Any replica answers at once, in every state, unless it is giving up being primary [PROTO-48].
    pub(super) fn on_status_query(&mut self, from: &Origin, query: &Header) {
        if self.relinquishing {
            return;
        }
        if !self.can_say(query.ballot.member) {
            return self.report(Report::CannotEncode(query.member));
        }
        let since = self.received_at.unwrap_or_default();
        let age = i64::try_from(self.now.since(since).as_millis()).unwrap_or(i64::MAX);
        let response = StatusResponse {
            header: self.own_header(self.accepted.ballot()),
            query: query.position(),
            last_received_ago: age,
            log: self.log_range(),
            max_ballot: self.promised,
            state: self.role as u32,
        };
        self.answer(from, Message::StatusResponse(response));
    }

    /// ELECT? [PROTO-62]: nobody is ahead; stand for election if it is time and nothing forbids it.
    pub(super) fn consider_candidacy(&mut self) {
        let own_ballot = self.promised.member == self.settings.member;
        if is_due(self.election_at, self.now) || own_ballot || self.force {
            // A draining replica leaves leading to others [HARD-322].
            let draining = self.draining && self.quorum() > 1;
            if !self.checkpoints.is_saving() && !draining {
                self.checkpoints.cancel_automatic_save();
                if self.execution_is_ready() {
                    self.election_question = Some(self.ask(Question::CanBecomePrimary));
                    self.action_at = None;
                    return;
                }
            }
            self.election_at = Some(self.now + self.settings.heartbeat_interval);
        }
        self.become_secondary();
    }

    /// The application has said whether this replica may lead [PROTO-121] [PROTO-124].
    pub(super) fn on_may_lead(&mut self, question: QuestionId, verdict: Option<PrimaryCookie>) {
        if self.election_question.take_if(|asked| *asked == question).is_none() {
            return;
        }
        assert_eq!(self.role, Role::Initializing, "the question dies with the round");
        match verdict {
            Some(cookie) => {
                self.cookie = cookie;
                if self.vote_cache.is_empty() || self.force {
                    self.prepare();
                } else {
                    // Somebody leads by now: those votes come first.
                    self.become_secondary();
                }
            }
            None => {
                self.election_at = Some(self.now + self.settings.heartbeat_interval);
                self.become_secondary();
            }
        }
    }

    /// PREP [PROTO-63]: asks the others to promise a new ballot.
    fn prepare(&mut self) {
        let me = self.settings.member;
        let mut ballot = Ballot::new(self.promised.id.saturating_add(1), me);
        if ballot < self.highest_seen {
            ballot.id = self.highest_seen.id.saturating_add(1);
        }
        if ballot.id > MAX_BALLOT_ID {
            self.report(Report::BallotsExhausted);
            self.election_at = Some(self.now + self.settings.heartbeat_interval);
            return self.become_secondary();
        }
        assert!(ballot > self.promised, "a new ballot is above the promise");
        self.set_role(Role::Preparing);
        self.acks.clear();
        self.action_at = Some(self.now + RESEND_INTERVAL);
        let mut prepare = Prepare { header: self.own_header(ballot), cookie: self.cookie.clone() };
        if self.quorum() > 1 {
            // Before it is durable here [PROTO-9], without message checksum [PROTO-31].
            self.out.push(Effect::Send {
                to: Destination::AllPeers,
                message: Message::Prepare(prepare.clone()),
                after: None,
            });
        }
        self.log_promise(prepare.clone());
        prepare.header.checksum = checksum_of(&Message::Prepare(prepare.clone()));
        self.candidate = Some(Candidate {
            prepare,
            promised: self.log.last(),
            freshest: self.accepted.clone(),
            said_at: self.now,
            gives_up_at: self.now + self.election_delay * CANDIDACY,
            retry_at: None,
        });
    }

    /// [PROTO-94]: a promise counts once our own is durable, too [PROTO-27].
    pub(super) fn on_prepare_accepted(&mut self, promise: PrepareAccepted) {
        let position = promise.header.position();
        let Some(candidate) = &mut self.candidate else { return };
        if !position.is_same(&candidate.prepare.header.position()) {
            return;
        }
        let reported = promise.vote.position();
        if reported.decree > position.decree || reported.ballot > position.ballot {
            return;
        }
        let freshest = candidate.freshest.position();
        if reported.decree == freshest.decree && reported.ballot > freshest.ballot {
            if !reported_vote_is_sound(&promise) {
                return self.report(Report::BadVoteChecksum(promise.header.member));
            }
            candidate.freshest = promise.vote;
        }
        self.acks.insert(promise.header.member);
        self.check_promises();
    }

    /// Becomes primary once a majority has promised and the own promise is durable.
    pub(super) fn check_promises(&mut self) {
        if self.role == Role::Preparing
            && self.acks_suffice()
            && let Some(candidate) =
                self.candidate.take_if(|candidate| self.log.is_durable(candidate.promised))
        {
            self.lead(candidate);
        }
    }

    /// PRIM [PROTO-64]: re-proposes the freshest vote under the new ballot.
    fn lead(&mut self, candidate: Candidate) {
        assert_eq!(candidate.prepare.header.ballot, self.promised, "a candidate owns the promised ballot");
        assert_eq!(
            candidate.freshest.decree(),
            self.accepted.decree(),
            "nothing is accepted while preparing [PROTO-96]"
        );
        self.force = false;
        self.set_role(Role::Primary);
        self.acks.clear();
        self.outstanding = None;
        if !self.execution_is_idle() {
            self.holding = true;
            self.apply(Apply::Hold(true));
        }
        match self.reproposal(&candidate.freshest) {
            Ok(vote) => self.propose(vote, Proposal::default()),
            Err(error) => {
                // Decoded from a message it fits one; if not, an election is not worth a crash.
                tracing::error!(%error, "the freshest vote cannot be proposed");
                self.initialize();
            }
        }
    }

    /// The value of the freshest vote under the own ballot [PROTO-21]. The placeholder of a start or of a new
    /// configuration has no version of its own to keep [HARD-314].
    fn reproposal(&self, freshest: &Vote) -> Result<Vote, EncodeError> {
        let header = self.own_header(self.promised);
        let cookie = self.cookie.clone();
        if freshest.ballot() == Ballot::EMPTY {
            assert!(freshest.is_empty(), "nobody proposes a value under the empty ballot");
            return Vote::new(header, &VoteContent { cookie, ..VoteContent::default() });
        }
        freshest.repropose(header, cookie)
    }

    /// A peer holds a promise above ours that this candidacy will never get past: tries again soon [HARD-325].
    pub(super) fn retry_candidacy_soon(&mut self) {
        let pause = Duration::from_micros(self.prng.below(MAX_RETRY_PAUSE));
        let at = self.now + pause;
        if let Some(candidate) = &mut self.candidate {
            candidate.retry_at.get_or_insert(at);
        }
    }

    /// Timers of a candidate [PROTO-95].
    pub(super) fn on_candidate_time(&mut self, action_due: bool) {
        let Some(candidate) = &self.candidate else { return };
        if is_due(candidate.retry_at, self.now) {
            self.prepare();
        } else if action_due && self.now > candidate.gives_up_at {
            self.initialize();
        } else if action_due {
            let message = Message::Prepare(candidate.prepare.clone());
            // Joins go out every second [PROTO-150]: they must not keep a Prepare that was not heard from being said
            // again for all of the candidacy. After twice the time it counts by itself, as a vote does.
            let unheard = candidate.said_at + self.settings.receive_timeout;
            if self.resend(&message, self.settings.prepare_retry_interval, unheard) {
                let now = self.now;
                self.candidate.iter_mut().for_each(|candidate| candidate.said_at = now);
            }
            self.action_at = Some(self.now + RESEND_INTERVAL);
        }
    }

    /// Sets the election deadline from the peers' answers if nothing has set it yet [PROTO-117].
    pub(super) fn set_election_time(&mut self) {
        if self.election_at.is_none() {
            let youngest = self.learner.min_received_ago().unwrap_or(i64::MAX).max(0);
            let age = Duration::from_millis(youngest.unsigned_abs());
            self.election_at = Some(self.now - age.min(self.now.since(Instant(0))) + self.election_delay);
        }
    }

    /// Part of the history is missing and has not been learned again [HARD-374].
    pub(super) fn must_relearn(&mut self) -> bool {
        let accepted = self.accepted.position();
        self.relearn.take_if(|missing| {
            accepted.decree > missing.decree
                || (accepted.decree == missing.decree && accepted.ballot >= missing.ballot)
        });
        self.relearn.is_some()
    }
}

/// The placeholder of a new configuration carries no checksum [WIRE-92] [HARD-31].
fn reported_vote_is_sound(promise: &PrepareAccepted) -> bool {
    let vote = &promise.vote;
    (vote.ballot() == Ballot::EMPTY && vote.header().checksum == 0) || vote.checksum_is_valid()
}
