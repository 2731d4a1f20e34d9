//! Any bytes as a log file and as the answer to FetchVotes: no panic, records are written as they were read, and the
//! stricter reader of streams finds no record that the log does not have.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rsl_core::format::{LogScanner, PAGE, Record, RecordStream, Step, round_to_page};
use rsl_core_fuzz::with_message_checksums;

fuzz_target!(|data: &[u8]| {
    let Some((&mode, log)) = data.split_first() else { return };
    let summed = if mode % 2 == 1 { with_message_checksums(log) } else { log.to_vec() };
    let log = &summed[..];
    let records = scan(log);
    let mut stream = RecordStream::new(log, 1 << 20);
    let mut from_stream = Vec::new();
    while let Ok(Some(record)) = stream.next_record() {
        from_stream.push(record);
    }
    assert!(from_stream.len() <= records.len());
    assert!(from_stream.iter().zip(&records).all(|(streamed, scanned)| streamed == scanned));
});

/// The records of a log, in order, without gaps.
fn scan(log: &[u8]) -> Vec<Record> {
    let mut scanner = LogScanner::new(log).expect("a slice has a size");
    let mut records = Vec::new();
    let mut next = 0;
    loop {
        match scanner.step() {
            Ok(Step::Record { offset, record }) => {
                assert_eq!(offset, next);
                let bytes = &log[offset as usize..];
                check(&record, bytes);
                // The length field of a Prepare may be larger than what it needs.
                let length = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
                assert!(round_to_page(length.into()) >= record.padded_len());
                next = offset + round_to_page(length.into());
                records.push(record);
            }
            Ok(Step::End(end)) => {
                assert_eq!((end.offset, end.size), (next, log.len() as u64));
                assert!(matches!(scanner.step(), Ok(Step::End(again)) if again == end));
                return records;
            }
            Err(fault) => {
                assert_eq!(fault.offset, next);
                assert!(scanner.step().is_err());
                return records;
            }
        }
    }
}

/// A record is written in whole pages and reads as the same again; a vote keeps its bytes. Other records lose what
/// followed the NUL of an id, and so may get another checksum.
fn check(record: &Record, bytes: &[u8]) {
    let encoded = record.encode().expect("what was read can be written");
    assert_eq!(encoded.len() as u64, record.encoded_len());
    assert_eq!(record.padded_len() % PAGE, 0);
    let again = Record::decode_own(&encoded).expect("what was written can be read");
    assert_eq!(again.encode().as_ref(), Ok(&encoded));
    assert_eq!(again.position(), record.position());
    if let Record::Vote(_) = record {
        assert_eq!(encoded[..], bytes[..encoded.len()]);
        assert_eq!(again, *record);
    }
}
