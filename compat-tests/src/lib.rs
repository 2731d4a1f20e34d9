//! Helpers shared by the golden-data tests and by xtask.

pub mod damage;
pub mod golden;
pub mod probes;
pub mod xtask;
