//! Packets on their way out: the frame that is shared by all receivers, and the queue of one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::peer::PeerKey;
use crate::types::Instant;
use crate::wire::{EncodeError, Message, PACKET_HEADER_SIZE, packet_header};

/// How many buffers one system call takes: header and message of 32 packets.
const MAX_SLICES: usize = 64;

/// An encoded packet; clones share the message bytes, so a broadcast is encoded once [WIRE-22].
#[derive(Clone, Debug)]
pub(super) struct Frame {
    header: [u8; PACKET_HEADER_SIZE],
    message: Bytes,
}

impl Frame {
    /// Encodes a message and its packet header.
    pub(super) fn new(message: &Message) -> Result<Frame, EncodeError> {
        let bytes = message.encode()?;
        let tail = match message {
            // Votes that leave here were built here or verified by the engine [HARD-15]; their checksum is known.
            Message::Vote(vote) => {
                debug_assert!(vote.checksum_is_valid(), "a vote that peers would refuse");
                Some(vote.header().checksum)
            }
            _ => None,
        };
        Ok(Frame { header: packet_header(&bytes, tail)?, message: bytes })
    }

    /// Size of the packet in bytes.
    pub(super) fn len(&self) -> usize {
        PACKET_HEADER_SIZE + self.message.len()
    }
}

/// A packet submitted to a connection.
#[derive(Debug)]
pub(super) struct Packet {
    frame: Frame,
    /// When it counts as timed out: submission plus send timeout [WIRE-23].
    pub(super) deadline: Instant,
    /// The peer whose outstanding packets it is one of; `None` for answers.
    pub(super) owner: Option<PeerKey>,
    /// The timeout has been reported; what is left of it still has to be written.
    reported: bool,
}

impl Packet {
    pub(super) fn new(frame: Frame, deadline: Instant, owner: Option<PeerKey>) -> Packet {
        Packet { frame, deadline, owner, reported: false }
    }
}

/// The packets of one connection in submission order [WIRE-21].
///
/// Invariant: `written` is smaller than the length of the first packet, and 0 when there is none.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    packets: VecDeque<Packet>,
    written: usize,
    bytes: u64,
}

impl SendQueue {
    pub(super) fn push(&mut self, packet: Packet) {
        self.bytes += packet.frame.len() as u64;
        self.packets.push_back(packet);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Size of all packets in bytes, including what is written of the first.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next buffers to write, for one vectored write.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(MAX_SLICES.min(2 * self.packets.len()));
        let mut skip = self.written;
        for packet in &self.packets {
            if slices.len() + 2 > MAX_SLICES {
                break;
            }
            for part in [&packet.frame.header[..], &packet.frame.message[..]] {
                let rest = part.get(skip..).unwrap_or_default();
                skip -= part.len() - rest.len();
                if !rest.is_empty() {
                    slices.push(IoSlice::new(rest));
                }
            }
        }
        slices
    }

    /// Notes that `count` more bytes were handed to the socket; completed packets go to `done`.
    pub(super) fn advance(&mut self, count: usize, done: &mut Vec<Packet>) {
        self.written += count;
        while let Some(first) = self.packets.front() {
            let length = first.frame.len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.bytes -= length as u64;
            done.extend(self.packets.pop_front());
        }
        assert_eq!(self.written, 0, "no more bytes are written than there were");
    }

    /// The connection is gone: the first packet starts again from its first byte on the next one [WIRE-25].
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    /// When the next packet times out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.packets.iter().find(|packet| !packet.reported).map(|packet| packet.deadline)
    }

    /// Takes out the packets that are too old. One that is partly written is counted but stays, because its other
    /// bytes have to follow [WIRE-23]. Returns how many timed out now.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        let partly = self.written > 0;
        let mut first = true;
        let mut freed = 0;
        self.packets.retain_mut(|packet| {
            let keep_first = std::mem::take(&mut first) && partly;
            if packet.deadline > now || packet.reported {
                return true;
            }
            expired += 1;
            packet.reported = true;
            if !keep_first {
                freed += packet.frame.len() as u64;
            }
            keep_first
        });
        self.bytes -= freed;
        expired
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> VecDeque<Packet> {
        self.written = 0;
        self.bytes = 0;
        std::mem::take(&mut self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Ballot, Decree, MemberId, ProtocolVersion};
    use crate::wire::Header;

    fn query(decree: u64) -> Message {
        Message::StatusQuery(Header::new(
            ProtocolVersion::V1,
            MemberId::from_number(1),
            Decree(decree),
            1,
            Ballot::default(),
        ))
    }

    fn packet(decree: u64, deadline: u64) -> Packet {
        Packet::new(Frame::new(&query(decree)).unwrap(), Instant(deadline), None)
    }

    fn bytes(queue: &SendQueue) -> Vec<u8> {
        queue.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn expected(decrees: &[u64]) -> Vec<u8> {
        let encode = |decree: &u64| crate::wire::encode_packet(&query(*decree).encode().unwrap()).unwrap();
        decrees.iter().flat_map(|decree| encode(decree).to_vec()).collect()
    }

    /// [WIRE-21] [WIRE-25]: whatever the socket takes, the rest follows in order; a new connection starts with the
    /// first byte of the packet that was not completed.
    #[test]
    fn packets_leave_in_order_and_restart_whole() {
        let whole = expected(&[1, 2, 3]);
        let length = whole.len() / 3;
        for cut in 0..whole.len() {
            let mut queue = SendQueue::default();
            for decree in 1..=3 {
                queue.push(packet(decree, 100));
            }
            let mut done = Vec::new();
            queue.advance(cut, &mut done);
            assert_eq!(done.len(), cut / length);
            assert_eq!(bytes(&queue), whole[cut..], "cut at {cut}");
            queue.rewind();
            assert_eq!(bytes(&queue), whole[cut / length * length..], "restart after {cut}");
            assert_eq!(queue.bytes(), (whole.len() - cut / length * length) as u64);
        }
    }

    /// [WIRE-23] [WIRE-24]: on an inbound connection only the old packet is dropped, and what is partly written is
    /// finished first.
    #[test]
    fn a_started_packet_is_finished_although_it_timed_out() {
        let mut queue = SendQueue::default();
        for (decree, deadline) in [(1, 10), (2, 20), (3, 30)] {
            queue.push(packet(decree, deadline));
        }
        let whole = expected(&[1, 3]);
        queue.advance(5, &mut Vec::new());
        assert_eq!(queue.expire(Instant(9)), 0);
        assert_eq!(queue.expire(Instant(20)), 2);
        assert_eq!(queue.expire(Instant(20)), 0, "reported once");
        assert_eq!(queue.deadline(), Some(Instant(30)));
        assert_eq!(bytes(&queue), whole[5..]);
        let mut done = Vec::new();
        queue.advance(whole.len() - 5, &mut done);
        assert_eq!((done.len(), queue.len(), queue.bytes()), (2, 0, 0));
    }

    /// [WIRE-22]: a broadcast is encoded once and cannot change afterwards; a vote's known checksum gives the same
    /// packet header as summing its bytes.
    #[test]
    fn clones_of_a_frame_share_the_message() {
        let frame = Frame::new(&query(7)).unwrap();
        let other = frame.clone();
        assert_eq!(frame.message.as_ptr(), other.message.as_ptr());
        let header =
            Header::new(ProtocolVersion::V6, MemberId::from_number(1), Decree(3), 1, Ballot::default());
        let requests = vec![Bytes::from(vec![7; 100_000])];
        let content = crate::wire::VoteContent { requests, ..Default::default() };
        let vote = Message::Vote(crate::wire::Vote::new(header, &content).unwrap());
        let frame = Frame::new(&vote).unwrap();
        let whole = [&frame.header[..], &frame.message[..]].concat();
        assert_eq!(whole, crate::wire::encode_packet(&vote.encode().unwrap()).unwrap());
    }
}
