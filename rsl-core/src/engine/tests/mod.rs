//! Tests of the engine against the clauses: one engine in tables, several of them on a simulated wire.

mod acceptor;
mod checkpoints;
mod cluster;
mod contract;
mod elections;
mod harness;
mod learner;
mod logging;
mod membership;
mod proposer;
mod rules;
