//! The text of an inspection: aligned lines, written as things are found.

use std::io::{self, Write};

use rsl_core::types::{MemberSet, ProtocolVersion};
use rsl_core::wire::{Message, Vote};

use super::app::Payload;
use super::checkpoint::{Checkpoint, CheckpointView, NextVote};
use super::log::{Body, Entry, Found, Record, kind};
use super::survey::Show;

/// Request sizes that are listed one by one; more are summed up.
const LISTED_REQUESTS: u32 = 4;
/// Blocks that are listed one by one.
const LISTED_BLOCKS: usize = 8;

/// Writes aligned lines.
#[derive(Debug)]
pub(super) struct ShowText<W> {
    out: W,
    records: u64,
}

impl<W: Write> ShowText<W> {
    /// Nothing is written yet.
    #[must_use]
    pub(super) const fn new(out: W) -> ShowText<W> {
        ShowText { out, records: 0 }
    }

    /// Gives back the output.
    pub(super) fn finish(self) -> W {
        self.out
    }

    fn pair(&mut self, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.out, "  {name:<16} {value}")
    }

    fn header(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.pair("version", checkpoint.version)?;
        if let Some(decree) = checkpoint.decree() {
            self.pair("state of decree", decree)?;
        }
        if let Some(fields) = &checkpoint.fields {
            self.pair("written by", fields.member)?;
            self.pair("max ballot", fields.max_ballot)?;
            let number = fields.configuration_number;
            self.pair("configuration", format!("{number}, from decree {} on", fields.initial_decree))?;
            self.members(&fields.members, checkpoint.version)?;
        }
        match &checkpoint.next_vote {
            Ok(next) => self.next_vote(next),
            Err(error) => self.pair("next vote", error),
        }
    }

    fn next_vote(&mut self, next: &NextVote) -> io::Result<()> {
        let header = next.raw.header;
        let what = contents(&next.vote);
        let sum = next.checksum.name();
        self.pair(
            "next vote",
            format!("{}, version {}, {what}, checksum {sum}", header.position(), header.version),
        )
    }

    fn members(&mut self, set: &MemberSet, version: ProtocolVersion) -> io::Result<()> {
        for (index, node) in set.nodes.iter().enumerate() {
            let name = if index == 0 { "members" } else { "" };
            let port = if version.has_string_ids() {
                format!("learn port {}", node.effective_learn_port())
            } else {
                format!("application port {}", node.app_port)
            };
            let host = String::from_utf8_lossy(&node.host_name);
            self.pair(
                name,
                format!("{} at {}:{}, {port} {host}", node.id, node.ip, node.rsl_port).trim_end(),
            )?;
        }
        if !set.cookie.is_empty() {
            self.pair("cookie", hex::encode(&set.cookie))?;
        }
        Ok(())
    }

    fn body(&mut self, view: &CheckpointView, checkpoint: &Checkpoint) -> io::Result<()> {
        if !checkpoint.state_saved() {
            self.pair("body", "no state saved")?;
        }
        if let Some(blocks) = &view.blocks {
            let bad = blocks.iter().filter(|block| !block.checksum_ok).count();
            let data: u64 = blocks.iter().map(|block| block.data_len).sum();
            let count = blocks.len();
            self.pair("blocks", format!("{count} with {data} bytes of data, {bad} with a wrong checksum"))?;
            for block in blocks.iter().take(LISTED_BLOCKS) {
                let verdict = if block.checksum_ok { "ok" } else { "BAD" };
                self.pair("", format!("at {:>12}  {:>10} bytes  {verdict}", block.offset, block.data_len))?;
            }
        } else if checkpoint.state_saved()
            && let Ok(next) = &checkpoint.next_vote
        {
            let bytes = view.size.saturating_sub(next.header_len);
            self.pair("body", format!("{bytes} bytes from {} on, without checksums", next.header_len))?;
        }
        match &view.payload {
            Some(Payload::Host(state)) => self.pair("reference host", state.json()),
            Some(Payload::DamagedHost(why)) => self.pair("reference host", format!("damaged: {why}")),
            Some(Payload::Foreign) | None => Ok(()),
        }
    }
}

impl<W: Write> Show for ShowText<W> {
    fn log(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.records = 0;
        writeln!(self.out, "{name}  {size} bytes")?;
        if size > 0 {
            writeln!(
                self.out,
                "  {:>12} {:>9}  {:<1} {:<23} {:>12}  {:<24} {:>6}  {:<8}  contents",
                "offset", "bytes", "v", "type", "decree", "ballot", "config", "checksum"
            )?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let raw = match &entry.found {
            Found::Record(record) => &record.raw,
            Found::Torn { raw, .. } => raw,
            Found::Zeros | Found::Garbage { .. } | Found::Fragment { .. } => {
                let problem = entry.problem().unwrap_or_default();
                return writeln!(self.out, "  {:>12} {:>9}  ! {problem}", entry.offset, entry.len);
            }
        };
        self.records += 1;
        let (checksum, what) = match &entry.found {
            Found::Record(record) => (record.checksum.name(), record_contents(record)),
            _ => ("-", String::new()),
        };
        let header = &raw.header;
        writeln!(
            self.out,
            "  {:>12} {:>9}  {:<1} {:<23} {:>12}  {:<24} {:>6}  {checksum:<8}  {what}",
            entry.offset,
            entry.len,
            header.version.number(),
            kind(raw),
            header.decree.0,
            header.ballot.to_string(),
            header.configuration,
        )?;
        if let Some(problem) = entry.problem() {
            writeln!(self.out, "  {:>12} {:>9}  ! {problem}", "", "")?;
        }
        if let Found::Record(record) = &entry.found
            && let Body::Message(Message::Vote(vote)) = &record.body
            && let Some(members) = vote.reconfiguration()
        {
            self.members(members, vote.version())?;
        }
        Ok(())
    }

    fn log_end(&mut self) -> io::Result<()> {
        let records = self.records;
        writeln!(self.out, "  {records} records\n")
    }

    fn checkpoint(&mut self, name: &str, view: &CheckpointView) -> io::Result<()> {
        writeln!(self.out, "{name}  {} bytes", view.size)?;
        if let Some(checkpoint) = &view.checkpoint {
            self.header(checkpoint)?;
            self.body(view, checkpoint)?;
        }
        for problem in &view.problems {
            self.pair("!", problem)?;
        }
        writeln!(self.out)
    }

    fn defunct(&mut self, name: &str, bytes: &[u8], number: u32) -> io::Result<()> {
        writeln!(self.out, "{name}  {} bytes", bytes.len())?;
        self.pair("defunct through", format!("configuration {number}"))?;
        writeln!(self.out)
    }

    fn temp(&mut self, name: &str, names: &[String]) -> io::Result<()> {
        let list = if names.is_empty() { "empty".into() } else { names.join(", ") };
        writeln!(self.out, "{name}  {list}\n")
    }
}

fn record_contents(record: &Record) -> String {
    let mut what = match &record.body {
        Body::Message(Message::Vote(vote)) => contents(vote),
        Body::Message(Message::Prepare(prepare)) => cookie(&prepare.cookie),
        Body::Message(_) | Body::WrongKind | Body::Malformed(_) => String::new(),
        Body::NotListed => "too large to be listed".into(),
    };
    if !record.padding_zero {
        what.push_str(" (padding not zero)");
    }
    what
}

fn cookie(cookie: &[u8]) -> String {
    if cookie.is_empty() { String::new() } else { format!("cookie of {} bytes", cookie.len()) }
}

/// What a vote proposes, in a few words.
fn contents(vote: &Vote) -> String {
    let count = vote.request_count();
    let mut what = match vote.reconfiguration() {
        Some(members) => format!("reconfiguration to {} members", members.nodes.len()),
        None if count == 0 => "no requests".into(),
        None => {
            let bytes: usize = vote.requests().map(|request| request.len()).sum();
            let sizes: Vec<String> = vote
                .requests()
                .take(LISTED_REQUESTS as usize)
                .map(|request| request.len().to_string())
                .collect();
            let more = if count > LISTED_REQUESTS { ", .." } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} request{plural}, {bytes} bytes ({}{more})", sizes.join(", "))
        }
    };
    if vote.relinquish() {
        what.push_str(", relinquish");
    }
    if !vote.cookie().is_empty() {
        what.push_str(", ");
        what.push_str(&cookie(vote.cookie()));
    }
    what
}
