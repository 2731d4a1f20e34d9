//! One pass over a file or a working directory: everything found is shown as it is read, and what is wrong is kept.

use std::fs;
use std::io;
use std::path::Path;

use rsl_core::format::{DEFUNCT_FILE, TEMP_DIRECTORY, decode_defunct};

use super::checkpoint::CheckpointView;
use super::dir::{Kind, WorkingDir};
use super::log::{Entry, Found, LogWalker};

/// Problems that are kept; the rest is counted.
const MOST_PROBLEMS: usize = 1000;

/// Receives what a survey finds, in order.
pub trait Show {
    /// A log starts.
    ///
    /// # Errors
    /// When the output fails, as for every method.
    fn log(&mut self, name: &str, size: u64) -> io::Result<()>;
    /// A part of that log.
    ///
    /// # Errors
    /// See [`Show::log`].
    fn entry(&mut self, entry: &Entry) -> io::Result<()>;
    /// The log ends.
    ///
    /// # Errors
    /// See [`Show::log`].
    fn log_end(&mut self) -> io::Result<()>;
    /// A checkpoint.
    ///
    /// # Errors
    /// See [`Show::log`].
    fn checkpoint(&mut self, name: &str, view: &CheckpointView) -> io::Result<()>;
    /// `defunct.txt`: its size, its first bytes, the number they say.
    ///
    /// # Errors
    /// See [`Show::log`].
    fn defunct(&mut self, name: &str, bytes: &[u8], number: u32) -> io::Result<()>;
    /// The names in the directory of unfinished files.
    ///
    /// # Errors
    /// See [`Show::log`].
    fn temp(&mut self, name: &str, names: &[String]) -> io::Result<()>;
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShowNothing;

impl Show for ShowNothing {
    fn log(&mut self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn entry(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }
    fn log_end(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &str, _: &CheckpointView) -> io::Result<()> {
        Ok(())
    }
    fn defunct(&mut self, _: &str, _: &[u8], _: u32) -> io::Result<()> {
        Ok(())
    }
    fn temp(&mut self, _: &str, _: &[String]) -> io::Result<()> {
        Ok(())
    }
}

/// What is wrong with the files.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// One line each: file, offset, what.
    pub lines: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

impl Problems {
    fn add(&mut self, line: String) {
        if self.lines.len() < MOST_PROBLEMS {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// What a path turned out to be.
#[derive(Clone, Debug)]
pub enum Surveyed {
    /// A file alone.
    File,
    /// A working directory.
    Directory(WorkingDir),
}

/// Whether there is something at `path` that can be surveyed, for callers that must not start an output in vain.
///
/// # Errors
/// When there is nothing, or nothing of ours.
pub fn check(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() { Ok(()) } else { kind_of(path).map(drop) }
}

fn kind_of(path: &Path) -> io::Result<Kind> {
    Kind::of(path).ok_or_else(|| {
        let what = format!("neither a directory nor a .log, .codex or {DEFUNCT_FILE} file");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

/// Shows everything at `path` and says what is wrong there.
///
/// # Errors
/// When a file cannot be read, is none of ours, or the output fails.
pub fn survey(path: &Path, show: &mut dyn Show) -> io::Result<(Surveyed, Problems)> {
    let mut problems = Problems::default();
    if path.is_dir() {
        let dir = WorkingDir::open(path)?;
        for (kind, file) in dir.files() {
            survey_file(kind, &file, show, &mut problems)?;
        }
        if let Some(names) = &dir.temp {
            show.temp(&format!("{TEMP_DIRECTORY}/"), names)?;
        }
        return Ok((Surveyed::Directory(dir), problems));
    }
    let kind = kind_of(path)?;
    survey_file(kind, path, show, &mut problems)?;
    Ok((Surveyed::File, problems))
}

fn survey_file(kind: Kind, path: &Path, show: &mut dyn Show, problems: &mut Problems) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match kind {
        Kind::Log => {
            let walker = LogWalker::open(path)?;
            show.log(&name, walker.size())?;
            for entry in walker {
                let entry = entry?;
                show.entry(&entry)?;
                if is_damage(&entry)
                    && let Some(problem) = entry.problem()
                {
                    problems.add(format!("{name} at {}: {problem}", entry.offset));
                }
            }
            show.log_end()
        }
        Kind::Checkpoint => {
            let decree = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let view = CheckpointView::read(path, decree)?;
            for problem in &view.problems {
                problems.add(format!("{name}: {problem}"));
            }
            show.checkpoint(&name, &view)
        }
        Kind::Defunct => {
            let bytes = fs::read(path)?;
            if bytes.len() != 4 {
                problems.add(format!("{name}: {} bytes where there should be 4", bytes.len()));
            }
            show.defunct(&name, &bytes, decode_defunct(&bytes))
        }
    }
}

/// Whether something is wrong. Zero pages at the end are not: that is what a writer that reserves space leaves.
fn is_damage(entry: &Entry) -> bool {
    !(matches!(entry.found, Found::Zeros) && entry.to_end)
}
