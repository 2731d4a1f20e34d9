//! Fast reads: local reads at a state that is new enough [PROTO-179..183].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::callbacks::{CallbackLock, Inside};
use super::progress::Progress;
use super::{Cookie, Refused, StateMachine};
use crate::types::Decree;

/// A fast read that was accepted.
#[derive(Debug)]
struct Read {
    /// The state it needs.
    at: Decree,
    payload: Bytes,
    cookie: Cookie,
    deadline: Instant,
}

#[derive(Debug, Default)]
struct Queue {
    /// Can run now, in the order in which that became so.
    ready: VecDeque<Read>,
    /// Wait for execution, by the decree they wait for.
    waiting: BTreeMap<(Decree, u64), Read>,
    next: u64,
    closed: bool,
}

/// The queue of fast reads and what its reader threads do.
///
/// Invariant: every accepted read ends in one execution or one abort [API-76].
#[derive(Debug)]
pub(super) struct FastReads {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// The smallest decree somebody waits for; `u64::MAX` = nobody. Lets execution skip the lock.
    smallest: AtomicU64,
    threshold: u64,
    progress: Arc<Progress>,
}

impl FastReads {
    pub(super) fn new(threshold: u32, progress: Arc<Progress>) -> FastReads {
        FastReads {
            queue: Mutex::default(),
            changed: Condvar::new(),
            smallest: AtomicU64::new(u64::MAX),
            threshold: threshold.into(),
            progress,
        }
    }

    /// Queues a read that needs the state of decree `at`, or says why not [API-75].
    pub(super) fn submit(
        &self,
        at: Decree,
        payload: Bytes,
        cookie: Cookie,
        timeout: Duration,
    ) -> Result<(), Refused> {
        // [HARD-312]
        if payload.is_empty() {
            return Err(Refused::InvalidParameter);
        }
        let now = Instant::now();
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Refused::ShuttingDown);
        }
        // Unsigned: a distance of 2^63 and more is far, not behind [HARD-562].
        let distance = at.0.saturating_sub(self.progress.executed().0);
        if distance > 0 && (distance > self.threshold || timeout.is_zero() || self.progress.is_saving()) {
            return Err(Refused::FastReadStale);
        }
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)));
        let read = Read { at, payload, cookie, deadline };
        if distance == 0 {
            queue.ready.push_back(read);
        } else {
            queue.next += 1;
            let key = (at, queue.next);
            queue.waiting.insert(key, read);
            self.note_smallest(&queue);
        }
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// The execution context has reached `decree`: wakes the readers if one waits for it [PROTO-181].
    pub(super) fn executed(&self, decree: Decree) {
        if self.smallest.load(Ordering::SeqCst) <= decree.0 {
            self.wake();
        }
    }

    /// Something the readers look at has changed: saving, the role.
    pub(super) fn wake(&self) {
        drop(self.queue.lock());
        self.changed.notify_all();
    }

    /// No more reads are taken or run; the reader threads end [PROTO-168].
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    /// Cookies of the reads that nobody ran, after the reader threads have ended.
    pub(super) fn drain(&self) -> Vec<Cookie> {
        let mut queue = self.queue.lock();
        assert!(queue.closed, "reads are drained after closing");
        let waiting = std::mem::take(&mut queue.waiting);
        queue.ready.drain(..).chain(waiting.into_values()).map(|read| read.cookie).collect()
    }

    /// A reader thread. With `serialize` reads exclude execution [PROTO-182].
    pub(super) fn run(&self, machine: &dyn StateMachine, lock: &CallbackLock, serialize: bool) {
        while let Some(read) = self.next() {
            let (_guard, _inside) = if serialize {
                let (guard, inside) = lock.shared();
                (Some(guard), inside)
            } else {
                (None, Inside::enter())
            };
            // The state at this moment decides [PROTO-180].
            if self.progress.executed() >= read.at {
                machine.execute_fast_read(&read.payload, read.cookie);
            } else {
                machine.abort_request(Refused::FastReadStale, read.cookie);
            }
        }
    }

    /// Waits for the next read that can be run or has to be aborted; `None` when the queue is closed.
    fn next(&self) -> Option<Read> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            // Noted before the look at the progress, which is made before the look at what is noted: one of the two
            // sides sees the other.
            self.note_smallest(&queue);
            let executed = self.progress.executed();
            while queue.waiting.first_key_value().is_some_and(|((at, _), _)| *at <= executed) {
                if let Some((_, read)) = queue.waiting.pop_first() {
                    queue.ready.push_back(read);
                }
            }
            self.note_smallest(&queue);
            if let Some(read) = queue.ready.pop_front() {
                if !queue.ready.is_empty() {
                    self.changed.notify_one();
                }
                return Some(read);
            }
            let given_up = self.progress.is_saving() && !self.progress.is_leading();
            let soonest = queue.waiting.iter().min_by_key(|(_, read)| read.deadline);
            let Some((key, deadline)) = soonest.map(|(key, read)| (*key, read.deadline)) else {
                self.changed.wait(&mut queue);
                continue;
            };
            if given_up || deadline <= Instant::now() {
                let read = queue.waiting.remove(&key);
                self.note_smallest(&queue);
                return read;
            }
            self.changed.wait_until(&mut queue, deadline);
        }
    }

    fn note_smallest(&self, queue: &Queue) {
        let smallest = queue.waiting.first_key_value().map_or(u64::MAX, |((at, _), _)| at.0);
        self.smallest.store(smallest, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Event, Recorder, wait_for};
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn reads(threshold: u32) -> (Arc<Progress>, FastReads) {
        let progress = Arc::new(Progress::default());
        progress.set_executed(Decree(10));
        (Arc::clone(&progress), FastReads::new(threshold, progress))
    }

    fn submit(reads: &FastReads, at: u64, cookie: u64, timeout: Duration) -> Result<(), Refused> {
        reads.submit(Decree(at), Bytes::from_static(b"r"), Cookie(cookie), timeout)
    }

    /// [PROTO-179] [API-75] [SCN-47] [HARD-562] [HARD-312] [HARD-563] Every result of the call.
    #[test]
    fn reads_too_far_ahead_are_refused_at_once() {
        let (progress, reads) = reads(5);
        assert_eq!(submit(&reads, 10, 1, NO_WAIT), Ok(()));
        assert_eq!(submit(&reads, 9, 1, NO_WAIT), Ok(()));
        assert_eq!(submit(&reads, 11, 1, NO_WAIT), Err(Refused::FastReadStale));
        assert_eq!(submit(&reads, 15, 1, LONG), Ok(()));
        assert_eq!(submit(&reads, 16, 1, LONG), Err(Refused::FastReadStale));
        assert_eq!(submit(&reads, u64::MAX, 1, LONG), Err(Refused::FastReadStale));
        progress.set_saving(true);
        assert_eq!(submit(&reads, 11, 1, LONG), Err(Refused::FastReadStale));
        assert_eq!(submit(&reads, 10, 1, LONG), Ok(()));
        let empty = reads.submit(Decree(1), Bytes::new(), Cookie(1), LONG);
        assert_eq!(empty, Err(Refused::InvalidParameter));
        reads.close();
        assert_eq!(submit(&reads, 10, 1, LONG), Err(Refused::ShuttingDown));
    }

    /// [PROTO-179] With the default threshold nothing waits.
    #[test]
    fn without_threshold_nothing_waits() {
        let (_, reads) = reads(0);
        assert_eq!(submit(&reads, 11, 1, LONG), Err(Refused::FastReadStale));
        assert_eq!(submit(&reads, 10, 1, NO_WAIT), Ok(()));
    }

    /// [PROTO-180] [PROTO-181] [API-76] [SCN-47] Executed once the decree is reached, stale at the deadline, stale when a
    /// secondary saves, and the rest is left for the end: each read ends once.
    #[test]
    fn each_read_ends_once() {
        let (progress, reads) = reads(100);
        let (reads, recorder) = (Arc::new(reads), Arc::new(Recorder::default()));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (reads, recorder) = (Arc::clone(&reads), Arc::clone(&recorder));
                std::thread::spawn(move || reads.run(&*recorder, &CallbackLock::default(), true))
            })
            .collect();
        assert_eq!(submit(&reads, 12, 1, LONG), Ok(()));
        assert_eq!(submit(&reads, 50, 2, Duration::from_millis(20)), Ok(()));
        assert_eq!(submit(&reads, 10, 3, NO_WAIT), Ok(()));
        wait_for(&recorder, |events| events.len() == 2);
        progress.set_executed(Decree(12));
        reads.executed(Decree(12));
        wait_for(&recorder, |events| events.len() == 3);
        assert_eq!(submit(&reads, 60, 4, LONG), Ok(()));
        progress.set_leading(true);
        progress.set_saving(true);
        reads.wake();
        progress.set_leading(false);
        reads.wake();
        wait_for(&recorder, |events| events.len() == 4);
        progress.set_saving(false);
        assert_eq!(submit(&reads, 60, 5, LONG), Ok(()));
        reads.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(reads.drain(), [Cookie(5)]);
        let mut events = recorder.events();
        events.sort();
        assert_eq!(
            events,
            [
                Event::FastRead(1),
                Event::FastRead(3),
                Event::Aborted(Refused::FastReadStale.code(), 2),
                Event::Aborted(Refused::FastReadStale.code(), 4),
            ]
        );
    }
}
