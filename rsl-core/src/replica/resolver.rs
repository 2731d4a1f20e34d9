//! The resolver thread: addresses of peers that are known by host name, without holding anything up [PROTO-158].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::StateMachine;
use super::callbacks::Inside;
use super::mailbox::{Mailbox, Note};
use crate::types::{MemberId, Node};

/// An unresolved peer is asked for again after this time [WIRE-4].
const RETRY: Duration = Duration::from_secs(30);

/// Peers whose address is wanted.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// As configured, with the time of the next attempt.
    wanted: BTreeMap<MemberId, (Node, Instant)>,
    stopped: bool,
}

impl Resolver {
    /// The address of `node` (as configured) is wanted: at once, then every 30 s until it is found.
    pub(super) fn want(&self, node: Node) {
        self.state.lock().wanted.insert(node.id, (node, Instant::now()));
        self.changed.notify_one();
    }

    /// Only these are peers still.
    pub(super) fn keep(&self, peers: &[Node]) {
        let is_peer = |id: &MemberId| peers.iter().any(|peer| peer.id == *id);
        self.state.lock().wanted.retain(|id, _| is_peer(id));
    }

    /// The thread ends after the current call.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The resolver thread.
    pub(super) fn run(&self, machine: &dyn StateMachine, mailbox: &Mailbox) {
        while let Some(node) = self.next() {
            let mut resolved = node.clone();
            let usable = {
                let _inside = Inside::enter();
                machine.resolve_node(&mut resolved)
            };
            if usable && !resolved.ip.is_unspecified() && resolved.rsl_port != 0 {
                // The mark is cleared, whether the address has changed or not [HARD-571].
                self.state.lock().wanted.remove(&node.id);
                // Only the address is the resolver's to say.
                resolved.id = node.id;
                mailbox.post(Note::Resolved(resolved));
            }
        }
    }

    /// Waits for a peer whose time has come, and sets its next attempt.
    fn next(&self) -> Option<Node> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let Some((node, at)) = state.wanted.values_mut().min_by_key(|(_, at)| *at) else {
                self.changed.wait(&mut state);
                continue;
            };
            if *at <= now {
                *at = now + RETRY;
                return Some(node.clone());
            }
            let at = *at;
            self.changed.wait_until(&mut state, at);
        }
    }
}
