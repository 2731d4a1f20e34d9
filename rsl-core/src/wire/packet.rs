//! Packets: a message behind a 20-byte header of size, two zero words and checksum.

use bytes::{BufMut, Bytes, BytesMut};

use super::header::CHECKSUM_FROM;
use super::{Checksum, DecodeError, EncodeError};

/// Size of the packet header [WIRE-45].
pub const PACKET_HEADER_SIZE: usize = 20;
/// The largest message limit that is used, in MiB: larger settings are read as this one [HARD-2].
pub const MAX_MESSAGE_MIB: u64 = 2047;
/// From this size on it is cheaper to combine checksums than to sum the bytes again.
const COMBINE_FROM: usize = 32 * 1024;
/// Where the checksum is in the packet header.
const CHECKSUM_AT: usize = 12;

/// The limit, in bytes, that a setting in MiB means for a whole packet [WIRE-50] [HARD-2].
#[must_use]
pub const fn packet_limit(mebibytes: u64) -> u64 {
    let mebibytes = if mebibytes > MAX_MESSAGE_MIB { MAX_MESSAGE_MIB } else { mebibytes };
    mebibytes * 1_048_576 + 1024
}

/// The packet header for an encoded message [WIRE-45] [WIRE-46] [WIRE-47]. `tail` is the checksum of everything behind
/// the message's own checksum field when it is known to be right (a vote that was verified or built here): then
/// those bytes are not read again.
///
/// # Errors
/// When the size does not fit 32 bits.
pub fn packet_header(message: &[u8], tail: Option<u64>) -> Result<[u8; PACKET_HEADER_SIZE], EncodeError> {
    let length = (PACKET_HEADER_SIZE + message.len()) as u64;
    let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { what: "packet", length })?;
    let mut header = [0; PACKET_HEADER_SIZE];
    header[..4].copy_from_slice(&size.to_le_bytes());
    let mut sum = Checksum::new();
    sum.update(&header);
    match (tail, message.split_at_checked(CHECKSUM_FROM)) {
        (Some(tail), Some((head, rest))) if rest.len() >= COMBINE_FROM => {
            sum.update(head);
            sum.append(tail, rest.len() as u64);
        }
        _ => sum.update(message),
    }
    header[CHECKSUM_AT..].copy_from_slice(&sum.value().to_le_bytes());
    Ok(header)
}

/// The whole packet for an encoded message.
///
/// # Errors
/// As [`packet_header`].
pub fn encode_packet(message: &[u8]) -> Result<Bytes, EncodeError> {
    let header = packet_header(message, None)?;
    let mut out = BytesMut::with_capacity(header.len() + message.len());
    out.put_slice(&header);
    out.put_slice(message);
    Ok(out.freeze())
}

/// Takes a byte stream apart into packets. Memory grows with the bytes received, never with the size a header claims
/// [HARD-1].
#[derive(Debug)]
pub struct PacketDecoder {
    limit: u64,
    buffer: BytesMut,
    failed: Option<DecodeError>,
}

impl PacketDecoder {
    /// A decoder for packets of at most `limit` bytes: see [`packet_limit`].
    #[must_use]
    pub fn new(limit: u64) -> PacketDecoder {
        PacketDecoder { limit, buffer: BytesMut::new(), failed: None }
    }

    /// From now on packets of up to `limit` bytes are taken; a smaller limit than before changes nothing.
    pub fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The buffer to read into instead of [`PacketDecoder::feed`]; only append to it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes received and not yet returned.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The message bytes of the next complete packet, `None` when more bytes are needed [WIRE-20].
    ///
    /// # Errors
    /// A size outside the limits as soon as the header is there [WIRE-48], a wrong checksum when the packet is
    /// complete. The connection is to be closed; no later byte is looked at [WIRE-49].
    pub fn poll(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.next();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    fn next(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(mut header) = self.buffer.first_chunk::<PACKET_HEADER_SIZE>().copied() else {
            return Ok(None);
        };
        let [s0, s1, s2, s3, ..] = header;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        if u64::from(size) < PACKET_HEADER_SIZE as u64 || u64::from(size) > self.limit {
            return Err(DecodeError::BadPacketSize { size, limit: self.limit });
        }
        let length = size as usize;
        if self.buffer.len() < length {
            return Ok(None);
        }
        let mut message = self.buffer.split_to(length).freeze();
        message = message.slice(PACKET_HEADER_SIZE..);
        let mut found = [0; 8];
        found.copy_from_slice(&header[CHECKSUM_AT..]);
        header[CHECKSUM_AT..].fill(0);
        let mut sum = Checksum::new();
        sum.update(&header);
        sum.update(&message);
        let found = u64::from_le_bytes(found);
        if sum.value() != found {
            return Err(DecodeError::BadChecksum { expected: sum.value(), found });
        }
        Ok(Some(message))
    }
}
