//! Where the golden data is: what a running legacy replica wrote and said. It is not part of the repository.

use std::path::{Path, PathBuf};

/// The folder of golden data: `RSL_GOLDEN_DIR` when set, else `../shared/golden` beside the repository; `None` when
/// there is none. Tests that need it must then count as ignored, never as passed.
#[must_use]
pub fn dir() -> Option<PathBuf> {
    let dir = match std::env::var_os("RSL_GOLDEN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"),
    };
    dir.join("messages").is_dir().then_some(dir)
}
