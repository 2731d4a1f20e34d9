//! `probes/`: what live legacy replicas did with hand-made packets, as far as the codec decides it.

use std::path::Path;

use compat_tests::probes::{PROBES, Reaction, legacy, stream};
use libtest_mimic::Failed;
use rsl_core::types::ProtocolVersion;
use rsl_core::wire::{Message, PacketDecoder, packet_limit};

use crate::expect::{list, text};
use crate::{json, listed, summary};

pub(crate) fn reactions(dir: &Path) -> Result<(), Failed> {
    let mut problems = Vec::new();
    let mut done = 0;
    for file in listed(&dir.join("probes"), ".json")? {
        for version in ProtocolVersion::ALL {
            for probe in list(&json(&file)?)? {
                let name = text(&probe["probe"])?;
                if PROBES.contains(&name) {
                    let (legacy, ours) =
                        (legacy(&probe["result"]).map_err(|e| e.to_string())?, reaction(name, version)?);
                    done += 1;
                    if legacy != ours {
                        problems.push(format!("{name}: legacy {legacy:?}, in version {version} {ours:?}"));
                    }
                }
            }
        }
    }
    if done % (PROBES.len() * ProtocolVersion::ALL.len()) != 0 {
        problems.push("a probe is missing from a file".into());
    }
    summary(done, &problems)
}

/// What our decoder does with the bytes of a probe.
fn reaction(probe: &str, version: ProtocolVersion) -> Result<Reaction, Failed> {
    let bytes = stream(probe, version).map_err(|error| error.to_string())?;
    let piece = if probe.contains("byte by byte") { 1 } else { bytes.len() };
    let mut decoder = PacketDecoder::new(packet_limit(100));
    let mut handled = 0;
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.poll().map(|payload| payload.map(|bytes| Message::decode_packet_payload(&bytes))) {
                Err(_) => return Ok(Reaction::Closed),
                Ok(Some(Err(_))) => return Ok(Reaction::Dropped),
                Ok(Some(Ok(_))) => handled += 1,
                Ok(None) => break,
            }
        }
    }
    Ok(Reaction::Handled(handled))
}
