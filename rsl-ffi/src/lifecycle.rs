//! From the creation of a machine to its destruction.

use std::ffi::{c_char, c_void};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rsl_core::replica::{ByteSize, ReplayError, Replica, Setup, StartError, StateMachine, StopReason};
use rsl_core::types::Decree;

use crate::callbacks::{AppThreads, check, rsl_callbacks};
use crate::codes::{
    RSL_E_ARGUMENT, RSL_E_CONFIG, RSL_E_CORRUPT, RSL_E_IO, RSL_E_NETWORK, RSL_E_STATE, RSL_E_TLS, rsl_status,
};
use crate::convert;
use crate::fatal::{exit_now, fatal, is_exiting, orderly_exit};
use crate::guard::{Fail, born, dead, inside_callback, outside_callback};
use crate::log::{LEVEL_ERROR, LOG_RSL, notify};
use crate::machine::{Life, Machine, rsl_machine};
use crate::process::{LISTEN_ON_ALL, TLS_WANTED};
use crate::types::{
    RSL_CFG_ACCEPT_ALL_MESSAGES, RSL_CFG_ALL, RSL_CFG_RELOAD_IN_PLACE, rsl_config, rsl_member_view, rsl_node,
    rsl_spawn,
};
use std::sync::atomic::Ordering;

/// Creates a machine that does nothing yet. The table is copied; ctx is given to every callback. Release it with
/// rsl_machine_destroy. The create, initialize and destroy functions of one machine must not run at the same time.
///
/// # Safety
/// `callbacks` as the rules of this library say, its functions callable from any thread; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_create(
    callbacks: *const rsl_callbacks,
    ctx: *mut c_void,
    out: *mut *mut rsl_machine,
) -> rsl_status {
    guard!(status, [callbacks = sized(callbacks), out = out(out)] {
        crate::log::connect();
        check(&callbacks)?;
        let handle = Box::into_raw(Box::new(rsl_machine { machine: Machine::new(callbacks, ctx) }));
        born(handle);
        out.set(handle);
        Ok(())
    })
}

/// Starts the machine: restores its state from the working directory, listens, and takes part. Blocks for the whole
/// restore, whose callbacks run on this thread, and for minutes while a port is taken.
///
/// With members it is configuration 1 of a directory that knows none; without (NULL) it waits to be bootstrapped, which
/// needs version 4 or later. self is this node; version 1..6; spawn creates the threads that run callbacks, NULL = native
/// threads. After a failure everything is released and the machine can be initialised again.
///
/// RSL_E_STATE when it runs already, RSL_E_REENTRANT inside a callback, RSL_E_CONFIG, RSL_E_IO, RSL_E_CORRUPT,
/// RSL_E_NETWORK, RSL_E_TLS; RSL_INVALID_PARAMETER when members or self cannot be used.
///
/// # Safety
/// Pointers as the rules of this library say; the functions of `spawn` are callable from any thread until the machine is
/// destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_initialize(
    machine: *mut rsl_machine,
    config: *const rsl_config,
    members_or_null: *const rsl_member_view,
    self_node: *const rsl_node,
    version: i32,
    serialize_fast_reads: i32,
    spawn_or_null: *const rsl_spawn,
    independent_heartbeat: i32,
) -> rsl_status {
    guard!(status, [
        machine = handle(machine),
        config = sized(config),
        members = sized_or_null(members_or_null),
        node = borrow(self_node),
        spawn = sized_or_null(spawn_or_null),
    ] {
        outside_callback("initialize")?;
        // SAFETY: the caller passes a string or NULL.
        let directory = unsafe { crate::guard::text(config.working_dir) }.map_err(|fail| fail.about("working_dir"))?;
        // SAFETY: the caller passes a valid view.
        let members = members.map(|view| unsafe { convert::members(&view) }).transpose()?;
        let (version, node) = (convert::version(version)?, convert::node(node)?);
        if config.flags & !RSL_CFG_ALL != 0 {
            return Err(Fail::argument(format!("configuration flags {:#x} are unknown", config.flags)));
        }
        let config_error = |error: rsl_core::replica::ConfigError| failed(&StartError::Config(error));
        let checked = convert::config(&config, directory).map_err(config_error)?;
        let mut setup = Setup::new(checked, version, node)
            .serialize_fast_reads(serialize_fast_reads != 0)
            .independent_heartbeat(independent_heartbeat != 0)
            .listen_on_all(LISTEN_ON_ALL.load(Ordering::Relaxed))
            .reload_in_place(config.flags & RSL_CFG_RELOAD_IN_PLACE != 0)
            .accept_all_messages(
                config.flags & RSL_CFG_ACCEPT_ALL_MESSAGES != 0
                    || machine.machine.table.accept_message.is_none(),
            );
        if let Some(members) = members {
            setup = setup.members(members);
        }
        if config.request_queue_limit_mb != 0 {
            setup = setup.queue_limit(ByteSize::mib(u64::from(config.request_queue_limit_mb)));
        }
        let own_threads = spawn.is_some();
        if let Some(spawn) = spawn {
            if spawn.spawn.is_none() {
                return Err(Fail::argument("spawn: its function is NULL"));
            }
            setup = setup.spawner(Arc::new(AppThreads(spawn)));
        }
        start(&machine.machine, machine, setup, own_threads)
    })
}

/// Logs why a start fails, and notifies [API-46].
fn failed(error: &StartError) -> Fail {
    tracing::error!(%error, "{}", error.title());
    notify(LEVEL_ERROR, LOG_RSL, error.title());
    let code = match error {
        StartError::Config(_) => RSL_E_CONFIG,
        StartError::Restore(_) | StartError::NoMemberSet => RSL_E_CORRUPT,
        StartError::Listen(_) | StartError::ListenLearn(_) => RSL_E_NETWORK,
        StartError::Directory(_) | StartError::Thread(_) => RSL_E_IO,
        _ => crate::codes::RSL_INVALID_PARAMETER,
    };
    Fail::new(code, format!("{}: {error}", error.title()))
}

fn start(machine: &Arc<Machine>, handle: &rsl_machine, setup: Setup, own_threads: bool) -> Result<(), Fail> {
    {
        let mut life = machine.life.lock();
        if *life != Life::Idle {
            return Err(Fail::new(RSL_E_STATE, "the machine runs already"));
        }
        // Decision 7: who asked for TLS never gets plaintext.
        if TLS_WANTED.load(Ordering::Relaxed) {
            tracing::error!("TLS was asked for; this library cannot do it yet and refuses to run without");
            return Err(Fail::new(RSL_E_TLS, "TLS was asked for and is not available"));
        }
        *life = Life::Starting;
    }
    machine.handle.store((&raw const *handle).addr(), Ordering::Relaxed);
    let application: Arc<dyn StateMachine> = Arc::clone(machine) as _;
    let started = Replica::start(setup, application).map_err(|error| failed(&error));
    let replica = started.inspect_err(|_| {
        machine.replica.store(None);
        machine.set_life(Life::Idle);
    })?;
    machine.set_life(Life::Running { own_threads, keep_process: false });
    let machine = Arc::clone(machine);
    let attend = move || crate::guard::no_panic(|| attend(&machine, &replica));
    std::thread::Builder::new()
        .name("rsl warden".into())
        .spawn(attend)
        .map(drop)
        .map_err(|error| fatal(&format!("no thread to watch a replica: {error}")))
}

/// Waits for the end of a replica and does what has to be done then.
fn attend(machine: &Machine, replica: &Replica) {
    let reason = replica.wait();
    let keep_process = {
        let mut life = machine.life.lock();
        let keep = match (*life, &reason) {
            (Life::Running { own_threads, keep_process }, Some(StopReason::Unloaded)) => {
                own_threads || keep_process
            }
            (Life::Running { keep_process, .. }, _) => keep_process,
            _ => true,
        };
        *life = Life::Ending;
        keep
    };
    match reason {
        Some(StopReason::Unloaded) => {
            tracing::info!("the replica was unloaded");
            if !keep_process {
                orderly_exit(machine.handle());
            }
        }
        // The exit policy was asked before the replica ended [CABI-26].
        Some(StopReason::CheckpointCopied | StopReason::Relinquished) => {
            tracing::info!(?reason, "the replica has to be started again");
            if !keep_process {
                exit_now();
            }
        }
        Some(StopReason::LogFailed(why) | StopReason::NetworkFailed(why) | StopReason::Panicked(why)) => {
            fatal(&why)
        }
        // `wait` answers None inside a callback only.
        None => {}
        Some(other) => fatal(&format!("the replica ended: {other:?}")),
    }
    machine.replica.store(None);
    machine.set_life(Life::Idle);
}

/// Ends the machine: chosen decrees finish, what waits is aborted with RSL_SHUTTING_DOWN, shut_down is called, all threads
/// end and ports close. Then, if the machine was initialised without rsl_spawn, the process ends with code 0 unless the
/// exit policy says otherwise. Waits for all that, except inside a callback, where it only begins. No-op when nothing runs.
/// The machine may be initialised again.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_unload(machine: *mut rsl_machine) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        unload(&machine.machine);
        Ok(())
    })
}

fn unload(machine: &Machine) {
    let life = machine.life();
    if !matches!(life, Life::Running { .. } | Life::Ending) {
        return;
    }
    if life != Life::Ending {
        machine.with(Replica::unload);
    }
    if !inside_callback() {
        machine.wait_until_idle();
    }
}

/// Unloads every machine of the process as rsl_machine_unload does; the process ends after the last of them.
#[unsafe(no_mangle)]
pub extern "C" fn rsl_unload_all() {
    guard!((), [] {
        let mut exit = false;
        for machine in Machine::all() {
            if let Life::Running { own_threads, keep_process } = &mut *machine.life.lock() {
                exit |= !*own_threads;
                *keep_process = !inside_callback();
            }
            unload(&machine);
        }
        if exit && !inside_callback() {
            orderly_exit(std::ptr::null_mut());
        }
        Ok(())
    });
}

/// Releases a machine. One that runs is ended first, with all its callbacks, without ending the process. Inside a
/// callback it ends the process as rsl_fatal does. NULL is allowed.
///
/// # Safety
/// `machine` is NULL or a handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_destroy(machine: *mut rsl_machine) {
    guard!((), [] {
        if machine.is_null() {
            return Ok(());
        }
        // SAFETY: the caller passes a handle; this also finds one that was released before.
        let found = unsafe { crate::guard::handle(machine) }?;
        if is_exiting() {
            // Destructors of the application: the end of the process releases everything.
            return Ok(());
        }
        if inside_callback() {
            fatal("rsl_machine_destroy inside a callback");
        }
        if let Life::Running { keep_process, .. } = &mut *found.machine.life.lock() {
            *keep_process = true;
        }
        unload(&found.machine);
        found.machine.wait_until_idle();
        dead(machine);
        // SAFETY: made by `Box::into_raw` in `rsl_machine_create`, and released once, as the caller promises.
        drop(unsafe { Box::from_raw(machine) });
        Ok(())
    });
}

/// Executes the history in a directory, as far as its logs prove it, up to decree max_seq: without ports, threads or
/// writing. Its callbacks run on this thread: load_state, execution without cookies, notify_configuration_changed.
/// rsl_machine_current_sequence and rsl_machine_get_configuration say afterwards where it ended; nothing runs then. With
/// max_seq 0 nothing is done. Not inside a callback.
///
/// RSL_E_STATE when the machine runs, RSL_E_REENTRANT, RSL_E_CORRUPT when the files do not allow it.
///
/// # Safety
/// `machine` is a handle; `directory` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_replay(
    machine: *mut rsl_machine,
    directory: *const c_char,
    max_seq: u64,
) -> rsl_status {
    guard!(status, [machine = handle(machine), directory = text(directory)] {
        replay(&machine.machine, |application| {
            Replica::replay(Path::new(directory), Decree(max_seq), application)
        })
    })
}

/// As rsl_machine_replay; then the state is written to the directory checkpoint_dir as the checkpoint of decree
/// checkpoint_seq, whatever it is the state of.
///
/// RSL_E_ARGUMENT when checkpoint_seq is 0 or checkpoint_dir is the directory itself, RSL_E_IO when it cannot be written.
///
/// # Safety
/// As rsl_machine_replay; `checkpoint_dir` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_replay_to_checkpoint(
    machine: *mut rsl_machine,
    directory: *const c_char,
    max_seq: u64,
    checkpoint_seq: u64,
    checkpoint_dir: *const c_char,
) -> rsl_status {
    guard!(status, [machine = handle(machine), directory = text(directory), into = text(checkpoint_dir)] {
        replay(&machine.machine, |application| {
            let (directory, into) = (Path::new(directory), Path::new(into));
            Replica::replay_to_checkpoint(directory, Decree(max_seq), Decree(checkpoint_seq), into, application)
        })
    })
}

fn replay(
    machine: &Arc<Machine>,
    run: impl FnOnce(&Arc<dyn StateMachine>) -> Result<Replica, ReplayError>,
) -> Result<(), Fail> {
    outside_callback("replay")?;
    {
        let mut life = machine.life.lock();
        if *life != Life::Idle {
            return Err(Fail::new(RSL_E_STATE, "the machine runs already"));
        }
        *life = Life::Starting;
    }
    let application: Arc<dyn StateMachine> = Arc::clone(machine) as _;
    let replayed = run(&application);
    machine.replica.store(replayed.as_ref().ok().map(|replica| Arc::new(replica.clone())));
    machine.set_life(Life::Idle);
    replayed.map(drop).map_err(|error| {
        tracing::error!(%error, "the directory cannot be replayed");
        let code = match error {
            ReplayError::Output => RSL_E_ARGUMENT,
            ReplayError::Config(_) => RSL_E_CONFIG,
            ReplayError::Save(_) => RSL_E_IO,
            _ => RSL_E_CORRUPT,
        };
        Fail::new(code, error.to_string())
    })
}

/// 1 while the machine runs: from the end of a successful rsl_machine_initialize until it has ended. 0 once the library
/// ends the process.
///
/// # Safety
/// `machine` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_is_running(machine: *const rsl_machine) -> i32 {
    guard!(0, [machine = handle(machine)] { Ok((machine.machine.is_running() && !is_exiting()).into())
    })
}

/// Adopts a first member set, sends it to the members and waits for the first primary. Not inside a callback. Waits up to
/// timeout_sec; after a timeout the set stays adopted.
///
/// RSL_INVALID_PARAMETER, RSL_ALREADY_BOOTSTRAPPED, RSL_BOOTSTRAP_FAILED, RSL_E_STATE, RSL_E_REENTRANT.
///
/// # Safety
/// `machine` is a handle; `members` as the rules of this library say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_bootstrap(
    machine: *mut rsl_machine,
    members: *const rsl_member_view,
    timeout_sec: u32,
) -> rsl_status {
    guard!(status, [machine = handle(machine), members = sized(members)] {
        outside_callback("bootstrap")?;
        // SAFETY: the caller passes a valid view.
        let members = convert::usable(unsafe { convert::members(&members) }?)?;
        let timeout = Duration::from_secs(u64::from(timeout_sec));
        machine.machine.require(|replica| replica.bootstrap(members, timeout))?.map_err(Fail::from)
    })
}

/// Waits until the machine handles no more messages and timers; execution and fast reads go on. For tests. Not inside a
/// callback; without effect when it is paused already.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_pause(machine: *mut rsl_machine) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        outside_callback("pause")?;
        machine.machine.require(Replica::pause)
    })
}

/// Ends a pause; without effect when there is none. Not inside a callback.
///
/// # Safety
/// `machine` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_machine_resume(machine: *mut rsl_machine) -> rsl_status {
    guard!(status, [machine = handle(machine)] {
        outside_callback("resume")?;
        machine.machine.require(Replica::resume)
    })
}
