//! The C++ replay over directories that legacy replicas left behind: the state is that of the exec logs, and the
//! checkpoint made of it is one of the log's version, which a replica starts from.
//!
//! Without golden data, and on Windows, the test counts as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use compat_tests::golden;
use compat_tests::host_state::{HostState, restart};
use compat_tests::native::{Build, Language, debug_library, root};
use compat_tests::{synthetic, windows};
use libtest_mimic::{Arguments, Failed, Trial};
use migration::exec_log;
use rsl_core::storage::{CheckpointReader, Listing, OsDisk};
use rsl_core::types::{Decree, MemberSet, ProtocolVersion};

/// The number that the new checkpoint gets.
const NUMBER: u64 = 7000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let golden = golden::dir().filter(|_| cfg!(unix));
    let trial = |name: &str, test: fn(&Path) -> Result<(), Failed>| {
        let golden = golden.clone();
        Trial::test(name, move || test(golden.as_deref().ok_or("there is no golden data")?))
    };
    let trials = vec![
        trial("replay_to_a_checkpoint", replay_to_a_checkpoint).with_ignored_flag(golden.is_none()),
        // Needs the Windows build: `cargo xtask windows --test` runs it.
        trial("windows_replay_to_a_checkpoint", windows_replay_to_a_checkpoint).with_ignored_flag(true),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn require(condition: bool, what: &str) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(what.into()) }
}

/// All files of a directory with their content.
fn content(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    Ok(files)
}

/// Trial: [HARD-549] [HARD-551] [API-127] [API-57] [API-60] [STOR-69] The four-argument Replay over every golden directory:
/// nothing of it changes; the state is that of the exec logs; the checkpoint has the version of the log and the members
/// that the history tells; a replica starts from it. What follows a replay is refused or does nothing.
fn replay_to_a_checkpoint(golden: &Path) -> Result<(), Failed> {
    let bin = tempfile::tempdir()?;
    let program = bin.path().join("replay");
    Build::new(Language::Cpp(11)).program(&[source()], debug_library()?, &program)?;
    every_directory(golden, || Command::new(&program))
}

/// Trial: [HARD-549] [HARD-551] [API-127] [API-57] [API-60] [STOR-69] The same under Wine, with the DLL; the start from the
/// checkpoint that it wrote is the one of this system.
fn windows_replay_to_a_checkpoint(golden: &Path) -> Result<(), Failed> {
    let bin = tempfile::tempdir()?;
    let program = bin.path().join("replay.exe");
    fs::copy(windows::built("rsl.dll")?, bin.path().join("rsl.dll"))?;
    windows::program(Language::Cpp(11), &[source()], &program)?;
    every_directory(golden, || windows::wine(&program))
}

fn source() -> PathBuf {
    root().join("compat-tests/cpp/tests/replay.cc")
}

fn every_directory(golden: &Path, program: impl Fn() -> Command) -> Result<(), Failed> {
    let mut versions = BTreeMap::new();
    for run in folders(&golden.join("disk")).iter().flat_map(|scenario| folders(scenario)) {
        for replica in folders(&run) {
            let version = one(program(), &run, &replica)
                .map_err(|why| format!("{}: {}", replica.display(), why.message().unwrap_or("failed")))?;
            *versions.entry(version).or_insert(0) += 1;
        }
    }
    require(versions.len() >= 4 && versions.values().all(|count| *count >= 3), &format!("{versions:?}"))
}

fn one(mut program: Command, run: &Path, replica: &Path) -> Result<ProtocolVersion, Failed> {
    let (data, into) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for (name, bytes) in content(replica)? {
        if name.ends_with(".log") || name.ends_with(".codex") || name == "defunct.txt" {
            fs::write(data.path().join(name), bytes)?;
        }
    }
    let before = content(data.path())?;
    let output = program.arg(data.path()).arg(NUMBER.to_string()).arg(into.path()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    require(output.status.success(), &format!("{text}{errors}"))?;
    require(content(data.path())? == before, "the directory has changed")?;

    let lines: Vec<&str> = text.lines().collect();
    let [state, loaded] = lines[..] else { return Err(format!("{lines:?}").into()) };
    let words: Vec<&str> = state.split(' ').collect();
    let [sequence, count, hash, configuration, members] = words[..] else { return Err(state.into()) };
    require(loaded == format!("loaded {count} {hash}"), &format!("{loaded} after {state}"))?;
    let sequence: u64 = sequence.parse()?;
    require(u64::from_str_radix(hash, 16)? == hash_after(run, sequence)?, "the state at the last decree")?;

    let mut reader = CheckpointReader::open(&OsDisk, &into.path().join(format!("{NUMBER}.codex")))?;
    reader.expect_decree(Decree(NUMBER))?;
    reader.verify_rest()?;
    let header = reader.header().clone();
    let name = run.file_name().and_then(|name| name.to_str()?.strip_prefix('v')?.parse().ok());
    let version = name.and_then(ProtocolVersion::from_number).ok_or("no version")?;
    let mixed = run.parent().is_some_and(|scenario| scenario.ends_with("mixed"));
    require(header.version == version || mixed, &format!("version {}", header.version))?;
    let known = header.configuration.clone().map(|configuration| configuration.members);
    require(known.is_some() == header.version.has_configuration(), "the header's configuration")?;
    let stored = known.unwrap_or_default();
    if header.version.has_configuration() {
        require(stored.nodes.len().to_string() == members, &format!("{} members", stored.nodes.len()))?;
        let number = header.configuration.as_ref().map_or(0, |configuration| configuration.number);
        require(number.to_string() == configuration, &format!("configuration {number}"))?;
    }
    // Where a legacy checkpoint of the same configuration says the members, they are the same.
    for decree in Listing::read(&OsDisk, data.path())?.checkpoints {
        let legacy = CheckpointReader::open(&OsDisk, &data.path().join(format!("{decree}.codex")))?;
        let (theirs, ours) = (legacy.header().configuration.as_ref(), header.configuration.as_ref());
        if let (Some(theirs), Some(ours)) = (theirs, ours) {
            let same = theirs.number != ours.number || theirs.members == ours.members;
            require(same && !ours.members.nodes.is_empty(), "the members of the legacy checkpoint")?;
        }
    }
    let member = replica.file_name().and_then(|name| name.to_str()?.strip_prefix('r')).ok_or("no member")?;
    // Where the history does not tell the members, they are given, as with the original directory.
    let list: Arc<MemberSet> = if stored.nodes.is_empty() { synthetic::members() } else { stored };
    let (state, restored) = restart(into.path(), member.parse()?, header.version, &list)?;
    let started: (&HostState, _) = (&state, restored.recovered.executed);
    require(started.0.count.to_string() == count && started.1 == Decree(NUMBER), &format!("{started:?}"))?;
    require(restored.recovered.state_configuration.members == list, "the members after the start")?;
    Ok(version)
}

/// The state after a decree, by the exec logs of the run.
fn hash_after(run: &Path, decree: u64) -> Result<u64, Failed> {
    let mut last = ((0, 0), HostState::default().hash);
    for replica in folders(run) {
        for row in exec_log::parse(&fs::read_to_string(replica.join("exec.txt"))?)? {
            if row.seq <= decree && (row.seq, row.index) > last.0 {
                last = ((row.seq, row.index), row.hash);
            }
        }
    }
    Ok(last.1)
}
