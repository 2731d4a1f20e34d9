//! What is checked, and what was found wrong.

/// One of the things that must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Course,
    History,
    Requests,
    Acknowledged,
    Decided,
    Directories,
    Promises,
}

impl Check {
    pub(super) const ALL: [Check; 7] = [
        Check::Course,
        Check::History,
        Check::Requests,
        Check::Acknowledged,
        Check::Decided,
        Check::Directories,
        Check::Promises,
    ];

    /// For programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Check::Course => "course",
            Check::History => "one-history",
            Check::Requests => "from-requests",
            Check::Acknowledged => "exactly-once",
            Check::Decided => "decided-on-disk",
            Check::Directories => "directories",
            Check::Promises => "nothing-forgotten",
        }
    }

    /// What must be so.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Check::Course => "every step was played",
            Check::History => {
                "state hash and count of every decree are equal on all replicas, before and after every swap"
            }
            Check::Requests => "every state hash follows from the requests that were submitted",
            Check::Acknowledged => "every acknowledged request was executed exactly once",
            Check::Decided => "no decided decree is another in any log, before and after every swap",
            Check::Directories => "every directory was sound, and the next host starts on it",
            Check::Promises => "no replica started behind the decree and the ballot of its directory",
        }
    }

    /// What is counted for it.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Check::Course => "steps",
            Check::History | Check::Requests | Check::Acknowledged => "requests",
            Check::Decided => "decrees",
            Check::Directories => "looks",
            Check::Promises => "starts",
        }
    }
}

/// Findings of one check that a person is shown; one divergence makes every later request a finding.
const SHOWN: usize = 10;

/// What was found wrong so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<(Check, String)>);

impl Findings {
    pub(super) fn add(&mut self, check: Check, found: impl IntoIterator<Item = String>) {
        self.0.extend(found.into_iter().map(|text| (check, text)));
    }

    pub(super) fn append(&mut self, other: Findings) {
        self.0.extend(other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything, one line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, text)| text.as_str())
    }

    /// What one check found.
    pub(super) fn of(&self, check: Check) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| *of == check).map(|(_, text)| text.as_str())
    }

    /// What one check found, for people: the first of it, and how much more there is.
    pub(super) fn shown(&self, check: Check) -> Vec<String> {
        let mut shown: Vec<String> = self.of(check).take(SHOWN).map(str::to_owned).collect();
        let more = self.of(check).count() - shown.len();
        if more > 0 {
            shown.push(format!("and {more} more, all in the JSON"));
        }
        shown
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Failed,
    /// There was nothing to look at, for example because no process ever started.
    Nothing,
}

impl Verdict {
    /// From what was looked at and whether something is wrong.
    pub(super) const fn of(looked_at: u64, wrong: bool) -> Verdict {
        match (looked_at, wrong) {
            (_, true) => Verdict::Failed,
            (0, false) => Verdict::Nothing,
            (_, false) => Verdict::Ok,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Nothing => "nothing to look at",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_belong_to_their_check_and_nothing_seen_is_no_success() {
        let mut findings = Findings::default();
        findings.add(Check::Decided, ["a".to_owned(), "b".to_owned()]);
        findings.add(Check::Course, Some("c".to_owned()));
        assert_eq!(findings.of(Check::Decided).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(findings.lines().count(), 3);
        assert_eq!(findings.shown(Check::Decided), ["a", "b"]);
        findings.add(Check::Course, (0..20).map(|number| number.to_string()));
        let shown = findings.shown(Check::Course);
        assert_eq!(shown.len(), SHOWN + 1);
        assert_eq!(shown[SHOWN], "and 11 more, all in the JSON");
        assert_eq!(Verdict::of(0, false), Verdict::Nothing);
        assert_eq!(Verdict::of(0, true), Verdict::Failed);
        assert_eq!(Verdict::of(5, false), Verdict::Ok);
    }
}
