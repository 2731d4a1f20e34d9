//! Log writer and index: what is durable when, where votes are found, and that a crash loses nothing that was synced.

use proptest::prelude::*;

use super::*;
use crate::format::{LogScanner, Step};
use crate::types::Position;

fn restored(disk: &MemDisk) -> (Directory, Restored) {
    let directory = open(disk);
    let restored = restore(&directory, &settings(), &mut App::default()).unwrap();
    (directory, restored)
}

fn append(writer: &mut LogWriter, records: &[Record]) {
    for record in records {
        writer.append(record, None).unwrap();
    }
    writer.flush().unwrap();
}

/// The records of a log file, to its end.
fn records(bytes: &[u8]) -> Vec<Record> {
    let mut scanner = LogScanner::new(bytes).unwrap();
    let mut records = Vec::new();
    loop {
        match scanner.step().unwrap() {
            Step::Record { record, .. } => records.push(record),
            Step::End(end) => {
                assert_eq!(end.tail, crate::format::Tail::Clean);
                return records;
            }
        }
    }
}

/// [STOR-10] [STOR-14] [STOR-81] [STOR-83]: the file is the records and nothing else, padded to pages; another log
/// starts with the vote it is named after.
#[test]
fn files_are_their_records() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    let first = [prepare(0, 1), vote(0, 1), vote(1, 1), big_vote(2, 1, 1500)];
    append(&mut restored.log, &first);
    restored.log.append(&prepare(2, 1), None).unwrap();
    restored.log.append(&vote(3, 1), Some(Decree(3))).unwrap();
    restored.log.append(&prepare(3, 2), None).unwrap();
    restored.log.flush().unwrap();
    let mut old = first.to_vec();
    old.push(prepare(2, 1));
    // What was logged as a Prepare has a checksum now.
    let with_sum = |records: Vec<Record>| log(&records);
    assert_eq!(disk.get(&log_name(0)).unwrap(), with_sum(old.clone()));
    assert_eq!(disk.get(&log_name(3)).unwrap(), with_sum(vec![vote(3, 1), prepare(3, 2)]));
    assert_eq!(disk.get(&log_name(0)).unwrap().len() % 512, 0);
    assert_eq!(records(&disk.get(&log_name(0)).unwrap()).len(), old.len());
    assert_eq!(
        restored.log.index().files(),
        [
            LogFileInfo { name: Decree(0), votes: Some((Decree(0), Decree(2))), len: 4096 },
            LogFileInfo { name: Decree(3), votes: Some((Decree(3), Decree(3))), len: 1024 },
        ]
    );
}

/// [STOR-19] [HARD-50]: a flush is one write and one sync for each file, and a sync of the directory where a file is
/// new; then everything survives a power failure.
#[test]
fn a_flush_is_one_write_and_one_sync() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    let before = disk.changes();
    for decree in 0..10 {
        restored.log.append(&vote(decree, 1), None).unwrap();
    }
    assert_eq!(disk.changes(), before, "nothing is written before");
    restored.log.flush().unwrap();
    assert_eq!(disk.changes(), before + 2);
    restored.log.flush().unwrap();
    assert_eq!(disk.changes(), before + 2, "nothing to do");
    restored.log.append(&vote(10, 1), Some(Decree(10))).unwrap();
    restored.log.flush().unwrap();
    assert_eq!(disk.changes(), before + 6, "create, write, sync, sync of the directory");
    let left = disk.after_power_failure(|_, _| 0);
    assert_eq!(left.get(&log_name(0)), Some(log(&votes(0..=9))));
    assert_eq!(left.get(&log_name(10)), Some(log(&[vote(10, 1)])));
}

/// [STOR-21] [PROTO-30]: a failed write is final; nothing is tried at another offset.
#[test]
fn a_failed_write_is_final() {
    for failing in 0..4 {
        let disk = disk();
        let (_directory, mut restored) = restored(&disk);
        append(&mut restored.log, &votes(0..=3));
        restored.log.append(&vote(4, 1), None).unwrap();
        restored.log.append(&vote(5, 1), Some(Decree(5))).unwrap();
        disk.fail_after(Some(failing));
        let error = restored.log.flush().unwrap_err();
        disk.fail_after(None);
        let after = disk.changes();
        assert_eq!(restored.log.flush(), Err(error.clone()));
        assert_eq!(restored.log.append(&vote(6, 1), None), Err(error));
        assert_eq!(disk.changes(), after, "nothing was written any more");
        let known = restored.log.index().files();
        let durable = if failing < 2 { Decree(3) } else { Decree(4) };
        assert_eq!(known.last().unwrap().votes, Some((Decree(0), durable)));
    }
}

/// [STOR-27] [STOR-28] [WIRE-35] [XFER-3] [HARD-61]: FetchVotes gets the oldest file with the decree from the last vote
/// for it on, and all later files, up to the last durable record.
#[test]
fn segments_follow_the_index() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    let index = Arc::clone(restored.log.index());
    let segments = |decree| {
        let found = index.segments(Decree(decree));
        found.iter().map(|part| (part.path.clone(), part.offset, part.length)).collect::<Vec<_>>()
    };
    assert_eq!(segments(0), [], "an empty log: nothing to send");
    append(&mut restored.log, &[prepare(0, 1)]);
    assert_eq!(segments(0), [(log_name(0), 0, 512)], "a log without votes covers decree 0");
    assert_eq!(segments(1), []);
    append(&mut restored.log, &[vote(0, 1), vote(1, 1), prepare(1, 2), vote(1, 2), vote(2, 2)]);
    restored.log.append(&vote(3, 2), Some(Decree(3))).unwrap();
    restored.log.flush().unwrap();
    restored.log.append(&vote(4, 2), None).unwrap();
    let newer = (log_name(3), 0, 512);
    assert_eq!(segments(0), [(log_name(0), 512, 2560), newer.clone()]);
    assert_eq!(segments(1), [(log_name(0), 2048, 1024), newer.clone()], "the last record of the decree");
    assert_eq!(segments(3), [newer]);
    assert_eq!(segments(4), [], "not durable yet");
    let part = &index.segments(Decree(3))[0];
    let mut bytes = vec![0; 512];
    part.file.read_at(part.offset, &mut bytes).unwrap();
    assert_eq!(bytes, log(&[vote(3, 2)]));
}

/// [STOR-57] [XFER-42] [HARD-366]: logs leave the index, the newest never, and one being sent stays readable.
#[test]
fn trimming_keeps_what_is_served() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    append(&mut restored.log, &votes(0..=1));
    for decree in [2, 4] {
        restored.log.append(&vote(decree, 1), Some(Decree(decree))).unwrap();
        restored.log.append(&vote(decree + 1, 1), None).unwrap();
    }
    restored.log.flush().unwrap();
    let index = restored.log.index();
    let sending = index.segments(Decree(1)).remove(0);
    index.trim(Decree(2));
    assert_eq!(index.files().iter().map(|log| log.name.0).collect::<Vec<_>>(), [2, 4]);
    assert!(index.segments(Decree(1)).is_empty());
    disk.remove(&log_name(0)).unwrap();
    let mut bytes = vec![0; 512];
    sending.file.read_at(sending.offset, &mut bytes).unwrap();
    assert_eq!(bytes, log(&[vote(1, 1)]));
    index.trim(Decree(99));
    assert_eq!(index.files().len(), 1, "at least one log stays");
}

/// [XFER-33] [HARD-376]: passed votes are read back, the last of each decree; damage is an error.
#[test]
fn votes_are_read_back() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    append(&mut restored.log, &[vote(0, 1), vote(1, 1), vote(1, 3), vote(2, 3)]);
    restored.log.append(&vote(3, 3), Some(Decree(3))).unwrap();
    restored.log.flush().unwrap();
    let index = restored.log.index();
    let read = |from, bytes| {
        let votes = index.read_votes(Decree(from), bytes).unwrap();
        votes.iter().map(Vote::position).collect::<Vec<Position>>()
    };
    let of = |decree, id| Position::new(Decree(decree), ballot(id));
    assert_eq!(read(1, u64::MAX), [of(1, 3), of(2, 3), of(3, 3)]);
    assert_eq!(read(1, 0), [of(1, 3)], "at least one");
    assert_eq!(read(2, 400), [of(2, 3), of(3, 3)]);
    assert_eq!(read(4, u64::MAX), []);
    let file = disk.open(&log_name(0), OpenMode::Write).unwrap();
    file.write_at(1536 + 180, b"x").unwrap();
    let error = index.read_votes(Decree(2), u64::MAX).unwrap_err();
    assert_eq!((error.path, error.fault.offset), (log_name(0), 1536));
}

/// [STOR-22] [STOR-81]: appending goes on after the last accepted record, in the last log.
#[test]
fn appending_goes_on_where_the_records_end() {
    let disk = disk();
    put_log(&disk, 0, &votes(0..=1));
    disk.put(&log_name(2), &[log(&votes(2..=3)), log(&[big_vote(4, 1, 5000)])[..2048].to_vec()].concat());
    for round in 0..3 {
        let (_directory, mut restored) = restored(&disk);
        append(&mut restored.log, &[vote(4 + round, 1)]);
        assert_eq!(disk.get(&log_name(2)), Some(log(&votes(2..=4 + round))));
    }
}

/// An empty log left by a crash right after a switch is used, one with records never overwritten [HARD-371].
#[test]
fn a_log_that_exists_is_not_overwritten() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    append(&mut restored.log, &votes(0..=1));
    disk.put(&log_name(2), &[]);
    restored.log.append(&vote(2, 1), Some(Decree(2))).unwrap();
    restored.log.flush().unwrap();
    put_log(&disk, 3, &[vote(3, 9)]);
    restored.log.append(&vote(3, 1), Some(Decree(3))).unwrap();
    restored.log.flush().unwrap_err();
    assert_eq!(disk.get(&log_name(3)), Some(log(&[vote(3, 9)])));
}

/// A run of a writer: the sizes of its votes, how many go into a flush, and where logs are switched.
fn run() -> impl Strategy<Value = Vec<(Vec<usize>, bool)>> {
    let flush = (proptest::collection::vec(1_usize..3000, 1..4), any::<bool>());
    proptest::collection::vec(flush, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// [STOR-19] [STOR-20] [STOR-22] [HARD-32] [HARD-367]: a power failure at any byte of a log write leaves a prefix of
    /// the records that holds everything synced; the restart after it goes on, and so does the one after that.
    #[test]
    fn a_crash_keeps_everything_synced(run in run(), cut in any::<prop::sample::Index>(), synced in 0_usize..6) {
        let disk = disk();
        let (_directory, mut restored) = restored(&disk);
        let mut written = Vec::new();
        let mut durable = 0;
        for (count, (sizes, switch)) in run.iter().enumerate() {
            for (at, &size) in sizes.iter().enumerate() {
                let record = big_vote(written.len() as u64, 1, size);
                let decree = Decree(written.len() as u64);
                let new_log = (*switch && at == 0 && !written.is_empty()).then_some(decree);
                restored.log.append(&record, new_log).unwrap();
                written.push(record);
            }
            if count == synced {
                // The write of this flush happens, its sync does not.
                disk.fail_after(Some(if *switch && written.len() > sizes.len() { 2 } else { 1 }));
                restored.log.flush().unwrap_err();
                disk.fail_after(None);
                break;
            }
            restored.log.flush().unwrap();
            durable = written.len();
        }
        let left = disk.after_power_failure(|_, unsynced| cut.index(unsynced + 1));
        for _ in 0..2 {
            let directory = open(&left);
            let mut again = restore(&directory, &settings(), &mut App::default()).unwrap();
            let files = again.recovered.logs.clone();
            let found: Vec<_> =
                files.iter().flat_map(|log| records(&left.get(&log_name(log.name.0)).unwrap())).collect();
            prop_assert!(found.len() >= durable, "{} of {durable} synced records are there", found.len());
            prop_assert_eq!(&found[..], &written[..found.len()]);
            // A shorter record than the torn one comes next.
            written.truncate(found.len());
            let next = vote(written.len() as u64, 1);
            append(&mut again.log, std::slice::from_ref(&next));
            written.push(next);
            durable = written.len();
        }
    }
}

/// [STOR-17]: the writer refuses to believe in gaps.
#[test]
#[should_panic(expected = "no gaps")]
fn a_gap_is_a_broken_belief() {
    let disk = disk();
    let (_directory, mut restored) = restored(&disk);
    append(&mut restored.log, &[vote(0, 1), vote(2, 1)]);
}
