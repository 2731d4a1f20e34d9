//! The bare messages of the learn port: what their first six bytes must say before the rest is awaited.

use super::{DecodeError, PREFIX_SIZE};
use crate::types::ProtocolVersion;

/// Longest learn request we read; requests need at most 172 bytes [HARD-17].
pub const MAX_REQUEST: u32 = 4096;
/// Longest StatusResponse we read; it needs at most 352 bytes [HARD-17].
pub const MAX_RESPONSE: u32 = 4096;

/// The number of bytes that a bare message has in all, from its first six [WIRE-31] [WIRE-32].
///
/// # Errors
/// For a version that does not exist, and for a length below the base size of the version or above `limit`: the
/// socket is to be closed [HARD-17].
pub fn message_length(prefix: [u8; PREFIX_SIZE], limit: u32) -> Result<usize, DecodeError> {
    let [v0, v1, l0, l1, l2, l3] = prefix;
    let number = u16::from_le_bytes([v0, v1]);
    let version = ProtocolVersion::from_number(number).ok_or(DecodeError::UnknownVersion(number))?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let size = usize::try_from(length).map_err(|_| DecodeError::BadLength(length))?;
    if size < version.base_size() || length > limit {
        return Err(DecodeError::BadLength(length));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(version: u16, length: u32) -> [u8; 6] {
        let [v0, v1] = version.to_le_bytes();
        let [l0, l1, l2, l3] = length.to_le_bytes();
        [v0, v1, l0, l1, l2, l3]
    }

    /// [WIRE-32] [HARD-17]
    #[test]
    fn only_plausible_prefixes_are_followed() {
        for version in ProtocolVersion::ALL {
            let base = u32::try_from(version.base_size()).unwrap();
            let ask = |length| message_length(prefix(version.number(), length), MAX_REQUEST);
            assert_eq!(ask(base), Ok(version.base_size()));
            assert_eq!(ask(MAX_REQUEST), Ok(4096));
            for bad in [0, 1, 5, base - 1, MAX_REQUEST + 1, u32::MAX] {
                assert_eq!(ask(bad), Err(DecodeError::BadLength(bad)), "v{version}");
            }
        }
        for bad in [0, 7, 0xFFFF] {
            assert_eq!(message_length(prefix(bad, 172), MAX_REQUEST), Err(DecodeError::UnknownVersion(bad)));
        }
    }
}
