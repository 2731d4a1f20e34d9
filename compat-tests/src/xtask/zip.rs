//! Zip archives that are the same bytes for the same content.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::contents::{Content, Entry};

/// Writes the entries, in their order, below the directory `top`. Times are those of the format's origin.
pub(crate) fn write(entries: &[Entry], top: &str, archive: &Path) -> Result<()> {
    let file = File::create(archive).with_context(|| archive.display().to_string())?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    for entry in entries {
        let mode = if entry.executable { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(mode);
        zip.start_file(format!("{top}/{}", entry.path), options)?;
        match &entry.content {
            Content::File(path) => {
                let mut from = File::open(path).with_context(|| path.display().to_string())?;
                std::io::copy(&mut from, &mut zip)?;
            }
            Content::Text(text) => zip.write_all(text.as_bytes())?,
            Content::Link(_) => bail!("{}: no links in a zip for Windows", entry.path),
        }
    }
    zip.finish()?.flush()?;
    Ok(())
}
