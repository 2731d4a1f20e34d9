//! A closed-loop client in a thread of its own: a window of requests, latencies from submission to acknowledgement.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Load;

/// Nothing is acknowledged for this long: the peer is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub ops_per_s: f64,
    pub p50_us: u64,
    pub p99_us: u64,
}

/// Counts latencies.
pub struct Recorder {
    histogram: Histogram<u64>,
    begin: Instant,
}

impl Recorder {
    pub fn start() -> Result<Recorder, String> {
        // Up to one hour, in microseconds.
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3).map_err(|error| error.to_string())?;
        Ok(Recorder { histogram, begin: Instant::now() })
    }

    pub fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(took.as_micros() as u64);
    }

    pub fn finish(&self) -> Sample {
        Sample {
            ops_per_s: self.histogram.len() as f64 / self.begin.elapsed().as_secs_f64(),
            p50_us: self.histogram.value_at_quantile(0.5),
            p99_us: self.histogram.value_at_quantile(0.99),
        }
    }
}

/// A payload that differs from request to request.
pub fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(size.max(8), number as u8);
    bytes
}

/// Keeps the window full. `submit` sends a request; `acknowledged` says how many more are done, in order.
pub fn closed_loop(
    load: Load,
    mut submit: impl FnMut(Vec<u8>) -> Result<(), String>,
    acknowledged: &Receiver<usize>,
) -> Result<Sample, String> {
    let mut starts = VecDeque::with_capacity(load.inflight);
    let mut number = 0;
    let mut recorder = Recorder::start()?;
    while recorder.begin.elapsed() < load.duration {
        while starts.len() < load.inflight {
            number += 1;
            starts.push_back(Instant::now());
            submit(payload(number, load.size))?;
        }
        let mut done = match acknowledged.recv_timeout(STUCK) {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout) => return Err("nothing is acknowledged".into()),
            Err(RecvTimeoutError::Disconnected) => return Err("the leader has ended".into()),
        };
        done += acknowledged.try_iter().sum::<usize>();
        let now = Instant::now();
        for start in starts.drain(..done) {
            recorder.record(now - start);
        }
    }
    Ok(recorder.finish())
}
