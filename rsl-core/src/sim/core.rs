//! The consensus core of a simulated replica: the production engine, or the model of the old library.

use crate::engine::{Consensus, Effect, Engine, Input, Recovered, Role, Settings, Status};
use crate::legacy_model::LegacyModel;
use crate::types::Instant;

/// Either core.
pub(super) enum Core {
    Engine(Engine),
    Model(LegacyModel),
}

/// Calls the same function of either.
macro_rules! either {
    ($core:expr, $known:ident => $call:expr) => {
        match $core {
            Core::Engine($known) => $call,
            Core::Model($known) => $call,
        }
    };
}

impl Core {
    pub(super) fn recover(model: bool, settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Core {
        if model {
            Core::Model(Consensus::recover(settings, disk, seed, now))
        } else {
            Core::Engine(Consensus::recover(settings, disk, seed, now))
        }
    }

    pub(super) const fn is_model(&self) -> bool {
        matches!(self, Core::Model(_))
    }

    pub(super) fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        either!(self, core => core.turn(now, inputs, effects));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        either!(self, core => core.deadline())
    }

    pub(super) fn status(&self) -> Status {
        either!(self, core => core.status())
    }

    pub(super) fn role(&self) -> Role {
        either!(self, core => core.role())
    }
}
