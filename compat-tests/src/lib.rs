//! Helpers shared by the golden-data tests and by xtask.

pub mod c_header;
pub mod csharp;
pub mod damage;
pub mod golden;
pub mod host_state;
pub mod managed;
pub mod native;
pub mod probes;
pub mod sample;
pub mod synthetic;
pub mod windows;
pub mod xtask;
