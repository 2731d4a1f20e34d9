//! A running replica: the engine, the log and the sockets on one thread, the application on others.
//!
//! | file | duty |
//! |---|---|
//! | `handle.rs` | [`Replica`]: what the application calls |
//! | `state_machine.rs` | [`StateMachine`]: what the application implements |
//! | `config.rs`, `setup.rs` | [`Config`] and [`Setup`]: what a replica is started with |
//! | `admission.rs` | takes requests, or says why not |
//! | `executor.rs` | the execution thread and its queue |
//! | `reads.rs` | fast reads and their threads |
//! | `errands.rs` | the callback thread: questions of consensus, the end |
//! | `resolver.rs` | addresses of peers known by host name |
//! | `mailbox.rs`, `shared.rs`, `progress.rs` | what the threads share |
//! | `callbacks.rs`, `threads.rs` | the callback lock; who creates threads |
//! | `result.rs`, `health.rs`, `stats.rs` | refusals, health of the peers, counters |

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

pub use admission::Grouping;
pub use config::{ByteSize, Config, ConfigBuilder, ConfigError};
pub use handle::Replica;
pub use health::PeerHealth;
pub use result::Refused;
pub use setup::{Setup, StartError};
pub use state_machine::{Cookie, CookieSink, Execution, StateMachine, StateReader, default_resolve};
pub use stats::{Span, Stats};
pub use threads::{NativeThreads, Priority, ThreadSpawner};
