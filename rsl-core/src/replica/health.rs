//! Health of the members as a primary sees it.

use std::time::SystemTime;

use crate::types::{Decree, MemberId};

/// What a primary knows of one member [PROTO-185] [PROTO-186]. Times are `None` if it never happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// The member.
    pub member: MemberId,
    /// True for this replica itself, which is listed last.
    pub is_primary: bool,
    /// The last known state of the outgoing connection.
    pub connected: bool,
    /// Packets submitted and not finished.
    pub outstanding: u32,
    /// When the third failure in a row marked it failed; stays after recovery.
    pub failed_at: Option<SystemTime>,
    /// When the last send completed, well or not.
    pub last_request_sent_at: Option<SystemTime>,
    /// When its last vote answer arrived.
    pub last_request_voted_at: Option<SystemTime>,
    /// The highest decree it accepted.
    pub last_request_voted_decree: Decree,
    /// Failed sends since the last one that worked.
    pub consecutive_failures: u32,
    /// Its address is not known.
    pub needs_resolve: bool,
    /// Payload of its last vote answer.
    pub last_vote_payload: u64,
}
