//! Checkpoints: when to save or to copy one, when to start another log, what becomes of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::core::{Engine, Role, is_due};
use super::effect::{Apply, Effect, FetchId, SaveRequest};
use super::input::{FetchOutcome, SaveOutcome};
use super::prng::Prng;
use super::{CheckpointInfo, Recovered, Settings};
use crate::types::{Ballot, Configuration, Decree, Instant};
use crate::wire::LogRange;
use std::net::SocketAddrV4;

/// Pause after a save that failed [HARD-361].
const SAVE_RETRY: Duration = Duration::from_secs(60);
/// Randomization in percent of the first time-based checkpoint, and of the later ones [XFER-32].
const FIRST_DUE: u32 = 50;
const NEXT_DUE: u32 = 20;

/// A checkpoint that is to be saved.
#[derive(Clone, Copy, Debug)]
struct PendingSave {
    at: Decree,
    /// The application asked for it, so that an election does not cancel it [XFER-40].
    requested: bool,
}

/// What the engine knows of checkpoints.
#[derive(Debug)]
pub(super) struct Checkpointing {
    /// The newest usable checkpoint (CK).
    current: Option<CheckpointInfo>,
    /// Saving is allowed [XFER-39].
    allowed: bool,
    pending: Option<PendingSave>,
    /// Saves asked of the execution context, in order.
    saving: VecDeque<Decree>,
    /// The execution context waits behind this decree for `Save` or `Release`.
    held_at: Option<Decree>,
    retry_at: Option<Instant>,
    /// A primary wants a checkpoint of this decree or later from a secondary.
    copy_at: Option<Decree>,
    query_at: Option<Instant>,
    copying: Option<FetchId>,
    /// Next time-based checkpoint.
    due_at: Option<Instant>,
}

impl Checkpointing {
    pub(super) fn new(settings: &Settings, disk: &Recovered, prng: &mut Prng, now: Instant) -> Checkpointing {
        let due_at = next_due(settings, FIRST_DUE, prng, now).map(|due| {
            let earlier = due - disk.checkpoint_lag;
            if earlier > now { earlier } else { due }
        });
        Checkpointing {
            current: disk.checkpoint,
            allowed: true,
            pending: None,
            saving: VecDeque::new(),
            held_at: None,
            retry_at: None,
            copy_at: None,
            query_at: None,
            copying: None,
            due_at,
        }
    }

    /// Decree and size of the newest checkpoint, 0 if none.
    pub(super) fn current(&self) -> (Decree, u64) {
        self.current.map_or((Decree::ZERO, 0), |checkpoint| (checkpoint.decree, checkpoint.size))
    }

    pub(super) const fn allow(&mut self, allowed: bool) {
        self.allowed = allowed;
    }

    pub(super) fn save_at(&self) -> Option<Decree> {
        self.pending.map(|pending| pending.at)
    }

    pub(super) const fn copy_at(&self) -> Option<Decree> {
        self.copy_at
    }

    pub(super) fn is_saving(&self) -> bool {
        !self.saving.is_empty()
    }

    /// Checkpoint 0 persists the first member set; its size is not known in this run [XFER-8].
    pub(super) fn install_first(&mut self) {
        self.current.get_or_insert(CheckpointInfo { decree: Decree::ZERO, size: 0 });
    }

    /// [XFER-40]
    pub(super) fn cancel_automatic_save(&mut self) {
        self.pending.take_if(|pending| !pending.requested);
    }

    /// A request asked for a checkpoint at `decree`, where the execution context now waits [XFER-35].
    pub(super) fn request_at(&mut self, decree: Decree) {
        self.pending = Some(PendingSave { at: decree, requested: true });
        self.held_at = Some(decree);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let retry = self.pending.and(self.retry_at);
        [self.query_at, retry].into_iter().flatten().min()
    }
}

fn next_due(settings: &Settings, percent: u32, prng: &mut Prng, now: Instant) -> Option<Instant> {
    let interval = settings.max_checkpoint_interval;
    (!interval.is_zero()).then(|| now + prng.randomize_duration(interval, percent, interval))
}

impl Engine {
    /// Whether the vote for `decree` opens another log file, and its name [XFER-28] [STOR-23].
    pub(super) fn start_log_if_due(&mut self, decree: Decree, accepted: Decree) -> Option<Decree> {
        let checkpointed = self.checkpoints.current().0;
        let by_time = is_due(self.checkpoints.due_at, self.now)
            && self.log.newest_first_vote().is_some_and(|first| checkpointed.next() >= first);
        if !decree.follows(accepted) || !self.log.may_start(decree) || !(self.log.is_full() || by_time) {
            return None;
        }
        let settings = &self.settings;
        let limit = self.prng.randomize(
            settings.max_log_len,
            settings.log_len_randomize_percent,
            settings.max_log_len,
        );
        self.log.rotate(decree, limit);
        Some(decree)
    }

    /// A log that starts above the checkpoint asks for another one: secondaries save, a primary copies [XFER-29].
    pub(super) fn start_checkpoint_if_due(&mut self) {
        let Some(first) = self.log.newest_first_vote() else { return };
        let wanted = self.checkpoints.pending.is_some() || self.checkpoints.copy_at.is_some();
        if first <= self.checkpoints.current().0.next() || wanted || self.role == Role::Preparing {
            return;
        }
        let at = first.previous();
        if self.role == Role::Primary && self.quorum() > 1 {
            self.checkpoints.copy_at = Some(at);
            self.checkpoints.query_at = Some(self.now);
        } else {
            self.checkpoints.pending = Some(PendingSave { at, requested: false });
        }
    }

    /// At the end of a turn: asks the execution context for a pending save as soon as the vote that follows the state
    /// is durable here [XFER-33] [XFER-34], or lets it go on.
    pub(super) fn request_save(&mut self) {
        if self.stopped {
            return;
        }
        let waits = self.checkpoints.retry_at.is_some_and(|at| self.now < at);
        let pending = self.checkpoints.pending.filter(|_| self.checkpoints.allowed && !waits);
        let Some(pending) = pending else {
            if let Some(decree) = self.checkpoints.held_at.take() {
                self.apply(Apply::Release { decree });
            }
            return;
        };
        let at = self.checkpoints.held_at.unwrap_or(self.passed);
        let busy = self.checkpoints.is_saving() && self.checkpoints.held_at.is_none();
        if at < pending.at || busy || !self.log.all_durable() {
            return;
        }
        let next_vote = if at == self.passed {
            if !self.accepted.decree().follows(at) {
                return;
            }
            Some(self.accepted.clone())
        } else {
            None
        };
        let next_version = next_vote.as_ref().map_or(self.version, |vote| vote.version());
        let request = SaveRequest {
            at,
            next_vote,
            promised: self.promised,
            version: self.version.max(next_version),
            configuration: self.configuration_of_state(at),
        };
        assert!(self.promised >= request.next_vote.as_ref().map_or(Ballot::EMPTY, |vote| vote.ballot()));
        self.checkpoints.held_at = None;
        self.checkpoints.retry_at = None;
        self.checkpoints.saving.push_back(at);
        self.apply(Apply::Save(request));
    }

    /// The configuration recorded in the state after `decree`.
    fn configuration_of_state(&self, decree: Decree) -> Configuration {
        let states = self.state_configurations.iter().rev();
        let mut reached = states.filter(|state| state.initial_decree <= decree.next());
        reached.next().unwrap_or_else(|| self.state_configuration()).clone()
    }

    pub(super) fn on_saved(&mut self, outcome: SaveOutcome) {
        self.checkpoints.saving.pop_front();
        match outcome {
            SaveOutcome::Done { decree, size } => {
                self.checkpoints.pending.take_if(|pending| pending.at <= decree);
                self.install_checkpoint(CheckpointInfo { decree, size });
            }
            SaveOutcome::Refused => self.checkpoints.allowed = false,
            SaveOutcome::Failed => self.checkpoints.retry_at = Some(self.now + SAVE_RETRY),
        }
    }

    /// A checkpoint is durable under its final name [XFER-41] [XFER-42].
    pub(super) fn install_checkpoint(&mut self, checkpoint: CheckpointInfo) {
        if self.checkpoints.current.is_none_or(|current| checkpoint.decree > current.decree) {
            self.checkpoints.current = Some(checkpoint);
            self.checkpoints.due_at = next_due(&self.settings, NEXT_DUE, &mut self.prng, self.now);
        }
        let needed = self.checkpoints.current().0.min(self.executed).next();
        let serve_from = self.log.trim(needed);
        self.out.push(Effect::CleanUp { serve_from });
    }

    /// Tcp [PROTO-176]: a primary looks for a checkpoint to copy.
    pub(super) fn on_checkpoint_time(&mut self) {
        if !is_due(self.checkpoints.query_at, self.now) {
            return;
        }
        if self.role == Role::Primary && self.checkpoints.copy_at.is_some() {
            self.query_status();
            self.checkpoints.query_at = Some(self.now + self.settings.checkpoint_query_interval);
        } else {
            self.checkpoints.copy_at = None;
            self.checkpoints.query_at = None;
        }
    }

    /// A peer has a checkpoint that is wanted: copies it in the background [XFER-9] [XFER-30].
    pub(super) fn copy_wanted_checkpoint(&mut self, from: SocketAddrV4, log: &LogRange) {
        let wanted = self.checkpoints.copy_at.is_some_and(|at| log.checkpointed_decree >= at);
        if wanted && self.checkpoints.copying.is_none() {
            self.checkpoints.query_at = None;
            self.checkpoints.copying = Some(self.fetch_checkpoint(from, log));
        }
    }

    pub(super) fn on_background_copy_ended(&mut self, fetch: FetchId, outcome: FetchOutcome) {
        if self.checkpoints.copying.take_if(|copying| *copying == fetch).is_none() {
            return;
        }
        // After a failure the next vote asks again.
        self.checkpoints.copy_at = None;
        if let FetchOutcome::CheckpointCopied { decree, size } = outcome {
            self.install_checkpoint(CheckpointInfo { decree, size });
            self.apply(Apply::StateCopied { decree });
        }
    }
}
