//! The reference of a benchmark: processes that append records of one size to a growing file, each with an fdatasync.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Append records to a file with a sync after each: the reference of `rsl bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct RawArgs {
    /// The file to write; it must not exist.
    #[arg(long)]
    file: PathBuf,
    /// Bytes of a record.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    bytes: u64,
    /// How long.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl RawArgs {
    /// Runs and prints `{"count", "p50_us", "p99_us", "bytes_per_s"}`.
    pub(crate) fn run(self) -> ExitCode {
        match self.append() {
            Ok(result) => {
                println!("{result}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("rsl raw-append: {}: {error}", self.file.display());
                ExitCode::FAILURE
            }
        }
    }

    fn append(&self) -> std::io::Result<Value> {
        let mut file = File::options().write(true).create_new(true).open(&self.file)?;
        let record = vec![0x5A; usize::try_from(self.bytes).unwrap_or(usize::MAX)];
        let mut times = Vec::new();
        let begin = Instant::now();
        let end = begin + Duration::from_secs(self.seconds);
        while Instant::now() < end {
            let start = Instant::now();
            file.write_all(&record)?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        let secs = begin.elapsed().as_secs_f64();
        let bytes_per_s = (times.len() as u64 * self.bytes) as f64 / secs;
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).map_or(0, |time| micros(*time));
        Ok(json!({
            "count": times.len(),
            "p50_us": at(50),
            "p99_us": at(99),
            "bytes_per_s": bytes_per_s.round(),
        }))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What the reference did: medians over the processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw {
    /// Bytes of its records.
    pub(crate) bytes: u64,
    /// Median time of an append with its sync, in microseconds.
    pub(crate) p50_us: u64,
    /// The same for the 99th percentile.
    pub(crate) p99_us: u64,
    /// Bytes per second of each of them.
    pub(crate) bytes_per_s: f64,
}

/// Runs `count` processes of this binary at the same time.
pub(crate) fn measure(own: &Path, dir: &Path, count: u16, bytes: u64, seconds: u64) -> Result<Raw, String> {
    let text = |error: std::io::Error| error.to_string();
    let files: Vec<PathBuf> = (0..count).map(|place| dir.join(format!("raw-{place}"))).collect();
    let start = |file: &PathBuf| {
        let mut command = Command::new(own);
        command.arg("raw-append").arg("--file").arg(file);
        command.args(["--bytes", &bytes.to_string(), "--seconds", &seconds.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(text)
    };
    let children = files.iter().map(start).collect::<Result<Vec<_>, String>>()?;
    let mut halves = Vec::new();
    let mut tails = Vec::new();
    let mut rates = Vec::new();
    for child in children {
        let output = child.wait_with_output().map_err(text)?;
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        halves.push(value["p50_us"].as_u64().unwrap_or(0));
        tails.push(value["p99_us"].as_u64().unwrap_or(0));
        rates.push(value["bytes_per_s"].as_f64().unwrap_or(0.0));
    }
    for file in files {
        std::fs::remove_file(&file).map_err(text)?;
    }
    halves.sort_unstable();
    tails.sort_unstable();
    rates.sort_unstable_by(f64::total_cmp);
    let middle = usize::from(count) / 2;
    Ok(Raw { bytes, p50_us: halves[middle], p99_us: tails[middle], bytes_per_s: rates[middle] })
}
