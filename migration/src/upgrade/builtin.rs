//! The plans that come with the program.

/// Name and text of each, in the order of `--list`.
pub(super) const PLANS: &[(&str, &str)] = &[
    ("classic-3", include_str!("../../scenarios/classic-3.toml")),
    ("classic-5", include_str!("../../scenarios/classic-5.toml")),
    ("classic-7", include_str!("../../scenarios/classic-7.toml")),
    ("classic-3-rollback", include_str!("../../scenarios/classic-3-rollback.toml")),
    ("half-way-rollback", include_str!("../../scenarios/half-way-rollback.toml")),
    ("primary-first", include_str!("../../scenarios/primary-first.toml")),
    ("primary-last", include_str!("../../scenarios/primary-last.toml")),
    ("crash-swap", include_str!("../../scenarios/crash-swap.toml")),
    ("frozen-primary", include_str!("../../scenarios/frozen-primary.toml")),
    ("paused-primary", include_str!("../../scenarios/paused-primary.toml")),
    ("partitioned-primary", include_str!("../../scenarios/partitioned-primary.toml")),
    ("bad-links", include_str!("../../scenarios/bad-links.toml")),
    ("one-down", include_str!("../../scenarios/one-down.toml")),
    ("versions", include_str!("../../scenarios/versions.toml")),
    ("bootstrap", include_str!("../../scenarios/bootstrap.toml")),
    ("during-reconfiguration", include_str!("../../scenarios/during-reconfiguration.toml")),
    ("during-copy", include_str!("../../scenarios/during-copy.toml")),
    ("replica-sets", include_str!("../../scenarios/replica-sets.toml")),
    ("lost-disk", include_str!("../../scenarios/lost-disk.toml")),
    ("damaged-disk", include_str!("../../scenarios/damaged-disk.toml")),
];

/// The text of a plan.
pub(super) fn find(name: &str) -> Option<&'static str> {
    PLANS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;

    #[test]
    fn every_plan_is_sound_and_every_file_is_a_plan() {
        for (name, text) in PLANS {
            let plan = Plan::parse(text, None).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(!plan.step.is_empty() && !plan.title.is_empty(), "{name}");
        }
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut files = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(find(name.trim_end_matches(".toml")).is_some(), "{name} is not listed");
            files += 1;
        }
        assert_eq!(files, PLANS.len());
    }
}
