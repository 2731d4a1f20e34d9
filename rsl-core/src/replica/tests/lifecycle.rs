//! Whole replicas that are the only member: results in every state, order of callbacks, restart, checkpoints.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::testing::{Event, Place, Recorder, wait_for};
use super::super::{
    Cookie, Grouping, NativeThreads, Priority, Refused, Replica, Setup, StartError, ThreadSpawner,
};
use crate::engine::{Role, StopReason};
use crate::types::{Decree, MemberSet, Node, ProtocolVersion};

const PATIENCE: Duration = Duration::from_secs(10);
const SHUTTING_DOWN: i32 = Refused::ShuttingDown.code();

fn members(nodes: &[Node]) -> MemberSet {
    MemberSet { nodes: nodes.to_vec(), cookie: Bytes::new() }
}

fn setup(place: &Place) -> Setup {
    let node = place.node(0);
    Setup::new(place.config().fast_read_threshold(5).build().unwrap(), ProtocolVersion::V6, node.clone())
        .members(members(&[node]))
}

fn start(place: &Place) -> (Replica, Arc<Recorder>) {
    start_with(place, Recorder::default())
}

/// Starts the only member and waits until it is primary and recovered.
fn start_with(place: &Place, recorder: Recorder) -> (Replica, Arc<Recorder>) {
    let recorder = Arc::new(recorder);
    let replica = Replica::start(setup(place), Arc::clone(&recorder) as _).unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    (replica, recorder)
}

fn replicate(replica: &Replica, request: &'static [u8], cookie: u64) -> Result<(), Refused> {
    replica.replicate(request, Cookie(cookie), Grouping::Batched)
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn executions(events: &[Event]) -> Vec<(Vec<u8>, u64)> {
    let executed = |event: &Event| match event {
        Event::Executed(_, request, cookie) => Some((request.clone(), *cookie)),
        _ => None,
    };
    events.iter().filter_map(executed).collect()
}

/// [API-108] [API-46] [API-55] [HARD-545] [HARD-563] [HARD-516] The table of results, column by column: before the start (U), as
/// primary (P), after the end (X); and the order of callbacks of sections 22.1 and 22.6.
#[test]
fn results_and_callbacks_from_start_to_end() {
    let place = Place::new();
    let before = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&before);
    let recorder = Recorder::with_hook(move |event, replica| {
        if *event == Event::Loaded(None) {
            let fast_read = replica.fast_read(Decree(0), &b"r"[..], Cookie(1), Duration::ZERO);
            seen.lock().extend([
                replicate(replica, b"x", 1),
                fast_read,
                replica.change_configuration(replica.configuration().1.as_ref().clone(), Cookie(1)),
                replica.bootstrap(MemberSet::default(), Duration::ZERO),
                replica.copy_state_from_replica(Cookie(1)),
            ]);
            assert!(replica.status().is_none() && replica.current_primary().is_none());
            assert!(!replica.is_in_stable_state() && !replica.is_any_request_pending_execution());
            assert!(replica.replicas_information().is_empty());
            assert_eq!((replica.current_sequence_number(), replica.configuration().0), (Decree(0), 0));
        }
    });
    let (replica, recorder) = start_with(&place, recorder);
    let (not_primary, ending) = (Err(Refused::NotPrimary), Err(Refused::ShuttingDown));
    let invalid = Err(Refused::InvalidParameter);
    // The empty set is refused first, and bootstrap inside a callback as well [HARD-572].
    assert_eq!(*before.lock(), [not_primary, ending, invalid, invalid, ending]);

    assert_eq!(replicate(&replica, b"a", 7), Ok(()));
    wait_for(&recorder, |events| events.contains(&Event::After));
    assert_eq!(
        replica.fast_read(replica.current_sequence_number(), &b"r"[..], Cookie(8), Duration::ZERO),
        Ok(())
    );
    wait_for(&recorder, |events| events.contains(&Event::FastRead(8)));
    let stale = replica.fast_read(Decree(1 << 40), &b"r"[..], Cookie(9), PATIENCE);
    assert_eq!(stale, Err(Refused::FastReadStale));
    assert!(replica.is_primary() && replica.is_in_stable_state());
    assert_eq!(replica.status().unwrap().role, Role::Primary);
    assert_eq!(replica.configuration().0, 1);
    let own = place.node(0);
    // [API-17] [API-104]
    assert_eq!(replica.current_primary(), Some(Node { learn_port: 21_001, ..own.clone() }));
    let health = replica.replicas_information();
    assert_eq!(health.len(), 1);
    assert!(health[0].is_primary && health[0].connected && health[0].member == own.id);
    assert_eq!(replica.replica_information(own.id).map(|health| health.member), Some(own.id));
    assert_eq!(replica.replica_information("9".parse().unwrap()), None);
    let other = members(std::slice::from_ref(&own));
    assert_eq!(replica.bootstrap(other.clone(), Duration::ZERO), Err(Refused::AlreadyBootstrapped));
    assert_eq!(replica.copy_state_from_replica(Cookie(77)), Ok(()));
    // [API-101] No peer has a checkpoint.
    wait_for(&recorder, |events| events.contains(&Event::Copied(0)));
    // [HARD-564] Ignored: nobody could succeed.
    replica.relinquish_primary();
    assert_eq!(replicate(&replica, b"b", 10), Ok(()));
    wait_for(&recorder, |events| executions(events).len() == 2);

    replica.unload();
    assert_eq!(replica.wait(), Some(StopReason::Unloaded));
    replica.unload();
    assert_eq!(replicate(&replica, b"x", 1), not_primary);
    assert_eq!(replica.fast_read(Decree(0), &b"r"[..], Cookie(1), Duration::ZERO), ending);
    assert_eq!(replica.change_configuration(other.clone(), Cookie(1)), not_primary);
    assert_eq!(replica.bootstrap(other, Duration::ZERO), Err(Refused::BootstrapFailed));
    assert_eq!(replica.copy_state_from_replica(Cookie(1)), ending);
    assert!(!replica.is_primary() && !replica.is_in_stable_state());
    assert!(replica.replicas_information().is_empty());
    assert_eq!(replica.status().unwrap().role, Role::Primary);

    let events = recorder.events();
    assert_eq!(events[..3], [Event::Loaded(None), Event::Status(true), Event::Recovered]);
    assert_eq!(executions(&events), [(b"a".to_vec(), 7), (b"b".to_vec(), 10)]);
    // [API-105] NotifyStatus(false) is not called at the end.
    assert_eq!(events.last(), Some(&Event::ShutDown));
    assert!(!events.contains(&Event::Status(false)));
}

/// [PROTO-168] [API-105] [API-106] What waits at the end is aborted, requests before fast reads; each cookie comes back
/// once, and nothing comes after ShutDown.
#[test]
fn unloading_completes_or_aborts_everything() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    recorder.block();
    replicate(&replica, b"block", 1).unwrap();
    until("the blocked request", || replica.is_any_request_pending_execution());
    for cookie in 2..=500 {
        replica.replicate(&b"x"[..], Cookie(cookie), Grouping::Exclusive).unwrap();
    }
    let ahead = Decree(replica.current_sequence_number().0 + 5);
    replica.fast_read(ahead, &b"r"[..], Cookie(1000), PATIENCE).unwrap();
    let unloading = {
        let replica = replica.clone();
        std::thread::spawn(move || replica.unload())
    };
    until("the refusal", || replicate(&replica, b"x", 0) == Err(Refused::ShuttingDown));
    recorder.unblock();
    unloading.join().unwrap();
    let events = recorder.events();
    let mut cookies: Vec<u64> = executions(&events).into_iter().map(|(_, cookie)| cookie).collect();
    assert!(cookies.is_sorted(), "executed in order of acceptance [API-67]");
    let aborted = events.iter().filter_map(|event| match event {
        Event::Aborted(code, cookie) if *code == SHUTTING_DOWN => Some(*cookie),
        _ => None,
    });
    cookies.extend(aborted);
    // Those of the loop above.
    cookies.retain(|cookie| *cookie > 0);
    assert_eq!(cookies.last(), Some(&1000), "fast reads are aborted after requests");
    cookies.sort_unstable();
    assert_eq!(cookies, (1..=500).chain([1000]).collect::<Vec<u64>>());
    assert_eq!(events.last(), Some(&Event::ShutDown));
}

/// [API-107] [PROTO-174] [HARD-576] Unloading inside a callback is scheduled; waiting there is refused, and so are pausing and
/// bootstrap. [API-66] A request from inside `execute` is a later decree.
#[test]
fn callbacks_may_call_but_not_wait() {
    let place = Place::new();
    let nested = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&nested);
    let recorder = Recorder::with_hook(move |event, replica| match event {
        Event::Executed(decree, request, 1) if request == b"outer" => {
            assert_eq!(replica.current_sequence_number(), Decree(*decree));
            assert_eq!(replicate(replica, b"inner", 2), Ok(()));
            counter.store(*decree, Ordering::SeqCst);
            assert_eq!(replica.wait(), None);
            replica.pause();
            assert_eq!(replica.bootstrap(MemberSet::default(), PATIENCE), Err(Refused::InvalidParameter));
        }
        Event::Executed(decree, _, 2) => {
            assert!(*decree > counter.load(Ordering::SeqCst));
            replica.unload();
        }
        _ => {}
    });
    let (replica, recorder) = start_with(&place, recorder);
    replicate(&replica, b"outer", 1).unwrap();
    assert_eq!(replica.wait(), Some(StopReason::Unloaded));
    assert_eq!(executions(&recorder.events()), [(b"outer".to_vec(), 1), (b"inner".to_vec(), 2)]);
    assert_eq!(recorder.events().last(), Some(&Event::ShutDown));
}

/// A panic in a callback ends the replica, with the reason; nothing hangs.
#[test]
fn a_panic_in_a_callback_ends_the_replica() {
    let place = Place::new();
    let (replica, _recorder) = start(&place);
    replicate(&replica, b"panic", 1).unwrap();
    match replica.wait() {
        Some(StopReason::Panicked(text)) => assert!(text.contains("asked to panic"), "{text}"),
        other => panic!("ended with {other:?}"),
    }
    assert_eq!(replicate(&replica, b"x", 1), Err(Refused::NotPrimary));
}

/// [API-95] [API-96] [API-97] [API-98] [API-99] [API-72] [XFER-38] [HARD-574] A requested checkpoint is taken at its decree; one that is
/// declined is taken once saving is allowed again; a restart loads it and replays the rest without cookies [API-70].
#[test]
fn checkpoints_are_taken_and_loaded() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    recorder.refuse_save(true);
    replicate(&replica, b"save", 1).unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Save));
    recorder.refuse_save(false);
    // The answer reaches the engine before the next request does.
    replicate(&replica, b"a", 2).unwrap();
    wait_for(&recorder, |events| executions(events).len() == 2);
    assert!(!recorder.events().iter().any(|event| matches!(event, Event::Saved(_))));
    let temp = place.path().join("101").join("Temp");
    assert_eq!(std::fs::read_dir(temp).unwrap().count(), 0, "a declined save leaves nothing");
    replica.allow_save_state(true);
    replicate(&replica, b"b", 3).unwrap();
    wait_for(&recorder, |events| events.iter().any(|event| matches!(event, Event::Saved(_))));
    replicate(&replica, b"c", 4).unwrap();
    wait_for(&recorder, |events| executions(events).len() == 4);
    let at = replica.current_sequence_number();
    until("a decree after it", || replica.current_sequence_number() > at);
    replica.unload();

    let (replica, again) = start(&place);
    let events = again.events();
    assert_eq!(events[0], Event::Loaded(Some(5)));
    let replayed = executions(&events);
    assert!(replayed.contains(&(b"c".to_vec(), 0)), "{replayed:?}");
    assert!(!replayed.contains(&(b"save".to_vec(), 0)) && !replayed.contains(&(b"a".to_vec(), 0)));
    assert!(replica.status().unwrap().log_range.checkpointed_decree > Decree(0));
    replica.unload();
}

/// Decision 26: one writer per directory; the second start fails and can be repeated when the first has ended
/// [HARD-542].
#[test]
fn a_directory_has_one_replica() {
    let place = Place::new();
    let (replica, _recorder) = start(&place);
    let second = Replica::start(setup(&place), Arc::new(Recorder::default()));
    let error = second.unwrap_err();
    assert!(matches!(error, StartError::Directory(_)), "{error}");
    replica.unload();
    let (replica, _recorder) = start(&place);
    replica.unload();
}

/// [HARD-506] [STOR-1] A member id cannot leave the working directory.
#[test]
fn a_member_id_that_is_no_directory_fails_the_start() {
    let place = Place::new();
    let node = Node { id: "../x".parse().unwrap(), ..place.node(0) };
    let setup = Setup::new(place.config().build().unwrap(), ProtocolVersion::V6, node);
    let error = Replica::start(setup, Arc::new(Recorder::default())).unwrap_err();
    assert!(matches!(error, StartError::Directory(_)), "{error}");
}

/// [API-68] [API-69] [API-71] Requests that wait together share a decree and one Before and After; an exclusive one is
/// alone in its decree, in its place.
#[test]
fn waiting_requests_share_a_decree() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    replica.pause();
    for (cookie, grouping) in
        [(1, Grouping::Batched), (2, Grouping::Batched), (3, Grouping::Exclusive), (4, Grouping::Batched)]
    {
        replica.replicate(&b"x"[..], Cookie(cookie), grouping).unwrap();
    }
    replica.resume();
    wait_for(&recorder, |events| executions(events).len() == 4);
    replica.unload();
    let events = recorder.events();
    let decrees: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Executed(decree, ..) => Some(*decree),
            _ => None,
        })
        .collect();
    assert_eq!(decrees[0], decrees[1]);
    assert!(decrees[1] < decrees[2] && decrees[2] < decrees[3]);
    assert_eq!(events.iter().filter(|event| **event == Event::Before).count(), 3);
    assert_eq!(events.iter().filter(|event| **event == Event::After).count(), 3);
}

/// [API-100] [XFER-46] A checkpoint asked for by a request that is replayed is taken while the replica starts, on the
/// starting thread, whatever was allowed before.
#[test]
fn a_replayed_request_saves_at_once() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    replica.allow_save_state(false);
    replicate(&replica, b"save", 1).unwrap();
    wait_for(&recorder, |events| executions(events).len() == 1);
    let at = replica.current_sequence_number();
    until("a decree after it", || replica.highest_passed_sequence_number() > at);
    replica.unload();
    assert!(!recorder.events().contains(&Event::Save));
    let recorder = Arc::new(Recorder::default());
    let replica = Replica::start(setup(&place), Arc::clone(&recorder) as _).unwrap();
    let events = recorder.events();
    let saved = events.iter().position(|event| *event == Event::Saved(at.0)).expect("saved during the start");
    assert_eq!(events[saved - 1], Event::Save);
    replica.unload();
}

/// [API-54] [PROTO-171] [HARD-546] A paused replica proposes nothing, and goes on afterwards.
#[test]
fn a_pause_holds_the_loop() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    replica.resume();
    replica.pause();
    replica.pause();
    replicate(&replica, b"a", 1).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(executions(&recorder.events()), []);
    assert_eq!(replica.status().unwrap().role, Role::Primary);
    replica.resume();
    wait_for(&recorder, |events| executions(events).len() == 1);
    replica.unload();
}

/// [API-74] [PROTO-99] After the last decree everything is refused, and it still executes. [API-29] Statistics count.
#[test]
fn the_last_decree_drains() {
    let place = Place::new();
    let (replica, recorder) = start(&place);
    let _ = replica.take_stats();
    replica.replicate(&b"last"[..], Cookie(1), Grouping::LastDecree).unwrap();
    assert_eq!(replicate(&replica, b"x", 2), Err(Refused::ShuttingDown));
    let read = replica.fast_read(Decree(0), &b"r"[..], Cookie(3), Duration::ZERO);
    assert_eq!(read, Err(Refused::ShuttingDown));
    let set = members(&[place.node(0)]);
    assert_eq!(replica.change_configuration(set, Cookie(4)), Err(Refused::ShuttingDown));
    wait_for(&recorder, |events| executions(events) == [(b"last".to_vec(), 1)]);
    let stats = replica.take_stats();
    assert!(stats.decrees_executed >= 1 && stats.log_writes.count >= 1 && stats.syncs >= 1);
    assert!(stats.log_writes.bytes >= 512 && stats.log_writes.bytes.is_multiple_of(512));
    assert!(stats.voting.count >= 1);
    replica.unload();
}

/// [API-51] [PROTO-170] Threads that run callbacks come from the spawner, in the legacy order with the legacy priorities; a spawner
/// that refuses fails the start.
#[test]
fn callback_threads_come_from_the_spawner() {
    #[derive(Debug, Default)]
    struct Records(Mutex<Vec<(String, Priority)>>, AtomicU64);
    impl ThreadSpawner for Records {
        fn spawn(&self, name: &str, priority: Priority, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
            self.0.lock().push((name.to_owned(), priority));
            if self.1.load(Ordering::Relaxed) > 0
                && self.0.lock().len() as u64 >= self.1.load(Ordering::Relaxed)
            {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            NativeThreads.spawn(name, priority, body)
        }
    }
    let place = Place::new();
    let spawner = Arc::new(Records::default());
    spawner.1.store(3, Ordering::Relaxed);
    let with_spawner = || setup(&place).spawner(Arc::clone(&spawner) as _);
    let failed = Replica::start(with_spawner(), Arc::new(Recorder::default()));
    assert!(matches!(failed.unwrap_err(), StartError::Thread(_)));
    spawner.0.lock().clear();
    spawner.1.store(0, Ordering::Relaxed);
    let recorder = Arc::new(Recorder::default());
    let replica = Replica::start(with_spawner(), Arc::clone(&recorder) as _).unwrap();
    replica.copy_state_from_replica(Cookie(1)).unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Copied(0)));
    replica.unload();
    let created: Vec<i32> = spawner.0.lock().iter().map(|(_, priority)| *priority as i32).collect();
    // Resolver, main, execute, one reader; later the copy.
    assert_eq!(created, [0, 3, 0, 0, 0]);
}

/// [API-49] [API-88] [API-89] [API-93] [SCN-2] [SCN-3] [SCN-4] The bootstrap form: inactive without members; Bootstrap checks in
/// order; then the set is persisted and a restart needs no second call. [API-90] [API-91] A sole member changes its
/// configuration.
#[test]
fn a_sole_member_is_bootstrapped() {
    let place = Place::new();
    let node = place.node(0);
    let setup = || Setup::new(place.config().build().unwrap(), ProtocolVersion::V6, node.clone());
    let recorder = Arc::new(Recorder::default());
    let replica = Replica::start(setup(), Arc::clone(&recorder) as _).unwrap();
    assert_eq!(replica.status().unwrap().role, Role::Inactive);
    assert!(!replica.is_in_stable_state());
    assert_eq!(replicate(&replica, b"x", 1), Err(Refused::NotPrimary));
    assert_eq!(replica.configuration().0, 0);
    let set = members(std::slice::from_ref(&node));
    let empty = replica.bootstrap(MemberSet::default(), PATIENCE);
    assert_eq!(empty, Err(Refused::InvalidParameter));
    let stranger = members(&[place.node(1)]);
    assert_eq!(replica.bootstrap(stranger, PATIENCE), Err(Refused::BootstrapFailed));
    assert_eq!(replica.bootstrap(set.clone(), PATIENCE), Ok(()));
    assert_eq!(replica.bootstrap(set.clone(), PATIENCE), Err(Refused::AlreadyBootstrapped));
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    assert_eq!(
        recorder.events()[..4],
        [Event::Loaded(None), Event::Saved(0), Event::Configuration(0), Event::Status(true)]
    );
    assert_eq!(replica.configuration(), (1, Arc::new(set.clone())));
    let changed = MemberSet { cookie: Bytes::from_static(b"second"), ..set };
    assert_eq!(replica.change_configuration(changed.clone(), Cookie(5)), Ok(()));
    wait_for(&recorder, |events| events.contains(&Event::Configuration(5)));
    assert_eq!(replica.configuration(), (2, Arc::new(changed)));
    let at = replica.current_sequence_number();
    until("the next decree", || replica.current_sequence_number() > at);
    replica.unload();

    let recorder = Arc::new(Recorder::default());
    let replica = Replica::start(setup(), Arc::clone(&recorder) as _).unwrap();
    wait_for(&recorder, |events| events.contains(&Event::Recovered));
    assert_eq!(replica.configuration().0, 2);
    replica.unload();
}
