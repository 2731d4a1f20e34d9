//! Section 14 and transfer.md section 5: execution and checkpoints.

use super::LegacyModel;
use crate::engine::{Apply, Effect, SaveOutcome, SaveRequest};
use crate::types::{Ballot, Decree};
use crate::wire::Vote;

impl LegacyModel {
    /// [PROTO-120]
    pub(super) fn queue_is_ready(&self) -> bool {
        self.executed == self.passed || self.settings.promote_while_catching_up
    }

    pub(super) fn has_executed(&mut self, decree: Decree, save_state: bool) {
        self.executed = self.executed.max(decree);
        if save_state {
            // [XFER-35]
            self.pending_save = Some((decree, true));
            if self.allow_save {
                self.save_wanted_behind = Some(decree);
            } else {
                self.emit(Effect::Apply(Apply::Release { decree }));
            }
        }
        self.try_save();
    }

    /// [XFER-33] [XFER-34]: a pending save starts as soon as the vote behind the state is known.
    pub(super) fn try_save(&mut self) {
        let Some((wanted, _)) = self.pending_save else { return };
        // One that executes a decree which asked for a save does not wait for a later one.
        if self.saving && self.save_wanted_behind.is_none() {
            return;
        }
        if !self.allow_save {
            if let Some(decree) = self.save_wanted_behind.take() {
                self.emit(Effect::Apply(Apply::Release { decree }));
            }
            return;
        }
        let at = self.save_wanted_behind.unwrap_or(self.passed);
        // Behind `at` comes what is queued for execution, else A.
        let next_vote = if self.passed > at {
            None
        } else if self.accepted.decree().follows(at) {
            Some(self.accepted.clone())
        } else {
            return;
        };
        if at < wanted {
            return;
        }
        if next_vote.as_ref().is_some_and(is_placeholder_of_change) {
            return self.dies("the checksum of the next vote was never computed [HARD-339]");
        }
        self.save_wanted_behind = None;
        self.saving = true;
        let request = SaveRequest {
            at,
            next_vote,
            promised: self.promised,
            version: self.version,
            configuration: self.state_configuration(at),
        };
        self.emit(Effect::Apply(Apply::Save(request)));
    }

    pub(super) fn has_saved(&mut self, outcome: SaveOutcome) {
        self.saving = false;
        match outcome {
            SaveOutcome::Done { decree, size } => {
                self.pending_save = None;
                self.checkpoint_done(decree, size);
            }
            // [XFER-38]
            SaveOutcome::Refused => self.allow_save = false,
            SaveOutcome::Failed => self.dies("a checkpoint cannot be saved [HARD-361] [HARD-362]"),
        }
    }

    /// [XFER-41] [XFER-42]
    pub(super) fn checkpoint_done(&mut self, decree: Decree, size: u64) {
        if decree > self.checkpoint.0 {
            self.checkpoint = (decree, size);
            let interval = self.settings.max_checkpoint_interval;
            if !interval.is_zero() {
                let limit = interval / 5;
                self.checkpoint_due = Some(self.now + self.prng.randomize_duration(interval, 20, limit));
            }
        }
        let serve_from = self.logs.trim(self.checkpoint.0.min(self.executed));
        self.emit(Effect::CleanUp { serve_from });
    }
}

/// The empty vote of a new configuration [PROTO-148].
fn is_placeholder_of_change(vote: &Vote) -> bool {
    vote.ballot() == Ballot::EMPTY && vote.header().configuration == 0
}
