//! One set of three hosts - Rust, C++, C# - through elections, kills, copies and configuration changes.
//!
//! A minute and a half each, and they need mono and its compiler: `cargo xtask nightly` runs them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use compat_tests::managed::{self, Runtime};
use compat_tests::native;
use libtest_mimic::{Arguments, Failed, Trial};
use migration::exec_log::{self, History};
use migration::host::ports::{self, PortLease};
use migration::host::{Cluster, HostError, HostSettings, Member, Template};
use serde_json::Value;

const READY: Duration = Duration::from_secs(60);
/// Everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [(3, "version_3"), (6, "version_6")]
        .map(|(version, name)| Trial::test(name, move || three_languages(version)).with_ignored_flag(true));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Trial: each host is killed under load, copies a checkpoint of another one, leads, drops a member and takes it back.
/// All execute the same history.
fn three_languages(version: u16) -> Result<(), Failed> {
    let dir = tempfile::Builder::new().prefix("rsl-three-").tempdir()?;
    let mut set = Set::start(version, dir.path())?;
    set.load(1000)?;
    for place in 0..3 {
        // The answer of a primary that dies does not come.
        let primary = set.primary()?;
        set.cluster.control(primary)?.send("replicate-random 2000 100 64", PATIENCE)?;
        set.cluster.kill(place);
        if primary != place {
            set.cluster.control(primary)?.receive(PATIENCE)?;
        }
        set.load(100)?;
        set.cluster.restart(place, READY)?;
        set.settle()?;
    }
    set.checkpoint()?;
    for place in 0..3 {
        set.copy(place)?;
    }
    for place in 0..3 {
        set.lead(place)?;
        let dropped = (place + 1) % 3;
        set.change(&[place, (place + 2) % 3])?;
        set.until("the dropped member to be inactive", |set| {
            Ok(set.status(dropped).is_some_and(|status| status["state"] == "PaxosInactive"))
        })?;
        set.load(100)?;
        set.change(&[0, 1, 2])?;
        set.load(100)?;
    }
    set.settle()?;
    set.judge()
}

struct Set {
    cluster: Cluster,
    members: Vec<Member>,
    /// Held so that nobody else takes the ports.
    _ports: Vec<PortLease>,
}

impl Set {
    fn start(version: u16, dir: &std::path::Path) -> Result<Set, Failed> {
        managed::build_framework(false)?;
        let cpp = native::build_programs(false)?.swap_remove(0);
        let rust = rsl()?;
        let contract = "--id {id} --dir {dir} --version {version} --members {members} --self {self} \
                        --control {control} --events {events} --execlog {execlog}";
        let cpp = Template::parse(&format!("'{}' {contract}", cpp.display()))?;
        let csharp = Template::parse(&Runtime::mono().host_template())?;
        let template = Template::rsl_replica(&rust).mixed_with(vec![cpp, csharp]);
        let leases = ports::lease(6)?;
        let members: Vec<Member> = leases[..3]
            .iter()
            .zip(101..)
            .map(|(lease, id)| Member::on_loopback(id.to_string(), lease.first()))
            .collect();
        let mut all = Vec::new();
        for (member, control) in members.iter().zip(&leases[3..]) {
            let own = dir.join(format!("r{}", member.id));
            std::fs::create_dir_all(&own)?;
            all.push(HostSettings {
                member: member.clone(),
                dir: own,
                version,
                members: members.clone(),
                control_port: control.first(),
                log_dir: dir.to_owned(),
                extra: Vec::new(),
            });
        }
        Ok(Set { cluster: Cluster::start(&template, all, READY)?, members, _ports: leases })
    }

    fn status(&mut self, place: usize) -> Option<Value> {
        self.cluster.host(place).pid()?;
        self.cluster.status(place).ok()
    }

    fn primary(&mut self) -> Result<usize, Failed> {
        self.cluster.wait_primary(PATIENCE, || false)?.ok_or_else(|| "no primary".into())
    }

    fn ask(&mut self, place: usize, command: &str) -> Result<Value, HostError> {
        let answer = self.cluster.control(place).and_then(|control| control.ask(command, PATIENCE));
        if answer.is_err() {
            self.cluster.disconnect(place);
        }
        answer
    }

    /// Has requests executed, by whoever is primary; those of one that lost its office are not counted.
    fn load(&mut self, count: u64) -> Result<(), Failed> {
        let mut left = count;
        self.until("requests to be executed", |set| {
            let primary = set.primary()?;
            let answer = set.ask(primary, &format!("replicate-random {left} 100 64"));
            left = left.saturating_sub(answer.ok().and_then(|a| a["executed"].as_u64()).unwrap_or_default());
            Ok(left == 0)
        })
    }

    /// Waits until all have executed the same.
    fn settle(&mut self) -> Result<(), Failed> {
        self.until("all to have executed the same", |set| {
            let states: Vec<Value> = (0..3).filter_map(|place| set.status(place)).collect();
            let same = |key: &str| states.iter().all(|status| status[key] == states[0][key]);
            Ok(states.len() == 3
                && states.iter().any(|status| status["isPrimary"] == true && status["recovered"] == true)
                && same("count")
                && same("hash"))
        })
    }

    /// A checkpoint of all three.
    fn checkpoint(&mut self) -> Result<(), Failed> {
        let primary = self.primary()?;
        let at = self.ask(primary, "checkpoint")?["seq"].as_u64().ok_or("no decree")?;
        self.until("a checkpoint of all", |set| {
            Ok((0..3).all(|place| {
                set.status(place).is_some_and(|status| status["checkpointedDecree"].as_u64() >= Some(at))
            }))
        })
    }

    /// One copies the checkpoint of another.
    fn copy(&mut self, place: usize) -> Result<(), Failed> {
        let copied = |status: &Value| status["copied"].as_u64().unwrap_or_default();
        let before = copied(&self.ask(place, "status")?);
        let answer = self.ask(place, "copystate 7")?;
        if answer["rc"] != "RSLSuccess" {
            return Err(format!("copystate of {place} answered {answer}").into());
        }
        let mut last = Value::Null;
        self.until("a copied checkpoint", |set| {
            let status = set.status(place).unwrap_or_default();
            last = status["lastCopied"].clone();
            Ok(copied(&status) > before)
        })?;
        // Nothing or 0 where no other had one.
        let decree = last.as_str().and_then(|text| text.parse().ok()).or(last.as_u64());
        if decree.unwrap_or(0) == 0 { Err(format!("{place} copied decree {last}").into()) } else { Ok(()) }
    }

    /// Makes one the primary.
    fn lead(&mut self, place: usize) -> Result<(), Failed> {
        let mut asked: Option<Instant> = None;
        self.until("the promoted one to be primary", |set| {
            if set.primary()? == place {
                return Ok(true);
            }
            // Asking is easily lost [HARD-332].
            if asked.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                asked = Some(Instant::now());
                set.ask(place, "promote")?;
            }
            Ok(false)
        })
    }

    /// Changes the configuration and waits until every new member works in it.
    fn change(&mut self, to: &[usize]) -> Result<(), Failed> {
        let primary = self.primary()?;
        let number = |status: &Value| status["configNumber"].as_u64().unwrap_or_default();
        let wanted = number(&self.ask(primary, "status")?) + 1;
        let list: Vec<Member> = to.iter().map(|place| self.members[*place].clone()).collect();
        let answer = self.ask(primary, &format!("changeconfig {}", Member::list(&list)))?;
        if answer["rc"] != "RSLSuccess" {
            return Err(format!("changeconfig answered {answer}").into());
        }
        self.until("the new configuration", |set| {
            Ok(to.iter().all(|place| {
                let status = set.status(*place).unwrap_or_default();
                number(&status) == wanted && status["state"].as_str().is_some_and(|s| s.starts_with("Stable"))
            }))
        })
    }

    fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool, Failed>,
    ) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if done(self)? {
                return Ok(());
            }
            self.cluster.watch()?;
            if Instant::now() >= deadline {
                let states: Vec<String> = (0..3).map(|place| format!("{:?}", self.status(place))).collect();
                return Err(format!("waited in vain for {what}: {}", states.join("; ")).into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One history in all exec logs, and no request twice.
    fn judge(&mut self) -> Result<(), Failed> {
        let mut history = History::default();
        for host in self.cluster.hosts() {
            let rows = exec_log::parse(&std::fs::read_to_string(host.settings().exec_log())?)?;
            if rows.is_empty() {
                return Err(format!("{} has executed nothing", host.id()).into());
            }
            history.add(host.id(), &rows)?;
        }
        // 1000, 3 times 100 after a kill, 6 times 100 in changed sets, a checkpoint.
        if history.len() < 1000 + 300 + 600 + 1 {
            return Err(format!("only {} requests were executed", history.len()).into());
        }
        Ok(())
    }
}

/// The `rsl` binary, built where this test was built.
fn rsl() -> Result<std::path::PathBuf, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    native::run(std::process::Command::new(cargo).current_dir(native::root()).args([
        "build",
        "--quiet",
        "--package",
        "migration",
        "--bin",
        "rsl",
    ]))?;
    Ok(native::target().join("debug").join(format!("rsl{}", std::env::consts::EXE_SUFFIX)))
}
