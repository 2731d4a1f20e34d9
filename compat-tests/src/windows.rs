//! The Windows build, for `cargo xtask windows` and the tests of it: where it is, how programs are compiled against it and
//! run under Wine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::native::{Language, root, run, target};

/// The target triple.
pub const TARGET: &str = "x86_64-pc-windows-gnu";

/// Where library, headers' companions and programs go.
#[must_use]
pub fn directory() -> PathBuf {
    target().join("windows")
}

/// A command with the toolchain that can build for `triple` in front.
#[must_use]
pub fn cross(triple: &str) -> Command {
    let mut command = Command::new(root().join("compat-tests/toolchain/cross.sh"));
    command.arg(triple).current_dir(root());
    command
}

/// Where cargo builds for other systems: apart from its own builds, which another version of Rust made.
#[must_use]
pub fn cross_target() -> PathBuf {
    target().join("cross")
}

/// A Windows program under Wine.
#[must_use]
pub fn wine(program: &Path) -> Command {
    let mut command = Command::new(root().join("compat-tests/toolchain/wine.sh"));
    command.arg(program);
    command
}

/// How `rsl demo --host` and its like start a Windows host. Wine's drive of Unix paths is the current one, so they need
/// no translation.
#[must_use]
pub fn host_template(program: &Path, first: &str) -> String {
    let script = root().join("compat-tests/toolchain/wine.sh");
    format!(
        "'{}' '{}' {first} --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} --self {{self}} \
         --control {{control}} --events {{events}} --execlog {{execlog}}",
        script.display(),
        program.display()
    )
}

/// The library the tests use; built by `cargo xtask windows`.
///
/// # Errors
/// When it has not been built.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = directory().join(name);
    ensure!(path.exists(), "{} is missing: run cargo xtask windows", path.display());
    Ok(path)
}

/// The mingw compiler of a language, as strict as [`crate::native::Build`].
#[must_use]
pub fn compiler(language: Language) -> Command {
    let (name, standard) = match language {
        Language::C => ("x86_64-w64-mingw32-gcc-posix", "-std=c11".to_owned()),
        Language::Cpp(year) => ("x86_64-w64-mingw32-g++-posix", format!("-std=c++{year}")),
    };
    let mut command = Command::new(name);
    command.arg(standard).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"]);
    command.arg("-I").arg(root().join("include"));
    command
}

/// Compiles a program that needs `rsl.dll` and nothing else beside itself.
///
/// # Errors
/// With what the compiler says.
pub fn program(language: Language, sources: &[PathBuf], output: &Path) -> Result<()> {
    let mut command = compiler(language);
    command.args(sources).arg("-o").arg(output).arg("-static").arg(built("librsl.dll.a")?).arg("-lws2_32");
    run(&mut command)
}

/// Compiles a program with the static library, and with the system libraries that Rust's std names.
///
/// # Errors
/// With what the compiler says.
pub fn static_program(language: Language, sources: &[PathBuf], output: &Path) -> Result<()> {
    let mut command = compiler(language);
    command.args(sources).arg("-o").arg(output).arg("-static").arg(built("librsl.a")?);
    command.args(STATIC_LIBRARIES);
    run(&mut command)
}

/// What `librsl.a` needs: `rustc --print native-static-libs`.
pub const STATIC_LIBRARIES: [&str; 4] = ["-lkernel32", "-lntdll", "-luserenv", "-lws2_32"];

/// What a DLL or program exports and which DLLs it needs, sorted.
///
/// # Errors
/// When objdump fails.
pub fn exports_and_imports(file: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let output = Command::new("x86_64-w64-mingw32-objdump").arg("-p").arg(file).output();
    let output = output.context("x86_64-w64-mingw32-objdump")?;
    ensure!(output.status.success(), "objdump: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mut exports: Vec<String> = text
        .split_once("[Ordinal/Name Pointer] Table")
        .map(|(_, table)| table)
        .unwrap_or_default()
        .lines()
        .skip(1)
        .map_while(|line| line.split_once(']'))
        .filter_map(|(_, name)| name.split_whitespace().last().map(str::to_owned))
        .collect();
    exports.sort_unstable();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: "));
    let mut imports: Vec<String> = names.map(str::to_lowercase).collect();
    imports.sort_unstable();
    imports.dedup();
    Ok((exports, imports))
}

/// The C++ host and the samples: name and source. The host is first.
///
/// # Errors
/// When a directory cannot be read.
pub fn programs() -> Result<Vec<(OsString, PathBuf)>> {
    let mut programs = vec![(OsString::from("rsl-host"), root().join("compat-tests/cpp/host/main.cc"))];
    for directory in ["compat-tests/c/samples", "compat-tests/cpp/samples"] {
        for entry in std::fs::read_dir(root().join(directory)).context(directory)? {
            let path = entry?.path();
            if let Some(stem) = path.file_stem() {
                programs.push((stem.to_owned(), path.clone()));
            }
        }
    }
    programs[1..].sort();
    Ok(programs)
}

/// The language of a source by its name.
#[must_use]
pub fn language(source: &Path) -> Language {
    if source.extension().is_some_and(|extension| extension == "c") { Language::C } else { Language::Cpp(11) }
}
