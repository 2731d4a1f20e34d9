//! A replica's turn, its effects, its disk writes, its transfers, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::apply::{persist_members, save_state};
use super::checker::Violation;
use super::disk::Crash;
use super::execution::Step;
use super::network::{Delivery, End};
use super::plan::{address, member, node_at, node_of};
use super::process::Process;
use super::world::{Check, Event, MAX_SPINS, World};
use crate::engine::{
    ConnectionId, Destination, Direction, Effect, Input, Origin, PeerLink, Report, Role, StopReason,
};
use crate::format::Record;
use crate::types::{Instant, MemberId, Position};
use crate::wire::{Message, encode_packet};

/// What is needed behind the newest checkpoint is still served [XFER-42].
fn check_served(node: usize, process: &Process) -> Check {
    let status = process.core.status();
    let needed = status.log_range.checkpointed_decree.min(status.executed).next();
    if process.core.is_model() {
        // The old library may drop too much [HARD-373].
        return Ok(());
    }
    let files = process.log.index().files();
    match files.iter().find_map(|file| file.votes).map(|(first, _)| first) {
        Some(first) if first > needed => {
            Err(Violation::new("XFER-42", format!("node {node} serves from {first}, {needed} is needed")))
        }
        Some(_) | None => Ok(()),
    }
}

impl World<'_> {
    /// Counts an effect boundary; true when the replica dies at it.
    pub(super) fn burns(&mut self, end: End) -> bool {
        let Some(process) = self.process(end) else { return true };
        match &mut process.fuse {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    pub(super) fn burn_down(&mut self, end: End) {
        let crash = if self.dice.chance(600) { Crash::Power } else { Crash::Kill };
        let down = self.dice.millis(10, 2_000);
        self.crash(end.node, crash, down);
    }

    pub(super) fn turn(&mut self, end: End) -> Check {
        let now = self.now;
        let Some(process) = self.process(end) else { return Ok(()) };
        let waits = process.flushing.is_some() && !process.writes_aside;
        if process.wake_at != Some(now) || waits {
            return Ok(());
        }
        process.wake_at = None;
        process.spins += 1;
        if process.spins > MAX_SPINS {
            return Err(Violation::new("progress", format!("node {} spins", end.node)));
        }
        let local = process.clock.shows(now);
        let due = process.core.deadline().is_some_and(|deadline| deadline <= local);
        let mut inputs = std::mem::take(&mut process.inbox);
        if due {
            inputs.insert(0, Input::Links(self.links(end)));
        }
        let count = inputs.len() as u64;
        let mut effects = Vec::new();
        let Some(process) = self.process(end) else { return Ok(()) };
        let before = process.core.role();
        process.core.turn(local, inputs, &mut effects);
        let after = process.core.role();
        self.counts.turns += 1;
        self.trace.note(now, &[3, end.node as u64, count, after as u64, effects.len() as u64], || {
            let role =
                if before == after { format!("{after:?}") } else { format!("{before:?} -> {after:?}") };
            format!("node {} turn: {count} inputs, {role}, {} effects", end.node, effects.len())
        });
        // The old library as a sole member proposes a change and leaves its configuration in one turn.
        let leads = before == Role::Primary || after == Role::Primary;
        self.perform(end, effects, leads)
    }

    fn links(&mut self, end: End) -> Vec<PeerLink> {
        let Some(process) = self.process(end) else { return Vec::new() };
        let peers: Vec<_> =
            process.peers.iter().map(|peer| (*peer, process.last_send.get(peer).copied())).collect();
        peers
            .into_iter()
            .filter_map(|(member, last_send)| {
                let node = node_of(member)?;
                let connected = self.network.is_connected(end, node);
                Some(PeerLink { ip: *address(node).ip(), member, connected, unsent: 0, last_send })
            })
            .collect()
    }

    fn perform(&mut self, end: End, effects: Vec<Effect>, leads: bool) -> Check {
        let node = end.node;
        let proposed: Vec<Position> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { to: Destination::AllPeers, message: Message::Vote(vote), .. } => {
                    Some(vote.position())
                }
                _ => None,
            })
            .collect();
        let (mut appended, mut stop) = (None, None);
        let retention = self.plan.retention;
        for effect in effects {
            if self.burns(end) {
                self.burn_down(end);
                return Ok(());
            }
            let Some(process) = self.process(end) else { return Ok(()) };
            match effect {
                Effect::Append { seq, record, new_log } => {
                    let own = matches!(&record, Record::Vote(vote) if vote.ballot().member == member(node)
                        && (leads || proposed.contains(&vote.position())));
                    // The old library starts an empty file once more when a checkpoint is due by time [HARD-373].
                    let again = process.core.is_model().then(|| process.log.index().files().pop()).flatten();
                    let new_log = new_log.filter(|name| again.is_none_or(|file| file.name != *name));
                    process
                        .log
                        .append(&record, new_log)
                        .map_err(|error| Violation::new("STOR-12", format!("node {node}: {error}")))?;
                    self.counts.logs += u64::from(new_log.is_some());
                    self.checker.appended(node, seq, &record, own)?;
                    appended = Some(seq);
                }
                Effect::Send { to, message, after } => {
                    if let Some((to, message)) = process.outbox.submit(to, message, after) {
                        self.transmit(end, to, &message)?;
                    }
                }
                Effect::Disconnect(ConnectionId(connection)) => self.network.close(connection, false),
                Effect::Peers(configuration) => {
                    let others = configuration.members.nodes.iter().map(|peer| peer.id);
                    process.peers = others.filter(|id| *id != member(node)).collect();
                    let members = configuration.members.nodes.len();
                    self.checker.entered(node, configuration.number, members)?;
                }
                Effect::Ask { question, ask } => self.ask(end, question, &ask),
                Effect::Apply(apply) => {
                    process.execution.submit(apply);
                    self.work(end);
                }
                Effect::Fetch { fetch, from, request, kind } => {
                    self.fetch(end, fetch, node_at(from), &request, kind)?;
                }
                Effect::CancelFetch(fetch) => {
                    process.transfers.remove(&fetch);
                }
                Effect::CleanUp { serve_from } => {
                    process.log.index().trim(serve_from);
                    check_served(node, process)?;
                    // What cannot be deleted stays.
                    drop(process.directory.retain(retention));
                }
                defunct @ Effect::PersistDefunct { .. } => process.after_flush.push(defunct),
                Effect::Voted { .. } => {}
                Effect::PersistMembers(request) => {
                    let written = persist_members(process, &request);
                    process
                        .inbox
                        .push(Input::MembersPersisted { members: request.configuration.members, written });
                }
                Effect::BootstrapEnded { result, .. } => {
                    self.trace.note(self.now, &[15, node as u64], || {
                        format!("node {node}: bootstrap ends with {result:?}")
                    });
                }
                Effect::Report(report) => self.report(node, &report)?,
                Effect::Stop(reason) => stop = Some(reason),
            }
        }
        if let Some(reason) = stop {
            return self.stop(end, &reason);
        }
        let slow = self.nodes[node].conditions.slow_disk > self.now;
        let latency = if slow {
            self.dice.millis(50, 1_500)
        } else {
            self.dice.between(self.plan.sync / 2, self.plan.sync * 2) + Duration::from_micros(10)
        };
        let now = self.now;
        let Some(process) = self.process(end) else { return Ok(()) };
        if appended.is_some() || !process.after_flush.is_empty() {
            let under_way = process.flushing.replace(appended.or(process.flushing).unwrap_or_default());
            let aside = process.writes_aside;
            if under_way.is_none() {
                self.at(now + latency, Event::Flushed(end));
            }
            if aside {
                self.rest(end);
            }
        } else {
            self.rest(end);
        }
        Ok(())
    }

    /// The engine says something that an honest, undamaged cluster never gives reason for.
    fn report(&mut self, node: usize, report: &Report) -> Check {
        self.trace.note(self.now, &[4, node as u64], || format!("node {node} reports {report:?}"));
        let rule = match report {
            Report::VoteOutstandingTooLong(_) | Report::NoSuccessor | Report::CannotEncode(_) => {
                return Ok(());
            }
            Report::BadVoteChecksum(_) => "HARD-303",
            Report::ConflictingVote(_) => "decision 21",
            Report::AbsurdBallot(_) | Report::BallotsExhausted => "HARD-306",
            Report::BadDecision(_) => "HARD-310",
        };
        Err(Violation::new(rule, format!("node {node} reports {report:?}")))
    }

    /// When the next turn is due.
    fn rest(&mut self, end: End) {
        let now = self.now;
        let Some(process) = self.process(end) else { return };
        let next = if process.inbox.is_empty() {
            process.core.deadline().map(|deadline| process.clock.when(deadline))
        } else {
            Some(now + Duration::from_micros(10))
        };
        if next.is_none_or(|next| next > now) {
            process.spins = 0;
        }
        if let Some(next) = next {
            self.wake(end, next);
        }
    }

    /// The log write of a turn reaches the disk; what waited for it leaves.
    pub(super) fn flushed(&mut self, end: End) -> Check {
        if self.process(end).is_none() {
            return Ok(());
        }
        if self.burns(end) {
            self.burn_down(end);
            return Ok(());
        }
        self.nodes[end.node].disk.set_now(self.now.since(Instant(0)));
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(through) = process.flushing.take() else { return Ok(()) };
        if let Err(error) = process.log.flush() {
            return self.log_failed(end, &error);
        }
        let after = std::mem::take(&mut process.after_flush);
        if through.0 > 0 {
            self.checker.flushed(end.node, through)?;
            if self.burns(end) {
                self.burn_down(end);
                return Ok(());
            }
            let Some(process) = self.process(end) else { return Ok(()) };
            process.inbox.push(Input::Appended { through });
            for (to, message) in process.outbox.appended(through) {
                if self.burns(end) {
                    self.burn_down(end);
                    return Ok(());
                }
                self.transmit(end, to, &message)?;
            }
        }
        for effect in after {
            if let (Effect::PersistDefunct { through, .. }, Some(process)) = (effect, self.process(end)) {
                // A hint only; a failing disk is noticed with the next append.
                let _ = process.directory.write_defunct(through);
            }
        }
        self.rest(end);
        Ok(())
    }

    fn log_failed(&mut self, end: End, error: &dyn std::fmt::Display) -> Check {
        let conditions = &mut self.nodes[end.node].conditions;
        let broken = conditions.broken.take();
        if broken.is_none() && conditions.full_disk <= self.now {
            return Err(Violation::new("STOR-19", format!("node {} cannot log: {error}", end.node)));
        }
        self.nodes[end.node].disk.set_broken(false);
        // What a failed sync leaves behind nobody knows: the machine is restarted.
        let (crash, down) = match broken {
            Some(down) => (Crash::Power, down),
            None => (Crash::Kill, self.dice.millis(100, 3_000)),
        };
        self.crash(end.node, crash, down);
        Ok(())
    }

    /// A message leaves the replica.
    pub(super) fn transmit(&mut self, end: End, to: Destination, message: &Message) -> Check {
        self.checker.sent(end.node, message)?;
        let Ok(bytes) = message.encode() else {
            self.trace.note(self.now, &[5], || format!("node {} cannot say {message:?}", end.node));
            return Ok(());
        };
        let packet = encode_packet(&bytes).map_err(|error| Violation::new("WIRE-45", error.to_string()))?;
        let mut sum = [0; 8];
        sum.copy_from_slice(&packet[12..20]);
        self.trace.note(self.now, &[6, end.node as u64, u64::from_le_bytes(sum)], || {
            let (id, header) = (message.id(), message.header());
            let position = header.position();
            format!("node {} sends {id:?} {position} v{} to {to:?}", end.node, header.version)
        });
        match to {
            Destination::Connection(ConnectionId(connection)) => {
                let sent = self.network.reply(self.now, &mut self.dice, end, connection, packet);
                self.carry(sent);
            }
            Destination::Peer(peer) => self.send_to(end, peer, packet),
            Destination::AllPeers => {
                let peers = self.process(end).map(|process| process.peers.clone()).unwrap_or_default();
                for peer in peers {
                    self.send_to(end, peer, packet.clone());
                }
            }
        }
        Ok(())
    }

    fn send_to(&mut self, end: End, peer: MemberId, packet: Bytes) {
        let Some(to) = node_of(peer).filter(|to| *to < self.nodes.len()) else { return };
        let now = self.now;
        let acceptor = self.end(to);
        let sent = self.network.send(now, &mut self.dice, end, to, acceptor, packet);
        self.carry(sent);
        if let Some(process) = self.process(end) {
            let local = process.clock.shows(now);
            process.last_send.insert(peer, local);
        }
    }

    fn carry(&mut self, deliveries: Vec<(Instant, Delivery)>) {
        for (at, delivery) in deliveries {
            self.at(at, Event::Deliver(delivery));
        }
    }

    pub(super) fn deliver(&mut self, delivery: &Delivery) -> Check {
        let alive: BTreeMap<usize, u64> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.process.is_some())
            .map(|(index, node)| (index, node.incarnation))
            .collect();
        let arrival = self.network.arrive(delivery, |end| alive.get(&end.node) == Some(&end.incarnation));
        let Some(arrival) = arrival else { return Ok(()) };
        let direction = if delivery.forward { Direction::Inbound } else { Direction::Outbound };
        let connection = ConnectionId(delivery.connection);
        for bytes in arrival.messages {
            let message = Message::decode(&bytes).map_err(|error| {
                Violation::new("WIRE-62", format!("a message of node {}: {error}", arrival.from.node))
            })?;
            self.counts.messages += 1;
            self.trace.note(self.now, &[7, arrival.to.node as u64, delivery.connection], || {
                let (from, to) = (arrival.from.node, arrival.to.node);
                format!("node {to} gets {:?} {} from {from}", message.id(), message.header().position())
            });
            let from = Origin { connection, direction, address: address(arrival.from.node) };
            self.give(arrival.to, Input::Message { from, message });
        }
        Ok(())
    }

    /// The replica ends in good order: everything that is left is done, and it is started again.
    fn stop(&mut self, end: End, reason: &StopReason) -> Check {
        let node = end.node;
        self.trace.note(self.now, &[13, node as u64], || format!("node {node} stops: {reason:?}"));
        match reason {
            // A failed assertion that a clause describes: the process is gone, and is started again.
            StopReason::Panicked(text) if self.plan.models[node] && text.contains("HARD-") => {
                self.counts.legacy_deaths += 1;
                let down = self.dice.millis(10, 2_000);
                self.crash(node, Crash::Kill, down);
                return Ok(());
            }
            StopReason::CheckpointCopied => self.counts.reloads += 1,
            StopReason::Relinquished => self.counts.relinquished += 1,
            StopReason::Unloaded => self.counts.unloaded += 1,
            StopReason::LogFailed(_)
            | StopReason::NetworkFailed(_)
            | StopReason::ReloadFailed(_)
            | StopReason::Panicked(_) => {
                return Err(Violation::new("simulator", format!("node {node} stops: {reason:?}")));
            }
        }
        let now = self.now;
        let Some(process) = self.process(end) else { return Ok(()) };
        // What was admitted and has not reached the engine.
        let mut effects = Vec::new();
        let inputs = std::mem::take(&mut process.inbox);
        process.core.turn(process.clock.shows(now), inputs, &mut effects);
        for effect in effects {
            if let Effect::Apply(apply) = effect {
                process.execution.submit(apply);
            }
        }
        for job in process.execution.drain() {
            if self.burns(end) {
                self.burn_down(end);
                return Ok(());
            }
            self.finish(end, job)?;
        }
        self.checker.ended(node)?;
        let pause = self.dice.millis(10, 1_000);
        self.crash(node, Crash::Kill, pause);
        Ok(())
    }

    /// The replica is gone; what it was writing reaches the disk in part.
    pub(super) fn crash(&mut self, node: usize, crash: Crash, down: Duration) {
        let Some(end) = self.end(node) else { return };
        let known = &mut self.nodes[node];
        let Some(mut process) = known.process.take() else { return };
        if self.dice.chance(700) {
            if process.flushing.is_some() {
                known.disk.arm(self.dice.below(6));
                let _ = process.log.flush();
            } else if let Some(Step::Save(request, head)) = process.execution.running.take() {
                known.disk.arm(self.dice.below(12));
                let _ = save_state(&mut process, &request, head);
            }
        }
        drop(process);
        if known.conditions.broken.take().is_some() {
            known.disk.set_broken(false);
        }
        known.disk.crash(crash, &mut self.dice);
        self.network.ended(end);
        self.counts.crashes += 1;
        self.trace
            .note(self.now, &[14, node as u64], || format!("node {node} is gone ({crash:?}) for {down:?}"));
        let down = if self.is_healed() { down.min(Duration::from_secs(1)) } else { down };
        self.after(down, Event::Start(node));
    }
}
