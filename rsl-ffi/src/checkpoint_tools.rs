//! Offline tools for checkpoint files [STOR-71].

use std::ffi::{c_char, c_void};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsl_core::format::{CheckpointHeader, FileName};
use rsl_core::storage::{CheckpointReader, Disk, Listing, OsDisk};
use rsl_core::types::{Ballot, Configuration, Decree, MemberId, MemberSet, ProtocolVersion};
use rsl_core::wire::{Header, Vote, VoteContent};

use crate::codes::{
    RSL_E_ARGUMENT, RSL_E_CORRUPT, RSL_E_IO, RSL_INVALID_PARAMETER, RSL_WIN32_FILE_NOT_FOUND,
    RSL_WIN32_INSUFFICIENT_BUFFER, RSL_WIN32_INVALID_PARAMETER, RSL_WIN32_OK, RSL_WIN32_PATH_NOT_FOUND,
    rsl_status, rsl_win32,
};
use crate::convert;
use crate::guard::{Fail, born, dead};
use crate::members::{MemberList, rsl_member_set};
use crate::rewrite::Rewrite;
use crate::streams::{Writer, rsl_writer};
use crate::types::rsl_member_view;

/// Writes the application's state; the writer is valid during the call.
pub type rsl_save_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, writer: *mut rsl_writer)>;

fn io_fail(error: &io::Error) -> Fail {
    Fail::new(RSL_E_IO, error.to_string())
}

fn unusable(error: &dyn std::fmt::Display) -> Fail {
    tracing::error!(%error, "the checkpoint tools refuse");
    Fail::new(RSL_INVALID_PARAMETER, error.to_string())
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
        if last_seq == 0 || last_seq == u64::MAX {
            return Err(Fail::argument("last_seq: is no decree that can have been executed"));
        }
        // SAFETY: the caller passes a valid view.
        let members = members.map(|view| unsafe { convert::members(&view) }).transpose()?;
        let header = new_header(version, Decree(last_seq), configuration_number, members)?;
        let path = Path::new(dir).join(FileName::Checkpoint(Decree(last_seq)).to_string());
        replace(&path, header, |file| {
            let mut writer = Writer::borrowed(file);
            let handle = (&raw mut writer).cast::<rsl_writer>();
            born(handle);
            // SAFETY: the caller passes a function that can be called with `ctx`; the writer lives until it returns.
            unsafe { save(ctx, handle) };
            dead(handle);
            writer.result().map_err(|code| Fail::new(RSL_E_IO, format!("writing the state failed with {code}")))
        })
    })
}

fn new_header(
    version: ProtocolVersion,
    executed: Decree,
    number: u32,
    members: Option<MemberSet>,
) -> Result<CheckpointHeader, Fail> {
    let named = version.has_configuration();
    if named && members.is_none() {
        return Err(Fail::argument("members: are needed from version 3 on"));
    }
    if let Some(members) = &members {
        members.verify(version).map_err(|error| unusable(&error))?;
    }
    let members = Arc::new(members.unwrap_or_default());
    let first = members.nodes.first().filter(|_| named).map_or(MemberId::EMPTY, |node| node.id);
    let ballot = Ballot { id: 1, member: first };
    let next = Header::new(version, first, executed.next(), number, ballot);
    let next_vote = Vote::new(next, &VoteContent::default()).map_err(|error| unusable(&error))?;
    Ok(CheckpointHeader {
        version,
        member: first,
        executed,
        promised: ballot,
        configuration: named.then_some(Configuration { number, initial_decree: executed, members }),
        state_saved: true,
        size: 0,
        block_size: CheckpointHeader::block_size_for(version),
        next_vote,
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
        let reader = open(path)?;
        let mut header = reader.header().clone();
        let version = match version_or_0 {
            0 if header.version.has_configuration() => header.version,
            0 => return Err(unusable(&"the file is older than version 3 and knows no members")),
            3 => ProtocolVersion::V3,
            4 => ProtocolVersion::V4,
            other => return Err(Fail::argument(format!("version_or_0: {other}"))),
        };
        members.verify(version).map_err(|error| unusable(&error))?;
        let members = Arc::new(members);
        header.configuration = Some(match header.configuration.take() {
            Some(configuration) => Configuration { members, ..configuration },
            None => Configuration { number: 1, initial_decree: Decree::ZERO, members },
        });
        header.version = version;
        if !version.has_string_ids() {
            // Version 3 has no blocks [HARD-538] [HARD-55].
            header.block_size = 0;
            header.size = 0;
        }
        replace(Path::new(path), header, |file| copy(reader, file))
    })
}

fn open(path: &str) -> Result<CheckpointReader, Fail> {
    CheckpointReader::open(&OsDisk, Path::new(path))
        .map_err(|error| Fail::new(RSL_E_CORRUPT, format!("{path}: {error}")))
}

/// Closes the source at the end: an open file may not be replaceable on Windows.
fn copy(mut from: CheckpointReader, to: &mut Rewrite) -> Result<(), Fail> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(|error| io_fail(&error))?,
            Err(error) => return Err(Fail::new(RSL_E_CORRUPT, error.to_string())),
        }
    }
}

/// Writes `<path>.tmp` and gives it its name when it is complete [API-43] [HARD-60].
fn replace(
    path: &Path,
    header: CheckpointHeader,
    fill: impl FnOnce(&mut Rewrite) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = Rewrite::create(header, &temporary).map_err(|error| io_fail(&error))?;
    fill(&mut file)?;
    file.finish().map_err(|error| io_fail(&error))?;
    OsDisk.rename(&temporary, path).map_err(|error| {
        // Best effort: a name that ends in .tmp is no checkpoint.
        let _ = std::fs::remove_file(&temporary);
        io_fail(&error)
    })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    OsDisk.sync_dir(directory).map_err(|error| io_fail(&error))
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
        let reader = open(path)?;
        let configuration = reader.header().configuration.as_ref();
        let configuration =
            configuration.ok_or_else(|| unusable(&"the file is older than version 3 and knows no members"))?;
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
    let path = Path::new(dir).join(FileName::Checkpoint(*newest).to_string());
    let path = path.to_string_lossy();
    let Some(room) = target.get_mut(..=path.len()) else { return RSL_WIN32_INSUFFICIENT_BUFFER };
    room[..path.len()].copy_from_slice(path.as_bytes());
    room[path.len()] = 0;
    RSL_WIN32_OK
}
