//! Transfers from other replicas' learn ports, each on a native thread of its own, and the clean-up after them.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::files::Files;
use super::shared::Shared;
use super::threads::{Crew, NativeThreads, Priority};
use crate::engine::{FetchId, FetchKind, FetchOutcome, Input, StopReason};
use crate::format::RecordStream;
use crate::net::learn::{self, LearnCanceller, LearnTimeouts};
use crate::wire::Message;

/// Records are handed to the engine in portions of about this many bytes.
const PORTION: u64 = 1 << 20;

/// The running transfers. The engine starts few: one to learn from, one checkpoint.
#[derive(Debug)]
pub(super) struct Transfers {
    pub(super) shared: Arc<Shared>,
    pub(super) files: Arc<Files>,
    pub(super) timeouts: LearnTimeouts,
    /// Longest record that is taken [HARD-360].
    pub(super) max_record: u64,
    pub(super) crew: Crew,
    pub(super) running: BTreeMap<FetchId, LearnCanceller>,
}

impl Transfers {
    /// Starts a transfer; its end is reported in any case.
    pub(super) fn start(&mut self, fetch: FetchId, from: SocketAddrV4, request: Message, kind: FetchKind) {
        let canceller = LearnCanceller::default();
        // Those that ended by themselves are forgotten now.
        self.running.retain(|_, canceller| !canceller.is_cancelled());
        self.running.insert(fetch, canceller.clone());
        let (shared, files) = (Arc::clone(&self.shared), Arc::clone(&self.files));
        let (timeouts, max_record) = (self.timeouts, self.max_record);
        let transfer = move || {
            let transfer = Transfer { shared: &shared, fetch, from, timeouts, canceller };
            let outcome = match kind {
                FetchKind::Votes => transfer.votes(&request, max_record),
                FetchKind::Checkpoint { decree, size, promised } => {
                    transfer.checkpoint(&request, |source| files.copy(decree, size, promised, source))
                }
            };
            transfer.canceller.cancel();
            shared.mailbox.input(Input::FetchEnded { fetch, outcome });
        };
        if let Err(error) = self.native("transfer", transfer) {
            tracing::error!(%error, "cannot create a thread for a transfer");
            let outcome = match kind {
                FetchKind::Votes => FetchOutcome::VotesEnded { empty: false },
                FetchKind::Checkpoint { .. } => FetchOutcome::CheckpointFailed,
            };
            self.shared.mailbox.input(Input::FetchEnded { fetch, outcome });
        }
    }

    pub(super) fn cancel(&mut self, fetch: FetchId) {
        if let Some(canceller) = self.running.remove(&fetch) {
            canceller.cancel();
        }
    }

    pub(super) fn cancel_all(&mut self) {
        std::mem::take(&mut self.running).into_values().for_each(|canceller| canceller.cancel());
    }

    /// Deletes files off the loop: unlinking large ones takes its time.
    pub(super) fn clean_up(&self) {
        let files = Arc::clone(&self.files);
        if let Err(error) = self.native("clean-up", move || files.clean_up()) {
            tracing::warn!(%error, "cannot create a thread to delete old files");
        }
    }

    fn native(&self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.crew.spawn(&NativeThreads, name, Priority::Normal, body, move |text| {
            shared.stop(StopReason::Panicked(text));
        })
    }
}

/// One transfer, on its thread.
struct Transfer<'a> {
    shared: &'a Shared,
    fetch: FetchId,
    from: SocketAddrV4,
    timeouts: LearnTimeouts,
    canceller: LearnCanceller,
}

impl Transfer<'_> {
    /// Hands the records of a FetchVotes stream to the engine, as far as it is good [XFER-22].
    fn votes(&self, request: &Message, max_record: u64) -> FetchOutcome {
        let mut empty = true;
        let stream = match learn::open(self.from, request, self.timeouts, &self.canceller) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::info!(from = %self.from, %error, "cannot learn votes");
                return FetchOutcome::VotesEnded { empty: false };
            }
        };
        let mut stream = RecordStream::new(stream, max_record);
        let mut records = Vec::new();
        let mut delivered = 0;
        loop {
            match stream.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => {
                    tracing::info!(from = %self.from, %error, "the stream of votes ends here");
                    empty = false;
                    break;
                }
            }
            empty = false;
            if stream.offset() - delivered >= PORTION {
                delivered = stream.offset();
                self.deliver(std::mem::take(&mut records));
            }
        }
        if !records.is_empty() {
            self.deliver(records);
        }
        FetchOutcome::VotesEnded { empty }
    }

    fn deliver(&self, records: Vec<crate::format::Record>) {
        self.shared.mailbox.input(Input::Fetched { fetch: self.fetch, records });
    }

    fn checkpoint<E: std::fmt::Display>(
        &self,
        request: &Message,
        copy: impl FnOnce(&mut dyn std::io::Read) -> Result<crate::engine::CheckpointInfo, E>,
    ) -> FetchOutcome {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::warn!(from = %self.from, %error, "cannot copy a checkpoint");
            FetchOutcome::CheckpointFailed
        };
        match learn::open(self.from, request, self.timeouts, &self.canceller) {
            Ok(mut stream) => match copy(&mut stream) {
                Ok(info) => FetchOutcome::CheckpointCopied { decree: info.decree, size: info.size },
                Err(error) => failed(&error),
            },
            Err(error) => failed(&error),
        }
    }
}
