//! Starts hosts for a case and waits for what it needs.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use migration::exec_log::{self, Row};
use migration::host::ports::{self, PortLease};
use migration::host::{Control, Host, HostSettings, Member, Template};
use serde_json::Value;

use super::checks::{Failure, ensure};

/// For everything that takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// For elections and checkpoints, which wait for timers of the contract's test defaults.
pub(crate) const LATER: Duration = Duration::from_secs(60);

/// The place of one case.
pub(crate) struct Lab {
    template: Template,
    version: u16,
    dir: PathBuf,
}

/// The hosts of a set, with a control connection to each.
pub(crate) struct Set {
    pub(crate) hosts: Vec<Running>,
    _leases: Vec<PortLease>,
}

/// A host that has said READY.
pub(crate) struct Running {
    pub(crate) host: Host,
    pub(crate) control: Control,
}

impl Lab {
    pub(crate) fn new(template: Template, version: u16, dir: &Path) -> Self {
        Self { template, version, dir: dir.to_owned() }
    }

    pub(crate) fn version(&self) -> u16 {
        self.version
    }

    /// Settings for a set of `count` members, the directories created.
    pub(crate) fn settings(
        &self,
        count: usize,
        extra: &[&str],
    ) -> Result<(Vec<HostSettings>, Vec<PortLease>), Failure> {
        // Below version 4 ids are numbers.
        let ids =
            if self.version < 4 { ["101", "102", "103"] } else { ["alpha", "bravo-2", "charlie.member_3"] };
        let leases = ports::lease(2 * count)?;
        let members: Vec<Member> =
            (0..count).map(|index| Member::on_loopback(ids[index], leases[index].first())).collect();
        let mut all = Vec::with_capacity(count);
        for (index, member) in members.iter().enumerate() {
            let dir = self.dir.join(format!("r{}", member.id));
            std::fs::create_dir_all(&dir)?;
            all.push(HostSettings {
                member: member.clone(),
                dir,
                version: self.version,
                members: members.clone(),
                control_port: leases[count + index].first(),
                log_dir: self.dir.clone(),
                extra: extra.iter().map(|argument| (*argument).to_owned()).collect(),
            });
        }
        Ok((all, leases))
    }

    /// Settings of a host that is alone.
    pub(crate) fn sole_settings(&self, extra: &[&str]) -> Result<(HostSettings, Vec<PortLease>), Failure> {
        let (mut all, leases) = self.settings(1, extra)?;
        Ok((all.remove(0), leases))
    }

    /// Runs a host that is expected to end by itself; gives its exit status and all it printed.
    pub(crate) fn run_to_end(&self, settings: HostSettings) -> Result<(ExitStatus, String), Failure> {
        let output = settings.output();
        let mut host = Host::start(&self.template, settings)?;
        let status = host.wait_exit(SOON);
        host.kill();
        let printed = std::fs::read_to_string(output)?;
        let status =
            status.ok_or_else(|| Failure::broken(format!("the host runs on; it printed: {printed}")))?;
        Ok((status, printed))
    }

    /// Starts one host with these settings and waits until it answers.
    pub(crate) fn start(&self, settings: HostSettings) -> Result<Running, Failure> {
        Running::from(Host::start(&self.template, settings)?)
    }

    /// A set of one that has become primary.
    pub(crate) fn sole(&self, extra: &[&str]) -> Result<Set, Failure> {
        let mut set = self.set(1, extra)?;
        set.hosts[0].wait("it is the recovered primary", LATER, is_recovered_primary)?;
        Ok(set)
    }

    /// Starts a set; all have said READY.
    pub(crate) fn set(&self, count: usize, extra: &[&str]) -> Result<Set, Failure> {
        let (all, leases) = self.settings(count, extra)?;
        let started: Result<Vec<Host>, _> =
            all.into_iter().map(|settings| Host::start(&self.template, settings)).collect();
        let hosts: Result<Vec<Running>, Failure> = started?.into_iter().map(Running::from).collect();
        Ok(Set { hosts: hosts?, _leases: leases })
    }
}

pub(crate) fn is_recovered_primary(status: &Value) -> bool {
    status["isPrimary"] == true && status["recovered"] == true
}

impl Set {
    /// A set of hosts that were started one by one; whoever started them holds the ports.
    pub(crate) fn of(hosts: Vec<Running>) -> Self {
        Self { hosts, _leases: Vec::new() }
    }

    /// The only host of a set of one, or the first.
    pub(crate) fn first(&mut self) -> &mut Running {
        &mut self.hosts[0]
    }

    /// Waits until one host is the recovered primary; gives its place.
    pub(crate) fn wait_primary(&mut self) -> Result<usize, Failure> {
        let deadline = Instant::now() + LATER;
        while Instant::now() < deadline {
            for (place, running) in self.hosts.iter_mut().enumerate() {
                if running.host.pid().is_some() && is_recovered_primary(&running.status()?) {
                    return Ok(place);
                }
            }
            pause();
        }
        Err(Failure::broken("no replica became the recovered primary"))
    }
}

impl Running {
    fn from(mut host: Host) -> Result<Self, Failure> {
        host.wait_ready(SOON)?;
        let control = host.control(SOON)?;
        Ok(Self { host, control })
    }

    /// One command, its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<Value, Failure> {
        Ok(self.control.ask(command, SOON)?)
    }

    /// The answer to `status`.
    pub(crate) fn status(&mut self) -> Result<Value, Failure> {
        self.ask("status")
    }

    /// Asks for the status until it is as wanted; gives that status.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.status()?;
            if wanted(&status) {
                return Ok(status);
            }
            ensure(Instant::now() < deadline, || format!("not in {limit:?}: {what}; status {status}"))?;
            pause();
        }
    }

    /// Starts the process again, with the same arguments, and connects.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.host.restart()?;
        self.host.wait_ready(SOON)?;
        self.control = self.host.control(SOON)?;
        Ok(())
    }

    /// The exec log, once it has at least this many rows: a host may answer just before it writes.
    pub(crate) fn exec_log(&self, rows: usize) -> Result<Vec<Row>, Failure> {
        let path = self.host.settings().exec_log();
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let text = std::fs::read_to_string(&path)?;
            let found = exec_log::parse(&text).map_err(|why| Failure::broken(format!("exec log: {why}")))?;
            if found.len() >= rows {
                return Ok(found);
            }
            ensure(Instant::now() < deadline, || {
                format!("{} rows in the exec log, expected {rows}", found.len())
            })?;
            pause();
        }
    }
}

/// Between two looks at something that changes by itself.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
