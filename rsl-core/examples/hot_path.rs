//! The way of requests through three replicas in memory: engine, codecs, packets, log writer. Counted by
//! `cargo xtask instructions`; no sockets, threads or disks, so that equal inputs cost equal instructions.
//!
//! Arguments: decrees, requests per decree, bytes per request.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsl_core::engine::{
    Answer, Apply, Command, ConnectionId, Destination, Direction, Effect, Engine, Input, Origin, Outbox,
    PeerLink, Question, Request, RequestToken, Settings,
};
use rsl_core::storage::{
    CheckpointReader, Directory, LogWriter, MemDisk, RestoreSettings, RestoreTarget, Restored, Retention,
    SaveAnswer, restore,
};
use rsl_core::types::{Configuration, Instant, MemberId, MemberSet, Node, ProtocolVersion};
use rsl_core::wire::{Message, PACKET_HEADER_SIZE, PacketDecoder, Vote, packet_header};

const REPLICAS: u8 = 3;
const PACKET_LIMIT: u64 = 100 << 20;

struct Replica {
    engine: Engine,
    outbox: Outbox,
    log: LogWriter,
    inputs: Vec<Input>,
    /// A stream from each replica.
    decoders: Vec<PacketDecoder>,
    executed: u64,
}

/// A packet under way.
struct Packet {
    from: usize,
    to: usize,
    header: [u8; PACKET_HEADER_SIZE],
    message: Bytes,
}

struct Cluster {
    now: Instant,
    replicas: Vec<Replica>,
    packets: VecDeque<Packet>,
}

/// An application without a state.
struct Nothing;

impl RestoreTarget for Nothing {
    fn load(&mut self, _state: Option<&mut CheckpointReader>) -> bool {
        true
    }

    fn execute(&mut self, _vote: &Vote) -> bool {
        false
    }

    fn reconfigured(&mut self, _configuration: &Configuration) {}

    fn save(&mut self, _into: &mut dyn Write) -> SaveAnswer {
        SaveAnswer::Refused
    }
}

fn main() {
    let argument = |place| std::env::args().nth(place).and_then(|text| text.parse::<u64>().ok());
    let (Some(decrees), Some(requests), Some(bytes)) = (argument(1), argument(2), argument(3)) else {
        eprintln!("usage: hot_path DECREES REQUESTS BYTES");
        std::process::exit(2);
    };
    let mut cluster = Cluster::start();
    cluster.elect();
    let before = cluster.replicas[0].executed;
    let payload = Bytes::from(vec![7; usize::try_from(bytes).unwrap_or(usize::MAX)]);
    for _ in 0..decrees {
        cluster.replicate(requests, &payload);
    }
    let executed = cluster.replicas[0].executed - before;
    assert_eq!(executed, decrees * requests, "every request is executed");
    println!("{executed}");
}

impl Cluster {
    fn start() -> Cluster {
        let node = |number: u8| Node {
            id: member(usize::from(number)),
            ip: ip(number),
            rsl_port: 20000,
            learn_port: 0,
            app_port: 0,
            host_name: Bytes::new(),
        };
        let members = Arc::new(MemberSet { nodes: (0..REPLICAS).map(node).collect(), cookie: Bytes::new() });
        let replica = |number: u8| Replica::start(number, &members).expect("an empty directory is a start");
        Cluster {
            now: Instant(1_000_000),
            replicas: (0..REPLICAS).map(replica).collect(),
            packets: VecDeque::new(),
        }
    }

    /// Lets the first replica become primary.
    fn elect(&mut self) {
        for _ in 0..100 {
            self.replicas[0].inputs.push(Input::Command(Command::AttemptPromotion));
            self.settle();
            if self.replicas[0].engine.is_primary() {
                return;
            }
            self.now = self.now + Duration::from_millis(500);
        }
        panic!("no primary");
    }

    fn replicate(&mut self, count: u64, payload: &Bytes) {
        let request = |number| Request {
            payload: payload.clone(),
            token: RequestToken(number),
            exclusive: false,
            last_decree: false,
        };
        let batch = (1..=count).map(request).collect();
        self.replicas[0].inputs.push(Input::Command(Command::Replicate(batch)));
        self.now = self.now + Duration::from_micros(200);
        self.settle();
    }

    /// Turns and deliveries until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for place in 0..self.replicas.len() {
                moved |= self.turn(place);
            }
            while let Some(packet) = self.packets.pop_front() {
                self.deliver(&packet);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn deliver(&mut self, packet: &Packet) {
        let (from, replica) = (packet.from, &mut self.replicas[packet.to]);
        replica.decoders[from].feed(&packet.header);
        replica.decoders[from].feed(&packet.message);
        while let Some(payload) = replica.decoders[from].poll().expect("whole packets") {
            let message = Message::decode_packet_payload(&payload).expect("our own message");
            let direction = match message {
                Message::VoteAccepted(_)
                | Message::PrepareAccepted(_)
                | Message::NotAccepted(_)
                | Message::StatusResponse(_) => Direction::Outbound,
                _ => Direction::Inbound,
            };
            let from = Origin {
                connection: ConnectionId(from as u64),
                direction,
                address: SocketAddrV4::new(ip(u8::try_from(from).unwrap_or(u8::MAX)), 50000),
            };
            replica.inputs.push(Input::Message { from, message });
        }
    }

    /// One turn, as the driver does it; false when there is nothing to do.
    fn turn(&mut self, place: usize) -> bool {
        let replica = &mut self.replicas[place];
        let due = replica.engine.deadline().is_some_and(|deadline| deadline <= self.now);
        if replica.inputs.is_empty() && !due {
            return false;
        }
        if due {
            replica.inputs.push(Input::Links(links(place)));
        }
        let mut effects = Vec::new();
        replica.engine.turn(self.now, std::mem::take(&mut replica.inputs), &mut effects);
        let (mut sent, mut appended) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Send { to, message, after } => sent.extend(replica.outbox.submit(to, message, after)),
                Effect::Append { seq, record, new_log } => {
                    replica.log.append(&record, new_log).expect("memory takes it");
                    appended = Some(seq);
                }
                Effect::Ask { question, ask } => {
                    let answer = match ask {
                        Question::CanBecomePrimary => Answer::MayLead(Some(Bytes::new())),
                        Question::AcceptMessage { .. } => Answer::Accept(true),
                    };
                    replica.inputs.push(Input::Answered { question, answer });
                }
                Effect::Apply(Apply::Execute { vote, .. }) => {
                    replica.executed += vote.requests().count() as u64;
                    let report = Input::Executed { decree: vote.decree(), save_state: false };
                    replica.inputs.push(report);
                }
                Effect::Peers(_) => replica.inputs.push(Input::Links(links(place))),
                _ => {}
            }
        }
        if let Some(through) = appended {
            replica.log.flush().expect("memory takes it");
            sent.extend(replica.outbox.appended(through));
            replica.inputs.push(Input::Appended { through });
        }
        for (to, message) in sent {
            self.send(place, to, &message);
        }
        true
    }

    /// Encodes a message once and frames it, as the packet service does.
    fn send(&mut self, from: usize, to: Destination, message: &Message) {
        let bytes = message.encode().expect("our own message");
        let tail = if let Message::Vote(vote) = message { Some(vote.header().checksum) } else { None };
        let header = packet_header(&bytes, tail).expect("our own message");
        for place in (0..self.replicas.len()).filter(|place| *place != from) {
            let wanted = match to {
                Destination::AllPeers => true,
                Destination::Peer(id) => id == member(place),
                Destination::Connection(id) => id == ConnectionId(place as u64),
            };
            if wanted {
                self.packets.push_back(Packet { from, to: place, header, message: bytes.clone() });
            }
        }
    }
}

impl Replica {
    fn start(number: u8, members: &Arc<MemberSet>) -> Result<Replica, Box<dyn std::error::Error>> {
        let member = member(usize::from(number));
        let place = Path::new("data");
        let directory = Directory::open(Arc::new(MemDisk::with_directory(place)), place)?;
        let settings = RestoreSettings {
            member,
            version: ProtocolVersion::V6,
            initial_members: Some(Arc::clone(members)),
            retention: Retention::default(),
            refuse_damaged_tail: false,
        };
        let Restored { recovered, log, .. } = restore(&directory, &settings, &mut Nothing)?;
        let engine =
            Engine::recover(engine_settings(member), recovered, u64::from(number), Instant(1_000_000));
        let decoders = (0..REPLICAS).map(|_| PacketDecoder::new(PACKET_LIMIT)).collect();
        Ok(Replica { engine, outbox: Outbox::default(), log, inputs: Vec::new(), decoders, executed: 0 })
    }
}

fn member(place: usize) -> MemberId {
    MemberId::from_number(101 + place as u64)
}

fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number + 1)
}

fn links(own: usize) -> Vec<PeerLink> {
    let link = |number: u8| PeerLink {
        member: member(usize::from(number)),
        ip: ip(number),
        connected: true,
        unsent: 0,
        last_send: None,
    };
    (0..REPLICAS).filter(|number| usize::from(*number) != own).map(link).collect()
}

fn engine_settings(member: MemberId) -> Settings {
    Settings {
        member,
        learn_port: 20001,
        version: ProtocolVersion::V6,
        new_leader_grace_period: Duration::from_secs(15),
        heartbeat_interval: Duration::from_secs(2),
        election_delay: Duration::from_secs(1000),
        election_randomize_percent: 0,
        max_election_randomize: Duration::ZERO,
        initialize_retry_interval: Duration::from_secs(1),
        prepare_retry_interval: Duration::from_secs(1),
        vote_retry_interval: Duration::from_secs(3),
        receive_timeout: Duration::from_secs(5),
        vote_max_outstanding_interval: Duration::from_secs(480),
        checkpoint_query_interval: Duration::from_secs(500),
        join_messages_interval: Duration::from_secs(1),
        max_checkpoint_interval: Duration::ZERO,
        max_log_len: 100 << 20,
        log_len_randomize_percent: 0,
        max_cache_len: 50 << 20,
        max_vote_len: 100 << 20,
        promote_while_catching_up: false,
        remote_bootstrap: true,
        use_global_accept_flag: true,
    }
}
