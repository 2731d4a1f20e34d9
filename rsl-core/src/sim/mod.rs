//! The simulator: a cluster of production replicas on simulated disks, network and clocks, everything decided by one seed.
//!
//! It runs the production engine, outbox, codecs, log writer, recovery, checkpoint writer and copier. Only clock, disk,
//! network, application and scheduler are simulated. A run has two phases: *safety* (anything may go wrong, nothing
//! may be violated) and *liveness* (everything is healed, a primary and equal states are demanded).
//!
//! | file | duty |
//! |---|---|
//! | `plan.rs` | what a seed means: cluster, settings, faults |
//! | `world.rs` | the scheduler and what happens at each event |
//! | `perform.rs`, `apply.rs` | a replica's turn and its effects; its application's side |
//! | `faults.rs` | faults, clients, the liveness phase |
//! | `process.rs`, `core.rs`, `execution.rs`, `app.rs` | one running replica and its application |
//! | `disk.rs`, `disk/damage.rs`, `network.rs`, `transfer.rs` | what it runs on |
//! | `checker.rs`, `history.rs` | what must hold |
//! | `dice.rs`, `trace.rs` | chance; the trace and its hash |
//!
//! # What is checked, and where
//!
//! | rule | when | function |
//! |---|---|---|
//! | PROTO-5, 20, 23 | a vote is proposed | `History::proposed`: the decree before it is chosen; decrees of a ballot in a row; none behind the end of its configuration |
//! | PROTO-6, 7 | a vote or Prepare leaves | `History::proposed`, `Checker::sent_vote`: one value and the same bytes for a ballot; only its owner's; ballot durable first |
//! | PROTO-11, 13 | a vote is acknowledged or durable at its owner | `History::acked`: one value for a position; one value chosen for a decree |
//! | PROTO-12, 19 | a decree is executed | `History::executed`, `World::finish`, `Loader::execute`: chosen, in a row, the same value and the same state hash everywhere |
//! | PROTO-14, 26 | a replica starts | `Checker::recovered`: no durable promise or vote is gone, or it knows what to learn anew |
//! | PROTO-15, 17, 21 | a PrepareAccepted leaves | `Checker::sent_promise`: durable, not below what was said, reports what was acknowledged |
//! | PROTO-16, 17 | a VoteAccepted leaves | `Checker::sent_vote_accepted`, `History::acked` |
//! | PROTO-18 | a record is appended | `Checker::appended` |
//! | PROTO-21 | a chosen value is proposed again | follows from PROTO-11 and PROTO-13: another value would be chosen in the end |
//! | PROTO-22 | a VoteAccepted leaves | PROTO-17: below the promise nothing is acknowledged |
//! | PROTO-24 | a checkpoint appears or is loaded | `Checker::checkpoint`, `Loader::load`: header, next vote, state hash of its decree |
//! | PROTO-25 | a replica starts | `Start::check`, `World::save` |
//! | PROTO-99, 168, decision 12 | a request ends | `World::finish`, `Checker::end`, `Checker::ended`: executed or aborted once, none left, none behind the last one |
//! | PROTO-141 | a configuration is entered | `Checker::entered` |
//! | PROTO-180, 183 | a client reads | `Checker::read`: the state of the history, never older than what the client has seen |
//! | linearizability | a request is executed | `Checker::ended_well`: behind all that was answered before it was submitted |
//! | XFER-34, 42 | a save, a clean-up | `Checker::saving`, `check_served` |

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod app;
mod apply;
mod checker;
mod core;
mod dice;
mod disk;
mod execution;
mod faults;
mod history;
mod network;
mod perform;
mod plan;
mod process;
mod trace;
mod transfer;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use checker::Violation;
use plan::Plan;
pub use plan::Profile;
pub use trace::Printer;
use trace::Trace;
pub use world::Counts;
use world::World;

/// How a seed went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Hash of everything that happened; equal hashes mean equal runs.
    pub trace: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// What happened how often.
    pub counts: Counts,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
}

/// Simulates a seed; `print` takes the log. A panic of the code under test counts as a violation.
pub fn simulate(seed: u64, profile: Profile, print: Option<Printer<'_>>) -> Outcome {
    simulate_plan(&Plan::new(seed, profile), print)
}

fn simulate_plan(plan: &Plan, print: Option<Printer<'_>>) -> Outcome {
    let mut world = World::new(plan, Trace::new(print));
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation::new("panic", text.unwrap_or_default()))
        }
    };
    Outcome {
        seed: plan.seed,
        trace: world.trace_hash(),
        simulated: Duration::from_micros(world.now().0),
        counts: world.counts(),
        violation,
    }
}

/// The faults of a failing seed that are needed to make it fail, in words: faults are left out as long as the same rule
/// is still broken, for at most `attempts` runs.
#[must_use]
pub fn shrink(seed: u64, profile: Profile, attempts: usize) -> Option<Vec<String>> {
    let mut plan = Plan::new(seed, profile);
    let rule = simulate_plan(&plan, None).violation?.rule;
    let mut left = attempts;
    let mut size = plan.faults.len().div_ceil(2);
    while size > 0 && left > 0 {
        let mut from = 0;
        while from < plan.faults.len() && left > 0 {
            left -= 1;
            let mut fewer = plan.clone();
            fewer.faults.drain(from..(from + size).min(fewer.faults.len()));
            let still = simulate_plan(&fewer, None).violation.is_some_and(|violation| violation.rule == rule);
            if still { plan = fewer } else { from += size }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    Some(plan.faults.iter().map(|(at, fault)| format!("{:.3} {fault:?}", at.as_secs_f64())).collect())
}
