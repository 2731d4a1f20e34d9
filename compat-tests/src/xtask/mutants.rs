//! `cargo xtask mutants`: seeded protocol bugs, one at a time, each of which a check has to notice.

mod bench;
mod patch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bench::{Bench, Finding, Verdict};
use patch::{Catcher, Mutant};
use serde_json::json;

use super::sources::root;

const DOCUMENT: &str = "docs/TESTING.md";
const BEGIN: &str = "<!-- written by cargo xtask mutants --record -->";
const END: &str = "<!-- end -->";

/// Clusters simulated for a mutant that no seed finds before.
const SEEDS: u64 = 1000;

/// What is to be run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only mutants whose name contains one of these.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the mutants, run nothing.
    #[arg(long)]
    list: bool,
    /// One JSON object at the end.
    #[arg(long)]
    json: bool,
    /// Most simulated clusters per mutant.
    #[arg(long, default_value_t = SEEDS, value_name = "COUNT")]
    seeds: u64,
    /// Write the row of each mutant that was run into the table of docs/TESTING.md.
    #[arg(long)]
    record: bool,
}

impl Options {
    /// All mutants, for the nightly run.
    pub(crate) const fn all() -> Options {
        Options { only: Vec::new(), list: false, json: false, seeds: SEEDS, record: false }
    }
}

/// How one mutant ended.
struct Outcome {
    catcher: Option<(Catcher, Finding)>,
    error: Option<String>,
    took: Duration,
}

impl Outcome {
    fn words(&self) -> String {
        match (&self.catcher, &self.error) {
            (_, Some(error)) => format!("ERROR: {error}"),
            (None, None) => "SURVIVED".to_owned(),
            (Some((Catcher::Simulator, found)), None) => {
                let after = found.seeds.map(|seeds| format!(" after {seeds} seeds")).unwrap_or_default();
                format!("caught by the simulator{after}: [{}] {}", found.by, found.text)
            }
            (Some((catcher, found)), None) => format!("caught by {}: {}", catcher.name(), found.by),
        }
    }
}

/// Runs the mutants. True when all were caught, none of them by failing to build.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let all = patch::read_all(root())?;
    let names: Vec<String> = all.iter().map(|mutant| mutant.name.clone()).collect();
    let mut mutants = all;
    if !options.only.is_empty() {
        mutants.retain(|mutant| options.only.iter().any(|name| mutant.name.contains(name)));
    }
    ensure!(!mutants.is_empty(), "no mutant has such a name");
    if options.list {
        for mutant in &mutants {
            println!("{}: {} [{}]", mutant.name, mutant.breaks, clauses(mutant));
        }
        return Ok(true);
    }
    let started = Instant::now();
    let bench = Bench::new()?;
    control(&bench, options.seeds)?;
    let say = |line: &str| if options.json { eprintln!("{line}") } else { println!("{line}") };
    say(&format!("the tree without mutants is green ({:.0} s)", started.elapsed().as_secs_f64()));
    let mut outcomes = Vec::new();
    for mutant in &mutants {
        let outcome = try_one(&bench, mutant, options.seeds)?;
        let other = outcome.catcher.as_ref().is_some_and(|(catcher, _)| *catcher != mutant.expected);
        let expected = if other { format!(" (expected: {})", mutant.expected.name()) } else { String::new() };
        let took = outcome.took.as_secs_f64();
        say(&format!("{} ({took:.0} s): {}{expected}", mutant.name, outcome.words()));
        if options.record {
            record(&names, mutant, &outcome)?;
        }
        outcomes.push(outcome);
    }
    let caught = outcomes.iter().filter(|outcome| outcome.catcher.is_some()).count();
    let errors = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    let took = started.elapsed().as_secs_f64();
    if options.json {
        println!("{}", report(&mutants, &outcomes, options.seeds, took));
    } else {
        let survived = outcomes.len() - caught - errors;
        println!(
            "mutants: {} run, {caught} caught, {survived} survived, {errors} in error, {took:.0} s",
            mutants.len()
        );
    }
    Ok(caught == outcomes.len())
}

/// The same commands over the tree as it is: what they notice there is no mutant's doing.
fn control(bench: &Bench, seeds: u64) -> Result<()> {
    for catcher in Catcher::ALL {
        if let Verdict::Caught(found) = bench.check(catcher, seeds)? {
            bail!("the tree without mutants is not green: {} {}", found.by, found.text);
        }
    }
    Ok(())
}

/// Applies one mutant to the copy, runs the checks until one notices it, and takes it back.
fn try_one(bench: &Bench, mutant: &Mutant, seeds: u64) -> Result<Outcome> {
    let started = Instant::now();
    let changed = mutant.apply(root())?;
    for (path, text) in &changed {
        bench.write(path, text)?;
    }
    // The expected one first: the others are many times as long when they notice nothing.
    let mut order = vec![mutant.expected];
    order.extend(Catcher::ALL.into_iter().filter(|catcher| *catcher != mutant.expected));
    let tried = (|| {
        for catcher in order {
            if let Verdict::Caught(found) = bench.check(catcher, seeds)? {
                return Ok(Some((catcher, found)));
            }
        }
        anyhow::Ok(None)
    })();
    for path in changed.keys() {
        bench.restore(path)?;
    }
    let (catcher, error) = match tried {
        Ok(catcher) => (catcher, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Ok(Outcome { catcher, error, took: started.elapsed() })
}

fn clauses(mutant: &Mutant) -> String {
    let ids: Vec<_> = mutant.clauses.iter().map(ToString::to_string).collect();
    ids.join(" ")
}

fn report(mutants: &[Mutant], outcomes: &[Outcome], seeds: u64, took: f64) -> serde_json::Value {
    let rows: Vec<_> = mutants
        .iter()
        .zip(outcomes)
        .map(|(mutant, outcome)| {
            let found = outcome.catcher.as_ref();
            json!({
                "name": mutant.name,
                "breaks": mutant.breaks,
                "clauses": mutant.clauses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "caught": found.is_some(),
                "by": found.map(|(catcher, _)| catcher.name()),
                "check": found.map(|(_, found)| found.by.as_str()),
                "text": found.map(|(_, found)| found.text.as_str()),
                "seeds": found.and_then(|(_, found)| found.seeds),
                "error": outcome.error,
                "seconds": outcome.took.as_secs_f64(),
            })
        })
        .collect();
    let ok = outcomes.iter().all(|outcome| outcome.catcher.is_some());
    json!({ "ok": ok, "seeds": seeds, "seconds": took, "mutants": rows })
}

impl Catcher {
    const fn name(self) -> &'static str {
        match self {
            Catcher::Simulator => "simulator",
            Catcher::Tests => "tests",
            Catcher::Model => "model",
        }
    }
}

/// Writes the row of a mutant into the table of the document, or takes it out. Rows of others stay while they exist.
fn record(names: &[String], mutant: &Mutant, outcome: &Outcome) -> Result<()> {
    let path = root().join(DOCUMENT);
    let old = std::fs::read_to_string(&path).with_context(|| format!("reading {DOCUMENT}"))?;
    let (before, table, after) = split(&old)?;
    let named = |row: &str| Some((row_name(row)?.to_owned(), row.to_owned()));
    let mut rows: BTreeMap<String, String> = table.lines().filter_map(named).collect();
    match &outcome.catcher {
        Some((catcher, found)) => rows.insert(mutant.name.clone(), row(mutant, *catcher, found)),
        None => rows.remove(&mutant.name),
    };
    rows.retain(|name, _| names.contains(name));
    let rows: Vec<String> = rows.into_values().collect();
    let head = "| mutant | what it breaks | clauses | caught by | seeds |\n|---|---|---|---|---|";
    let new = format!("{before}{BEGIN}\n\n{head}\n{}\n\n{END}{after}", rows.join("\n"));
    std::fs::write(&path, new).with_context(|| format!("writing {DOCUMENT}"))
}

fn row(mutant: &Mutant, catcher: Catcher, found: &Finding) -> String {
    let by = match catcher {
        Catcher::Simulator => format!("simulator: {}", found.by),
        Catcher::Tests => short(&found.by),
        Catcher::Model => format!("model check: {}", short(&found.by)),
    };
    let seeds = found.seeds.map(|seeds| seeds.to_string()).unwrap_or_default();
    format!("| `{}` | {} | {} | {by} | {seeds} |", mutant.name, mutant.breaks, clauses(mutant))
}

/// The mutant of a row of the table.
fn row_name(row: &str) -> Option<&str> {
    Some(row.strip_prefix("| `")?.split_once('`')?.0)
}

/// The first of the failing tests, and how many more there are.
fn short(names: &str) -> String {
    let mut names = names.split(' ');
    let first = names.next().unwrap_or_default();
    match names.count() {
        0 => format!("`{first}`"),
        more => format!("`{first}`, {more} more"),
    }
}

/// The document before, in and after the table.
fn split(document: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) =
        document.split_once(BEGIN).with_context(|| format!("{DOCUMENT} has no line {BEGIN}"))?;
    let (table, after) = rest.split_once(END).with_context(|| format!("{DOCUMENT} has no line {END}"))?;
    Ok((before, table, after))
}

#[cfg(test)]
mod tests {
    use super::super::spec::read_clauses;
    use super::*;

    /// There are at least forty; each fits the sources in one place, breaks clauses that exist, and has its row in the
    /// table.
    #[test]
    fn every_patch_applies() {
        let mutants = patch::read_all(root()).unwrap();
        assert!(mutants.len() >= 40, "{} mutants", mutants.len());
        let spec = read_clauses(root()).unwrap();
        let mut misfits = Vec::new();
        for mutant in &mutants {
            assert!(!mutant.clauses.is_empty(), "{} breaks no clause", mutant.name);
            for clause in &mutant.clauses {
                assert!(spec.contains_key(clause), "{}: there is no {clause}", mutant.name);
            }
            misfits.extend(mutant.apply(root()).err().map(|error| format!("{error:#}")));
        }
        assert!(misfits.is_empty(), "{}", misfits.join("\n"));
        let document = std::fs::read_to_string(root().join(DOCUMENT)).unwrap();
        let named: Vec<_> = split(&document).unwrap().1.lines().filter_map(row_name).collect();
        let names: Vec<_> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(named, names, "run cargo xtask mutants --record");
    }

    #[test]
    fn a_patch_must_fit_in_one_place() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("x"), "one\ntwo\none\n").unwrap();
        let header = "Breaks: x\nClauses: PROTO-1 WIRE-2\nCaught by: tests\n\n--- a/x\n+++ b/x\n";
        let mutant = |hunk: &str| Mutant::parse("m", format!("{header}{hunk}")).unwrap();
        let fits = mutant("@@ -2 +2 @@\n-two\n+three\n");
        assert_eq!(fits.apply(directory.path()).unwrap()["x"], "one\nthree\none\n");
        assert_eq!((fits.breaks.as_str(), fits.clauses.len(), fits.expected), ("x", 2, Catcher::Tests));
        for hunk in ["@@ -1 +1 @@\n-one\n+three\n", "@@ -1 +1 @@\n-four\n+three\n", ""] {
            assert!(mutant(hunk).apply(directory.path()).is_err(), "{hunk}");
        }
        assert!(Mutant::parse("m", "Breaks: x\nCaught by: tests\n".to_owned()).is_err(), "no clauses");
    }
}
