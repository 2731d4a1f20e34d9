//! `rsl inspect`: what is in a log, a checkpoint, `defunct.txt` or a whole working directory, and what a restart would
//! make of it.
//!
//! | file | duty |
//! |---|---|
//! | `log.rs` | the parts of a log file, sound or not |
//! | `checkpoint.rs` | header, next vote and blocks of a checkpoint file |
//! | `app.rs` | the state of the reference host in a body |
//! | `dir.rs` | names in a working directory |
//! | `survey.rs` | the pass over everything |
//! | `json.rs`, `show_json.rs`, `show_text.rs` | the two outputs |
//! | `legacy.rs` | what a legacy replica would do |
//! | `restart.rs` | what ours would do |

pub mod app;
pub mod checkpoint;
pub mod dir;
mod json;
pub mod legacy;
pub mod log;
pub mod restart;
mod show_json;
mod show_text;
pub mod survey;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use rsl_core::types::{MemberSet, Node};
use serde_json::json;

use crate::host::Member;

use json::Fields;
use restart::{Members, Restart};
use show_json::ShowJson;
use show_text::ShowText;
use survey::{Problems, Surveyed, survey};

/// Show what is in a log, a checkpoint, defunct.txt or a whole working directory.
///
/// Every record with offset, type, decree, ballot and checksum, every checkpoint with members and blocks. For a
/// directory also what a restart makes of it, with this library and with a legacy replica. Nothing is written.
/// Exit code 0: sound; 1: damaged, or our restart would fail; 2: cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .log, .codex or defunct.txt file, or a working directory.
    path: PathBuf,
    /// One JSON value instead of text.
    #[arg(long)]
    json: bool,
    /// The member set that comes with the start, as `--members` of a replica takes it; files of versions 1 and 2 hold
    /// none. Without it, some set is assumed to come.
    #[arg(long, value_name = "ID@IP:PORT[:LEARNPORT][/HOST],...")]
    members: Option<String>,
    /// No member set comes with the start: it has to be in the files.
    #[arg(long, conflicts_with = "members")]
    no_members: bool,
}

impl Args {
    /// Inspects. The exit code says whether something is wrong.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.inspect() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("rsl inspect: {}: {error}", self.path.display());
                ExitCode::from(2)
            }
        }
    }

    fn inspect(&self) -> io::Result<bool> {
        let members = match &self.members {
            Some(list) => Members::Given(Arc::new(parse_members(list)?)),
            None if self.no_members => Members::NotPassed,
            None => Members::Assumed,
        };
        let out = BufWriter::new(io::stdout().lock());
        if self.json {
            inspect_json(&self.path, &members, out).map(|(sound, _)| sound)
        } else {
            inspect_text(&self.path, &members, out)
        }
    }
}

/// A member set from a list as hosts take it.
fn parse_members(list: &str) -> io::Result<MemberSet> {
    let wrong =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let node = |member: Member| {
        Ok(Node {
            id: member.id.parse().map_err(|error| wrong(&error))?,
            ip: *member.address.ip(),
            rsl_port: member.address.port(),
            learn_port: member.learn_port.unwrap_or(0),
            app_port: 0,
            host_name: member.host_name.unwrap_or_default().into(),
        })
    };
    let members = Member::parse_list(list).map_err(|error| wrong(&error))?;
    let nodes = members.into_iter().map(node).collect::<io::Result<_>>()?;
    Ok(MemberSet { nodes, cookie: Bytes::new() })
}

/// Writes the JSON of `path`; gives whether all is sound, and the output.
///
/// # Errors
/// When a file cannot be read or the output fails.
pub fn inspect_json<W: Write>(path: &Path, members: &Members, out: W) -> io::Result<(bool, W)> {
    survey::check(path)?;
    let mut show = ShowJson::new(out)?;
    let (surveyed, problems) = survey(path, &mut show)?;
    let mut rest = Fields::new();
    if let Surveyed::Directory(dir) = &surveyed {
        rest.insert("otherNames".into(), json!(dir.others));
    }
    rest.insert("problems".into(), json!(problems.lines));
    if problems.more > 0 {
        rest.insert("moreProblems".into(), problems.more.into());
    }
    let mut sound = problems.is_empty();
    if let Surveyed::Directory(dir) = &surveyed {
        let restart = Restart::of(dir, members)?;
        sound &= restart.succeeds();
        rest.insert("restart".into(), restart.json());
    }
    Ok((sound, show.finish(&rest)?))
}

/// Writes the text of `path`; gives whether all is sound.
///
/// # Errors
/// When a file cannot be read or the output fails.
pub fn inspect_text<W: Write>(path: &Path, members: &Members, out: W) -> io::Result<bool> {
    let mut show = ShowText::new(out);
    let (surveyed, problems) = survey(path, &mut show)?;
    let mut out = show.finish();
    let mut sound = problems.is_empty();
    if let Surveyed::Directory(dir) = &surveyed {
        if !dir.others.is_empty() {
            writeln!(out, "other names: {}\n", dir.others.join(", "))?;
        }
        let restart = Restart::of(dir, members)?;
        sound &= restart.succeeds();
        writeln!(out, "restart\n{restart}")?;
    }
    write_problems(&problems, &mut out)?;
    out.flush()?;
    Ok(sound)
}

/// One line for each problem.
pub(crate) fn write_problems(problems: &Problems, out: &mut impl Write) -> io::Result<()> {
    for line in &problems.lines {
        writeln!(out, "! {line}")?;
    }
    if problems.more > 0 {
        writeln!(out, "! and {} more", problems.more)?;
    }
    Ok(())
}
