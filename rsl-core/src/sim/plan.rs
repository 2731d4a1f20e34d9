//! What a seed means: the cluster, its settings, the weather of the network, and the faults with their times.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::dice::Dice;
use super::disk::{Crash, Harm};
use crate::engine::Settings;
use crate::storage::Retention;
use crate::types::{MemberId, MemberSet, Node, ProtocolVersion};

/// Learn port of every member.
pub(super) const LEARN_PORT: u16 = 20001;

/// How long a healed cluster of our replicas may take.
const LIVENESS: Duration = Duration::from_secs(120);

/// How much is simulated for a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Short runs, for every change.
    Ci,
    /// Longer runs.
    Nightly,
    /// Clusters of three and five, some members being the model of the old library. Any 240 seeds in a row cover every
    /// split in every version. Faults that a replica of the old library is known not to survive are left out, see
    /// `docs/TESTING.md`.
    Mixed,
}

/// What happens to messages that a partition stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// They are lost.
    Lose,
    /// They arrive when it is over, as with a TCP connection that survives.
    Hold,
}

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A replica dies after `fuse` more effect boundaries (`None` = now, whatever is under way).
    Crash { node: usize, crash: Crash, fuse: Option<u32>, down: Duration },
    /// All replicas lose power at once.
    Blackout { down: Duration },
    /// Messages of one direction are stopped.
    Block { from: usize, to: usize, stop: Stop, lasts: Duration },
    /// A replica is cut off in one or both directions.
    Isolate { node: usize, inbound: bool, outbound: bool, stop: Stop, lasts: Duration },
    /// Losses, duplicates and delays for everyone.
    Storm { lasts: Duration },
    /// The connections between two replicas break; what is in flight is lost, or arrives late.
    Reset { a: usize, b: usize, late: bool },
    /// Syncs take long.
    SlowDisk { node: usize, lasts: Duration },
    /// The next sync fails.
    BrokenSync { node: usize, down: Duration },
    /// Writes fail for a while.
    FullDisk { node: usize, lasts: Duration },
    /// Decrees take long to execute.
    SlowExecution { node: usize, lasts: Duration },
    /// The application declines to save.
    RefuseSaves { node: usize, lasts: Duration },
    /// The application declines to lead.
    Unelectable { node: usize, lasts: Duration },
    /// The accept gate is closed.
    CloseGate { node: usize, lasts: Duration },
    /// The operator asks the primary to give up.
    Relinquish,
    /// The operator wants this replica as primary.
    Promote { node: usize },
    /// The operator changes the member set.
    Reconfigure,
    /// The application asks for a checkpoint with a request.
    SaveState,
    /// Checkpoints get longer or shorter.
    Pad { length: u64 },
    /// The primary replicates its last decree, and is ended later [PROTO-99].
    Drain { lasts: Duration },
    /// The replica dies, and what it had stored is damaged.
    Harm { node: usize, harm: Harm, down: Duration },
    /// Power fails, and of what was not synced later pages are there and earlier ones are not.
    Holes { node: usize, down: Duration },
    /// The operator ends the replica in good order, and starts it again.
    Unload { node: usize },
    /// The application has another replica's checkpoint copied [XFER-26].
    CopyState { node: usize, source: usize },
}

/// Delays and losses of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weather {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    /// In 1000 messages.
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) damaged: u64,
    /// Messages that take up to a hundred times longer.
    pub(super) late: u64,
}

impl Weather {
    /// The weather of the liveness phase.
    pub(super) const FAIR: Weather = Weather {
        delay: Duration::from_micros(200),
        jitter: Duration::from_micros(300),
        lost: 0,
        doubled: 0,
        damaged: 0,
        late: 0,
    };
}

/// Everything that is drawn before a run starts.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) versions: Vec<ProtocolVersion>,
    /// Which nodes are the model of the old library.
    pub(super) models: Vec<bool>,
    /// Members of the first configuration; the other nodes may join later.
    pub(super) initial: usize,
    /// The first members are not given to the replicas but to one Bootstrap call.
    pub(super) bootstrap: bool,
    /// Lowest version that is used.
    pub(super) lowest: ProtocolVersion,
    /// Restarts may come with another version.
    pub(super) upgrades: bool,
    pub(super) settings: Settings,
    pub(super) retention: Retention,
    pub(super) weather: Weather,
    /// Mean time between client calls.
    pub(super) load: Duration,
    pub(super) long_requests: bool,
    pub(super) sync: Duration,
    /// Turns go on while the log is written, as the contract of effects allows; else the loop waits.
    pub(super) writes_aside: bool,
    pub(super) safety: Duration,
    /// The node whose disk may lie and whose application may fail to load a checkpoint: one, so that what it lost can be
    /// learned from others.
    pub(super) frail: Option<usize>,
    pub(super) faults: Vec<(Duration, Fault)>,
}

impl Plan {
    pub(super) fn new(seed: u64, profile: Profile) -> Plan {
        let mut dice = Dice::new(seed, 1);
        let mixture = (profile == Profile::Mixed).then(|| Mixture::of(seed));
        let initial = dice.pick(&[1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
        let initial = mixture.map_or(initial, |mixture| mixture.members);
        // New members need string ids, which a mixture of version 4 or higher has.
        let reconfigures =
            dice.chance(300) && mixture.is_none_or(|mixture| mixture.version >= ProtocolVersion::V4);
        let bootstrap = dice.chance(if reconfigures { 500 } else { 50 })
            && mixture.is_none_or(|mixture| mixture.version >= ProtocolVersion::V4);
        let joiners = if reconfigures { dice.index(4) } else { 0 };
        let members = initial + joiners;
        let lowest = if reconfigures || bootstrap { ProtocolVersion::V4 } else { ProtocolVersion::V1 };
        let lowest = mixture.map_or(lowest, |mixture| mixture.version);
        let versions = match mixture {
            Some(mixture) if mixture.uniform => vec![mixture.version; members],
            Some(_) => (0..members).map(|_| dice.pick(&at_least(lowest))).collect(),
            None => versions(&mut dice, members, lowest),
        };
        let safety = match profile {
            Profile::Ci | Profile::Mixed => dice.millis(20_000, 60_000),
            Profile::Nightly => dice.millis(60_000, 300_000),
        };
        let settings = settings(&mut dice);
        let mut faults = faults(&mut dice, members, safety, reconfigures);
        let frail = (initial >= 3 && mixture.is_none() && dice.chance(300)).then(|| dice.index(members));
        if let Some(node) = frail {
            let harmful = (0..1 + dice.below(6)).map(|_| harmful(&mut dice, node, safety));
            faults.extend(harmful);
        }
        faults.extend(errands(&mut Dice::new(seed, 3), members, safety));
        faults.sort_by_key(|(at, _)| *at);
        Plan {
            seed,
            upgrades: dice.chance(300),
            models: (0..members).map(|node| mixture.is_some_and(|mixture| mixture.is_model(node))).collect(),
            versions,
            initial,
            bootstrap,
            lowest,
            settings,
            retention: Retention { max_checkpoints: 1 + dice.index(4), max_logs: 1 + dice.index(5) },
            weather: weather(&mut dice),
            load: dice.pick(&[30, 100, 100, 300, 1000]) * Duration::from_millis(1),
            long_requests: dice.chance(400),
            sync: dice.pick(&[0, 1, 3, 10]) * Duration::from_millis(1),
            writes_aside: dice.chance(300),
            safety,
            frail,
            faults,
        }
    }

    /// How long a healed cluster may take until it acknowledges requests again, and again until all are equal.
    pub(super) fn patience(&self) -> Duration {
        if self.models.contains(&true) {
            // An old candidate whose Prepare cannot win gives up after 30 election delays [HARD-325].
            LIVENESS + self.settings.election_delay * 45
        } else {
            LIVENESS
        }
    }

    /// The first members, with the ids 1, 2, and so on, which every version can say.
    pub(super) fn members(&self) -> Arc<MemberSet> {
        member_set(0..self.initial)
    }
}

/// Which nodes of a mixed cluster are what, and in which version.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    members: usize,
    /// Bit i: node i is a model.
    models: u64,
    version: ProtocolVersion,
    /// All nodes start in that version, not in that or a higher one.
    uniform: bool,
}

impl Mixture {
    /// Counts through all of them: the splits of three in all versions, then those of five.
    fn of(seed: u64) -> Mixture {
        let (index, round) = (seed % 240, seed / 240);
        let (members, index) = if index < 48 { (3, index) } else { (5, index - 48) };
        let splits = 1 << members;
        let version = ProtocolVersion::ALL[usize::try_from(index / splits).unwrap_or(0)];
        Mixture { members, models: index % splits, version, uniform: round % 2 == 0 }
    }

    /// Who joins later is of the kind of a first member.
    const fn is_model(&self, node: usize) -> bool {
        self.models >> (node % self.members) & 1 == 1
    }
}

/// The member set of some nodes.
pub(super) fn member_set(nodes: impl IntoIterator<Item = usize>) -> Arc<MemberSet> {
    let nodes = nodes.into_iter().map(node).collect();
    Arc::new(MemberSet { nodes, cookie: Bytes::from_static(b"set") })
}

pub(super) fn member(node: usize) -> MemberId {
    MemberId::from_number(node as u64 + 1)
}

pub(super) fn node_of(member: MemberId) -> Option<usize> {
    usize::try_from(member.as_number()?).ok()?.checked_sub(1)
}

/// The address of a node's learn port.
pub(super) fn address(node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(ip(node), LEARN_PORT)
}

pub(super) fn node_at(address: SocketAddrV4) -> usize {
    usize::from(address.ip().octets()[3]).saturating_sub(1)
}

fn ip(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(node + 1).unwrap_or(u8::MAX))
}

fn node(node: usize) -> Node {
    Node {
        id: member(node),
        ip: ip(node),
        rsl_port: 20000,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    }
}

fn versions(dice: &mut Dice, members: usize, lowest: ProtocolVersion) -> Vec<ProtocolVersion> {
    let all = at_least(lowest);
    match dice.below(3) {
        0 => vec![ProtocolVersion::V6; members],
        1 => vec![dice.pick(&all); members],
        _ => (0..members).map(|_| dice.pick(&all)).collect(),
    }
}

/// The versions from one on.
pub(super) fn at_least(lowest: ProtocolVersion) -> Vec<ProtocolVersion> {
    ProtocolVersion::ALL.into_iter().filter(|version| *version >= lowest).collect()
}

fn settings(dice: &mut Dice) -> Settings {
    // Nobody stands against a primary that sends its heartbeats in time, on clocks that differ.
    let heartbeat = dice.millis(200, 1_000);
    Settings {
        member: MemberId::EMPTY,
        learn_port: LEARN_PORT,
        version: ProtocolVersion::V6,
        new_leader_grace_period: heartbeat * 2 + dice.millis(0, 4_000),
        heartbeat_interval: heartbeat,
        election_delay: heartbeat * 3 + dice.millis(0, 3_000),
        election_randomize_percent: dice.pick(&[0, 10, 50]),
        max_election_randomize: Duration::from_secs(1),
        initialize_retry_interval: dice.millis(200, 1_500),
        prepare_retry_interval: dice.millis(200, 2_000),
        vote_retry_interval: dice.millis(200, 2_000),
        receive_timeout: dice.millis(500, 3_000),
        vote_max_outstanding_interval: dice.millis(5_000, 40_000),
        checkpoint_query_interval: dice.millis(300, 3_000),
        join_messages_interval: Duration::from_secs(1),
        max_checkpoint_interval: if dice.chance(300) { dice.millis(3_000, 20_000) } else { Duration::ZERO },
        max_log_len: dice.pick(&[1, 4, 16, 32, 64, 256, 1024]) * 1024,
        log_len_randomize_percent: dice.pick(&[0, 20]),
        max_cache_len: dice.pick(&[2, 64, 50 * 1024]) * 1024,
        max_vote_len: 100 << 20,
        promote_while_catching_up: dice.chance(300),
        remote_bootstrap: true,
        use_global_accept_flag: dice.chance(500),
    }
}

fn weather(dice: &mut Dice) -> Weather {
    let rough = dice.chance(600);
    let rate = |dice: &mut Dice, most: u64| if rough && dice.chance(600) { dice.below(most) } else { 0 };
    Weather {
        delay: dice.between(Duration::from_micros(50), Duration::from_millis(10)),
        jitter: dice.between(Duration::ZERO, Duration::from_millis(20)),
        lost: rate(dice, 100),
        doubled: rate(dice, 100),
        damaged: rate(dice, 10),
        late: rate(dice, 50),
    }
}

/// Draws the kinds of faults this seed knows, then faults of these kinds at random times.
fn faults(dice: &mut Dice, members: usize, safety: Duration, reconfigures: bool) -> Vec<(Duration, Fault)> {
    const KINDS: u64 = 18;
    if dice.chance(30) {
        return Vec::new();
    }
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| dice.chance(550)).collect();
    if reconfigures {
        kinds.extend([KINDS, KINDS]);
    }
    let pause = dice.millis(300, 4_000);
    let mut faults = Vec::new();
    let mut at = dice.between(Duration::ZERO, pause * 2);
    while at < safety && !kinds.is_empty() {
        let kind = dice.pick(&kinds);
        faults.push((at, fault(dice, kind, members)));
        at += dice.between(Duration::ZERO, pause * 2);
    }
    faults
}

/// Something that the disk of the frail node does.
fn harmful(dice: &mut Dice, node: usize, safety: Duration) -> (Duration, Fault) {
    let (at, down) = (dice.between(Duration::ZERO, safety), dice.millis(10, 3_000));
    let fault = match dice.below(4) {
        0 => Fault::Holes { node, down },
        _ => Fault::Harm { node, harm: dice.pick(&[Harm::Flip, Harm::Zero, Harm::Misdirected]), down },
    };
    (at, fault)
}

/// What operators and applications ask of replicas now and then.
fn errands(dice: &mut Dice, members: usize, safety: Duration) -> Vec<(Duration, Fault)> {
    let count = if dice.chance(400) { 1 + dice.below(8) } else { 0 };
    let mut errand = || {
        let (at, node, source) =
            (dice.between(Duration::ZERO, safety), dice.index(members), dice.index(members));
        let unloads = dice.chance(500);
        (at, if unloads { Fault::Unload { node } } else { Fault::CopyState { node, source } })
    };
    (0..count).map(|_| errand()).collect()
}

fn fault(dice: &mut Dice, kind: u64, members: usize) -> Fault {
    let node = dice.index(members);
    let other = (node + 1 + dice.index(members.saturating_sub(1))) % members;
    let lasts = dice.millis(200, 8_000);
    let down = if dice.chance(800) { dice.millis(10, 3_000) } else { dice.millis(3_000, 20_000) };
    let crash = if dice.chance(600) { Crash::Power } else { Crash::Kill };
    let stop = if dice.chance(500) { Stop::Lose } else { Stop::Hold };
    match kind {
        0 => {
            Fault::Crash { node, crash, fuse: Some(dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])), down }
        }
        1 => Fault::Crash { node, crash, fuse: u32::try_from(dice.below(60)).ok(), down },
        2 => Fault::Crash { node, crash, fuse: None, down },
        3 => Fault::Blackout { down },
        4 => Fault::Block { from: node, to: other, stop, lasts },
        5 => {
            let inbound = dice.chance(500);
            Fault::Isolate { node, inbound, outbound: !inbound || dice.chance(600), stop, lasts }
        }
        6 => Fault::Storm { lasts },
        7 => Fault::Reset { a: node, b: other, late: dice.chance(500) },
        8 => Fault::SlowDisk { node, lasts },
        9 => {
            if dice.chance(500) {
                Fault::BrokenSync { node, down }
            } else {
                Fault::FullDisk { node, lasts }
            }
        }
        10 => Fault::SlowExecution { node, lasts },
        11 => Fault::RefuseSaves { node, lasts },
        12 => Fault::Unelectable { node, lasts },
        13 => Fault::CloseGate { node, lasts },
        14 => Fault::Relinquish,
        15 => Fault::Promote { node },
        18 => Fault::Reconfigure,
        17 => Fault::Drain { lasts },
        _ => {
            if dice.chance(600) {
                Fault::SaveState
            } else {
                Fault::Pad { length: dice.pick(&[0, 100, 3_000, 40_000]) }
            }
        }
    }
}
