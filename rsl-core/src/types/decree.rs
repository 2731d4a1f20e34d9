//! Decrees: positions in the replicated history.

use std::fmt;

/// A position in the history; the public API calls it a sequence number. Ordered as an unsigned number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decree(pub u64);

impl Decree {
    /// The decree of a replica that holds nothing.
    pub const ZERO: Decree = Decree(0);

    /// The following decree; stays at the maximum instead of wrapping.
    #[must_use]
    pub const fn next(self) -> Decree {
        Decree(self.0.saturating_add(1))
    }

    /// The preceding decree, or zero for zero.
    #[must_use]
    pub const fn previous(self) -> Decree {
        Decree(self.0.saturating_sub(1))
    }

    /// Whether `self` is exactly one above `other` (false at the end of the number range).
    #[must_use]
    pub const fn follows(self, other: Decree) -> bool {
        match other.0.checked_add(1) {
            Some(next) => next == self.0,
            None => false,
        }
    }
}

impl fmt::Display for Decree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
