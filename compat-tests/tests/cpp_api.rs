//! The C++ headers as services use them: programs that use every public member, the ways a process ends, and the C++ host
//! under the conformance script.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use rsl_core::format::CheckpointHeader;
use rsl_core::storage::{CheckpointReader, OsDisk};
use rsl_core::types::{Decree, ProtocolVersion};

use compat_tests::native::{
    Build, Language, build_programs, debug_library, root, run, scratch, target, test_program,
};
use compat_tests::sample::Sample;

fn source(name: &str) -> PathBuf {
    root().join("compat-tests/cpp/tests").join(name)
}

/// A port with a free one behind it; ours as long as this process lives.
fn free_port() -> String {
    let lease = migration::host::ports::lease(1).unwrap().remove(0);
    let port = lease.first().to_string();
    std::mem::forget(lease);
    port
}

fn build() -> Build {
    // The services of the tests are written as services were: with and without `override`.
    Build::new(Language::Cpp(11)).arg("-Wno-inconsistent-missing-override")
}

/// Compiles a program, for this test alone.
fn program(name: &str, sources: &[&str]) -> PathBuf {
    let output = scratch(&format!("cpp-{name}"));
    let sources: Vec<PathBuf> = sources.iter().map(|name| source(name)).collect();
    build().program(&sources, debug_library().unwrap(), &output).unwrap();
    output
}

fn output(program: &Path, words: &[&str]) -> (Output, String) {
    let output = test_program(program).args(words).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let text = format!("{out}{err}");
    (output, text)
}

fn succeeds(program: &Path, words: &[&str]) {
    let (done, text) = output(program, words);
    assert!(done.status.success() && done.stdout.ends_with(b"done\n"), "{:?}: {text}", done.status);
}

/// [API-1] [API-2] Every header, and every test program, compiles alone with every compiler found here as C++11, 14, 17 and
/// 20: no warning, no extension.
#[test]
fn headers_and_programs_compile_everywhere() {
    let headers = ["rsl.h", "rslutil.h", "rsl_win32.h"].map(|name| root().join("include").join(name));
    let programs = [
        "values.cc",
        "second.cc",
        "machine.cc",
        "utility.cc",
        "streams.cc",
        "ends.cc",
        "rings.cc",
        "contract.cc",
        "cookies.cc",
        "replay.cc",
    ]
    .map(source);
    for year in [11, 14, 17, 20] {
        for compiler in Language::Cpp(year).compilers() {
            let build = Build { language: Language::Cpp(year), compiler, ..build() };
            for header in &headers {
                let text = format!("#include \"{}\"\nint main() {{ return 0; }}\n", header.display());
                let file = tempfile::Builder::new().suffix(".cc").tempfile().unwrap();
                std::fs::write(file.path(), text).unwrap();
                run(build.command().arg("-fsyntax-only").arg(file.path())).unwrap();
            }
            if year == 11 || year == 20 {
                programs.iter().for_each(|file| run(build.command().arg("-fsyntax-only").arg(file)).unwrap());
            }
        }
    }
}

/// [API-3] [API-4] [API-5] [API-7] [API-8] [API-9] [API-10] [API-15] [API-16] [API-19] [API-20] [API-21] [API-23] [API-45]
/// [HARD-503] [HARD-508] [HARD-509] [HARD-513] [HARD-514] [HARD-515] [HARD-524] [HARD-531] [HARD-532] The classes that hold
/// values, in two objects linked together.
#[test]
fn values_are_those_of_the_legacy_header() {
    succeeds(&program("values", &["values.cc", "second.cc"]), &[]);
}

/// [API-17] [API-28] [API-29] [API-31] [API-46] [API-51] [API-53] [API-54] [API-55]
/// [API-56] [API-59] [API-64] [API-65] [API-69] [API-70] [API-71] [API-74] [API-75] [API-79] [API-80] [API-87]
/// [API-77] [API-88] [API-89] [API-90] [API-93] [API-97] [API-98] [API-101] [API-105] [API-106] [API-107]
/// [API-108] [HARD-511] [HARD-352] [HARD-516] [HARD-523] [HARD-525] [HARD-534] [HARD-541] [HARD-542] [HARD-543] [HARD-545] [HARD-546]
/// [HARD-552] [HARD-555] [HARD-560] [HARD-562] [HARD-564] [HARD-566] [HARD-572] [HARD-576] Every public member of the state
/// machine, through its whole life.
#[test]
fn a_service_uses_every_member_of_the_state_machine() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy.codex"));
    succeeds(
        &program("machine", &["machine.cc"]),
        &[data.to_str().unwrap(), copy.to_str().unwrap(), &free_port()],
    );
}

/// [API-43] [API-44] [CABI-37] [STOR-71] [STOR-72] [STOR-73] [HARD-537] [HARD-538] [HARD-539] [HARD-540] [HARD-55] [HARD-60]
/// Checkpoints are made, their members replaced, and migrated up and down; nothing is left behind.
#[test]
fn checkpoint_utilities() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("name.codex"), b"no number").unwrap();
    succeeds(&program("utility", &["utility.cc"]), &[dir.path().to_str().unwrap()]);
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let expected = ["1", "2", "3", "4", "5", "6", "name"].map(|name| format!("{name}.codex"));
    assert_eq!(names, expected);
    let header = |name: &str| {
        let mut reader = CheckpointReader::open(&OsDisk, &dir.path().join(name)).unwrap();
        reader.verify_rest().unwrap();
        reader.header().clone()
    };
    let (first, fifth, last) = (header("1.codex"), header("5.codex"), header("6.codex"));
    // Migrated from 1 to 4, and from 6 to 3: raw bodies, and the next vote as it was.
    let kept = |header: &CheckpointHeader| (header.version, header.block_size, header.next_vote.version());
    assert_eq!(kept(&first), (ProtocolVersion::V4, 0, ProtocolVersion::V1));
    assert_eq!(kept(&last), (ProtocolVersion::V3, 0, ProtocolVersion::V6));
    let configuration = first.configuration.unwrap();
    assert_eq!((configuration.number, configuration.initial_decree), (1, Decree(0)));
    // Saved as version 5.
    assert_eq!(kept(&fifth), (ProtocolVersion::V5, 4_194_304, ProtocolVersion::V5));
    let (one, configuration) = ("1".parse().unwrap(), fifth.configuration.unwrap());
    assert_eq!((configuration.number, configuration.initial_decree), (5, Decree(5)));
    assert_eq!(
        (fifth.member, fifth.executed, fifth.promised.id, fifth.promised.member),
        (one, Decree(5), 1, one)
    );
    let next = fifth.next_vote.header();
    assert_eq!(
        (next.decree, next.configuration, next.ballot, next.member),
        (Decree(6), 5, fifth.promised, one)
    );
    assert!(fifth.next_vote.is_empty() && fifth.next_vote.checksum_is_valid() && next.checksum != 0);
}

/// [API-33] [API-34] [API-35] [API-36] [API-37] [API-38] [API-39] [API-40] [API-41] [API-42] [HARD-527] [HARD-528] [HARD-529]
/// [HARD-530] [HARD-531] [HARD-533] [HARD-536] Streams over several blocks, in versions with and without them; damage is
/// found by every way to the block.
#[test]
fn checkpoint_streams() {
    let dir = tempfile::tempdir().unwrap();
    succeeds(&program("streams", &["streams.cc"]), &[dir.path().to_str().unwrap()]);
}

/// [API-50] [API-56] Ten rings in one process.
#[test]
fn ten_rings_in_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<String> = (0..10).map(|_| free_port()).collect();
    let mut words = vec![dir.path().to_str().unwrap()];
    words.extend(ports.iter().map(String::as_str));
    succeeds(&program("rings", &["rings.cc"]), &words);
}

/// Runs `contract.cc` for one rule; gives the exit code and its standard output.
fn rule(name: &str, ports: usize) -> (Option<i32>, String) {
    rule_with(name, ports, "")
}

/// The same, with a thread that panics.
fn rule_with(name: &str, ports: usize, panic_thread: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<String> = (0..ports).map(|_| free_port()).collect();
    let mut words = vec![name, dir.path().to_str().unwrap()];
    words.extend(ports.iter().map(String::as_str));
    let mut command = Command::new(program("contract", &["contract.cc"]));
    let done = command.args(words).env("RSL_PANIC_THREAD", panic_thread).output().unwrap();
    let text = format!("{done:?}");
    assert_ne!(done.status.code(), Some(99), "{text}");
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// [API-13] [API-120] EnableListenOnAllIPs holds for the process and for what is initialised after it; there is no way
/// back. A machine that ran before keeps its address.
#[test]
fn listening_on_all_addresses_is_for_later_machines() {
    assert_eq!(rule("listen", 3), (Some(0), "done\n".to_owned()));
}

/// [HARD-535] [HARD-575] [HARD-574] [API-119] A checkpoint that cannot be written, whose error the service ignores, and one
/// that does not verify: deleted, reported as an Alert, and the process goes on with the one before. No assertion.
#[test]
fn a_failed_checkpoint_is_reported_and_survived() {
    assert_eq!(rule("disks", 1), (Some(0), "done\n".to_owned()));
}

/// [API-102] [API-117] A replica that cannot catch up from logs copies a checkpoint, says so with a NULL cookie, shuts down
/// and ends the process with 0.
#[test]
fn catching_up_by_a_checkpoint_ends_the_process() {
    let told = "StateCopied seq .codex NULL\nShutDown 3\n".to_owned();
    assert_eq!(rule("catch up", 3), (Some(0), told));
}

/// [CABI-45] The thread that copies a checkpoint panics.
#[test]
fn a_panic_in_a_transfer_is_fatal() {
    let (code, text) = rule_with("catch up", 3, "transfer");
    assert!(
        code == Some(1) && text.contains("Assert -- librsl, 0: thread transfer panicked"),
        "{code:?} {text}"
    );
}

/// [CABI-43] Cookies under random requests, moving leadership and unloads: each that was taken comes back once, none after
/// ShutDown.
#[test]
fn every_cookie_comes_back_once() {
    let program = program("cookies", &["cookies.cc"]);
    for seed in ["1", "2", "3"] {
        let dir = tempfile::tempdir().unwrap();
        let ports: Vec<String> = (0..3).map(|_| free_port()).collect();
        let words = [dir.path().to_str().unwrap(), &ports[0], &ports[1], &ports[2], seed];
        succeeds(&program, &words);
    }
}

/// [CABI-26] [HARD-380] [PROTO-169] (decisions 3, 13, 14) With the switch, or where the exit policy wants the process to live, a
/// primary that relinquishes goes on in place: NotifyStatus(false), LoadState, no ShutDown. Who accepts all messages is
/// not asked about them.
#[test]
fn a_machine_goes_on_in_place() {
    for way in ["reload", "keep"] {
        assert_eq!(rule(way, 3), (Some(0), "done\n".to_owned()), "{way}");
    }
}

/// Runs `ends.cc` in one of its ways; gives the exit code and its standard output.
fn end(way: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (done, text) = output(&program("ends", &["ends.cc"]), &[way, data.to_str().unwrap(), &free_port()]);
    assert_ne!(done.status.code(), Some(99), "{text}");
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// [API-6] [API-112] [API-113] [API-114] [API-118] [HARD-510] [HARD-544] [HARD-577] [HARD-580] [CABI-19] What no service can
/// go on after: an exception in a callback, a running machine destroyed, an index out of range. The entry names it, both
/// callbacks hear of it, the exit code is 1.
#[test]
fn what_is_fatal_is_told_and_ends_with_1() {
    for (way, what) in [
        ("exception", "exception escaped ExecuteReplicatedRequest"),
        ("destroy", "an RSLStateMachine was destroyed while it runs: call UnloadThisOne first"),
        ("index", "RSLNodeCollection: index out of range"),
    ] {
        let (code, text) = end(way);
        let told = format!(
            "log level=6 id=3 title={what} fmt=%s text=\nnotify level=5 id=1 title={what} message=NULL\n\
             Assert -- librsl, 0: {what}\n"
        );
        assert!(code == Some(1) && text.ends_with(&told), "{way}: {code:?} {text}");
    }
}

/// [API-55] [API-117] [API-11] [API-14] [HARD-502] An unload without a spawn routine ends the process with 0; a program may
/// end while a machine runs; logging may be over before a machine starts.
#[test]
fn orderly_ends() {
    assert_eq!(end("unload"), (Some(0), String::new()));
    assert_eq!(end("leave"), (Some(7), "running\n".to_owned()));
    assert_eq!(end("no init"), (Some(7), "running\n".to_owned()));
}

/// [API-46] [HARD-516] [HARD-521] A start that is refused says so; who asked for TLS never gets plaintext (decision 7).
#[test]
fn refused_starts() {
    let (code, text) = end("tls");
    assert!(
        code == Some(0) && text.ends_with("refused\n") && text.contains("TLS is not available"),
        "{text}"
    );
    let (code, text) = end("long path");
    assert!(code == Some(0) && text.ends_with("refused\n"), "{text}");
    assert!(
        text.contains("notify level=4 id=3 title=Failed to create data directory message=NULL\n"),
        "{text}"
    );
}

/// The template of the C++ host; `rsl` is built, too.
fn cpp_host() -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let host = build_programs(false).unwrap().swap_remove(0);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).current_dir(root()).args(["build", "--quiet", "--package", "migration"]))
            .unwrap();
        format!(
            "{} --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} --self {{self}} \
             --control {{control}} --events {{events}} --execlog {{execlog}}",
            host.display()
        )
    })
}

fn rsl(words: &[&str]) {
    run(Command::new(target().join("debug/rsl")).args(words)).unwrap();
}

/// The C++ host follows the host contract, alone and in sets of three; it takes over from the Rust host one replica at a
/// time and gives back, each on its own directory.
#[test]
fn the_cpp_host_conforms_and_takes_part_in_an_upgrade() {
    let host = cpp_host();
    rsl(&["conformance", "--host", host]);
    for plan in ["classic-3-rollback", "replica-sets"] {
        rsl(&["upgrade", plan, "--json", "--new", host]);
    }
}

/// Rust and C++ replicas in one set: kills, a checkpoint, bootstrap, growth; the states are the same and nothing is lost.
#[test]
fn rust_and_cpp_replicas_agree() {
    let host = cpp_host();
    for version in ["1", "2", "3", "4", "5", "6"] {
        let plan = ["demo", "--json", "--requests", "500", "--kills", "2", "--protocol", version];
        rsl(&[&plan[..], &["--host", "rsl", "--host", host]].concat());
    }
    scenarios(&["bootstrap", "grow", "relinquish"]);
}

/// The others of them.
#[test]
#[ignore = "long: nightly"]
fn rust_and_cpp_replicas_agree_in_every_scenario() {
    scenarios(&["shrink", "replace-primary", "promote", "upgrade"]);
}

fn scenarios(names: &[&str]) {
    for scenario in names {
        rsl(&["demo", "--json", "--scenario", scenario, "--host", cpp_host(), "--host", "rsl"]);
    }
}

/// [CABI-46] The samples do what their first lines say: key-value store and counters with a restart, a set that is bootstrapped and
/// changed.
#[test]
fn samples_work() {
    build_programs(false).unwrap();
    let (bin, dir) = (target().join("cpp"), tempfile::tempdir().unwrap());
    let start = |program: &str, words: &[&str]| {
        Sample::start(test_program(&bin.join(program)).args(words).current_dir(dir.path())).unwrap()
    };
    let port = free_port();
    let mut store = start("keyvalue", &["data", &port]);
    store.expect("primary: 1").unwrap();
    for (line, answer) in
        [("set a 1", "ok, decree "), ("set b 2", "ok, "), ("get a", "1"), ("get c", "no such key")]
    {
        store.say(line).unwrap();
        store.expect(answer).unwrap();
    }
    store.say("checkpoint").unwrap();
    store.expect("ok, decree ").unwrap();
    store.expect("saved data/1/").unwrap();
    store.end().unwrap();
    let mut store = start("keyvalue", &["data", &port]);
    store.expect("primary: 1").unwrap();
    store.say("get b").unwrap();
    store.expect("2").unwrap();
    store.end().unwrap();

    let mut counter = start("counter_c", &["counter", &free_port()]);
    counter.expect("primary: 1").unwrap();
    counter.say("5 7").unwrap();
    counter.expect("5").unwrap();
    counter.expect("12").unwrap();
    counter.end().unwrap();

    let member = |number: &str| start("reconfigure", &[number]);
    let (mut first, second, third, fourth) = (member("1"), member("2"), member("3"), member("4"));
    std::thread::sleep(Duration::from_secs(1));
    first.say("bootstrap").unwrap();
    first.expect("bootstrap: 0").unwrap();
    let mut members = [first, second, third, fourth];
    // Whoever is primary takes the change; the others refuse it.
    let replaced = (0..60).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        members[..3].iter_mut().any(|member| {
            member.say("replace 3 4").unwrap();
            member.expect("replace: ").unwrap() == "replace: 0"
        })
    });
    assert!(replaced, "no primary");
    members[0].expect("the set has changed").unwrap();
    members[0].say("show").unwrap();
    members[0].expect("configuration 2: 1 2 4").unwrap();
    members.into_iter().for_each(|member| member.end().unwrap());
}
