//! What a benchmark prints: a table, JSON.

use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, Piece};
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
    let checkpoints = checkpoints(results);
    if checkpoints.row_count() > 0 {
        println!("While a checkpoint is saved and copied:");
        println!("{checkpoints}");
    }
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
    if let (Some(checkpoint), Some(object)) = (&result.checkpoint, value.as_object_mut()) {
        object.insert("checkpoint".into(), checkpoint_json(checkpoint));
    }
    value
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    let piece = |piece: Piece| {
        json!({
            "ops_per_s": piece.ops_per_s,
            "p50_us": piece.p50_us,
            "p99_us": piece.p99_us,
            "max_us": piece.max_us,
        })
    };
    json!({
        "mib": checkpoint.mib,
        "secs": checkpoint.took.as_secs_f64(),
        "stretches": checkpoint.during.len(),
        "before": piece(checkpoint.before),
        "median": piece(checkpoint.median()),
        "worst": piece(checkpoint.worst()),
        "rss_before_kib": checkpoint.memory.map(|(before, _)| before),
        "rss_most_kib": checkpoint.memory.map(|(_, most)| most),
    })
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

fn checkpoints(results: &[Measured]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.set_header([
        "host",
        "in flight",
        "bytes",
        "MiB",
        "seconds",
        "ops/s before",
        "ops/s",
        "p50 before",
        "p50 us",
        "p99 before",
        "p99 us",
        "worst p99",
        "max us",
        "RSS MiB",
        "most",
    ]);
    for result in results {
        let Some(checkpoint) = &result.checkpoint else { continue };
        let (before, median) = (checkpoint.before, checkpoint.median());
        let memory = |kib: Option<u64>| kib.map_or_else(String::new, |kib| (kib / 1024).to_string());
        table.add_row([
            (result.setting.host + 1).to_string(),
            load(result),
            result.setting.size.to_string(),
            checkpoint.mib.to_string(),
            format!("{:.1}", checkpoint.took.as_secs_f64()),
            format!("{:.0}", before.ops_per_s),
            format!("{:.0}", median.ops_per_s),
            before.p50_us.to_string(),
            median.p50_us.to_string(),
            before.p99_us.to_string(),
            median.p99_us.to_string(),
            checkpoint.worst().p99_us.to_string(),
            checkpoint.during.iter().map(|piece| piece.max_us).max().unwrap_or(0).to_string(),
            memory(checkpoint.memory.map(|(before, _)| before)),
            memory(checkpoint.memory.map(|(_, most)| most)),
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
