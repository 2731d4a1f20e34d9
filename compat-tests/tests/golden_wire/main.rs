//! The codec against golden data: checksums, message vectors, malformed messages, probes, captured traffic.
//!
//! Without golden data every test counts as ignored.

mod captures;
mod checksums;
mod expect;
mod malformed;
mod messages;
mod probes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

/// A test over the golden folder.
type Test = fn(&Path) -> Result<(), Failed>;

const TESTS: [(&str, Test); 9] = [
    ("checksums_agree", checksums::inputs),
    ("chained_checksums_agree", checksums::chained),
    ("messages_decode_and_encode_again", messages::whole),
    ("records_decode_and_encode_again", messages::padded),
    ("packets_are_framed_alike", messages::packets),
    ("parts_decode_and_encode_again", messages::parts),
    ("malformed_messages_get_the_legacy_verdict", malformed::verdicts),
    ("probes_get_the_legacy_reaction", probes::reactions),
    ("captured_streams_decode_and_encode_again", captures::streams),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dir: Option<Arc<PathBuf>> = compat_tests::golden::dir().map(Arc::new);
    let trials = TESTS.iter().map(|&(name, test)| {
        let found = dir.clone();
        Trial::test(name, move || test(&found.ok_or("there is no golden data")?))
            .with_ignored_flag(dir.is_none())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A JSON file.
fn json(path: &Path) -> Result<Value, Failed> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The entries of a folder that are called `*suffix`, in order.
fn listed(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, Failed> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(suffix) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(format!("nothing in {}", dir.display()).into());
    }
    Ok(paths)
}

/// Fails with all of `problems`, of which the first few are shown; `done` of them were to be found.
fn summary(done: usize, problems: &[String]) -> Result<(), Failed> {
    if done == 0 {
        return Err("nothing was checked".into());
    }
    if problems.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = problems.iter().take(20).map(String::as_str).collect();
    Err(format!("{} of {done} differ:\n{}", problems.len(), first.join("\n")).into())
}
