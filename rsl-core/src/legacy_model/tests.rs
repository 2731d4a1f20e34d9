//! The model by itself: the quirks of legacy that our engine does not have.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::LegacyModel;
use crate::engine::{
    Answer, Command, ConnectionId, Consensus, Direction, Effect, Input, LogFileInfo, Origin, Recovered,
    Request, RequestToken, Role, Settings, StopReason,
};
use crate::types::{Ballot, Configuration, Decree, Instant, MemberId, MemberSet, Node, ProtocolVersion};
use crate::wire::{Header, LogRange, Message, Prepare, StatusResponse, Vote, VoteContent};

const START: Instant = Instant(1_000_000_000);

fn member(id: &str) -> MemberId {
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

/// The model as member 1 of three, driven by hand; the disk writes at once.
struct Bench {
    model: LegacyModel,
    now: Instant,
    said: Vec<Message>,
    stopped: Option<StopReason>,
}

impl Bench {
    fn new() -> Bench {
        let members = MemberSet { nodes: (1..=3).map(node).collect(), cookie: Bytes::new() };
        let configuration =
            Configuration { number: 1, initial_decree: Decree::ZERO, members: Arc::new(members) };
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
        let model = <LegacyModel as Consensus>::recover(settings(), disk, 1, START);
        let mut bench = Bench { model, now: START, said: Vec::new(), stopped: None };
        bench.give(Vec::new());
        bench
    }

    fn give(&mut self, inputs: Vec<Input>) {
        let mut inputs = inputs;
        loop {
            let mut effects = Vec::new();
            self.model.turn(self.now, inputs, &mut effects);
            inputs = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Append { seq, .. } => inputs.push(Input::Appended { through: seq }),
                    Effect::Send { message, .. } => self.said.push(message),
                    Effect::Ask { question, .. } => {
                        let answer = Answer::MayLead(Some(Bytes::new()));
                        inputs.push(Input::Answered { question, answer });
                    }
                    Effect::Apply(crate::engine::Apply::Execute { vote, .. }) => {
                        inputs.push(Input::Executed { decree: vote.decree(), save_state: false });
                    }
                    Effect::Stop(reason) => self.stopped = Some(reason),
                    _ => {}
                }
            }
            if inputs.is_empty() || self.stopped.is_some() {
                return;
            }
        }
    }

    fn hear(&mut self, from: u8, message: Message) {
        let origin = Origin {
            connection: ConnectionId(u64::from(from)),
            direction: Direction::Inbound,
            address: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, from), 5000),
        };
        self.give(vec![Input::Message { from: origin, message }]);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.give(Vec::new());
    }

    fn header(from: u8, decree: u64, ballot: Ballot) -> Header {
        Header::new(ProtocolVersion::V5, member(&from.to_string()), Decree(decree), 1, ballot)
    }

    fn own_ballot() -> Ballot {
        Ballot::new(1, member("1"))
    }

    /// Elects it: one answer to each round is the majority.
    fn elected() -> Bench {
        let mut bench = Bench::new();
        let header = Bench::header(2, 0, Ballot::EMPTY);
        bench.hear(
            2,
            Message::StatusResponse(StatusResponse {
                header,
                query: header.position(),
                last_received_ago: 1_000_000,
                log: LogRange::default(),
                max_ballot: Ballot::EMPTY,
                state: 4,
            }),
        );
        let header = Bench::header(2, 0, Bench::own_ballot());
        let vote = Vote::new(Bench::header(2, 0, Ballot::EMPTY), &VoteContent::default()).unwrap();
        bench.hear(2, Message::PrepareAccepted(crate::wire::PrepareAccepted { header, vote }));
        bench.accept(0);
        assert!(bench.model.is_primary(), "{:?}", bench.model.status());
        bench
    }

    fn accept(&mut self, decree: u64) {
        self.hear(2, Message::VoteAccepted(Bench::header(2, decree, Bench::own_ballot())));
    }
}

fn crash(bench: &Bench) -> &str {
    match &bench.stopped {
        Some(StopReason::Panicked(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// [PROTO-116] [PROTO-128]: a round, an election, promotion after the re-proposal.
#[test]
fn one_answer_each_elects_in_three() {
    let bench = Bench::elected();
    assert_eq!(bench.model.role(), Role::Primary);
    assert_eq!(bench.model.status().accepted.decree, Decree(0));
}

/// [HARD-372] [XFER-8]: a log without a vote claims to hold everything.
#[test]
fn an_empty_log_claims_everything() {
    assert_eq!(Bench::new().model.status().log_range.min_decree_in_log, Decree::ZERO);
}

/// [HARD-310]: a Decision for a vote that is no reconfiguration ends the process.
#[test]
fn a_false_decision_is_fatal() {
    let mut bench = Bench::elected();
    bench.hear(3, Message::ReconfigurationDecision(Bench::header(3, 0, Bench::own_ballot())));
    assert!(crash(&bench).contains("HARD-310"), "{}", crash(&bench));
}

/// [HARD-323] [PROTO-109]: a vote outstanding for voteMaxOutstandingInterval ends the process.
#[test]
fn a_vote_without_majority_is_fatal_in_the_end() {
    let mut bench = Bench::elected();
    let request = Request {
        payload: Bytes::from_static(b"x"),
        token: RequestToken(1),
        exclusive: false,
        last_decree: false,
    };
    bench.give(vec![Input::Command(Command::Replicate(vec![request]))]);
    for _ in 0..481 {
        bench.wait(Duration::from_secs(1));
        assert!(bench.stopped.is_none() || bench.now >= START + Duration::from_secs(480));
    }
    assert!(crash(&bench).contains("HARD-323"), "{}", crash(&bench));
}

/// [HARD-316] [HARD-317]: a relinquishing primary ignores Prepares, even of a higher ballot, and dies of a vote.
#[test]
fn a_relinquishing_primary_is_deaf_and_dies_of_a_vote() {
    let mut bench = Bench::elected();
    bench.give(vec![Input::Command(Command::RelinquishPrimary)]);
    bench.wait(Duration::from_millis(10));
    bench.said.clear();
    let ballot = Ballot::new(9, member("3"));
    bench.hear(3, Message::Prepare(Prepare { header: Bench::header(3, 1, ballot), cookie: Bytes::new() }));
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    let vote = Vote::new(Bench::header(3, 1, ballot), &VoteContent::default()).unwrap();
    bench.hear(3, Message::Vote(vote));
    assert!(crash(&bench).contains("HARD-316"), "{}", crash(&bench));
}

/// [HARD-307]: a member falls back to Initializing for a DefunctConfiguration of anybody, and records nothing.
#[test]
fn anybody_deposes_it() {
    let mut bench = Bench::elected();
    let header = Header { configuration: 7, ..Bench::header(9, 0, Ballot::EMPTY) };
    bench.hear(99, Message::DefunctConfiguration(header));
    assert_eq!(bench.model.role(), Role::Initializing);
    assert_eq!(bench.model.status().defunct, 0);
}

/// [HARD-304]: a stranger's vote with a huge decree masks all later votes while Initializing.
#[test]
fn a_strangers_vote_masks_the_primarys() {
    let mut bench = Bench::new();
    let ballot = Ballot::new(5, member("3"));
    let huge = Vote::new(Bench::header(8, 1 << 40, ballot), &VoteContent::default()).unwrap();
    bench.hear(88, Message::Vote(huge));
    let honest = Vote::new(Bench::header(3, 0, ballot), &VoteContent::default()).unwrap();
    bench.hear(3, Message::Vote(honest));
    assert_eq!(bench.model.vote_cache.len(), 1);
}

/// [HARD-306]: the highest ballot id leaves none to choose.
#[test]
fn an_absurd_ballot_is_fatal_for_the_next_candidate() {
    let mut bench = Bench::elected();
    let ballot = Ballot::new(u32::MAX, member("3"));
    bench.hear(3, Message::Prepare(Prepare { header: Bench::header(3, 0, ballot), cookie: Bytes::new() }));
    assert_eq!(bench.model.status().promised, ballot);
    bench.give(vec![Input::Command(Command::AttemptPromotion)]);
    bench.wait(Duration::from_millis(10));
    let header = Bench::header(2, 0, Bench::own_ballot());
    bench.hear(
        2,
        Message::StatusResponse(StatusResponse {
            header,
            query: header.position(),
            last_received_ago: 0,
            log: LogRange::default(),
            max_ballot: ballot,
            state: 2,
        }),
    );
    assert!(crash(&bench).contains("HARD-306"), "{}", crash(&bench));
}
