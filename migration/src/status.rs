//! `rsl status`: asks replicas, old or new, how far they are.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use rsl_core::net::learn::{LearnTimeouts, status};
use rsl_core::types::{Ballot, Decree, MemberId, ProtocolVersion};
use rsl_core::wire::{Header, Message, StatusResponse};
use serde_json::{Value, json};

/// Most replicas asked at a time.
const AT_A_TIME: usize = 16;

/// Ask replicas, old or new, for decree, ballot, role, log and checkpoint.
///
/// Each HOST:PORT is a learn port (the packet port + 1 unless configured otherwise). The question is a StatusQuery in
/// version 1, which every replica can read; it changes nothing. Exit code 1 when one of them does not answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Learn ports.
    #[arg(required = true, value_name = "HOST:PORT")]
    replicas: Vec<String>,
    /// How long to wait for each, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Print one JSON object: {"replicas": [...]}.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Asks all of them and prints the answers.
    pub(crate) fn run(self) -> ExitCode {
        let timeout = Duration::from_secs(self.timeout);
        let answers = ask_all(&self.replicas, timeout);
        let all_answered = answers.iter().all(Result::is_ok);
        let named = self.replicas.iter().zip(&answers);
        if self.json {
            let replicas: Vec<Value> = named.map(|(name, answer)| to_json(name, answer)).collect();
            println!("{}", json!({ "replicas": replicas }));
        } else {
            let mut table = Table::new();
            table.load_preset(presets::UTF8_FULL_CONDENSED);
            table.set_header([
                "replica",
                "id",
                "role",
                "decree",
                "ballot",
                "promised",
                "config",
                "version",
                "log from",
                "checkpoint",
            ]);
            for (name, answer) in named {
                match answer {
                    Ok(response) => table.add_row(to_row(name, response)),
                    Err(why) => table.add_row([name, why.as_str()]),
                };
            }
            println!("{table}");
        }
        if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn ask_all(names: &[String], timeout: Duration) -> Vec<Result<StatusResponse, String>> {
    let mut answers = Vec::with_capacity(names.len());
    for some in names.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let asking: Vec<_> = some.iter().map(|name| scope.spawn(move || ask(name, timeout))).collect();
            answers.extend(asking.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err("the query failed unexpectedly".to_owned()))
            }));
        });
    }
    answers
}

fn ask(name: &str, timeout: Duration) -> Result<StatusResponse, String> {
    let address = resolve(name)?;
    let query = Message::StatusQuery(Header {
        version: ProtocolVersion::V1,
        checksum: 0,
        member: MemberId::EMPTY,
        decree: Decree(0),
        configuration: 1,
        ballot: Ballot::default(),
        payload: 0,
    });
    let timeouts = LearnTimeouts { connect: timeout, send: timeout, receive: timeout };
    status(address, &query, timeouts).map_err(|error| error.to_string())
}

/// The IPv4 address of a `HOST:PORT`; replicas have no other.
fn resolve(name: &str) -> Result<SocketAddrV4, String> {
    let addresses = name.to_socket_addrs().map_err(|error| format!("{name}: {error}"))?;
    let v4 = addresses.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    v4.into_iter().next().ok_or_else(|| format!("{name} has no IPv4 address"))
}

/// The name of a role number [WIRE-96].
fn role(number: u32) -> String {
    match number {
        0 => "inactive".to_owned(),
        1 => "primary".to_owned(),
        2 => "secondary".to_owned(),
        3 => "preparing".to_owned(),
        4 => "initializing".to_owned(),
        other => format!("unknown ({other})"),
    }
}

fn to_json(name: &str, answer: &Result<StatusResponse, String>) -> Value {
    let ballot = |ballot: &Ballot| json!([ballot.id, ballot.member.to_string()]);
    match answer {
        Err(why) => json!({ "address": name, "error": why }),
        Ok(response) => json!({
            "address": name,
            "id": response.header.member.to_string(),
            "role": role(response.state),
            "decree": response.header.decree.0,
            "ballot": ballot(&response.header.ballot),
            "maxBallot": ballot(&response.max_ballot),
            "configuration": response.header.configuration,
            "version": response.header.version.number(),
            "lastReceivedAgoMs": response.last_received_ago,
            "minDecreeInLog": response.log.min_decree_in_log.0,
            "checkpointedDecree": response.log.checkpointed_decree.0,
            "checkpointSize": response.log.checkpoint_size,
        }),
    }
}

fn to_row(name: &str, response: &StatusResponse) -> Vec<String> {
    let header = &response.header;
    vec![
        name.to_owned(),
        header.member.to_string(),
        role(response.state),
        header.decree.0.to_string(),
        ballot_text(&header.ballot),
        ballot_text(&response.max_ballot),
        header.configuration.to_string(),
        header.version.number().to_string(),
        response.log.min_decree_in_log.0.to_string(),
        match response.log.checkpointed_decree.0 {
            0 => "none".to_owned(),
            decree => format!("{decree} ({} bytes)", response.log.checkpoint_size),
        },
    ]
}

fn ballot_text(ballot: &Ballot) -> String {
    format!("{} {}", ballot.id, ballot.member)
}
