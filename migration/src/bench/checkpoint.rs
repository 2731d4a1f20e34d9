//! `rsl bench --checkpoint-mb`: latency and memory while a large checkpoint is saved and copied, as it happens by itself:
//! a log is full, the secondaries save, and the primary copies from one of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use migration::host::{Cluster, Control, HostError};
use serde_json::Value;

/// How long the checkpoint may take.
const PATIENCE: Duration = Duration::from_secs(600);
const ANSWER: Duration = Duration::from_secs(60);
/// Between two looks at the replicas.
const PAUSE: Duration = Duration::from_millis(50);

/// The latencies of one stretch of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) ops_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// What a checkpoint under load did.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    /// Its size in MiB.
    pub(crate) mib: u64,
    /// The last stretch before anybody saved.
    pub(crate) before: Piece,
    /// The stretches meanwhile, sorted by the 99th percentile; there is at least one.
    pub(crate) during: Vec<Piece>,
    /// From the first replica that saves to the last that has the checkpoint.
    pub(crate) took: Duration,
    /// Resident memory of the process that grew most, in KiB: before, and at most. Only where the system tells.
    pub(crate) memory: Option<(u64, u64)>,
}

impl Checkpoint {
    /// The stretch in the middle.
    pub(crate) fn median(&self) -> Piece {
        self.during[self.during.len() / 2]
    }

    /// The stretch with the highest 99th percentile.
    pub(crate) fn worst(&self) -> Piece {
        self.during[self.during.len() - 1]
    }
}

/// Keeps `load` running, one stretch after the other, until a checkpoint of `mib` MiB has reached every replica.
pub(crate) fn measure(
    cluster: &mut Cluster,
    primary: usize,
    mib: u64,
    mut load: impl FnMut(&mut Cluster) -> Result<Piece, String>,
) -> Result<Checkpoint, String> {
    let text = |error: HostError| error.to_string();
    let mut before = load(cluster)?;
    let watch = Watch::new(cluster).map_err(text)?;
    let pad = format!("pad {}", mib << 20);
    let padded = cluster.control(primary).and_then(|control| control.ask(&pad, ANSWER)).map_err(text)?;
    let at = padded["seq"].as_u64().ok_or("the host does not say where the state has grown")?;
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut during = Vec::new();
    let watched = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let watched = watch.run(at, &begun);
            done.store(true, Ordering::Release);
            watched
        });
        let mut failed = None;
        while failed.is_none() && !done.load(Ordering::Acquire) {
            match load(cluster) {
                Ok(piece) if begun.load(Ordering::Acquire) => during.push(piece),
                Ok(piece) => before = piece,
                Err(error) => {
                    failed = Some(error);
                    done.store(true, Ordering::Release);
                }
            }
        }
        let watched = watcher.join().unwrap_or_else(|_| Err("the watcher of the replicas panicked".into()));
        failed.map_or(watched, Err)
    });
    let (took, memory) = watched?;
    if during.is_empty() {
        return Err("no load ran beside the checkpoint: it is too small to measure".into());
    }
    during.sort_by_key(|piece| piece.p99_us);
    // Back to a small state: the next one that is measured starts as this one did.
    cluster.control(primary).and_then(|control| control.ask("pad 0", ANSWER)).map_err(text)?;
    Ok(Checkpoint { mib, before, during, took, memory })
}

/// Looks at the replicas until all have the checkpoint, on connections of its own.
struct Watch {
    controls: Vec<Control>,
    pids: Vec<Option<u32>>,
}

impl Watch {
    fn new(cluster: &Cluster) -> Result<Watch, HostError> {
        let controls = cluster.hosts().iter().map(|host| host.control(ANSWER)).collect::<Result<_, _>>()?;
        let pids = cluster.hosts().iter().map(migration::host::Host::pid).collect();
        Ok(Watch { controls, pids })
    }

    /// Waits for the checkpoint of decree `at` or a later one; `begun` is set when the first replica saves it. Returns how
    /// long that took, and the memory of the process that grew most.
    fn run(mut self, at: u64, begun: &AtomicBool) -> Result<(Duration, Option<(u64, u64)>), String> {
        let text = |error: HostError| error.to_string();
        let before: Vec<Option<u64>> = self.pids.iter().map(|pid| resident(*pid)).collect();
        let mut most = before.clone();
        let end = Instant::now() + PATIENCE;
        let mut started = None;
        let mut missing: Vec<usize> = (0..self.controls.len()).collect();
        while !missing.is_empty() {
            if Instant::now() > end {
                return Err(format!("{} replicas have no checkpoint of decree {at} yet", missing.len()));
            }
            let mut left = Vec::new();
            for place in missing {
                let status = self.controls[place].ask("status", ANSWER).map_err(text)?;
                if status["isSaving"] == 1 && started.is_none() {
                    started = Some(Instant::now());
                    begun.store(true, Ordering::Release);
                }
                if !has_checkpoint(&status, at) {
                    left.push(place);
                }
            }
            missing = left;
            for (most, pid) in most.iter_mut().zip(&self.pids) {
                *most = (*most).max(resident(*pid));
            }
            std::thread::sleep(PAUSE);
        }
        let took = started.ok_or("nobody was seen saving: the checkpoint is too small to measure")?.elapsed();
        let both = before.iter().zip(&most).filter_map(|(before, most)| Some(((*before)?, (*most)?)));
        Ok((took, both.max_by_key(|(before, most)| most - before)))
    }
}

/// Whether a replica has the checkpoint of this decree or a later one.
fn has_checkpoint(status: &Value, at: u64) -> bool {
    status["checkpointedDecree"].as_u64().is_some_and(|decree| decree >= at)
}

/// Resident memory of a process in KiB.
fn resident(pid: Option<u32>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    resident_in(&status)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_there_once_its_decree_is_reached() {
        let status = |decree: u64| serde_json::json!({"checkpointedDecree": decree});
        assert!(has_checkpoint(&status(7), 7) && has_checkpoint(&status(8), 7));
        assert!(!has_checkpoint(&status(6), 7) && !has_checkpoint(&serde_json::json!({}), 0));
    }

    #[test]
    fn resident_memory_is_read_from_the_status_of_a_process() {
        assert_eq!(resident_in("VmHWM:\t   99 kB\nVmRSS:\t    4711 kB\nVmData: 1 kB\n"), Some(4711));
        assert_eq!(resident_in("VmHWM:\t   99 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(resident(Some(std::process::id())).is_some_and(|kib| kib > 100));
    }

    #[test]
    fn the_stretches_are_compared_by_their_tail() {
        let piece = |p99_us| Piece { ops_per_s: 1.0, p50_us: 1, p99_us, max_us: p99_us };
        let during = vec![piece(1), piece(2), piece(9)];
        let checkpoint = Checkpoint { mib: 1, before: piece(1), during, took: Duration::ZERO, memory: None };
        assert_eq!((checkpoint.median().p99_us, checkpoint.worst().p99_us), (2, 9));
    }
}
