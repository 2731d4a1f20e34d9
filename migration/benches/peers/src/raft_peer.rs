//! raft 0.7: three nodes on threads, channels between them, a write-ahead log with fdatasync under each.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use raft::eraftpb::{ConfState, Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::Load;
use crate::client::{Sample, closed_loop};
use crate::wal::Wal;

const TICK: Duration = Duration::from_millis(50);
/// Entries kept in memory behind the applied one.
const KEPT: u64 = 20_000;

enum Input {
    Propose(Vec<u8>),
    Peer(Message),
    Stop,
}

struct Node {
    raft: RawNode<MemStorage>,
    wal: Wal,
    inbox: Receiver<Input>,
    /// Of node 1, 2, 3.
    peers: Vec<Sender<Input>>,
    acknowledged: Sender<usize>,
    applied: u64,
}

pub fn measure(load: Load, dir: &Path) -> Result<Sample, String> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| channel()).unzip();
    let (acknowledged, acks) = channel();
    let mut threads = Vec::new();
    for (id, inbox) in (1..).zip(inboxes) {
        let config = Config {
            id,
            election_tick: 20,
            heartbeat_tick: 2,
            max_size_per_msg: 8 << 20,
            max_inflight_msgs: 256,
            ..Config::default()
        };
        let storage = MemStorage::new_with_conf_state(ConfState::from((vec![1, 2, 3], vec![])));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut raft = RawNode::new(&config, storage, &logger).map_err(|error| error.to_string())?;
        if id == 1 {
            raft.campaign().map_err(|error| error.to_string())?;
        }
        let wal = Wal::create(&dir.join(format!("raft-{id}"))).map_err(|error| error.to_string())?;
        let (peers, acknowledged) = (senders.clone(), acknowledged.clone());
        let node = Node { raft, wal, inbox, peers, acknowledged, applied: 0 };
        threads.push(std::thread::spawn(move || node.run()));
    }
    drop(acknowledged);
    // Proposals to a node that does not lead yet are kept until it does.
    let submit = |request| senders[0].send(Input::Propose(request)).map_err(|error| error.to_string());
    let sample = closed_loop(load, submit, &acks);
    for sender in &senders {
        let _ = sender.send(Input::Stop);
    }
    for thread in threads {
        thread.join().map_err(|_| "a raft thread has panicked")??;
    }
    sample
}

impl Node {
    fn run(mut self) -> Result<(), String> {
        let mut ticked = Instant::now();
        let mut early = Vec::new();
        loop {
            match self.inbox.recv_timeout(TICK) {
                Ok(input) => {
                    let mut next = Some(input);
                    while let Some(input) = next {
                        match input {
                            Input::Propose(request) => early.push(request),
                            // A message of an older term is no error worth stopping for.
                            Input::Peer(message) => drop(self.raft.step(message)),
                            Input::Stop => return Ok(()),
                        }
                        next = self.inbox.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.raft.raft.state == StateRole::Leader {
                for request in early.drain(..) {
                    self.raft.propose(vec![], request).map_err(|error| error.to_string())?;
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.raft.tick();
            }
            self.ready().map_err(|error| error.to_string())?;
        }
    }

    /// Sends, persists and applies what is ready.
    fn ready(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if !self.raft.has_ready() {
            return Ok(());
        }
        let mut ready = self.raft.ready();
        self.send(ready.take_messages());
        self.apply(ready.take_committed_entries());
        let store = self.raft.mut_store().clone();
        for entry in ready.entries() {
            self.wal.record(0, [entry.index, entry.term], &entry.data);
        }
        store.wl().append(ready.entries())?;
        if let Some(state) = ready.hs() {
            self.wal.record(1, [state.term, state.vote], &state.commit.to_le_bytes());
            store.wl().set_hardstate(state.clone());
        }
        if ready.must_sync() {
            self.wal.sync()?;
        }
        self.send(ready.take_persisted_messages());
        let mut light = self.raft.advance(ready);
        if let Some(commit) = light.commit_index() {
            store.wl().mut_hard_state().set_commit(commit);
        }
        self.send(light.take_messages());
        self.apply(light.take_committed_entries());
        self.raft.advance_apply();
        if self.applied > 2 * KEPT && self.applied.is_multiple_of(KEPT) {
            store.wl().compact(self.applied - KEPT)?;
        }
        Ok(())
    }

    fn send(&self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to as usize - 1;
            let _ = self.peers[to].send(Input::Peer(message));
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last() else { return };
        self.applied = last.index;
        let requests = entries.iter().filter(|entry| !entry.data.is_empty()).count();
        if self.raft.raft.state == StateRole::Leader && requests > 0 {
            let _ = self.acknowledged.send(requests);
        }
    }
}
