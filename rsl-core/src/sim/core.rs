//! The consensus core of a simulated replica: the production engine, or the model of the old library.

use std::collections::BTreeSet;

use crate::engine::{Apply, Consensus, Effect, Engine, Input, Recovered, Role, Settings, Status};
use crate::legacy_model::LegacyModel;
use crate::types::Instant;

/// Either core.
pub(super) enum Core {
    Engine(Engine),
    /// With the tokens it has aborted.
    Model(LegacyModel, BTreeSet<u64>),
}

/// Calls the same function of either.
macro_rules! either {
    ($core:expr, $known:ident => $call:expr) => {
        match $core {
            Core::Engine($known) => $call,
            Core::Model($known, _) => $call,
        }
    };
}

impl Core {
    pub(super) fn recover(model: bool, settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Core {
        if model {
            Core::Model(Consensus::recover(settings, disk, seed, now), BTreeSet::new())
        } else {
            Core::Engine(Consensus::recover(settings, disk, seed, now))
        }
    }

    pub(super) const fn is_model(&self) -> bool {
        matches!(self, Core::Model(..))
    }

    pub(super) fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        let before = effects.len();
        either!(self, core => core.turn(now, inputs, effects));
        if let Core::Model(_, aborted) = self {
            effects[before..].iter_mut().for_each(|effect| strip_second_endings(effect, aborted));
        }
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

/// A cookie that was aborted may come back with an execution [HARD-331]: not to the client, who has gone on.
fn strip_second_endings(effect: &mut Effect, aborted: &mut BTreeSet<u64>) {
    match effect {
        Effect::Apply(Apply::Abort { token, .. }) => drop(aborted.insert(token.0)),
        Effect::Apply(Apply::AbortChange { token, .. }) => drop(aborted.insert(token.0)),
        Effect::Apply(Apply::Execute { tokens, change, .. }) => {
            tokens.retain(|token| !aborted.contains(&token.0));
            change.take_if(|token| aborted.contains(&token.0));
        }
        _ => {}
    }
}
