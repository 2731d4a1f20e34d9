//! Chance in the simulator: everything random comes from one seed through here.

use std::time::Duration;

use crate::engine::Prng;

/// A stream of random choices.
#[derive(Clone, Debug)]
pub(super) struct Dice(Prng);

impl Dice {
    /// Stream number `stream` of a seed: streams of one seed do not disturb each other.
    pub(super) fn new(seed: u64, stream: u64) -> Dice {
        let mut mixed = Prng::new(seed);
        let seed = mixed.next_u64() ^ Prng::new(stream).next_u64();
        Dice(Prng::new(seed))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`; 0 for bound 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// An index of a slice of this length.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True `per_mille` times of 1000.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration in `low..high`, in microseconds.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(low), micros(high));
        Duration::from_micros(low + self.below(high.saturating_sub(low)))
    }

    /// A duration in `low..high`, in milliseconds.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        self.between(Duration::from_millis(low), Duration::from_millis(high))
    }

    /// One of the choices, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }
}
