//! Files changed while no replica uses them: logs cut and rewritten, checkpoints made and changed.

use std::collections::BTreeMap;

use super::*;
use crate::format::{LogScanner, Step};
use crate::types::ProtocolVersion as Version;

fn arc(disk: &MemDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn records(disk: &MemDisk, name: u64) -> Vec<Record> {
    let bytes = disk.get(&log_name(name)).unwrap();
    let mut scanner = LogScanner::new(&bytes[..]).unwrap();
    let mut records = Vec::new();
    while let Step::Record { record, .. } = scanner.step().unwrap() {
        records.push(record);
    }
    records
}

/// (Decision 20) Zeroes, a part of a page and a torn record are cut durably; a clean log stays, a damaged one too.
#[test]
fn logs_are_cut_behind_their_last_record() {
    let good = log(&votes(0..=3));
    let torn = log(&[big_vote(4, 1, 2000)])[..600].to_vec();
    for tail in [vec![], vec![0; 4096], vec![0; 7], torn] {
        let disk = disk();
        disk.put(&log_name(0), &[good.clone(), tail.clone()].concat());
        assert_eq!(cut_log(&disk, &log_name(0)).unwrap(), tail.len() as u64);
        let left = disk.after_power_failure(|_, _| 0);
        assert_eq!(left.get(&log_name(0)), Some(good.clone()));
    }
    // A complete last record that is damaged; damage in the middle.
    for at in [good.len() - 500, 100] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let disk = disk();
        disk.put(&log_name(0), &bytes);
        cut_log(&disk, &log_name(0)).unwrap_err();
        assert_eq!(disk.get(&log_name(0)), Some(bytes));
    }
}

/// [STOR-74] [HARD-58] The reconfiguration votes of the named decrees get the new members with the old cookie, the rest of
/// the vote as it was, payload 0, and a right checksum; other records stay, a torn tail goes. The new file has no log's
/// name until it is complete; whatever fails, the log stays.
#[test]
fn logged_reconfigurations_get_other_members() {
    let relinquish = VoteContent {
        reconfiguration: Some(members(2)),
        cookie: Bytes::from_static(b"primary"),
        ..VoteContent::default()
    };
    let header = Header { payload: 77, ..header(Version::V6, 2, ballot(1)) };
    let changed = Record::Vote(Vote::new(header, &relinquish).unwrap());
    let all =
        [vote(0, 1), vote(1, 1), changed, decision(2, 1), vote(3, 1), reconfiguration(4, 1, members(1))];
    let good = log(&all);
    let torn = log(&[big_vote(5, 1, 2000)])[..600].to_vec();
    let original = [good.clone(), torn].concat();
    let fresh = || {
        let disk = disk();
        disk.put(&log_name(0), &original);
        disk
    };
    let new = MemberSet { cookie: Bytes::from_static(b"ignored"), ..(*members(3)).clone() };
    // A decree that is none of a reconfiguration changes nothing.
    let map = BTreeMap::from([(Decree(2), new), (Decree(3), (*members(3)).clone())]);
    let disk = fresh();
    let all = records(&disk, 0);
    assert_eq!(update_log(&arc(&disk), &root(), Decree(0), &map).unwrap(), 1);
    let found = records(&disk, 0);
    assert_eq!(disk.get(&log_name(0)).unwrap().len() % 512, 0);
    assert_eq!(found.len(), all.len());
    for (index, record) in found.iter().enumerate() {
        if index != 2 {
            assert_eq!(record, &all[index]);
            continue;
        }
        let (Record::Vote(old), Record::Vote(vote)) = (&all[2], record) else { panic!("a vote") };
        let set = vote.reconfiguration().unwrap();
        assert_eq!((set.nodes.len(), &set.cookie), (3, &members(2).cookie));
        assert_eq!(
            (vote.position(), vote.version(), vote.cookie()),
            (old.position(), old.version(), old.cookie())
        );
        assert_eq!(
            (vote.header().member, vote.header().configuration),
            (old.header().member, old.header().configuration)
        );
        assert!(!vote.relinquish() && vote.header().payload == 0 && vote.checksum_is_valid());
    }
    assert_eq!(disk.after_power_failure(|_, _| 0).get(&log_name(0)), disk.get(&log_name(0)));

    // No step that fails touches the log, or leaves a name that a replica would take for one.
    let mut steps = 0;
    loop {
        let disk = fresh();
        disk.fail_after(Some(steps));
        let done = update_log(&arc(&disk), &root(), Decree(0), &map).is_ok();
        disk.fail_after(None);
        let logs = Listing::read(&disk, &root()).unwrap();
        assert_eq!((logs.logs, logs.foreign), (vec![Decree(0)], vec![]));
        if done {
            break;
        }
        let log = disk.after_power_failure(|_, _| 0).get(&log_name(0));
        assert_eq!(log, Some(original.clone()), "step {steps}");
        steps += 1;
    }
    assert!(steps >= 4, "{steps} steps can fail");
    let bad = BTreeMap::from([(Decree(2), MemberSet::default())]);
    let disk = fresh();
    assert!(matches!(update_log(&arc(&disk), &root(), Decree(0), &bad), Err(LogUpdateError::Members { .. })));
    assert_eq!(disk.get(&log_name(0)), Some(original));
}

/// [STOR-71] [HARD-60] [API-43] A new checkpoint and a changed one appear when they are complete; a failure leaves what was there.
#[test]
fn offline_checkpoints_appear_complete() {
    let fill = &mut |file: &mut CheckpointRewrite| file.write_all(b"state").map_err(RewriteError::from);
    let make = |disk: &MemDisk, fill: &mut dyn FnMut(&mut CheckpointRewrite) -> Result<(), RewriteError>| {
        let members = Some((*members(1)).clone());
        make_checkpoint(&arc(disk), &root(), Version::V6, Decree(5), 3, members, fill)
    };
    let mut steps = 0;
    loop {
        let disk = disk();
        disk.fail_after(Some(steps));
        let made = make(&disk, fill).is_ok();
        disk.fail_after(None);
        if made {
            break;
        }
        let left = disk.after_power_failure(|_, _| 0);
        assert!(left.get(&path("5.codex")).is_none(), "step {steps}");
        steps += 1;
    }
    let disk = disk();
    make(&disk, fill).unwrap();
    let before = disk.get(&path("5.codex")).unwrap();
    let mut refuses = |_: &mut CheckpointRewrite| Err(RewriteError::NoMembers);
    make(&disk, &mut refuses).unwrap_err();
    assert_eq!(disk.paths(), [path("5.codex")], "the temporary file is gone");
    for failing in 0..steps {
        let copy = disk.after_power_failure(|_, _| 0);
        copy.fail_after(Some(failing));
        let changed =
            change_checkpoint(&arc(&copy), &path("5.codex"), Some(Version::V3), (*members(2)).clone());
        copy.fail_after(None);
        let left = copy.after_power_failure(|_, _| 0);
        assert!(changed.is_ok() || left.get(&path("5.codex")).as_ref() == Some(&before), "step {failing}");
    }
    change_checkpoint(&arc(&disk), &path("5.codex"), Some(Version::V3), (*members(2)).clone()).unwrap();
    let mut reader = CheckpointReader::open(&disk, &path("5.codex")).unwrap();
    let mut state = Vec::new();
    reader.read_to_end(&mut state).unwrap();
    assert_eq!((state, reader.header().version), (b"state".to_vec(), Version::V3));
}
