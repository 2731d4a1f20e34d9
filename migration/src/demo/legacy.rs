//! Where a demo set starts: empty directories, or a copy of what a legacy set left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use migration::exec_log::{self, Row};
use migration::host::Member;
use migration::host::ports::{self, PortLease};
use migration::inspect;
use serde_json::Value;

/// How long to wait for the ports of a set when another demo of the same set runs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the set starts with.
pub(crate) struct Start {
    /// The members of the newest configuration.
    pub(crate) members: Vec<Member>,
    /// Replicas that left the set: started as well, and expected to stay inactive.
    pub(crate) former: Vec<Member>,
    pub(crate) version: u16,
    /// What each legacy replica had executed, by id.
    pub(crate) executed_before: Vec<(String, Vec<Row>)>,
    /// Ports of the members, ours while the demo runs.
    pub(crate) _leases: Vec<PortLease>,
}

/// The directory of a member below the demo's.
pub(crate) fn member_dir(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("r{id}"))
}

/// An empty set.
pub(crate) fn fresh(replicas: usize, version: u16) -> Result<Start, String> {
    let ids: Vec<String> = (1..=replicas).map(|number| (100 + number).to_string()).collect();
    let (members, leases) = on_free_ports(&ids)?;
    Ok(Start { members, former: Vec::new(), version, executed_before: Vec::new(), _leases: leases })
}

fn on_free_ports(ids: &[String]) -> Result<(Vec<Member>, Vec<PortLease>), String> {
    let leases = ports::lease(ids.len()).map_err(|error| error.to_string())?;
    let members = ids.iter().zip(&leases).map(|(id, lease)| Member::on_loopback(id, lease.first())).collect();
    Ok((members, leases))
}

/// Copies the working directories below `from` to `dir` and finds out who the members are and which version they
/// speak: from their files, else from `manifest.json`, else as given.
pub(crate) fn prepare(
    from: &Path,
    dir: &Path,
    given: Option<Vec<Member>>,
    protocol: Option<u16>,
) -> Result<Start, String> {
    let mut executed_before = Vec::new();
    let mut ids = Vec::new();
    let mut found = Found::default();
    for (id, source) in replica_dirs(from)? {
        let target = member_dir(dir, &id);
        copy_working_dir(&source, &target)?;
        found.look_at(&target)?;
        let log = source.join("exec.txt");
        if log.is_file() {
            let text = fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
            let rows = exec_log::parse(&text).map_err(|why| format!("{}: {why}", log.display()))?;
            executed_before.push((id.clone(), rows));
        }
        ids.push(id);
    }
    let version = protocol.or(found.version).ok_or("the files hold no record; --protocol is needed")?;
    let mut former = Vec::new();
    let (members, leases) = match (found.newest, manifest_members(from)?, given) {
        // The replicas will use these addresses whatever the command line says.
        (Some((_, members)), manifest, _) => {
            for member in manifest.into_iter().flatten() {
                found.known.entry(member.id.clone()).or_insert(member);
            }
            let left = ids.iter().filter(|id| members.iter().all(|member| member.id != **id));
            former.extend(left.filter_map(|id| found.known.get(id).cloned()));
            let leases: Result<Vec<_>, _> = members
                .iter()
                .chain(&former)
                .map(|member| ports::lease_exactly(member.address.port(), PATIENCE))
                .collect();
            (members, leases.map_err(|error| error.to_string())?)
        }
        // Addresses of another time and place; only the ids matter.
        (None, Some(members), _) => {
            on_free_ports(&members.into_iter().map(|member| member.id).collect::<Vec<_>>())?
        }
        (None, None, Some(members)) => (members, Vec::new()),
        (None, None, None) => {
            return Err("neither files nor manifest name the members; --members is needed".to_owned());
        }
    };
    for member in members.iter().chain(&former) {
        fs::create_dir_all(member_dir(dir, &member.id)).map_err(|error| error.to_string())?;
    }
    Ok(Start { members, former, version, executed_before, _leases: leases })
}

/// The directories `rID`, in order.
fn replica_dirs(from: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    let mut dirs = Vec::new();
    for entry in fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(id) = name.strip_prefix('r').filter(|id| !id.is_empty() && path.is_dir()) {
            dirs.push((id.to_owned(), path));
        }
    }
    dirs.sort();
    if dirs.is_empty() {
        return Err(format!("{} holds no directory named rID", from.display()));
    }
    Ok(dirs)
}

fn copy_working_dir(source: &Path, target: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("copying {}: {error}", source.display());
    fs::create_dir_all(target).map_err(failed)?;
    for entry in fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        let text = name.to_string_lossy();
        if text.ends_with(".log") || text.ends_with(".codex") || text == "defunct.txt" {
            fs::copy(&path, target.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}

/// What the files say, over all replicas.
#[derive(Default)]
struct Found {
    version: Option<u16>,
    /// The configuration with the highest number that a restart would begin with.
    newest: Option<(u64, Vec<Member>)>,
    /// Every member that any of these configurations names.
    known: BTreeMap<String, Member>,
}

impl Found {
    fn look_at(&mut self, dir: &Path) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", dir.display());
        let (_, shown) = inspect::inspect_json(dir, &inspect::restart::Members::Assumed, Vec::new())
            .map_err(|e| failed(&e))?;
        let shown: Value = serde_json::from_slice(&shown).map_err(|error| failed(&error))?;
        for file in shown["files"].as_object().into_iter().flatten().map(|(_, file)| file) {
            self.version_seen(&file["checkpoint"]["version"]);
            for record in file["messages"].as_array().into_iter().flatten() {
                self.version_seen(&record["msg"]["version"]);
            }
        }
        self.configuration_seen(&shown["restart"]["configuration"]);
        Ok(())
    }

    fn version_seen(&mut self, version: &Value) {
        let version = version.as_u64().and_then(|number| u16::try_from(number).ok());
        self.version = self.version.max(version.filter(|number| (1..=6).contains(number)));
    }

    fn configuration_seen(&mut self, shown: &Value) {
        let members = shown["memberSet"]["members"].as_array();
        let (Some(number), Some(members)) = (shown["number"].as_u64(), members) else { return };
        let Some(members) = members.iter().map(member_of).collect::<Option<Vec<Member>>>() else { return };
        for member in &members {
            self.known.entry(member.id.clone()).or_insert_with(|| member.clone());
        }
        let newer = self.newest.as_ref().is_none_or(|(known, _)| number > *known);
        if newer && !members.is_empty() {
            self.newest = Some((number, members));
        }
    }
}

/// A member as the inspection shows it.
fn member_of(shown: &Value) -> Option<Member> {
    let port = |field: &str| shown[field].as_u64().and_then(|port| u16::try_from(port).ok());
    let mut text = format!("{}@{}:{}", shown["id"].as_str()?, shown["ip"].as_str()?, port("rslPort")?);
    if let Some(learn) = port("learnPort").filter(|learn| *learn != 0) {
        text.push_str(&format!(":{learn}"));
    }
    text.parse().ok()
}

/// The members that `manifest.json` beside the directories names, if there is one.
fn manifest_members(from: &Path) -> Result<Option<Vec<Member>>, String> {
    let path = from.join("manifest.json");
    if !path.is_file() {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(&path).map_err(|error| failed(&error))?;
    let manifest: Value = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    match manifest["members"].as_str() {
        Some(members) => Member::parse_list(members).map(Some).map_err(|error| failed(&error)),
        None => Ok(None),
    }
}
