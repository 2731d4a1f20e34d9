//! The deterministic core: one replica's consensus as a state machine without clock, chance, thread, file or socket.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod core;
mod effect;
mod input;
mod outbox;
mod recovered;
mod settings;

pub use self::core::{Engine, Role, Status};
pub use effect::{
    AbortReason, AppendSeq, Apply, ChangeToken, Destination, Effect, FetchId, FetchKind, Question,
    QuestionId, Report, RequestToken, SaveRequest, StopReason,
};
pub use input::{
    Answer, Command, ConnectionId, Direction, FetchOutcome, Input, Origin, PeerLink, Request, SaveOutcome,
};
pub use outbox::Outbox;
pub use recovered::{CheckpointInfo, LogFileInfo, Recovered};
pub use settings::Settings;
