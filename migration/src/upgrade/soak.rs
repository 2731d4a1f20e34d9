//! `rsl upgrade soak`: steps drawn from a seed, one after another until the time is over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::plan::{Condition, Plan, Role, Step, Target, Way};

/// Replicas there are; the set has between three of them and all.
const REPLICAS: usize = 5;
const SMALLEST_SET: usize = 3;
/// The first version with everything that a soak does.
const FIRST_VERSION: u16 = 4;
/// The first version that can relinquish.
const FIRST_WITH_RELINQUISH: u16 = 5;

/// Where the steps come from.
#[derive(Debug)]
pub(super) struct Soak {
    random: u64,
    deadline: Instant,
    version: u16,
    /// The present members, as numbers.
    members: Vec<usize>,
    /// Steps that belong to one that was drawn before.
    queued: VecDeque<Step>,
}

impl Soak {
    /// A soak and the plan that it starts with.
    pub(super) fn new(seed: u64, seconds: u64, protocol: Option<u16>) -> Result<(Soak, Plan), String> {
        let mut soak = Soak {
            random: seed,
            deadline: Instant::now() + Duration::from_secs(seconds),
            version: 0,
            members: vec![1, 2, 3],
            queued: VecDeque::new(),
        };
        let drawn = FIRST_VERSION + u16::try_from(soak.below(3)).unwrap_or_default();
        soak.version = protocol.unwrap_or(drawn);
        if soak.version < FIRST_VERSION {
            return Err(format!("soak needs version {FIRST_VERSION} or later"));
        }
        let plan = Plan {
            title: format!("Random steps for {seconds} s, seed {seed}"),
            replicas: REPLICAS,
            members: Some(soak.members.clone()),
            version: soak.version,
            hosts: Vec::new(),
            arguments: Vec::new(),
            swap_seconds: 0,
            proxies: true,
            // A replica that was never in the set joins by copying a checkpoint.
            step: vec![Step::Checkpoint],
        };
        Ok((soak, plan))
    }

    /// The next number below `bound` (splitmix64).
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or_default()
    }

    fn draw(&mut self) -> Step {
        let replica = Target::Number(1 + self.below(REPLICAS));
        let kill = self.below(2) == 0;
        match self.below(11) {
            0..3 => Step::Upgrade { replica, kill },
            3..5 => Step::RollBack { replica, kill },
            5 => Step::Checkpoint,
            6 => {
                // Away for a while, then back.
                self.queued.push_back(Step::Serve { requests: 500 });
                self.queued.push_back(Step::Start { replica });
                Step::Kill { replica }
            }
            7 => Step::CopyCheckpoint { replica: Target::Role(Role::Secondary), wait: true },
            8 if self.version >= FIRST_WITH_RELINQUISH && kill => Step::Relinquish,
            8 => Step::Promote { replica: Target::Role(Role::Secondary) },
            9 => self.disturb(),
            _ => {
                // One member goes or one comes: a majority always has the history.
                if self.members.len() > SMALLEST_SET && kill {
                    let leaves = self.below(self.members.len());
                    self.members.remove(leaves);
                } else if let Some(joins) = (1..=REPLICAS).find(|number| !self.members.contains(number)) {
                    self.members.push(joins);
                }
                Step::Members { set: self.members.clone(), within: 60, wait: true }
            }
        }
    }
}

impl Soak {
    /// Something that a member suffers for a while, the primary more often than others. The rest is a majority.
    fn disturb(&mut self) -> Step {
        let replica = if self.below(2) == 0 {
            Target::Role(Role::Primary)
        } else {
            let member = self.below(self.members.len());
            Target::Number(self.members[member])
        };
        let step = match self.below(6) {
            0 => Step::Isolate { replica, way: Way::Both },
            1 => Step::Isolate { replica, way: Way::In },
            2 => Step::Isolate { replica, way: Way::Out },
            3 => Step::Delay { replica, milliseconds: 50 },
            4 => Step::Duplicate { replica, every: 3 },
            _ => return Step::Pause { replica, seconds: 6 },
        };
        self.queued.push_back(Step::Serve { requests: 500 });
        self.queued.push_back(Step::Heal);
        self.queued.push_back(Step::Await { until: Condition::UpToDate, replica: None, within: 60 });
        step
    }
}

impl Iterator for Soak {
    type Item = Step;

    /// The next step; none when the time is over and nothing is unfinished.
    fn next(&mut self) -> Option<Step> {
        if let Some(step) = self.queued.pop_front() {
            return Some(step);
        }
        (Instant::now() < self.deadline).then(|| self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_steps_again() {
        let steps = |seed| {
            let (mut soak, plan) = Soak::new(seed, 60, None).unwrap();
            (plan.version, (0..200).map(|_| soak.draw()).collect::<Vec<_>>())
        };
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
        for step in steps(7).1 {
            if let Step::Members { set, .. } = step {
                assert!((SMALLEST_SET..=REPLICAS).contains(&set.len()), "{set:?}");
            }
        }
        assert!(Soak::new(1, 60, Some(3)).is_err());
    }
}
