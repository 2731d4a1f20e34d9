//! The entries of a working directory, and what each name means to us and to a legacy replica.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the file that holds the highest defunct configuration number.
pub const DEFUNCT: &str = "defunct.txt";
/// The directory of unfinished files.
pub const TEMP: &str = "Temp";

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `<decree>.log`.
    Log,
    /// `<decree>.codex`.
    Checkpoint,
    /// `defunct.txt`.
    Defunct,
}

impl Kind {
    /// By extension only: a file that is named on the command line may have been moved aside under any name.
    #[must_use]
    pub fn of(path: &Path) -> Option<Kind> {
        if path.file_name().is_some_and(|name| name == DEFUNCT) {
            return Some(Kind::Defunct);
        }
        match path.extension()?.to_str()? {
            "log" => Some(Kind::Log),
            "codex" => Some(Kind::Checkpoint),
            _ => None,
        }
    }
}

/// The entries of a working directory.
#[derive(Clone, Debug, Default)]
pub struct WorkingDir {
    /// Where it is.
    pub path: PathBuf,
    /// Decrees of the logs with canonical names, sorted [STOR-4].
    pub logs: Vec<u64>,
    /// Decrees of the checkpoints with canonical names, sorted.
    pub checkpoints: Vec<u64>,
    /// Whether there is a `defunct.txt`.
    pub defunct: bool,
    /// Names in `Temp`, sorted, where that exists.
    pub temp: Option<Vec<String>>,
    /// All other names, sorted. We ignore them [HARD-57]; a legacy replica may not.
    pub others: Vec<String>,
}

impl WorkingDir {
    /// Lists a directory.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn open(path: &Path) -> io::Result<WorkingDir> {
        let mut dir = WorkingDir { path: path.into(), ..WorkingDir::default() };
        for name in names(path)? {
            let is_file = path.join(&name).is_file();
            match (canonical(&name, ".log"), canonical(&name, ".codex")) {
                (Some(decree), _) if is_file => dir.logs.push(decree),
                (_, Some(decree)) if is_file => dir.checkpoints.push(decree),
                _ if name == DEFUNCT && is_file => dir.defunct = true,
                _ if name == TEMP && !is_file => dir.temp = Some(names(&path.join(TEMP))?),
                _ => dir.others.push(name),
            }
        }
        dir.logs.sort_unstable();
        dir.checkpoints.sort_unstable();
        Ok(dir)
    }

    /// The path of a log.
    #[must_use]
    pub fn log(&self, decree: u64) -> PathBuf {
        self.path.join(format!("{decree}.log"))
    }

    /// The path of a checkpoint.
    #[must_use]
    pub fn checkpoint(&self, decree: u64) -> PathBuf {
        self.path.join(format!("{decree}.codex"))
    }

    /// The highest defunct configuration number [STOR-7].
    #[must_use]
    pub fn defunct_number(&self) -> u32 {
        fs::read(self.path.join(DEFUNCT)).map_or(0, |bytes| defunct_number(&bytes))
    }

    /// Every file a replica may look at, in the order in which it is shown: by decree, checkpoint before log.
    #[must_use]
    pub fn files(&self) -> Vec<(Kind, PathBuf)> {
        let logs = self.logs.iter().map(|&decree| (decree, 1, Kind::Log, self.log(decree)));
        let checkpoints =
            self.checkpoints.iter().map(|&decree| (decree, 0, Kind::Checkpoint, self.checkpoint(decree)));
        let mut files: Vec<_> = checkpoints.chain(logs).collect();
        files.sort();
        let mut files: Vec<_> = files.into_iter().map(|(_, _, kind, path)| (kind, path)).collect();
        if self.defunct {
            files.push((Kind::Defunct, self.path.join(DEFUNCT)));
        }
        files
    }

    /// The numbers a legacy replica finds behind `*.log` (`extension` = `log`) or `*.codex`, sorted; an error is a
    /// name that stops it [STOR-5].
    ///
    /// The match is that of Windows: letter case does not count, and a longer extension that starts with `log`
    /// matches through its short name.
    ///
    /// # Errors
    /// The name without a number.
    pub fn legacy_numbers(&self, extension: &str) -> Result<Vec<u64>, String> {
        let own = if extension == "log" { &self.logs } else { &self.checkpoints };
        let mut numbers = own.clone();
        for name in &self.others {
            let Some((_, found)) = name.rsplit_once('.') else { continue };
            let found = found.to_ascii_lowercase();
            let matches = found == extension || (extension == "log" && found.starts_with("log"));
            // Names with a leading dot are skipped.
            if matches && !name.starts_with('.') {
                numbers.push(leading_number(name).ok_or_else(|| name.clone())?);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The number in a `defunct.txt`: four bytes, little-endian; fewer are no number [STOR-7].
#[must_use]
pub fn defunct_number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |number| u32::from_le_bytes(*number))
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The decree in a canonical name: decimal digits without sign or leading zeros [STOR-4].
fn canonical(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let decree: u64 = digits.parse().ok()?;
    (decree.to_string() == digits).then_some(decree)
}

/// What C's `sscanf("%I64u")` takes from the start of a name.
fn leading_number(name: &str) -> Option<u64> {
    let text = name.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())];
    if digits.is_empty() {
        return None;
    }
    // What happens above 2^64 depends on the C runtime.
    let number = digits.parse().unwrap_or(u64::MAX);
    Some(if negative { 0_u64.wrapping_sub(number) } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [STOR-4] [STOR-5] [HARD-57]: names as we read them and as a legacy replica does.
    #[test]
    fn names_are_canonical_for_us_and_anything_with_a_number_for_legacy() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "7.log",
            "12abc.log",
            "+6.log",
            " 5.log",
            "4.logx",
            "-1.log",
            "00.log",
            ".hidden.log",
            "9.codex",
            "010.codex",
            "x.codexx",
            "3.log.bak",
        ] {
            fs::write(dir.path().join(name), []).unwrap();
        }
        let mut found = WorkingDir::open(dir.path()).unwrap();
        assert_eq!(found.logs, [7]);
        assert_eq!(found.checkpoints, [9]);
        assert_eq!(found.legacy_numbers("log"), Ok(vec![0, 4, 5, 6, 7, 12, u64::MAX]));
        assert_eq!(found.legacy_numbers("codex"), Ok(vec![9, 10]));
        found.others.push("abc.log".into());
        assert_eq!(found.legacy_numbers("log"), Err("abc.log".into()));
    }

    /// [STOR-7]
    #[test]
    fn a_short_defunct_file_reads_as_zero() {
        assert_eq!(defunct_number(&[3, 0, 0, 0]), 3);
        assert_eq!(defunct_number(&[3, 0, 0, 0, 9]), 3);
        assert_eq!(defunct_number(&[3, 0, 0]), 0);
        assert_eq!(defunct_number(&[]), 0);
    }
}
