//! Counters of the packet service.

/// What the packet service has done since it started. All counters only grow, except the two gauges at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Packets whose framing and checksum were right.
    pub packets_received: u64,
    /// Bytes read from packet connections.
    pub bytes_received: u64,
    /// Messages handed to the engine.
    pub messages_received: u64,
    /// Malformed messages in well-formed packets, dropped [WIRE-18].
    pub malformed_messages: u64,
    /// Messages on outbound connections that are no answers, dropped [WIRE-10].
    pub unexpected_messages: u64,
    /// Packets that closed their connection [WIRE-17].
    pub malformed_packets: u64,
    /// Packets larger than the alert threshold [WIRE-51].
    pub alerts: u64,
    /// Packets handed to a socket completely.
    pub packets_sent: u64,
    /// Packets that were not written within the send timeout [WIRE-23].
    pub packets_timed_out: u64,
    /// Packets dropped because another one of their connection timed out [WIRE-24].
    pub packets_aborted: u64,
    /// Answers dropped because their connection was gone or its queue full [WIRE-8].
    pub answers_dropped: u64,
    /// Requests not submitted because the peer was busy, failed or without address [WIRE-28].
    pub requests_skipped: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused or closed for want of room, or because their address was in use already [WIRE-16].
    pub refused: u64,
    /// Outbound connections established.
    pub connected: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Inbound connections open now.
    pub inbound: u64,
    /// Bytes held of incomplete packets now [HARD-1].
    pub receiving: u64,
}
