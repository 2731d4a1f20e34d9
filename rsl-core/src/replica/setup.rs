//! What a replica is started with, and why a start fails.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{ByteSize, Config, ConfigError, NativeThreads, ThreadSpawner};
use crate::storage::{DirectoryError, Disk, OsDisk, RerunSaveError, RestoreError};
use crate::types::{MemberSet, MemberSetError, Node, ProtocolVersion};

/// Everything a start needs beside the state machine: the arguments of the legacy `Initialize`, and switches of our own
/// with their defaults.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) config: Config,
    pub(super) version: ProtocolVersion,
    pub(super) node: Node,
    pub(super) members: Option<MemberSet>,
    pub(super) serialize_fast_reads: bool,
    pub(super) independent_heartbeat: bool,
    pub(super) listen_on_all: bool,
    pub(super) reload_in_place: bool,
    pub(super) accept_all_messages: bool,
    pub(super) queue_limit: ByteSize,
    pub(super) spawner: Arc<dyn ThreadSpawner>,
    pub(super) disk: FileSystem,
}

/// Where the files are: the operating system's, but for tests.
#[derive(Clone)]
pub(super) struct FileSystem(pub(super) Arc<dyn Disk>);

impl fmt::Debug for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSystem")
    }
}

impl Setup {
    /// The member without member set: the *bootstrap* form, from version 4 on [API-121].
    #[must_use]
    pub fn new(config: Config, version: ProtocolVersion, node: Node) -> Setup {
        Setup {
            config,
            version,
            node,
            members: None,
            serialize_fast_reads: false,
            independent_heartbeat: false,
            listen_on_all: false,
            reload_in_place: false,
            accept_all_messages: false,
            queue_limit: ByteSize::mib(512),
            spawner: Arc::new(NativeThreads),
            disk: FileSystem(Arc::new(OsDisk)),
        }
    }

    /// The *member-list* form: these members are configuration 1 when the directory does not say otherwise [API-48].
    #[must_use]
    pub fn members(mut self, members: MemberSet) -> Setup {
        self.members = Some(members);
        self
    }

    /// Fast reads exclude execution [API-78]. Default false.
    #[must_use]
    pub fn serialize_fast_reads(mut self, yes: bool) -> Setup {
        self.serialize_fast_reads = yes;
        self
    }

    /// Heartbeats go on while a callback blocks the questions of consensus [API-52]. Here they always do: no callback
    /// runs on the loop. Default false.
    #[must_use]
    pub fn independent_heartbeat(mut self, yes: bool) -> Setup {
        self.independent_heartbeat = yes;
        self
    }

    /// Listen on all addresses and leave outgoing connections unbound [API-13]. Default false.
    #[must_use]
    pub fn listen_on_all(mut self, yes: bool) -> Setup {
        self.listen_on_all = yes;
        self
    }

    /// Go on in place after a copied checkpoint or a relinquished primacy, instead of ending for a restart (decisions 3
    /// and 13) [HARD-380] [HARD-321]: requests are aborted, `notify_status(false)` if it was primary, no `shut_down`, then
    /// `load_state`. Default false.
    #[must_use]
    pub fn reload_in_place(mut self, yes: bool) -> Setup {
        self.reload_in_place = yes;
        self
    }

    /// The application has nothing to say about messages: `accept_message_from_replica` is not called, the answer is yes.
    /// Saves two changes of threads per vote (decision 14). Default false.
    #[must_use]
    pub fn accept_all_messages(mut self, yes: bool) -> Setup {
        self.accept_all_messages = yes;
        self
    }

    /// Bound of the bytes of requests that wait (decision 16). Default 512 MiB.
    #[must_use]
    pub fn queue_limit(mut self, limit: ByteSize) -> Setup {
        self.queue_limit = limit;
        self
    }

    /// Who creates the threads that run callbacks [API-51]. Default: native threads.
    #[must_use]
    pub fn spawner(mut self, spawner: Arc<dyn ThreadSpawner>) -> Setup {
        self.spawner = spawner;
        self
    }

    /// The address that is listened on and that outgoing connections come from; unspecified = all [WIRE-2] [WIRE-3].
    pub(super) const fn local_ip(&self) -> Ipv4Addr {
        if self.listen_on_all { Ipv4Addr::UNSPECIFIED } else { self.node.ip }
    }

    /// Checks what can be checked without touching the disk [API-23] [API-46].
    pub(super) fn check(&self) -> Result<(), StartError> {
        if self.node.id.is_empty() {
            return Err(StartError::Members(MemberSetError::EmptyId));
        }
        if self.node.rsl_port == 0 {
            return Err(StartError::Members(MemberSetError::ZeroPort(self.node.id)));
        }
        // [HARD-507]
        if self.node.effective_learn_port() == 0 {
            return Err(StartError::NoLearnPort);
        }
        match &self.members {
            Some(members) => {
                members.verify(self.version)?;
                if !members.contains(self.node.id) {
                    tracing::warn!(member = %self.node.id, "not in the member list: the replica stays inactive");
                }
            }
            None if !self.version.has_string_ids() => return Err(StartError::NeedsMembers(self.version)),
            None => {}
        }
        if !self.version.has_string_ids() && !self.node.id.is_canonical_number() {
            let (id, version) = (self.node.id, self.version);
            return Err(StartError::Members(MemberSetError::IdNotNumeric { id, version }));
        }
        Ok(())
    }
}

/// Why a replica did not start. Everything is released again [HARD-542].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The member set, or this node, cannot be used with the version.
    #[error(transparent)]
    Members(#[from] MemberSetError),
    /// RSL port 65535 leaves no default learn port.
    #[error("the learn port defaults to RSL port + 1, which does not exist")]
    NoLearnPort,
    /// Up to version 3 a member list has to be given [API-46].
    #[error("protocol version {0} needs a member list")]
    NeedsMembers(ProtocolVersion),
    /// There is history, but no member set is stored and none was given [API-46].
    #[error("the directory holds decrees but no member set")]
    NoMemberSet,
    /// The data directory cannot be used: another replica does (decision 26), or the disk fails.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The state cannot be restored from the directory.
    #[error("cannot restore the state: {0}")]
    Restore(String),
    /// The packet port cannot be listened on.
    #[error("cannot listen for packets: {0}")]
    Listen(io::Error),
    /// The learn port cannot be listened on.
    #[error("cannot listen on the learn port: {0}")]
    ListenLearn(io::Error),
    /// A thread could not be created.
    #[error("cannot create a thread: {0}")]
    Thread(io::Error),
}

impl StartError {
    /// The title of the legacy notification for this failure [API-46].
    #[must_use]
    pub const fn title(&self) -> &'static str {
        match self {
            StartError::Config(_) => "Could not load config",
            StartError::Members(_) | StartError::NoLearnPort => "version is not compatible with this library",
            StartError::NeedsMembers(_) => {
                "This method is not supported for versions prior RSLProtocolVersion_3"
            }
            StartError::NoMemberSet => "Machine is already bootstrapped but has no replica set info",
            StartError::Directory(_) => "Failed to create data directory",
            StartError::Restore(_) => "Failed to restore state",
            StartError::Listen(_) => "Failed to start netlib Server",
            StartError::ListenLearn(_) => "Failed to bind on learn port",
            StartError::Thread(_) => "Could not initialize Netlib",
        }
    }
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The directory's name cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The history cannot be executed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The checkpoint's decree is 0, or its directory is missing or the one that is replayed [STOR-69].
    #[error("a checkpoint needs a decree other than 0 and a directory other than the replayed one")]
    Output,
    /// The checkpoint could not be written.
    #[error(transparent)]
    Save(#[from] RerunSaveError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, rsl_port: u16) -> Node {
        Node {
            id: id.parse().unwrap(),
            ip: Ipv4Addr::LOCALHOST,
            rsl_port,
            learn_port: 0,
            app_port: 0,
            host_name: bytes::Bytes::new(),
        }
    }

    fn setup(version: ProtocolVersion, node: Node) -> Setup {
        Setup::new(Config::builder("d").build().unwrap(), version, node)
    }

    /// [API-46] [API-48] [API-121] [PROTO-47] [HARD-507] [HARD-512] [HARD-547] What is refused before the disk is touched.
    #[test]
    fn a_setup_is_checked_first() {
        let (v3, v4) = (ProtocolVersion::V3, ProtocolVersion::V4);
        let set = |nodes: Vec<Node>| MemberSet { nodes, ..MemberSet::default() };
        assert!(setup(v4, node("a", 1)).check().is_ok());
        assert!(matches!(setup(v3, node("1", 1)).check(), Err(StartError::NeedsMembers(_))));
        assert!(setup(v3, node("1", 1)).members(set(vec![node("1", 1)])).check().is_ok());
        assert!(matches!(
            setup(v3, node("a", 1)).members(set(vec![node("1", 1)])).check(),
            Err(StartError::Members(MemberSetError::IdNotNumeric { .. }))
        ));
        assert!(matches!(
            setup(v4, node("a", 1)).members(set(vec![])).check(),
            Err(StartError::Members(MemberSetError::Empty))
        ));
        assert!(matches!(
            setup(v4, node("a", 1)).members(set(vec![node("a", 1), node("", 2)])).check(),
            Err(StartError::Members(MemberSetError::EmptyId))
        ));
        assert!(matches!(setup(v4, node("a", 65535)).check(), Err(StartError::NoLearnPort)));
        assert!(matches!(setup(v4, node("a", 0)).check(), Err(StartError::Members(_))));
        // A late joiner is not in its list.
        assert!(setup(v4, node("a", 1)).members(set(vec![node("b", 1)])).check().is_ok());
    }
}
