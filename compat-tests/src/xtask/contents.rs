//! What a package holds: one list for `cargo xtask install` and `cargo xtask dist`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::test::cargo;
use crate::native;

/// The version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Compatible versions have the same of it: the major number, and the minor one while the major one is 0.
const MAJOR: &str = env!("CARGO_PKG_VERSION_MAJOR");
const MINOR: &str = env!("CARGO_PKG_VERSION_MINOR");
/// What a program needs beside the static library (`rustc --print native-static-libs`; libc and libgcc_s come by
/// themselves or with the threads).
const STATIC_LIBRARIES: [&str; 5] = ["gcc_s", "util", "rt", "dl", "m"];
/// Where the templates of the packaging are.
const TEMPLATES: &str = "rsl-ffi/packaging";

/// One file of a package.
pub(crate) struct Entry {
    /// Its path below the prefix, with forward slashes.
    pub(crate) path: String,
    /// What it is.
    pub(crate) content: Content,
    /// Whether it is a program.
    pub(crate) executable: bool,
}

/// What a file of a package is.
pub(crate) enum Content {
    /// A copy of this file.
    File(PathBuf),
    /// This text.
    Text(String),
    /// A symbolic link to a name in the same directory.
    Link(String),
}

/// The name that programs ask the loader for: another one than that of an incompatible version.
pub(crate) fn soname() -> String {
    if MAJOR == "0" { format!("librsl.so.0.{MINOR}") } else { format!("librsl.so.{MAJOR}") }
}

/// Builds the library and `rsl` with the name of the installed library; gives the directory they are in.
///
/// They have a target directory of their own: programs that were linked with the library of the normal one do not know
/// that name. Paths of this machine do not get into them.
pub(crate) fn build() -> Result<PathBuf> {
    ensure!(cfg!(target_os = "linux"), "packages are made on Linux");
    let target = native::target().join("package");
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "rsl-ffi", "--package", "migration"]);
    build.args(["--lib", "--bins", "--target-dir"]).arg(&target);
    build.env("RSL_SONAME", soname()).env("RUSTFLAGS", short_paths()?).env_remove("CARGO_BUILD_TARGET");
    ensure!(build.status().context("cargo cannot be started")?.success(), "the library does not build");
    Ok(target.join("release"))
}

/// Flags that replace directories of this machine by short names.
pub(crate) fn short_paths() -> Result<String> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir().context("there is no home directory")?.join(".cargo"),
    };
    let registry = home.join("registry/src");
    let (root, registry) = (root().display(), registry.display());
    Ok(format!("--remap-path-prefix={root}=rsl --remap-path-prefix={registry}=registry"))
}

/// All files of a package for Linux, in order; `built` holds what `build` built.
pub(crate) fn entries(built: &Path) -> Result<Vec<Entry>> {
    let (so, soname) = (format!("librsl.so.{VERSION}"), soname());
    let mut entries = vec![
        program("bin/rsl", built.join("rsl")),
        program(&format!("lib/{so}"), built.join("librsl.so")),
        Entry { path: format!("lib/{soname}"), content: Content::Link(so), executable: false },
        Entry { path: "lib/librsl.so".to_owned(), content: Content::Link(soname), executable: false },
        copy("lib/librsl.a", built.join("librsl.a")),
        template("lib/pkgconfig/rsl.pc", "rsl.pc.in")?,
        template("lib/pkgconfig/rsl-static.pc", "rsl-static.pc.in")?,
        template("lib/cmake/rsl/rslConfig.cmake", "rslConfig.cmake.in")?,
        template("lib/cmake/rsl/rslConfigVersion.cmake", "rslConfigVersion.cmake.in")?,
        template("share/rsl/rsl-service@.service", "rsl-service@.service")?,
        template("share/rsl/samples/CMakeLists.txt", "samples.cmake.in")?,
    ];
    entries.extend(common()?);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// All files of a package for Windows, in order; `built` holds what `cargo xtask windows` built.
pub(crate) fn windows_entries(built: &Path) -> Result<Vec<Entry>> {
    let libraries = crate::windows::STATIC_LIBRARIES.map(|library| library.trim_start_matches("-l"));
    let mut entries = vec![
        program("bin/rsl.dll", built.join("rsl.dll")),
        program("bin/rsl.exe", built.join("rsl.exe")),
        copy("lib/rsl.lib", built.join("rsl.lib")),
        copy("lib/rsl.def", built.join("rsl.def")),
        copy("lib/librsl.dll.a", built.join("librsl.dll.a")),
        copy("lib/librsl.a", built.join("librsl.a")),
        filled("lib/cmake/rsl/rslConfig.cmake", "rslConfig-windows.cmake.in", "", &libraries)?,
        template("lib/cmake/rsl/rslConfigVersion.cmake", "rslConfigVersion.cmake.in")?,
        template("share/rsl/samples/CMakeLists.txt", "samples.cmake.in")?,
    ];
    entries.extend(common()?);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// What every package has: headers, samples, documents.
fn common() -> Result<Vec<Entry>> {
    let mut entries = directory("include", "include", &["h"])?;
    entries.extend(directory("share/rsl/samples", "compat-tests/c/samples", &["c"])?);
    entries.extend(directory("share/rsl/samples", "compat-tests/cpp/samples", &["cc"])?);
    entries.extend(documents()?);
    Ok(entries)
}

/// What a reader needs beside the headers, with the directories of the repository, so that links lead somewhere.
fn documents() -> Result<Vec<Entry>> {
    let document = |path: &str| copy(&format!("share/doc/rsl/{path}"), root().join(path));
    let mut entries = vec![document("LICENSE"), document("CHANGELOG.md"), document("README.md")];
    for (from, endings) in [("docs", ["md"]), ("docs/adr", ["md"]), ("docs/spec", ["md"])] {
        entries.extend(directory(&format!("share/doc/rsl/{from}"), from, &endings)?);
    }
    Ok(entries)
}

fn copy(path: &str, from: PathBuf) -> Entry {
    Entry { path: path.to_owned(), content: Content::File(from), executable: false }
}

fn program(path: &str, from: PathBuf) -> Entry {
    Entry { executable: true, ..copy(path, from) }
}

/// The files of a directory of the repository with these endings.
fn directory(to: &str, from: &str, endings: &[&str]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in fs::read_dir(root().join(from)).with_context(|| from.to_owned())? {
        let file = file?.path();
        let wanted = file.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending));
        if let (true, Some(name)) = (wanted, file.file_name().and_then(|name| name.to_str())) {
            entries.push(copy(&format!("{to}/{name}"), file.clone()));
        }
    }
    ensure!(!entries.is_empty(), "{from} holds nothing to install");
    Ok(entries)
}

/// A file for Linux made from a template.
fn template(path: &str, name: &str) -> Result<Entry> {
    filled(path, name, "-pthread", &STATIC_LIBRARIES)
}

/// A file made from a template: `@NAME@` is replaced. The static library needs `threads` and these libraries.
fn filled(path: &str, name: &str, threads: &str, libraries: &[&str]) -> Result<Entry> {
    let mut text = fs::read_to_string(root().join(TEMPLATES).join(name)).with_context(|| name.to_owned())?;
    let options: Vec<String> = libraries.iter().map(|library| format!("-l{library}")).collect();
    for (word, value) in [
        ("@VERSION@", VERSION),
        ("@MAJOR@", MAJOR),
        ("@MINOR@", MINOR),
        ("@SONAME@", &soname()),
        ("@STATIC_LIBS@", format!("{} {threads}", options.join(" ")).trim_end()),
        ("@STATIC_LIBS_CMAKE@", &libraries.join(";")),
    ] {
        text = text.replace(word, value);
    }
    ensure!(!text.contains('@') || name.ends_with(".service"), "{name}: a word is not replaced");
    Ok(Entry { path: path.to_owned(), content: Content::Text(text), executable: false })
}

/// Writes the files below `prefix`. An older file is replaced in one step: a program may be running from it.
pub(crate) fn write(entries: &[Entry], prefix: &Path) -> Result<()> {
    for entry in entries {
        let path = prefix.join(&entry.path);
        write_one(entry, &path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn write_one(entry: &Entry, path: &Path) -> Result<()> {
    let (directory, name) = path.parent().zip(path.file_name()).context("not a file below a directory")?;
    fs::create_dir_all(directory)?;
    let mut new = name.to_owned();
    new.push(".new");
    let new = directory.join(new);
    match &entry.content {
        Content::File(from) => {
            fs::copy(from, &new).with_context(|| from.display().to_string())?;
        }
        Content::Text(text) => fs::write(&new, text)?,
        Content::Link(target) => {
            let _ = fs::remove_file(&new);
            link(target, &new)?;
        }
    }
    if !matches!(entry.content, Content::Link(_)) {
        set_mode(&new, entry.executable)?;
    }
    Ok(fs::rename(&new, path)?)
}

#[cfg(unix)]
fn link(target: &str, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn link(_: &str, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The same on every machine, whatever its umask.
#[cfg(unix)]
fn set_mode(path: &Path, executable: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: bool) -> std::io::Result<()> {
    Ok(())
}
