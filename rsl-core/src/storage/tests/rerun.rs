//! Replay mode: what is executed up to which decree, that nothing is written, and the checkpoint made of the state.

use super::*;
use crate::types::ProtocolVersion as Version;

fn arc(disk: &MemDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Replays up to `max`; the directory must be as before.
fn replay(disk: &MemDisk, max: u64) -> (Replayed, App) {
    let content = |disk: &MemDisk| -> Vec<_> {
        disk.paths().iter().map(|path| (path.clone(), disk.get(path))).collect()
    };
    let before = content(disk);
    let mut app = App::default();
    let replayed = rerun(&arc(disk), &root(), Decree(max), &mut app).unwrap();
    assert_eq!(content(disk), before, "nothing is written [STOR-68] [HARD-382]");
    (replayed, app)
}

/// [STOR-66] [STOR-67] [STOR-68] [HARD-382] [XFER-51] [API-58] Up to the decree that was asked for, from the newest
/// checkpoint not above it; less where the logs do not prove more; a decided reconfiguration is executed. A request
/// that asks for a checkpoint gets none.
#[test]
fn history_is_executed_up_to_a_decree() {
    let disk = disk();
    put_log(&disk, 0, &votes(0..=9));
    // A torn tail, which a start would cut off.
    let torn = log(&[big_vote(12, 1, 2000)]);
    let second = log(&[vote(10, 1), vote(11, 1), reconfiguration(12, 1, members(1)), decision(12, 1)]);
    disk.put(&log_name(10), &[second, torn[..600].to_vec()].concat());
    for (max, executed) in [(1, 1), (5, 5), (10, 10), (11, 11), (12, 12), (13, 12), (u64::MAX, 12)] {
        let (replayed, app) = replay(&disk, max);
        assert_eq!((replayed.executed, app.loads), (Decree(executed), vec![None]), "up to {max}");
        assert_eq!(app.executed, (1..=executed).collect::<Vec<_>>());
        assert_eq!(replayed.configuration.number, if executed == 12 { 2 } else { 1 });
        assert_eq!(replayed.next_vote.decree(), Decree(executed + 1));
    }
    // The last vote is not known to be chosen.
    disk.put(&log_name(10), &log(&votes(10..=12)));
    assert_eq!(replay(&disk, 12).0.executed, Decree(11));
    put_checkpoint(&disk, 3);
    put_checkpoint(&disk, 7);
    for (max, loaded, first) in
        [(2, None, 1), (3, Some(3), 4), (6, Some(3), 4), (7, Some(7), 8), (9, Some(7), 8)]
    {
        let (replayed, app) = replay(&disk, max);
        assert_eq!((replayed.executed, app.executed), (Decree(max), (first..=max).collect()), "up to {max}");
        assert_eq!(app.loads[0].is_some(), loaded.is_some());
    }
    let mut app = App { save_at: Some(5), ..App::default() };
    rerun(&arc(&disk), &root(), Decree(6), &mut app).unwrap();
    assert!(disk.get(&path("5.codex")).is_none());
}

/// [STOR-69] [STOR-70] [HARD-43] The checkpoint has the number it was given, the state, and the newest vote under the
/// next decree with a right checksum; its layout is that of the vote's version, also behind a reconfiguration.
#[test]
fn a_replayed_state_becomes_a_checkpoint() {
    let out = path("out");
    for version in [Version::V1, Version::V2, Version::V3, Version::V4, Version::V6] {
        let of = |decree| Record::Vote(vote_of(version, decree, 1));
        let mut records: Vec<Record> = (0..=4).map(of).collect();
        if version.has_configuration() {
            let content = VoteContent { reconfiguration: Some(members(1)), ..VoteContent::default() };
            let header = header(version, 5, ballot(1));
            records.push(Record::Vote(Vote::new(header, &content).unwrap()));
            records.push(Record::Decision(header));
        }
        let last = if version.has_configuration() { 5 } else { 3 };
        for max in [2, last] {
            let disk = disk();
            put_log(&disk, 0, &records);
            let (replayed, mut app) = replay(&disk, max);
            assert_eq!(replayed.executed, Decree(max));
            let info = save_rerun(&arc(&disk), &out, &replayed, Decree(700), &mut app).unwrap();
            assert_eq!(info.decree, Decree(700));
            let mut reader = CheckpointReader::open(&disk, &out.join("700.codex")).unwrap();
            let header = reader.header().clone();
            assert_eq!((header.version, header.executed), (version.max(header.version), Decree(700)));
            assert_eq!(header.version.has_configuration(), version.has_configuration());
            assert_eq!(header.next_vote.decree(), Decree(701));
            assert_eq!(header.next_vote.ballot(), replayed.next_vote.ballot());
            assert!(header.next_vote.checksum_is_valid());
            let configuration = header.configuration.map(|configuration| configuration.number);
            let reached = if max == 5 { 2 } else { 1 };
            assert_eq!(configuration, version.has_configuration().then_some(reached));
            let mut state = Vec::new();
            reader.read_to_end(&mut state).unwrap();
            assert_eq!(state, app.state);
            reader.verify_rest().unwrap();
        }
    }
    // An application that declines leaves nothing.
    let disk = disk();
    put_log(&disk, 0, &votes(0..=4));
    let (replayed, _) = replay(&disk, 3);
    let mut refuses = App { save_answer: Some(SaveAnswer::Refused), ..App::default() };
    let refused = save_rerun(&arc(&disk), &out, &replayed, Decree(9), &mut refuses);
    assert!(matches!(refused, Err(RerunSaveError::Refused)));
    assert!(disk.get(&out.join("9.codex")).is_none());
}

/// A disk that only reads.
struct ReadOnly(MemDisk);

impl Disk for ReadOnly {
    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Arc<dyn DiskFile>> {
        assert_eq!(mode, OpenMode::Read, "{}", path.display());
        self.0.open(path, mode)
    }

    fn rename(&self, from: &Path, _: &Path) -> std::io::Result<()> {
        panic!("renames {}", from.display());
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        panic!("removes {}", path.display());
    }

    fn list(&self, directory: &Path) -> std::io::Result<Vec<DirEntry>> {
        self.0.list(directory)
    }

    fn create_dir(&self, directory: &Path) -> std::io::Result<()> {
        panic!("creates {}", directory.display());
    }

    fn sync_dir(&self, directory: &Path) -> std::io::Result<()> {
        panic!("syncs {}", directory.display());
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn DirLock>, LockError> {
        panic!("locks {}", directory.display());
    }
}

/// [HARD-550] [HARD-382] Read-only media will do, with a torn tail and all: files are opened for reading, and no lock is taken.
#[test]
fn reading_is_all_it_needs() {
    let disk = disk();
    put_checkpoint(&disk, 3);
    let torn = log(&[big_vote(10, 1, 2000)]);
    disk.put(&log_name(0), &[log(&votes(0..=9)), torn[..600].to_vec()].concat());
    let disk: Arc<dyn Disk> = Arc::new(ReadOnly(disk));
    let mut app = App::default();
    let replayed = rerun(&disk, &root(), Decree(u64::MAX), &mut app).unwrap();
    assert_eq!(replayed.executed, Decree(8));
}
