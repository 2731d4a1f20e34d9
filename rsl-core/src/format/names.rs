//! Names in a working directory: `N.log`, `N.codex`, and what legacy makes of other names [STOR-4] [STOR-5].

use crate::types::Decree;

/// Suffix of log files.
const LOG: &str = ".log";
/// Suffix of checkpoint files.
const CHECKPOINT: &str = ".codex";

/// The highest defunct configuration number is kept here [STOR-7].
pub const DEFUNCT_FILE: &str = "defunct.txt";
/// Promises that no log or checkpoint carries are kept here [HARD-41]. Not known to legacy replicas.
pub const PROMISE_FILE: &str = "promise.dat";
/// Scratch files are made in this sub-directory, which is emptied at start [STOR-3].
pub const TEMP_DIRECTORY: &str = "Temp";
/// Locked while a replica uses the directory (decision 26).
pub const LOCK_FILE: &str = "rsl.lock";
/// Says who holds the lock.
pub const OWNER_FILE: &str = "rsl.owner";

/// A log or checkpoint, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// The history from this decree on [STOR-6].
    Log(Decree),
    /// The state after this decree [STOR-6].
    Checkpoint(Decree),
}

impl FileName {
    /// Reads a canonical name: decimal digits without sign and leading zeroes, and a lower-case suffix [HARD-57].
    #[must_use]
    pub fn parse(name: &str) -> Option<FileName> {
        let number = |suffix| {
            let digits = name.strip_suffix(suffix)?;
            let decree: u64 = digits.parse().ok()?;
            (decree.to_string() == digits).then_some(Decree(decree))
        };
        number(LOG).map(FileName::Log).or_else(|| number(CHECKPOINT).map(FileName::Checkpoint))
    }

    /// The decree in the name.
    #[must_use]
    pub const fn decree(self) -> Decree {
        match self {
            FileName::Log(decree) | FileName::Checkpoint(decree) => decree,
        }
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileName::Log(decree) => write!(f, "{decree}{LOG}"),
            FileName::Checkpoint(decree) => write!(f, "{decree}{CHECKPOINT}"),
        }
    }
}

/// Whether a name looks like a log or checkpoint without being one of ours: ignored and reported [HARD-57].
#[must_use]
pub fn is_foreign(name: &str) -> bool {
    pattern(name).is_some() && FileName::parse(name).is_none()
}

/// The pattern of legacy's that a name matches, `*.log` or `*.codex`, on a file system without letter case. A longer
/// extension that starts with `log` matches through its short name.
fn pattern(name: &str) -> Option<fn(Decree) -> FileName> {
    let (start, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    if start.is_empty() || name.starts_with('.') {
        None
    } else if extension == CHECKPOINT[1..] {
        Some(FileName::Checkpoint)
    } else if extension.starts_with(&LOG[1..]) {
        Some(FileName::Log)
    } else {
        None
    }
}

/// What a legacy replica makes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyName {
    /// Not looked at.
    Ignored,
    /// Taken for this file: the leading number counts, whatever follows it.
    File(FileName),
    /// The start fails.
    Fatal,
}

impl LegacyName {
    /// Reads a name as legacy does [STOR-5].
    #[must_use]
    pub fn parse(name: &str) -> LegacyName {
        let Some(file) = pattern(name) else { return LegacyName::Ignored };
        let text = name.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        let (negative, text) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return LegacyName::Fatal;
        }
        let number = text[..digits].parse().unwrap_or(u64::MAX);
        let decree = Decree(if negative { number.wrapping_neg() } else { number });
        LegacyName::File(file(decree))
    }
}
