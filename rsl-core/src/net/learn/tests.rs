//! Tests of the learn port over loopback sockets. Every wait is bounded.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::format::{Record, RecordStream};
use crate::types::{Ballot, Decree, MemberId, ProtocolVersion};
use crate::wire::{
    Header, LogRange, Message, MessageId, Prepare, StatusResponse, Vote, VoteContent, encode_packet,
};

/// Nothing is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
static FILES: AtomicU64 = AtomicU64::new(0);

fn header(decree: u64) -> Header {
    let member = MemberId::from_number(1);
    Header::new(ProtocolVersion::V6, member, Decree(decree), 1, Ballot::new(1, member))
}

/// A file in the temporary directory; on Unix it has no name any more.
fn file(content: &[u8]) -> File {
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("rsl-learn-test-{}-{number}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    // Windows refuses while the file is open; the temporary directory is cleared by its owner.
    drop(std::fs::remove_file(&path));
    file
}

/// A source with logs (name of the decree asked for -> segments) and one checkpoint.
#[derive(Default)]
struct Source {
    logs: Vec<(u64, Vec<u8>)>,
    checkpoint: Option<(u64, Vec<u8>)>,
    silent: AtomicBool,
    asked: Mutex<Vec<(Header, SocketAddrV4)>>,
}

impl LearnSource for Source {
    fn status(&self, query: &Header, from: SocketAddrV4) -> Option<Bytes> {
        self.asked.lock().push((*query, from));
        (!self.silent.load(Ordering::Relaxed))
            .then(|| Message::StatusResponse(response(query)).encode().unwrap())
    }

    fn votes(&self, decree: Decree) -> Vec<Segment> {
        let segment = |(_, bytes): &(u64, Vec<u8>)| Segment {
            file: file(&[&[0xEE; 7][..], bytes, b"stale"].concat()),
            offset: 7,
            length: bytes.len() as u64,
        };
        self.logs.iter().filter(|(first, _)| *first >= decree.0).map(segment).collect()
    }

    fn checkpoint(&self, decree: Decree) -> Option<Segment> {
        let (_, bytes) = self.checkpoint.as_ref().filter(|(own, _)| *own == decree.0)?;
        Some(Segment { file: file(bytes), offset: 0, length: bytes.len() as u64 })
    }
}

/// In the version of the server, whatever the query's version is.
fn response(query: &Header) -> StatusResponse {
    StatusResponse {
        header: Header::new(ProtocolVersion::V4, MemberId::from_number(2), Decree(7), 1, Ballot::default()),
        query: query.position(),
        last_received_ago: 1500,
        log: LogRange { min_decree_in_log: Decree(1), checkpointed_decree: Decree(5), checkpoint_size: 9 },
        max_ballot: Ballot::default(),
        state: 2,
    }
}

fn settings(last: u8) -> LearnSettings {
    LearnSettings::new(SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, last), 0))
}

fn serve(settings: LearnSettings, source: Source) -> (LearnServer, Arc<Source>) {
    let source = Arc::new(source);
    let server = LearnServer::start(settings, source.clone(), &AtomicBool::new(false)).unwrap();
    (server, source)
}

fn timeouts() -> LearnTimeouts {
    LearnTimeouts { connect: PATIENCE, send: PATIENCE, receive: PATIENCE }
}

fn fetch(server: &LearnServer, request: &Message) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = open(server.local_address(), request, timeouts(), &LearnCanceller::default()).unwrap();
    stream.read_to_end(&mut bytes).map(|_| bytes)
}

/// What comes back for raw bytes, and how long it took; a reset counts as a close.
fn raw(server: &LearnServer, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.local_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "closed or reset, not kept"),
    }
    (answer, started.elapsed())
}

/// [WIRE-31] [WIRE-33] [WIRE-34] [WIRE-38] [WIRE-107] [XFER-1] [XFER-2] [XFER-6]: one StatusResponse in the server's version
/// for a query of any version and sender, then the end; silence while relinquishing.
#[test]
fn a_status_query_is_answered_in_the_servers_version() {
    let (server, source) = serve(settings(1), Source::default());
    for version in ProtocolVersion::ALL {
        // A member that does not exist, an empty ballot, another configuration, decree 0.
        let query = Header::new(version, MemberId::from_number(888), Decree(0), 55, Ballot::default());
        let message = Message::StatusQuery(query);
        let found = status(server.local_address(), &message, timeouts()).unwrap();
        assert_eq!(found, response(&query));
        assert_eq!(fetch(&server, &message).unwrap(), Message::StatusResponse(found).encode().unwrap());
        assert_eq!(source.asked.lock().last().unwrap().0.decree, Decree(0));
    }
    source.silent.store(true, Ordering::Relaxed);
    let query = Message::StatusQuery(header(1));
    assert!(fetch(&server, &query).unwrap().is_empty());
    assert!(matches!(status(server.local_address(), &query, timeouts()), Err(LearnError::NoAnswer(_))));
}

/// [WIRE-35] [HARD-61] [XFER-3]: the segments one behind the other without separator, from the offset on and not to
/// the physical end of the file; nothing when there are none. A wrong message checksum of the request does not matter
/// [WIRE-81].
#[test]
fn votes_are_sent_as_they_lie_in_the_logs() {
    let (first, second) = (vec![1; 300_000], vec![2; 512]);
    let logs = vec![(10, first.clone()), (20, second.clone())];
    let (server, _) = serve(settings(2), Source { logs, ..Source::default() });
    let ask =
        |decree| fetch(&server, &Message::FetchVotes(Header { checksum: 77, ..header(decree) })).unwrap();
    assert!(ask(10) == [first, second.clone()].concat());
    assert!(ask(11) == second);
    assert!(ask(21).is_empty());
}

/// [WIRE-37] [XFER-5]; a file that is deleted while it is served is sent to its end [HARD-366].
#[test]
fn only_the_current_checkpoint_is_sent() {
    let bytes: Vec<u8> = (0..1_000_000u32).map(|at| at.to_le_bytes()[0]).collect();
    let (server, _) =
        serve(settings(3), Source { checkpoint: Some((5, bytes.clone())), ..Source::default() });
    assert!(fetch(&server, &Message::FetchCheckpoint(header(5))).unwrap() == bytes);
    assert!(fetch(&server, &Message::FetchCheckpoint(header(4))).unwrap().is_empty());
}

/// [WIRE-32] [HARD-17] [HARD-359] [XFER-1]: everything else is closed without an answer: other ids, versions and
/// lengths that cannot be, headers that do not parse, packets, and lengths below the header size.
#[test]
fn everything_else_is_closed_without_an_answer() {
    let logs = vec![(u64::MAX, vec![1; 512])];
    let (server, _) =
        serve(settings(4), Source { logs, checkpoint: Some((0, vec![1])), ..Source::default() });
    let good = Message::FetchVotes(header(1)).encode().unwrap();
    assert_eq!(raw(&server, &good).0.len(), 512);
    let with = |at: usize, bytes: &[u8]| {
        let mut message = good.to_vec();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    let mut bad = vec![
        with(0, &[0, 0]),
        with(0, &[7, 0]),
        with(14, &[1, 2, 3, 4]),
        encode_packet(&good).unwrap().to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    bad.extend([0u32, 1, 5, 6, 171, 4097, u32::MAX].map(|length| with(2, &length.to_le_bytes())));
    for id in (0..20u16).chain([255, 65535]) {
        let served = [MessageId::StatusQuery, MessageId::FetchVotes, MessageId::FetchCheckpoint];
        if !MessageId::from_number(id).is_some_and(|id| served.contains(&id)) {
            bad.push(with(18, &id.to_le_bytes()));
        }
    }
    // An id without terminator.
    bad.push(with(20, &[b'x'; 64]));
    for bytes in bad {
        let (answer, took) = raw(&server, &bytes);
        assert!(answer.is_empty(), "{:?}", &bytes[..20.min(bytes.len())]);
        assert!(took < Duration::from_secs(4), "closed at once, not after the receive timeout");
    }
}

/// [WIRE-41] [HARD-18]: a request that stops arriving is given up after the receive timeout, one that drips after a
/// few of them.
#[test]
fn slow_requests_are_given_up() {
    let mut settings = settings(5);
    settings.receive_timeout = Duration::from_millis(100);
    let (server, _) = serve(settings, Source::default());
    let request = Message::FetchVotes(header(1)).encode().unwrap();
    let (answer, took) = raw(&server, &request[..80]);
    assert!(answer.is_empty());
    assert!((100..2000).contains(&took.as_millis()), "{took:?}");
    let mut stream = TcpStream::connect(server.local_address()).unwrap();
    let mut sent = 0;
    while sent < request.len() && stream.write_all(&request[sent..=sent]).is_ok() {
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(sent < request.len(), "four receive timeouts are over before byte {sent}");
}

/// [WIRE-41] [HARD-18]: a receiver that does not read is given up after the send timeout, one that reads too slowly
/// when the time for the transfer is over.
#[test]
fn slow_receivers_are_given_up() {
    let long = Duration::from_secs(60);
    let short = Duration::from_millis(200);
    for (send_timeout, grace, reads) in [(short, long, false), (long, short, true)] {
        let big = Source { checkpoint: Some((5, vec![3; 40 << 20])), ..Source::default() };
        let (server, _) =
            serve(LearnSettings { send_timeout, grace, min_rate: u64::MAX, ..settings(6) }, big);
        let request = Message::FetchCheckpoint(header(5));
        let mut stream =
            open(server.local_address(), &request, timeouts(), &LearnCanceller::default()).unwrap();
        let started = Instant::now();
        stream.read_exact(&mut [0; 1000]).unwrap();
        while server.connections() > 0 {
            assert!(started.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
            if reads {
                // Far below what would be needed to get all of it in time.
                stream.read_exact(&mut [0; 20_000]).unwrap();
            }
        }
        assert!(started.elapsed() >= Duration::from_millis(150));
        let mut rest = Vec::new();
        // Whether as an end or as a reset: it came short.
        drop(stream.read_to_end(&mut rest));
        assert!(rest.len() < 39 << 20);
    }
}

/// [HARD-18] [HARD-365]: no more threads than allowed; the next connection is served when one ends.
#[test]
fn threads_are_bounded() {
    let mut settings = settings(7);
    settings.max_connections = 2;
    let (server, source) = serve(settings, Source::default());
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(server.local_address()).unwrap()).collect();
    let query = Message::StatusQuery(header(1));
    let short = LearnTimeouts { receive: Duration::from_millis(100), ..timeouts() };
    while server.connections() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(status(server.local_address(), &query, short), Err(LearnError::Io { .. })));
    assert!(source.asked.lock().is_empty());
    drop(held);
    assert!(status(server.local_address(), &query, timeouts()).is_ok());
}

/// Stopping ends what is being served and closes the port.
#[test]
fn stopping_ends_every_transfer() {
    let big = Source { checkpoint: Some((5, vec![3; 40 << 20])), ..Source::default() };
    let (server, _) = serve(settings(8), big);
    let address = server.local_address();
    let request = Message::FetchCheckpoint(header(5));
    let mut stream = open(address, &request, timeouts(), &LearnCanceller::default()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(4), "not after the send timeout");
    assert!(TcpStream::connect(address).is_err());
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
    assert!(rest.len() < 40 << 20);
}

/// A server of a test that accepts one connection and hands it over.
fn fake(work: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddrV4, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = crate::net::connection::ipv4(listener.local_addr().unwrap()).unwrap();
    (address, std::thread::spawn(move || work(listener.accept().unwrap().0)))
}

/// A server that answers nothing and waits for the client to go.
fn silent(mut stream: TcpStream) {
    drop(stream.read_to_end(&mut Vec::new()));
}

/// [WIRE-31]: the client writes the message and nothing else, and its length field counts it; W-14 of wire.md.
/// [WIRE-5]: its socket is not bound to the replica's address.
#[test]
fn the_client_sends_one_bare_message() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (address, thread) = fake(move |mut stream| {
        let mut bytes = [0; 52];
        stream.read_exact(&mut bytes).unwrap();
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        sender.send(bytes).unwrap();
    });
    let member = |id| MemberId::from_number(id);
    let header = Header::new(ProtocolVersion::V3, member(2), Decree(101), 1, Ballot::new(7, member(1)));
    let mut stream =
        open(address, &Message::FetchVotes(header), timeouts(), &LearnCanceller::default()).unwrap();
    let expected = "03003400000000000000000000 00cefa0df00800 0200000000000000 6500000000000000 01000000 07000000 \
                    0100000000000000";
    assert_eq!(hex::encode(receiver.recv_timeout(PATIENCE).unwrap()), expected.replace(' ', ""));
    thread.join().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// [WIRE-41] [HARD-20] [HARD-364]: nothing waits without limit: not a silent server, not a refused connection; a
/// cancelled transfer ends at once and is no end of stream.
#[test]
fn clients_do_not_wait_for_ever() {
    let request = Message::FetchVotes(header(1));
    let short = LearnTimeouts { receive: Duration::from_millis(80), ..timeouts() };
    let (address, thread) = fake(silent);
    let canceller = LearnCanceller::default();
    let mut stream = open(address, &request, short, &canceller).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    canceller.cancel();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(open(address, &request, short, &canceller).is_err(), "cancelled before it starts");
    drop(stream);
    thread.join().unwrap();
    assert!(matches!(open(address, &request, short, &LearnCanceller::default()), Err(LearnError::Io { .. })));

    let canceller = LearnCanceller::default();
    let (address, thread) = fake(silent);
    let mut stream = open(address, &request, timeouts(), &canceller).unwrap();
    let started = Instant::now();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        canceller.cancel();
    });
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(started.elapsed() < Duration::from_secs(4), "not after the receive timeout");
    later.join().unwrap();
    drop(stream);
    thread.join().unwrap();
}

/// [HARD-364]: a server that sends a byte now and then is given up, although each read makes progress; one that is
/// fast enough is not.
#[test]
fn a_dripping_server_is_given_up() {
    let (address, thread) = fake(|mut stream| {
        while stream.write_all(&[1]).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let request = Message::FetchVotes(header(1));
    let mut stream = open(address, &request, timeouts(), &LearnCanceller::default()).unwrap();
    stream.pace = pace::Pace::new(Duration::from_millis(100), 1000);
    let started = Instant::now();
    let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() < PATIENCE);
    drop(stream);
    thread.join().unwrap();

    let pace = pace::Pace::new(Duration::ZERO, 1000);
    assert!(!pace.allows(999) && pace.allows(10_000));
}

/// [HARD-17]: an answer to a StatusQuery that is none is an error, whatever it is.
#[test]
fn bad_status_answers_are_errors() {
    let query = Message::StatusQuery(header(1));
    let good = Message::StatusResponse(response(&header(1))).encode().unwrap();
    let mut huge = good.to_vec();
    huge[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut short = good.to_vec();
    short[2..6].copy_from_slice(&5u32.to_le_bytes());
    let answers =
        [Vec::new(), good[..100].to_vec(), good[..3].to_vec(), huge, short, query.encode().unwrap().to_vec()];
    for answer in answers {
        let (address, thread) = fake(move |mut stream| {
            // The client may have given up before the end.
            drop(stream.write_all(&answer));
            drop(stream.shutdown(Shutdown::Write));
            drop(stream.read_to_end(&mut Vec::new()));
        });
        assert!(status(address, &query, timeouts()).is_err());
        thread.join().unwrap();
    }
}

/// [HARD-19] [HARD-365]: when accepting fails the server waits before it tries again.
#[test]
fn accepting_backs_off() {
    let mut calls = 0;
    let pause = server::accept_all(
        || true,
        || {
            calls += 1;
            Err(io::Error::other("no descriptors"))
        },
        |_, _| unreachable!("nothing was accepted"),
    );
    assert_eq!((calls, pause), (1, Some(Duration::from_millis(100))));
}

/// [WIRE-2] [WIRE-6] [WIRE-15]: the learn port listens where it is told, and not where somebody else does.
#[test]
fn the_learn_port_is_not_shared() {
    let (server, source) = serve(settings(9), Source::default());
    assert_eq!(*server.local_address().ip(), Ipv4Addr::new(127, 0, 1, 9));
    let mut again = settings(9);
    assert_eq!(again.bind_retry, crate::net::BindRetry::LEARN);
    again.address = server.local_address();
    again.bind_retry = crate::net::BindRetry { attempts: 2, pause: Duration::from_millis(10) };
    let error = LearnServer::start(again, source, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// Records of every kind, in several versions, as a log holds them.
fn records() -> (Vec<Record>, Vec<u8>) {
    let mut records = Vec::new();
    for version in ProtocolVersion::ALL {
        let header = Header { version, ..header(3) };
        let requests = vec![Bytes::from(vec![7; 3000])];
        let content = VoteContent { requests, ..VoteContent::default() };
        records.push(Message::Vote(Vote::new(header, &content).unwrap()));
        // Superseded by the next with the same decree.
        records.push(Message::Vote(Vote::new(header, &VoteContent::default()).unwrap()));
        records.push(Message::Prepare(Prepare { header, cookie: Bytes::new() }));
        if version.has_configuration() {
            records.push(Message::ReconfigurationDecision(header));
        }
    }
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for message in records {
        let bytes = message.encode_with_checksum().unwrap();
        stream.extend_from_slice(&bytes);
        stream.resize(stream.len().next_multiple_of(512), 0);
        expected.push(match Message::decode(&bytes).unwrap() {
            Message::Vote(vote) => Record::Vote(vote),
            Message::Prepare(prepare) => Record::Prepare(prepare),
            Message::ReconfigurationDecision(header) => Record::Decision(header),
            other => unreachable!("{other:?}"),
        });
    }
    (expected, stream)
}

/// Everything that can be read, and whether it ended well.
fn read_all(input: impl Read) -> (Vec<Record>, bool, u64) {
    let mut stream = RecordStream::new(input, 104_858_604);
    let mut records = Vec::new();
    loop {
        match stream.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, true, stream.offset()),
            Err(_) => {
                assert!(matches!(stream.next_record(), Ok(None)), "nothing follows an error");
                return (records, false, stream.offset());
            }
        }
    }
}

/// [WIRE-36] [XFER-22]: Vote, Prepare and decision records of all versions, superseded votes too, whatever the
/// padding holds [STOR-12] and however the bytes arrive.
#[test]
fn a_vote_stream_is_read_record_by_record() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(97);
            self.0.read(&mut buffer[..most])
        }
    }
    let (expected, mut stream) = records();
    let length = stream.len() as u64;
    assert_eq!(read_all(&stream[..]), (expected.clone(), true, length));
    *stream.last_mut().unwrap() = 0xFF;
    assert_eq!(read_all(Drip(&stream)), (expected, true, length));
    assert_eq!(read_all(io::empty()), (vec![], true, 0));
}

/// [WIRE-39] [XFER-7] [XFER-22]: a record that is short, malformed, zero, of another kind, or whose checksum does not
/// fit ends the attempt as failed; what came before stays.
#[test]
fn a_bad_record_ends_the_attempt() {
    let (expected, stream) = records();
    let first = usize::try_from(expected[0].padded_len()).unwrap();
    let mut changed = stream.clone();
    changed[first + 30] ^= 1;
    let other = Message::NotAccepted(header(1)).encode_with_checksum().unwrap();
    let no_sum = Message::Prepare(Prepare { header: header(1), cookie: Bytes::new() }).encode().unwrap();
    let page = |bytes: &[u8]| {
        let mut page = bytes.to_vec();
        page.resize(512, 0);
        [&stream[..first], &page, &stream[first..]].concat()
    };
    let mut endless = stream[first..first + 512].to_vec();
    endless[2..6].copy_from_slice(&104_858_605u32.to_le_bytes());
    let bad = [
        changed,
        stream[..first + 1].to_vec(),
        stream[..first + 511].to_vec(),
        page(&[]),
        page(&other),
        page(&no_sum),
        page(&endless),
    ];
    for (case, bytes) in bad.iter().enumerate() {
        assert_eq!(read_all(&bytes[..]), (expected[..1].to_vec(), false, first as u64), "case {case}");
    }
    assert!(matches!(read_all(&stream[..first - 512]), (none, false, 0) if none.is_empty()), "a torn record");
    // A timeout is no end of stream.
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let chained = read_all(stream[..first].chain(Broken));
    assert_eq!(chained, (expected[..1].to_vec(), false, first as u64));
}

/// [WIRE-36] [HARD-1]: a record that claims 100 MB but does not bring them takes no such memory.
#[test]
fn memory_follows_the_bytes_of_a_record() {
    struct Counting {
        bytes: Vec<u8>,
        given: usize,
        largest: usize,
    }
    impl Read for &mut Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.largest = self.largest.max(buffer.len());
            let count = (&self.bytes[self.given..]).read(buffer)?;
            self.given += count;
            Ok(count)
        }
    }
    let mut bytes = records().1;
    bytes[2..6].copy_from_slice(&100_000_000u32.to_le_bytes());
    bytes.resize(300_000, 0);
    let mut input = Counting { bytes, given: 0, largest: 0 };
    assert_eq!(read_all(&mut input), (vec![], false, 0));
    assert_eq!(input.given, 300_000);
    assert!(input.largest <= 64 * 1024, "{}", input.largest);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// [WIRE-39]: whatever a stream holds: no panic, and only a prefix of whole records comes out.
    #[test]
    fn damaged_streams_give_a_prefix(at in 0usize..30_000, flip in 1u8.., cut in 0usize..30_000) {
        let (expected, mut stream) = records();
        stream.truncate(cut);
        if let Some(byte) = stream.get_mut(at) {
            *byte ^= flip;
        }
        let (found, _, offset) = read_all(&stream[..]);
        prop_assert!(offset <= stream.len() as u64);
        for (found, expected) in found.iter().zip(&expected) {
            // A changed byte of the padding is nobody's; of the record, its checksum field differs or it is refused.
            prop_assert_eq!(found, expected);
        }
    }

    /// [WIRE-32] [WIRE-39]: noise never panics.
    #[test]
    fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(read_all(&noise[..]).0.len(), 0);
    }
}
