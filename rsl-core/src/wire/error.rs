//! Why bytes are no message, and why a message has no bytes.

use crate::types::{MemberId, ProtocolVersion};

/// Why bytes could not be decoded. Never fatal: the message is dropped [WIRE-18].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before a field does.
    #[error("{what} at offset {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// Its size.
        needed: u64,
        /// What is there.
        available: usize,
    },
    /// A version other than 1 to 6 [WIRE-76].
    #[error("unknown protocol version {0}")]
    UnknownVersion(u16),
    /// An unknown message id, or one that is not allowed here [WIRE-12].
    #[error("unknown message id {0}")]
    UnknownId(u16),
    /// The magic number differs [WIRE-76].
    #[error("bad magic {0:#010x}")]
    BadMagic(u32),
    /// The length field is below the header size or, for a vote, above what is there [WIRE-76] [WIRE-85].
    #[error("bad length field {0}")]
    BadLength(u32),
    /// A 64-byte member id without NUL [WIRE-60].
    #[error("member id without terminator")]
    UnterminatedId,
    /// A host name above 255 bytes [WIRE-71] [HARD-10].
    #[error("host name of {0} bytes")]
    HostNameTooLong(u16),
    /// A member-set cookie above 8192 bytes [WIRE-72].
    #[error("member set cookie of {0} bytes")]
    CookieTooLong(u32),
    /// Bytes behind the member set of a reconfiguration vote [HARD-9].
    #[error("{0} bytes follow the fields of a reconfiguration vote")]
    TrailingBytes(usize),
    /// A request length of 0 [WIRE-85].
    #[error("empty request in a vote")]
    EmptyRequest,
    /// A computed checksum differs from the stored one (packets, records).
    #[error("checksum {found:#018x} where {expected:#018x} was computed")]
    BadChecksum {
        /// Computed from the bytes.
        expected: u64,
        /// Stored in the bytes.
        found: u64,
    },
    /// A packet size below its header or above the limit [WIRE-48].
    #[error("packet size {size} outside 20..={limit}")]
    BadPacketSize {
        /// The size field.
        size: u32,
        /// The limit in force.
        limit: u64,
    },
}

/// Why a value could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Versions 1 to 3 can only say ids that are numbers [HARD-13] [HARD-302].
    #[error("member id {id} cannot be said in protocol version {version}")]
    IdNotNumeric {
        /// The id.
        id: MemberId,
        /// The version.
        version: ProtocolVersion,
    },
    /// The version has no field for it (member set below 3, relinquish flag below 5).
    #[error("protocol version {version} has no {what}")]
    NotInVersion {
        /// What was to be encoded.
        what: &'static str,
        /// The version.
        version: ProtocolVersion,
    },
    /// A length above its limit [HARD-4] [HARD-311].
    #[error("{what} of {length} bytes is too long")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        length: u64,
    },
    /// A request without bytes, which legacy readers cannot decode [HARD-312].
    #[error("a request must have at least one byte")]
    EmptyRequest,
    /// Requests in a reconfiguration vote [WIRE-84].
    #[error("a reconfiguration vote carries no requests")]
    RequestsInReconfiguration,
}
