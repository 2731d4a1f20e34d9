//! `rsl upgrade`: a rolling upgrade rehearsed with real processes under load, judged by what they executed.
//!
//! | file | duty |
//! |---|---|
//! | `plan.rs`, `builtin.rs` | plans in TOML, those that come with the program |
//! | `fleet.rs` | the processes, swapped in place |
//! | `course.rs` | the steps one after another |
//! | `operations.rs`, `faults.rs` | what they do to the set, and to one replica |
//! | `directory.rs`, `ledger.rs` | a working directory between two processes; what all of them say was decided |
//! | `sampler.rs` | what every replica was, all the time |
//! | `view.rs` | the same on a terminal, while it runs |
//! | `verdict.rs`, `checks.rs` | the judge, and what is judged |
//! | `report.rs`, `html.rs`, `junit.rs` | what is printed and written |

mod builtin;
mod checks;
mod course;
mod directory;
mod faults;
mod fleet;
mod html;
mod junit;
mod ledger;
mod operations;
mod plan;
mod report;
mod sampler;
mod soak;
mod verdict;
mod view;

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use migration::host::{Network, Template};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::client::Load;
use crate::demo::WorkDir;
use checks::{Check, Findings};
use course::Course;
use fleet::{Fleet, Hosts};
use plan::Plan;
use report::{AtEnd, Rehearsal};
use soak::Soak;
use view::{Board, View};

/// Size of a request in bytes.
const REQUEST: usize = 100;

/// Rehearse a rolling upgrade: old and new replicas in one set, under load, swapped in place on their own directories.
///
/// Plays a plan with replica processes on loopback and judges it: the exec logs of all replicas must tell one history that
/// follows from the requests submitted, every acknowledged request must have been executed exactly once, every directory
/// must be sound whenever its process is down, and no replica may start behind what its directory holds. Exit code 0 when
/// so, 1 when not, 2 when the plan or a command cannot be used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A plan of `--list`, the path of a TOML file, or `soak`: steps drawn from a seed.
    #[arg(required_unless_present = "list")]
    plan: Option<String>,
    /// List the plans that come with the program.
    #[arg(long)]
    list: bool,
    /// Print the TOML text of the plan instead of playing it, as a start for one's own.
    #[arg(long, conflicts_with = "list")]
    show: bool,
    /// How to start the old host, with {id} {dir} {version} {members} {self} {control} {events} {execlog}; or a short name:
    /// `legacy-model` (the old library as a process), `rust` (this binary's replica), `cpp`, `csharp`.
    #[arg(long, value_name = "COMMAND", default_value = "legacy-model")]
    old: String,
    /// How to start the new host.
    #[arg(long, value_name = "COMMAND", default_value = "rust")]
    new: String,
    /// The old host sees directories below FROM as TO, with backslashes when TO holds one.
    #[arg(long, value_name = "FROM=TO")]
    old_dir_map: Vec<String>,
    /// The same for the new host.
    #[arg(long, value_name = "FROM=TO")]
    new_dir_map: Vec<String>,
    /// Protocol version at the beginning instead of the plan's.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=6))]
    protocol: Option<u16>,
    /// How long a replica is down while its program is exchanged, instead of the plan's time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=3600))]
    swap_seconds: Option<u64>,
    /// Where the replicas work; must be empty or missing, and is kept. Without it: a temporary directory, removed
    /// unless something is wrong.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// For `soak`: how long steps are drawn.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// For `soak`: what the steps are drawn from; without it, chance.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Write the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the steps and the verdict as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print one JSON object with `ok`, `steps`, `replicas`, `acknowledged`, `executed`, `problems`.
    #[arg(long)]
    json: bool,
}

/// What ends the command early.
enum Failure {
    /// The command line or the plan is wrong.
    Usage(String),
    /// The rehearsal could not be played.
    Run(String),
}

impl Args {
    /// Plays the plan and prints the verdict.
    pub(crate) fn run(self) -> ExitCode {
        let (code, error) = match self.try_run() {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => return ExitCode::FAILURE,
            Err(Failure::Usage(error)) => (2, error),
            Err(Failure::Run(error)) => (1, error),
        };
        if self.json {
            println!("{}", serde_json::json!({ "ok": false, "error": error }));
        }
        eprintln!("rsl upgrade: {error}");
        ExitCode::from(code)
    }

    fn try_run(&self) -> Result<bool, Failure> {
        if self.list {
            return self.list_plans();
        }
        let name = self.plan.as_deref().unwrap_or_default();
        let (mut plan, soak) = self.plan(name).map_err(Failure::Usage)?;
        plan.swap_seconds = self.swap_seconds.unwrap_or(plan.swap_seconds);
        if self.show {
            print!("{}", read_plan(name).map_err(Failure::Usage)?);
            return Ok(true);
        }
        let hosts = Hosts {
            old: template(&self.old, &self.old_dir_map)
                .map_err(|why| Failure::Usage(format!("--old: {why}")))?,
            new: template(&self.new, &self.new_dir_map)
                .map_err(|why| Failure::Usage(format!("--new: {why}")))?,
        };
        if plan.disturbs_links() {
            for (side, template) in [("old", &hosts.old), ("new", &hosts.new)] {
                if !template.names_self() {
                    return Err(Failure::Usage(format!(
                        "--{side}: placeholder {{self}} is missing: the plan disturbs links, for which a replica has to \
                         listen elsewhere than the others think"
                    )));
                }
            }
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
            .map_err(|error| Failure::Run(error.to_string()))?;
        let place = WorkDir::create("rsl-upgrade-", self.dir.as_ref()).map_err(Failure::Run)?;
        let result = self.rehearse((name, &plan, soak), &hosts, &place.path, &interrupted);
        let ok = result.as_ref().is_ok_and(Rehearsal::ok);
        let kept = place.close(ok);
        let rehearsal = match result {
            Ok(rehearsal) => rehearsal,
            Err(error) => {
                let error = match &kept {
                    Some(dir) => format!("{error} (files kept in {})", dir.display()),
                    None => error,
                };
                if let Some(path) = &self.junit {
                    write(path, &junit::not_played(name, &error))?;
                }
                return Err(Failure::Run(error));
            }
        };
        for (path, text) in [
            (&self.html, html::page as fn(&Rehearsal) -> String),
            (&self.junit, junit::document as fn(&Rehearsal) -> String),
        ] {
            if let Some(path) = path {
                write(path, &text(&rehearsal))?;
            }
        }
        if self.json {
            println!("{}", rehearsal.json());
        } else {
            print!("{}", rehearsal.text(kept.as_deref()));
        }
        Ok(ok)
    }

    /// The plan that is meant, and where its further steps come from.
    fn plan(&self, name: &str) -> Result<(Plan, Option<Soak>), String> {
        if name == "soak" {
            let seed =
                self.seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish() >> 32);
            eprintln!("replay with: {}", self.replay(seed));
            let (soak, plan) = Soak::new(seed, self.seconds, self.protocol)?;
            return Ok((plan, Some(soak)));
        }
        let text = read_plan(name)?;
        let plan = Plan::parse(&text, self.protocol);
        Ok((plan.map_err(|why| format!("plan {name}: {}", why.trim_end()))?, None))
    }

    /// The command that draws the same steps again.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!("rsl upgrade soak --seconds {} --seed {seed}", self.seconds);
        let protocol = self.protocol.map(|version| version.to_string());
        let swap = self.swap_seconds.map(|seconds| seconds.to_string());
        let options = [("--protocol", protocol), ("--swap-seconds", swap)];
        let maps = self.old_dir_map.iter().map(|map| ("--old-dir-map", map));
        let maps = maps.chain(self.new_dir_map.iter().map(|map| ("--new-dir-map", map)));
        let hosts = [("--old", &self.old), ("--new", &self.new)].into_iter().chain(maps);
        let all = options.iter().filter_map(|(name, text)| Some((*name, text.as_ref()?))).chain(hosts);
        for (name, text) in all {
            // A text with a zero byte cannot come from a command line.
            let quoted = shlex::try_quote(text).unwrap_or_default();
            command += &format!(" {name} {quoted}");
        }
        command
    }

    fn list_plans(&self) -> Result<bool, Failure> {
        let mut all = Vec::new();
        for (name, text) in builtin::PLANS {
            let plan = Plan::parse(text, None).map_err(|why| Failure::Run(format!("{name}: {why}")))?;
            all.push((name, plan));
        }
        if self.json {
            let all = all.iter().map(|(name, plan)| {
                serde_json::json!({ "name": name, "title": plan.title, "replicas": plan.replicas })
            });
            println!("{}", all.collect::<serde_json::Value>());
            return Ok(true);
        }
        for (name, plan) in all {
            println!("{name:<24} {}", plan.title);
        }
        Ok(true)
    }

    fn rehearse(
        &self,
        (name, plan, soak): (&str, &Plan, Option<Soak>),
        hosts: &Hosts,
        dir: &Path,
        interrupted: &AtomicBool,
    ) -> Result<Rehearsal, String> {
        let (began, date) = (Instant::now(), date());
        let board = Arc::new(Board::default());
        board.announce("start the processes");
        let load = Load::new(std::hash::RandomState::new().build_hasher().finish(), REQUEST);
        let mut fleet = Fleet::start(plan, hosts, load, dir, Arc::clone(&board), interrupted)?;
        let watching = !self.json && std::io::stderr().is_terminal();
        let view = watching.then(|| View::start(board, fleet.sampler.watch(), fleet.traffic.watch()));
        let mut course = Course::new(&mut fleet);
        let drawn = soak.into_iter().flatten();
        let played = course.play(plan.step.iter().cloned().chain(drawn));
        let steps = course.played;
        let ended = Instant::now();
        fleet.board.announce("judge what was executed");
        let mut problems = Findings::default();
        problems.add(Check::Course, played.err());
        if interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        let samples = fleet.sampler.end();
        let answered = fleet.traffic.answered();
        let load = fleet.traffic.end()?;
        let mut members = Vec::new();
        if let Some(network) = &fleet.network {
            network.heal();
        }
        if problems.is_empty() {
            match fleet.settle() {
                Ok(settled) => members = settled,
                Err(why) => problems.add(Check::Course, [why]),
            }
        }
        fleet.close();
        let judgement = verdict::judge(&fleet, &load, &members);
        problems.append(std::mem::take(&mut fleet.problems));
        problems.append(judgement.problems);
        drop(view);
        Ok(Rehearsal {
            name: name.to_owned(),
            title: plan.title.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
            version: plan.version,
            date,
            began,
            ended,
            steps,
            members: members
                .into_iter()
                .map(|(place, replica)| AtEnd { side: fleet.seats[place].side, replica })
                .collect(),
            ids: (0..fleet.seats.len()).map(|place| fleet.id(place).to_owned()).collect(),
            samples,
            moves: std::mem::take(&mut fleet.moves),
            answered,
            acknowledged: load.acknowledged(),
            executed: judgement.executed,
            history: judgement.history,
            directories: std::mem::take(&mut fleet.directories),
            decided: fleet.ledger.len(),
            network: fleet.network.as_ref().map(Network::traffic),
            problems,
        })
    }
}

/// This moment in UTC, to the second.
fn date() -> String {
    let mut date = String::new();
    // A clock that cannot be written down leaves it empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut date));
    date.truncate(19);
    date.replace('T', " ") + " UTC"
}

/// A built-in plan, or a file.
fn read_plan(name: &str) -> Result<String, String> {
    if let Some(text) = builtin::find(name) {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(name).map_err(|error| {
        if name.ends_with(".toml") {
            format!("{name}: {error}")
        } else {
            format!("no plan is named {name}; see rsl upgrade --list")
        }
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Run(format!("{}: {error}", path.display())))
}

fn template(text: &str, maps: &[String]) -> Result<Template, String> {
    let template = Template::named(text).map_err(|error| error.to_string())?;
    maps.iter()
        .try_fold(template, |template, map| template.with_dir_map(map))
        .map_err(|error| error.to_string())
}
