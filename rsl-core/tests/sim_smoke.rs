//! Simulated clusters: a few seeds in every test run, and that a seed always goes the same way.

use rsl_core::sim::{Counts, Profile, simulate};

/// [PROTO-5] [PROTO-6] [PROTO-7] [PROTO-11] [PROTO-12] [PROTO-13] [PROTO-14] [PROTO-15] [PROTO-16] [PROTO-17] [PROTO-18]
/// [PROTO-19] [PROTO-20] [PROTO-24] [PROTO-25] [PROTO-26] [SCN-41] [SCN-59]: crashes at any moment, torn tails, losses,
/// partitions, slow, failing and lying disks, refused saves, failed loads, draining; then everything is healed and has to
/// work.
#[test]
fn no_rule_is_broken() {
    let mut reached = Counts::default();
    for seed in 0..40 {
        let outcome = simulate(seed, Profile::Ci, None);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}; replay: rsl-sim --seed {seed} --profile ci --log full");
        }
        reached.crashes += outcome.counts.crashes;
        reached.learned += outcome.counts.learned;
        reached.copied += outcome.counts.copied;
        reached.reloads += outcome.counts.reloads;
        reached.relinquished += outcome.counts.relinquished;
        reached.refused += outcome.counts.refused;
        reached.reads += outcome.counts.reads;
        reached.acknowledged += outcome.counts.acknowledged;
    }
    // The runs come to where it is interesting.
    assert!(reached.crashes > 100 && reached.acknowledged > 1000, "{reached:?}");
    assert!(reached.learned > 10 && reached.copied > 10 && reached.reloads > 5, "{reached:?}");
    assert!(reached.relinquished > 0 && reached.refused > 0 && reached.reads > 1000, "{reached:?}");
}

/// [PROTO-11] [PROTO-12] [PROTO-116] [SCN-28] [SCN-51]: every split of three between engine and legacy model in every
/// version, with crashes, partitions and failing disks; then they have to come together.
#[test]
fn old_and_new_replicas_agree() {
    let mut reached = Counts::default();
    for seed in 0..48 {
        let outcome = simulate(seed, Profile::Mixed, None);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}; replay: rsl-sim --seed {seed} --profile mixed --log full");
        }
        reached.crashes += outcome.counts.crashes;
        reached.promotions += outcome.counts.promotions;
        reached.acknowledged += outcome.counts.acknowledged;
        reached.learned += outcome.counts.learned;
        reached.legacy_restarts += outcome.counts.legacy_restarts;
    }
    assert!(reached.crashes > 100 && reached.acknowledged > 1000, "{reached:?}");
    assert!(reached.promotions > 48 && reached.learned > 10, "{reached:?}");
    assert!(reached.legacy_restarts < 5, "an operator is hardly needed: {reached:?}");
}

/// The same seed gives the same run, event for event and line for line; another seed another one.
#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let mut lines = Vec::new();
        let outcome = simulate(seed, Profile::Ci, Some(&mut |line| lines.push(line.to_owned())));
        (outcome, lines)
    };
    let (first, lines) = run(7);
    let (second, again) = run(7);
    assert_eq!(first, second);
    assert_eq!(lines, again);
    assert!(lines.len() > 100);
    assert_eq!(simulate(7, Profile::Ci, None).trace, first.trace, "printing changes nothing");
    assert_ne!(run(8).0.trace, first.trace);
}
