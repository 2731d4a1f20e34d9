//! Where the application's bytes are in a checkpoint: raw, or in blocks with a checksum each [STOR-41] [STOR-42].

/// Size of a checkpoint block, data and checksum, from version 4 on.
pub const BLOCK_SIZE: u32 = 4_194_304;
/// Bytes of the checksum that ends each block.
pub const BLOCK_CHECKSUM: u64 = 8;
/// Largest block size that is accepted [HARD-54].
const MAX_BLOCK_SIZE: u32 = 67_108_864;

/// Layout of a checkpoint's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLayout {
    start: u64,
    block: u64,
}

/// A piece of a body that is read at once: one block, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Data offset of its first byte.
    pub data_offset: u64,
    /// File offset of its first byte.
    pub file_offset: u64,
    /// Bytes of data; the checksum follows them.
    pub length: u64,
}

/// Why a file size fits no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The block size is neither 0 nor a multiple of 512 in 512..=67108864 [HARD-54].
    #[error("block size {0} is not usable")]
    BlockSize(u32),
    /// The file ends before its body starts.
    #[error("the file has {0} bytes, less than its header")]
    NoBody(u64),
    /// The last block has no room for data beside its checksum [STOR-45].
    #[error("the last block has {0} bytes, less than a checksum and a byte of data")]
    ShortBlock(u64),
}

impl BodyLayout {
    /// A body that starts at `start`, in blocks of `block_size` bytes; 0 = raw.
    ///
    /// # Errors
    /// When the block size is not usable.
    pub const fn new(start: u64, block_size: u32) -> Result<BodyLayout, BodyError> {
        if !block_size.is_multiple_of(512) || block_size > MAX_BLOCK_SIZE {
            return Err(BodyError::BlockSize(block_size));
        }
        Ok(BodyLayout { start, block: block_size as u64 })
    }

    /// File offset of the first byte of the body.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Whether the body has blocks with checksums.
    #[must_use]
    pub const fn has_blocks(&self) -> bool {
        self.block > 0
    }

    /// Data bytes of a full block; `None` for a raw body.
    #[must_use]
    pub const fn block_data(&self) -> Option<u64> {
        if self.block > 0 { Some(self.block - BLOCK_CHECKSUM) } else { None }
    }

    /// Size of a file with `data` bytes of state [STOR-44].
    #[must_use]
    pub const fn file_size(&self, data: u64) -> u64 {
        let Some(full) = self.block_data() else { return self.start.saturating_add(data) };
        let (blocks, rest) = (data / full, data % full);
        let last = if rest > 0 { rest + BLOCK_CHECKSUM } else { 0 };
        self.start.saturating_add(blocks.saturating_mul(self.block)).saturating_add(last)
    }

    /// Bytes of state in a file of `size` bytes [STOR-45] [STOR-47].
    ///
    /// # Errors
    /// When a file of that size cannot hold this body.
    pub const fn data_len(&self, size: u64) -> Result<u64, BodyError> {
        let Some(body) = size.checked_sub(self.start) else { return Err(BodyError::NoBody(size)) };
        let Some(full) = self.block_data() else { return Ok(body) };
        let (blocks, rest) = (body / self.block, body % self.block);
        match rest {
            0 => Ok(blocks * full),
            1..=BLOCK_CHECKSUM => Err(BodyError::ShortBlock(rest)),
            _ => Ok(blocks * full + rest - BLOCK_CHECKSUM),
        }
    }

    /// The block that holds the data byte at `position`, of `data` bytes in all; `None` past the end and for a raw
    /// body.
    #[must_use]
    pub fn block_at(&self, position: u64, data: u64) -> Option<Block> {
        let full = self.block_data()?;
        if position >= data {
            return None;
        }
        let index = position / full;
        let data_offset = index * full;
        Some(Block {
            data_offset,
            file_offset: self.start + index * self.block,
            length: full.min(data - data_offset),
        })
    }
}
