//! Measures rsl and its peers on the same machine in the same run: rounds are interleaved, medians and ratios printed.
//!
//! | who | network | persists before it acknowledges |
//! |---|---|---|
//! | rsl | TCP over loopback, three processes | requests on a majority, one fdatasync per decree |
//! | raft 0.7 | channels between three threads | entries and hard state on a majority, one fdatasync per `Ready` |
//! | omnipaxos 0.2 | channels between three threads | entries and rounds on a majority, one fdatasync per turn |
//! | openraft 0.9 | calls between three tasks | nothing: its in-memory store |
//!
//! The peers do not cross a socket or a process, so the comparison favours them.

mod client;
mod omnipaxos_peer;
mod openraft_peer;
mod raft_peer;
mod wal;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use client::Sample;

/// Measure rsl beside other replication libraries.
#[derive(Debug, Parser)]
struct Args {
    /// The `rsl` binary, built for release.
    #[arg(long)]
    rsl: PathBuf,
    /// Requests in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024,4096")]
    inflight: Vec<usize>,
    /// Bytes of a request.
    #[arg(long, value_delimiter = ',', default_value = "16,100,1024")]
    size: Vec<usize>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A directory on the disk to be measured. Without it: a temporary directory.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A closed loop of one size.
#[derive(Clone, Copy, Debug)]
struct Load {
    inflight: usize,
    size: usize,
    duration: Duration,
}

const NAMES: [&str; 4] = ["rsl", "raft", "omnipaxos", "openraft (memory)"];

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<comfy_table::Table, String> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let place = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
    let mut table = comfy_table::Table::new();
    table.set_header(["in flight", "bytes", "who", "ops/s", "spread", "p50 us", "p99 us", "rsl is x times"]);
    for &size in &args.size {
        for &inflight in &args.inflight {
            let load = Load { inflight, size, duration: Duration::from_secs(args.seconds) };
            let mut rounds: [Vec<Sample>; 4] = Default::default();
            for round in 0..args.rounds {
                for (who, samples) in rounds.iter_mut().enumerate() {
                    let dir = place.path().join(format!("{size}-{inflight}-{round}-{who}"));
                    std::fs::create_dir(&dir).map_err(|error| error.to_string())?;
                    samples.push(measure(who, args, load, &dir)?);
                    std::fs::remove_dir_all(&dir).map_err(|error| error.to_string())?;
                }
            }
            let medians = rounds.each_mut().map(|samples| {
                samples.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
                samples[samples.len() / 2]
            });
            for (who, median) in medians.iter().enumerate() {
                let (low, high) = (rounds[who][0].ops_per_s, rounds[who][args.rounds - 1].ops_per_s);
                table.add_row([
                    inflight.to_string(),
                    size.to_string(),
                    NAMES[who].to_owned(),
                    format!("{:.0}", median.ops_per_s),
                    format!("{low:.0}..{high:.0}"),
                    median.p50_us.to_string(),
                    median.p99_us.to_string(),
                    format!("{:.2}", medians[0].ops_per_s / median.ops_per_s.max(1.0)),
                ]);
            }
            eprintln!("{inflight} in flight, {size} bytes: done");
        }
    }
    Ok(table)
}

fn measure(who: usize, args: &Args, load: Load, dir: &Path) -> Result<Sample, String> {
    match who {
        0 => rsl(&args.rsl, load, dir, args.seconds),
        1 => raft_peer::measure(load, dir),
        2 => omnipaxos_peer::measure(load, dir),
        _ => openraft_peer::measure(load),
    }
}

/// One `rsl bench` of three processes.
fn rsl(program: &Path, load: Load, dir: &Path, seconds: u64) -> Result<Sample, String> {
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--seconds", &seconds.to_string()]).arg("--dir").arg(dir);
    command.args(["--inflight", &load.inflight.to_string(), "--size", &load.size.to_string()]);
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("rsl bench: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let number = |name: &str| value[name].as_f64().ok_or_else(|| format!("rsl bench says no {name}"));
    Ok(Sample {
        ops_per_s: number("ops_per_s")?,
        p50_us: number("p50_us")? as u64,
        p99_us: number("p99_us")? as u64,
    })
}
