//! Files of a replica: the log and its index, checkpoints, restart, retention. Generic over a [`Disk`].
//!
//! | file | duty |
//! |---|---|
//! | `disk.rs` | what is asked of a file system, and what survives a power failure |
//! | `os.rs`, `sys.rs` | the operating system's |
//! | `mem.rs` | one in memory, for tests and simulations |
//! | `log_writer.rs` | appending records |
//! | `log_index.rs` | where each vote is; serving and reading back |
//! | `directory.rs` | the data directory: lock, small files, listing |
//! | `checkpoint_reader.rs`, `checkpoint_writer.rs` | checkpoint files: load, save, copy, publish |
//! | `retention.rs` | what is deleted |
//! | `restore.rs`, `replay.rs`, `replay/` | restart |
//! | `outcome.rs` | what a restart reports, and why it fails |
//! | `rerun.rs` | replay mode: the history executed up to a decree, reading only |
//! | `plan.rs` | what a restart would do, without doing it |
//! | `rewrite.rs`, `log_update.rs` | files changed while no replica uses them |

mod checkpoint_reader;
mod checkpoint_writer;
mod directory;
mod disk;
mod log_index;
mod log_update;
mod log_writer;
#[cfg(any(test, feature = "sim"))]
mod mem;
#[cfg(feature = "runtime")]
mod os;
mod outcome;
mod plan;
mod replay;
mod rerun;
mod restore;
mod retention;
mod rewrite;
#[cfg(feature = "runtime")]
mod sys;

pub use checkpoint_reader::{CheckpointError, CheckpointReader};
pub use checkpoint_writer::{CheckpointWriter, CopyRequest, NewCheckpoint, PublishError, copy_checkpoint};
pub use directory::{Directory, DirectoryError, Listing, data_directory, read_defunct, read_promise};
pub use disk::{DirEntry, DirLock, Disk, DiskFile, LockError, OpenMode, read_file};
pub use log_index::{IndexedLog, LogIndex, ReadBackError, Segment};
pub use log_update::{LogUpdateError, cut_log, log_end, update_log};
pub use log_writer::{LogWriteError, LogWriter};
#[cfg(any(test, feature = "sim"))]
pub use mem::MemDisk;
#[cfg(feature = "runtime")]
pub use os::OsDisk;
pub use outcome::{Note, RestoreError, RestoreReason};
pub use plan::{Plan, PlannedStart, plan};
pub use rerun::{Replayed, RerunSaveError, rerun, save_rerun};
pub use restore::{Restore, RestoreSettings, RestoreTarget, Restored, SaveAnswer, restore};
pub use retention::{DeleteError, Retention, superfluous};
pub use rewrite::{CheckpointRewrite, RewriteError, change_checkpoint, changed_header, make_checkpoint};

#[cfg(test)]
mod tests;
