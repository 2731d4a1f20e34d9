//! What we ship holds no simulator and no legacy model.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::sources::root;
use super::test::cargo;

/// Modules that are in no shipped library.
const FOREIGN: [&str; 2] = ["sim", "legacy_model"];
/// A module that is in all: a search that does not find it proves nothing.
const OWN: &str = "engine";

/// Builds the C library as it is shipped, and looks for symbols and source names of what does not belong there. True
/// when there are none.
pub(crate) fn run() -> Result<bool> {
    let target = root().join("target/shipped");
    let build = ["build", "--quiet", "--package", "rsl-ffi", "--lib", "--target-dir"];
    let status = cargo().args(build).arg(&target).status()?;
    ensure!(status.success(), "the library does not build");
    let mut clean = true;
    for library in libraries(target.join("debug"))? {
        let bytes = std::fs::read(&library).with_context(|| library.display().to_string())?;
        ensure!(names(&bytes, OWN), "{} names nothing of rsl_core: it is stripped", library.display());
        for module in FOREIGN.into_iter().filter(|module| names(&bytes, module)) {
            println!("{} holds rsl_core::{module}", library.display());
            clean = false;
        }
    }
    Ok(clean)
}

/// The library in all its forms.
fn libraries(directory: PathBuf) -> Result<Vec<PathBuf>> {
    let names = ["librsl.so", "librsl.a", "librsl.dylib", "rsl.dll", "rsl.lib"];
    let found: Vec<_> =
        names.iter().map(|name| directory.join(name)).filter(|library| library.exists()).collect();
    ensure!(!found.is_empty(), "no library in {}", directory.display());
    Ok(found)
}

/// Whether a module of rsl_core is named in these bytes: in a symbol of either mangling, or as a source file.
fn names(bytes: &[u8], module: &str) -> bool {
    let length = module.len();
    let forms = [
        format!("rsl_core{length}{module}"),
        format!("rsl_core..{module}.."),
        format!("rsl-core/src/{module}/"),
    ];
    // Libraries are large: most bytes are passed over.
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'r').map(|(at, _)| &bytes[at..]);
    starts.into_iter().any(|rest| forms.iter().any(|form| rest.starts_with(form.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_every_form() {
        assert!(names(b"..._ZN8rsl_core3sim5world5World3run17h", "sim"));
        assert!(names(b"$LT$rsl_core..legacy_model..LegacyModel$u20$as", "legacy_model"));
        assert!(names(b"\0rsl-core/src/sim/world.rs\0", "sim"));
        assert!(!names(b"_ZN8rsl_core6engine4core6Engine4turn17h rsl_core..simple.. simulator", "sim"));
    }
}
