//! `rsl status` as a process: what it asks, what it prints, how it ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread::JoinHandle;

use rsl_core::types::{Ballot, Decree, MemberId, Position, ProtocolVersion};
use rsl_core::wire::{Header, LogRange, Message, StatusResponse};
use serde_json::Value;

/// A learn port that takes one request and answers with a status in `version`. Gives the request.
fn learn_port(version: ProtocolVersion, id: &str) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let member = MemberId::from_bytes(id.as_bytes()).unwrap();
    let ballot = Ballot::new(7, member);
    let response = StatusResponse {
        header: Header {
            version,
            checksum: 0,
            member,
            decree: Decree(1000),
            configuration: 1,
            ballot,
            payload: 0,
        },
        query: Position::new(Decree(0), Ballot::EMPTY),
        last_received_ago: 12,
        log: LogRange {
            min_decree_in_log: Decree(10),
            checkpointed_decree: Decree(900),
            checkpoint_size: 4096,
        },
        max_ballot: Ballot::new(8, member),
        state: 2,
    };
    let answer = Message::StatusResponse(response).encode().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 48];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(&answer).unwrap();
        request
    });
    (address, served)
}

/// [WIRE-34] [WIRE-106] The answer may be in any version; the question is one that every version reads.
#[test]
fn replicas_of_any_version_are_asked_and_shown() {
    let (old, old_request) = learn_port(ProtocolVersion::V1, "101");
    let (new, new_request) = learn_port(ProtocolVersion::V6, "alpha");
    let output =
        Command::new(env!("CARGO_BIN_EXE_rsl")).args(["status", "--json", &old, &new]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (at, id, version) in [(0, "101", 1), (1, "alpha", 6)] {
        let replica = &answer["replicas"][at];
        assert_eq!(replica["id"], id);
        assert_eq!(replica["version"], version);
        assert_eq!(replica["role"], "secondary");
        assert_eq!(replica["decree"], 1000);
        assert_eq!(replica["ballot"], serde_json::json!([7, id]));
        assert_eq!(replica["maxBallot"], serde_json::json!([8, id]));
        assert_eq!(replica["minDecreeInLog"], 10);
        assert_eq!(replica["checkpointedDecree"], 900);
        assert_eq!(replica["checkpointSize"], 4096);
    }
    for request in [old_request, new_request] {
        let request = Message::decode(&request.join().unwrap().into()).unwrap();
        assert!(matches!(request, Message::StatusQuery(header) if header.version == ProtocolVersion::V1));
    }
}

#[test]
fn a_replica_that_does_not_answer_is_named_and_fails_the_command() {
    let (good, _request) = learn_port(ProtocolVersion::V4, "alpha");
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rsl")).arg("status").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&[&good, &closed, "no-port"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("alpha") && text.contains("secondary"), "{text}");
    assert!(text.contains(&closed) && text.contains("refused"), "{text}");
    assert!(text.contains("no-port"), "{text}");
    let (code, text) = run(&[&closed, "--json"]);
    assert_eq!(code, Some(1));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["replicas"][0]["error"].as_str().unwrap().contains("refused"), "{answer}");
    assert_eq!(run(&[]).0, Some(2), "no replica named");
}
