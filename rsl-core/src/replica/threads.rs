//! Threads: who creates them, and knowing when they have ended.

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::net::caught;

/// Priority of a thread, with the numbers of legacy `ThreadPriority` [API-51].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Priority {
    /// Most threads.
    Normal = 0,
    /// The thread that answers the questions of consensus.
    Highest = 3,
}

/// Creates the threads that run callbacks (decision 22). All other threads are native.
pub trait ThreadSpawner: Send + Sync + fmt::Debug {
    /// Runs `body` exactly once on another thread, which belongs to it until it returns.
    ///
    /// # Errors
    /// When there is no such thread; the start of the replica fails then.
    fn spawn(&self, name: &str, priority: Priority, body: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// Native threads; priorities are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeThreads;

impl ThreadSpawner for NativeThreads {
    fn spawn(&self, name: &str, _priority: Priority, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
    }
}

/// Threads of one kind, to be waited for together.
#[derive(Clone, Debug, Default)]
pub(super) struct Crew(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: Mutex<usize>,
    ended: Condvar,
}

/// One running thread of a crew.
struct Membership(Arc<Count>);

impl Drop for Membership {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
        self.0.ended.notify_all();
    }
}

impl Crew {
    /// Starts a member. A panic in `body` ends it and is handed to `panicked`.
    pub(super) fn spawn(
        &self,
        spawner: &dyn ThreadSpawner,
        name: &str,
        priority: Priority,
        body: impl FnOnce() + Send + 'static,
        panicked: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<()> {
        *self.0.running.lock() += 1;
        let membership = Membership(Arc::clone(&self.0));
        let name_in_report = name.to_owned();
        spawner.spawn(
            name,
            priority,
            Box::new(move || {
                // Dropped last, also when the thread is never run.
                let _membership = membership;
                if let Err(text) = caught(&name_in_report, body) {
                    panicked(text);
                }
            }),
        )
    }

    /// Waits until all members have ended.
    pub(super) fn join(&self) {
        let mut running = self.0.running.lock();
        while *running > 0 {
            self.0.ended.wait(&mut running);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A panicking thread is reported and counts as ended.
    #[test]
    fn a_panic_ends_the_thread_and_is_reported() {
        let crew = Crew::default();
        let (sender, receiver) = mpsc::channel();
        crew.spawn(
            &NativeThreads,
            "test",
            Priority::Normal,
            || panic!("on purpose"),
            move |text| sender.send(text).unwrap(),
        )
        .unwrap();
        crew.join();
        assert_eq!(receiver.recv().unwrap(), "thread test panicked: on purpose");
    }

    /// A spawner that drops the body does not leave anybody waiting.
    #[test]
    fn a_refused_thread_is_not_waited_for() {
        #[derive(Debug)]
        struct Refuses;
        impl ThreadSpawner for Refuses {
            fn spawn(&self, _: &str, _: Priority, _: Box<dyn FnOnce() + Send>) -> io::Result<()> {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
        let crew = Crew::default();
        assert!(crew.spawn(&Refuses, "x", Priority::Normal, || (), |_| ()).is_err());
        crew.join();
    }
}
