//! Runs replica hosts as processes and judges what they did; shared by the `rsl` commands and the process tests.

#![forbid(unsafe_code)]

pub mod exec_log;
pub mod host;
