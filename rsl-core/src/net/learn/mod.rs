//! The learn port: one bare request per connection, a raw answer, close [WIRE-31] [XFER-1].
//!
//! Blocking sockets with timeouts on native threads. The server never runs more than a fixed number of them; a client
//! runs on the thread that calls it.
//!
//! | file | duty |
//! |---|---|
//! | `server.rs` | [`LearnServer`]: answers StatusQuery, FetchVotes and FetchCheckpoint from a [`LearnSource`] |
//! | `client.rs` | [`open`] a stream, ask for a [`status`], cancel |
//! | `pace.rs` | how long a transfer may take |
//!
//! The records of a FetchVotes answer are read with [`RecordStream`](crate::format::RecordStream).

mod client;
mod pace;
mod server;

pub use client::{LearnCanceller, LearnError, LearnStream, LearnTimeouts, open, status};
pub use server::{LearnServer, LearnSettings, LearnSource, Segment};

#[cfg(test)]
mod tests;
