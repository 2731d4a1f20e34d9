//! Several engines on a perfect wire: elections, replication, fail-over, catching up.

use std::time::Duration;

use super::harness::Cluster;
use crate::engine::{AbortReason, Command, Role};
use crate::types::ProtocolVersion;

const LONG: Duration = Duration::from_secs(120);

fn elected(count: u64) -> (Cluster, u64) {
    let mut cluster = Cluster::new(count, |_, _| {});
    cluster.run_until(LONG, |cluster| cluster.primary().is_some());
    cluster.run(Duration::from_secs(1));
    let primary = cluster.primary().unwrap();
    (cluster, primary)
}

/// [PROTO-116] [PROTO-128]: a fresh set elects one primary; requests are executed everywhere, in order, once.
#[test]
fn a_fresh_set_elects_and_replicates() {
    for count in [1, 2, 3, 4, 5, 7] {
        let (mut cluster, primary) = elected(count);
        for token in 1..=20 {
            cluster.benches.get_mut(&primary).unwrap().replicate(token, "request");
            cluster.run(Duration::from_millis(10));
        }
        cluster.run(Duration::from_secs(3));
        let expected: Vec<_> = (1..=20).map(|token| (token, None)).collect();
        assert_eq!(cluster.benches[&primary].ended(), expected, "{count} members");
        cluster.check_agreement();
        let passed = |member: &u64| cluster.benches[member].engine.status().passed;
        let lead = passed(&primary);
        for member in cluster.benches.keys() {
            assert!(passed(member) >= lead.previous(), "member {member} of {count} lags");
        }
        assert_eq!(cluster.primary(), Some(primary));
    }
}

/// [SCN-25] [SCN-28] [PROTO-125] [PROTO-131]: a primary that is cut off is replaced; back again, it aborts, follows and agrees.
#[test]
fn a_lost_primary_is_replaced() {
    let (mut cluster, first) = elected(3);
    cluster.cut.push(first);
    cluster.benches.get_mut(&first).unwrap().replicate(1, "lost");
    cluster.run_until(LONG, |cluster| cluster.primary().is_some_and(|primary| primary != first));
    let second = cluster.primary().unwrap();
    assert!(cluster.benches[&first].engine.is_primary(), "without a lease it cannot know");
    cluster.benches.get_mut(&second).unwrap().replicate(2, "kept");
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.benches[&second].ended(), [(2, None)]);
    cluster.cut.clear();
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.benches[&first].ended(), [(1, Some(AbortReason::NotPrimary))]);
    assert_eq!(cluster.benches[&first].engine.role(), Role::Secondary);
    cluster.check_agreement();
    assert_eq!(cluster.primary(), Some(second));
}

/// [XFER-14] [XFER-10]: a member that was away learns the votes it missed and takes part again.
#[test]
fn an_absent_member_catches_up() {
    let (mut cluster, primary) = elected(3);
    let away = (1..=3).find(|member| *member != primary).unwrap();
    cluster.cut.push(away);
    for token in 1..=50 {
        cluster.benches.get_mut(&primary).unwrap().replicate(token, "request");
        cluster.run(Duration::from_millis(30));
    }
    let behind = cluster.benches[&away].engine.status().passed;
    assert!(cluster.benches[&primary].engine.status().passed.0 >= behind.0 + 50);
    cluster.cut.clear();
    cluster.run(Duration::from_secs(8));
    let passed = cluster.benches[&primary].engine.status().passed;
    assert!(cluster.benches[&away].engine.status().passed >= passed.previous());
    assert_eq!(cluster.primary(), Some(primary), "nobody was disturbed");
    cluster.check_agreement();
}

/// [SCN-48] [PROTO-41] [PROTO-42] [PROTO-43] [PROTO-44] [PROTO-70] [WIRE-109]: one primary with a higher version raises everybody.
#[test]
fn a_higher_version_spreads_from_the_primary() {
    let mut cluster = Cluster::new(3, |member, settings| {
        settings.version = if member == 1 { ProtocolVersion::V5 } else { ProtocolVersion::V3 };
    });
    cluster.run_until(LONG, |cluster| cluster.primary().is_some());
    cluster.run(Duration::from_secs(1));
    if cluster.primary() != Some(1) {
        cluster.benches.get_mut(&1).unwrap().command(Command::AttemptPromotion);
        cluster.run_until(LONG, |cluster| cluster.primary() == Some(1));
    }
    cluster.run(Duration::from_secs(6));
    for bench in cluster.benches.values() {
        assert_eq!(bench.engine.status().version, ProtocolVersion::V5);
    }
    cluster.check_agreement();
}

/// [SCN-29] [PROTO-113] [PROTO-114]: a relinquishing primary stops; another member leads without waiting.
#[test]
fn a_relinquishing_primary_hands_over() {
    let (mut cluster, first) = elected(3);
    cluster.benches.get_mut(&first).unwrap().command(Command::RelinquishPrimary);
    cluster.run(Duration::from_millis(200));
    assert_eq!(cluster.benches[&first].stopped, Some(crate::engine::StopReason::Relinquished));
    cluster.cut.push(first);
    cluster.run_until(Duration::from_secs(3), |cluster| {
        cluster.primary().is_some_and(|primary| primary != first)
    });
    cluster.check_agreement();
}

/// [PROTO-110] [PROTO-112] [PROTO-178]: an idle primary proposes an empty vote every heartbeat interval, and every peer
/// accepts it, long before the smallest election delay is over.
#[test]
fn an_idle_primary_beats() {
    let (mut cluster, primary) = elected(3);
    let before = cluster.benches[&primary].engine.status().passed.0;
    cluster.run(Duration::from_secs(20));
    let beats = cluster.benches[&primary].engine.status().passed.0 - before;
    assert!((9..=10).contains(&beats), "{beats} heartbeats in 20 s");
    for _ in 0..5 {
        let accepted = |cluster: &Cluster| -> Vec<_> {
            cluster.benches.values().map(|bench| bench.engine.status().accepted.decree).collect()
        };
        let before = accepted(&cluster);
        cluster.run(Duration::from_secs(4));
        assert!(before.iter().zip(accepted(&cluster)).all(|(before, after)| *before < after));
    }
}
