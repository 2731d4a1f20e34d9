//! The files a host writes: callbacks as they come, and executed requests.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A text file that is appended to, or nothing.
#[derive(Debug, Default)]
pub(super) struct LogFile(Option<Mutex<File>>);

impl LogFile {
    /// Opens a file for appending; without a path nothing is written.
    pub(super) fn open(path: Option<&Path>) -> io::Result<LogFile> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(LogFile(path.map(open).transpose()?.map(Mutex::new)))
    }

    /// Writes whole lines with one call, so that a killed host leaves at most its last line torn.
    pub(super) fn write(&self, lines: &str) {
        if let Some(file) = &self.0
            && let Err(error) = file.lock().write_all(lines.as_bytes())
        {
            tracing::error!(%error, "cannot write a log of the host");
        }
    }

    /// Writes a line `HH:MM:SS.mmm text`, in UTC.
    pub(super) fn event(&self, text: &str) {
        if self.0.is_some() {
            self.write(&format!("{} {text}\n", time_of_day(SystemTime::now())));
        }
    }
}

fn time_of_day(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_carry_the_time_of_day() {
        let at = UNIX_EPOCH + Duration::from_millis(86_400_000 * 3 + 3_723_045);
        assert_eq!(time_of_day(at), "01:02:03.045");
    }
}
