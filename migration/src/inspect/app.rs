//! The application state of the reference host, where a checkpoint holds one.
//!
//! Other applications' bytes are their own business: nothing is said about them, and a restart is taken to accept them.

use std::io::{self, Read};

use serde_json::{Value, json};

use super::checkpoint::BodyReader;

const MAGIC: &[u8; 8] = b"RSLORCL1";
/// Magic, four numbers and a length.
const FIXED: usize = 44;
/// Longest `last` that the host keeps, in bytes.
const LONGEST_LAST: u32 = 4096;
/// Bytes of `last` that are shown.
const SHOWN: usize = 64;

/// The state of the reference host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    count: u64,
    hash: u64,
    last_seq: u64,
    pad: u64,
    last_len: u32,
    last: Vec<u8>,
}

impl HostState {
    /// In the names of the golden manifests.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "count": self.count,
            "hash": format!("{:016x}", self.hash),
            "lastSeq": self.last_seq,
            "pad": self.pad,
            "lastLen": self.last_len,
            "last": hex::encode(&self.last),
        })
    }
}

/// What the data of a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A state that the reference host loads.
    Host(HostState),
    /// A state of the reference host that it refuses, with the reason.
    DamagedHost(String),
    /// Something else.
    Foreign,
}

impl Payload {
    /// Looks at the data of a body, without regard to block checksums.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(body: BodyReader) -> io::Result<Payload> {
        let data_len = body.data_len();
        Payload::read_data(body, data_len)
    }

    /// As [`Payload::read`], from `data_len` bytes of data.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_data(mut body: impl Read, data_len: u64) -> io::Result<Payload> {
        let mut fixed = [0; FIXED];
        let there = read_up_to(&mut body, &mut fixed)?;
        let named = fixed.starts_with(MAGIC);
        if there < FIXED {
            return Ok(if named { damaged("it ends within its numbers") } else { Payload::Foreign });
        }
        let number = |at: usize| fixed[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let last_len = fixed[40..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let pad = number(32);
        let needed = pad.checked_add(FIXED as u64 + u64::from(last_len));
        if !named {
            // Everything else fits: its magic must be what is damaged.
            let fits = last_len <= LONGEST_LAST && needed == Some(data_len);
            return Ok(if fits { damaged("its magic is wrong") } else { Payload::Foreign });
        }
        if last_len > LONGEST_LAST || needed.is_none_or(|needed| needed > data_len) {
            return Ok(damaged("its lengths go beyond the data"));
        }
        let mut last = vec![0; last_len as usize];
        body.read_exact(&mut last)?;
        last.truncate(SHOWN);
        if !padding_is_right(&mut body, pad)? {
            return Ok(damaged("its padding is wrong"));
        }
        Ok(Payload::Host(HostState {
            count: number(8),
            hash: number(16),
            last_seq: number(24),
            pad,
            last_len,
            last,
        }))
    }
}

fn damaged(reason: &str) -> Payload {
    Payload::DamagedHost(reason.into())
}

fn read_up_to(body: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut there = 0;
    while there < buffer.len() {
        match body.read(&mut buffer[there..])? {
            0 => break,
            read => there += read,
        }
    }
    Ok(there)
}

/// Byte i of the padding is (i * 131 + 7) mod 256.
fn padding_is_right(body: &mut impl Read, pad: u64) -> io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    let mut at: u64 = 0;
    let mut body = body.take(pad);
    loop {
        let read = body.read(&mut buffer)?;
        if read == 0 {
            return Ok(at == pad);
        }
        for &byte in &buffer[..read] {
            let expected = at.wrapping_mul(131).wrapping_add(7).to_le_bytes()[0];
            if byte != expected {
                return Ok(false);
            }
            at += 1;
        }
    }
}
