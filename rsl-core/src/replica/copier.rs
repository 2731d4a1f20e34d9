//! CopyStateFromReplica: a checkpoint copied on the application's behalf, on a thread of its own [XFER-26].

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::Files;
use super::shared::Shared;
use super::{Cookie, StateMachine};
use crate::engine::{CheckpointInfo, Command, Input};
use crate::net::learn::{self, LearnCanceller, LearnTimeouts};
use crate::types::{Ballot, Decree, ProtocolVersion};
use crate::wire::{Header, Message};

/// Where a checkpoint may come from, and what it must be.
#[derive(Debug)]
pub(super) struct Sources {
    /// Learn ports of the peers.
    pub(super) peers: Vec<SocketAddrV4>,
    /// The version to ask in.
    pub(super) version: ProtocolVersion,
    /// The copy's highest ballot is raised to this.
    pub(super) promised: Ballot,
    /// An older checkpoint is of no use.
    pub(super) at_least: Decree,
}

/// Copies checkpoints for the application.
#[derive(Debug)]
pub(super) struct Copier {
    pub(super) shared: Arc<Shared>,
    pub(super) files: Arc<Files>,
    pub(super) timeouts: LearnTimeouts,
}

impl Copier {
    /// Tries the peers in random order and tells the application how it ended, in any case [API-101].
    pub(super) fn run(
        &self,
        machine: &dyn StateMachine,
        cookie: Cookie,
        mut sources: Sources,
        canceller: &LearnCanceller,
    ) {
        let mut copied = None;
        while copied.is_none() && !sources.peers.is_empty() && !canceller.is_cancelled() {
            let at = random_below(sources.peers.len());
            let peer = sources.peers.swap_remove(at);
            match self.copy(peer, &sources, canceller) {
                Ok(info) => copied = Some(info),
                Err(why) => tracing::info!(%peer, why, "no checkpoint from this replica"),
            }
        }
        if let Some(info) = copied {
            // It is offered to others from now on [XFER-27].
            self.files.set_checkpoint(info.decree);
            self.shared.mailbox.input(Input::Command(Command::InstallCheckpoint(info)));
        }
        let path: Option<PathBuf> = copied.map(|info| self.files.checkpoint_path(info.decree));
        let decree = copied.map_or(Decree::ZERO, |info| info.decree);
        let (_guard, _inside) = self.shared.callbacks.shared();
        machine.state_copied(decree, path.as_deref(), cookie);
    }

    fn copy(
        &self,
        peer: SocketAddrV4,
        sources: &Sources,
        canceller: &LearnCanceller,
    ) -> Result<CheckpointInfo, String> {
        let header = |decree| Header::new(sources.version, self.shared.node.id, decree, 1, Ballot::EMPTY);
        let query = Message::StatusQuery(header(Decree::ZERO));
        let status = learn::status(peer, &query, self.timeouts).map_err(|error| error.to_string())?;
        let decree = status.log.checkpointed_decree;
        if decree < sources.at_least || decree == Decree::ZERO && status.log.checkpoint_size == 0 {
            return Err(format!("its checkpoint is {decree}"));
        }
        let request = Message::FetchCheckpoint(header(decree));
        let mut stream =
            learn::open(peer, &request, self.timeouts, canceller).map_err(|error| error.to_string())?;
        self.files
            .copy(decree, status.log.checkpoint_size, sources.promised, &mut stream)
            .map_err(|error| error.to_string())
    }
}

/// A random index; the order of the peers is not critical, only that it varies.
fn random_below(count: usize) -> usize {
    let mut bytes = [0; 4];
    // Without entropy the first one is as good as any.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes) as usize % count
}
