//! Cases: command line, readiness, exit codes.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Case;
use super::checks::{Failure, ensure, has, same};
use super::lab::{LATER, Lab, SOON, is_recovered_primary, pause};

pub(crate) const CASES: &[&Case] = &[
    &Case { name: "bad arguments exit 2 with usage", run: bad_arguments },
    &Case { name: "a taken control port exits 3", run: taken_control_port },
    &Case { name: "settings out of range fail the start with 5", run: out_of_range },
    &Case { name: "a directory that cannot be used fails the start with 5", run: bad_directory },
    &Case { name: "unusable thumbprints exit 6", run: bad_thumbprints },
    &Case { name: "every configuration parameter is an option", run: every_parameter },
    &Case { name: "switches are accepted", run: switches },
    &Case { name: "library defaults can be kept", run: original_defaults },
    &Case { name: "a member that cannot become primary does not", run: cannot_become },
    &Case { name: "exit ends with 0, crash with 42", run: exit_and_crash },
    &Case { name: "unload ends with 0", run: unload },
];

/// Name and test default of every configuration parameter.
const PARAMETERS: &[(&str, u32)] = &[
    ("newLeaderGracePeriodSec", 3),
    ("heartBeatIntervalSec", 1),
    ("electionDelaySec", 4),
    ("maxElectionRandomizeSec", 1),
    ("initializeRetryIntervalSec", 1),
    ("prepareRetryIntervalSec", 1),
    ("voteRetryIntervalSec", 1),
    ("voteMaxOutstandingIntervalSec", 300),
    ("cPQueryRetryIntervalSec", 1),
    ("maxCheckpointIntervalSec", 0),
    ("joinMessagesIntervalSec", 1),
    ("maxLogLenMB", 1),
    ("sendTimeoutSec", 5),
    ("receiveTimeoutSec", 5),
    ("maxCacheLengthMB", 50),
    ("maxVotesInLog", 10_000),
    ("maxOutstandingPerReplica", 10),
    ("maxCheckpoints", 4),
    ("maxCheckpointSizeGB", 0),
    ("minCheckpointSpaceFileCount", 0),
    ("maxLogs", 10),
    ("logLenRandomize", 0),
    ("electionRandomize", 50),
    ("fastReadSeqThreshold", 5),
    ("inMemoryExecutionQueueSizeMB", 10),
    ("numReaderThreads", 2),
    ("maxMessageSizeMB", 100),
    ("maxMessageAlertSizeMB", 0),
    ("allowPrimaryPromotionWhileCatchingUp", 0),
    ("addMemberIdToWorkingDir", 0),
    ("cancelDiskIo", 1),
    ("useGlobalAcceptMessagesFlag", 0),
];

fn bad_arguments(lab: &Lab) -> Result<(), Failure> {
    let extras: &[&[&str]] = &[
        &["--no-such-option"],
        &["--noSuchParameterSec", "3"],
        &["--electionDelaySec", "soon"],
        &["--cookie"],
    ];
    for extra in extras {
        let (settings, _leases) = lab.sole_settings(extra)?;
        let (status, printed) = lab.run_to_end(settings)?;
        same(&format!("exit code with {extra:?}"), status.code(), Some(2))?;
        ensure(printed.contains("--members"), || format!("no usage was printed with {extra:?}: {printed}"))?;
        ensure(!printed.contains("READY"), || format!("READY with {extra:?}"))?;
    }
    for version in [0, 7] {
        let (mut settings, _leases) = lab.sole_settings(&[])?;
        settings.version = version;
        let (status, _) = lab.run_to_end(settings)?;
        same(&format!("exit code with --version {version}"), status.code(), Some(2))?;
    }
    Ok(())
}

fn taken_control_port(lab: &Lab) -> Result<(), Failure> {
    let (settings, _leases) = lab.sole_settings(&[])?;
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.control_port))?;
    let (status, printed) = lab.run_to_end(settings)?;
    same("exit code", status.code(), Some(3))?;
    ensure(!printed.contains("READY"), || "it said READY".to_owned())
}

fn out_of_range(lab: &Lab) -> Result<(), Failure> {
    for (name, value) in
        [("electionDelaySec", "0"), ("heartBeatIntervalSec", "3601"), ("numReaderThreads", "101")]
    {
        let (settings, _leases) = lab.sole_settings(&[&format!("--{name}"), value])?;
        init_failed(lab.run_to_end(settings)?, &format!("{name} {value}"))?;
    }
    Ok(())
}

fn init_failed((status, printed): (std::process::ExitStatus, String), what: &str) -> Result<(), Failure> {
    same(&format!("exit code with {what}"), status.code(), Some(5))?;
    ensure(printed.lines().any(|line| line.trim_end() == "INIT FAILED"), || {
        format!("no INIT FAILED with {what}: {printed}")
    })
}

fn bad_directory(lab: &Lab) -> Result<(), Failure> {
    let (mut settings, _leases) = lab.sole_settings(&[])?;
    settings.dir = settings.log_dir.join("a-file");
    std::fs::write(&settings.dir, b"not a directory")?;
    init_failed(lab.run_to_end(settings.clone())?, "a file as directory")?;
    settings.dir = settings.log_dir.join("no-such-parent").join("r");
    init_failed(lab.run_to_end(settings)?, "a missing parent directory")
}

fn bad_thumbprints(lab: &Lab) -> Result<(), Failure> {
    let (settings, _leases) = lab.sole_settings(&["--ssl-thumbs", "not-a-thumbprint"])?;
    let (status, printed) = lab.run_to_end(settings)?;
    same("exit code", status.code(), Some(6))?;
    ensure(!printed.contains("READY"), || "it said READY".to_owned())
}

fn every_parameter(lab: &Lab) -> Result<(), Failure> {
    let words: Vec<String> =
        PARAMETERS.iter().flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut set = lab.sole(&words)?;
    has(&set.first().ask("replicate a1")?, "executed", 1)
}

fn switches(lab: &Lab) -> Result<(), Failure> {
    let words =
        "--listen-all --independent-heartbeat 0 --serialize-fastreads 1 --cookie c0ffee --print-config";
    let words: Vec<&str> = words.split(' ').collect();
    let mut set = lab.sole(&words)?;
    has(&set.first().ask("replicate a1")?, "executed", 1)?;
    let printed = std::fs::read_to_string(set.first().host.settings().output())?;
    // The contract does not say in which words.
    ensure(printed.to_lowercase().contains("election"), || {
        format!("--print-config printed nothing: {printed}")
    })
}

fn original_defaults(lab: &Lab) -> Result<(), Failure> {
    // The library's own default adds the member id to the working directory; the test default does not.
    let (settings, _leases) = lab.sole_settings(&["--original-defaults"])?;
    let member_dir = settings.dir.join(&settings.member.id);
    let mut running = lab.start(settings)?;
    running.wait("an answer to status", SOON, |status| status["state"].is_string())?;
    ensure(member_dir.is_dir(), || format!("{} was not created", member_dir.display()))
}

fn cannot_become(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.set(1, &["--cannot-become"])?;
    let running = set.first();
    let asked = running.host.settings().events();
    // It must have been asked, and have refused, for this to mean anything.
    let deadline = Instant::now() + LATER;
    while !std::fs::read_to_string(&asked).unwrap_or_default().contains("CanBecomePrimary") {
        ensure(Instant::now() < deadline, || "CanBecomePrimary was never called".to_owned())?;
        pause();
    }
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        has(&running.status()?, "isPrimary", false)?;
        pause();
    }
    same("answer to canbecome", running.ask("canbecome 1")?, json!({"ok": true}))?;
    running.wait("it is primary once allowed", LATER, is_recovered_primary)?;
    Ok(())
}

fn exit_and_crash(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    same("answer to exit", running.ask("exit")?, json!({"ok": true}))?;
    let status = running.host.wait_exit(SOON).ok_or_else(|| Failure::broken("it runs on after exit"))?;
    same("exit code of exit", status.code(), Some(0))?;
    running.restart()?;
    running.control.send("crash", SOON)?;
    let status = running.host.wait_exit(SOON).ok_or_else(|| Failure::broken("it runs on after crash"))?;
    same("exit code of crash", status.code(), Some(42))
}

fn unload(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    running.control.send("unload", SOON)?;
    // An answer may only say that it is not supported.
    if let Ok(answer) = running.control.receive(Duration::from_secs(2)) {
        return match answer["error"].as_str() {
            Some("not supported yet") => Err(Failure::Unsupported("unload".to_owned())),
            _ => Err(Failure::broken(format!("unload answered {answer}"))),
        };
    }
    let status = running.host.wait_exit(LATER).ok_or_else(|| Failure::broken("it runs on after unload"))?;
    same("exit code of unload", status.code(), Some(0))
}
