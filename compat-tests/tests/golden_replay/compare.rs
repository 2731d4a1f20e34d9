//! When a message of the core says what a recorded one says.

use rsl_core::wire::{Message, StatusResponse, Vote};

/// All fields; not the age of the last vote, nor what a checksum covers beside the fields.
pub(crate) fn says_the_same(ours: &Message, theirs: &Message) -> bool {
    let (a, b) = (ours.header(), theirs.header());
    let headers = (a.version, a.member, a.decree, a.configuration, a.ballot, a.payload)
        == (b.version, b.member, b.decree, b.configuration, b.ballot, b.payload)
        && (a.checksum == 0) == (b.checksum == 0);
    headers
        && match (ours, theirs) {
            (Message::Vote(a), Message::Vote(b)) => same_vote(a, b),
            (Message::Prepare(a), Message::Prepare(b)) => a.cookie == b.cookie,
            (Message::PrepareAccepted(a), Message::PrepareAccepted(b)) => same_vote(&a.vote, &b.vote),
            (Message::StatusResponse(a), Message::StatusResponse(b)) => {
                let ageless = |status: &StatusResponse| StatusResponse { last_received_ago: 0, ..*status };
                ageless(a) == ageless(b)
            }
            (Message::Join(a), Message::Join(b)) => (a.learn_port, a.log) == (b.learn_port, b.log),
            (Message::Bootstrap(a), Message::Bootstrap(b)) => a.members == b.members,
            _ => ours.id() == theirs.id(),
        }
}

/// Whether a status may be read while the replica goes through `candidates`. Legacy reads its state from another thread
/// without a lock [HARD-347]: promise and role, which are informational [WIRE-96], may be those of a moment before or
/// after the rest.
pub(crate) fn may_be_read(candidates: &[Message], recorded: &StatusResponse) -> bool {
    let known = || {
        candidates.iter().filter_map(|said| match said {
            Message::StatusResponse(status) => Some(status),
            _ => None,
        })
    };
    known().any(|status| status.max_ballot == recorded.max_ballot)
        && known().any(|status| status.state == recorded.state)
        && known().any(|status| {
            let torn = StatusResponse { max_ballot: recorded.max_ballot, state: recorded.state, ..*status };
            says_the_same(&Message::StatusResponse(torn), &Message::StatusResponse(*recorded))
        })
}

fn same_vote(a: &Vote, b: &Vote) -> bool {
    let (ours, theirs) = (a.header(), b.header());
    (ours.version, ours.member, ours.decree, ours.configuration, ours.ballot, ours.payload)
        == (theirs.version, theirs.member, theirs.decree, theirs.configuration, theirs.ballot, theirs.payload)
        && (ours.checksum == 0) == (theirs.checksum == 0)
        && (a.cookie(), a.reconfiguration(), a.relinquish())
            == (b.cookie(), b.reconfiguration(), b.relinquish())
        && a.requests().eq(b.requests())
}

/// A message in short.
pub(crate) fn short(message: &Message) -> String {
    let header = message.header();
    let more = match message {
        Message::Vote(vote) => format!(" {}", short_vote(vote)),
        Message::PrepareAccepted(promise) => {
            let header = promise.vote.header();
            format!(
                " with v{} {} conf {} from {:?} sum {} {}",
                header.version,
                header.position(),
                header.configuration,
                header.member.to_string(),
                if header.checksum == 0 { "0" } else { "set" },
                short_vote(&promise.vote)
            )
        }
        Message::StatusResponse(status) => format!(
            " query {} log {:?} promised {} state {}",
            status.query, status.log, status.max_ballot, status.state
        ),
        Message::Join(join) => format!(" learn {} log {:?}", join.learn_port, join.log),
        Message::Bootstrap(bootstrap) => format!(" {} members", bootstrap.members.nodes.len()),
        _ => String::new(),
    };
    let sum = if header.checksum == 0 { "" } else { " sum" };
    format!(
        "{:?} v{} {} conf {} payload {}{sum}{more}",
        message.id(),
        header.version,
        header.position(),
        header.configuration,
        header.payload
    )
}

fn short_vote(vote: &Vote) -> String {
    format!(
        "{} requests, {} bytes{}{}",
        vote.request_count(),
        vote.encoded().len(),
        if vote.reconfiguration().is_some() { ", reconfiguration" } else { "" },
        if vote.relinquish() { ", relinquish" } else { "" }
    )
}
