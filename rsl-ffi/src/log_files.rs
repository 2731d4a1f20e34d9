//! Log files as legacy wrote them: `Logs/rsl_<program>_<n>.log`, 10 MiB each, the newest ten kept [API-109] [API-110].

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Local;

use crate::log::{
    Entry, LEVEL_ALERT, LEVEL_ASSERT, LEVEL_ERROR, LEVEL_STATUS, LEVEL_WARNING, LOG_COMMON, LOG_NETLIB,
    LOG_RSL,
};

/// A new file begins after this many bytes.
const MAX_FILE: u64 = 10 << 20;
/// Files that are kept.
const KEPT: usize = 10;
/// How long an entry may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Bytes of `Name="Value"` pairs, and of an entry, at most.
const MAX_TEXT: usize = 1023;
const MAX_ENTRY: usize = 8 << 10;
/// 1601-01-01 to 1970-01-01 in units of 100 ns.
const FILETIME_OFFSET: i64 = 116_444_736_000_000_000;

/// The log files of a process.
pub(crate) struct LogFiles {
    directory: PathBuf,
    prefix: String,
    number: u64,
    file: BufWriter<File>,
    size: u64,
    flushed: Instant,
}

impl LogFiles {
    /// Goes on with the newest file if it has room.
    pub(crate) fn open(path: &str) -> io::Result<LogFiles> {
        let directory = Path::new(if path.is_empty() { "." } else { path }).join("Logs");
        fs::create_dir_all(&directory)?;
        let program = std::env::current_exe().ok();
        let program = program.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        let prefix = format!("rsl_{}_", program.as_deref().unwrap_or("program"));
        let newest = numbers(&directory, &prefix)?.pop().unwrap_or(1);
        let path = file_path(&directory, &prefix, newest);
        let full = fs::metadata(&path).is_ok_and(|data| data.len() >= MAX_FILE);
        let number = if full { newest + 1 } else { newest };
        let (file, size) = append_to(&file_path(&directory, &prefix, number))?;
        let files = LogFiles { directory, prefix, number, file, size, flushed: Instant::now() };
        files.clean()?;
        Ok(files)
    }

    pub(crate) fn write(&mut self, entry: &Entry) {
        let line = line(entry);
        if self.size >= MAX_FILE
            && let Err(error) = self.next_file()
        {
            // Goes on in the old one.
            eprintln!("rsl: no new log file: {error}");
        }
        let written = self.file.write_all(line.as_bytes());
        self.size += line.len() as u64;
        let urgent = entry.level >= LEVEL_ERROR || self.flushed.elapsed() >= FLUSH_EVERY;
        let flushed = if urgent { self.file.flush() } else { Ok(()) };
        if urgent {
            self.flushed = Instant::now();
        }
        if let Err(error) = written.and(flushed) {
            eprintln!("rsl: a log entry is lost: {error}");
        }
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.file.flush()?;
        (self.file, self.size) = append_to(&file_path(&self.directory, &self.prefix, self.number + 1))?;
        self.number += 1;
        self.clean()
    }

    fn clean(&self) -> io::Result<()> {
        let numbers = numbers(&self.directory, &self.prefix)?;
        for old in &numbers[..numbers.len().saturating_sub(KEPT)] {
            fs::remove_file(file_path(&self.directory, &self.prefix, *old))?;
        }
        Ok(())
    }
}

fn file_path(directory: &Path, prefix: &str, number: u64) -> PathBuf {
    directory.join(format!("{prefix}{number}.log"))
}

fn append_to(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((BufWriter::new(file), size))
}

/// The numbers of the files there, ascending: what stands between the prefix and the suffix [HARD-579].
fn numbers(directory: &Path, prefix: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix)?.strip_suffix(".log")?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// An entry as one line.
fn line(entry: &Entry) -> String {
    let letter = match entry.level {
        LEVEL_STATUS => 's',
        LEVEL_WARNING => 'w',
        LEVEL_ERROR => 'e',
        LEVEL_ASSERT => 'a',
        LEVEL_ALERT => 'x',
        _ => 'i',
    };
    let area = match entry.log_id {
        LOG_COMMON => "Common",
        LOG_NETLIB => "Netlib",
        LOG_RSL => "RSL",
        _ => "Logging",
    };
    let now = Local::now();
    let filetime = now.timestamp_nanos_opt().map_or(0, |nanos| nanos / 100 + FILETIME_OFFSET);
    let title = entry.title.replace([',', '\r', '\n'], ".");
    let text = cut(&entry.text, MAX_TEXT);
    let mut line = format!(
        "{letter},{},{area},{title},SrcFile=\"{}\" SrcFunc=\"{}\" SrcLine=\"{}\" Pid=\"{}\" Tid=\"{}\" \
         TS=\"0x{filetime:016X}\" {text}",
        now.format("%m/%d/%Y %H:%M:%S:%3f"),
        entry.file,
        entry.function,
        entry.line,
        std::process::id(),
        thread_number(),
    );
    line.truncate(cut(&line, MAX_ENTRY - 2).len());
    line.push_str("\r\n");
    line
}

/// At most `max` bytes of a text.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// A number for this thread: the library has no portable name for the system's.
fn thread_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(level: i32, title: &str, text: &str) -> Entry {
        Entry {
            level,
            log_id: LOG_RSL,
            file: "a.rs",
            function: "rsl_core::engine".into(),
            line: 7,
            title: title.into(),
            text: text.into(),
        }
    }

    /// [API-110] [HARD-578] The shape of a line; an Alert is written too.
    #[test]
    fn a_line_has_the_shape_of_legacy() {
        let line = line(&entry(LEVEL_ALERT, "too, big\n", "size=\"7\""));
        let parts: Vec<&str> = line.splitn(5, ',').collect();
        assert_eq!((parts[0], parts[2], parts[3]), ("x", "RSL", "too. big."));
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
        assert_eq!((parts[1].len(), digits(parts[1])), (23, 17), "{}", parts[1]);
        assert!(parts[4].starts_with("SrcFile=\"a.rs\" SrcFunc=\"rsl_core::engine\" SrcLine=\"7\" Pid=\""));
        assert!(parts[4].contains(" TS=\"0x01D") && parts[4].ends_with(" size=\"7\"\r\n"), "{}", parts[4]);
        let long = super::line(&entry(LEVEL_ERROR, &"t".repeat(9000), &"x".repeat(2000)));
        assert_eq!(long.len(), MAX_ENTRY);
        assert!(
            super::line(&entry(LEVEL_ERROR, "t", &"x".repeat(2000)))
                .ends_with(&format!(" {}\r\n", "x".repeat(1023)))
        );
    }

    /// [API-109] [HARD-579] Files go on where they ended, roll at 10 MiB, and ten are kept; digits in the program's name do
    /// not count.
    #[test]
    fn files_roll_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let mut files = LogFiles::open(path).unwrap();
        let (logs, prefix) = (files.directory.clone(), files.prefix.clone());
        for number in 2..=12_u64 {
            files.size = MAX_FILE;
            files.write(&entry(LEVEL_ERROR, "next", ""));
            assert_eq!(files.number, number);
        }
        drop(files);
        assert_eq!(numbers(&logs, &prefix).unwrap(), (3..=12).collect::<Vec<u64>>());
        let files = LogFiles::open(path).unwrap();
        assert!(files.number == 12 && files.size > 0, "appended");
        drop(files);
        File::options().write(true).open(file_path(&logs, &prefix, 12)).unwrap().set_len(MAX_FILE).unwrap();
        assert_eq!(LogFiles::open(path).unwrap().number, 13, "full");
        File::create(logs.join("rsl_svc2.exe_99.log")).unwrap();
        assert_eq!(numbers(&logs, "rsl_svc2.exe_").unwrap(), [99]);
    }
}
