//! What a disk must not do and does: stored bytes that change, pages that land in the wrong place, and pages of one write
//! of which later ones arrive without earlier ones.
//!
//! Only what a reader can notice is done. The formats cannot tell a record that is gone at the end of a log from one
//! that was never written, a header of a checkpoint (it has no checksum) from a good one, a Prepare from an older
//! Prepare in its place, or the last vote of a log from the vote before it, written twice: a Prepare behind it may be for
//! a decree that was not accepted yet. What these lose is lost, for a legacy replica as for ours.

use super::{Content, Dice, SimDisk};
use crate::format::{FileName, LogScanner, PAGE, Record, Step, Tail};

const PAGE_SIZE: usize = 512;
const _: () = assert!(PAGE_SIZE as u64 == PAGE, "the unit of the log format");

/// How a stored page goes bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Harm {
    /// One bit is another.
    Flip,
    /// It is empty: the sector was replaced, or the write never arrived.
    Zero,
    /// It holds what was written elsewhere.
    Misdirected,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug)]
pub(super) enum Wound {
    /// Of what is behind `synced` later pages are there and earlier ones are not.
    Holes { file: usize, synced: usize },
    /// A page is not as it was stored.
    Page { file: usize, offset: usize, good: Vec<u8>, bad: Vec<u8> },
}

/// Bytes of a file that may go bad; of a record, or of the body of a checkpoint.
struct Target {
    file: usize,
    offset: usize,
    length: usize,
    /// Decree of a vote: another vote's page may land here.
    vote: Option<u64>,
}

impl Content {
    /// Takes some pages out of what survived behind `synced`, never the last one. True when something is missing.
    pub(super) fn tear(&mut self, synced: usize, dice: &mut Dice) -> bool {
        let first = synced.next_multiple_of(PAGE_SIZE);
        let mut torn = false;
        for at in (first..self.durable.len()).step_by(PAGE_SIZE) {
            if at + PAGE_SIZE < self.durable.len() && dice.chance(300) {
                self.durable[at..at + PAGE_SIZE].fill(0);
                torn = true;
            }
        }
        self.live.clone_from(&self.durable);
        torn
    }

    fn put_page(&mut self, offset: usize, page: &[u8]) {
        self.durable[offset..offset + page.len()].copy_from_slice(page);
        self.live[offset..offset + page.len()].copy_from_slice(page);
    }

    /// Every record but the last. Only a vote with another one behind it can be told from one that landed in its place.
    fn records(&self, file: usize) -> Vec<Target> {
        let (mut targets, mut last_vote) = (Vec::new(), None);
        let Ok(mut scanner) = LogScanner::new(&self.durable[..]) else { return targets };
        while let Ok(Step::Record { offset, record }) = scanner.step() {
            let vote = match &record {
                Record::Vote(vote) => {
                    last_vote = Some(targets.len());
                    Some(vote.decree().0)
                }
                Record::Prepare(_) | Record::Decision(_) => None,
            };
            let length = record.encode().map_or(0, |bytes| bytes.len());
            targets.push(Target { file, offset: super::to_usize(offset), length, vote });
        }
        targets.pop();
        if let Some(last) = last_vote.and_then(|at| targets.get_mut(at)) {
            last.vote = None;
        }
        targets
    }

    /// The blocks of a checkpoint, which have checksums from version 4 on.
    fn body(&self, file: usize) -> Option<Target> {
        let version = u16::from_le_bytes(*self.durable.first_chunk()?);
        let header = u32::from_le_bytes(*self.durable.get(2..)?.first_chunk()?);
        let offset = usize::try_from(header).ok()?;
        let length = self.durable.len().checked_sub(offset).filter(|length| *length > 0)?;
        (version >= 4).then_some(Target { file, offset, length, vote: None })
    }
}

impl SimDisk {
    /// The next power failure may leave holes.
    pub(in crate::sim) fn allow_holes(&self, allow: bool) {
        self.state().holes = allow;
    }

    /// While nobody uses the disk, a stored page goes bad. What was done, if there was anything to be done it to.
    pub(in crate::sim) fn harm(&self, harm: Harm, dice: &mut Dice) -> Option<String> {
        let state = &mut *self.state();
        let mut targets = Vec::new();
        for (path, &file) in &state.durable_names {
            let content = &state.files[file];
            if content.durable != content.live {
                continue;
            }
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match FileName::parse(&name) {
                Some(FileName::Log(_)) => targets.extend(content.records(file)),
                Some(FileName::Checkpoint(_)) if harm == Harm::Flip => targets.extend(content.body(file)),
                _ => {}
            }
        }
        targets.retain(|target| target.length > 0 && (harm != Harm::Misdirected || target.vote.is_some()));
        let target = targets.get(dice.index(targets.len()))?;
        let at = target.offset + dice.index(target.length);
        let content = &state.files[target.file];
        let bytes = &content.durable;
        let (offset, good, bad) = match harm {
            Harm::Flip => (at, vec![bytes[at]], vec![bytes[at] ^ (1 << dice.below(8))]),
            Harm::Zero | Harm::Misdirected => {
                let offset = at - (at - target.offset) % PAGE_SIZE;
                let good = bytes.get(offset..offset + PAGE_SIZE)?.to_vec();
                let bad = if harm == Harm::Zero {
                    vec![0; PAGE_SIZE]
                } else {
                    let other = &targets[dice.index(targets.len())];
                    let page = state.files[other.file].durable.get(other.offset..other.offset + PAGE_SIZE)?;
                    // An older vote for the same decree is what a superseded one looks like.
                    (other.vote != target.vote).then(|| page.to_vec())?
                };
                (offset, good, bad)
            }
        };
        if good == bad {
            return None;
        }
        let file = target.file;
        let text = format!("{harm:?} of file {file} at {offset}");
        state.files[file].put_page(offset, &bad);
        state.wounds.push(Wound::Page { file, offset, good, bad });
        Some(text)
    }

    /// An operator cuts off what stands behind the last good record of a log and keeps an old replica from starting
    /// [HARD-33] [HARD-367]. True when there was something.
    pub(in crate::sim) fn cut_remains(&self) -> bool {
        let state = &mut *self.state();
        let mut cut = false;
        for (path, &file) in &state.names {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(FileName::Log(_)) = FileName::parse(&name) else { continue };
            let content = &mut state.files[file];
            let Ok(mut scanner) = LogScanner::new(&content.live[..]) else { continue };
            let end = loop {
                match scanner.step() {
                    Ok(Step::Record { .. }) => {}
                    Ok(Step::End(end)) if matches!(end.tail, Tail::PartialPage { .. }) => {
                        break Some(end.offset);
                    }
                    Ok(Step::End(_)) => break None,
                    Err(fault) => break Some(fault.offset),
                }
            };
            if let Some(end) = end {
                content.live.truncate(super::to_usize(end));
                content.durable.clone_from(&content.live);
                cut = true;
            }
        }
        cut
    }

    /// Whether a replica may find something wrong.
    pub(in crate::sim) fn is_wounded(&self) -> bool {
        !self.state().wounds.is_empty()
    }

    /// A replica has started: what was torn has been cut off.
    pub(in crate::sim) fn holes_are_cut(&self) {
        self.state().wounds.retain(|wound| matches!(wound, Wound::Page { .. }));
    }

    /// Somebody who knows what was stored puts it back, as far as it is still in use.
    pub(in crate::sim) fn repair(&self) {
        let state = &mut *self.state();
        // The last damage first: a page may have been damaged twice.
        for wound in std::mem::take(&mut state.wounds).into_iter().rev() {
            match wound {
                Wound::Holes { file, synced } => {
                    let content = &mut state.files[file];
                    content.durable.truncate(synced);
                    content.live.clone_from(&content.durable);
                }
                Wound::Page { file, offset, good, bad } => {
                    let content = &mut state.files[file];
                    let same = |bytes: &[u8]| bytes.get(offset..offset + bad.len()) == Some(&bad[..]);
                    if same(&content.durable) && same(&content.live) {
                        content.put_page(offset, &good);
                    }
                }
            }
        }
    }
}
