//! From payloads to events: decoding, the filter of outbound connections, proof of a peer's health.

use bytes::Bytes;

use super::NetStats;
use super::peer::Peer;
use crate::engine::{Direction, Origin};
use crate::types::MemberId;
use crate::wire::{Message, MessageId, PACKET_HEADER_SIZE};

/// What the service tells its driver.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all events are messages, and they live for one turn")]
pub enum NetEvent {
    /// A decoded message from a packet whose checksum was right.
    Message {
        /// Where it came from.
        from: Origin,
        /// The message.
        message: Message,
    },
    /// An attempt to connect to a peer failed or its connection broke: its name should be resolved again [PROTO-158].
    /// At most once per second and peer.
    Unreachable(MemberId),
}

/// Where the payloads of one connection go.
pub(super) struct Sink<'a> {
    pub(super) origin: Origin,
    pub(super) events: &'a mut Vec<NetEvent>,
    pub(super) stats: &'a mut NetStats,
    pub(super) peers: &'a mut [Peer],
    pub(super) configuration: u32,
    pub(super) alert_size: Option<u64>,
}

impl Sink<'_> {
    pub(super) fn deliver(&mut self, payload: &Bytes) {
        let (from, stats) = (self.origin, &mut *self.stats);
        stats.packets_received += 1;
        let size = (PACKET_HEADER_SIZE + payload.len()) as u64;
        if self.alert_size.is_some_and(|alert| size > alert) {
            stats.alerts += 1;
            tracing::warn!(alert = true, from = %from.address, size, "packet above the alert size");
        }
        let message = match Message::decode_packet_payload(payload) {
            Ok(message) => message,
            Err(error) => {
                stats.malformed_messages += 1;
                tracing::debug!(from = %from.address, %error, "malformed message dropped");
                return;
            }
        };
        if from.direction == Direction::Outbound && !is_answer(message.id()) {
            stats.unexpected_messages += 1;
            tracing::debug!(from = %from.address, id = ?message.id(), "message on an outbound connection dropped");
            return;
        }
        stats.messages_received += 1;
        if proves_health(message.id()) && message.header().configuration == self.configuration {
            let member = message.header().member;
            let is_sender = |peer: &&mut Peer| peer.node.id == member && peer.ip() == *from.address.ip();
            if let Some(peer) = self.peers.iter_mut().find(is_sender) {
                peer.heard();
            }
        }
        self.events.push(NetEvent::Message { from, message });
    }
}

/// Whether a message may arrive on a connection that this replica opened [WIRE-10] [PROTO-35].
const fn is_answer(id: MessageId) -> bool {
    match id {
        MessageId::VoteAccepted
        | MessageId::PrepareAccepted
        | MessageId::NotAccepted
        | MessageId::StatusResponse
        | MessageId::DefunctConfiguration
        | MessageId::Join
        | MessageId::JoinRequest => true,
        MessageId::Vote
        | MessageId::Prepare
        | MessageId::StatusQuery
        | MessageId::FetchVotes
        | MessageId::FetchCheckpoint
        | MessageId::ReconfigurationDecision
        | MessageId::Bootstrap => false,
    }
}

/// Whether a message takes the tests of WIRE-102, which a failed peer leaves healthy [WIRE-29].
const fn proves_health(id: MessageId) -> bool {
    match id {
        MessageId::Vote
        | MessageId::VoteAccepted
        | MessageId::Prepare
        | MessageId::PrepareAccepted
        | MessageId::NotAccepted
        | MessageId::StatusResponse
        | MessageId::ReconfigurationDecision => true,
        MessageId::StatusQuery
        | MessageId::FetchVotes
        | MessageId::FetchCheckpoint
        | MessageId::DefunctConfiguration
        | MessageId::Join
        | MessageId::JoinRequest
        | MessageId::Bootstrap => false,
    }
}
