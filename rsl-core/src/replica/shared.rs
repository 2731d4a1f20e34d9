//! What the threads of one replica share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::admission::Admission;
use super::callbacks::CallbackLock;
use super::executor::ExecutionQueue;
use super::mailbox::{Mailbox, Note};
use super::progress::Progress;
use super::reads::FastReads;
use super::stats::Counters;
use super::{Config, Setup};
use crate::engine::{Status, StopReason};
use crate::types::{Configuration, Decree, Instant, Node};

/// The replica's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(std::time::Instant);

impl Clock {
    /// Zero lies this long before the start [`Instant`].
    const BEFORE: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    pub(super) fn now(&self) -> Instant {
        Instant(0) + (Self::BEFORE + self.0.elapsed())
    }

    /// How long it is until `at`.
    pub(super) fn until(&self, at: Instant) -> Duration {
        at.since(self.now())
    }
}

/// State of one replica that any thread may look at. Holds neither the state machine nor a thread, so that a state
/// machine may keep its [`Replica`](super::Replica).
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: Node,
    pub(super) clock: Clock,
    pub(super) progress: Arc<Progress>,
    pub(super) admission: Admission,
    pub(super) execution: ExecutionQueue,
    pub(super) reads: FastReads,
    pub(super) mailbox: Mailbox,
    pub(super) callbacks: CallbackLock,
    pub(super) counters: Counters,
    /// Payload of the own vote answers [API-84].
    pub(super) vote_payload: AtomicU64,
    /// The configuration in the executed state [API-93].
    pub(super) configuration: Mutex<Configuration>,
    /// The node named in the newest accepted ballot [PROTO-126].
    pub(super) current_primary: Mutex<Option<Node>>,
    /// This life followed another one, behind the same handle.
    pub(super) is_reload: bool,
    /// Somebody wants the replica to end, also while it reloads.
    unload_wanted: AtomicBool,
    /// Until then it leaves leading to others [HARD-321].
    pub(super) no_candidate_until: Option<Instant>,
    life: Mutex<Life>,
    ended: Condvar,
}

/// Where a replica is in its life.
#[derive(Clone, Debug)]
pub(super) enum Life {
    /// Not started, or the start is under way.
    Starting,
    /// The loop runs.
    Running,
    /// The replica goes on in another life [PROTO-169].
    Reloaded,
    /// All threads have ended.
    Ended {
        /// Why.
        reason: StopReason,
        /// The engine's last state.
        last: Option<Box<Status>>,
    },
}

impl Shared {
    pub(super) fn new(setup: &Setup) -> Shared {
        let config: &Config = &setup.config;
        let progress = Arc::new(Progress::default());
        Shared {
            node: setup.node.clone(),
            clock: Clock::start(),
            admission: Admission::new(setup.queue_limit.as_bytes(), config.max_vote_len()),
            execution: ExecutionQueue::new(config.execution_queue_limit().as_bytes()),
            reads: FastReads::new(config.fast_read_threshold(), Arc::clone(&progress)),
            progress,
            mailbox: Mailbox::default(),
            callbacks: CallbackLock::default(),
            counters: Counters::default(),
            vote_payload: AtomicU64::new(0),
            configuration: Mutex::new(Configuration::empty(0)),
            current_primary: Mutex::new(None),
            is_reload: false,
            unload_wanted: AtomicBool::new(false),
            no_candidate_until: None,
            life: Mutex::new(Life::Starting),
            ended: Condvar::new(),
        }
    }

    pub(super) fn life(&self) -> Life {
        self.life.lock().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.life.lock(), Life::Running)
    }

    pub(super) fn running(&self) {
        *self.life.lock() = Life::Running;
    }

    /// All threads are done.
    pub(super) fn end(&self, reason: StopReason, last: Option<Box<Status>>) {
        *self.life.lock() = Life::Ended { reason, last };
        self.ended.notify_all();
    }

    /// Another life takes over.
    pub(super) fn reloaded(&self) {
        *self.life.lock() = Life::Reloaded;
        self.ended.notify_all();
    }

    /// Whether there is something to end: a first start that is under way is not.
    pub(super) fn can_stop(&self) -> bool {
        self.is_reload || !matches!(*self.life.lock(), Life::Starting)
    }

    /// Somebody has asked for the end.
    pub(super) fn is_unload_wanted(&self) -> bool {
        self.unload_wanted.load(Ordering::Acquire)
    }

    /// Waits for the end of this life; `None`: the replica goes on in another one.
    pub(super) fn wait_for_end(&self) -> Option<StopReason> {
        let mut life = self.life.lock();
        loop {
            match &*life {
                Life::Ended { reason, .. } => return Some(reason.clone()),
                Life::Reloaded => return None,
                Life::Starting | Life::Running => self.ended.wait(&mut life),
            }
        }
    }

    /// Asks the loop to end the replica.
    pub(super) fn stop(&self, reason: StopReason) {
        if reason == StopReason::Unloaded {
            self.unload_wanted.store(true, Ordering::Release);
        }
        self.mailbox.post(Note::Stop(reason));
    }

    /// A passed vote cannot be read back: the replica must not go on [HARD-376].
    pub(super) fn log_unreadable(&self, decree: Decree, why: &str) {
        tracing::error!(decree = decree.0, why, "a passed vote cannot be read from the log");
        self.stop(StopReason::LogFailed(format!("the vote of decree {decree} cannot be read: {why}")));
    }
}
