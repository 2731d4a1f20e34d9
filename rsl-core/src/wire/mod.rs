//! Bytes <-> messages: everything a replica can say on a socket. Pure; no socket is opened here.
//!
//! | file | duty |
//! |---|---|
//! | `message.rs` | the messages as values |
//! | `vote.rs` | the Vote, kept with its bytes |
//! | `header.rs` | the header every message starts with |
//! | `encode.rs` | `Message::decode`, `Message::encode`, the message checksum |
//! | [`codec`] | integers, ids, ballots, cookies, member sets; also used by files |
//! | `checksum.rs` | the 64-bit checksum, incremental and combined |
//! | [`packet`] | packet framing |
//! | [`learn`] | bounds of the bare messages on the learn port |
//! | `error.rs` | why decoding or encoding failed |
//!
//! A message starts with version (u16), length (u32), checksum (u64), magic (u32), id (u16), sender, decree,
//! configuration number (version 3 on), ballot, payload (version 6); the body follows. All little-endian [WIRE-58].

mod checksum;
pub mod codec;
mod encode;
mod error;
mod header;
pub mod learn;
mod message;
pub mod packet;
mod vote;

pub use checksum::{Checksum, EMPTY as EMPTY_CHECKSUM, checksum, combine};
pub use codec::{CookieLimit, decode_member_set, encode_member_set, member_set_size};
pub use encode::message_checksum;
pub use error::{DecodeError, EncodeError};
pub use header::{CHECKSUM_FROM, MAGIC, PREFIX_SIZE, RawHeader};
pub use message::{
    Bootstrap, Header, Join, LogRange, Message, MessageId, Prepare, PrepareAccepted, PrimaryCookie,
    StatusResponse,
};
pub use packet::{PACKET_HEADER_SIZE, PacketDecoder, encode_packet, packet_header, packet_limit};
pub use vote::{Vote, VoteContent};

#[cfg(test)]
mod tests;
