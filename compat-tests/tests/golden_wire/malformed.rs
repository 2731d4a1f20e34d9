//! `malformed.jsonl`: damaged messages as packet payloads, with what the legacy parser made of them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use libtest_mimic::Failed;
use rsl_core::wire::Message;
use serde_json::Value;

use crate::expect::{differences, of_malformed, say, text};
use crate::messages::rewritten;
use crate::summary;

/// Where the legacy process dies we report an error; elsewhere verdict and fields agree.
pub(crate) fn verdicts(dir: &Path) -> Result<(), Failed> {
    let mut problems = Vec::new();
    let mut done = 0;
    for line in fs::read_to_string(dir.join("malformed.jsonl"))?.lines().filter(|line| !line.is_empty()) {
        let case: Value = serde_json::from_str(line)?;
        let bytes: Bytes = hex::decode(text(&case["hex"])?)?.into();
        let result = &case["result"];
        let found = match (result["ok"].as_bool(), Message::decode_packet_payload(&bytes)) {
            (Some(true), Ok(message)) => {
                let mut found = differences(&of_malformed(result)?, &say(&message));
                found.extend(rewritten(&message, &with_length_of(&message, &bytes)?)?);
                found
            }
            (Some(true), Err(error)) => vec![format!("refused: {error}")],
            (Some(false), Ok(_)) => vec!["accepted".to_owned()],
            (Some(false), Err(_)) => Vec::new(),
            (None, _) => return Err("a result without verdict".into()),
        };
        let name = format!("version {} {} {}", case["version"], case["base"], case["mutation"]);
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
        done += 1;
    }
    summary(done, &problems)
}

/// `bytes` with the length that we would write. Legacy readers look at the length of votes only, so that it may be
/// anything in other messages.
fn with_length_of(message: &Message, bytes: &Bytes) -> Result<Vec<u8>, Failed> {
    let mut bytes = bytes.to_vec();
    if !matches!(message, Message::Vote(_)) {
        bytes[2..6].copy_from_slice(&u32::try_from(message.encoded_len())?.to_le_bytes());
    }
    Ok(bytes)
}
