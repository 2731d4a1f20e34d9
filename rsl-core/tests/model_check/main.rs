//! Model checking of the core rules: every interleaving of a few replicas within small bounds.
//!
//! The replicas are the production engine, outbox, codecs, log writer and restart; nothing is abstracted away from them.
//! What is bounded is what may happen: status rounds (each an election, or a replica that catches up), requests,
//! configuration changes (the set without its last member), crashes, and how many messages arrive twice. Any message may
//! be lost, and any order is tried. A crash takes what was not synced, or leaves it; with *synced at once* nothing is
//! unsynced between two events. Time stands still: an election begins when the checker says so. A status query and its
//! answer are one step. The first member leads when it begins.
//!
//! | test | replicas; rounds, requests, changes, crashes, repeats | states |
//! |---|---|---|
//! | `two_replicas` | 2; 2, 1, 0, 1, 0 | 11,428 |
//! | `a_message_twice` | 2; 1, 1, 0, 0, 1 | 479 |
//! | `an_election_under_a_request` | 3; 1, 1, 0, 0, 0 | 23,695 |
//! | `a_smaller_set` | 2; 1, 1, 1, 1, 0 | 8,132 |
//! | `nightly_an_election_and_a_crash` | 3; 1, 1, 0, 1, 0 | 195,229 |
//! | `nightly_three_elections` | 2; 3, 1, 0, 1, 0 | 165,567 |
//! | `nightly_two_crashes` | 2; 2, 1, 0, 2, 0 | 62,789 |
//! | `nightly_a_change_among_three` | 3; 1, 0, 1, 0, 0 | 109,919 |
//! | | 3; 1, 1, 1, 0, 0, synced at once | 194,243 |
//! | `nightly_two_elections` | 3; 2, 1, 0, 0, 0, synced at once | 3,089,458 |
//! | | 3; 2, 0, 1, 0, 0, synced at once | 7,678,219 |
//!
//! What runs in every test run takes 4 s of one core in a debug build; the nightly tests take 2 minutes and 1.8 GB,
//! optimised.

mod cluster;
mod replica;

use cluster::{Bounds, Cluster};
use replica::Weakness;
use stateright::{Checker, HasDiscoveries, Model};

const fn bounds(rounds: u8, requests: u8, changes: u8, crashes: u8) -> Bounds {
    Bounds { rounds, requests, changes, crashes, repeats: 0 }
}

/// Visits every state; all rules hold in each, and the states that make it interesting are among them.
fn check(model: Cluster) {
    let checker = model.checker().spawn_bfs().join();
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    for (property, path) in checker.discoveries() {
        let rule = checker.model().broken(path.last_state());
        let always = checker.model().property(property).expectation == stateright::Expectation::Always;
        assert!(!always, "not always: {property} ({rule:?}) after {:?}", path.into_actions());
    }
    checker.assert_properties();
}

/// [PROTO-11] [PROTO-12] [PROTO-13] [PROTO-14] [PROTO-15] [PROTO-16] [PROTO-17] [PROTO-26]: two elections and a crash among
/// two replicas, one request.
#[test]
fn two_replicas() {
    check(Cluster::new(2, bounds(2, 1, 0, 1)));
}

/// [PROTO-34]: the same with a message that arrives twice.
#[test]
fn a_message_twice() {
    check(Cluster::new(2, Bounds { repeats: 1, ..bounds(1, 1, 0, 0) }));
}

/// [PROTO-5] [PROTO-21] [PROTO-91]: another member is elected while a request is under way; records become durable at any
/// time.
#[test]
fn an_election_under_a_request() {
    check(Cluster::new(3, bounds(1, 1, 0, 0)));
}

/// [PROTO-142] [PROTO-147] [PROTO-149]: a change to a smaller set, an election, a crash.
#[test]
fn a_smaller_set() {
    check(Cluster::new(2, bounds(1, 1, 1, 1)));
}

/// [PROTO-11] [PROTO-17] [PROTO-26]: an election, a request and a crash among three.
#[test]
#[ignore = "long: cargo xtask nightly"]
fn nightly_an_election_and_a_crash() {
    check(Cluster::new(3, bounds(1, 1, 0, 1)));
}

/// [PROTO-11] [PROTO-26]: three elections and a crash among two.
#[test]
#[ignore = "long: cargo xtask nightly"]
fn nightly_three_elections() {
    check(Cluster::new(2, bounds(3, 1, 0, 1)));
}

/// [PROTO-26]: two crashes among two.
#[test]
#[ignore = "long: cargo xtask nightly"]
fn nightly_two_crashes() {
    check(Cluster::new(2, bounds(2, 1, 0, 2)));
}

/// [PROTO-142] [PROTO-147]: a change among three, with a request and an election in the old set.
#[test]
#[ignore = "long: cargo xtask nightly"]
fn nightly_a_change_among_three() {
    check(Cluster::new(3, bounds(1, 0, 1, 0)));
    check(Cluster::new(3, bounds(1, 1, 1, 0)).syncs_at_once());
}

/// [PROTO-21] [PROTO-23]: two elections among three, with a request, and with a change.
#[test]
#[ignore = "long: cargo xtask nightly"]
fn nightly_two_elections() {
    check(Cluster::new(3, bounds(2, 1, 0, 0)).syncs_at_once());
    check(Cluster::new(3, bounds(2, 0, 1, 0)).syncs_at_once());
}

/// Weakens a rule; the checker finds a way to break `property`.
fn finds(weakness: Weakness, model: Cluster, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = model.weakened(weakness).checker().finish_when(found).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{weakness:?} breaks nothing");
}

/// The check can fail: answers before what they say is durable.
#[test]
fn a_missing_gate_is_found() {
    finds(Weakness::NoGate, Cluster::new(3, bounds(1, 0, 0, 0)), "promises are kept");
}

/// The check can fail: a restart that forgets promises.
#[test]
fn a_forgotten_promise_is_found() {
    finds(Weakness::ForgetsPromises, Cluster::new(3, bounds(1, 0, 0, 1)), "promises are kept");
}

/// The check can fail: one vote is a majority.
#[test]
fn a_quorum_of_one_is_found() {
    let model = Cluster::new(3, bounds(1, 2, 0, 0)).syncs_at_once();
    finds(Weakness::QuorumOfOne, model, "one value is executed");
}

/// The check can fail: votes below the promise are acknowledged.
#[test]
fn acknowledging_below_the_promise_is_found() {
    let model = Cluster::new(3, bounds(1, 2, 0, 0)).syncs_at_once();
    finds(Weakness::AcceptsBelowPromise, model, "one value is chosen");
}
