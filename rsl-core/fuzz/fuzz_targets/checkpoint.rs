//! Any bytes as a checkpoint file: no panic, a header that is read can be written and reads as the same again, and
//! the layout of the body adds up.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rsl_core::format::{BodyLayout, CheckpointHeader, PAGE};
use rsl_core_fuzz::with_message_checksums;

fuzz_target!(|data: &[u8]| {
    let Some((&mode, file)) = data.split_first() else { return };
    let file = Bytes::from(if mode % 2 == 1 { with_message_checksums(file) } else { file.to_vec() });
    let page = file.slice(..file.len().min(PAGE as usize));
    let Ok(length) = CheckpointHeader::length_from(&page, file.len() as u64) else { return };
    assert!(length > 0 && length % PAGE == 0 && length <= file.len() as u64);
    let Ok(header) = CheckpointHeader::decode(&file.slice(..length as usize)) else { return };
    let again = header.encode().expect("what was read can be written");
    assert_eq!(again.len() as u64, header.encoded_len());
    assert_eq!(CheckpointHeader::decode(&again).as_ref(), Ok(&header));
    let layout = header.layout().expect("a header that was read has a usable block size");
    for size in [file.len() as u64, header.size, layout.start(), u64::MAX] {
        check_layout(&layout, size);
    }
});

/// Data and file sizes belong together, and blocks cover the data without gaps or overlap.
fn check_layout(layout: &BodyLayout, size: u64) {
    let Ok(data) = layout.data_len(size) else { return };
    assert_eq!(layout.file_size(data), size);
    assert_eq!(layout.block_at(data, data), None);
    let Some(last) = data.checked_sub(1).and_then(|position| layout.block_at(position, data)) else { return };
    assert_eq!(last.data_offset + last.length, data);
    if let Some(first) = layout.block_at(0, data) {
        assert_eq!((first.data_offset, first.file_offset), (0, layout.start()));
    }
}
