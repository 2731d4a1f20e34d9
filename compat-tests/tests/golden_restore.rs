//! Directories that a legacy replica left behind, restored by ours: the state is that of the exec logs, the accepted
//! vote that of the last record, and what we append and save is there at the next start. Checkpoints with user data of
//! edge lengths are read and written again.
//!
//! Without golden data the tests count as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use compat_tests::host_state::{HostState, restart};
use compat_tests::{golden, synthetic};
use libtest_mimic::{Arguments, Failed, Trial};
use migration::exec_log::{self, Row};
use rsl_core::format::{CheckpointHeader, Record};
use rsl_core::storage::{
    CheckpointReader, CheckpointWriter, CopyRequest, Directory, Disk, Listing, NewCheckpoint, OsDisk,
    Restored, copy_checkpoint, rerun, save_rerun,
};
use rsl_core::types::{Ballot, Configuration, Decree, MemberId, MemberSet, ProtocolVersion};
use rsl_core::wire::{Header, Vote, VoteContent};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    match golden::dir() {
        Some(golden) => {
            trials.extend(directories(&golden.join("disk")));
            trials.push(Trial::test("codex_edges", move || edges(&golden.join("codex_edges"))));
        }
        None => {
            for name in ["directories", "codex_edges"] {
                trials.push(
                    Trial::test(name, || Err("there is no golden data".into())).with_ignored_flag(true),
                );
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Three tests for each replica's directory, and one that there are any.
fn directories(disk: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for run in folders(disk).iter().flat_map(|scenario| folders(scenario)) {
        for replica in folders(&run) {
            let name = replica.strip_prefix(disk).unwrap_or(&replica).display().to_string();
            let path = replica.clone();
            trials.push(Trial::test(format!("{name} restores"), move || restores(&path)));
            let path = replica.clone();
            trials.push(Trial::test(format!("{name} replays"), move || replays(&path)));
            trials.push(Trial::test(format!("{name} checkpoints"), move || checkpoints(&replica)));
        }
    }
    let count = trials.len();
    trials.push(Trial::test("there are directories", move || {
        if count < 9 { Err(format!("{count} tests found").into()) } else { Ok(()) }
    }));
    trials
}

/// What a run says about a replica's directory.
struct Scene {
    member: MemberId,
    version: ProtocolVersion,
    /// The replica's part of the manifest.
    manifest: Value,
    /// State hash after the last request of each decree, from the exec logs of all replicas.
    hashes: BTreeMap<u64, u64>,
    /// A copy that may be written to.
    copy: tempfile::TempDir,
}

impl Scene {
    fn new(replica: &Path) -> Result<Scene, Failed> {
        let run = replica.parent().ok_or("no run")?;
        let name = replica.file_name().ok_or("no name")?.to_string_lossy();
        let id = name.strip_prefix('r').ok_or("a directory of another name")?;
        let manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json"))?)?;
        let number = run.file_name().and_then(|name| name.to_str()?.strip_prefix('v')?.parse().ok());
        let version = number.and_then(ProtocolVersion::from_number).ok_or("no version")?;
        let mut hashes = BTreeMap::new();
        for replica in folders(run) {
            // The last row of a decree has the state after it.
            let rows = exec_log::parse(&fs::read_to_string(replica.join("exec.txt"))?)?;
            let mut last: BTreeMap<u64, &Row> = BTreeMap::new();
            for row in &rows {
                last.entry(row.seq)
                    .and_modify(|known| *known = if row.index >= known.index { row } else { known })
                    .or_insert(row);
            }
            hashes.extend(last.into_iter().map(|(seq, row)| (seq, row.hash)));
        }
        let copy = tempfile::tempdir()?;
        for entry in fs::read_dir(replica)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".log") || name.ends_with(".codex") || name == "defunct.txt" {
                fs::write(copy.path().join(name), fs::read(entry.path())?)?;
            }
        }
        let manifest = manifest["replicas"].get(id).cloned().ok_or("not in the manifest")?;
        Ok(Scene { member: id.parse()?, version, manifest, hashes, copy })
    }

    fn restart(&self) -> Result<(HostState, Restored), Failed> {
        let members = synthetic::members();
        restart(self.copy.path(), self.member, self.version, &members)
            .map_err(|error| format!("{error:#}").into())
    }

    /// The state after `executed`, by the exec logs.
    fn hash_after(&self, executed: Decree) -> u64 {
        let row = self.hashes.range(..=executed.0).next_back();
        row.map_or(HostState::default().hash, |(_, &hash)| hash)
    }

    /// Decree and ballot of the last vote in the newest log with one, and whether a decision follows it.
    fn last_vote(&self) -> Result<Option<(u64, Ballot, bool)>, Failed> {
        let mut logs = Vec::new();
        for (name, file) in self.manifest["files"].as_object().ok_or("no files")? {
            if let Some(number) = name.strip_suffix(".log") {
                logs.push((number.parse::<u64>()?, file));
            }
        }
        logs.sort_by_key(|(number, _)| *number);
        let mut last = None;
        for message in logs.iter().flat_map(|(_, file)| file["messages"].as_array().into_iter().flatten()) {
            let message = &message["msg"];
            let decree = message["decree"].as_u64().ok_or("no decree")?;
            match message["type"].as_str() {
                Some("Vote") => {
                    let id = u32::try_from(message["ballot"][0].as_u64().ok_or("no ballot")?)?;
                    let member = message["ballot"][1].as_str().ok_or("no ballot")?.parse()?;
                    last = Some((decree, Ballot::new(id, member), false));
                }
                Some("ReconfigurationDecision") => {
                    last = last.map(|(decree, ballot, _)| (decree, ballot, true));
                }
                _ => {}
            }
        }
        Ok(last)
    }
}

/// Trial: [STOR-6] [STOR-14] [STOR-22] [STOR-59] [STOR-60] [STOR-63] [XFER-44] [XFER-45]
fn restores(replica: &Path) -> Result<(), Failed> {
    let scene = Scene::new(replica)?;
    let (state, mut restored) = scene.restart()?;
    let recovered = restored.recovered.clone();
    require(state.hash == scene.hash_after(recovered.executed), "the state is not that of the exec logs")?;
    require(restored.notes.is_empty(), &format!("{:?}", restored.notes))?;
    if let Some((decree, ballot, decided)) = scene.last_vote()? {
        let accepted = (recovered.accepted.decree().0, recovered.accepted.ballot());
        let expected = if decided { (decree + 1, Ballot::EMPTY) } else { (decree, ballot) };
        require(accepted == expected, &format!("accepted {accepted:?}, the log ends with {expected:?}"))?;
        require(recovered.promised >= ballot, "the promise is below an accepted vote")?;
    }
    // The next vote goes behind the records of the legacy replica, and proves the last one chosen.
    let accepted = &recovered.accepted;
    let ballot = recovered.promised.max(accepted.ballot());
    let (decree, ballot) = if accepted.ballot() == Ballot::EMPTY {
        (accepted.decree(), Ballot::new(ballot.id + 1, scene.member))
    } else {
        (accepted.decree().next(), accepted.ballot())
    };
    let next = vote(scene.version, scene.member, decree, ballot)?;
    restored.log.append(&Record::Vote(next.clone()), None)?;
    restored.log.flush()?;
    drop(restored);
    let (state, restored) = scene.restart()?;
    require(restored.recovered.accepted == next, "what was appended is accepted at the next start")?;
    require(restored.recovered.executed.next() == decree, "everything before it is executed")?;
    let expected = scene.hash_after(restored.recovered.executed);
    let known = scene.hashes.contains_key(&accepted.decree().0) || accepted.request_count() == 0;
    require(!known || state.hash == expected, "the last vote of the legacy replica is executed as it did")
}

fn vote(version: ProtocolVersion, member: MemberId, decree: Decree, ballot: Ballot) -> Result<Vote, Failed> {
    let requests = vec![b"from the new replica".as_slice().into()];
    let header = Header::new(version, member, decree, 1, ballot);
    Ok(Vote::new(header, &VoteContent { requests, ..VoteContent::default() })?)
}

/// Replay mode to every decree comes to the state of the exec logs and leaves the files alone; the state written as
/// another checkpoint restores to itself.
/// Trial: [XFER-51] [STOR-66] [STOR-67] [STOR-68] [STOR-69] [STOR-70] [HARD-43] [HARD-382] [API-57]
fn replays(replica: &Path) -> Result<(), Failed> {
    let scene = Scene::new(replica)?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let path = scene.copy.path();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let mut permissions = fs::metadata(&path)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions)?;
    }
    let all = rerun(&disk, path, Decree(u64::MAX), &mut HostState::default())?;
    let newest = Listing::read(&OsDisk, path)?.checkpoints.last().copied().unwrap_or(Decree(1));
    for max in 1..=all.executed.0 + 1 {
        let mut state = HostState::default();
        let replayed = match rerun(&disk, path, Decree(max), &mut state) {
            Ok(replayed) => replayed,
            // Logs from before the newest checkpoint may be gone.
            Err(_) if Decree(max) < newest => continue,
            Err(error) => return Err(error.into()),
        };
        require(replayed.executed == all.executed.min(Decree(max)), &format!("up to {max}"))?;
        require(state.hash == scene.hash_after(replayed.executed), &format!("the state at {max}"))?;
    }
    if all.executed == Decree::ZERO {
        return Ok(());
    }
    let mut state = HostState::default();
    let replayed = rerun(&disk, path, all.executed, &mut state)?;
    let target = tempfile::tempdir()?;
    save_rerun(&disk, target.path(), &replayed, Decree(7000), &mut state)?;
    let members = synthetic::members();
    let (loaded, restored) = restart(target.path(), scene.member, scene.version, &members)?;
    require(loaded == state, "the checkpoint holds the state")?;
    let recovered = restored.recovered;
    let position = (recovered.executed, recovered.accepted.decree());
    require(position == (Decree(7000), Decree(7001)), &format!("{position:?}"))?;
    require(recovered.accepted.ballot() == replayed.next_vote.ballot(), "the newest vote goes with it")
}

/// Every checkpoint verifies; its header says the same when we encode it; and a copy over the learn protocol is the
/// file itself up to what is undefined.
/// Trial: [STOR-32] [STOR-33] [STOR-34] [STOR-36] [STOR-46] [STOR-53] [XFER-23]
fn checkpoints(replica: &Path) -> Result<(), Failed> {
    let scene = Scene::new(replica)?;
    let path = scene.copy.path();
    for decree in Listing::read(&OsDisk, path)?.checkpoints {
        let name = path.join(format!("{decree}.codex"));
        let mut reader = CheckpointReader::open(&OsDisk, &name)?;
        reader.expect_decree(decree)?;
        reader.verify_rest()?;
        let header = reader.header().clone();
        let encoded = header.encode()?;
        require(encoded.len() as u64 == header.encoded_len(), "the header's length")?;
        require(CheckpointHeader::decode(&encoded)? == header, "the header comes back")?;

        let original = fs::read(&name)?;
        let target = tempfile::tempdir()?;
        let directory = Directory::open(Arc::new(OsDisk), target.path())?;
        let request =
            CopyRequest { decree, size: original.len() as u64, promised: Ballot::EMPTY, max_header: 1 << 26 };
        let info = copy_checkpoint(&directory, request, &mut &original[..])?;
        let copied = fs::read(target.path().join(format!("{decree}.codex")))?;
        require(info.size == original.len() as u64 && copied.len() == original.len(), "the copy's size")?;
        require(copied[encoded.len()..] == original[encoded.len()..], "the copy's body")?;
        require(
            CheckpointReader::open(&OsDisk, &target.path().join(format!("{decree}.codex")))?.header()
                == &header,
            "the copy's header",
        )?;
    }
    Ok(())
}

/// Trial: [STOR-38] [STOR-41] [STOR-42] [STOR-44] [STOR-45] [STOR-47] [STOR-76] [STOR-78]: user data around the block
/// size is read, and what we write of it has the same body.
fn edges(dir: &Path) -> Result<(), Failed> {
    let manifest: Value = serde_json::from_slice(&fs::read(dir.join("manifest.json"))?)?;
    let mut checked = 0;
    for file in manifest["files"].as_array().ok_or("no files")? {
        let Some(name) = file["file"].as_str().filter(|name| dir.join(name).exists()) else { continue };
        let length = usize::try_from(file["dataLen"].as_u64().ok_or("no length")?)?;
        let data: Vec<u8> = (0..length).map(|at| ((at % 256) * 131 + 7).to_le_bytes()[0]).collect();
        let bytes = fs::read(dir.join(name))?;
        let mut reader = CheckpointReader::open(&OsDisk, &dir.join(name))?;
        let mut found = Vec::new();
        reader.read_to_end(&mut found)?;
        require(found == data && reader.len() == length as u64, &format!("{name}: the data"))?;
        require(
            reader.header().encoded_len() == file["parsed"]["headerLen"],
            &format!("{name}: the header"),
        )?;
        let written = rewritten(reader.header(), &data)?;
        require(written.len() == bytes.len(), &format!("{name}: the size"))?;
        let body = usize::try_from(reader.header().encoded_len())?;
        require(written[body..] == bytes[body..], &format!("{name}: the body"))?;
        checked += 1;
    }
    require(checked > 3, &format!("{checked} files found"))
}

/// What our writer makes of the same header and data.
fn rewritten(header: &CheckpointHeader, data: &[u8]) -> Result<Vec<u8>, Failed> {
    let target = tempfile::tempdir()?;
    let directory = Directory::open(Arc::new(OsDisk) as Arc<dyn Disk>, target.path())?;
    let none =
        Configuration { number: 0, initial_decree: Decree(0), members: Arc::new(MemberSet::default()) };
    let mut writer = CheckpointWriter::new(
        &directory,
        NewCheckpoint {
            member: header.member,
            version: header.version,
            executed: header.executed,
            next_vote: header.next_vote.clone(),
            promised: header.promised,
            configuration: header.configuration.clone().unwrap_or(none),
            state_saved: header.state_saved,
        },
    )?;
    // Pieces of an odd size.
    for piece in data.chunks(1013) {
        writer.write_all(piece)?;
    }
    writer.finish()?;
    Ok(fs::read(target.path().join(format!("{}.codex", header.executed)))?)
}

fn require(holds: bool, what: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.to_owned().into()) }
}
