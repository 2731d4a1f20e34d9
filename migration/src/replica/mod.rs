//! `rsl replica` and `rsl legacy-model`: one replica with the state machine of the host contract, driven over a control port.
//!
//! | file | duty |
//! |---|---|
//! | `params.rs` | the configuration parameters of the command line |
//! | `state.rs` | the replicated state and its checkpoint payload |
//! | `machine.rs` | the callbacks |
//! | `load.rs` | requests under way |
//! | `legacy.rs` | the model of the old library in place of the engine |
//! | `control.rs`, `commands.rs`, `report.rs` | the control port, its commands, its answers |
//! | `logs.rs` | the files that are written |

mod commands;
mod control;
mod legacy;
mod load;
mod logs;
mod machine;
mod params;
mod report;
pub mod state;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use rsl_core::engine::{Consensus, Engine, StopReason};
use rsl_core::replica::{Config, Replica, Setup};
use rsl_core::storage::{Restore, restore};
use rsl_core::types::{MemberSet, Node, ProtocolVersion};

use crate::host::Member;
use commands::Commands;
use logs::LogFile;
use machine::{HostMachine, Switches};
use params::ConfigArgs;

/// Exit codes of the contract.
const USAGE: u8 = 2;
const CONTROL_PORT_TAKEN: u8 = 3;
const INIT_FAILED: u8 = 5;
const TLS_FAILED: u8 = 6;

/// Run one replica of a test service, as the host contract says: READY once it is initialised; commands over the control
/// port. Exit code 0 means "start me again with the same arguments".
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The replica's member id.
    #[arg(long)]
    id: String,
    /// The working directory; its parent has to exist.
    #[arg(long)]
    dir: PathBuf,
    /// The protocol version it starts to speak.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=6))]
    version: u16,
    /// The members: id@ip:port[:learnport][/hostname],...
    #[arg(long, value_delimiter = ',')]
    members: Vec<Member>,
    /// This node, where it is not among the members.
    #[arg(long = "self")]
    own: Option<Member>,
    /// Initialise without a member set (version 4 and later).
    #[arg(long)]
    new_api: bool,
    /// After READY, bootstrap the members and print the result.
    #[arg(long)]
    bootstrap: bool,
    /// Seconds until the bootstrap is given up.
    #[arg(long, requires = "bootstrap")]
    bootstrap_timeout: Option<u32>,
    /// Port of the control protocol on 127.0.0.1.
    #[arg(long)]
    control: Option<u16>,
    /// File that gets one line per callback.
    #[arg(long)]
    events: Option<PathBuf>,
    /// File that gets one line per executed request.
    #[arg(long)]
    execlog: Option<PathBuf>,
    /// File that gets the library's log entries.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Keep the library's configuration defaults instead of those for tests.
    #[arg(long)]
    original_defaults: bool,
    /// Listen on all addresses.
    #[arg(long)]
    listen_all: bool,
    /// Heartbeats do not wait for callbacks.
    #[arg(long, value_name = "0/1", value_parser = switch)]
    independent_heartbeat: Option<bool>,
    /// Fast reads exclude execution.
    #[arg(long, value_name = "0/1", value_parser = switch)]
    serialize_fastreads: Option<bool>,
    /// The primary cookie, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    cookie: Option<String>,
    /// Refuse to become primary.
    #[arg(long)]
    cannot_become: bool,
    /// Print the configuration.
    #[arg(long)]
    print_config: bool,
    /// Thumbprints of the TLS certificates. Not supported yet.
    #[arg(long, value_name = "A[,B]")]
    ssl_thumbs: Option<String>,
    /// Validate the chain of TLS certificates. Not supported yet.
    #[arg(long)]
    ssl_validate_ca: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("expected 0 or 1"),
    }
}

impl Args {
    /// Runs the replica until it ends; gives the process's exit code.
    pub fn run(self) -> ExitCode {
        self.run_core::<Engine>("rsl replica", restore)
    }

    /// The same with the model of the old library as consensus core: for rehearsals and comparisons, never for a
    /// service.
    pub fn run_legacy_model(self) -> ExitCode {
        self.run_core::<legacy::MortalModel>("rsl legacy-model", legacy::restore)
    }

    fn run_core<C: Consensus + 'static>(self, name: &str, restore: Restore) -> ExitCode {
        if self.ssl_thumbs.is_some() || self.ssl_validate_ca {
            eprintln!("TLS is not supported yet");
            return ExitCode::from(TLS_FAILED);
        }
        match self.run_until_end::<C>(restore) {
            Ok(reason) => exit_code(name, reason),
            Err((code, why)) => {
                eprintln!("{name}: {why}");
                ExitCode::from(code)
            }
        }
    }

    /// Gives the reason of an end after READY; the exit code and why when it does not get there.
    fn run_until_end<C: Consensus + 'static>(
        &self,
        restore: Restore,
    ) -> Result<Option<StopReason>, (u8, String)> {
        let usage = |why: String| (USAGE, why);
        let node = self.node().map_err(usage)?;
        let nodes: Result<Vec<Node>, String> = self.members.iter().map(to_node).collect();
        let members = MemberSet { nodes: nodes.map_err(usage)?, ..MemberSet::default() };
        let cookie = hex::decode(self.cookie.as_deref().unwrap_or_default());
        let cookie = cookie.map_err(|error| (USAGE, format!("--cookie: {error}")))?;
        self.trace().map_err(|error| (USAGE, format!("--trace: {error}")))?;
        let open = |path: &Option<PathBuf>| {
            LogFile::open(path.as_deref()).map_err(|error| (USAGE, error.to_string()))
        };
        let (events, exec_log) = (open(&self.events)?, open(&self.execlog)?);
        let listener = self.control.map(control::listen).transpose();
        let listener = listener.map_err(|error| (CONTROL_PORT_TAKEN, format!("control port: {error}")))?;

        let switches = Switches {
            accept: AtomicBool::new(true),
            may_lead: AtomicBool::new(!self.cannot_become),
            may_save: AtomicBool::new(true),
            primary_cookie: Mutex::new(cookie),
            exec_delay: 0.into(),
            save_delay: 0.into(),
        };
        let machine = Arc::new(HostMachine::new(switches, events, exec_log));
        let new_api = u8::from(self.is_new_api());
        let pid = std::process::id();
        machine.event(&format!("START id={} version={} newApi={new_api} pid={pid}", self.id, self.version));

        let config = self.config.apply(self.original_defaults, Config::builder(&self.dir)).build();
        if self.print_config {
            println!("{config:?}");
        }
        let started =
            config.map_err(|error| ("Could not load config", error.to_string())).and_then(|config| {
                let setup = self.setup(config, node, members.clone());
                Replica::start_core::<C>(setup, Arc::clone(&machine) as _, restore)
                    .map_err(|error| (error.title(), error.to_string()))
            });
        let replica = match started {
            Ok(replica) => replica,
            Err((title, why)) => {
                println!("NOTIFY level=4 id=3 {title}: {why}");
                say("INIT FAILED");
                return Err((INIT_FAILED, title.to_owned()));
            }
        };
        // Ctrl-C, on Windows also Ctrl-Break and the ends of console, session and system: how a service manager stops a
        // program. A second replica in this process cannot be, so neither can a second handler.
        let stopping = replica.clone();
        ctrlc::set_handler(move || stopping.unload()).map_err(|error| (1, error.to_string()))?;
        if let Some(listener) = listener {
            let commands = Arc::new(Commands::new(replica.clone(), machine));
            control::serve(listener, commands).map_err(|error| (1, error.to_string()))?;
        }
        say("READY");
        if self.bootstrap {
            let timeout = Duration::from_secs(self.bootstrap_timeout.unwrap_or(30).into());
            let result = replica.bootstrap(members, timeout);
            say(&format!("BOOTSTRAP {}", commands::result_name(result)));
        }
        Ok(replica.wait())
    }

    fn is_new_api(&self) -> bool {
        self.new_api || self.bootstrap || self.version >= 4 && self.members.is_empty()
    }

    /// This node: among the members, or given apart.
    fn node(&self) -> Result<Node, String> {
        let own = self.own.as_ref().or_else(|| self.members.iter().find(|member| member.id == self.id));
        let own = own.ok_or("--id is not among --members, and --self is not given")?;
        if own.id != self.id {
            return Err(format!("--self is {}, --id is {}", own.id, self.id));
        }
        to_node(own)
    }

    fn setup(&self, config: Config, node: Node, members: MemberSet) -> Setup {
        // The range was checked with the arguments.
        let version = ProtocolVersion::from_number(self.version).unwrap_or(ProtocolVersion::V6);
        let setup = Setup::new(config, version, node)
            .serialize_fast_reads(self.serialize_fastreads.unwrap_or(false))
            .independent_heartbeat(self.independent_heartbeat.unwrap_or(false))
            .listen_on_all(self.listen_all);
        if self.is_new_api() {
            return setup;
        }
        setup.members(members)
    }

    /// Log entries go to the file given, at every level, otherwise to standard error as RSL_LOG says (default: warn).
    fn trace(&self) -> io::Result<()> {
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let set = match &self.trace {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                let subscriber =
                    subscriber.with_max_level(tracing::Level::DEBUG).with_writer(std::sync::Mutex::new(file));
                tracing::subscriber::set_global_default(subscriber.finish())
            }
            None => {
                let filter = tracing_subscriber::EnvFilter::builder()
                    .with_default_directive(tracing::Level::WARN.into())
                    .with_env_var("RSL_LOG")
                    .from_env_lossy();
                let subscriber = subscriber.with_env_filter(filter).with_writer(io::stderr);
                tracing::subscriber::set_global_default(subscriber.finish())
            }
        };
        set.map_err(io::Error::other)
    }
}

fn to_node(member: &Member) -> Result<Node, String> {
    let id = member.id.parse().map_err(|error| format!("{}: {error}", member.id))?;
    Ok(Node {
        id,
        ip: *member.address.ip(),
        rsl_port: member.address.port(),
        learn_port: member.learn_port.unwrap_or(0),
        app_port: 0,
        host_name: member.host_name.clone().unwrap_or_default().into(),
    })
}

/// Prints a line that others wait for.
fn say(line: &str) {
    println!("{line}");
    // Nobody to tell if nobody listens.
    let _ = io::stdout().flush();
}

/// Exit code 0 asks for a restart, as legacy does (decision 3).
fn exit_code(name: &str, reason: Option<StopReason>) -> ExitCode {
    match reason {
        Some(StopReason::CheckpointCopied | StopReason::Relinquished | StopReason::Unloaded) => {
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("{name}: ended: {other:?}");
            ExitCode::FAILURE
        }
    }
}
