//! The execution context: one thread that gives the application everything in order.

use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::shared::Shared;
use super::{Cookie, Execution, Refused, StateMachine};
use crate::engine::{
    AbortReason, Apply, ChangeToken, Command, Input, RequestToken, Role, SaveOutcome, SaveRequest,
};
use crate::types::{Configuration, Decree, Instant};
use crate::wire::Vote;

/// Passed votes that were left on disk are read in portions of this size [PROTO-135].
const READ_BACK: u64 = 1 << 20;

/// What the execution context needs of the disk.
pub(super) trait ExecutionDisk: Send {
    /// Saves a checkpoint with `next_vote` in its header: `write` lets the application write its state and says whether
    /// it did. The file is verified and durable under its final name when this returns `Saved::Done`.
    fn save(
        &mut self,
        request: &SaveRequest,
        next_vote: &Vote,
        write: &mut dyn FnMut(&mut dyn Write) -> bool,
    ) -> Saved;

    /// Reads votes for consecutive decrees from `first` on, at most up to `last`: at least one, and about `bytes` worth
    /// of them where there are more. Of several votes for a decree the last one counts.
    fn read_votes(&mut self, first: Decree, last: Decree, bytes: u64) -> io::Result<Vec<Vote>>;

    /// Where the checkpoint of a decree is.
    fn checkpoint_path(&self, decree: Decree) -> PathBuf;
}

/// How a save ended.
#[derive(Debug)]
pub(super) enum Saved {
    /// The checkpoint is in place.
    Done {
        /// Its size in bytes.
        size: u64,
    },
    /// The application declined.
    Refused,
    /// It could not be written or verified; reported by the disk [HARD-361] [HARD-362].
    Failed,
}

/// Something for the execution thread.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all jobs are decrees")]
enum Job {
    /// Execute the next decree, which waits since `since`.
    Execute { vote: Vote, tokens: Vec<RequestToken>, change: Option<ChangeToken>, since: Instant },
    /// Execute these decrees, whose votes are in the log [PROTO-135].
    ReadBack { first: Decree, last: Decree },
    /// Abort a request.
    Abort { token: RequestToken, why: Refused },
    /// Abort a configuration change.
    AbortChange { token: ChangeToken, why: Refused },
    /// NotifyStatus.
    Status(bool),
    /// NotifyPrimaryRecovered.
    PrimaryRecovered,
    /// StateCopied.
    StateCopied(Decree),
    /// StateSaved and NotifyConfigurationChanged of a bootstrap.
    MembersPersisted,
}

impl Job {
    /// Whether it gives the application another decree.
    const fn is_decree(&self) -> bool {
        matches!(self, Job::Execute { .. } | Job::ReadBack { .. })
    }
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Bytes of the votes in `jobs`.
    bytes: u64,
    /// Take effect right after their decrees, ahead of the queue.
    saves: Vec<SaveRequest>,
    /// A decree that asked for a checkpoint was executed: nothing else is done until `Save` or `Release` names it.
    asked: Option<Decree>,
    /// No further decree is started until the promotion is announced or off [PROTO-129].
    hold: bool,
    /// This replica is primary as far as the queue's end is concerned.
    primary: bool,
    /// Finish what is queued, then end.
    stopping: bool,
}

/// The queue between the loop and the execution thread: one FIFO, but saves jump it [XFER-33] [XFER-35], and a
/// promotion is announced before further decrees [PROTO-129].
#[derive(Debug)]
pub(super) struct ExecutionQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Bytes of votes beyond which votes stay on disk [PROTO-134].
    limit: u64,
}

impl ExecutionQueue {
    pub(super) fn new(limit: u64) -> ExecutionQueue {
        ExecutionQueue { queue: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// Queues a turn's work; opens and closes the admission on the way.
    pub(super) fn submit(&self, shared: &Shared, work: impl IntoIterator<Item = Apply>) {
        let now = shared.clock.now();
        let mut queue = self.queue.lock();
        for apply in work {
            match apply {
                Apply::Execute { vote, tokens, change } => {
                    shared.progress.add_pending(1);
                    queue.push_vote(vote, tokens, change, now, self.limit);
                }
                Apply::Abort { token, reason } => {
                    queue.jobs.push_back(Job::Abort { token, why: reason.into() });
                }
                Apply::AbortChange { token, reason } => {
                    queue.jobs.push_back(Job::AbortChange { token, why: reason.into() });
                }
                Apply::Hold(hold) => queue.hold = hold,
                Apply::Status { is_primary: true } => {
                    shared.admission.open();
                    queue.promoted();
                }
                Apply::Status { is_primary: false } => {
                    // From here on requests are refused; those that did not reach the engine go the same way as the
                    // others, before the notification [API-80] [API-105].
                    for command in shared.admission.close() {
                        queue.jobs.extend(aborts(command, Refused::NotPrimary));
                    }
                    queue.primary = false;
                    queue.jobs.push_back(Job::Status(false));
                }
                Apply::PrimaryRecovered => queue.jobs.push_back(Job::PrimaryRecovered),
                Apply::StateCopied { decree } => queue.state_copied(decree),
                Apply::MembersPersisted => queue.jobs.push_back(Job::MembersPersisted),
                Apply::Save(request) => {
                    queue.answered(request.at);
                    queue.saves.push(request);
                }
                Apply::Release { decree } => queue.answered(decree),
            }
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Finish what is queued, then end.
    pub(super) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.changed.notify_one();
    }

    /// Jobs that wait.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// `decree` asked for a checkpoint: nothing more is done until `Save` or `Release` names it.
    fn ask(&self, decree: Decree) {
        self.queue.lock().asked = Some(decree);
    }

    /// Waits for the next thing to do after `executed`; `None` = end.
    fn next(&self, executed: Decree) -> Option<Step> {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopping {
                queue.hold = false;
                queue.asked = None;
                queue.saves.clear();
            }
            if let Some(due) = queue.saves.iter().position(|save| save.at <= executed) {
                let save = queue.saves.remove(due);
                let next = queue.jobs.iter().find(|job| job.is_decree()).map(|job| match job {
                    Job::Execute { vote, .. } => NextVote::Known(Box::new(vote.clone())),
                    _ => NextVote::OnDisk,
                });
                return Some(Step::Save(save, next));
            }
            let held = queue.hold && queue.jobs.front().is_some_and(Job::is_decree);
            if !held
                && queue.asked.is_none()
                && let Some(job) = queue.jobs.pop_front()
            {
                if let Job::Execute { vote, .. } = &job {
                    queue.bytes -= vote.encoded().len() as u64;
                }
                return Some(if queue.stopping { Step::Last(job) } else { Step::Job(job) });
            }
            if queue.stopping {
                return None;
            }
            self.changed.wait(&mut queue);
        }
    }
}

impl Queue {
    /// Keeps the vote in memory, or notes that it has to be read back: when there is no room, or the vote before it is
    /// not in memory either. Votes with tokens and those of a primary are kept in any case [PROTO-134] [HARD-335].
    fn push_vote(
        &mut self,
        vote: Vote,
        tokens: Vec<RequestToken>,
        change: Option<ChangeToken>,
        since: Instant,
        limit: u64,
    ) {
        let decree = vote.decree();
        if tokens.is_empty() && change.is_none() && !self.primary {
            match self.jobs.back_mut() {
                Some(Job::ReadBack { last, .. }) if decree.follows(*last) => {
                    *last = decree;
                    return;
                }
                _ if self.bytes >= limit => {
                    self.jobs.push_back(Job::ReadBack { first: decree, last: decree });
                    return;
                }
                _ => {}
            }
        }
        self.bytes += vote.encoded().len() as u64;
        self.jobs.push_back(Job::Execute { vote, tokens, change, since });
    }

    /// The promotion goes before the decrees that wait, but not before what ends an earlier term.
    fn promoted(&mut self) {
        self.hold = false;
        self.primary = true;
        let at = self.jobs.iter().rposition(|job| !job.is_decree()).map_or(0, |last| last + 1);
        self.jobs.insert(at, Job::Status(true));
    }

    /// The engine has decided about a decree that asked for a checkpoint.
    fn answered(&mut self, decree: Decree) {
        self.asked.take_if(|asked| *asked == decree);
    }

    /// Of two pending notifications only the newest is delivered [XFER-25].
    fn state_copied(&mut self, decree: Decree) {
        self.jobs.retain(|job| !matches!(job, Job::StateCopied(_)));
        self.jobs.push_back(Job::StateCopied(decree));
    }
}

impl From<AbortReason> for Refused {
    fn from(reason: AbortReason) -> Refused {
        match reason {
            AbortReason::NotPrimary => Refused::NotPrimary,
            AbortReason::ShuttingDown => Refused::ShuttingDown,
        }
    }
}

/// The aborts of a command that did not reach the engine.
fn aborts(command: Command, why: Refused) -> Vec<Job> {
    match command {
        Command::Replicate(requests) => {
            requests.into_iter().map(|request| Job::Abort { token: request.token, why }).collect()
        }
        Command::ChangeConfiguration { token, .. } => vec![Job::AbortChange { token, why }],
        // The admission holds nothing else.
        _ => Vec::new(),
    }
}

/// What the execution thread does next.
#[derive(Debug)]
enum Step {
    /// Save a checkpoint; with what the queue knows of the next vote.
    Save(SaveRequest, Option<NextVote>),
    /// The next job.
    Job(Job),
    /// A job while the replica ends.
    Last(Job),
}

/// The vote at the head of the queue.
#[derive(Debug)]
enum NextVote {
    Known(Box<Vote>),
    OnDisk,
}

/// The execution thread.
pub(super) struct Executor<D> {
    shared: Arc<Shared>,
    machine: Arc<dyn StateMachine>,
    disk: D,
    /// A decree was left out: no later one is executed.
    gap: bool,
}

impl<D: ExecutionDisk> Executor<D> {
    pub(super) fn new(shared: Arc<Shared>, machine: Arc<dyn StateMachine>, disk: D) -> Executor<D> {
        Executor { shared, machine, disk, gap: false }
    }

    /// Runs until the queue is stopped and empty. Roles that came before the end are announced, so that no cookie comes
    /// back to an application that does not know of its term [API-105].
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let queue = &shared.execution;
        while let Some(step) = queue.next(shared.progress.executed()) {
            match step {
                Step::Save(request, next) => self.save(&request, next),
                Step::Job(job) if self.gap && job.is_decree() => self.abandon(job),
                Step::Job(job) => self.perform(job),
                // Votes that are only on disk are not executed any more, nor what follows them [HARD-349].
                Step::Last(job @ Job::ReadBack { .. }) => {
                    self.gap = true;
                    self.abandon(job);
                }
                Step::Last(job) if self.gap && job.is_decree() => self.abandon(job),
                Step::Last(job) => self.perform(job),
            }
        }
    }

    /// A decree that cannot be executed, because one before it could not.
    fn abandon(&self, job: Job) {
        if let Job::Execute { tokens, change, .. } = job {
            tokens.into_iter().for_each(|token| self.abort(token, Refused::ShuttingDown));
            change.into_iter().for_each(|token| self.abort_change(token, Refused::ShuttingDown));
        }
    }

    fn perform(&mut self, job: Job) {
        match job {
            Job::Execute { vote, tokens, change, since } => {
                let started = self.shared.clock.now();
                self.execute(&vote, tokens, change);
                let took = self.shared.clock.now().since(started);
                self.shared.counters.executed(started.since(since), took);
            }
            Job::ReadBack { first, last } => self.read_back(first, last),
            Job::Abort { token, why } => self.abort(token, why),
            Job::AbortChange { token, why } => self.abort_change(token, why),
            Job::Status(is_primary) => {
                let (_guard, _inside) = self.shared.callbacks.exclusive();
                self.machine.notify_status(is_primary);
            }
            Job::PrimaryRecovered => {
                let (_guard, _inside) = self.shared.callbacks.exclusive();
                // Skipped when leadership is lost by now [API-79].
                if self.shared.admission.is_open() {
                    self.machine.notify_primary_recovered();
                }
            }
            Job::MembersPersisted => {
                let path = self.disk.checkpoint_path(Decree::ZERO);
                {
                    let (_guard, _inside) = self.shared.callbacks.shared();
                    self.machine.state_saved(Decree::ZERO, &path);
                }
                let (_guard, _inside) = self.shared.callbacks.exclusive();
                self.machine.notify_configuration_changed(Cookie::NONE);
            }
            Job::StateCopied(decree) => {
                let path = self.disk.checkpoint_path(decree);
                let (_guard, _inside) = self.shared.callbacks.exclusive();
                self.machine.state_copied(decree, Some(&path), Cookie::NONE);
            }
        }
    }

    fn execute(&self, vote: &Vote, tokens: Vec<RequestToken>, change: Option<ChangeToken>) {
        let shared = &self.shared;
        let save_state = execute_vote(shared, &*self.machine, vote, tokens, change);
        shared.progress.remove_pending(1);
        let decree = vote.decree();
        shared.reads.executed(decree);
        if save_state {
            shared.execution.ask(decree);
        }
        // The engine waits for progress only when it wants a checkpoint or an election.
        let urgent = save_state || !matches!(shared.progress.role(), Role::Primary | Role::Secondary);
        shared.mailbox.executed(decree, save_state, urgent);
    }

    /// Executes votes from the log, a portion at a time. A vote that cannot be read ends the replica: the log is damaged
    /// and must not be trusted for promises [HARD-376].
    fn read_back(&mut self, first: Decree, last: Decree) {
        let started = self.shared.clock.now();
        let read = self.disk.read_votes(first, last, READ_BACK).map_err(|error| error.to_string());
        let starts_right = |votes: &Vec<Vote>| votes.first().is_some_and(|vote| vote.decree() == first);
        let votes = match read {
            Ok(votes) if starts_right(&votes) => votes,
            other => {
                let why = other.err().unwrap_or_else(|| "the vote is not in the log".to_owned());
                self.gap = true;
                return self.shared.log_unreadable(first, &why);
            }
        };
        let bytes = votes.iter().map(|vote| vote.encoded().len() as u64).sum();
        let now = self.shared.clock.now();
        self.shared.counters.log_read(bytes, now.since(started));
        let reached = votes.last().map_or(first, Vote::decree);
        let mut queue = self.shared.execution.queue.lock();
        if reached < last {
            queue.jobs.push_front(Job::ReadBack { first: reached.next(), last });
        }
        for vote in votes.into_iter().rev() {
            queue.bytes += vote.encoded().len() as u64;
            queue.jobs.push_front(Job::Execute { vote, tokens: Vec::new(), change: None, since: now });
        }
    }

    fn abort(&self, token: RequestToken, why: Refused) {
        abort_request(&self.shared, &*self.machine, token, why);
    }

    fn abort_change(&self, token: ChangeToken, why: Refused) {
        abort_change(&self.shared, &*self.machine, token, why);
    }

    /// Saves a checkpoint: shared with fast reads, while nothing is executed [XFER-36] [XFER-37].
    fn save(&mut self, request: &SaveRequest, head: Option<NextVote>) {
        let shared = Arc::clone(&self.shared);
        shared.progress.set_saving(true);
        shared.reads.wake();
        let outcome = match self.next_vote(request, head) {
            Ok(next_vote) => self.save_with(request, &next_vote),
            Err(error) => {
                tracing::error!(at = request.at.0, %error, "no checkpoint can be saved");
                SaveOutcome::Failed
            }
        };
        shared.progress.set_saving(false);
        shared.reads.wake();
        shared.mailbox.input(Input::Saved(outcome));
    }

    /// The vote that goes into the header: it must be the one after the state [XFER-34] [PROTO-24].
    fn next_vote(&mut self, request: &SaveRequest, head: Option<NextVote>) -> io::Result<Vote> {
        let executed = self.shared.progress.executed();
        if request.at != executed {
            // A file of that name would lie about its content.
            return Err(io::Error::other(format!("the state is at decree {executed} already")));
        }
        let next = request.at.next();
        let vote = match (&request.next_vote, head) {
            (Some(vote), _) => Some(vote.clone()),
            (None, Some(NextVote::Known(vote))) => Some(*vote),
            (None, Some(NextVote::OnDisk)) => self.disk.read_votes(next, next, 0)?.into_iter().next(),
            (None, None) => None,
        };
        vote.filter(|vote| vote.decree() == next)
            .ok_or_else(|| io::Error::other(format!("the vote of decree {next} is not known")))
    }

    fn save_with(&mut self, request: &SaveRequest, next_vote: &Vote) -> SaveOutcome {
        let (_guard, _inside) = self.shared.callbacks.shared();
        let machine = &self.machine;
        match self.disk.save(request, next_vote, &mut |writer| machine.try_save_state(writer)) {
            Saved::Done { size } => {
                machine.state_saved(request.at, &self.disk.checkpoint_path(request.at));
                SaveOutcome::Done { decree: request.at, size }
            }
            Saved::Refused => SaveOutcome::Refused,
            Saved::Failed => SaveOutcome::Failed,
        }
    }
}

/// Aborts what was accepted here and did not reach the engine before the end.
pub(super) fn abort_late(shared: &Shared, machine: &dyn StateMachine, command: Command) {
    for job in aborts(command, Refused::ShuttingDown) {
        match job {
            Job::Abort { token, why } => abort_request(shared, machine, token, why),
            Job::AbortChange { token, why } => abort_change(shared, machine, token, why),
            _ => {}
        }
    }
}

fn abort_request(shared: &Shared, machine: &dyn StateMachine, token: RequestToken, why: Refused) {
    let (_guard, _inside) = shared.callbacks.exclusive();
    machine.abort_request(why, Cookie(token.0));
}

fn abort_change(shared: &Shared, machine: &dyn StateMachine, token: ChangeToken, why: Refused) {
    let (_guard, _inside) = shared.callbacks.exclusive();
    machine.abort_change_configuration(why, Cookie(token.0));
}

/// Gives one decree to the application [PROTO-136] [PROTO-137]. Returns whether a request asked for a checkpoint.
fn execute_vote(
    shared: &Shared,
    machine: &dyn StateMachine,
    vote: &Vote,
    tokens: Vec<RequestToken>,
    change: Option<ChangeToken>,
) -> bool {
    let decree = vote.decree();
    if decree == shared.progress.executed() {
        assert!(tokens.is_empty() && change.is_none(), "requests are executed once");
        return false;
    }
    let (_guard, _inside) = shared.callbacks.exclusive();
    let save_state = execute_requests(shared, machine, vote, tokens);
    if let Some(members) = vote.reconfiguration() {
        let number = shared.configuration.lock().number.saturating_add(1);
        let members = Arc::clone(members);
        let configuration = Configuration { number, initial_decree: decree.next(), members };
        change_configuration(shared, machine, configuration, change);
    }
    save_state
}

/// The requests of the next decree. The sequence number advances first. Also used while a replica restores its state,
/// without tokens.
pub(super) fn execute_requests(
    shared: &Shared,
    machine: &dyn StateMachine,
    vote: &Vote,
    tokens: Vec<RequestToken>,
) -> bool {
    let (decree, executed) = (vote.decree(), shared.progress.executed());
    assert!(decree.follows(executed), "decree {decree} cannot be executed after {executed}");
    assert!(tokens.is_empty() || tokens.len() == vote.request_count() as usize, "one token per request");
    shared.progress.set_executed(decree);
    if vote.request_count() == 0 {
        return false;
    }
    let mut save_state = false;
    machine.before_execute();
    let mut tokens = tokens.into_iter();
    for request in vote.requests() {
        let token = tokens.next();
        let cookie = token.as_ref().map_or(Cookie::NONE, |token| Cookie(token.0));
        let mut execution = Execution::new(decree, cookie);
        machine.execute(&request, &mut execution);
        save_state |= execution.wants_save();
        if token.is_some() {
            shared.admission.executed(request.len() as u64);
        }
    }
    machine.after_execute();
    save_state
}

/// A reconfiguration is executed: it shows from inside the notification on [API-93].
pub(super) fn change_configuration(
    shared: &Shared,
    machine: &dyn StateMachine,
    configuration: Configuration,
    change: Option<ChangeToken>,
) {
    *shared.configuration.lock() = configuration;
    machine.notify_configuration_changed(change.map_or(Cookie::NONE, |token| Cookie(token.0)));
}
