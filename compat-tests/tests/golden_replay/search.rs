//! The orders in which a replica may have looked at what it had received, and the search for one that explains a record.

use rsl_core::engine::ConnectionId;

use crate::replay::Deviation;

/// How many of the latest choices are changed.
const CHOICES: usize = 60;
/// How many of these changed orders are changed once more, and in how many of their latest choices.
const PAIRS: usize = 40;
const NEAR: usize = 10;

/// What happens next in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The recorded message has been said: go on.
    Take,
    /// The application calls something.
    Call,
    /// The first message of this connection is looked at.
    Feed(ConnectionId),
    /// The first vote of this connection is looked at, ahead of what came before it: votes have a queue of their own.
    FeedVote(ConnectionId),
    /// All its votes are looked at, ahead of what came before them.
    FeedVotes(ConnectionId),
    /// Time passes until something is said.
    Wait,
}

/// The choices of a replay. The record does not show in which order the threads of the recorded replica took what it had
/// received: a replay tries the orders until one explains the record.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) made: Vec<Made>,
    pub(crate) next: usize,
}

/// A choice that was made, and of what.
#[derive(Clone)]
pub(crate) struct Made {
    chosen: Choice,
    of: Vec<Choice>,
}

impl Script {
    pub(crate) fn choose(&mut self, choices: &[Choice]) -> Option<Choice> {
        if choices.len() < 2 {
            return choices.first().copied();
        }
        let of = choices.to_vec();
        match self.made.get_mut(self.next) {
            Some(made) if of.contains(&made.chosen) => made.of = of,
            // From here on it goes its own way.
            _ => {
                self.made.truncate(self.next);
                self.made.push(Made { chosen: of[0], of });
            }
        }
        self.next += 1;
        self.made.get(self.next - 1).map(|made| made.chosen)
    }

    /// The same up to a choice, and there another one; the latest choices first. With `goes_on` what was chosen before
    /// comes behind that, as far as it can.
    fn variants(&self, last: usize, goes_on: bool) -> Vec<Script> {
        let first = self.made.len().saturating_sub(last);
        let mut variants = Vec::new();
        for at in (first..self.made.len()).rev() {
            let Made { chosen, of } = &self.made[at];
            for other in of.iter().filter(|other| *other != chosen) {
                let mut made = self.made[..at].to_vec();
                made.push(Made { chosen: *other, of: of.clone() });
                if goes_on {
                    made.extend_from_slice(&self.made[at..]);
                }
                variants.push(Script { made, next: 0 });
            }
        }
        variants
    }
}

/// An order and how far it explains the record.
pub(crate) struct Found {
    pub(crate) matched: usize,
    /// Messages of its own beyond the record, to peers that could have got them.
    pub(crate) surplus: usize,
    /// Why it cannot be followed further, if for a good reason.
    pub(crate) ended: Option<&'static str>,
    /// Answers that were said and not looked for when it ended, and messages that had not been looked at.
    pub(crate) extra: usize,
    pub(crate) script: Script,
    pub(crate) deviation: Option<Deviation>,
}

pub(crate) fn improved(here: &Found, run: &mut dyn FnMut(Script) -> Found) -> Option<Found> {
    let better = |found: &Found| {
        found.deviation.is_none()
            || found.matched > here.matched
            || (found.matched == here.matched && found.extra < here.extra)
    };
    let mut near = Vec::new();
    for script in here.script.variants(CHOICES, false) {
        let found = run(script);
        if better(&found) {
            return Some(found);
        }
        near.push(found);
    }
    for script in here.script.variants(CHOICES, true) {
        let found = run(script);
        if better(&found) {
            return Some(found);
        }
    }
    for other in near.iter().take(PAIRS) {
        for script in other.script.variants(NEAR, false) {
            let found = run(script);
            if better(&found) {
                return Some(found);
            }
        }
    }
    None
}
