//! `rsl verify`: a quiet check of files or a working directory, with every checksum in them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::inspect::survey::{ShowNothing, survey};
use crate::inspect::write_problems;

/// Check a log, a checkpoint, defunct.txt or a whole working directory, block checksums included.
///
/// Says nothing when all is sound. Exit code 0: sound; 1: damaged, one line for each problem; 2: cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .log, .codex or defunct.txt file, or a working directory.
    path: PathBuf,
    /// One JSON value instead of text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Checks. The exit code says whether something is wrong.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.check(&mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("rsl verify: {}: {error}", self.path.display());
                ExitCode::from(2)
            }
        }
    }

    fn check(&self, out: &mut impl Write) -> io::Result<bool> {
        let (_, problems) = survey(&self.path, &mut ShowNothing)?;
        if self.json {
            let value =
                json!({ "ok": problems.is_empty(), "problems": problems.lines, "more": problems.more });
            writeln!(out, "{value}")?;
        } else {
            write_problems(&problems, out)?;
        }
        Ok(problems.is_empty())
    }
}
