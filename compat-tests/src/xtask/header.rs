//! `cargo xtask header`: generates `include/rsl_c.h`.

use crate::c_header::{generate, path};
use anyhow::{Context as _, Result};

/// Writes the header. True.
pub(crate) fn run() -> Result<bool> {
    std::fs::write(path(), generate()?).with_context(|| path().display().to_string())?;
    println!("{} written", path().display());
    Ok(true)
}
