//! The settings of the packet service, already validated.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::socket::BindRetry;
use crate::wire::packet_limit;

/// Settings of a [`PacketService`](super::PacketService).
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// Own address and RSL port; 0.0.0.0 = listen on all addresses, outbound connections unbound [WIRE-2] [WIRE-3].
    pub address: SocketAddrV4,
    /// Largest packet that is received, in bytes: see [`packet_limit`]. Legacy: m_maxMessageSizeMB.
    pub packet_limit: u64,
    /// Packets above this size, in bytes, are reported and processed [WIRE-51]. Legacy: m_maxMessageAlertSizeMB.
    pub alert_size: Option<u64>,
    /// From submission to the last byte in the socket [WIRE-23]. Legacy: m_sendTimeoutSec.
    pub send_timeout: Duration,
    /// Packets under way to one peer [WIRE-28]. Legacy: m_maxOutstandingPerReplica.
    pub max_outstanding: u32,
    /// Attempts to listen [WIRE-6].
    pub bind_retry: BindRetry,
    /// Inbound connections at a time. A peer's connection displaces a stranger's.
    pub max_inbound: usize,
    /// Bytes held of incomplete packets over all connections; above it the connection that holds most, strangers
    /// first, is closed [HARD-1].
    pub receive_memory: u64,
}

impl NetSettings {
    /// The legacy defaults for an address.
    #[must_use]
    pub fn new(address: SocketAddrV4) -> NetSettings {
        let packet_limit = packet_limit(100);
        NetSettings {
            address,
            packet_limit,
            alert_size: None,
            send_timeout: Duration::from_secs(5),
            max_outstanding: 10,
            bind_retry: BindRetry::PACKETS,
            max_inbound: 1024,
            receive_memory: 8 * packet_limit,
        }
    }
}
