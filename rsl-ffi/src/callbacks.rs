//! The application's table of callbacks as a [`StateMachine`], and its threads as a [`ThreadSpawner`].

use std::ffi::c_void;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rsl_core::replica::{
    Cookie, CookieSink, Execution, Priority, Refused, Replica, StateMachine, StateReader, ThreadSpawner,
    default_resolve,
};
use rsl_core::types::{Decree, Node};

use crate::codes::{RSL_E_ABI, rsl_status};
use crate::convert::{c_node, node as rust_node};
use crate::fatal::c_text;
use crate::guard::{Fail, Inside, born, dead, no_panic};
use crate::machine::{Life, Machine};
use crate::process::exit_policy;
use crate::streams::{Reader, Writer, rsl_reader, rsl_writer};
use crate::types::{RSL_EXIT_REASON_SHUTDOWN, rsl_node, rsl_spawn};

/// Takes the primary cookie; valid inside can_become_primary only.
pub struct rsl_cookie_sink {
    _opaque: (),
}

/// The library resolves host names itself; resolve_node is not called.
pub const RSL_CB_DEFAULT_RESOLVE: u32 = 0x1;

/// What the application implements. Copied when a machine is created. Every callback gets the ctx of the machine first,
/// must return normally, and may call the machine's request and query functions.
///
/// Threads: load_state, and the execution of what the log holds, run on the thread that calls rsl_machine_initialize;
/// everything else on threads of the library, or on those of rsl_spawn. Callbacks marked X run one at a time and never
/// while one marked S runs; those marked S may overlap each other; the others may overlap anything.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_callbacks {
    /// sizeof(rsl_callbacks).
    pub struct_size: u32,
    /// RSL_CB_*.
    pub flags: u32,
    /// X. Loads a checkpoint, or starts empty when it is NULL. 0 = not usable, the next older one is tried. The reader
    /// belongs to the library. Mandatory.
    pub load_state: Option<unsafe extern "C" fn(ctx: *mut c_void, reader_or_null: *mut rsl_reader) -> i32>,
    /// X. The requests of one decree follow.
    pub before_execute: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// X. Executes a request; its bytes are valid during the call. cookie: that of the request on the machine it was
    /// given to, else NULL. Set *save_state, which is 0, to ask for a checkpoint. Mandatory.
    pub execute_replicated: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            request: *const c_void,
            len: usize,
            cookie: *mut c_void,
            save_state: *mut i32,
        ),
    >,
    /// X. The requests of the decree are executed.
    pub after_execute: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// S if fast reads are serialized, else any time. Mandatory.
    pub execute_fast_read: Option<
        unsafe extern "C" fn(ctx: *mut c_void, request: *const c_void, len: usize, cookie: *mut c_void),
    >,
    /// X for replicated requests, as execute_fast_read for fast reads. The request will not be executed with its cookie;
    /// a replicated one may be executed without. Mandatory.
    pub abort_request: Option<unsafe extern "C" fn(ctx: *mut c_void, why: rsl_status, cookie: *mut c_void)>,
    /// S. Writes the state; 0 = not now, and no checkpoint until rsl_machine_allow_save_state. The writer belongs to the
    /// library. Mandatory.
    pub try_save_state: Option<unsafe extern "C" fn(ctx: *mut c_void, writer: *mut rsl_writer) -> i32>,
    /// S. A checkpoint of the state after seq is durable in file.
    pub state_saved: Option<unsafe extern "C" fn(ctx: *mut c_void, seq: u64, file: *const std::ffi::c_char)>,
    /// S. A checkpoint was copied from another replica; file is NULL when a copy that was asked for found no source.
    pub state_copied: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            seq: u64,
            file_or_null: *const std::ffi::c_char,
            cookie: *mut c_void,
        ),
    >,
    /// X. The machine has become primary (1), or is not primary any more (0). Mandatory.
    pub notify_status: Option<unsafe extern "C" fn(ctx: *mut c_void, is_primary: i32)>,
    /// X. Everything that earlier primaries got chosen is executed.
    pub notify_primary_recovered: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// X. The configuration has changed; cookie: that of the change if it was asked for here. Mandatory.
    pub notify_configuration_changed: Option<unsafe extern "C" fn(ctx: *mut c_void, cookie: *mut c_void)>,
    /// X. A configuration change that was asked for here will not be notified with its cookie. Mandatory.
    pub abort_change_configuration:
        Option<unsafe extern "C" fn(ctx: *mut c_void, why: rsl_status, cookie: *mut c_void)>,
    /// May this machine stand for election? NULL = yes.
    pub can_become_primary: Option<unsafe extern "C" fn(ctx: *mut c_void, sink: *mut rsl_cookie_sink) -> i32>,
    /// Should a vote or Prepare of this member be answered? data: the primary cookie of its sender, NULL when there is
    /// none. NULL = yes.
    pub accept_message: Option<
        unsafe extern "C" fn(ctx: *mut c_void, from: *const rsl_node, data: *const c_void, len: u32) -> i32,
    >,
    /// Fills in ip and ports of a peer; 1 = usable. NULL = as RSL_CB_DEFAULT_RESOLVE.
    pub resolve_node: Option<unsafe extern "C" fn(ctx: *mut c_void, node: *mut rsl_node) -> i32>,
    /// The machine has ended, or is about to: the last callback. Mandatory.
    pub shut_down: Option<unsafe extern "C" fn(ctx: *mut c_void, why: rsl_status)>,
}

/// Names the callback that is missing although it is mandatory [CABI-17].
pub(crate) fn check(table: &rsl_callbacks) -> Result<(), Fail> {
    let mandatory = [
        (table.load_state.is_some(), "load_state"),
        (table.execute_replicated.is_some(), "execute_replicated"),
        (table.execute_fast_read.is_some(), "execute_fast_read"),
        (table.abort_request.is_some(), "abort_request"),
        (table.try_save_state.is_some(), "try_save_state"),
        (table.notify_status.is_some(), "notify_status"),
        (table.notify_configuration_changed.is_some(), "notify_configuration_changed"),
        (table.abort_change_configuration.is_some(), "abort_change_configuration"),
        (table.shut_down.is_some(), "shut_down"),
    ];
    if table.flags & !RSL_CB_DEFAULT_RESOLVE != 0 {
        return Err(Fail::new(RSL_E_ABI, format!("callback flags {:#x} are unknown", table.flags)));
    }
    match mandatory.iter().find(|(present, _)| !present) {
        Some((_, name)) => Err(Fail::argument(format!("callback {name} is missing"))),
        None => Ok(()),
    }
}

/// The cookie of a request as C knows it.
pub(crate) fn cookie_in(cookie: *mut c_void) -> Cookie {
    Cookie(cookie.expose_provenance() as u64)
}

fn cookie_out(cookie: Cookie) -> *mut c_void {
    // Made from a pointer of this process; 64-bit targets only.
    usize::try_from(cookie.0).map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
}

/// Calls one callback of the table, if it is there: marked as inside, with the context first.
macro_rules! call {
    ($machine:expr, $name:ident($($argument:expr),*), else $otherwise:expr) => {
        match $machine.table.$name {
            Some(callback) => {
                let _inside = Inside::enter();
                // SAFETY: the application promised with `rsl_machine_create` that its callbacks can be called with this
                // context from any thread until the machine is destroyed; the arguments live until it returns.
                unsafe { callback($machine.ctx.0, $($argument),*) }
            }
            None => $otherwise,
        }
    };
}

impl StateMachine for Machine {
    fn attach(&self, replica: &Replica) {
        self.replica.store(Some(Arc::new(replica.clone())));
    }

    fn load_state(&self, checkpoint: Option<&mut dyn StateReader>) -> bool {
        let Some(state) = checkpoint else {
            return call!(self, load_state(std::ptr::null_mut()), else 0) != 0;
        };
        let mut reader = Reader::borrowed(state);
        let handle = (&raw mut reader).cast::<rsl_reader>();
        born(handle);
        let loaded = call!(self, load_state(handle), else 0) != 0;
        dead(handle);
        loaded
    }

    fn before_execute(&self) {
        call!(self, before_execute(), else ());
    }

    fn execute(&self, request: &[u8], execution: &mut Execution) {
        let mut save = 0_i32;
        let cookie = cookie_out(execution.cookie());
        call!(self, execute_replicated(request.as_ptr().cast(), request.len(), cookie, &raw mut save), else ());
        if save != 0 {
            execution.save_state();
        }
    }

    fn after_execute(&self) {
        call!(self, after_execute(), else ());
    }

    fn execute_fast_read(&self, request: &[u8], cookie: Cookie) {
        call!(self, execute_fast_read(request.as_ptr().cast(), request.len(), cookie_out(cookie)), else ());
    }

    fn abort_request(&self, why: Refused, cookie: Cookie) {
        call!(self, abort_request(why.code(), cookie_out(cookie)), else ());
    }

    fn try_save_state(&self, sink: &mut dyn Write) -> bool {
        let mut writer = Writer::borrowed(sink);
        let handle = (&raw mut writer).cast::<rsl_writer>();
        born(handle);
        let saved = call!(self, try_save_state(handle), else 0) != 0;
        dead(handle);
        saved
    }

    fn state_saved(&self, decree: Decree, file: &Path) {
        let file = c_text(&file.to_string_lossy());
        call!(self, state_saved(decree.0, file.as_ptr()), else ());
    }

    fn state_copied(&self, decree: Decree, file: Option<&Path>, cookie: Cookie) {
        let file = file.map(|file| c_text(&file.to_string_lossy()));
        let path = file.as_ref().map_or(std::ptr::null(), |file| file.as_ptr());
        call!(self, state_copied(decree.0, path, cookie_out(cookie)), else ());
    }

    fn notify_status(&self, is_primary: bool) {
        call!(self, notify_status(is_primary.into()), else ());
    }

    fn notify_primary_recovered(&self) {
        call!(self, notify_primary_recovered(), else ());
    }

    fn notify_configuration_changed(&self, cookie: Cookie) {
        call!(self, notify_configuration_changed(cookie_out(cookie)), else ());
    }

    fn abort_change_configuration(&self, why: Refused, cookie: Cookie) {
        call!(self, abort_change_configuration(why.code(), cookie_out(cookie)), else ());
    }

    fn can_become_primary(&self, sink: &mut CookieSink) -> bool {
        let handle = (&raw mut *sink).cast::<rsl_cookie_sink>();
        born(handle);
        let yes = call!(self, can_become_primary(handle), else 1) != 0;
        dead(handle);
        yes
    }

    fn accept_message_from_replica(&self, from: &Node, cookie: &[u8]) -> bool {
        let node = c_node(from);
        let data = if cookie.is_empty() { std::ptr::null() } else { cookie.as_ptr().cast() };
        // A cookie is part of a message, whose length has 32 bits.
        let len = u32::try_from(cookie.len()).unwrap_or(u32::MAX);
        call!(self, accept_message(&raw const node, data, len), else 1) != 0
    }

    fn resolve_node(&self, node: &mut Node) -> bool {
        if self.table.flags & RSL_CB_DEFAULT_RESOLVE != 0 || self.table.resolve_node.is_none() {
            return default_resolve(node);
        }
        let mut given = c_node(node);
        if call!(self, resolve_node(&raw mut given), else 0) == 0 {
            return false;
        }
        match rust_node(&given) {
            Ok(answer) => {
                // Nothing else of a member may change [API-94].
                (node.ip, node.rsl_port, node.learn_port) = (answer.ip, answer.rsl_port, answer.learn_port);
                true
            }
            Err(fail) => {
                tracing::error!(member = %node.id, "the node from resolve_node cannot be used: {}", fail.text);
                false
            }
        }
    }

    fn reload_in_place(&self) -> bool {
        // Nobody is asked when somebody unloads it without wanting the process to end.
        let keep_process = matches!(self.life(), Life::Running { keep_process: true, .. });
        !keep_process && exit_policy().ask(self.handle(), RSL_EXIT_REASON_SHUTDOWN, 0) != 0
    }

    fn shut_down(&self, why: Refused) {
        call!(self, shut_down(why.code()), else ());
    }
}

/// Sets the primary cookie, which travels with the Prepare and the votes of this machine; the last call wins. Only inside
/// can_become_primary. The bytes are copied.
///
/// # Safety
/// `sink` is the one of the running callback; `data` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_cookie_sink_set(
    sink: *mut rsl_cookie_sink,
    data: *const c_void,
    len: u32,
) -> rsl_status {
    guard!(status, [sink = handle_mut(sink.cast::<CookieSink>()), data = bytes(data, len as usize)] {
        sink.set(data);
        Ok(())
    })
}

/// Threads made by the application [CABI-22].
#[derive(Clone, Copy)]
pub(crate) struct AppThreads(pub(crate) rsl_spawn);

impl std::fmt::Debug for AppThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppThreads")
    }
}

// SAFETY: the function and its context may be used from any thread, as `rsl_machine_initialize` demands.
unsafe impl Send for AppThreads {}
// SAFETY: as above.
unsafe impl Sync for AppThreads {}

/// The body of a thread, behind the pointer that the application hands to `thread_main`.
type Body = Box<dyn FnOnce() + Send>;

unsafe extern "C" fn thread_main(arg: *mut c_void) -> u32 {
    // SAFETY: `arg` comes from `Box::into_raw` below, and the application hands it over exactly once.
    let body = unsafe { Box::from_raw(arg.cast::<Body>()) };
    no_panic(*body);
    0
}

impl ThreadSpawner for AppThreads {
    fn spawn(&self, name: &str, priority: Priority, body: Body) -> io::Result<()> {
        let Some(spawn) = self.0.spawn else { return Err(io::ErrorKind::Unsupported.into()) };
        let arg = Box::into_raw(Box::new(body));
        // SAFETY: as `rsl_spawn` demands of the application; `thread_main` takes what is passed here.
        let result = unsafe { spawn(self.0.ctx, Some(thread_main), priority as i32, arg.cast()) };
        if result != 0 {
            // SAFETY: with this result the application has promised not to run it, so the box is still ours.
            drop(unsafe { Box::from_raw(arg) });
            return Err(io::Error::other(format!("the application made no thread for {name}: {result}")));
        }
        Ok(())
    }
}
