//! Tests of the engine against the clauses: one engine in tables, several of them on a simulated wire.

mod acceptor;
mod cluster;
mod harness;
mod membership;
