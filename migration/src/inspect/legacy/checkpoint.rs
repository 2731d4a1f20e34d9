//! A checkpoint file as a legacy replica opens and loads it [STOR-37] [STOR-45].

use std::io;
use std::path::Path;

use rsl_core::format::{PAGE, round_to_page};
use rsl_core::types::{Ballot, MAX_MEMBER_SET_COOKIE, Position};
use rsl_core::wire::{DecodeError, Vote};

use crate::inspect::app::Payload;
use crate::inspect::checkpoint::{BodyReader, Checkpoint, HeaderError, VoteError, blocks};
use crate::inspect::dir::WorkingDir;
use crate::inspect::log::ChecksumState;

/// Above this length the memory for a vote cannot be had [HARD-8].
const LARGEST_VOTE: u32 = 0xFFFF_F000;

/// What a checkpoint gives a restart.
pub(super) struct Loaded {
    pub(super) next: Position,
    pub(super) reconfigures: Option<usize>,
    pub(super) max_ballot: Ballot,
    /// Number and count of members, version 3 on.
    pub(super) configuration: Option<(u32, usize)>,
    pub(super) next_len: u64,
}

pub(super) enum Refusal {
    Refused(String),
    Dies(String),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Io(error)
    }
}

/// Whether the application is the reference host, whose verdict on a body is known: a checkpoint looks like its own.
pub(in crate::inspect) fn is_host_directory(dir: &WorkingDir) -> io::Result<bool> {
    for &decree in dir.checkpoints.iter().rev() {
        let path = dir.checkpoint(decree);
        if let Ok(checkpoint) = Checkpoint::open(&path)
            && let Ok(next) = &checkpoint.next_vote
            && checkpoint.state_saved()
        {
            let body = BodyReader::open(&path, next.header_len, checkpoint.block_size())?;
            if Payload::read(body)? != Payload::Foreign {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A checkpoint as a legacy replica opens and loads it.
pub(super) fn open_checkpoint(path: &Path, host: bool) -> Result<Loaded, Refusal> {
    let refused = |why: String| Refusal::Refused(why);
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(HeaderError::Io(error)) if error.kind() == io::ErrorKind::NotFound || path.is_dir() => {
            return Err(refused("there is no such file".into()));
        }
        Err(HeaderError::Io(error)) => return Err(Refusal::Io(error)),
        Err(error @ HeaderError::BadLength(_)) if overruns(path)? => {
            return Err(Refusal::Dies(format!("{error}, and legacy reads past its buffer")));
        }
        Err(HeaderError::Field(error)) if kills(&error) => {
            return Err(Refusal::Dies(format!("asserts: {error}")));
        }
        Err(error) => return Err(refused(error.to_string())),
    };
    let next = match &checkpoint.next_vote {
        Ok(next) => next,
        // Decoded before its checksum is looked at.
        Err(VoteError::Malformed(error)) if kills(error) => {
            return Err(Refusal::Dies(format!("asserts: next vote: {error}")));
        }
        Err(error) => return Err(refused(error.to_string())),
    };
    let members = checkpoint.fields.as_ref().map(|fields| &fields.members);
    if has_long_cookie(&next.vote) || members.is_some_and(|set| set.cookie.len() > MAX_MEMBER_SET_COOKIE) {
        return Err(refused("a member set with a cookie that legacy does not read".into()));
    }
    if next.checksum != ChecksumState::Ok {
        return Err(refused("the next vote has a wrong checksum".into()));
    }
    let max_ballot = checkpoint.max_ballot().unwrap_or_default();
    if max_ballot < next.vote.ballot() {
        return Err(refused(format!(
            "max ballot {max_ballot} is below the next vote's {}",
            next.vote.ballot()
        )));
    }
    let block_size = checkpoint.block_size();
    if let Some(saved) = checkpoint.saved().filter(|saved| saved.block_size > 0) {
        if !u64::from(block_size).is_multiple_of(PAGE) {
            return Err(Refusal::Dies(format!("asserts: blocks of {block_size} bytes")));
        }
        if saved.size != checkpoint.size {
            return Err(refused(format!(
                "the file has {} bytes, the header says {}",
                checkpoint.size, saved.size
            )));
        }
        let last = checkpoint.size.wrapping_sub(next.header_len) % u64::from(block_size);
        if (1..=8).contains(&last) {
            return Err(refused(format!("the last block has {last} bytes")));
        }
    }
    if checkpoint.state_saved() {
        if block_size > 0 && blocks(path, next.header_len, block_size)?.iter().any(|block| !block.checksum_ok)
        {
            return Err(refused("a block has a wrong checksum".into()));
        }
        let payload = Payload::read(BodyReader::open(path, next.header_len, block_size)?)?;
        match payload {
            Payload::DamagedHost(why) if host => {
                return Err(refused(format!("the application refuses it: {why}")));
            }
            Payload::Foreign if host => return Err(refused("the application refuses it".into())),
            Payload::Host(_) | Payload::DamagedHost(_) | Payload::Foreign => {}
        }
    }
    Ok(Loaded {
        next: next.vote.position(),
        reconfigures: vote_members(&next.vote),
        max_ballot,
        configuration: checkpoint
            .fields
            .as_ref()
            .map(|fields| (fields.configuration_number, fields.members.nodes.len())),
        next_len: round_to_page(next.vote.encoded().len() as u64),
    })
}

/// Whether there are bytes behind the first page, which a header length that rounds to zero makes legacy read into
/// a buffer of one page.
fn overruns(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.len() > PAGE)
}

/// Whether a decoding error is an assertion of legacy's [HARD-8] [HARD-9] [HARD-10].
pub(super) fn kills(error: &DecodeError) -> bool {
    match error {
        DecodeError::TrailingBytes(_) | DecodeError::HostNameTooLong(_) => true,
        DecodeError::BadLength(length) => *length > LARGEST_VOTE,
        _ => false,
    }
}

/// Whether a vote proposes a member set that legacy's readers reject [HARD-11].
pub(super) fn has_long_cookie(vote: &Vote) -> bool {
    vote.reconfiguration().is_some_and(|members| members.cookie.len() > MAX_MEMBER_SET_COOKIE)
}

pub(super) fn vote_members(vote: &Vote) -> Option<usize> {
    vote.reconfiguration().map(|members| members.nodes.len())
}
