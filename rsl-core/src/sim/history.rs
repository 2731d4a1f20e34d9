//! What has been decided: the canonical history of a run [PROTO-11] [PROTO-12].

use std::collections::{BTreeMap, BTreeSet};

use super::app::App;
use super::checker::Violation;
use crate::types::{Ballot, Decree, MemberId};
use crate::wire::{Vote, checksum};

/// A fingerprint of the value of a vote [PROTO-10].
pub(super) fn value_of(vote: &Vote) -> u64 {
    let mut value = 0x5555_u64;
    let mut mix = |part: u64| value = (value ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    for request in vote.requests() {
        mix(checksum(&request));
        mix(request.len() as u64);
    }
    if let Some(members) = vote.reconfiguration() {
        mix(1);
        for node in &members.nodes {
            mix(checksum(node.id.as_bytes()));
        }
    }
    value
}

/// A vote that was proposed: its coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) configuration: u32,
    pub(super) decree: Decree,
    pub(super) ballot: Ballot,
}

impl Key {
    pub(super) const fn of(vote: &Vote) -> Key {
        Key { configuration: vote.header().configuration, decree: vote.decree(), ballot: vote.ballot() }
    }
}

/// A proposed vote.
#[derive(Debug)]
struct Proposal {
    value: u64,
    /// Fingerprint of all its bytes [PROTO-6].
    bytes: u64,
    /// It ends its configuration once it is chosen [PROTO-23].
    /// The number of members it proposes.
    reconfigures: Option<usize>,
    acks: BTreeSet<MemberId>,
}

/// What is known of a decree.
#[derive(Debug)]
struct Chosen {
    value: u64,
    under: Key,
}

/// What a decree did to the state.
#[derive(Debug, PartialEq, Eq)]
struct Executed {
    value: u64,
    digest: [u64; 4],
}

/// The canonical history.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Number of members of each configuration.
    configurations: BTreeMap<u32, usize>,
    proposals: BTreeMap<Key, Proposal>,
    /// First and last decree proposed under each ballot.
    ballots: BTreeMap<(u32, Ballot), (Decree, Decree)>,
    chosen: BTreeMap<Decree, Chosen>,
    executed: BTreeMap<Decree, Executed>,
    /// In which decree each request was executed.
    requests: BTreeMap<Vec<u8>, Decree>,
    /// Decrees at which configurations end.
    ends: BTreeMap<u32, Decree>,
}

impl History {
    pub(super) fn first_configuration(&mut self, number: u32, members: usize) {
        self.configurations.insert(number, members);
    }

    /// A replica works in a configuration: it must have been decided.
    pub(super) fn entered(&self, number: u32, members: usize) -> Result<(), Violation> {
        match self.configurations.get(&number) {
            Some(known) if *known == members => Ok(()),
            _ if number == 0 => Ok(()),
            known => {
                let text = format!("configuration {number} of {members} members, decided were {known:?}");
                Err(Violation::new("PROTO-141", text))
            }
        }
    }

    pub(super) fn last_chosen(&self) -> Decree {
        self.chosen.last_key_value().map_or(Decree::ZERO, |(decree, _)| *decree)
    }

    pub(super) fn last_executed(&self) -> Decree {
        self.executed.last_key_value().map_or(Decree::ZERO, |(decree, _)| *decree)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// The owner of a ballot proposes a vote, perhaps again.
    pub(super) fn proposed(&mut self, vote: &Vote) -> Result<(), Violation> {
        let key = Key::of(vote);
        let value = value_of(vote);
        let bytes = checksum(vote.encoded());
        if let Some(known) = self.proposals.get(&key) {
            if known.value != value || known.bytes != bytes {
                return Err(Violation::new("PROTO-6", format!("two votes for {key:?}")));
            }
            return Ok(());
        }
        if let Some(end) = self.ends.get(&key.configuration).filter(|end| key.decree > **end) {
            return Err(Violation::new("PROTO-23", format!("{key:?} is behind the end at {end}")));
        }
        let previous = key.configuration.checked_sub(1).and_then(|number| self.ends.get(&number));
        if let Some(end) = previous.filter(|end| key.decree <= **end) {
            return Err(Violation::new("PROTO-23", format!("{key:?} is not behind {end}")));
        }
        match self.ballots.get_mut(&(key.configuration, key.ballot)) {
            None => {
                self.ballots.insert((key.configuration, key.ballot), (key.decree, key.decree));
            }
            Some((_, last)) if key.decree.follows(*last) => {
                let before = Key { decree: *last, ..key };
                *last = key.decree;
                if !self.is_chosen(&before) {
                    return Err(Violation::new(
                        "PROTO-5",
                        format!("{key:?} is proposed before {before:?} is chosen"),
                    ));
                }
            }
            Some((first, last)) => {
                return Err(Violation::new(
                    "PROTO-20",
                    format!("{key:?} is proposed after {first}..={last}"),
                ));
            }
        }
        let reconfigures = vote.reconfiguration().map(|members| members.nodes.len());
        self.proposals.insert(key, Proposal { value, bytes, reconfigures, acks: BTreeSet::new() });
        Ok(())
    }

    fn majority(&self, configuration: u32) -> usize {
        self.configurations.get(&configuration).map_or(usize::MAX, |members| members / 2 + 1)
    }

    fn is_chosen(&self, key: &Key) -> bool {
        let majority = self.majority(key.configuration);
        self.proposals.get(key).is_some_and(|proposal| proposal.acks.len() >= majority)
    }

    /// A member has acknowledged a vote, or its owner holds it durably. True: now it is chosen.
    pub(super) fn acked(&mut self, member: MemberId, key: Key, value: u64) -> Result<(), Violation> {
        let majority = self.majority(key.configuration);
        let Some(proposal) = self.proposals.get_mut(&key) else {
            return Err(Violation::new("PROTO-16", format!("{member} acknowledges {key:?}, never proposed")));
        };
        if proposal.value != value {
            let text = format!("{member} acknowledges another value than proposed for {key:?}");
            return Err(Violation::new("PROTO-13", text));
        }
        proposal.acks.insert(member);
        if proposal.acks.len() < majority {
            return Ok(());
        }
        if let Some(members) = proposal.reconfigures {
            self.ends.insert(key.configuration, key.decree);
            self.configurations.insert(key.configuration + 1, members);
        }
        match self.chosen.get(&key.decree) {
            None => {
                self.chosen.insert(key.decree, Chosen { value, under: key });
                Ok(())
            }
            Some(chosen) if chosen.value == value => Ok(()),
            Some(chosen) => Err(Violation::new(
                "PROTO-11",
                format!(
                    "two values are chosen for {}: under {:?} and under {key:?}",
                    key.decree, chosen.under
                ),
            )),
        }
    }

    /// A replica executes a decree; `digest` is its state after it.
    pub(super) fn executed(&mut self, vote: &Vote, digest: [u64; 4]) -> Result<(), Violation> {
        let decree = vote.decree();
        let value = value_of(vote);
        match self.chosen.get(&decree) {
            Some(chosen) if chosen.value == value => {}
            Some(chosen) => {
                let text = format!("decree {decree} is executed with another value than {:?}", chosen.under);
                return Err(Violation::new("PROTO-12", text));
            }
            None => {
                let text = format!("decree {decree} under {} is executed and not chosen", vote.ballot());
                return Err(Violation::new("PROTO-19", text));
            }
        }
        let now = Executed { value, digest };
        match self.executed.get(&decree) {
            None => {
                let expected = self.last_executed();
                if !decree.follows(expected) {
                    let text = format!("decree {decree} is executed first after {expected}");
                    return Err(Violation::new("PROTO-12", text));
                }
                self.executed.insert(decree, now);
                for request in vote.requests() {
                    if let Some(before) = self.requests.insert(request.to_vec(), decree) {
                        let text = format!("a request of decree {before} is executed again in {decree}");
                        return Err(Violation::new("decision 12", text));
                    }
                }
                Ok(())
            }
            Some(before) if *before == now => Ok(()),
            Some(before) => {
                let text = format!("decree {decree} gives the state {digest:?}, before {:?}", before.digest);
                Err(Violation::new("PROTO-12", text))
            }
        }
    }

    /// Compares a state that claims to be that after `decree`.
    pub(super) fn is_state_after(&self, decree: Decree, digest: [u64; 4]) -> Result<(), String> {
        if decree == Decree::ZERO && digest == App::default().digest() {
            return Ok(());
        }
        match self.executed.get(&decree) {
            Some(executed) if executed.digest == digest => Ok(()),
            Some(executed) => {
                Err(format!("state after {decree}: {digest:?} instead of {:?}", executed.digest))
            }
            None => Err(format!("a state after {decree}, which nobody has executed")),
        }
    }

    pub(super) fn contains_request(&self, request: &[u8]) -> bool {
        self.requests.contains_key(request)
    }
}
