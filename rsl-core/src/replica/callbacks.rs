//! The callback lock, and knowing whether a thread is inside a callback.

use std::cell::Cell;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Orders callbacks as PROTO section 18 asks: exclusive ones overlap nothing that takes the lock, shared ones overlap
/// each other [PROTO-172]. Calls of the replica's API never take it [PROTO-174].
#[derive(Debug, Default)]
pub(super) struct CallbackLock(RwLock<()>);

/// Marks the thread as inside a callback while it lives.
#[derive(Debug)]
pub(super) struct Inside(());

impl Inside {
    pub(super) fn enter() -> Inside {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Inside(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether the calling thread is inside a callback: calls that wait for callbacks to end are refused there [API-107].
pub(super) fn inside_callback() -> bool {
    DEPTH.with(Cell::get) > 0
}

impl CallbackLock {
    pub(super) fn exclusive(&self) -> (RwLockWriteGuard<'_, ()>, Inside) {
        (self.0.write(), Inside::enter())
    }

    pub(super) fn shared(&self) -> (RwLockReadGuard<'_, ()>, Inside) {
        (self.0.read(), Inside::enter())
    }
}
