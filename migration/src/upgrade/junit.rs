//! The rehearsal as JUnit XML: a test case for each step, and one for the verdict.

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
    let verdict = (!rehearsal.ok()).then(|| rehearsal.problems.join("\n"));
    failures += usize::from(verdict.is_some());
    cases += &case(&suite, "verdict", 0.0, verdict.as_deref());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" \
         time=\"{:.3}\">\n{cases}</testsuite>\n",
        escape(&suite),
        rehearsal.steps.len() + 1,
        (rehearsal.ended - rehearsal.began).as_secs_f64()
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
