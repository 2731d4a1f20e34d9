//! Starting a replica: restore on the caller's thread, ports, threads.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::copier::Copier;
use super::driver::Driver;
use super::errands::{self, Copies, Crews, Errand};
use super::executor::{Executor, change_configuration, execute_requests};
use super::files::{FileSettings, Files, LearnFiles};
use super::resolver::Resolver;
use super::shared::Shared;
use super::threads::{Crew, NativeThreads, Priority};
use super::transfers::Transfers;
use super::{Replica, Setup, StartError, StateMachine, StateReader};
use crate::engine::{CheckpointInfo, Command, Consensus, Engine, Input, Outbox, StopReason};
use crate::format::FileName;
use crate::net::learn::{LearnServer, LearnSettings, LearnTimeouts};
use crate::net::{BindRetry, NetSettings, PacketService};
use crate::storage::{
    CheckpointReader, Directory, Restore, RestoreReason, RestoreSettings, RestoreTarget, Restored, Retention,
    SaveAnswer, restore,
};
use crate::types::{Configuration, Decree};
use crate::wire::Vote;

/// A record or checkpoint header from a peer may be this many times larger than our message limit: old logs can hold
/// votes above it [HARD-360] [HARD-38].
const TRANSFER_LIMIT: u64 = 4;

impl Replica {
    /// Starts a replica from its directory. Blocks for the whole restore: `load_state` and the execution of what the log
    /// holds run on this thread; then for listening, which is retried for minutes while a port is taken [API-47].
    ///
    /// # Errors
    /// When it cannot run; everything is released then, and the start may be tried again [HARD-542].
    pub fn start(setup: Setup, machine: Arc<dyn StateMachine>) -> Result<Replica, StartError> {
        Replica::start_core::<Engine>(setup, machine, restore)
    }

    /// Starts a replica that runs another consensus core, with its own way to restart from a directory. For comparison
    /// with the old library; a service calls [`start`](Replica::start).
    ///
    /// # Errors
    /// As [`start`](Replica::start).
    pub fn start_core<C: Consensus + 'static>(
        setup: Setup,
        machine: Arc<dyn StateMachine>,
        restore: Restore,
    ) -> Result<Replica, StartError> {
        setup.check()?;
        let shared = Arc::new(Shared::new(&setup));
        let replica = Replica::new(Arc::clone(&shared));
        machine.attach(&replica);
        let reload = Reload { setup, machine, replica: replica.clone(), restore, launch: launch::<C> };
        (reload.launch)(&reload, &shared)?;
        Ok(replica)
    }
}

/// What it takes to start the replica, the first time and again in place [PROTO-169].
#[derive(Clone)]
pub(super) struct Reload {
    setup: Setup,
    machine: Arc<dyn StateMachine>,
    replica: Replica,
    restore: Restore,
    /// [`launch`] for the consensus core.
    launch: fn(&Reload, &Arc<Shared>) -> Result<(), StartError>,
}

impl Reload {
    /// Whether a replica that ended for this reason goes on in place.
    pub(super) fn wants(&self, reason: &StopReason) -> bool {
        let restart = matches!(reason, StopReason::CheckpointCopied | StopReason::Relinquished);
        restart && (self.setup.reload_in_place || self.machine.reload_in_place())
    }

    /// Begins another life; everything of the last one has ended. `load_state` runs on this thread.
    pub(super) fn run(&self, last: &Shared, reason: &StopReason) {
        let mut next = Shared::new(&self.setup);
        next.is_reload = true;
        let payload = last.vote_payload.load(Ordering::Relaxed);
        next.vote_payload.store(payload, Ordering::Relaxed);
        if *reason == StopReason::Relinquished {
            next.no_candidate_until = Some(next.clock.now() + self.setup.config.election_delay());
        }
        let next = Arc::new(next);
        next.mailbox.input(Input::Command(Command::SetVotePayload(payload)));
        tracing::info!(?reason, "the replica reloads in place");
        self.replica.go_on_as(Arc::clone(&next));
        if let Err(error) = (self.launch)(self, &next) {
            tracing::error!(%error, "the replica cannot be reloaded");
            let _inside = super::callbacks::Inside::enter();
            self.machine.shut_down(super::Refused::ShuttingDown);
            next.end(StopReason::ReloadFailed(error.to_string()), None);
        } else if last.is_unload_wanted() {
            next.stop(StopReason::Unloaded);
        }
    }
}

/// Restores, listens, and starts all threads.
fn launch<C: Consensus + 'static>(reload: &Reload, shared: &Arc<Shared>) -> Result<(), StartError> {
    let Reload { setup, machine, restore, .. } = reload;
    let config = &setup.config;
    let (working, add_member_id) = (config.working_dir(), config.member_id_in_working_dir());
    let directory = Directory::open_for(Arc::clone(&setup.disk.0), working, setup.node.id, add_member_id)?;
    let restored = restore_state(setup, shared, &**machine, &directory, *restore)?;
    let mut net = listen(setup)?;
    // A vote above the limit may be in the log: promises that carry it, and its re-proposal, have to get through
    // (decision 19).
    net.raise_limit(restored.recovered.accepted.encoded().len() as u64 + 1024);

    let checkpoint = restored.recovered.checkpoint.map(|info| info.decree);
    let settings = FileSettings {
        retention: retention(setup),
        member: setup.node.id,
        max_header: TRANSFER_LIMIT * config.packet_limit(),
        alert_size: config.max_checkpoint_size().as_bytes(),
        alert_space: config.min_checkpoint_space_file_count(),
    };
    let files = Arc::new(Files::new(directory, Arc::clone(restored.log.index()), settings, checkpoint));
    let learn_server = serve_learners(setup, shared, &files)?;
    let parts = parts::<C>(setup, shared, restored, net, files);
    spawn(reload, shared, parts, learn_server)
}

fn retention(setup: &Setup) -> Retention {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Retention {
        max_checkpoints: count(setup.config.max_checkpoints()),
        max_logs: count(setup.config.max_logs()),
    }
}

/// Restores the state [XFER-44]; afterwards `shared` tells where it is.
fn restore_state(
    setup: &Setup,
    shared: &Shared,
    machine: &dyn StateMachine,
    directory: &Directory,
    restore: Restore,
) -> Result<Restored, StartError> {
    let settings = RestoreSettings {
        member: setup.node.id,
        version: setup.version,
        initial_members: setup.members.clone().map(Arc::new),
        retention: retention(setup),
        refuse_damaged_tail: false,
    };
    let mut target = Target { shared, machine, directory: directory.path() };
    let restored = restore(directory, &settings, &mut target).map_err(|error| match *error.reason {
        RestoreReason::NoMembers => StartError::NoMemberSet,
        _ => StartError::Restore(error.to_string()),
    })?;
    for note in &restored.notes {
        tracing::warn!(?note, "while restoring");
    }
    let recovered = &restored.recovered;
    shared.progress.set_executed(recovered.executed);
    shared.progress.set_passed(recovered.executed);
    shared.progress.set_version(setup.version);
    *shared.configuration.lock() = recovered.state_configuration.clone();
    shared.counters.start(shared.clock.now(), recovered.executed);
    Ok(restored)
}

fn listen(setup: &Setup) -> Result<PacketService, StartError> {
    let config = &setup.config;
    let alert = config.max_message_alert_size();
    let settings = NetSettings {
        packet_limit: config.packet_limit(),
        // As the message limit, a kilobyte is added.
        alert_size: (alert.as_bytes() > 0).then(|| alert.as_bytes() + 1024),
        send_timeout: config.send_timeout(),
        max_outstanding: config.max_outstanding_per_replica(),
        receive_memory: 8 * config.packet_limit(),
        ..NetSettings::new(std::net::SocketAddrV4::new(setup.local_ip(), setup.node.rsl_port))
    };
    PacketService::start(settings, &AtomicBool::new(false)).map_err(StartError::Listen)
}

fn serve_learners(
    setup: &Setup,
    shared: &Arc<Shared>,
    files: &Arc<Files>,
) -> Result<LearnServer, StartError> {
    let address = std::net::SocketAddrV4::new(setup.local_ip(), setup.node.effective_learn_port());
    let settings = LearnSettings {
        bind_retry: BindRetry::LEARN,
        receive_timeout: setup.config.receive_timeout(),
        send_timeout: setup.config.send_timeout(),
        ..LearnSettings::new(address)
    };
    let source = LearnFiles::new(Arc::clone(files), Arc::clone(shared));
    LearnServer::start(settings, Arc::new(source), &AtomicBool::new(false)).map_err(StartError::ListenLearn)
}

/// Everything the loop owns, but the ways to other threads.
struct Parts<C> {
    engine: C,
    net: PacketService,
    log: crate::storage::LogWriter,
    files: Arc<Files>,
    transfers: Transfers,
    members: Configuration,
    inputs: Vec<Input>,
}

fn parts<C: Consensus>(
    setup: &Setup,
    shared: &Arc<Shared>,
    restored: Restored,
    net: PacketService,
    files: Arc<Files>,
) -> Parts<C> {
    let config = &setup.config;
    let Restored { recovered, log, saving_refused, .. } = restored;
    let members = recovered.voting_configuration.clone();
    let settings = config.settings(&setup.node, setup.version);
    let engine = C::recover(settings, recovered, seed(), shared.clock.now());
    let transfers = Transfers {
        shared: Arc::clone(shared),
        files: Arc::clone(&files),
        timeouts: LearnTimeouts {
            connect: config.send_timeout(),
            send: config.send_timeout(),
            receive: config.receive_timeout(),
        },
        max_record: TRANSFER_LIMIT * config.packet_limit(),
        crew: Crew::default(),
        running: Default::default(),
    };
    // A refusal during replay holds until saving is allowed again [XFER-46].
    let refused = saving_refused.then_some(Input::Command(Command::AllowSaveState(false)));
    Parts { engine, net, log, files, transfers, members, inputs: refused.into_iter().collect() }
}

/// Replicas that start in the same moment must not draw the same delays [HARD-355].
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no entropy from the system: the clock and the process id are used instead");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        return u64::from(since.subsec_nanos()) ^ u64::from(std::process::id()) << 32;
    }
    u64::from_le_bytes(bytes)
}

/// Starts all threads, those with callbacks through the spawner in the legacy order [API-51].
fn spawn<C: Consensus + 'static>(
    reload: &Reload,
    shared: &Arc<Shared>,
    parts: Parts<C>,
    learn_server: LearnServer,
) -> Result<(), StartError> {
    let Reload { setup, machine, .. } = reload;
    let (sender, receiver) = mpsc::channel();
    let resolving = Arc::new(Resolver::default());
    let native = parts.transfers.crew.clone();
    let (execution, readers, resolver) = (Crew::default(), Crew::default(), Crew::default());
    let callback_crew = Crew::default();
    let waker = parts.net.waker();
    shared.mailbox.connect(move || waker.wake());
    let (files, timeouts) = (Arc::clone(&parts.files), parts.transfers.timeouts);
    let mut driver = Driver {
        shared: Arc::clone(shared),
        engine: parts.engine,
        net: parts.net,
        log: parts.log,
        files: parts.files,
        transfers: parts.transfers,
        errands: sender.clone(),
        resolver: Arc::clone(&resolving),
        outbox: Outbox::default(),
        members: parts.members,
        inputs: parts.inputs,
        learn_queries: Default::default(),
        bootstraps: Default::default(),
        next_bootstrap: 0,
        paused: false,
        accept_all_messages: setup.accept_all_messages,
    };
    let crews = Crews {
        execution: execution.clone(),
        readers: readers.clone(),
        resolver: resolver.clone(),
        resolving: Arc::clone(&resolving),
        native: native.clone(),
    };
    let resolver_of_start = Arc::clone(&resolving);
    let started = (|| {
        let spawner = &*setup.spawner;
        let panicked = || {
            let shared = Arc::clone(shared);
            move |text| shared.stop(StopReason::Panicked(text))
        };
        let (for_machine, for_shared) = (Arc::clone(machine), Arc::clone(shared));
        let resolve = move || resolving.run(&*for_machine, &for_shared.mailbox);
        resolver.spawn(spawner, "rsl resolver", Priority::Normal, resolve, panicked())?;
        let (for_machine, for_shared) = (Arc::clone(machine), Arc::clone(shared));
        let copies = Copies {
            spawner: Arc::clone(&setup.spawner),
            copier: Arc::new(Copier { shared: Arc::clone(shared), files: Arc::clone(&files), timeouts }),
            crew: Crew::default(),
            cancellers: Vec::new(),
        };
        let reload = reload.clone();
        let callbacks =
            move || errands::run(&for_shared, &for_machine, &receiver, &crews, copies, Some(&reload));
        callback_crew.spawn(spawner, "rsl callbacks", Priority::Highest, callbacks, panicked())?;
        let executor = Executor::new(Arc::clone(shared), Arc::clone(machine), files);
        execution.spawn(spawner, "rsl execute", Priority::Normal, move || executor.run(), panicked())?;
        for _ in 0..setup.config.reader_thread_count() {
            let (for_machine, for_shared) = (Arc::clone(machine), Arc::clone(shared));
            let serialize = setup.serialize_fast_reads;
            let read = move || for_shared.reads.run(&*for_machine, &for_shared.callbacks, serialize);
            readers.spawn(spawner, "rsl reader", Priority::Normal, read, panicked())?;
        }
        shared.running();
        let after_panic = sender.clone();
        let (for_loop, for_panic) = (Arc::clone(shared), Arc::clone(shared));
        let run = move || {
            let reason = driver.run();
            let last = Some(driver.status());
            finish(&for_loop, &driver.errands, reason, last);
            // Ports close before the replica counts as ended.
            drop(learn_server);
        };
        native.spawn(&NativeThreads, "rsl loop", Priority::Highest, run, move |text| {
            finish(&for_panic, &after_panic, StopReason::Panicked(text), None);
        })
    })();
    drop(sender);
    started.map_err(|error| {
        // What was started already ends, so that the start can be tried again [HARD-542].
        shared.execution.stop();
        shared.reads.close();
        resolver_of_start.stop();
        for crew in [resolver, callback_crew, execution, readers] {
            crew.join();
        }
        StartError::Thread(error)
    })
}

/// The loop has ended: the callback thread does the rest. If that is gone, this is the end.
fn finish(
    shared: &Shared,
    errands: &mpsc::Sender<Errand>,
    reason: StopReason,
    last: Option<Box<crate::engine::Status>>,
) {
    shared.mailbox.close();
    if let Err(mpsc::SendError(Errand::Finish { reason, last })) =
        errands.send(Errand::Finish { reason, last })
    {
        shared.end(reason, last);
    }
}

/// The application, as a restart drives it.
pub(super) struct Target<'a> {
    pub(super) shared: &'a Shared,
    pub(super) machine: &'a dyn StateMachine,
    /// Where its checkpoints are.
    pub(super) directory: &'a Path,
}

impl RestoreTarget for Target<'_> {
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool {
        let _inside = super::callbacks::Inside::enter();
        let Some(reader) = state else {
            self.shared.progress.set_executed(Decree::ZERO);
            return self.machine.load_state(None);
        };
        let decree = reader.header().executed;
        // Inside the callback the current sequence number is the checkpoint's.
        self.shared.progress.set_executed(decree);
        let path = self.directory.join(FileName::Checkpoint(decree).to_string());
        self.machine.load_state(Some(&mut LoadedState { reader, path }))
    }

    fn execute(&mut self, vote: &Vote) -> bool {
        let (_guard, _inside) = self.shared.callbacks.exclusive();
        execute_requests(self.shared, self.machine, vote, Vec::new())
    }

    fn reconfigured(&mut self, configuration: &Configuration) {
        let (_guard, _inside) = self.shared.callbacks.exclusive();
        change_configuration(self.shared, self.machine, configuration.clone(), None);
    }

    fn save(&mut self, into: &mut dyn Write) -> SaveAnswer {
        let (_guard, _inside) = self.shared.callbacks.shared();
        if self.machine.try_save_state(into) { SaveAnswer::Saved } else { SaveAnswer::Refused }
    }

    fn saved(&mut self, checkpoint: &CheckpointInfo) {
        let (_guard, _inside) = self.shared.callbacks.shared();
        let path = self.directory.join(FileName::Checkpoint(checkpoint.decree).to_string());
        self.machine.state_saved(checkpoint.decree, &path);
    }
}

/// A checkpoint that is being loaded.
#[derive(Debug)]
struct LoadedState<'a> {
    reader: &'a mut CheckpointReader,
    path: PathBuf,
}

impl Read for LoadedState<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

impl Seek for LoadedState<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

impl StateReader for LoadedState<'_> {
    fn size(&self) -> u64 {
        self.reader.len()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
