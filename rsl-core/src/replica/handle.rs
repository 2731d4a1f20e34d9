//! The handle of a replica: what the application calls, from any thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;

use super::callbacks::inside_callback;
use super::mailbox::Note;
use super::shared::{Life, Shared};
use super::{Cookie, Grouping, PeerHealth, Refused, Stats};
use crate::engine::{Command, Input, Status, StopReason};
use crate::types::{Decree, MemberId, MemberSet, Node};

/// A replica. Cheap to clone; all clones mean the same one. Dropping it does not end the replica: [`unload`] does, and
/// the replica itself does it when it has to be restarted.
///
/// No method waits for a callback, so all may be called from callbacks, except those that say otherwise [API-107]. The
/// library never ends the process (decision 24): [`wait`](Replica::wait) tells why a replica has ended. With
/// [`Setup::reload_in_place`](super::Setup::reload_in_place) a replica that copied a checkpoint to catch up, or gave up
/// being primary, goes on behind the same handle instead of ending.
///
/// [`unload`]: Replica::unload
#[derive(Clone, Debug)]
pub struct Replica {
    node: Arc<Node>,
    /// Exchanged when the replica reloads in place.
    current: Arc<ArcSwap<Shared>>,
}

impl Replica {
    pub(super) fn new(shared: Arc<Shared>) -> Replica {
        Replica { node: Arc::new(shared.node.clone()), current: Arc::new(ArcSwap::new(shared)) }
    }

    /// The present life of the replica.
    pub(super) fn shared(&self) -> Guard<Arc<Shared>> {
        self.current.load()
    }

    /// From now on the handle means this life [PROTO-169].
    pub(super) fn go_on_as(&self, next: Arc<Shared>) {
        self.current.swap(next).reloaded();
    }

    /// Submits a request [API-64..74]. After `Ok` the cookie comes back in exactly one `execute` or `abort_request`.
    /// Never blocks.
    ///
    /// # Errors
    /// `InvalidParameter` when it is empty or above the message limit (decision 1), `NotPrimary`, `ShuttingDown`, or
    /// `QueueFull`; the cookie stays the caller's.
    pub fn replicate(
        &self,
        request: impl Into<Bytes>,
        cookie: Cookie,
        grouping: Grouping,
    ) -> Result<(), Refused> {
        self.shared().admission.submit(request.into(), cookie, grouping)?;
        self.shared().mailbox.wake();
        Ok(())
    }

    /// Submits a fast read that needs the state of decree `at` or later [API-75..78]. With a timeout of zero it is
    /// refused rather than made to wait. After `Ok` the cookie comes back exactly once.
    ///
    /// # Errors
    /// `InvalidParameter` when it is empty, `FastReadStale`, or `ShuttingDown`, also before the start and after the end.
    pub fn fast_read(
        &self,
        at: Decree,
        request: impl Into<Bytes>,
        cookie: Cookie,
        timeout: Duration,
    ) -> Result<(), Refused> {
        if !self.shared().is_running() || self.shared().admission.is_draining() {
            return Err(Refused::ShuttingDown);
        }
        self.shared().reads.submit(at, request.into(), cookie, timeout)
    }

    /// Adopts a first member set, persists it, sends it to the members, and waits for the first primary [API-89]. Must
    /// not be called from a callback [HARD-572]. After a timeout the adopted set stays adopted.
    ///
    /// # Errors
    /// `InvalidParameter`, `AlreadyBootstrapped`, or `BootstrapFailed`: this node is not in the set, another set was
    /// adopted, or the time is over.
    pub fn bootstrap(&self, members: MemberSet, timeout: Duration) -> Result<(), Refused> {
        if inside_callback() {
            tracing::error!("bootstrap must not be called from a callback");
            return Err(Refused::InvalidParameter);
        }
        if !self.shared().is_running() {
            return Err(Refused::BootstrapFailed);
        }
        let members = Arc::new(members);
        self.ask(|done| Note::Bootstrap { members, timeout, done }).unwrap_or(Err(Refused::BootstrapFailed))
    }

    /// Proposes another member set [API-90..92]. After `Ok` the cookie comes back in exactly one
    /// `notify_configuration_changed` or `abort_change_configuration`. Never blocks.
    ///
    /// # Errors
    /// `InvalidParameter` when the set cannot be used, or below version 3 [HARD-568]; `NotPrimary`, `ShuttingDown`.
    pub fn change_configuration(&self, members: MemberSet, cookie: Cookie) -> Result<(), Refused> {
        let version = self.shared().progress.version();
        if let Err(error) = members.verify(version) {
            tracing::warn!(%error, "configuration change refused");
            return Err(Refused::InvalidParameter);
        }
        if !version.has_configuration() {
            return Err(Refused::InvalidParameter);
        }
        self.shared().admission.change(Arc::new(members), cookie)?;
        self.shared().mailbox.wake();
        Ok(())
    }

    /// Copies a checkpoint from a peer that has one at least as new as the own [API-101]. After `Ok` there is exactly
    /// one `state_copied` with this cookie, on a thread of its own.
    ///
    /// # Errors
    /// `ShuttingDown`, also before the start and after the end.
    pub fn copy_state_from_replica(&self, cookie: Cookie) -> Result<(), Refused> {
        if !self.shared().is_running() || self.shared().admission.is_draining() {
            return Err(Refused::ShuttingDown);
        }
        self.ask(|accepted| Note::CopyState { cookie, accepted }).ok_or(Refused::ShuttingDown)
    }

    /// Asks for one election attempt [API-85].
    pub fn attempt_promotion(&self) {
        self.command(Command::AttemptPromotion);
    }

    /// Gives up being primary; once a quorum has accepted, the replica ends with `StopReason::Relinquished` [API-86].
    /// Ignored unless primary, below version 5, and without a possible successor [HARD-564].
    pub fn relinquish_primary(&self) {
        self.command(Command::RelinquishPrimary);
    }

    /// Another election delay from the next deadline on [API-87]; ignored outside 1 s to 1 h [HARD-566].
    pub fn change_election_delay(&self, delay: Duration) {
        if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&delay) {
            self.command(Command::ChangeElectionDelay(delay));
        } else {
            tracing::warn!(?delay, "election delay ignored: it has to be 1 s to 1 h");
        }
    }

    /// The payload of this replica's vote answers, from the next one on [API-84].
    pub fn set_vote_payload(&self, payload: u64) {
        self.shared().vote_payload.store(payload, Ordering::Relaxed);
        self.command(Command::SetVotePayload(payload));
    }

    /// Whether messages are answered positively, where the configuration says that this flag decides [API-83].
    pub fn set_accept_messages(&self, accept: bool) {
        self.command(Command::SetAcceptMessages(accept));
    }

    /// Suspends or allows saving checkpoints [API-99].
    pub fn allow_save_state(&self, allow: bool) {
        self.command(Command::AllowSaveState(allow));
    }

    fn command(&self, command: Command) {
        self.shared().mailbox.input(Input::Command(command));
    }

    /// The last executed decree; inside `execute` the one being executed [API-103].
    #[must_use]
    pub fn current_sequence_number(&self) -> Decree {
        self.shared().progress.executed()
    }

    /// The last decree known here to be chosen.
    #[must_use]
    pub fn highest_passed_sequence_number(&self) -> Decree {
        self.shared().progress.passed()
    }

    /// Whether the application is primary: from just before `notify_status(true)` until just before the aborts that
    /// precede `notify_status(false)`. There is no lease: another primary may exist already [PROTO-125].
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.shared().admission.is_open()
    }

    /// Stable primary or stable secondary [API-88].
    #[must_use]
    pub fn is_in_stable_state(&self) -> bool {
        self.shared().is_running() && self.shared().progress.is_stable()
    }

    /// A chosen decree waits for execution or is being executed [PROTO-138].
    #[must_use]
    pub fn is_any_request_pending_execution(&self) -> bool {
        self.shared().is_running() && self.shared().progress.is_pending()
    }

    /// The node named in the newest accepted ballot, with its effective learn port; a hint [API-104].
    #[must_use]
    pub fn current_primary(&self) -> Option<Node> {
        let node = self.shared().current_primary.lock().clone()?;
        Some(Node { learn_port: node.effective_learn_port(), ..node })
    }

    /// The executed configuration and its number; number 0 before bootstrap [API-93].
    #[must_use]
    pub fn configuration(&self) -> (u32, Arc<MemberSet>) {
        let shared = self.shared();
        let configuration = shared.configuration.lock();
        (configuration.number, Arc::clone(&configuration.members))
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The engine's state; `None` before the start. After the end: the last one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self.shared().life() {
            Life::Starting | Life::Reloaded => None,
            Life::Running => self.ask(Note::Status).or_else(|| match self.shared().life() {
                Life::Ended { last, .. } => last.map(|status| *status),
                Life::Starting | Life::Running | Life::Reloaded => None,
            }),
            Life::Ended { last, .. } => last.map(|status| *status),
        }
    }

    /// On a primary: the peers in configuration order, then this replica; elsewhere nothing [API-28] [HARD-523].
    #[must_use]
    pub fn replicas_information(&self) -> Vec<PeerHealth> {
        if !self.shared().is_running() {
            return Vec::new();
        }
        self.ask(Note::Health).unwrap_or_default()
    }

    /// On a primary: one member, this replica included [API-28].
    #[must_use]
    pub fn replica_information(&self, member: MemberId) -> Option<PeerHealth> {
        self.replicas_information().into_iter().find(|health| health.member == member)
    }

    /// Asks the loop; `None` when it has ended. The loop never waits for a callback.
    fn ask<T>(&self, note: impl FnOnce(mpsc::Sender<T>) -> Note) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        self.shared().mailbox.post(note(sender));
        receiver.recv().ok()
    }

    /// The increments since the previous call [API-29].
    #[must_use]
    pub fn take_stats(&self) -> Stats {
        self.shared().counters.snapshot(self.shared().clock.now(), self.shared().progress.executed())
    }

    /// Waits until the loop handles no more messages and timers; execution and fast reads go on. For tests [API-54].
    /// Ignored inside callbacks and when it is paused already [HARD-546].
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Ends a pause; ignored without one.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        if inside_callback() {
            tracing::error!("pause and resume must not be called from a callback");
        } else if self.shared().is_running() {
            // An answer means it is done; no answer, that the replica has ended.
            let _ = self.ask(|done| Note::Pause(paused, done));
        }
    }

    /// Ends the replica: passed decrees finish, what waits is aborted with `ShuttingDown`, then comes `shut_down`, then
    /// all threads end and ports close [API-55] [PROTO-170]. Waits for that, except inside a callback, where it only
    /// starts it [HARD-576]. May be repeated.
    pub fn unload(&self) {
        loop {
            let shared = self.current.load_full();
            if !shared.can_stop() {
                return;
            }
            shared.stop(StopReason::Unloaded);
            if inside_callback() || shared.wait_for_end().is_some() {
                return;
            }
            // It was reloading; the next life ends as well.
        }
    }

    /// Waits until the replica has ended and says why; a reload in place is no end. Must not be called from a callback,
    /// where it would wait for itself: `None` there.
    #[must_use]
    pub fn wait(&self) -> Option<StopReason> {
        if inside_callback() {
            return None;
        }
        loop {
            if let Some(reason) = self.current.load_full().wait_for_end() {
                return Some(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Place;
    use super::super::{NativeThreads, Setup};
    use super::*;
    use crate::types::ProtocolVersion;

    fn replica(version: ProtocolVersion) -> Replica {
        let place = Place::new();
        let setup = Setup::new(place.config().build().unwrap(), version, place.node(0));
        let setup = setup.spawner(Arc::new(NativeThreads));
        let shared = Arc::new(Shared::new(&setup));
        shared.progress.set_version(version);
        Replica::new(shared)
    }

    /// [HARD-566] Election delays that the configuration would refuse are ignored.
    #[test]
    fn absurd_election_delays_are_ignored() {
        let replica = replica(ProtocolVersion::V6);
        for seconds in [0, 3601] {
            replica.change_election_delay(Duration::from_secs(seconds));
        }
        assert!(replica.shared().mailbox.take().is_empty());
        replica.change_election_delay(Duration::from_secs(3600));
        let notes = replica.shared().mailbox.take();
        assert!(matches!(notes[..], [Note::Input(Input::Command(Command::ChangeElectionDelay(_)))]));
    }

    /// [HARD-568] [HARD-313] [HARD-511] [API-90] A set that cannot be used is refused first, in every state; below
    /// version 3 every set is.
    #[test]
    fn unusable_member_sets_are_refused() {
        let node = Place::new().node(0);
        let set = MemberSet { nodes: vec![node], ..MemberSet::default() };
        let change = |version, set: &MemberSet| replica(version).change_configuration(set.clone(), Cookie(1));
        assert_eq!(change(ProtocolVersion::V2, &set), Err(Refused::InvalidParameter));
        assert_eq!(change(ProtocolVersion::V3, &set), Err(Refused::NotPrimary));
        assert_eq!(change(ProtocolVersion::V3, &MemberSet::default()), Err(Refused::InvalidParameter));
        let cookie = vec![0; 8193].into();
        let long = MemberSet { cookie, ..set };
        assert_eq!(change(ProtocolVersion::V6, &long), Err(Refused::InvalidParameter));
    }
}
