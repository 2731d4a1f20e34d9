//! What a start does before it returns, and on which thread.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread::ThreadId;

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::testing::Place;
use super::super::{Cookie, Execution, Grouping, Refused, Replica, Setup, StateMachine, StateReader};
use crate::net::BindRetry;
use crate::types::{MemberSet, ProtocolVersion};

/// Notes the threads of its callbacks.
#[derive(Debug, Default)]
struct Threads {
    loads: Mutex<Vec<ThreadId>>,
    executions: Mutex<Vec<(ThreadId, Vec<u8>)>>,
}

impl StateMachine for Threads {
    fn load_state(&self, _: Option<&mut dyn StateReader>) -> bool {
        self.loads.lock().push(std::thread::current().id());
        true
    }

    fn execute(&self, request: &[u8], _: &mut Execution) {
        self.executions.lock().push((std::thread::current().id(), request.to_vec()));
    }

    fn abort_request(&self, _: Refused, _: Cookie) {}

    fn try_save_state(&self, _: &mut dyn std::io::Write) -> bool {
        true
    }
}

fn start(place: &Place) -> (Replica, Arc<Threads>) {
    let node = place.node(0);
    let members = MemberSet { nodes: vec![node.clone()], cookie: Bytes::new() };
    let config = place.config().member_id_in_working_dir(false).build().unwrap();
    let machine = Arc::new(Threads::default());
    let setup = Setup::new(config, ProtocolVersion::V6, node).members(members);
    (Replica::start(setup, Arc::clone(&machine) as _).unwrap(), machine)
}

/// [PROTO-167] Directories are made and temporary files deleted; the state is restored on the calling thread; both
/// ports are listened on when the start returns. A taken port is tried again 60 times every 5 s, the learn port 120
/// times every second.
#[test]
fn a_start_prepares_restores_and_listens() {
    let me = std::thread::current().id();
    let place = Place::new();
    let temp = place.path().join("Temp");
    std::fs::create_dir_all(&temp).unwrap();
    std::fs::write(temp.join("left"), b"over").unwrap();
    let (replica, machine) = start(&place);
    assert!(temp.is_dir() && !temp.join("left").exists());
    assert_eq!(*machine.loads.lock(), [me]);
    for port in [place.node(0).rsl_port, place.node(0).effective_learn_port()] {
        TcpStream::connect((place.ip(0), port)).unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while machine.executions.lock().len() < 2 {
        assert!(std::time::Instant::now() < deadline);
        for request in [&b"a"[..], b"b"] {
            // Refused until it is primary.
            let _ = replica.replicate(request, Cookie(1), Grouping::Exclusive);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(machine.executions.lock().iter().all(|(thread, _)| *thread != me));
    replica.unload();
    let (replica, machine) = start(&place);
    assert_eq!(*machine.loads.lock(), [me]);
    let replayed = machine.executions.lock().first().map(|(thread, request)| (*thread, request.clone()));
    assert_eq!(replayed, Some((me, b"a".to_vec())), "what the log proves is executed by the start");
    replica.unload();
    let retry = |retry: BindRetry| (retry.attempts, retry.pause.as_secs());
    assert_eq!((retry(BindRetry::PACKETS), retry(BindRetry::LEARN)), ((60, 5), (120, 1)));
}
