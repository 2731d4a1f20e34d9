//! The replicas of a rehearsal: processes that are stopped, swapped and started again on their own directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use migration::host::ports::{self, PortLease};
use migration::host::{Cluster, HostError, HostSettings, Member, Network, Template};
use serde_json::Value;

use super::checks::{Check, Findings};
use super::directory::{self, Directory, State};
use super::ledger::{Ledger, Votes};
use super::plan::{Plan, Side};
use super::sampler::Sampler;
use super::view::Board;
use crate::client::{Load, Traffic};
use crate::demo::report::{INACTIVE, Replica};

const READY: Duration = Duration::from_secs(60);
/// Everything that is waited for in a step, unless the step says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// A host that was asked to end gets this long.
const STOP: Duration = Duration::from_secs(20);
/// Requests that must be served before a swap is over.
pub(super) const SERVED: u64 = 1000;
/// Looks at the directory of a running process until what it was writing is whole.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(20);

/// The two programs.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    pub(super) old: Template,
    pub(super) new: Template,
}

impl Hosts {
    fn of(&self, side: Side) -> &Template {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

/// What one replica is meant to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) side: Side,
    pub(super) version: u16,
    /// Its process is meant to be down.
    pub(super) away: bool,
}

/// The start of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) at: Instant,
    pub(super) place: usize,
    pub(super) side: Side,
    pub(super) version: u16,
}

/// The replicas, the load on them, and what was found wrong so far. A place is the number of a replica less one.
pub(super) struct Fleet<'a> {
    pub(super) cluster: Cluster,
    hosts: &'a Hosts,
    interrupted: &'a AtomicBool,
    pub(super) seats: Vec<Seat>,
    /// Places of the members of the present configuration.
    pub(super) members: Vec<usize>,
    pub(super) traffic: Traffic,
    pub(super) sampler: Sampler,
    pub(super) directories: Vec<Directory>,
    /// What the directories say was decided.
    pub(super) ledger: Ledger,
    /// The proxies between the replicas, where the plan needs them.
    pub(super) network: Option<Network>,
    /// Replicas as the others know them.
    advertised: Vec<Member>,
    /// For who looks on.
    pub(super) board: Arc<Board>,
    pub(super) moves: Vec<Move>,
    pub(super) problems: Findings,
    /// How long a replica is down while its program is exchanged.
    swap_time: Duration,
    _leases: Vec<PortLease>,
}

pub(super) fn text(error: HostError) -> String {
    error.to_string()
}

fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap_or_default()
}

impl<'a> Fleet<'a> {
    /// Starts every replica of a plan, each in an empty directory below `dir`.
    pub(super) fn start(
        plan: &Plan,
        hosts: &'a Hosts,
        load: Load,
        dir: &Path,
        board: Arc<Board>,
        interrupted: &'a AtomicBool,
    ) -> Result<Fleet<'a>, String> {
        let logs = dir.join("logs");
        fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let leases = ports::lease(3 * plan.replicas).map_err(text)?;
        let (control, data) = leases.split_at(plan.replicas);
        let (data, before) = data.split_at(plan.replicas);
        let named = |leases: &[PortLease]| -> Vec<Member> {
            let named = (101..).zip(leases);
            named.map(|(id, lease)| Member::on_loopback(id.to_string(), lease.first())).collect()
        };
        let all = named(data);
        let mut advertised = all.clone();
        let mut network = None;
        if plan.disturbs_links() {
            advertised = named(before);
            let proxies = network.insert(Network::default());
            for (shown, real) in advertised.iter().zip(&all) {
                proxies.add(shown, real).map_err(text)?;
            }
        }
        let members: Vec<usize> = plan.first_members().iter().map(|number| number - 1).collect();
        let listed: Vec<Member> = members.iter().map(|place| advertised[*place].clone()).collect();
        let mut fleet = Fleet {
            cluster: Cluster::start(&hosts.old, Vec::new(), READY).map_err(text)?,
            hosts,
            interrupted,
            seats: Vec::with_capacity(plan.replicas),
            members,
            traffic: Traffic::start(load),
            sampler: Sampler::default(),
            directories: Vec::new(),
            ledger: Ledger::default(),
            network,
            advertised,
            board,
            moves: Vec::new(),
            problems: Findings::default(),
            swap_time: Duration::from_secs(plan.swap_seconds),
            _leases: Vec::new(),
        };
        for (place, (member, lease)) in all.iter().zip(control).enumerate() {
            let own = dir.join(format!("r{}", member.id));
            fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
            let mut extra = plan.arguments.clone();
            let outside = !fleet.members.contains(&place);
            if outside {
                extra.push("--new-api".to_owned());
            }
            let settings = HostSettings {
                member: member.clone(),
                dir: own,
                version: plan.version,
                // One that waits to be added still has to know itself.
                members: if outside { vec![fleet.advertised[place].clone()] } else { listed.clone() },
                control_port: lease.first(),
                log_dir: logs.clone(),
                extra,
            };
            let side = plan.first_host(place + 1);
            fleet
                .cluster
                .add(hosts.of(side), settings, READY)
                .map_err(|error| {
                    let hint = if fleet.network.is_some() {
                        "; the plan disturbs links: a host has to listen on the ports of {self}, whatever {members} says"
                    } else {
                        ""
                    };
                    format!("{side} host: {error}{hint}")
                })?;
            fleet.seats.push(Seat { side, version: plan.version, away: false });
            fleet.note_start(place);
            fleet.traffic.add(&member.id, lease.first());
            fleet.sampler.add(&member.id, lease.first());
        }
        fleet._leases = leases;
        Ok(fleet)
    }

    pub(super) fn id(&self, place: usize) -> &str {
        self.cluster.host(place).id()
    }

    /// As reports name it.
    pub(super) fn name(&self, place: usize) -> String {
        format!("{} ({})", place + 1, self.id(place))
    }

    pub(super) fn dir(&self, place: usize) -> PathBuf {
        self.cluster.host(place).settings().dir.clone()
    }

    /// Members as the commands take them.
    pub(super) fn list(&self, places: &[usize]) -> String {
        let members = places.iter().map(|place| self.advertised[*place].clone());
        Member::list(&members.collect::<Vec<_>>())
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
        if self.seats[place].away { None } else { self.cluster.status(place).ok() }
    }

    /// Where a replica stands.
    pub(super) fn replica(&mut self, place: usize) -> Result<Replica, String> {
        let status = self.cluster.status(place).map_err(text)?;
        Replica::read(&status)
    }

    /// The serving primary of this moment.
    pub(super) fn primary_now(&mut self) -> Option<usize> {
        let running = (0..self.seats.len()).filter(|place| !self.seats[*place].away);
        self.cluster.primary_among(running)
    }

    /// Waits for one.
    pub(super) fn primary(&mut self) -> Result<usize, String> {
        let mut found = None;
        self.until("a primary", PATIENCE, |fleet| {
            found = fleet.primary_now();
            Ok(found.is_some())
        })?;
        found.ok_or_else(|| "no primary".to_owned())
    }

    /// Waits until `done`, looking after the processes and the load meanwhile.
    pub(super) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
            self.watch()?;
            if done(self)? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let states: Vec<String> = (0..self.seats.len()).map(|place| self.shown(place)).collect();
                return Err(format!("waited {} s for {what}; {}", limit.as_secs(), states.join(", ")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Restarts who asked for it; an error when a process or the load ended otherwise.
    fn watch(&mut self) -> Result<(), String> {
        self.cluster.watch().map_err(text)?;
        self.traffic.failure().map_or(Ok(()), |why| Err(format!("load: {why}")))
    }

    /// One replica in an error text.
    fn shown(&mut self, place: usize) -> String {
        let name = self.name(place);
        match self.status(place) {
            Some(status) => format!(
                "{name} is {} at decree {}, configuration {}",
                status["state"].as_str().unwrap_or("in no state"),
                status["seq"],
                status["configNumber"]
            ),
            None => format!("{name} does not answer"),
        }
    }

    /// Waits until the set has served more requests, if there is load.
    pub(super) fn serve(&mut self, requests: u64) -> Result<(), String> {
        if self.traffic.is_resting() {
            return self.primary().map(drop);
        }
        let wanted = self.traffic.acknowledged() + requests;
        self.until("requests to be served", PATIENCE, |fleet| Ok(fleet.traffic.acknowledged() >= wanted))
    }

    /// Stops a process: in good order, or at once.
    pub(super) fn stop(&mut self, place: usize, kill: bool) {
        if kill {
            self.cluster.kill(place);
        } else if !self.cluster.stop(place, STOP) {
            let side = self.seats[place].side;
            let problem =
                format!("replica {}: the {side} host did not end with code 0 on `exit`", self.name(place));
            self.problems.add(Check::Course, [problem]);
        }
    }

    /// Looks at the directory of a process that is down, for the host that is to take it over.
    pub(super) fn verify(&mut self, place: usize, for_side: Side, killed: bool) -> Result<Directory, String> {
        let state = if killed { State::Killed } else { State::Stopped };
        let (found, votes) =
            directory::examine(&self.dir(place), self.id(place), self.seats[place].side, for_side, state)?;
        self.enter(place, &found, votes);
        Ok(found)
    }

    /// Looks at the directory of a process that runs and has just been started.
    fn verify_running(&mut self, place: usize) -> Result<(), String> {
        let side = self.seats[place].side;
        let mut left = LOOKS;
        loop {
            left -= 1;
            let found = directory::examine(&self.dir(place), self.id(place), side, side, State::Running);
            match found {
                Ok((found, votes)) if found.refused.is_none() && found.problems.is_empty() || left == 0 => {
                    self.enter(place, &found, votes);
                    if let Some(why) = found.refused {
                        let name = self.name(place);
                        let problem = format!("replica {name} could not start again: {why}");
                        self.problems.add(Check::Directories, [problem]);
                    }
                    return Ok(());
                }
                Err(why) if left == 0 => return Err(why),
                // The replica wrote meanwhile.
                Ok(_) | Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn enter(&mut self, place: usize, found: &Directory, votes: Votes) {
        // One that would not start tells no decree.
        let contradictions = match found.refused {
            None => self.ledger.add(place, &found.replica, votes, found.executed),
            Some(_) => Vec::new(),
        };
        let named = |why: &String| format!("directory of {}: {why}", found.replica);
        self.problems.add(Check::Directories, found.problems.iter().map(named));
        self.problems.add(Check::Decided, contradictions.iter().map(named));
        self.directories.push(found.clone());
    }

    /// Stops a replica and starts it again as `next` on its own directory; waits until it works and the set serves.
    pub(super) fn swap(&mut self, place: usize, next: Seat, kill: bool) -> Result<(), String> {
        self.stop(place, kill);
        let found = self.verify(place, next.side, kill)?;
        if let Some(why) = found.refused {
            return Err(format!("the {} host would not start: {why}", next.side));
        }
        self.away(place)?;
        self.set(place, next);
        self.launch(place)?;
        // A replica knows after its start all that its directory held.
        let status = self.ask(place, "status")?;
        let (executed, ballot) =
            (number(&status, "seq"), status["maxBallot"][0].as_u64().unwrap_or_default());
        if executed < found.executed || ballot < found.promised {
            let problem = format!(
                "replica {} started at decree {executed}, ballot {ballot}; its directory says decree {}, ballot {}",
                self.name(place),
                found.executed,
                found.promised
            );
            self.problems.add(Check::Promises, [problem]);
        }
        self.caught_up(place)?;
        self.verify_running(place)?;
        self.serve(SERVED)
    }

    /// Lets the time pass that an exchange of the program takes.
    fn away(&mut self, place: usize) -> Result<(), String> {
        self.seats[place].away = true;
        let end = Instant::now() + self.swap_time;
        self.until("the exchange", self.swap_time + PATIENCE, |_| Ok(Instant::now() >= end))
    }

    fn set(&mut self, place: usize, next: Seat) {
        self.cluster.set_template(place, self.hosts.of(next.side));
        self.cluster.set_version(place, next.version);
        self.seats[place] = next;
    }

    /// Starts the process and waits for READY.
    pub(super) fn launch(&mut self, place: usize) -> Result<(), String> {
        self.note_start(place);
        self.cluster.restart(place, READY).map_err(text)?;
        self.seats[place].away = false;
        Ok(())
    }

    fn note_start(&mut self, place: usize) {
        let Seat { side, version, .. } = self.seats[place];
        self.moves.push(Move { at: Instant::now(), place, side, version });
        self.board.seat(place, self.id(place), side, version);
    }

    /// Waits until a replica has executed what the others had executed when the wait began. One outside the set only
    /// has to answer.
    pub(super) fn caught_up(&mut self, place: usize) -> Result<(), String> {
        self.caught_up_within(place, PATIENCE)
    }

    pub(super) fn caught_up_within(&mut self, place: usize, limit: Duration) -> Result<(), String> {
        let others = (0..self.seats.len()).filter(|other| *other != place);
        let others: Vec<usize> = others.collect();
        let reached = others.into_iter().filter_map(|other| self.status(other));
        let reached = reached.map(|status| number(&status, "seq")).max().unwrap_or_default();
        let is_member = self.members.contains(&place);
        let what = format!("replica {} to be up to date", self.name(place));
        self.until(&what, limit, |fleet| {
            let Some(status) = fleet.status(place) else { return Ok(false) };
            let state = status["state"].as_str().unwrap_or_default();
            let works = state == "StablePrimary" || state == "StableSecondary";
            Ok(!is_member || works && number(&status, "seq") >= reached)
        })
    }

    /// Waits until the running members agree, one of them is primary, and those outside are inactive; gives the members.
    pub(super) fn settle(&mut self) -> Result<Vec<(usize, Replica)>, String> {
        let mut settled = Vec::new();
        self.until("the members to agree", PATIENCE, |fleet| {
            let running: Vec<usize> =
                fleet.members.iter().copied().filter(|place| !fleet.seats[*place].away).collect();
            let mut all = Vec::with_capacity(running.len());
            for place in running {
                let Ok(replica) = fleet.replica(place) else { return Ok(false) };
                all.push((place, replica));
            }
            let count = all.iter().map(|(_, replica)| replica.count).max().unwrap_or_default();
            let agree = all.iter().all(|(_, replica)| replica.count == count);
            let led = all.iter().any(|(_, replica)| replica.primary);
            settled = all;
            Ok(agree && led)
        })?;
        let outside: Vec<usize> = (0..self.seats.len())
            .filter(|place| !self.members.contains(place) && !self.seats[*place].away)
            .collect();
        for place in outside {
            let what = format!("replica {} outside the set to be inactive", self.name(place));
            self.until(&what, PATIENCE, |fleet| {
                Ok(fleet.replica(place).is_ok_and(|replica| replica.state == INACTIVE))
            })?;
        }
        Ok(settled)
    }

    /// Stops everything and looks at every directory once more.
    pub(super) fn close(&mut self) {
        for place in 0..self.seats.len() {
            let killed = self.seats[place].away || self.cluster.host(place).pid().is_none();
            if !killed {
                self.stop(place, false);
            }
            let side = self.seats[place].side;
            let refused = match self.verify(place, side, killed) {
                Ok(found) => found.refused.map(|why| {
                    format!("replica {}: the {side} host would not start again: {why}", self.name(place))
                }),
                Err(why) => Some(why),
            };
            self.problems.add(Check::Directories, refused);
        }
    }
}
