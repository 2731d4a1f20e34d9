//! What the control port answers: the JSON objects of the host contract.

use rsl_core::engine::{LogFileInfo, Role, Status};
use rsl_core::replica::{PeerHealth, Replica, Span};
use rsl_core::types::{Ballot, Decree, MemberId, Node};
use serde_json::{Value, json};

use super::load::Outcome;
use super::machine::HostMachine;
use std::sync::atomic::Ordering;

const SUCCESS: &str = "RSLSuccess";

const fn state_name(role: Role) -> &'static str {
    match role {
        Role::Inactive => "PaxosInactive",
        Role::Primary => "StablePrimary",
        Role::Secondary => "StableSecondary",
        Role::Preparing => "Preparing",
        Role::Initializing => "Initializing",
    }
}

fn ballot(ballot: Ballot) -> Value {
    json!([ballot.id, ballot.member.to_string()])
}

fn log_file(file: &LogFileInfo) -> Value {
    let (min, max) = file.votes.unwrap_or_default();
    json!({"min": min.0, "max": max.0, "len": file.len})
}

fn decree(decree: Option<Decree>) -> u64 {
    decree.map_or(0, |decree| decree.0)
}

/// `status`.
pub(super) fn status(replica: &Replica, machine: &HostMachine) -> Value {
    let Some(status) = replica.status() else { return json!({"error": "the replica is not running"}) };
    let Status { role, version, accepted, accepted_configuration, promised, .. } = status;
    let state = machine.state();
    let seen = machine.seen.lock();
    let count = |counter: &std::sync::atomic::AtomicU32| counter.load(Ordering::Relaxed);
    let counts = &machine.counts;
    json!({
        "id": replica.node().id.to_string(),
        "state": state_name(role),
        "isPrimary": replica.is_primary(),
        "recovered": seen.recovered,
        "version": version.number(),
        "seq": replica.current_sequence_number().0,
        "highestPassed": replica.highest_passed_sequence_number().0,
        "count": state.count,
        "hash": format!("{:016x}", state.hash),
        "lastSeq": state.last_seq,
        "pad": state.pad,
        "last": hex::encode(&state.last[..state.last.len().min(32)]),
        "maxAcceptedDecree": accepted.decree.0,
        "maxAcceptedBallot": ballot(accepted.ballot),
        "maxAcceptedConfig": accepted_configuration,
        "maxBallot": ballot(promised),
        "checkpointedDecree": status.log_range.checkpointed_decree.0,
        "checkpointSize": status.log_range.checkpoint_size,
        "configNumber": status.configuration,
        "stateConfigNumber": status.state_configuration,
        "defunct": status.defunct,
        "logs": status.logs.iter().map(log_file).collect::<Vec<_>>(),
        "saveCheckpointAt": decree(status.save_at),
        "copyCheckpointAt": decree(status.copy_at),
        "isSaving": u8::from(status.saving),
        "currentPrimary": status.current_primary.unwrap_or(MemberId::EMPTY).to_string(),
        "notify": count(&counts.notify),
        "saves": count(&counts.saves),
        "loads": count(&counts.loads),
        "confs": count(&counts.configurations),
        "abortConfs": count(&counts.aborted_changes),
        "copied": count(&counts.copied),
        "aborts": count(&counts.aborts),
        "fastReads": count(&counts.fast_reads),
        "lastSaved": seen.last_saved,
        "lastCopied": seen.last_copied,
        "acceptCookie": hex::encode(&seen.accept_cookie),
    })
}

/// `replicate` and its relatives.
pub(super) fn outcome(outcome: &Outcome, machine: &HostMachine) -> Value {
    let secs = outcome.took.as_secs_f64();
    let ops = if secs > 0.0 { outcome.executed as f64 / secs } else { 0.0 };
    json!({
        "rc": outcome.refused.map_or(SUCCESS, rsl_core::replica::Refused::name),
        "issued": outcome.issued,
        "executed": outcome.executed,
        "aborted": outcome.aborted,
        "lastAbort": outcome.last_abort.map_or("", rsl_core::replica::Refused::name),
        "seq": outcome.seq,
        "hash": format!("{:016x}", machine.state().hash),
        "secs": secs,
        "ops": ops.round(),
        "p50us": outcome.latencies.percentile(50.0),
        "p99us": outcome.latencies.percentile(99.0),
        "p999us": outcome.latencies.percentile(99.9),
        "maxus": outcome.latencies.max(),
    })
}

fn node(node: &Node) -> Value {
    json!({
        "id": node.id.to_string(),
        "ip": node.ip.to_string(),
        "port": node.rsl_port,
        "learnPort": node.learn_port,
        "hostName": String::from_utf8_lossy(&node.host_name),
    })
}

/// `config`.
pub(super) fn configuration(replica: &Replica) -> Value {
    let (number, members) = replica.configuration();
    json!({
        "number": number,
        "members": members.nodes.iter().map(node).collect::<Vec<_>>(),
        "cookie": hex::encode(&members.cookie),
    })
}

/// `primary`: an empty id when it is unknown.
pub(super) fn primary(replica: &Replica) -> Value {
    let unknown = json!({"id": "", "ip": "0.0.0.0", "port": 0, "learnPort": 0, "hostName": ""});
    replica.current_primary().as_ref().map_or(unknown, node)
}

/// `replicas`.
pub(super) fn replicas(replica: &Replica) -> Value {
    let one = |health: &PeerHealth| {
        json!({
            "id": health.member.to_string(),
            "isPrimary": health.is_primary,
            "connected": health.connected,
            "outstanding": health.outstanding,
            "lastVotedDecree": health.last_request_voted_decree.0,
            "failures": health.consecutive_failures,
            "needsResolve": health.needs_resolve,
            "payload": health.last_vote_payload,
        })
    };
    json!({"replicas": replica.replicas_information().iter().map(one).collect::<Vec<_>>()})
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `stats`: the fields of the legacy structure, then our own.
pub(super) fn stats(replica: &Replica) -> Value {
    let stats = replica.take_stats();
    let Span { count: log_reads, bytes: read_bytes, total: read_time, max: read_max } = stats.log_reads;
    let Span { count: log_writes, bytes: write_bytes, total: write_time, max: write_max } = stats.log_writes;
    json!({
        "captureTimeInMicroseconds": micros(stats.capture_time),
        "decreesExecuted": stats.decrees_executed,
        "logReads": log_reads,
        "logReadBytes": read_bytes,
        "logReadMicroseconds": micros(read_time),
        "logReadMaxMicroseconds": micros(read_max),
        "logWrites": log_writes,
        "logWriteBytes": write_bytes,
        "logWriteMicroseconds": micros(write_time),
        "logWriteMaxMicroseconds": micros(write_max),
        "votingTimeMicroseconds": micros(stats.voting.total),
        "votingTimeMaxMicroseconds": micros(stats.voting.max),
        "turns": stats.turns,
        "syncs": stats.syncs,
        "syncMicroseconds": micros(stats.sync_time),
        "queueings": stats.queueing.count,
        "queueingMicroseconds": micros(stats.queueing.total),
        "executions": stats.executing.count,
        "executionWaitMicroseconds": micros(stats.execution_wait.total),
        "executingMicroseconds": micros(stats.executing.total),
        "votings": stats.voting.count,
        "messagesIn": stats.messages_in,
        "messagesOut": stats.messages_out,
    })
}
