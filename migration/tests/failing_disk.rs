//! Full disks and failing log writes, as processes: the replica stops loudly, the others go on, nothing acknowledged is
//! lost.

#![cfg(unix)]

use std::path::Path;
use std::time::{Duration, Instant};

use migration::exec_log::{self, History};
use migration::host::ports::{self, PortLease};
use migration::host::{Control, Host, HostSettings, Member, Template};
use migration::oracle::Random;
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);

/// Three hosts, of which one may be started through a wrapper.
struct Set {
    hosts: Vec<Host>,
    _leases: Vec<PortLease>,
    /// Seeds of acknowledged batches, each of [`BATCH`] requests.
    acknowledged: Vec<u64>,
    next_seed: u64,
}

const BATCH: u64 = 20;
const SIZE: usize = 2000;

impl Set {
    fn start(dir: &Path, templates: [&Template; 3], dirs: [&Path; 3]) -> Set {
        let leases = ports::lease(6).unwrap();
        let members: Vec<Member> = (0..3)
            .map(|place| Member::on_loopback((101 + place).to_string(), leases[place].first()))
            .collect();
        let mut hosts: Vec<Host> = (0..3)
            .map(|place| {
                let settings = HostSettings {
                    member: members[place].clone(),
                    dir: dirs[place].to_owned(),
                    version: 6,
                    members: members.clone(),
                    control_port: leases[3 + place].first(),
                    log_dir: dir.to_owned(),
                    // One log file, so that it reaches the limit.
                    extra: ["--maxLogLenMB", "100"].map(str::to_owned).to_vec(),
                };
                Host::start(templates[place], settings).unwrap()
            })
            .collect();
        for host in &mut hosts {
            host.wait_ready(LONG).unwrap();
        }
        Set { hosts, _leases: leases, acknowledged: Vec::new(), next_seed: 1 }
    }

    fn control(&self, place: usize) -> Control {
        self.hosts[place].control(LONG).unwrap()
    }

    fn status(&mut self, place: usize) -> Option<Value> {
        let running = self.hosts[place].exit_status().is_none() && self.hosts[place].pid().is_some();
        running.then(|| self.hosts[place].control(LONG).ok()?.ask("status", LONG).ok()).flatten()
    }

    fn primary(&mut self) -> usize {
        let deadline = Instant::now() + LONG;
        loop {
            let found = (0..3).find(|place| {
                self.status(*place).is_some_and(|s| s["isPrimary"] == true && s["recovered"] == true)
            });
            if let Some(place) = found {
                return place;
            }
            assert!(Instant::now() < deadline, "no primary");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Promotes a replica and waits until it is the primary.
    fn make_primary(&mut self, wanted: usize) {
        let deadline = Instant::now() + LONG;
        while self.primary() != wanted {
            assert!(Instant::now() < deadline, "the wanted replica is not promoted");
            self.control(wanted).ask("promote", LONG).unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Submits a batch of requests that were never submitted before; true when all were acknowledged.
    fn submit(&mut self, place: usize) -> bool {
        let seed = self.next_seed;
        self.next_seed += 2;
        let command = format!("replicate-random {BATCH} {SIZE} {BATCH} 20000 {seed}");
        let Ok(mut control) = self.hosts[place].control(LONG) else { return false };
        let Ok(answer) = control.ask(&command, LONG) else { return false };
        let all = answer["executed"] == BATCH;
        if all {
            self.acknowledged.push(seed);
        }
        all
    }

    /// Waits until all hosts have executed the same, then reads one history from their logs.
    fn settled_history(&mut self) -> History {
        let deadline = Instant::now() + LONG;
        loop {
            let states: Vec<(Value, Value)> = (0..3)
                .filter_map(|place| self.status(place))
                .map(|status| (status["count"].clone(), status["hash"].clone()))
                .collect();
            if states.len() == 3 && states.iter().all(|state| *state == states[0]) {
                break;
            }
            assert!(Instant::now() < deadline, "the replicas do not agree: {states:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut history = History::default();
        for host in &self.hosts {
            let text = std::fs::read_to_string(host.settings().exec_log()).unwrap();
            history.add(host.id(), &exec_log::parse(&text).unwrap()).unwrap();
        }
        history
    }

    fn assert_nothing_lost(&mut self) {
        let history = self.settled_history();
        for seed in &self.acknowledged {
            let mut random = Random::seeded(*seed);
            for _ in 0..BATCH {
                let head = hex::encode(&random.request(SIZE)[..16]);
                assert_eq!(history.executions(&head), 1, "request {head} of the acknowledged batch {seed}");
            }
        }
    }
}

fn rsl() -> Template {
    Template::rsl_replica(Path::new(env!("CARGO_BIN_EXE_rsl")))
}

/// `rsl replica`, unable to make a file larger than this: the write fails, as on a full disk.
fn rsl_with_file_limit(kib: u32) -> Template {
    let shell = format!("trap \"\" XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
    let text = format!(
        "sh -c '{shell}' {} replica --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} \
         --control {{control}} --events {{events}} --execlog {{execlog}}",
        env!("CARGO_BIN_EXE_rsl")
    );
    Template::parse(&text).unwrap()
}

/// Loads the set until `failing` has stopped by itself; it must say why. Then the others must go on.
fn fails_alone(set: &mut Set, failing: usize) {
    let deadline = Instant::now() + LONG;
    while set.hosts[failing].exit_status().is_none() {
        let primary = set.primary();
        set.submit(primary);
        assert!(Instant::now() < deadline, "it never noticed that its log cannot be written");
    }
    let status = set.hosts[failing].wait_exit(LONG).unwrap();
    assert!(!status.success(), "{status}");
    let printed = std::fs::read_to_string(set.hosts[failing].settings().output()).unwrap();
    assert!(printed.contains("log"), "it does not say why it stopped: {printed}");
    assert!(!set.acknowledged.is_empty(), "nothing was acknowledged before");
    let others = set.primary();
    assert_ne!(others, failing);
    for _ in 0..5 {
        assert!(set.submit(others), "the others do not go on");
    }
}

/// Starts the stopped replica again without its limit.
fn repair(set: &mut Set, place: usize) {
    let settings = set.hosts[place].settings().clone();
    set.hosts[place] = Host::start(&rsl(), settings).unwrap();
    set.hosts[place].wait_ready(LONG).unwrap();
}

fn three_dirs(dir: &Path) -> [std::path::PathBuf; 3] {
    [0, 1, 2].map(|place| {
        let own = dir.join(place.to_string());
        std::fs::create_dir(&own).unwrap();
        own
    })
}

/// [PROTO-30] A primary whose log write fails stops; nothing that it acknowledged is lost.
#[test]
fn a_primary_that_cannot_write_its_log_stops_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = three_dirs(dir.path());
    let (limited, plain) = (rsl_with_file_limit(1024), rsl());
    let mut set = Set::start(dir.path(), [&limited, &plain, &plain], [&dirs[0], &dirs[1], &dirs[2]]);
    set.make_primary(0);
    fails_alone(&mut set, 0);
    repair(&mut set, 0);
    set.assert_nothing_lost();
}

/// [PROTO-30] So does a secondary.
#[test]
fn a_secondary_that_cannot_write_its_log_stops_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = three_dirs(dir.path());
    let (limited, plain) = (rsl_with_file_limit(1024), rsl());
    let mut set = Set::start(dir.path(), [&limited, &plain, &plain], [&dirs[0], &dirs[1], &dirs[2]]);
    set.make_primary(1);
    fails_alone(&mut set, 0);
    repair(&mut set, 0);
    set.assert_nothing_lost();
}

/// A file system of its own, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(at: &Path) -> SmallDisk<'_> {
        let options = ["-t", "tmpfs", "-o", "size=2m", "none"];
        let status = std::process::Command::new("mount").args(options).arg(at).status().unwrap();
        assert!(status.success(), "this test needs the right to mount");
        SmallDisk(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Also while a process of the set still has files open there.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// [PROTO-30] The same with a disk that is really full; room is made by moving to a larger one.
#[test]
#[ignore = "needs the right to mount"]
fn a_primary_on_a_full_disk_stops_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = three_dirs(dir.path());
    let disk = SmallDisk::mount(&dirs[0]);
    let plain = rsl();
    let mut set = Set::start(dir.path(), [&plain, &plain, &plain], [&dirs[0], &dirs[1], &dirs[2]]);
    set.make_primary(0);
    fails_alone(&mut set, 0);
    let larger = dir.path().join("larger");
    std::fs::create_dir(&larger).unwrap();
    for entry in std::fs::read_dir(&dirs[0]).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, larger.join(path.file_name().unwrap())).unwrap();
        }
    }
    let settings = HostSettings { dir: larger, ..set.hosts[0].settings().clone() };
    set.hosts[0] = Host::start(&plain, settings).unwrap();
    set.hosts[0].wait_ready(LONG).unwrap();
    set.assert_nothing_lost();
    drop(set);
    drop(disk);
}
