//! The entries of a working directory, and what each name means to us and to a legacy replica.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rsl_core::format::{DEFUNCT_FILE, FileName, LegacyName, TEMP_DIRECTORY, decode_defunct};

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
        if path.file_name().is_some_and(|name| name == DEFUNCT_FILE) {
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
            match FileName::parse(&name) {
                Some(FileName::Log(decree)) if is_file => dir.logs.push(decree.0),
                Some(FileName::Checkpoint(decree)) if is_file => dir.checkpoints.push(decree.0),
                _ if name == DEFUNCT_FILE && is_file => dir.defunct = true,
                _ if name == TEMP_DIRECTORY && !is_file => {
                    dir.temp = Some(names(&path.join(TEMP_DIRECTORY))?)
                }
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
        fs::read(self.path.join(DEFUNCT_FILE)).map_or(0, |bytes| decode_defunct(&bytes))
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
            files.push((Kind::Defunct, self.path.join(DEFUNCT_FILE)));
        }
        files
    }

    /// The decrees of checkpoints and logs that a legacy replica finds, each sorted; an error is a name that stops it
    /// [STOR-5].
    ///
    /// # Errors
    /// The name without a number.
    pub fn legacy_numbers(&self) -> Result<(Vec<u64>, Vec<u64>), String> {
        let (mut checkpoints, mut logs) = (self.checkpoints.clone(), self.logs.clone());
        for name in &self.others {
            match LegacyName::parse(name) {
                LegacyName::Ignored => {}
                LegacyName::File(FileName::Checkpoint(decree)) => checkpoints.push(decree.0),
                LegacyName::File(FileName::Log(decree)) => logs.push(decree.0),
                LegacyName::Fatal => return Err(name.clone()),
            }
        }
        checkpoints.sort_unstable();
        logs.sort_unstable();
        Ok((checkpoints, logs))
    }
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
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
        assert_eq!(found.legacy_numbers(), Ok((vec![9, 10], vec![0, 4, 5, 6, 7, 12, u64::MAX])));
        found.others.push("abc.log".into());
        assert_eq!(found.legacy_numbers(), Err("abc.log".into()));
    }
}
