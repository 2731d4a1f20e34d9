//! A replica's turn, its effects, its disk writes, its transfers, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::app::App;
use super::checker::Violation;
use super::disk::Crash;
use super::execution::{Job, Step};
use super::network::{Delivery, End};
use super::plan::{address, member, node_at, node_of};
use super::process::Process;
use super::transfer::{Piece, Transfer, answer};
use super::world::{Check, Event, MAX_SPINS, World};
use crate::engine::{
    Answer, ConnectionId, Destination, Direction, Effect, FetchId, FetchKind, FetchOutcome, Input, Origin,
    PeerLink, Question, QuestionId, Report, Role, SaveOutcome, SaveRequest, StopReason,
};
use crate::format::{FileName, Record};
use crate::storage::{CheckpointReader, CheckpointWriter, CopyRequest, NewCheckpoint, PublishError, copy_checkpoint};
use crate::types::{Decree, Position};
use crate::wire::{Message, Vote, encode_packet};

/// Longest checkpoint header that is copied.
const MAX_HEADER: u64 = 100 << 20;

impl World<'_> {
    /// Counts an effect boundary; true when the replica dies at it.
    fn burns(&mut self, end: End) -> bool {
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

    fn burn_down(&mut self, end: End) {
        let crash = if self.dice.chance(600) { Crash::Power } else { Crash::Kill };
        let down = self.dice.millis(10, 2_000);
        self.crash(end.node, crash, down);
    }

    pub(super) fn turn(&mut self, end: End) -> Check {
        let now = self.now;
        let Some(process) = self.process(end) else { return Ok(()) };
        if process.wake_at != Some(now) || process.flushing.is_some() {
            return Ok(());
        }
        process.wake_at = None;
        process.spins += 1;
        if process.spins > MAX_SPINS {
            return Err(Violation::new("progress", format!("node {} spins", end.node)));
        }
        let local = process.clock.shows(now);
        let due = process.engine.deadline().is_some_and(|deadline| deadline <= local);
        let mut inputs = std::mem::take(&mut process.inbox);
        if due {
            inputs.insert(0, Input::Links(self.links(end)));
        }
        let count = inputs.len() as u64;
        let mut effects = Vec::new();
        let Some(process) = self.process(end) else { return Ok(()) };
        let before = process.engine.role();
        process.engine.turn(local, inputs, &mut effects);
        let after = process.engine.role();
        self.counts.turns += 1;
        self.trace.note(now, &[3, end.node as u64, count, after as u64, effects.len() as u64], || {
            let role = if before == after { format!("{after:?}") } else { format!("{before:?} -> {after:?}") };
            format!("node {} turn: {count} inputs, {role}, {} effects", end.node, effects.len())
        });
        self.perform(end, effects, after)
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

    fn perform(&mut self, end: End, effects: Vec<Effect>, role: Role) -> Check {
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
                        && (role == Role::Primary || proposed.contains(&vote.position())));
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
                    self.checker.history.configuration(configuration.number, members);
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
                    // What cannot be deleted stays.
                    drop(process.directory.retain(retention));
                }
                defunct @ Effect::PersistDefunct { .. } => process.after_flush.push(defunct),
                Effect::Voted { .. } => {}
                Effect::PersistMembers(_) | Effect::BootstrapEnded { .. } => {
                    return Err(Violation::new("simulator", "nobody asked for a bootstrap"));
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
            process.flushing = Some(appended.unwrap_or_default());
            self.at(now + latency, Event::Flushed(end));
        } else {
            self.rest(end);
        }
        Ok(())
    }

    /// The engine says something that an honest, undamaged cluster never gives reason for.
    fn report(&mut self, node: usize, report: &Report) -> Check {
        self.trace.note(self.now, &[4, node as u64], || format!("node {node} reports {report:?}"));
        let rule = match report {
            Report::VoteOutstandingTooLong(_) | Report::NoSuccessor | Report::CannotEncode(_) => return Ok(()),
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
            process.engine.deadline().map(|deadline| process.clock.when(deadline))
        } else {
            Some(now + Duration::from_micros(10))
        };
        let Some(next) = next else { return };
        if next > now {
            process.spins = 0;
        }
        self.wake(end, next);
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
        self.nodes[end.node].disk.set_now(self.now.since(crate::types::Instant(0)));
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

    fn send_to(&mut self, end: End, peer: crate::types::MemberId, packet: Bytes) {
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

    fn carry(&mut self, deliveries: Vec<(crate::types::Instant, Delivery)>) {
        for (at, delivery) in deliveries {
            self.at(at, Event::Deliver(delivery));
        }
    }

    pub(super) fn deliver(&mut self, delivery: &Delivery) -> Check {
        let alive: BTreeMap<usize, u64> =
            self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()).map(|(index, node)| (index, node.incarnation)).collect();
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

    fn ask(&mut self, end: End, question: QuestionId, ask: &Question) {
        let healed = self.is_healed();
        let conditions = &self.nodes[end.node].conditions;
        let answer = match ask {
            Question::CanBecomePrimary => {
                let may = conditions.unelectable <= self.now;
                Answer::MayLead(may.then(|| Bytes::from(format!("cookie {}", end.incarnation))))
            }
            Question::AcceptMessage { .. } => Answer::Accept(conditions.gate_closed <= self.now),
        };
        let slow = if healed { 2 } else { 40 };
        let pause = self.dice.millis(0, slow);
        self.after(pause, Event::Answer(end, question, answer));
    }

    /// Lets the execution context take its next step.
    pub(super) fn work(&mut self, end: End) {
        let slow = self.nodes[end.node].conditions.slow_execution > self.now;
        let Some(process) = self.process(end) else { return };
        let Some(step) = process.execution.start() else { return };
        let heavy = matches!(step, Step::Save(..) | Step::Job(Job::Execute { .. }));
        let saves = matches!(step, Step::Save(..));
        let cost = match (heavy, slow) {
            (true, true) => self.dice.millis(20, 1_000),
            (true, false) if saves => self.dice.millis(0, 100),
            (true, false) => self.dice.between(Duration::ZERO, Duration::from_millis(2)),
            (false, _) => Duration::ZERO,
        };
        self.after(cost, Event::Worked(end));
    }

    pub(super) fn worked(&mut self, end: End) -> Check {
        if self.process(end).is_none() {
            return Ok(());
        }
        if self.burns(end) {
            self.burn_down(end);
            return Ok(());
        }
        let Some(process) = self.process(end) else { return Ok(()) };
        match process.execution.running.take() {
            Some(Step::Job(job)) => self.finish(end, job)?,
            Some(Step::Save(request, head)) => self.save(end, &request, head)?,
            None => return Err(Violation::new("simulator", "a step ends that has not begun")),
        }
        self.work(end);
        Ok(())
    }

    fn finish(&mut self, end: End, job: Job) -> Check {
        let node = end.node;
        let Some(process) = self.process(end) else { return Ok(()) };
        match job {
            Job::Execute { vote, tokens, change } => {
                if change.is_some() {
                    return Err(Violation::new("simulator", "a change nobody asked for"));
                }
                let decree = vote.decree();
                if !decree.follows(process.execution.executed) {
                    let text = format!("node {node} executes {decree} after {}", process.execution.executed);
                    return Err(Violation::new("PROTO-12", text));
                }
                if !tokens.is_empty() && tokens.len() != vote.request_count() as usize {
                    return Err(Violation::new("decision 12", format!("{} tokens for {decree}", tokens.len())));
                }
                process.execution.executed = decree;
                let mut save = false;
                for request in vote.requests() {
                    save |= process.execution.app.execute(decree, &request);
                }
                if save {
                    process.execution.ask(decree);
                }
                let digest = process.execution.app.digest();
                self.checker.history.executed(&vote, digest)?;
                for (token, request) in tokens.iter().zip(vote.requests()) {
                    self.checker.ended_well(node, token, &request)?;
                }
                self.trace.note(self.now, &[8, node as u64, decree.0, digest[1]], || {
                    format!("node {node} executes {decree}: {} requests", vote.request_count())
                });
                self.give(end, Input::Executed { decree, save_state: save });
            }
            Job::Abort(token, why) => self.checker.aborted(node, &token, why)?,
            Job::AbortChange(..) => return Err(Violation::new("simulator", "a change nobody asked for")),
            Job::Status(is_primary) => {
                self.counts.promotions += u64::from(is_primary);
                self.trace.note(self.now, &[9, node as u64, u64::from(is_primary)], || {
                    format!("node {node} is primary: {is_primary}")
                });
            }
            Job::PrimaryRecovered | Job::StateCopied(_) | Job::MembersPersisted => {}
        }
        Ok(())
    }

    fn save(&mut self, end: End, request: &SaveRequest, head: Option<Vote>) -> Check {
        let node = end.node;
        let refuses = self.nodes[node].conditions.refuses_saves > self.now;
        self.nodes[node].disk.set_now(self.now.since(crate::types::Instant(0)));
        let faulty = self.disk_is_faulty(node);
        let Some(process) = self.process(end) else { return Ok(()) };
        let outcome = if refuses { Ok(SaveOutcome::Refused) } else { save(process, request, head) };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(_) if faulty => SaveOutcome::Failed,
            Err(error) => return Err(Violation::new("XFER-34", format!("node {node} saves: {error}"))),
        };
        self.trace.note(self.now, &[10, node as u64, request.at.0], || {
            format!("node {node} saves at {}: {outcome:?}", request.at)
        });
        if let SaveOutcome::Done { decree, .. } = outcome {
            self.counts.saved += 1;
            self.verify_checkpoint(end, decree)?;
        }
        self.give(end, Input::Saved(outcome));
        Ok(())
    }

    fn disk_is_faulty(&self, node: usize) -> bool {
        let conditions = &self.nodes[node].conditions;
        conditions.full_disk > self.now || conditions.broken.is_some()
    }

    fn verify_checkpoint(&mut self, end: End, decree: Decree) -> Check {
        let node = end.node;
        let Some(process) = self.process(end) else { return Ok(()) };
        let path = process.directory.file(FileName::Checkpoint(decree));
        let mut reader = CheckpointReader::open(&**process.directory.disk(), &path)
            .map_err(|error| Violation::new("PROTO-24", format!("node {node} {decree}.codex: {error}")))?;
        let digest = App::load(&mut reader).map(|app| app.digest());
        self.checker.checkpoint(node, decree, &reader, digest)
    }

    fn fetch(&mut self, end: End, fetch: FetchId, source: usize, request: &Message, kind: FetchKind) -> Check {
        let request = request.encode().map_err(|error| Violation::new("WIRE-31", error.to_string()))?;
        self.trace.note(self.now, &[11, end.node as u64, source as u64], || {
            format!("node {} fetches {kind:?} from {source}", end.node)
        });
        let Some(process) = self.process(end) else { return Ok(()) };
        let transfer =
            Transfer { kind, request, source, server: None, received: Vec::new(), records: 0 };
        process.transfers.insert(fetch, transfer);
        let pause = self.dice.millis(0, 30);
        self.after(pause, Event::Serve(end, fetch));
        Ok(())
    }

    /// A learn request reaches its server, which sends what it has in pieces.
    pub(super) fn serve(&mut self, end: End, fetch: FetchId) -> Check {
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get(&fetch) else { return Ok(()) };
        let (source, bytes) = (transfer.source, transfer.request.clone());
        let request =
            Message::decode(&bytes).map_err(|error| Violation::new("WIRE-31", error.to_string()))?;
        let passes = self.network.passes(end.node, source, self.now)
            && self.network.passes(source, end.node, self.now);
        let server = self.end(source).filter(|_| passes);
        let Some(server) = server else {
            let timeout = self.dice.millis(0, 3_000);
            self.after(timeout, Event::TransferFails(end, fetch));
            return Ok(());
        };
        let Some(serving) = self.process(server) else { return Ok(()) };
        let bytes = Bytes::from(answer(serving, &request));
        if let Some(transfer) = self.process(end).and_then(|process| process.transfers.get_mut(&fetch)) {
            transfer.server = Some(server);
        }
        let breaks = !self.is_healed() && self.dice.chance(100);
        let sent = if breaks { self.dice.index(bytes.len() + 1) } else { bytes.len() };
        let pieces = 1 + self.dice.index(4);
        let slow = if self.is_healed() { 5 } else { self.dice.pick(&[5, 5, 50, 500]) };
        let mut at = self.now;
        let mut from = 0;
        for index in 0..pieces {
            at = at + self.dice.millis(0, slow) + Duration::from_micros(1);
            let last = index + 1 == pieces;
            let to = if last { sent } else { from + self.dice.index(sent - from + 1) };
            let piece = Piece { bytes: bytes.slice(from..to), last };
            from = to;
            self.at(at, Event::Piece(end, fetch, piece));
        }
        Ok(())
    }

    pub(super) fn piece(&mut self, end: End, fetch: FetchId, piece: &Piece) -> Check {
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get_mut(&fetch) else { return Ok(()) };
        let (source, server) = (transfer.source, transfer.server);
        if server.is_none() || self.end(source) != server || !self.network.passes(source, end.node, self.now)
        {
            self.transfer_fails(end, fetch);
            return Ok(());
        }
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.get_mut(&fetch) else { return Ok(()) };
        transfer.received.extend_from_slice(&piece.bytes);
        match transfer.kind {
            FetchKind::Votes => {
                let records = transfer.take_records().map_err(|error| {
                    Violation::new("XFER-22", format!("stream of node {source}: {error}"))
                })?;
                let empty = transfer.records == 0;
                if piece.last {
                    process.transfers.remove(&fetch);
                    self.counts.learned += u64::from(!empty);
                }
                if !records.is_empty() {
                    self.give(end, Input::Fetched { fetch, records });
                }
                if piece.last {
                    let outcome = FetchOutcome::VotesEnded { empty };
                    self.give(end, Input::FetchEnded { fetch, outcome });
                }
                Ok(())
            }
            FetchKind::Checkpoint { .. } if piece.last => self.copy(end, fetch),
            FetchKind::Checkpoint { .. } => Ok(()),
        }
    }

    /// All bytes of a checkpoint that will come are here.
    fn copy(&mut self, end: End, fetch: FetchId) -> Check {
        let faulty = self.disk_is_faulty(end.node);
        self.nodes[end.node].disk.set_now(self.now.since(crate::types::Instant(0)));
        let Some(process) = self.process(end) else { return Ok(()) };
        let Some(transfer) = process.transfers.remove(&fetch) else { return Ok(()) };
        let outcome = match copy(process, &transfer) {
            Ok(decree) => {
                let size = transfer.received.len() as u64;
                self.counts.copied += 1;
                self.verify_checkpoint(end, decree)?;
                FetchOutcome::CheckpointCopied { decree, size }
            }
            Err(PublishError::Io(error)) if !faulty => {
                return Err(Violation::new("XFER-23", format!("node {} copies: {error}", end.node)));
            }
            Err(_) => FetchOutcome::CheckpointFailed,
        };
        self.trace.note(self.now, &[12, end.node as u64], || format!("node {} copies: {outcome:?}", end.node));
        self.give(end, Input::FetchEnded { fetch, outcome });
        Ok(())
    }

    pub(super) fn transfer_fails(&mut self, end: End, fetch: FetchId) {
        let Some(process) = self.process(end) else { return };
        let Some(transfer) = process.transfers.remove(&fetch) else { return };
        let outcome = match transfer.kind {
            FetchKind::Votes => FetchOutcome::VotesEnded { empty: transfer.records == 0 },
            FetchKind::Checkpoint { .. } => FetchOutcome::CheckpointFailed,
        };
        self.give(end, Input::FetchEnded { fetch, outcome });
    }

    /// The replica ends in good order: everything that is left is done, and it is started again.
    fn stop(&mut self, end: End, reason: &StopReason) -> Check {
        let node = end.node;
        self.trace.note(self.now, &[13, node as u64], || format!("node {node} stops: {reason:?}"));
        match reason {
            StopReason::CheckpointCopied => self.counts.reloads += 1,
            StopReason::Relinquished => self.counts.relinquished += 1,
            StopReason::Unloaded | StopReason::LogFailed(_) | StopReason::Panicked(_) => {
                return Err(Violation::new("simulator", format!("node {node} stops: {reason:?}")));
            }
        }
        let now = self.now;
        let Some(process) = self.process(end) else { return Ok(()) };
        // What was admitted and has not reached the engine.
        let mut effects = Vec::new();
        let inputs = std::mem::take(&mut process.inbox);
        process.engine.turn(process.clock.shows(now), inputs, &mut effects);
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
                let _ = save(&mut process, &request, head);
            }
        }
        drop(process);
        if known.conditions.broken.take().is_some() {
            known.disk.set_broken(false);
        }
        known.disk.crash(crash, &mut self.dice);
        self.network.ended(end);
        self.counts.crashes += 1;
        self.trace.note(self.now, &[14, node as u64], || {
            format!("node {node} is gone ({crash:?}) for {down:?}")
        });
        let down = if self.is_healed() { down.min(Duration::from_secs(1)) } else { down };
        self.after(down, Event::Start(node));
    }
}

fn save(process: &mut Process, request: &SaveRequest, head: Option<Vote>) -> Result<SaveOutcome, PublishError> {
    let executed = process.execution.executed;
    let other = |text: String| PublishError::Io(std::io::Error::other(text));
    if request.at != executed {
        return Err(other(format!("a checkpoint at {} is asked for at {executed}", request.at)));
    }
    let next_vote = request.next_vote.clone().or(head);
    let Some(next_vote) = next_vote.filter(|vote| vote.decree().follows(executed)) else {
        return Err(other(format!("the vote behind {executed} is not known")));
    };
    let new = NewCheckpoint::from_request(request, &next_vote, process.member);
    let mut writer = CheckpointWriter::new(&process.directory, new)?;
    process.execution.app.save(&mut writer)?;
    let info = writer.finish()?;
    Ok(SaveOutcome::Done { decree: info.decree, size: info.size })
}

fn copy(process: &mut Process, transfer: &Transfer) -> Result<Decree, PublishError> {
    let FetchKind::Checkpoint { decree, size, promised } = transfer.kind else {
        return Err(PublishError::Io(std::io::Error::other("no checkpoint was asked for")));
    };
    let request = CopyRequest { decree, size, promised, max_header: MAX_HEADER };
    let info = copy_checkpoint(&process.directory, request, &mut &transfer.received[..])?;
    Ok(info.decree)
}
