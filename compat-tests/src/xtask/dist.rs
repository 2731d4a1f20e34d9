//! `cargo xtask dist`: what is given to others, under `target/dist/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::contents::{self, Content, Entry, VERSION};
use super::sources::root;
use super::{licences, zip};
use crate::native;

/// The file with the checksums of all others.
const CHECKSUMS: &str = "SHA256SUMS";

/// Builds the archives, that for Windows unless `linux_only`, and their checksums, and says what they are. True.
pub(crate) fn run(linux_only: bool) -> Result<bool> {
    let output = native::target().join("dist");
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    fs::create_dir_all(&output)?;
    linux(&output)?;
    if !linux_only {
        super::windows::build()?;
        windows_archive(&output)?;
    }
    let sums = checksums(&output)?;
    print!("{sums}");
    println!("in {}", output.display());
    Ok(true)
}

/// The archive for Linux: the files of an installation below one directory.
fn linux(output: &Path) -> Result<PathBuf> {
    let mut entries = contents::entries(&contents::build()?)?;
    entries.extend(notices(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?);
    let name = format!("rsl-{VERSION}-linux-{}", std::env::consts::ARCH);
    let stage = output.join("stage");
    contents::write(&entries, &stage.join(&name))?;
    let archive = output.join(format!("{name}.tar.gz"));
    // The same bytes from the same commit: order, owners, modes and times are fixed; gzip writes no time.
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", time()?)).args(["--use-compress-program", "gzip -n"]);
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(&stage).arg(&name);
    native::run(&mut tar)?;
    fs::remove_dir_all(&stage)?;
    Ok(archive)
}

/// The archive for Windows of what `cargo xtask windows` built: the library in `bin`, where Windows looks for it, import
/// libraries in `lib`.
pub(crate) fn windows_archive(output: &Path) -> Result<PathBuf> {
    let mut entries = contents::windows_entries(&crate::windows::directory())?;
    entries.extend(notices(crate::windows::TARGET)?);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let name = format!("rsl-{VERSION}-windows-x86_64");
    let archive = output.join(format!("{name}.zip"));
    zip::write(&entries, &name, &archive)?;
    Ok(archive)
}

/// The licences of others, for every archive.
fn notices(target: &str) -> Result<[Entry; 2]> {
    let notice =
        |name: &str, content| Entry { path: format!("share/doc/rsl/{name}"), content, executable: false };
    Ok([
        notice("THIRD-PARTY.md", Content::Text(licences::notice(target)?)),
        notice("RUST-COPYRIGHT.html", Content::File(licences::standard_library()?)),
    ])
}

/// The time that all files get: `SOURCE_DATE_EPOCH`, else that of the commit.
fn time() -> Result<u64> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return time.parse().context("SOURCE_DATE_EPOCH");
    }
    let log = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root())
        .output()
        .context("git")?;
    String::from_utf8(log.stdout)?.trim().parse().context("no commit: set SOURCE_DATE_EPOCH")
}

/// Writes the checksums of the archives, in the form that `sha256sum --check` reads.
fn checksums(output: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(output)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let sums = Command::new("sha256sum").args(&names).current_dir(output).output().context("sha256sum")?;
    ensure!(sums.status.success(), "sha256sum: {}", String::from_utf8_lossy(&sums.stderr));
    fs::write(output.join(CHECKSUMS), &sums.stdout)?;
    Ok(String::from_utf8(sums.stdout)?)
}
