//! What a host sees of a consensus core: the production engine, or the model of the old library.

use super::{Effect, Engine, Input, Recovered, Role, Settings, Status};
use crate::types::{Instant, ProtocolVersion};

/// One replica's consensus behind the Input/Effect boundary.
pub trait Consensus: Sized + Send {
    /// Begins with what a restart has found; `seed` decides all chance, `now` is the host's monotonic clock.
    fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Self;
    /// Takes what has happened and appends to `effects` what is to be done.
    fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>);
    /// When the next turn is due without an input; `None` = only an input makes one.
    fn deadline(&self) -> Option<Instant>;
    /// The version it speaks.
    fn version(&self) -> ProtocolVersion;
    /// A copy of the state for readers.
    fn status(&self) -> Status;
    /// The role.
    fn role(&self) -> Role;
    /// Whether the application has been promoted [PROTO-128].
    fn is_primary(&self) -> bool;
}

impl Consensus for Engine {
    fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Engine {
        Engine::recover(settings, disk, seed, now)
    }

    fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        Engine::turn(self, now, inputs, effects);
    }

    fn deadline(&self) -> Option<Instant> {
        Engine::deadline(self)
    }

    fn version(&self) -> ProtocolVersion {
        Engine::version(self)
    }

    fn status(&self) -> Status {
        Engine::status(self)
    }

    fn role(&self) -> Role {
        Engine::role(self)
    }

    fn is_primary(&self) -> bool {
        Engine::is_primary(self)
    }
}
