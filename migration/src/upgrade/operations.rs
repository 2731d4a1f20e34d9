//! What the steps of a plan do to the set: checkpoints, configurations, versions, offices.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::fleet::{Fleet, PATIENCE};

/// A command that came to nothing is given again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Between two attempts at a promotion.
const PROMOTE_AGAIN: Duration = Duration::from_secs(1);

fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap_or_default()
}

pub(super) fn await_version(fleet: &mut Fleet<'_>, version: u16) -> Result<(), String> {
    fleet.until(&format!("version {version} on every member"), PATIENCE, |fleet| {
        let members = fleet.members.clone();
        let mut running = members.into_iter().filter(|place| !fleet.seats[*place].away).collect::<Vec<_>>();
        running.retain(|place| {
            fleet.status(*place).is_none_or(|status| number(&status, "version") != u64::from(version))
        });
        Ok(running.is_empty())
    })
}

/// Asks the primary for a checkpoint until one is asked for, and waits until every running member has it.
pub(super) fn checkpoint(fleet: &mut Fleet<'_>) -> Result<(), String> {
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

/// Makes the state larger, so that a checkpoint takes time to write and to copy.
pub(super) fn grow(fleet: &mut Fleet<'_>, mebibytes: u64) -> Result<(), String> {
    let primary = fleet.primary()?;
    let answer = fleet.ask(primary, &format!("pad {}", mebibytes << 20))?;
    if answer["executed"] == 1 { Ok(()) } else { Err(format!("pad answered {answer}")) }
}

pub(super) fn begin_copy(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let answer = fleet.ask(place, "copystate 7")?;
    if answer["rc"] == "RSLSuccess" { Ok(()) } else { Err(format!("copystate answered {answer}")) }
}

pub(super) fn copy_checkpoint(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let before = number(&fleet.ask(place, "status")?, "copied");
    let mut asked: Option<Instant> = None;
    fleet.until("a checkpoint to be copied", PATIENCE, |fleet| {
        if asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
            begin_copy(fleet, place)?;
            asked = Some(Instant::now());
        }
        let copied = |status: Value| number(&status, "copied") > before && status["lastCopied"] != "";
        Ok(fleet.status(place).is_some_and(copied))
    })
}

/// Changes the set; `wait`: until every new member works in it, otherwise until one knows of it.
pub(super) fn change_set(
    fleet: &mut Fleet<'_>,
    set: &[usize],
    within: Duration,
    wait: bool,
) -> Result<(), String> {
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
        Ok(arrived && !wait || statuses.iter().all(|status| status.as_ref().is_some_and(works)))
    })?;
    fleet.members = to;
    fleet.serve(1)
}

pub(super) fn bootstrap(fleet: &mut Fleet<'_>, set: &[usize]) -> Result<(), String> {
    let places: Vec<usize> = set.iter().map(|number| number - 1).collect();
    let answer = fleet.ask(places[0], &format!("bootstrap {} 60", fleet.list(&places)))?;
    if answer["rc"] != "RSLSuccess" {
        return Err(format!("Bootstrap answered {answer}"));
    }
    fleet.members = places;
    fleet.serve(1)
}

pub(super) fn relinquish(fleet: &mut Fleet<'_>) -> Result<(), String> {
    let primary = fleet.primary()?;
    fleet.ask(primary, "relinquish")?;
    fleet.until("another primary", PATIENCE, |fleet| {
        Ok(fleet.primary_now().is_some_and(|now| now != primary))
    })?;
    fleet.caught_up(primary)?;
    fleet.serve(1)
}

pub(super) fn promote(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
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
