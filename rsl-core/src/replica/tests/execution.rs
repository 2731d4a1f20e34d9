//! The execution context: order, exclusion, checkpoints, votes left on disk, the end.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::copier::Copier;
use super::super::errands::{self, Copies, Crews, Errand};
use super::super::executor::{ExecutionDisk, Executor, Saved};
use super::super::files::{FileSettings, Files};
use super::super::mailbox::Note;
use super::super::resolver::Resolver;
use super::super::shared::Shared;
use super::super::testing::{Event, Recorder, wait_for};
use super::super::threads::{Crew, NativeThreads, Priority};
use super::super::{ByteSize, Config, Cookie, Grouping, Refused, Setup, StateMachine};
use crate::engine::{
    AbortReason, Answer, Apply, ChangeToken, Input, Question, QuestionId, RequestToken, SaveOutcome,
    SaveRequest, StopReason,
};
use crate::net::learn::LearnTimeouts;
use crate::storage::{
    CheckpointReader, Directory, MemDisk, RestoreSettings, RestoreTarget, Retention, SaveAnswer, restore,
};
use crate::types::{Ballot, Configuration, Decree, MemberSet, Node, ProtocolVersion};
use crate::wire::{Header, Vote, VoteContent};

const NOT_PRIMARY: i32 = Refused::NotPrimary.code();
const SHUTTING_DOWN: i32 = Refused::ShuttingDown.code();

fn node() -> Node {
    Node {
        id: "1".parse().unwrap(),
        ip: Ipv4Addr::LOCALHOST,
        rsl_port: 1,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    }
}

fn vote(decree: u64, requests: &[&[u8]]) -> Vote {
    let ballot = Ballot::new(1, "1".parse().unwrap());
    let header = Header::new(ProtocolVersion::V6, "1".parse().unwrap(), Decree(decree), 1, ballot);
    let requests = requests.iter().map(|request| Bytes::copy_from_slice(request)).collect();
    Vote::new(header, &VoteContent { requests, ..VoteContent::default() }).unwrap()
}

fn execute(vote: Vote, tokens: &[u64]) -> Apply {
    Apply::Execute { vote, tokens: tokens.iter().copied().map(RequestToken).collect(), change: None }
}

fn abort(token: u64) -> Apply {
    Apply::Abort { token: RequestToken(token), reason: AbortReason::NotPrimary }
}

fn save(at: u64, next_vote: Option<Vote>) -> Apply {
    Apply::Save(SaveRequest {
        at: Decree(at),
        next_vote,
        promised: Ballot::EMPTY,
        version: ProtocolVersion::V6,
        configuration: Configuration::empty(1),
    })
}

type SavedState = (u64, Vec<u8>);

/// A disk whose log holds given votes.
#[derive(Clone, Debug, Default)]
struct FakeDisk {
    log: Vec<Vote>,
    /// Next vote and content of the checkpoints saved.
    saved: Arc<Mutex<Vec<SavedState>>>,
    reads: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl ExecutionDisk for FakeDisk {
    fn save(
        &mut self,
        _request: &SaveRequest,
        next_vote: &Vote,
        write: &mut dyn FnMut(&mut dyn Write) -> bool,
    ) -> Saved {
        let mut content = Vec::new();
        if !write(&mut content) {
            return Saved::Refused;
        }
        let size = content.len() as u64;
        self.saved.lock().push((next_vote.decree().0, content));
        Saved::Done { size }
    }

    fn read_votes(&mut self, first: Decree, last: Decree, _bytes: u64) -> io::Result<Vec<Vote>> {
        self.reads.lock().push((first.0, last.0));
        let wanted = |vote: &&Vote| vote.decree() >= first && vote.decree() <= last;
        // Portions of two votes.
        Ok(self.log.iter().filter(wanted).take(2).cloned().collect())
    }

    fn checkpoint_path(&self, decree: Decree) -> PathBuf {
        format!("{decree}.codex").into()
    }
}

/// The files of a replica that was never started.
fn empty_files() -> Arc<Files> {
    struct Nothing;
    impl RestoreTarget for Nothing {
        fn load(&mut self, _state: Option<&mut CheckpointReader>) -> bool {
            true
        }
        fn execute(&mut self, _vote: &Vote) -> bool {
            false
        }
        fn reconfigured(&mut self, _configuration: &Configuration) {}
        fn save(&mut self, _into: &mut dyn Write) -> SaveAnswer {
            SaveAnswer::Refused
        }
    }
    let path = Path::new("/data");
    let directory = Directory::open(Arc::new(MemDisk::with_directory(path)), path).unwrap();
    let settings = RestoreSettings {
        member: node().id,
        version: ProtocolVersion::V6,
        initial_members: None,
        retention: Retention::default(),
        refuse_damaged_tail: false,
    };
    let restored = restore(&directory, &settings, &mut Nothing).unwrap();
    let settings = FileSettings {
        retention: Retention::default(),
        member: node().id,
        max_header: 1 << 20,
        alert_size: 0,
        alert_space: 0,
    };
    Arc::new(Files::new(directory, Arc::clone(restored.log.index()), settings, None))
}

struct Rig {
    shared: Arc<Shared>,
    machine: Arc<Recorder>,
    disk: FakeDisk,
    thread: Option<JoinHandle<()>>,
}

impl Rig {
    /// An execution context at decree 0 that is not running yet.
    fn new(log: Vec<Vote>) -> Rig {
        let config = Config::builder("unused").execution_queue_size(ByteSize::mib(1)).build().unwrap();
        let shared = Arc::new(Shared::new(&Setup::new(config, ProtocolVersion::V6, node())));
        shared.running();
        Rig { shared, machine: Arc::default(), disk: FakeDisk { log, ..FakeDisk::default() }, thread: None }
    }

    fn start(mut self) -> Rig {
        let machine: Arc<dyn StateMachine> = Arc::clone(&self.machine) as _;
        let executor = Executor::new(Arc::clone(&self.shared), machine, self.disk.clone());
        self.thread = Some(std::thread::spawn(move || executor.run()));
        self
    }

    fn submit(&self, work: impl IntoIterator<Item = Apply>) {
        self.shared.execution.submit(&self.shared, work);
    }

    /// Lets the queue drain and returns what the application saw.
    fn finish(mut self) -> Vec<Event> {
        self.shared.execution.stop();
        self.thread.take().unwrap().join().unwrap();
        self.machine.events()
    }

    /// Lets the queue drain while the replica runs on, then ends it.
    fn finish_running(self) -> Vec<Event> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.shared.execution.queued() > 0 {
            assert!(Instant::now() < deadline, "the queue does not drain");
            std::thread::yield_now();
        }
        self.finish()
    }

    /// Inputs posted for the engine.
    fn inputs(&self) -> Vec<Input> {
        let input = |note| match note {
            Note::Input(input) => Some(input),
            _ => None,
        };
        self.shared.mailbox.take().into_iter().filter_map(input).collect()
    }
}

fn executed(decree: u64, request: &[u8], cookie: u64) -> Event {
    Event::Executed(decree, request.to_vec(), cookie)
}

/// [PROTO-136] [API-70] [API-71] Requests in order between Before and After, each with its cookie; empty decrees call
/// nothing but advance the sequence number; a decree that was executed already is skipped.
#[test]
fn a_decree_is_executed_request_by_request() {
    let rig = Rig::new(vec![]);
    rig.submit([
        execute(vote(1, &[b"a", b"b"]), &[7, 0]),
        execute(vote(2, &[]), &[]),
        execute(vote(3, &[b"c"]), &[]),
        execute(vote(3, &[b"c"]), &[]),
    ]);
    let rig = rig.start();
    let shared = Arc::clone(&rig.shared);
    let events = rig.finish();
    assert_eq!(
        events,
        [
            Event::Before,
            executed(1, b"a", 7),
            executed(1, b"b", 0),
            Event::After,
            Event::Before,
            executed(3, b"c", 0),
            Event::After,
        ]
    );
    assert_eq!(shared.progress.executed(), Decree(3));
    assert!(!shared.progress.is_pending());
}

/// [PROTO-131] [API-105] [API-80] [HARD-556] Losing leadership: passed decrees first, then aborts in order, with those of requests
/// that had not reached the engine, then the notification. From the closing on, requests are refused.
#[test]
fn a_demotion_aborts_in_order_before_the_notification() {
    let rig = Rig::new(vec![]);
    rig.submit([Apply::Status { is_primary: true }]);
    let submit =
        |cookie| rig.shared.admission.submit(Bytes::from_static(b"x"), Cookie(cookie), Grouping::Batched);
    assert_eq!(submit(3), Ok(()));
    rig.submit([
        execute(vote(1, &[b"a"]), &[1]),
        abort(2),
        abort(0),
        Apply::AbortChange { token: ChangeToken(9), reason: AbortReason::NotPrimary },
        Apply::Status { is_primary: false },
    ]);
    assert_eq!(submit(4), Err(Refused::NotPrimary));
    let events = rig.start().finish_running();
    assert_eq!(
        events,
        [
            Event::Status(true),
            Event::Before,
            executed(1, b"a", 1),
            Event::After,
            Event::Aborted(NOT_PRIMARY, 2),
            Event::Aborted(NOT_PRIMARY, 0),
            Event::AbortedChange(NOT_PRIMARY, 9),
            Event::Aborted(NOT_PRIMARY, 3),
            Event::Status(false),
        ]
    );
}

/// [PROTO-129] [PROTO-130] [API-79] A promotion is announced before decrees that wait, and after what ends an earlier
/// term; while it is pending no decree starts. Recovery is announced at its place, and not after a demotion.
#[test]
fn a_promotion_goes_before_waiting_decrees() {
    let rig = Rig::new(vec![]);
    rig.submit([
        Apply::Hold(true),
        Apply::Status { is_primary: false },
        execute(vote(1, &[b"old"]), &[]),
        execute(vote(2, &[b"old"]), &[]),
    ]);
    let rig = rig.start();
    wait_for(&rig.machine, |events| events.len() == 1);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(rig.shared.execution.queued(), 2, "no decree starts");
    rig.submit([Apply::Status { is_primary: true }, Apply::PrimaryRecovered]);
    wait_for(&rig.machine, |events| events.last() == Some(&Event::Recovered));
    // This one is overtaken by the demotion.
    rig.machine.block();
    rig.submit([execute(vote(3, &[b"block"]), &[]), Apply::PrimaryRecovered]);
    rig.submit([Apply::Status { is_primary: false }]);
    rig.machine.unblock();
    wait_for(&rig.machine, |events| events.last() == Some(&Event::Status(false)));
    let events = rig.finish();
    let kinds: Vec<&Event> = events.iter().filter(|e| !matches!(e, Event::Before | Event::After)).collect();
    assert_eq!(
        kinds,
        [
            &Event::Status(false),
            &Event::Status(true),
            &executed(1, b"old", 0),
            &executed(2, b"old", 0),
            &Event::Recovered,
            &executed(3, b"block", 0),
            &Event::Status(false),
        ]
    );
}

/// [PROTO-139] [XFER-35] [XFER-33] [API-96] A decree that asks for a checkpoint is reported by itself, and nothing is
/// executed before the engine has answered. The save jumps the queue and its next vote is the head of the queue.
#[test]
fn a_requested_checkpoint_is_taken_at_its_decree() {
    let rig = Rig::new(vec![]).start();
    rig.submit([
        execute(vote(1, &[b"a"]), &[]),
        execute(vote(2, &[b"save", b"more"]), &[]),
        execute(vote(3, &[b"b"]), &[]),
    ]);
    let mut inputs = Vec::new();
    while !inputs.iter().any(|i| matches!(i, Input::Executed { decree: Decree(2), save_state: true })) {
        inputs.extend(rig.inputs());
    }
    rig.submit([save(2, None)]);
    wait_for(&rig.machine, |events| events.contains(&executed(3, b"b", 0)));
    inputs.extend(rig.inputs());
    let outcome = SaveOutcome::Done { decree: Decree(2), size: 5 };
    assert!(inputs.iter().any(|i| matches!(i, Input::Saved(done) if *done == outcome)), "{inputs:?}");
    assert_eq!(*rig.disk.saved.lock(), [(3, b"state".to_vec())]);
    let events = rig.finish();
    let at = |event: &Event| events.iter().position(|seen| seen == event).unwrap();
    assert!(at(&executed(2, b"more", 0)) < at(&Event::Save));
    assert!(at(&Event::Save) < at(&Event::Saved(2)) && at(&Event::Saved(2)) < at(&executed(3, b"b", 0)));
}

/// [XFER-33] A save for a later decree waits for it; a release lets execution go on without one.
#[test]
fn a_save_waits_for_its_decree() {
    let rig = Rig::new(vec![]).start();
    rig.submit([
        execute(vote(1, &[b"save"]), &[]),
        save(2, Some(vote(3, &[]))),
        execute(vote(2, &[b"b"]), &[]),
    ]);
    while !rig.inputs().iter().any(|i| matches!(i, Input::Executed { save_state: true, .. })) {}
    rig.submit([Apply::Release { decree: Decree(1) }]);
    wait_for(&rig.machine, |events| events.contains(&Event::Saved(2)));
    assert_eq!(*rig.disk.saved.lock(), [(3, b"state".to_vec())]);
    // [PROTO-24] A save for a decree that is past would hold a later state: it fails and leaves nothing.
    rig.submit([save(1, Some(vote(2, &[])))]);
    let mut inputs = rig.inputs();
    while !inputs.iter().any(|input| matches!(input, Input::Saved(SaveOutcome::Failed))) {
        inputs.extend(rig.inputs());
    }
    assert_eq!(rig.disk.saved.lock().len(), 1);
    rig.finish();
}

/// [SCN-46] [PROTO-134] [PROTO-135] [HARD-335] [HARD-519] [HARD-357] Votes above the limit stay on disk and are read back in order, in
/// portions; votes with tokens are kept in memory whatever came before them. Each is executed once.
#[test]
fn votes_beyond_the_limit_are_read_back() {
    let big = vec![b'x'; 600_000];
    let votes: Vec<Vote> = (1..=7).map(|decree| vote(decree, &[&big])).collect();
    let rig = Rig::new(votes.clone());
    let mut work: Vec<Apply> = votes[..6].iter().map(|vote| execute(vote.clone(), &[])).collect();
    work.push(execute(votes[6].clone(), &[77]));
    rig.submit(work);
    assert!(rig.shared.progress.is_pending());
    let reads = Arc::clone(&rig.disk.reads);
    let rig = rig.start();
    wait_for(&rig.machine, |events| events.iter().filter(|e| **e == Event::After).count() == 7);
    let shared = Arc::clone(&rig.shared);
    let events = rig.finish();
    let order: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Executed(decree, _, cookie) => Some((*decree, *cookie)),
            _ => None,
        })
        .collect();
    assert_eq!(order, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 77)]);
    assert_eq!(*reads.lock(), [(3, 6), (5, 6)]);
    assert!(!shared.progress.is_pending());
    assert_eq!(shared.counters.snapshot(shared.clock.now(), Decree(7)).log_reads.count, 2);
}

/// [HARD-376] A vote that cannot be read back ends the replica; nothing after it is executed.
#[test]
fn an_unreadable_vote_ends_the_replica() {
    let big = vec![b'x'; 600_000];
    let rig = Rig::new(vec![]);
    rig.submit((1..=4).map(|decree| execute(vote(decree, &[&big]), &[])));
    rig.submit([execute(vote(5, &[b"follows"]), &[50]), abort(60)]);
    let rig = rig.start();
    let stopped =
        |notes: Vec<Note>| notes.into_iter().any(|note| matches!(note, Note::Stop(StopReason::LogFailed(_))));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !stopped(rig.shared.mailbox.take()) {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(rig.shared.progress.executed(), Decree(2));
    let events = rig.finish();
    assert_eq!(events[6..], [Event::Aborted(SHUTTING_DOWN, 50), Event::Aborted(NOT_PRIMARY, 60)]);
}

/// [PROTO-142] [API-93] [API-90] A reconfiguration changes the executed configuration before its notification, which
/// carries the cookie where it was asked for.
#[test]
fn a_reconfiguration_is_executed() {
    let ballot = Ballot::new(1, "1".parse().unwrap());
    let header = Header::new(ProtocolVersion::V6, "1".parse().unwrap(), Decree(1), 1, ballot);
    let members = Arc::new(MemberSet { nodes: vec![node()], cookie: Bytes::from_static(b"set") });
    let content = VoteContent { reconfiguration: Some(Arc::clone(&members)), ..VoteContent::default() };
    let vote = Vote::new(header, &content).unwrap();
    let rig = Rig::new(vec![]).start();
    rig.submit([Apply::Execute { vote, tokens: vec![], change: Some(ChangeToken(5)) }]);
    wait_for(&rig.machine, |events| events == [Event::Configuration(5)]);
    let configuration = rig.shared.configuration.lock().clone();
    assert_eq!((configuration.number, configuration.initial_decree), (1, Decree(2)));
    assert_eq!(configuration.members, members);
    rig.finish();
}

/// [PROTO-168] [HARD-348] [HARD-349] [API-105] The end: what is in memory is executed, what is only on disk is not, and
/// what follows it is aborted; then requests the engine held, fast reads, ShutDown, and nothing after it.
#[test]
fn the_end_has_an_order() {
    let big = vec![b'x'; 1_100_000];
    let rig = Rig::new(vec![]);
    let machine = Arc::clone(&rig.machine);
    rig.submit([Apply::Status { is_primary: true }]);
    rig.shared.admission.submit(Bytes::from_static(b"late"), Cookie(30), Grouping::Batched).unwrap();
    rig.shared.reads.submit(Decree(0), Bytes::from_static(b"r"), Cookie(40), Duration::ZERO).unwrap();
    rig.submit([execute(vote(1, &[&big]), &[]), abort(10)]);
    // No thread runs yet, so the queue is as it is when the end comes.
    let crews = Crews {
        execution: Crew::default(),
        readers: Crew::default(),
        resolver: Crew::default(),
        resolving: Arc::new(Resolver::default()),
        native: Crew::default(),
    };
    let (sender, receiver) = mpsc::channel();
    sender
        .send(Errand::Ask {
            question: QuestionId(1),
            ask: Question::AcceptMessage {
                from: "1".parse().unwrap(),
                cookie: Bytes::from_static(b"refuse"),
            },
            from: Some(node()),
        })
        .unwrap();
    sender
        .send(Errand::Ask { question: QuestionId(2), ask: Question::CanBecomePrimary, from: None })
        .unwrap();
    sender.send(Errand::Finish { reason: StopReason::Relinquished, last: None }).unwrap();
    let executor = Executor::new(Arc::clone(&rig.shared), Arc::clone(&machine) as _, rig.disk.clone());
    rig.shared.execution.stop();
    crews
        .execution
        .spawn(&NativeThreads, "execute", Priority::Normal, move || executor.run(), |text| panic!("{text}"))
        .unwrap();
    let copies = Copies {
        spawner: Arc::new(NativeThreads),
        copier: Arc::new(Copier {
            shared: Arc::clone(&rig.shared),
            files: empty_files(),
            timeouts: LearnTimeouts::default(),
        }),
        crew: Crew::default(),
        cancellers: Vec::new(),
    };
    let for_run: Arc<dyn StateMachine> = Arc::clone(&machine) as _;
    errands::run(&rig.shared, &for_run, &receiver, &crews, copies, None);
    let events = machine.events();
    let tail: Vec<&Event> = events.iter().filter(|e| !matches!(e, Event::Before | Event::After)).collect();
    assert_eq!(tail[0], &Event::Status(true));
    assert!(matches!(tail[1], Event::Executed(1, ..)));
    assert_eq!(
        tail[2..],
        [
            &Event::Aborted(NOT_PRIMARY, 10),
            &Event::Aborted(SHUTTING_DOWN, 30),
            &Event::Aborted(SHUTTING_DOWN, 40),
            &Event::ShutDown,
        ]
    );
    assert_eq!(rig.shared.wait_for_end(), Some(StopReason::Relinquished));
    // [API-82] [API-81] The questions were answered before the end came.
    let answers: Vec<Answer> = rig
        .inputs()
        .into_iter()
        .filter_map(|input| match input {
            Input::Answered { answer, .. } => Some(answer),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [Answer::Accept(false), Answer::MayLead(Some(Bytes::from_static(b"cookie")))]);
}

/// [HARD-350] [API-98] The notifications of a bootstrap come like all others, in the legacy order.
#[test]
fn a_bootstrap_is_announced() {
    let rig = Rig::new(vec![]);
    rig.submit([Apply::MembersPersisted]);
    assert_eq!(rig.start().finish_running(), [Event::Saved(0), Event::Configuration(0)]);
}
