//! The deterministic core: one replica's consensus as a state machine without clock, chance, thread, file or socket.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod acceptor;
mod bootstrap;
mod checkpointing;
mod consensus;
mod core;
mod effect;
mod election;
mod execution;
mod input;
mod invariants;
mod learner;
mod log_book;
mod membership;
mod outbox;
mod prng;
mod proposer;
mod receive;
mod recovered;
mod settings;
mod status;
mod vote_cache;

#[cfg(test)]
mod tests;

pub use self::core::{Engine, Role};
pub use consensus::Consensus;
pub use effect::{
    AbortReason, AppendSeq, Apply, BootstrapResult, BootstrapToken, ChangeToken, Destination, Effect,
    FetchId, FetchKind, Question, QuestionId, Report, RequestToken, SaveRequest, StopReason,
};
pub use input::{
    Answer, Command, ConnectionId, Direction, FetchOutcome, Input, Origin, PeerLink, Request, SaveOutcome,
};
pub use outbox::Outbox;
pub use prng::Prng;
pub use recovered::{CheckpointInfo, LogFileInfo, Recovered};
pub use settings::Settings;
pub use status::{PeerVote, Status};
