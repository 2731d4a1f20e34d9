//! Ballots and the four relations between (decree, ballot) pairs that every receive rule uses.

use std::fmt;

use super::{Decree, MemberId};

/// A ballot: ordered by id, then by the member that owns it [WIRE-67] [PROTO-1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The number; 0 only in ballots that no member owns.
    pub id: u32,
    /// The member that may send Prepare and Vote under it [PROTO-7].
    pub member: MemberId,
}

impl Ballot {
    /// The ballot below all others, (0, "").
    pub const EMPTY: Ballot = Ballot { id: 0, member: MemberId::EMPTY };

    /// A ballot of `member`.
    #[must_use]
    pub const fn new(id: u32, member: MemberId) -> Ballot {
        Ballot { id, member }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.member)
    }
}

/// A decree with a ballot: the coordinates of a vote, compared with the predicates of WIRE-68 and PROTO-4.
///
/// There is deliberately no `Ord`: *lower* and *higher* are not each other's opposite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The decree.
    pub decree: Decree,
    /// The ballot.
    pub ballot: Ballot,
}

impl Position {
    /// A position from its parts.
    #[must_use]
    pub const fn new(decree: Decree, ballot: Ballot) -> Position {
        Position { decree, ballot }
    }

    /// Either coordinate is behind `reference`, even when the other one is ahead.
    #[must_use]
    pub fn is_lower(&self, reference: &Position) -> bool {
        self.decree < reference.decree || self.ballot < reference.ballot
    }

    /// Ahead in decree and not behind in ballot, or the same decree under a higher ballot.
    #[must_use]
    pub fn is_higher(&self, reference: &Position) -> bool {
        (self.decree > reference.decree && self.ballot >= reference.ballot)
            || (self.decree == reference.decree && self.ballot > reference.ballot)
    }

    /// What may follow `reference` in a log: the same decree under the same or a higher ballot, or the next
    /// decree under the same ballot. Contains [`is_same`](Self::is_same).
    #[must_use]
    pub fn is_next(&self, reference: &Position) -> bool {
        (self.decree == reference.decree && self.ballot >= reference.ballot)
            || (self.decree.follows(reference.decree) && self.ballot == reference.ballot)
    }

    /// Equal in both coordinates.
    #[must_use]
    pub fn is_same(&self, reference: &Position) -> bool {
        self == reference
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.decree, self.ballot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(id: u32) -> Ballot {
        Ballot::new(id, "1".parse().unwrap())
    }

    /// [WIRE-68] [PROTO-4]: the whole table around a reference of decree 5, ballot 3.
    #[test]
    fn predicates_follow_the_table() {
        let reference = Position::new(Decree(5), ballot(3));
        // decree, ballot -> lower, higher, next, same
        for (decree, id, lower, higher, next, same) in [
            (4, 2, true, false, false, false),
            (4, 3, true, false, false, false),
            (4, 4, true, false, false, false),
            (5, 2, true, false, false, false),
            (5, 3, false, false, true, true),
            (5, 4, false, true, true, false),
            (6, 2, true, false, false, false),
            (6, 3, false, true, true, false),
            (6, 4, false, true, false, false),
            (7, 3, false, true, false, false),
        ] {
            let position = Position::new(Decree(decree), ballot(id));
            assert_eq!(position.is_lower(&reference), lower, "lower({decree}, {id})");
            assert_eq!(position.is_higher(&reference), higher, "higher({decree}, {id})");
            assert_eq!(position.is_next(&reference), next, "next({decree}, {id})");
            assert_eq!(position.is_same(&reference), same, "same({decree}, {id})");
        }
    }

    /// [WIRE-67]: id first, then member; the initial ballot is below all.
    #[test]
    fn ballots_compare_by_id_then_member() {
        let with = |id, member: &str| Ballot::new(id, member.parse().unwrap());
        assert!(Ballot::EMPTY < with(0, "1"));
        assert!(with(1, "9") < with(1, "10"));
        assert!(with(1, "zz") < with(2, "a"));
    }

    /// No wrap at the end of the number range.
    #[test]
    fn the_last_decree_has_no_next() {
        let last = Position::new(Decree(u64::MAX), ballot(1));
        assert!(!Position::new(Decree(0), ballot(1)).is_next(&last));
    }
}
