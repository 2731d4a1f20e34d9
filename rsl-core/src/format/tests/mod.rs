//! Tests of the file formats: the worked examples of storage.md, tables, and damaged input.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::types::{Ballot, Configuration, Decree, MemberId, Position, ProtocolVersion};
use crate::wire::{Header, Prepare, PrimaryCookie, Vote, VoteContent};

mod examples;

fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

fn ballot(id: u32) -> Ballot {
    Ballot::new(id, member("1"))
}

fn header(version: ProtocolVersion, decree: u64) -> Header {
    Header::new(version, member("1"), Decree(decree), 1, ballot(1))
}

fn vote(version: ProtocolVersion, decree: u64, size: usize) -> Vote {
    let requests = vec![Bytes::from(vec![0x5A; size])];
    Vote::new(header(version, decree), &VoteContent { requests, ..VoteContent::default() }).unwrap()
}

fn prepare(version: ProtocolVersion, cookie: &'static [u8]) -> Record {
    Record::Prepare(Prepare { header: header(version, 7), cookie: PrimaryCookie::from_static(cookie) })
}

/// One of each kind, in every version that has it.
fn every_record() -> Vec<Record> {
    let mut records = Vec::new();
    for version in ProtocolVersion::ALL {
        records.push(Record::Vote(vote(version, 7, 700)));
        records.push(prepare(version, if version.has_primary_cookie() { b"cookie" } else { b"" }));
        if version.has_configuration() {
            records.push(Record::Decision(header(version, 7)));
        }
    }
    records
}

/// The record as a reader finds it: with the checksum that its bytes carry.
fn as_read(record: &Record) -> Record {
    let bytes = record.encode().unwrap();
    let sum = crate::wire::message_checksum(&bytes);
    let fill = |header: &Header| Header { checksum: sum, ..header.as_read() };
    match record {
        Record::Vote(vote) => Record::Vote(vote.clone()),
        Record::Prepare(prepare) => {
            Record::Prepare(Prepare { header: fill(&prepare.header), cookie: prepare.cookie.clone() })
        }
        Record::Decision(header) => Record::Decision(fill(header)),
    }
}

/// [STOR-10] [STOR-12] [STOR-14] [STOR-82]: every record, padded with zeroes to a page, comes back; what a vote arrived
/// with is what is logged, and Prepares and decisions get their checksum.
#[test]
fn records_come_back() {
    for record in every_record() {
        let mut bytes = Vec::new();
        record.append_to(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, record.padded_len());
        assert_eq!(bytes.len() as u64, round_to_page(record.encoded_len()));
        assert!(bytes[record.encode().unwrap().len()..].iter().all(|&byte| byte == 0));
        let decoded = Record::decode(&bytes.clone().into()).unwrap();
        assert_eq!(decoded, as_read(&record));
        assert_eq!(decoded, Record::decode_own(&bytes.into()).unwrap());
        assert_eq!(decoded.encode().unwrap(), record.encode().unwrap());
    }
    // A vote keeps undefined bytes behind an id, and the checksum over them.
    let mut bytes = vote(ProtocolVersion::V4, 7, 5).encoded().to_vec();
    bytes[20 + 40] = 0xAA;
    let sum = crate::wire::message_checksum(&bytes);
    bytes[6..14].copy_from_slice(&sum.to_le_bytes());
    let dirty = Record::decode(&bytes.clone().into()).unwrap();
    assert_eq!(dirty.encode().unwrap(), bytes);
}

/// [STOR-9]: pages have 512 bytes, in 64-bit arithmetic [HARD-37].
#[test]
fn pages() {
    for (length, rounded) in [(0, 0), (1, 512), (512, 512), (513, 1024), (0xFFFF_FE01, 0x1_0000_0000)] {
        assert_eq!(round_to_page(length), rounded);
    }
    assert_eq!(round_to_page(u64::MAX), u64::MAX, "no wrap");
}

/// [STOR-11] [STOR-29] [WIRE-39]: what is no record says why.
#[test]
fn other_bytes_are_no_records() {
    use crate::wire::{DecodeError, Message};
    let good = vote(ProtocolVersion::V4, 7, 700).encoded().to_vec();
    let decode = |bytes: Vec<u8>| Record::decode(&bytes.into()).unwrap_err();
    for id in [0, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 999_u16] {
        let mut bytes = good.clone();
        bytes[18..20].copy_from_slice(&id.to_le_bytes());
        assert_eq!(decode(bytes), RecordError::NotLogged(id));
    }
    let answer = Message::VoteAccepted(header(ProtocolVersion::V4, 7)).encode_with_checksum().unwrap();
    assert_eq!(decode(answer.to_vec()), RecordError::NotLogged(2));
    let mut bytes = good.clone();
    bytes[0] = 7;
    assert_eq!(decode(bytes), RecordError::Header(DecodeError::UnknownVersion(7)));
    let mut bytes = good.clone();
    bytes[500] ^= 1;
    assert!(matches!(decode(bytes), RecordError::BadChecksum { .. }));
    let cut = decode(good[..good.len() - 1].to_vec());
    assert_eq!(cut, RecordError::Incomplete { length: 873, present: 872 });
    let mut bytes = good;
    bytes[169..173].copy_from_slice(&0_u32.to_le_bytes());
    let sum = crate::wire::message_checksum(&bytes);
    bytes[6..14].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(decode(bytes), RecordError::Body(DecodeError::EmptyRequest));
}

/// [HARD-511]: the own log may hold a member set whose cookie no peer would take.
#[test]
fn the_own_log_may_hold_longer_cookies() {
    let members = crate::types::MemberSet { nodes: Vec::new(), cookie: Bytes::new() };
    let content = VoteContent { reconfiguration: Some(members.into()), ..VoteContent::default() };
    let mut bytes = Vote::new(header(ProtocolVersion::V4, 7), &content).unwrap().encoded().to_vec();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&9000_u32.to_le_bytes());
    bytes.resize(end + 9000, 0xCC);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[2..6].copy_from_slice(&length.to_le_bytes());
    let sum = crate::wire::message_checksum(&bytes);
    bytes[6..14].copy_from_slice(&sum.to_le_bytes());
    let bytes = Bytes::from(bytes);
    assert!(matches!(Record::decode(&bytes), Err(RecordError::Body(_))));
    let Record::Vote(vote) = Record::decode_own(&bytes).unwrap() else { panic!("a vote") };
    assert_eq!(vote.reconfiguration().unwrap().cookie.len(), 9000);
    // It survives being a checkpoint's configuration and next vote.
    let configuration = Configuration {
        number: 2,
        initial_decree: Decree(8),
        members: vote.reconfiguration().unwrap().clone(),
    };
    let header = CheckpointHeader { configuration: Some(configuration), ..checkpoint(ProtocolVersion::V4) };
    assert_eq!(CheckpointHeader::decode(&header.encode().unwrap()).unwrap(), header);
}

fn log(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.append_to(&mut bytes).unwrap();
    }
    bytes
}

/// [XFER-22] [WIRE-39] [XFER-7]: a stream ends at a record boundary or breaks; nothing torn or zero is tolerated.
#[test]
fn streams_are_strict() {
    let records = every_record();
    let bytes = log(&records);
    let read = |bytes: &[u8], cap| {
        let mut stream = RecordStream::new(bytes, cap);
        let mut count = 0;
        loop {
            match stream.next_record() {
                Ok(Some(record)) => {
                    assert_eq!(record, as_read(&records[count]));
                    count += 1;
                }
                Ok(None) => return (count, None),
                Err(error) => return (count, Some(error)),
            }
        }
    };
    let count = records.len();
    assert!(matches!(read(&bytes, u64::MAX), (found, None) if found == count));
    for (tail, good) in [(vec![0; 512], count), (vec![0; 100], count), (vec![0x55; 512], count)] {
        let (found, error) = read(&[bytes.clone(), tail].concat(), u64::MAX);
        assert!(found == good && error.is_some());
    }
    for cut in 1..usize::try_from(records[count - 1].padded_len()).unwrap() {
        let (found, error) = read(&bytes[..bytes.len() - cut], u64::MAX);
        assert_eq!(found, count - 1);
        assert!(
            matches!(error, Some(StreamError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof)
        );
    }
    assert!(matches!(read(&bytes, 700), (0, Some(StreamError::TooLong(_)))));
}

/// [HARD-360]: memory grows with what was received, not with what a length field says.
#[test]
fn streams_do_not_trust_lengths() {
    let mut bytes = vote(ProtocolVersion::V4, 7, 700).encoded().to_vec();
    bytes[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.resize(1024, 0);
    let mut stream = RecordStream::new(&bytes[..], u64::MAX);
    assert!(matches!(stream.next_record(), Err(StreamError::Io(_))));
}

/// A header with everything in it.
fn checkpoint(version: ProtocolVersion) -> CheckpointHeader {
    let configuration = Configuration {
        number: 3,
        initial_decree: Decree(2),
        members: crate::types::MemberSet { nodes: Vec::new(), cookie: Bytes::from_static(b"c") }.into(),
    };
    let plain = !version.has_configuration();
    CheckpointHeader {
        version,
        member: member("1"),
        executed: Decree(6),
        promised: ballot(if plain { 1 } else { 4 }),
        configuration: (!plain).then_some(configuration),
        state_saved: true,
        size: if version.has_string_ids() { 99_999 } else { 0 },
        block_size: CheckpointHeader::block_size_for(version),
        next_vote: vote(version, 7, 5),
    }
}

/// [STOR-32] [STOR-33] [STOR-35] [STOR-36] [STOR-37] [STOR-38]: headers of every version come back, and say how many
/// bytes to read.
#[test]
fn headers_come_back() {
    for version in ProtocolVersion::ALL {
        for size in [5, 300, 400, 511, 512, 513, 3000] {
            let header = CheckpointHeader { next_vote: vote(version, 7, size), ..checkpoint(version) };
            let bytes = header.encode().unwrap();
            assert_eq!(bytes.len() as u64, header.encoded_len(), "v{version}");
            assert_eq!(CheckpointHeader::length_from(&bytes, u64::MAX), Ok(header.encoded_len()));
            assert_eq!(CheckpointHeader::decode(&bytes), Ok(header.clone()), "v{version}");
            let vote = round_to_page(header.next_vote.encoded().len() as u64);
            let set = 6 + 1;
            let fields = match version {
                ProtocolVersion::V1 | ProtocolVersion::V2 => 0,
                ProtocolVersion::V3 => 54 + set,
                _ => 179 + set,
            };
            assert_eq!(header.encoded_len(), round_to_page(vote + fields), "double rounding");
            assert_eq!(header.layout().unwrap().start(), header.encoded_len());
        }
    }
}

/// [STOR-34] [HARD-53]: the tail and the bytes behind ids are ignored when read, and zero when written.
#[test]
fn undefined_bytes_are_ignored() {
    let header = checkpoint(ProtocolVersion::V4);
    let bytes = header.encode().unwrap();
    let mut dirty = bytes.to_vec();
    *dirty.last_mut().unwrap() = 0xAA;
    dirty[14 + 30] = 0xBB;
    let read = CheckpointHeader::decode(&dirty.into()).unwrap();
    assert_eq!(read, header);
    assert_eq!(read.encode().unwrap(), bytes);
}

/// [STOR-37] [HARD-38] [HARD-54]: what makes a header unusable.
#[test]
fn bad_headers_are_refused() {
    let header = checkpoint(ProtocolVersion::V4);
    let good = header.encode().unwrap().to_vec();
    let of = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(changed)
    };
    for length in [0_u32, 1, 511, 513, 0x8000_0001] {
        let page = of(2, &length.to_le_bytes());
        let expected = HeaderError::Length(length.into());
        assert_eq!(CheckpointHeader::length_from(&page, u64::MAX), Err(expected), "{length}");
    }
    let page = of(2, &0xFFFF_FE00_u32.to_le_bytes());
    let cap = 1 << 20;
    assert!(matches!(CheckpointHeader::length_from(&page, cap), Err(HeaderError::Short { .. })));
    for short in [0, 1, 511] {
        let page = Bytes::copy_from_slice(&good[..short]);
        assert!(matches!(CheckpointHeader::length_from(&page, cap), Err(HeaderError::Short { .. })));
    }
    for version in [0_u16, 7, 0xFFFF] {
        let bytes = of(0, &version.to_le_bytes());
        assert!(matches!(CheckpointHeader::length_from(&bytes, cap), Err(HeaderError::Decode(_))));
        assert!(matches!(CheckpointHeader::decode(&bytes), Err(HeaderError::Decode(_))));
    }
    // Member id 64, decree 8, ballot 68, number 4, decree 8, set 7, flag 1, size 8 from offset 14.
    let block_size = 14 + 64 + 8 + 68 + 4 + 8 + 7 + 1 + 8;
    for (size, usable) in [
        (0_u32, true),
        (512, true),
        (4_194_304, true),
        (67_108_864, true),
        (1, false),
        (511, false),
        (513, false),
        (67_109_376, false),
        (u32::MAX, false),
    ] {
        let bytes = of(block_size, &size.to_le_bytes());
        assert_eq!(CheckpointHeader::decode(&bytes).is_ok(), usable, "{size}");
    }
    let promised = 14 + 64 + 8;
    assert_eq!(CheckpointHeader::decode(&of(promised, &[0])), Err(HeaderError::LowPromise));
    let vote = block_size + 4;
    assert_eq!(CheckpointHeader::decode(&of(vote + 175, b"x")), Err(HeaderError::NextVote));
    let not_a_vote = of(vote + 18, &[3]);
    assert!(matches!(CheckpointHeader::decode(&not_a_vote), Err(HeaderError::Decode(_))));
    for cut in 0..vote + 174 {
        assert!(CheckpointHeader::decode(&Bytes::copy_from_slice(&good[..cut])).is_err(), "cut at {cut}");
    }
}

/// [HARD-42]: a version 1 or 2 header is the next vote itself, so a newer vote raises it.
#[test]
fn the_header_version_follows_the_vote_where_it_must() {
    use ProtocolVersion::{V1, V2, V3, V4, V6};
    for (speaks, vote_version, expected) in
        [(V1, V1, V1), (V1, V2, V2), (V2, V1, V2), (V2, V3, V3), (V1, V6, V6), (V4, V6, V4), (V6, V1, V6)]
    {
        assert_eq!(CheckpointHeader::version_for(speaks, &vote(vote_version, 7, 5)), expected);
    }
    let header = CheckpointHeader { next_vote: vote(V3, 7, 5), ..checkpoint(V2) };
    assert!(matches!(header.encode(), Err(HeaderEncodeError::VoteTooNew { .. })));
    let header = CheckpointHeader { configuration: None, ..checkpoint(V3) };
    assert_eq!(header.encode(), Err(HeaderEncodeError::NoConfiguration(V3)));
}

/// [STOR-44] [STOR-45] [STOR-47] [HARD-54]: sizes and places of the table, with H = 1024.
#[test]
fn bodies_have_the_sizes_of_the_table() {
    let blocks = BodyLayout::new(1024, BLOCK_SIZE).unwrap();
    let raw = BodyLayout::new(1024, 0).unwrap();
    for (data, in_blocks, in_raw) in [
        (0, 1024, 1024),
        (1, 1033, 1025),
        (11, 1043, 1035),
        (4_194_295, 4_195_327, 4_195_319),
        (4_194_296, 4_195_328, 4_195_320),
        (4_194_297, 4_195_337, 4_195_321),
        (8_388_592, 8_389_632, 8_389_616),
        (8_388_597, 8_389_645, 8_389_621),
    ] {
        assert_eq!((blocks.file_size(data), raw.file_size(data)), (in_blocks, in_raw), "{data}");
        assert_eq!((blocks.data_len(in_blocks), raw.data_len(in_raw)), (Ok(data), Ok(data)));
    }
    for rest in 1..=8 {
        let size = 1024 + u64::from(BLOCK_SIZE) + rest;
        assert_eq!(blocks.data_len(size), Err(BodyError::ShortBlock(rest)));
    }
    assert_eq!(blocks.data_len(1023), Err(BodyError::NoBody(1023)));
    assert_eq!(raw.data_len(1023), Err(BodyError::NoBody(1023)));
    assert_eq!(BodyLayout::new(0, 1000), Err(BodyError::BlockSize(1000)));
}

/// [STOR-43]: blocks are counted from the end of the header.
#[test]
fn blocks_start_behind_the_header() {
    let layout = BodyLayout::new(1536, 512).unwrap();
    let data = 504 + 100;
    let first = Block { data_offset: 0, file_offset: 1536, length: 504 };
    let second = Block { data_offset: 504, file_offset: 2048, length: 100 };
    assert_eq!(layout.block_at(0, data), Some(first));
    assert_eq!(layout.block_at(503, data), Some(first));
    assert_eq!(layout.block_at(504, data), Some(second));
    assert_eq!(layout.block_at(604, data), None);
}

/// [STOR-4] [STOR-5] [HARD-57] [STOR-80]: names of ours, names that legacy takes for its own, and names of nobody.
#[test]
fn names_are_canonical() {
    use FileName::{Checkpoint, Log};
    let file = LegacyName::File;
    let max = Decree(u64::MAX);
    for (name, ours, legacy) in [
        ("0.log", Some(Log(Decree(0))), file(Log(Decree(0)))),
        ("18446744073709551615.log", Some(Log(max)), file(Log(max))),
        ("57.codex", Some(Checkpoint(Decree(57))), file(Checkpoint(Decree(57)))),
        ("18446744073709551616.log", None, file(Log(max))),
        ("00000.log", None, file(Log(Decree(0)))),
        ("12abc.log", None, file(Log(Decree(12)))),
        ("+6.log", None, file(Log(Decree(6)))),
        (" 5.log", None, file(Log(Decree(5)))),
        ("-1.log", None, file(Log(max))),
        ("7.LOG", None, file(Log(Decree(7)))),
        ("abc.log", None, LegacyName::Fatal),
        ("abc.logx", None, LegacyName::Fatal),
        ("x.codexx", None, LegacyName::Ignored),
        (".log", None, LegacyName::Ignored),
        (".5.codex", None, LegacyName::Ignored),
        ("5.log.unreachable", None, LegacyName::Ignored),
        ("defunct.txt", None, LegacyName::Ignored),
        (PROMISE_FILE, None, LegacyName::Ignored),
        (LOCK_FILE, None, LegacyName::Ignored),
        (OWNER_FILE, None, LegacyName::Ignored),
    ] {
        assert_eq!(FileName::parse(name), ours, "{name:?}");
        assert_eq!(LegacyName::parse(name), legacy, "{name:?}");
        assert_eq!(is_foreign(name), ours.is_none() && legacy != LegacyName::Ignored, "{name:?}");
        if let Some(ours) = ours {
            assert_eq!(ours.to_string(), name);
        }
    }
}

/// [STOR-7]
#[test]
fn the_defunct_file() {
    assert_eq!(encode_defunct(3), [3, 0, 0, 0]);
    for (bytes, number) in
        [(&b""[..], 0), (b"\x01\x02\x03", 0), (b"\x01\x02\x03\x04", 0x0403_0201), (b"\x01\0\0\0\xFF", 1)]
    {
        assert_eq!(decode_defunct(bytes), number);
    }
}

/// [HARD-41]: the promise file comes back, and no damaged byte passes.
#[test]
fn the_promise_file() {
    let position = Position::new(Decree(u64::MAX), ballot(9));
    for promise in [
        Promise::default(),
        Promise { promised: ballot(7), relearn: None },
        Promise { promised: Ballot::new(u32::MAX, member("a-member")), relearn: Some(position) },
    ] {
        let bytes = promise.encode();
        assert_eq!(Promise::decode(&bytes), Ok(promise));
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x10;
            assert!(Promise::decode(&damaged.into()).is_err(), "byte {at}");
            assert!(Promise::decode(&bytes.slice(..at)).is_err(), "cut at {at}");
        }
    }
}

/// The records of a log and how it ends; a fault as its text.
fn scan(bytes: &[u8]) -> (Vec<(u64, Record)>, Result<LogEnd, String>) {
    let mut scanner = LogScanner::new(bytes).unwrap();
    let mut records = Vec::new();
    loop {
        match scanner.step() {
            Ok(Step::Record { offset, record }) => records.push((offset, record)),
            Ok(Step::End(end)) => return (records, Ok(end)),
            Err(fault) => return (records, Err(fault.to_string())),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [STOR-10] [STOR-13] [STOR-29]: what was appended is what is scanned, and records share no bytes.
    #[test]
    fn logs_come_back(sizes in proptest::collection::vec((0_usize..6, 1_usize..400_000), 0..5)) {
        let records: Vec<_> = sizes
            .iter()
            .zip(0..)
            .map(|(&(version, size), decree)| Record::Vote(vote(ProtocolVersion::ALL[version], decree, size)))
            .collect();
        let bytes = log(&records);
        let (found, end) = scan(&bytes);
        let found: Vec<_> = found.into_iter().map(|(_, record)| record).collect();
        prop_assert_eq!(found, records);
        prop_assert_eq!(end, Ok(LogEnd { offset: bytes.len() as u64, tail: Tail::Clean, size: bytes.len() as u64 }));
    }

    /// [STOR-20] [STOR-29] [STOR-30]: a log cut anywhere gives a prefix and no fault; one with any damage gives a prefix.
    /// Nothing panics.
    #[test]
    fn damaged_logs_give_a_prefix(
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..3),
    ) {
        let bytes = log(&every_record());
        let (all, _) = scan(&bytes);
        let mut damaged = bytes[..cut.index(bytes.len() + 1)].to_vec();
        let (found, end) = scan(&damaged);
        prop_assert!(end.is_ok());
        prop_assert_eq!(&found[..], &all[..found.len()]);
        if !damaged.is_empty() {
            for (at, flip) in flips {
                let at = at.index(damaged.len());
                damaged[at] ^= flip;
            }
        }
        let (found, _) = scan(&damaged);
        prop_assert!(found.len() <= all.len());
        for (at, (found, good)) in found.iter().zip(&all).enumerate() {
            // Padding is not covered by anything, and neither is the checksum's own field by another.
            prop_assert_eq!(found, good, "record {}", at);
        }
    }

    /// [STOR-37]: any bytes are a header or an error, and a header is encodable.
    #[test]
    fn headers_never_panic(
        version in 0_usize..6,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = checkpoint(ProtocolVersion::ALL[version]).encode().unwrap().to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let bytes = Bytes::from(bytes);
        let _ = CheckpointHeader::length_from(&bytes, 1 << 20);
        if let Ok(header) = CheckpointHeader::decode(&bytes) {
            let again = header.encode().unwrap();
            prop_assert_eq!(CheckpointHeader::decode(&again), Ok(header));
        }
    }
}
