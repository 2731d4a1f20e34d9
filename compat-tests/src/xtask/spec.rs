//! The clauses that `docs/spec/*.md` define, and the lists of those that no test can cite yet.
//!
//! A clause is defined where its id stands in bold at the start of a line, a list item or a table row:
//! `- **WIRE-1** ...`, `| **SCN-1** | ...`, `**PROTO-1** ...`. Anywhere else an id is a reference.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::sources::files;

/// `WIRE-12`: a family and a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClauseId {
    pub(crate) family: String,
    pub(crate) number: u32,
}

impl fmt::Display for ClauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.family, self.number)
    }
}

impl FromStr for ClauseId {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (family, number) = text.split_once('-').with_context(|| format!("{text}: no clause id"))?;
        let named = family.starts_with(|c: char| c.is_ascii_uppercase())
            && family.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        // `parse` alone would take "+7" and "007".
        let numbered = number.starts_with(|c: char| ('1'..='9').contains(&c));
        ensure!(named && numbered, "{text}: no clause id");
        let number = number.parse().with_context(|| format!("{text}: no clause id"))?;
        Ok(Self { family: family.to_owned(), number })
    }
}

/// Where a clause is defined and how it begins.
#[derive(Debug)]
pub(crate) struct Clause {
    /// File name below `docs/spec`, for example `wire.md`.
    pub(crate) file: String,
    /// The first words, without mark-up.
    pub(crate) summary: String,
}

/// Every clause of the specification.
pub(crate) type Clauses = BTreeMap<ClauseId, Clause>;

/// Reads all clauses below `root/docs/spec`. A clause defined twice is an error.
pub(crate) fn read_clauses(root: &Path) -> Result<Clauses> {
    let mut clauses = Clauses::new();
    for source in files(&root.join("docs/spec"), &[".md"])? {
        for (index, line) in source.text.lines().enumerate() {
            let Some((id, rest)) = definition(line) else { continue };
            let clause = Clause { file: source.path.clone(), summary: summary(rest) };
            let place = format!("{}:{}", source.path, index + 1);
            if let Some(first) = clauses.insert(id.clone(), clause) {
                bail!("{place}: {id} is already defined in {}", first.file);
            }
        }
    }
    ensure!(!clauses.is_empty(), "no clause found below docs/spec");
    Ok(clauses)
}

/// The clause a line defines, and the text after the id.
fn definition(line: &str) -> Option<(ClauseId, &str)> {
    let line = line.strip_prefix("- ").or_else(|| line.strip_prefix("| ")).unwrap_or(line);
    let (id, rest) = line.strip_prefix("**")?.split_once("**")?;
    Some((id.parse().ok()?, rest))
}

fn summary(rest: &str) -> String {
    let plain = rest.trim_start_matches([' ', '|']).replace(['*', '`'], "");
    let mut words: String = plain.chars().take(90).collect();
    if words.len() < plain.len() {
        words.push_str("...");
    }
    words
}

/// One argument of `cargo xtask clauses`.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    file: Option<String>,
    family: Option<String>,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, family) = match text.split_once(':') {
            Some((file, family)) => (Some(file), Some(family)),
            None if text.ends_with(".md") => (Some(text), None),
            None => (None, Some(text)),
        };
        let bad_file = file.is_some_and(|f| !f.ends_with(".md"));
        let bad_family =
            family.is_some_and(|f| f.is_empty() || f.contains(|c: char| !c.is_ascii_alphanumeric()));
        if bad_file || bad_family {
            return Err("expected FAMILY, FILE.md or FILE.md:FAMILY".to_owned());
        }
        Ok(Self { file: file.map(str::to_owned), family: family.map(str::to_ascii_uppercase) })
    }
}

impl Selection {
    /// Whether this argument asks for the clause.
    pub(crate) fn includes(&self, id: &ClauseId, clause: &Clause) -> bool {
        self.file.as_ref().is_none_or(|file| *file == clause.file)
            && self.family.as_ref().is_none_or(|family| *family == id.family)
    }
}

/// `deferred.toml` and `exempt.toml`: lists of `[[clause]]` tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    #[serde(default)]
    clause: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// One clause, or `ids`.
    id: Option<String>,
    /// Clauses and ranges: `["TLS-3", "CABI-1..46"]`.
    ids: Option<Vec<String>>,
    /// The issue that owns a deferred clause.
    issue: Option<Issue>,
    reason: String,
}

/// A number, or the subject of an issue that has none yet.
#[derive(Deserialize)]
#[serde(untagged)]
enum Issue {
    Number(u32),
    Subject(String),
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "issue {number}"),
            Self::Subject(subject) => write!(f, "issue on {subject}"),
        }
    }
}

/// Why each listed clause needs no test now.
pub(crate) type Reasons = BTreeMap<ClauseId, String>;

/// Reads `docs/spec/deferred.toml`: each entry names the issue that will bring the tests.
pub(crate) fn read_deferred(root: &Path, clauses: &Clauses) -> Result<Reasons> {
    read_list(&root.join("docs/spec/deferred.toml"), clauses, true)
}

/// Reads `docs/spec/exempt.toml`: clauses that no test of this repository can prove, with the reason.
pub(crate) fn read_exempt(root: &Path, clauses: &Clauses) -> Result<Reasons> {
    read_list(&root.join("docs/spec/exempt.toml"), clauses, false)
}

fn read_list(path: &Path, clauses: &Clauses, deferred: bool) -> Result<Reasons> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
    parse_list(&text, clauses, deferred).with_context(|| format!("in {name}"))
}

fn parse_list(text: &str, clauses: &Clauses, deferred: bool) -> Result<Reasons> {
    let mut reasons = Reasons::new();
    for entry in toml::from_str::<ListFile>(text)?.clause {
        let ids = match (entry.id, entry.ids) {
            (Some(id), None) => vec![id],
            (None, Some(ids)) => ids,
            _ => bail!("an entry needs `id` or `ids`, not both ({})", entry.reason),
        };
        ensure!(!entry.reason.trim().is_empty(), "{ids:?}: the reason is empty");
        let reason = match (deferred, entry.issue) {
            (true, Some(issue)) => format!("{issue}: {}", entry.reason),
            (true, None) => bail!("{ids:?}: `issue` is missing"),
            (false, None) => entry.reason,
            (false, Some(_)) => bail!("{ids:?}: an exempt clause belongs to no issue"),
        };
        for id in expand(&ids)? {
            ensure!(clauses.contains_key(&id), "{id} is not a clause of the specification");
            ensure!(reasons.insert(id.clone(), reason.clone()).is_none(), "{id} is listed twice");
        }
    }
    Ok(reasons)
}

/// Spells out `CABI-1..46`, both ends included.
fn expand(ids: &[String]) -> Result<Vec<ClauseId>> {
    let mut all = Vec::new();
    for text in ids {
        match text.split_once("..") {
            None => all.push(text.parse()?),
            Some((first, last)) => {
                let first: ClauseId = first.parse()?;
                let last: u32 = last.parse().with_context(|| format!("{text}: expected FAMILY-N..M"))?;
                ensure!(first.number <= last, "{text}: the range is empty");
                all.extend(
                    (first.number..=last).map(|number| ClauseId { family: first.family.clone(), number }),
                );
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ClauseId {
        text.parse().unwrap()
    }

    fn two_clauses() -> Clauses {
        ["CABI-1", "CABI-2"]
            .map(|text| (id(text), Clause { file: "cabi.md".to_owned(), summary: String::new() }))
            .into()
    }

    #[test]
    fn a_definition_starts_its_line() {
        for line in ["- **WIRE-1** A node", "| **WIRE-1** | A node |", "**WIRE-1** A node"] {
            assert_eq!(definition(line).unwrap().0, id("WIRE-1"), "{line}");
        }
        for line in [
            "see **WIRE-1**",
            "17. **WIRE-1**: x",
            "- WIRE-1",
            "**WIRE-01** x",
            "**wire-1** x",
            "**WIRE-+1**",
        ] {
            assert!(definition(line).is_none(), "{line}");
        }
    }

    #[test]
    fn selections_name_a_file_a_family_or_both() {
        let clause = Clause { file: "wire.md".to_owned(), summary: String::new() };
        for (text, wire, hard) in [
            ("WIRE", true, false),
            ("wire.md", true, true),
            ("wire.md:hard", false, true),
            ("x.md", false, false),
        ] {
            let selection: Selection = text.parse().unwrap();
            assert_eq!(selection.includes(&id("WIRE-1"), &clause), wire, "{text}");
            assert_eq!(selection.includes(&id("HARD-1"), &clause), hard, "{text}");
        }
        for text in ["", "wire:HARD", "wire.md:", "wire.md:HA RD"] {
            assert!(text.parse::<Selection>().is_err(), "{text}");
        }
    }

    #[test]
    fn lists_give_a_reason_and_name_known_clauses_once() {
        let deferred = "[[clause]]\nids = ['CABI-1..2']\nissue = 5\nreason = 'the C ABI'\n";
        let reasons = parse_list(deferred, &two_clauses(), true).unwrap();
        assert_eq!(reasons[&id("CABI-2")], "issue 5: the C ABI");
        for bad in [
            "[[clause]]\nid = 'CABI-1'\nreason = 'no issue'\n",
            "[[clause]]\nid = 'CABI-3'\nissue = 5\nreason = 'unknown'\n",
            "[[clause]]\nid = 'CABI-1'\nissue = 5\nreason = ' '\n",
            "[[clause]]\nid = 'CABI-1'\nids = ['CABI-2']\nissue = 5\nreason = 'both'\n",
            "[[clause]]\nids = ['CABI-1', 'CABI-1..2']\nissue = 5\nreason = 'twice'\n",
            "[[clause]]\nid = 'CABI-1'\nissue = 5\nreason = 'x'\nowner = 'unknown key'\n",
        ] {
            assert!(parse_list(bad, &two_clauses(), true).is_err(), "{bad}");
        }
        assert!(parse_list(deferred, &two_clauses(), false).is_err(), "exempt clauses have no issue");
    }
}
