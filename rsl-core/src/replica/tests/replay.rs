//! Replay mode through the public interface, over a directory that a replica has left.

use std::sync::Arc;

use bytes::Bytes;

use super::super::testing::{Event, Place, Recorder, wait_for};
use super::super::{Cookie, Grouping, Refused, ReplayError, Replica, Setup, StateMachine};
use crate::engine::StopReason;
use crate::types::{Decree, MemberSet, ProtocolVersion};

fn recorder() -> (Arc<Recorder>, Arc<dyn StateMachine>) {
    let recorder = Arc::new(Recorder::default());
    (Arc::clone(&recorder), recorder as _)
}

/// Requests of the events, by decree.
fn executed(events: &[Event]) -> Vec<(u64, Vec<u8>)> {
    let one = |event: &Event| match event {
        Event::Executed(decree, request, 0) => Some((*decree, request.clone())),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

/// [API-57] [API-58] [API-59] [API-60] [XFER-51] [STOR-66] [STOR-69] Everything comes on the calling thread, without
/// cookies; nothing of the directory changes; afterwards only the getters are of use.
#[test]
fn a_directory_is_replayed() {
    let place = Place::new();
    let node = place.node(0);
    let members = MemberSet { nodes: vec![node.clone()], cookie: Bytes::new() };
    let setup = Setup::new(
        place.config().member_id_in_working_dir(false).build().unwrap(),
        ProtocolVersion::V6,
        node,
    )
    .members(members);
    let (app, machine) = recorder();
    let replica = Replica::start(setup, machine).unwrap();
    wait_for(&app, |events| events.contains(&Event::Recovered));
    for request in [&b"a"[..], b"save", b"c", b"d"] {
        replica.replicate(request, Cookie(7), Grouping::Exclusive).unwrap();
    }
    wait_for(&app, |events| events.iter().filter(|event| matches!(event, Event::Executed(..))).count() == 4);
    replica.unload();
    let decrees: Vec<u64> = app
        .events()
        .iter()
        .filter_map(|event| if let Event::Executed(decree, ..) = event { Some(*decree) } else { None })
        .collect();

    let listing = || {
        let entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap());
        let mut all: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        all.sort();
        all
    };
    let before = listing();
    // The last vote is not known to be chosen, so the third is as far as it goes.
    for (max, reached) in [(decrees[0], 1), (decrees[2], 3), (u64::MAX, 3)] {
        let (app, machine) = recorder();
        let replayed = Replica::replay(place.path(), Decree(max), &machine).unwrap();
        assert_eq!(replayed.current_sequence_number(), Decree(decrees[reached - 1]), "up to {max}");
        assert_eq!(replayed.wait(), Some(StopReason::Unloaded));
        let refused = replayed.replicate(&b"x"[..], Cookie(1), Grouping::Batched);
        assert!(matches!(refused, Err(Refused::NotPrimary | Refused::ShuttingDown)), "{refused:?}");
        let found = executed(&app.events());
        let last: Vec<&[u8]> = vec![b"a", b"save", b"c"];
        // From the checkpoint behind the second request, where that is not too new.
        let first = if reached > 1 { 2 } else { 0 };
        assert_eq!(found.iter().map(|(_, request)| &request[..]).collect::<Vec<_>>(), last[first..reached]);
        assert!(!app.events().contains(&Event::Save) && !app.events().contains(&Event::ShutDown));
    }
    let (app, machine) = recorder();
    Replica::replay(place.path(), Decree::ZERO, &machine).unwrap();
    assert_eq!(app.events(), []);
    assert_eq!(listing(), before);

    let out = Place::new();
    let write = |named, into: &std::path::Path| {
        Replica::replay_to_checkpoint(place.path(), Decree(decrees[2]), Decree(named), into, &recorder().1)
    };
    assert!(matches!(write(0, out.path()), Err(ReplayError::Output)));
    assert!(matches!(write(9, "".as_ref()), Err(ReplayError::Output)));
    assert!(matches!(write(9, place.path()), Err(ReplayError::Output)));
    assert!(matches!(write(9, &place.path().join("")), Err(ReplayError::Output)));
    write(900, out.path()).unwrap();
    assert!(out.path().join("900.codex").is_file());
    assert_eq!(listing(), before);
}
