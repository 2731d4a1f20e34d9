//! Requests, and what a running machine is told.

use std::ffi::c_void;
use std::time::Duration;

use rsl_core::replica::{Grouping, Replica};
use rsl_core::types::Decree;

use crate::callbacks::cookie_in;
use crate::codes::rsl_status;
use crate::convert;
use crate::guard::Fail;
use crate::machine::rsl_machine;
use crate::types::rsl_member_view;

/// Alone in its decree.
pub const RSL_REQ_EXCLUSIVE: u32 = 0x1;
/// With RSL_REQ_EXCLUSIVE: the last request that this machine takes.
pub const RSL_REQ_LAST: u32 = 0x2;

fn grouping(flags: u32) -> Result<Grouping, Fail> {
    match flags {
        0 => Ok(Grouping::Batched),
        RSL_REQ_EXCLUSIVE => Ok(Grouping::Exclusive),
        // Both together.
        3 => Ok(Grouping::LastDecree),
        _ => Err(Fail::argument(format!("request flags {flags:#x} are unknown"))),
    }
}

/// Submits a request. Never blocks, never calls back. The bytes are copied. After RSL_OK the cookie, any value, comes back
/// in exactly one execute_replicated or abort_request; after any other result it stays the caller's.
///
/// RSL_INVALID_PARAMETER when it is empty or too large, RSL_NOT_PRIMARY, RSL_SHUTTING_DOWN, RSL_QUEUE_FULL, RSL_E_STATE,
/// RSL_E_TOO_LARGE.
///
/// # Safety
/// `machine` is a handle; `request` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_replicate(
    machine: *mut rsl_machine,
    request: *const c_void,
    len: usize,
    cookie: *mut c_void,
    flags: u32,
) -> rsl_status {
    guard!(status, [machine = handle(machine), request = bytes(request, len)] {
        let (grouping, request) = (grouping(flags)?, convert::request(request)?);
        let cookie = cookie_in(cookie);
        machine.machine.require(|replica| replica.replicate(request, cookie, grouping))?.map_err(Fail::from)
    })
}

/// Submits a fast read that needs the state of decree max_seen or later; without a timeout it is refused rather than made
/// to wait. Never calls back. The bytes are copied. After RSL_OK the cookie comes back in exactly one execute_fast_read or
/// abort_request.
///
/// RSL_FAST_READ_STALE, RSL_INVALID_PARAMETER when it is empty, RSL_SHUTTING_DOWN, RSL_E_STATE, RSL_E_TOO_LARGE.
///
/// # Safety
/// `machine` is a handle; `request` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_fast_read(
    machine: *mut rsl_machine,
    max_seen: u64,
    request: *const c_void,
    len: usize,
    cookie: *mut c_void,
    timeout_ms: u32,
) -> rsl_status {
    guard!(status, [machine = handle(machine), request = bytes(request, len)] {
        let (request, cookie) = (convert::request(request)?, cookie_in(cookie));
        let timeout = Duration::from_millis(u64::from(timeout_ms));
        let read = |replica: &Replica| replica.fast_read(Decree(max_seen), request, cookie, timeout);
        machine.machine.require(read)?.map_err(Fail::from)
    })
}

/// Proposes another member set. Never blocks. After RSL_OK the cookie comes back in exactly one
/// notify_configuration_changed or abort_change_configuration. It stays in this process; what peers should see goes into
/// the cookie of the set.
///
/// RSL_INVALID_PARAMETER when the set cannot be used, RSL_NOT_PRIMARY, RSL_SHUTTING_DOWN, RSL_E_STATE.
///
/// # Safety
/// `machine` is a handle; `members` as the rules of this library say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_change_configuration(
    machine: *mut rsl_machine,
    members: *const rsl_member_view,
    cookie: *mut c_void,
) -> rsl_status {
    guard!(status, [machine = handle(machine), members = sized(members)] {
        // SAFETY: the caller passes a valid view.
        let members = convert::usable(unsafe { convert::members(&members) }?)?;
        let change = |replica: &Replica| replica.change_configuration(members, cookie_in(cookie));
        machine.machine.require(change)?.map_err(Fail::from)
    })
}

/// Copies a checkpoint from a peer that has one at least as new. Never blocks. After RSL_OK there is exactly one
/// state_copied with this cookie.
///
/// RSL_SHUTTING_DOWN, RSL_E_STATE.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_copy_state(
    machine: *mut rsl_machine,
    cookie: *mut c_void,
) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        let copy = |replica: &Replica| replica.copy_state_from_replica(cookie_in(cookie));
        machine.machine.require(copy)?.map_err(Fail::from)
    })
}

/// Asks for one election attempt.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_attempt_promotion(machine: *mut rsl_machine) -> rsl_status {
    guard!(status, [machine = handle(machine)] { machine.machine.require(Replica::attempt_promotion) })
}

/// Gives up being primary. Once a quorum has accepted, the machine shuts down and the process ends with code 0, unless the
/// exit policy says otherwise. Ignored unless primary, below version 5, and without a possible successor.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_relinquish_primary(machine: *mut rsl_machine) -> rsl_status {
    guard!(status, [machine = handle(machine)] { machine.machine.require(Replica::relinquish_primary) })
}

/// Another election delay from the next deadline on; ignored outside 1..3600.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_change_election_delay(
    machine: *mut rsl_machine,
    seconds: u32,
) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        let delay = Duration::from_secs(u64::from(seconds));
        machine.machine.require(|replica| replica.change_election_delay(delay))
    })
}

/// Suspends (0) or allows saving checkpoints. Not kept over a restart.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_allow_save_state(machine: *mut rsl_machine, yes: i32) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        machine.machine.require(|replica| replica.allow_save_state(yes != 0))
    })
}

/// The payload of this machine's vote answers, from the next one on.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_set_vote_payload(machine: *mut rsl_machine, payload: u64) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        machine.machine.require(|replica| replica.set_vote_payload(payload))
    })
}

/// Whether messages are answered, where RSL_CFG_GLOBAL_ACCEPT_FLAG says that this flag decides.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_set_accept_messages(
    machine: *mut rsl_machine,
    accept: i32,
) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        machine.machine.require(|replica| replica.set_accept_messages(accept != 0))
    })
}
