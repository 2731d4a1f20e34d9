//! Admission of requests: one small lock between the application's threads and the loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use bytes::Bytes;
#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, AtomicU64};
#[cfg(not(all(test, loom)))]
use parking_lot::Mutex;

#[cfg(all(test, loom))]
use self::explored::Mutex;

use super::{Cookie, Refused};
use crate::engine::{ChangeToken, Command, Request, RequestToken};
use crate::types::{MemberSet, ProtocolVersion};

/// What a queued request costs beside its bytes; keeps a flood of tiny requests within the bound.
const OVERHEAD: u64 = 64;
/// What a vote holds beside cookie and request: header, cookie length, two flags, request length. Of version 6, the
/// largest.
const ENVELOPE: u64 = ProtocolVersion::V6.base_size() as u64 + 4 + 2 + 4;

/// How a request is to be replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Joins other requests in one decree [API-68].
    #[default]
    Batched,
    /// Alone in its decree.
    Exclusive,
    /// Alone in its decree, and the last one this primary takes: it drains from now on [API-74].
    LastDecree,
}

/// Takes requests while the replica is primary [PROTO-97].
///
/// Invariant: a request is in `waiting` only if it was accepted, and whoever takes it out passes it on to the engine or
/// to the execution context; so each accepted request ends in one execution or one abort [PROTO-100].
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
    /// Mirror of `State::open`, for getters.
    is_open: AtomicBool,
    /// Bytes accepted and neither executed nor aborted.
    queued: AtomicU64,
    queue_limit: u64,
    max_vote_len: u64,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    draining: bool,
    stopped: bool,
    cookie_len: u64,
    /// In order; the requests after the last configuration change are in `requests`.
    waiting: Vec<Command>,
    requests: Vec<Request>,
    /// Since when the first of `requests` waits.
    since: Option<Instant>,
}

impl State {
    /// Takes everything out, in order.
    fn take(&mut self) -> Vec<Command> {
        self.since = None;
        let mut commands = std::mem::take(&mut self.waiting);
        if !self.requests.is_empty() {
            commands.push(Command::Replicate(std::mem::take(&mut self.requests)));
        }
        commands
    }

    /// The primary check comes before the check for shutting down.
    fn check(&self) -> Result<(), Refused> {
        if !self.open {
            return Err(Refused::NotPrimary);
        }
        if self.draining || self.stopped {
            return Err(Refused::ShuttingDown);
        }
        Ok(())
    }
}

impl Admission {
    pub(super) fn new(queue_limit: u64, max_vote_len: u64) -> Admission {
        Admission {
            state: Mutex::default(),
            is_open: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            queue_limit,
            max_vote_len,
        }
    }

    /// Takes a request, or says why not [API-108].
    pub(super) fn submit(&self, payload: Bytes, cookie: Cookie, grouping: Grouping) -> Result<(), Refused> {
        let len = payload.len() as u64;
        let mut state = self.state.lock();
        if len == 0 || len + ENVELOPE + state.cookie_len > self.max_vote_len {
            return Err(Refused::InvalidParameter);
        }
        state.check()?;
        let queued = self.queued.load(Ordering::Relaxed);
        if queued > 0 && queued + len + OVERHEAD > self.queue_limit {
            return Err(Refused::QueueFull);
        }
        self.queued.fetch_add(len + OVERHEAD, Ordering::Relaxed);
        state.draining = grouping == Grouping::LastDecree;
        if state.requests.is_empty() {
            state.since = Some(Instant::now());
        }
        state.requests.push(Request {
            payload,
            token: RequestToken(cookie.0),
            exclusive: grouping != Grouping::Batched,
            last_decree: grouping == Grouping::LastDecree,
        });
        Ok(())
    }

    /// Takes a configuration change that was found valid [PROTO-101] [API-90].
    pub(super) fn change(&self, members: Arc<MemberSet>, cookie: Cookie) -> Result<(), Refused> {
        let mut state = self.state.lock();
        state.check()?;
        let mut commands = state.take();
        commands.push(Command::ChangeConfiguration { members, token: ChangeToken(cookie.0) });
        state.waiting = commands;
        Ok(())
    }

    /// All that was accepted since the last call, in order, and how long the first request has waited.
    pub(super) fn take(&self) -> (Vec<Command>, Option<Duration>) {
        let mut state = self.state.lock();
        let waited = state.since.map(|since| since.elapsed());
        (state.take(), waited)
    }

    /// The loop, when the replica is promoted: requests are taken from here on [PROTO-128].
    pub(super) fn open(&self) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.open = true;
            self.is_open.store(true, Ordering::Release);
        }
    }

    /// The loop, before the aborts of a demotion: from here on requests are refused. Returns those that did not reach
    /// the engine [API-80].
    pub(super) fn close(&self) -> Vec<Command> {
        let mut state = self.state.lock();
        state.open = false;
        self.is_open.store(false, Ordering::Release);
        self.queued.store(0, Ordering::Relaxed);
        state.take()
    }

    /// The replica shuts down: from here on requests are refused. Returns those that did not reach the engine.
    pub(super) fn shut_down(&self) -> Vec<Command> {
        let mut state = self.state.lock();
        state.stopped = true;
        state.take()
    }

    /// The replica has ended: it is primary no more and never will be.
    pub(super) fn ended(&self) {
        self.state.lock().open = false;
        self.is_open.store(false, Ordering::Release);
    }

    /// Whether the application is primary in the sense of NotifyStatus.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether a last decree was accepted or the replica shuts down.
    pub(super) fn is_draining(&self) -> bool {
        let state = self.state.lock();
        state.draining || state.stopped
    }

    /// The length of the primary cookie that votes carry from now on: it takes room from the requests.
    pub(super) fn set_cookie_len(&self, len: u64) {
        self.state.lock().cookie_len = len;
    }

    /// Whether votes with a primary cookie of this length are possible at all [HARD-522].
    pub(super) fn cookie_fits(&self, len: u64) -> bool {
        len + ENVELOPE < self.max_vote_len
    }

    /// A request with a payload of `len` bytes was executed here. One of an earlier term is not counted any more, so
    /// the sum may be a little low for a moment.
    pub(super) fn executed(&self, len: u64) {
        let less = |queued: u64| Some(queued.saturating_sub(len + OVERHEAD));
        let _ = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(all(test, loom))]
mod explored;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LIMIT: u64 = 10_000;

    fn admission() -> Admission {
        Admission::new(LIMIT, 4096)
    }

    /// What waits: requests with their grouping, and changes.
    fn waiting(commands: Vec<Command>) -> Vec<(u64, bool, bool)> {
        let describe = |command| match command {
            Command::Replicate(requests) => {
                requests.into_iter().map(|r| (r.token.0, r.exclusive, r.last_decree)).collect()
            }
            Command::ChangeConfiguration { token, .. } => vec![(token.0, true, false)],
            other => panic!("unexpected {other:?}"),
        };
        commands.into_iter().flat_map(describe).collect()
    }

    fn submit(admission: &Admission, payload: &'static [u8], grouping: Grouping) -> Result<(), Refused> {
        admission.submit(Bytes::from_static(payload), Cookie(7), grouping)
    }

    /// [API-108] [API-80] [PROTO-97] Not primary, primary, drained primary, demoted, shut down.
    #[test]
    fn each_state_has_its_answer() {
        let admission = admission();
        let batched = || submit(&admission, b"x", Grouping::Batched);
        assert_eq!(batched(), Err(Refused::NotPrimary));
        admission.open();
        assert_eq!(batched(), Ok(()));
        // [API-74] [PROTO-99]
        assert_eq!(submit(&admission, b"last", Grouping::LastDecree), Ok(()));
        assert_eq!(batched(), Err(Refused::ShuttingDown));
        assert!(admission.is_draining());
        assert_eq!(waiting(admission.take().0), [(7, false, false), (7, true, true)]);
        admission.close();
        assert_eq!(batched(), Err(Refused::NotPrimary));

        let other = Admission::new(LIMIT, 4096);
        other.open();
        other.shut_down();
        assert_eq!(submit(&other, b"x", Grouping::Batched), Err(Refused::ShuttingDown));
        other.ended();
        assert_eq!(submit(&other, b"x", Grouping::Batched), Err(Refused::NotPrimary));
    }

    /// [API-105] What was accepted and not taken yet comes back with the closing; after the end nothing opens.
    #[test]
    fn closing_returns_what_nobody_took() {
        let admission = admission();
        admission.open();
        assert_eq!(submit(&admission, b"x", Grouping::Batched), Ok(()));
        assert_eq!(admission.close().len(), 1);
        assert!(!admission.is_open() && admission.take().0.is_empty());
        admission.shut_down();
        admission.open();
        assert!(!admission.is_open());
    }

    /// [PROTO-101] [API-90] [API-67] A configuration change keeps its place among the requests.
    #[test]
    fn a_change_keeps_its_place() {
        let admission = admission();
        let change = |cookie| admission.change(Arc::default(), Cookie(cookie));
        assert_eq!(change(1), Err(Refused::NotPrimary));
        admission.open();
        assert_eq!(submit(&admission, b"x", Grouping::Batched), Ok(()));
        assert_eq!(change(1), Ok(()));
        assert_eq!(submit(&admission, b"y", Grouping::Batched), Ok(()));
        assert_eq!(submit(&admission, b"z", Grouping::LastDecree), Ok(()));
        assert_eq!(change(2), Err(Refused::ShuttingDown));
        let order = [(7, false, false), (1, true, false), (7, false, false), (7, true, true)];
        assert_eq!(waiting(admission.take().0), order);
        assert!(admission.take().0.is_empty());
    }

    /// [HARD-3] [HARD-555] [HARD-558] [HARD-560] Empty requests, and requests whose vote would not fit a promise.
    #[test]
    fn unusable_requests_are_refused() {
        let admission = admission();
        let of = |len: usize| admission.submit(Bytes::from(vec![1; len]), Cookie::NONE, Grouping::Batched);
        // The parameter is checked first, in every state.
        assert_eq!(of(0), Err(Refused::InvalidParameter));
        admission.open();
        let room = usize::try_from(4096 - ENVELOPE).unwrap();
        assert_eq!(of(0), Err(Refused::InvalidParameter));
        assert_eq!(of(room + 1), Err(Refused::InvalidParameter));
        assert_eq!(of(room), Ok(()));
        admission.set_cookie_len(1);
        assert_eq!(of(room), Err(Refused::InvalidParameter));
        assert!(admission.cookie_fits(0) && !admission.cookie_fits(4096 - ENVELOPE));
    }

    /// [HARD-315] Decision 16: a bound on queued bytes, with a result of its own; executed requests make room.
    #[test]
    fn a_full_queue_pushes_back() {
        let admission = admission();
        admission.open();
        let of = |len: usize| admission.submit(Bytes::from(vec![1; len]), Cookie::NONE, Grouping::Batched);
        let mut accepted = 0;
        while of(900) == Ok(()) {
            accepted += 1;
        }
        assert_eq!(of(900), Err(Refused::QueueFull));
        assert_eq!(accepted, LIMIT / (900 + OVERHEAD));
        admission.executed(900);
        assert_eq!(of(900), Ok(()));
        assert_eq!(of(900), Err(Refused::QueueFull));
        admission.close();
        admission.open();
        assert_eq!(of(900), Ok(()));
    }
}
