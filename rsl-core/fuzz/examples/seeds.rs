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
    // The examples of wire.md are messages, those of storage.md whole files.
    let (mut messages, mut logs, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    for line in fs::read_to_string(repository.join("docs/spec/tools/vectors.txt"))?.lines() {
        if let Some((name, hex)) = line.split_once(' ') {
            let bytes = hex::decode(hex.trim())?;
            if name.starts_with("W-") {
                messages.push(bytes);
            } else {
                logs.push(bytes.clone());
                checkpoints.push(bytes);
            }
        }
    }
    let mut streams = Vec::new();
    if golden.is_dir() {
        messages.extend(vectors(&golden.join("messages"))?);
        messages.extend(malformed(&golden.join("malformed.jsonl"))?);
        streams.extend(files(&golden.join("captures"), "bin")?);
        for folder in ["disk", "corruption", "codex_edges"] {
            logs.extend(files(&golden.join(folder), "log")?);
            checkpoints.extend(files(&golden.join(folder), "codex")?);
        }
    } else {
        println!("no golden data: only the worked examples");
    }
    for message in &messages {
        streams.push(encode_packet(message)?.to_vec());
    }
    messages.retain(|seed| seed.len() <= LONGEST);
    write(&here.join("corpus/message"), &messages)?;
    // The first byte of the others makes the target set checksums right when it is odd; for packets it is the size
    // of the pieces in which they arrive.
    let (restarts, copies) = (logs.clone(), checkpoints.clone());
    for (target, seeds) in [
        ("packet", streams),
        ("log", logs),
        ("checkpoint", checkpoints),
        ("restart", restarts),
        ("copy", copies),
    ] {
        let marked = seeds.iter().zip([96, 97].into_iter().cycle());
        let seeds: Vec<Vec<u8>> =
            marked.map(|(seed, mark)| [&[mark], &seed[..seed.len().min(LONGEST)]].concat()).collect();
        write(&here.join("corpus").join(target), &seeds)?;
    }
    Ok(())
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

/// The content of all files below a folder whose names end in `.extension`.
fn files(dir: &Path, extension: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(fs::read(path)?);
        }
    }
    Ok(found)
}
