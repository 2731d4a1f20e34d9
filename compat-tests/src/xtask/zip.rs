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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::contents::windows_entries;
    use super::*;

    #[test]
    fn the_same_entries_give_the_same_bytes_and_come_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"content").unwrap();
        let entry = |path: &str, content| Entry { path: path.to_owned(), content, executable: true };
        let entries = [
            entry("bin/a.exe", Content::File(file)),
            entry("text.txt", Content::Text("words ".repeat(1000))),
        ];
        let (first, second) = (dir.path().join("1.zip"), dir.path().join("2.zip"));
        write(&entries, "top", &first).unwrap();
        write(&entries, "top", &second).unwrap();
        let bytes = std::fs::read(&first).unwrap();
        assert_eq!(bytes, std::fs::read(&second).unwrap());
        assert!(bytes.len() < 1000, "{} bytes", bytes.len());
        let mut archive = zip::ZipArchive::new(File::open(&first).unwrap()).unwrap();
        for (name, text) in [("top/bin/a.exe", "content".to_owned()), ("top/text.txt", "words ".repeat(1000))]
        {
            let mut found = String::new();
            archive.by_name(name).unwrap().read_to_string(&mut found).unwrap();
            assert_eq!(found, text);
        }
        let link = [entry("l", Content::Link("m".to_owned()))];
        assert!(write(&link, "top", &first).is_err());
    }

    #[test]
    fn the_package_for_windows_has_what_a_program_needs() {
        let entries = windows_entries(Path::new("built")).unwrap();
        let mut paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        for path in [
            "bin/rsl.dll",
            "include/rsl.h",
            "include/rsl_c.h",
            "lib/cmake/rsl/rslConfig.cmake",
            "lib/librsl.dll.a",
            "lib/rsl.lib",
            "share/doc/rsl/docs/PLATFORMS.md",
        ] {
            assert!(paths.contains(&path), "{path}");
        }
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count, "a path twice");
    }
}
