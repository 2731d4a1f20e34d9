//! The C ABI of the library: `include/rsl_c.h` is generated from this crate.
//!
//! | file | duty |
//! |---|---|
//! | `codes.rs` | result codes and constants |
//! | `types.rs` | the structs that cross the boundary |
//! | `guard.rs` | the macro that guards every exported function; the last error; live handles |
//! | `sized.rs` | structs with `struct_size` in and out |
//! | `convert.rs` | C values <-> values of the library |
//! | `fatal.rs` | the one path that ends the process after a broken belief |
//! | `callbacks.rs` | the application's table as a state machine; threads of its own |
//! | `machine.rs`, `lifecycle.rs` | a machine: its handle; start, unload, end |
//! | `calls.rs`, `queries.rs` | requests and what a running machine is told; what it is asked |
//! | `members.rs` | member sets handed out |
//! | `streams.rs` | checkpoint streams |
//! | `checkpoint_tools.rs` | offline tools for checkpoint files |
//! | `process.rs`, `log.rs`, `log_files.rs` | process-wide settings; log entries |
//!
//! Rules that hold for every function, unless its comment says otherwise:
//! - A NULL or malformed argument gives a negative code and changes nothing. Out-parameters are written on success only.
//! - Input is borrowed for the call and copied. What callbacks get is theirs until they return.
//! - Every function may be called from any thread and from callbacks, and waits for no callback. Creating, initializing,
//!   replaying and destroying one machine is done in turn. No panic leaves the library: it ends the process as
//!   `rsl_fatal` does.
//! - A status is 0, a legacy code above it, or a negative code with a text; RSL_E_STATE on a machine that is not initialised.
//! - Strings are UTF-8 and end with a NUL.

// The names of the C header are the names of the types.
#![expect(non_camel_case_types, reason = "the names of the C header are the names of the types")]

const _: () = assert!(size_of::<usize>() == 8, "64-bit targets only");

#[macro_use]
mod guard;

mod callbacks;
mod calls;
mod checkpoint_tools;
mod codes;
mod convert;
mod fatal;
mod lifecycle;
mod log;
mod log_files;
mod machine;
mod members;
mod process;
mod queries;
mod sized;
mod streams;
mod types;

pub use callbacks::*;
pub use calls::*;
pub use checkpoint_tools::*;
pub use codes::*;
pub use lifecycle::*;
pub use machine::rsl_machine;
pub use members::*;
pub use process::*;
pub use queries::*;
pub use streams::*;
pub use types::*;
