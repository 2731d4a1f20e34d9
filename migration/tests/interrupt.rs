//! What Ctrl-C does to a replica.

#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use migration::host::{Host, HostSettings, Member, Template, ports};

const LONG: Duration = Duration::from_secs(30);

/// [API-55] [PROTO-170] An interrupted replica unloads: the last callback comes, the exit code is 0, and what it was told
/// last is there when it comes back.
#[test]
fn an_interrupt_is_an_orderly_end() {
    let dir = tempfile::tempdir().unwrap();
    let leases = ports::lease(2).unwrap();
    let member = Member::on_loopback("a", leases[0].first());
    let settings = HostSettings {
        member: member.clone(),
        dir: dir.path().join("data"),
        version: 6,
        members: vec![member],
        control_port: leases[1].first(),
        log_dir: dir.path().to_owned(),
        extra: Vec::new(),
    };
    let mut host =
        Host::start(&Template::rsl_replica(Path::new(env!("CARGO_BIN_EXE_rsl"))), settings).unwrap();
    host.wait_ready(LONG).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &host.pid().unwrap().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ended = host.wait_exit(LONG).expect("it goes on");
    assert_eq!(ended.code(), Some(0));
    let events = std::fs::read_to_string(dir.path().join("a.events.txt")).unwrap();
    assert!(events.contains("ShutDown "), "{events}");
}
