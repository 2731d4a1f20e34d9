//! The set that a scenario is played with: hosts that come and go, and the verdict.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use migration::exec_log::{self, History};
use migration::host::ports::{self, PortLease};
use migration::host::{Cluster, HostError, HostSettings, Member, Template};
use serde_json::Value;

use super::super::legacy::member_dir;
use super::super::report::{INACTIVE, Outcome, Replica};
use super::Scenario;
use crate::client::{Load, Traffic};

const READY: Duration = Duration::from_secs(30);
/// Everything that is waited for in a step.
const PATIENCE: Duration = Duration::from_secs(90);
/// A configuration change is asked for again when nothing came of it.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// Requests that must be served before a step is over.
const SERVED: u64 = 256;
const LOOK: Duration = Duration::from_millis(20);

/// How a replica is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    /// With the list of those that are added together.
    WithList,
    /// Without members; waits for Bootstrap.
    Empty,
    /// To be added to a set: without members where the version allows that, else with the new list.
    Later,
}

/// The set, the load, and what happened so far.
pub(super) struct Stage<'a> {
    cluster: Cluster,
    template: &'a Template,
    version: u16,
    dir: &'a Path,
    logs: PathBuf,
    interrupted: &'a AtomicBool,
    traffic: Traffic,
    /// Ports of the replicas and of their control connections.
    leases: Vec<PortLease>,
    /// Places of the members of the present configuration.
    members: Vec<usize>,
    /// Replicas whose machine is gone.
    gone: BTreeSet<usize>,
    began: Instant,
    steps: Vec<(String, Duration)>,
}

fn text(error: HostError) -> String {
    error.to_string()
}

impl<'a> Stage<'a> {
    pub(super) fn open(
        template: &'a Template,
        version: u16,
        size: usize,
        dir: &'a Path,
        interrupted: &'a AtomicBool,
    ) -> Result<Stage<'a>, String> {
        let logs = dir.join("logs");
        fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let chance = std::hash::RandomState::new().build_hasher().finish();
        Ok(Stage {
            cluster: Cluster::start(template, Vec::new(), READY).map_err(text)?,
            template,
            version,
            dir,
            logs,
            interrupted,
            traffic: Traffic::start(Load::new(chance, size)),
            leases: Vec::new(),
            members: Vec::new(),
            gone: BTreeSet::new(),
            began: Instant::now(),
            steps: Vec::new(),
        })
    }

    /// Starts new replicas with empty directories; gives their places.
    pub(super) fn add_many(&mut self, count: usize, joins: Joins) -> Result<Vec<usize>, String> {
        let leases = ports::lease(2 * count).map_err(text)?;
        let first = self.cluster.len();
        let ids = (first..).map(|place| (101 + place).to_string());
        let new: Vec<Member> =
            ids.zip(&leases[..count]).map(|(id, lease)| Member::on_loopback(id, lease.first())).collect();
        let known = self.members.iter().map(|place| self.cluster.host(*place).settings().member.clone());
        let list: Vec<Member> = match joins {
            Joins::WithList | Joins::Empty => new.clone(),
            Joins::Later => known.chain(new.iter().cloned()).collect(),
        };
        let without_list = joins == Joins::Empty || joins == Joins::Later && self.version >= 4;
        for (member, control) in new.iter().zip(&leases[count..]) {
            let dir = member_dir(self.dir, &member.id);
            fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let settings = HostSettings {
                member: member.clone(),
                dir,
                version: self.version,
                members: list.clone(),
                control_port: control.first(),
                log_dir: self.logs.clone(),
                extra: if without_list { vec!["--new-api".to_owned()] } else { Vec::new() },
            };
            self.cluster.add(self.template, settings, READY).map_err(text)?;
            self.traffic.add(&member.id, control.first());
        }
        self.leases.extend(leases);
        Ok((first..first + count).collect())
    }

    pub(super) fn members(&self) -> &[usize] {
        &self.members
    }

    pub(super) fn set_members(&mut self, places: &[usize]) {
        self.members = places.to_vec();
    }

    /// Members as the commands take them.
    pub(super) fn list(&self, places: &[usize]) -> String {
        let members = places.iter().map(|place| self.cluster.host(*place).settings().member.clone());
        Member::list(&members.collect::<Vec<_>>())
    }

    pub(super) fn kill(&mut self, place: usize) {
        self.cluster.kill(place);
        self.gone.insert(place);
    }

    pub(super) fn restart(&mut self, place: usize) -> Result<(), String> {
        self.gone.remove(&place);
        self.cluster.restart(place, READY).map_err(text)
    }

    /// From its next start on.
    pub(super) fn set_version(&mut self, place: usize, version: u16) {
        self.cluster.set_version(place, version);
    }

    /// A command and its answer.
    pub(super) fn ask(&mut self, place: usize, command: &str) -> Result<Value, String> {
        let answer = self.cluster.control(place).and_then(|control| control.ask(command, PATIENCE));
        if answer.is_err() {
            self.cluster.disconnect(place);
        }
        answer.map_err(text)
    }

    /// Nothing while the replica is away.
    pub(super) fn status(&mut self, place: usize) -> Option<Value> {
        if self.gone.contains(&place) { None } else { self.cluster.status(place).ok() }
    }

    /// The recovered primary of this moment.
    pub(super) fn primary_now(&mut self) -> Option<usize> {
        self.cluster.primary()
    }

    /// Waits for one.
    pub(super) fn primary(&mut self) -> Result<usize, String> {
        let mut found = None;
        self.until("a primary", |stage| {
            found = stage.primary_now();
            Ok(found.is_some())
        })?;
        found.ok_or_else(|| "no primary".to_owned())
    }

    /// Waits until `done`, looking after the processes meanwhile.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
            self.cluster.watch().map_err(text)?;
            if done(self)? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let all = 0..self.cluster.len();
                let states: Vec<String> = all.map(|place| format!("{:?}", self.replica(place))).collect();
                return Err(format!("waited {} s for {what}: {}", PATIENCE.as_secs(), states.join("; ")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One step of the scenario, with its time.
    pub(super) fn step(
        &mut self,
        name: &str,
        play: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let began = Instant::now();
        play(self).map_err(|why| format!("{name}: {why}"))?;
        self.steps.push((name.to_owned(), began.elapsed()));
        Ok(())
    }

    /// Waits until the set has served more requests.
    pub(super) fn served(&mut self) -> Result<(), String> {
        let wanted = self.traffic.acknowledged() + SERVED;
        self.until("requests to be served", |stage| Ok(stage.traffic.acknowledged() >= wanted))
    }

    /// Changes the configuration to these replicas and waits until each works in it.
    pub(super) fn change(&mut self, to: &[usize]) -> Result<(), String> {
        let primary = self.primary()?;
        let number = |status: &Value| status["configNumber"].as_u64().unwrap_or_default();
        let old = number(&self.ask(primary, "status")?);
        let command = format!("changeconfig {}", self.list(to));
        let mut asked: Option<Instant> = None;
        self.until("the new configuration", |stage| {
            let statuses: Vec<Option<Value>> = to.iter().map(|place| stage.status(*place)).collect();
            let arrived = statuses.iter().flatten().any(|status| number(status) > old);
            if !arrived && asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
                // A primary that has just lost its office refuses; the next one is asked.
                if let Some(primary) = stage.primary_now() {
                    let answer = stage.ask(primary, &command)?;
                    asked = (answer["rc"] == "RSLSuccess").then(Instant::now);
                }
            }
            let works = |status: &Value| {
                number(status) == old + 1
                    && ["StablePrimary", "StableSecondary"].contains(&status["state"].as_str().unwrap_or(""))
            };
            Ok(statuses.iter().all(|status| status.as_ref().is_some_and(works)))
        })?;
        self.members = to.to_vec();
        self.served()
    }

    /// Waits until a replica takes no part any more.
    pub(super) fn inactive(&mut self, place: usize) -> Result<(), String> {
        self.until("a removed replica to be inactive", |stage| {
            Ok(stage.replica(place).is_ok_and(|replica| replica.state == INACTIVE))
        })
    }

    fn replica(&mut self, place: usize) -> Result<Replica, String> {
        let status = self.cluster.status(place).map_err(text)?;
        Replica::read(&status)
    }

    /// Ends the load, waits until all members stand at the same decree, and judges.
    pub(super) fn close(mut self, scenario: Scenario) -> Result<Outcome, String> {
        let load = self.traffic.end()?;
        self.traffic.failure().map_or(Ok(()), Err)?;
        let mut replicas = Vec::new();
        self.until("the members to agree", |stage| {
            let members = stage.members.clone();
            let Ok(all) = members.iter().map(|place| stage.replica(*place)).collect::<Result<Vec<_>, _>>()
            else {
                return Ok(false);
            };
            let count = all.iter().map(|replica| replica.count).max().unwrap_or_default();
            let settled = all.iter().all(|replica| replica.count == count);
            let led = all.iter().any(|replica| replica.primary);
            replicas = all;
            Ok(settled && led)
        })?;
        for place in 0..self.cluster.len() {
            if !self.members.contains(&place) && !self.gone.contains(&place) {
                self.inactive(place)?;
            }
        }
        let mut problems = Vec::new();
        let mut history = History::default();
        for host in self.cluster.hosts() {
            let path = host.settings().exec_log();
            let rows = fs::read_to_string(&path).map_err(|error| error.to_string());
            match rows.and_then(|rows| exec_log::parse(&rows)) {
                Ok(rows) => problems.extend(history.add(host.id(), &rows).err()),
                Err(why) => problems.push(format!("{}: {why}", path.display())),
            }
        }
        let (executed, contradictions) = load.check(&history);
        problems.extend(contradictions);
        if replicas.iter().any(|one| (one.hash, one.count) != (replicas[0].hash, replicas[0].count)) {
            problems.push("the members ended with different states".to_owned());
        }
        Ok(Outcome {
            scenario: Some(scenario.name()),
            steps: self.steps,
            version: replicas[0].version,
            replicas,
            acknowledged: load.acknowledged(),
            executed,
            failovers: Vec::new(),
            checkpoint: None,
            seconds: self.began.elapsed().as_secs_f64(),
            problems,
        })
    }
}
