//! Settings of the whole process.

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use crate::callbacks::rsl_callbacks;
use crate::codes::{RSL_E_NOT_FOUND, RSL_E_TLS, rsl_status};
use crate::convert;
use crate::fatal::{MINIDUMPS, fatal};
use crate::guard::{Fail, Inside, inside_callback, last_error};
use crate::log;
use crate::machine::rsl_machine;
use crate::types::{
    RSL_EXIT_REASON_FATAL, rsl_config, rsl_engine_status, rsl_exit_policy, rsl_health, rsl_init_params,
    rsl_log_file, rsl_log_record, rsl_member_view, rsl_node, rsl_spawn, rsl_stats,
};

/// Changes that break callers.
pub const RSL_ABI_MAJOR: u32 = 1;
/// Additions.
pub const RSL_ABI_MINOR: u32 = 1;

/// Machines listen on all addresses.
pub(crate) static LISTEN_ON_ALL: AtomicBool = AtomicBool::new(false);
/// TLS was asked for, so plaintext is out of the question (decision 7).
pub(crate) static TLS_WANTED: AtomicBool = AtomicBool::new(false);

static EXIT_POLICY: RwLock<ExitPolicy> = RwLock::new(ExitPolicy { policy: None });

/// What is asked before the process ends.
#[derive(Clone, Copy)]
pub(crate) struct ExitPolicy {
    policy: Option<rsl_exit_policy>,
}

// SAFETY: the function and its context may be used from any thread, as `rsl_set_exit_policy` demands.
unsafe impl Send for ExitPolicy {}
// SAFETY: as above.
unsafe impl Sync for ExitPolicy {}

pub(crate) fn exit_policy() -> ExitPolicy {
    *EXIT_POLICY.read()
}

impl ExitPolicy {
    /// Non-zero = the application does not want the process to end.
    pub(crate) fn ask(self, machine: *mut rsl_machine, reason: i32, exit_code: i32) -> i32 {
        let Some((policy, on_exit)) = self.policy.and_then(|policy| Some((policy, policy.on_exit?))) else {
            return 0;
        };
        let _inside = Inside::enter();
        // SAFETY: as `rsl_set_exit_policy` demands.
        let keep = unsafe { on_exit(policy.ctx, machine, reason, exit_code) };
        if reason == RSL_EXIT_REASON_FATAL { 0 } else { keep }
    }
}

/// The version of this interface: major << 16 | minor. A caller refuses to run when the major differs from the one it was
/// compiled with, or the minor is lower.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_abi_version() -> u32 {
    RSL_ABI_MAJOR << 16 | RSL_ABI_MINOR
}

/// Sizes of the structs, for tests of callers: 0 rsl_node, 1 rsl_member_view, 2 rsl_config, 3 rsl_health, 4 rsl_stats,
/// 5 rsl_callbacks, 6 rsl_spawn, 7 rsl_log_record, 8 rsl_init_params, 9 rsl_exit_policy, 10 rsl_engine_status,
/// 11 rsl_log_file; otherwise 0.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_struct_size(which: i32) -> u64 {
    let sizes = [
        size_of::<rsl_node>(),
        size_of::<rsl_member_view>(),
        size_of::<rsl_config>(),
        size_of::<rsl_health>(),
        size_of::<rsl_stats>(),
        size_of::<rsl_callbacks>(),
        size_of::<rsl_spawn>(),
        size_of::<rsl_log_record>(),
        size_of::<rsl_init_params>(),
        size_of::<rsl_exit_policy>(),
        size_of::<rsl_engine_status>(),
        size_of::<rsl_log_file>(),
    ];
    usize::try_from(which).ok().and_then(|which| sizes.get(which)).map_or(0, |size| *size as u64)
}

/// Fills in the legacy defaults; working_dir becomes NULL. struct_size is set by the caller.
///
/// # Safety
/// `config` is valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_config_defaults(config: *mut rsl_config) -> rsl_status {
    guard!(status, [config = out_sized(config)] {
        config.set(&convert::default_config(0));
        Ok(())
    })
}

/// Installs logging and notifications. May be repeated: the new settings replace the old ones. Machines work without it;
/// log entries go to standard error then. Its texts are copied; its functions stay in use.
///
/// RSL_E_IO when the log files cannot be opened: nothing is logged then, notifications are given.
///
/// # Safety
/// `params` as the rules of this library say; its functions are callable from any thread until the process ends or they
/// are replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_init(params: *const rsl_init_params) -> rsl_status {
    guard!(status, [params = sized(params)] {
        // SAFETY: the caller passes a string or NULL.
        let path = unsafe { crate::guard::text_or_null(params.log_path) }.map_err(|fail| fail.about("log_path"))?;
        log::install(&params, path)
    })
}

/// Ends logging: entries go nowhere until the next rsl_init. Call it after every machine has ended. Inside a callback it
/// does nothing but log an error.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_shutdown() {
    guard!((), [] {
        if inside_callback() {
            tracing::error!("shutdown must not be called from a callback");
        } else {
            log::uninstall();
        }
        Ok(())
    });
}

/// Says who is asked before the library ends the process; NULL = nobody. The struct is copied.
///
/// # Safety
/// `policy_or_null` as the rules of this library say; its function is callable from any thread until it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_set_exit_policy(policy_or_null: *const rsl_exit_policy) -> rsl_status {
    guard!(status, [policy = sized_or_null(policy_or_null)] {
        EXIT_POLICY.write().policy = policy;
        Ok(())
    })
}

/// After a broken belief: 1 (the default) = exit code 1, 0 = abort, for the system's own dumps; on Windows the exception 1653.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_set_minidump_enabled(on: i32) {
    MINIDUMPS.store(on != 0, Ordering::Relaxed);
}

/// Machines that are initialised from now on listen on all addresses, and connect from any. Cannot be taken back.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_enable_listen_on_all_ips() {
    LISTEN_ON_ALL.store(true, Ordering::Relaxed);
}

/// Microseconds of a monotonic clock with an arbitrary origin.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_tick_count_us() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = ORIGIN.get_or_init(Instant::now).elapsed();
    // A caller may take 0 for "never".
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1) + 1
}

/// The 64-bit checksum of messages, log records and checkpoints; 0 for NULL with a length.
///
/// # Safety
/// `data` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_checksum(data: *const c_void, len: usize) -> u64 {
    guard!(0, [data = bytes(data, len)] { Ok(rsl_core::checksum(data)) })
}

/// The text for the last negative result on this thread: copied, cut to fit, NUL-terminated. Returns its full length
/// without the NUL.
///
/// # Safety
/// `buffer` is NULL or valid for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_last_error(buffer: *mut c_char, cap: usize) -> usize {
    let text = last_error();
    if !buffer.is_null() {
        copy_text(&text, buffer, cap);
    }
    text.len()
}

/// Copies what fits.
fn copy_text(text: &str, buffer: *mut c_char, cap: usize) {
    guard!((), [target = buffer(buffer.cast::<u8>(), cap)] {
        if let Some((last, room)) = target.split_last_mut() {
            let count = text.len().min(room.len());
            room[..count].copy_from_slice(&text.as_bytes()[..count]);
            match room.get_mut(count) {
                Some(end) => *end = 0,
                None => *last = 0,
            }
        }
        Ok(())
    });
}

/// Ends the process as a broken belief of the library does: log entry, notification, a line on standard output, exit
/// policy, exit code 1. For callers that cannot go on, such as a callback that caught an exception. Does not return.
///
/// # Safety
/// `what` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_fatal(what: *const c_char) {
    let text = guard!(None, [what = text(what)] { Ok(Some(what.to_owned())) });
    fatal(text.as_deref().unwrap_or("rsl_fatal"));
}

/// Writes an entry of a binding to the log. level: 0 Debug, 1 Info, 3 Warning, 4 Error; others are taken as Error.
///
/// # Safety
/// `title` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_log(level: i32, title: *const c_char) -> rsl_status {
    guard!(status, [title = text(title)] {
        match level {
            log::LEVEL_DEBUG => tracing::debug!("{title}"),
            log::LEVEL_INFO => tracing::info!("{title}"),
            log::LEVEL_WARNING => tracing::warn!("{title}"),
            _ => tracing::error!("{title}"),
        }
        Ok(())
    })
}

/// The built-in resolver: keeps a known address, otherwise looks the host name up. RSL_E_NOT_FOUND when there is no
/// address, or no port.
///
/// # Safety
/// `node` can be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_resolve_node(node: *mut rsl_node) -> rsl_status {
    guard!(status, [given = borrow(node), target = out(node)] {
        let mut found = convert::node(given)?;
        if !rsl_core::replica::default_resolve(&mut found) {
            return Err(Fail::new(RSL_E_NOT_FOUND, "no address"));
        }
        let ip = u32::from_ne_bytes(found.ip.octets());
        target.set(rsl_node { ip, ..*given });
        Ok(())
    })
}

/// Asks for TLS by thumbprints. Not available yet: RSL_E_TLS, and no machine starts any more, because one that asked for
/// TLS must not get plaintext; NULL, NULL takes it back.
///
/// # Safety
/// The strings are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_tls_set_thumbprints(
    a_or_null: *const c_char,
    b_or_null: *const c_char,
    validate_chain: i32,
    check_revocation: i32,
) -> rsl_status {
    let _ = (validate_chain, check_revocation);
    guard!(status, [a = text_or_null(a_or_null), b = text_or_null(b_or_null)] {
        want_tls(a.is_some() || b.is_some())
    })
}

/// Asks for TLS by subject names; as rsl_tls_set_thumbprints.
///
/// # Safety
/// The strings are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_tls_set_subjects(
    subject_a_or_null: *const c_char,
    parents_a_or_null: *const c_char,
    subject_b_or_null: *const c_char,
    parents_b_or_null: *const c_char,
    consider_whitelist: i32,
) -> rsl_status {
    let _ = (parents_a_or_null, parents_b_or_null, consider_whitelist);
    guard!(status, [a = text_or_null(subject_a_or_null), b = text_or_null(subject_b_or_null)] {
        want_tls(a.is_some() || b.is_some())
    })
}

fn want_tls(wanted: bool) -> Result<(), Fail> {
    TLS_WANTED.store(wanted, Ordering::Relaxed);
    if !wanted {
        return Ok(());
    }
    tracing::error!("TLS is not available yet; no replica will start until it is given up");
    Err(Fail::new(RSL_E_TLS, "TLS is not available yet"))
}

/// 1 = connections are protected.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_tls_is_enabled() -> i32 {
    0
}
