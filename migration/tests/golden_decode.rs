//! `rsl decode` over golden data: every message vector and every malformed message.
//!
//! Without golden data every test counts as ignored.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use bytes::Bytes;
use libtest_mimic::{Arguments, Failed, Trial};
use rsl_core::wire::{Message, encode_packet};
use serde_json::{Map, Value, json};

/// A test over the golden folder.
type Test = fn(&Path) -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dir = compat_tests::golden::dir();
    let tests: [(&str, Test); 2] =
        [("vectors_are_decoded", vectors), ("malformed_messages_are_judged", malformed)];
    let trials = tests.map(|(name, test)| {
        let found = dir.clone();
        Trial::test(name, move || test(&found.ok_or("there is no golden data")?))
            .with_ignored_flag(dir.is_none())
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Runs `rsl decode` over lines; one answer for each.
fn decode(lines: &[Value]) -> Result<Vec<Value>, Failed> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rsl"))
        .arg("decode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    if !output.status.success() {
        return Err(format!("rsl decode ended with {}", output.status).into());
    }
    let answers: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    if answers.len() != lines.len() {
        return Err(format!("{} answers to {} lines", answers.len(), lines.len()).into());
    }
    for (line, answer) in lines.iter().zip(&answers) {
        if line["name"] != answer["name"] {
            return Err(format!("{} is answered as {}", line["name"], answer["name"]).into());
        }
    }
    Ok(answers)
}

/// A line of input and what is expected: the fields, or a refusal.
struct Case {
    line: Value,
    fields: Option<Value>,
}

fn vectors(dir: &Path) -> Result<(), Failed> {
    let dir = dir.join("messages");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut cases = Vec::new();
    for file in files {
        let content: Value = serde_json::from_slice(&fs::read(&file)?)?;
        for vector in content["messages"].as_array().ok_or("no messages")? {
            cases.extend(cases_of(vector, &dir)?);
        }
    }
    let lines: Vec<Value> = cases.iter().map(|case| case.line.clone()).collect();
    let mut problems = Vec::new();
    for (case, answer) in cases.iter().zip(decode(&lines)?) {
        let name = &case.line["name"];
        let Some(fields) = &case.fields else {
            if answer["ok"] != false || !answer["error"].is_string() {
                problems.push(format!("{name}: {answer}"));
            }
            continue;
        };
        if answer["ok"] != true {
            problems.push(format!("{name}: {}", answer["error"]));
            continue;
        }
        if answer["fields"] != *fields {
            problems.push(format!("{name}: expected {fields}, found {}", answer["fields"]));
        }
        if answer["reencoded"] != written_by_the_codec(&case.line)? {
            problems.push(format!("{name}: other bytes"));
        }
    }
    summary(cases.len(), &problems)
}

/// The lines for a vector: the message, and the packet when there is one.
fn cases_of(vector: &Value, dir: &Path) -> Result<Vec<Case>, Failed> {
    let kind = vector["kind"].as_str().unwrap_or_default();
    if kind != "message" && kind != "disk" {
        return Ok(Vec::new());
    }
    let read = |hex: &str, file: &str| match (vector[hex].as_str(), vector[file].as_str()) {
        (Some(hex), _) => Ok(Some(hex.to_owned())),
        (None, Some(file)) => fs::read(dir.join(file)).map(|bytes| Some(hex::encode(bytes))),
        (None, None) => Ok(None),
    };
    let name = format!("v{} {}", vector["version"], vector["name"]);
    let id = &vector["fields"]["msgId"];
    let fields = as_read(&vector["fields"])?;
    let bytes = read("hex", "file")?.ok_or("a vector without bytes")?;
    let mut cases = vec![Case {
        line: json!({ "name": name, "kind": kind, "hex": bytes }),
        fields: Some(fields.clone()).filter(|_| *id != 0),
    }];
    if let Some(packet) = read("packetHex", "packet")? {
        cases.push(Case {
            line: json!({ "name": format!("{name} in a packet"), "kind": "packet", "hex": packet }),
            // The requests of the learn port are unknown in packets.
            fields: Some(fields).filter(|_| ![0, 8, 9].contains(&id.as_u64().unwrap_or(0))),
        });
    }
    Ok(cases)
}

/// The fields of a vector, which its writer had, as a reader of its version finds them. How legacy kept the bytes in
/// memory is no field, and requests described by a formula are written out.
fn as_read(fields: &Value) -> Result<Value, Failed> {
    let version = fields["version"].as_u64().ok_or("no version")?;
    let mut read = Map::new();
    for (key, value) in fields.as_object().ok_or("no fields")? {
        let value = match key.as_str() {
            "numBuffers" => continue,
            "configurationNumber" if version < 3 => 1.into(),
            "payload" if version < 6 => "0x0000000000000000".into(),
            "primaryCookie" if version < 2 => "".into(),
            "isReconfiguration" if version < 3 => 0.into(),
            "relinquishPrimary" if version < 5 => 0.into(),
            "vote" => as_read(value)?,
            "requests" => value
                .as_array()
                .ok_or("no list of requests")?
                .iter()
                .map(written_out)
                .collect::<Result<_, _>>()?,
            "members" => {
                let mut members = value.clone();
                for member in members.as_array_mut().ok_or("no list of members")? {
                    member[if version < 4 { "rslLearnPort" } else { "appPort" }] = 0.into();
                }
                members
            }
            _ => value.clone(),
        };
        read.insert(key.clone(), value);
    }
    Ok(read.into())
}

fn written_out(request: &Value) -> Result<Value, Failed> {
    let Some(formula) = request["pattern"].as_str() else {
        return Ok(request.clone());
    };
    let offset = formula.strip_prefix("byte[i]=(i*31+").and_then(|rest| rest.strip_suffix(")&255"));
    let offset: u64 = offset.ok_or("an unknown formula")?.parse()?;
    let length = request["len"].as_u64().ok_or("no length")?;
    let bytes: Vec<u8> = (0..length).map(|i| (i * 31 + offset).to_le_bytes()[0]).collect();
    Ok(json!({ "len": length, "hex": hex::encode(bytes) }))
}

/// What the codec, which has golden tests of its own, writes for the message of a line.
fn written_by_the_codec(line: &Value) -> Result<String, Failed> {
    let bytes = Bytes::from(hex::decode(line["hex"].as_str().ok_or("no hex")?)?);
    let message = if line["kind"] == "packet" { bytes.slice(20..) } else { bytes };
    let again = Message::decode(&message)?.encode()?;
    Ok(match line["kind"].as_str() {
        Some("packet") => hex::encode(encode_packet(&again)?),
        Some("disk") => {
            let mut padded = again.to_vec();
            padded.resize(again.len().next_multiple_of(512), 0);
            hex::encode(padded)
        }
        _ => hex::encode(again),
    })
}

/// The legacy verdict, in a packet: an error where the legacy process dies.
fn malformed(dir: &Path) -> Result<(), Failed> {
    let mut cases = Vec::new();
    let mut lines = Vec::new();
    for (number, line) in fs::read_to_string(dir.join("malformed.jsonl"))?.lines().enumerate() {
        let case: Value = serde_json::from_str(line)?;
        let packet = encode_packet(&hex::decode(case["hex"].as_str().ok_or("no hex")?)?)?;
        lines.push(json!({ "name": number, "kind": "packet", "hex": hex::encode(packet) }));
        cases.push(case);
    }
    let mut problems = Vec::new();
    for (case, answer) in cases.iter().zip(decode(&lines)?) {
        let (result, fields) = (&case["result"], &answer["fields"]);
        let agrees = result["ok"] == answer["ok"]
            && (result["ok"] != true
                || [
                    ("version", "version"),
                    ("msgId", "msgId"),
                    ("checksum", "checksum"),
                    ("decree", "decree"),
                    ("config", "configurationNumber"),
                    ("ballotId", "ballotId"),
                    ("payload", "payload"),
                ]
                .iter()
                .all(|(theirs, ours)| result[theirs] == fields[ours]));
        if !agrees {
            problems.push(format!("{} {}: {result}, {answer}", case["base"], case["mutation"]));
        }
    }
    summary(cases.len(), &problems)
}

fn summary(done: usize, problems: &[String]) -> Result<(), Failed> {
    match problems.first() {
        _ if done == 0 => Err("nothing was checked".into()),
        None => Ok(()),
        Some(first) => {
            let first: String = first.chars().take(2000).collect();
            Err(format!("{} of {done} differ, the first: {first}", problems.len()).into())
        }
    }
}
