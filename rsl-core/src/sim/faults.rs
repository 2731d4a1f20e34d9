//! Faults, clients, and the liveness phase.

use std::time::Duration;

use bytes::Bytes;

use super::app::{PAD, SAVE};
use super::checker::Violation;
use super::disk::Crash;
use super::network::End;
use super::plan::{Fault, member_set, node_of};
use super::process::Process;
use super::world::{Check, Conditions, Event, Phase, World};
use crate::engine::{BootstrapToken, ChangeToken, Command, Request, RequestToken, Role, StopReason};
use crate::types::Decree;

/// Requests that must be acknowledged after the cluster was healed.
const PROBES: u64 = 3;

impl World<'_> {
    pub(super) fn fault(&mut self, index: usize) -> Check {
        if self.is_healed() {
            return Ok(());
        }
        let fault = self.plan.faults[index].1.clone();
        self.trace.note(self.now, &[20, index as u64], || format!("fault: {fault:?}"));
        self.counts.faults += 1;
        let now = self.now;
        match fault {
            Fault::Crash { node, crash, fuse: None, down } => self.crash(node, crash, down),
            Fault::Crash { node, fuse, .. } => {
                if let Some(process) = &mut self.nodes[node].process {
                    process.fuse = fuse;
                }
            }
            Fault::Blackout { down } => {
                for node in 0..self.nodes.len() {
                    let down = self.dice.between(down / 2, down);
                    self.crash(node, Crash::Power, down);
                }
            }
            Fault::Block { from, to, stop, lasts } => self.network.block(from, to, stop, now + lasts),
            Fault::Isolate { node, inbound, outbound, stop, lasts } => {
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    if inbound {
                        self.network.block(other, node, stop, now + lasts);
                    }
                    if outbound {
                        self.network.block(node, other, stop, now + lasts);
                    }
                }
            }
            Fault::Storm { lasts } => self.network.storm(now + lasts),
            Fault::Reset { a, b, late } => self.network.reset(a, b, late),
            Fault::BrokenSync { node, down } => {
                if self.nodes[node].process.is_some() {
                    self.nodes[node].disk.set_broken(true);
                    self.nodes[node].conditions.broken = Some(down);
                }
            }
            Fault::SlowDisk { node, lasts } => self.nodes[node].conditions.slow_disk = now + lasts,
            Fault::FullDisk { node, lasts } => {
                self.nodes[node].disk.set_full(true);
                self.nodes[node].conditions.full_disk = now + lasts;
                self.after(lasts, Event::Lifted(node));
            }
            Fault::SlowExecution { node, lasts } => {
                self.nodes[node].conditions.slow_execution = now + lasts;
            }
            Fault::RefuseSaves { node, lasts } => {
                self.nodes[node].conditions.refuses_saves = now + lasts;
                self.after(lasts, Event::Lifted(node));
            }
            Fault::Unelectable { node, lasts } => self.nodes[node].conditions.unelectable = now + lasts,
            Fault::CloseGate { node, lasts } => {
                self.nodes[node].conditions.gate_closed = now + lasts;
                if let Some(end) = self.end(node) {
                    self.command(end, Command::SetAcceptMessages(false));
                }
                self.after(lasts, Event::Lifted(node));
            }
            Fault::Relinquish => {
                for end in self.open() {
                    // An old primary that is outbid meanwhile is never of use again [HARD-317].
                    if !self.plan.models[end.node] {
                        self.command(end, Command::RelinquishPrimary);
                    }
                }
            }
            Fault::Promote { node } => {
                if let Some(end) = self.end(node) {
                    self.command(end, Command::AttemptPromotion);
                }
            }
            Fault::Reconfigure => self.reconfigure(),
            Fault::SaveState => self.submit_special(SAVE, &[]),
            Fault::Pad { length } => self.submit_special(PAD, &length.to_le_bytes()),
            Fault::Drain { lasts } => self.drain(lasts),
            Fault::Harm { node, harm, down } => {
                self.crash(node, Crash::Kill, down);
                let done = if self.nodes[node].process.is_none() {
                    self.nodes[node].disk.harm(harm, &mut self.dice)
                } else {
                    None
                };
                self.counts.harmed += u64::from(done.is_some());
                self.trace.note(now, &[22, node as u64], || {
                    format!("node {node}: {}", done.unwrap_or_else(|| "nothing to damage".to_owned()))
                });
            }
            Fault::Holes { node, down } => {
                self.nodes[node].disk.allow_holes(true);
                self.crash(node, Crash::Power, down);
                self.nodes[node].disk.allow_holes(false);
            }
            Fault::Unload { node } => {
                if let Some(end) = self.end(node) {
                    self.command(end, Command::Stop(StopReason::Unloaded));
                }
            }
            Fault::CopyState { node, source } => return self.copy_state(node, source),
        }
        Ok(())
    }

    /// Tells a replica what is allowed again.
    pub(super) fn lift(&mut self, node: usize) {
        let now = self.now;
        let conditions = &self.nodes[node].conditions;
        let (full, refuses, closed) =
            (conditions.full_disk > now, conditions.refuses_saves > now, conditions.gate_closed > now);
        self.nodes[node].disk.set_full(full);
        if let Some(end) = self.end(node) {
            if !refuses {
                self.command(end, Command::AllowSaveState(true));
            }
            if !closed {
                self.command(end, Command::SetAcceptMessages(true));
            }
        }
    }

    /// A primary takes its last request; the operator ends it later.
    fn drain(&mut self, lasts: Duration) {
        let open = self.open();
        if open.is_empty() {
            return;
        }
        let end = self.dice.pick(&open);
        let request = Request { exclusive: true, last_decree: true, ..self.request(end) };
        let last = self.requests;
        if let Some(process) = self.process(end) {
            process.last_request.get_or_insert(last);
        }
        self.command(end, Command::Replicate(vec![request]));
        self.after(lasts, Event::Drained(end));
    }

    /// The end of a replica that was drained.
    pub(super) fn drained(&mut self, end: End) {
        if self.process(end).is_some() {
            let down = self.dice.millis(10, 1_000);
            self.crash(end.node, Crash::Kill, down);
        }
    }

    /// The client reads from any replica that is new enough for what it has seen: it sees what the history says, and
    /// never goes back [PROTO-180] [PROTO-183].
    fn read(&mut self) -> Check {
        let node = self.dice.index(self.nodes.len());
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let (executed, digest) = (process.execution.executed, process.execution.app.digest());
        self.counts.reads += u64::from(self.checker.read(node, executed, digest)?);
        Ok(())
    }

    /// The replicas that take requests.
    fn open(&self) -> Vec<End> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.process.as_ref().is_some_and(|process| process.execution.open))
            .map(|(index, node)| End { node: index, incarnation: node.incarnation })
            .collect()
    }

    pub(super) fn client(&mut self) -> Check {
        if matches!(self.phase, Phase::Convergence { .. } | Phase::Done) {
            return Ok(());
        }
        self.read()?;
        let pause = self.dice.between(Duration::ZERO, self.plan.load * 2);
        let pause = if self.is_healed() { pause.max(Duration::from_millis(20)) } else { pause };
        self.after(pause, Event::Client);
        let open = self.open();
        let stray = !self.is_healed() && self.dice.chance(20);
        let target = if stray {
            let node = self.dice.index(self.nodes.len());
            self.end(node)
        } else if open.is_empty() {
            None
        } else {
            Some(self.dice.pick(&open))
        };
        let Some(end) = target else { return Ok(()) };
        let count = if self.dice.chance(100) { 1 + self.dice.below(20) } else { 1 };
        let requests = (0..count).map(|_| self.request(end)).collect();
        self.command(end, Command::Replicate(requests));
        Ok(())
    }

    fn request(&mut self, end: End) -> Request {
        self.requests += 1;
        let length = if self.plan.long_requests && self.dice.chance(30) {
            self.dice.index(20_000)
        } else {
            self.dice.index(200)
        };
        let mut payload = format!("request {} ", self.requests).into_bytes();
        payload.resize(payload.len() + length, b'x');
        let exclusive = self.dice.chance(50);
        self.checker.issued(end.node, self.requests);
        Request { payload: payload.into(), token: RequestToken(self.requests), exclusive, last_decree: false }
    }

    fn submit_special(&mut self, start: &[u8], argument: &[u8]) {
        let open = self.open();
        if open.is_empty() {
            return;
        }
        let end = self.dice.pick(&open);
        self.requests += 1;
        let payload = [start, argument, format!(" request {}", self.requests).as_bytes()].concat();
        self.checker.issued(end.node, self.requests);
        let (payload, token) = (Bytes::from(payload), RequestToken(self.requests));
        let request = Request { payload, token, exclusive: false, last_decree: false };
        self.command(end, Command::Replicate(vec![request]));
    }

    /// The operator gives the first members to one of them, again and again until there is a history.
    pub(super) fn bootstrap(&mut self) {
        if self.checker.history.last_chosen() > Decree::ZERO {
            return;
        }
        let node = self.dice.index(self.plan.initial);
        if let Some(end) = self.end(node) {
            self.requests += 1;
            let (members, token) = (self.plan.members(), BootstrapToken(self.requests));
            self.command(end, Command::Bootstrap { members, timeout: Duration::from_secs(10), token });
        }
        let pause = self.dice.millis(1_000, 6_000);
        self.after(pause, Event::Bootstrap);
    }

    /// The operator adds, removes or replaces a member.
    fn reconfigure(&mut self) {
        let open = self.open();
        if open.is_empty() {
            return;
        }
        let end = self.dice.pick(&open);
        let Some(process) = self.process(end) else { return };
        let status = process.core.status();
        // A new member without history needs a checkpoint to join [PROTO-152].
        let checkpointed = status.log_range.checkpointed_decree > Decree::ZERO;
        if status.configuration != status.state_configuration || !checkpointed {
            return;
        }
        let members = &status.state_members.nodes;
        let mut members: Vec<usize> = members.iter().filter_map(|node| node_of(node.id)).collect();
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| !members.contains(node)).collect();
        let (grows, shrinks) = (self.dice.chance(600), self.dice.chance(500));
        if shrinks && members.len() > 1 {
            let index = self.dice.index(members.len());
            members.remove(index);
        }
        if grows && !others.is_empty() {
            members.push(self.dice.pick(&others));
        }
        self.requests += 1;
        self.checker.issued(end.node, self.requests);
        let (members, token) = (member_set(members), ChangeToken(self.requests));
        self.command(end, Command::ChangeConfiguration { members, token });
    }

    /// From now on nothing goes wrong any more, and the cluster has to work.
    pub(super) fn heal(&mut self) {
        self.trace.note(self.now, &[21], || "everything is healed".to_owned());
        let until = self.now + self.plan.patience();
        let acknowledged = self.checker.acknowledged() + PROBES;
        self.phase = Phase::Progress { until, acknowledged };
        self.network.heal();
        for node in 0..self.nodes.len() {
            self.nodes[node].conditions = Conditions::default();
            self.nodes[node].disk.set_full(false);
            self.nodes[node].disk.set_broken(false);
            if let Some(process) = &mut self.nodes[node].process {
                process.fuse = None;
                self.lift(node);
                if let Some(end) = self.end(node).filter(|_| self.is_draining(node)) {
                    self.drained(end);
                }
            } else {
                let pause = self.dice.millis(0, 1_000);
                self.after(pause, Event::Start(node));
            }
        }
        self.after(Duration::from_millis(50), Event::Look);
        if self.plan.models.contains(&true) {
            self.after(self.plan.patience() / 2, Event::Care);
        }
    }

    /// An operator restarts the old replicas that have not kept up: a shutdown can wait for itself [HARD-329], and a
    /// learner can work off answers that are older than the files they speak of, for ever [HARD-372] [HARD-378].
    pub(super) fn care(&mut self) -> Check {
        let decree = self.checker.history.last_executed();
        for node in 0..self.nodes.len() {
            let behind = |process: &Process| process.core.is_model() && process.execution.executed < decree;
            if self.nodes[node].process.as_ref().is_some_and(behind) {
                self.counts.legacy_restarts += 1;
                self.crash(node, Crash::Kill, Duration::from_secs(1));
            }
        }
        self.after(self.plan.patience() / 2, Event::Care);
        Ok(())
    }

    /// A replica that was drained is of no use any more.
    fn is_draining(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.last_request.is_some())
    }

    /// Whether the liveness phase has reached its goal, or has failed to.
    pub(super) fn look(&mut self) -> Check {
        match self.phase {
            Phase::Safety | Phase::Done => return Ok(()),
            Phase::Progress { until, acknowledged } => {
                if self.checker.acknowledged() >= acknowledged {
                    let until = self.now + self.plan.patience();
                    let decree = self.checker.history.last_chosen();
                    self.phase = Phase::Convergence { until, decree };
                } else if self.now > until {
                    return Err(self.stuck("no request is acknowledged"));
                }
            }
            Phase::Convergence { until, decree } => {
                if self.dice.chance(10) {
                    self.submit_special(SAVE, &[]);
                }
                if self.has_converged(decree) {
                    self.phase = Phase::Done;
                    return Ok(());
                } else if self.now > until {
                    return Err(self.stuck(&format!("not all have executed {decree}")));
                }
            }
        }
        self.after(Duration::from_millis(50), Event::Look);
        Ok(())
    }

    /// There is one primary, and all members of its configuration have executed `decree`.
    fn has_converged(&self, decree: Decree) -> bool {
        let running = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let mut primaries = running.filter(|process| process.core.role() == Role::Primary);
        let (Some(primary), None) = (primaries.next(), primaries.next()) else { return false };
        let members = primary.core.status().state_members;
        let mut members = members.nodes.iter().filter_map(|node| node_of(node.id));
        self.open().len() == 1
            && members.all(|node| {
                let process = self.nodes.get(node).and_then(|node| node.process.as_ref());
                process.is_some_and(|process| process.execution.executed >= decree)
            })
    }

    fn stuck(&self, what: &str) -> Violation {
        let state = |node: &super::world::Node| match &node.process {
            None => "down".to_owned(),
            Some(process) => {
                let status = process.core.status();
                format!(
                    "{}{:?} v{} accepted {} promised {} passed {} executed {} log {:?}",
                    if process.core.is_model() { "model " } else { "" },
                    status.role,
                    status.version,
                    status.accepted,
                    status.promised,
                    status.passed,
                    process.execution.executed,
                    status.log_range,
                )
            }
        };
        let states: Vec<_> = self.nodes.iter().map(state).collect();
        Violation::new("liveness", format!("{what} after {:?}: {}", self.plan.patience(), states.join("; ")))
    }
}
