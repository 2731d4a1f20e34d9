//! The JSON of an inspection, written as it is found: a large log is never in memory.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::app::Payload;
use super::checkpoint::{Checkpoint, CheckpointView};
use super::json::{Fields, ballot, entry, header, insert_state, insert_vote, member_set};
use super::log::Entry;
use super::survey::Show;

/// Writes `{"files":{..}` and, at the end, what goes behind it.
#[derive(Debug)]
pub(super) struct ShowJson<W> {
    out: W,
    files: u64,
    entries: u64,
}

impl<W: Write> ShowJson<W> {
    /// Starts the value.
    ///
    /// # Errors
    /// When the output fails, as for every method.
    pub(super) fn new(mut out: W) -> io::Result<ShowJson<W>> {
        out.write_all(b"{\"files\":{")?;
        Ok(ShowJson { out, files: 0, entries: 0 })
    }

    /// Ends the files, adds `rest` and ends the value; gives back the output.
    ///
    /// # Errors
    /// When the output fails.
    pub(super) fn finish(mut self, rest: &Fields) -> io::Result<W> {
        self.out.write_all(b"}")?;
        for (name, value) in rest {
            write!(self.out, ",{}:", Value::from(name.as_str()))?;
            serde_json::to_writer(&mut self.out, value)?;
        }
        self.out.write_all(b"}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn name(&mut self, name: &str) -> io::Result<()> {
        if self.files > 0 {
            self.out.write_all(b",")?;
        }
        self.files += 1;
        write!(self.out, "\n{}:", Value::from(name))
    }

    fn file(&mut self, name: &str, value: &Value) -> io::Result<()> {
        self.name(name)?;
        Ok(serde_json::to_writer(&mut self.out, value)?)
    }
}

impl<W: Write> Show for ShowJson<W> {
    fn log(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.name(name)?;
        self.entries = 0;
        write!(self.out, "{{\"size\":{size},\"messages\":[")
    }

    fn entry(&mut self, found: &Entry) -> io::Result<()> {
        if self.entries > 0 {
            self.out.write_all(b",")?;
        }
        self.entries += 1;
        self.out.write_all(b"\n")?;
        Ok(serde_json::to_writer(&mut self.out, &entry(found))?)
    }

    fn log_end(&mut self) -> io::Result<()> {
        self.out.write_all(b"]}")
    }

    fn checkpoint(&mut self, name: &str, view: &CheckpointView) -> io::Result<()> {
        let mut file = Fields::new();
        file.insert("size".into(), view.size.into());
        file.insert("checkpoint".into(), view.checkpoint.as_ref().map(|found| fields(found, view)).into());
        if !view.problems.is_empty() {
            file.insert("problems".into(), json!(view.problems));
        }
        self.file(name, &file.into())
    }

    fn defunct(&mut self, name: &str, bytes: &[u8], number: u32) -> io::Result<()> {
        self.file(name, &json!({ "size": bytes.len(), "hex": hex::encode(bytes), "number": number }))
    }

    fn temp(&mut self, name: &str, names: &[String]) -> io::Result<()> {
        self.file(name, &json!(names))
    }
}

/// The header of a checkpoint and what is known of its body.
fn fields(checkpoint: &Checkpoint, view: &CheckpointView) -> Value {
    let version = checkpoint.version;
    let mut out = Fields::new();
    out.insert("version".into(), version.number().into());
    if let Some(fields) = &checkpoint.fields {
        out.insert("marshalLen".into(), checkpoint.said_length.into());
        out.insert("checksum".into(), fields.checksum.into());
        out.insert("memberId".into(), fields.member.to_string().into());
        out.insert("lastExecutedDecree".into(), fields.last_executed.0.into());
        out.insert("maxBallot".into(), ballot(fields.max_ballot));
        out.insert("configurationNumber".into(), fields.configuration_number.into());
        out.insert("initialDecree".into(), fields.initial_decree.0.into());
        out.insert("memberSet".into(), member_set(&fields.members, version));
        if let Some(saved) = &fields.saved {
            out.insert("stateSaved".into(), saved.state_saved.into());
            out.insert("size".into(), saved.size.into());
            out.insert("checksumBlockSize".into(), saved.block_size.into());
        }
    }
    out.insert("voteOffset".into(), checkpoint.vote_offset.into());
    let next = match &checkpoint.next_vote {
        Ok(next) => next,
        Err(error) => {
            out.insert("nextVote".into(), Value::Null);
            out.insert("error".into(), error.to_string().into());
            return out.into();
        }
    };
    let mut vote = header(&next.raw);
    insert_vote(&mut vote, &next.vote);
    insert_state(&mut vote, next.checksum, next.undefined);
    out.insert("nextVote".into(), vote.into());
    out.insert("voteEnd".into(), (checkpoint.vote_offset + u64::from(next.raw.length)).into());
    out.insert("headerLen".into(), next.header_len.into());
    out.insert("paddingAfterVoteZero".into(), next.padding_zero.into());
    out.insert("tailGarbageRange".into(), json!([next.tail.start, next.tail.end]));
    out.insert("tailNonzero".into(), next.tail_nonzero.into());
    out.insert("fileLen".into(), view.size.into());
    out.insert("bodyLen".into(), view.size.saturating_sub(next.header_len).into());
    if let Some(blocks) = &view.blocks {
        let block = |block: &super::checkpoint::Block| json!({ "offset": block.offset, "dataLen": block.data_len, "checksumOk": block.checksum_ok });
        out.insert("blocks".into(), blocks.iter().map(block).collect());
    }
    let app = match &view.payload {
        Some(Payload::Host(state)) => state.json(),
        Some(Payload::DamagedHost(_) | Payload::Foreign) | None => Value::Null,
    };
    out.insert("app".into(), app);
    out.into()
}
