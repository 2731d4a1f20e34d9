//! What every replica was, all the time: its status, asked for again and again from a thread per replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use migration::host::Control;
use parking_lot::Mutex;
use serde_json::Value;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// An answer that takes longer counts as none.
const ANSWER: Duration = Duration::from_secs(1);

/// What a replica was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// No process, or no answer.
    Down,
    Inactive,
    Initializing,
    Preparing,
    Secondary,
    /// Elected; the votes of others before it are not all executed.
    Elected,
    /// It serves requests.
    Primary,
    /// It says that it is primary, and the others cannot hear it or it cannot hear them.
    CutOff,
}

impl Seen {
    /// As reports name it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Seen::Down => "down",
            Seen::Inactive => "outside the set",
            Seen::Initializing => "initializing",
            Seen::Preparing => "preparing",
            Seen::Secondary => "secondary",
            Seen::Elected => "elected, recovering",
            Seen::Primary => "primary",
            Seen::CutOff => "primary, cut off",
        }
    }

    fn of(status: &Value) -> Seen {
        match status["state"].as_str().unwrap_or_default() {
            "StablePrimary" if status["isPrimary"] == true && status["recovered"] == true => Seen::Primary,
            "StablePrimary" => Seen::Elected,
            "StableSecondary" => Seen::Secondary,
            "Preparing" => Seen::Preparing,
            "Initializing" => Seen::Initializing,
            "PaxosInactive" => Seen::Inactive,
            _ => Seen::Down,
        }
    }
}

/// One look at one replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) seen: Seen,
    /// The last decree it has executed; 0 while it is down.
    pub(super) decree: u64,
}

pub(super) type Samples = Arc<Mutex<Vec<Sample>>>;

/// The threads. Dropped, they end soon.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    replicas: Vec<Samples>,
    /// Replicas that are cut off from a majority.
    cut_off: Vec<Arc<AtomicBool>>,
    threads: Vec<JoinHandle<()>>,
}

impl Sampler {
    /// Looks at one more replica from now on.
    pub(super) fn add(&mut self, id: &str, control_port: u16) {
        let samples = Samples::default();
        let (stop, into, id) = (Arc::clone(&self.stop), Arc::clone(&samples), id.to_owned());
        let cut_off = Arc::new(AtomicBool::new(false));
        self.replicas.push(samples);
        self.cut_off.push(Arc::clone(&cut_off));
        self.threads.push(std::thread::spawn(move || look(&id, control_port, &stop, &cut_off, &into)));
    }

    /// From now on a replica is cut off from a majority, or is no longer: what it says of itself counts accordingly.
    pub(super) fn cut_off(&self, place: usize, cut: bool) {
        if let Some(cut_off) = self.cut_off.get(place) {
            cut_off.store(cut, Ordering::Relaxed);
        }
    }

    /// What is seen of each replica, for who looks on; the latest look is the last.
    pub(super) fn watch(&self) -> Vec<Samples> {
        self.replicas.clone()
    }

    /// Ends; gives what was seen, replica by replica, each in order.
    pub(super) fn end(&mut self) -> Vec<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has no way to fail, and its samples so far are good.
            let _ = thread.join();
        }
        self.replicas.iter().map(|samples| samples.lock().clone()).collect()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn look(id: &str, port: u16, stop: &AtomicBool, cut_off: &AtomicBool, into: &Mutex<Vec<Sample>>) {
    let mut control: Option<Control> = None;
    while !stop.load(Ordering::Relaxed) {
        if control.is_none() {
            control = Control::connect(id, port, ANSWER).ok();
        }
        let status = control.as_mut().and_then(|control| control.ask("status", ANSWER).ok());
        if status.is_none() {
            control = None;
        }
        let mut seen = status.as_ref().map_or(Seen::Down, Seen::of);
        if seen == Seen::Primary && cut_off.load(Ordering::Relaxed) {
            seen = Seen::CutOff;
        }
        let decree = status.and_then(|status| status["seq"].as_u64()).unwrap_or_default();
        into.lock().push(Sample { at: Instant::now(), seen, decree });
        std::thread::sleep(LOOK);
    }
}

/// For how long no replica was seen as serving primary between two moments. A look counts until the next one of the same
/// replica.
pub(super) fn without_primary(replicas: &[Vec<Sample>], from: Instant, to: Instant) -> Duration {
    let mut served: Vec<(Instant, Instant)> = Vec::new();
    for samples in replicas {
        for (index, sample) in samples.iter().enumerate() {
            let until = samples.get(index + 1).map_or(to, |next| next.at).min(to);
            let since = sample.at.max(from);
            if sample.seen == Seen::Primary && since < until {
                served.push((since, until));
            }
        }
    }
    served.sort_unstable();
    let mut covered = from;
    let mut without = Duration::ZERO;
    for (since, until) in served {
        without += since.saturating_duration_since(covered);
        covered = covered.max(until);
    }
    without + to.saturating_duration_since(covered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn time_without_a_primary_is_what_no_replica_covers() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let sample = |ms: u64, seen| Sample { at: at(ms), seen, decree: 0 };
        let first = vec![sample(0, Seen::Primary), sample(100, Seen::Down)];
        let second = vec![sample(0, Seen::Secondary), sample(300, Seen::Primary), sample(400, Seen::Primary)];
        let both = [first, second];
        let without = |from, to| without_primary(&both, at(from), at(to)).as_millis();
        assert_eq!(without(0, 500), 200);
        assert_eq!(without(50, 150), 50);
        assert_eq!(without(120, 180), 60);
        assert_eq!(without(300, 900), 0);
        assert_eq!(without_primary(&[], at(0), at(70)).as_millis(), 70);
    }

    #[test]
    fn an_elected_primary_serves_when_it_has_recovered() {
        let status = |recovered| json!({"state": "StablePrimary", "isPrimary": true, "recovered": recovered});
        assert_eq!(Seen::of(&status(true)), Seen::Primary);
        assert_eq!(Seen::of(&status(false)), Seen::Elected);
        assert_eq!(Seen::of(&json!({"state": "x"})), Seen::Down);
    }
}
