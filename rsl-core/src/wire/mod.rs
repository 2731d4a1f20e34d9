//! Bytes <-> messages: everything a replica can say on a socket. Pure; no socket is opened here.

mod error;
mod message;
mod vote;

pub use error::{DecodeError, EncodeError};
pub use message::{
    Bootstrap, Header, Join, LogRange, Message, MessageId, Prepare, PrepareAccepted, PrimaryCookie,
    StatusResponse,
};
pub use vote::{Vote, VoteContent};
