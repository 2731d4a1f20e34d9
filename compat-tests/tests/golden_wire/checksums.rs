//! `checksums.json`: the checksum of whole inputs, of inputs in two parts, and with another initial register.

use std::path::Path;

use libtest_mimic::Failed;
use rsl_core::wire::{Checksum, checksum, combine};
use serde_json::Value;

use crate::expect::{number, text, unsigned};
use crate::{json, summary};

/// The input of the chained sums.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + 3).to_le_bytes()[0]).collect()
}

pub(crate) fn inputs(dir: &Path) -> Result<(), Failed> {
    let file = json(&dir.join("checksums.json"))?;
    let mut problems = Vec::new();
    let entries = file["entries"].as_array().ok_or("no entries")?;
    for entry in entries {
        let length = usize::try_from(number(&entry["len"])?)?;
        let input = match (entry.get("hex"), text(&entry["input"])?) {
            (Some(hex), _) => hex::decode(text(hex)?)?,
            (None, "byte[i]=(i*131+(i>>8)*17+5)&255") => {
                (0..length).map(|i| (i * 131 + (i >> 8) * 17 + 5).to_le_bytes()[0]).collect()
            }
            (None, other) => return Err(format!("unknown input {other}").into()),
        };
        if input.len() != length || checksum(&input) != unsigned(&entry["checksum"])? {
            problems.push(entry.to_string());
        }
    }
    summary(entries.len(), &problems)
}

pub(crate) fn chained(dir: &Path) -> Result<(), Failed> {
    let file = json(&dir.join("checksums.json"))?;
    let mut problems = Vec::new();
    let chains = file["chained"].as_array().ok_or("no chains")?;
    for chain in chains {
        let input = pattern(usize::try_from(number(&chain["len"])?)?);
        let (a, b) = input.split_at(usize::try_from(number(&chain["cut"])?)?);
        let (first, last) = (unsigned(&chain["first"])?, unsigned(&chain["final"])?);
        let mut resumed = Checksum::resume(first);
        resumed.update(b);
        let combined = combine(first, checksum(b), b.len() as u64);
        if checksum(a) != first || resumed.value() != last || combined != last {
            problems.push(chain.to_string());
        }
    }
    let zeroes: &Vec<Value> = file["init0"].as_array().ok_or("no zero-initialised sums")?;
    for entry in zeroes {
        let mut sum = Checksum::resume(0);
        sum.update(&pattern(usize::try_from(number(&entry["len"])?)?));
        if sum.value() != unsigned(&entry["value"])? {
            problems.push(entry.to_string());
        }
    }
    summary(chains.len() + zeroes.len(), &problems)
}
