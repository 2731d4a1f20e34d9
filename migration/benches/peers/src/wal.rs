//! A write-ahead log: records are gathered, then written and synced at once.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// An append-only file.
pub struct Wal {
    file: File,
    pending: Vec<u8>,
}

impl Wal {
    pub fn create(path: &Path) -> io::Result<Wal> {
        Ok(Wal { file: File::create_new(path)?, pending: Vec::new() })
    }

    /// Takes a record into the next write: a kind, two numbers and bytes.
    pub fn record(&mut self, kind: u8, numbers: [u64; 2], bytes: &[u8]) {
        self.pending.push(kind);
        self.pending.extend_from_slice(&numbers[0].to_le_bytes());
        self.pending.extend_from_slice(&numbers[1].to_le_bytes());
        self.pending.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(bytes);
    }

    /// Makes all records durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.pending)?;
        self.pending.clear();
        self.file.sync_data()
    }
}
