//! One run of a simulated replica: what a process holds, how it starts from its disk, and its clock.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::app::App;
use super::checker::{Checker, Violation};
use super::core::Core;
use super::dice::Dice;
use super::disk::SimDisk;
use super::execution::Execution;
use super::plan::{Plan, member};
use super::transfer::Transfer;
use crate::engine::{AppendSeq, Effect, FetchId, Input, Outbox, Settings};
use crate::legacy_model;
use crate::storage::{
    CheckpointReader, Directory, LogWriter, RestoreSettings, RestoreTarget, Restored, SaveAnswer, restore,
};
use crate::types::{Configuration, Decree, Instant, MemberId, ProtocolVersion};
use crate::wire::Vote;

/// The data directory on every disk.
pub(super) const DIRECTORY: &str = "data";

/// A replica's clock: it starts anywhere and runs a little fast or slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    offset: Duration,
    /// Its seconds per thousand seconds.
    rate: u64,
}

impl Clock {
    fn new(dice: &mut Dice, now: Instant) -> Clock {
        let offset = dice.between(Duration::from_secs(100), Duration::from_secs(5_000_000));
        let rate = if dice.chance(500) { 1000 } else { 900 + dice.below(200) };
        Clock { started: now, offset, rate }
    }

    /// What it shows.
    pub(super) fn shows(&self, now: Instant) -> Instant {
        let ran = u64::try_from(now.since(self.started).as_micros()).unwrap_or(u64::MAX);
        Instant(ran.saturating_mul(self.rate) / 1000) + self.offset
    }

    /// When it will show `local`.
    pub(super) fn when(&self, local: Instant) -> Instant {
        let ran = (local - self.offset).0;
        self.started + Duration::from_micros(ran.saturating_mul(1000).div_ceil(self.rate))
    }
}

/// A running replica.
pub(super) struct Process {
    pub(super) member: MemberId,
    pub(super) core: Core,
    pub(super) outbox: Outbox,
    pub(super) directory: Directory,
    pub(super) log: LogWriter,
    pub(super) execution: Execution,
    pub(super) clock: Clock,
    pub(super) inbox: Vec<Input>,
    /// The log write under way, and what waits for it.
    pub(super) flushing: Option<AppendSeq>,
    pub(super) after_flush: Vec<Effect>,
    pub(super) wake_at: Option<Instant>,
    /// Turns since time has moved.
    pub(super) spins: u32,
    /// Effect boundaries until it dies.
    pub(super) fuse: Option<u32>,
    pub(super) peers: Vec<MemberId>,
    pub(super) last_send: BTreeMap<MemberId, Instant>,
    pub(super) transfers: BTreeMap<FetchId, Transfer>,
    pub(super) saving_refused: bool,
    /// The last request it takes [PROTO-99].
    pub(super) last_request: Option<u64>,
    /// It has to learn a part of its history anew [HARD-374].
    pub(super) relearns: bool,
    /// Turns go on during a log write.
    pub(super) writes_aside: bool,
}

/// Why a replica did not start.
pub(super) enum NoStart {
    /// The disk failed, as it was told to.
    Disk,
    /// The disk lies, and it said so: loudly, and without having done anything.
    Refused(String),
    /// It should have started.
    Violation(Violation),
}

impl From<Violation> for NoStart {
    fn from(violation: Violation) -> NoStart {
        NoStart::Violation(violation)
    }
}

/// What a start needs.
pub(super) struct Start<'a> {
    pub(super) node: usize,
    pub(super) plan: &'a Plan,
    pub(super) version: ProtocolVersion,
    pub(super) disk: &'a SimDisk,
    /// Its disk may fail: a failed start proves nothing.
    pub(super) faulty: bool,
    pub(super) refuses_saves: bool,
    /// The application fails to load the newest checkpoint.
    pub(super) fails_to_load: bool,
    pub(super) now: Instant,
}

impl Start<'_> {
    /// Restores the replica and compares what it has found with what it had.
    pub(super) fn run(self, dice: &mut Dice, checker: &mut Checker) -> Result<Process, NoStart> {
        let failed = |error: &dyn std::fmt::Display| {
            if self.faulty || self.disk.is_off() {
                return NoStart::Disk;
            }
            let text = format!("node {} does not start: {error}", self.node);
            if self.disk.is_wounded() || self.fails_to_load {
                return NoStart::Refused(text);
            }
            NoStart::Violation(Violation::new("XFER-44", text))
        };
        let found = if self.plan.models[self.node] { self.as_legacy(checker)? } else { None };
        let found = match found {
            Some(found) => Ok(found),
            None => self.attempt(&mut restore_ours, checker)?,
        };
        let Found { directory, restored, app, executed } = found.map_err(|refusal| failed(&refusal.text))?;
        if self.disk.is_off() {
            return Err(NoStart::Disk);
        }
        let Restored { recovered, log, saving_refused, .. } = restored;
        let relearns = recovered.relearn.is_some();
        let clock = Clock::new(dice, self.now);
        let settings =
            Settings { member: member(self.node), version: self.version, ..self.plan.settings.clone() };
        let (model, seed) = (self.plan.models[self.node], dice.bits());
        let core = Core::recover(model, settings, recovered, seed, clock.shows(self.now));
        Ok(Process {
            member: member(self.node),
            core,
            outbox: Outbox::default(),
            directory,
            log,
            execution: Execution::new(app, executed),
            clock,
            inbox: Vec::new(),
            flushing: None,
            after_flush: Vec::new(),
            wake_at: None,
            spins: 0,
            fuse: None,
            peers: Vec::new(),
            last_send: BTreeMap::new(),
            transfers: BTreeMap::new(),
            saving_refused,
            last_request: None,
            relearns,
            writes_aside: self.plan.writes_aside,
        })
    }

    /// A restart, and what it has found against what the replica had. The inner error: it does not start.
    fn attempt(
        &self,
        restore: RestoreFn<'_>,
        checker: &mut Checker,
    ) -> Result<Result<Found, Refusal>, Violation> {
        let disk: Arc<SimDisk> = Arc::new(self.disk.clone());
        let directory = match Directory::open(disk, Path::new(DIRECTORY)) {
            Ok(directory) => directory,
            Err(error) => return Ok(Err(Refusal { text: error.to_string(), died: false })),
        };
        let settings = RestoreSettings {
            member: member(self.node),
            version: self.version,
            initial_members: (self.node < self.plan.initial && !self.plan.bootstrap)
                .then(|| self.plan.members()),
            retention: self.plan.retention,
            refuse_damaged_tail: false,
        };
        let mut loader = Loader {
            node: self.node,
            checker,
            app: App::default(),
            executed: Decree::ZERO,
            refuses_saves: self.refuses_saves,
            fails_to_load: self.fails_to_load,
            violation: None,
        };
        let restored = restore(&directory, &settings, &mut loader);
        let Loader { app, executed, violation, .. } = loader;
        if let Some(violation) = violation {
            return Err(violation);
        }
        match restored {
            Ok(restored) if !self.disk.is_off() => {
                self.check(&restored, executed, checker)?;
                Ok(Ok(Found { directory, restored, app, executed }))
            }
            Ok(_) => Ok(Err(Refusal { text: "the power is off".to_owned(), died: false })),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The restart of the old library. `None`: it does not start, as a HARD clause tells, or has forgotten what it had
    /// promised or accepted, which no cluster survives for certain. Then the disk is as before, but for what an operator
    /// has to cut off, and ours is to do it.
    fn as_legacy(&self, checker: &mut Checker) -> Result<Option<Found>, Violation> {
        // The old library writes through.
        self.disk.settle();
        let before = self.disk.keep();
        let outcome = self.attempt(&mut restore_as_legacy, checker);
        if let Ok(Ok(found)) = outcome {
            self.disk.settle();
            return Ok(Some(found));
        }
        self.disk.put_back(before);
        match outcome {
            Ok(Err(_)) if self.disk.cut_remains() => checker.repaired += 1,
            Ok(Err(Refusal { died: true, .. })) => checker.forgotten += 1,
            Err(Violation { rule: "PROTO-14" | "PROTO-26", .. }) => checker.forgotten += 1,
            Ok(Err(Refusal { text, .. })) if !self.faulty => {
                return Err(Violation::new("HARD-375", format!("node {} does not start: {text}", self.node)));
            }
            Ok(_) => {}
            Err(violation) => return Err(violation),
        }
        Ok(None)
    }

    fn check(&self, restored: &Restored, executed: Decree, checker: &mut Checker) -> Result<(), Violation> {
        let recovered = &restored.recovered;
        if recovered.executed != executed {
            let text = format!("node {} restores {}, {executed} executed", self.node, recovered.executed);
            return Err(Violation::new("PROTO-25", text));
        }
        if recovered.relearn.is_some() && self.plan.frail != Some(self.node) {
            let text = format!("node {}: history is missing on an undamaged disk", self.node);
            return Err(Violation::new("HARD-374", text));
        }
        checker.recovered(self.node, &recovered.accepted, recovered.promised, recovered.relearn)
    }
}

/// A restart that ends without a replica.
struct Refusal {
    text: String,
    /// An assertion of the old library failed, as a HARD clause tells.
    died: bool,
}

/// A way to restart.
type RestoreFn<'a> =
    &'a mut dyn FnMut(&Directory, &RestoreSettings, &mut dyn RestoreTarget) -> Result<Restored, Refusal>;

fn restore_ours(
    directory: &Directory,
    settings: &RestoreSettings,
    target: &mut dyn RestoreTarget,
) -> Result<Restored, Refusal> {
    restore(directory, settings, target).map_err(|error| Refusal { text: error.to_string(), died: false })
}

fn restore_as_legacy(
    directory: &Directory,
    settings: &RestoreSettings,
    target: &mut dyn RestoreTarget,
) -> Result<Restored, Refusal> {
    legacy_model::restore(directory, settings, target).map_err(|no_start| match no_start {
        legacy_model::NoStart::Failed(error) => Refusal { text: error.to_string(), died: false },
        legacy_model::NoStart::Died(text) => Refusal { text, died: true },
    })
}

/// What a restart has found.
struct Found {
    directory: Directory,
    restored: Restored,
    app: App,
    executed: Decree,
}

/// The application while a replica restores.
struct Loader<'a> {
    node: usize,
    checker: &'a mut Checker,
    app: App,
    executed: Decree,
    refuses_saves: bool,
    fails_to_load: bool,
    violation: Option<Violation>,
}

impl RestoreTarget for Loader<'_> {
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool {
        (self.app, self.executed) = (App::default(), Decree::ZERO);
        let Some(reader) = state else { return true };
        if std::mem::take(&mut self.fails_to_load) {
            return false;
        }
        let decree = reader.header().executed;
        let Some(app) = App::load(reader) else { return false };
        (self.app, self.executed) = (app, decree);
        if let Err(text) = self.checker.history.is_state_after(decree, self.app.digest()) {
            let text = format!("node {} loads {decree}.codex: {text}", self.node);
            self.violation.get_or_insert(Violation::new("PROTO-24", text));
        }
        true
    }

    fn execute(&mut self, vote: &Vote) -> bool {
        if !vote.decree().follows(self.executed) {
            let text = format!("node {} replays {} after {}", self.node, vote.decree(), self.executed);
            self.violation.get_or_insert(Violation::new("PROTO-12", text));
        }
        self.executed = vote.decree();
        let mut save = false;
        for request in vote.requests() {
            save |= self.app.execute(vote.decree(), &request);
        }
        if let Err(violation) = self.checker.history.executed(vote, self.app.digest()) {
            self.violation.get_or_insert(violation);
        }
        save
    }

    fn reconfigured(&mut self, _: &Configuration) {}

    fn save(&mut self, mut into: &mut dyn Write) -> SaveAnswer {
        if self.refuses_saves {
            return SaveAnswer::Refused;
        }
        match self.app.save(&mut into) {
            Ok(()) => SaveAnswer::Saved,
            Err(_) => SaveAnswer::Failed,
        }
    }
}
