//! The one path that ends the process after a broken belief or a panic [CABI-25] [API-118].

use std::ffi::CString;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use crate::log::{LEVEL_ASSERT, LOG_COMMON, notify};
use crate::process::exit_policy;
use crate::types::{RSL_EXIT_REASON_FATAL, RSL_EXIT_REASON_SHUTDOWN};

/// Whether a broken belief writes a dump where the system has such a thing; otherwise the process fails fast.
pub(crate) static MINIDUMPS: AtomicBool = AtomicBool::new(true);

/// The thread that ends the process.
static ENDING: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Log entry, notification, line on stdout, exit policy, exit code 1; without dumps an abort that leaves one to the system. A
/// second thread that comes here waits for the first.
pub(crate) fn fatal(what: &str) -> ! {
    let me = thread::current().id();
    let other = {
        let mut ending = ENDING.lock();
        *ending.get_or_insert(me)
    };
    if other != me {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
    static TOLD: AtomicBool = AtomicBool::new(false);
    // A callback below may come here again.
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::error!(assert = true, "{what}");
        notify(LEVEL_ASSERT, LOG_COMMON, what);
        println!("Assert -- librsl, 0: {what}");
        let _ = std::io::stdout().flush();
        exit_policy().ask(std::ptr::null_mut(), RSL_EXIT_REASON_FATAL, 1);
    }
    // A process that is ending already cannot be ended in an orderly way once more.
    if MINIDUMPS.load(Ordering::Relaxed) && !is_exiting() {
        EXITING.store(true, Ordering::Relaxed);
        std::process::exit(1);
    }
    fail_fast(what);
}

/// Ends the process so that the system keeps a core file, where it does such a thing.
#[cfg(not(windows))]
fn fail_fast(_: &str) -> ! {
    std::process::abort();
}

/// Ends the process so that Windows Error Reporting sees it: an exception of number 1653, its parameter the text [API-116].
#[cfg(windows)]
fn fail_fast(what: &str) -> ! {
    use windows_sys::Win32::Foundation::ERROR_FAIL_FAST_EXCEPTION;
    use windows_sys::Win32::System::Diagnostics::Debug::{EXCEPTION_RECORD, RaiseFailFastException};
    /// The system fills in the address of the caller.
    const FAIL_FAST_GENERATE_EXCEPTION_ADDRESS: u32 = 1;
    let what = c_text(what);
    let mut record = EXCEPTION_RECORD {
        ExceptionCode: ERROR_FAIL_FAST_EXCEPTION.cast_signed(),
        NumberParameters: 1,
        ..EXCEPTION_RECORD::default()
    };
    record.ExceptionInformation[0] = what.as_ptr().expose_provenance();
    // SAFETY: the record is valid, and so is the text that it names; without a context that of the caller is taken.
    unsafe {
        RaiseFailFastException(&raw const record, std::ptr::null(), FAIL_FAST_GENERATE_EXCEPTION_ADDRESS)
    };
    std::process::abort();
}

/// The process ends: destructors of the application run while other machines do, too.
static EXITING: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_exiting() -> bool {
    EXITING.load(Ordering::Relaxed)
}

/// Ends the process with code 0, unless the policy says otherwise [CABI-26]. Returns then.
pub(crate) fn orderly_exit(machine: *mut crate::rsl_machine) {
    if exit_policy().ask(machine, RSL_EXIT_REASON_SHUTDOWN, 0) == 0 {
        exit_now();
    }
}

/// Ends the process with code 0.
pub(crate) fn exit_now() -> ! {
    EXITING.store(true, Ordering::Relaxed);
    std::process::exit(0);
}

/// Text for C; a NUL inside ends it.
pub(crate) fn c_text(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}
