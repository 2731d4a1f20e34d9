//! A capture as events: what one replica received, said, fetched, and when it died.

use std::fs;
use std::io::Cursor;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use libtest_mimic::Failed;
use rsl_core::format::{Record, RecordStream};
use rsl_core::types::{MemberId, MemberSet, Node, ProtocolVersion};
use rsl_core::wire::{Message, PacketDecoder, packet_limit};
use serde_json::Value;

/// A recorded run.
pub(crate) struct Capture {
    pub(crate) version: u16,
    /// All members that occur in it.
    pub(crate) members: MemberSet,
    /// Started without a member set.
    pub(crate) new_api: bool,
    /// What the replicas were started with beside the test defaults.
    arguments: Value,
    marks: Vec<(f64, String)>,
    connections: Vec<Connection>,
}

struct Connection {
    number: u64,
    opened: f64,
    /// When the first side closed it.
    closed: f64,
    client: SocketAddrV4,
    server: SocketAddrV4,
    /// Who connected; unknown when nothing readable was said.
    client_id: String,
    server_id: String,
    learn: bool,
    sent: Vec<(f64, Message)>,
    answered: Vec<(f64, Message)>,
    /// The answer of a learn port.
    stream: Bytes,
}

/// What happened at a replica.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// It received a message.
    Received { connection: u64, address: SocketAddrV4, opened_here: bool, learn: bool, message: Message },
    /// It answered on a connection somebody else opened.
    Answered { connection: u64, message: Message },
    /// It said something on a connection of its own.
    Sent { connection: u64, to: MemberId, message: Message },
    /// It fetched something from a learn port, and got this.
    Fetched { from: SocketAddrV4, request: Message, stream: Bytes },
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Seconds since the start of the capture.
    pub(crate) at: f64,
    /// Counts the restarts of the replica.
    pub(crate) epoch: usize,
    pub(crate) what: What,
}

pub(crate) fn runs(captures: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| {
        let mut found: Vec<PathBuf> =
            fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| path.is_dir());
        found.sort();
        found
    };
    folders(captures).iter().flat_map(|scenario| folders(scenario)).collect()
}

pub(crate) fn replicas(run: &Path) -> Vec<String> {
    let Ok(text) = fs::read(run.join("manifest.json")) else { return Vec::new() };
    let Ok(manifest) = serde_json::from_slice::<Value>(&text) else { return Vec::new() };
    let members = manifest["members"].as_str().unwrap_or_default();
    members.split(',').filter_map(|member| Some(member.split('@').next()?.to_owned())).collect()
}

impl Capture {
    pub(crate) fn read(run: &Path) -> Result<Capture, Failed> {
        let manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json"))?)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("no text");
        let members = text(&manifest["members"])?;
        let nodes: Result<Vec<Node>, Failed> = members.split(',').map(node).collect();
        let mut marks = Vec::new();
        for mark in manifest["marks"].as_array().ok_or("no marks")? {
            marks.push((mark[0].as_f64().ok_or("no time")?, text(&mark[1])?));
        }
        let mut connections = Vec::new();
        for (number, connection) in
            manifest["connections"].as_array().ok_or("no connections")?.iter().enumerate()
        {
            connections.push(Connection::read(run, number as u64, connection)?);
        }
        let new_api = marks.iter().any(|(_, mark)| mark.contains("new API"));
        Ok(Capture {
            version: u16::try_from(manifest["version"].as_u64().ok_or("no version")?)?,
            members: MemberSet { nodes: nodes?, cookie: Bytes::new() },
            new_api,
            arguments: manifest["replicaArgs"].clone(),
            marks,
            connections,
        })
    }

    /// A configuration parameter that the replicas were started with, if it is not a test default.
    pub(crate) fn argument(&self, name: &str) -> Option<u64> {
        self.arguments[name].as_u64()
    }

    fn position(&self, id: &str) -> usize {
        self.members.nodes.iter().position(|node| node.id.to_string() == id).unwrap_or(usize::MAX)
    }

    /// The version a replica was configured with.
    pub(crate) fn version_of(&self, id: &str) -> ProtocolVersion {
        let mixed = self.marks.iter().find_map(|(_, mark)| mark.strip_prefix("starting with versions "));
        let number = mixed
            .and_then(|list| list.trim_matches(['[', ']']).split(", ").nth(self.position(id))?.parse().ok());
        ProtocolVersion::from_number(number.unwrap_or(self.version)).expect("a version of the wire")
    }

    /// The members given to a replica at its start.
    pub(crate) fn initial_members(&self, id: &str) -> Option<Arc<MemberSet>> {
        if self.new_api {
            return None;
        }
        let mut members = self.members.clone();
        // A later member was started with the whole list.
        let first = self.marks.iter().find_map(|(_, mark)| {
            let number = mark.strip_prefix("starting first ")?;
            number.split(' ').next()?.parse().ok()
        });
        if let Some(first) = first.filter(|first| self.position(id) < *first) {
            members.nodes.truncate(first);
        }
        Some(Arc::new(members))
    }

    /// When a replica was started again.
    fn restarts(&self, id: &str) -> Vec<f64> {
        let fourth = self.position(id) == 3;
        let ends = |mark: &str| {
            mark.starts_with("kill all")
                || (mark.starts_with("kill") && mark.ends_with(id))
                || mark.starts_with(&format!("{id} exited"))
                || (fourth && mark.starts_with("4th exited"))
        };
        self.marks.iter().filter(|(_, mark)| ends(mark)).map(|(at, _)| *at).collect()
    }

    /// When the connection was closed, in seconds since the start of the capture.
    pub(crate) fn closed(&self, connection: u64) -> f64 {
        let start = self.marks.first().map_or(0.0, |(at, _)| *at);
        let known = self.connections.iter().find(|known| known.number == connection);
        known.map_or(f64::INFINITY, |known| known.closed - start)
    }

    /// To whom a connection was opened, if `id` opened it.
    pub(crate) fn opened_to(&self, id: MemberId, connection: u64) -> Option<MemberId> {
        let known = self.connections.iter().find(|known| known.number == connection)?;
        (known.client_id.parse() == Ok(id)).then(|| known.server_id.parse().ok()).flatten()
    }

    /// Whether `id` had a connection of its own to `peer` at that time and kept it.
    pub(crate) fn is_connected(&self, id: MemberId, peer: MemberId, at: f64) -> bool {
        let start = self.marks.first().map_or(0.0, |(at, _)| *at);
        let of = |text: &str, member: MemberId| text.parse() == Ok(member);
        self.connections.iter().any(|known| {
            let lasts = known.opened - start <= at && known.closed - start > at + 0.3;
            !known.learn && lasts && of(&known.client_id, id) && of(&known.server_id, peer)
        })
    }

    /// What happened at a replica, in order.
    pub(crate) fn events(&self, id: &str) -> Vec<Event> {
        let restarts = self.restarts(id);
        let start = self.marks.first().map_or(0.0, |(at, _)| *at);
        let epoch = |at: f64| restarts.iter().filter(|restart| **restart < at).count();
        let mut events = Vec::new();
        for known in &self.connections {
            let mut push =
                |at: f64, what| events.push(Event { at: at - start, epoch: epoch(known.opened), what });
            let (is_client, is_server) = (known.client_id == id, known.server_id == id);
            let connection = known.number;
            if known.learn {
                if is_client && let Some((at, request)) = known.sent.first() {
                    let (from, request, stream) = (known.server, request.clone(), known.stream.clone());
                    push(*at, What::Fetched { from, request, stream });
                }
                if is_server && let Some((at, Message::StatusQuery(query))) = known.sent.first() {
                    let message = Message::StatusQuery(*query);
                    let address = known.client;
                    push(
                        *at,
                        What::Received { connection, address, opened_here: false, learn: true, message },
                    );
                    for (at, message) in &known.answered {
                        push(*at, What::Answered { connection, message: message.clone() });
                    }
                }
                continue;
            }
            for (at, message) in &known.sent {
                let message = message.clone();
                if is_server {
                    let address = known.client;
                    push(
                        *at,
                        What::Received { connection, address, opened_here: false, learn: false, message },
                    );
                } else if is_client && let Ok(to) = known.server_id.parse() {
                    push(*at, What::Sent { connection, to, message });
                }
            }
            for (at, message) in &known.answered {
                let message = message.clone();
                if is_server {
                    push(*at, What::Answered { connection, message });
                } else if is_client {
                    let address = known.server;
                    push(
                        *at,
                        What::Received { connection, address, opened_here: true, learn: false, message },
                    );
                }
            }
        }
        events.sort_by(|a, b| a.epoch.cmp(&b.epoch).then(a.at.total_cmp(&b.at)));
        events
    }
}

impl Connection {
    fn read(run: &Path, number: u64, value: &Value) -> Result<Connection, Failed> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("no text");
        let role = text(&value["serverRole"])?;
        let learn = role.ends_with(" learn");
        let server_id = role.trim_start_matches("replica ").split(' ').next().unwrap_or_default().to_owned();
        let file =
            |side: &Value| -> Result<Bytes, Failed> { Ok(fs::read(run.join(text(&side["file"])?))?.into()) };
        let opened = value["opened"].as_f64().ok_or("no time")?;
        let (mut sent, mut answered, mut stream) = (Vec::new(), Vec::new(), Bytes::new());
        if learn {
            let at = value["segments"][0][0].as_f64().unwrap_or(opened);
            let request = file(&value["c2s"])?;
            if !request.is_empty() {
                sent.push((at, Message::decode(&request).map_err(|error| error.to_string())?));
            }
            stream = file(&value["s2c"])?;
            let is_query = matches!(sent.first(), Some((_, Message::StatusQuery(_))));
            if is_query && !stream.is_empty() {
                let at = value["s2c"]["t_first"].as_f64().unwrap_or(at);
                answered.push((at, Message::decode(&stream).map_err(|error| error.to_string())?));
            }
        } else {
            sent = packets(&value["c2s"], &file(&value["c2s"])?)?;
            answered = packets(&value["s2c"], &file(&value["s2c"])?)?;
        }
        Ok(Connection {
            number,
            opened,
            closed: value["tcpEvents"][0][0].as_f64().unwrap_or(f64::INFINITY),
            client: text(&value["client"])?.parse()?,
            server: text(&value["server"])?.parse()?,
            client_id: sent
                .first()
                .map(|(_, message)| message.header().member.to_string())
                .unwrap_or_default(),
            server_id,
            learn,
            sent,
            answered,
            stream,
        })
    }
}

fn packets(side: &Value, bytes: &[u8]) -> Result<Vec<(f64, Message)>, Failed> {
    let mut decoder = PacketDecoder::new(packet_limit(100));
    decoder.feed(bytes);
    let mut found = Vec::new();
    for packet in side["packets"].as_array().into_iter().flatten() {
        if packet.get("msg").is_none() {
            break;
        }
        let payload = decoder.poll().map_err(|error| error.to_string())?.ok_or("a packet is missing")?;
        let message = Message::decode_packet_payload(&payload).map_err(|error| error.to_string())?;
        found.push((packet["t"].as_f64().ok_or("no time")?, message));
    }
    Ok(found)
}

/// `id@ip:port:learnport`
fn node(text: &str) -> Result<Node, Failed> {
    let (id, rest) = text.split_once('@').ok_or("no @")?;
    let parts: Vec<&str> = rest.split(':').collect();
    let [ip, rsl, learn] = parts[..] else { return Err("no ports".into()) };
    Ok(Node {
        id: id.parse()?,
        ip: ip.parse()?,
        rsl_port: rsl.parse()?,
        learn_port: learn.parse()?,
        app_port: 0,
        host_name: Bytes::new(),
    })
}

/// The records of a FetchVotes answer; the last one may be cut.
pub(crate) fn records(stream: &Bytes) -> Vec<Record> {
    let mut reader = RecordStream::new(Cursor::new(stream), 1 << 30);
    let mut found = Vec::new();
    while let Ok(Some(record)) = reader.next_record() {
        found.push(record);
    }
    found
}
