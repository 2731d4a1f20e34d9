//! What a replay makes of the end of a log: torn and damaged records, and whole ones behind them; and of a log that
//! repeats others.

use std::path::Path;

use super::{Hidden, Replay};
use crate::format::{LogEnd, LogScanner, PAGE, Promise, ReadAt, Record, RecordId, Tail, TailRecord};
use crate::storage::outcome::{Note, RestoreError, RestoreReason};
use crate::types::Position;

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
    pub(super) fn look_beyond<S: ReadAt + ?Sized>(
        &mut self,
        path: &Path,
        scanner: &mut LogScanner<'_, S>,
        offset: u64,
        damaged: &TailRecord,
    ) -> Result<(), RestoreError> {
        let accepted = self.accepted.position();
        // The history has come as far as the votes read and the checkpoint loaded, or one that cannot be used.
        let reached = accepted.decree.max(self.executed);
        let known = self.unusable.iter().copied().max().unwrap_or_default().max(reached);
        let (mut last, mut promised, mut found) = (accepted, self.promised, None);
        let beyond = |at: u64, record: &Record| {
            let position = record.position();
            // A record takes a page at least: no history gets further than this. Anything else is a request's own bytes.
            let furthest = known.0.saturating_add(1 + (at - offset) / PAGE);
            if position.decree < reached || position.decree.0 > furthest {
                return;
            }
            found = Some(position);
            if !matches!(record, Record::Decision(_)) {
                promised = promised.max(position.ballot);
            }
            if matches!(record, Record::Vote(_)) && position.is_higher(&last) {
                last = position;
            }
        };
        scanner
            .records_from(offset + PAGE, beyond)
            .map_err(|error| RestoreError::at(path, offset, RestoreReason::Io(error)))?;
        let Some(found) = found else { return Ok(()) };
        if self.settings.refuse_damaged_tail {
            return Err(RestoreError::at(path, offset, RestoreReason::DamagedTail(found)));
        }
        let own = damaged.header.position();
        let fits = own.decree >= reached && own.decree <= known.next();
        match damaged.id {
            RecordId::Vote if fits && own.is_higher(&accepted) => {
                promised = promised.max(own.ballot);
                if own.is_higher(&last) {
                    last = own;
                }
            }
            RecordId::Prepare if fits => promised = promised.max(own.ballot),
            RecordId::Decision if fits => {}
            _ if last == accepted => last = Position::new(reached.next(), accepted.ballot),
            _ => {}
        }
        self.promised = promised;
        if last != accepted {
            let wanted = Promise { promised, relearn: Some(last) };
            self.relearn = wanted.merge(Promise { promised, relearn: self.relearn }).relearn;
        }
        self.beyond_torn = true;
        self.notes.push(Note::RecordsBeyondTorn { path: path.to_owned(), offset, last: found });
        Ok(())
    }

    fn hide(&mut self, path: &Path, offset: u64, tail: &TailRecord, is_last: bool) {
        if !is_last && tail.id == RecordId::Vote {
            let decree = tail.header.decree;
            self.hidden = Some(Hidden { path: path.to_owned(), offset, decree });
        }
    }

    /// A record behind the gap: only what it proves about earlier promises counts.
    pub(super) fn behind(&mut self, record: &Record) {
        if let Record::Vote(vote) = record {
            let position = vote.position();
            let newer = |known: &Position| (known.decree, known.ballot) < (position.decree, position.ballot);
            if self.relearn.as_ref().is_none_or(newer) {
                self.relearn = Some(position);
            }
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
