//! Any bytes as a checkpoint file that is loaded, and as one that a peer sends: no panic, the state has the length it
//! should have, what is published verifies, and a refused copy leaves nothing.

#![no_main]

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rsl_core::format::CheckpointHeader;
use rsl_core::storage::{CheckpointReader, CopyRequest, Directory, Disk, MemDisk, OpenMode, copy_checkpoint};
use rsl_core::types::{Ballot, Decree};
use rsl_core_fuzz::with_message_checksums;

const DATA: &str = "/data";

fuzz_target!(|data: &[u8]| {
    let Some((&mode, file)) = data.split_first() else { return };
    let bytes = Bytes::from(if mode % 2 == 1 { with_message_checksums(file) } else { file.to_vec() });
    let header = CheckpointHeader::decode(&bytes);
    let disk = MemDisk::with_directory(Path::new(DATA));
    let source = Path::new("/data/source");
    disk.put(source, &bytes);
    let file = disk.open(source, OpenMode::Read).expect("it is there");
    if let Ok(mut reader) = CheckpointReader::new(file) {
        let mut state = Vec::new();
        let length = reader.len();
        if reader.read_to_end(&mut state).is_ok() {
            assert_eq!(state.len() as u64, length);
        }
    }
    let decree = header.map_or(Decree::ZERO, |header| header.executed);
    let directory = Directory::open(Arc::new(disk.clone()), Path::new(DATA)).expect("nobody else uses it");
    let request = CopyRequest { decree, size: 0, promised: Ballot::EMPTY, max_header: 1 << 20 };
    if let Ok(info) = copy_checkpoint(&directory, request, &mut &bytes[..]) {
        let published = Path::new(DATA).join(format!("{decree}.codex"));
        let mut reader = CheckpointReader::open(&disk, &published).expect("what was published opens");
        reader.expect_decree(decree).expect("and is what was asked for");
        reader.verify_rest().expect("and verifies");
        assert_eq!(reader.file_size(), info.size);
    } else {
        assert_eq!(disk.paths(), [source], "a failed copy leaves nothing");
    }
});
