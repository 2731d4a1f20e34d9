//! Primitives shared by messages, log records and checkpoint headers: integers, ids, ballots, cookies, member sets.

use std::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};

use super::{DecodeError, EncodeError};
use crate::types::{
    Ballot, MAX_HOST_NAME, MAX_MEMBER_SET_COOKIE, MemberId, MemberSet, Node, ProtocolVersion,
};

/// Whether the limit on a member set's cookie is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieLimit {
    /// 8192 bytes: anything from a peer or an application [WIRE-72] [HARD-11].
    Enforced,
    /// None: the replica's own log, which legacy let grow beyond the limit [HARD-511].
    OwnLog,
}

/// A cursor over received bytes. Every read is bounds-checked in 64 bits before anything is taken or allocated
/// [HARD-5]; what it returns shares the bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a Bytes,
    offset: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    #[must_use]
    pub fn new(bytes: &'a Bytes) -> Reader<'a> {
        Reader { bytes, offset: 0, end: bytes.len() }
    }

    /// Where the next read starts.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.end - self.offset
    }

    /// Ends the readable part at `end`, which must not be above the present end.
    pub(super) fn cut(&mut self, end: usize) {
        assert!(self.offset <= end && end <= self.end, "a reader can only be shortened");
        self.end = end;
    }

    /// What is left, without taking it.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.bytes.slice(self.offset..self.end)
    }

    fn advance(&mut self, what: &'static str, needed: u64) -> Result<std::ops::Range<usize>, DecodeError> {
        let available = self.remaining();
        match usize::try_from(needed) {
            Ok(length) if length <= available => {
                let range = self.offset..self.offset + length;
                self.offset = range.end;
                Ok(range)
            }
            _ => Err(DecodeError::Truncated { what, offset: self.offset, needed, available }),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let range = self.advance(what, N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// When fewer are left, as for every other read.
    pub fn take(&mut self, what: &'static str, length: u64) -> Result<Bytes, DecodeError> {
        Ok(self.bytes.slice(self.advance(what, length)?))
    }

    /// Passes over the next `length` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn skip(&mut self, what: &'static str, length: u64) -> Result<(), DecodeError> {
        self.advance(what, length).map(drop)
    }

    /// A byte; booleans are zero or not zero [WIRE-58].
    ///
    /// # Errors
    /// At the end of the bytes.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// Two bytes, little-endian [WIRE-58].
    ///
    /// # Errors
    /// At the end of the bytes.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Four bytes, little-endian [WIRE-58].
    ///
    /// # Errors
    /// At the end of the bytes.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes, little-endian [WIRE-58].
    ///
    /// # Errors
    /// At the end of the bytes.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A member id: a number in versions 1 to 3 [WIRE-64], else 64 bytes of which those before the first NUL count
    /// [WIRE-60] [WIRE-61].
    ///
    /// # Errors
    /// At the end of the bytes, or without NUL.
    pub fn member_id(&mut self, version: ProtocolVersion) -> Result<MemberId, DecodeError> {
        if !version.has_string_ids() {
            return Ok(MemberId::from_number(self.u64("member id")?));
        }
        let field: [u8; 64] = self.array("member id")?;
        let length = field.iter().position(|&byte| byte == 0).ok_or(DecodeError::UnterminatedId)?;
        MemberId::from_bytes(&field[..length]).map_err(|_| DecodeError::UnterminatedId)
    }

    /// A ballot.
    ///
    /// # Errors
    /// As for its member id.
    pub fn ballot(&mut self, version: ProtocolVersion) -> Result<Ballot, DecodeError> {
        Ok(Ballot::new(self.u32("ballot id")?, self.member_id(version)?))
    }

    /// A primary cookie; empty in version 1 [WIRE-69]. Bounds come before anything else [HARD-7].
    ///
    /// # Errors
    /// When it does not fit.
    pub fn primary_cookie(&mut self, version: ProtocolVersion) -> Result<Bytes, DecodeError> {
        if !version.has_primary_cookie() {
            return Ok(Bytes::new());
        }
        let length = self.u32("primary cookie length")?;
        self.take("primary cookie", u64::from(length))
    }

    /// A member set in the layout of `version` [WIRE-70].
    ///
    /// # Errors
    /// When it does not fit or exceeds a limit [WIRE-71] [WIRE-72] [HARD-10].
    pub fn member_set(
        &mut self,
        version: ProtocolVersion,
        limit: CookieLimit,
    ) -> Result<MemberSet, DecodeError> {
        let count = self.u16("number of members")?;
        // Grows with the members that are really there.
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(self.node(version)?);
        }
        let length = self.u32("member set cookie length")?;
        if limit == CookieLimit::Enforced && u64::from(length) > MAX_MEMBER_SET_COOKIE as u64 {
            return Err(DecodeError::CookieTooLong(length));
        }
        let cookie = self.take("member set cookie", u64::from(length))?;
        Ok(MemberSet { nodes, cookie })
    }

    fn node(&mut self, version: ProtocolVersion) -> Result<Node, DecodeError> {
        let id = self.member_id(version)?;
        let ip = Ipv4Addr::from(self.array::<4>("member address")?);
        let rsl_port = self.u16("rsl port")?;
        let third = self.u16("learn or application port")?;
        let (learn_port, app_port) = if version.has_string_ids() { (third, 0) } else { (0, third) };
        let length = self.u16("host name length")?;
        if usize::from(length) > MAX_HOST_NAME {
            return Err(DecodeError::HostNameTooLong(length));
        }
        let host_name = self.take("host name", u64::from(length))?;
        Ok(Node { id, ip, rsl_port, learn_port, app_port, host_name })
    }
}

/// Appends a member id: a number in versions 1 to 3 [WIRE-63], else the text and zeroes up to 64 bytes [HARD-14].
///
/// # Errors
/// In versions 1 to 3, when a reader would not get the same id back: it is no number, or not the canonical form of
/// one [WIRE-65] [HARD-13].
pub fn put_member_id(id: MemberId, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    if version.has_string_ids() {
        out.put_slice(id.as_bytes());
        out.put_bytes(0, 64 - id.as_bytes().len());
    } else {
        let number = id.as_number().filter(|_| id.is_canonical_number());
        out.put_u64_le(number.ok_or(EncodeError::IdNotNumeric { id, version })?);
    }
    Ok(())
}

/// Appends a ballot.
///
/// # Errors
/// As [`put_member_id`].
pub fn put_ballot(ballot: Ballot, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u32_le(ballot.id);
    put_member_id(ballot.member, version, out)
}

/// Appends a primary cookie; nothing in version 1 [WIRE-69].
///
/// # Errors
/// When its length does not fit 32 bits.
pub fn put_primary_cookie(
    cookie: &[u8],
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    if version.has_primary_cookie() {
        out.put_u32_le(length_u32("primary cookie", cookie.len() as u64)?);
        out.put_slice(cookie);
    }
    Ok(())
}

/// A length narrowed to the 32 bits of its field [HARD-4].
///
/// # Errors
/// When it does not fit.
pub fn length_u32(what: &'static str, length: u64) -> Result<u32, EncodeError> {
    u32::try_from(length).map_err(|_| EncodeError::TooLong { what, length })
}

/// Encoded size of a member set: 6 bytes, the cookie, and 18 or 74 bytes plus the host name for each member.
#[must_use]
pub fn member_set_size(set: &MemberSet, version: ProtocolVersion) -> u64 {
    let fixed = version.member_id_size() as u64 + 10;
    let nodes: u64 = set.nodes.iter().map(|node| fixed + node.host_name.len() as u64).sum();
    6 + set.cookie.len() as u64 + nodes
}

/// Appends a member set in the layout of `version` [WIRE-70].
///
/// # Errors
/// When an id is no number in versions 1 to 3, or a limit is exceeded [WIRE-71] [HARD-11] [HARD-12].
pub fn encode_member_set(
    set: &MemberSet,
    version: ProtocolVersion,
    limit: CookieLimit,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let members = set.nodes.len() as u64;
    let count = u16::try_from(members)
        .map_err(|_| EncodeError::TooLong { what: "list of members", length: members })?;
    let cookie = length_u32("member set cookie", set.cookie.len() as u64)?;
    if limit == CookieLimit::Enforced && set.cookie.len() > MAX_MEMBER_SET_COOKIE {
        return Err(EncodeError::TooLong { what: "member set cookie", length: u64::from(cookie) });
    }
    let start = out.len();
    out.put_u16_le(count);
    for node in &set.nodes {
        put_node(node, version, out)?;
    }
    out.put_u32_le(cookie);
    out.put_slice(&set.cookie);
    assert_eq!((out.len() - start) as u64, member_set_size(set, version), "size of a member set");
    Ok(())
}

fn put_node(node: &Node, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    let length = u8::try_from(node.host_name.len())
        .map_err(|_| EncodeError::TooLong { what: "host name", length: node.host_name.len() as u64 })?;
    put_member_id(node.id, version, out)?;
    out.put_slice(&node.ip.octets());
    out.put_u16_le(node.rsl_port);
    out.put_u16_le(if version.has_string_ids() { node.learn_port } else { node.app_port });
    out.put_u16_le(u16::from(length));
    out.put_slice(&node.host_name);
    Ok(())
}

/// Decodes a member set from the start of `bytes`; returns it with the number of bytes it takes.
///
/// # Errors
/// As [`Reader::member_set`].
pub fn decode_member_set(
    bytes: &Bytes,
    version: ProtocolVersion,
    limit: CookieLimit,
) -> Result<(MemberSet, usize), DecodeError> {
    let mut reader = Reader::new(bytes);
    let set = reader.member_set(version, limit)?;
    Ok((set, reader.offset()))
}
