//! What is done to a replica besides stopping it: links cut, slowed or doubled, disks lost or damaged, loops and processes
//! that stand still.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use migration::host::{Link, Network};
use migration::inspect::dir::WorkingDir;
use migration::inspect::log::{Found, LogWalker};
use rsl_core::format::round_to_page;

use super::fleet::{Fleet, PATIENCE, SERVED};
use super::plan::Way;

fn network<'f>(fleet: &'f Fleet<'_>) -> Result<&'f Network, String> {
    fleet.network.as_ref().ok_or_else(|| "there are no proxies between the replicas".to_owned())
}

/// Changes what a replica says to all others and hears from them.
fn each_link(fleet: &Fleet<'_>, place: usize, way: Way, change: impl Fn(&mut Link)) -> Result<(), String> {
    let network = network(fleet)?;
    let own = fleet.id(place);
    for other in (0..fleet.seats.len()).filter(|other| *other != place) {
        let other = fleet.id(other);
        if way != Way::In {
            network.set(own, other, &change);
        }
        if way != Way::Out {
            network.set(other, own, &change);
        }
    }
    Ok(())
}

/// Cuts the links of one replica.
pub(super) fn isolate(fleet: &Fleet<'_>, place: usize, way: Way) -> Result<(), String> {
    each_link(fleet, place, way, |link| link.cut = true)?;
    fleet.sampler.cut_off(place, true);
    Ok(())
}

/// Cuts every link between two groups.
pub(super) fn partition(fleet: &Fleet<'_>, groups: &[Vec<usize>]) -> Result<(), String> {
    let network = network(fleet)?;
    for (index, group) in groups.iter().enumerate() {
        for other in
            groups.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, other)| other)
        {
            for one in group {
                network.set(fleet.id(one - 1), fleet.id(other - 1), |link| link.cut = true);
            }
        }
        if group.len() * 2 <= fleet.members.len() {
            for number in group {
                fleet.sampler.cut_off(number - 1, true);
            }
        }
    }
    Ok(())
}

/// Slows the links of a replica.
pub(super) fn delay(fleet: &Fleet<'_>, place: usize, by: Duration) -> Result<(), String> {
    each_link(fleet, place, Way::Both, |link| link.delay = by)
}

/// Doubles packets on the links of a replica.
pub(super) fn duplicate(fleet: &Fleet<'_>, place: usize, every: u64) -> Result<(), String> {
    each_link(fleet, place, Way::Both, |link| link.duplicate_every = every)
}

/// Ends all that was done to links.
pub(super) fn heal(fleet: &Fleet<'_>) -> Result<(), String> {
    network(fleet)?.heal();
    for place in 0..fleet.seats.len() {
        fleet.sampler.cut_off(place, false);
    }
    Ok(())
}

/// Stops the loop of a replica through the API for a while, then waits until it has caught up.
pub(super) fn pause(fleet: &mut Fleet<'_>, place: usize, time: Duration) -> Result<(), String> {
    fleet.ask(place, "pause")?;
    fleet.sampler.cut_off(place, true);
    let end = Instant::now() + time;
    let waited = fleet.until("the pause to end", time + PATIENCE, |_| Ok(Instant::now() >= end));
    fleet.ask(place, "resume")?;
    fleet.sampler.cut_off(place, false);
    waited?;
    fleet.caught_up(place)?;
    fleet.serve(SERVED)
}

/// Stops a process in its tracks for a while, then waits until it has caught up.
pub(super) fn freeze(fleet: &mut Fleet<'_>, place: usize, time: Duration) -> Result<(), String> {
    let pid = fleet.cluster.host(place).pid().ok_or("the replica does not run")?;
    signal(pid, "-STOP")?;
    fleet.seats[place].away = true;
    let end = Instant::now() + time;
    let waited = fleet.until("the freeze to end", time + PATIENCE, |_| Ok(Instant::now() >= end));
    signal(pid, "-CONT")?;
    fleet.seats[place].away = false;
    // An answer that was given up can still be under way on the old connection.
    fleet.cluster.disconnect(place);
    waited?;
    fleet.caught_up(place)?;
    fleet.serve(SERVED)
}

/// Sends a signal to a process of ours.
fn signal(pid: u32, signal: &str) -> Result<(), String> {
    if cfg!(not(unix)) {
        return Err("a process cannot be frozen on this system".to_owned());
    }
    let status = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kill {signal} {pid}: {status}")),
        Err(error) => Err(format!("kill: {error}")),
    }
}

fn away(fleet: &Fleet<'_>, place: usize) -> Result<std::path::PathBuf, String> {
    if fleet.seats[place].away {
        Ok(fleet.dir(place))
    } else {
        Err("the replica runs; kill it first".to_owned())
    }
}

/// Removes all files of a replica that is down.
pub(super) fn lose_disk(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let dir = away(fleet, place)?;
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    fs::remove_dir_all(&dir).map_err(failed)?;
    fs::create_dir(&dir).map_err(failed)?;
    fleet.ledger.forget(place);
    Ok(())
}

/// Damages the end of the newest log of a replica that is down.
pub(super) fn corrupt_disk(fleet: &mut Fleet<'_>, place: usize) -> Result<(), String> {
    let dir = away(fleet, place)?;
    corrupt(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    fleet.ledger.forget(place);
    Ok(())
}

/// Flips a bit in the last byte of the last whole record. What a kill has left of one behind it goes: with anything behind
/// it a damaged record is no tail, and neither library starts.
fn corrupt(dir: &Path) -> std::io::Result<()> {
    let listed = WorkingDir::open(dir)?;
    for log in listed.logs.iter().rev().map(|decree| listed.log(*decree)) {
        let mut last = None;
        for entry in LogWalker::open(&log)? {
            let entry = entry?;
            if let Found::Record(record) = &entry.found {
                last = Some(entry.offset + u64::from(record.raw.length));
            }
        }
        let Some(end) = last else { continue };
        let at = end - 1;
        let mut file = fs::OpenOptions::new().read(true).write(true).open(&log)?;
        file.set_len(round_to_page(end))?;
        let mut byte = [0];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut byte)?;
        file.seek(SeekFrom::Start(at))?;
        return file.write_all(&[byte[0] ^ 1]);
    }
    Err(std::io::Error::other("no log holds a record"))
}
