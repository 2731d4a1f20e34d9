//! The host's application: executes requests, writes the logs, answers questions as it was told to.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rsl_core::replica::{Cookie, CookieSink, Execution, Refused, Replica, StateMachine, StateReader};
use rsl_core::types::{Decree, Node};

use super::load::Waiters;
use super::logs::LogFile;
use super::state::HostState;

/// What the callbacks answer, set over the control port.
#[derive(Debug)]
pub(super) struct Switches {
    pub(super) accept: AtomicBool,
    pub(super) may_lead: AtomicBool,
    pub(super) may_save: AtomicBool,
    pub(super) primary_cookie: Mutex<Vec<u8>>,
    /// Milliseconds that executing a request, and saving, take longer.
    pub(super) exec_delay: AtomicU64,
    pub(super) save_delay: AtomicU64,
}

/// Callbacks counted for `status`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) notify: AtomicU32,
    pub(super) saves: AtomicU32,
    pub(super) loads: AtomicU32,
    pub(super) configurations: AtomicU32,
    pub(super) aborted_changes: AtomicU32,
    pub(super) copied: AtomicU32,
    pub(super) aborts: AtomicU32,
    pub(super) fast_reads: AtomicU32,
}

/// What changes with the callbacks, beside the replicated state.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) recovered: bool,
    /// Decree of the last checkpoint saved or copied, as text; empty = none.
    pub(super) last_saved: String,
    pub(super) last_copied: String,
    /// The cookie of the last AcceptMessageFromReplica.
    pub(super) accept_cookie: Vec<u8>,
}

/// The state with what belongs to the decree under way.
#[derive(Debug, Default)]
struct Work {
    state: HostState,
    /// Place of the next request in its decree.
    index: u32,
    /// Exec log lines of this decree.
    lines: String,
}

/// The state machine of `rsl replica`.
#[derive(Debug)]
pub(super) struct HostMachine {
    work: Mutex<Work>,
    advanced: Condvar,
    pub(super) switches: Switches,
    pub(super) counts: Counts,
    pub(super) seen: Mutex<Seen>,
    pub(super) waiters: Waiters,
    replica: OnceLock<Replica>,
    events: LogFile,
    exec_log: LogFile,
}

impl HostMachine {
    pub(super) fn new(switches: Switches, events: LogFile, exec_log: LogFile) -> HostMachine {
        HostMachine {
            work: Mutex::default(),
            advanced: Condvar::new(),
            switches,
            counts: Counts::default(),
            seen: Mutex::default(),
            waiters: Waiters::default(),
            replica: OnceLock::new(),
            events,
            exec_log,
        }
    }

    /// A copy of the replicated state.
    pub(super) fn state(&self) -> HostState {
        self.work.lock().state.clone()
    }

    /// Waits until the replica has executed `seq`, or the time is over. Empty decrees call nothing, so it polls too.
    pub(super) fn wait_for(&self, seq: u64, timeout: Duration) {
        let deadline = std::time::Instant::now() + timeout;
        let mut work = self.work.lock();
        while self.sequence() < seq && std::time::Instant::now() < deadline {
            self.advanced.wait_for(&mut work, Duration::from_millis(20));
        }
    }

    pub(super) fn event(&self, text: &str) {
        self.events.event(text);
    }

    fn sequence(&self) -> u64 {
        self.replica.get().map_or(0, |replica| replica.current_sequence_number().0)
    }
}

fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn delay(milliseconds: &AtomicU64) {
    let milliseconds = milliseconds.load(Ordering::Relaxed);
    if milliseconds > 0 {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
}

impl StateMachine for HostMachine {
    fn attach(&self, replica: &Replica) {
        // A machine serves one replica; a second start is refused by `OnceLock` and changes nothing.
        let _ = self.replica.set(replica.clone());
    }

    fn load_state(&self, checkpoint: Option<&mut dyn StateReader>) -> bool {
        count(&self.counts.loads);
        let Some(reader) = checkpoint else {
            self.work.lock().state = HostState::default();
            self.event("LoadState NULL");
            return true;
        };
        let (size, path) = (reader.size(), reader.path().display().to_string());
        match HostState::load(reader, size) {
            Ok(state) => {
                self.event(&format!(
                    "LoadState ok count={} hash={:016x} lastSeq={} pad={} file={path} size={size}",
                    state.count, state.hash, state.last_seq, state.pad
                ));
                self.work.lock().state = state;
                true
            }
            Err(why) => {
                self.event(&format!("LoadState {why}"));
                false
            }
        }
    }

    fn before_execute(&self) {
        self.work.lock().index = 0;
    }

    fn execute(&self, request: &[u8], execution: &mut Execution) {
        delay(&self.switches.exec_delay);
        let seq = execution.decree().0;
        let mut work = self.work.lock();
        if work.state.execute(seq, request) {
            execution.save_state();
        }
        let (index, hash) = (work.index, work.state.hash);
        work.index += 1;
        let cookie = execution.cookie();
        let (mut hex, len) = ([0; 32], request.len().min(16));
        let encoded = hex::encode_to_slice(&request[..len], &mut hex[..2 * len]);
        debug_assert!(encoded.is_ok(), "two digits per byte");
        let head = std::str::from_utf8(&hex[..2 * len]).unwrap_or_default();
        let local = u8::from(!cookie.is_none());
        let written = writeln!(work.lines, "{seq} {index} {} {hash:016x} {local} {head}", request.len());
        debug_assert!(written.is_ok(), "a string takes everything");
        drop(work);
        if !cookie.is_none() {
            self.waiters.executed(cookie, seq);
        }
    }

    fn after_execute(&self) {
        let mut work = self.work.lock();
        self.exec_log.write(&work.lines);
        work.lines.clear();
        self.advanced.notify_all();
    }

    fn execute_fast_read(&self, _request: &[u8], cookie: Cookie) {
        count(&self.counts.fast_reads);
        let state = self.state();
        self.waiters.read(cookie, Ok((self.sequence(), state.count, state.hash)));
    }

    fn abort_request(&self, why: Refused, cookie: Cookie) {
        count(&self.counts.aborts);
        self.event(&format!("AbortRequest {} cookie={:016x}", why.name(), cookie.0));
        if !cookie.is_none() {
            self.waiters.aborted(cookie, why);
        }
    }

    fn try_save_state(&self, writer: &mut dyn Write) -> bool {
        delay(&self.switches.save_delay);
        if !self.switches.may_save.load(Ordering::Relaxed) {
            self.event("TrySaveState -> 0");
            return false;
        }
        count(&self.counts.saves);
        let state = self.state();
        self.event(&format!(
            "SaveState count={} hash={:016x} seq={}",
            state.count,
            state.hash,
            self.sequence()
        ));
        // A failed write makes the checkpoint fail, whatever is answered here.
        let _ = state.save(writer);
        true
    }

    fn state_saved(&self, decree: Decree, file: &Path) {
        self.seen.lock().last_saved = decree.to_string();
        self.event(&format!("StateSaved seq={decree} file={}", file.display()));
    }

    fn state_copied(&self, decree: Decree, file: Option<&Path>, cookie: Cookie) {
        count(&self.counts.copied);
        self.seen.lock().last_copied = decree.to_string();
        let file = file.map_or_else(|| "NULL".to_owned(), |file| file.display().to_string());
        self.event(&format!("StateCopied seq={decree} file={file} cookie={:016x}", cookie.0));
    }

    fn notify_status(&self, is_primary: bool) {
        count(&self.counts.notify);
        self.seen.lock().recovered = false;
        self.event(&format!("NotifyStatus isPrimary={} seq={}", u8::from(is_primary), self.sequence()));
    }

    fn notify_primary_recovered(&self) {
        self.seen.lock().recovered = true;
        self.event(&format!("NotifyPrimaryRecovered seq={}", self.sequence()));
    }

    fn notify_configuration_changed(&self, cookie: Cookie) {
        count(&self.counts.configurations);
        self.event(&format!("NotifyConfigurationChanged cookie={:016x} seq={}", cookie.0, self.sequence()));
    }

    fn abort_change_configuration(&self, why: Refused, cookie: Cookie) {
        count(&self.counts.aborted_changes);
        self.event(&format!("AbortChangeConfiguration {} cookie={:016x}", why.name(), cookie.0));
    }

    fn can_become_primary(&self, sink: &mut CookieSink) -> bool {
        let yes = self.switches.may_lead.load(Ordering::Relaxed);
        sink.set(&self.switches.primary_cookie.lock());
        self.event(&format!("CanBecomePrimary -> {}", u8::from(yes)));
        yes
    }

    fn accept_message_from_replica(&self, _from: &Node, cookie: &[u8]) -> bool {
        cookie.clone_into(&mut self.seen.lock().accept_cookie);
        self.switches.accept.load(Ordering::Relaxed)
    }

    fn shut_down(&self, why: Refused) {
        self.event(&format!("ShutDown {}", why.name()));
        println!("ShutDown callback {}", why.name());
    }
}
