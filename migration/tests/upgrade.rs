//! `rsl upgrade` as a process: plans that come with it, plans of one's own, and hosts that do not do what they should.

#![cfg(unix)]

use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;

const RSL: &str = env!("CARGO_BIN_EXE_rsl");
const PLACEHOLDERS: &str = "--id {id} --dir {dir} --version {version} --members {members} --self {self} \
                            --control {control} --events {events} --execlog {execlog}";

fn upgrade(arguments: &[&str]) -> Output {
    Command::new(RSL).arg("upgrade").args(arguments).output().unwrap()
}

/// The one JSON value on standard output.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Plays a plan that must succeed; gives its verdict.
fn play(arguments: &[&str]) -> Value {
    let output = upgrade(&[arguments, &["--json"]].concat());
    let result = json(&output);
    assert!(output.status.success() && result["ok"] == true, "{arguments:?}: {result}");
    let replicas = result["replicas"].as_array().unwrap();
    assert!(!replicas.is_empty());
    for replica in replicas {
        assert_eq!((&replica["hash"], &replica["count"]), (&replicas[0]["hash"], &replicas[0]["count"]));
    }
    assert!(result["acknowledged"].as_u64() > Some(0), "{result}");
    assert!(result["executed"].as_u64() >= result["acknowledged"].as_u64(), "{result}");
    assert!(result["directories"].as_array().unwrap().iter().all(|found| found["ok"] == true), "{result}");
    for check in result["checks"].as_array().unwrap() {
        assert!(check["ok"] == true && check["looked_at"].as_u64().is_some(), "{result}");
        let may_see_nothing = check["check"] == "nothing-forgotten";
        assert!(may_see_nothing || check["looked_at"].as_u64() > Some(0), "{result}");
    }
    result
}

fn swaps(result: &Value) -> usize {
    result["steps"].as_array().unwrap().iter().filter(|step| step["swap"] == true).count()
}

fn all_run(result: &Value, host: &str) -> bool {
    result["replicas"].as_array().unwrap().iter().all(|replica| replica["host"] == host)
}

#[test]
fn three_replicas_are_upgraded_one_at_a_time() {
    let result = play(&["classic-3"]);
    assert!(swaps(&result) == 3 && all_run(&result, "new"), "{result}");
}

#[test]
fn an_upgrade_can_be_taken_back() {
    let result = play(&["classic-3-rollback", "--protocol", "3"]);
    assert!(swaps(&result) == 6 && all_run(&result, "old"), "{result}");
    assert!(all_run(&play(&["half-way-rollback", "--protocol", "6"]), "old"));
}

#[test]
fn replicas_that_are_killed_instead_of_stopped_are_upgraded_as_well() {
    assert!(all_run(&play(&["crash-swap", "--protocol", "2"]), "new"));
}

/// [PROTO-11] [PROTO-131] A primary that hangs through an election and goes on is outbid; nothing that was decided changes.
#[test]
fn a_primary_that_hangs_through_an_election_does_no_harm() {
    let result = play(&["frozen-primary"]);
    let frozen: Vec<&Value> = result["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["step"].as_str().unwrap().starts_with("freeze"))
        .collect();
    assert_eq!(frozen.len(), 2, "{result}");
    // Somebody else served before it came back.
    assert!(frozen.iter().all(|step| step["without_primary_ms"].as_u64() < Some(6500)), "{result}");
}

/// [PROTO-11] [PROTO-131] A primary that nobody hears, or that hears nobody, acknowledges nothing that the others do not have;
/// afterwards it follows them.
#[test]
fn a_primary_that_is_cut_off_does_no_harm() {
    let result = play(&["partitioned-primary"]);
    assert!(result["network"]["held"].as_u64() > Some(0), "{result}");
    assert_eq!(swaps(&result), 3, "{result}");
    // It still called itself primary, and does not count.
    let steps = result["steps"].as_array().unwrap();
    let isolated =
        steps.iter().position(|step| step["step"].as_str().unwrap().starts_with("isolate")).unwrap();
    assert!(steps[isolated + 1]["without_primary_ms"].as_u64() > Some(1000), "{result}");
}

/// [WIRE-25] Packets that arrive late and twice change nothing.
#[test]
fn slow_links_that_deliver_twice_do_no_harm() {
    let result = play(&["bad-links"]);
    let done = |what: &str| result["network"][what].as_u64().unwrap();
    assert!(done("delayed") > 0 && done("duplicated") > 0, "{result}");
    assert!(all_run(&result, "new"), "{result}");
}

/// [HARD-34] The replica of a damaged log starts, learns again, and is upgraded like the others.
#[test]
fn a_damaged_log_is_learned_again() {
    let result = play(&["damaged-disk"]);
    assert!(all_run(&result, "new") && swaps(&result) == 3, "{result}");
}

/// [PROTO-43] [PROTO-44] A version is in force when a primary speaks it.
#[test]
fn versions_rise_after_the_code() {
    let result = play(&["versions"]);
    let versions = result["replicas"].as_array().unwrap().iter().map(|replica| replica["version"].as_u64());
    assert!(versions.into_iter().all(|version| version == Some(6)), "{result}");
}

/// The sequence of sets of the legacy migration test, each within 20 s.
#[test]
fn mixed_replicas_go_through_the_sets_of_the_legacy_migration_test() {
    let result = play(&["replica-sets"]);
    let hosts: Vec<&Value> =
        result["replicas"].as_array().unwrap().iter().map(|replica| &replica["host"]).collect();
    assert_eq!(hosts, ["old", "new", "new"], "{result}");
}

#[test]
fn plans_are_listed_and_shown() {
    let listed = upgrade(&["--list"]);
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    for name in ["classic-3", "primary-first", "versions", "replica-sets"] {
        assert!(listed.lines().any(|line| line.split(' ').next() == Some(name)), "{name}: {listed}");
    }
    let shown = upgrade(&["classic-3", "--show"]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains("do = \"upgrade\""));
}

#[test]
fn what_cannot_be_used_is_said_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("mine.toml");
    std::fs::write(&plan, "title = \"t\"\nreplicas = 3\n[[step]]\ndo = \"dance\"\n").unwrap();
    for (arguments, expected) in [
        (vec!["no-such-plan"], "--list"),
        (vec!["no-such-plan.toml"], "no-such-plan.toml"),
        (vec![plan.to_str().unwrap()], "dance"),
        (vec!["classic-3", "--old", "host {id}"], "placeholder {dir} is missing"),
        (vec!["classic-3", "--new", "host {id} {port}"], "unknown placeholder {port}"),
        (vec!["classic-3", "--old-dir-map", "x"], "expected FROM=TO"),
        (
            vec!["bad-links", "--new", "host {id} {dir} {version} {members} {control}"],
            "placeholder {self} is missing: the plan disturbs links",
        ),
        (vec!["replica-sets", "--protocol", "2"], "version"),
        (vec!["classic-3", "--protocol", "7"], "7"),
    ] {
        let output = upgrade(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

/// Plays a plan of one upgrade and some time after it, with this new host; it must fail. Gives the verdict.
fn fails_with(new: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("mine.toml");
    let text = "title = \"t\"\nreplicas = 3\n[[step]]\ndo = \"upgrade\"\nreplica = 1\n[[step]]\ndo = \"sleep\"\nseconds = 4\n";
    std::fs::write(&plan, text).unwrap();
    let kept = dir.path().join("kept");
    let output = upgrade(&[plan.to_str().unwrap(), "--json", "--new", new, "--dir", kept.to_str().unwrap()]);
    let result = json(&output);
    assert_eq!(output.status.code(), Some(1), "{result}");
    assert_eq!(result["ok"], false);
    result
}

/// Everything that is said to be wrong.
fn problems(result: &Value) -> String {
    let problems = result["problems"].as_array().unwrap_or_else(|| panic!("{result}"));
    problems.iter().map(|problem| problem.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_host_that_does_not_start_is_named() {
    let missing = problems(&fails_with(&format!("./no-such-host {PLACEHOLDERS}")));
    assert!(missing.contains("upgrade replica 1 (101)") && missing.contains("no-such-host"), "{missing}");
    let failing = problems(&fails_with(&format!("sh -c 'echo INIT FAILED; exit 5' {PLACEHOLDERS}")));
    assert!(failing.contains("INIT FAILED") && failing.contains("exit status: 5"), "{failing}");
}

#[test]
fn a_host_that_listens_where_the_proxy_does_is_told_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let host = format!("{RSL} replica {}", PLACEHOLDERS.replace("--self {self}", "--trace {dir}.{self}"));
    // It would try for minutes; the first words come at once.
    let host = format!("timeout 5 {host}");
    let kept = dir.path().join("kept");
    let output = upgrade(&["bad-links", "--json", "--old", &host, "--dir", kept.to_str().unwrap()]);
    let said = json(&output)["error"].to_string();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has to listen on the ports of {self}"), "{said}");
}

#[test]
fn a_taken_control_port_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = format!("{RSL} replica {}", PLACEHOLDERS.replace("{control}", &port.to_string()));
    // The template has to name the placeholder; an event file is a harmless place for it.
    let host = host.replace("--events {events}", "--events {events}.{control}");
    let said = problems(&fails_with(&host));
    assert!(said.contains("exit status: 3"), "{said}");
}

#[test]
fn a_host_that_dies_later_is_named_with_its_last_words() {
    let host = format!("timeout -s KILL 2 {RSL} replica {PLACEHOLDERS}");
    let said = problems(&fails_with(&host));
    assert!(said.contains("replica 101 ended with"), "{said}");
}

#[test]
fn a_host_that_lies_is_found_out() {
    // It claims another request at decree 3 than the others, and then goes on as if nothing had been.
    let lie = "echo 3 0 5 578be62969f42978 1 68656c6c6f";
    let script = format!("{lie} >> $1; shift; exec {RSL} replica \"$@\"");
    let host = format!("sh -c '{script}' host {{execlog}} {PLACEHOLDERS}");
    let said = problems(&fails_with(&host));
    assert!(said.contains("divergence at decree 3"), "{said}");
}

#[test]
fn a_host_that_computes_another_hash_is_found_out() {
    // What it executes is written with a wrong hash.
    let change = r"s/^\([0-9]* [0-9]* [0-9]*\) [0-9a-f]*/\1 00000000deadbeef/";
    let script =
        format!("mkfifo $1.pipe; sed -u \"{change}\" < $1.pipe >> $1 & shift; exec {RSL} replica \"$@\"");
    let pipe = PLACEHOLDERS.replace("--execlog {execlog}", "--execlog {execlog}.pipe");
    let host = format!("bash -c '{script}' host {{execlog}} {pipe}");
    let result = fails_with(&host);
    let said = problems(&result);
    assert!(said.contains("divergence at decree"), "{said}");
    let history = result["checks"].as_array().unwrap().iter().find(|check| check["check"] == "one-history");
    assert_eq!(history.unwrap()["ok"], false, "{result}");
}

#[test]
fn a_host_that_refuses_the_directory_of_the_other_is_a_failure_not_a_surprise() {
    // Damages the only log, as a host with another idea of the format would.
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("mine.toml");
    let text = "title = \"t\"\nreplicas = 3\n[[step]]\ndo = \"serve\"\nrequests = 500\n[[step]]\ndo = \"upgrade\"\nreplica = 2\n";
    std::fs::write(&plan, text).unwrap();
    let script = format!(
        "{RSL} replica \"$@\"; for log in $4/*.log; do printf damaged | dd of=$log bs=1 seek=600 conv=notrunc 2>/dev/null; done"
    );
    let old = format!("bash -c '{script}' host {PLACEHOLDERS}");
    let kept = dir.path().join("kept");
    let output = upgrade(&[plan.to_str().unwrap(), "--json", "--old", &old, "--dir", kept.to_str().unwrap()]);
    let result = json(&output);
    assert_eq!(output.status.code(), Some(1), "{result}");
    assert!(problems(&result).contains("the new host would not start"), "{result}");
}

#[test]
fn a_soak_is_drawn_from_its_seed_and_its_reports_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (html, junit) = (dir.path().join("report.html"), dir.path().join("report.xml"));
    let result = play(&[
        "soak",
        "--seconds",
        "3",
        "--seed",
        "7",
        "--html",
        html.to_str().unwrap(),
        "--junit",
        junit.to_str().unwrap(),
    ]);
    let steps = result["steps"].as_array().unwrap().len();
    assert!(steps > 2, "{result}");
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.contains("<svg") && html.contains(">OK</span>") && html.ends_with("</html>\n"));
    let without_icon = html.replace("href=\"data:,\"", "");
    assert!(!without_icon.contains("href=") && !html.contains("src="), "something comes from outside");
    let junit = std::fs::read_to_string(junit).unwrap();
    let checks = result["checks"].as_array().unwrap();
    assert_eq!(junit.matches("<testcase ").count(), steps + checks.len(), "{junit}");
    assert!(junit.contains("failures=\"0\""), "{junit}");
}
