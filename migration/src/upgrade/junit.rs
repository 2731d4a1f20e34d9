//! The rehearsal as JUnit XML: a test case for each step, and one for each check.

use super::checks::Check;
use super::report::Rehearsal;

fn escape(text: &str) -> String {
    let printable: String =
        text.chars().map(|one| if one.is_control() && one != '\n' { ' ' } else { one }).collect();
    printable.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn case(suite: &str, name: &str, seconds: f64, failure: Option<&str>) -> String {
    let head = format!(
        "  <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"",
        escape(suite),
        escape(name)
    );
    match failure {
        Some(why) => format!("{head}>\n    <failure message=\"{}\"/>\n  </testcase>\n", escape(why)),
        None => format!("{head}/>\n"),
    }
}

/// The document.
pub(super) fn document(rehearsal: &Rehearsal) -> String {
    let suite = format!("rsl upgrade {}", rehearsal.name);
    let mut cases = String::new();
    let mut failures = 0;
    for (number, step) in (1..).zip(&rehearsal.steps) {
        failures += usize::from(step.failed.is_some());
        let name = format!("{number}. {}", step.name);
        cases += &case(&suite, &name, (step.ended - step.began).as_secs_f64(), step.failed.as_deref());
    }
    for check in Check::ALL {
        let found: Vec<&str> = rehearsal.problems.of(check).collect();
        let failure = (!found.is_empty()).then(|| found.join("\n"));
        failures += usize::from(failure.is_some());
        cases += &case(&suite, check.text(), 0.0, failure.as_deref());
    }
    let seconds = (rehearsal.ended - rehearsal.began).as_secs_f64();
    suite_of(&suite, rehearsal.steps.len() + Check::ALL.len(), failures, seconds, &cases)
}

/// The document of a rehearsal that could not be played.
pub(super) fn not_played(name: &str, why: &str) -> String {
    let suite = format!("rsl upgrade {name}");
    suite_of(&suite, 1, 1, 0.0, &case(&suite, "the rehearsal is played", 0.0, Some(why)))
}

fn suite_of(suite: &str, tests: usize, failures: usize, seconds: f64, cases: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" \
         time=\"{seconds:.3}\">\n{cases}</testsuite>\n",
        escape(suite)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_inside_its_case() {
        assert_eq!(
            case("s", "a<b", 1.5, None),
            "  <testcase classname=\"s\" name=\"a&lt;b\" time=\"1.500\"/>\n"
        );
        assert!(case("s", "x", 0.0, Some("\"no\"")).contains("<failure message=\"&quot;no&quot;\"/>"));
    }
}
