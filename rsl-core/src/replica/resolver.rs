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

#[cfg(test)]
mod tests {
    use super::super::{CookieSink, Execution, StateReader};
    use super::*;
    use std::io::Write;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Knows the address of "known", and counts calls.
    #[derive(Debug, Default)]
    struct Book(AtomicU32);

    impl StateMachine for Book {
        fn load_state(&self, _: Option<&mut dyn StateReader>) -> bool {
            true
        }
        fn execute(&self, _: &[u8], _: &mut Execution) {}
        fn try_save_state(&self, _: &mut dyn Write) -> bool {
            true
        }
        fn can_become_primary(&self, _: &mut CookieSink) -> bool {
            true
        }
        fn resolve_node(&self, node: &mut Node) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            node.ip = Ipv4Addr::new(10, 0, 0, 7);
            node.host_name == "known"
        }
    }

    fn node(id: &str, host: &'static str) -> Node {
        let host_name = host.into();
        Node {
            id: id.parse().unwrap(),
            ip: Ipv4Addr::UNSPECIFIED,
            rsl_port: 5,
            learn_port: 0,
            app_port: 0,
            host_name,
        }
    }

    /// [PROTO-158] [WIRE-4] [HARD-342] [HARD-553] [HARD-570] [HARD-571] Peers are resolved on a thread of their own; a
    /// found one is not asked for again until it is wanted again, also when nothing has changed; one that is not found
    /// stays wanted, for later.
    #[test]
    fn peers_are_resolved_when_wanted() {
        let (resolver, mailbox) = (Arc::new(Resolver::default()), Arc::new(Mailbox::default()));
        let book = Arc::new(Book::default());
        let thread = {
            let (resolver, mailbox, book) = (Arc::clone(&resolver), Arc::clone(&mailbox), Arc::clone(&book));
            std::thread::spawn(move || resolver.run(&*book, &mailbox))
        };
        let calls = |count| {
            let deadline = Instant::now() + Duration::from_secs(5);
            while book.0.load(Ordering::SeqCst) < count {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
        };
        resolver.want(node("1", "known"));
        calls(1);
        resolver.want(node("2", "unknown"));
        calls(2);
        // Its connection broke, say: asked again although the address is the same.
        resolver.want(node("1", "known"));
        calls(3);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(book.0.load(Ordering::SeqCst), 3, "nobody is asked for without need");
        assert_eq!(resolver.state.lock().wanted.keys().copied().collect::<Vec<_>>(), ["2".parse().unwrap()]);
        resolver.keep(&[node("1", "known")]);
        assert!(resolver.state.lock().wanted.is_empty());
        resolver.stop();
        thread.join().unwrap();
        let found = mailbox.take();
        assert_eq!(found.len(), 2);
        for note in found {
            assert!(
                matches!(&note, Note::Resolved(node) if node.ip == Ipv4Addr::new(10, 0, 0, 7) && node.rsl_port == 5),
                "{note:?}"
            );
        }
    }
}
