//! Cases: three hosts together.

use std::time::{Duration, Instant};

use migration::exec_log::History;
use migration::host::Member;
use migration::oracle::{Oracle, Random};
use serde_json::{Value, json};

use super::Case;
use super::checks::{Failure, ensure, has, hash, number, same, text};
use super::lab::{LATER, Lab, SOON, Set, is_recovered_primary, pause};

pub(crate) const CASES: &[&Case] = &[
    &Case { name: "three hosts elect, replicate and agree", run: agree },
    &Case { name: "a killed primary is replaced and comes back", run: replaced },
    &Case { name: "a requested checkpoint is taken on every replica", run: checkpoints },
    &Case { name: "a secondary can be promoted", run: promoted },
    &Case { name: "a primary that relinquishes ends with 0 and is replaced", run: relinquished },
    &Case { name: "a state copy brings the checkpoint of another replica", run: state_copied },
    &Case { name: "a replica that fell behind copies a checkpoint and ends with 0", run: fell_behind },
    &Case { name: "a set is bootstrapped", run: bootstrapped },
    &Case { name: "a set grows by a configuration change", run: grown },
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

fn promoted(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let first = set.wait_primary()?;
    let second = (first + 1) % 3;
    let deadline = Instant::now() + LATER;
    // An attempt can be lost to the primary's next vote.
    while !is_recovered_primary(&set.hosts[second].status()?) {
        ensure(Instant::now() < deadline, || "the secondary was not promoted".to_owned())?;
        same("answer to promote", set.hosts[second].ask("promote")?, json!({"ok": true}))?;
        std::thread::sleep(Duration::from_secs(1));
    }
    has(&set.hosts[second].ask("replicate a1")?, "executed", 1)
}

fn relinquished(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let first = set.wait_primary()?;
    has(&set.hosts[first].ask("replicate-random 50 32")?, "executed", 50)?;
    same("answer to relinquish", set.hosts[first].ask("relinquish")?, json!({"ok": true}))?;
    if lab.version() < 5 {
        // Votes cannot say it; nothing happens.
        std::thread::sleep(Duration::from_secs(2));
        return has(&set.hosts[first].ask("replicate a1")?, "executed", 1);
    }
    let ended = set.hosts[first].host.wait_exit(LATER);
    let ended = ended.ok_or_else(|| Failure::broken("it runs on after relinquishing"))?;
    same("exit code of the old primary", ended.code(), Some(0))?;
    set.hosts[first].host.kill();
    let second = set.wait_primary()?;
    has(&set.hosts[second].ask("replicate-random 50 32")?, "executed", 50)?;
    set.hosts[first].restart()?;
    settled(&mut set, 100)?;
    Ok(())
}

fn state_copied(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &[])?;
    let primary = set.wait_primary()?;
    has(&set.hosts[primary].ask("replicate-random 20 32")?, "executed", 20)?;
    has(&set.hosts[primary].ask("checkpoint")?, "executed", 1)?;
    for running in &mut set.hosts {
        running.wait("the checkpoint is taken", LATER, |status| status["checkpointedDecree"] != 0)?;
    }
    let secondary = &mut set.hosts[(primary + 1) % 3];
    let before = number(&secondary.status()?, "copied")?;
    has(&secondary.ask("copystate 7")?, "rc", "RSLSuccess")?;
    let done = secondary.wait("the state is copied", LATER, |status| {
        number(status, "copied").is_ok_and(|copied| copied > before)
    })?;
    ensure(done["lastCopied"] != "", || format!("nothing was copied: {done}"))
}

fn fell_behind(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(3, &["--maxLogs", "1", "--maxCheckpoints", "1", "--maxLogLenMB", "1"])?;
    let primary = set.wait_primary()?;
    let behind = (primary + 1) % 3;
    has(&set.hosts[primary].ask("replicate-random 10 32")?, "executed", 10)?;
    let accepted = number(&set.hosts[behind].status()?, "maxAcceptedDecree")?;
    set.hosts[behind].host.kill();
    // It may have accepted a heartbeat since.
    let known = accepted + 2;
    // Several log files, and a checkpoint that makes the old ones superfluous.
    for _ in 0..3 {
        has(&set.hosts[primary].ask("replicate-random 150 20000 10 20000")?, "executed", 150)?;
        has(&set.hosts[primary].ask("checkpoint")?, "executed", 1)?;
    }
    let running: Vec<usize> = (0..3).filter(|place| *place != behind).collect();
    for place in running {
        let wanted = |status: &Value| status["logs"][0]["min"].as_u64() > Some(known + 1);
        set.hosts[place].wait("the old logs are gone", LATER, wanted)?;
    }
    set.hosts[behind].host.restart()?;
    let ended = set.hosts[behind].host.wait_exit(LATER);
    let ended =
        ended.ok_or_else(|| Failure::broken("it runs on, although no log can bring it up to date"))?;
    same("exit code after copying a checkpoint", ended.code(), Some(0))?;
    set.hosts[behind].restart()?;
    // A first answer from a peer without the logs makes it copy once more.
    for _ in 0..5 {
        match set.hosts[behind].host.wait_exit(Duration::from_secs(2)) {
            Some(status) => {
                same("exit code after another copy", status.code(), Some(0))?;
                set.hosts[behind].restart()?;
            }
            None => break,
        }
    }
    settled(&mut set, 463)?;
    // It skipped what the checkpoint holds.
    one_history(&set, 0)?;
    Ok(())
}

/// Has twenty requests executed by the primary, once all members follow it and nobody is about to outbid it; gives its
/// place.
fn twenty(set: &mut Set) -> Result<usize, Failure> {
    let deadline = Instant::now() + LATER;
    let primary = loop {
        let primary = set.wait_primary()?;
        let lead = set.hosts[primary].status()?;
        let mut follow = true;
        for place in (0..set.hosts.len()).filter(|place| *place != primary) {
            let status = set.hosts[place].status()?;
            let follows = status["state"] == "StableSecondary" && status["maxBallot"] == lead["maxBallot"];
            follow &= follows || status["state"] == "PaxosInactive";
        }
        if follow {
            break primary;
        }
        ensure(Instant::now() < deadline, || "the members do not settle on a primary".to_owned())?;
        pause();
    };
    has(&set.hosts[primary].ask("replicate-random 20 32")?, "executed", 20)?;
    Ok(primary)
}

fn bootstrapped(lab: &Lab) -> Result<(), Failure> {
    if lab.version() < 4 {
        return Err(Failure::Unsupported("bootstrap exists from version 4 on".to_owned()));
    }
    let (all, _leases) = lab.settings(3, &["--new-api"])?;
    let mut hosts = Vec::with_capacity(3);
    for (place, mut settings) in all.into_iter().enumerate().rev() {
        if place == 0 {
            // Asks the others, which run already.
            settings.extra = ["--bootstrap", "--bootstrap-timeout", "30"].map(str::to_owned).to_vec();
        }
        hosts.push(lab.start(settings)?);
    }
    let mut set = Set::of(hosts);
    twenty(&mut set)?;
    settled(&mut set, 20)?;
    let printed = std::fs::read_to_string(set.hosts[2].host.settings().output())?;
    ensure(printed.lines().any(|line| line.trim_end() == "BOOTSTRAP RSLSuccess"), || printed)?;
    // The members are in the files now.
    for running in &mut set.hosts {
        running.restart()?;
    }
    twenty(&mut set)?;
    settled(&mut set, 40)?;
    Ok(())
}

fn grown(lab: &Lab) -> Result<(), Failure> {
    let (all, _leases) = lab.settings(3, &[])?;
    let members: Vec<Member> = all.iter().map(|settings| settings.member.clone()).collect();
    let mut hosts = Vec::with_capacity(3);
    for mut settings in all {
        // The third is no member yet: who it is comes from {self} of the template.
        settings.members = members[..2].to_vec();
        hosts.push(lab.start(settings)?);
    }
    let mut set = Set::of(hosts);
    let primary = twenty(&mut set)?;
    let answer = set.hosts[primary].ask(&format!("changeconfig {}", Member::list(&members)))?;
    if lab.version() < 3 {
        return ensure(text(&answer, "rc")? != "RSLSuccess", || "changed below version 3".to_owned());
    }
    has(&answer, "rc", "RSLSuccess")?;
    let number = |status: &Value| status["stateConfigNumber"].as_u64();
    let before = Some(1);
    for running in &mut set.hosts {
        running.wait("the configuration is in force", LATER, |status| number(status) > before)?;
    }
    twenty(&mut set)?;
    settled(&mut set, 40)?;
    let config = set.hosts[2].ask("config")?;
    same("members", config["members"].as_array().map(Vec::len), Some(3))
}
