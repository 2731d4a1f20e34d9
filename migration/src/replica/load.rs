//! Requests under way: who waits for which, and the batches of `replicate` and `replicate-random`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rsl_core::replica::{Cookie, Grouping, Refused, Replica};

/// How a fast read ended: sequence number, count and hash.
pub(super) type ReadResult = Result<(u64, u64, u64), Refused>;

/// Bits of a cookie that number a request within its batch.
const INDEX_BITS: u32 = 32;

/// Everybody who waits for a cookie. A cookie is the number of a batch or read in its upper half and of a request in its
/// lower half, so it is never 0.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next: AtomicU64,
    batches: Mutex<HashMap<u64, Arc<Batch>>>,
    reads: Mutex<HashMap<u64, Sender<ReadResult>>>,
}

impl Waiters {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn executed(&self, cookie: Cookie, seq: u64) {
        if let Some(batch) = self.batch(cookie) {
            batch.executed(cookie.0 & u64::from(u32::MAX), seq);
        }
    }

    /// A request or a fast read was aborted.
    pub(super) fn aborted(&self, cookie: Cookie, why: Refused) {
        match self.batch(cookie) {
            Some(batch) => batch.aborted(why),
            None => self.read(cookie, Err(why)),
        }
    }

    /// A fast read has ended.
    pub(super) fn read(&self, cookie: Cookie, result: ReadResult) {
        if let Some(waiter) = self.reads.lock().remove(&(cookie.0 >> INDEX_BITS)) {
            // The waiter may have given up.
            let _ = waiter.send(result);
        }
    }

    /// A cookie for a fast read whose end goes to `waiter`.
    pub(super) fn add_read(&self, waiter: Sender<ReadResult>) -> Cookie {
        let number = self.number();
        self.reads.lock().insert(number, waiter);
        Cookie(number << INDEX_BITS)
    }

    /// Forgets a read that was refused or given up.
    pub(super) fn forget_read(&self, cookie: Cookie) {
        self.reads.lock().remove(&(cookie.0 >> INDEX_BITS));
    }

    fn batch(&self, cookie: Cookie) -> Option<Arc<Batch>> {
        self.batches.lock().get(&(cookie.0 >> INDEX_BITS)).cloned()
    }
}

/// Requests that one command submitted.
#[derive(Debug)]
struct Batch {
    state: Mutex<BatchState>,
    changed: Condvar,
}

#[derive(Debug)]
struct BatchState {
    /// When each request was submitted, or was to be submitted.
    starts: Vec<Instant>,
    latencies: Latencies,
    aborted: u64,
    last_abort: Option<Refused>,
    last_seq: u64,
}

impl BatchState {
    fn done(&self) -> u64 {
        self.latencies.count() + self.aborted
    }

    fn in_flight(&self) -> u64 {
        self.starts.len() as u64 - self.done()
    }
}

impl Batch {
    fn executed(&self, index: u64, seq: u64) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let start = usize::try_from(index).ok().and_then(|index| state.starts.get(index).copied());
        state.latencies.record(start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start)));
        state.last_seq = seq;
        drop(state);
        self.changed.notify_all();
    }

    fn aborted(&self, why: Refused) {
        let mut state = self.state.lock();
        state.aborted += 1;
        state.last_abort = Some(why);
        drop(state);
        self.changed.notify_all();
    }
}

/// How long requests took, in microseconds, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// One hour: longer than any request is waited for.
    const HIGHEST: u64 = 3_600_000_000;

    fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, Self::HIGHEST, 3).expect("the bounds are valid"))
    }

    fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of the requests did not exceed.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        self.0.value_at_quantile(percent / 100.0)
    }

    pub(super) fn max(&self) -> u64 {
        self.0.max()
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The refusal that ended the submission, if one did.
    pub(super) refused: Option<Refused>,
    pub(super) issued: u64,
    pub(super) executed: u64,
    pub(super) aborted: u64,
    pub(super) last_abort: Option<Refused>,
    pub(super) seq: u64,
    pub(super) took: Duration,
    pub(super) latencies: Latencies,
}

/// How a batch is submitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) grouping: Grouping,
    /// Requests in flight at most.
    pub(super) window: u64,
    pub(super) timeout: Duration,
    /// Wait until every request has ended.
    pub(super) wait: bool,
    /// Submit at this rate, whatever becomes of the requests before.
    pub(super) rate: Option<Rate>,
}

/// Requests per second of an open loop. Latencies count from the time at which a request was due: a server that stalls
/// does not hide the requests that would have come meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) u32);

impl Rate {
    fn due(self, started: Instant, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.0);
        started + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Submits requests as the plan says and waits for them.
pub(super) fn submit(
    replica: &Replica,
    waiters: &Waiters,
    requests: impl IntoIterator<Item = Bytes>,
    plan: Plan,
) -> Outcome {
    let number = waiters.number();
    let state = BatchState {
        starts: Vec::new(),
        latencies: Latencies::new(),
        aborted: 0,
        last_abort: None,
        last_seq: 0,
    };
    let batch = Arc::new(Batch { state: Mutex::new(state), changed: Condvar::new() });
    waiters.batches.lock().insert(number, Arc::clone(&batch));
    let started = Instant::now();
    let deadline = started + plan.timeout;
    let mut refused = None;
    for (place, request) in (0..).zip(requests) {
        let due = plan.rate.map(|rate| rate.due(started, place));
        if let Some(wait) = due.and_then(|due| due.checked_duration_since(Instant::now())) {
            std::thread::sleep(wait);
        }
        if let Err(why) = submit_one(replica, &batch, number, &request, plan, due, deadline) {
            refused = Some(why);
            break;
        }
    }
    let mut state = batch.state.lock();
    if plan.wait {
        batch.wait(&mut state, deadline, |state| state.in_flight() == 0);
    }
    // Nobody asks for what ends later.
    waiters.batches.lock().remove(&number);
    let latencies = std::mem::replace(&mut state.latencies, Latencies::new());
    Outcome {
        refused,
        issued: state.starts.len() as u64,
        executed: latencies.count(),
        aborted: state.aborted,
        last_abort: state.last_abort,
        seq: state.last_seq,
        took: started.elapsed(),
        latencies,
    }
}

/// Submits one request once there is room in the window; a full queue is tried again.
fn submit_one(
    replica: &Replica,
    batch: &Batch,
    number: u64,
    request: &Bytes,
    plan: Plan,
    due: Option<Instant>,
    deadline: Instant,
) -> Result<(), Refused> {
    loop {
        let index = {
            let mut state = batch.state.lock();
            if !batch.wait(&mut state, deadline, |state| state.in_flight() < plan.window) {
                return Err(Refused::QueueFull);
            }
            state.starts.push(due.unwrap_or_else(Instant::now));
            state.starts.len() as u64 - 1
        };
        let cookie = Cookie(number << INDEX_BITS | index);
        let result = replica.replicate(request.clone(), cookie, plan.grouping);
        match result {
            Ok(()) => return Ok(()),
            Err(why) => {
                // Not accepted: its cookie never comes back.
                batch.state.lock().starts.pop();
                if why != Refused::QueueFull || Instant::now() >= deadline {
                    return Err(why);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Batch {
    /// Waits for a condition; false when the time was over first.
    fn wait(
        &self,
        state: &mut MutexGuard<'_, BatchState>,
        deadline: Instant,
        condition: impl Fn(&BatchState) -> bool,
    ) -> bool {
        while !condition(state) {
            if self.changed.wait_until(state, deadline).timed_out() {
                return condition(state);
            }
        }
        true
    }
}

/// The random requests of `replicate-random`: xorshift64 (13, 7, 17), each step one little-endian word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(88_172_645_463_325_252)
    }
}

impl Random {
    /// Starts at a seed, with its lowest bit set.
    pub(super) const fn seeded(seed: u64) -> Random {
        Random(seed | 1)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A request; the rest of its last word is lost. A leading 0 byte becomes 1, so that it is no command to the state
    /// machine.
    pub(super) fn request(&mut self, size: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(size);
        if let Some(first) = bytes.first_mut().filter(|first| **first == 0) {
            *first = 1;
        }
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests of a legacy host with seeds 777 and 1001.
    #[test]
    fn random_requests_are_those_of_the_legacy_host() {
        let mut random = Random::seeded(777);
        assert_eq!(hex::encode(&random.request(50)[..16]), "4fe1ffc2c30000004dad315c3a45c290");
        assert_eq!(hex::encode(&random.request(50)[..16]), "8899402965ac19e1bb7a735555638393");
        let mut random = Random::seeded(1001);
        assert_eq!(hex::encode(&random.request(20_000)[..16]), "aed921b3fb0000009d313ed47a26fa90");
        assert_eq!(random.request(3).len(), 3);
        assert_eq!(Random::default().request(8)[..], 8_748_534_153_485_358_512_u64.to_le_bytes());
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_latencies() {
        let mut latencies = Latencies::new();
        assert_eq!((latencies.percentile(50.0), latencies.max(), latencies.count()), (0, 0, 0));
        (1..=1000).map(Duration::from_micros).for_each(|took| latencies.record(took));
        let percentiles = [50.0, 99.0, 100.0].map(|percent| latencies.percentile(percent));
        assert_eq!(percentiles, [500, 990, 1000]);
        // 99.9 / 100.0 is a little more than 0.999.
        assert!((999..=1000).contains(&latencies.percentile(99.9)));
        assert_eq!((latencies.max(), latencies.count()), (1000, 1000));
    }

    /// A request of an open loop is due at its time, however late the ones before it were.
    #[test]
    fn an_open_loop_has_a_timetable() {
        let now = Instant::now();
        let due = |number| Rate(40_000).due(now, number) - now;
        assert_eq!(due(0), Duration::ZERO);
        assert_eq!(due(1), Duration::from_micros(25));
        assert_eq!(due(4_000_000), Duration::from_secs(100));
    }
}
