//! The state machine of the host contract: a count, a hash over all requests, and a little more.

use std::io::{self, Read, Write};

/// FNV-1a, 64 bits.
const OFFSET: u64 = 14_695_981_039_346_656_037;
const PRIME: u64 = 1_099_511_628_211;
const MAGIC: &[u8; 8] = b"RSLORCL1";
/// Magic, four numbers and a length.
const FIXED: usize = 44;
/// Longest `last` that is kept, in bytes.
const LONGEST_LAST: usize = 4096;
/// A request with this head sets the padding.
pub const PAD_HEAD: &[u8; 4] = b"\0PAD";
/// A request with this head asks for a checkpoint.
pub const SAVE_HEAD: &[u8; 4] = b"\0SAV";

/// The state that every replica of a set agrees on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Requests executed.
    pub count: u64,
    /// Hash over all of them.
    pub hash: u64,
    /// Sequence number of the last one.
    pub last_seq: u64,
    /// Bytes of padding in a checkpoint.
    pub pad: u64,
    /// The first 4096 bytes of the last request.
    pub last: Vec<u8>,
}

impl Default for HostState {
    fn default() -> HostState {
        HostState { count: 0, hash: OFFSET, last_seq: 0, pad: 0, last: Vec::new() }
    }
}

fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

const fn pad_byte(at: u64) -> u8 {
    at.wrapping_mul(131).wrapping_add(7).to_le_bytes()[0]
}

impl HostState {
    /// Executes a request; returns whether it asks for a checkpoint.
    pub fn execute(&mut self, seq: u64, request: &[u8]) -> bool {
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        self.hash = hash_bytes(hash_bytes(self.hash, &length.to_le_bytes()), request);
        self.count += 1;
        self.last_seq = seq;
        request[..request.len().min(LONGEST_LAST)].clone_into(&mut self.last);
        if let [0, b'P', b'A', b'D', rest @ ..] = request
            && let Some(pad) = rest.first_chunk()
        {
            self.pad = u64::from_le_bytes(*pad);
        }
        request.starts_with(SAVE_HEAD)
    }

    /// Writes the checkpoint payload.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut fixed = MAGIC.to_vec();
        for number in [self.count, self.hash, self.last_seq, self.pad] {
            fixed.extend_from_slice(&number.to_le_bytes());
        }
        let length = u32::try_from(self.last.len()).unwrap_or(u32::MAX);
        fixed.extend_from_slice(&length.to_le_bytes());
        fixed.extend_from_slice(&self.last);
        out.write_all(&fixed)?;
        let mut at = 0;
        while at < self.pad {
            let end = self.pad.min(at + 64 * 1024);
            let chunk: Vec<u8> = (at..end).map(pad_byte).collect();
            out.write_all(&chunk)?;
            at = end;
        }
        Ok(())
    }

    /// Reads a checkpoint payload of `size` bytes: magic, every length and every byte of padding are checked.
    ///
    /// # Errors
    /// A few words on what is wrong.
    pub fn load(input: &mut dyn Read, size: u64) -> Result<HostState, &'static str> {
        let mut fixed = [0; FIXED];
        input.read_exact(&mut fixed).map_err(|_| "short header")?;
        if !fixed.starts_with(MAGIC) {
            return Err("bad magic");
        }
        let number = |at: usize| fixed[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let length = fixed[40..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        if length > LONGEST_LAST {
            return Err("bad last length");
        }
        let mut last = vec![0; length];
        input.read_exact(&mut last).map_err(|_| "short last")?;
        let pad = number(32);
        if pad.checked_add((FIXED + length) as u64) != Some(size) {
            return Err("bad size");
        }
        check_padding(input, pad)?;
        Ok(HostState { count: number(8), hash: number(16), last_seq: number(24), pad, last })
    }
}

fn check_padding(input: &mut dyn Read, pad: u64) -> Result<(), &'static str> {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    while at < pad {
        let wanted = usize::try_from(pad - at).unwrap_or(usize::MAX).min(buffer.len());
        input.read_exact(&mut buffer[..wanted]).map_err(|_| "short pad")?;
        for byte in &buffer[..wanted] {
            if *byte != pad_byte(at) {
                return Err("bad pad");
            }
            at += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes of a legacy host after the same requests.
    #[test]
    fn the_hash_is_that_of_the_legacy_host() {
        let mut state = HostState::default();
        assert!(!state.execute(2, b"hello"));
        assert_eq!(state.hash, 0x578b_e629_69f4_2978);
        state.execute(3, &[0xa1]);
        assert_eq!(state.hash, 0xc6fd_ca55_f3ee_7ef8);
        assert_eq!((state.count, state.last_seq, &state.last[..]), (2, 3, &[0xa1][..]));
        assert!(state.execute(4, SAVE_HEAD));
        assert!(!state.execute(5, b"\0PAD\x05\0\0\0\0\0\0\0"));
        assert_eq!(state.pad, 5);
        // Too short to carry a number.
        state.execute(6, b"\0PAD\x09\0\0");
        assert_eq!(state.pad, 5);
    }

    #[test]
    fn a_payload_is_checked_to_the_last_byte() {
        let mut state = HostState::default();
        state.execute(1, &[9; 5000]);
        state.execute(2, b"\0PAD\x00\x02\0\0\0\0\0\0");
        let mut payload = Vec::new();
        state.save(&mut payload).unwrap();
        let load = |payload: &[u8]| HostState::load(&mut &payload[..], payload.len() as u64);
        assert_eq!(load(&payload), Ok(state));
        assert_eq!(load(&payload[..20]), Err("short header"));
        assert_eq!(load(&payload[..payload.len() - 1]), Err("bad size"));
        for (at, error) in [(0, "bad magic"), (43, "bad last length"), (payload.len() - 1, "bad pad")] {
            let mut wrong = payload.clone();
            wrong[at] ^= 0x40;
            assert_eq!(load(&wrong), Err(error), "byte {at}");
        }
    }
}
