//! Rolling upgrades from the legacy model, with our hosts in three languages.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::steps::{self, Outcome, Steps};
use crate::{managed, native};

/// What every change must pass: the usual course to the C++ host, swaps by kill to the C# host, and a network that fails
/// during an upgrade to the Rust host.
const USUAL: [(&str, &str); 3] =
    [("classic-3", "cpp"), ("crash-swap", "csharp"), ("partitioned-primary", "rust")];

/// Plays the usual plans; without mono the one with the C# host is skipped.
pub(crate) fn usual(steps: &mut Steps, rsl: &Path) {
    for (plan, new) in USUAL {
        steps.run(&format!("upgrade: {plan}, {new} host"), || {
            match new {
                "cpp" => drop(native::build_programs(false)?),
                "csharp" if !managed::has_mono() => {
                    println!("skipped: mono is not here: {}", managed::GET_MONO);
                    return Ok(Outcome::skipped());
                }
                "csharp" => managed::build_framework(false)?,
                _rust => {}
            }
            play(rsl, plan, new)
        });
    }
}

/// Plays all plans with the Rust host, and each with one of the others.
pub(crate) fn all(steps: &mut Steps, rsl: &Path, plans: &[String]) {
    steps.run("the C++ and the C# host are built", || {
        native::build_programs(true)?;
        managed::build_framework(true)?;
        Ok(Outcome::check(true))
    });
    for (number, plan) in plans.iter().enumerate() {
        for new in ["rust", ["cpp", "csharp"][number % 2]] {
            steps.run(&format!("upgrade: {plan}, {new} host"), || play(rsl, plan, new));
        }
    }
}

fn play(rsl: &Path, plan: &str, new: &str) -> Result<Outcome> {
    steps::command(Command::new(rsl).args(["upgrade", plan, "--new", new]))
}
