//! The `rsl` binary: the operators' toolbox. One module per subcommand; each has its arguments and a `run` that
//! gives the exit code.

mod bench;
mod client;
mod conformance;
mod decode;
mod demo;
mod fields;
mod status;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use migration::{check_upgrade, convert, inspect, replica, verify};

/// The operators' toolbox of the Replicated State Library.
#[derive(Debug, Parser)]
#[command(name = "rsl", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant per subcommand, with the arguments of its module. The text of `--help` is in the modules.
#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    Conformance(conformance::Args),
    Decode(decode::Args),
    Demo(demo::Args),
    Status(status::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Replica(Box<replica::Args>),
    /// Run one replica of the legacy model in place of ours: same arguments, same contract as `rsl replica`.
    ///
    /// It behaves as the specification says of the old library, with its faults; a failed assertion ends the process
    /// with code 1. It stands for an old replica where none is at hand, and is not for services.
    LegacyModel(Box<replica::Args>),
    Upgrade(upgrade::Args),
    CheckUpgrade(check_upgrade::Args),
    Convert(convert::Args),
    #[command(hide = true)]
    RawAppend(bench::RawArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Bench(args) => args.run(),
        Command::Conformance(args) => args.run(),
        Command::Decode(args) => args.run(),
        Command::Demo(args) => args.run(),
        Command::Status(args) => args.run(),
        Command::Inspect(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Replica(args) => args.run(),
        Command::LegacyModel(args) => args.run_legacy_model(),
        Command::Upgrade(args) => args.run(),
        Command::CheckUpgrade(args) => args.run(),
        Command::Convert(args) => args.run(),
        Command::RawAppend(args) => args.run(),
    }
}
