//! Seeded chance: the only source of randomness in the engine and in the simulator.

use std::time::Duration;

/// SplitMix64: small, fast, every seed is good, the same numbers on every platform. Not for secrets.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A generator with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Prng {
        Prng(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 for bound 0. The bias is below 2^-32 for the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A random element; `None` of an empty slice.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(items.len() as u64)).ok()?;
        items.get(index)
    }

    /// `value` plus or minus up to `min(value * percent / 100, most)`, uniformly [PROTO-177].
    pub fn randomize(&mut self, value: u64, percent: u32, most: u64) -> u64 {
        let spread = u128::from(value) * u128::from(percent.min(100)) / 100;
        let spread = u64::try_from(spread).unwrap_or(u64::MAX).min(most).min(value);
        let offset = self.below(spread.saturating_mul(2).saturating_add(1));
        value.saturating_sub(spread).saturating_add(offset)
    }

    /// [`randomize`](Self::randomize) for durations, in whole microseconds.
    pub fn randomize_duration(&mut self, value: Duration, percent: u32, most: Duration) -> Duration {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.randomize(micros(value), percent, micros(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [PROTO-177]: election delay 10 s +- 10 % bounded by 1 s lies in 9..=11 s; logs 100 MiB +- 20 % in 80..=120 MiB;
    /// both ends are reachable and 0 % changes nothing.
    #[test]
    fn randomized_values_stay_in_their_band() {
        let mut prng = Prng::new(1);
        let (mut low, mut high) = (u64::MAX, 0);
        for _ in 0..10_000 {
            let value = prng.randomize(10_000, 10, 1_000);
            assert!((9_000..=11_000).contains(&value));
            low = low.min(value);
            high = high.max(value);
            assert!((80..=120).contains(&prng.randomize(100, 20, 100)));
            assert!((9_500..=10_500).contains(&prng.randomize(10_000, 50, 500)));
        }
        assert!(low < 9_050 && high > 10_950, "{low}..{high}");
        assert_eq!(prng.randomize(7, 0, 100), 7);
    }

    /// Different seeds give different sequences, the same seed the same one [HARD-355].
    #[test]
    fn the_seed_decides() {
        let sequence = |seed| (0..4).map(|_| Prng::new(seed).next_u64()).collect::<Vec<_>>();
        assert_eq!(sequence(5), sequence(5));
        assert_ne!(sequence(5), sequence(6));
    }
}
