//! What the application implements: the callbacks of `RSLStateMachine` in their Rust shape.

use std::fmt;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use super::{Refused, Replica};
use crate::types::{Decree, Node};

/// What the application hands in with a request and gets back with its execution or abort. It never leaves the
/// process and is never looked at [API-65].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// No cookie: the NULL of legacy.
    pub const NONE: Cookie = Cookie(0);

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// One request that is being executed.
#[derive(Debug)]
pub struct Execution {
    decree: Decree,
    cookie: Cookie,
    save_state: bool,
}

impl Execution {
    pub(super) const fn new(decree: Decree, cookie: Cookie) -> Execution {
        Execution { decree, cookie, save_state: false }
    }

    /// The decree that is executed: the current sequence number [API-69].
    #[must_use]
    pub const fn decree(&self) -> Decree {
        self.decree
    }

    /// The cookie given with the request, on the replica it was given to and only once; else [`Cookie::NONE`]
    /// [API-70].
    #[must_use]
    pub const fn cookie(&self) -> Cookie {
        self.cookie
    }

    /// Asks for a checkpoint right after this decree, on every replica [API-97].
    pub const fn save_state(&mut self) {
        self.save_state = true;
    }

    pub(super) const fn wants_save(&self) -> bool {
        self.save_state
    }
}

/// Takes the primary cookie from [`StateMachine::can_become_primary`] [API-27].
#[derive(Debug, Default)]
pub struct CookieSink(Vec<u8>);

impl CookieSink {
    /// Sets the cookie; the last call wins [HARD-522].
    pub fn set(&mut self, cookie: &[u8]) {
        cookie.clone_into(&mut self.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The application's part of a checkpoint, to be read. Headers and block checksums are invisible; a bad block is an
/// error of kind `InvalidData` [API-36].
pub trait StateReader: Read + Seek + fmt::Debug {
    /// Bytes of application state [API-39].
    fn size(&self) -> u64;
    /// The checkpoint file.
    fn path(&self) -> &Path;
}

/// The application. One object serves all threads; the table of [API-61] says what can overlap:
///
/// | callbacks | thread | overlap |
/// |---|---|---|
/// | `load_state`, and execution of what the log holds | the one that starts the replica | nothing else runs |
/// | `before_execute`, `execute`, `after_execute`, `notify_configuration_changed`, `notify_status`, `notify_primary_recovered`, `abort_request` and `abort_change_configuration` of replicated requests | execute | nothing of this row and the next two |
/// | `try_save_state`, `state_saved`, `state_copied` | execute, callback | each other and fast reads |
/// | `execute_fast_read`, `abort_request(FastReadStale)` | readers | each other; anything unless fast reads are serialized |
/// | `can_become_primary`, `accept_message_from_replica` | callback | anything but each other |
/// | `resolve_node` | resolver | anything |
/// | `abort_request(ShuttingDown)` of fast reads, then `shut_down` | callback | nothing; they are the last calls |
///
/// Every callback may call the replica's request methods and getters: none of them waits for a callback [PROTO-174].
/// A panic in a callback ends the replica with `StopReason::Panicked`.
pub trait StateMachine: Send + Sync + 'static {
    /// Called once, before anything else: the handle of the replica this state machine belongs to. Its request methods
    /// answer `NotPrimary` until the replica runs.
    fn attach(&self, replica: &Replica) {
        let _ = replica;
    }

    /// Loads a checkpoint, or starts empty when there is none. On `false` the next older checkpoint is tried, so it has
    /// to be able to start again from nothing [API-95].
    fn load_state(&self, checkpoint: Option<&mut dyn StateReader>) -> bool;

    /// The requests of one decree follow [API-71].
    fn before_execute(&self) {}

    /// Executes a request. The bytes are valid during the call.
    fn execute(&self, request: &[u8], execution: &mut Execution);

    /// The requests of the decree are executed.
    fn after_execute(&self) {}

    /// Executes a fast read at a state that is new enough for it.
    fn execute_fast_read(&self, request: &[u8], cookie: Cookie) {
        let _ = (request, cookie);
    }

    /// A request or fast read accepted here will not be executed with its cookie. `NotPrimary` and `ShuttingDown` mean
    /// for a replicated request: the outcome is unknown [API-73].
    fn abort_request(&self, why: Refused, cookie: Cookie) {
        let _ = (why, cookie);
    }

    /// Writes the state. `false` = not now: no checkpoint is taken until `allow_save_state(true)` [API-99].
    fn try_save_state(&self, writer: &mut dyn Write) -> bool;

    /// A checkpoint of the state after `decree` is durable under this name [API-98].
    fn state_saved(&self, decree: Decree, file: &Path) {
        let _ = (decree, file);
    }

    /// A checkpoint was copied from another replica. With `None` a copy asked for by `copy_state_from_replica` found no
    /// source [API-101].
    fn state_copied(&self, decree: Decree, file: Option<&Path>, cookie: Cookie) {
        let _ = (decree, file, cookie);
    }

    /// The replica has become primary, or is not primary any more. Called on changes only; it starts as not primary
    /// [API-79].
    fn notify_status(&self, is_primary: bool) {
        let _ = is_primary;
    }

    /// Everything earlier primaries got chosen is executed [PROTO-130].
    fn notify_primary_recovered(&self) {}

    /// The configuration has changed; the cookie is that of the change if it was asked for here.
    fn notify_configuration_changed(&self, cookie: Cookie) {
        let _ = cookie;
    }

    /// A configuration change asked for here will not be notified with its cookie.
    fn abort_change_configuration(&self, why: Refused, cookie: Cookie) {
        let _ = (why, cookie);
    }

    /// May this replica stand for election? The cookie set in `sink` travels with its Prepare and votes [API-81].
    fn can_become_primary(&self, sink: &mut CookieSink) -> bool {
        let _ = sink;
        true
    }

    /// Should a vote or Prepare of this member be answered? It is in the log already [API-82].
    fn accept_message_from_replica(&self, from: &Node, cookie: &[u8]) -> bool {
        let _ = (from, cookie);
        true
    }

    /// Fills in the address of a peer; `true` = usable [API-94].
    fn resolve_node(&self, node: &mut Node) -> bool {
        default_resolve(node)
    }

    /// The replica has to be loaded anew, because it copied a checkpoint or gave up being primary: go on in place? The
    /// default is no: it ends, so that the process can be started again (decision 3). Asked on the callback thread, when
    /// everything else has been said, unless `Setup::reload_in_place` has answered.
    fn reload_in_place(&self) -> bool {
        false
    }

    /// The last callback: the replica has ended, or is about to [API-106].
    fn shut_down(&self, why: Refused) {
        let _ = why;
    }
}

/// The built-in resolver: a known address is kept, otherwise the first IPv4 address of the host name [API-94]
/// [HARD-569].
#[must_use]
pub fn default_resolve(node: &mut Node) -> bool {
    if node.rsl_port == 0 {
        return false;
    }
    if !node.ip.is_unspecified() {
        return true;
    }
    let Ok(host) = std::str::from_utf8(&node.host_name) else { return false };
    if host.is_empty() {
        // Windows takes the empty name for this machine.
        return false;
    }
    let Ok(mut addresses) = (host, node.rsl_port).to_socket_addrs() else { return false };
    let first = addresses.find_map(|address| match address {
        SocketAddr::V4(v4) if !v4.ip().is_unspecified() => Some(*v4.ip()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    });
    first.map(|ip| node.ip = ip).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn node(ip: Ipv4Addr, host: &'static str, rsl_port: u16) -> Node {
        Node { id: "1".parse().unwrap(), ip, rsl_port, learn_port: 0, app_port: 0, host_name: host.into() }
    }

    /// [API-94] [HARD-569] [WIRE-4]
    #[test]
    fn the_built_in_resolver_keeps_addresses_and_looks_names_up() {
        let mut known = node(Ipv4Addr::new(10, 0, 0, 1), "localhost", 1);
        assert!(default_resolve(&mut known));
        assert_eq!(known.ip, Ipv4Addr::new(10, 0, 0, 1));
        let mut named = node(Ipv4Addr::UNSPECIFIED, "localhost", 1);
        assert!(default_resolve(&mut named));
        assert!(named.ip.is_loopback());
        assert!(!default_resolve(&mut node(Ipv4Addr::LOCALHOST, "localhost", 0)));
        assert!(!default_resolve(&mut node(Ipv4Addr::UNSPECIFIED, "", 1)));
    }

    /// [HARD-522] The last cookie wins.
    #[test]
    fn the_last_primary_cookie_wins() {
        let mut sink = CookieSink::default();
        sink.set(b"first and longer");
        sink.set(b"second");
        assert_eq!(sink.into_bytes(), b"second");
    }
}
