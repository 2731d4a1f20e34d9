//! The licences of what is linked into the library and `rsl`: one text for the package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::sources::root;
use super::test::cargo;

/// What we use of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    /// None = a crate of the workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// None = linked; otherwise `dev` or `build`.
    kind: Option<String>,
}

/// The notice: a table of the crates that are linked into the packages for `target`, then every licence text once.
///
/// # Errors
/// When a crate names no licence or brings no text.
pub(crate) fn notice(target: &str) -> Result<String> {
    let listed = cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target])
        .output()
        .context("cargo metadata")?;
    ensure!(listed.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&listed.stderr));
    let metadata: Metadata = serde_json::from_slice(&listed.stdout).context("cargo metadata")?;
    let mut table = String::new();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let linked = linked(&metadata, &["rsl-ffi", "migration"])?;
    for package in &linked {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.license.as_ref().with_context(|| format!("{name} names no licence"))?;
        writeln!(table, "| {} | {} | {licence} |", package.name, package.version)?;
        let mut found = licence_files(package)?;
        if found.is_empty() {
            // A part of a project whose other crate has them.
            let is_other = |other: &&&Package| {
                other.repository.is_some()
                    && (&other.repository, &other.license) == (&package.repository, &package.license)
            };
            for other in linked.iter().filter(is_other) {
                found.extend(licence_files(other)?);
            }
        }
        ensure!(!found.is_empty(), "{name} brings no licence text");
        for text in found {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    let mut notice = format!(
        "# Third-party licences\n\nLinked into the library and the programs, for {target}. The Rust standard library \
         is linked, too: see RUST-COPYRIGHT.html.\n\n| crate | version | licence |\n|---|---|---|\n{table}"
    );
    for (text, crates) in texts {
        let crates: Vec<String> = crates.into_iter().collect();
        write!(notice, "\n## {}\n\n```text\n{}\n```\n", crates.join(", "), text.trim_end())?;
    }
    Ok(notice)
}

/// The crates of others that end up in the programs and libraries of `roots`, by name.
fn linked<'a>(metadata: &'a Metadata, roots: &[&str]) -> Result<Vec<&'a Package>> {
    let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let is_root = |package: &&Package| package.source.is_none() && roots.contains(&package.name.as_str());
    let mut waiting: Vec<&str> = metadata.packages.iter().filter(is_root).map(|p| p.id.as_str()).collect();
    ensure!(waiting.len() == roots.len(), "not every one of {roots:?} is a crate of the workspace");
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            let node = nodes.get(id).with_context(|| format!("{id} is not resolved"))?;
            let is_linked = |d: &&Dependency| d.dep_kinds.iter().any(|kind| kind.kind.is_none());
            waiting.extend(node.deps.iter().filter(is_linked).map(|d| d.pkg.as_str()));
        }
    }
    let mut linked: Vec<&Package> =
        seen.into_iter().filter_map(|id| packages.get(id).copied()).filter(|p| p.source.is_some()).collect();
    linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(linked)
}

/// The texts of a crate: files at its top that are called so.
fn licence_files(package: &Package) -> Result<Vec<String>> {
    let directory = package.manifest_path.parent().context("a manifest lies in a directory")?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
        let is_text = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_text && entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths.iter().map(|path| text(path)).collect()
}

/// A text with the line ends of Unix, so that equal texts are found to be equal.
fn text(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.replace("\r\n", "\n").trim_end().to_owned())
}

/// The notices of the standard library and what it is made of, as they come with the compiler.
///
/// # Errors
/// When they are not installed.
pub(crate) fn standard_library() -> Result<PathBuf> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()).output();
    let sysroot = String::from_utf8(sysroot.context("rustc")?.stdout)?;
    let notices = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    ensure!(notices.exists(), "{} is missing: it comes with the component rustc", notices.display());
    Ok(notices)
}
