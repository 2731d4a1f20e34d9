//! Vocabulary: newtypes with their ordering and nothing else. Uses no other module of the crate.

mod ballot;
mod decree;
mod member_id;
mod members;
mod time;
mod version;

pub use ballot::{Ballot, Position};
pub use decree::Decree;
pub use member_id::{MAX_MEMBER_ID, MemberId, MemberIdError};
pub use members::{Configuration, MAX_HOST_NAME, MAX_MEMBER_SET_COOKIE, MemberSet, MemberSetError, Node};
pub use time::Instant;
pub use version::ProtocolVersion;
