//! The application: the state machine of the host contract, so that states of all hosts can be compared.

use std::io::{Read, Write};

use crate::types::Decree;

const FNV_OFFSET: u64 = 14_695_981_039_346_656_037;
const FNV_PRIME: u64 = 1_099_511_628_211;
const MAGIC: &[u8; 8] = b"RSLORCL1";
/// Bytes of the newest request that are kept.
const LAST: usize = 4096;
/// Start of a request that asks for a checkpoint.
pub(super) const SAVE: &[u8; 4] = b"\0SAV";
/// Start of a request that sets the padding of checkpoints.
pub(super) const PAD: &[u8; 4] = b"\0PAD";

/// The state, a function of the history alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct App {
    pub(super) count: u64,
    pub(super) hash: u64,
    pub(super) last_seq: u64,
    pub(super) pad: u64,
    pub(super) last: Vec<u8>,
}

impl Default for App {
    fn default() -> App {
        App { count: 0, hash: FNV_OFFSET, last_seq: 0, pad: 0, last: Vec::new() }
    }
}

fn pad_byte(index: u64) -> u8 {
    u8::try_from((index * 131 + 7) % 256).unwrap_or(0)
}

impl App {
    /// Executes a request; true when it asks for a checkpoint.
    pub(super) fn execute(&mut self, decree: Decree, request: &[u8]) -> bool {
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX).to_le_bytes();
        for &byte in length.iter().chain(request) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.count += 1;
        self.last_seq = decree.0;
        self.last = request[..request.len().min(LAST)].to_vec();
        if let Some(pad) = request.strip_prefix(PAD).and_then(|rest| rest.first_chunk::<8>()) {
            self.pad = u64::from_le_bytes(*pad);
        }
        request.starts_with(SAVE)
    }

    /// Writes the payload of a checkpoint.
    pub(super) fn save(&self, into: &mut dyn Write) -> std::io::Result<()> {
        into.write_all(MAGIC)?;
        for number in [self.count, self.hash, self.last_seq, self.pad] {
            into.write_all(&number.to_le_bytes())?;
        }
        into.write_all(&u32::try_from(self.last.len()).unwrap_or(0).to_le_bytes())?;
        into.write_all(&self.last)?;
        let pad: Vec<u8> = (0..self.pad).map(pad_byte).collect();
        into.write_all(&pad)
    }

    /// Reads such a payload; `None` when any of it is wrong.
    pub(super) fn load(from: &mut dyn Read) -> Option<App> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok()?;
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut number = || {
            let (chunk, behind) = rest.split_first_chunk::<8>()?;
            rest = behind;
            Some(u64::from_le_bytes(*chunk))
        };
        let (count, hash, last_seq, pad) = (number()?, number()?, number()?, number()?);
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (last, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let padded = rest.len() as u64 == pad && rest.iter().zip(0..).all(|(&byte, at)| byte == pad_byte(at));
        padded.then(|| App { count, hash, last_seq, pad, last: last.to_vec() })
    }

    /// What is compared between replicas after every decree.
    pub(super) const fn digest(&self) -> [u64; 4] {
        [self.count, self.hash, self.last_seq, self.pad]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint's payload brings the state back; every damage is noticed.
    #[test]
    fn payloads_round_trip() {
        let mut app = App::default();
        assert!(!app.execute(Decree(3), b"one"));
        assert!(app.execute(Decree(4), b"\0SAVtwo"));
        assert!(!app.execute(Decree(5), b"\0PAD\x05\0\0\0\0\0\0\0"));
        let mut bytes = Vec::new();
        app.save(&mut bytes).unwrap();
        assert_eq!(App::load(&mut &bytes[..]), Some(app.clone()));
        assert_eq!((app.count, app.last_seq, app.pad), (3, 5, 5));
        assert!(App::load(&mut &bytes[..bytes.len() - 1]).is_none());
        let pad = bytes.len() - 1;
        bytes[pad] ^= 1;
        assert!(App::load(&mut &bytes[..]).is_none());
    }
}
