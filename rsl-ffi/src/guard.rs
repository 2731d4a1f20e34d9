//! The macro that guards every exported function, the last error of a thread, and the handles that are alive.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;
use rsl_core::replica::Refused;

use crate::codes::{RSL_E_ARGUMENT, RSL_E_REENTRANT, RSL_OK, rsl_status};
use crate::fatal::fatal;
pub(crate) use crate::sized::{out_sized, sized, sized_or_null};

/// Why a call fails.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) code: rsl_status,
    pub(crate) text: String,
}

impl Fail {
    pub(crate) fn new(code: rsl_status, text: impl Into<String>) -> Fail {
        Fail { code, text: text.into() }
    }

    pub(crate) fn argument(text: impl Into<String>) -> Fail {
        Fail::new(RSL_E_ARGUMENT, text)
    }
}

impl From<Refused> for Fail {
    fn from(refused: Refused) -> Fail {
        Fail::new(refused.code(), refused.to_string())
    }
}

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// The text of the last negative result on this thread.
pub(crate) fn last_error() -> String {
    LAST_ERROR.with(|text| text.borrow().clone())
}

/// Guards the body of an exported function: converts its pointers with the functions of this module, and lets no panic
/// out. `guard!(status, [machine = handle(machine), text = text(path)] { ... })`; the body is that of a function which
/// returns `Result<(), Fail>` (`status`), or `Result<T, Fail>` with the value to return instead of an error.
macro_rules! guard {
    (status, [$($name:ident = $how:ident($($argument:expr),*)),* $(,)?] $body:block) => {
        $crate::guard::status(|| {
            $(
                // SAFETY: the caller of the exported function passes pointers as its documentation and the rules at
                // the top of this crate say: NULL, or valid for the call; the conversion checks for NULL.
                let $name = unsafe { $crate::guard::$how($($argument),*) }
                    .map_err(|fail| fail.about(stringify!($name)))?;
            )*
            $body
        })
    };
    ($otherwise:expr, [$($name:ident = $how:ident($($argument:expr),*)),* $(,)?] $body:block) => {
        $crate::guard::value($otherwise, || {
            $(
                // SAFETY: as above.
                let $name = unsafe { $crate::guard::$how($($argument),*) }
                    .map_err(|fail| fail.about(stringify!($name)))?;
            )*
            $body
        })
    };
}

impl Fail {
    /// Names the argument it is about.
    pub(crate) fn about(self, name: &str) -> Fail {
        Fail { text: format!("{name}: {}", self.text), ..self }
    }
}

/// Runs the body of a function that answers with a status.
pub(crate) fn status(body: impl FnOnce() -> Result<(), Fail>) -> rsl_status {
    match no_panic(body) {
        Ok(()) => RSL_OK,
        Err(fail) => {
            let code = fail.code;
            if code < 0 {
                remember(fail);
            }
            code
        }
    }
}

/// Runs the body of a function that answers with a value.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> Result<T, Fail>) -> T {
    no_panic(body).unwrap_or_else(|fail| {
        remember(fail);
        otherwise
    })
}

fn remember(fail: Fail) {
    LAST_ERROR.with(|text| *text.borrow_mut() = fail.text);
}

/// Runs `body`; a panic ends the process [CABI-24] [CABI-25].
pub(crate) fn no_panic<T>(body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| fatal(&panic_text(&*payload)))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("(no text)"))
}

/// Marks the thread as inside a callback while it lives [CABI-20].
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter() -> Inside {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Inside(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether the calling thread is inside a callback.
pub(crate) fn inside_callback() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// Fails inside callbacks.
pub(crate) fn outside_callback(what: &str) -> Result<(), Fail> {
    if inside_callback() {
        tracing::error!("{what} must not be called from a callback");
        return Err(Fail::new(RSL_E_REENTRANT, format!("{what} must not be called from a callback")));
    }
    Ok(())
}

/// A struct, or an error for NULL.
///
/// # Safety
/// `pointer` is NULL or valid for reading during `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T) -> Result<&'a T, Fail> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_ref() }.ok_or_else(|| Fail::argument("is NULL"))
}

/// A handle, or an error for NULL; a released one ends the process in debug builds [CABI-16].
///
/// # Safety
/// `pointer` is NULL or a handle that lives during `'a`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T) -> Result<&'a T, Fail> {
    check_live(pointer);
    // SAFETY: as the caller promises.
    unsafe { borrow(pointer) }
}

/// A handle that is changed by the call.
///
/// # Safety
/// `pointer` is NULL or a handle that lives during `'a` and is used by one thread at a time.
pub(crate) unsafe fn handle_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T, Fail> {
    check_live(pointer);
    // SAFETY: as the caller promises.
    unsafe { pointer.as_mut() }.ok_or_else(|| Fail::argument("is NULL"))
}

/// A string.
///
/// # Safety
/// `pointer` is NULL or points at a NUL-terminated string that is valid during `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str, Fail> {
    // SAFETY: as the caller promises.
    unsafe { text_or_null(pointer) }?.ok_or_else(|| Fail::argument("is NULL"))
}

/// A string that may be missing.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_null<'a>(pointer: *const c_char) -> Result<Option<&'a str>, Fail> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some).map_err(|_| Fail::argument("is not UTF-8"))
}

/// Bytes; NULL is an error unless there are none.
///
/// # Safety
/// `pointer` is NULL or valid for reading `len` bytes during `'a`.
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Fail> {
    // SAFETY: as the caller promises.
    unsafe { items(pointer.cast(), len) }
}

/// An array; NULL is an error unless it is empty.
///
/// # Safety
/// `pointer` is NULL or valid for reading `len` items during `'a`.
pub(crate) unsafe fn items<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], Fail> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Fail::argument("is NULL"));
    }
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Fail::argument("is longer than memory"));
    }
    // SAFETY: not NULL, not longer than can be, and as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// A buffer to fill; NULL is an error unless it is empty.
///
/// # Safety
/// `pointer` is NULL or valid for writing `len` items during `'a`, and nothing else uses them meanwhile. What they hold
/// is a valid `T` already, or `T` takes any bytes.
pub(crate) unsafe fn buffer<'a, T>(pointer: *mut T, len: usize) -> Result<&'a mut [T], Fail> {
    if len == 0 {
        return Ok(&mut []);
    }
    if pointer.is_null() {
        return Err(Fail::argument("is NULL"));
    }
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Fail::argument("is longer than memory"));
    }
    // SAFETY: not NULL, not longer than can be, and as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// An out-parameter, or an error for NULL.
///
/// # Safety
/// `pointer` is NULL or valid for writing until the result is dropped.
pub(crate) unsafe fn out<T>(pointer: *mut T) -> Result<Out<T>, Fail> {
    if pointer.is_null() { Err(Fail::argument("is NULL")) } else { Ok(Out(pointer)) }
}

/// An out-parameter that may be missing.
///
/// # Safety
/// As [`out`].
pub(crate) unsafe fn out_or_null<T>(pointer: *mut T) -> Result<Option<Out<T>>, Fail> {
    Ok(if pointer.is_null() { None } else { Some(Out(pointer)) })
}

/// An out-parameter: written, never read.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(crate) fn set(&self, value: T) {
        // SAFETY: whoever made this promised that it can be written.
        unsafe { self.0.write(value) }
    }
}

/// Addresses of the handles that are alive; kept in debug builds only.
static LIVE: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// A handle is handed out.
pub(crate) fn born<T>(handle: *const T) {
    if cfg!(debug_assertions) {
        LIVE.lock().insert(handle.addr());
    }
}

/// A handle is released, or the callback that it was made for has ended.
pub(crate) fn dead<T>(handle: *const T) {
    if cfg!(debug_assertions) {
        LIVE.lock().remove(&handle.addr());
    }
}

fn check_live<T>(handle: *const T) {
    if cfg!(debug_assertions) && !handle.is_null() && !LIVE.lock().contains(&handle.addr()) {
        fatal("a handle was used that the library has not handed out, or after its release");
    }
}
