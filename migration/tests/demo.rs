//! `rsl demo` as a process: a set of our own, wrong arguments, hosts that do not work, Ctrl-C.

#![cfg(unix)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rsl")).arg("demo").args(arguments).output().unwrap()
}

/// The one JSON value on standard output.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Versions that the golden data does not hold; the README's command runs version 6.
#[test]
fn a_killed_primary_loses_nothing_at_versions_2_and_5() {
    for version in ["2", "5"] {
        let output = demo(&["--json", "--protocol", version, "--requests", "400"]);
        let result = json(&output);
        assert!(output.status.success(), "{result}");
        assert_eq!(result["ok"], true);
        assert!(result["acknowledged"].as_u64().unwrap() >= 400, "{result}");
        assert!(result["executed"].as_u64() >= result["acknowledged"].as_u64(), "{result}");
        assert_eq!(result["kills"], 1);
        assert!(result["failover_ms"].as_u64().unwrap() > 0, "{result}");
        let replicas = result["replicas"].as_array().unwrap();
        assert_eq!(replicas.len(), 3);
        for replica in replicas {
            assert_eq!(replica["hash"], replicas[0]["hash"], "{result}");
            assert_eq!(replica["count"], replicas[0]["count"], "{result}");
            assert!(replica["seq"].is_u64() && replica["id"].is_string(), "{result}");
            assert!(replica["checkpointedDecree"].as_u64() >= result["checkpoint"].as_u64(), "{result}");
        }
    }
}

#[test]
fn one_replica_is_a_set_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let output =
        demo(&["--replicas", "1", "--requests", "200", "--size", "16", "--dir", kept.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ok: all replicas agree") && text.contains("StablePrimary"), "{text}");
    assert!(output.stderr.is_empty(), "progress belongs on a terminal only");
    assert!(kept.join("logs/101.exec.txt").is_file(), "the directory is kept");
    let again = demo(&["--dir", kept.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");
}

#[test]
fn what_cannot_work_is_said_clearly() {
    for arguments in [["--protocol", "7"], ["--size", "15"], ["--replicas", "0"], ["--frm", "x"]] {
        assert_eq!(demo(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    let placeholders = "{id} {dir} {version} {members} {control}";
    for (host, expected) in [
        (format!("./no-such-program {placeholders}"), "cannot start ./no-such-program"),
        ("sh".to_owned(), "placeholder {id} is missing"),
        (format!("sh -c 'echo INIT FAILED; exit 5' {placeholders}"), "INIT FAILED"),
    ] {
        let output = demo(&["--json", "--host", &host]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let result = json(&output);
        assert_eq!(result["ok"], false);
        assert!(result["error"].as_str().unwrap().contains(expected), "{result}");
    }
    let output = demo(&["--from", "no-such-directory"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-directory"), "{output:?}");
}

/// Whether a process runs.
fn alive(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn ctrl_c_ends_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let mut running = Command::new(env!("CARGO_BIN_EXE_rsl"))
        .args(["demo", "--requests", "100000000", "--dir", kept.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The events of a host name its process.
    let pid_of = |id: &str| {
        let events = std::fs::read_to_string(kept.join(format!("logs/{id}.events.txt"))).ok()?;
        Some(events.split_once("pid=")?.1.lines().next()?.to_owned())
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let pids: Vec<String> = loop {
        let found: Option<Vec<String>> = ["101", "102", "103"].iter().map(|id| pid_of(id)).collect();
        if let Some(pids) = found {
            break pids;
        }
        assert!(Instant::now() < deadline, "the hosts did not start");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert!(!pids.iter().any(|pid| alive(pid)), "left running: {pids:?}");
}
