//! Cases: three hosts together.

use std::time::Instant;

use migration::exec_log::History;
use migration::oracle::{Oracle, Random};

use super::Case;
use super::checks::{Failure, ensure, has, hash, number, same};
use super::lab::{LATER, Lab, SOON, Set, pause};

pub(crate) const CASES: &[&Case] = &[
    &Case { name: "three hosts elect, replicate and agree", run: agree },
    &Case { name: "a killed primary is replaced and comes back", run: replaced },
    &Case { name: "a requested checkpoint is taken on every replica", run: checkpoints },
];

/// Waits until every running host has executed the same; gives count and hash.
fn settled(set: &mut Set, count: u64) -> Result<u64, Failure> {
    let deadline = Instant::now() + LATER;
    loop {
        let mut hashes = Vec::new();
        for running in set.hosts.iter_mut().filter(|running| running.host.pid().is_some()) {
            let status = running.status()?;
            if status["count"] == count {
                hashes.push(hash(&status)?);
            }
        }
        let running = set.hosts.iter().filter(|running| running.host.pid().is_some()).count();
        if hashes.len() == running {
            hashes.dedup();
            ensure(hashes.len() == 1, || format!("the hashes differ: {hashes:x?}"))?;
            return Ok(hashes[0]);
        }
        ensure(Instant::now() < deadline, || format!("not every replica executed {count} requests"))?;
        pause();
    }
}

/// One history in all exec logs, of at least so many requests.
fn one_history(set: &Set, requests: usize) -> Result<History, Failure> {
    let mut history = History::default();
    for running in &set.hosts {
        history.add(running.host.id(), &running.exec_log(requests)?).map_err(Failure::broken)?;
    }
    Ok(history)
}

fn agree(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let primary = set.wait_primary()?;
    for place in (0..3).filter(|place| *place != primary) {
        let answer = set.hosts[place].ask("replicate a1")?;
        has(&answer, "rc", "RSLNotPrimary")?;
        has(&answer, "executed", 0)?;
    }
    let mut oracle = Oracle::default();
    let mut random = Random::seeded(9);
    for _ in 0..500 {
        oracle.execute(0, &random.request(64));
    }
    let answer = set.hosts[primary].ask("replicate-random 500 64 50 15000 9")?;
    has(&answer, "executed", 500)?;
    same("hash on every replica", settled(&mut set, 500)?, oracle.hash)?;
    same("requests in the exec logs", one_history(&set, 500)?.len(), 500)?;
    let primary_id = set.hosts[primary].host.id().to_owned();
    for running in &mut set.hosts {
        has(&running.status()?, "currentPrimary", primary_id.as_str())?;
        let config = running.ask("config")?;
        same("members", config["members"].as_array().map(Vec::len), Some(3))?;
    }
    let replicas = set.hosts[primary].ask("replicas")?.to_string();
    for running in &set.hosts {
        ensure(replicas.contains(running.host.id()), || {
            format!("{} is missing: {replicas}", running.host.id())
        })?;
    }
    Ok(())
}

fn replaced(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let first = set.wait_primary()?;
    has(&set.hosts[first].ask("replicate-random 100 32")?, "executed", 100)?;
    set.hosts[first].host.kill();
    let second = set.wait_primary()?;
    ensure(second != first, || "the killed host is primary".to_owned())?;
    has(&set.hosts[second].ask("replicate-random 100 32")?, "executed", 100)?;
    set.hosts[first].restart()?;
    settled(&mut set, 200)?;
    one_history(&set, 200)?;
    Ok(())
}

fn checkpoints(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let primary = set.wait_primary()?;
    has(&set.hosts[primary].ask("replicate-random 20 32")?, "executed", 20)?;
    has(&set.hosts[primary].ask("checkpoint")?, "executed", 1)?;
    let decree = number(&set.hosts[primary].status()?, "lastSeq")?;
    for running in &mut set.hosts {
        running.wait("the checkpoint is taken", LATER, |status| status["checkpointedDecree"] == decree)?;
        let file = running.host.settings().dir.join(format!("{decree}.codex"));
        ensure(file.is_file(), || format!("{} is missing", file.display()))?;
    }
    let last = &mut set.hosts[primary];
    has(&last.control.ask("replicate a1", SOON)?, "executed", 1)
}
