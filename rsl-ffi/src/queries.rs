//! What a machine is asked.

use std::ffi::c_char;

use rsl_core::replica::{Replica, Role, Status};
use rsl_core::types::MemberId;

use crate::codes::{RSL_E_ARGUMENT, RSL_E_BUFFER_TOO_SMALL, RSL_E_NOT_FOUND, RSL_E_STATE, rsl_status};
use crate::convert::{self, into_array};
use crate::guard::{Fail, born};
use crate::machine::rsl_machine;
use crate::members::{MemberList, rsl_member_set};
use crate::types::{rsl_engine_status, rsl_health, rsl_log_file, rsl_node, rsl_stats};

/// The last executed decree; inside execute_replicated the one being executed. Waits for nothing. 0 before initialize.
///
/// # Safety
/// `machine` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_current_sequence(machine: *const rsl_machine) -> u64 {
    guard!(0, [machine = handle(machine)] {
        Ok(machine.machine.with(|replica| replica.current_sequence_number().0).unwrap_or(0))
    })
}

/// The last decree known here to be chosen. Waits for nothing. 0 before initialize.
///
/// # Safety
/// `machine` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_highest_passed_sequence(machine: *const rsl_machine) -> u64 {
    guard!(0, [machine = handle(machine)] {
        Ok(machine.machine.with(|replica| replica.highest_passed_sequence_number().0).unwrap_or(0))
    })
}

/// 1 = stable primary or stable secondary. Waits for nothing.
///
/// # Safety
/// `machine` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_is_stable(machine: *const rsl_machine) -> i32 {
    guard!(0, [machine = handle(machine)] {
        Ok(machine.machine.with(Replica::is_in_stable_state).unwrap_or(false).into())
    })
}

/// 1 = a chosen decree waits for execution or is being executed. Waits for nothing.
///
/// # Safety
/// `machine` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_has_pending_execution(machine: *const rsl_machine) -> i32 {
    guard!(0, [machine = handle(machine)] {
        Ok(machine.machine.with(Replica::is_any_request_pending_execution).unwrap_or(false).into())
    })
}

/// The node named in the newest accepted ballot, with its effective learn port: a hint. A node without id when it is
/// unknown.
///
/// # Safety
/// `machine` is a handle; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_current_primary(
    machine: *mut rsl_machine,
    out: *mut rsl_node,
) -> rsl_status {
    guard!(status, [machine = handle(machine), out = out(out)] {
        let primary = machine.machine.with(Replica::current_primary).flatten();
        out.set(primary.as_ref().map_or_else(convert::unknown_node, convert::c_node));
        Ok(())
    })
}

/// The executed configuration and its number; an empty set and 0 before bootstrap. Release the set with
/// rsl_member_set_free.
///
/// # Safety
/// `machine` is a handle; `out` can be written, `number_or_null` too unless it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_get_configuration(
    machine: *mut rsl_machine,
    out: *mut *mut rsl_member_set,
    number_or_null: *mut u32,
) -> rsl_status {
    guard!(status, [machine = handle(machine), out = out(out), number_out = out_or_null(number_or_null)] {
        let (number, members) = machine.machine.require(Replica::configuration)?;
        let handle = MemberList::new(&members).into_handle();
        born(handle);
        out.set(handle);
        if let Some(target) = number_out {
            target.set(number);
        }
        Ok(())
    })
}

/// What a primary knows of its members: peers in the order of the configuration, then itself; nothing elsewhere. The caller
/// sets struct_size of the first element; it is the distance of the elements. *count always gets the number of members.
///
/// RSL_E_BUFFER_TOO_SMALL when cap is below that. Must not be called inside resolve_node.
///
/// # Safety
/// `machine` is a handle; `array` is valid for `cap` elements of its size; `count` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_replicas_health(
    machine: *mut rsl_machine,
    array: *mut rsl_health,
    cap: usize,
    count: *mut usize,
) -> rsl_status {
    guard!(status, [machine = handle(machine), count = out(count)] {
        // SAFETY: the caller passes an array of `cap` elements.
        let array = if cap > 0 { Some(unsafe { crate::guard::out_sized(array) }?) } else { None };
        let members = machine.machine.with(Replica::replicas_information).unwrap_or_default();
        count.set(members.len());
        if members.len() > cap {
            return Err(Fail::new(RSL_E_BUFFER_TOO_SMALL, format!("{} members", members.len())));
        }
        if let Some(array) = array {
            for (index, member) in members.iter().enumerate() {
                // SAFETY: below `cap`.
                unsafe { array.set_at(index, &convert::health(member)) };
            }
        }
        Ok(())
    })
}

/// What a primary knows of one member, itself included.
///
/// RSL_E_NOT_FOUND when it is not primary, or does not know the member. Must not be called inside resolve_node.
///
/// # Safety
/// `machine` is a handle; `member_id` is a string; `out` is valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_replica_health(
    machine: *mut rsl_machine,
    member_id: *const c_char,
    out: *mut rsl_health,
) -> rsl_status {
    guard!(status, [machine = handle(machine), member = text(member_id), out = out_sized(out)] {
        let id: MemberId =
            member.parse().map_err(|_| Fail::new(RSL_E_ARGUMENT, "the member id is too long"))?;
        let found = machine.machine.with(|replica| replica.replica_information(id)).flatten();
        let found = found.ok_or_else(|| Fail::new(RSL_E_NOT_FOUND, "not primary, or no such member"))?;
        out.set(&convert::health(&found));
        Ok(())
    })
}

/// The increments since the previous call.
///
/// # Safety
/// `machine` is a handle; `out` is valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_stats(machine: *mut rsl_machine, out: *mut rsl_stats) -> rsl_status {
    guard!(status, [machine = handle(machine), out = out_sized(out)] {
        if out.size() < 16 {
            return Err(Fail::new(RSL_E_ARGUMENT, "struct_size is too small for a field"));
        }
        let stats = machine.machine.require(Replica::take_stats)?;
        out.set(&convert::stats(&stats));
        Ok(())
    })
}

/// The state of the machine's consensus. Not part of the legacy API.
///
/// # Safety
/// `machine` is a handle; `out` is valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_engine_status(
    machine: *mut rsl_machine,
    out: *mut rsl_engine_status,
) -> rsl_status {
    guard!(status, [machine = handle(machine), out = out_sized(out)] {
        out.set(&engine_status(&status_of(machine)?));
        Ok(())
    })
}

/// The log files that are served, oldest first. *count always gets their number. Not part of the legacy API.
///
/// RSL_E_BUFFER_TOO_SMALL when cap is below that.
///
/// # Safety
/// `machine` is a handle; `array` is valid for `cap` elements; `count` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_log_files(
    machine: *mut rsl_machine,
    array: *mut rsl_log_file,
    cap: usize,
    count: *mut usize,
) -> rsl_status {
    guard!(status, [machine = handle(machine), array = buffer(array, cap), count = out(count)] {
        let files = status_of(machine)?.logs;
        count.set(files.len());
        if files.len() > array.len() {
            return Err(Fail::new(RSL_E_BUFFER_TOO_SMALL, format!("{} files", files.len())));
        }
        for (to, file) in array.iter_mut().zip(&files) {
            let (first, last) = file.votes.unwrap_or_default();
            *to = rsl_log_file { first: first.0, last: last.0, len: file.len };
        }
        Ok(())
    })
}

fn status_of(machine: &rsl_machine) -> Result<Status, Fail> {
    let status = machine.machine.with(Replica::status).flatten();
    status.ok_or_else(|| Fail::new(RSL_E_STATE, "the machine is not initialised"))
}

fn engine_status(status: &Status) -> rsl_engine_status {
    let primary = status.current_primary.unwrap_or(MemberId::EMPTY);
    rsl_engine_status {
        struct_size: 0,
        role: match status.role {
            Role::Inactive => 0,
            Role::Primary => 1,
            Role::Secondary => 2,
            Role::Preparing => 3,
            Role::Initializing => 4,
        },
        version: i32::from(status.version.number()),
        is_saving: status.saving.into(),
        configuration: status.configuration,
        state_configuration: status.state_configuration,
        defunct: status.defunct,
        accepted_configuration: status.accepted_configuration,
        accepted_decree: status.accepted.decree.0,
        accepted_ballot: status.accepted.ballot.id,
        promised_ballot: status.promised.id,
        accepted_member: into_array(status.accepted.ballot.member.as_bytes()),
        promised_member: into_array(status.promised.member.as_bytes()),
        current_primary: into_array(primary.as_bytes()),
        checkpointed_decree: status.log_range.checkpointed_decree.0,
        checkpoint_size: status.log_range.checkpoint_size,
        save_checkpoint_at: status.save_at.map_or(0, |decree| decree.0),
        copy_checkpoint_at: status.copy_at.map_or(0, |decree| decree.0),
    }
}
