//! A core driven by hand, for tables that compare model and engine; the model's first steps.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::LegacyModel;
use crate::engine::{
    Answer, Apply, Command, ConnectionId, Consensus, Direction, Effect, Input, LogFileInfo, Origin, PeerLink,
    Recovered, Request, RequestToken, Role, Settings, StopReason,
};
use crate::types::{Ballot, Configuration, Decree, Instant, MemberId, MemberSet, Node, ProtocolVersion};
use crate::wire::{Header, LogRange, Message, PrepareAccepted, StatusResponse, Vote, VoteContent};

pub(super) const START: Instant = Instant(1_000_000_000);

pub(super) fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

pub(super) fn node(number: u8) -> Node {
    Node {
        id: member(&number.to_string()),
        ip: Ipv4Addr::new(10, 0, 0, number),
        rsl_port: 1000,
        learn_port: 1001,
        app_port: 0,
        host_name: Bytes::new(),
    }
}

pub(super) fn settings() -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        member: member("1"),
        learn_port: 1001,
        version: ProtocolVersion::V5,
        new_leader_grace_period: 15 * second,
        heartbeat_interval: 2 * second,
        election_delay: 10 * second,
        election_randomize_percent: 0,
        max_election_randomize: second,
        initialize_retry_interval: second,
        prepare_retry_interval: second,
        vote_retry_interval: 3 * second,
        receive_timeout: 5 * second,
        vote_max_outstanding_interval: 480 * second,
        checkpoint_query_interval: 5 * second,
        join_messages_interval: second,
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

/// A core as member 1, driven by hand; the disk writes at once and decrees are executed at once.
pub(super) struct Bench<C> {
    pub(super) core: C,
    pub(super) now: Instant,
    members: u8,
    /// Messages sent.
    pub(super) said: Vec<Message>,
    /// Requests that were executed, and those that were aborted.
    pub(super) executed: Vec<u64>,
    pub(super) aborted: Vec<u64>,
    pub(super) stopped: Option<StopReason>,
}

impl<C: Consensus> Bench<C> {
    pub(super) fn of(members: u8) -> Bench<C> {
        let set = MemberSet { nodes: (1..=members).map(node).collect(), cookie: Bytes::new() };
        let configuration = Configuration { number: 1, initial_decree: Decree::ZERO, members: Arc::new(set) };
        let header = Header::new(ProtocolVersion::V5, member("1"), Decree::ZERO, 1, Ballot::EMPTY);
        let disk = Recovered {
            accepted: Vote::new(header, &VoteContent::default()).unwrap(),
            promised: Ballot::EMPTY,
            executed: Decree::ZERO,
            state_configuration: configuration.clone(),
            voting_configuration: configuration,
            checkpoint: None,
            defunct: 0,
            relearn: None,
            checkpoint_lag: Duration::ZERO,
            logs: vec![LogFileInfo { name: Decree::ZERO, votes: None, len: 0 }],
        };
        let mut bench = Bench {
            core: C::recover(settings(), disk, 1, START),
            now: START,
            members,
            said: Vec::new(),
            executed: Vec::new(),
            aborted: Vec::new(),
            stopped: None,
        };
        bench.give(Vec::new());
        bench
    }

    pub(super) fn give(&mut self, mut inputs: Vec<Input>) {
        let links = (2..=self.members).map(|peer| PeerLink {
            member: node(peer).id,
            ip: node(peer).ip,
            connected: true,
            unsent: 0,
            last_send: None,
        });
        inputs.insert(0, Input::Links(links.collect()));
        while self.stopped.is_none() && !inputs.is_empty() {
            let mut effects = Vec::new();
            self.core.turn(self.now, std::mem::take(&mut inputs), &mut effects);
            for effect in effects {
                match effect {
                    Effect::Append { seq, .. } => inputs.push(Input::Appended { through: seq }),
                    Effect::Send { message, .. } => self.said.push(message),
                    Effect::Ask { question, .. } => {
                        let answer = Answer::MayLead(Some(Bytes::new()));
                        inputs.push(Input::Answered { question, answer });
                    }
                    Effect::Apply(Apply::Execute { vote, tokens, .. }) => {
                        self.executed.extend(tokens.iter().map(|token| token.0));
                        inputs.push(Input::Executed { decree: vote.decree(), save_state: false });
                    }
                    Effect::Apply(Apply::Abort { token, .. }) => self.aborted.push(token.0),
                    Effect::Stop(reason) => self.stopped = Some(reason),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.give(vec![Input::Command(command)]);
    }

    pub(super) fn origin(from: u8) -> Origin {
        Origin {
            connection: ConnectionId(u64::from(from)),
            direction: Direction::Inbound,
            address: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, from), 5000),
        }
    }

    pub(super) fn hear(&mut self, from: u8, message: Message) {
        self.give(vec![Input::Message { from: Self::origin(from), message }]);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.give(Vec::new());
    }

    /// Lets time pass in steps of 100 ms.
    pub(super) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.wait(Duration::from_millis(100));
        }
    }

    /// The ballot of its last Prepare.
    pub(super) fn candidacy(&self) -> Option<Ballot> {
        self.said.iter().rev().find_map(|message| match message {
            Message::Prepare(prepare) => Some(prepare.header.ballot),
            _ => None,
        })
    }

    /// Member 2 says that it is at the same place.
    pub(super) fn peer_is_level(&mut self, max_ballot: Ballot) {
        let accepted = self.core.status().accepted;
        let header = header(2, accepted.decree.0, accepted.ballot);
        let status = StatusResponse {
            header,
            query: header.position(),
            last_received_ago: 1_000_000,
            log: LogRange::default(),
            max_ballot,
            state: 4,
        };
        self.hear(2, Message::StatusResponse(status));
    }

    /// Member 2 promises what was asked last.
    pub(super) fn peer_promises(&mut self) {
        let ballot = self.candidacy().unwrap();
        let accepted = self.core.status().accepted;
        let vote = empty_vote(2, accepted.decree.0, accepted.ballot);
        let header = header(2, accepted.decree.0, ballot);
        self.hear(2, Message::PrepareAccepted(PrepareAccepted { header, vote }));
    }

    /// Member 2 accepts what was proposed last.
    pub(super) fn peer_accepts(&mut self) {
        let status = self.core.status();
        let header = header(2, status.accepted.decree.0, status.promised);
        self.hear(2, Message::VoteAccepted(header));
    }

    /// Primary of decree 0 among these.
    pub(super) fn elected(members: u8) -> Bench<C> {
        let mut bench = Bench::<C>::of(members);
        if members > 1 {
            bench.peer_is_level(Ballot::EMPTY);
            bench.peer_promises();
            bench.peer_accepts();
        } else {
            bench.pass(1);
        }
        assert!(bench.core.is_primary(), "{:?}", bench.core.status());
        bench
    }

    /// Stands for election again and asks for promises.
    pub(super) fn stand_again(&mut self) {
        self.command(Command::AttemptPromotion);
        self.wait(Duration::from_millis(10));
        self.peer_is_level(Ballot::EMPTY);
    }

    pub(super) fn replicate(&mut self, token: u64) {
        self.command(Command::Replicate(vec![request(token)]));
        self.wait(Duration::from_millis(10));
    }

    pub(super) fn crashed(&self) -> bool {
        matches!(self.stopped, Some(StopReason::Panicked(_)))
    }
}

pub(super) fn request(token: u64) -> Request {
    Request {
        payload: Bytes::from_static(b"x"),
        token: RequestToken(token),
        exclusive: false,
        last_decree: false,
    }
}

pub(super) fn header(from: u8, decree: u64, ballot: Ballot) -> Header {
    Header::new(ProtocolVersion::V5, member(&from.to_string()), Decree(decree), 1, ballot)
}

pub(super) fn empty_vote(from: u8, decree: u64, ballot: Ballot) -> Vote {
    Vote::new(header(from, decree, ballot), &VoteContent::default()).unwrap()
}

/// [PROTO-116] [PROTO-128]: a round, an election, promotion after the re-proposal.
#[test]
fn one_answer_each_elects_in_three() {
    let bench = Bench::<LegacyModel>::elected(3);
    assert_eq!(bench.core.role(), Role::Primary);
    assert_eq!(bench.core.status().accepted.decree, Decree(0));
}

/// [PROTO-97] [PROTO-168]: a call that comes with the end of the process gets its answer (found by the simulator, mixed
/// 1646: the model left it without one).
#[test]
fn calls_are_answered_to_the_end() {
    let mut bench = Bench::<LegacyModel>::elected(3);
    let call = |token| Input::Command(Command::Replicate(vec![request(token)]));
    bench.give(vec![Input::Command(Command::Stop(StopReason::Unloaded)), call(7), call(8)]);
    assert_eq!((bench.stopped, bench.aborted), (Some(StopReason::Unloaded), vec![7, 8]));
}

/// [PROTO-168]: the end waits for the write under way; what that holds up is not forgotten (found by the simulator, mixed
/// 158: an abort was).
#[test]
fn the_end_waits_for_the_write() {
    let mut bench = Bench::<LegacyModel>::elected(3);
    let mut turn = |inputs| {
        bench.now = bench.now + Duration::from_millis(200);
        let mut effects = Vec::new();
        bench.core.turn(bench.now, inputs, &mut effects);
        effects
    };
    let proposed = turn(vec![Input::Command(Command::Replicate(vec![request(7)]))]);
    let appended = proposed.iter().find_map(|effect| match effect {
        Effect::Append { seq, .. } => Some(*seq),
        _ => None,
    });
    let through = appended.expect("the vote is logged");
    assert!(turn(vec![Input::Command(Command::Stop(StopReason::Unloaded))]).is_empty());
    let ended = turn(vec![Input::Appended { through }]);
    assert!(
        matches!(&ended[..], [Effect::Apply(Apply::Abort { .. }), Effect::Stop(StopReason::Unloaded)]),
        "{ended:?}"
    );
}
