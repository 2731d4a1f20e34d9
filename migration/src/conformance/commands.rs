//! Cases: the control protocol and its commands.

use std::time::{Duration, Instant};

use migration::oracle::{Oracle, Random};
use serde_json::{Value, json};

use super::Case;
use super::checks::{Failure, Kind, ensure, fields, has, hash, number, same, text};
use super::lab::{Lab, Running, SOON, pause};

pub(crate) const CASES: &[&Case] = &[
    &Case { name: "status has every field", run: status },
    &Case { name: "malformed lines are answered and end nothing", run: malformed },
    &Case { name: "replicate executes in order and reports", run: replicate },
    &Case { name: "exclusive requests have a decree of their own", run: exclusive },
    &Case { name: "the last request closes admission", run: last },
    &Case { name: "random requests come from the contract's generator", run: random },
    &Case { name: "connections do not wait for each other", run: connections },
    &Case { name: "fast reads", run: fast_reads },
    &Case { name: "config, primary, replicas, stats", run: information },
    &Case { name: "wait-seq waits for a decree or the time", run: wait_seq },
    &Case { name: "settings of callbacks and the API are taken", run: settings },
    &Case { name: "stable and pending", run: stable_and_pending },
    &Case { name: "pause and resume", run: pause_and_resume },
    &Case { name: "copystate", run: copystate },
    &Case { name: "changeconfig", run: changeconfig },
    &Case { name: "bootstrap of a running set is refused", run: bootstrap },
];

const STATUS: &[(&str, Kind)] = &[
    ("id", Kind::Text),
    ("state", Kind::Text),
    ("isPrimary", Kind::Bool),
    ("recovered", Kind::Bool),
    ("version", Kind::Number),
    ("seq", Kind::Number),
    ("highestPassed", Kind::Number),
    ("count", Kind::Number),
    ("hash", Kind::Hex),
    ("lastSeq", Kind::Number),
    ("pad", Kind::Number),
    ("last", Kind::Hex),
    ("maxAcceptedDecree", Kind::Number),
    ("maxAcceptedBallot", Kind::Ballot),
    ("maxAcceptedConfig", Kind::Number),
    ("maxBallot", Kind::Ballot),
    ("checkpointedDecree", Kind::Number),
    ("checkpointSize", Kind::Number),
    ("configNumber", Kind::Number),
    ("stateConfigNumber", Kind::Number),
    ("defunct", Kind::Number),
    ("logs", Kind::List),
    ("saveCheckpointAt", Kind::Number),
    ("copyCheckpointAt", Kind::Number),
    ("isSaving", Kind::Number),
    ("currentPrimary", Kind::Text),
    ("notify", Kind::Number),
    ("saves", Kind::Number),
    ("loads", Kind::Number),
    ("confs", Kind::Number),
    ("abortConfs", Kind::Number),
    ("copied", Kind::Number),
    ("aborts", Kind::Number),
    ("fastReads", Kind::Number),
    ("lastSaved", Kind::Text),
    ("lastCopied", Kind::Text),
    ("acceptCookie", Kind::Text),
];

const REPLICATED: &[(&str, Kind)] = &[
    ("rc", Kind::Text),
    ("issued", Kind::Number),
    ("executed", Kind::Number),
    ("aborted", Kind::Number),
    ("seq", Kind::Number),
    ("hash", Kind::Hex),
    ("secs", Kind::Measure),
    ("ops", Kind::Measure),
    ("p50us", Kind::Measure),
    ("p99us", Kind::Measure),
    ("maxus", Kind::Measure),
];

fn status(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let status = running.status()?;
    fields(&status, STATUS)?;
    fields(&status["logs"][0], &[("min", Kind::Number), ("max", Kind::Number), ("len", Kind::Number)])?;
    has(&status, "id", running.host.id())?;
    has(&status, "state", "StablePrimary")?;
    has(&status, "version", lab.version())?;
    has(&status, "currentPrimary", running.host.id())?;
    has(&status, "maxAcceptedBallot", status["maxBallot"].clone())?;
    has(&status, "notify", 1)?;
    has(&status, "loads", 1)?;
    has(&status, "count", 0)?;
    has(&status, "last", "")?;
    same("hash", hash(&status)?, Oracle::default().hash)
}

fn malformed(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let long = "x".repeat(100_000);
    let lines = [
        "nonsense",
        "STATUS",
        "replicate zz",
        "replicate abc",
        "replicate a1 b",
        "replicate-random",
        "replicate-random ten 16",
        "replicate-random 1 -1",
        "pad",
        "pad many",
        "fastread x",
        "wait-seq",
        "wait-seq soon",
        "exec-delay",
        "cookie 123",
        "changeconfig nobody",
        "bootstrap a@b:c",
        "\u{1}\u{2}\u{ff}",
        &long,
    ];
    for line in lines {
        let answer = running.control.ask_raw(line, SOON)?;
        let short: String = line.chars().take(30).collect();
        ensure(answer["error"].is_string(), || format!("`{short}` was answered with {answer}"))?;
    }
    has(&running.status()?, "count", 0)
}

/// A successful answer to one of the replicate commands.
fn replicated(answer: &Value, requests: u64, oracle: &Oracle) -> Result<(), Failure> {
    fields(answer, REPLICATED)?;
    has(answer, "rc", "RSLSuccess")?;
    has(answer, "issued", requests)?;
    has(answer, "executed", requests)?;
    has(answer, "aborted", 0)?;
    same("hash", hash(answer)?, oracle.hash)
}

fn replicate(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    // The sequence numbers are the host's to choose; hash and count do not depend on them.
    oracle.execute(0, b"hello");
    replicated(&running.ask("replicate 68656c6c6f")?, 1, &oracle)?;
    for request in [vec![0xa1], vec![0xb2; 40], b"\0PADshort".to_vec()] {
        oracle.execute(0, &request);
    }
    let last = hex::encode(b"\0PADshort");
    replicated(&running.ask(&format!("replicate a1 {} {last}", "b2".repeat(40)))?, 3, &oracle)?;
    let big = vec![0x5a; 100_000];
    oracle.execute(0, &big);
    replicated(&running.ask(&format!("replicate {}", hex::encode(&big)))?, 1, &oracle)?;
    let status = running.status()?;
    has(&status, "count", oracle.count)?;
    has(&status, "last", "5a".repeat(32))?;
    has(&status, "lastSeq", running.exec_log(5)?.last().map(|row| row.seq))?;
    let answer = running.ask("replicate-nowait c3")?;
    has(&answer, "rc", "RSLSuccess")?;
    oracle.execute(0, &[0xc3]);
    let status =
        running.wait("the request not waited for is executed", SOON, |s| s["count"] == oracle.count)?;
    same("hash", hash(&status)?, oracle.hash)
}

fn exclusive(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    has(&running.ask("replicate-exclusive a1 b2")?, "executed", 2)?;
    let answer = running.ask("replicate-random-exclusive 10 32 5")?;
    has(&answer, "executed", 10)?;
    let rows = running.exec_log(12)?;
    same("rows in the exec log", rows.len(), 12)?;
    ensure(rows.iter().all(|row| row.index == 0), || format!("two requests share a decree: {rows:?}"))
}

fn last(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let answer = running.ask("replicate-last a1")?;
    has(&answer, "executed", 1)?;
    let answer = running.ask("replicate b2")?;
    ensure(text(&answer, "rc")? != "RSLSuccess", || format!("admission is still open: {answer}"))?;
    has(&answer, "executed", 0)
}

fn random(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    let mut carried = Random::default();
    let mut expect = |random: &mut Random, count: u64, size: usize| {
        for _ in 0..count {
            oracle.execute(0, &random.request(size));
        }
        oracle.clone()
    };
    replicated(&running.ask("replicate-random 300 100")?, 300, &expect(&mut carried, 300, 100))?;
    replicated(&running.ask("replicate-random 64 16 1")?, 64, &expect(&mut carried, 64, 16))?;
    let mut seeded = Random::seeded(42);
    replicated(&running.ask("replicate-random 500 1 256 20000 42")?, 500, &expect(&mut seeded, 500, 1))?;
    replicated(&running.ask("replicate-random 5 5000 2 20000")?, 5, &expect(&mut seeded, 5, 5000))
}

fn connections(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut other = running.host.control(SOON)?;
    same("answer", running.ask("exec-delay 1500")?, json!({"ok": true}))?;
    running.control.send("replicate a1", SOON)?;
    let asked = Instant::now();
    running.control.send("exec-delay 0", SOON)?;
    let status = other.ask("status", SOON)?;
    ensure(asked.elapsed() < Duration::from_millis(1000), || {
        "a second connection waited for the first".to_owned()
    })?;
    has(&status, "id", running.host.id())?;
    has(&running.control.receive(SOON)?, "executed", 1)?;
    ensure(asked.elapsed() > Duration::from_millis(1000), || "exec-delay had no effect".to_owned())?;
    same("the second answer of one connection", running.control.receive(SOON)?, json!({"ok": true}))
}

fn fast_reads(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    running.ask("replicate a1")?;
    let answer = running.ask("fastread")?;
    has(&answer, "rc", "RSLSuccess")?;
    has(&answer, "count", 1)?;
    let state = running.status()?;
    same("hash", hash(&answer)?, hash(&state)?)?;
    let current = number(&answer, "seq")?;
    // Beyond the threshold of the test defaults.
    let answer = running.ask(&format!("fastread {}", current + 1_000_000))?;
    has(&answer, "rc", "RSLFastReadStale")
}

fn information(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let config = running.ask("config")?;
    fields(&config, &[("number", Kind::Number), ("members", Kind::List)])?;
    same("members", config["members"].as_array().map(Vec::len), Some(1))?;
    let primary = running.ask("primary")?;
    ensure(primary.to_string().contains(running.host.id()), || format!("primary answered {primary}"))?;
    let replicas = running.ask("replicas")?;
    ensure(replicas.is_object(), || format!("replicas answered {replicas}"))?;
    let stats = running.ask("stats")?;
    ensure(stats.as_object().is_some_and(|stats| !stats.is_empty()), || format!("stats answered {stats}"))
}

fn wait_seq(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let seq = number(&running.status()?, "seq")?;
    // Heartbeats take decrees, so the number grows by itself.
    let status = running.ask(&format!("wait-seq {} 15000", seq + 1))?;
    fields(&status, STATUS)?;
    ensure(number(&status, "seq")? > seq, || format!("answered too early: {status}"))?;
    let asked = Instant::now();
    let status = running.ask("wait-seq 1000000000 300")?;
    fields(&status, STATUS)?;
    let took = asked.elapsed();
    ensure(took > Duration::from_millis(250) && took < Duration::from_secs(5), || {
        format!("waited {took:?} of 300 ms")
    })
}

fn settings(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut unsupported = Vec::new();
    for command in [
        "election-delay 5",
        "payload 7",
        "allowsave 0",
        "allowsave 1",
        "trysave 0",
        "trysave 1",
        "accept 0",
        "accept 1",
        "global-accept 1",
        "canbecome 1",
        "cookie c0ffee",
        "save-delay 0",
        "exec-delay 0",
    ] {
        match running.ask(command) {
            Ok(answer) => ensure(answer.is_object(), || format!("{command} answered {answer}"))?,
            Err(Failure::Unsupported(_)) => unsupported.push(command),
            Err(failure) => return Err(failure),
        }
    }
    has(&running.ask("replicate a1")?, "executed", 1)?;
    if unsupported.is_empty() { Ok(()) } else { Err(Failure::Unsupported(unsupported.join(", "))) }
}

fn stable_and_pending(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    has(&running.ask("stable")?, "stable", true)?;
    has(&running.ask("pending")?, "pending", false)
}

fn pause_and_resume(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    running.ask("pause")?;
    running.ask("resume")?;
    running.wait("it is primary again", super::lab::LATER, super::lab::is_recovered_primary)?;
    has(&running.ask("replicate a1")?, "executed", 1)
}

fn copystate(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    fields(&set.first().ask("copystate")?, &[("rc", Kind::Text)])
}

fn changeconfig(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let member = running.host.settings().member.clone();
    fields(&running.ask(&format!("changeconfig {member}"))?, &[("rc", Kind::Text)])?;
    wait_alive(running)
}

fn bootstrap(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let member = running.host.settings().member.clone();
    let answer = running.ask(&format!("bootstrap {member} 5"))?;
    ensure(text(&answer, "rc")? != "RSLSuccess", || format!("a running set was bootstrapped: {answer}"))?;
    wait_alive(running)
}

/// The host answers and serves after whatever was asked.
fn wait_alive(running: &mut Running) -> Result<(), Failure> {
    let deadline = Instant::now() + SOON;
    while running.ask("replicate a1")?["rc"] != "RSLSuccess" {
        ensure(Instant::now() < deadline, || "it serves no more".to_owned())?;
        pause();
    }
    Ok(())
}
