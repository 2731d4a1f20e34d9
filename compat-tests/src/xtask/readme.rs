//! `cargo xtask readme`: types the blocks of README.md that bring a service up, and sees it work.
//!
//! Everything is done where the README says, at the top of the repository, and removed afterwards. Only the commands that
//! install packages are left out: a new machine is needed to see those work.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::steps::{Outcome, Steps};
use crate::native;
use crate::sample::{Sample, counters_agree};

/// What the services leave at the top of the repository.
const LEFT_BEHIND: &[&str] = &["counter", "counter-data", "counter-logs"];
/// And below it.
const SCRATCH: &str = "target/counter";

/// A service of the README: the heading above its block, the argument that tells its processes apart.
struct Service {
    heading: &'static str,
    numbers: [&'static str; 3],
}

const SERVICES: &[Service] = &[
    Service { heading: "## A service in five minutes", numbers: ["1", "2", "3"] },
    Service { heading: "## A .NET service", numbers: ["0", "1", "2"] },
    Service { heading: "## A C++ service swaps the library", numbers: ["1", "2", "3"] },
];

/// True when all services work.
pub(crate) fn run() -> Result<bool> {
    let mut steps = Steps::default();
    add_steps(&mut steps);
    Ok(steps.summary())
}

/// A step per service.
pub(crate) fn add_steps(steps: &mut Steps) {
    for service in SERVICES {
        let name = service.heading.trim_start_matches("## ");
        steps.run(&format!("README: {name}"), || service.try_out().map(|()| Outcome::check(true)));
    }
}

impl Service {
    fn try_out(&self) -> Result<()> {
        let readme = fs::read_to_string(root().join("README.md")).context("README.md")?;
        let commands =
            commands(&readme, self.heading).with_context(|| format!("{}: no commands", self.heading))?;
        let (start, before) = commands.split_last().context("no command")?;
        for name in LEFT_BEHIND {
            ensure!(!root().join(name).exists(), "{name} is in the way: remove it");
        }
        let remove_scratch = || fs::remove_dir_all(root().join(SCRATCH));
        // What an earlier run left.
        let _ = remove_scratch();
        let done = self.follow(before, start);
        // Each service leaves some of them.
        let _ = remove_scratch();
        for name in LEFT_BEHIND {
            let path = root().join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        done
    }

    /// Runs the commands of a block, then its last one in as many terminals as there are replicas.
    fn follow(&self, before: &[String], start: &str) -> Result<()> {
        let typed: Vec<&str> =
            before.iter().map(String::as_str).filter(|line| !line.starts_with("apt-get ")).collect();
        println!("$ {}", typed.join("\n$ "));
        native::run(&mut shell(&format!("set -e\n{}", typed.join("\n"))))?;
        if let Some((run, _)) = start.split_once(" -- ") {
            // Cargo builds before it runs, which should not count as waiting for the service.
            native::run(&mut shell(&run.replacen("cargo run ", "cargo build ", 1)))?;
        }
        let place = typed.iter().find(|line| line.starts_with("cd ")).map_or("true", |line| *line);
        // `-- 1`, `./counter 1`, `Counter.exe 0 7000 7010 7020`: the first word that is a number.
        let first = format!(" {}", self.numbers[0]);
        ensure!(start.contains(&first), "{start:?} does not start number {}", self.numbers[0]);
        let counters: Result<Vec<Sample>> = self
            .numbers
            .iter()
            .map(|number| {
                let command = start.replacen(&first, &format!(" {number}"), 1);
                println!("$ {command}");
                Sample::start(&mut shell(&format!("{place} && exec {command}")))
            })
            .collect();
        counters_agree(counters?)
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    // The README knows one target directory.
    command.args(["-c", script]).current_dir(root()).env_remove("CARGO_TARGET_DIR");
    command
}

/// The commands of the first block below a heading: comments removed, continued lines joined. Without a block of commands
/// before the code of the service: the first command in the text, in backquotes.
fn commands(readme: &str, heading: &str) -> Option<Vec<String>> {
    let section = readme.split_once(&format!("{heading}\n"))?.1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let Some((_, block)) = section.split_once("```sh\n") else {
        let command = section.split('`').skip(1).step_by(2).find(|text| text.starts_with("cargo run "))?;
        return Some(vec![command.to_owned()]);
    };
    let block = block.split_once("```")?.0.replace("\\\n", " ");
    let lines = block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    Some(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_from_the_section_only() {
        let readme = "## A\nType `cargo run -- 1` in one\nterminal.\n```rust\n```\n## B\n\n```sh\n\
                      apt-get install x   # once\nc++ a \\\n  -o b\n\n./b 1   # 2 and 3\n```\n## C\n";
        assert_eq!(commands(readme, "## A"), Some(vec!["cargo run -- 1".into()]));
        let of_b = commands(readme, "## B").unwrap();
        assert_eq!(of_b[0], "apt-get install x");
        assert_eq!(of_b[2], "./b 1");
        assert_eq!(of_b[1].split_whitespace().collect::<Vec<_>>(), ["c++", "a", "-o", "b"]);
        assert_eq!(commands(readme, "## C"), None);
        assert_eq!(commands(readme, "## D"), None);
    }
}
