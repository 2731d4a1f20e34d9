//! `rsl bench`: closed-loop throughput of replica processes, beside what the disk itself does in the same run.

mod raw;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use migration::host::{Cluster, HostError, HostSettings, Member, Template, ports};

pub(crate) use raw::RawArgs;
use report::{Measured, Setting};

/// Measure throughput and latency of replica processes on this machine, and of the bare disk beside them.
///
/// For each window and size: replica processes on loopback replicate random requests from the primary's own process,
/// every one on stable storage of a majority before it counts; then as many processes as there are replicas append
/// records of the same size, each with an fdatasync, all at the same time. Quote ratios, not absolute figures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests in flight; several values are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024,4096",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    inflight: Vec<u32>,
    /// Bytes of a request; several values are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "16,1024",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    size: Vec<u32>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Number of replicas.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    replicas: u16,
    /// Protocol version, 1 to 6.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=6))]
    protocol: u16,
    /// Where the files go; a directory on the disk to be measured. Without it: a temporary directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How to start a replica, with {id} {dir} {version} {members} {self} {control} {events} {execlog}; without it
    /// `rsl replica` of this binary.
    #[arg(long, value_name = "COMMAND")]
    host: Option<String>,
    /// Print JSON: one object for one measurement, a list for several.
    #[arg(long)]
    json: bool,
}

const READY: Duration = Duration::from_secs(30);
const ELECTION: Duration = Duration::from_secs(90);
/// Requests that find the speed before the measurement.
const WARM_UP: u64 = 4;

impl Args {
    /// Runs all measurements and prints them.
    pub(crate) fn run(self) -> ExitCode {
        match self.measure() {
            Ok(results) => {
                report::print(&results, self.json);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("rsl bench: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> Result<Vec<Measured>, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let template = match &self.host {
            Some(text) => Template::parse(text).map_err(|error| error.to_string())?,
            None => Template::rsl_replica(&own),
        };
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let place = tempfile::Builder::new()
            .prefix("rsl-bench-")
            .tempdir_in(&parent)
            .map_err(|error| format!("{}: {error}", parent.display()))?;
        let mut results = Vec::new();
        for &size in &self.size {
            // A set of its own per size: the logs of one do not slow the other down.
            let dir = place.path().join(format!("size-{size}"));
            let mut bench = Bench::start(self, &template, &dir)?;
            for &inflight in &self.inflight {
                let setting = Setting { inflight, size, replicas: self.replicas, protocol: self.protocol };
                let mut result = bench.run(setting, self.seconds)?;
                let bytes = result.record_bytes();
                result.raw = raw::measure(&own, &dir, self.replicas, bytes, self.seconds)?;
                results.push(result);
            }
        }
        Ok(results)
    }
}

/// A running set.
struct Bench {
    cluster: Cluster,
    primary: usize,
    // Held so that nobody else takes the ports.
    _ports: Vec<ports::PortLease>,
}

impl Bench {
    fn start(args: &Args, template: &Template, dir: &Path) -> Result<Bench, String> {
        let count = usize::from(args.replicas);
        let text = |error: HostError| error.to_string();
        let leases = ports::lease(2 * count).map_err(text)?;
        let members: Vec<Member> = leases[..count]
            .iter()
            .enumerate()
            .map(|(place, lease)| Member::on_loopback((101 + place).to_string(), lease.first()))
            .collect();
        let settings = |(member, lease): (&Member, &ports::PortLease)| {
            let own = dir.join(format!("r{}", member.id));
            std::fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
            Ok(HostSettings {
                member: member.clone(),
                dir: own,
                version: args.protocol,
                members: members.clone(),
                control_port: lease.first(),
                log_dir: dir.to_owned(),
                // The log length of production use: 100 MB, not the 1 MB of the tests.
                extra: vec!["--maxLogLenMB".into(), "100".into()],
            })
        };
        let all = members.iter().zip(&leases[count..]).map(settings).collect::<Result<Vec<_>, String>>()?;
        let mut cluster = Cluster::start(template, all, READY).map_err(text)?;
        let primary = cluster.wait_primary(ELECTION, || false).map_err(text)?;
        let primary = primary.ok_or("no replica became primary")?;
        Ok(Bench { cluster, primary, _ports: leases })
    }

    /// Finds the speed with a few windows, then measures about `seconds`.
    fn run(&mut self, setting: Setting, seconds: u64) -> Result<Measured, String> {
        let window = u64::from(setting.inflight);
        let warm = self.replicate(&setting, window * WARM_UP, seconds)?;
        let speed = warm["ops"].as_f64().unwrap_or(1.0).max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let count = ((speed * seconds as f64) as u64).max(window);
        // Reading the counters resets them.
        self.ask("stats", READY)?;
        let answer = self.replicate(&setting, count, seconds)?;
        let stats = self.ask("stats", READY)?;
        Measured::read(setting, &answer, &stats)
            .ok_or_else(|| format!("not every request was executed: {answer}"))
    }

    fn replicate(
        &mut self,
        setting: &Setting,
        count: u64,
        seconds: u64,
    ) -> Result<serde_json::Value, String> {
        let limit = Duration::from_secs(30 + 10 * seconds);
        let command =
            format!("replicate-random {count} {} {} {}", setting.size, setting.inflight, limit.as_millis());
        self.ask(&command, limit)
    }

    fn ask(&mut self, command: &str, limit: Duration) -> Result<serde_json::Value, String> {
        let control = self.cluster.control(self.primary);
        control.and_then(|control| control.ask(command, limit)).map_err(|error| error.to_string())
    }
}
