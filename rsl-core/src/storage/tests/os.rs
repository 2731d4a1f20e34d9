//! The operating system's disk keeps the contract of the seam.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of its own that is deleted at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rsl-storage-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Files: modes, positioned access, sizes, names.
#[test]
fn files() {
    let scratch = Scratch::new();
    let path = scratch.0.join("file");
    let error = |mode| OsDisk.open(&path, mode).map(|_| ()).unwrap_err().kind();
    assert_eq!(error(OpenMode::Read), ErrorKind::NotFound);
    assert_eq!(error(OpenMode::Write), ErrorKind::NotFound);
    let file = OsDisk.open(&path, OpenMode::Create).unwrap();
    assert_eq!(error(OpenMode::Create), ErrorKind::AlreadyExists);
    file.write_at(0, b"hello world").unwrap();
    file.write_at(6, b"there").unwrap();
    file.sync().unwrap();
    let reader = OsDisk.open(&path, OpenMode::Read).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(reader.read_at(6, &mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"there");
    assert_eq!(reader.read_at(99, &mut buffer).unwrap(), 0);
    reader.write_at(0, b"x").unwrap_err();
    file.set_len(5).unwrap();
    file.sync().unwrap();
    assert_eq!(reader.size().unwrap(), 5);
    assert_eq!(read_file(&OsDisk, &path, 5).unwrap(), b"hello");
    assert_eq!(read_file(&OsDisk, &path, 4).unwrap_err().kind(), ErrorKind::InvalidData);
    let other = scratch.0.join("other");
    std::fs::write(&other, b"replaced").unwrap();
    OsDisk.rename(&path, &other).unwrap();
    OsDisk.sync_dir(&scratch.0).unwrap();
    let sub = scratch.0.join("sub");
    OsDisk.create_dir(&sub).unwrap();
    OsDisk.create_dir(&sub).unwrap();
    assert_eq!(OsDisk.create_dir(&sub.join("a/b")).unwrap_err().kind(), ErrorKind::NotFound);
    let mut entries = OsDisk.list(&scratch.0).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = entries.iter().map(|entry| (&entry.name[..], entry.is_file, entry.size)).collect();
    assert_eq!(found[0], ("other", true, 5));
    assert_eq!((found[1].0, found[1].1, found.len()), ("sub", false, 2));
    assert!(!entries[0].modified.is_zero());
    OsDisk.remove(&other).unwrap();
    assert_eq!(reader.read_at(0, &mut buffer).unwrap(), 5);
    drop((file, reader));
    assert_eq!(OsDisk.remove(&other).unwrap_err().kind(), ErrorKind::NotFound);
}

fn text(mut file: std::fs::File) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    text
}

/// [STOR-58] [HARD-366] A file can be renamed while it is open, and deleted while another thread reads it, as the learn
/// server does; the reader goes on.
#[test]
fn files_in_use_can_be_renamed_and_deleted() {
    let scratch = Scratch::new();
    let (served, next) = (scratch.0.join("7.codex"), scratch.0.join("Cod1.tmp"));
    std::fs::write(&served, b"old").unwrap();
    let written = OsDisk.open(&next, OpenMode::Create).unwrap();
    written.write_at(0, b"newer").unwrap();
    written.sync().unwrap();
    OsDisk.rename(&next, &served).unwrap();
    OsDisk.sync_dir(&scratch.0).unwrap();
    assert_eq!(read_file(&OsDisk, &served, 9).unwrap(), b"newer");
    let reader = std::fs::File::open(&served).unwrap();
    OsDisk.remove(&served).unwrap();
    assert_eq!(text(reader), "newer");
    drop(written);
    assert_eq!(OsDisk.open(&served, OpenMode::Read).map(|_| ()).unwrap_err().kind(), ErrorKind::NotFound);
}

/// [HARD-366] A file can be replaced while another thread reads it. Windows can do that since 10 (1607), Wine cannot: a
/// damaged checkpoint is then replaced when nobody reads it any more.
#[cfg(unix)]
#[test]
fn a_file_being_read_can_be_replaced() {
    let scratch = Scratch::new();
    let (served, next) = (scratch.0.join("7.codex"), scratch.0.join("Cod1.tmp"));
    std::fs::write(&served, b"old").unwrap();
    std::fs::write(&next, b"newer").unwrap();
    let reader = std::fs::File::open(&served).unwrap();
    OsDisk.rename(&next, &served).unwrap();
    assert_eq!(
        (text(reader), read_file(&OsDisk, &served, 9).unwrap()),
        ("old".to_owned(), b"newer".to_vec())
    );
}

/// [HARD-520] Files are not opened past the system's cache, so writes need not fit the sectors of a device: any offset and
/// length will do.
#[cfg(target_os = "linux")]
#[test]
fn no_sector_size_is_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.0.join("1.log");
    let file = OsDisk.open(&path, OpenMode::Create).unwrap();
    let again = [OpenMode::Read, OpenMode::Write].map(|mode| OsDisk.open(&path, mode).unwrap());
    let mut handles = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        if std::fs::read_link(entry.path()).is_ok_and(|target| target == path) {
            let info =
                std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(entry.file_name())).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = i32::from_str_radix(flags, 8).unwrap();
            assert_eq!(flags & libc::O_DIRECT, 0);
            handles += 1;
        }
    }
    assert_eq!(handles, 3);
    for (offset, bytes) in [(0, 1), (1, 511), (512, 513), (4095, 2)] {
        file.write_at(offset, &vec![7; bytes]).unwrap();
    }
    assert_eq!(again[0].size().unwrap(), 4097);
}

/// Decision 26: a second start is refused and told which process works there; the lock goes with its holder.
#[test]
fn the_lock_names_its_holder() {
    let scratch = Scratch::new();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let first = Directory::open(Arc::clone(&disk), &scratch.0).unwrap();
    let Err(DirectoryError::Lock(LockError::Held { holder })) =
        Directory::open(Arc::clone(&disk), &scratch.0)
    else {
        panic!("a second start must be refused")
    };
    assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    drop(first);
    Directory::open(disk, &scratch.0).unwrap();
}

/// [STOR-19] [STOR-22] [STOR-59]: a replica's files on a real file system: restore, append, switch, checkpoint,
/// restore again.
#[test]
fn a_replica_restarts_on_real_files() {
    let scratch = Scratch::new();
    let working = scratch.0.join("work");
    let data = data_directory(&working, member("1"), true).unwrap();
    let open = || Directory::open_for(Arc::new(OsDisk), &working, member("1"), true).unwrap();
    {
        let directory = open();
        let mut restored = restore(&directory, &settings(), &mut App::default()).unwrap();
        for decree in 0..=4 {
            let new_log = (decree == 3).then_some(Decree(3));
            restored.log.append(&big_vote(decree, 1, 3000), new_log).unwrap();
        }
        restored.log.flush().unwrap();
        let Record::Vote(next) = big_vote(4, 1, 3000) else { panic!("a vote") };
        save(&directory, new_checkpoint(3, next, ballot(1)), b"the state").unwrap();
        directory.write_defunct(2).unwrap();
        assert!(directory.retain(Retention { max_checkpoints: 1, max_logs: 1 }).is_empty());
    }
    let directory = open();
    let mut app = App::default();
    let restored = restore(&directory, &settings(), &mut app).unwrap();
    assert_eq!((app.state, app.executed), (b"the state".to_vec(), vec![]));
    assert_eq!(restored.recovered.accepted.decree(), Decree(4));
    assert_eq!((restored.recovered.defunct, restored.recovered.logs.len()), (2, 1));
    let mut names: Vec<_> = OsDisk.list(&data).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names, ["3.codex", "3.log", "Temp", "defunct.txt", "rsl.lock", "rsl.owner"]);
}
