//! What a measurement holds.

use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::raw::Raw;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Which of the given hosts, from 0.
    pub(crate) host: usize,
    /// Requests in flight of a closed loop.
    pub(crate) inflight: u32,
    /// Requests per second of an open loop, which has no window.
    pub(crate) rate: Option<u32>,
    /// Bytes of a request.
    pub(crate) size: u32,
    pub(crate) replicas: u16,
    pub(crate) protocol: u16,
}

/// All rounds of one setting; there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) setting: Setting,
    /// Sorted by throughput.
    pub(crate) samples: Vec<Sample>,
    pub(crate) raw: Raw,
    /// With `--checkpoint-mb`.
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) executed: u64,
    pub(crate) seconds: f64,
    pub(crate) ops_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Not every host says so.
    pub(crate) p999_us: Option<u64>,
    pub(crate) max_us: u64,
    /// Of a host with our counters.
    pub(crate) stages: Option<Stages>,
    /// Decrees executed meanwhile.
    decrees: u64,
}

/// Where the time went: means in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Stages {
    /// From submission to the turn that takes the first request of a batch.
    pub(crate) queue_us: f64,
    /// The primary's write and sync of the log.
    pub(crate) log_us: f64,
    /// The same of the other replicas.
    pub(crate) peer_log_us: f64,
    /// From the proposal to the majority.
    pub(crate) quorum_us: f64,
    /// From the majority to the beginning of the execution.
    pub(crate) execution_wait_us: f64,
    /// Executing a decree.
    pub(crate) execute_us: f64,
    pub(crate) requests_per_decree: f64,
    /// Syncs of the primary's log.
    pub(crate) syncs: u64,
}

/// Bytes of a version 6 vote before its requests, without a cookie.
const ENVELOPE: u64 = 178;

impl Measured {
    /// The round in the middle.
    pub(crate) fn median(&self) -> &Sample {
        &self.samples[self.samples.len() / 2]
    }

    /// The distance of the best and the worst throughput, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let of = |sample: Option<&Sample>| sample.map_or(0.0, |sample| sample.ops_per_s);
        let spread = (of(self.samples.last()) - of(self.samples.first())) / self.median().ops_per_s.max(1.0);
        (spread * 100.0).round() / 100.0
    }

    /// Payload replicated per second.
    pub(crate) fn bytes_per_s(&self) -> f64 {
        self.median().ops_per_s * f64::from(self.setting.size)
    }
}

impl Sample {
    /// Reads the answer of `replicate-random` and the primary's and the others' `stats`; nothing when not all requests
    /// were executed.
    pub(crate) fn read(answer: &Value, primary: &Value, others: &[Value]) -> Option<Sample> {
        let executed = answer["executed"].as_u64()?;
        (executed > 0 && answer["executed"] == answer["issued"]).then_some(())?;
        Some(Sample {
            executed,
            seconds: answer["secs"].as_f64()?,
            ops_per_s: answer["ops"].as_f64()?,
            p50_us: micros(&answer["p50us"])?,
            p99_us: micros(&answer["p99us"])?,
            p999_us: micros(&answer["p999us"]),
            max_us: micros(&answer["maxus"])?,
            stages: Stages::read(executed, primary, others),
            decrees: primary["decreesExecuted"].as_u64().unwrap_or(0),
        })
    }

    /// Bytes of an average log record: its share of requests of this size, in pages.
    pub(crate) fn record_bytes(&self, size: u32) -> u64 {
        let requests = self.executed.div_ceil(self.decrees.max(1));
        (ENVELOPE + requests * (4 + u64::from(size))).next_multiple_of(512)
    }
}

impl Stages {
    fn read(executed: u64, primary: &Value, others: &[Value]) -> Option<Stages> {
        let mean = |stats: &Value, total: &str, count: &str| {
            Some(stats[total].as_f64()? / stats[count].as_f64()?.max(1.0))
        };
        let decrees = primary["executions"].as_f64()?;
        let peers = others
            .iter()
            .map(|stats| mean(stats, "syncMicroseconds", "syncs"))
            .collect::<Option<Vec<_>>>()?;
        Some(Stages {
            queue_us: mean(primary, "queueingMicroseconds", "queueings")?,
            log_us: mean(primary, "syncMicroseconds", "syncs")?,
            peer_log_us: peers.iter().sum::<f64>() / peers.len().max(1) as f64,
            quorum_us: mean(primary, "votingTimeMicroseconds", "votings")?,
            execution_wait_us: mean(primary, "executionWaitMicroseconds", "executions")?,
            execute_us: mean(primary, "executingMicroseconds", "executions")?,
            requests_per_decree: executed as f64 / decrees.max(1.0),
            syncs: primary["syncs"].as_u64()?,
        })
    }

    /// What the majority took beyond the slower of the two log writes that it needs: both ways on the wire, wake-ups,
    /// encoding. An estimate; the clocks of different processes are not compared.
    pub(crate) fn network_us(&self) -> f64 {
        (self.quorum_us - self.log_us.max(self.peer_log_us)).max(0.0)
    }
}

/// A whole number of microseconds, however the host writes it.
fn micros(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in microseconds")]
    value.as_u64().or_else(|| value.as_f64().map(|micros| micros.max(0.0) as u64))
}
