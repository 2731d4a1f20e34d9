//! The model of the old library as a crate of its own, for `rsl legacy-model`.
//!
//! The source is that of `rsl_core::legacy_model`, which the simulator uses behind feature `sim`. Cargo gives a package
//! that is built once the features that anybody asked for: if the `rsl` binary switched `sim` on, a build of the whole
//! workspace would put model and simulator into `librsl` as well. A crate that `rsl-ffi` does not depend on cannot get
//! there, whatever is built together.

#![forbid(unsafe_code)]

// What the source knows as its crate.
use rsl_core::{engine, format, storage, types, wire};

#[path = "../../../rsl-core/src/legacy_model/mod.rs"]
mod legacy_model;

pub use legacy_model::{LegacyModel, NoStart, restore};
