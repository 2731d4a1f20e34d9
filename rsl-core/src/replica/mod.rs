//! A running replica: the engine, the log and the sockets on one thread, the application on others.
//!
//! | file | duty |
//! |---|---|
//! | `handle.rs` | [`Replica`]: what the application calls |
//! | `state_machine.rs` | [`StateMachine`]: what the application implements |
//! | `config.rs`, `setup.rs`, `start.rs` | [`Config`] and [`Setup`]: what a replica is started with, and the start |
//! | `rerun.rs` | replay mode: a directory's history executed by an application, reading only |
//! | `driver.rs` | the loop: network, engine, log |
//! | `admission.rs` | takes requests, or says why not |
//! | `executor.rs` | the execution thread and its queue |
//! | `reads.rs` | fast reads and their threads |
//! | `errands.rs` | the callback thread: questions of consensus, the end |
//! | `resolver.rs`, `copier.rs` | addresses of peers known by host name; copies on the application's behalf |
//! | `transfers.rs`, `files.rs` | learning from others; the directory as other threads see it |
//! | `mailbox.rs`, `shared.rs`, `progress.rs` | what the threads share |
//! | `callbacks.rs`, `threads.rs` | the callback lock; who creates threads |
//! | `result.rs`, `health.rs`, `stats.rs` | refusals, health of the peers, counters |
//!
//! # One client request
//!
//! 1. [`Replica::replicate`] puts it into the admission under one small lock and wakes the loop.
//! 2. `Driver::turn` takes all that waits and gives it to the engine, which assigns decree and ballot.
//! 3. `Driver::perform` sends the vote to the peers, then writes and syncs it; the next turn tells the engine so.
//! 4. The peers' answers arrive as messages of a later turn; with a majority the engine hands the vote out.
//! 5. The execution thread gives it to [`StateMachine::execute`] with its cookie.
//!
//! # One incoming message
//!
//! 1. `PacketService` reads, checks and decodes it; `Driver::turn` gives it to the engine with the turn's other inputs.
//! 2. What the engine wants done comes back as effects; `Driver::perform` does it in the order it documents.
//! 3. An answer that speaks of a new record waits in the `Outbox` until the turn's sync is over, then leaves on the
//!    connection the message came on.

mod admission;
mod callbacks;
mod config;
mod copier;
mod driver;
mod errands;
mod executor;
mod files;
mod handle;
mod health;
mod mailbox;
mod progress;
mod reads;
mod rerun;
mod resolver;
mod result;
mod setup;
mod shared;
mod start;
mod state_machine;
mod stats;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod transfers;

pub use crate::engine::{LogFileInfo, Role, Status, StopReason};
pub use admission::Grouping;
pub use config::{ByteSize, Config, ConfigBuilder, ConfigError};
pub use handle::Replica;
pub use health::PeerHealth;
pub use result::Refused;
pub use setup::{ReplayError, Setup, StartError};
pub use state_machine::{Cookie, CookieSink, Execution, StateMachine, StateReader, default_resolve};
pub use stats::{Span, Stats};
pub use threads::{NativeThreads, Priority, ThreadSpawner};
