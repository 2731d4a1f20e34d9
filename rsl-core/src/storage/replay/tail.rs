//! What a replay makes of the end of a log: torn and damaged records, and whole ones behind them; and of a log that
//! repeats others.

use std::path::Path;

use super::{Hidden, Replay, promise_of_next_configuration};
use crate::format::{FileName, LogEnd, LogScanner, PAGE, ReadAt, Record, RecordId, Tail, TailRecord};
use crate::storage::disk::OpenMode;
use crate::storage::outcome::{Note, RestoreError, RestoreReason};
use crate::types::{Ballot, Decree, Position};

impl Replay<'_> {
    /// What follows the last good record of a log [STOR-30].
    pub(super) fn tail(&mut self, path: &Path, end: &LogEnd, is_last: bool) -> Result<(), RestoreError> {
        let offset = end.offset;
        let path = path.to_owned();
        match &end.tail {
            Tail::Clean | Tail::Zeros => {}
            Tail::PartialPage { .. } if is_last => self.notes.push(Note::PartialPage { path, offset }),
            Tail::PartialPage { .. } => {
                return Err(RestoreError::at(path, offset, RestoreReason::PartialPage));
            }
            Tail::Torn(tail) => {
                self.hide(&path, offset, tail, is_last);
                self.notes.push(Note::TornTail { path, offset, position: tail.header.position() });
            }
            Tail::Damaged(tail) => {
                let position = tail.header.position();
                if self.settings.refuse_damaged_tail {
                    return Err(RestoreError::at(path, offset, RestoreReason::DamagedTail(position)));
                }
                self.hide(&path, offset, tail, is_last);
                self.notes.push(Note::DamagedTail { path, offset, position });
            }
        }
        Ok(())
    }

    /// A torn write leaves part of one record. Whole ones behind its first page were written, and maybe acknowledged: the
    /// one before them is damaged, whether its length goes beyond the file or just to its end. As behind a gap, what all
    /// of them prove is kept and has to be learned anew [HARD-374]. Of the damaged one its header is believed where it
    /// fits; where it does not, it may have been a vote for the next decree.
    ///
    /// Its ballot is believed, too, even above those behind it: what looks like a record there may be bytes of a request
    /// in the damaged one. To believe too much costs an election, to believe too little forgets a vote.
    pub(super) fn look_beyond<S: ReadAt + ?Sized>(
        &mut self,
        path: &Path,
        scanner: &mut LogScanner<'_, S>,
        offset: u64,
        damaged: &TailRecord,
    ) -> Result<(), RestoreError> {
        let accepted = self.behind.as_ref().unwrap_or(&self.accepted).position();
        // The history has come as far as the votes read and the checkpoint loaded, or one that cannot be used.
        let reached = accepted.decree.max(self.executed);
        let known = self.unusable.iter().map(|(decree, _)| *decree).max().unwrap_or_default().max(reached);
        let own = damaged.header.position();
        let fits = own.decree >= reached && own.decree <= known.next();
        let (mut last, mut promised) = (accepted, self.promised);
        let believed = match damaged.id {
            RecordId::Vote => fits && own.is_higher(&accepted),
            RecordId::Prepare => fits,
            RecordId::Decision => own.decree == accepted.decree,
        };
        if believed {
            prove(damaged.id, own, &mut last, &mut promised);
        }
        let mut found = None;
        let beyond = |at: u64, record: &Record| {
            let position = record.position();
            // A record takes a page at least: no history gets further than this. Anything else is a request's own bytes.
            let furthest = known.0.saturating_add(1 + (at - offset) / PAGE);
            if position.decree >= reached && position.decree.0 <= furthest {
                found = Some(position);
                prove(record.id(), position, &mut last, &mut promised);
            }
        };
        scanner
            .records_from(offset + PAGE, beyond)
            .map_err(|error| RestoreError::at(path, offset, RestoreReason::Io(error)))?;
        let Some(found) = found else { return Ok(()) };
        if self.settings.refuse_damaged_tail {
            return Err(RestoreError::at(path, offset, RestoreReason::DamagedTail(found)));
        }
        if !believed && last == accepted {
            last = Position::new(reached.next(), accepted.ballot);
        }
        self.promised = promised;
        if last != accepted {
            self.learn_anew(last);
        }
        self.beyond_torn = true;
        self.notes.push(Note::RecordsBeyondTorn { path: path.to_owned(), offset, last: found });
        Ok(())
    }

    /// What was promised in logs that are not replayed counts, whatever its decree [HARD-368]; nothing else is made of them
    /// [STOR-63]. Either of all, or of the newest that has a record: behind a first checkpoint a legacy restart leaves a
    /// log without records, and reads the one before it never again [HARD-371].
    pub(super) fn read_promises(&mut self, logs: &[Decree], newest_only: bool) -> Result<(), RestoreError> {
        let known = self.promised;
        for &name in logs.iter().rev() {
            let path = self.path.join(FileName::Log(name).to_string());
            let failed = |error| RestoreError::new(&path, RestoreReason::Io(error));
            let file = self.disk.open(&path, OpenMode::Read).map_err(failed)?;
            let mut found = false;
            let promises = |_, record: &Record| {
                found = true;
                if !matches!(record, Record::Decision(_)) {
                    self.promised = self.promised.max(record.position().ballot);
                }
            };
            let mut scanner = LogScanner::new(&*file).map_err(failed)?;
            scanner.records_from(0, promises).map_err(failed)?;
            if found && newest_only {
                break;
            }
        }
        self.promised_below |= self.promised > known;
        Ok(())
    }

    fn hide(&mut self, path: &Path, offset: u64, tail: &TailRecord, is_last: bool) {
        if !is_last && tail.id == RecordId::Vote {
            let decree = tail.header.decree;
            self.hidden = Some(Hidden { path: path.to_owned(), offset, decree });
        }
    }

    /// A record of a log that begins with a vote read before. Legacy passes over what is part of the state, and so does
    /// this, as long as there is nothing new in it.
    pub(super) fn repeated(&self, record: &Record) -> Result<(), RestoreReason> {
        let found = record.position();
        let is_known = match record {
            Record::Prepare(_) => true,
            Record::Vote(vote) => found == self.accepted.position() && vote.same_value(&self.accepted),
            Record::Decision(_) => false,
        };
        if is_known || found.decree <= self.executed {
            return Ok(());
        }
        Err(RestoreReason::Gap { expected: self.accepted.decree().next(), found })
    }
}

/// What a record that cannot be replayed proves: a vote accepted, a promise given.
fn prove(id: RecordId, position: Position, last: &mut Position, promised: &mut Ballot) {
    *promised = (*promised).max(position.ballot);
    // By decree first: the ballot of a damaged header may be too high.
    if id != RecordId::Prepare && (last.decree, last.ballot) < (position.decree, position.ballot) {
        *last = position;
    }
    if id == RecordId::Decision {
        *promised = promise_of_next_configuration(*promised);
    }
}
