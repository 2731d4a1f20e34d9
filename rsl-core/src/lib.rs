//! Replicated State Library: multi-Paxos that speaks the wire and file formats of legacy RSL.
//!
//! | module | duty |
//! |---|---|
//! | [`types`] | decrees, ballots, member ids, member sets |
//! | [`wire`] | bytes <-> messages, packets, the 64-bit checksum |

#![forbid(unsafe_code)]

pub mod types;
pub mod wire;
