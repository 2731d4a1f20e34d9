//! Plans: what is done to a set, read from TOML and checked before anything starts.

use std::fmt;

use serde::Deserialize;

/// Most replicas of a plan.
const MAX_REPLICAS: usize = 9;
/// Most mebibytes by which a state grows.
const MAX_GROWTH: u64 = 512;
/// Configurations can be changed from this version on.
const FIRST_WITH_CHANGES: u16 = 3;
/// A replica can start without a member list from this version on.
const FIRST_WITHOUT_LIST: u16 = 4;
/// A primary can relinquish from this version on.
const FIRST_WITH_RELINQUISH: u16 = 5;

/// Which of the two hosts a replica runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Side {
    Old,
    New,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Old => "old",
            Side::New => "new",
        })
    }
}

/// The replica of a step. Replicas are numbered from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Target {
    Number(usize),
    Role(Role),
}

/// A replica by what it is when the step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// The primary.
    Primary,
    /// The running member with the lowest number that is not primary.
    Secondary,
    /// One after another: all running members that are no primary when their turn comes.
    Secondaries,
    /// One after another: all running replicas, by number.
    Each,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Step {
    /// Stops a replica and starts the new host on its directory; one that runs the new host already is left alone.
    Upgrade {
        replica: Target,
        #[serde(default)]
        kill: bool,
    },
    /// As an upgrade, to the old host.
    RollBack {
        replica: Target,
        #[serde(default)]
        kill: bool,
    },
    /// Stops a replica and starts the same host again.
    Restart {
        replica: Target,
        #[serde(default)]
        kill: bool,
    },
    /// Restarts a replica with another protocol version.
    Version { replica: Target, to: u16 },
    /// Waits until all members speak a version.
    AwaitVersion { version: u16 },
    /// Kills a replica, which stays away.
    Kill { replica: Target },
    /// Starts a replica that stays away.
    Start { replica: Target },
    /// Stops a process in its tracks (SIGSTOP) and lets it go on after a while, not knowing that time has passed.
    Freeze { replica: Target, seconds: u64 },
    /// Stops the loop of a replica through the API, while its process goes on.
    Pause { replica: Target, seconds: u64 },
    /// Removes the files of a replica that stays away.
    LoseDisk { replica: Target },
    /// Damages the last record in the newest log of a replica that stays away.
    CorruptDisk { replica: Target },
    /// Cuts all links between replicas of different groups, both ways.
    Partition { groups: Vec<Vec<usize>> },
    /// Cuts the links of a replica: both ways, or only what it says (`out`) or hears (`in`).
    Isolate {
        replica: Target,
        #[serde(default)]
        way: Way,
    },
    /// Delays everything that a replica says and hears.
    Delay { replica: Target, milliseconds: u64 },
    /// Lets every n-th packet of each link of a replica arrive twice.
    Duplicate { replica: Target, every: u64 },
    /// Ends all that was done to links.
    Heal,
    /// Requests go on or pause.
    Load { on: bool },
    /// Waits until so many more requests were served.
    Serve { requests: u64 },
    /// Waits until something is so.
    Await {
        until: Condition,
        replica: Option<usize>,
        #[serde(default = "default_within")]
        within: u64,
    },
    /// Takes a checkpoint on every replica.
    Checkpoint,
    /// Makes the state so many mebibytes larger.
    Grow { mebibytes: u64 },
    /// Copies the checkpoint of another replica through the API; `wait = false`: the next step begins meanwhile.
    CopyCheckpoint {
        replica: Target,
        #[serde(default = "default_wait")]
        wait: bool,
    },
    /// Changes the configuration; `within`: seconds until all its members work in it. `wait = false`: the next step begins
    /// meanwhile.
    Members {
        set: Vec<usize>,
        #[serde(default = "default_within")]
        within: u64,
        #[serde(default = "default_wait")]
        wait: bool,
    },
    /// Bootstraps replicas that were started without members.
    Bootstrap { set: Vec<usize> },
    /// The primary gives up its office.
    Relinquish,
    /// Makes a replica primary.
    Promote { replica: Target },
    /// Lets time pass.
    Sleep { seconds: u64 },
}

const fn default_within() -> u64 {
    60
}

const fn default_wait() -> bool {
    true
}

/// Which directions of a replica's links are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    #[default]
    Both,
    /// What others say to it.
    In,
    /// What it says.
    Out,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Condition {
    /// A primary serves; with a replica: this one.
    Primary,
    /// Another replica than this one serves as primary.
    AnotherPrimary,
    /// The replica, or every member, has executed what all had executed when the step began.
    UpToDate,
}

/// What a rehearsal does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Plan {
    /// One line for `--list`.
    pub(super) title: String,
    /// How many replicas there are.
    pub(super) replicas: usize,
    /// The first members; all replicas when it is missing, none before a bootstrap when it is empty.
    pub(super) members: Option<Vec<usize>>,
    /// The protocol version they start with.
    #[serde(default = "default_version")]
    pub(super) version: u16,
    /// What each replica runs at the beginning; the old host when it is missing.
    #[serde(default)]
    pub(super) hosts: Vec<Side>,
    /// Arguments for every host.
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    /// How long a replica is down while its program is exchanged. Longer than the election delay (4 s in tests), and the
    /// others elect a primary meanwhile; shorter, and an old primary may take its office again.
    #[serde(default)]
    pub(super) swap_seconds: u64,
    /// Puts proxies between the replicas although no step of the plan needs them.
    #[serde(default)]
    pub(super) proxies: bool,
    #[serde(default)]
    pub(super) step: Vec<Step>,
}

const fn default_version() -> u16 {
    4
}

impl Plan {
    /// Reads a plan; `protocol` replaces its first version.
    pub(super) fn parse(text: &str, protocol: Option<u16>) -> Result<Plan, String> {
        let mut plan: Plan = toml::from_str(text).map_err(|error| error.to_string())?;
        plan.version = protocol.unwrap_or(plan.version);
        plan.check()?;
        Ok(plan)
    }

    /// The members at the beginning.
    pub(super) fn first_members(&self) -> Vec<usize> {
        self.members.clone().unwrap_or_else(|| (1..=self.replicas).collect())
    }

    /// Whether links are disturbed, for which the replicas need proxies between them.
    pub(super) fn disturbs_links(&self) -> bool {
        let disturbs = |step: &Step| {
            matches!(
                step,
                Step::Partition { .. } | Step::Isolate { .. } | Step::Delay { .. } | Step::Duplicate { .. }
            )
        };
        self.proxies || self.step.iter().any(disturbs)
    }

    /// What a replica runs at the beginning.
    pub(super) fn first_host(&self, number: usize) -> Side {
        self.hosts.get(number - 1).copied().unwrap_or(Side::Old)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_REPLICAS).contains(&self.replicas) {
            return Err(format!("replicas is {}, expected 1 to {MAX_REPLICAS}", self.replicas));
        }
        if !(1..=6).contains(&self.version) {
            return Err(format!("version is {}, expected 1 to 6", self.version));
        }
        if !self.hosts.is_empty() && self.hosts.len() != self.replicas {
            return Err(format!("hosts names {} of {} replicas", self.hosts.len(), self.replicas));
        }
        let members = self.first_members();
        self.numbers("members", &members)?;
        if members.len() < self.replicas && self.version < FIRST_WITHOUT_LIST {
            return Err(format!(
                "replicas outside the first members need version {FIRST_WITHOUT_LIST} or later"
            ));
        }
        let mut version = self.version;
        for (number, step) in (1..).zip(&self.step) {
            self.check_step(step, &mut version).map_err(|why| format!("step {number}: {why}"))?;
        }
        Ok(())
    }

    /// `version`: the highest that the set can speak by then.
    fn check_step(&self, step: &Step, version: &mut u16) -> Result<(), String> {
        let needs = |first: u16| {
            if *version < first { Err(format!("needs version {first} or later")) } else { Ok(()) }
        };
        match step {
            Step::Upgrade { replica, .. }
            | Step::RollBack { replica, .. }
            | Step::Restart { replica, .. }
            | Step::Promote { replica }
            | Step::CopyCheckpoint { replica, .. }
            | Step::Freeze { replica, .. }
            | Step::Pause { replica, .. }
            | Step::Isolate { replica, .. }
            | Step::Delay { replica, .. }
            | Step::Kill { replica } => self.target(*replica),
            Step::Duplicate { replica, every } => match every {
                0 => Err("every is 0".to_owned()),
                _ => self.target(*replica),
            },
            Step::Partition { groups } => self.numbers("groups", &groups.concat()),
            Step::Await { until, replica, .. } => match (until, replica) {
                (Condition::AnotherPrimary, None) => Err("than which replica is not said".to_owned()),
                _ => self.numbers("replica", replica.as_slice()),
            },
            Step::Grow { mebibytes } => match mebibytes {
                1..=MAX_GROWTH => Ok(()),
                _ => Err(format!("mebibytes is {mebibytes}, expected 1 to {MAX_GROWTH}")),
            },
            Step::Start { replica } | Step::LoseDisk { replica } | Step::CorruptDisk { replica } => {
                match replica {
                    Target::Number(_) => self.target(*replica),
                    Target::Role(_) => {
                        Err("a replica that is away has no role; its number is needed".to_owned())
                    }
                }
            }
            Step::Version { replica, to } => {
                if !(1..=6).contains(to) {
                    return Err(format!("version {to}, expected 1 to 6"));
                }
                *version = (*version).max(*to);
                self.target(*replica)
            }
            Step::AwaitVersion { version: wanted } if wanted > version => {
                Err(format!("no replica speaks version {wanted} by then"))
            }
            Step::Members { set, .. } => {
                needs(FIRST_WITH_CHANGES)?;
                self.set(set)
            }
            Step::Bootstrap { set } => {
                needs(FIRST_WITHOUT_LIST)?;
                self.set(set)
            }
            Step::Relinquish => needs(FIRST_WITH_RELINQUISH),
            Step::AwaitVersion { .. }
            | Step::Load { .. }
            | Step::Serve { .. }
            | Step::Checkpoint
            | Step::Heal
            | Step::Sleep { .. } => Ok(()),
        }
    }

    fn target(&self, target: Target) -> Result<(), String> {
        match target {
            Target::Number(number) => self.numbers("replica", &[number]),
            Target::Role(_) => Ok(()),
        }
    }

    fn set(&self, set: &[usize]) -> Result<(), String> {
        if set.is_empty() { Err("the set is empty".to_owned()) } else { self.numbers("set", set) }
    }

    fn numbers(&self, what: &str, numbers: &[usize]) -> Result<(), String> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < numbers.len() {
            return Err(format!("{what} names a replica twice"));
        }
        match numbers.iter().find(|number| !(1..=self.replicas).contains(number)) {
            Some(number) => Err(format!("{what} names replica {number}, there are 1 to {}", self.replicas)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_with_its_defaults() {
        let text = r#"
            title = "t"
            replicas = 3
            [[step]]
            do = "upgrade"
            replica = 2
            [[step]]
            do = "upgrade"
            replica = "secondaries"
            kill = true
        "#;
        let plan = Plan::parse(text, Some(3)).unwrap();
        assert_eq!((plan.version, plan.first_members()), (3, vec![1, 2, 3]));
        assert_eq!(plan.first_host(3), Side::Old);
        assert_eq!(plan.step[0], Step::Upgrade { replica: Target::Number(2), kill: false });
        assert_eq!(plan.step[1], Step::Upgrade { replica: Target::Role(Role::Secondaries), kill: true });
    }

    #[test]
    fn wrong_plans_are_refused_with_a_reason() {
        let head = "title = \"t\"\nreplicas = 3\n";
        for (rest, expected) in [
            ("versoin = 3", "versoin"),
            ("version = 7", "expected 1 to 6"),
            ("hosts = [\"old\"]", "hosts names 1 of 3"),
            ("members = [1, 4]", "replica 4"),
            ("members = [1, 1]", "twice"),
            ("version = 3\nmembers = [1, 2]", "need version 4"),
            ("[[step]]\ndo = \"dance\"", "dance"),
            ("[[step]]\ndo = \"kill\"", "replica"),
            ("[[step]]\ndo = \"kill\"\nreplica = 9", "step 1: replica names replica 9"),
            ("[[step]]\ndo = \"start\"\nreplica = \"primary\"", "number is needed"),
            ("version = 2\n[[step]]\ndo = \"members\"\nset = [1]", "needs version 3"),
            ("[[step]]\ndo = \"relinquish\"", "needs version 5"),
            ("[[step]]\ndo = \"members\"\nset = []", "empty"),
            ("[[step]]\ndo = \"duplicate\"\nreplica = 1\nevery = 0", "every is 0"),
            ("[[step]]\ndo = \"partition\"\ngroups = [[1], [2, 1]]", "groups names a replica twice"),
            ("[[step]]\ndo = \"isolate\"\nreplica = 1\nway = \"up\"", "up"),
            ("[[step]]\ndo = \"await\"\nuntil = \"another-primary\"", "than which replica"),
            ("[[step]]\ndo = \"corrupt-disk\"\nreplica = \"primary\"", "number is needed"),
            ("[[step]]\ndo = \"grow\"\nmebibytes = 0", "expected 1 to 512"),
            ("[[step]]\ndo = \"await-version\"\nversion = 6", "no replica speaks version 6"),
        ] {
            let why = Plan::parse(&format!("{head}{rest}"), None).unwrap_err();
            assert!(why.contains(expected), "{rest}: {why}");
        }
    }
}
