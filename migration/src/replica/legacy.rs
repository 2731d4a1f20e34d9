//! `rsl legacy-model`: the host around the model of the old library. A failed assertion of the model ends the process at
//! once, as in legacy.

use std::io::Write as _;

use legacy_model::{LegacyModel, NoStart};
use rsl_core::engine::{Consensus, Effect, Input, Recovered, Role, Settings, Status, StopReason};
use rsl_core::storage::{Directory, RestoreError, RestoreSettings, RestoreTarget, Restored};
use rsl_core::types::{Instant, ProtocolVersion};

/// Exit code of a failed assertion [API-118].
const ASSERTION: i32 = 1;

/// The model, in a process that dies with it: no request is aborted, no callback comes.
///
/// What the turn did before the assertion is done: legacy's appends are over when it goes on, and its messages are with
/// the network thread. So the process ends with the next turn, which is asked for at once.
#[derive(Debug)]
pub(super) struct MortalModel {
    model: LegacyModel,
    /// When it died, and of what.
    death: Option<(Instant, String)>,
}

impl Consensus for MortalModel {
    fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Self {
        MortalModel { model: LegacyModel::recover(settings, disk, seed, now), death: None }
    }

    fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        if let Some((_, why)) = &self.death {
            die(why);
        }
        self.model.turn(now, inputs, effects);
        effects.retain(|effect| match effect {
            Effect::Stop(StopReason::Panicked(why)) => {
                self.death = Some((now, why.clone()));
                false
            }
            _ => true,
        });
    }

    fn deadline(&self) -> Option<Instant> {
        self.death.as_ref().map(|(at, _)| *at).or_else(|| self.model.deadline())
    }

    fn version(&self) -> ProtocolVersion {
        self.model.version()
    }

    fn status(&self) -> Status {
        self.model.status()
    }

    fn role(&self) -> Role {
        self.model.role()
    }

    fn is_primary(&self) -> bool {
        self.model.is_primary()
    }
}

/// Legacy's restart; where it dies, the process does.
pub(super) fn restore(
    directory: &Directory,
    settings: &RestoreSettings,
    target: &mut dyn RestoreTarget,
) -> Result<Restored, RestoreError> {
    legacy_model::restore(directory, settings, target).map_err(|no_start| match no_start {
        NoStart::Failed(error) => error,
        NoStart::Died(why) => die(&why),
    })
}

fn die(why: &str) -> ! {
    println!("Assert -- legacy model, 0: {why}");
    eprintln!("rsl legacy-model: {why}");
    // Nobody to tell if nobody listens.
    let _ = std::io::stdout().flush();
    std::process::exit(ASSERTION)
}
