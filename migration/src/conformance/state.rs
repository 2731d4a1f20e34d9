//! Cases: the state machine, its checkpoints, the logs of the host, restarts.

use migration::exec_log::Row;
use migration::oracle::{Oracle, SAVE, pad_request};

use super::Case;
use super::checks::{Failure, ensure, has, hash, number, same, text};
use super::lab::{LATER, Lab, Running, SOON, is_recovered_primary};

pub(crate) const CASES: &[&Case] = &[
    &Case { name: "the exec log has a row for every request", run: exec_log },
    &Case { name: "event lines have a time, a name and details", run: events },
    &Case { name: "a checkpoint holds the state of its decree", run: checkpoint },
    &Case { name: "pad sets the size of the checkpoint", run: pad },
    &Case { name: "state survives a kill", run: kill },
    &Case { name: "state survives a kill after a checkpoint", run: kill_after_checkpoint },
];

/// Replicates one request and follows it in the oracle.
fn execute(running: &mut Running, oracle: &mut Oracle, request: &[u8]) -> Result<(), Failure> {
    follow(running, oracle, &format!("replicate {}", hex::encode(request)), request)
}

/// Gives a command that replicates one request, and follows that request in the oracle.
fn follow(running: &mut Running, oracle: &mut Oracle, command: &str, request: &[u8]) -> Result<(), Failure> {
    has(&running.ask(command)?, "executed", 1)?;
    let status = running.status()?;
    oracle.execute(number(&status, "lastSeq")?, request);
    same(&format!("hash after `{command}`"), hash(&status)?, oracle.hash)
}

fn exec_log(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let requests: [&[u8]; 5] = [b"hello", &[0xa1], &[0xb2; 40], b"0123456789abcdef", b"0123456789abcdefg"];
    let words: Vec<String> = requests.iter().map(hex::encode).collect();
    has(&running.ask(&format!("replicate {}", words.join(" ")))?, "executed", 5)?;
    let rows = running.exec_log(requests.len())?;
    same("rows", rows.len(), requests.len())?;
    let mut oracle = Oracle::default();
    let mut before: Option<&Row> = None;
    for (row, request) in rows.iter().zip(requests) {
        oracle.execute(row.seq, request);
        same("hash", row.hash, oracle.hash)?;
        same("length", row.length, request.len() as u64)?;
        same("head", row.head.clone(), hex::encode(&request[..request.len().min(16)]))?;
        ensure(row.cookie, || format!("the primary's own request has no cookie: {row:?}"))?;
        let expected = before.filter(|before| before.seq == row.seq).map_or(0, |before| before.index + 1);
        same("index", row.index, expected)?;
        ensure(before.is_none_or(|before| before.seq <= row.seq), || format!("decrees go back: {rows:?}"))?;
        before = Some(row);
    }
    Ok(())
}

fn events(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    has(&running.ask("checkpoint")?, "executed", 1)?;
    running.wait("the checkpoint is saved", LATER, |status| number(status, "saves").is_ok_and(|n| n > 0))?;
    // The last event of a checkpoint comes after the count goes up.
    let path = running.host.settings().events();
    let deadline = std::time::Instant::now() + LATER;
    while !std::fs::read_to_string(&path)?.contains(" StateSaved") && std::time::Instant::now() < deadline {
        super::lab::pause();
    }
    let lines = std::fs::read_to_string(path)?;
    for line in lines.lines() {
        // HH:MM:SS.mmm NAME details
        let time: String = line.chars().take(12).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let name = line.get(13..).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        ensure(time == "00:00:00.000" && !name.is_empty(), || format!("malformed event line: {line}"))?;
    }
    for name in
        ["LoadState", "CanBecomePrimary", "NotifyStatus", "NotifyPrimaryRecovered", "SaveState", "StateSaved"]
    {
        ensure(lines.contains(&format!(" {name}")), || format!("no {name} event: {lines}"))?;
    }
    Ok(())
}

/// Asks for a checkpoint and waits until it is the current one; gives its decree.
fn save(running: &mut Running, oracle: &mut Oracle) -> Result<u64, Failure> {
    follow(running, oracle, "checkpoint", SAVE)?;
    let decree = oracle.last_seq;
    let done =
        running.wait("the checkpoint is there", LATER, |status| status["checkpointedDecree"] == decree)?;
    same("lastSaved", text(&done, "lastSaved")?, decree.to_string().as_str())?;
    Ok(decree)
}

/// The payload of a checkpoint file: what follows the header, without what the library added.
fn payload_matches(running: &Running, decree: u64, oracle: &Oracle) -> Result<(), Failure> {
    let path = running.host.settings().dir.join(format!("{decree}.codex"));
    let file =
        std::fs::read(&path).map_err(|error| Failure::broken(format!("{}: {error}", path.display())))?;
    let expected = oracle.checkpoint();
    // The pieces below fit into one checksum block, where user data is contiguous.
    let found = file.windows(expected.len()).any(|window| window == expected);
    ensure(found, || {
        format!("{} does not hold the expected payload of {} bytes", path.display(), expected.len())
    })
}

fn checkpoint(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    execute(running, &mut oracle, b"before")?;
    let decree = save(running, &mut oracle)?;
    let at_checkpoint = oracle.clone();
    execute(running, &mut oracle, b"after")?;
    payload_matches(running, decree, &at_checkpoint)
}

fn pad(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    follow(running, &mut oracle, "pad 100000", &pad_request(100_000))?;
    has(&running.status()?, "pad", 100_000)?;
    let decree = save(running, &mut oracle)?;
    ensure(number(&running.status()?, "checkpointSize")? > 100_000, || {
        "the checkpoint is too small".to_owned()
    })?;
    payload_matches(running, decree, &oracle)?;
    // Back to nothing: the next checkpoint is small again.
    execute(running, &mut oracle, &pad_request(0))?;
    save(running, &mut oracle)?;
    ensure(number(&running.status()?, "checkpointSize")? < 100_000, || "the padding stays".to_owned())
}

/// Kills and restarts the host and checks that it has all of the oracle's state.
fn survives(running: &mut Running, oracle: &Oracle) -> Result<(), Failure> {
    running.host.kill();
    running.restart()?;
    running.wait("it is primary again", LATER, is_recovered_primary)?;
    let status =
        running.wait("it has executed everything", SOON, |status| status["count"] == oracle.count)?;
    same("hash", hash(&status)?, oracle.hash)?;
    has(&status, "lastSeq", oracle.last_seq)?;
    has(&status, "pad", oracle.pad)?;
    let last = oracle.last.get(..32).unwrap_or(&oracle.last);
    has(&status, "last", hex::encode(last))
}

fn kill(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    for round in 0..3u8 {
        for request in 0..5u8 {
            execute(running, &mut oracle, &[round, request, 0xee])?;
        }
        survives(running, &oracle)?;
    }
    Ok(())
}

fn kill_after_checkpoint(lab: &Lab) -> Result<(), Failure> {
    let mut set = lab.sole(&[])?;
    let running = set.first();
    let mut oracle = Oracle::default();
    execute(running, &mut oracle, &pad_request(5000))?;
    save(running, &mut oracle)?;
    let loaded_from = oracle.count;
    execute(running, &mut oracle, b"after the checkpoint")?;
    let before = running.exec_log(3)?.len() as u64;
    survives(running, &oracle)?;
    // SAV and what came before it are in the checkpoint.
    let expected = before + oracle.count - loaded_from;
    let rows = running.exec_log(usize::try_from(expected).unwrap_or(usize::MAX))?.len() as u64;
    same("rows after executing again what follows the checkpoint", rows, expected)
}
