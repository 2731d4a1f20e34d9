//! Which callbacks may overlap: a state machine that notices when they do what they must not.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::testing::Place;
use super::super::{Cookie, Execution, Grouping, Replica, Setup, StateMachine, StateReader};
use crate::types::{Decree, MemberSet, ProtocolVersion};

/// Counts exclusive callbacks as large, shared ones as small.
const EXCLUSIVE: i64 = 1_000_000;

#[derive(Debug, Default)]
struct Watcher {
    serialized: bool,
    inside: AtomicI64,
    /// Callbacks that overlapped what they must not.
    wrong: AtomicU64,
    executed: AtomicU64,
    reads: AtomicU64,
    /// Fast reads that ran while a request was executed.
    overlapping: AtomicU64,
    /// A request is being executed.
    executing: AtomicBool,
    /// While set, executing a request takes until it is cleared.
    hold: AtomicBool,
}

impl Watcher {
    fn enter(&self, weight: i64) {
        let before = self.inside.fetch_add(weight, Ordering::SeqCst);
        let alone = if weight == EXCLUSIVE { before == 0 } else { before < EXCLUSIVE };
        if !alone {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn leave(&self, weight: i64) {
        self.inside.fetch_sub(weight, Ordering::SeqCst);
    }
}

impl StateMachine for Watcher {
    fn load_state(&self, _: Option<&mut dyn StateReader>) -> bool {
        true
    }

    // From Before to After is one exclusive section [PROTO-137].
    fn before_execute(&self) {
        self.enter(EXCLUSIVE);
        self.executing.store(true, Ordering::SeqCst);
    }

    fn execute(&self, _: &[u8], execution: &mut Execution) {
        while self.hold.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        if execution.cookie().0.is_multiple_of(50) {
            execution.save_state();
        }
        self.executed.fetch_add(1, Ordering::SeqCst);
    }

    fn after_execute(&self) {
        self.executing.store(false, Ordering::SeqCst);
        self.leave(EXCLUSIVE);
    }

    fn execute_fast_read(&self, _: &[u8], _: Cookie) {
        if self.serialized {
            self.enter(1);
        }
        if self.executing.load(Ordering::SeqCst) {
            self.overlapping.fetch_add(1, Ordering::SeqCst);
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.serialized {
            self.leave(1);
        }
    }

    fn try_save_state(&self, writer: &mut dyn Write) -> bool {
        self.enter(1);
        std::thread::sleep(Duration::from_millis(1));
        let written = writer.write_all(b"state").is_ok();
        self.leave(1);
        written
    }

    fn notify_status(&self, _: bool) {
        self.enter(EXCLUSIVE);
        self.leave(EXCLUSIVE);
    }

    fn notify_primary_recovered(&self) {
        self.enter(EXCLUSIVE);
        self.leave(EXCLUSIVE);
    }
}

fn start(place: &Place, serialized: bool) -> (Replica, Arc<Watcher>) {
    let watcher = Arc::new(Watcher { serialized, ..Watcher::default() });
    let node = place.node(0);
    let config = place.config().reader_threads(3).build().unwrap();
    let members = MemberSet { nodes: vec![node.clone()], ..MemberSet::default() };
    let setup = Setup::new(config, ProtocolVersion::V6, node).members(members);
    let replica = Replica::start(setup.serialize_fast_reads(serialized), Arc::clone(&watcher) as _).unwrap();
    until(|| replica.is_primary());
    (replica, watcher)
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

/// [PROTO-172] [PROTO-137] [PROTO-182] [API-61] [API-62] [API-78] With serialized fast reads nothing overlaps what it
/// must not: execution excludes everything, saving and reads only overlap each other.
#[test]
fn exclusive_callbacks_overlap_nothing() {
    let place = Place::new();
    let (replica, watcher) = start(&place, true);
    for cookie in 1..=300 {
        let grouping = if cookie % 3 == 0 { Grouping::Exclusive } else { Grouping::Batched };
        replica.replicate(&b"x"[..], Cookie(cookie), grouping).unwrap();
        replica.fast_read(Decree(0), &b"r"[..], Cookie(cookie), Duration::ZERO).unwrap();
    }
    until(|| watcher.executed.load(Ordering::SeqCst) == 300 && watcher.reads.load(Ordering::SeqCst) == 300);
    replica.unload();
    assert_eq!(watcher.wrong.load(Ordering::SeqCst), 0);
    assert_eq!(watcher.overlapping.load(Ordering::SeqCst), 0);
    assert_eq!(watcher.inside.load(Ordering::SeqCst), 0);
}

/// [PROTO-182] [API-61] [API-78] [API-63] [HARD-554] Without serialization a fast read runs in the middle of a long
/// request. Meanwhile the loop goes on: heartbeats are decided, though not executed [API-52].
#[test]
fn a_long_request_holds_neither_reads_nor_heartbeats() {
    let place = Place::new();
    let (replica, watcher) = start(&place, false);
    watcher.hold.store(true, Ordering::SeqCst);
    replica.replicate(&b"long"[..], Cookie(1), Grouping::Batched).unwrap();
    until(|| watcher.executing.load(Ordering::SeqCst));
    replica.fast_read(Decree(0), &b"r"[..], Cookie(1), Duration::ZERO).unwrap();
    until(|| watcher.overlapping.load(Ordering::SeqCst) == 1);
    let executed = replica.current_sequence_number();
    until(|| replica.highest_passed_sequence_number().0 >= executed.0 + 2);
    assert_eq!(replica.current_sequence_number(), executed);
    assert!(replica.is_primary() && replica.is_any_request_pending_execution());
    watcher.hold.store(false, Ordering::SeqCst);
    until(|| replica.current_sequence_number().0 >= executed.0 + 2);
    replica.unload();
    assert_eq!(watcher.wrong.load(Ordering::SeqCst), 0);
}
