//! `cargo xtask compatibility`: writes the table of hardened behaviour into docs/COMPATIBILITY.md.
//!
//! A row per HARD clause that a test cites: what legacy does, what we do, where the test is. The texts are those of the
//! specification; what no test proves does not appear.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::citations;
use super::sources::{files, root};
use super::spec::ClauseId;

const PATH: &str = "docs/COMPATIBILITY.md";
const BEGIN: &str = "<!-- written by cargo xtask compatibility -->";
const END: &str = "<!-- end -->";

/// Rewrites the table, or only looks whether it is up to date. True when it is (now).
pub(crate) fn run(check: bool) -> Result<bool> {
    let path = root().join(PATH);
    let old = std::fs::read_to_string(&path).with_context(|| format!("reading {PATH}"))?;
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("{PATH} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PATH} has no line {END}"))?;
    let new = format!("{before}{BEGIN}\n{}{END}{after}", table()?);
    if check {
        println!(
            "{PATH} is {}",
            if new == old { "up to date" } else { "out of date: run cargo xtask compatibility" }
        );
        return Ok(new == old);
    }
    std::fs::write(&path, new).with_context(|| format!("writing {PATH}"))?;
    Ok(true)
}

fn table() -> Result<String> {
    let citations = citations::collect(&files(root(), &[".rs"])?)?;
    let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in files(&root().join("docs/spec"), &[".md"])? {
        for line in source.text.lines() {
            let Some(hardened) = Hardened::parse(line) else { continue };
            let Some(places) = citations.get(&hardened.id) else { continue };
            let test = places[0].rsplit_once(':').map_or(places[0].as_str(), |(file, _)| file);
            let row = format!("| {} | {} | {} | `{test}` |", hardened.id, hardened.legacy, hardened.ours);
            by_file.entry(source.path.clone()).or_default().push(row);
        }
    }
    ensure!(!by_file.is_empty(), "no hardened clause is cited");
    let mut table = String::new();
    for (file, rows) in by_file {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "\n### {file}\n\n| clause | legacy | here | a test |\n|---|---|---|---|");
        for row in rows {
            let _ = writeln!(table, "{row}");
        }
    }
    Ok(table + "\n")
}

/// A HARD clause, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Hardened {
    id: ClauseId,
    legacy: String,
    ours: String,
}

impl Hardened {
    /// The three forms in which the specification writes them: `- **ID** legacy -> ours`, `**ID** L: .. T: .. I: ..` and
    /// `| **ID** | legacy | ours |`.
    fn parse(line: &str) -> Option<Self> {
        let body = line.strip_prefix("- ").or_else(|| line.strip_prefix("| ")).unwrap_or(line);
        let (id, rest) = body.strip_prefix("**")?.split_once("**")?;
        let id: ClauseId = id.parse().ok().filter(|id: &ClauseId| id.family == "HARD")?;
        let rest = rest.trim().trim_matches('|').trim();
        let (legacy, ours) = if let Some(told) = rest.strip_prefix("L: ") {
            let (legacy, ours) = told.split_once(" I: ")?;
            (legacy.replace(" T: ", " When: "), ours)
        } else if line.starts_with('|') {
            let (legacy, ours) = rest.split_once(" | ")?;
            (legacy.to_owned(), ours)
        } else {
            let (legacy, ours) = rest.split_once(" -> ")?;
            (legacy.to_owned(), ours)
        };
        Some(Self { id, legacy: cell(&legacy), ours: cell(without_source(ours)) })
    }
}

/// Cuts the source reference in brackets at the end.
fn without_source(text: &str) -> &str {
    let text = text.trim();
    let plain = text.trim_end_matches('*');
    match plain.rfind('(') {
        Some(open) if plain.ends_with(')') && plain[open..].contains(": ") => {
            plain[..open].trim_end_matches('*').trim()
        }
        _ => text,
    }
}

fn cell(text: &str) -> String {
    text.replace("**", "").replace('|', "\\|").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_are_understood() {
        let parsed = |line: &str| {
            let found = Hardened::parse(line).unwrap();
            (found.id.to_string(), found.legacy, found.ours)
        };
        let row = |id: &str, legacy: &str, ours: &str| (id.to_owned(), legacy.to_owned(), ours.to_owned());
        assert_eq!(
            parsed(
                "- **HARD-1** **Packets.** Bad (reproduced) -> grow (slowly). *(NetCxn.cpp: ReadMoreData)*"
            ),
            row("HARD-1", "Packets. Bad (reproduced)", "grow (slowly).")
        );
        assert_eq!(
            parsed("**HARD-2** L: crash. T: a vote. I: reject it (PROTO-36). (msg: Vote::UnMarshal)"),
            row("HARD-2", "crash. When: a vote.", "reject it (PROTO-36).")
        );
        assert_eq!(parsed("| **HARD-3** | Crashes. | MUST not. |"), row("HARD-3", "Crashes.", "MUST not."));
        assert_eq!(Hardened::parse("- **WIRE-1** x -> y"), None);
    }

    /// Every hardened clause of the specification has one of the forms.
    #[test]
    fn the_whole_specification_is_understood() {
        let sources = files(&root().join("docs/spec"), &[".md"]).unwrap();
        let defined = super::super::spec::read_clauses(root()).unwrap();
        let mut expected: Vec<ClauseId> = defined.into_keys().filter(|id| id.family == "HARD").collect();
        let lines = sources.iter().flat_map(|source| source.text.lines());
        let mut found: Vec<ClauseId> =
            lines.filter_map(Hardened::parse).map(|hardened| hardened.id).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}
