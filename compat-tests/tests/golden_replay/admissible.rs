//! What a replica may say of its own accord, and what an answer tells of the question.

use rsl_core::engine::{Destination, Status};
use rsl_core::types::MemberId;
use rsl_core::wire::Message;

use crate::capture::{Capture, Event, What};
use crate::rig::Said;

/// A message of the replica's own that is not in the record, although the peer could have got it.
pub(crate) fn is_surplus(capture: &Capture, id: MemberId, said: &Said) -> bool {
    match said.to {
        Destination::Peer(peer) => capture.is_connected(id, peer, said.at),
        Destination::Connection(_) | Destination::AllPeers => false,
    }
}

/// Whether a replica in this state may say `message` of its own accord when a timer expires.
pub(crate) fn fits(status: &Status, to: Destination, message: &Message) -> bool {
    let header = message.header();
    if matches!(to, Destination::Connection(_)) || header.configuration != status.configuration {
        return false;
    }
    match message {
        Message::StatusQuery(_) => header.position() == status.accepted,
        Message::Prepare(_) => {
            header.decree == status.accepted.decree
                && header.ballot.id <= status.promised.id.saturating_add(1)
        }
        _ => true,
    }
}

/// The payload that the recorded answer to a vote has.
pub(crate) fn payload_of_answer(connection: u64, message: &Message, later: &[Event]) -> Option<u64> {
    if !matches!(message, Message::Vote(_)) {
        return None;
    }
    later.iter().find_map(|event| match &event.what {
        What::Answered { connection: on, message: Message::VoteAccepted(header) } if *on == connection => {
            Some(header.payload)
        }
        _ => None,
    })
}
