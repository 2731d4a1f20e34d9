//! Whether the loop of a primary looks for what comes next for a moment before it sleeps.
//!
//! Sleeping and being woken costs tens of microseconds, about as much as the answer of a near peer takes after the own log
//! write, or the next request of a client that waited for this one. So with few requests in flight the loop polls for
//! a moment. With many, the processors have better things to do; and where looking has not helped, it is given up.

use std::time::Duration;

/// How long it looks.
const LOOK: Duration = Duration::from_micros(100);
/// Requests of a vote up to which it looks.
const FEW: u32 = 4;
/// So many votes in a row have no more before it looks: with many requests in flight large and small votes take turns.
const STEADY: u32 = 16;
/// After so many vain looks in a row, what is waited for is known to take longer.
const VAIN: u32 = 8;
/// Then it looks again once in so many times: it may have become faster.
const AGAIN: u32 = 64;

/// What a look waits for.
#[derive(Clone, Copy, Debug, Default)]
enum Wait {
    /// Nothing that somebody waits for.
    #[default]
    Nothing,
    /// The majority of a vote of few requests.
    Votes,
    /// The next request, after such a vote has passed.
    Requests,
}

/// Learns from the looks before this one.
#[derive(Debug, Default)]
pub(super) struct Patience {
    wait: Wait,
    /// Votes of few requests in a row.
    small: u32,
    votes: Experience,
    requests: Experience,
}

impl Patience {
    /// This replica has proposed a vote of so many requests.
    pub(super) fn proposed(&mut self, requests: u32) {
        self.small = if requests <= FEW { self.small.saturating_add(1) } else { 0 };
        self.wait = if self.small >= STEADY { Wait::Votes } else { Wait::Nothing };
    }

    /// Its vote has found a majority.
    pub(super) fn passed(&mut self) {
        if matches!(self.wait, Wait::Votes) {
            self.wait = Wait::Requests;
        }
    }

    /// This replica proposes nothing.
    pub(super) fn none(&mut self) {
        self.wait = Wait::Nothing;
    }

    fn experience(&mut self) -> Option<&mut Experience> {
        match self.wait {
            Wait::Nothing => None,
            Wait::Votes => Some(&mut self.votes),
            Wait::Requests => Some(&mut self.requests),
        }
    }

    /// How long to look before sleeping this time; `None` = not at all.
    pub(super) fn look(&mut self) -> Option<Duration> {
        self.experience()?.may_look().then_some(LOOK)
    }

    /// The look found something.
    pub(super) fn found(&mut self) {
        if let Some(experience) = self.experience() {
            experience.vain = 0;
        }
    }

    /// It did not.
    pub(super) fn missed(&mut self) {
        if let Some(experience) = self.experience() {
            experience.skip();
        }
    }
}

#[derive(Debug, Default)]
struct Experience {
    /// Looks in vain, or not taken, since the last one that found something.
    vain: u32,
}

impl Experience {
    fn may_look(&mut self) -> bool {
        let looks = self.vain < VAIN || (self.vain - VAIN).is_multiple_of(AGAIN);
        if !looks {
            self.skip();
        }
        looks
    }

    fn skip(&mut self) {
        // Never again a beginner's.
        self.vain = self.vain.checked_add(1).unwrap_or(VAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of so many waits, each with this end.
    fn looks(patience: &mut Patience, waits: u32, found: bool) -> u32 {
        let mut looks = 0;
        for _ in 0..waits {
            if patience.look().is_some() {
                looks += 1;
                if found {
                    patience.found();
                } else {
                    patience.missed();
                }
            }
        }
        looks
    }

    /// After votes of one request.
    fn steady() -> Patience {
        let mut patience = Patience::default();
        (0..STEADY).for_each(|_| patience.proposed(1));
        patience
    }

    /// Where answers take long, hardly any time is spent on looking for them; where they are near, every time is used.
    #[test]
    fn vain_looks_become_rare() {
        let mut patience = steady();
        assert_eq!(looks(&mut patience, VAIN + 100 * AGAIN, false), VAIN + 100);
        // The next request is another matter.
        patience.passed();
        assert_eq!(looks(&mut patience, 100, true), 100);
        patience.proposed(FEW);
        assert!(looks(&mut patience, 2 * AGAIN, true) > AGAIN - 1);
        assert_eq!(looks(&mut patience, 100, true), 100);
    }

    /// Nobody looks with many requests in flight, on a secondary, or before anything was proposed.
    #[test]
    fn only_a_few_requests_are_worth_it() {
        let mut patience = Patience::default();
        assert_eq!(patience.look(), None);
        patience.passed();
        assert_eq!(patience.look(), None);
        for requests in (0..10 * STEADY).map(|vote| if vote % STEADY == 0 { FEW + 1 } else { 1 }) {
            patience.proposed(requests);
            assert_eq!(patience.look(), None);
            patience.passed();
            assert_eq!(patience.look(), None);
        }
        patience.proposed(FEW);
        assert_eq!(patience.look(), Some(LOOK));
        patience.none();
        assert_eq!(patience.look(), None);
    }
}
