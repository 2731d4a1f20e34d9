//! Log entries of the library: to the application, to files, or to standard error; and notifications.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::codes::RSL_E_IO;
use crate::fatal::c_text;
use crate::guard::{Fail, Inside};
use crate::log_files::LogFiles;
use crate::types::{RSL_INIT_DEBUG_LOG, rsl_init_params, rsl_log_fn, rsl_log_record, rsl_notify_fn};

pub(crate) const LEVEL_DEBUG: i32 = 0;
pub(crate) const LEVEL_INFO: i32 = 1;
pub(crate) const LEVEL_STATUS: i32 = 2;
pub(crate) const LEVEL_WARNING: i32 = 3;
pub(crate) const LEVEL_ERROR: i32 = 4;
pub(crate) const LEVEL_ASSERT: i32 = 5;
pub(crate) const LEVEL_ALERT: i32 = 6;

pub(crate) const LOG_COMMON: i32 = 1;
pub(crate) const LOG_NETLIB: i32 = 2;
pub(crate) const LOG_RSL: i32 = 3;

/// One entry, before it is known where it goes.
pub(crate) struct Entry {
    pub(crate) level: i32,
    pub(crate) log_id: i32,
    pub(crate) file: &'static str,
    pub(crate) function: String,
    pub(crate) line: u32,
    pub(crate) title: String,
    /// `Name="Value"` pairs.
    pub(crate) text: String,
}

/// Where entries go.
enum Sink {
    /// `rsl_init` was not called [API-11].
    Stderr,
    /// Nowhere [API-12].
    Nowhere,
    /// To the application, which replaces files [CABI-29].
    Callback(rsl_log_fn, Context),
    /// To files; the lowest level that areas other than RSL, and RSL, are written from [API-111].
    Files(Box<Mutex<LogFiles>>, i32),
}

#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: given back to the application only, whose functions may be called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

static SINK: RwLock<Sink> = RwLock::new(Sink::Stderr);
static NOTIFY: RwLock<(rsl_notify_fn, Context)> = RwLock::new((None, Context(std::ptr::null_mut())));
/// Nothing is logged at all.
static SILENT: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Makes entries arrive here.
pub(crate) fn connect() {
    static CONNECTED: Once = Once::new();
    CONNECTED.call_once(|| {
        // A program in Rust that links this crate may have a subscriber of its own, which stays.
        let _ = tracing::subscriber::set_global_default(Entries);
    });
}

/// Callbacks first, also when the rest fails [API-10] [HARD-501].
pub(crate) fn install(params: &rsl_init_params, path: Option<&str>) -> Result<(), Fail> {
    connect();
    *NOTIFY.write() = (params.notify, Context(params.notify_ctx));
    let least = if params.flags & RSL_INIT_DEBUG_LOG != 0 { LEVEL_DEBUG } else { LEVEL_INFO };
    let (sink, result) = match (params.log, path) {
        (Some(log), _) => (Sink::Callback(Some(log), Context(params.log_ctx)), Ok(())),
        (None, None) => (Sink::Nowhere, Ok(())),
        (None, Some(path)) => match LogFiles::open(path) {
            Ok(files) => (Sink::Files(Box::new(Mutex::new(files)), least), Ok(())),
            Err(error) => (Sink::Nowhere, Err(Fail::new(RSL_E_IO, format!("log files in {path}: {error}")))),
        },
    };
    replace(sink);
    result
}

pub(crate) fn uninstall() {
    *NOTIFY.write() = (None, Context(std::ptr::null_mut()));
    replace(Sink::Nowhere);
}

fn replace(sink: Sink) {
    SILENT.store(matches!(sink, Sink::Nowhere), Ordering::Relaxed);
    let old = std::mem::replace(&mut *SINK.write(), sink);
    // Flushes what it holds.
    drop(old);
    tracing::callsite::rebuild_interest_cache();
}

/// Tells the application what operators must see [API-112].
pub(crate) fn notify(level: i32, log_id: i32, title: &str) {
    let (notify, context) = *NOTIFY.read();
    if let Some(notify) = notify {
        let title = c_text(title);
        let _inside = Inside::enter();
        // SAFETY: as `rsl_init` demands; the text lives until it returns.
        unsafe { notify(context.0, level, log_id, title.as_ptr(), std::ptr::null()) };
    }
}

fn deliver(entry: &Entry) {
    // What the application logs while it handles an entry is lost rather than endless.
    if LOGGING.replace(true) {
        return;
    }
    match &*SINK.read() {
        Sink::Stderr => {
            let line = format!("{} {} {}\n", level_name(entry.level), entry.title, entry.text);
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Sink::Nowhere => {}
        Sink::Callback(log, context) => to_callback(*log, *context, entry),
        Sink::Files(files, least) => {
            let from = if entry.log_id == LOG_RSL { *least } else { LEVEL_STATUS };
            if entry.level >= from {
                files.lock().write(entry);
            }
        }
    }
    LOGGING.set(false);
}

fn to_callback(log: rsl_log_fn, context: Context, entry: &Entry) {
    let Some(log) = log else { return };
    let texts: [CString; 4] = [entry.file, &entry.function, &entry.title, &entry.text].map(c_text);
    let record = rsl_log_record {
        struct_size: u32::try_from(size_of::<rsl_log_record>()).unwrap_or(0),
        level: entry.level,
        log_id: entry.log_id,
        line: i32::try_from(entry.line).unwrap_or(0),
        file: texts[0].as_ptr(),
        function: texts[1].as_ptr(),
        title: texts[2].as_ptr(),
        text: texts[3].as_ptr(),
    };
    let _inside = Inside::enter();
    // SAFETY: as `rsl_init` demands; record and texts live until it returns.
    unsafe { log(context.0, &raw const record) };
}

const fn level_name(level: i32) -> &'static str {
    match level {
        LEVEL_DEBUG => "debug",
        LEVEL_INFO => "info",
        LEVEL_STATUS => "status",
        LEVEL_WARNING => "warning",
        LEVEL_ERROR => "error",
        LEVEL_ASSERT => "assert",
        _ => "alert",
    }
}

/// Takes the library's trace events.
struct Entries;

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::DEBUG && !SILENT.load(Ordering::Relaxed)
}

impl Subscriber for Entries {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if SILENT.load(Ordering::Relaxed) { LevelFilter::OFF } else { LevelFilter::DEBUG })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *metadata.level() {
            _ if fields.assert => LEVEL_ASSERT,
            _ if fields.alert => LEVEL_ALERT,
            Level::ERROR => LEVEL_ERROR,
            Level::WARN => LEVEL_WARNING,
            Level::INFO => LEVEL_INFO,
            _ => LEVEL_DEBUG,
        };
        let target = metadata.target();
        deliver(&Entry {
            level,
            log_id: if target.contains("::net") { LOG_NETLIB } else { LOG_RSL },
            file: metadata.file().unwrap_or(""),
            function: target.to_owned(),
            line: metadata.line().unwrap_or(0),
            title: fields.title,
            text: fields.text,
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    title: String,
    text: String,
    assert: bool,
    alert: bool,
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "assert" => self.assert = value,
            "alert" => self.alert = value,
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.title, "{value:?}")
        } else {
            let space = if self.text.is_empty() { "" } else { " " };
            let value = format!("{value:?}");
            write!(self.text, "{space}{}=\"{}\"", field.name(), value.trim_matches('"').replace('"', "'"))
        };
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, c_char};
    use std::ptr::null_mut;

    type Seen = Mutex<Vec<(i32, i32, String, String)>>;
    static ENTRIES: Seen = Mutex::new(Vec::new());
    static NOTES: Seen = Mutex::new(Vec::new());

    unsafe fn string(text: *const c_char) -> String {
        if text.is_null() {
            return "NULL".to_owned();
        }
        // SAFETY: the library passes strings.
        unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
    }

    unsafe extern "C" fn on_log(_: *mut c_void, record: *const rsl_log_record) {
        // SAFETY: the library passes a record.
        let record = unsafe { &*record };
        assert_eq!(record.struct_size as usize, size_of::<rsl_log_record>());
        // SAFETY: as above.
        let (title, text) = unsafe { (string(record.title), string(record.text)) };
        ENTRIES.lock().push((record.level, record.log_id, title, text));
        tracing::error!("an entry about an entry must not come back");
    }

    unsafe extern "C" fn on_notify(
        _: *mut c_void,
        level: i32,
        log_id: i32,
        title: *const c_char,
        message: *const c_char,
    ) {
        // SAFETY: the library passes strings.
        let (title, message) = unsafe { (string(title), string(message)) };
        NOTES.lock().push((level, log_id, title, message));
    }

    fn params(log: rsl_log_fn) -> rsl_init_params {
        rsl_init_params {
            struct_size: u32::try_from(size_of::<rsl_init_params>()).unwrap(),
            flags: 0,
            log_path: std::ptr::null(),
            notify: Some(on_notify),
            notify_ctx: null_mut(),
            log,
            log_ctx: null_mut(),
        }
    }

    /// [API-113] [API-114] [CABI-28] [CABI-29] [CABI-38] [API-12] [HARD-501] [HARD-502] [API-6] [API-111] One
    /// process-wide setting, so one test: callback, nowhere, again a callback, off, and files with what they take.
    #[test]
    fn entries_reach_the_application() {
        install(&params(Some(on_log)), None).unwrap();
        tracing::error!(target: "rsl_core::net::peer", peer = 3, name = "a\"b", "Connection lost, again");
        tracing::warn!("no fields");
        tracing::info!("i");
        tracing::debug!("d");
        tracing::trace!("never");
        tracing::warn!(alert = true, "big");
        tracing::error!(assert = true, "broken");
        let taken = || std::mem::take(&mut *ENTRIES.lock());
        let seen: Vec<_> = taken()
            .into_iter()
            .map(|(level, id, title, text)| format!("{level} {id} {title} [{text}]"))
            .collect();
        assert_eq!(
            seen,
            [
                "4 2 Connection lost, again [peer=\"3\" name=\"a'b\"]",
                "3 3 no fields []",
                "1 3 i []",
                "0 3 d []",
                "6 3 big []",
                "5 3 broken []",
            ]
            .map(|line| line.replace("a'b", "a\\'b"))
        );
        notify(LEVEL_ERROR, LOG_RSL, "Could not load config");
        assert_eq!(NOTES.lock().pop(), Some((4, 3, "Could not load config".into(), "NULL".into())));

        install(&params(None), None).unwrap();
        tracing::error!("nobody hears this");
        install(&params(Some(on_log)), None).unwrap();
        tracing::error!("heard again");
        assert_eq!(taken().len(), 1);
        uninstall();
        tracing::error!("nobody hears this");
        notify(LEVEL_ERROR, LOG_RSL, "nor this");
        assert!(taken().is_empty() && NOTES.lock().is_empty());

        for (flags, titles) in [
            (0, "rsl info|rsl warning|to a file. at last|net warning"),
            (RSL_INIT_DEBUG_LOG, "rsl debug|rsl info|rsl warning|to a file. at last|net warning"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let params = rsl_init_params { flags, ..params(None) };
            install(&params, Some(dir.path().to_str().unwrap())).unwrap();
            tracing::debug!("rsl debug");
            tracing::info!("rsl info");
            tracing::warn!("rsl warning");
            tracing::warn!(size = 7, "to a file, at last");
            tracing::debug!(target: "rsl_core::net::peer", "net debug");
            tracing::info!(target: "rsl_core::net::peer", "net info");
            tracing::warn!(target: "rsl_core::net::peer", "net warning");
            uninstall();
            let logs: Vec<_> = std::fs::read_dir(dir.path().join("Logs")).unwrap().collect();
            assert_eq!(logs.len(), 1);
            let text = std::fs::read_to_string(logs[0].as_ref().unwrap().path()).unwrap();
            let written: Vec<_> = text.lines().filter_map(|line| line.split(',').nth(3)).collect();
            assert_eq!(written.join("|"), titles, "{text}");
            assert!(text.contains(",RSL,to a file. at last,SrcFile="), "{text}");
        }
    }
}
