//! A gap in the history that a checkpoint covers which cannot be used, and the records behind it [HARD-374].

use super::{Current, Replay, promise_of_next_configuration};
use crate::format::{Promise, Record};
use crate::storage::outcome::{RestoreError, RestoreReason};
use crate::types::{Ballot, Decree, Position};
use crate::wire::Vote;

impl Replay<'_> {
    /// Votes are missing before `found`. Where an unusable checkpoint covers the gap the history ends here, else the
    /// start fails [HARD-374] [HARD-375].
    pub(super) fn gap(
        &mut self,
        current: &Current<'_>,
        offset: u64,
        found: &Vote,
        expected: Decree,
    ) -> Result<(), RestoreError> {
        let accepted = self.behind.as_ref().unwrap_or(&self.accepted).decree();
        let decree = found.decree();
        let covers =
            |at: &&(Decree, Ballot)| at.0 > self.executed && decree <= at.0.next() && decree > accepted;
        // The log was begun for the checkpoint just before it, which took all promises over.
        if let Some(&(_, promised)) = self.unusable.iter().filter(covers).min()
            && !current.used
        {
            self.promised = self.promised.max(promised);
            self.behind_gap.push(current.name);
            self.hidden = None;
            self.learn_anew(found.position());
            self.behind = Some(found.clone());
            return Ok(());
        }
        if let Some(hidden) = &self.hidden {
            return Err(RestoreError::at(
                hidden.path.clone(),
                hidden.offset,
                RestoreReason::TornInside(hidden.decree),
            ));
        }
        let found = found.position();
        Err(RestoreError::at(current.path, offset, RestoreReason::Gap { expected, found }))
    }

    /// A record behind the gap: only what it proves counts. The order of the records is demanded as before it
    /// [HARD-375], unless another unusable checkpoint covers another gap.
    pub(super) fn record_behind(
        &mut self,
        current: &mut Current<'_>,
        offset: u64,
        record: Record,
    ) -> Result<(), RestoreError> {
        let fail = |reason| RestoreError::at(current.path, offset, reason);
        let found = record.position();
        let Some(last) = &self.behind else { return Ok(()) };
        let previous = last.position();
        match record {
            Record::Prepare(_) => {}
            Record::Decision(_) => {
                let decided = previous.decree == found.decree && previous.ballot >= found.ballot;
                if !decided || last.reconfiguration().is_none() {
                    return Err(fail(RestoreReason::DecisionWithoutVote(found)));
                }
                self.promised = promise_of_next_configuration(self.promised);
                self.behind = Some(self.placeholder(found.decree).map_err(|error| fail(error.into()))?);
            }
            Record::Vote(vote) => {
                if found.decree != previous.decree && !found.decree.follows(previous.decree) {
                    return self.gap(current, offset, &vote, previous.decree.next());
                }
                if !found.is_next(&previous) {
                    return Err(fail(RestoreReason::NotNext { previous: Box::new(previous), found }));
                }
                current.used = true;
                self.learn_anew(found);
                self.behind = Some(vote);
            }
        }
        Ok(())
    }

    /// That vote was accepted, and is not readable any more.
    pub(super) fn learn_anew(&mut self, missing: Position) {
        let wanted = Promise { promised: Ballot::EMPTY, relearn: Some(missing) };
        self.relearn = wanted.merge(Promise { promised: Ballot::EMPTY, relearn: self.relearn }).relearn;
    }
}
