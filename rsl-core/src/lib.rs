//! Replicated State Library: multi-Paxos that speaks the wire and file formats of legacy RSL.
//!
//! | module | duty |
//! |---|---|
//! | [`types`] | decrees, ballots, member ids, member sets |
//! | [`wire`] | bytes <-> messages, packets, the 64-bit checksum |
//! | [`format`] | bytes <-> records on disk |
//! | [`engine`] | the deterministic consensus core |
//! | `sim` | the simulator (feature `sim`) |
//! | `legacy_model` | the old library's behaviour, to compare with (feature `sim`) |
//! | [`storage`] | files: log, checkpoints, restart |
//! | [`net`] | sockets: packets between replicas, the learn port (feature `runtime`) |
//! | [`replica`] | a running replica: the application's callbacks and calls (feature `runtime`) |

#![forbid(unsafe_code)]

pub mod engine;
pub mod format;
#[cfg(feature = "sim")]
pub mod legacy_model;
#[cfg(feature = "runtime")]
pub mod net;
#[cfg(feature = "runtime")]
pub mod replica;
#[cfg(feature = "sim")]
pub mod sim;
pub mod storage;
pub mod types;
pub mod wire;

pub use wire::checksum;
