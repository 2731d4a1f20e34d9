//! Offline tools for checkpoint files [STOR-71].

use std::ffi::{c_char, c_void};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rsl_core::storage::{
    CheckpointReader, CheckpointRewrite, Disk, Listing, OsDisk, RewriteError, change_checkpoint,
    make_checkpoint,
};
use rsl_core::types::{Decree, ProtocolVersion};

use crate::codes::{
    RSL_E_ARGUMENT, RSL_E_CORRUPT, RSL_E_IO, RSL_INVALID_PARAMETER, RSL_WIN32_FILE_NOT_FOUND,
    RSL_WIN32_INSUFFICIENT_BUFFER, RSL_WIN32_INVALID_PARAMETER, RSL_WIN32_OK, RSL_WIN32_PATH_NOT_FOUND,
    rsl_status, rsl_win32,
};
use crate::convert;
use crate::guard::{Fail, born, dead};
use crate::members::{MemberList, rsl_member_set};
use crate::streams::{Writer, rsl_writer};
use crate::types::rsl_member_view;

/// Writes the application's state; the writer is valid during the call.
pub type rsl_save_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, writer: *mut rsl_writer)>;

/// What a refusal is for the caller.
fn refused(error: &RewriteError) -> Fail {
    tracing::error!(%error, "the checkpoint tools refuse");
    let code = match error {
        RewriteError::Io(_) => RSL_E_IO,
        RewriteError::Unreadable { .. } => RSL_E_CORRUPT,
        RewriteError::NoMembers | RewriteError::Decree(_) => RSL_E_ARGUMENT,
        _ => RSL_INVALID_PARAMETER,
    };
    Fail::new(code, error.to_string())
}

/// Writes `<dir>/<last_seq>.codex`, the checkpoint of a replica that has executed last_seq > 0 in the configuration
/// configuration_number. Members may be NULL in versions 1 and 2 only. Calls save once, on this thread. The file appears
/// when it is complete.
///
/// RSL_E_ARGUMENT, RSL_INVALID_PARAMETER when the members cannot be used, RSL_E_IO.
///
/// # Safety
/// `dir` is a string; `members_or_null` as the rules of this library say; `save` can be called with `ctx`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_checkpoint_save(
    dir: *const c_char,
    version: i32,
    last_seq: u64,
    configuration_number: u32,
    members_or_null: *const rsl_member_view,
    save: rsl_save_fn,
    ctx: *mut c_void,
) -> rsl_status {
    guard!(status, [dir = text(dir), members = sized_or_null(members_or_null)] {
        let version = convert::version(version)?;
        let save = save.ok_or_else(|| Fail::argument("save: is NULL"))?;
        // SAFETY: the caller passes a valid view.
        let members = members.map(|view| unsafe { convert::members(&view) }).transpose()?;
        let fill = &mut |file: &mut CheckpointRewrite| {
            let mut writer = Writer::borrowed(file);
            let handle = (&raw mut writer).cast::<rsl_writer>();
            born(handle);
            // SAFETY: the caller passes a function that can be called with `ctx`; the writer lives until it returns.
            unsafe { save(ctx, handle) };
            dead(handle);
            let failed = |code| io::Error::other(format!("writing the state failed with {code}"));
            writer.result().map_err(|code| RewriteError::Io(failed(code)))
        };
        let (dir, last) = (Path::new(dir), Decree(last_seq));
        make_checkpoint(&disk(), dir, version, last, configuration_number, members, fill)
            .map_err(|error| refused(&error))
    })
}

/// Replaces the members in a checkpoint file; its state stays. version_or_0: 0 keeps the protocol version, which must be
/// at least 3; 3 and 4 set it. The file is replaced when its successor is complete.
///
/// RSL_INVALID_PARAMETER when the members cannot be used in that version, RSL_E_CORRUPT, RSL_E_IO.
///
/// # Safety
/// `path` is a string; `members` as the rules of this library say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_checkpoint_set_members(
    path: *const c_char,
    version_or_0: i32,
    members: *const rsl_member_view,
) -> rsl_status {
    guard!(status, [path = text(path), members = sized(members)] {
        // SAFETY: the caller passes a valid view.
        let members = unsafe { convert::members(&members) }?;
        let version = match version_or_0 {
            0 => None,
            3 => Some(ProtocolVersion::V3),
            4 => Some(ProtocolVersion::V4),
            other => return Err(Fail::argument(format!("version_or_0: {other}"))),
        };
        change_checkpoint(&disk(), Path::new(path), version, members).map_err(|error| refused(&error))
    })
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

/// The members in a checkpoint file, with their cookie. Release the set with rsl_member_set_free.
///
/// RSL_E_CORRUPT, also for a file that is not there; RSL_INVALID_PARAMETER for one older than version 3.
///
/// # Safety
/// `path` is a string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_checkpoint_get_members(
    path: *const c_char,
    out: *mut *mut rsl_member_set,
) -> rsl_status {
    guard!(status, [path = text(path), out = out(out)] {
        let reader = CheckpointReader::open(&OsDisk, Path::new(path))
            .map_err(|error| Fail::new(RSL_E_CORRUPT, format!("{path}: {error}")))?;
        let configuration = reader.header().configuration.as_ref();
        let configuration = configuration.ok_or_else(|| refused(&RewriteError::TooOld))?;
        let handle = MemberList::new(&configuration.members).into_handle();
        born(handle);
        out.set(handle);
        Ok(())
    })
}

/// The path of the newest checkpoint in a directory: the one with the highest number; its content is not looked at.
/// ERROR_INVALID_PARAMETER for NULL or nothing, ERROR_PATH_NOT_FOUND, ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER.
///
/// # Safety
/// `dir` is a string; `buffer` is valid for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_checkpoint_latest(
    dir: *const c_char,
    buffer: *mut c_char,
    cap: usize,
) -> rsl_win32 {
    let mut code = RSL_WIN32_INVALID_PARAMETER;
    guard!(status, [dir = text(dir), target = buffer(buffer.cast::<u8>(), cap)] {
        if dir.is_empty() || target.is_empty() {
            return Err(Fail::new(RSL_E_ARGUMENT, "is empty"));
        }
        code = latest(dir, target);
        Ok(())
    });
    code
}

fn latest(dir: &str, target: &mut [u8]) -> rsl_win32 {
    let Ok(listing) = Listing::read(&OsDisk, Path::new(dir)) else { return RSL_WIN32_PATH_NOT_FOUND };
    let Some(newest) = listing.checkpoints.iter().max() else { return RSL_WIN32_FILE_NOT_FOUND };
    let path = Path::new(dir).join(Listing::checkpoint_name(*newest));
    let path = path.to_string_lossy();
    let Some(room) = target.get_mut(..=path.len()) else { return RSL_WIN32_INSUFFICIENT_BUFFER };
    room[..path.len()].copy_from_slice(path.as_bytes());
    room[path.len()] = 0;
    RSL_WIN32_OK
}
