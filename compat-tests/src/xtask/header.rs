//! `cargo xtask header`: generates `include/rsl_c.h`, and from it the declarations of the C# bindings.

use crate::{c_header, csharp};
use anyhow::{Context as _, Result};

/// Writes both files. True.
pub(crate) fn run() -> Result<bool> {
    let header = c_header::generate()?;
    let declarations = csharp::generate(&header)?;
    for (path, text) in [(c_header::path(), header), (csharp::path(), declarations)] {
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("{} written", path.display());
    }
    Ok(true)
}
