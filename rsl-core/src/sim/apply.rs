//! The application's side of a replica: what it answers, executes and saves.

use std::time::Duration;

use bytes::Bytes;

use super::app::App;
use super::checker::Violation;
use super::execution::{Job, Step};
use super::network::End;
use super::process::Process;
use super::world::{Check, Event, World};
use crate::engine::{Answer, Input, Question, QuestionId, SaveOutcome, SaveRequest};
use crate::format::FileName;
use crate::storage::{CheckpointReader, CheckpointWriter, NewCheckpoint, PublishError};
use crate::types::{Decree, Instant};
use crate::wire::Vote;

impl World<'_> {
    pub(super) fn ask(&mut self, end: End, question: QuestionId, ask: &Question) {
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

    pub(super) fn finish(&mut self, end: End, job: Job) -> Check {
        let node = end.node;
        let Some(process) = self.process(end) else { return Ok(()) };
        match job {
            Job::Execute { vote, tokens, change } => {
                let decree = vote.decree();
                if !decree.follows(process.execution.executed) {
                    let text = format!("node {node} executes {decree} after {}", process.execution.executed);
                    return Err(Violation::new("PROTO-12", text));
                }
                if !tokens.is_empty() && tokens.len() != vote.request_count() as usize {
                    return Err(Violation::new(
                        "decision 12",
                        format!("{} tokens for {decree}", tokens.len()),
                    ));
                }
                let last = process.last_request.unwrap_or(u64::MAX);
                if let Some(late) = tokens.iter().find(|token| token.0 > last) {
                    let text = format!("node {node} executes token {} after its last request {last}", late.0);
                    return Err(Violation::new("PROTO-99", text));
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
                    self.checker.ended_well(node, token.0, Some(&request), decree)?;
                }
                if let Some(token) = change {
                    self.checker.ended_well(node, token.0, None, decree)?;
                }
                self.counts.reconfigured += u64::from(vote.reconfiguration().is_some());
                self.trace.note(self.now, &[8, node as u64, decree.0, digest[1]], || {
                    format!("node {node} executes {decree}: {} requests", vote.request_count())
                });
                self.give(end, Input::Executed { decree, save_state: save });
            }
            Job::Abort(token) => self.checker.aborted(node, token.0)?,
            Job::AbortChange(token) => self.checker.aborted(node, token.0)?,
            Job::Status(is_primary) => {
                self.counts.promotions += u64::from(is_primary);
                self.trace.note(self.now, &[9, node as u64, u64::from(is_primary)], || {
                    format!("node {node} is primary: {is_primary}")
                });
            }
            Job::PrimaryRecovered | Job::StateCopied | Job::MembersPersisted => {}
        }
        Ok(())
    }

    fn save(&mut self, end: End, request: &SaveRequest, head: Option<Vote>) -> Check {
        let node = end.node;
        let refuses = self.nodes[node].conditions.refuses_saves > self.now;
        self.nodes[node].disk.set_now(self.now.since(Instant(0)));
        let faulty = self.disk_is_faulty(node);
        if let Some(next_vote) = request.next_vote.as_ref().or(head.as_ref()) {
            self.checker.saving(node, next_vote)?;
        }
        let Some(process) = self.process(end) else { return Ok(()) };
        let outcome = if refuses { Ok(SaveOutcome::Refused) } else { save_state(process, request, head) };
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

    pub(super) fn disk_is_faulty(&self, node: usize) -> bool {
        let conditions = &self.nodes[node].conditions;
        conditions.full_disk > self.now || conditions.broken.is_some()
    }

    pub(super) fn verify_checkpoint(&mut self, end: End, decree: Decree) -> Check {
        let node = end.node;
        let Some(process) = self.process(end) else { return Ok(()) };
        let path = process.directory.file(FileName::Checkpoint(decree));
        let mut reader = CheckpointReader::open(&**process.directory.disk(), &path)
            .map_err(|error| Violation::new("PROTO-24", format!("node {node} {decree}.codex: {error}")))?;
        // That of a first member set holds no state [STOR-52].
        let state = if reader.header().state_saved { App::load(&mut reader) } else { Some(App::default()) };
        let digest = state.map(|app| app.digest());
        self.checker.checkpoint(node, decree, &reader, digest)
    }
}

pub(super) fn save_state(
    process: &mut Process,
    request: &SaveRequest,
    head: Option<Vote>,
) -> Result<SaveOutcome, PublishError> {
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

/// Writes the checkpoint of a first member set [STOR-52].
pub(super) fn persist_members(process: &Process, request: &SaveRequest) -> bool {
    let Some(next_vote) = &request.next_vote else { return false };
    let mut new = NewCheckpoint::from_request(request, next_vote, process.member);
    new.state_saved = false;
    CheckpointWriter::new(&process.directory, new).and_then(CheckpointWriter::finish).is_ok()
}
