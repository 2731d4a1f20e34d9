//! What a benchmark prints: a table, JSON.

use serde_json::{Value, json};

use super::measure::{Measured, Sample};

/// Prints all measurements.
pub(crate) fn print(results: &[Measured], as_json: bool) {
    if as_json {
        let values: Vec<Value> = results.iter().map(json).collect();
        match &values[..] {
            [one] => println!("{one}"),
            several => println!("{}", json!(several)),
        }
        return;
    }
    println!("{}", latencies(results));
    let stages = stages(results);
    if stages.row_count() > 0 {
        println!("Where the time goes on the primary, means in microseconds:");
        println!("{stages}");
    }
}

fn json(result: &Measured) -> Value {
    let (setting, sample, raw) = (result.setting, result.median(), result.raw);
    let mut value = json!({
        "host": setting.host,
        "inflight": setting.inflight,
        "rate": setting.rate,
        "size": setting.size,
        "replicas": setting.replicas,
        "protocol": setting.protocol,
        "rounds": result.samples.len(),
        "ops_per_s": sample.ops_per_s,
        "ops_spread": result.spread(),
        "executed": sample.executed,
        "secs": sample.seconds,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "p999_us": sample.p999_us,
        "max_us": sample.max_us,
        "raw_record_bytes": raw.bytes,
        "raw_sync_p50_us": raw.p50_us,
        "raw_sync_p99_us": raw.p99_us,
        "p50_to_raw": ratio(sample.p50_us as f64, raw.p50_us as f64),
        "bytes_per_s": result.bytes_per_s().round(),
        "raw_bytes_per_s": raw.bytes_per_s,
        "bytes_to_raw": ratio(result.bytes_per_s(), raw.bytes_per_s),
    });
    if let (Some(stages), Some(object)) = (&sample.stages, value.as_object_mut()) {
        object.insert("syncs".into(), stages.syncs.into());
        object.insert(
            "stages_us".into(),
            json!({
                "queue": stages.queue_us,
                "log": stages.log_us,
                "peer_log": stages.peer_log_us,
                "quorum": stages.quorum_us,
                "network": stages.network_us(),
                "execution_wait": stages.execution_wait_us,
                "execute": stages.execute_us,
            }),
        );
        object.insert("requests_per_decree".into(), stages.requests_per_decree.into());
    }
    value
}

/// `part / whole` to two digits.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 100.0).round() / 100.0 } else { 0.0 }
}

fn load(result: &Measured) -> String {
    match result.setting.rate {
        Some(rate) => format!("{rate}/s"),
        None => result.setting.inflight.to_string(),
    }
}

fn latencies(results: &[Measured]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.set_header([
        "host",
        "in flight",
        "bytes",
        "ops/s",
        "+-%",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "record",
        "raw p50 us",
        "raw p99 us",
        "p50/raw",
        "bytes/raw",
    ]);
    for result in results {
        let (sample, raw) = (result.median(), result.raw);
        table.add_row([
            (result.setting.host + 1).to_string(),
            load(result),
            result.setting.size.to_string(),
            format!("{:.0}", sample.ops_per_s),
            format!("{:.0}", result.spread() * 50.0),
            sample.p50_us.to_string(),
            sample.p99_us.to_string(),
            sample.p999_us.map_or_else(String::new, |micros| micros.to_string()),
            sample.max_us.to_string(),
            raw.bytes.to_string(),
            raw.p50_us.to_string(),
            raw.p99_us.to_string(),
            ratio(sample.p50_us as f64, raw.p50_us as f64).to_string(),
            ratio(result.bytes_per_s(), raw.bytes_per_s).to_string(),
        ]);
    }
    table
}

fn stages(results: &[Measured]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.set_header([
        "host",
        "in flight",
        "bytes",
        "requests/decree",
        "queue",
        "own log",
        "peer log",
        "quorum",
        "network",
        "execution wait",
        "execute",
        "syncs",
    ]);
    for result in results {
        let Sample { stages: Some(stages), .. } = result.median() else { continue };
        table.add_row([
            (result.setting.host + 1).to_string(),
            load(result),
            result.setting.size.to_string(),
            format!("{:.1}", stages.requests_per_decree),
            format!("{:.0}", stages.queue_us),
            format!("{:.0}", stages.log_us),
            format!("{:.0}", stages.peer_log_us),
            format!("{:.0}", stages.quorum_us),
            format!("{:.0}", stages.network_us()),
            format!("{:.0}", stages.execution_wait_us),
            format!("{:.0}", stages.execute_us),
            stages.syncs.to_string(),
        ]);
    }
    table
}
