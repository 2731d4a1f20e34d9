//! `cargo xtask clauses`: how much of the specification the tests prove.

use std::collections::BTreeMap;

use anyhow::Result;

use super::citations::{self, Citations};
use super::sources::{files, root};
use super::spec::{self, ClauseId, Clauses, Reasons, Selection};

/// Prints the report for the selected clauses (none given: all). True when nothing is missing, stale or
/// unknown.
pub(crate) fn run(selections: &[Selection], quiet: bool) -> Result<bool> {
    let clauses = spec::read_clauses(root())?;
    let deferred = spec::read_deferred(root(), &clauses)?;
    let exempt = spec::read_exempt(root(), &clauses)?;
    let citations = citations::collect(&files(root(), &[".rs", ".cs"])?)?;
    let report = Report::new(&clauses, &deferred, &exempt, &citations, selections)?;
    print!("{}", report.text(&clauses, quiet));
    Ok(report.is_clean())
}

/// What is known about the selected clauses.
struct Report {
    /// Per (file, family), in order.
    counts: BTreeMap<(String, String), Counts>,
    missing: Vec<ClauseId>,
    /// Cited, although a list says that no test exists.
    stale: Vec<(ClauseId, String)>,
    /// Cited in tests (the places), but defined nowhere.
    unknown: Vec<(ClauseId, String)>,
}

#[derive(Default)]
struct Counts {
    cited: usize,
    deferred: usize,
    exempt: usize,
    missing: usize,
}

impl Counts {
    fn all(&self) -> usize {
        self.cited + self.deferred + self.exempt + self.missing
    }
}

impl Report {
    fn new(
        clauses: &Clauses,
        deferred: &Reasons,
        exempt: &Reasons,
        citations: &Citations,
        selections: &[Selection],
    ) -> Result<Self> {
        let mut report =
            Self { counts: BTreeMap::new(), missing: Vec::new(), stale: Vec::new(), unknown: Vec::new() };
        if let Some(both) = deferred.keys().find(|id| exempt.contains_key(id)) {
            anyhow::bail!("{both} is both deferred and exempt");
        }
        for selection in selections {
            let any = clauses.iter().any(|(id, clause)| selection.includes(id, clause));
            anyhow::ensure!(any, "{selection:?} selects no clause");
        }
        let selected = |id: &ClauseId, clause: &spec::Clause| {
            selections.is_empty() || selections.iter().any(|selection| selection.includes(id, clause))
        };
        for (id, clause) in clauses.iter().filter(|(id, clause)| selected(id, clause)) {
            let counts = report.counts.entry((clause.file.clone(), id.family.clone())).or_default();
            let listed = deferred.get(id).or_else(|| exempt.get(id));
            match (citations.get(id), listed) {
                (Some(_), None) => counts.cited += 1,
                (Some(places), Some(_)) => {
                    counts.cited += 1;
                    report.stale.push((id.clone(), places[0].clone()));
                }
                (None, Some(_)) if deferred.contains_key(id) => counts.deferred += 1,
                (None, Some(_)) => counts.exempt += 1,
                (None, None) => {
                    counts.missing += 1;
                    report.missing.push(id.clone());
                }
            }
        }
        let unknown = citations.iter().filter(|(id, _)| !clauses.contains_key(id));
        report.unknown = unknown.map(|(id, places)| (id.clone(), places.join(", "))).collect();
        Ok(report)
    }

    fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.stale.is_empty() && self.unknown.is_empty()
    }

    fn text(&self, clauses: &Clauses, quiet: bool) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let mut total = Counts::default();
        // Writing to a String cannot fail.
        for ((file, family), counts) in &self.counts {
            let _ = writeln!(out, "{file:<12} {family:<6} {}", counts_text(counts));
            total.cited += counts.cited;
            total.deferred += counts.deferred;
            total.exempt += counts.exempt;
            total.missing += counts.missing;
        }
        let _ = writeln!(out, "{:<12} {:<6} {}", "total", "", counts_text(&total));
        for (id, place) in &self.stale {
            let _ = writeln!(out, "stale: {id} is listed as deferred or exempt, but {place} cites it");
        }
        for (id, places) in &self.unknown {
            let _ = writeln!(out, "unknown: {id} is cited at {places}, but no clause has this id");
        }
        if !quiet {
            for id in &self.missing {
                let _ = writeln!(out, "missing: {id} {}", clauses[id].summary);
            }
        }
        out
    }
}

fn counts_text(counts: &Counts) -> String {
    format!(
        "{:>4} clauses: {:>4} cited, {:>4} deferred, {:>4} exempt, {:>4} missing",
        counts.all(),
        counts.cited,
        counts.deferred,
        counts.exempt,
        counts.missing
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ClauseId {
        text.parse().unwrap()
    }

    #[test]
    fn gaps_stale_entries_and_unknown_ids_are_findings() {
        let clause = |file: &str| spec::Clause { file: file.to_owned(), summary: "words".to_owned() };
        let clauses: Clauses =
            ["A-1", "A-2", "A-3", "A-4"].map(|text| (id(text), clause("a.md"))).into_iter().collect();
        let deferred = Reasons::from([(id("A-2"), "issue 9: later".to_owned())]);
        let exempt = Reasons::from([(id("A-3"), "cannot".to_owned())]);
        let cite =
            |ids: &[&str]| -> Citations { ids.iter().map(|i| (id(i), vec!["t.rs:1".to_owned()])).collect() };
        let report =
            |citations: &Citations| Report::new(&clauses, &deferred, &exempt, citations, &[]).unwrap();

        assert!(report(&cite(&["A-1", "A-4"])).is_clean());
        let gap = report(&cite(&["A-1"]));
        assert_eq!(gap.missing, [id("A-4")]);
        assert!(gap.text(&clauses, false).contains("missing: A-4 words"));
        let stale = report(&cite(&["A-1", "A-2", "A-3", "A-4"]));
        assert_eq!(stale.stale.len(), 2);
        assert!(!stale.is_clean());
        let unknown = report(&cite(&["A-1", "A-4", "A-5"]));
        assert_eq!(unknown.unknown[0].0, id("A-5"));
        assert!(!unknown.is_clean());
    }

    /// The lists of the repository itself stay well-formed.
    #[test]
    fn the_lists_in_the_repository_parse() {
        let clauses = spec::read_clauses(root()).unwrap();
        spec::read_deferred(root(), &clauses).unwrap();
        spec::read_exempt(root(), &clauses).unwrap();
    }
}
