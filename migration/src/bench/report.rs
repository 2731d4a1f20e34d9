//! What a benchmark prints.

use serde_json::{Value, json};

use super::raw::Raw;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) inflight: u32,
    pub(crate) size: u32,
    pub(crate) replicas: u16,
    pub(crate) protocol: u16,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    setting: Setting,
    executed: u64,
    seconds: f64,
    ops_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// Syncs of the primary's log meanwhile.
    syncs: u64,
    /// Microseconds spent writing and syncing them.
    sync_time_us: u64,
    /// Turns of the primary's loop.
    turns: u64,
    pub(crate) raw: Raw,
}

/// Bytes of a version 6 vote before its requests, without a cookie.
const ENVELOPE: u64 = 178;

impl Measured {
    /// Reads the answer of `replicate-random`; nothing when not all requests were executed.
    pub(crate) fn read(setting: Setting, answer: &Value, stats: &Value) -> Option<Measured> {
        let executed = answer["executed"].as_u64()?;
        (executed > 0 && answer["executed"] == answer["issued"]).then_some(())?;
        Some(Measured {
            setting,
            executed,
            seconds: answer["secs"].as_f64()?,
            ops_per_s: answer["ops"].as_f64()?,
            p50_us: micros(&answer["p50us"])?,
            p99_us: micros(&answer["p99us"])?,
            max_us: micros(&answer["maxus"])?,
            syncs: stats["syncs"].as_u64()?,
            sync_time_us: stats["syncMicroseconds"].as_u64()?,
            turns: stats["turns"].as_u64()?,
            raw: Raw::default(),
        })
    }

    /// Bytes of an average log record of this measurement: its share of requests, in pages.
    pub(crate) fn record_bytes(&self) -> u64 {
        let requests = self.executed.div_ceil(self.syncs.max(1));
        (ENVELOPE + requests * (4 + u64::from(self.setting.size))).next_multiple_of(512)
    }

    fn json(&self) -> Value {
        json!({
            "inflight": self.setting.inflight,
            "size": self.setting.size,
            "replicas": self.setting.replicas,
            "protocol": self.setting.protocol,
            "executed": self.executed,
            "secs": self.seconds,
            "ops_per_s": self.ops_per_s,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "max_us": self.max_us,
            "syncs": self.syncs,
            "sync_mean_us": self.sync_time_us / self.syncs.max(1),
            "turns": self.turns,
            "raw_record_bytes": self.raw.bytes,
            "raw_sync_p50_us": self.raw.p50_us,
            "raw_sync_p99_us": self.raw.p99_us,
            "p50_to_raw": ratio(self.p50_us, self.raw.p50_us),
        })
    }
}

/// A whole number of microseconds, however the host writes it.
fn micros(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in microseconds")]
    value.as_u64().or_else(|| value.as_f64().map(|micros| micros.max(0.0) as u64))
}

fn ratio(part: u64, whole: u64) -> f64 {
    let ratio = part as f64 / whole.max(1) as f64;
    (ratio * 100.0).round() / 100.0
}

/// Prints all measurements.
pub(crate) fn print(results: &[Measured], as_json: bool) {
    if as_json {
        let values: Vec<Value> = results.iter().map(Measured::json).collect();
        match &values[..] {
            [one] => println!("{one}"),
            several => println!("{}", json!(several)),
        }
        return;
    }
    let mut table = comfy_table::Table::new();
    table.set_header([
        "in flight",
        "bytes",
        "ops/s",
        "p50 us",
        "p99 us",
        "max us",
        "syncs",
        "record",
        "raw p50 us",
        "raw p99 us",
        "p50/raw",
    ]);
    for result in results {
        table.add_row([
            result.setting.inflight.to_string(),
            result.setting.size.to_string(),
            format!("{:.0}", result.ops_per_s),
            result.p50_us.to_string(),
            result.p99_us.to_string(),
            result.max_us.to_string(),
            result.syncs.to_string(),
            result.raw.bytes.to_string(),
            result.raw.p50_us.to_string(),
            result.raw.p99_us.to_string(),
            ratio(result.p50_us, result.raw.p50_us).to_string(),
        ]);
    }
    println!("{table}");
}
