//! The scheduler: one queue of events in virtual time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::checker::{Checker, Violation};
use super::dice::Dice;
use super::disk::{Crash, SimDisk};
use super::network::{Delivery, End, Network};
use super::plan::{Plan, at_least};
use super::process::{DIRECTORY, NoStart, Process, Start};
use super::trace::Trace;
use super::transfer::Piece;
use crate::engine::{Answer, Command, FetchId, Input, QuestionId};
use crate::types::{Configuration, Decree, Instant, ProtocolVersion};

pub(super) type Check = Result<(), Violation>;

/// Turns without progress of time beyond which a replica spins.
pub(super) const MAX_SPINS: u32 = 1000;

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    Start(usize),
    Turn(End),
    Flushed(End),
    Deliver(Delivery),
    /// The execution context is done with its step.
    Worked(End),
    Answer(End, QuestionId, Answer),
    /// A learn request reaches its server.
    Serve(End, FetchId),
    Piece(End, FetchId, Piece),
    TransferFails(End, FetchId),
    Fault(usize),
    /// A condition of a node may have ended.
    Lifted(usize),
    Client,
    /// A drained replica is ended.
    Drained(End),
    /// The operator gives the first member set to a replica.
    Bootstrap,
    Heal,
    /// The liveness phase looks whether its goal is reached.
    Look,
    /// The operator looks after the old replicas.
    Care,
}

/// What is wrong with a node for a while.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) slow_disk: Instant,
    pub(super) full_disk: Instant,
    pub(super) slow_execution: Instant,
    pub(super) refuses_saves: Instant,
    pub(super) unelectable: Instant,
    pub(super) gate_closed: Instant,
    /// A sync will fail; how long the replica stays down then.
    pub(super) broken: Option<Duration>,
}

/// A replica's machine.
pub(super) struct Node {
    pub(super) disk: SimDisk,
    pub(super) version: ProtocolVersion,
    pub(super) process: Option<Process>,
    pub(super) incarnation: u64,
    pub(super) conditions: Conditions,
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Engine turns.
    pub turns: u64,
    /// Messages decoded.
    pub messages: u64,
    /// Replicas started.
    pub starts: u64,
    /// Replicas that died, by kill or power failure, at any moment.
    pub crashes: u64,
    /// Faults other than crashes.
    pub faults: u64,
    /// Decrees executed first.
    pub decrees: u64,
    /// Requests in the history.
    pub requests: u64,
    /// Requests executed on behalf of their client.
    pub acknowledged: u64,
    /// Requests aborted.
    pub aborted: u64,
    /// Promotions.
    pub promotions: u64,
    /// Vote transfers that brought something.
    pub learned: u64,
    /// Checkpoints saved.
    pub saved: u64,
    /// Checkpoints copied.
    pub copied: u64,
    /// Replicas that restarted to load a copied checkpoint.
    pub reloads: u64,
    /// Primaries that gave up when told to.
    pub relinquished: u64,
    /// Replicas that were ended in good order.
    pub unloaded: u64,
    /// Checkpoints copied for the application.
    pub installed: u64,
    /// Executions of configuration changes, on all replicas.
    pub reconfigured: u64,
    /// Log files started.
    pub logs: u64,
    /// Stored pages that were damaged.
    pub harmed: u64,
    /// Starts that a damaged disk did not allow.
    pub refused: u64,
    /// Replicas that started without a part of their history, to learn it anew.
    pub relearned: u64,
    /// Reads at any replica.
    pub reads: u64,
    /// Models that died of an assertion of the old library.
    pub legacy_deaths: u64,
    /// Cookies that a model delivered twice.
    pub legacy_cookies: u64,
    /// Models that an operator had to restart, because they came no further in a healed cluster.
    pub legacy_restarts: u64,
    /// Restarts of models that would have forgotten a promise or a vote, or that die of an assertion.
    pub legacy_forgets: u64,
    /// Restarts of models that found the remains of a torn record.
    pub legacy_remains: u64,
}

impl Counts {
    /// All counts with their names.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 28] {
        [
            ("turns", self.turns),
            ("messages", self.messages),
            ("starts", self.starts),
            ("crashes", self.crashes),
            ("faults", self.faults),
            ("decrees", self.decrees),
            ("requests", self.requests),
            ("acknowledged", self.acknowledged),
            ("aborted", self.aborted),
            ("promotions", self.promotions),
            ("learned", self.learned),
            ("saved", self.saved),
            ("copied", self.copied),
            ("reloads", self.reloads),
            ("relinquished", self.relinquished),
            ("unloaded", self.unloaded),
            ("installed", self.installed),
            ("reconfigured", self.reconfigured),
            ("logs", self.logs),
            ("harmed", self.harmed),
            ("refused", self.refused),
            ("relearned", self.relearned),
            ("reads", self.reads),
            ("legacy deaths", self.legacy_deaths),
            ("legacy cookies", self.legacy_cookies),
            ("legacy restarts", self.legacy_restarts),
            ("legacy forgets", self.legacy_forgets),
            ("legacy remains", self.legacy_remains),
        ]
    }
}

/// How far the liveness phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Safety,
    /// Waits until requests are acknowledged again: so many in all.
    Progress {
        until: Instant,
        acknowledged: u64,
    },
    /// Waits until all have executed this decree.
    Convergence {
        until: Instant,
        decree: Decree,
    },
    Done,
}

/// Everything that is simulated.
pub(super) struct World<'a> {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    serial: u64,
    pub(super) network: Network,
    pub(super) nodes: Vec<Node>,
    pub(super) checker: Checker,
    pub(super) trace: Trace<'a>,
    pub(super) counts: Counts,
    pub(super) phase: Phase,
    pub(super) requests: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &Plan, trace: Trace<'a>) -> World<'a> {
        let configuration =
            Configuration { number: 1, initial_decree: Decree::ZERO, members: plan.members() };
        let node = |version: &ProtocolVersion| Node {
            disk: SimDisk::with_directory(Path::new(DIRECTORY)),
            version: *version,
            process: None,
            incarnation: 0,
            conditions: Conditions::default(),
        };
        let mut world = World {
            plan: plan.clone(),
            dice: Dice::new(plan.seed, 2),
            now: Instant(0),
            events: BTreeMap::new(),
            serial: 0,
            network: Network::new(plan.weather),
            nodes: plan.versions.iter().map(node).collect(),
            checker: Checker::new(plan.models.clone(), &configuration),
            trace,
            counts: Counts::default(),
            phase: Phase::Safety,
            requests: 0,
        };
        for node in 0..world.nodes.len() {
            let after = world.dice.millis(0, 2_000);
            world.after(after, Event::Start(node));
        }
        for (index, (at, _)) in plan.faults.iter().enumerate() {
            world.after(*at, Event::Fault(index));
        }
        if plan.bootstrap {
            let after = world.dice.millis(500, 4_000);
            world.after(after, Event::Bootstrap);
        }
        world.after(Duration::ZERO, Event::Client);
        world.after(plan.safety, Event::Heal);
        world
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    pub(super) const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            decrees: self.checker.history.last_executed().0,
            requests: self.checker.history.requests() as u64,
            acknowledged: self.checker.acknowledged(),
            aborted: self.checker.aborted,
            legacy_cookies: self.checker.doubled,
            legacy_forgets: self.checker.forgotten,
            legacy_remains: self.checker.repaired,
            ..self.counts
        }
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn run(&mut self) -> Check {
        while self.phase != Phase::Done {
            let Some(((at, _), event)) = self.events.pop_first() else {
                return Err(Violation::new("progress", "nothing is left to happen"));
            };
            self.now = at;
            self.happen(event)?;
        }
        self.checker.finish()
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    pub(super) fn after(&mut self, time: Duration, event: Event) {
        self.at(self.now + time, event);
    }

    pub(super) fn is_healed(&self) -> bool {
        self.phase != Phase::Safety
    }

    /// The present run of a node.
    pub(super) fn end(&self, node: usize) -> Option<End> {
        let known = &self.nodes[node];
        known.process.as_ref().map(|_| End { node, incarnation: known.incarnation })
    }

    pub(super) fn process(&mut self, end: End) -> Option<&mut Process> {
        let node = &mut self.nodes[end.node];
        if node.incarnation == end.incarnation { node.process.as_mut() } else { None }
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Start(node) => self.start(node),
            Event::Turn(end) => self.turn(end),
            Event::Flushed(end) => self.flushed(end),
            Event::Deliver(delivery) => self.deliver(&delivery),
            Event::Worked(end) => self.worked(end),
            Event::Answer(end, question, answer) => {
                self.give(end, Input::Answered { question, answer });
                Ok(())
            }
            Event::Serve(end, fetch) => self.serve(end, fetch),
            Event::Piece(end, fetch, piece) => self.piece(end, fetch, &piece),
            Event::TransferFails(end, fetch) => {
                self.transfer_fails(end, fetch);
                Ok(())
            }
            Event::Fault(index) => self.fault(index),
            Event::Lifted(node) => {
                self.lift(node);
                Ok(())
            }
            Event::Client => self.client(),
            Event::Drained(end) => {
                self.drained(end);
                Ok(())
            }
            Event::Bootstrap => {
                self.bootstrap();
                Ok(())
            }
            Event::Heal => {
                self.heal();
                Ok(())
            }
            Event::Look => self.look(),
            Event::Care => self.care(),
        }
    }

    /// Gives an input to a running replica and sees to it that a turn follows.
    pub(super) fn give(&mut self, end: End, input: Input) {
        let pause = if self.dice.chance(20) && !self.is_healed() {
            self.dice.between(Duration::ZERO, Duration::from_millis(10))
        } else {
            self.dice.between(Duration::from_micros(10), Duration::from_micros(200))
        };
        if let Some(process) = self.process(end) {
            process.inbox.push(input);
            self.wake(end, self.now + pause);
        }
    }

    pub(super) fn command(&mut self, end: End, command: Command) {
        self.give(end, Input::Command(command));
    }

    /// Schedules a turn, unless an earlier one is scheduled.
    pub(super) fn wake(&mut self, end: End, at: Instant) {
        let at = at.max(self.now);
        let Some(process) = self.process(end) else { return };
        let waits = process.flushing.is_some() && !process.writes_aside;
        if !waits && process.wake_at.is_none_or(|known| at < known) {
            process.wake_at = Some(at);
            self.at(at, Event::Turn(end));
        }
    }

    fn start(&mut self, node: usize) -> Check {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        let healed = self.is_healed();
        if self.plan.upgrades && !healed && self.dice.chance(300) {
            self.nodes[node].version = self.dice.pick(&at_least(self.plan.lowest));
        }
        let known = &mut self.nodes[node];
        known.disk.set_now(self.now.since(Instant(0)));
        // A power failure in the middle of an old restart is left out: what that had begun to overwrite is lost [HARD-371].
        if !healed && !self.plan.models[node] && self.dice.chance(40) {
            known.disk.arm(self.dice.below(12));
        }
        let fails_to_load = !healed && self.plan.frail == Some(node) && self.dice.chance(150);
        let start = Start {
            node,
            plan: &self.plan,
            version: known.version,
            disk: &known.disk,
            faulty: known.conditions.full_disk > self.now,
            refuses_saves: known.conditions.refuses_saves > self.now,
            fails_to_load,
            now: self.now,
        };
        let version = known.version;
        match start.run(&mut self.dice, &mut self.checker) {
            Ok(process) => {
                let known = &mut self.nodes[node];
                known.disk.disarm();
                known.disk.holes_are_cut();
                known.incarnation += 1;
                let end = End { node, incarnation: known.incarnation };
                let status = process.core.status();
                let refused = process.saving_refused;
                self.counts.relearned += u64::from(process.relearns);
                known.process = Some(process);
                self.counts.starts += 1;
                self.trace.note(self.now, &[1, node as u64, status.accepted.decree.0], || {
                    format!(
                        "node {node} starts in version {version}: accepted {}, promised {}, executed {}",
                        status.accepted, status.promised, status.executed
                    )
                });
                if refused {
                    self.command(end, Command::AllowSaveState(false));
                }
                self.wake(end, self.now);
                Ok(())
            }
            Err(NoStart::Disk) => {
                self.trace.note(self.now, &[2, node as u64], || format!("node {node} fails to start"));
                let crash = if self.dice.chance(500) { Crash::Power } else { Crash::Kill };
                self.nodes[node].disk.crash(crash, &mut self.dice);
                self.counts.crashes += 1;
                let pause = self.dice.millis(10, 500);
                self.after(pause, Event::Start(node));
                Ok(())
            }
            Err(NoStart::Refused(text)) => {
                self.trace.note(self.now, &[23, node as u64], || text);
                self.counts.refused += 1;
                let known = &mut self.nodes[node];
                known.disk.disarm();
                known.disk.crash(Crash::Kill, &mut self.dice);
                known.disk.repair();
                let pause = self.dice.millis(100, 5_000);
                self.after(pause, Event::Start(node));
                Ok(())
            }
            Err(NoStart::Violation(violation)) => Err(violation),
        }
    }
}
