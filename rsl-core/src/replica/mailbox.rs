//! What other threads tell the loop, and how they wake it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Cookie, PeerHealth, Refused};
use crate::engine::{Input, Origin, Status, StopReason};
use crate::types::{Decree, MemberSet, Node};
use crate::wire::Message;

/// One thing the loop is told.
#[derive(Debug)]
pub(super) enum Note {
    /// For the engine.
    Input(Input),
    /// Somebody wants to see the engine's state.
    Status(Sender<Status>),
    /// Somebody wants to see the peers [API-28].
    Health(Sender<Vec<PeerHealth>>),
    /// A StatusQuery on the learn port [XFER-6].
    LearnQuery {
        /// A connection number that no packet connection has.
        from: Origin,
        /// The query.
        message: Message,
        /// Takes the encoded answer; dropped = none.
        answer: Sender<Bytes>,
    },
    /// The resolver has an answer.
    Resolved(Node),
    /// Adopt a first member set [PROTO-159].
    Bootstrap {
        /// The members.
        members: Arc<MemberSet>,
        /// How long to wait for the first primary.
        timeout: Duration,
        /// Takes the result; dropped = the replica has ended.
        done: Sender<Result<(), Refused>>,
    },
    /// Copy a checkpoint for the application [XFER-26].
    CopyState {
        /// Comes back with StateCopied.
        cookie: Cookie,
        /// Told that it will; dropped = the replica has ended.
        accepted: Sender<()>,
    },
    /// Stop handling messages and timers, or go on [PROTO-171].
    Pause(bool, Sender<()>),
    /// End the replica.
    Stop(StopReason),
}

/// Inbox of the loop. Anyone posts; the loop takes everything at the start of a turn.
#[derive(Default)]
pub(super) struct Mailbox {
    notes: Mutex<Notes>,
    /// Somebody has woken the loop and it has not looked yet: saves the system call for all others.
    signalled: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Debug, Default)]
struct Notes {
    list: Vec<Note>,
    /// The loop has ended: nobody reads any more, and whoever waits for an answer must not wait for ever.
    closed: bool,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("notes", &self.notes).finish_non_exhaustive()
    }
}

impl Mailbox {
    /// Says how the loop is woken.
    pub(super) fn connect(&self, wake: impl Fn() + Send + Sync + 'static) {
        assert!(self.wake.set(Box::new(wake)).is_ok(), "a mailbox has one loop");
        // What was posted before could not wake it.
        if self.signalled.load(Ordering::Acquire)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Posts a note; dropped when the loop has ended.
    pub(super) fn post(&self, note: Note) {
        let mut notes = self.notes.lock();
        if !notes.closed {
            notes.list.push(note);
        }
        drop(notes);
        self.wake();
    }

    /// The loop has ended: what is there and what still comes is dropped.
    pub(super) fn close(&self) {
        let mut notes = self.notes.lock();
        notes.closed = true;
        let dropped = std::mem::take(&mut notes.list);
        drop(notes);
        drop(dropped);
    }

    pub(super) fn input(&self, input: Input) {
        self.post(Note::Input(input));
    }

    /// Reports execution progress; a report that nobody has seen yet is overwritten. The loop sees it in its next turn,
    /// and is woken for it only when it is `urgent`.
    pub(super) fn executed(&self, decree: Decree, save_state: bool, urgent: bool) {
        let report = Input::Executed { decree, save_state };
        let mut notes = self.notes.lock();
        if notes.closed {
            return;
        }
        match notes.list.last_mut() {
            Some(Note::Input(last @ Input::Executed { save_state: false, .. })) if !save_state => {
                *last = report
            }
            _ => notes.list.push(Note::Input(report)),
        }
        drop(notes);
        if urgent {
            self.wake();
        }
    }

    /// Wakes the loop, unless that is under way.
    pub(super) fn wake(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Everything posted since the last call. What is posted during the call wakes the loop again.
    pub(super) fn take(&self) -> Vec<Note> {
        self.signalled.store(false, Ordering::Release);
        std::mem::take(&mut self.notes.lock().list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    /// Progress is coalesced, but a decree that asks for a checkpoint is reported by itself (contract of
    /// `Input::Executed`), and one wake-up serves many posts [HARD-358].
    #[test]
    fn progress_is_coalesced_and_wake_ups_are_shared() {
        let wakes = Arc::new(AtomicU32::new(0));
        let mailbox = Mailbox::default();
        let counter = Arc::clone(&wakes);
        mailbox.connect(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        for decree in 1..=5 {
            mailbox.executed(Decree(decree), decree == 3, true);
        }
        let seen: Vec<_> = mailbox
            .take()
            .into_iter()
            .map(|note| match note {
                Note::Input(Input::Executed { decree, save_state }) => (decree.0, save_state),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(seen, [(2, false), (3, true), (5, false)]);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        mailbox.executed(Decree(6), false, false);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        mailbox.executed(Decree(7), false, true);
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }
    /// A note posted before the loop exists wakes it; after its end an asker gets no answer instead of waiting for ever.
    #[test]
    fn nobody_waits_for_a_loop_that_is_not_there() {
        let mailbox = Mailbox::default();
        mailbox.executed(Decree(1), false, true);
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&wakes);
        mailbox.connect(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        let (early, early_answer) = std::sync::mpsc::channel();
        mailbox.post(Note::Status(early));
        mailbox.close();
        let (late, late_answer) = std::sync::mpsc::channel();
        mailbox.post(Note::Status(late));
        assert!(early_answer.recv().is_err() && late_answer.recv().is_err());
        mailbox.executed(Decree(2), false, true);
        assert!(mailbox.take().is_empty());
    }
}
