//! `cargo xtask scenarios`: the conformance scenarios SCN-n of protocol.md with the results of their tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::citations::{self, Test};
use super::sources::{files, root};
use super::spec::{self, ClauseId};
use super::test::cargo;

const FAMILY: &str = "SCN";

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    Skipped,
}

/// Runs the tests and prints the table. True when every scenario has a test and all of them passed.
pub(crate) fn run() -> Result<bool> {
    let clauses = spec::read_clauses(root())?;
    let mut tests = citations::tests(&files(root(), &[".rs"])?)?;
    tests.retain(|id, _| id.family == FAMILY);
    let mut targets = BTreeMap::<Target, BTreeSet<&Test>>::new();
    for test in tests.values().flatten() {
        targets.entry(Target::of(test)?).or_default().insert(test);
    }
    let mut ended = BTreeMap::new();
    for (target, wanted) in &targets {
        target.run(wanted, &mut ended)?;
    }
    let none = BTreeSet::new();
    let mut clean = true;
    println!();
    for (id, clause) in clauses.iter().filter(|(id, _)| id.family == FAMILY) {
        let (verdict, detail) = judge(tests.get(id).unwrap_or(&none), &ended);
        clean &= verdict == "passed";
        println!("{:<7} {verdict:<8} {}", id.to_string(), clause.summary);
        println!("{:<16} {detail}", "");
    }
    let passed = |id: &ClauseId| judge(tests.get(id).unwrap_or(&none), &ended).0 == "passed";
    let all: Vec<&ClauseId> = clauses.keys().filter(|id| id.family == FAMILY).collect();
    println!("{} of {} scenarios passed", all.iter().filter(|id| passed(id)).count(), all.len());
    Ok(clean)
}

/// The verdict on a scenario, and its tests in words.
fn judge(tests: &BTreeSet<Test>, ended: &BTreeMap<Test, Ended>) -> (&'static str, String) {
    let verdict = |test| match ended.get(test) {
        Some(Ended::Passed) => "passed",
        Some(Ended::Skipped) => "skipped",
        // A test that did not report has not passed.
        Some(Ended::Failed) | None => "FAILED",
    };
    let verdicts: BTreeSet<&str> = tests.iter().map(verdict).collect();
    let overall = if verdicts.is_empty() {
        "MISSING"
    } else if verdicts.contains("FAILED") {
        "FAILED"
    } else if verdicts.contains("skipped") {
        "skipped"
    } else {
        "passed"
    };
    let names = tests.iter().map(|test| match verdict(test) {
        "passed" => test.name.clone(),
        other => format!("{} ({other})", test.name),
    });
    (overall, names.collect::<Vec<_>>().join(", "))
}

/// Something that cargo runs tests of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    package: String,
    /// A file below `tests/`; otherwise the library.
    file: Option<String>,
}

impl Target {
    fn of(test: &Test) -> Result<Target> {
        let mut parts = test.path.split('/');
        let package = parts.next().unwrap_or_default().to_owned();
        let file = match (parts.next(), parts.next()) {
            (Some("src"), Some(_)) => None,
            (Some("tests"), Some(file)) => Some(file.trim_end_matches(".rs").to_owned()),
            _ => anyhow::bail!("{}: in no target", test.path),
        };
        Ok(Target { package, file })
    }

    /// Runs the wanted tests, shows what the runner says, and notes how each ended.
    fn run(&self, wanted: &BTreeSet<&Test>, ended: &mut BTreeMap<Test, Ended>) -> Result<()> {
        let mut command = cargo();
        command.args(["test", "--all-features", "--no-fail-fast", "--package", &self.package]);
        match &self.file {
            Some(file) => command.args(["--test", file]),
            None => command.arg("--lib"),
        };
        command.arg("--").args(wanted.iter().map(|test| &test.name)).stdout(Stdio::piped());
        println!("$ {command:?}");
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        for line in output.split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            let Some((full, end)) = result_line(&line) else { continue };
            for test in wanted.iter().filter(|test| is(full, test)) {
                ended.insert((*test).clone(), end);
            }
        }
        child.wait()?;
        Ok(())
    }
}

/// `test engine::tests::x ... ok`
fn result_line(line: &str) -> Option<(&str, Ended)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    match result.split([',', ' ']).next()? {
        "ok" => Some((name, Ended::Passed)),
        "FAILED" => Some((name, Ended::Failed)),
        "ignored" => Some((name, Ended::Skipped)),
        _ => None,
    }
}

/// Whether the runner means this test: the name of the function, in the module of its file.
fn is(full: &str, test: &Test) -> bool {
    let (modules, name) = full.rsplit_once("::").unwrap_or(("", full));
    let file = test.path.split_once("/src/").map(|(_, file)| file).unwrap_or_default();
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let module = if module == "lib" { "" } else { &module };
    let inside = modules
        .strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || module.is_empty() || rest.starts_with("::"));
    name == test.name && inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(path: &str, name: &str) -> Test {
        Test { path: path.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn tests_are_known_by_file_and_function() {
        let unit = test("rsl-core/src/engine/tests/acceptor.rs", "votes");
        assert!(is("engine::tests::acceptor::votes", &unit));
        assert!(!is("engine::tests::acceptor::more_votes", &unit));
        assert!(!is("engine::tests::acceptor2::votes", &unit));
        assert!(is("net::tests::votes", &test("rsl-core/src/net/mod.rs", "votes")));
        assert!(is("votes", &test("migration/tests/demo.rs", "votes")));
        assert_eq!(Target::of(&unit).unwrap(), Target { package: "rsl-core".into(), file: None });
        let process = Target::of(&test("migration/tests/demo.rs", "votes")).unwrap();
        assert_eq!(process, Target { package: "migration".into(), file: Some("demo".into()) });
        assert!(Target::of(&test("build.rs", "votes")).is_err());
        assert_eq!(result_line("test a::b ... ok"), Some(("a::b", Ended::Passed)));
        assert_eq!(result_line("test a - should panic ... FAILED"), Some(("a", Ended::Failed)));
        assert_eq!(result_line("test a ... ignored, no golden data"), Some(("a", Ended::Skipped)));
        assert_eq!(result_line("test result: ok. 1 passed"), None);
    }

    #[test]
    fn only_tests_that_passed_pass_a_scenario() {
        let (a, b) = (test("x/src/a.rs", "a"), test("x/src/a.rs", "b"));
        let both: BTreeSet<Test> = [a.clone(), b.clone()].into();
        let judged = |ended: &[(&Test, Ended)]| {
            judge(&both, &ended.iter().map(|(test, end)| ((*test).clone(), *end)).collect())
        };
        assert_eq!(judged(&[(&a, Ended::Passed), (&b, Ended::Passed)]), ("passed", "a, b".into()));
        assert_eq!(judged(&[(&a, Ended::Passed)]), ("FAILED", "a, b (FAILED)".into()));
        assert_eq!(judged(&[(&a, Ended::Passed), (&b, Ended::Skipped)]).0, "skipped");
        assert_eq!(judge(&BTreeSet::new(), &BTreeMap::new()).0, "MISSING");
    }
}
