//! Which files belong to the repository: everything git does not ignore.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The top of the repository this binary was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate sits in the workspace")
}

/// One text file of the repository.
pub(crate) struct Source {
    /// Path relative to the root, with forward slashes.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

/// All files below `root` that .gitignore does not exclude and whose name ends in one of `endings`, in
/// order of their path. Files that are not UTF-8 are left out.
pub(crate) fn files(root: &Path, endings: &[&str]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut walk = ignore::WalkBuilder::new(root);
    // `.ci` and `.cargo` are ours as well; `.git` is not.
    walk.hidden(false).filter_entry(|entry| entry.file_name() != ".git");
    for entry in walk.build() {
        let entry = entry?;
        let path: PathBuf = entry.path().to_owned();
        let name = path.to_string_lossy();
        if !entry.file_type().is_some_and(|kind| kind.is_file()) || !endings.iter().any(|e| name.ends_with(e))
        {
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| format!("reading {name}"))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let relative = path.strip_prefix(root).expect("the walk stays below its root");
        found.push(Source { path: relative.to_string_lossy().replace('\\', "/"), text });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
