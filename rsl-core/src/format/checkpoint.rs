//! Checkpoint headers, versions 1 to 6: bytes <-> [`CheckpointHeader`].

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::body::{BLOCK_SIZE, BodyError, BodyLayout};
use super::record::{PAGE, round_to_page};
use crate::types::{Ballot, Configuration, Decree, MemberId, ProtocolVersion};
use crate::wire::codec::{Reader, put_ballot, put_member_id};
use crate::wire::{
    CookieLimit, DecodeError, EncodeError, RawHeader, Vote, encode_member_set, member_set_size,
};

/// What stands before the application's bytes in a checkpoint file [STOR-32].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// The version of the header: the writer's at the time of saving [STOR-39].
    pub version: ProtocolVersion,
    /// The replica that produced the file.
    pub member: MemberId,
    /// The state is that after this decree.
    pub executed: Decree,
    /// The highest ballot promised or accepted; in versions 1 and 2 that of the next vote [STOR-38].
    pub promised: Ballot,
    /// The configuration of the state; unknown in versions 1 and 2.
    pub configuration: Option<Configuration>,
    /// Whether there is application state; false only from version 4 on.
    pub state_saved: bool,
    /// Size of the whole file in bytes; 0 = not recorded (below version 4).
    pub size: u64,
    /// Size of the body's blocks; 0 = raw body.
    pub block_size: u32,
    /// The vote of the next decree, in its own version.
    pub next_vote: Vote,
}

/// Why bytes are no usable checkpoint header [STOR-37].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Fewer bytes than a page, or than the header [STOR-37].
    #[error("the header needs {needed} bytes, {present} are there")]
    Short {
        /// Bytes needed.
        needed: u64,
        /// Bytes present.
        present: u64,
    },
    /// A header length that is no multiple of 512, 0, or above the cap [HARD-38].
    #[error("bad header length {0}")]
    Length(u64),
    /// A field does not decode.
    #[error("the header does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The next vote's checksum is wrong [STOR-36].
    #[error("the next vote's checksum is wrong")]
    NextVote,
    /// The highest ballot is below the next vote's [STOR-37].
    #[error("the highest ballot is below the next vote's")]
    LowPromise,
    /// The block size is not usable [HARD-54].
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Why a header cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderEncodeError {
    /// A field cannot be said.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Versions 1 and 2 are the next vote itself, so it cannot be newer [HARD-42].
    #[error("a version {header} checkpoint cannot carry a version {vote} vote")]
    VoteTooNew {
        /// Of the header.
        header: ProtocolVersion,
        /// Of the vote.
        vote: ProtocolVersion,
    },
    /// From version 3 on the configuration is part of the header.
    #[error("a version {0} checkpoint needs a configuration")]
    NoConfiguration(ProtocolVersion),
}

/// Bytes of the fixed fields behind the member set, from version 4 on: state flag, file size, block size.
const V4_FIELDS: u64 = 1 + 8 + 4;

impl CheckpointHeader {
    /// The version of a header written by a replica that speaks `version`: raised where the next vote would be taken
    /// for a header of its own [HARD-42].
    #[must_use]
    pub fn version_for(version: ProtocolVersion, next_vote: &Vote) -> ProtocolVersion {
        if version.has_configuration() { version } else { version.max(next_vote.version()) }
    }

    /// The block size that goes with a new file of `version`.
    #[must_use]
    pub fn block_size_for(version: ProtocolVersion) -> u32 {
        if version.has_string_ids() { BLOCK_SIZE } else { 0 }
    }

    /// How many bytes to read to have the header, from the first page of the file [STOR-35]. `cap` bounds what a
    /// peer may announce; for a file it is the file's size [HARD-38].
    ///
    /// # Errors
    /// When the page is incomplete or starts no checkpoint.
    pub fn length_from(page: &Bytes, cap: u64) -> Result<u64, HeaderError> {
        if (page.len() as u64) < PAGE {
            return Err(HeaderError::Short { needed: PAGE, present: page.len() as u64 });
        }
        let mut reader = Reader::new(page);
        let number = reader.u16("version")?;
        let version = ProtocolVersion::from_number(number).ok_or(DecodeError::UnknownVersion(number))?;
        let length = if version.has_configuration() {
            u64::from(reader.u32("header length")?)
        } else {
            round_to_page(u64::from(RawHeader::decode(page)?.length))
        };
        if length == 0 || !length.is_multiple_of(PAGE) {
            return Err(HeaderError::Length(length));
        }
        if length > cap {
            return Err(HeaderError::Short { needed: length, present: cap });
        }
        Ok(length)
    }

    /// Decodes a header from all its bytes, as many as [`length_from`](Self::length_from) says. Undefined bytes in
    /// the tail and behind ids are ignored [STOR-34].
    ///
    /// # Errors
    /// When it is not valid [STOR-37].
    pub fn decode(bytes: &Bytes) -> Result<CheckpointHeader, HeaderError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u16("version")?;
        let version = ProtocolVersion::from_number(number).ok_or(DecodeError::UnknownVersion(number))?;
        if !version.has_configuration() {
            return CheckpointHeader::from_vote(next_vote(bytes)?);
        }
        reader.u32("header length")?;
        reader.u64("header checksum")?;
        let member = reader.member_id(version)?;
        let executed = Decree(reader.u64("last executed decree")?);
        let promised = reader.ballot(version)?;
        let number = reader.u32("configuration number")?;
        let initial_decree = Decree(reader.u64("initial decree")?);
        // Our own log may have grown a longer cookie than a peer would take [HARD-511].
        let members = Arc::new(reader.member_set(version, CookieLimit::OwnLog)?);
        let (mut state_saved, mut size, mut block_size) = (true, 0, 0);
        if version.has_string_ids() {
            state_saved = reader.u8("state flag")? != 0;
            size = reader.u64("file size")?;
            block_size = reader.u32("block size")?;
        }
        BodyLayout::new(0, block_size)?;
        let next_vote = next_vote(&reader.rest())?;
        if promised < next_vote.ballot() {
            return Err(HeaderError::LowPromise);
        }
        let configuration = Some(Configuration { number, initial_decree, members });
        Ok(CheckpointHeader {
            version,
            member,
            executed,
            promised,
            configuration,
            state_saved,
            size,
            block_size,
            next_vote,
        })
    }

    /// What a version 1 or 2 file says by its next vote [STOR-38].
    fn from_vote(next_vote: Vote) -> Result<CheckpointHeader, HeaderError> {
        Ok(CheckpointHeader {
            version: next_vote.version(),
            member: next_vote.header().member,
            executed: next_vote.decree().previous(),
            promised: next_vote.ballot(),
            configuration: None,
            state_saved: true,
            size: 0,
            block_size: 0,
            next_vote,
        })
    }

    /// Size of the header, which is where the body starts [STOR-32].
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        let vote = round_to_page(self.next_vote.encoded().len() as u64);
        round_to_page(vote + self.fields_len())
    }

    /// Bytes of everything before the next vote.
    fn fields_len(&self) -> u64 {
        let Some(configuration) = self.configuration.as_ref().filter(|_| self.version.has_configuration())
        else {
            return 0;
        };
        let id = self.version.member_id_size() as u64;
        let fixed = 2 + 4 + 8 + id + 8 + (4 + id) + 4 + 8;
        let fields = if self.version.has_string_ids() { V4_FIELDS } else { 0 };
        fixed + member_set_size(&configuration.members, self.version) + fields
    }

    /// Where the body is.
    ///
    /// # Errors
    /// When the block size is not usable.
    pub fn layout(&self) -> Result<BodyLayout, BodyError> {
        BodyLayout::new(self.encoded_len(), self.block_size)
    }

    /// Raises the highest ballot of a copied checkpoint to what was promised here [STOR-53]. Without effect on
    /// versions 1 and 2, which have no field for it [HARD-41].
    pub fn raise_promised(&mut self, promised: Ballot) {
        if self.version.has_configuration() {
            self.promised = self.promised.max(promised);
        }
    }

    /// The header's bytes; everything undefined is zero [HARD-53].
    ///
    /// # Errors
    /// When a field cannot be said in the header's version.
    pub fn encode(&self) -> Result<Bytes, HeaderEncodeError> {
        let length = self.encoded_len();
        let capacity = usize::try_from(length)
            .map_err(|_| EncodeError::TooLong { what: "checkpoint header", length })?;
        let mut out = BytesMut::with_capacity(capacity);
        if self.version.has_configuration() {
            self.put_fields(length, &mut out)?;
        } else if self.next_vote.version().has_configuration() {
            return Err(HeaderEncodeError::VoteTooNew {
                header: self.version,
                vote: self.next_vote.version(),
            });
        }
        assert_eq!(out.len() as u64, self.fields_len(), "size of a checkpoint header's fields");
        out.put_slice(self.next_vote.encoded());
        out.resize(capacity, 0);
        Ok(out.freeze())
    }

    fn put_fields(&self, length: u64, out: &mut BytesMut) -> Result<(), HeaderEncodeError> {
        let version = self.version;
        let configuration = self.configuration.as_ref().ok_or(HeaderEncodeError::NoConfiguration(version))?;
        out.put_u16_le(version.number());
        out.put_u32_le(
            u32::try_from(length).map_err(|_| EncodeError::TooLong { what: "checkpoint header", length })?,
        );
        out.put_u64_le(0);
        put_member_id(self.member, version, out)?;
        out.put_u64_le(self.executed.0);
        put_ballot(self.promised, version, out)?;
        out.put_u32_le(configuration.number);
        out.put_u64_le(configuration.initial_decree.0);
        encode_member_set(&configuration.members, version, CookieLimit::OwnLog, out)?;
        if version.has_string_ids() {
            out.put_u8(self.state_saved.into());
            out.put_u64_le(self.size);
            out.put_u32_le(self.block_size);
        }
        Ok(())
    }
}

/// The vote at the start of `bytes`, verified [STOR-36].
fn next_vote(bytes: &Bytes) -> Result<Vote, HeaderError> {
    let raw = RawHeader::decode(bytes)?;
    if raw.id != crate::wire::MessageId::Vote as u16 {
        return Err(DecodeError::UnknownId(raw.id).into());
    }
    let vote = Vote::decode_own(bytes)?;
    if vote.checksum_is_valid() { Ok(vote) } else { Err(HeaderError::NextVote) }
}
