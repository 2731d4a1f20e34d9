//! What the engine says otherwise than legacy, on purpose. The model has no such table: it has to say what legacy said.
//!
//! | clause | legacy | engine |
//! |---|---|---|
//! | HARD-372 | a log without votes reports smallest decree 0, "I have everything" | 2^63-1 |
//! | HARD-31, HARD-339 | the placeholder after a configuration change has checksum 0 | the right one |
//!
//! Where a deviation leads the conversation another way the rest of it cannot be compared: see [`leads_elsewhere`].

use rsl_core::engine::Status;
use rsl_core::types::{Ballot, Decree};
use rsl_core::wire::{Header, Join, LogRange, Message, PrepareAccepted, StatusResponse, Vote};

/// Why the conversation goes another way from where legacy said `theirs`, if it does for a reason: the core is in this
/// state and has said `said` to the same replica.
pub(crate) fn leads_elsewhere(status: &Status, said: &[&Message], theirs: &Message) -> Option<&'static str> {
    match theirs {
        Message::Vote(theirs) => {
            let same = |ours: &Vote| ours.position() == theirs.position() && ours.same_value(theirs);
            let kept = said.iter().any(|ours| match ours {
                Message::Vote(ours) => ours.version() > theirs.version() && same(ours),
                _ => false,
            });
            kept.then_some(
                "HARD-314: a re-proposal keeps the version of the vote; legacy encodes it in its own",
            )
        }
        Message::StatusQuery(query) => {
            // Where a configuration begins that it has learned.
            let begins = query.ballot == Ballot::EMPTY && query.configuration > 1;
            let learned =
                status.configuration == query.configuration && status.accepted.decree >= query.decree;
            (begins && learned).then_some(
                "HARD-341: no round starts before the learn stream has ended; legacy starts one at the Decision in it",
            )
        }
        _ => None,
    }
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
