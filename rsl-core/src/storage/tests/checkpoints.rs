//! Checkpoint files: writing, reading, copying, retention, and the small files beside them.

use std::io::{self, Seek, SeekFrom};

use proptest::prelude::*;

use super::*;
use crate::format::{BLOCK_SIZE, CheckpointHeader, LOCK_FILE, OWNER_FILE};

const FULL: usize = BLOCK_SIZE as usize - 8;

fn saved(version: ProtocolVersion, state: &[u8]) -> (MemDisk, Vec<u8>) {
    let disk = disk();
    checkpoint(&disk, 3, vote_of(version, 4, 1), ballot(1), state);
    let bytes = disk.get(&path("3.codex")).unwrap();
    (disk, bytes)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// [STOR-39] [STOR-41] [STOR-42] [STOR-43] [STOR-44] [STOR-45] [STOR-47] [STOR-76] [STOR-78] [STOR-79]: state of any
/// length comes back, in every version, and the file has exactly the size of the table.
#[test]
fn states_of_edge_lengths_come_back() {
    for version in ProtocolVersion::ALL {
        let mut lengths = vec![0, 1, 11, 503, 504, 505];
        if version == ProtocolVersion::V6 {
            lengths.extend([FULL - 1, FULL, FULL + 1, 2 * FULL, 2 * FULL + 5]);
        }
        for length in lengths {
            let state = pattern(length);
            let (disk, bytes) = saved(version, &state);
            let mut reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
            let start = reader.header().encoded_len();
            let blocks = if version.has_string_ids() { length.div_ceil(FULL) * 8 } else { 0 };
            assert_eq!(bytes.len() as u64, start + (length + blocks) as u64, "v{version}, {length}");
            assert_eq!((reader.header().version, reader.len()), (version, length as u64));
            let size = if version.has_string_ids() { bytes.len() as u64 } else { 0 };
            assert_eq!(reader.header().size, size, "the header knows the size");
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            assert!(found == state, "v{version}, {length}");
        }
    }
}

/// [STOR-41] [STOR-47]: a version 4 file may have a raw body, as one migrated from version 3 has: then its size is not
/// looked at, whatever the header says.
#[test]
fn newer_versions_may_have_raw_bodies() {
    let (disk, bytes) = saved(ProtocolVersion::V4, b"");
    let mut header = CheckpointHeader::decode(&bytes.into()).unwrap();
    header.block_size = 0;
    let state = pattern(700);
    for size in [0, 1724, 5] {
        header.size = size;
        disk.put(&path("3.codex"), &[&header.encode().unwrap()[..], &state].concat());
        let mut found = Vec::new();
        CheckpointReader::open(&disk, &path("3.codex")).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, state);
    }
    let bytes = disk.get(&path("3.codex")).unwrap();
    let (copied, result) = copy(&bytes, request(bytes.len() as u64, Ballot::EMPTY));
    assert!(result.is_ok());
    assert_eq!(copied.get(&path("3.codex")), Some(bytes));
}

/// [STOR-48]: a checkpoint at N is saved with the vote of N + 1 and no other; a request that names none takes the head
/// of the execution queue.
#[test]
fn the_next_vote_is_the_next() {
    let disk = disk();
    let directory = open(&disk);
    for next in [2, 3, 5] {
        let new = new_checkpoint(3, vote_of(ProtocolVersion::V4, next, 1), ballot(1));
        let error = save(&directory, new, b"state").unwrap_err();
        assert!(matches!(error, PublishError::Verify(CheckpointError::NextVote { .. })), "{error}");
    }
    assert_eq!(names(&disk), [""; 0]);
    let head = vote_of(ProtocolVersion::V4, 4, 1);
    let named = vote_of(ProtocolVersion::V4, 4, 2);
    let mut request = crate::engine::SaveRequest {
        at: Decree(3),
        next_vote: None,
        promised: ballot(2),
        version: ProtocolVersion::V4,
        configuration: Configuration::empty(1),
    };
    assert_eq!(NewCheckpoint::from_request(&request, &head, member("1")).next_vote, head);
    request.next_vote = Some(named.clone());
    assert_eq!(NewCheckpoint::from_request(&request, &head, member("1")).next_vote, named);
}

/// [STOR-46] [STOR-75]: a damaged block fails the read of that block, not the ones before; opening does not look.
#[test]
fn damaged_blocks_fail_when_read() {
    let (disk, mut bytes) = saved(ProtocolVersion::V4, &pattern(FULL + 100));
    let at = bytes.len() - 50;
    bytes[at] ^= 1;
    disk.put(&path("3.codex"), &bytes);
    let mut reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
    let mut first = vec![0; FULL];
    reader.read_exact(&mut first).unwrap();
    assert!(first == pattern(FULL));
    assert!(!reader.has_failed());
    assert_eq!(reader.read(&mut first).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(reader.has_failed());
    let mut reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
    let offset = reader.header().encoded_len() + u64::from(BLOCK_SIZE);
    assert!(matches!(reader.verify_rest(), Err(CheckpointError::Block { offset: found }) if found == offset));
}

/// [STOR-75] [STOR-77] [HARD-56]: skip and seek are exact, over block borders and in raw bodies; past the end is the
/// end.
#[test]
fn skip_and_seek_are_exact() {
    for version in [ProtocolVersion::V3, ProtocolVersion::V4] {
        let state = pattern(2 * FULL + 100);
        let (disk, _) = saved(version, &state);
        let mut reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
        let mut buffer = [0; 7];
        for position in [0, 5, FULL - 3, FULL, FULL + 1, 2 * FULL - 1, 2 * FULL + 93, 1] {
            reader.seek(SeekFrom::Start(position as u64)).unwrap();
            reader.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, state[position..position + 7], "v{version} at {position}");
        }
        reader.seek(SeekFrom::Start(3)).unwrap();
        reader.skip(5_242_888);
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, state[5_242_891..5_242_898]);
        reader.seek(SeekFrom::End(-7)).unwrap();
        reader.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, state[state.len() - 7..]);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0, "the end");
        for beyond in [state.len() as u64, state.len() as u64 + 1, u64::MAX] {
            reader.seek(SeekFrom::Start(beyond)).unwrap();
            assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        }
        reader.skip(u64::MAX);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        reader.seek(SeekFrom::Start(3)).unwrap();
        assert!(reader.seek(SeekFrom::Current(-4)).is_err());
        assert_eq!(reader.read(&mut []).unwrap(), 0);
    }
}

/// [HARD-42]: a next vote of version 3 or later raises the header, which would otherwise be read as one of its own.
/// [HARD-44]: a placeholder without checksum gets one.
#[test]
fn headers_fit_their_next_vote() {
    let disk = disk();
    let next = vote_of(ProtocolVersion::V5, 4, 1);
    let new = NewCheckpoint { version: ProtocolVersion::V1, ..new_checkpoint(3, next, ballot(1)) };
    save(&open(&disk), new, b"state").unwrap();
    let reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
    assert_eq!(reader.header().version, ProtocolVersion::V5);

    let placeholder = {
        let vote = empty_vote(ProtocolVersion::V4, 8, Ballot::EMPTY);
        let mut bytes = vote.encoded().to_vec();
        bytes[6..14].fill(0);
        Vote::decode(&bytes.into()).unwrap()
    };
    let promised = Ballot::new(2, MemberId::EMPTY);
    save(&open(&disk), new_checkpoint(7, placeholder.clone(), promised), b"state").unwrap();
    let reader = CheckpointReader::open(&disk, &path("7.codex")).unwrap();
    assert!(reader.header().next_vote.checksum_is_valid());
    assert_eq!(reader.header().next_vote.position(), placeholder.position());
    // A wrong checksum is not repaired.
    let mut bytes = vote_of(ProtocolVersion::V4, 9, 1).encoded().to_vec();
    bytes[6] ^= 1;
    let damaged = Vote::decode(&bytes.into()).unwrap();
    save(&open(&disk), new_checkpoint(8, damaged, ballot(1)), b"state").unwrap_err();
}

/// [STOR-40]: the header's highest ballot is never below the next vote's.
#[test]
fn the_promise_covers_the_next_vote() {
    let disk = disk();
    save(&open(&disk), new_checkpoint(3, vote_of(ProtocolVersion::V4, 4, 9), ballot(2)), b"").unwrap();
    let reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
    assert_eq!(reader.header().promised, ballot(9));
}

/// [STOR-49] [STOR-50] [XFER-37] [HARD-51] [HARD-362] [HARD-381]: the name appears only when everything worked; a failure at any
/// step leaves nothing, neither under the final name nor in `Temp`.
#[test]
fn a_failing_save_leaves_nothing() {
    let state = pattern(FULL + 10);
    let attempt = |failing: Option<u64>| {
        let disk = disk();
        let directory = open(&disk);
        disk.fail_after(failing);
        let result =
            save(&directory, new_checkpoint(3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1)), &state);
        let changes = disk.changes();
        disk.fail_after(None);
        (result.is_ok(), changes, names(&disk), disk.after_power_failure(|_, _| 0))
    };
    let (works, _, found, _) = attempt(None);
    assert!(works);
    assert_eq!(found, ["3.codex"]);
    let mut failing = 0;
    loop {
        let (works, _, found, left) = attempt(Some(failing));
        if works {
            break;
        }
        // Deleting the scratch file fails too, on this disk. It goes at the next start [STOR-3].
        let scratch = |name: &String| Path::new(name).starts_with("Temp");
        assert!(found.iter().all(|name| scratch(name) || name == "3.codex"), "{found:?}");
        if found.contains(&"3.codex".to_owned()) {
            assert_eq!(names(&left), [""; 0], "the rename is not durable, and no success was reported");
        }
        open(&left);
        failing += 1;
    }
    assert!(failing > 5, "{failing} steps can fail");

    // Declined by the application.
    let disk = disk();
    drop(CheckpointWriter::new(
        &open(&disk),
        new_checkpoint(3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1)),
    ));
    assert_eq!(names(&disk), [""; 0]);
}

/// [HARD-535] An application that ignores a failed write gets no checkpoint, however well the rest goes; nor does a file
/// with a damaged block get its name.
#[test]
fn an_ignored_write_error_fails_the_save() {
    let disk = disk();
    let directory = open(&disk);
    let new = new_checkpoint(3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1));
    let mut writer = CheckpointWriter::new(&directory, new.clone()).unwrap();
    disk.fail_after(Some(0));
    writer.write_all(&pattern(FULL)).unwrap_err();
    disk.fail_after(None);
    writer.write_all(b"the rest").unwrap_err();
    assert!(matches!(writer.finish(), Err(PublishError::Io(_))));
    assert_eq!(names(&disk), [""; 0]);

    let mut writer = CheckpointWriter::new(&directory, new).unwrap();
    writer.write_all(&pattern(FULL + 10)).unwrap();
    // Behind the writer's back.
    let [name] = &names(&disk)[..] else { panic!("one scratch file: {:?}", names(&disk)) };
    let file = disk.open(&path(name), OpenMode::Write).unwrap();
    file.write_at(100_000, b"?").unwrap();
    assert!(matches!(writer.finish(), Err(PublishError::Verify(_))));
    assert_eq!(names(&disk), [""; 0]);
}

/// [HARD-50] [HARD-363]: when saving has succeeded, the file survives a power failure as it is.
#[test]
fn a_saved_checkpoint_is_durable() {
    let (disk, bytes) = saved(ProtocolVersion::V6, &pattern(1000));
    assert_eq!(disk.after_power_failure(|_, _| 0).get(&path("3.codex")), Some(bytes));
}

/// [HARD-49] [STOR-49]: a file that has the name already stays if it verifies, and is replaced if it does not.
#[test]
fn a_damaged_checkpoint_is_replaced() {
    let (disk, bytes) = saved(ProtocolVersion::V4, b"first");
    checkpoint(&disk, 3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1), b"second");
    assert_eq!(disk.get(&path("3.codex")), Some(bytes.clone()), "the first one stays");
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() ^= 1;
    disk.put(&path("3.codex"), &damaged);
    checkpoint(&disk, 3, vote_of(ProtocolVersion::V4, 4, 1), ballot(1), b"second");
    let mut state = Vec::new();
    CheckpointReader::open(&disk, &path("3.codex")).unwrap().read_to_end(&mut state).unwrap();
    assert_eq!(state, b"second");
    assert_eq!(names(&disk), ["3.codex"], "no scratch file is left");
}

fn request(size: u64, promised: Ballot) -> CopyRequest {
    CopyRequest { decree: Decree(3), size, promised, max_header: 1 << 20 }
}

fn copy(
    bytes: &[u8],
    request: CopyRequest,
) -> (MemDisk, Result<crate::engine::CheckpointInfo, PublishError>) {
    let disk = disk();
    let result = copy_checkpoint(&open(&disk), request, &mut &bytes[..]);
    (disk, result)
}

/// [STOR-53] [XFER-23]: a copy is the source with the highest ballot raised, in versions 1 and 2 the source itself.
#[test]
fn copies_differ_in_the_promise_only() {
    for version in ProtocolVersion::ALL {
        let (_, bytes) = saved(version, &pattern(5000));
        let size = bytes.len() as u64;
        let (disk, result) = copy(&bytes, request(size, ballot(1)));
        assert_eq!(result.unwrap().size, size);
        assert_eq!(disk.get(&path("3.codex")), Some(bytes.clone()), "v{version}");
        // A higher promise goes into the header.
        let (disk, result) = copy(&bytes, request(size, ballot(7)));
        assert_eq!(result.unwrap().size, size, "v{version}");
        let copied = disk.get(&path("3.codex")).unwrap();
        let reader = CheckpointReader::open(&disk, &path("3.codex")).unwrap();
        let differing = copied.iter().zip(&bytes).filter(|(a, b)| a != b).count();
        if version.has_configuration() {
            assert_eq!((reader.header().promised, differing), (ballot(7), 1), "v{version}");
        } else {
            assert_eq!(copied, bytes, "v{version}");
            assert_eq!(read_promise(&disk, &root()).unwrap().promised, ballot(7), "it is kept elsewhere");
        }
    }
}

/// [STOR-34] [HARD-53]: undefined bytes of the source's header are not taken over.
#[test]
fn undefined_header_bytes_are_zeroed() {
    let (_, bytes) = saved(ProtocolVersion::V4, &pattern(50));
    let mut dirty = bytes.clone();
    dirty[14 + 20] = 0xAA;
    dirty[1023] = 0xBB;
    let (disk, result) = copy(&dirty, request(0, Ballot::EMPTY));
    result.unwrap();
    assert_eq!(disk.get(&path("3.codex")), Some(bytes));
}

/// [WIRE-42] [HARD-22] [HARD-45] [HARD-46] [HARD-47] [HARD-361] [HARD-38]: what is not exactly the checkpoint that was asked for is
/// discarded, and the replica goes on.
#[test]
fn copies_are_verified() {
    let (_, bytes) = saved(ProtocolVersion::V4, &pattern(5000));
    let size = bytes.len() as u64;
    let refused = |name: &str, bytes: &[u8], request: CopyRequest| {
        let (disk, result) = copy(bytes, request);
        assert!(result.is_err(), "{name}");
        assert_eq!(names(&disk), [""; 0], "{name}");
    };
    let none = Ballot::EMPTY;
    assert!(copy(&bytes, request(0, none)).1.is_ok(), "0 is unknown");
    let longer = [bytes.clone(), vec![1; 99]].concat();
    let (disk, result) = copy(&longer, request(size, none));
    assert!(
        result.is_ok() && disk.get(&path("3.codex")) == Some(bytes.clone()),
        "what follows is not stored"
    );
    refused("announced too little", &bytes, request(size - 1, none));
    refused("announced too much", &bytes, request(size + 1, none));
    refused("ends early", &bytes[..bytes.len() - 1], request(size, none));
    refused("ends in the header", &bytes[..700], request(size, none));
    refused("ends in the first page", &bytes[..100], request(size, none));
    refused("nothing", &[], request(size, none));
    refused("another decree", &bytes, CopyRequest { decree: Decree(4), ..request(size, none) });
    refused("too long a header", &bytes, CopyRequest { max_header: 512, ..request(size, none) });
    for at in [16, 600, bytes.len() - 100, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        // The member's name is not protected by anything; the rest is.
        if at != 16 {
            refused(&format!("damaged at {at}"), &damaged, request(size, none));
        }
    }
    let (_, raw) = saved(ProtocolVersion::V2, &pattern(5000));
    refused("raw, ends early", &raw[..raw.len() - 1], request(raw.len() as u64, none));
    let (disk, result) = copy(&[raw.clone(), vec![1]].concat(), request(raw.len() as u64, none));
    assert!(result.is_ok() && disk.get(&path("3.codex")) == Some(raw), "exactly as announced");
}

/// [STOR-55] [STOR-56] [XFER-42]: what is deleted, from the decrees on disk.
#[test]
fn retention_follows_the_rule() {
    let decrees = |numbers: &[u64]| numbers.iter().copied().map(Decree).collect::<Vec<_>>();
    let deleted = |checkpoints: &[u64], logs: &[u64], max_checkpoints, max_logs| {
        let retention = Retention { max_checkpoints, max_logs };
        let names = superfluous(&decrees(checkpoints), &decrees(logs), retention);
        names.iter().map(FileName::to_string).collect::<Vec<_>>()
    };
    assert_eq!(deleted(&[], &[0, 5, 9], 1, 1), [""; 0], "no checkpoint: every log is needed");
    assert_eq!(deleted(&[4], &[0, 5, 9], 4, 10), [""; 0]);
    assert_eq!(deleted(&[4, 8], &[0, 5, 9], 1, 1), ["4.codex", "0.log"]);
    assert_eq!(deleted(&[8], &[0, 5, 9], 1, 1), ["0.log", "5.log"], "the newest log stays");
    assert_eq!(deleted(&[8], &[0, 5, 9], 1, 2), ["0.log"], "only as many as there are too many");
    assert_eq!(deleted(&[7], &[0, 5, 9], 1, 1), ["0.log"], "9.log starts above the checkpoint's next decree");
    assert_eq!(
        deleted(&[1, 8, 20], &[0, 2, 9, 21], 1, 1),
        ["1.codex", "8.codex", "0.log"],
        "the oldest checkpoint before the deletions counts"
    );
    assert_eq!(deleted(&[1, 2, 3], &[0], 0, 0), ["1.codex", "2.codex"], "at least one stays");
}

/// [STOR-55] [STOR-58] [HARD-363] [HARD-517]: files go, foreign names stay, failures are returned.
#[test]
fn retention_deletes_files() {
    let disk = disk();
    for decree in [1, 3, 5, 7, 9] {
        put_checkpoint(&disk, decree);
    }
    disk.put(&path("00.codex"), b"foreign");
    put_log(&disk, 0, &votes(0..=10));
    let directory = open(&disk);
    assert!(directory.retain(Retention::default()).is_empty());
    assert_eq!(names(&disk), ["0.log", "00.codex", "3.codex", "5.codex", "7.codex", "9.codex"]);
    disk.fail_after(Some(0));
    let failures = directory.retain(Retention { max_checkpoints: 3, max_logs: 1 });
    assert_eq!(failures.iter().map(|failure| failure.path.clone()).collect::<Vec<_>>(), [path("3.codex")]);
}

/// However large a checkpoint is, the disk never has more than a portion of it to write at once when a log waits for it:
/// saving with blocks, saving a raw body, and copying.
#[test]
fn a_large_checkpoint_is_synced_as_it_grows() {
    const PORTION: usize = 1024 * 1024;
    let temp = root().join("Temp");
    let unsynced = |disk: &MemDisk| {
        let mut most = 0;
        Disk::sync_dir(disk, &temp).unwrap();
        let _ = disk.after_power_failure(|_, unsynced| {
            most = most.max(unsynced);
            unsynced
        });
        most
    };
    let state = pattern(3 * FULL);
    for version in [ProtocolVersion::V2, ProtocolVersion::V6] {
        let disk = disk();
        let directory = open(&disk);
        let new = new_checkpoint(3, vote_of(version, 4, 1), ballot(1));
        let mut writer = CheckpointWriter::new(&directory, new).unwrap();
        for piece in state.chunks(1_000_000) {
            writer.write_all(piece).unwrap();
            assert!(unsynced(&disk) <= PORTION, "v{version}: {}", unsynced(&disk));
        }
    }
    struct Source<'a, F>(&'a [u8], F);
    impl<F: FnMut()> Read for Source<'_, F> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            (self.1)();
            self.0.read(into)
        }
    }
    let (_, bytes) = saved(ProtocolVersion::V6, &state);
    let disk = disk();
    let mut source = Source(&bytes, || assert!(unsynced(&disk) <= PORTION, "{}", unsynced(&disk)));
    copy_checkpoint(&open(&disk), request(0, ballot(1)), &mut source).unwrap();
}

/// [STOR-7] [HARD-51] [HARD-52] [HARD-343]: four bytes, replaced as a whole; a failure keeps the old number and is reported.
#[test]
fn defunct_numbers_are_replaced_as_a_whole() {
    let disk = disk();
    let defunct = || read_defunct(&disk, &root()).unwrap();
    assert_eq!(defunct(), 0);
    let directory = open(&disk);
    directory.write_defunct(3).unwrap();
    assert_eq!(disk.get(&path("defunct.txt")), Some(vec![3, 0, 0, 0]));
    for failing in 0..5 {
        disk.fail_after(Some(failing));
        let result = directory.write_defunct(0x0102_0304);
        disk.fail_after(None);
        let left = disk.after_power_failure(|_, unsynced| unsynced);
        let number = read_defunct(&left, &root()).unwrap();
        assert!(if result.is_ok() { number == 0x0102_0304 } else { number == 3 }, "{failing}: {number}");
        directory.write_defunct(3).unwrap();
    }
    for (bytes, number) in
        [(&b""[..], 0), (b"\x05", 0), (b"\x05\0\0", 0), (b"\x05\0\0\0", 5), (b"\x05\0\0\0xyz", 5)]
    {
        disk.put(&path("defunct.txt"), bytes);
        assert_eq!(defunct(), number);
    }
}

/// [STOR-1] [HARD-59] [HARD-62]: where the data directory is.
#[test]
fn the_data_directory() {
    let working = Path::new("/srv/50%_of%s");
    let of = |id: &str, add| data_directory(working, member(id), add);
    assert_eq!(of("alpha-1", true).unwrap(), working.join("alpha-1"));
    assert_eq!(of("alpha-1", false).unwrap(), working);
    for bad in ["a/b", "a\\b", "..", ".", "c:", "", "a\nb"] {
        assert!(matches!(of(bad, true), Err(DirectoryError::MemberId(_))), "{bad:?}");
        assert!(of(bad, false).is_ok(), "{bad:?} is not used");
    }
}

/// [STOR-2] [STOR-3] [API-25]: directories are created, but not what the working directory is in; a separator at its end
/// means nothing; files in `Temp` go, its sub-directories stay.
#[test]
fn opening_prepares_the_directory() {
    let disk = MemDisk::with_directory(Path::new("/srv"));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let open = |working: &str, add| {
        Directory::open_for(Arc::clone(&shared), Path::new(working), member("alpha"), add)
            .map(|directory| directory.path().to_owned())
    };
    let data = PathBuf::from("/srv/work/alpha");
    assert_eq!(open("/srv/work/", true).unwrap(), data);
    assert!(disk.list(&data.join("Temp")).is_ok());
    assert_eq!(open("/srv/other", false).unwrap(), Path::new("/srv/other"));
    disk.create_dir(&data.join("Temp/kept")).unwrap();
    disk.put(&data.join("Temp/Cod1.tmp"), b"left over");
    disk.put(&data.join("Temp/kept/file"), b"kept");
    assert_eq!(open("/srv/work", true).unwrap(), data);
    assert_eq!(disk.paths(), [data.join("Temp/kept/file")]);
    for add in [true, false] {
        let missing = open("/srv/no/work", add);
        assert!(matches!(missing, Err(DirectoryError::Io { .. })));
    }
}

/// Decision 26: a second replica is refused and told who works there; the names match neither pattern.
#[test]
fn one_writer_per_directory() {
    let disk = disk();
    let first = open(&disk);
    let second = Directory::open(Arc::new(disk.clone()), &root());
    assert!(matches!(second, Err(DirectoryError::Lock(LockError::Held { .. }))));
    drop(first);
    drop(open(&disk));
    for name in [LOCK_FILE, OWNER_FILE] {
        assert!(FileName::parse(name).is_none() && !name.ends_with(".log") && !name.ends_with(".codex"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// [STOR-37] [STOR-45] [HARD-38] [HARD-54]: a damaged or cut file is an error or a state, never a panic; with blocks it
    /// is never another state.
    #[test]
    fn mutations_never_panic(
        version in 0_usize..6,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts: bool,
    ) {
        let version = ProtocolVersion::ALL[version];
        let state = pattern(700);
        let (disk, mut bytes) = saved(version, &state);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        disk.put(&path("3.codex"), &bytes);
        let mut found = Vec::new();
        let read = CheckpointReader::open(&disk, &path("3.codex"))
            .map_err(io::Error::other)
            .and_then(|mut reader| {
                reader.read_to_end(&mut found)?;
                Ok(reader.header().block_size)
            });
        if matches!(read, Ok(block_size) if block_size == BLOCK_SIZE) {
            prop_assert!(found == state);
        }
        prop_assert!(CheckpointHeader::decode(&bytes.into()).is_ok() || read.is_err());
    }
}
