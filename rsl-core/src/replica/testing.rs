//! A state machine that records its callbacks, and a place to run it, for tests.

use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{
    Config, ConfigBuilder, Cookie, CookieSink, Execution, Refused, Replica, StateMachine, StateReader,
};
use crate::types::{Decree, Node};

/// One callback, with what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// Bytes of state, if there was a checkpoint.
    Loaded(Option<u64>),
    Before,
    Executed(u64, Vec<u8>, u64),
    After,
    FastRead(u64),
    Aborted(i32, u64),
    AbortedChange(i32, u64),
    Status(bool),
    Recovered,
    Configuration(u64),
    Save,
    Saved(u64),
    Copied(u64),
    ShutDown,
}

type Hook = Box<dyn Fn(&Event, &Replica) + Send + Sync>;

/// Records; a request `b"save"` asks for a checkpoint, `b"block"` waits for [`Recorder::unblock`], `b"panic"` panics.
#[derive(Default)]
pub(super) struct Recorder {
    /// Called inside each callback, after it was recorded.
    hook: OnceLock<Hook>,
    replica: OnceLock<Replica>,
    refuse_save: AtomicBool,
    events: Mutex<Vec<Event>>,
    changed: Condvar,
    blocked: Mutex<bool>,
    unblocked: Condvar,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("events", &self.events).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder that calls `hook` inside each callback.
    pub(super) fn with_hook(hook: impl Fn(&Event, &Replica) + Send + Sync + 'static) -> Recorder {
        let recorder = Recorder::default();
        assert!(recorder.hook.set(Box::new(hook)).is_ok());
        recorder
    }

    fn note(&self, event: Event) {
        self.events.lock().push(event.clone());
        self.changed.notify_all();
        if let (Some(hook), Some(replica)) = (self.hook.get(), self.replica.get()) {
            hook(&event, replica);
        }
    }

    pub(super) fn refuse_save(&self, refuse: bool) {
        self.refuse_save.store(refuse, Ordering::Relaxed);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    pub(super) fn block(&self) {
        *self.blocked.lock() = true;
    }

    pub(super) fn unblock(&self) {
        *self.blocked.lock() = false;
        self.unblocked.notify_all();
    }
}

/// Waits until the recorded events are as asked; fails after five seconds.
pub(super) fn wait_for(recorder: &Recorder, done: impl Fn(&[Event]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut events = recorder.events.lock();
    while !done(&events) {
        assert!(!recorder.changed.wait_until(&mut events, deadline).timed_out(), "events so far: {events:?}");
    }
}

impl StateMachine for Recorder {
    fn attach(&self, replica: &Replica) {
        let _ = self.replica.set(replica.clone());
    }

    fn load_state(&self, checkpoint: Option<&mut dyn StateReader>) -> bool {
        self.note(Event::Loaded(checkpoint.map(|reader| reader.size())));
        true
    }

    fn before_execute(&self) {
        self.note(Event::Before);
    }

    fn execute(&self, request: &[u8], execution: &mut Execution) {
        if request == b"block" {
            let mut blocked = self.blocked.lock();
            while *blocked {
                self.unblocked.wait(&mut blocked);
            }
        }
        assert!(request != b"panic", "asked to panic");
        if request == b"save" {
            execution.save_state();
        }
        self.note(Event::Executed(execution.decree().0, request.to_vec(), execution.cookie().0));
    }

    fn after_execute(&self) {
        self.note(Event::After);
    }

    fn execute_fast_read(&self, _request: &[u8], cookie: Cookie) {
        self.note(Event::FastRead(cookie.0));
    }

    fn abort_request(&self, why: Refused, cookie: Cookie) {
        self.note(Event::Aborted(why.code(), cookie.0));
    }

    fn try_save_state(&self, writer: &mut dyn Write) -> bool {
        let refuse = self.refuse_save.load(Ordering::Relaxed);
        self.note(Event::Save);
        if refuse {
            return false;
        }
        writer.write_all(b"state").is_ok()
    }

    fn state_saved(&self, decree: Decree, _file: &Path) {
        self.note(Event::Saved(decree.0));
    }

    fn state_copied(&self, decree: Decree, _file: Option<&Path>, _cookie: Cookie) {
        self.note(Event::Copied(decree.0));
    }

    fn notify_status(&self, is_primary: bool) {
        self.note(Event::Status(is_primary));
    }

    fn notify_primary_recovered(&self) {
        self.note(Event::Recovered);
    }

    fn notify_configuration_changed(&self, cookie: Cookie) {
        self.note(Event::Configuration(cookie.0));
    }

    fn abort_change_configuration(&self, why: Refused, cookie: Cookie) {
        self.note(Event::AbortedChange(why.code(), cookie.0));
    }

    fn can_become_primary(&self, sink: &mut CookieSink) -> bool {
        sink.set(b"cookie");
        true
    }

    fn accept_message_from_replica(&self, _from: &Node, cookie: &[u8]) -> bool {
        cookie != b"refuse"
    }

    fn shut_down(&self, why: Refused) {
        assert_eq!(why, Refused::ShuttingDown);
        self.note(Event::ShutDown);
    }
}

/// A directory of its own, removed at the end, and addresses that no other test uses.
pub(super) struct Place {
    path: PathBuf,
    number: u32,
}

impl Place {
    pub(super) fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rsl-replica%d-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place { path, number }
    }

    /// The address of the `index`th replica: test processes differ in the middle, tests and replicas at the end.
    pub(super) fn ip(&self, index: u32) -> Ipv4Addr {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let last = self.number * 4 + index + 1;
        Ipv4Addr::new(127, high, low, u8::try_from(last).unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn node(&self, index: u32) -> Node {
        Node {
            id: (101 + index).to_string().parse().unwrap(),
            ip: self.ip(index),
            rsl_port: 21_000,
            learn_port: 0,
            app_port: 0,
            host_name: bytes::Bytes::new(),
        }
    }

    /// The shortest timers that a configuration allows.
    pub(super) fn config(&self) -> ConfigBuilder {
        let second = Duration::from_secs(1);
        Config::builder(&self.path)
            .heartbeat_interval(second)
            .election_delay(2 * second)
            .new_leader_grace_period(second)
            .vote_retry_interval(second)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is in the system's directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
