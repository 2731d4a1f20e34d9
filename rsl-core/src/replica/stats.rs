//! Counters of a running replica: the legacy statistics, and a few of our own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::types::{Decree, Instant};

/// Increments since the previous snapshot [API-29] [API-30]. Times are exact to the microsecond [HARD-526].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Length of the period.
    pub capture_time: Duration,
    /// Advance of the current sequence number, empty decrees included.
    pub decrees_executed: u64,
    /// Reads of votes for delayed execution, and files served on the learn port.
    pub log_reads: Span,
    /// Votes appended to the log; bytes rounded up to pages.
    pub log_writes: Span,
    /// From proposing a vote to its majority.
    pub voting: Span,
    /// Turns of the loop. Not in the legacy structure, like all that follow.
    pub turns: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Time spent in writing and syncing the log.
    pub sync_time: Duration,
    /// From the first request that waits for the loop to the turn that takes it, and all behind it, into the engine.
    pub queueing: Span,
    /// From passing a decree to the beginning of its execution.
    pub execution_wait: Span,
    /// Executing a decree, callbacks included.
    pub executing: Span,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent, counted per peer.
    pub messages_out: u64,
}

/// Something counted, measured in bytes and timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// How often.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How long altogether.
    pub total: Duration,
    /// How long at most.
    pub max: Duration,
}

impl Span {
    fn add(&mut self, bytes: u64, took: Duration) {
        self.count += 1;
        self.bytes += bytes;
        self.total += took;
        self.max = self.max.max(took);
    }
}

/// The counters. The loop owns most of them; a lock that only `snapshot` competes for costs next to nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    spans: Mutex<Spans>,
    execution: Mutex<ExecutionSpans>,
    turns: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Spans {
    since: Option<(Instant, Decree)>,
    log_reads: Span,
    log_writes: Span,
    voting: Span,
    syncs: u64,
    sync_time: Duration,
    queueing: Span,
}

/// What the execution thread counts: apart, so that it and the loop do not wait for each other.
#[derive(Debug, Default)]
struct ExecutionSpans {
    wait: Span,
    executing: Span,
}

impl Counters {
    /// The replica starts: a period begins.
    pub(super) fn start(&self, now: Instant, executed: Decree) {
        self.spans.lock().since = Some((now, executed));
    }

    pub(super) fn log_read(&self, bytes: u64, took: Duration) {
        self.spans.lock().log_reads.add(bytes, took);
    }

    /// One write and sync of the log that took `took` and held these votes.
    pub(super) fn log_written(&self, vote_bytes: impl Iterator<Item = u64>, took: Duration) {
        let mut spans = self.spans.lock();
        spans.syncs += 1;
        spans.sync_time += took;
        // The time of one sync is not counted more than once.
        let mut share = took;
        for bytes in vote_bytes {
            spans.log_writes.add(bytes, std::mem::take(&mut share));
        }
    }

    pub(super) fn voted(&self, took: Duration) {
        self.spans.lock().voting.add(0, took);
    }

    /// A turn took requests of which the first had waited this long.
    pub(super) fn queued(&self, took: Duration) {
        self.spans.lock().queueing.add(0, took);
    }

    /// A decree was executed, after a wait in the queue.
    pub(super) fn executed(&self, wait: Duration, took: Duration) {
        let mut spans = self.execution.lock();
        spans.wait.add(0, wait);
        spans.executing.add(0, took);
    }

    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, count: u64) {
        self.messages_out.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes the increments and starts a new period [PROTO-184].
    pub(super) fn snapshot(&self, now: Instant, executed: Decree) -> Stats {
        let mut spans = self.spans.lock();
        let (since, from) = spans.since.unwrap_or((now, executed));
        let taken =
            std::mem::replace(&mut *spans, Spans { since: Some((now, executed)), ..Spans::default() });
        drop(spans);
        let execution = std::mem::take(&mut *self.execution.lock());
        Stats {
            capture_time: now.since(since),
            decrees_executed: executed.0.saturating_sub(from.0),
            log_reads: taken.log_reads,
            log_writes: taken.log_writes,
            voting: taken.voting,
            turns: self.turns.swap(0, Ordering::Relaxed),
            syncs: taken.syncs,
            sync_time: taken.sync_time,
            queueing: taken.queueing,
            execution_wait: execution.wait,
            executing: execution.executing,
            messages_in: self.messages_in.swap(0, Ordering::Relaxed),
            messages_out: self.messages_out.swap(0, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [PROTO-184] [API-29] [HARD-351] [HARD-526] A snapshot holds the increments since the one before.
    #[test]
    fn a_snapshot_takes_the_increments() {
        let counters = Counters::default();
        counters.start(Instant(1_000_000), Decree(5));
        let micros = Duration::from_micros;
        counters.log_written([512, 1024].into_iter(), micros(300));
        counters.log_written(std::iter::empty(), micros(100));
        counters.voted(micros(70));
        counters.voted(micros(50));
        counters.log_read(2048, micros(9));
        counters.queued(micros(11));
        counters.executed(micros(20), micros(30));
        counters.turn();
        let first = counters.snapshot(Instant(1_000_500), Decree(7));
        assert_eq!(first.capture_time, micros(500));
        assert_eq!(first.decrees_executed, 2);
        assert_eq!(first.log_writes, Span { count: 2, bytes: 1536, total: micros(300), max: micros(300) });
        assert_eq!((first.syncs, first.sync_time), (2, micros(400)));
        assert_eq!(first.voting, Span { count: 2, bytes: 0, total: micros(120), max: micros(70) });
        assert_eq!(first.log_reads, Span { count: 1, bytes: 2048, total: micros(9), max: micros(9) });
        assert_eq!(first.queueing, Span { count: 1, bytes: 0, total: micros(11), max: micros(11) });
        assert_eq!((first.execution_wait.total, first.executing.total), (micros(20), micros(30)));
        assert_eq!(first.turns, 1);
        let second = counters.snapshot(Instant(1_000_900), Decree(7));
        assert_eq!(second, Stats { capture_time: micros(400), ..Stats::default() });
    }
}
