//! How long a transfer may take: a fixed time and a minimum rate, so that nobody holds a thread by dripping.

use std::time::{Duration, Instant};

/// The time a transfer may take [HARD-18].
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Instant,
    grace: Duration,
    rate: u64,
}

impl Pace {
    /// From now on: `grace`, and a second more for every `rate` bytes.
    pub(super) fn new(grace: Duration, rate: u64) -> Pace {
        Pace { started: Instant::now(), grace, rate: rate.max(1) }
    }

    /// Whether there is time left after `bytes` have been transferred.
    pub(super) fn allows(&self, bytes: u64) -> bool {
        self.started.elapsed() < self.grace.saturating_add(Duration::from_secs(bytes / self.rate))
    }
}
