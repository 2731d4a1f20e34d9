//! Log records: the three messages that are logged, each padded to whole pages [STOR-10] [STOR-11].

use crate::types::Position;
use crate::wire::{Header, Prepare, Vote};

/// Every record and header starts at a multiple of this many bytes, whatever the device says [STOR-9].
pub const PAGE: u64 = 512;

/// `length` rounded up to whole pages.
#[must_use]
pub const fn round_to_page(length: u64) -> u64 {
    length.div_ceil(PAGE).saturating_mul(PAGE)
}

/// A record of the transaction log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An accepted vote, with the bytes it arrived with [STOR-14].
    Vote(Vote),
    /// A promise.
    Prepare(Prepare),
    /// A reconfiguration vote has been chosen.
    Decision(Header),
}

impl Record {
    /// The header values.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Record::Vote(vote) => vote.header(),
            Record::Prepare(prepare) => &prepare.header,
            Record::Decision(header) => header,
        }
    }

    /// Decree and ballot.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.header().position()
    }

    /// Bytes of the encoded message, without padding.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        match self {
            Record::Vote(vote) => vote.encoded().len() as u64,
            Record::Prepare(prepare) => {
                let version = prepare.header.version;
                let cookie = if version.has_primary_cookie() { 4 + prepare.cookie.len() } else { 0 };
                (version.base_size() + cookie) as u64
            }
            Record::Decision(header) => header.version.base_size() as u64,
        }
    }

    /// Bytes the record takes in the log.
    #[must_use]
    pub fn padded_len(&self) -> u64 {
        round_to_page(self.encoded_len())
    }
}
