//! `cargo xtask`: the commands that check, test and exercise the repository.

mod arm;
mod citations;
mod clauses;
mod compatibility;
mod contents;
mod coverage;
mod cpp;
mod dist;
mod dotnet;
mod header;
mod install;
mod instructions;
mod licences;
mod mutants;
mod nightly;
mod nuget;
mod readme;
mod sanitize;
mod scenarios;
mod shipped;
mod sources;
mod spec;
mod steps;
mod test;
mod tidy;
mod upgrades;
mod windows;
mod windows_package;
mod zip;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Project automation.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count the clauses of the specification that a test cites; list the rest; exit 1 on gaps.
    Clauses {
        /// What to look at: `WIRE`, `wire.md` or `wire.md:HARD`. Nothing: every clause.
        #[arg(value_name = "FAMILY|FILE.md[:FAMILY]")]
        selections: Vec<spec::Selection>,
        /// Print the totals only.
        #[arg(long)]
        quiet: bool,
    },
    /// Run the tests that cite a scenario of protocol.md (SCN-n) and print each scenario with its result.
    Scenarios,
    /// Check what rustc and clippy cannot: file headers, file lengths, layering, stray paths.
    Tidy,
    /// Write the table of hardened behaviour into docs/COMPATIBILITY.md.
    Compatibility {
        /// Only look whether it is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Build the C++ host and the samples under target/cpp/.
    Cpp {
        /// Against the optimised library.
        #[arg(long)]
        release: bool,
    },
    /// Generate include/rsl_c.h from rsl-ffi, and NativeMethods.g.cs from that.
    Header,
    /// Build the library, headers, pkg-config and CMake packages and `rsl`, and install them below a directory.
    Install {
        /// Where to: `bin`, `include`, `lib` and `share` are made there. It can be moved afterwards.
        #[arg(long, value_name = "DIR")]
        prefix: std::path::PathBuf,
    },
    /// Make the packages for others under target/dist/, with checksums: Linux, and Windows (installs its compiler).
    Dist {
        /// Leave out that for Windows.
        #[arg(long)]
        linux_only: bool,
    },
    /// Build the managed bindings, their host and samples; test them on every .NET runtime that is here.
    Dotnet(dotnet::Args),
    /// Build for Windows x86_64 under target/windows/: rsl.dll, import libraries, rsl.exe, the C++ host, the samples.
    Windows {
        /// Then test all of it under Wine.
        #[arg(long)]
        test: bool,
        /// Run only the steps with this in their name.
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
    /// Build for Linux on aarch64 and run the unit tests in an emulator.
    Arm,
    /// Make the NuGet package of the managed bindings in target/dotnet/package/, and use it in two small projects.
    Nuget,
    /// Type the blocks of README.md that bring up a service in Rust, C# and C++, and see the services work.
    Readme,
    /// Count the instructions of a request's way through three replicas, and print the change since the record.
    Instructions {
        /// Keep the figures as the new record.
        #[arg(long)]
        record: bool,
    },
    /// Everything that must pass before a change goes in; installs what it needs.
    Test {
        /// Run only the steps with this in their name.
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
    /// Run the C and C++ tests under ASAN, UBSAN and Valgrind, and the admission under loom.
    Sanitize {
        /// Run only the steps with this in their name.
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
    /// Run seeded protocol bugs, one at a time; exit 1 when the checks do not notice one.
    Mutants(mutants::Options),
    /// Count the lines of engine, storage, formats and wire that the simulator runs.
    Coverage(coverage::Args),
    /// What takes too long for every change: 100 kills, every version, fuzzing, other systems.
    Nightly {
        /// How long to fuzz each target.
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        fuzz_seconds: u64,
        /// Run only the steps with this in their name.
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
}

/// Parses the command line and runs the command. The exit code is 0 for success, 1 for a finding or a
/// failure, 2 for bad arguments.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Clauses { selections, quiet } => clauses::run(&selections, quiet),
        Command::Scenarios => scenarios::run(),
        Command::Tidy => tidy::run(),
        Command::Compatibility { check } => compatibility::run(check),
        Command::Cpp { release } => cpp::run(release),
        Command::Header => header::run(),
        Command::Install { prefix } => install::run(&prefix),
        Command::Dist { linux_only } => dist::run(linux_only),
        Command::Dotnet(args) => dotnet::run(args),
        Command::Windows { test, only } => windows::run(test, only),
        Command::Arm => arm::run(),
        Command::Test { only } => test::run(only),
        Command::Sanitize { only } => sanitize::run(only),
        Command::Nightly { fuzz_seconds, only } => nightly::run(fuzz_seconds, only),
        Command::Nuget => nuget::run(),
        Command::Readme => readme::run(),
        Command::Instructions { record } => instructions::run(record).map(|()| true),
        Command::Mutants(options) => mutants::run(&options),
        Command::Coverage(args) => coverage::run(&args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
