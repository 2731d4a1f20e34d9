//! Protocol versions 1 to 6 and what each of them can say.

use std::fmt;

/// A protocol version that a message, record or checkpoint header is encoded in [WIRE-106].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ProtocolVersion {
    /// The first version.
    V1 = 1,
    /// Primary cookies in votes and prepares.
    V2 = 2,
    /// Configuration numbers, reconfiguration votes, checkpoint headers with the configuration.
    V3 = 3,
    /// 64-byte member ids, bootstrap, learn ports in member sets, checkpoint block checksums.
    V4 = 4,
    /// Relinquishing votes.
    V5 = 5,
    /// Vote payloads.
    V6 = 6,
}

impl ProtocolVersion {
    /// Every version, lowest first.
    pub const ALL: [ProtocolVersion; 6] = [
        ProtocolVersion::V1,
        ProtocolVersion::V2,
        ProtocolVersion::V3,
        ProtocolVersion::V4,
        ProtocolVersion::V5,
        ProtocolVersion::V6,
    ];

    /// The version of a number, if it is one of 1..=6 [WIRE-76].
    #[must_use]
    pub const fn from_number(number: u16) -> Option<ProtocolVersion> {
        Some(match number {
            1 => ProtocolVersion::V1,
            2 => ProtocolVersion::V2,
            3 => ProtocolVersion::V3,
            4 => ProtocolVersion::V4,
            5 => ProtocolVersion::V5,
            6 => ProtocolVersion::V6,
            _ => return None,
        })
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Prepare and Vote carry a primary cookie (version 2 on).
    #[must_use]
    pub fn has_primary_cookie(self) -> bool {
        self >= ProtocolVersion::V2
    }

    /// Messages carry a configuration number and votes the reconfiguration flag (version 3 on).
    #[must_use]
    pub fn has_configuration(self) -> bool {
        self >= ProtocolVersion::V3
    }

    /// Member ids travel as 64-byte strings, not as numbers (version 4 on).
    #[must_use]
    pub fn has_string_ids(self) -> bool {
        self >= ProtocolVersion::V4
    }

    /// Votes carry the relinquish flag (version 5 on).
    #[must_use]
    pub fn has_relinquish(self) -> bool {
        self >= ProtocolVersion::V5
    }

    /// The header carries a payload (version 6 on).
    #[must_use]
    pub fn has_payload(self) -> bool {
        self >= ProtocolVersion::V6
    }

    /// Encoded size of a member id: 8 or 64 bytes.
    #[must_use]
    pub fn member_id_size(self) -> usize {
        if self.has_string_ids() { 64 } else { 8 }
    }

    /// Size of the message header in this version [WIRE-74].
    #[must_use]
    pub const fn base_size(self) -> usize {
        match self {
            ProtocolVersion::V1 | ProtocolVersion::V2 => 48,
            ProtocolVersion::V3 => 52,
            ProtocolVersion::V4 | ProtocolVersion::V5 => 164,
            ProtocolVersion::V6 => 172,
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}
