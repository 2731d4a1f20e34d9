//! Load that goes on in the background while a scenario is played.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use migration::host::{Control, HostError, office};
use parking_lot::Mutex;

use super::load::{BATCH, Load};

/// Between two batches, and between two looks for a primary.
const PAUSE: Duration = Duration::from_millis(5);
const CONNECT: Duration = Duration::from_millis(500);
/// A batch that takes longer counts as not acknowledged; whether it was executed is seen in the exec logs.
const ANSWER: Duration = Duration::from_secs(5);

/// When a batch was answered, and how many of its requests were executed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) at: Instant,
    pub(crate) executed: u64,
}

/// Everything the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    /// Id and control port of every replica there is.
    hosts: Mutex<Vec<(String, u16)>>,
    stop: AtomicBool,
    /// Nothing is submitted meanwhile.
    resting: AtomicBool,
    acknowledged: AtomicU64,
    answered: Mutex<Vec<Batch>>,
    /// Why the load ended by itself.
    failure: Mutex<Option<String>>,
}

/// A client that submits batches to whoever is primary, one after another.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Load>>,
}

impl Traffic {
    /// Starts with no host; each has to be [added](Self::add).
    pub(crate) fn start(load: Load) -> Traffic {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || submit_all(&for_thread, load));
        Traffic { shared, thread: Some(thread) }
    }

    /// One more replica that may be primary.
    pub(crate) fn add(&self, id: &str, control_port: u16) {
        self.shared.hosts.lock().push((id.to_owned(), control_port));
    }

    /// Submits nothing after the batch under way, or goes on.
    pub(crate) fn rest(&self, rest: bool) {
        self.shared.resting.store(rest, Ordering::Relaxed);
    }

    /// Whether nothing is submitted now.
    pub(crate) fn is_resting(&self) -> bool {
        self.shared.resting.load(Ordering::Relaxed)
    }

    /// Requests acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// The same, to be asked from elsewhere.
    pub(crate) fn watch(&self) -> impl Fn() -> u64 + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Batches of which something was executed, so far.
    pub(crate) fn answered(&self) -> Vec<Batch> {
        self.shared.answered.lock().clone()
    }

    /// Why the load ended by itself, which it does only when an answer is wrong.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }

    /// Ends after the batch under way; gives the books, also when the load had failed.
    pub(crate) fn end(&mut self) -> Result<Load, String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("the load has ended before")?;
        thread.join().map_err(|_| "the load ended with a panic".to_owned())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn submit_all(shared: &Shared, mut load: Load) -> Load {
    let result = submit_until_stopped(shared, &mut load);
    *shared.failure.lock() = result.err();
    load
}

fn submit_until_stopped(shared: &Shared, load: &mut Load) -> Result<(), String> {
    let mut primary: Option<Control> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        if shared.resting.load(Ordering::Relaxed) {
            continue;
        }
        let Some(control) = &mut primary else {
            primary = find_primary(shared);
            continue;
        };
        let command = load.next_command(BATCH);
        let executed = match control.ask(&command, ANSWER) {
            Ok(answer) => answer["executed"].as_u64().ok_or_else(|| format!("no `executed` in {answer}"))?,
            // A wrong answer is a defect; a broken connection is a replica that went away.
            Err(error @ HostError::Answer { .. }) => return Err(error.to_string()),
            Err(_) => 0,
        };
        load.acknowledge(executed)?;
        shared.acknowledged.store(load.acknowledged(), Ordering::Relaxed);
        if executed > 0 {
            shared.answered.lock().push(Batch { at: Instant::now(), executed });
        }
        if executed < BATCH {
            primary = None;
        }
    }
    Ok(())
}

/// The replica that is primary under the highest ballot; one that was outbid may not know it.
fn find_primary(shared: &Shared) -> Option<Control> {
    let hosts = shared.hosts.lock().clone();
    let claims = hosts.iter().filter_map(|(id, port)| {
        let mut control = Control::connect(id, *port, CONNECT).ok()?;
        let status = control.ask("status", CONNECT).ok()?;
        Some((office(&status)?, control))
    });
    claims.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, control)| control)
}
