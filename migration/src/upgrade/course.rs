//! The course of a rehearsal: the steps of a plan one after another, each with its time and its price.

use std::time::{Duration, Instant};

use super::faults;
use super::fleet::{Fleet, PATIENCE, Seat};
use super::operations::{
    await_version, begin_copy, bootstrap, change_set, checkpoint, copy_checkpoint, grow, promote, relinquish,
};
use super::plan::{Condition, Role, Side, Step, Target, Way};

/// A step that was played. A step for several replicas is one of these for each.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) name: String,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// Whether a replica was swapped or restarted.
    pub(super) swap: bool,
    /// Why it failed, if it did.
    pub(super) failed: Option<String>,
}

/// What is done to one replica at a time.
#[derive(Clone, Copy)]
enum Change {
    To(Side),
    Again,
    Version(u16),
}

/// Plays steps and keeps the minutes.
pub(super) struct Course<'a, 'b> {
    fleet: &'a mut Fleet<'b>,
    pub(super) played: Vec<Played>,
}

impl<'a, 'b> Course<'a, 'b> {
    pub(super) fn new(fleet: &'a mut Fleet<'b>) -> Self {
        Self { fleet, played: Vec::new() }
    }

    /// Plays until the end or the first step that fails.
    pub(super) fn play(&mut self, mut steps: impl Iterator<Item = Step>) -> Result<(), String> {
        if !self.fleet.members.is_empty() {
            self.record("start", false, |fleet| fleet.serve(1))?;
        }
        steps.try_for_each(|step| self.step(&step))
    }

    fn record(
        &mut self,
        name: &str,
        swap: bool,
        play: impl FnOnce(&mut Fleet<'b>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.fleet.board.announce(name);
        let began = Instant::now();
        let failed = play(self.fleet).err();
        let result = failed.clone().map_or(Ok(()), |why| Err(format!("{name}: {why}")));
        self.played.push(Played { name: name.to_owned(), began, ended: Instant::now(), swap, failed });
        result
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Upgrade { replica, kill } => self.change_each(*replica, Change::To(Side::New), *kill),
            Step::RollBack { replica, kill } => self.change_each(*replica, Change::To(Side::Old), *kill),
            Step::Restart { replica, kill } => self.change_each(*replica, Change::Again, *kill),
            Step::Version { replica, to } => self.change_each(*replica, Change::Version(*to), false),
            Step::AwaitVersion { version } => {
                self.record(&format!("everybody speaks version {version}"), false, |fleet| {
                    await_version(fleet, *version)
                })
            }
            Step::Kill { replica } => self.one("kill", *replica, |fleet, place| {
                fleet.stop(place, true);
                fleet.seats[place].away = true;
                Ok(())
            }),
            Step::Start { replica } => self.one("start", *replica, |fleet, place| {
                let side = fleet.seats[place].side;
                fleet.verify(place, side, true)?;
                fleet.launch(place)?;
                fleet.caught_up(place)
            }),
            Step::Freeze { replica, seconds } => self.one("freeze", *replica, |fleet, place| {
                faults::freeze(fleet, place, Duration::from_secs(*seconds))
            }),
            Step::Pause { replica, seconds } => self.one("pause", *replica, |fleet, place| {
                faults::pause(fleet, place, Duration::from_secs(*seconds))
            }),
            Step::LoseDisk { replica } => self.one("lose the disk of", *replica, faults::lose_disk),
            Step::CorruptDisk { replica } => self.one("damage the log of", *replica, faults::corrupt_disk),
            Step::Partition { groups } => {
                let shown: Vec<String> = groups.iter().map(|group| numbers(group)).collect();
                self.record(&format!("partition {}", shown.join(" | ")), false, |fleet| {
                    faults::partition(fleet, groups)
                })
            }
            Step::Isolate { replica, way } => {
                let verb = match way {
                    Way::Both => "isolate",
                    Way::In => "make deaf",
                    Way::Out => "make mute",
                };
                self.one(verb, *replica, |fleet, place| faults::isolate(fleet, place, *way))
            }
            Step::Delay { replica, milliseconds } => {
                let by = Duration::from_millis(*milliseconds);
                self.one(&format!("{milliseconds} ms of delay around"), *replica, |fleet, place| {
                    faults::delay(fleet, place, by)
                })
            }
            Step::Duplicate { replica, every } => {
                self.one(&format!("double every {every}. packet around"), *replica, |fleet, place| {
                    faults::duplicate(fleet, place, *every)
                })
            }
            Step::Heal => self.record("heal all links", false, |fleet| faults::heal(fleet)),
            Step::Await { until, replica, within } => self.wait_for(*until, *replica, *within),
            Step::Load { on } => self.record(if *on { "load on" } else { "load off" }, false, |fleet| {
                fleet.traffic.rest(!on);
                Ok(())
            }),
            Step::Serve { requests } => {
                self.record(&format!("serve {requests} requests"), false, |fleet| fleet.serve(*requests))
            }
            Step::Checkpoint => self.record("checkpoint on every replica", false, checkpoint),
            Step::Grow { mebibytes } => {
                self.record(&format!("a state of {mebibytes} MiB"), false, |fleet| grow(fleet, *mebibytes))
            }
            Step::CopyCheckpoint { replica, wait: true } => {
                self.one("copy a checkpoint to", *replica, copy_checkpoint)
            }
            Step::CopyCheckpoint { replica, wait: false } => {
                self.one("begin to copy a checkpoint to", *replica, begin_copy)
            }
            Step::Members { set, within, wait } => {
                let verb = if *wait { "change" } else { "begin to change" };
                let within = Duration::from_secs(*within);
                self.record(&format!("{verb} the set to {}", numbers(set)), false, |fleet| {
                    change_set(fleet, set, within, *wait)
                })
            }
            Step::Bootstrap { set } => self.record("bootstrap", false, |fleet| bootstrap(fleet, set)),
            Step::Relinquish => self.record("the primary relinquishes", true, relinquish),
            Step::Promote { replica } => self.one("promote", *replica, promote),
            Step::Sleep { seconds } => self.record(&format!("wait {seconds} s"), false, |fleet| {
                let until = Instant::now() + Duration::from_secs(*seconds);
                let limit = Duration::from_secs(*seconds) + PATIENCE;
                fleet.until("time to pass", limit, |_| Ok(Instant::now() >= until))
            }),
        }
    }

    /// A step for the one replica that is meant now.
    fn one(
        &mut self,
        verb: &str,
        target: Target,
        play: impl FnOnce(&mut Fleet<'b>, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let place = match target {
            Target::Number(number) => number - 1,
            Target::Role(Role::Primary) => self.fleet.primary()?,
            Target::Role(_) => {
                let primary = self.fleet.primary()?;
                let mut members = self.fleet.members.clone();
                members.sort_unstable();
                let running =
                    members.into_iter().find(|place| *place != primary && !self.fleet.seats[*place].away);
                running.ok_or_else(|| format!("{verb}: no secondary runs"))?
            }
        };
        let name = format!("{verb} replica {}", self.fleet.name(place));
        self.record(&name, false, |fleet| play(fleet, place))
    }

    fn wait_for(&mut self, until: Condition, replica: Option<usize>, within: u64) -> Result<(), String> {
        let place = replica.map(|number| number - 1);
        let name = match (until, place) {
            (Condition::Primary, None) => "a primary serves".to_owned(),
            (Condition::Primary, Some(place)) => {
                format!("replica {} serves as primary", self.fleet.name(place))
            }
            (Condition::AnotherPrimary, place) => {
                let name = place.map(|place| self.fleet.name(place));
                format!("another than replica {} serves as primary", name.unwrap_or_default())
            }
            (Condition::UpToDate, None) => "every member is up to date".to_owned(),
            (Condition::UpToDate, Some(place)) => format!("replica {} is up to date", self.fleet.name(place)),
        };
        self.record(&format!("wait until {name}"), false, |fleet| {
            let within = Duration::from_secs(within);
            match (until, place) {
                (Condition::UpToDate, Some(place)) => fleet.caught_up_within(place, within),
                (Condition::UpToDate, None) => {
                    let members = fleet.members.clone();
                    let running = members.into_iter().filter(|place| !fleet.seats[*place].away);
                    let running: Vec<usize> = running.collect();
                    running.into_iter().try_for_each(|place| fleet.caught_up_within(place, within))
                }
                (Condition::Primary | Condition::AnotherPrimary, place) => {
                    fleet.until(&name, within, |fleet| {
                        let wanted = until == Condition::Primary;
                        let now = fleet.primary_now();
                        Ok(now.is_some() && place.is_none_or(|place| (now == Some(place)) == wanted))
                    })
                }
            }
        })
    }

    /// A change of one replica, or of several one after another.
    fn change_each(&mut self, target: Target, change: Change, kill: bool) -> Result<(), String> {
        match target {
            Target::Number(number) => self.change(number - 1, change, kill),
            Target::Role(Role::Primary) => {
                let primary = self.fleet.primary()?;
                self.change(primary, change, kill)
            }
            Target::Role(role) => {
                let mut left: Vec<usize> = (0..self.fleet.seats.len()).collect();
                left.retain(|place| !self.fleet.seats[*place].away && self.is_due(*place, change));
                if role != Role::Each {
                    left.retain(|place| self.fleet.members.contains(place));
                }
                while !left.is_empty() {
                    // The primary can be another one after each change.
                    let primary = if role == Role::Each { None } else { Some(self.fleet.primary()?) };
                    let Some(next) = left.iter().position(|place| Some(*place) != primary) else { break };
                    self.change(left.remove(next), change, kill)?;
                    if role == Role::Secondary {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    fn is_due(&self, place: usize, change: Change) -> bool {
        let seat = self.fleet.seats[place];
        match change {
            Change::To(side) => seat.side != side,
            Change::Version(version) => seat.version != version,
            Change::Again => true,
        }
    }

    fn change(&mut self, place: usize, change: Change, kill: bool) -> Result<(), String> {
        if !self.is_due(place, change) {
            return Ok(());
        }
        let seat = self.fleet.seats[place];
        let who = self.fleet.name(place);
        let (name, next) = match change {
            Change::To(side) => {
                let verb = if side == Side::New { "upgrade" } else { "roll back" };
                (format!("{verb} replica {who}"), Seat { side, ..seat })
            }
            Change::Version(version) => {
                (format!("replica {who} to version {version}"), Seat { version, ..seat })
            }
            Change::Again => (format!("restart replica {who}"), seat),
        };
        self.record(&name, true, |fleet| fleet.swap(place, next, kill))
    }
}

/// Replica numbers in a text.
fn numbers(set: &[usize]) -> String {
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
