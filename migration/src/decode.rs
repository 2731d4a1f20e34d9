//! `rsl decode`: bytes of messages in, their fields out, one JSON value per line.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use rsl_core::format::round_to_page;
use rsl_core::wire::{DecodeError, EncodeError, Message, PacketDecoder, encode_packet, packet_limit};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fields::message_fields;

/// The message limit of a replica with default settings, in MiB [WIRE-50].
const MESSAGE_MIB: u64 = 100;
/// Longest input line in bytes: the largest packet in hex, and room for the rest of the object.
const MAX_LINE: u64 = 2 * packet_limit(MESSAGE_MIB) + 64 * 1024;

/// Decode messages: JSON lines {"name","hex","kind"} on stdin, one JSON line for each on stdout.
///
/// `kind` is `message` (bare bytes), `packet` (with the 20-byte packet header) or `disk` (padded to 512-byte pages).
/// Output: {"name","ok":true,"fields","reencoded"} or {"name","ok":false,"error"}. `ok` is the parser's verdict: a
/// message whose own checksum is wrong still decodes, a packet whose checksum is wrong does not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Accepted for uniformity; the output is JSON in any case.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Answers every line of stdin. Fails only when stdin cannot be read or stdout cannot be written.
    pub(crate) fn run(self) -> ExitCode {
        let input = BufReader::new(io::stdin().lock());
        let output = BufWriter::new(io::stdout().lock());
        match answer_lines(input, output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("rsl decode: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Where the bytes of a line come from.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A message as it is.
    Message,
    /// A message in a packet.
    Packet,
    /// A message padded with zeros to whole pages.
    Disk,
}

/// A line of input.
#[derive(Debug, Deserialize)]
struct Request {
    hex: String,
    kind: Kind,
}

/// Why a line has no fields.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    #[error("malformed input line: {0}")]
    Json(#[from] serde_json::Error),
    #[error("malformed hex: {0}")]
    Hex(#[from] hex::FromHexError),
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("cannot encode again: {0}")]
    Encode(#[from] EncodeError),
    #[error("the packet is incomplete: {0} bytes")]
    IncompletePacket(usize),
    #[error("{0} bytes follow the packet")]
    BytesAfterPacket(usize),
}

fn answer_lines(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(whole) = read_line(&mut input, &mut line, MAX_LINE)? {
        let answer = if whole { answer(&line) } else { refusal(Value::Null, &LineError::TooLong) };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        // A line for a line, at once: the other end may wait for it.
        output.flush()?;
    }
    Ok(())
}

/// Reads a line without its end into `line`; `None` at the end of the input, `false` when the line has more than
/// `limit` bytes, of which only the start is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, limit: u64) -> io::Result<Option<bool>> {
    line.clear();
    if input.by_ref().take(limit + 1).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() {
        input.skip_until(b'\n')?;
    }
    Ok(Some(line.len() as u64 <= limit))
}

fn answer(line: &[u8]) -> Value {
    let input: Value = match serde_json::from_slice(line) {
        Ok(input) => input,
        Err(error) => return refusal(Value::Null, &error.into()),
    };
    let name = input.get("name").cloned().unwrap_or_default();
    match decode(input) {
        Ok((message, reencoded)) => {
            json!({ "name": name, "ok": true, "fields": message_fields(&message), "reencoded": hex::encode(reencoded) })
        }
        Err(error) => refusal(name, &error),
    }
}

fn refusal(name: Value, error: &LineError) -> Value {
    json!({ "name": name, "ok": false, "error": error.to_string() })
}

/// The message of a line, and the bytes that we would write for it.
fn decode(input: Value) -> Result<(Message, Bytes), LineError> {
    let Request { hex, kind } = serde_json::from_value(input)?;
    let bytes = Bytes::from(hex::decode(hex)?);
    match kind {
        Kind::Message => {
            let message = Message::decode(&bytes)?;
            let reencoded = message.encode()?;
            Ok((message, reencoded))
        }
        Kind::Packet => {
            let mut decoder = PacketDecoder::new(packet_limit(MESSAGE_MIB));
            decoder.feed(&bytes);
            let payload = decoder.poll()?.ok_or(LineError::IncompletePacket(bytes.len()))?;
            if decoder.buffered() > 0 {
                return Err(LineError::BytesAfterPacket(decoder.buffered()));
            }
            let message = Message::decode_packet_payload(&payload)?;
            let reencoded = encode_packet(&message.encode()?)?;
            Ok((message, reencoded))
        }
        Kind::Disk => {
            let message = Message::decode(&bytes)?;
            let mut padded = message.encode()?.to_vec();
            let length = padded.len() as u64;
            padded.extend((length..round_to_page(length)).map(|_| 0));
            Ok((message, padded.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to lines of input.
    fn answers(input: &[u8]) -> Vec<Value> {
        let mut output = Vec::new();
        answer_lines(input, &mut output).unwrap();
        let lines = output.split_inclusive(|&byte| byte == b'\n');
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// The bytes of a version 3 Prepare.
    const PREPARE: &str = "0300380000000000000000000000cefa0df00300020000000000000064000000000000000100000007\
                           000000020000000000000000000000";

    /// [WIRE-74] [WIRE-18]: one answer for a line, whatever the line is; the name comes back.
    #[test]
    fn every_line_has_its_answer() {
        let lines = [
            format!(r#"{{"name":"good","kind":"message","hex":"{PREPARE}"}}"#),
            format!(r#"{{"name":17,"kind":"message","hex":"{}","more":[]}}"#, PREPARE.to_uppercase()),
            format!(r#"{{"name":"cut","kind":"message","hex":"{}"}}"#, &PREPARE[..60]),
            format!(r#"{{"name":"kind","kind":"letter","hex":"{PREPARE}"}}"#),
            format!(r#"{{"kind":"message","hex":"{PREPARE}"}}"#),
            r#"{"name":"odd","kind":"message","hex":"030"}"#.to_owned(),
            r#"{"name":"no hex","kind":"message","hex":"zz"}"#.to_owned(),
            r#"{"name":"none","kind":"disk"}"#.to_owned(),
            r#"{"name":"empty","kind":"packet","hex":""}"#.to_owned(),
            String::new(),
            "[]".to_owned(),
            "null".to_owned(),
            r#"{"name":"open"#.to_owned(),
        ];
        let mut input = lines.join("\n").into_bytes();
        input.extend_from_slice(b"\n\xFF\xFE\n{}");
        let answers = answers(&input);
        let seen: Vec<_> =
            answers.iter().map(|answer| (answer["name"].clone(), answer["ok"] == true)).collect();
        let null = Value::Null;
        let expected = [
            ("good".into(), true),
            (17.into(), true),
            ("cut".into(), false),
            ("kind".into(), false),
            (null.clone(), true),
            ("odd".into(), false),
            ("no hex".into(), false),
            ("none".into(), false),
            ("empty".into(), false),
            (null.clone(), false),
            (null.clone(), false),
            (null.clone(), false),
            (null.clone(), false),
            (null.clone(), false),
            (null, false),
        ];
        assert_eq!(seen, expected);
        for answer in answers {
            let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
            if answer["ok"] == true {
                assert_eq!(keys, ["name", "ok", "fields", "reencoded"]);
                assert_eq!(answer["reencoded"], PREPARE);
                assert_eq!(answer["fields"]["decree"], "0x0000000000000064");
            } else {
                assert_eq!(keys, ["name", "ok", "error"]);
            }
        }
    }

    /// [WIRE-45] [WIRE-49]: a packet is one whole packet, and comes back as one.
    #[test]
    fn packets_are_taken_whole() {
        let packet = hex::encode(encode_packet(&hex::decode(PREPARE).unwrap()).unwrap());
        let verdict = |hex: &str| {
            let line = json!({ "name": "p", "kind": "packet", "hex": hex }).to_string();
            answers(line.as_bytes()).remove(0)
        };
        assert_eq!(verdict(&packet)["reencoded"], packet);
        let wrong_sum = packet.replacen("0300", "0301", 1);
        for bad in [&packet[..packet.len() - 2], &format!("{packet}00"), &wrong_sum, PREPARE] {
            assert_eq!(verdict(bad)["ok"], false, "{bad}");
        }
    }

    /// [STOR-10]: a record is padded with zeros to whole pages.
    #[test]
    fn records_come_back_with_padding() {
        let padded = format!("{PREPARE:0<1024}");
        let line = json!({ "name": "r", "kind": "disk", "hex": padded }).to_string();
        assert_eq!(answers(line.as_bytes())[0]["reencoded"], padded);
    }

    /// Long lines are skipped to their end, not kept.
    #[test]
    fn long_lines_are_cut() {
        let mut input = &b"12345\n123456\n1234567890\n\n12"[..];
        let mut line = Vec::new();
        let mut seen = Vec::new();
        while let Some(whole) = read_line(&mut input, &mut line, 5).unwrap() {
            seen.push((whole, line.len()));
        }
        assert_eq!(seen, [(true, 5), (false, 6), (false, 6), (true, 0), (true, 2)]);
    }
}
