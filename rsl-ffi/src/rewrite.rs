//! Writing new state under the header of an existing checkpoint.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rsl_core::format::{BodyLayout, CheckpointHeader};
use rsl_core::wire::Checksum;

/// Bytes of a raw body that are collected before they are written.
const RAW: u64 = 1 << 20;

/// A checkpoint file in the making. The header comes last, so that an unfinished file is no checkpoint; dropped before it
/// is finished, the file goes [HARD-536].
pub(crate) struct Rewrite {
    file: File,
    path: PathBuf,
    header: CheckpointHeader,
    layout: BodyLayout,
    block: Vec<u8>,
    size: u64,
    finished: bool,
}

impl Rewrite {
    pub(crate) fn create(header: CheckpointHeader, path: &Path) -> io::Result<Rewrite> {
        let layout = header.layout().map_err(io::Error::other)?;
        let mut file = File::create(path)?;
        file.set_len(layout.start())?;
        file.seek(SeekFrom::Start(layout.start()))?;
        let (path, block) = (path.to_owned(), Vec::new());
        Ok(Rewrite { file, path, header, layout, block, size: layout.start(), finished: false })
    }

    /// Whether `path` means the file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let same = || Some(path.canonicalize().ok()? == self.path.canonicalize().ok()?);
        path == self.path || same().unwrap_or(false)
    }

    fn block_data(&self) -> usize {
        usize::try_from(self.layout.block_data().unwrap_or(RAW)).unwrap_or(usize::MAX)
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.layout.has_blocks() {
            let mut sum = Checksum::new();
            sum.update(&self.block);
            self.block.extend_from_slice(&sum.value().to_le_bytes());
        }
        self.file.write_all(&self.block)?;
        self.size += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left, then the header.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.put_block()?;
        if self.header.version.has_string_ids() {
            self.header.size = self.size;
        }
        self.file.sync_all()?;
        let header = self.header.encode().map_err(io::Error::other)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.sync_all()?;
        self.finished = true;
        Ok(())
    }
}

impl Write for Rewrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.block_data() - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == self.block_data() {
            self.put_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody to tell: without a header it is no checkpoint anyway.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
