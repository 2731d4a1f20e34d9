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

/// The choices of a replay: which were made, of how many. The record does not show in which order the threads of the
/// recorded replica took what it had received: a replay tries the orders until one explains the record.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) made: Vec<(usize, usize)>,
    pub(crate) next: usize,
}

impl Script {
    pub(crate) fn choose(&mut self, choices: &[Choice]) -> Option<Choice> {
        if choices.len() < 2 {
            return choices.first().copied();
        }
        if self.next == self.made.len() {
            self.made.push((0, choices.len()));
        }
        let (index, _) = self.made[self.next];
        self.next += 1;
        choices.get(index).copied()
    }

    /// The same up to a choice, and there another one; the latest choices first.
    fn variants(&self, last: usize) -> Vec<Script> {
        let first = self.made.len().saturating_sub(last);
        let mut variants = Vec::new();
        for at in (first..self.made.len()).rev() {
            let (chosen, count) = self.made[at];
            for other in (0..count).filter(|other| *other != chosen) {
                let mut made = self.made[..at].to_vec();
                made.push((other, count));
                variants.push(Script { made, next: 0 });
            }
        }
        variants
    }
}

/// An order and how far it explains the record.
pub(crate) struct Found {
    pub(crate) matched: usize,
    /// Answers that were said and not looked for when it ended.
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
    for script in here.script.variants(CHOICES) {
        let found = run(script);
        if better(&found) {
            return Some(found);
        }
        near.push(found);
    }
    for other in near.iter().take(PAIRS) {
        for script in other.script.variants(NEAR) {
            let found = run(script);
            if better(&found) {
                return Some(found);
            }
        }
    }
    None
}
