//! The network: connections with ordered bytes in both directions, that lose, double, delay, damage, break and stop.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::dice::Dice;
use super::plan::{Stop, Weather};
use crate::types::Instant;
use crate::wire::PacketDecoder;

/// Largest packet.
const PACKET_LIMIT: u64 = 100 << 20;

/// One run of a replica: an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) incarnation: u64,
}

/// Bytes under way.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) connection: u64,
    /// From the opener to the acceptor.
    pub(super) forward: bool,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
struct Connection {
    opener: End,
    acceptor: End,
    /// Nothing is sent any more.
    closed: bool,
    /// What is in flight still arrives after it has been closed.
    late: bool,
    /// When the last bytes of each direction arrive: later ones arrive later.
    last: [Instant; 2],
    decoders: [PacketDecoder; 2],
}

#[derive(Debug)]
struct Block {
    from: usize,
    to: usize,
    stop: Stop,
    until: Instant,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Network {
    weather: Weather,
    storm_until: Instant,
    blocks: Vec<Block>,
    connections: BTreeMap<u64, Connection>,
    /// The connection each run opened to each node.
    outbound: BTreeMap<(End, usize), u64>,
    opened: u64,
    healed: bool,
}

/// What arrived.
pub(super) struct Arrival {
    pub(super) from: End,
    pub(super) to: End,
    pub(super) messages: Vec<Bytes>,
}

impl Network {
    pub(super) const fn new(weather: Weather) -> Network {
        Network {
            weather,
            storm_until: Instant(0),
            blocks: Vec::new(),
            connections: BTreeMap::new(),
            outbound: BTreeMap::new(),
            opened: 0,
            healed: false,
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.weather = Weather::FAIR;
        self.storm_until = Instant(0);
        self.blocks.clear();
        self.healed = true;
    }

    pub(super) fn block(&mut self, from: usize, to: usize, stop: Stop, until: Instant) {
        self.blocks.push(Block { from, to, stop, until });
    }

    pub(super) const fn storm(&mut self, until: Instant) {
        self.storm_until = until;
    }

    fn blocked(&self, from: usize, to: usize, now: Instant) -> Option<&Block> {
        self.blocks.iter().find(|block| block.from == from && block.to == to && block.until > now)
    }

    /// Whether bytes of a learn transfer pass.
    pub(super) fn passes(&self, from: usize, to: usize, now: Instant) -> bool {
        self.blocked(from, to, now).is_none()
    }

    pub(super) fn is_connected(&self, from: End, to: usize) -> bool {
        self.outbound
            .get(&(from, to))
            .and_then(|id| self.connections.get(id))
            .is_some_and(|connection| !connection.closed)
    }

    /// Sends on the connection `from` opens to node `to`, whose present run is `acceptor`.
    pub(super) fn send(
        &mut self,
        now: Instant,
        dice: &mut Dice,
        from: End,
        to: usize,
        acceptor: Option<End>,
        bytes: Bytes,
    ) -> Vec<(Instant, Delivery)> {
        let Some(acceptor) = acceptor else { return Vec::new() };
        let known = self.outbound.get(&(from, to)).copied().filter(|id| {
            self.connections.get(id).is_some_and(|known| !known.closed && known.acceptor == acceptor)
        });
        let id = known.unwrap_or_else(|| self.open(from, acceptor, now));
        self.transmit(now, dice, id, true, bytes)
    }

    fn open(&mut self, opener: End, acceptor: End, now: Instant) -> u64 {
        self.opened += 1;
        let decoders = [PacketDecoder::new(PACKET_LIMIT), PacketDecoder::new(PACKET_LIMIT)];
        let connection =
            Connection { opener, acceptor, closed: false, late: false, last: [now; 2], decoders };
        self.connections.insert(self.opened, connection);
        if let Some(old) = self.outbound.insert((opener, acceptor.node), self.opened) {
            self.close(old, false);
        }
        self.opened
    }

    /// Sends back on a connection; silence when it is gone.
    pub(super) fn reply(
        &mut self,
        now: Instant,
        dice: &mut Dice,
        from: End,
        connection: u64,
        bytes: Bytes,
    ) -> Vec<(Instant, Delivery)> {
        let Some(known) = self.connections.get(&connection) else { return Vec::new() };
        let forward = known.opener == from;
        assert!(forward || known.acceptor == from, "a replica answers on its own connections");
        self.transmit(now, dice, connection, forward, bytes)
    }

    fn transmit(
        &mut self,
        now: Instant,
        dice: &mut Dice,
        id: u64,
        forward: bool,
        bytes: Bytes,
    ) -> Vec<(Instant, Delivery)> {
        let Some(connection) = self.connections.get(&id).filter(|known| !known.closed) else {
            return Vec::new();
        };
        let (from, to) = if forward {
            (connection.opener.node, connection.acceptor.node)
        } else {
            (connection.acceptor.node, connection.opener.node)
        };
        let (mut weather, mut starts) = (self.weather, now);
        if now < self.storm_until {
            weather.lost += 150;
            weather.doubled += 150;
            weather.late += 200;
        }
        match self.blocked(from, to, now).map(|block| (block.stop, block.until)) {
            Some((Stop::Lose, _)) => return Vec::new(),
            Some((Stop::Hold, until)) => starts = until,
            None => {}
        }
        if dice.chance(weather.lost) {
            return Vec::new();
        }
        let bytes = if dice.chance(weather.damaged) { damage(dice, &bytes) } else { bytes };
        let copies = if dice.chance(weather.doubled) { 2 } else { 1 };
        let mut deliveries = Vec::new();
        let Some(connection) = self.connections.get_mut(&id) else { return deliveries };
        let last = &mut connection.last[usize::from(forward)];
        for _ in 0..copies {
            let mut delay = weather.delay + dice.between(Duration::ZERO, weather.jitter);
            if dice.chance(weather.late) {
                delay = dice.between(delay, delay * 100);
            }
            let at = (starts + delay).max(*last + Duration::from_micros(1));
            *last = at;
            deliveries.push((at, Delivery { connection: id, forward, bytes: bytes.clone() }));
        }
        deliveries
    }

    /// Bytes arrive; the messages of the packets that are complete now. A broken packet closes the connection
    /// [WIRE-49].
    pub(super) fn arrive(&mut self, delivery: &Delivery, alive: impl Fn(End) -> bool) -> Option<Arrival> {
        let connection = self.connections.get_mut(&delivery.connection)?;
        if connection.closed && !connection.late {
            return None;
        }
        let (from, to) = if delivery.forward {
            (connection.opener, connection.acceptor)
        } else {
            (connection.acceptor, connection.opener)
        };
        if !alive(to) {
            self.close(delivery.connection, false);
            return None;
        }
        let decoder = &mut connection.decoders[usize::from(delivery.forward)];
        decoder.feed(&delivery.bytes);
        let mut messages = Vec::new();
        loop {
            match decoder.poll() {
                Ok(Some(message)) => messages.push(message),
                // A damaged length may claim so much that nothing gets through any more. Nobody notices before the
                // connection breaks, which every connection does in the end.
                Ok(None) if self.healed && decoder.buffered() > 0 => {
                    self.close(delivery.connection, false);
                    break;
                }
                Ok(None) => break,
                Err(_) => {
                    self.close(delivery.connection, false);
                    break;
                }
            }
        }
        Some(Arrival { from, to, messages })
    }

    pub(super) fn close(&mut self, id: u64, late: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closed = true;
            connection.late = late;
        }
    }

    /// Breaks all connections between two nodes.
    pub(super) fn reset(&mut self, a: usize, b: usize, late: bool) {
        for connection in self.connections.values_mut() {
            let (opener, acceptor) = (connection.opener.node, connection.acceptor.node);
            if (opener, acceptor) == (a, b) || (opener, acceptor) == (b, a) {
                connection.closed = true;
                connection.late |= late;
            }
        }
    }

    /// A run has ended: what it sent may still arrive, nothing reaches it any more.
    pub(super) fn ended(&mut self, end: End) {
        for connection in self.connections.values_mut() {
            if connection.opener == end || connection.acceptor == end {
                connection.closed = true;
                connection.late = true;
            }
        }
    }
}

/// One bit of the packet is wrong.
fn damage(dice: &mut Dice, bytes: &Bytes) -> Bytes {
    let mut damaged = bytes.to_vec();
    let at = dice.index(damaged.len());
    if let Some(byte) = damaged.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
    damaged.into()
}
