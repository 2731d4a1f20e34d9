//! `rsl demo`: replica processes on loopback, under load, with kills, and a verdict from their exec logs.

mod legacy;
pub(crate) mod report;
mod run;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use migration::host::{Member, Template};

use run::Plan;

/// Run a replicated service on this machine, kill its primary under load, and check that nothing was lost.
///
/// Replica processes on loopback elect a primary and replicate requests; the primary is killed (SIGKILL) while
/// requests are under way and restarted; a checkpoint is forced. At the end the exec logs of all replicas must agree
/// decree by decree and every acknowledged request must have been executed exactly once. Exit code 0 when so.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of replicas, 1 to 9.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    replicas: u16,
    /// Protocol version, 1 to 6; with --from: the highest version found in the files.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=6))]
    protocol: Option<u16>,
    /// Requests to have acknowledged.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    requests: u64,
    /// Size of a request in bytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// How often the primary is killed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    kills: u32,
    /// Where the replicas work; must be empty or missing, and is kept. Without it: a temporary directory, removed
    /// unless something is wrong.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Start from a copy of what a legacy set left: a directory with one directory `rID` per replica.
    #[arg(long, value_name = "LEGACYDIR", conflicts_with = "replicas")]
    from: Option<PathBuf>,
    /// The members of a --from set whose files and manifest do not name them.
    #[arg(long, value_name = "ID@IP:PORT[:LEARNPORT],...", requires = "from", value_parser = parse_members)]
    members: Option<Members>,
    /// Play a scenario under load instead of the kills and the checkpoint.
    #[arg(long, value_enum, conflicts_with_all = ["replicas", "from", "kills", "requests"])]
    scenario: Option<scenario::Scenario>,
    /// How to start a replica, with {id} {dir} {version} {members} {self} {control} {events} {execlog}; without it
    /// `rsl replica` of this binary. Given more than once, the replicas take turns: a mixed set; the word `rsl` alone
    /// stands for this binary.
    #[arg(long, value_name = "COMMAND")]
    host: Vec<String>,
    /// Print one JSON object with `ok`, `replicas`, `acknowledged`, `executed`, `failover_ms`.
    #[arg(long)]
    json: bool,
}

/// A parsed list, in one value for clap.
#[derive(Clone, Debug)]
struct Members(Vec<Member>);

fn parse_members(text: &str) -> Result<Members, String> {
    Member::parse_list(text).map(Members).map_err(|error| error.to_string())
}

impl Args {
    /// Runs the demo and prints its result.
    pub(crate) fn run(self) -> ExitCode {
        match self.try_run() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                if self.json {
                    println!("{}", serde_json::json!({ "ok": false, "error": error }));
                }
                eprintln!("rsl demo: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_run(&self) -> Result<bool, String> {
        let template = self.template()?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).map_err(|error| error.to_string())?;

        let place = WorkDir::create("rsl-demo-", self.dir.as_ref())?;
        let outcome = match self.scenario {
            Some(scenario) => {
                let size = self.size as usize;
                scenario::run(scenario, &template, self.protocol, size, &place.path, &interrupted)
            }
            None => self.kills_and_checkpoint(&template, &place.path, &interrupted),
        };
        let ok = outcome.as_ref().is_ok_and(report::Outcome::ok);
        let kept = place.close(ok);
        let outcome = outcome.map_err(|error| match &kept {
            Some(dir) => format!("{error} (files kept in {})", dir.display()),
            None => error,
        })?;
        if self.json {
            println!("{}", outcome.json());
        } else {
            print!("{}", outcome.text(kept.as_deref()));
        }
        Ok(ok)
    }
}

impl Args {
    fn template(&self) -> Result<Template, String> {
        let own = Template::rsl_replica(&std::env::current_exe().map_err(|error| error.to_string())?);
        let parse = |text: &String| match text.as_str() {
            "rsl" => Ok(own.clone()),
            text => Template::parse(text).map_err(|error| error.to_string()),
        };
        let mut given = self.host.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if given.is_empty() {
            return Ok(own);
        }
        let first = given.remove(0);
        Ok(first.mixed_with(given))
    }

    fn kills_and_checkpoint(
        &self,
        template: &Template,
        dir: &Path,
        interrupted: &AtomicBool,
    ) -> Result<report::Outcome, String> {
        let start = match &self.from {
            Some(from) => {
                let given = self.members.as_ref().map(|members| members.0.clone());
                legacy::prepare(from, dir, given, self.protocol)?
            }
            None => legacy::fresh(usize::from(self.replicas), self.protocol.unwrap_or(6))?,
        };
        let plan = Plan {
            requests: self.requests,
            size: self.size as usize,
            kills: self.kills,
            show_progress: !self.json,
        };
        run::run(template, start, &plan, dir, interrupted)
    }
}

/// The directory that the replicas work in.
pub(crate) struct WorkDir {
    pub(crate) path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl WorkDir {
    /// As wanted, or a temporary one whose name begins with `prefix`.
    pub(crate) fn create(prefix: &str, wanted: Option<&PathBuf>) -> Result<Self, String> {
        let Some(dir) = wanted else {
            let temporary = tempfile::Builder::new().prefix(prefix).tempdir();
            let temporary = temporary.map_err(|error| format!("no temporary directory: {error}"))?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let failed = |error| format!("{}: {error}", dir.display());
        std::fs::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(format!("{} is not empty", dir.display()));
        }
        // A host may change its own directory; ours must mean the same for it.
        Ok(Self { path: dir.canonicalize().map_err(failed)?, temporary: None })
    }

    /// Removes a temporary directory after success. Gives the directory when it stays.
    pub(crate) fn close(self, ok: bool) -> Option<PathBuf> {
        match self.temporary {
            None => Some(self.path),
            Some(temporary) if !ok => Some(temporary.keep()),
            Some(_) => None,
        }
    }
}
