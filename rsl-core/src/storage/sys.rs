//! The few calls that differ between operating systems.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a lock is waited for. The lock goes with its holder.
#[cfg(unix)]
pub(super) const LOCK_PATIENCE: Duration = Duration::ZERO;

/// How long a lock is waited for: Windows may take a while to release those of a process that has ended, and a killed
/// replica must find its directory free when it comes back.
#[cfg(windows)]
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Reads at an offset; may return fewer bytes than asked.
#[cfg(unix)]
pub(super) fn read_some_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

/// Reads at an offset; may return fewer bytes than asked.
#[cfg(windows)]
pub(super) fn read_some_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

/// Writes at an offset; may write fewer bytes than asked.
#[cfg(unix)]
pub(super) fn write_some_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

/// Writes at an offset; may write fewer bytes than asked.
#[cfg(windows)]
pub(super) fn write_some_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// Renames a file, replacing one of the new name.
#[cfg(unix)]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Renames a file, replacing one of the new name. All our files are opened so that others may rename and delete them.
#[cfg(windows)]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    undisturbed(|| std::fs::rename(from, to))
}

/// Removes a file.
#[cfg(unix)]
pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Removes a file. Without POSIX semantics (before Windows 10 1809, and under Wine) its name stays until the last handle
/// to it is closed; opening it fails meanwhile.
#[cfg(windows)]
pub(super) fn remove(path: &Path) -> io::Result<()> {
    undisturbed(|| std::fs::remove_file(path))
}

/// Repeats an action for up to about a second while another process holds the file open in a way that forbids it, as
/// indexers and virus scanners do for a moment.
#[cfg(windows)]
fn undisturbed(action: impl Fn() -> io::Result<()>) -> io::Result<()> {
    use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION};
    let mut pause = Duration::from_millis(1);
    for _ in 0..10 {
        let code = match action() {
            Ok(()) => return Ok(()),
            Err(error) => error.raw_os_error().and_then(|code| u32::try_from(code).ok()),
        };
        if !matches!(code, Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION)) {
            break;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    action()
}

/// Waits until the names in a directory are on stable storage.
#[cfg(unix)]
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Waits until the names in a directory are on stable storage. NTFS journals names; flushing the directory forces the
/// journal out, where the file system and the rights of this process allow that.
#[cfg(windows)]
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    use std::os::windows::fs::OpenOptionsExt;
    /// Needed to open a directory.
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    /// What file systems without such a flush answer.
    const ERROR_INVALID_FUNCTION: i32 = 1;
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(directory);
    match opened.and_then(|directory| directory.sync_all()) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                || error.raw_os_error() == Some(ERROR_INVALID_FUNCTION) =>
        {
            Ok(())
        }
        result => result,
    }
}
