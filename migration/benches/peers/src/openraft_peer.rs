//! openraft 0.9 over its in-memory store: three nodes as tasks that call each other. Nothing is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::storage::Adaptor;
use openraft::{Config, Raft};
use openraft_memstore::{ClientRequest, MemNodeId, MemStore, TypeConfig};

use crate::Load;
use crate::client::{Recorder, Sample};

type Node = Raft<TypeConfig>;

/// The nodes by id.
#[derive(Clone, Default)]
struct Router(Arc<Mutex<BTreeMap<MemNodeId, Node>>>);

/// The way to one node.
struct Way {
    router: Router,
    to: MemNodeId,
}

type Failure<E = openraft::error::Infallible> = RPCError<MemNodeId, (), RaftError<MemNodeId, E>>;

impl Way {
    fn node<E: std::error::Error>(&self) -> Result<Node, Failure<E>> {
        let node = self.router.0.lock().expect("no task panics").get(&self.to).cloned();
        let gone = || RPCError::Unreachable(Unreachable::new(&std::io::Error::other("not started")));
        node.ok_or_else(gone)
    }
}

impl RaftNetworkFactory<TypeConfig> for Router {
    type Network = Way;

    async fn new_client(&mut self, to: MemNodeId, _node: &()) -> Way {
        Way { router: self.clone(), to }
    }
}

impl RaftNetwork<TypeConfig> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<MemNodeId>, Failure> {
        let answer = self.node()?.append_entries(rpc).await;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.to, error)))
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<MemNodeId>, Failure<InstallSnapshotError>> {
        let answer = self.node()?.install_snapshot(rpc).await;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.to, error)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<MemNodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<MemNodeId>, Failure> {
        let answer = self.node()?.vote(rpc).await;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.to, error)))
    }
}

pub fn measure(load: Load) -> Result<Sample, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(run(load))
}

async fn run(load: Load) -> Result<Sample, String> {
    let router = Router::default();
    let config = Config { snapshot_policy: openraft::SnapshotPolicy::Never, ..Config::default() };
    let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
    for id in 0..3 {
        let (log, machine) = Adaptor::new(Arc::new(MemStore::new()));
        let node = Raft::new(id, Arc::clone(&config), router.clone(), log, machine);
        let node = node.await.map_err(|error| error.to_string())?;
        router.0.lock().expect("no task panics").insert(id, node);
    }
    let nodes: Vec<Node> = router.0.lock().expect("no task panics").values().cloned().collect();
    let leader = nodes[0].clone();
    let members = BTreeMap::from([(0, ()), (1, ()), (2, ())]);
    leader.initialize(members).await.map_err(|error| error.to_string())?;
    let patience = Some(Duration::from_secs(10));
    let leads = leader.wait(patience).current_leader(0, "the first node leads").await;
    leads.map_err(|error| error.to_string())?;

    let recorder = Arc::new(Mutex::new(Recorder::start()?));
    let end = Instant::now() + load.duration;
    let clients = (0..load.inflight).map(|client| {
        let (leader, recorder) = (leader.clone(), Arc::clone(&recorder));
        tokio::spawn(async move {
            let mut serial = 0;
            while Instant::now() < end {
                serial += 1;
                let request =
                    ClientRequest { client: client.to_string(), serial, status: "x".repeat(load.size) };
                let start = Instant::now();
                leader.client_write(request).await.map_err(|error| error.to_string())?;
                recorder.lock().expect("no task panics").record(start.elapsed());
            }
            Ok::<(), String>(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.map_err(|error| error.to_string())??;
    }
    let sample = recorder.lock().expect("no task panics").finish();
    for node in nodes {
        node.shutdown().await.map_err(|error| error.to_string())?;
    }
    Ok(sample)
}
