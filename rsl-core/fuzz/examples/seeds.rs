//! Writes the seeds of the fuzz targets into `corpus/TARGET`: the worked examples of the specification, and golden
//! data when it is there (`RSL_GOLDEN_DIR`, or `../shared/golden` beside the repository).

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use rsl_core::wire::encode_packet;
use serde_json::Value;

/// Longest seed in bytes: libFuzzer works best with short ones.
const LONGEST: usize = 4096;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = here.join("../..");
    let golden =
        std::env::var_os("RSL_GOLDEN_DIR").map_or_else(|| repository.join("../shared/golden"), PathBuf::from);
    let mut messages = Vec::new();
    for line in fs::read_to_string(repository.join("docs/spec/tools/vectors.txt"))?.lines() {
        if let Some((_, hex)) = line.split_once(' ') {
            messages.push(hex::decode(hex.trim())?);
        }
    }
    let mut streams = Vec::new();
    if golden.is_dir() {
        messages.extend(vectors(&golden.join("messages"))?);
        messages.extend(malformed(&golden.join("malformed.jsonl"))?);
        streams.extend(captured(&golden.join("captures"))?);
    } else {
        println!("no golden data: only the worked examples");
    }
    for message in &messages {
        streams.push(encode_packet(message)?.to_vec());
    }
    messages.retain(|seed| seed.len() <= LONGEST);
    // The first byte is the size of the pieces; an odd one makes the target set the checksums right.
    let with_size = |(stream, size): (&Vec<u8>, u8)| [&[size], &stream[..stream.len().min(LONGEST)]].concat();
    let streams: Vec<Vec<u8>> = streams.iter().zip([96, 97].into_iter().cycle()).map(with_size).collect();
    write(&here.join("corpus/message"), &messages)?;
    write(&here.join("corpus/packet"), &streams)
}

fn write(dir: &Path, seeds: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(dir)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:05}")), seed)?;
    }
    println!("{} seeds in {}", seeds.len(), dir.display());
    Ok(())
}

fn vectors(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let file: Value = serde_json::from_slice(&fs::read(path)?)?;
            for vector in file["messages"].as_array().into_iter().flatten() {
                if let Some(hex) = vector["hex"].as_str() {
                    found.push(hex::decode(hex)?);
                }
            }
        }
    }
    Ok(found)
}

fn malformed(file: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for line in fs::read_to_string(file)?.lines() {
        let case: Value = serde_json::from_str(line)?;
        found.push(hex::decode(case["hex"].as_str().unwrap_or_default())?);
    }
    Ok(found)
}

/// All streams below a folder.
fn captured(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(captured(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "bin") {
            found.push(fs::read(path)?);
        }
    }
    Ok(found)
}
