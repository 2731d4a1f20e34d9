//! A state machine that records its callbacks, for unit tests.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Cookie, CookieSink, Execution, Refused, StateMachine, StateReader};
use crate::types::{Decree, Node};

/// One callback, with what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
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

/// Records; a request `b"save"` asks for a checkpoint, `b"block"` waits for [`Recorder::unblock`].
#[derive(Debug, Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    changed: Condvar,
    blocked: Mutex<bool>,
    unblocked: Condvar,
}

impl Recorder {
    fn note(&self, event: Event) {
        self.events.lock().push(event);
        self.changed.notify_all();
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
    fn load_state(&self, _checkpoint: Option<&mut dyn StateReader>) -> bool {
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
        self.note(Event::Save);
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

    fn shut_down(&self, _why: Refused) {
        self.note(Event::ShutDown);
    }
}
