//! The execution context of a simulated replica: one queue towards the application [PROTO-134], kept as the contract of
//! [`Effect`](crate::engine::Effect) asks, without threads.

use std::collections::VecDeque;

use super::app::App;
use crate::engine::{Apply, ChangeToken, RequestToken, SaveRequest};
use crate::types::Decree;
use crate::wire::Vote;

/// Something for the application.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all jobs are decrees")]
pub(super) enum Job {
    Execute { vote: Vote, tokens: Vec<RequestToken>, change: Option<ChangeToken> },
    Abort(RequestToken),
    AbortChange(ChangeToken),
    Status(bool),
    PrimaryRecovered,
    StateCopied,
    MembersPersisted,
}

/// What the context is doing.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum Step {
    Job(Job),
    /// Saving, with the vote at the head of the queue.
    Save(SaveRequest, Option<Vote>),
}

/// The queue and the state behind it.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) app: App,
    pub(super) executed: Decree,
    /// What is being done now.
    pub(super) running: Option<Step>,
    /// Requests are taken.
    pub(super) open: bool,
    jobs: VecDeque<Job>,
    /// One for the last passed decree, and one for an earlier decree that asked for it, may wait at once.
    saves: Vec<SaveRequest>,
    /// A decree asked for a checkpoint: the context waits for `Save` or `Release`.
    asked: Option<Decree>,
    hold: bool,
}

impl Execution {
    pub(super) const fn new(app: App, executed: Decree) -> Execution {
        Execution {
            app,
            executed,
            running: None,
            open: false,
            jobs: VecDeque::new(),
            saves: Vec::new(),
            asked: None,
            hold: false,
        }
    }

    pub(super) fn submit(&mut self, apply: Apply) {
        match apply {
            Apply::Execute { vote, tokens, change } => {
                self.jobs.push_back(Job::Execute { vote, tokens, change });
            }
            Apply::Abort { token, .. } => self.jobs.push_back(Job::Abort(token)),
            Apply::AbortChange { token, .. } => self.jobs.push_back(Job::AbortChange(token)),
            Apply::Hold(hold) => self.hold = hold,
            Apply::Status { is_primary: true } => {
                self.open = true;
                self.hold = false;
                let behind = self.jobs.iter().rposition(|job| !matches!(job, Job::Execute { .. }));
                self.jobs.insert(behind.map_or(0, |last| last + 1), Job::Status(true));
            }
            Apply::Status { is_primary: false } => {
                self.open = false;
                self.jobs.push_back(Job::Status(false));
            }
            Apply::PrimaryRecovered => self.jobs.push_back(Job::PrimaryRecovered),
            Apply::StateCopied { .. } => self.jobs.push_back(Job::StateCopied),
            Apply::MembersPersisted => self.jobs.push_back(Job::MembersPersisted),
            Apply::Save(request) => {
                self.answered(request.at);
                self.saves.push(request);
            }
            Apply::Release { decree } => self.answered(decree),
        }
    }

    fn answered(&mut self, decree: Decree) {
        self.asked.take_if(|asked| *asked == decree);
    }

    /// Nothing more is done before the engine has decided about this decree.
    pub(super) const fn ask(&mut self, decree: Decree) {
        self.asked = Some(decree);
    }

    /// Takes the next step, if there is one and none is running.
    pub(super) fn start(&mut self) -> Option<&Step> {
        if self.running.is_some() {
            return None;
        }
        if let Some(due) = self.saves.iter().position(|save| save.at <= self.executed) {
            let save = self.saves.remove(due);
            let head = self.jobs.iter().find_map(|job| match job {
                Job::Execute { vote, .. } => Some(vote.clone()),
                _ => None,
            });
            self.running = Some(Step::Save(save, head));
        } else {
            let held = self.hold && matches!(self.jobs.front(), Some(Job::Execute { .. }));
            if held || self.asked.is_some() {
                return None;
            }
            self.running = self.jobs.pop_front().map(Step::Job);
        }
        self.running.as_ref()
    }

    /// The replica ends: everything that is left, without waiting for anybody.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.open = false;
        let running = match self.running.take() {
            Some(Step::Job(job)) => Some(job),
            Some(Step::Save(..)) | None => None,
        };
        running.into_iter().chain(std::mem::take(&mut self.jobs)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plan::{member, member_set};
    use crate::types::{Ballot, Configuration, ProtocolVersion};

    fn save(at: u64) -> Apply {
        let configuration =
            Configuration { number: 1, initial_decree: Decree::ZERO, members: member_set(0..3) };
        Apply::Save(SaveRequest {
            at: Decree(at),
            next_vote: None,
            promised: Ballot::new(1, member(0)),
            version: ProtocolVersion::V6,
            configuration,
        })
    }

    /// [XFER-33] [XFER-35]: a save for the decree passed last waits while an earlier decree asks for one of its own; the
    /// engine hears of both (found by the simulator, ci 8490: a lost save kept a replica from ever standing for election).
    #[test]
    fn two_saves_may_wait() {
        let mut execution = Execution::new(App::default(), Decree(3));
        execution.submit(save(5));
        execution.submit(save(3));
        for at in [3, 5] {
            execution.executed = Decree(at);
            let Some(Step::Save(request, _)) = execution.start() else { panic!("no save at {at}") };
            assert_eq!(request.at, Decree(at));
            execution.running = None;
        }
        assert!(execution.start().is_none());
    }
}
