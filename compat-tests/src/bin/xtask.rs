//! Project automation: `cargo xtask <command>`, a thin front over `compat_tests::xtask`.

use std::process::ExitCode;

fn main() -> ExitCode {
    compat_tests::xtask::main()
}
