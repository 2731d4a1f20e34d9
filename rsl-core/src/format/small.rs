//! The small files of a working directory: `defunct.txt`, and the promise file that legacy does not have.

use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{Ballot, Decree, Position, ProtocolVersion};
use crate::wire::codec::{Reader, put_ballot};
use crate::wire::{DecodeError, checksum};

/// Reads `defunct.txt`: the first four bytes, or 0 when they are not all there [STOR-7].
#[must_use]
pub fn decode_defunct(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |number| u32::from_le_bytes(*number))
}

/// The four bytes of `defunct.txt` [STOR-7].
#[must_use]
pub const fn encode_defunct(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// What a replica must remember although neither a log that is read at restart nor a checkpoint says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The highest ballot promised or accepted: checkpoints of versions 1 and 2 do not carry it [HARD-41] [HARD-370].
    pub promised: Ballot,
    /// The highest vote accepted in a part of the history that is not readable any more [HARD-374].
    pub relearn: Option<Position>,
}

/// Why a promise file cannot be used. A promise is lost then, so the start must fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromiseError {
    /// Not a promise file.
    #[error("not a promise file")]
    Magic,
    /// A field does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

const MAGIC: &[u8] = b"RSLPROM1";

impl Promise {
    /// Both taken together.
    #[must_use]
    pub fn merge(self, other: Promise) -> Promise {
        let order = |position: &Position| (position.decree, position.ballot);
        let relearn = self.relearn.into_iter().chain(other.relearn).max_by_key(order);
        Promise { promised: self.promised.max(other.promised), relearn }
    }

    /// The file's bytes: "RSLPROM1", ballot (4 + 64), flag, decree (8), ballot (4 + 64), checksum of all before.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let put = |ballot, out: &mut BytesMut| {
            put_ballot(ballot, ProtocolVersion::V6, out).expect("every id can be said in version 6");
        };
        let relearn = self.relearn.unwrap_or_default();
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        put(self.promised, &mut out);
        out.put_u8(self.relearn.is_some().into());
        out.put_u64_le(relearn.decree.0);
        put(relearn.ballot, &mut out);
        let sum = checksum(&out);
        out.put_u64_le(sum);
        out.freeze()
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn decode(bytes: &Bytes) -> Result<Promise, PromiseError> {
        let mut reader = Reader::new(bytes);
        if reader.take("magic", MAGIC.len() as u64)? != MAGIC {
            return Err(PromiseError::Magic);
        }
        let promised = reader.ballot(ProtocolVersion::V6)?;
        let flag = reader.u8("flag")? != 0;
        let decree = Decree(reader.u64("decree")?);
        let position = Position::new(decree, reader.ballot(ProtocolVersion::V6)?);
        let expected = checksum(&bytes[..reader.offset()]);
        let found = reader.u64("checksum")?;
        if expected != found {
            return Err(DecodeError::BadChecksum { expected, found }.into());
        }
        Ok(Promise { promised, relearn: flag.then_some(position) })
    }
}
