//! A machine: one replica behind a handle, and the list of all that exist.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};
use rsl_core::replica::Replica;

use crate::callbacks::rsl_callbacks;
use crate::codes::RSL_E_STATE;
use crate::guard::Fail;

/// One replica of one replicated state machine.
pub struct rsl_machine {
    pub(crate) machine: Arc<Machine>,
}

/// The context pointer of the application: ours only to give back.
#[derive(Clone, Copy)]
pub(crate) struct Context(pub(crate) *mut c_void);

// SAFETY: never dereferenced here; the application promised that its callbacks may run on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// What the handle, the replica's threads and the list of machines share.
pub(crate) struct Machine {
    pub(crate) table: rsl_callbacks,
    pub(crate) ctx: Context,
    /// The replica, from the start of `initialize` on; lock-free to read [CABI-31].
    pub(crate) replica: ArcSwapOption<Replica>,
    pub(crate) life: Mutex<Life>,
    pub(crate) changed: Condvar,
    /// Where its handle is, for the exit policy.
    pub(crate) handle: AtomicUsize,
}

/// Where a machine is in its life. It may go round more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing runs: new, failed to start, or ended.
    Idle,
    /// `initialize` is under way.
    Starting,
    /// The replica runs.
    Running {
        /// The application makes the threads: an unload does not end the process [API-55].
        own_threads: bool,
        /// Somebody ends it who does not want the process to end.
        keep_process: bool,
    },
    /// The replica has ended; the exit policy is being asked.
    Ending,
}

static ALL: Mutex<Vec<Weak<Machine>>> = Mutex::new(Vec::new());

impl Machine {
    pub(crate) fn new(table: rsl_callbacks, ctx: *mut c_void) -> Arc<Machine> {
        let machine = Arc::new(Machine {
            table,
            ctx: Context(ctx),
            replica: ArcSwapOption::empty(),
            life: Mutex::new(Life::Idle),
            changed: Condvar::new(),
            handle: AtomicUsize::new(0),
        });
        let mut all = ALL.lock();
        all.retain(|machine| machine.strong_count() > 0);
        all.push(Arc::downgrade(&machine));
        machine
    }

    /// Every machine there is [HARD-543] [HARD-548].
    pub(crate) fn all() -> Vec<Arc<Machine>> {
        ALL.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.lock()
    }

    pub(crate) fn set_life(&self, life: Life) {
        *self.life.lock() = life;
        self.changed.notify_all();
    }

    /// Its handle, to be shown to the application only.
    pub(crate) fn handle(&self) -> *mut rsl_machine {
        std::ptr::without_provenance_mut(self.handle.load(Ordering::Relaxed))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.life(), Life::Running { .. })
    }

    /// Waits until nothing runs.
    pub(crate) fn wait_until_idle(&self) {
        let mut life = self.life.lock();
        while matches!(*life, Life::Running { .. } | Life::Ending) {
            self.changed.wait(&mut life);
        }
    }

    /// Calls the replica, if there is one.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&Replica) -> T) -> Option<T> {
        self.replica.load().as_deref().map(call)
    }

    /// Calls the replica, or fails with RSL_E_STATE.
    pub(crate) fn require<T>(&self, call: impl FnOnce(&Replica) -> T) -> Result<T, Fail> {
        self.with(call).ok_or_else(|| Fail::new(RSL_E_STATE, "the machine is not initialised"))
    }
}
