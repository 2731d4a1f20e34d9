//! Replay mode: the history of a directory executed by an application, without ports, threads or writing.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::shared::Shared;
use super::start::Target;
use super::{Config, ReplayError, Replica, Setup, StateMachine};
use crate::engine::StopReason;
use crate::storage::{Disk, OsDisk, Replayed, rerun, save_rerun};
use crate::types::{Decree, MemberId, Node, ProtocolVersion};

impl Replica {
    /// Loads the newest usable checkpoint of `directory` at or below decree `max` and executes the decrees after it up
    /// to `max`, as far as the logs prove them chosen: compare [`current_sequence_number`] [API-57] [API-58]. All
    /// callbacks come on this thread: `load_state`, execution without cookies, `notify_configuration_changed`. No lock
    /// is taken and nothing is written, so a copy that cannot be written will do.
    ///
    /// The replica that comes back has ended; `current_sequence_number` and `configuration` tell where. With `max` 0
    /// nothing is done [API-59].
    ///
    /// [`current_sequence_number`]: Replica::current_sequence_number
    ///
    /// # Errors
    /// When the files do not allow it.
    pub fn replay(
        directory: &Path,
        max: Decree,
        machine: &Arc<dyn StateMachine>,
    ) -> Result<Replica, ReplayError> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        run(&disk, directory, max, machine).map(|(replica, _)| replica)
    }

    /// As [`replay`](Replica::replay); then the state is written to the directory `into` as the checkpoint of decree
    /// `named`, whatever it is the state of [API-60] [STOR-69]. Needs a state: with `max` 0 there is none.
    ///
    /// # Errors
    /// As there, and when `named` is 0, `into` is empty or `directory` itself, or the checkpoint cannot be written.
    pub fn replay_to_checkpoint(
        directory: &Path,
        max: Decree,
        named: Decree,
        into: &Path,
        machine: &Arc<dyn StateMachine>,
    ) -> Result<Replica, ReplayError> {
        // Texts are compared as legacy does, which adds a separator where there is none.
        let text = |path: &Path| path.to_string_lossy().trim_end_matches(std::path::is_separator).to_owned();
        if named == Decree::ZERO || into.as_os_str().is_empty() || text(into) == text(directory) {
            return Err(ReplayError::Output);
        }
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let (replica, replayed) = run(&disk, directory, max, machine)?;
        if let Some(replayed) = replayed {
            let shared = replica.shared();
            let mut target = Target { shared: &shared, machine: &**machine, directory: into };
            save_rerun(&disk, into, &replayed, named, &mut target)?;
        }
        Ok(replica)
    }
}

fn run(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    max: Decree,
    machine: &Arc<dyn StateMachine>,
) -> Result<(Replica, Option<Replayed>), ReplayError> {
    let nobody = Node {
        id: MemberId::EMPTY,
        ip: Ipv4Addr::UNSPECIFIED,
        rsl_port: 0,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    };
    let config = Config::builder(directory).build()?;
    let shared = Arc::new(Shared::new(&Setup::new(config, ProtocolVersion::V6, nobody)));
    let replica = Replica::new(Arc::clone(&shared));
    if max == Decree::ZERO {
        shared.end(StopReason::Unloaded, None);
        return Ok((replica, None));
    }
    machine.attach(&replica);
    let mut target = Target { shared: &shared, machine: &**machine, directory };
    let replayed = rerun(disk, directory, max, &mut target)?;
    for note in &replayed.notes {
        tracing::warn!(?note, "while replaying");
    }
    *shared.configuration.lock() = replayed.configuration.clone();
    shared.end(StopReason::Unloaded, None);
    Ok((replica, Some(replayed)))
}
