//! The course of a demo: start, load, kills, checkpoint, settle, judge.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use migration::exec_log::{self, History};
use migration::host::{Cluster, HostError, HostSettings, Member, Template, ports};
use serde_json::Value;

use super::legacy::{Start, member_dir};
use super::report::{INACTIVE, Outcome, Replica};
use crate::client::{BATCH, Load};

/// What to do.
pub(crate) struct Plan {
    pub(crate) requests: u64,
    pub(crate) size: usize,
    pub(crate) kills: u32,
    pub(crate) show_progress: bool,
}

const READY: Duration = Duration::from_secs(30);
/// An election waits for several timers.
const ELECTION: Duration = Duration::from_secs(90);
/// Executing a batch, once there is a primary.
const BATCH_TIME: Duration = Duration::from_secs(60);
/// Catching up, checkpoints.
const SETTLE: Duration = Duration::from_secs(90);

/// Runs the plan in `dir`.
pub(crate) fn run(
    template: &Template,
    start: Start,
    plan: &Plan,
    dir: &Path,
    interrupted: &AtomicBool,
) -> Result<Outcome, String> {
    let text = |error: HostError| error.to_string();
    let hosts: Vec<Member> = start.members.iter().chain(&start.former).cloned().collect();
    let control = ports::lease(hosts.len()).map_err(text)?;
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let mut all = Vec::with_capacity(hosts.len());
    for (member, lease) in hosts.iter().zip(&control) {
        let own = member_dir(dir, &member.id);
        fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        all.push(HostSettings {
            member: member.clone(),
            dir: own,
            version: start.version,
            members: start.members.clone(),
            control_port: lease.first(),
            log_dir: logs.clone(),
            extra: Vec::new(),
        });
    }
    let chance = std::hash::RandomState::new().build_hasher().finish();
    let mut demo = Demo {
        cluster: Cluster::start(template, all, READY).map_err(text)?,
        members: start.members.len(),
        load: Load::new(chance, plan.size),
        plan,
        interrupted,
        progress: progress_bar(plan),
        failovers: Vec::new(),
        checkpoint: None,
    };
    let outcome = demo.course(&start);
    demo.progress.finish_and_clear();
    outcome
}

fn progress_bar(plan: &Plan) -> ProgressBar {
    if !plan.show_progress || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:30} [{bar:30}] {pos}/{len} requests  {per_sec}");
    ProgressBar::new(plan.requests).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A running demo.
struct Demo<'a> {
    cluster: Cluster,
    /// So many hosts are members of the set; those behind them have left it.
    members: usize,
    load: Load,
    plan: &'a Plan,
    interrupted: &'a AtomicBool,
    progress: ProgressBar,
    /// From each kill to the next acknowledged request.
    failovers: Vec<Duration>,
    /// The decree whose checkpoint was asked for.
    checkpoint: Option<u64>,
}

/// A primary that was killed and has not been replaced yet.
struct Killed {
    place: usize,
    at: Instant,
}

impl Demo<'_> {
    fn course(&mut self, start: &Start) -> Result<Outcome, String> {
        self.progress.set_message("waiting for a primary");
        self.primary()?;
        let restored = self.restored(start)?;
        let began = Instant::now();
        self.replicate()?;
        let seconds = began.elapsed().as_secs_f64();
        self.progress.set_message("waiting for all replicas");
        let mut replicas = self.settle()?;
        for (place, replica) in replicas.iter_mut().enumerate() {
            // Counted since the last question; this is the only one.
            let stats = self.cluster.control(place).and_then(|control| control.ask("stats", BATCH_TIME));
            replica.syncs = stats.ok().and_then(|stats| stats["syncs"].as_u64());
        }

        let mut problems = Vec::new();
        let history = self.history(start, &mut problems);
        let (executed, contradictions) = self.load.check(&history);
        problems.extend(contradictions);
        problems.extend(restored);
        if replicas
            .iter()
            .any(|replica| (replica.hash, replica.count) != (replicas[0].hash, replicas[0].count))
        {
            problems.push("the replicas ended with different states".to_owned());
        }
        Ok(Outcome {
            scenario: None,
            steps: Vec::new(),
            version: start.version,
            replicas,
            acknowledged: self.load.acknowledged(),
            executed,
            failovers: self.failovers.clone(),
            checkpoint: self.checkpoint,
            seconds,
            problems,
        })
    }

    fn check_interrupted(&self) -> Result<(), String> {
        if self.interrupted.load(Ordering::Relaxed) { Err("interrupted".to_owned()) } else { Ok(()) }
    }

    /// Waits for a recovered primary.
    fn primary(&mut self) -> Result<usize, String> {
        let interrupted = self.interrupted;
        let found = self.cluster.wait_primary(ELECTION, || interrupted.load(Ordering::Relaxed));
        self.check_interrupted()?;
        let found = found.map_err(|error| error.to_string())?;
        found.ok_or_else(|| format!("no replica became primary within {} s", ELECTION.as_secs()))
    }

    /// Replicates until enough requests are acknowledged, with the kills and the checkpoint spread over them.
    fn replicate(&mut self) -> Result<(), String> {
        let mut kills = 0;
        let mut killed: Option<Killed> = None;
        while self.load.acknowledged() < self.plan.requests {
            self.check_interrupted()?;
            let acknowledged = self.load.acknowledged();
            // Restarted without waiting when the rest is no majority.
            if let Some(dead) = &killed
                && self.members / 2 + 1 > self.members - 1
            {
                let place = dead.place;
                self.restart(place)?;
            }
            let primary = self.primary()?;
            if self.checkpoint.is_none() && killed.is_none() && acknowledged >= self.plan.requests / 4 {
                self.force_checkpoint(primary)?;
                continue;
            }
            let left = self.plan.requests - acknowledged;
            let command = self.load.next_command(left);
            let due = self.plan.requests * u64::from(kills + 1) / u64::from(self.plan.kills + 1);
            if killed.is_none() && kills < self.plan.kills && acknowledged + BATCH >= due {
                self.progress.set_message(format!("kill {} of {}", kills + 1, self.plan.kills));
                let at = self.kill_under_load(primary, &command, kills)?;
                killed = Some(Killed { place: primary, at });
                kills += 1;
            } else {
                self.progress.set_message(format!("replica {} is primary", self.cluster.host(primary).id()));
                self.submit(primary, &command)?;
                if self.load.acknowledged() > acknowledged
                    && let Some(dead) = killed.take()
                {
                    self.failovers.push(dead.at.elapsed());
                    if self.cluster.host(dead.place).pid().is_none() {
                        self.restart(dead.place)?;
                    }
                }
            }
            self.progress.set_position(self.load.acknowledged().min(self.plan.requests));
        }
        Ok(())
    }

    fn restart(&mut self, place: usize) -> Result<(), String> {
        if self.cluster.host(place).pid().is_none() {
            self.cluster.restart(place, READY).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Submits a batch and waits for its answer. A primary that went away meanwhile is no error: what became of the
    /// batch is unknown then.
    fn submit(&mut self, primary: usize, command: &str) -> Result<(), String> {
        let answer = self.cluster.control(primary).and_then(|control| control.ask(command, BATCH_TIME));
        match answer {
            Ok(answer) => self.note(&answer),
            Err(error @ HostError::Answer { .. }) => Err(error.to_string()),
            Err(_) => {
                self.cluster.disconnect(primary);
                self.cluster.watch().map_err(|error| error.to_string())
            }
        }
    }

    fn note(&mut self, answer: &Value) -> Result<(), String> {
        let executed = answer["executed"].as_u64().ok_or_else(|| format!("no `executed` in {answer}"))?;
        self.load.acknowledge(executed)
    }

    /// Kills the primary while it works on a batch, each time a little later. Gives the moment.
    fn kill_under_load(&mut self, primary: usize, command: &str, kill: u32) -> Result<Instant, String> {
        let control = self.cluster.control(primary).map_err(|error| error.to_string())?;
        control.send(command, BATCH_TIME).map_err(|error| error.to_string())?;
        std::thread::sleep(Duration::from_micros(u64::from(kill % 16) * 300));
        // What it said before it died counts; an answer after that cannot exist.
        let early = control.receive(Duration::from_millis(1)).ok();
        self.cluster.kill(primary);
        let at = Instant::now();
        if let Some(answer) = early {
            self.note(&answer)?;
        }
        Ok(at)
    }

    /// Asks for a checkpoint on every replica; remembers its decree.
    fn force_checkpoint(&mut self, primary: usize) -> Result<(), String> {
        let answer = self.cluster.control(primary).and_then(|control| control.ask("checkpoint", BATCH_TIME));
        let answer = answer.map_err(|error| error.to_string())?;
        if answer["executed"].as_u64() == Some(1) {
            self.checkpoint = answer["seq"].as_u64();
        }
        Ok(())
    }

    /// Waits until all replicas run, the members have executed the same and hold the checkpoint, and former members are
    /// inactive; gives the state of the members.
    fn settle(&mut self) -> Result<Vec<Replica>, String> {
        let deadline = Instant::now() + SETTLE;
        loop {
            self.check_interrupted()?;
            self.cluster.watch().map_err(|error| error.to_string())?;
            for place in 0..self.cluster.len() {
                self.restart(place)?;
            }
            let replicas: Result<Vec<Replica>, String> =
                (0..self.members).map(|place| self.replica(place)).collect();
            let mut former = self.members..self.cluster.len();
            if let Ok(replicas) = &replicas {
                let count = replicas.iter().map(|replica| replica.count).max().unwrap_or_default();
                let wanted = self.checkpoint.unwrap_or_default();
                let settled = |replica: &Replica| replica.count == count && replica.checkpointed >= wanted;
                if replicas.iter().all(settled)
                    && replicas.iter().any(|replica| replica.primary)
                    && former.all(|place| self.replica(place).is_ok_and(|left| left.state == INACTIVE))
                {
                    return Ok(replicas.clone());
                }
            }
            if Instant::now() >= deadline {
                let state = replicas.map_or_else(|error| error, |all| format!("{all:?}"));
                return Err(format!("the replicas did not settle within {} s: {state}", SETTLE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn replica(&mut self, place: usize) -> Result<Replica, String> {
        let status = self.cluster.status(place).map_err(|error| error.to_string())?;
        Replica::read(&status)
    }

    /// Every replica of a legacy set must stand where its exec logs say.
    fn restored(&mut self, start: &Start) -> Result<Vec<String>, String> {
        let mut before = History::default();
        let mut problems = Vec::new();
        for (id, rows) in &start.executed_before {
            if let Err(why) = before.add(&format!("legacy {id}"), rows) {
                problems.push(format!("the legacy logs contradict each other: {why}"));
            }
        }
        let Some(last) = before.last().cloned() else { return Ok(problems) };
        for place in 0..self.members {
            let deadline = Instant::now() + SETTLE;
            loop {
                let replica = self.replica(place)?;
                if replica.last_seq >= last.seq {
                    // Beyond the logs: a vote that the legacy set had accepted and nobody had executed yet.
                    if replica.last_seq == last.seq && replica.hash != last.hash {
                        problems.push(format!(
                            "replica {} has hash {:016x} at decree {}, the legacy exec log says {:016x}",
                            replica.id, replica.hash, last.seq, last.hash
                        ));
                    }
                    break;
                }
                self.check_interrupted()?;
                if Instant::now() >= deadline {
                    return Err(format!(
                        "replica {} stays at decree {}, legacy had executed {}",
                        replica.id, replica.last_seq, last.seq
                    ));
                }
                self.cluster.watch().map_err(|error| error.to_string())?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(problems)
    }

    /// One history from all exec logs, those of the legacy set first.
    fn history(&self, start: &Start, problems: &mut Vec<String>) -> History {
        let mut history = History::default();
        for (id, rows) in &start.executed_before {
            problems.extend(history.add(&format!("legacy {id}"), rows).err());
        }
        for host in self.cluster.hosts() {
            let path = host.settings().exec_log();
            let rows = fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|t| exec_log::parse(&t));
            match rows {
                Ok(rows) => problems.extend(history.add(host.id(), &rows).err()),
                Err(why) => problems.push(format!("{}: {why}", path.display())),
            }
        }
        history
    }
}
