//! Bytes <-> on-disk records: logs, checkpoints, small files. Pure; no file is opened here.
//!
//! | file | duty |
//! |---|---|
//! | `record.rs` | a log record <-> its pages |
//! | `scan.rs` | the records of a log file, and what its tail is |
//! | `stream.rs` | the records of a learn stream |
//! | `checkpoint.rs` | checkpoint headers, versions 1 to 6 |
//! | `body.rs` | where the state is in a checkpoint, raw or in blocks |
//! | `names.rs` | file names |
//! | `small.rs` | `defunct.txt` and the promise file |

mod body;
mod checkpoint;
mod names;
mod record;
mod scan;
mod small;
mod stream;

pub use body::{BLOCK_CHECKSUM, BLOCK_SIZE, Block, BodyError, BodyLayout};
pub use checkpoint::{CheckpointHeader, HeaderEncodeError, HeaderError};
pub use names::{
    DEFUNCT_FILE, FileName, LOCK_FILE, LegacyName, OWNER_FILE, PROMISE_FILE, TEMP_DIRECTORY, is_foreign,
};
pub use record::{PAGE, Record, RecordError, RecordId, record_head, round_to_page};
pub use scan::{FaultReason, LogEnd, LogFault, LogScanner, ReadAt, Step, Tail, TailRecord, read_exact_at};
pub use small::{Promise, PromiseError, decode_defunct, encode_defunct};
pub use stream::{RecordStream, StreamError};

#[cfg(test)]
mod tests;
