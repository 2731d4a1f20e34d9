//! The admission under loom: every interleaving of its lock and atomics, for a few threads.
//!
//! `cargo xtask sanitize` runs these with `--cfg loom`.

use loom::thread;

use super::*;

/// Loom's lock with the interface of the real one.
#[derive(Debug)]
pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex(loom::sync::Mutex::new(T::default()))
    }
}

impl<T> Mutex<T> {
    pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

/// Room for three requests.
const LIMIT: u64 = 3 * (1 + OVERHEAD);

fn admission() -> Arc<Admission> {
    Arc::new(Admission::new(LIMIT, 4096))
}

fn submit(admission: &Admission, cookie: u64, grouping: Grouping) -> Result<(), Refused> {
    admission.submit(Bytes::from_static(b"x"), Cookie(cookie), grouping)
}

/// The cookies of requests and changes, in order.
fn cookies(commands: Vec<Command>) -> Vec<u64> {
    let cookie = |command| match command {
        Command::Replicate(requests) => requests.into_iter().map(|request| request.token.0).collect(),
        Command::ChangeConfiguration { token, .. } => vec![token.0],
        other => panic!("unexpected {other:?}"),
    };
    commands.into_iter().flat_map(cookie).collect()
}

/// A thread that submits these in order; gives those that were accepted.
fn submitter(admission: &Arc<Admission>, requests: &'static [u64]) -> thread::JoinHandle<Vec<u64>> {
    let admission = Arc::clone(admission);
    thread::spawn(move || {
        requests
            .iter()
            .copied()
            .filter(|&cookie| submit(&admission, cookie, Grouping::Batched).is_ok())
            .collect()
    })
}

/// [PROTO-97] [PROTO-100] Two submitters beside a loop that takes, is demoted and promoted again: what was accepted comes
/// out once, in the order of its thread, and nothing that was refused does.
#[test]
fn what_is_accepted_comes_out_once() {
    loom::model(|| {
        let admission = admission();
        admission.open();
        let threads = [submitter(&admission, &[1, 2]), submitter(&admission, &[11])];
        let mut out = cookies(admission.take().0);
        out.extend(cookies(admission.close()));
        admission.open();
        let accepted = threads.map(|thread| thread.join().unwrap());
        out.extend(cookies(admission.take().0));
        for accepted in &accepted {
            let of_thread: Vec<u64> = out.iter().copied().filter(|c| accepted.contains(c)).collect();
            assert_eq!(&of_thread, accepted);
        }
        assert_eq!(out.len(), accepted.iter().map(Vec::len).sum::<usize>());
    });
}

/// [API-80] [API-105] After a demotion, and after a shutdown, nothing is accepted any more, whatever was on its way.
#[test]
fn nothing_is_accepted_behind_the_end() {
    loom::model(|| {
        let admission = admission();
        admission.open();
        let threads = [submitter(&admission, &[1]), submitter(&admission, &[11])];
        let mut out = cookies(admission.shut_down());
        // Whoever comes from here on is refused.
        assert!(submit(&admission, 21, Grouping::Batched).is_err());
        admission.open();
        let accepted: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(admission.take().0.is_empty());
        out.sort_unstable();
        let mut accepted = accepted;
        accepted.sort_unstable();
        assert_eq!(out, accepted);
    });
}

/// [API-74] [PROTO-99] Of two threads that want to be the last, one is; nothing comes behind it.
#[test]
fn one_is_the_last() {
    loom::model(|| {
        let admission = admission();
        admission.open();
        let last = |cookie| {
            let admission = Arc::clone(&admission);
            thread::spawn(move || submit(&admission, cookie, Grouping::LastDecree).is_ok())
        };
        let threads = [last(1), last(2)];
        let batched = submit(&admission, 3, Grouping::Batched).is_ok();
        let accepted = threads.map(|thread| thread.join().unwrap());
        assert_eq!(accepted.iter().filter(|&&ok| ok).count(), 1);
        let out = cookies(admission.take().0);
        assert_eq!(out.last(), Some(if accepted[0] { &1 } else { &2 }));
        assert_eq!(out.len(), 1 + usize::from(batched));
        assert!(admission.is_draining());
    });
}

/// [HARD-315] Submitters beside executions: the bound holds, the count is exact when all is done.
#[test]
fn the_bound_holds() {
    loom::model(|| {
        let admission = admission();
        admission.open();
        let threads = [submitter(&admission, &[1, 2]), submitter(&admission, &[11, 12])];
        let mut executed = 0;
        for _ in 0..2 {
            let taken = cookies(admission.take().0);
            assert!(admission.queued.load(Ordering::Relaxed) <= LIMIT);
            taken.iter().for_each(|_| admission.executed(1));
            executed += taken.len();
        }
        let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
        let rest = cookies(admission.take().0);
        assert_eq!(accepted, executed + rest.len());
        assert!(accepted >= 3);
        rest.iter().for_each(|_| admission.executed(1));
        assert_eq!(admission.queued.load(Ordering::Relaxed), 0);
    });
}

/// [PROTO-101] [API-90] A configuration change keeps its place behind what its thread submitted before it.
#[test]
fn a_change_keeps_its_place() {
    loom::model(|| {
        let admission = admission();
        admission.open();
        let other = submitter(&admission, &[11]);
        let changer = {
            let admission = Arc::clone(&admission);
            thread::spawn(move || {
                submit(&admission, 1, Grouping::Batched).unwrap();
                admission.change(Arc::default(), Cookie(2)).unwrap();
                submit(&admission, 3, Grouping::Batched).unwrap();
            })
        };
        let mut out = cookies(admission.take().0);
        changer.join().unwrap();
        assert_eq!(other.join().unwrap(), [11]);
        out.extend(cookies(admission.take().0));
        out.retain(|&cookie| cookie != 11);
        assert_eq!(out, [1, 2, 3]);
    });
}
