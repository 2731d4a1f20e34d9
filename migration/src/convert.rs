//! `rsl convert`: changes the files of a stopped replica into what another one needs: logs without a tail for a roll-back,
//! checkpoints of another version or with other members, other members in logged reconfigurations.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use rsl_core::format::{FileName, LogScanner, Record, Step, Tail};
use rsl_core::storage::{
    CheckpointReader, Disk, Listing, OpenMode, OsDisk, change_checkpoint, changed_header, cut_log, log_end,
    update_log,
};
use rsl_core::types::{Decree, MemberSet, Node, ProtocolVersion};
use serde_json::json;

use crate::host::Member;

/// Change the files of a stopped replica into what another one needs.
///
/// Everything is checked before anything is written: with a problem nothing is. Each file is replaced when its successor is
/// complete. Stop the replica first; one of ours is noticed, a legacy one is not. Exit code 0: done, or nothing to do; 1:
/// something cannot be converted, one line for each; 2: the directory cannot be used.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Args {
    /// The working directory.
    dir: PathBuf,
    /// Cut every log behind its last record, before a legacy replica takes over: zeroes, a part of a page, a torn record.
    #[arg(long, group = "what")]
    truncate: bool,
    /// Give the checkpoints these members: id@ip:port[:learnport][/hostname],... Their cookie stays.
    #[arg(long, value_name = "LIST", group = "what")]
    members: Option<List>,
    /// Give the checkpoints this version: 3, or 4 for 4 and later. Members are needed from versions 1 and 2.
    #[arg(long, value_name = "N", group = "what", value_parser = clap::value_parser!(u16).range(3..=4))]
    checkpoint_version: Option<u16>,
    /// Give the logged reconfiguration of a decree these members: DECREE=LIST. Debugging: all replicas need the same. May
    /// be repeated.
    #[arg(long, value_name = "DECREE=LIST", group = "what")]
    log_members: Vec<Reconfiguration>,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Members on the command line.
#[derive(Clone, Debug)]
struct List(Vec<Node>);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<List, String> {
        let members = Member::parse_list(text).map_err(|error| error.to_string())?;
        let node = |member: Member| {
            Ok(Node {
                id: member.id.parse().map_err(|error| format!("{}: {error}", member.id))?,
                ip: *member.address.ip(),
                rsl_port: member.address.port(),
                learn_port: member.learn_port.unwrap_or(0),
                app_port: 0,
                host_name: member.host_name.unwrap_or_default().into(),
            })
        };
        members.into_iter().map(node).collect::<Result<_, String>>().map(List)
    }
}

/// The members of one logged reconfiguration.
#[derive(Clone, Debug)]
struct Reconfiguration(Decree, List);

impl FromStr for Reconfiguration {
    type Err = String;

    fn from_str(text: &str) -> Result<Reconfiguration, String> {
        let (decree, list) = text.split_once('=').ok_or("expected DECREE=LIST")?;
        let decree = decree.parse().map_err(|_| format!("{decree} is no decree"))?;
        Ok(Reconfiguration(Decree(decree), list.parse()?))
    }
}

/// One file that is changed.
enum Change {
    Cut { log: Decree, at: u64, bytes: u64, tail: &'static str },
    Checkpoint { decree: Decree, from: ProtocolVersion, to: Option<ProtocolVersion>, members: MemberSet },
    Log { log: Decree, votes: usize },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Cut { log, at, bytes, tail } => {
                write!(f, "{}: {bytes} bytes of {tail} cut at {at}", FileName::Log(*log))
            }
            Change::Checkpoint { decree, from, to, members } => {
                let (name, count) = (FileName::Checkpoint(*decree), members.nodes.len());
                write!(f, "{name}: version {from} to {}, {count} members", to.unwrap_or(*from))
            }
            Change::Log { log, votes } => {
                write!(f, "{}: members of {votes} reconfiguration votes", FileName::Log(*log))
            }
        }
    }
}

/// What is to be done, and what prevents it.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    problems: Vec<String>,
}

impl Args {
    /// Converts. The exit code says whether everything could be.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.convert() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("rsl convert: {}: {error}", self.dir.display());
                ExitCode::from(2)
            }
        }
    }

    fn convert(&self) -> io::Result<bool> {
        if !self.dir.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a directory"));
        }
        // Held until everything is written; a dry run leaves no trace.
        let _lock = if self.dry_run { None } else { Some(OsDisk.lock(&self.dir).map_err(io::Error::other)?) };
        let plan = self.plan()?;
        let ok = plan.problems.is_empty();
        if ok && !self.dry_run {
            self.perform(&plan)?;
        }
        self.report(&plan, ok && !self.dry_run, &mut io::stdout().lock())?;
        Ok(ok)
    }

    fn plan(&self) -> io::Result<Plan> {
        let listing = Listing::read(&OsDisk, &self.dir)?;
        let mut plan = Plan::default();
        if self.truncate {
            for log in &listing.logs {
                self.plan_cut(*log, &mut plan);
            }
        }
        if !self.log_members.is_empty() {
            self.plan_log_members(&listing.logs, &mut plan)?;
        }
        if self.members.is_some() || self.checkpoint_version.is_some() {
            for decree in &listing.checkpoints {
                self.plan_checkpoint(*decree, &mut plan);
            }
        }
        Ok(plan)
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    fn plan_cut(&self, log: Decree, plan: &mut Plan) {
        let end = match log_end(&OsDisk, &self.path(FileName::Log(log))) {
            Ok(end) => end,
            Err(error) => return plan.problems.push(error.to_string()),
        };
        let tail = match &end.tail {
            Tail::Clean => return,
            Tail::Zeros => "zeroes",
            Tail::PartialPage { .. } => "a part of a page",
            Tail::Torn(_) => "a torn record",
            Tail::Damaged(record) => {
                let (name, decree) = (FileName::Log(log), record.header.decree);
                return plan.problems.push(format!(
                    "{name} at {}: the last record (decree {decree}) is complete but damaged; it may have been acknowledged",
                    end.offset
                ));
            }
        };
        plan.changes.push(Change::Cut { log, at: end.offset, bytes: end.size - end.offset, tail });
    }

    fn plan_log_members(&self, logs: &[Decree], plan: &mut Plan) -> io::Result<()> {
        let mut missing: Vec<&Reconfiguration> = self.log_members.iter().collect();
        for log in logs {
            let file = OsDisk.open(&self.path(FileName::Log(*log)), OpenMode::Read)?;
            let mut scanner = LogScanner::new(&*file)?;
            let mut votes = 0;
            loop {
                let record = match scanner.step() {
                    Ok(Step::Record { record, .. }) => record,
                    Ok(Step::End(_)) => break,
                    Err(fault) => {
                        plan.problems.push(format!("{}: {fault}", FileName::Log(*log)));
                        break;
                    }
                };
                let Record::Vote(vote) = record else { continue };
                let wanted = self.log_members.iter().find(|wanted| wanted.0 == vote.decree());
                if let (Some(wanted), Some(old)) = (wanted, vote.reconfiguration()) {
                    votes += 1;
                    missing.retain(|missing| missing.0 != wanted.0);
                    let set = MemberSet { nodes: wanted.1.0.clone(), cookie: old.cookie.clone() };
                    if let Err(error) = set.verify(vote.version()) {
                        plan.problems.push(format!("decree {}: {error}", wanted.0));
                    }
                }
            }
            if votes > 0 {
                plan.changes.push(Change::Log { log: *log, votes });
            }
        }
        let missing =
            missing.iter().map(|missing| format!("no log has a reconfiguration at decree {}", missing.0));
        plan.problems.extend(missing);
        Ok(())
    }

    fn plan_checkpoint(&self, decree: Decree, plan: &mut Plan) {
        let path = self.path(FileName::Checkpoint(decree));
        let reader = CheckpointReader::open(&OsDisk, &path).and_then(|mut reader| {
            reader.expect_decree(decree)?;
            reader.verify_rest()?;
            Ok(reader)
        });
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => return plan.problems.push(format!("{}: {error}", FileName::Checkpoint(decree))),
        };
        let header = reader.header();
        let known = header.configuration.as_ref().map(|configuration| &configuration.members);
        let cookie = known.map(|members| members.cookie.clone()).unwrap_or_default();
        let nodes = match (&self.members, known) {
            (Some(list), _) => list.0.clone(),
            (None, Some(known)) => known.nodes.clone(),
            (None, None) => Vec::new(),
        };
        let members = MemberSet { nodes, cookie };
        let to = self.checkpoint_version.and_then(ProtocolVersion::from_number);
        // Version 4 is the layout of 5 and 6, too.
        let to =
            to.filter(|to| to.has_string_ids() != header.version.has_string_ids() || header.version < *to);
        let changes = to.is_some() || known.is_none_or(|known| **known != members);
        match changed_header(header, to, members.clone()) {
            Err(error) => plan.problems.push(format!("{}: {error}", FileName::Checkpoint(decree))),
            Ok(_) if changes => {
                plan.changes.push(Change::Checkpoint { decree, from: header.version, to, members })
            }
            Ok(_) => {}
        }
    }

    fn perform(&self, plan: &Plan) -> io::Result<()> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let sets: BTreeMap<Decree, MemberSet> = self
            .log_members
            .iter()
            .map(|Reconfiguration(decree, list)| {
                (*decree, MemberSet { nodes: list.0.clone(), ..MemberSet::default() })
            })
            .collect();
        for change in &plan.changes {
            match change {
                Change::Cut { log, .. } => {
                    cut_log(&OsDisk, &self.path(FileName::Log(*log))).map_err(io::Error::other)?;
                }
                Change::Log { log, .. } => {
                    update_log(&disk, &self.dir, *log, &sets).map_err(io::Error::other)?;
                }
                Change::Checkpoint { decree, to, members, .. } => {
                    let path = self.path(FileName::Checkpoint(*decree));
                    change_checkpoint(&disk, &path, *to, members.clone()).map_err(io::Error::other)?;
                }
            }
        }
        OsDisk.sync_dir(Path::new(&self.dir))
    }

    fn report(&self, plan: &Plan, written: bool, out: &mut impl Write) -> io::Result<()> {
        let changes: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
        if self.json {
            let value = json!({
                "ok": plan.problems.is_empty(), "written": written, "changes": changes, "problems": plan.problems,
            });
            return writeln!(out, "{value}");
        }
        for problem in &plan.problems {
            writeln!(out, "problem  {problem}")?;
        }
        let verb = if written { "done" } else { "to do" };
        for change in &changes {
            writeln!(out, "{verb:<8} {change}")?;
        }
        if changes.is_empty() && plan.problems.is_empty() {
            writeln!(out, "nothing to do")?;
        }
        Ok(())
    }
}
