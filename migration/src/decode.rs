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
    while read_line(&mut input, &mut line)? {
        let answer = if line.len() as u64 > MAX_LINE {
            refusal(Value::Null, &LineError::TooLong)
        } else {
            answer(&line)
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        // A line for a line, at once: the other end may wait for it.
        output.flush()?;
    }
    Ok(())
}

/// Reads a line without its end into `line`, `false` at the end of the input. Of a line above the limit only the start
/// is kept, one byte more than the limit.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if input.by_ref().take(MAX_LINE + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else {
        input.skip_until(b'\n')?;
    }
    Ok(true)
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
