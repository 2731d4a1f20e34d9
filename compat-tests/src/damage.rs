//! Ways to damage a working directory, by the names of the recorded corruption cases.
//!
//! A case is a change to the files of an undamaged directory that has the shape of the recorded one: logs `0`, `58`
//! and `115`, checkpoints `57` and `114`, last vote 143. What a legacy replica made of each is recorded for versions 1
//! and 4; the same damage in other versions must end the same way.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use rsl_core::format::PAGE;
use rsl_core::wire::{MessageId, RawHeader};

/// A page, as a length in memory.
const PAGE_LEN: usize = 512;
const _: () = assert!(PAGE_LEN as u64 == PAGE);
/// The newest log of the directory.
const LAST_LOG: &str = "115.log";
/// The newest checkpoint.
const LAST_CHECKPOINT: &str = "114.codex";
/// A vote in the middle of the newest log.
const MIDDLE: u64 = 129;
/// The last vote that takes several pages.
const LAST_LONG: u64 = 141;
/// The last vote.
const LAST: u64 = 143;

/// The files of a directory by name; a name with `/` is in a sub-directory.
#[derive(Clone, Debug, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

/// A vote in a log: where, and how long without padding.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    length: usize,
}

impl Place {
    const fn end(self) -> usize {
        self.offset + padded(self.length)
    }
}

impl Files {
    /// Reads the logs, checkpoints and `defunct.txt` of a directory.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(dir: &Path) -> io::Result<Files> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".log") || name.ends_with(".codex") || name == "defunct.txt" {
                files.insert(name, fs::read(&path)?);
            }
        }
        Ok(Files(files))
    }

    /// Writes them into an empty directory.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for (name, bytes) in &self.0 {
            let path = dir.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.entry(name.into()).or_default()
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.into(), bytes);
    }

    fn copy(&mut self, from: &str, to: &str) {
        let bytes = self.file(from).clone();
        self.add(to, bytes);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let bytes = self.0.remove(from).unwrap_or_default();
        self.add(to, bytes);
    }

    fn remove(&mut self, suffix: &str) {
        self.0.retain(|name, _| !name.ends_with(suffix));
    }

    fn append(&mut self, name: &str, byte: u8, count: usize) {
        let file = self.file(name);
        // No run of equal bytes, unless it is one of zeros.
        file.extend((0..count).map(|i| if byte == 0 { 0 } else { byte ^ (i % 251).to_le_bytes()[0] }));
    }

    fn flip(&mut self, name: &str, offset: usize) {
        self.file(name)[offset] ^= 0x55;
    }

    /// The last vote of a decree in a log.
    fn vote(&self, name: &str, decree: u64) -> Place {
        let bytes = Bytes::copy_from_slice(&self.0[name]);
        let mut found = None;
        let mut offset = 0;
        while offset < bytes.len() {
            let raw = RawHeader::decode(&bytes.slice(offset..)).expect("an undamaged log");
            let place = Place { offset, length: raw.length as usize };
            if raw.id == MessageId::Vote as u16 && raw.header.decree.0 == decree {
                found = Some(place);
            }
            offset = place.end();
        }
        found.expect("the vote is in the log")
    }

    /// Where the last vote of a decree starts in a log that is sound.
    #[must_use]
    pub fn vote_offset(&self, name: &str, decree: u64) -> usize {
        self.vote(name, decree).offset
    }

    fn last_log_vote(&self, decree: u64) -> Place {
        self.vote(LAST_LOG, decree)
    }

    fn cut(&mut self, name: &str, length: usize) {
        self.file(name).truncate(length);
    }
}

/// Where things are in a checkpoint.
#[derive(Clone, Copy, Debug)]
struct Codex {
    vote: usize,
    vote_len: usize,
    body: usize,
}

fn codex(bytes: &[u8]) -> Codex {
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("a whole header")) as usize;
    let version = bytes[0];
    if version < 3 {
        return Codex { vote: 0, vote_len: number(2), body: padded(number(2)) };
    }
    // The next vote is the only place in the header where the magic number stands.
    let magic = rsl_core::wire::MAGIC.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == magic).expect("a next vote");
    let vote = at - 14;
    Codex { vote, vote_len: number(vote + 2), body: number(2) }
}

const fn padded(length: usize) -> usize {
    length.div_ceil(PAGE_LEN) * PAGE_LEN
}

/// A way to damage a directory.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The recorded name.
    pub name: &'static str,
    /// The damage.
    pub damage: fn(&mut Files),
    /// What a version 4 replica was seen to do.
    legacy: Legacy,
}

/// How the start of a legacy replica ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legacy {
    /// It starts: decree executed last, decree accepted, checkpoint loaded (0: none).
    Starts(u64, u64, u64),
    /// Its initialisation fails.
    Fails,
    /// Its process ends.
    Dies,
}
use Legacy::{Dies, Fails, Starts};

impl Case {
    /// What a legacy replica does. Version 4 was seen, and version 1, which differs in what a checkpoint protects:
    /// before version 4 the body is raw [STOR-41] [STOR-47], before version 3 the header is the next vote [STOR-38].
    #[must_use]
    pub fn legacy(&self, version: u16) -> Legacy {
        let raw = version < 4;
        match self.name {
            "last checkpoint: byte flipped in the header member id" if version < 3 => Starts(142, 143, 57),
            "last checkpoint: byte flipped in user data (state hash, LoadState cannot notice)" if raw => {
                Starts(142, 143, 114)
            }
            "last checkpoint: 1 extra byte" if raw => Starts(142, 143, 114),
            _ => self.legacy,
        }
    }
}

macro_rules! cases {
    ($($name:literal => $legacy:expr, $damage:expr,)*) => {
        &[$(Case { name: $name, damage: $damage, legacy: $legacy },)*]
    };
}

/// Every recorded case, in the recorded order.
pub static CASES: &[Case] = cases! {
    "intact" => Starts(142, 143, 114), |_| {},
    "log tail: last vote removed at its boundary" => Starts(141, 142, 114), |files| {
        let at = files.last_log_vote(LAST);
        files.cut(LAST_LOG, at.offset);
    },
    "log tail: truncated 100 bytes into the last vote (file size not multiple of 512)" => Fails, |files| {
        let at = files.last_log_vote(LAST);
        files.cut(LAST_LOG, at.offset + 100);
    },
    "log tail: truncated to whole 512 pages inside a multi-page last vote" => Starts(139, 140, 114), |files| {
        let at = files.last_log_vote(LAST_LONG);
        files.cut(LAST_LOG, at.offset + 512);
    },
    "log tail: truncated in the middle of a page inside a multi-page vote" => Starts(139, 140, 114), |files| {
        let at = files.last_log_vote(LAST_LONG);
        files.cut(LAST_LOG, at.offset + 700);
    },
    "log tail: +100 zero bytes" => Fails, |files| files.append(LAST_LOG, 0, 100),
    "log tail: +512 zero bytes" => Starts(142, 143, 114), |files| files.append(LAST_LOG, 0, 512),
    "log tail: +8192 zero bytes" => Starts(142, 143, 114), |files| files.append(LAST_LOG, 0, 8192),
    "log tail: +1 MB zero bytes" => Starts(142, 143, 114), |files| files.append(LAST_LOG, 0, 1 << 20),
    "log tail: +100 garbage bytes" => Fails, |files| files.append(LAST_LOG, 0xA7, 100),
    "log tail: +512 garbage bytes" => Fails, |files| files.append(LAST_LOG, 0xA7, 512),
    "log tail: +4096 garbage bytes" => Fails, |files| files.append(LAST_LOG, 0xA7, 4096),
    "log tail: 512 zero bytes then 512 garbage" => Fails, |files| {
        files.append(LAST_LOG, 0, 512);
        files.append(LAST_LOG, 0xA7, 512);
    },
    "log tail: byte flipped in the last vote body, file ends there" => Starts(141, 142, 114), |files| {
        let at = files.last_log_vote(LAST);
        files.flip(LAST_LOG, at.offset + at.length - 1);
    },
    "log tail: byte flipped in the last vote body, followed by 4096 zeros" => Starts(141, 142, 114), |files| {
        let at = files.last_log_vote(LAST);
        files.flip(LAST_LOG, at.offset + at.length - 1);
        files.append(LAST_LOG, 0, 4096);
    },
    "log tail: byte flipped in the padding after the last message" => Starts(142, 143, 114), |files| {
        let at = files.last_log_vote(LAST);
        files.flip(LAST_LOG, at.offset + at.length + 3);
    },
    "log tail: magic of the last vote flipped" => Fails, |files| {
        let at = files.last_log_vote(LAST);
        files.flip(LAST_LOG, at.offset + 14);
    },
    "log tail: last vote zeroed" => Starts(141, 142, 114), |files| {
        let at = files.last_log_vote(LAST);
        files.file(LAST_LOG)[at.offset..].fill(0);
    },
    "log tail: first page of a multi-page vote valid, rest zero (torn write), at the end" => Starts(139, 140, 114), |files| {
        let at = files.last_log_vote(LAST_LONG);
        files.cut(LAST_LOG, at.end());
        files.file(LAST_LOG)[at.offset + 512..].fill(0);
    },
    "log tail: first page of last multi-page vote zero, rest valid (torn write, other order)" => Fails, |files| {
        let at = files.last_log_vote(LAST_LONG);
        files.cut(LAST_LOG, at.end());
        files.file(LAST_LOG)[at.offset..at.offset + 512].fill(0);
    },
    "log middle: byte flipped in a vote body" => Fails, |files| {
        let at = files.last_log_vote(MIDDLE);
        files.flip(LAST_LOG, at.offset + at.length - 10);
    },
    "log middle: byte flipped in padding" => Starts(142, 143, 114), |files| {
        let at = files.last_log_vote(MIDDLE);
        files.flip(LAST_LOG, at.offset + at.length + 1);
    },
    "log middle: a vote zeroed" => Fails, |files| {
        let at = files.last_log_vote(MIDDLE);
        files.file(LAST_LOG)[at.offset..at.end()].fill(0);
    },
    "log middle: a vote removed (hole in decrees)" => Dies, |files| {
        let at = files.last_log_vote(MIDDLE);
        files.file(LAST_LOG).drain(at.offset..at.end());
    },
    "log middle: a vote duplicated" => Starts(142, 143, 114), |files| {
        let at = files.last_log_vote(MIDDLE);
        let copy = files.file(LAST_LOG)[at.offset..at.end()].to_vec();
        files.file(LAST_LOG).splice(at.end()..at.end(), copy);
    },
    "log middle: magic flipped" => Fails, |files| {
        let at = files.last_log_vote(MIDDLE);
        files.flip(LAST_LOG, at.offset + 14);
    },
    "first log (already covered by checkpoint): byte flipped in the middle" => Starts(142, 143, 114), |files| {
        let middle = files.file("0.log").len() / 2;
        files.flip("0.log", middle);
    },
    "last log empty (0 bytes)" => Starts(114, 115, 114), |files| files.cut(LAST_LOG, 0),
    "last log deleted" => Starts(114, 115, 114), |files| files.remove(LAST_LOG),
    "last log and last checkpoint deleted" => Starts(113, 114, 57), |files| {
        files.remove(LAST_LOG);
        files.remove(LAST_CHECKPOINT);
    },
    "middle log deleted" => Starts(142, 143, 114), |files| files.remove("58.log"),
    "middle log and last checkpoint deleted" => Dies, |files| {
        files.remove("58.log");
        files.remove(LAST_CHECKPOINT);
    },
    "first log deleted (checkpoints present)" => Starts(142, 143, 114), |files| { files.0.remove("0.log"); },
    "all logs deleted, checkpoints present" => Starts(114, 115, 114), |files| files.remove(".log"),
    "all checkpoints deleted, all logs present" => Starts(142, 143, 0), |files| files.remove(".codex"),
    "all checkpoints and first log deleted" => Fails, |files| {
        files.remove(".codex");
        files.0.remove("0.log");
    },
    "everything deleted" => Starts(0, 0, 0), |files| files.0.clear(),
    "extra empty log with number maxdecree+1" => Starts(142, 143, 114), |files| files.add("144.log", vec![]),
    "extra empty log with number maxdecree+50 (gap)" => Starts(142, 143, 114), |files| files.add("193.log", vec![]),
    "extra log with number maxdecree+50 containing a copy of the first log" => Starts(142, 143, 114), |files| files.copy("0.log", "193.log"),
    "extra log 1.log: copy of the first log" => Starts(142, 143, 114), |files| files.copy("0.log", "1.log"),
    "extra file abc.log" => Fails, |files| files.add("abc.log", vec![]),
    "extra file 12abc.log (empty)" => Starts(142, 143, 114), |files| files.add("12abc.log", vec![]),
    "extra file 00000.log: same number as 0.log" => Starts(142, 143, 114), |files| files.copy("0.log", "00000.log"),
    "extra file abc.codex" => Fails, |files| files.add("abc.codex", vec![]),
    "extra file .hidden.log" => Starts(142, 143, 114), |files| files.add(".hidden.log", vec![]),
    "last log renamed to a number 1 lower" => Starts(142, 143, 114), |files| files.rename(LAST_LOG, "114.log"),
    "last log renamed to a number 1 higher" => Starts(142, 143, 114), |files| files.rename(LAST_LOG, "116.log"),
    "last checkpoint: byte flipped in the header member id" => Starts(142, 143, 114), |files| files.flip(LAST_CHECKPOINT, 20),
    "last checkpoint: byte flipped in the embedded vote" => Starts(142, 143, 57), |files| flip_next_vote(files, LAST_CHECKPOINT),
    "last checkpoint: byte flipped in the header tail padding" => Starts(142, 143, 114), |files| {
        let place = codex(files.file(LAST_CHECKPOINT));
        files.flip(LAST_CHECKPOINT, place.body - 3);
    },
    "last checkpoint: byte flipped in user data (magic)" => Starts(142, 143, 57), |files| {
        let place = codex(files.file(LAST_CHECKPOINT));
        files.flip(LAST_CHECKPOINT, place.body);
    },
    "last checkpoint: byte flipped in user data (state hash, LoadState cannot notice)" => Starts(142, 143, 57), |files| {
        let place = codex(files.file(LAST_CHECKPOINT));
        files.flip(LAST_CHECKPOINT, place.body + 18);
    },
    "last checkpoint: truncated by 1 byte" => Starts(142, 143, 57), |files| {
        let length = files.file(LAST_CHECKPOINT).len();
        files.cut(LAST_CHECKPOINT, length - 1);
    },
    "last checkpoint: 1 extra byte" => Starts(142, 143, 57), |files| files.append(LAST_CHECKPOINT, 0xA7, 1),
    "last checkpoint: truncated to the header" => Starts(142, 143, 57), |files| {
        let place = codex(files.file(LAST_CHECKPOINT));
        files.cut(LAST_CHECKPOINT, place.body);
    },
    "last checkpoint: truncated to 512 bytes" => Starts(142, 143, 57), |files| files.cut(LAST_CHECKPOINT, 512),
    "last checkpoint: empty file" => Starts(142, 143, 57), |files| files.cut(LAST_CHECKPOINT, 0),
    "last checkpoint deleted" => Starts(142, 143, 57), |files| files.remove(LAST_CHECKPOINT),
    "last checkpoint renamed to decree+1" => Starts(142, 143, 115), |files| files.rename(LAST_CHECKPOINT, "115.codex"),
    "last checkpoint copied as decree+100 (beyond the logs)" => Dies, |files| files.copy(LAST_CHECKPOINT, "214.codex"),
    "all checkpoints corrupt, all logs present" => Starts(142, 143, 0), corrupt_checkpoints,
    "all checkpoints corrupt, first log missing" => Fails, |files| {
        corrupt_checkpoints(files);
        files.0.remove("0.log");
    },
    "defunct.txt missing/created with 4 bytes = 0" => Starts(142, 143, 114), |files| files.add("defunct.txt", vec![0; 4]),
    "defunct.txt with 1 byte" => Starts(142, 143, 114), |files| files.add("defunct.txt", vec![3]),
    "defunct.txt = 1 (current configuration number is 1)" => Starts(142, 143, 114), |files| files.add("defunct.txt", vec![1, 0, 0, 0]),
    "defunct.txt = 5" => Starts(142, 143, 114), |files| files.add("defunct.txt", vec![5, 0, 0, 0]),
    "files in Temp and a subdirectory" => Starts(142, 143, 114), |files| {
        files.add("Temp/Cod1234.tmp", vec![7; 100]);
        files.add("Temp/sub/file.txt", vec![7; 10]);
    },
    // The permission is not a byte of any file: whoever writes the files sets it.
    "log file read-only" => Starts(142, 143, 114), |_| {},
};

fn corrupt_checkpoints(files: &mut Files) {
    flip_next_vote(files, "57.codex");
    flip_next_vote(files, LAST_CHECKPOINT);
}

fn flip_next_vote(files: &mut Files, name: &str) {
    let place = codex(files.file(name));
    files.flip(name, place.vote + place.vote_len - 1);
}
