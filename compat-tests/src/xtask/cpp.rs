//! `cargo xtask cpp`: builds the C++ host and the samples under `target/cpp/`.

use anyhow::Result;

use crate::native::build_programs;

/// Builds them against the library of the profile. True.
pub(crate) fn run(release: bool) -> Result<bool> {
    for program in build_programs(release)? {
        println!("{}", program.display());
    }
    Ok(true)
}
