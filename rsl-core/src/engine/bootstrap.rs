//! Bootstrap: how a replica without a configuration gets its first one [PROTO-159..164].

use std::sync::Arc;
use std::time::Duration;

use super::core::{Engine, Role};
use super::effect::{Apply, BootstrapResult, BootstrapToken, Destination, Effect, SaveRequest};
use super::input::Origin;
use crate::types::{Ballot, Configuration, Decree, Instant, MemberSet, Node};
use crate::wire::{self, Header, Message, Vote, VoteContent};

/// How often the set is sent to the others, and the call looks whether it has succeeded [WIRE-98].
const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(1);

/// A call of the application that waits for the first primary.
#[derive(Debug)]
struct Call {
    members: Arc<MemberSet>,
    until: Instant,
    next_at: Instant,
    token: BootstrapToken,
}

/// The way to the first configuration.
#[derive(Debug, Default)]
pub(super) struct Bootstrapping {
    /// A set that passed the checks and is to be persisted.
    staged: Option<Arc<MemberSet>>,
    /// The checkpoint that persists it is being written.
    persisting: bool,
    call: Option<Call>,
}

impl Engine {
    /// Bootstrap(set, timeout) [PROTO-159]; answered by `Effect::BootstrapEnded`.
    pub(super) fn on_bootstrap_call(
        &mut self,
        members: Arc<MemberSet>,
        timeout: Duration,
        token: BootstrapToken,
    ) {
        if let Err(result) = self.stage(&members) {
            return self.end_bootstrap(token, result);
        }
        if let Some(earlier) = self.bootstrap.call.take() {
            self.end_bootstrap(earlier.token, BootstrapResult::Failed);
        }
        let until = self.now + timeout;
        self.bootstrap.call = Some(Call { members, until, next_at: self.now, token });
    }

    /// Bootstrap of a peer [PROTO-164], if that is allowed and the peer is in the set [HARD-308].
    pub(super) fn on_bootstrap_message(&mut self, from: &Origin, message: &wire::Bootstrap) {
        let sender = message.members.get(message.header.member);
        let sent_by_member =
            sender.is_some_and(|node| node.ip.is_unspecified() || node.ip == *from.address.ip());
        if !self.settings.remote_bootstrap || !sent_by_member {
            tracing::warn!(from = %from.address, "Bootstrap message ignored");
            return;
        }
        // Whatever the outcome, nobody is told.
        let _ = self.stage(&Arc::new(message.members.clone()));
    }

    /// The checks of PROTO-160, in order; then the set is staged.
    fn stage(&mut self, members: &Arc<MemberSet>) -> Result<(), BootstrapResult> {
        if members.verify(self.version).is_err() {
            return Err(BootstrapResult::InvalidParameter);
        }
        if self.is_bootstrapped() {
            return Err(BootstrapResult::AlreadyBootstrapped);
        }
        if !members.contains(self.settings.member) {
            return Err(BootstrapResult::Failed);
        }
        let earlier = match &self.bootstrap.staged {
            Some(staged) => Some(staged),
            None => Some(&self.configuration.members).filter(|members| !members.nodes.is_empty()),
        };
        if earlier.is_some_and(|earlier| !is_same_set(earlier, members)) {
            return Err(BootstrapResult::Failed);
        }
        self.bootstrap.staged.get_or_insert_with(|| members.clone());
        Ok(())
    }

    /// [PROTO-161]
    fn is_bootstrapped(&self) -> bool {
        self.accepted.ballot().id > 0 || self.accepted.decree() > Decree(1)
    }

    /// Step 1 of a turn for a replica without members: has a staged set written as checkpoint 0 [PROTO-162] [STOR-52].
    pub(super) fn persist_members(&mut self) {
        if !self.wants_members_persisted() {
            return;
        }
        let Some(members) = self.bootstrap.staged.clone() else { return };
        let configuration = Configuration { number: 1, initial_decree: Decree(1), members };
        match self.first_vote() {
            Ok(next_vote) => {
                self.bootstrap.persisting = true;
                self.out.push(Effect::PersistMembers(SaveRequest {
                    at: Decree::ZERO,
                    next_vote: Some(next_vote),
                    promised: self.promised,
                    version: self.version,
                    configuration,
                }));
            }
            Err(error) => tracing::error!(%error, "the first vote cannot be encoded"),
        }
    }

    pub(super) fn wants_members_persisted(&self) -> bool {
        let unknown = self.configuration.members.nodes.is_empty();
        unknown && self.bootstrap.staged.is_some() && !self.bootstrap.persisting
    }

    /// The empty vote of decree 1 that a new set starts from.
    fn first_vote(&self) -> Result<Vote, wire::EncodeError> {
        let header = Header::new(self.version, self.settings.member, Decree(1), 1, Ballot::EMPTY);
        Vote::new(header, &VoteContent::default())
    }

    /// Checkpoint 0 is durable, or could not be written: then the set is not adopted.
    pub(super) fn on_members_persisted(&mut self, members: Arc<MemberSet>, written: bool) {
        self.bootstrap.persisting = false;
        if !written {
            self.bootstrap.staged = None;
            return self.abort_bootstrap();
        }
        if self.configuration.number > 0 || self.role != Role::Inactive {
            return;
        }
        let Ok(first) = self.first_vote() else { return };
        assert!(!self.is_bootstrapped(), "nothing was accepted without a configuration");
        self.configuration = Configuration { number: 1, initial_decree: Decree(1), members };
        self.state_configurations = [self.configuration.clone()].into();
        self.accepted = first;
        self.checkpoints.install_first();
        self.apply(Apply::MembersPersisted);
    }

    /// Timer of a waiting call: success, failure, or another round of messages [PROTO-159].
    pub(super) fn on_bootstrap_time(&mut self) {
        let bootstrapped = self.is_bootstrapped();
        let Some(call) = &mut self.bootstrap.call else { return };
        if self.now < call.next_at {
            return;
        }
        call.next_at = self.now + BOOTSTRAP_INTERVAL;
        if bootstrapped || self.now >= call.until {
            let result = if bootstrapped { BootstrapResult::Success } else { BootstrapResult::Failed };
            if let Some(call) = self.bootstrap.call.take() {
                self.end_bootstrap(call.token, result);
            }
        } else if self.role != Role::Inactive {
            let header = Header::new(self.version, self.settings.member, Decree::ZERO, 0, Ballot::EMPTY);
            let members = MemberSet::clone(&call.members);
            let message = Message::Bootstrap(wire::Bootstrap { header, members });
            self.send(Destination::AllPeers, message);
        }
    }

    pub(super) fn bootstrap_deadline(&self) -> Option<Instant> {
        self.bootstrap.call.as_ref().map(|call| call.next_at)
    }

    /// Ends a waiting call without success.
    pub(super) fn abort_bootstrap(&mut self) {
        if let Some(call) = self.bootstrap.call.take() {
            self.end_bootstrap(call.token, BootstrapResult::Failed);
        }
    }

    pub(super) fn end_bootstrap(&mut self, token: BootstrapToken, result: BootstrapResult) {
        self.out.push(Effect::BootstrapEnded { token, result });
    }
}

/// The same number of members, and for each the same id, address, RSL port and host name; learn ports and application
/// ports are not compared.
fn is_same_set(earlier: &MemberSet, proposed: &MemberSet) -> bool {
    let same = |a: &Node, b: &Node| {
        a.ip == b.ip && a.rsl_port == b.rsl_port && a.host_name.eq_ignore_ascii_case(&b.host_name)
    };
    earlier.nodes.len() == proposed.nodes.len()
        && earlier.nodes.iter().all(|old| proposed.get(old.id).is_some_and(|new| same(old, new)))
}
