//! The few calls that differ between operating systems.

use std::fs::File;
use std::io;
use std::path::Path;

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
