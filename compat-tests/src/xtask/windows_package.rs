//! The archive for Windows as who gets it uses it: unpacked elsewhere, the samples built from it with CMake and mingw,
//! with the DLL and with the static library, and run under Wine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::install::{cmake, has, try_samples};
use super::steps::Outcome;
use super::{dist, install};
use crate::native;
use crate::windows::{exports_and_imports, wine};

/// How CMake is told to build for Windows. The programs hold mingw's own libraries, so that they need no DLL of it.
const MINGW: [&str; 4] = [
    "-DCMAKE_SYSTEM_NAME=Windows",
    "-DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc-posix",
    "-DCMAKE_CXX_COMPILER=x86_64-w64-mingw32-g++-posix",
    "-DCMAKE_EXE_LINKER_FLAGS=-static",
];

/// Needs what `cargo xtask windows` built.
pub(crate) fn check() -> Result<Outcome> {
    ensure!(has("cmake"), "cmake is missing: apt-get install -y --no-install-recommends cmake");
    let place = native::target().join("windows-package");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let prefix = unpack(&dist::windows_archive(&place)?, &place.join("unpacked"))?;
    for is_static in [false, true] {
        let out = place.join(if is_static { "static" } else { "shared" });
        fs::create_dir_all(&out)?;
        cmake(&prefix, &out, is_static, &MINGW)?;
        if !is_static {
            fs::copy(prefix.join("bin/rsl.dll"), out.join("rsl.dll"))?;
        }
        let program = |sample: &str| out.join(sample).with_extension("exe");
        for sample in install::SAMPLES {
            let (_, imports) = exports_and_imports(&program(sample))?;
            let needs = imports.iter().any(|name| name == "rsl.dll");
            ensure!(needs != is_static, "{} needs {imports:?}", program(sample).display());
        }
        try_samples(|sample| wine(&program(sample)), &out.join("data"))?;
        println!("ok: {}", out.display());
    }
    Ok(Outcome::check(true))
}

/// Gives the one directory in the archive.
fn unpack(archive: &Path, into: &Path) -> Result<PathBuf> {
    native::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(into))?;
    let mut found = fs::read_dir(into)?;
    let prefix = found.next().context("the archive is empty")??.path();
    ensure!(found.next().is_none(), "more than one directory in {}", archive.display());
    Ok(prefix)
}
