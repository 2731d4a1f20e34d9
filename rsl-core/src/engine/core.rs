//! The engine itself.

use super::{Effect, Input, Recovered, Settings};
use crate::types::{Ballot, Decree, Instant, MemberId, Position, ProtocolVersion};
use crate::wire::LogRange;

/// What a replica is doing; the numbers are those of StatusResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Role {
    /// Not a member of the current configuration.
    Inactive = 0,
    /// Owns the promised ballot and proposes.
    Primary = 1,
    /// Follows votes.
    Secondary = 2,
    /// Candidate: collects promises.
    Preparing = 3,
    /// Finding out whether it is behind.
    Initializing = 4,
}

/// A copy of the engine's state for readers.
#[derive(Clone, Debug)]
pub struct Status {
    /// The role.
    pub role: Role,
    /// Whether the application has been promoted; trails `role` [PROTO-128].
    pub is_primary: bool,
    /// The version it speaks now.
    pub version: ProtocolVersion,
    /// Highest accepted vote.
    pub accepted: Position,
    /// Configuration number in that vote.
    pub accepted_configuration: u32,
    /// Highest promise.
    pub promised: Ballot,
    /// Last passed decree.
    pub passed: Decree,
    /// Last decree known to be executed.
    pub executed: Decree,
    /// Logs and checkpoint as StatusResponse reports them.
    pub log_range: LogRange,
    /// Number of the voting configuration.
    pub configuration: u32,
    /// Number of the configuration in the executed state.
    pub state_configuration: u32,
    /// Highest defunct configuration number.
    pub defunct: u32,
    /// The logs that are served: first vote, last vote, bytes.
    pub logs: Vec<super::LogFileInfo>,
    /// A checkpoint is to be saved at this decree or later.
    pub save_at: Option<Decree>,
    /// A checkpoint of this decree or later is to be copied from a secondary.
    pub copy_at: Option<Decree>,
    /// A save is running.
    pub saving: bool,
    /// The member named in the highest accepted ballot, if it is self or a peer [PROTO-126].
    pub current_primary: Option<MemberId>,
}

/// One replica's consensus.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
}

impl Engine {
    /// Starts from what the disk holds. `seed` feeds every random choice.
    #[must_use]
    pub fn recover(settings: Settings, disk: Recovered, seed: u64, now: Instant) -> Engine {
        let _ = (disk, seed, now);
        Engine { settings }
    }

    /// One engine turn [PROTO-53]: takes the inputs, then handles votes, other messages, proposals and timers, and
    /// appends what is to be done to `effects`.
    pub fn turn(&mut self, now: Instant, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        let _ = (now, inputs, effects, &self.settings);
        todo!("engine")
    }

    /// When the next turn is due at the latest, even without input.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        todo!("engine")
    }

    /// A copy of the state for readers and tests.
    #[must_use]
    pub fn status(&self) -> Status {
        todo!("engine")
    }
}
