//! omnipaxos 0.2: three nodes on threads, channels between them, its memory storage behind a write-ahead log.
//!
//! Its own persistent storage is RocksDB with a sync per call; here all of a turn is synced once, before anything leaves,
//! which is as safe and faster.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use omnipaxos::ballot_leader_election::Ballot;
use omnipaxos::messages::Message;
use omnipaxos::storage::{Entry, NoSnapshot, StopSign, Storage, StorageOp, StorageResult};
use omnipaxos::{ClusterConfig, OmniPaxos, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;

use crate::Load;
use crate::client::{Sample, closed_loop};
use crate::wal::Wal;

const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Request(Vec<u8>);

impl Entry for Request {
    type Snapshot = NoSnapshot;
}

enum Input {
    Propose(Vec<u8>),
    Peer(Message<Request>),
    Stop,
}

pub fn measure(load: Load, dir: &Path) -> Result<Sample, String> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| channel()).unzip();
    let (acknowledged, acks) = channel();
    let mut threads = Vec::new();
    for (pid, inbox) in (1..).zip(inboxes) {
        let wal = Wal::create(&dir.join(format!("omnipaxos-{pid}"))).map_err(|error| error.to_string())?;
        let (peers, acknowledged) = (senders.clone(), acknowledged.clone());
        threads.push(std::thread::spawn(move || run(pid, wal, &inbox, &peers, &acknowledged)));
    }
    drop(acknowledged);
    let submit = |request| senders[0].send(Input::Propose(request)).map_err(|error| error.to_string());
    let sample = closed_loop(load, submit, &acks);
    for sender in &senders {
        let _ = sender.send(Input::Stop);
    }
    for thread in threads {
        thread.join().map_err(|_| "an omnipaxos thread has panicked")??;
    }
    sample
}

fn run(
    pid: u64,
    wal: Wal,
    inbox: &Receiver<Input>,
    peers: &[Sender<Input>],
    acknowledged: &Sender<usize>,
) -> Result<(), String> {
    let wal = Rc::new(RefCell::new(wal));
    let storage = Durable { memory: MemoryStorage::default(), wal: Rc::clone(&wal) };
    let cluster = ClusterConfig { configuration_id: 1, nodes: vec![1, 2, 3], flexible_quorum: None };
    // Node 1 is to lead.
    let server = ServerConfig {
        pid,
        election_tick_timeout: 10,
        leader_priority: if pid == 1 { 10 } else { 0 },
        ..ServerConfig::default()
    };
    let mut paxos: OmniPaxos<Request, Durable> =
        cluster.build_for_server(server, storage).map_err(|error| error.to_string())?;
    let (mut ticked, mut early, mut out, mut decided) = (Instant::now(), Vec::new(), Vec::new(), 0);
    loop {
        match inbox.recv_timeout(TICK) {
            Ok(input) => {
                let mut next = Some(input);
                while let Some(input) = next {
                    match input {
                        Input::Propose(request) => early.push(request),
                        Input::Peer(message) => paxos.handle_incoming(message),
                        Input::Stop => return Ok(()),
                    }
                    next = inbox.try_recv().ok();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let leads = paxos.get_current_leader() == Some((pid, true));
        if leads {
            for request in early.drain(..) {
                paxos.append(Request(request)).map_err(|error| format!("{error:?}"))?;
            }
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            paxos.tick();
        }
        paxos.take_outgoing_messages(&mut out);
        // Nothing leaves, and nothing is acknowledged, before it is durable.
        wal.borrow_mut().sync().map_err(|error| error.to_string())?;
        for message in out.drain(..) {
            let _ = peers[message.get_receiver() as usize - 1].send(Input::Peer(message));
        }
        let now = paxos.get_decided_idx();
        if leads && now > decided {
            let entries = paxos.read_decided_suffix(decided).map_or(0, |entries| entries.len());
            let _ = acknowledged.send(entries);
        }
        decided = now;
    }
}

/// The memory storage, with a record in the log for all that must survive.
struct Durable {
    memory: MemoryStorage<Request>,
    wal: Rc<RefCell<Wal>>,
}

impl Durable {
    fn log(&self, from: usize, entries: &[Request]) {
        let mut wal = self.wal.borrow_mut();
        for (place, entry) in entries.iter().enumerate() {
            wal.record(0, [(from + place) as u64, 0], &entry.0);
        }
    }

    fn ballot(&self, kind: u8, ballot: Ballot) {
        self.wal.borrow_mut().record(kind, [u64::from(ballot.n), ballot.pid], &[]);
    }
}

impl Storage<Request> for Durable {
    fn write_atomically(&mut self, ops: Vec<StorageOp<Request>>) -> StorageResult<()> {
        for op in ops {
            match op {
                StorageOp::AppendEntry(entry) => self.append_entry(entry)?,
                StorageOp::AppendEntries(entries) => self.append_entries(entries)?,
                StorageOp::AppendOnPrefix(from, entries) => self.append_on_prefix(from, entries)?,
                StorageOp::SetPromise(ballot) => self.set_promise(ballot)?,
                StorageOp::SetDecidedIndex(index) => self.set_decided_idx(index)?,
                StorageOp::SetAcceptedRound(ballot) => self.set_accepted_round(ballot)?,
                StorageOp::SetCompactedIdx(index) => self.set_compacted_idx(index)?,
                StorageOp::Trim(index) => self.trim(index)?,
                StorageOp::SetStopsign(sign) => self.set_stopsign(sign)?,
                StorageOp::SetSnapshot(snapshot) => self.set_snapshot(snapshot)?,
            }
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: Request) -> StorageResult<()> {
        self.log(self.memory.get_log_len()?, std::slice::from_ref(&entry));
        self.memory.append_entry(entry)
    }

    fn append_entries(&mut self, entries: Vec<Request>) -> StorageResult<()> {
        self.log(self.memory.get_log_len()?, &entries);
        self.memory.append_entries(entries)
    }

    fn append_on_prefix(&mut self, from: usize, entries: Vec<Request>) -> StorageResult<()> {
        self.log(from, &entries);
        self.memory.append_on_prefix(from, entries)
    }

    fn set_promise(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.ballot(1, ballot);
        self.memory.set_promise(ballot)
    }

    fn set_decided_idx(&mut self, index: usize) -> StorageResult<()> {
        // Found again from the other nodes; no reason for a sync.
        self.memory.set_decided_idx(index)
    }

    fn get_decided_idx(&self) -> StorageResult<usize> {
        self.memory.get_decided_idx()
    }

    fn set_accepted_round(&mut self, ballot: Ballot) -> StorageResult<()> {
        self.ballot(2, ballot);
        self.memory.set_accepted_round(ballot)
    }

    fn get_accepted_round(&self) -> StorageResult<Option<Ballot>> {
        self.memory.get_accepted_round()
    }

    fn get_entries(&self, from: usize, to: usize) -> StorageResult<Vec<Request>> {
        self.memory.get_entries(from, to)
    }

    fn get_log_len(&self) -> StorageResult<usize> {
        self.memory.get_log_len()
    }

    fn get_suffix(&self, from: usize) -> StorageResult<Vec<Request>> {
        self.memory.get_suffix(from)
    }

    fn get_promise(&self) -> StorageResult<Option<Ballot>> {
        self.memory.get_promise()
    }

    fn set_stopsign(&mut self, sign: Option<StopSign>) -> StorageResult<()> {
        self.memory.set_stopsign(sign)
    }

    fn get_stopsign(&self) -> StorageResult<Option<StopSign>> {
        self.memory.get_stopsign()
    }

    fn trim(&mut self, index: usize) -> StorageResult<()> {
        self.memory.trim(index)
    }

    fn set_compacted_idx(&mut self, index: usize) -> StorageResult<()> {
        self.memory.set_compacted_idx(index)
    }

    fn get_compacted_idx(&self) -> StorageResult<usize> {
        self.memory.get_compacted_idx()
    }

    fn set_snapshot(&mut self, snapshot: Option<NoSnapshot>) -> StorageResult<()> {
        self.memory.set_snapshot(snapshot)
    }

    fn get_snapshot(&self) -> StorageResult<Option<NoSnapshot>> {
        self.memory.get_snapshot()
    }
}
