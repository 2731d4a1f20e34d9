//! The header that every message starts with.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{Reader, put_ballot, put_member_id};
use super::{DecodeError, EncodeError, Header, MessageId};
use crate::types::{Decree, ProtocolVersion};

/// The number behind the checksum in every message.
pub const MAGIC: u32 = 0xF00D_FACE;
/// Where the part of a message starts that its checksum covers: behind the checksum field [WIRE-79].
pub const CHECKSUM_FROM: usize = 14;
/// Where the checksum field is.
pub(super) const CHECKSUM_FIELD: std::ops::Range<usize> = 6..14;
/// Size of the version and length fields, which come first.
pub const PREFIX_SIZE: usize = 6;

impl Header {
    /// The header as a reader of its version finds it: without the fields that the version lacks [WIRE-111].
    #[must_use]
    pub fn as_read(&self) -> Header {
        let mut header = *self;
        if !self.version.has_configuration() {
            header.configuration = 1;
        }
        if !self.version.has_payload() {
            header.payload = 0;
        }
        header
    }
}

/// A header with the fields that follow from the message, as they stand in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// The header values.
    pub header: Header,
    /// The length field: not below the base size, otherwise unchecked.
    pub length: u32,
    /// The message id, which may be unknown.
    pub id: u16,
}

impl RawHeader {
    /// Reads the header at the start of `bytes`, of which only the header has to be there. That is how files are
    /// read: a page first, then what its length field asks for.
    ///
    /// # Errors
    /// When version, magic or length are none of a message, or an id lacks its terminator [WIRE-76].
    pub fn decode(bytes: &Bytes) -> Result<RawHeader, DecodeError> {
        read_header(&mut Reader::new(bytes))
    }
}

/// Reads a header. `length` is compared with the base size only [WIRE-76].
pub(super) fn read_header(reader: &mut Reader<'_>) -> Result<RawHeader, DecodeError> {
    let version = reader.u16("version")?;
    let version = ProtocolVersion::from_number(version).ok_or(DecodeError::UnknownVersion(version))?;
    let length = reader.u32("length")?;
    let checksum = reader.u64("checksum")?;
    let magic = reader.u32("magic")?;
    let id = reader.u16("message id")?;
    let member = reader.member_id(version)?;
    let decree = Decree(reader.u64("decree")?);
    let configuration = if version.has_configuration() { reader.u32("configuration number")? } else { 1 };
    let ballot = reader.ballot(version)?;
    let payload = if version.has_payload() { reader.u64("payload")? } else { 0 };
    if (length as usize) < version.base_size() {
        return Err(DecodeError::BadLength(length));
    }
    if magic != MAGIC {
        return Err(DecodeError::BadMagic(magic));
    }
    let header = Header { version, checksum, member, decree, configuration, ballot, payload };
    Ok(RawHeader { header, length, id })
}

/// Appends a header in the layout of its version [WIRE-74].
pub(super) fn put_header(
    header: &Header,
    id: MessageId,
    length: u32,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let start = out.len();
    let version = header.version;
    out.put_u16_le(version.number());
    out.put_u32_le(length);
    out.put_u64_le(header.checksum);
    out.put_u32_le(MAGIC);
    out.put_u16_le(id as u16);
    put_member_id(header.member, version, out)?;
    out.put_u64_le(header.decree.0);
    if version.has_configuration() {
        out.put_u32_le(header.configuration);
    }
    put_ballot(header.ballot, version, out)?;
    if version.has_payload() {
        out.put_u64_le(header.payload);
    }
    assert_eq!(out.len() - start, version.base_size(), "size of a header");
    Ok(())
}
