//! `rsl bench`: closed-loop throughput of replica processes, beside what the disk itself does in the same run.

mod checkpoint;
mod measure;
mod plot;
mod raw;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use migration::host::{Cluster, HostError, HostSettings, Member, Template, ports};

use checkpoint::{Checkpoint, Piece};
use measure::{Measured, Sample, Setting};
pub(crate) use raw::RawArgs;

/// Measure throughput and latency of replica processes on this machine, and of the bare disk beside them.
///
/// For each window and size: replica processes on loopback replicate random requests from the primary's own process,
/// every one on stable storage of a majority before it counts; then as many processes as there are replicas append
/// records of the same size, each with an fdatasync, all at the same time. Quote ratios, not absolute figures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests in flight; several values are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024,4096",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    inflight: Vec<u32>,
    /// Bytes of a request; several values are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "16,100,1024,65536",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    size: Vec<u32>,
    /// Requests per second of an open loop, instead of windows: latency counts from the time a request was due, so a
    /// stall shows. Needs a host with `replicate-rate`, as ours.
    #[arg(long, value_delimiter = ',', conflicts_with = "inflight",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Vec<u32>,
    /// Rounds per measurement, interleaved; the median is printed, with the spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Then let a checkpoint of so many MiB be saved and copied under each load, as a full log makes it happen, with
    /// `--seconds` for every stretch; latency and memory are printed beside those before. Best with `--rate`: a closed
    /// loop waits while the replicas stall. Every replica needs room for two checkpoints.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    checkpoint_mb: Option<u64>,
    /// Number of replicas.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    replicas: u16,
    /// Protocol version, 1 to 6.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=6))]
    protocol: u16,
    /// Where the files go; a directory on the disk to be measured. Without it: a temporary directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How to start a replica, with {id} {dir} {version} {members} {self} {control} {events} {execlog}; without it, and for
    /// the word `rsl`, `rsl replica` of this binary. Given more than once, there is a set of each, and they take turns.
    #[arg(long, value_name = "COMMAND")]
    host: Vec<String>,
    /// Ask the application about every message (AcceptMessageFromReplica), which costs two changes of threads per vote.
    /// Without it the hosts run with the legacy parameter useGlobalAcceptMessagesFlag, which spares the question.
    #[arg(long)]
    ask_accept: bool,
    /// Draw throughput and latency over the window into this SVG file; of the first host.
    #[arg(long, value_name = "FILE", conflicts_with = "rate")]
    svg: Option<PathBuf>,
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
        let drawn = self.measure().and_then(|results| {
            report::print(&results, self.json);
            let first: Vec<Measured> = results.iter().filter(|one| one.setting.host == 0).cloned().collect();
            self.svg.as_ref().map_or(Ok(()), |file| plot::draw(file, &first))
        });
        match drawn {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("rsl bench: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> Result<Vec<Measured>, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let templates = self.templates(&own)?;
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let place = tempfile::Builder::new()
            .prefix("rsl-bench-")
            .tempdir_in(&parent)
            .map_err(|error| format!("{}: {error}", parent.display()))?;
        let mut results = Vec::new();
        for &size in &self.size {
            // A set of its own per size: the logs of one do not slow the other down.
            let dir = place.path().join(format!("size-{size}"));
            let mut sets = Vec::new();
            let mut measured: Vec<Measured> = Vec::new();
            for (host, template) in templates.iter().enumerate() {
                sets.push(Bench::start(self, template, &dir.join(format!("host-{host}")))?);
                for setting in self.settings(host, size) {
                    let raw = raw::Raw::default();
                    measured.push(Measured { setting, samples: Vec::new(), raw, checkpoint: None });
                }
            }
            for _ in 0..self.rounds {
                for result in &mut measured {
                    let set = &mut sets[result.setting.host];
                    result.samples.push(set.run(result.setting, self.seconds)?);
                }
            }
            for mut result in measured {
                result.samples.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
                if let Some(mib) = self.checkpoint_mb {
                    let set = &mut sets[result.setting.host];
                    result.checkpoint = Some(set.checkpoint(result.setting, mib, self.seconds)?);
                }
                let bytes = result.median().record_bytes(size);
                result.raw = raw::measure(&own, &dir, self.replicas, bytes, self.seconds)?;
                results.push(result);
            }
        }
        Ok(results)
    }

    fn templates(&self, own: &Path) -> Result<Vec<Template>, String> {
        let parse = |text: &String| match text.as_str() {
            "rsl" => Ok(Template::rsl_replica(own)),
            text => Template::parse(text).map_err(|error| error.to_string()),
        };
        let given: Vec<Template> = self.host.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(if given.is_empty() { vec![Template::rsl_replica(own)] } else { given })
    }

    fn settings(&self, host: usize, size: u32) -> Vec<Setting> {
        let setting = |inflight, rate| Setting {
            host,
            inflight,
            rate,
            size,
            replicas: self.replicas,
            protocol: self.protocol,
        };
        if self.rate.is_empty() {
            self.inflight.iter().map(|inflight| setting(*inflight, None)).collect()
        } else {
            self.rate.iter().map(|rate| setting(0, Some(*rate))).collect()
        }
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
        // The log length of production use: 100 MB, not the 1 MB of the tests. A checkpoint comes with a full log, and should
        // come soon where it is to be measured.
        let log_mb = if args.checkpoint_mb.is_some() { "16" } else { "100" };
        let global_accept = if args.ask_accept { "0" } else { "1" };
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
                extra: ["--maxLogLenMB", log_mb, "--useGlobalAcceptMessagesFlag", global_accept]
                    .map(str::to_owned)
                    .to_vec(),
            })
        };
        let all = members.iter().zip(&leases[count..]).map(settings).collect::<Result<Vec<_>, String>>()?;
        let mut cluster = Cluster::start(template, all, READY).map_err(text)?;
        let primary = cluster.wait_primary(ELECTION, || false).map_err(text)?;
        let primary = primary.ok_or("no replica became primary")?;
        Ok(Bench { cluster, primary, _ports: leases })
    }

    /// Measures stretches of about `seconds` while a checkpoint is saved and copied.
    fn checkpoint(&mut self, setting: Setting, mib: u64, seconds: u64) -> Result<Checkpoint, String> {
        let speed = match setting.rate {
            Some(rate) => u64::from(rate),
            None => self.speed(&setting, u64::from(setting.inflight) * WARM_UP, seconds)?,
        };
        let mut count = speed * seconds;
        let primary = self.primary;
        checkpoint::measure(&mut self.cluster, primary, mib, |cluster| {
            let answer = replicate(cluster, primary, &setting, count, seconds)?;
            let ops_per_s = answer["ops"].as_f64().unwrap_or(0.0);
            if setting.rate.is_none() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of requests"
                )]
                let next = (ops_per_s * seconds as f64) as u64;
                count = next.max(u64::from(setting.inflight));
            }
            let latency = |name: &str| answer[name].as_u64().ok_or_else(|| format!("no latencies: {answer}"));
            Ok(Piece {
                ops_per_s,
                p50_us: latency("p50us")?,
                p99_us: latency("p99us")?,
                max_us: latency("maxus")?,
            })
        })
    }

    /// Measures about `seconds`; a closed loop finds the speed with a few windows first.
    fn run(&mut self, setting: Setting, seconds: u64) -> Result<Sample, String> {
        let count = match setting.rate {
            Some(rate) => u64::from(rate) * seconds,
            None => {
                // A short look at the speed, and a longer one.
                let window = u64::from(setting.inflight);
                let speed = self.speed(&setting, window * WARM_UP, seconds)?;
                let speed = self.speed(&setting, (speed / 4).max(window), seconds)?;
                (speed * seconds).max(window)
            }
        };
        // Reading the counters resets them.
        self.stats()?;
        let answer = replicate(&mut self.cluster, self.primary, &setting, count, seconds)?;
        let mut others = self.stats()?;
        let primary = others.remove(self.primary);
        Sample::read(&answer, &primary, &others)
            .ok_or_else(|| format!("not every request was executed: {answer}"))
    }

    /// Requests per second, found with `count` requests.
    fn speed(&mut self, setting: &Setting, count: u64, seconds: u64) -> Result<u64, String> {
        let answer = replicate(&mut self.cluster, self.primary, setting, count, seconds)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        Ok(answer["ops"].as_f64().unwrap_or(0.0).max(1.0) as u64)
    }

    /// The counters of all replicas.
    fn stats(&mut self) -> Result<Vec<serde_json::Value>, String> {
        (0..self.cluster.len()).map(|place| ask(&mut self.cluster, place, "stats", READY)).collect()
    }
}

fn replicate(
    cluster: &mut Cluster,
    primary: usize,
    setting: &Setting,
    count: u64,
    seconds: u64,
) -> Result<serde_json::Value, String> {
    let limit = Duration::from_secs(30 + 10 * seconds);
    let Setting { size, inflight, rate, .. } = setting;
    let command = match rate {
        Some(rate) => format!("replicate-rate {count} {size} {rate} {}", limit.as_millis()),
        None => format!("replicate-random {count} {size} {inflight} {}", limit.as_millis()),
    };
    ask(cluster, primary, &command, limit)
}

fn ask(
    cluster: &mut Cluster,
    place: usize,
    command: &str,
    limit: Duration,
) -> Result<serde_json::Value, String> {
    let control = cluster.control(place);
    control.and_then(|control| control.ask(command, limit)).map_err(|error| error.to_string())
}
