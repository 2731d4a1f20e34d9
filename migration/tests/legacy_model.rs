//! `rsl legacy-model` as processes: it follows the host contract, and dies where the old library dies.

use std::path::Path;
use std::time::{Duration, Instant};

use migration::host::ports::{PortLease, lease};
use migration::host::{Cluster, HostError, HostSettings, Member, Template};

const READY: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// Two hosts of one template; a vote may be outstanding for three seconds.
fn pair(template: &Template, base: &Path) -> (Cluster, Vec<PortLease>) {
    let leases = lease(4).unwrap();
    let members: Vec<Member> =
        (0..2).map(|i| Member::on_loopback((101 + i).to_string(), leases[i].first())).collect();
    let all = members.iter().enumerate().map(|(i, member)| HostSettings {
        member: member.clone(),
        dir: base.join(&member.id),
        version: 4,
        members: members.clone(),
        control_port: leases[2 + i].first(),
        log_dir: base.to_owned(),
        extra: vec!["--voteMaxOutstandingIntervalSec".to_owned(), "3".to_owned()],
    });
    let mut cluster = Cluster::start(template, all.collect(), READY).unwrap();
    cluster.wait_primary(PATIENCE, || false).unwrap().expect("a primary");
    (cluster, leases)
}

/// Looks after the processes for that long, or until one ends.
fn watch(cluster: &mut Cluster, patience: Duration) -> Result<(), HostError> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        cluster.watch()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// [HARD-323] [API-118] A vote finds no majority for too long: the model's process ends with 1 and says why; ours steps
/// down and lives.
#[test]
fn a_vote_outstanding_too_long_kills_the_model_and_not_ours() {
    let rsl = Path::new(env!("CARGO_BIN_EXE_rsl"));
    let dir = tempfile::tempdir().unwrap();

    let (mut cluster, _leases) = pair(&Template::rsl_legacy_model(rsl), dir.path());
    let primary = cluster.primary().unwrap();
    let answer = cluster.control(primary).unwrap().ask("replicate-random 20 32", PATIENCE).unwrap();
    assert_eq!(answer["executed"], 20);
    cluster.kill(1 - primary);
    let Err(HostError::Ended { status, .. }) = watch(&mut cluster, PATIENCE) else { panic!("it lives") };
    assert_eq!(status.code(), Some(1));
    let settings = cluster.host(primary).settings().clone();
    drop(cluster);
    let said = std::fs::read_to_string(settings.output()).unwrap();
    assert!(said.contains("Assert -- ") && said.contains("HARD-323"), "{said}");
    // Nothing is called back in a process that is gone.
    let events = std::fs::read_to_string(settings.events()).unwrap();
    assert!(!events.contains("ShutDown") && !events.contains("NotifyStatus isPrimary=0"), "{events}");

    let ours = dir.path().join("ours");
    std::fs::create_dir(&ours).unwrap();
    let (mut cluster, _leases) = pair(&Template::rsl_replica(rsl), &ours);
    let primary = cluster.primary().unwrap();
    cluster.kill(1 - primary);
    watch(&mut cluster, Duration::from_secs(6)).expect("it lives");
    let status = cluster.status(primary).unwrap();
    assert_eq!(status["isPrimary"], false, "{status}");
}
