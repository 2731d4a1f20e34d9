//! `rsl demo --scenario`: what an operator does to a set, played under load and judged as the demo is.

mod stage;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use migration::host::Template;

use super::report::Outcome;
use stage::{Joins, Stage};

/// A course of events. Load goes on all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Three empty replicas become a set by Bootstrap; all are killed and come back without a new call. Version 4 up.
    Bootstrap,
    /// From 3 to 5 members in one change. Version 3 up.
    Grow,
    /// From 5 members to 3, of which one is new; the primary is not among them. Version 3 up.
    Shrink,
    /// The primary's machine is replaced: once in good order, once after it died. Version 3 up.
    ReplacePrimary,
    /// The primary relinquishes, three times. Version 5 up.
    Relinquish,
    /// Each replica is promoted in turn.
    Promote,
    /// From version 3 to 4, 5 and 6, one replica at a time.
    Upgrade,
}

impl Scenario {
    /// The first version that can do it.
    const fn first_version(self) -> u16 {
        match self {
            Scenario::Promote => 1,
            Scenario::Grow | Scenario::Shrink | Scenario::ReplacePrimary | Scenario::Upgrade => 3,
            Scenario::Bootstrap => 4,
            Scenario::Relinquish => 5,
        }
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Plays a scenario in `dir`.
pub(crate) fn run(
    scenario: Scenario,
    template: &Template,
    protocol: Option<u16>,
    size: usize,
    dir: &Path,
    interrupted: &AtomicBool,
) -> Result<Outcome, String> {
    let version = protocol.unwrap_or(if scenario == Scenario::Upgrade { 3 } else { 6 });
    let first = scenario.first_version();
    if version < first || scenario == Scenario::Upgrade && version > first {
        return Err(format!("scenario {} starts at version {first}", scenario.name()));
    }
    let mut stage = Stage::open(template, version, size, dir, interrupted)?;
    match scenario {
        Scenario::Bootstrap => bootstrap(&mut stage)?,
        Scenario::Grow => grow(&mut stage)?,
        Scenario::Shrink => shrink(&mut stage)?,
        Scenario::ReplacePrimary => replace_primary(&mut stage)?,
        Scenario::Relinquish => relinquish(&mut stage)?,
        Scenario::Promote => promote(&mut stage)?,
        Scenario::Upgrade => upgrade(&mut stage)?,
    }
    stage.close(scenario)
}

fn bootstrap(stage: &mut Stage<'_>) -> Result<(), String> {
    let places = stage.add_many(3, Joins::Empty)?;
    stage.step("bootstrap", |stage| {
        let answer = stage.ask(places[0], &format!("bootstrap {} 60", stage.list(&places)))?;
        if answer["rc"] != "RSLSuccess" {
            return Err(format!("Bootstrap answered {answer}"));
        }
        stage.set_members(&places);
        stage.served()
    })?;
    stage.step("all killed and restarted", |stage| {
        places.iter().for_each(|place| stage.kill(*place));
        places.iter().try_for_each(|place| stage.restart(*place))?;
        stage.served()
    })
}

/// A set started with its member list.
fn listed(stage: &mut Stage<'_>, count: usize) -> Result<Vec<usize>, String> {
    let places = stage.add_many(count, Joins::WithList)?;
    stage.set_members(&places);
    stage.step("first primary", Stage::served)?;
    Ok(places)
}

fn grow(stage: &mut Stage<'_>) -> Result<(), String> {
    let mut set = listed(stage, 3)?;
    set.extend(stage.add_many(2, Joins::Later)?);
    stage.step("3 to 5 members", |stage| stage.change(&set))
}

fn shrink(stage: &mut Stage<'_>) -> Result<(), String> {
    let old = listed(stage, 5)?;
    let mut set = stage.add_many(1, Joins::Later)?;
    let primary = stage.primary()?;
    set.extend(old.into_iter().filter(|place| *place != primary).take(2));
    stage.step("5 to 3 members without the primary", |stage| stage.change(&set))
}

fn replace_primary(stage: &mut Stage<'_>) -> Result<(), String> {
    listed(stage, 3)?;
    for dies_first in [false, true] {
        let primary = stage.primary()?;
        let step = if dies_first { "a dead primary is replaced" } else { "a living primary is replaced" };
        stage.step(step, |stage| {
            let mut set = stage.add_many(1, Joins::Later)?;
            set.extend(stage.members().iter().copied().filter(|place| *place != primary));
            if dies_first {
                stage.kill(primary);
            }
            stage.change(&set)?;
            if !dies_first {
                stage.inactive(primary)?;
            }
            stage.kill(primary);
            stage.served()
        })?;
    }
    Ok(())
}

fn relinquish(stage: &mut Stage<'_>) -> Result<(), String> {
    listed(stage, 3)?;
    for _ in 0..3 {
        stage.step("the primary relinquishes", |stage| {
            let primary = stage.primary()?;
            stage.ask(primary, "relinquish")?;
            stage.until("another primary", |stage| {
                Ok(stage.primary_now().is_some_and(|now| now != primary))
            })?;
            stage.served()
        })?;
    }
    Ok(())
}

fn promote(stage: &mut Stage<'_>) -> Result<(), String> {
    for place in listed(stage, 3)? {
        stage.step("a replica is promoted", |stage| {
            stage.until("the promoted replica to be primary", |stage| {
                // The request is easily lost: an election that goes on, a callback, a queue [HARD-332].
                if stage.primary_now() != Some(place) {
                    stage.ask(place, "promote")?;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Ok(stage.primary_now() == Some(place))
            })?;
            stage.served()
        })?;
    }
    Ok(())
}

fn upgrade(stage: &mut Stage<'_>) -> Result<(), String> {
    let places = listed(stage, 3)?;
    for version in 4..=6 {
        for place in &places {
            stage.step(&format!("a replica comes back with version {version}"), |stage| {
                stage.kill(*place);
                stage.set_version(*place, version);
                stage.restart(*place)?;
                stage.served()
            })?;
        }
        stage.step(&format!("everybody speaks version {version}"), |stage| {
            stage.until("the version in force everywhere", |stage| {
                Ok(places.iter().all(|place| {
                    stage.status(*place).is_some_and(|status| status["version"] == u64::from(version))
                }))
            })
        })?;
    }
    Ok(())
}
