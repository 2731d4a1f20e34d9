//! The bodies of threads: a panic does not end the thread in silence.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Names the thread that panics as soon as it runs, for tests; debug builds only.
const PANIC_THREAD: &str = "RSL_PANIC_THREAD";

/// Runs the body of the thread `name`; gives the text of its panic [CABI-24].
pub(crate) fn caught(name: &str, body: impl FnOnce()) -> Result<(), String> {
    let body = || {
        if cfg!(debug_assertions) {
            let wanted = std::env::var_os(PANIC_THREAD);
            assert!(wanted.is_none_or(|wanted| wanted != name), "asked for by {PANIC_THREAD}");
        }
        body();
    };
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|payload| format!("thread {name} panicked: {}", text_of(&*payload)))
}

/// The text of a panic.
fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
