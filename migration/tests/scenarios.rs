//! `rsl demo --scenario` as processes: the scenarios an operator plays, at the versions where they differ.

#![cfg(unix)]

use std::process::Command;

use serde_json::Value;

/// Plays a scenario and checks its verdict; gives the result.
fn play(scenario: &str, version: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rsl"))
        .args(["demo", "--json", "--scenario", scenario, "--protocol", version])
        .output()
        .unwrap();
    let result: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(output.status.success() && result["ok"] == true, "{scenario} at version {version}: {result}");
    assert_eq!(result["scenario"], scenario);
    assert!(result["acknowledged"].as_u64().unwrap() >= 256, "{result}");
    assert!(result["executed"].as_u64() >= result["acknowledged"].as_u64(), "{result}");
    let replicas = result["replicas"].as_array().unwrap();
    assert!(replicas.iter().all(|replica| replica["hash"] == replicas[0]["hash"]), "{result}");
    result
}

fn ids(result: &Value) -> Vec<&str> {
    let mut ids: Vec<&str> =
        result["replicas"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// [SCN-4] [SCN-1] [PROTO-163] After Bootstrap all processes are killed; started again with the new interface they serve
/// without another call.
#[test]
fn a_bootstrapped_set_comes_back_by_itself() {
    for version in ["4", "6"] {
        let result = play("bootstrap", version);
        assert_eq!(result["steps"].as_array().unwrap().len(), 2, "{result}");
    }
}

/// [SCN-32] A set of three becomes one of five, whose new members have to catch up first.
#[test]
fn a_set_grows_to_five() {
    for version in ["3", "6"] {
        assert_eq!(ids(&play("grow", version)), ["101", "102", "103", "104", "105"]);
    }
}

/// [SCN-33] The primary is not in the new set; it and the other removed members become inactive.
#[test]
fn a_set_shrinks_to_a_different_three() {
    for version in ["3", "6"] {
        let result = play("shrink", version);
        let ids = ids(&result);
        assert!(ids.len() == 3 && ids.contains(&"106"), "{result}");
    }
}

/// [SCN-32] Once in good order, once after it died.
#[test]
fn the_machine_of_the_primary_is_replaced() {
    for version in ["3", "6"] {
        let result = play("replace-primary", version);
        let ids = ids(&result);
        assert!(ids.len() == 3 && ids.contains(&"105"), "{result}");
    }
}

/// [SCN-29]
#[test]
fn a_primary_relinquishes() {
    play("relinquish", "6");
    let refused = Command::new(env!("CARGO_BIN_EXE_rsl"))
        .args(["demo", "--json", "--scenario", "relinquish", "--protocol", "4"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "the demo plays it from version 5 on");
}

/// [PROTO-122]
#[test]
fn each_replica_is_promoted() {
    play("promote", "1");
    play("promote", "6");
}

/// [SCN-48] [PROTO-43] Replicas of different versions are one set; the version rises when the last one has come back.
#[test]
fn versions_rise_one_replica_at_a_time() {
    let result = play("upgrade", "3");
    assert_eq!(result["protocol"], 6, "{result}");
}
