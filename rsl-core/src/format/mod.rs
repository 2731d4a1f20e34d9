//! Bytes <-> on-disk records: logs, checkpoints, small files. Pure; no file is opened here.

mod record;

pub use record::{PAGE, Record, round_to_page};
