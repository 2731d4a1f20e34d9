//! What readers see of an engine.

use std::sync::Arc;

use super::LogFileInfo;
use super::core::{Engine, Role};
use crate::types::{Ballot, Decree, Instant, MemberId, MemberSet, Position, ProtocolVersion};
use crate::wire::LogRange;

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
    /// Members of that configuration.
    pub state_members: Arc<MemberSet>,
    /// Highest defunct configuration number.
    pub defunct: u32,
    /// The logs that are served: first vote, last vote, bytes.
    pub logs: Vec<LogFileInfo>,
    /// A checkpoint is to be saved at this decree or later.
    pub save_at: Option<Decree>,
    /// A checkpoint of this decree or later is to be copied from a secondary.
    pub copy_at: Option<Decree>,
    /// A save is running.
    pub saving: bool,
    /// The member named in the highest accepted ballot, if it is self or a peer [PROTO-126].
    pub current_primary: Option<MemberId>,
    /// When the highest accepted vote was received or proposed, if in this run.
    pub received_at: Option<Instant>,
    /// What the peers' vote answers said while this replica was primary [PROTO-185].
    pub votes: Vec<(MemberId, PeerVote)>,
}

/// The newest vote answer of a peer [PROTO-185].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerVote {
    /// When it came.
    pub at: Instant,
    /// The highest decree voted for.
    pub decree: Decree,
    /// The payload of the newest answer.
    pub payload: u64,
}

impl Engine {
    /// A copy of the state for readers and tests.
    #[must_use]
    pub fn status(&self) -> Status {
        let owner = self.accepted.ballot().member;
        let known = owner == self.settings.member || self.peers.contains_key(&owner);
        let state = self.state_configuration();
        Status {
            role: self.role,
            is_primary: self.is_primary,
            version: self.version,
            accepted: self.accepted.position(),
            accepted_configuration: self.accepted.header().configuration,
            promised: self.promised,
            passed: self.passed,
            executed: self.executed,
            log_range: self.log_range(),
            configuration: self.configuration.number,
            state_configuration: state.number,
            state_members: state.members.clone(),
            defunct: self.defunct,
            logs: self.log.files().copied().collect(),
            save_at: self.checkpoints.save_at(),
            copy_at: self.checkpoints.copy_at(),
            saving: self.checkpoints.is_saving(),
            current_primary: (known && !owner.is_empty()).then_some(owner),
            received_at: self.received_at,
            votes: self.peers.iter().filter_map(|(id, peer)| Some((*id, peer.vote?))).collect(),
        }
    }
}
