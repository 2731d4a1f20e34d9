//! Helpers shared by the golden-data tests and by xtask.

pub mod golden;
pub mod xtask;
