//! The course of a rehearsal: the steps of a plan one after another, each with its time and its price.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fleet::{Fleet, PATIENCE, Seat};
use super::plan::{Role, Side, Step, Target};

/// A command that came to nothing is given again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Between two attempts at a promotion.
const PROMOTE_AGAIN: Duration = Duration::from_secs(1);

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
    /// Told the name of each step when it begins.
    announce: &'a mut dyn FnMut(&str),
}

impl<'a, 'b> Course<'a, 'b> {
    pub(super) fn new(fleet: &'a mut Fleet<'b>, announce: &'a mut dyn FnMut(&str)) -> Self {
        Self { fleet, played: Vec::new(), announce }
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
        (self.announce)(name);
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
            Step::Freeze { replica, seconds } => self
                .one("freeze", *replica, |fleet, place| fleet.freeze(place, Duration::from_secs(*seconds))),
            Step::LoseDisk { replica } => self.one("lose the disk of", *replica, lose_disk),
            Step::Load { on } => self.record(if *on { "load on" } else { "load off" }, false, |fleet| {
                fleet.traffic.rest(!on);
                Ok(())
            }),
            Step::Serve { requests } => {
                self.record(&format!("serve {requests} requests"), false, |fleet| fleet.serve(*requests))
            }
            Step::Checkpoint => self.record("checkpoint on every replica", false, checkpoint),
            Step::CopyCheckpoint { replica } => self.one("copy a checkpoint to", *replica, copy_checkpoint),
            Step::Members { set, within } => {
                let names: Vec<String> = set.iter().map(ToString::to_string).collect();
                self.record(&format!("change the set to {}", names.join(" ")), false, |fleet| {
                    change_set(fleet, set, Duration::from_secs(*within))
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

fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap_or_default()
}

fn await_version(fleet: &mut Fleet<'_>, version: u16) -> Result<(), String> {
    fleet.until(&format!("version {version} on every member"), PATIENCE, |fleet| {
        let members = fleet.members.clone();
        let mut running = members.into_iter().filter(|place| !fleet.seats[*place].away).collect::<Vec<_>>();
        running.retain(|place| {
            fleet.status(*place).is_none_or(|status| number(&status, "version") != u64::from(version))
        });
        Ok(running.is_empty())
    })
}

fn lose_disk(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    if !fleet.seats[place].away {
        return Err("the replica runs; kill it first".to_owned());
    }
    let dir = fleet.dir(place);
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    fs::remove_dir_all(&dir).map_err(failed)?;
    fs::create_dir(&dir).map_err(failed)
}

/// Asks the primary for a checkpoint until one is asked for, and waits until every running member has it.
fn checkpoint(fleet: &mut Fleet<'_>) -> Result<(), String> {
    let mut wanted = None;
    fleet.until("a checkpoint on every member", PATIENCE, |fleet| {
        let Some(decree) = wanted else {
            if let Some(primary) = fleet.primary_now() {
                // The primary can go away with the command under way.
                let answer = fleet.ask(primary, "checkpoint");
                if let Ok(answer) = answer
                    && answer["executed"] == 1
                {
                    wanted = answer["seq"].as_u64();
                }
            }
            return Ok(false);
        };
        let members = fleet.members.clone();
        let mut running = members.into_iter().filter(|place| !fleet.seats[*place].away).collect::<Vec<_>>();
        running.retain(|place| {
            fleet.status(*place).is_none_or(|status| number(&status, "checkpointedDecree") < decree)
        });
        Ok(running.is_empty())
    })
}

fn copy_checkpoint(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let before = number(&fleet.ask(place, "status")?, "copied");
    let mut asked: Option<Instant> = None;
    fleet.until("a checkpoint to be copied", PATIENCE, |fleet| {
        if asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
            let answer = fleet.ask(place, "copystate 7")?;
            if answer["rc"] != "RSLSuccess" {
                return Err(format!("copystate answered {answer}"));
            }
            asked = Some(Instant::now());
        }
        let copied = |status: Value| number(&status, "copied") > before && status["lastCopied"] != "";
        Ok(fleet.status(place).is_some_and(copied))
    })
}

fn change_set(fleet: &mut Fleet<'_>, set: &[usize], within: Duration) -> Result<(), String> {
    let to: Vec<usize> = set.iter().map(|number| number - 1).collect();
    let primary = fleet.primary()?;
    let configuration = |status: &Value| number(status, "configNumber");
    let old = configuration(&fleet.ask(primary, "status")?);
    let command = format!("changeconfig {}", fleet.list(&to));
    let mut asked: Option<Instant> = None;
    fleet.until("every new member to work in the new set", within, |fleet| {
        let statuses: Vec<Option<Value>> = to.iter().map(|place| fleet.status(*place)).collect();
        let arrived = statuses.iter().flatten().any(|status| configuration(status) > old);
        if !arrived && asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
            // A primary that has just lost its office refuses; the next one is asked.
            if let Some(primary) = fleet.primary_now() {
                let answer = fleet.ask(primary, &command)?;
                asked = (answer["rc"] == "RSLSuccess").then(Instant::now);
            }
        }
        let works = |status: &Value| {
            let state = status["state"].as_str().unwrap_or_default();
            configuration(status) == old + 1 && (state == "StablePrimary" || state == "StableSecondary")
        };
        Ok(statuses.iter().all(|status| status.as_ref().is_some_and(works)))
    })?;
    fleet.members = to;
    fleet.serve(1)
}

fn bootstrap(fleet: &mut Fleet<'_>, set: &[usize]) -> Result<(), String> {
    let places: Vec<usize> = set.iter().map(|number| number - 1).collect();
    let answer = fleet.ask(places[0], &format!("bootstrap {} 60", fleet.list(&places)))?;
    if answer["rc"] != "RSLSuccess" {
        return Err(format!("Bootstrap answered {answer}"));
    }
    fleet.members = places;
    fleet.serve(1)
}

fn relinquish(fleet: &mut Fleet<'_>) -> Result<(), String> {
    let primary = fleet.primary()?;
    fleet.ask(primary, "relinquish")?;
    fleet.until("another primary", PATIENCE, |fleet| {
        Ok(fleet.primary_now().is_some_and(|now| now != primary))
    })?;
    fleet.caught_up(primary)?;
    fleet.serve(1)
}

fn promote(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let mut asked: Option<Instant> = None;
    fleet.until("the promoted replica to be primary", PATIENCE, |fleet| {
        if fleet.primary_now() == Some(place) {
            return Ok(true);
        }
        // The request is easily lost: an election that goes on, a callback, a queue [HARD-332].
        if asked.is_none_or(|at| at.elapsed() > PROMOTE_AGAIN) {
            fleet.ask(place, "promote")?;
            asked = Some(Instant::now());
        }
        Ok(false)
    })?;
    fleet.serve(1)
}
