//! The state machine of the reference host, as a restart drives it. Written from the host contract, independently of
//! the host itself.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rsl_core::storage::{
    CheckpointReader, Directory, OsDisk, RestoreSettings, RestoreTarget, Restored, Retention, SaveAnswer,
    restore,
};
use rsl_core::types::{Configuration, MemberId, MemberSet, ProtocolVersion};
use rsl_core::wire::Vote;

const MAGIC: &[u8; 8] = b"RSLORCL1";
const LONGEST_LAST: usize = 4096;
const FNV_OFFSET: u64 = 14_695_981_039_346_656_037;
const FNV_PRIME: u64 = 1_099_511_628_211;

/// The state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Requests executed.
    pub count: u64,
    /// FNV-1a over all of them.
    pub hash: u64,
    /// Decree of the last one.
    pub last_seq: u64,
    /// Bytes of padding in a checkpoint.
    pub pad: u64,
    /// The start of the last one.
    pub last: Vec<u8>,
}

impl Default for HostState {
    fn default() -> Self {
        HostState { count: 0, hash: FNV_OFFSET, last_seq: 0, pad: 0, last: Vec::new() }
    }
}

/// Restarts a host on a directory, for real: torn tails are cut off, checkpoints that replayed requests ask for are
/// saved, a log is opened. The lock is free again when this returns.
///
/// # Errors
/// When the replica would not start.
pub fn restart(
    path: &Path,
    member: MemberId,
    version: ProtocolVersion,
    members: &Arc<MemberSet>,
) -> anyhow::Result<(HostState, Restored)> {
    let directory = Directory::open(Arc::new(OsDisk), path).context("the directory")?;
    let settings = RestoreSettings {
        member,
        version,
        initial_members: Some(Arc::clone(members)),
        retention: Retention::default(),
        refuse_damaged_tail: false,
    };
    let mut state = HostState::default();
    let restored = restore(&directory, &settings, &mut state).context("the restart")?;
    Ok((state, restored))
}

impl HostState {
    /// Executes a request; true when it asks for a checkpoint.
    fn request(&mut self, decree: u64, request: &[u8]) -> bool {
        let length = u32::try_from(request.len()).expect("a request of a vote").to_le_bytes();
        for &byte in length.iter().chain(request) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.count += 1;
        self.last_seq = decree;
        self.last = request[..request.len().min(LONGEST_LAST)].to_vec();
        if let Some(pad) = request.strip_prefix(b"\0PAD").and_then(|rest| rest.first_chunk()) {
            self.pad = u64::from_le_bytes(*pad);
        }
        request.starts_with(b"\0SAV")
    }

    /// The state as a checkpoint holds it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [self.count, self.hash, self.last_seq, self.pad] {
            out.extend(number.to_le_bytes());
        }
        out.extend(u32::try_from(self.last.len()).expect("a few bytes").to_le_bytes());
        out.extend(&self.last);
        out.extend((0..self.pad).map(padding));
        out
    }

    /// Reads a state; an error is one that the host refuses.
    fn decode(from: &mut impl Read) -> io::Result<HostState> {
        let refused = || io::Error::other("refused");
        let mut magic = [0; 8];
        from.read_exact(&mut magic)?;
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let (count, hash, last_seq, pad) = (number()?, number()?, number()?, number()?);
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if &magic != MAGIC || length > LONGEST_LAST {
            return Err(refused());
        }
        let mut last = vec![0; length];
        from.read_exact(&mut last)?;
        // As much as there is, whatever the number says.
        let mut rest = Vec::new();
        from.take(pad).read_to_end(&mut rest)?;
        if rest.len() as u64 != pad || !rest.iter().copied().eq((0..pad).map(padding)) {
            return Err(refused());
        }
        Ok(HostState { count, hash, last_seq, pad, last })
    }
}

fn padding(index: u64) -> u8 {
    index.wrapping_mul(131).wrapping_add(7).to_le_bytes()[0]
}

impl RestoreTarget for HostState {
    fn load(&mut self, state: Option<&mut CheckpointReader>) -> bool {
        *self = HostState::default();
        let Some(state) = state else { return true };
        match HostState::decode(&mut io::BufReader::new(state)) {
            Ok(found) => {
                *self = found;
                true
            }
            Err(_) => false,
        }
    }

    fn execute(&mut self, vote: &Vote) -> bool {
        let decree = vote.decree().0;
        vote.requests().fold(false, |save, request| self.request(decree, &request) | save)
    }

    fn reconfigured(&mut self, _: &Configuration) {}

    fn save(&mut self, into: &mut dyn Write) -> SaveAnswer {
        match into.write_all(&self.encode()) {
            Ok(()) => SaveAnswer::Saved,
            Err(_) => SaveAnswer::Failed,
        }
    }
}
