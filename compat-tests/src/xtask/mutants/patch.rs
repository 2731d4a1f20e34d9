//! One mutant: a patch file with a header that says what it breaks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use diffy::{Line, Patch};

use super::super::spec::ClauseId;

/// Where the patches are.
pub(super) const DIRECTORY: &str = "compat-tests/mutants";

/// Who is expected to notice a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Catcher {
    /// A checker of the simulator, or an assertion of the code while simulated.
    Simulator,
    /// A unit test.
    Tests,
    /// The model check.
    Model,
}

impl Catcher {
    /// All of them.
    pub(super) const ALL: [Catcher; 3] = [Catcher::Simulator, Catcher::Tests, Catcher::Model];
}

/// A seeded bug.
#[derive(Debug)]
pub(super) struct Mutant {
    /// The file's name without its ending.
    pub(super) name: String,
    /// What it breaks, in words.
    pub(super) breaks: String,
    /// The clauses that are broken then.
    pub(super) clauses: Vec<ClauseId>,
    pub(super) expected: Catcher,
    /// The whole file.
    text: String,
}

impl Mutant {
    /// Takes a patch file apart: `Breaks:`, `Clauses:` and `Caught by:`, a line each, then a unified diff with paths from
    /// the top of the repository.
    pub(super) fn parse(name: &str, text: String) -> Result<Mutant> {
        let header = |key: &str| {
            let lines = text.lines().take_while(|line| !line.starts_with("--- "));
            let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            values.next().map(str::trim).filter(|value| !value.is_empty())
        };
        let required = |key| header(key).with_context(|| format!("{name}: no line `{key}: ...`"));
        let clauses: Result<Vec<ClauseId>> =
            required("Clauses")?.split_whitespace().map(str::parse).collect();
        let expected = match required("Caught by")? {
            "simulator" => Catcher::Simulator,
            "tests" => Catcher::Tests,
            "model" => Catcher::Model,
            other => bail!("{name}: caught by {other}? simulator, tests or model"),
        };
        let breaks = required("Breaks")?.to_owned();
        Ok(Mutant { name: name.to_owned(), breaks, clauses: clauses?, expected, text })
    }

    /// The files it changes, by path, with their new content. Every hunk must fit in exactly one place.
    pub(super) fn apply(&self, root: &Path) -> Result<BTreeMap<String, String>> {
        let mut changed = BTreeMap::new();
        for part in files_of(&self.text) {
            let patch = Patch::from_str(&part).with_context(|| format!("{}: no unified diff", self.name))?;
            let path = patch.original().and_then(|path| path.strip_prefix("a/"));
            let path = path.with_context(|| format!("{}: paths begin with a/ and b/", self.name))?;
            let old = fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
            for hunk in patch.hunks() {
                let before: String = hunk
                    .lines()
                    .iter()
                    .filter_map(|line| match line {
                        Line::Context(line) | Line::Delete(line) => Some(*line),
                        Line::Insert(_) => None,
                    })
                    .collect();
                let fits = old.matches(&before).count();
                ensure!(
                    fits == 1,
                    "{}: a hunk fits {fits} places of {path}, not one; rewrite the patch for the present source:\n{before}",
                    self.name
                );
            }
            let new = diffy::apply(&old, &patch).with_context(|| format!("{}: {path}", self.name))?;
            ensure!(new != old, "{}: changes nothing in {path}", self.name);
            changed.insert(path.to_owned(), new);
        }
        ensure!(!changed.is_empty(), "{}: no diff", self.name);
        Ok(changed)
    }
}

/// The diffs of single files in a patch.
fn files_of(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("--- a/") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
        }
    }
    parts
}

/// All mutants, by name.
pub(super) fn read_all(root: &Path) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(root.join(DIRECTORY)).with_context(|| format!("reading {DIRECTORY}"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = name.strip_suffix(".patch") else { continue };
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}.patch"))?;
        mutants.push(Mutant::parse(name, text)?);
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}
