//! Sockets: the packet service that connects replicas, and the learn port.
//!
//! | file | duty |
//! |---|---|
//! | `service.rs` | [`PacketService`]: one poll loop over listener, inbound and outbound connections |
//! | `inbound.rs` | connections that peers opened: accepting and bounding them |
//! | `outbound.rs` | connections to peers: connecting, writing, timeouts, reconnecting |
//! | `deliver.rs` | payloads become events |
//! | `connection.rs` | one packet connection, and the transport enum that TLS will extend |
//! | `queue.rs` | packets on their way out |
//! | `peer.rs` | health and outstanding packets of a peer |
//! | `socket.rs` | listeners, bind retries, socket options |
//! | `stats.rs`, `settings.rs` | counters, settings |
//! | [`learn`] | server and clients of the learn port |
//!
//! The packet service belongs to one thread, has no clock of its own and never blocks but in
//! [`PacketService::wait`].

mod caught;
mod connection;
mod deliver;
mod inbound;
pub mod learn;
mod outbound;
mod peer;
mod queue;
mod service;
mod settings;
mod socket;
mod stats;

pub(crate) use caught::caught;
pub use deliver::NetEvent;
pub use peer::PeerHealth;
pub use service::{PacketService, Waker};
pub use settings::NetSettings;
pub use socket::BindRetry;
pub use stats::NetStats;

#[cfg(test)]
mod tests;
