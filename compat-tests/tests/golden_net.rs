//! The sockets against golden data: the probes of live legacy replicas, sent to our packet service and learn port.
//!
//! Without golden data every test counts as ignored.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compat_tests::probes::{PROBES, Reaction, legacy, stream};
use libtest_mimic::{Arguments, Failed, Trial};
use rsl_core::engine::Destination;
use rsl_core::net::learn::{LearnServer, LearnSettings, LearnSource, Segment};
use rsl_core::net::{NetEvent, NetSettings, PacketService};
use rsl_core::types::{self, Ballot, Decree, MemberId, ProtocolVersion};
use rsl_core::wire::{Header, LogRange, Message, PACKET_HEADER_SIZE, StatusResponse};
use serde_json::Value;

/// Nothing is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(4);
/// The receive timeout of our learn port here; the legacy replicas ran with 5 s.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(300);

/// A test over the golden folder.
type Test = fn(&Path) -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dir: Option<Arc<PathBuf>> = compat_tests::golden::dir().map(Arc::new);
    let tests: [(&str, Test); 2] =
        [("packet_port_reacts_as_legacy", packet_port), ("learn_port_reacts_as_legacy", learn_port)];
    let trials = tests.into_iter().map(|(name, test)| {
        let found = dir.clone();
        Trial::test(name, move || test(&found.ok_or("there is no golden data")?))
            .with_ignored_flag(dir.is_none())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The probes of every file: name and result, with the version of the replica that was asked.
fn probes(dir: &Path) -> Result<Vec<(ProtocolVersion, String, Value)>, Failed> {
    let mut found = Vec::new();
    for version in ProtocolVersion::ALL {
        let path = dir.join(format!("probes/probes_v{version}.json"));
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let Value::Array(list) = serde_json::from_slice(&bytes)? else {
            return Err("no list of probes".into());
        };
        for probe in list {
            let name = probe["probe"].as_str().ok_or("a probe without name")?.trim().to_owned();
            found.push((version, name, probe["result"].clone()));
        }
    }
    if found.is_empty() { Err("no probes".into()) } else { Ok(found) }
}

/// What our replica says about itself, in its version.
fn response(version: ProtocolVersion, query: &Header) -> Message {
    Message::StatusResponse(StatusResponse {
        header: Header::new(version, MemberId::from_number(101), Decree(6), 1, Ballot::default()),
        query: query.position(),
        last_received_ago: 0,
        log: LogRange::default(),
        max_ballot: Ballot::default(),
        state: 2,
    })
}

/// A packet service whose engine knows nothing but how to answer a StatusQuery.
struct Replica {
    net: PacketService,
    version: ProtocolVersion,
    started: Instant,
}

impl Replica {
    fn start(version: ProtocolVersion) -> Result<Replica, Failed> {
        let settings = NetSettings::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        let net = PacketService::start(settings, &AtomicBool::new(false))?;
        Ok(Replica { net, version, started: Instant::now() })
    }

    fn turn(&mut self) -> Result<(), Failed> {
        let now = types::Instant(0) + self.started.elapsed();
        self.net.wait(Some(Duration::from_millis(2)))?;
        let mut events = Vec::new();
        self.net.turn(now, &mut events);
        for event in events {
            if let NetEvent::Message { from, message: Message::StatusQuery(query) } = event {
                self.net.send(
                    now,
                    Destination::Connection(from.connection),
                    &response(self.version, &query),
                )?;
            }
        }
        self.net.flush(now, &mut Vec::new());
        Ok(())
    }

    /// Sends bytes over a new connection, then a good query; what became of both.
    fn probe(&mut self, pieces: &[&[u8]], query: &[u8]) -> Result<Reaction, Failed> {
        let mut client = TcpStream::connect(self.net.local_address()?)?;
        client.set_nodelay(true)?;
        for piece in pieces {
            client.write_all(piece)?;
            self.turn()?;
        }
        // Refused when the connection is closed already.
        let asked = client.write_all(query);
        client.set_nonblocking(true)?;
        let (mut answer, end) = (Vec::new(), Instant::now() + PATIENCE);
        let size = usize::try_from(response(self.version, &header(self.version)?).encoded_len())?
            + PACKET_HEADER_SIZE;
        let mut quiet = None;
        loop {
            self.turn()?;
            let mut buffer = [0; 4096];
            match client.read(&mut buffer) {
                Ok(0) => return Ok(Reaction::Closed),
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Reaction::Closed),
                Err(error) => return Err(error.into()),
            }
            // All answers come in one turn; one more look for a close behind them.
            if !answer.is_empty() && answer.len() % size == 0 {
                let since = *quiet.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(20) {
                    asked?;
                    let probed = answer.len() / size - 1;
                    return Ok(if probed == 0 { Reaction::Dropped } else { Reaction::Handled(probed) });
                }
            }
            if Instant::now() > end {
                return Err("neither an answer nor a close".into());
            }
        }
    }
}

fn header(version: ProtocolVersion) -> Result<Header, Failed> {
    Ok(Header::new(version, "888".parse()?, Decree(77), 1, Ballot::new(5, "888".parse()?)))
}

/// Trial: the packet port closes, drops and answers as legacy did.
/// [WIRE-17] [WIRE-18] [WIRE-20] [WIRE-46] [WIRE-48] [WIRE-49] [PROTO-36] [PROTO-37]
fn packet_port(dir: &Path) -> Result<(), Failed> {
    let mut problems = Vec::new();
    let mut done = 0;
    for (version, name, result) in probes(dir)? {
        if !PROBES.contains(&name.as_str()) {
            continue;
        }
        let mut replica = Replica::start(version)?;
        let bytes = stream(&name, version).map_err(|error| error.to_string())?;
        let piece = if name.contains("byte by byte") { 1 } else { bytes.len() };
        let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
        let query = stream(PROBES[0], version).map_err(|error| error.to_string())?;
        let ours = replica.probe(&pieces, &query)?;
        let legacy = legacy(&result).map_err(|error| error.to_string())?;
        if ours != legacy {
            problems.push(format!("{name}: legacy {legacy:?}, in version {version} {ours:?}"));
        }
        done += 1;
    }
    verdict(done, PROBES.len(), &problems)
}

/// A replica with one log file and no checkpoint, as the probed ones.
struct Source {
    version: ProtocolVersion,
    log: PathBuf,
}

impl LearnSource for Source {
    fn status(&self, query: &Header, _: SocketAddrV4) -> Option<Bytes> {
        response(self.version, query).encode().ok()
    }

    fn votes(&self, decree: Decree) -> Vec<Segment> {
        let file = (decree == Decree(2)).then(|| File::open(&self.log)).and_then(Result::ok);
        file.map(|file| Segment { file, offset: 512, length: 4608 }).into_iter().collect()
    }

    fn checkpoint(&self, _: Decree) -> Option<Segment> {
        None
    }
}

/// Trial: the learn port answers, stays silent and closes as legacy did.
/// [WIRE-31] [WIRE-32] [WIRE-33] [WIRE-34] [WIRE-37] [WIRE-41] [WIRE-81] [XFER-2]
fn learn_port(dir: &Path) -> Result<(), Failed> {
    let temporary = tempfile::tempdir()?;
    let log = temporary.path().join("log");
    std::fs::write(&log, vec![7; 512 + 4608 + 99])?;
    let mut problems = Vec::new();
    let mut done = 0;
    let mut checked = 0;
    for (version, name, result) in probes(dir)? {
        let Some(name) = name.strip_prefix("learn: ") else { continue };
        let mut settings = LearnSettings::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        settings.receive_timeout = RECEIVE_TIMEOUT;
        let source = Arc::new(Source { version, log: log.clone() });
        let server = LearnServer::start(settings, source, &AtomicBool::new(false))?;
        let started = Instant::now();
        let answer = ask(server.local_address(), &request(name, version)?)?;
        let took = started.elapsed();
        done += 1;
        // The first number is the length of the answer; the vote streams of the probed replicas had lengths of their
        // own, ours has 4608 bytes.
        let length =
            result.as_array().and_then(|list| list.iter().find_map(Value::as_u64)).ok_or("no length")?;
        let expected = if name.starts_with("FetchVotes decree 2") || name.contains("message checksum") {
            if length == 0 { 0 } else { 4608 }
        } else {
            usize::try_from(length)?
        };
        let slow = name.contains("then silence");
        if answer.len() != expected || slow != (took >= RECEIVE_TIMEOUT) {
            problems.push(format!("{name}: version {version}: {} bytes after {took:?}", answer.len()));
        }
        checked += usize::from(slow);
    }
    if checked == 0 {
        problems.push("the silent request is missing".into());
    }
    verdict(done, 9, &problems)
}

/// The bytes of a probe of the learn port.
fn request(name: &str, version: ProtocolVersion) -> Result<Vec<u8>, Failed> {
    let header = header(version)?;
    let fetch = |decree| Header { decree: Decree(decree), configuration: 77, ..header };
    let message = match name {
        "StatusQuery" => Message::StatusQuery(header),
        "FetchVotes for a decree not in the log" => Message::FetchVotes(fetch(999)),
        "FetchCheckpoint for a decree that is not the current checkpoint" => {
            Message::FetchCheckpoint(fetch(999))
        }
        "FetchCheckpoint decree 0 with no checkpoint" => Message::FetchCheckpoint(fetch(0)),
        "Vote message" => {
            Message::Vote(rsl_core::wire::Vote::new(header, &rsl_core::wire::VoteContent::default())?)
        }
        "garbage" => return Ok(vec![0xA7; 200]),
        "half a message, then silence (receiveTimeoutSec=5)" => {
            let bytes = Message::FetchVotes(fetch(2)).encode()?;
            return Ok(bytes[..bytes.len() / 2].to_vec());
        }
        "FetchVotes with a wrong message checksum" => {
            Message::FetchVotes(Header { checksum: 0x1234_5678, ..fetch(2) })
        }
        name if name.starts_with("FetchVotes decree 2") => Message::FetchVotes(fetch(2)),
        other => return Err(format!("unknown probe {other}").into()),
    };
    Ok(message.encode()?.to_vec())
}

/// Everything that comes back until the server closes; a reset counts as a close.
fn ask(server: SocketAddrV4, request: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(server), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error.into()),
    }
    // The server has closed: nothing can be sent any more, or soon.
    drop(stream.shutdown(Shutdown::Both));
    Ok(answer)
}

/// Fails with `problems`, or when not every file had `per_file` probes.
fn verdict(done: usize, per_file: usize, problems: &[String]) -> Result<(), Failed> {
    if done == 0 || !done.is_multiple_of(per_file) {
        return Err(format!("{done} probes, {per_file} per file were expected").into());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}
