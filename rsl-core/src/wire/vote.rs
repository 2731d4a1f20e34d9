//! The Vote message: a proposal for one decree, kept together with the bytes it is encoded in.

use std::sync::Arc;

use bytes::Bytes;

use super::{DecodeError, EncodeError, Header, PrimaryCookie};
use crate::types::{Ballot, Decree, MemberSet, Position, ProtocolVersion};

/// A vote, immutable, with its encoded form.
///
/// Invariant: `encoded` is the complete message, exactly as received or built; its length is the `length` field.
/// Keeping it makes logging, forwarding and re-sending byte-exact [WIRE-62] [STOR-14] [PROTO-6], whatever undefined
/// bytes follow the NUL of a 64-byte id. Cloning is cheap (shared bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    header: Header,
    cookie: PrimaryCookie,
    reconfiguration: Option<Arc<MemberSet>>,
    relinquish: bool,
    request_count: u32,
    requests_at: usize,
    encoded: Bytes,
}

/// What a new vote is made of; everything but header and length.
#[derive(Clone, Debug, Default)]
pub struct VoteContent {
    /// The primary cookie; not encoded in version 1.
    pub cookie: PrimaryCookie,
    /// The proposed members of a reconfiguration vote (version 3 on); such a vote has no requests.
    pub reconfiguration: Option<Arc<MemberSet>>,
    /// The relinquish flag (version 5 on).
    pub relinquish: bool,
    /// The requests, each at least one byte long.
    pub requests: Vec<Bytes>,
}

impl Vote {
    /// Builds and encodes a vote; the checksum of `header` is ignored and computed [WIRE-80].
    ///
    /// # Errors
    /// When an id cannot be said in the header's version, a request is empty, the content does not fit the version
    /// or the length would exceed 32 bits.
    pub fn new(header: Header, content: &VoteContent) -> Result<Vote, EncodeError> {
        let _ = (header, content);
        todo!("wire")
    }

    /// Re-proposal: the same value (requests or member set) under another header, with the relinquish flag cleared
    /// and payload 0 [WIRE-88] [PROTO-10].
    ///
    /// # Errors
    /// As [`Vote::new`].
    pub fn repropose(&self, header: Header, cookie: PrimaryCookie) -> Result<Vote, EncodeError> {
        let _ = (header, cookie);
        todo!("wire")
    }

    /// Decodes a vote from the start of `bytes`; bytes beyond its `length` are ignored [WIRE-85] [WIRE-86]. Shares
    /// `bytes`.
    ///
    /// # Errors
    /// When it is malformed. The checksum is not verified here: see [`Vote::checksum_is_valid`].
    pub fn decode(bytes: &Bytes) -> Result<Vote, DecodeError> {
        let _ = bytes;
        todo!("wire")
    }

    /// The header values.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The version it is encoded in.
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.header.version
    }

    /// The decree it proposes a value for.
    #[must_use]
    pub const fn decree(&self) -> Decree {
        self.header.decree
    }

    /// The ballot it is proposed under.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.header.ballot
    }

    /// Decree and ballot.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.header.position()
    }

    /// The proposer's cookie.
    #[must_use]
    pub const fn cookie(&self) -> &PrimaryCookie {
        &self.cookie
    }

    /// The members a reconfiguration vote proposes.
    #[must_use]
    pub const fn reconfiguration(&self) -> Option<&Arc<MemberSet>> {
        self.reconfiguration.as_ref()
    }

    /// Whether the proposer gives up being primary with this vote.
    #[must_use]
    pub const fn relinquish(&self) -> bool {
        self.relinquish
    }

    /// Number of requests.
    #[must_use]
    pub const fn request_count(&self) -> u32 {
        self.request_count
    }

    /// The requests in execution order [WIRE-83]; slices of the encoded form.
    pub fn requests(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.encoded.slice(self.requests_at..);
        std::iter::from_fn(move || {
            let length = rest.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize)?;
            let request = rest.slice(4..4 + length);
            rest = rest.slice(4 + length..);
            Some(request)
        })
    }

    /// The complete encoded message, checksum included.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Whether the stored checksum matches the bytes [WIRE-79].
    #[must_use]
    pub fn checksum_is_valid(&self) -> bool {
        todo!("wire")
    }

    /// Whether both votes propose the same value: requests in order, or member set with cookie [PROTO-10].
    #[must_use]
    pub fn same_value(&self, other: &Vote) -> bool {
        let _ = other;
        todo!("wire")
    }
}
