//! The Vote message: a proposal for one decree, kept together with the bytes it is encoded in.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{CookieLimit, Reader, encode_member_set, length_u32, member_set_size, put_primary_cookie};
use super::header::{CHECKSUM_FIELD, put_header, read_header};
use super::{DecodeError, EncodeError, Header, MessageId, PrimaryCookie, message_checksum};
use crate::types::{Ballot, Decree, MemberId, MemberSet, Node, Position, ProtocolVersion};

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
        if content.requests.iter().any(Bytes::is_empty) {
            return Err(EncodeError::EmptyRequest);
        }
        if content.reconfiguration.is_some() && !content.requests.is_empty() {
            return Err(EncodeError::RequestsInReconfiguration);
        }
        let size = content.requests.iter().map(|request| 4 + request.len() as u64).sum();
        let parts = Parts {
            cookie: &content.cookie,
            reconfiguration: content.reconfiguration.as_ref(),
            limit: CookieLimit::Enforced,
            relinquish: content.relinquish,
        };
        parts.build(header, size, |out| {
            for request in &content.requests {
                out.put_u32_le(length_u32("request", request.len() as u64)?);
                out.put_slice(request);
            }
            u32::try_from(content.requests.len()).map_err(|_| EncodeError::TooLong {
                what: "list of requests",
                length: content.requests.len() as u64,
            })
        })
    }

    /// Re-proposal: the same value (requests or member set) under another header, with the relinquish flag cleared
    /// and payload 0 [WIRE-88] [PROTO-10]. The version is the higher one of `header` and this vote, so that
    /// nothing the value needs gets lost [HARD-27] [HARD-314].
    ///
    /// # Errors
    /// As [`Vote::new`].
    pub fn repropose(&self, header: Header, cookie: PrimaryCookie) -> Result<Vote, EncodeError> {
        let version = header.version.max(self.version());
        let header = Header { version, payload: 0, ..header };
        let parts = Parts {
            cookie: &cookie,
            reconfiguration: self.reconfiguration.as_ref(),
            // What was accepted once has to stay acceptable to ourselves.
            limit: CookieLimit::OwnLog,
            relinquish: false,
        };
        let requests = &self.encoded[self.requests_at..];
        parts.build(header, requests.len() as u64, |out| {
            out.put_slice(requests);
            Ok(self.request_count)
        })
    }

    /// Decodes a vote from the start of `bytes`; bytes beyond its `length` are ignored [WIRE-85] [WIRE-86]. Shares
    /// `bytes`.
    ///
    /// # Errors
    /// When it is malformed. The checksum is not verified here: see [`Vote::checksum_is_valid`].
    pub fn decode(bytes: &Bytes) -> Result<Vote, DecodeError> {
        Vote::decode_with(bytes, CookieLimit::Enforced)
    }

    /// As [`Vote::decode`], for a record of the replica's own log: the cookie of a member set may have any length
    /// [HARD-511].
    ///
    /// # Errors
    /// As [`Vote::decode`].
    pub fn decode_own(bytes: &Bytes) -> Result<Vote, DecodeError> {
        Vote::decode_with(bytes, CookieLimit::OwnLog)
    }

    fn decode_with(bytes: &Bytes, limit: CookieLimit) -> Result<Vote, DecodeError> {
        let mut reader = Reader::new(bytes);
        let raw = read_header(&mut reader)?;
        let version = raw.header.version;
        // Compared before anything of that length is touched [HARD-8].
        let length = usize::try_from(raw.length).map_err(|_| DecodeError::BadLength(raw.length))?;
        if length > bytes.len() {
            return Err(DecodeError::BadLength(raw.length));
        }
        reader.cut(length);
        let cookie = reader.primary_cookie(version)?;
        let mut reconfiguration = None;
        if version.has_configuration() && reader.u8("reconfiguration flag")? != 0 {
            reconfiguration = Some(Arc::new(reader.member_set(version, limit)?));
        }
        let relinquish = version.has_relinquish() && reader.u8("relinquish flag")? != 0;
        let requests_at = reader.offset();
        if reconfiguration.is_some() && reader.remaining() > 0 {
            return Err(DecodeError::TrailingBytes(reader.remaining()));
        }
        let request_count = count_requests(&mut reader)?;
        Ok(Vote {
            header: raw.header,
            cookie,
            reconfiguration,
            relinquish,
            request_count,
            requests_at,
            encoded: bytes.slice(..length),
        })
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

    /// Whether it proposes nothing: neither requests nor members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.request_count == 0 && self.reconfiguration.is_none()
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
        message_checksum(&self.encoded) == self.header.checksum
    }

    /// Whether both votes propose the same value: requests in order, or member set with cookie [PROTO-10].
    #[must_use]
    pub fn same_value(&self, other: &Vote) -> bool {
        match (&self.reconfiguration, &other.reconfiguration) {
            (None, None) => self.encoded[self.requests_at..] == other.encoded[other.requests_at..],
            (Some(ours), Some(theirs)) => {
                let (ours, theirs) = (said_by(ours, self.version()), said_by(theirs, other.version()));
                ours.eq(theirs) && self.set_cookie() == other.set_cookie()
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn set_cookie(&self) -> &[u8] {
        self.reconfiguration.as_ref().map_or(&[], |set| &set.cookie)
    }
}

/// What both kinds of encoding say of a member: the port that only one of them has is left out.
fn said_by(
    set: &MemberSet,
    version: ProtocolVersion,
) -> impl Iterator<Item = (MemberId, [u8; 4], u16, &[u8])> + '_ {
    let id = move |node: &Node| {
        let number = if version.has_string_ids() { None } else { node.id.as_number() };
        number.map_or(node.id, MemberId::from_number)
    };
    set.nodes.iter().map(move |node| (id(node), node.ip.octets(), node.rsl_port, &node.host_name[..]))
}

/// Checks the requests up to the end of the vote and counts them [WIRE-85] [HARD-5] [HARD-6].
fn count_requests(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let mut count = 0;
    while reader.remaining() > 0 {
        let length = reader.u32("request length")?;
        if length == 0 {
            return Err(DecodeError::EmptyRequest);
        }
        reader.skip("request", u64::from(length))?;
        count += 1;
    }
    Ok(count)
}

/// What stands before the requests.
struct Parts<'a> {
    cookie: &'a PrimaryCookie,
    reconfiguration: Option<&'a Arc<MemberSet>>,
    limit: CookieLimit,
    relinquish: bool,
}

impl Parts<'_> {
    /// Encodes a vote whose requests take `size` bytes and are appended and counted by `requests`. There is no
    /// limit on the cookie but the length field of the message [HARD-28].
    fn build(
        self,
        header: Header,
        size: u64,
        requests: impl FnOnce(&mut BytesMut) -> Result<u32, EncodeError>,
    ) -> Result<Vote, EncodeError> {
        let version = header.version;
        if self.reconfiguration.is_some() && !version.has_configuration() {
            return Err(EncodeError::NotInVersion { what: "reconfiguration", version });
        }
        if self.relinquish && !version.has_relinquish() {
            return Err(EncodeError::NotInVersion { what: "relinquish flag", version });
        }
        let cookie = if version.has_primary_cookie() { self.cookie.clone() } else { PrimaryCookie::new() };
        let length = length_u32("vote", self.size(version) + size)?;
        let mut out = BytesMut::with_capacity(length as usize);
        put_header(&header, MessageId::Vote, length, &mut out)?;
        put_primary_cookie(&cookie, version, &mut out)?;
        if version.has_configuration() {
            out.put_u8(self.reconfiguration.is_some().into());
        }
        if let Some(set) = self.reconfiguration {
            encode_member_set(set, version, self.limit, &mut out)?;
        }
        if version.has_relinquish() {
            out.put_u8(self.relinquish.into());
        }
        let requests_at = out.len();
        let request_count = requests(&mut out)?;
        assert_eq!(out.len(), length as usize, "size of a vote");
        let checksum = message_checksum(&out);
        out[CHECKSUM_FIELD].copy_from_slice(&checksum.to_le_bytes());
        Ok(Vote {
            header: Header { checksum, ..header.as_read() },
            cookie,
            reconfiguration: self.reconfiguration.cloned(),
            relinquish: self.relinquish,
            request_count,
            requests_at,
            encoded: out.freeze(),
        })
    }

    fn size(&self, version: ProtocolVersion) -> u64 {
        let mut size = version.base_size() as u64;
        if version.has_primary_cookie() {
            size += 4 + self.cookie.len() as u64;
        }
        if version.has_configuration() {
            size += 1 + self.reconfiguration.map_or(0, |set| member_set_size(set, version));
        }
        size + u64::from(version.has_relinquish())
    }
}
