//! What the fuzz targets share.

use rsl_core::wire::{MAGIC, message_checksum};

/// Where the magic number is in a message.
const MAGIC_AT: usize = 14;

/// `data` with the checksum of everything that looks like a message set right, so that damage reaches what is behind
/// the checksum.
#[must_use]
pub fn with_message_checksums(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let magic = MAGIC.to_le_bytes();
    let mut at = 0;
    while let Some(found) =
        data.get(at + MAGIC_AT..).and_then(|rest| rest.windows(4).position(|w| w == magic))
    {
        at += found;
        let message = &mut data[at..];
        let length = u32::from_le_bytes([message[2], message[3], message[4], message[5]]) as usize;
        if (MAGIC_AT..=message.len()).contains(&length) {
            let sum = message_checksum(&message[..length]);
            message[6..MAGIC_AT].copy_from_slice(&sum.to_le_bytes());
        }
        at += 1;
    }
    data
}
