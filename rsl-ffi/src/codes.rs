//! Result codes and constants.

use std::io;

/// Result of most functions. 0..6 are the legacy RSLResponseCode, 100 and above are response codes of our own, negative
/// values say that the call itself was wrong or failed; `rsl_last_error` has a text for those. Never renumbered.
pub type rsl_status = i32;

/// Done. For a request: accepted, its cookie comes back exactly once.
pub const RSL_OK: rsl_status = 0;
/// This replica is not far enough for the fast read.
pub const RSL_FAST_READ_STALE: rsl_status = 1;
/// This replica is not the primary. For an aborted request: its outcome is unknown.
pub const RSL_NOT_PRIMARY: rsl_status = 2;
/// The replica drains or shuts down.
pub const RSL_SHUTTING_DOWN: rsl_status = 3;
/// A primary of an earlier bootstrap has been seen.
pub const RSL_ALREADY_BOOTSTRAPPED: rsl_status = 4;
/// The bootstrap did not come to a primary in time, or cannot.
pub const RSL_BOOTSTRAP_FAILED: rsl_status = 5;
/// An argument that the library understands but cannot use: an empty or oversized request, an unusable member set.
pub const RSL_INVALID_PARAMETER: rsl_status = 6;
/// Too many bytes of requests wait already; try again later.
pub const RSL_QUEUE_FULL: rsl_status = 100;
/// NULL, out of range or malformed.
pub const RSL_E_ARGUMENT: rsl_status = -1;
/// The machine is not initialised, was unloaded, or is running already.
pub const RSL_E_STATE: rsl_status = -2;
/// Must not be called inside a callback.
pub const RSL_E_REENTRANT: rsl_status = -3;
/// The buffer is too small; the needed count was written.
pub const RSL_E_BUFFER_TOO_SMALL: rsl_status = -4;
/// A struct_size that cannot be, or a field this library does not know is used.
pub const RSL_E_ABI: rsl_status = -5;
/// The configuration is refused.
pub const RSL_E_CONFIG: rsl_status = -6;
/// A file operation failed.
pub const RSL_E_IO: rsl_status = -7;
/// Files are damaged, or the application refused every state they hold.
pub const RSL_E_CORRUPT: rsl_status = -8;
/// A port cannot be listened on.
pub const RSL_E_NETWORK: rsl_status = -9;
/// TLS was asked for and cannot be had.
pub const RSL_E_TLS: rsl_status = -10;
/// There is no such member or checkpoint.
pub const RSL_E_NOT_FOUND: rsl_status = -11;
/// Above a limit.
pub const RSL_E_TOO_LARGE: rsl_status = -12;
/// A callback reported failure.
pub const RSL_E_CALLBACK: rsl_status = -13;

/// Result of the stream functions: a Win32 error number, on every platform.
pub type rsl_win32 = u32;

/// Win32: the operation succeeded.
pub const RSL_WIN32_OK: rsl_win32 = 0;
/// Win32: the file is not there.
pub const RSL_WIN32_FILE_NOT_FOUND: rsl_win32 = 2;
/// Win32: the directory is not there.
pub const RSL_WIN32_PATH_NOT_FOUND: rsl_win32 = 3;
/// Win32: access is denied.
pub const RSL_WIN32_ACCESS_DENIED: rsl_win32 = 5;
/// Win32: the stream is closed.
pub const RSL_WIN32_INVALID_HANDLE: rsl_win32 = 6;
/// Win32: no memory.
pub const RSL_WIN32_OUT_OF_MEMORY: rsl_win32 = 14;
/// Win32: the data is damaged.
pub const RSL_WIN32_CRC: rsl_win32 = 23;
/// Win32: in use by somebody else.
pub const RSL_WIN32_SHARING_VIOLATION: rsl_win32 = 32;
/// Win32: the end of the stream.
pub const RSL_WIN32_HANDLE_EOF: rsl_win32 = 38;
/// Win32: the file is there already.
pub const RSL_WIN32_FILE_EXISTS: rsl_win32 = 80;
/// Win32: a parameter is wrong.
pub const RSL_WIN32_INVALID_PARAMETER: rsl_win32 = 87;
/// Win32: the disk is full.
pub const RSL_WIN32_DISK_FULL: rsl_win32 = 112;
/// Win32: the buffer is too small.
pub const RSL_WIN32_INSUFFICIENT_BUFFER: rsl_win32 = 122;
/// Win32: the name is too long.
pub const RSL_WIN32_NAME_TOO_LONG: rsl_win32 = 206;
/// Win32: the device failed.
pub const RSL_WIN32_IO_DEVICE: rsl_win32 = 1117;

/// The Win32 number of an I/O error; never an errno [API-7]. Windows says it itself.
pub(crate) fn win32(error: &io::Error) -> rsl_win32 {
    #[cfg(windows)]
    if let Some(number) =
        error.raw_os_error().and_then(|number| u32::try_from(number).ok()).filter(|n| *n != 0)
    {
        return number;
    }
    match error.kind() {
        io::ErrorKind::NotFound => RSL_WIN32_FILE_NOT_FOUND,
        io::ErrorKind::NotADirectory => RSL_WIN32_PATH_NOT_FOUND,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => RSL_WIN32_ACCESS_DENIED,
        io::ErrorKind::OutOfMemory => RSL_WIN32_OUT_OF_MEMORY,
        io::ErrorKind::AlreadyExists => RSL_WIN32_FILE_EXISTS,
        io::ErrorKind::InvalidInput => RSL_WIN32_INVALID_PARAMETER,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RSL_WIN32_DISK_FULL,
        io::ErrorKind::InvalidFilename => RSL_WIN32_NAME_TOO_LONG,
        io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock => RSL_WIN32_SHARING_VIOLATION,
        // A checkpoint that ends early or whose blocks are damaged.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => RSL_WIN32_CRC,
        _ => RSL_WIN32_IO_DEVICE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [CABI-11] [API-7] What the disk reports comes out as a Win32 number.
    #[test]
    fn io_errors_are_win32_numbers() {
        for (kind, number) in [
            (io::ErrorKind::NotFound, 2),
            (io::ErrorKind::NotADirectory, 3),
            (io::ErrorKind::PermissionDenied, 5),
            (io::ErrorKind::ReadOnlyFilesystem, 5),
            (io::ErrorKind::OutOfMemory, 14),
            (io::ErrorKind::AlreadyExists, 80),
            (io::ErrorKind::InvalidInput, 87),
            (io::ErrorKind::StorageFull, 112),
            (io::ErrorKind::QuotaExceeded, 112),
            (io::ErrorKind::ResourceBusy, 32),
            (io::ErrorKind::InvalidData, 23),
            (io::ErrorKind::UnexpectedEof, 23),
            (io::ErrorKind::BrokenPipe, 1117),
        ] {
            assert_eq!(win32(&kind.into()), number, "{kind}");
        }
        #[cfg(unix)]
        for (errno, number) in
            [(2, 2), (20, 3), (13, 5), (1, 5), (30, 5), (12, 14), (17, 80), (22, 87), (28, 112)]
        {
            assert_eq!(win32(&io::Error::from_raw_os_error(errno)), number, "errno {errno}");
        }
        #[cfg(windows)]
        for number in [2, 3, 5, 32, 80, 112, 206, 1117] {
            assert_eq!(win32(&io::Error::from_raw_os_error(number)), number.unsigned_abs());
        }
    }
}
