//! What the state machine of the host contract must compute, written from the contract alone.
//!
//! Hosts have their own; this one is the judge's.

/// The state of the contract's state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oracle {
    /// Requests executed.
    pub count: u64,
    /// FNV-1a over all requests, each with its length in front.
    pub hash: u64,
    /// Sequence number of the last request.
    pub last_seq: u64,
    /// Padding bytes in the checkpoint.
    pub pad: u64,
    /// The first 4096 bytes of the last request.
    pub last: Vec<u8>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self { count: 0, hash: 0xcbf2_9ce4_8422_2325, last_seq: 0, pad: 0, last: Vec::new() }
    }
}

impl Oracle {
    /// Executes one request at a sequence number.
    pub fn execute(&mut self, seq: u64, request: &[u8]) {
        // The contract's length is 32 bits wide; requests here are far shorter.
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        for byte in length.to_le_bytes().iter().chain(request) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.count += 1;
        self.last_seq = seq;
        self.last = request[..request.len().min(4096)].to_vec();
        if request.len() >= 12 && request.starts_with(PAD) {
            self.pad = request[4..12].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
    }

    /// The checkpoint payload of this state.
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut payload = b"RSLORCL1".to_vec();
        for number in [self.count, self.hash, self.last_seq, self.pad] {
            payload.extend(number.to_le_bytes());
        }
        payload.extend(u32::try_from(self.last.len()).unwrap_or(u32::MAX).to_le_bytes());
        payload.extend(&self.last);
        payload.extend((0..self.pad).map(|i| (i.wrapping_mul(131).wrapping_add(7) % 256).to_le_bytes()[0]));
        payload
    }
}

/// The request that asks for a checkpoint.
pub const SAVE: &[u8] = b"\0SAV";

/// What a request begins with that sets the padding.
pub const PAD: &[u8] = b"\0PAD";

/// The request that sets the padding.
pub fn pad_request(pad: u64) -> Vec<u8> {
    [PAD, &pad.to_le_bytes()].concat()
}

/// The request generator of `replicate-random`.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(88_172_645_463_325_252)
    }
}

impl Random {
    /// A generator that starts from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next request of `size` bytes.
    pub fn request(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes.truncate(size);
        if bytes.first() == Some(&0) {
            bytes[0] = 1;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that hosts of the legacy library recorded for these requests.
    #[test]
    fn recorded_hashes_are_reproduced() {
        let mut oracle = Oracle::default();
        for (seq, request, hash) in [
            (2, b"hello".to_vec(), 0x578b_e629_69f4_2978),
            (3, vec![0xa1], 0xc6fd_ca55_f3ee_7ef8),
            (3, vec![0xb2; 40], 0xe06a_e456_8daf_2300),
        ] {
            oracle.execute(seq, &request);
            assert_eq!(oracle.hash, hash);
        }
        assert_eq!((oracle.count, oracle.last_seq, oracle.last.len()), (3, 3, 40));
    }

    #[test]
    fn pad_and_payload() {
        let mut oracle = Oracle::default();
        oracle.execute(1, b"\0PAD\x01\0\0\0");
        assert_eq!(oracle.pad, 0, "too short");
        oracle.execute(2, &pad_request(3));
        assert_eq!(oracle.pad, 3);
        let payload = oracle.checkpoint();
        assert_eq!(&payload[..8], b"RSLORCL1");
        assert_eq!(payload.len(), 8 + 32 + 4 + 12 + 3);
        assert_eq!(payload[payload.len() - 3..], [7, 138, 13]);
    }

    #[test]
    fn random_requests_are_words_cut_to_size_that_never_look_like_commands() {
        let mut random = Random::seeded(6);
        let mut state: u64 = 7;
        let mut words = Vec::new();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            words.extend(state.to_le_bytes());
        }
        assert_eq!(random.request(20), words[..20]);
        let mut many = Random::default();
        assert!((0..5000).all(|_| many.request(1)[0] != 0));
    }
}
