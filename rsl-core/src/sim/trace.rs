//! The trace of a run: a hash of everything that happened, and on request the text.

use crate::types::Instant;

/// Takes a line of the log.
pub type Printer<'a> = &'a mut dyn FnMut(&str);

/// Hashes every event; two runs with the same hash went the same way.
pub(super) struct Trace<'a> {
    hash: u64,
    print: Option<Printer<'a>>,
}

impl<'a> Trace<'a> {
    pub(super) fn new(print: Option<Printer<'a>>) -> Trace<'a> {
        Trace { hash: 0xCBF2_9CE4_8422_2325, print }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Notes an event: `numbers` go into the hash, `text` into the log.
    pub(super) fn note(&mut self, at: Instant, numbers: &[u64], text: impl FnOnce() -> String) {
        self.mix(at.0);
        for &number in numbers {
            self.mix(number);
        }
        if let Some(print) = &mut self.print {
            print(&format!("{:>12.6} {}", std::time::Duration::from_micros(at.0).as_secs_f64(), text()));
        }
    }

    fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
}
