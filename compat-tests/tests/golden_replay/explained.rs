//! What the engine says otherwise than legacy, on purpose. The model has no such table: it has to say what legacy said.
//!
//! | clause | legacy | engine |
//! |---|---|---|
//! | HARD-372 | a log without votes reports smallest decree 0, "I have everything" | 2^63-1 |
//! | HARD-31, HARD-339 | the placeholder after a configuration change has checksum 0 | the right one |
//!
//! Where a deviation leads the conversation another way the rest of it cannot be compared: see `ENDS`.

use rsl_core::types::Decree;
use rsl_core::wire::{Header, Join, LogRange, Message, PrepareAccepted, StatusResponse, Vote};

/// Conversations that go another way for a reason: the test, how the deviation begins, the reason.
const ENDS: [(&str, &str, &str); 2] = [
    (
        "engine/mixed/v1/101",
        "never said: Vote v1 0@3.101",
        "HARD-314: a re-proposal keeps the version of the vote, here 3; legacy encodes it in its own, here 1",
    ),
    (
        "engine/reconfig/v6/delta4",
        "never said: StatusQuery v6 5@0. conf 2",
        "HARD-341: no round starts before the learn stream has ended; legacy starts one at the Decision in it",
    ),
];

/// Whether this deviation is known to lead another way.
pub(crate) fn ends_there(test: &str, deviation: &str) -> bool {
    ENDS.iter().any(|(known, text, _)| *known == test && deviation.contains(text))
}

/// What legacy says instead of `ours`, where a hardening clause changes it; `theirs` is what it said.
pub(crate) fn as_legacy(ours: &Message, theirs: &Message) -> Option<Message> {
    // [HARD-372]
    let complete = |log: LogRange| {
        let nothing = log.min_decree_in_log == Decree(i64::MAX as u64);
        nothing.then_some(LogRange { min_decree_in_log: Decree::ZERO, ..log })
    };
    match (ours, theirs) {
        (Message::StatusResponse(status), _) => {
            let log = complete(status.log)?;
            Some(Message::StatusResponse(StatusResponse { log, ..*status }))
        }
        (Message::Join(join), _) => Some(Message::Join(Join { log: complete(join.log)?, ..*join })),
        // [HARD-31] [HARD-339]
        (Message::PrepareAccepted(promise), Message::PrepareAccepted(recorded)) => {
            let bare = |vote: &Vote| Header { checksum: 0, ..*vote.header() };
            let is_placeholder = recorded.vote.header().checksum == 0 && promise.vote.is_empty();
            let same = is_placeholder
                && promise.vote.checksum_is_valid()
                && bare(&promise.vote) == bare(&recorded.vote);
            same.then(|| {
                let vote = recorded.vote.clone();
                Message::PrepareAccepted(PrepareAccepted { header: promise.header, vote })
            })
        }
        _ => None,
    }
}
