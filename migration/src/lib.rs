//! The parts of the `rsl` binary that tests also call: the inspection of files, and the driver that runs replica hosts
//! as processes and judges what they did.

#![forbid(unsafe_code)]

pub mod check_upgrade;
pub mod convert;
pub mod exec_log;
pub mod host;
pub mod inspect;
pub mod oracle;
pub mod replica;
pub mod verify;
