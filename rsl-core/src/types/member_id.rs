//! Member ids: who a replica is.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest member id in bytes, without the terminating NUL.
pub const MAX_MEMBER_ID: usize = 63;

/// The name of a replica: at most 63 bytes without NUL, case-sensitive. The empty id belongs to the empty ballot.
///
/// Quirk: ids are ordered by length first, then bytewise [WIRE-66]; for canonical decimals that is numeric order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId {
    length: u8,
    bytes: [u8; MAX_MEMBER_ID],
}

/// Why a text or byte string is no member id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberIdError {
    /// More than [`MAX_MEMBER_ID`] bytes [HARD-29].
    #[error("member id is longer than {MAX_MEMBER_ID} bytes")]
    TooLong,
    /// A NUL inside.
    #[error("member id contains a NUL byte")]
    ContainsNul,
}

impl MemberId {
    /// The id of the empty ballot.
    pub const EMPTY: MemberId = MemberId { length: 0, bytes: [0; MAX_MEMBER_ID] };

    /// Takes the id from its bytes (no terminator).
    ///
    /// # Errors
    /// When it is longer than 63 bytes or contains a NUL.
    pub fn from_bytes(id: &[u8]) -> Result<MemberId, MemberIdError> {
        if id.contains(&0) {
            return Err(MemberIdError::ContainsNul);
        }
        let mut bytes = [0; MAX_MEMBER_ID];
        bytes.get_mut(..id.len()).ok_or(MemberIdError::TooLong)?.copy_from_slice(id);
        let length = u8::try_from(id.len()).map_err(|_| MemberIdError::TooLong)?;
        Ok(MemberId { length, bytes })
    }

    /// The bytes of the id, without terminator.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether this is the empty id.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What versions 1 to 3 send for this id [WIRE-63]: 0 for the empty id, otherwise the number that C's
    /// `strtoull` with automatic base makes of the whole string. `None` when it is no number.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        if self.is_empty() { Some(0) } else { parse_c_number(self.as_bytes()) }
    }

    /// The id that a version 1 to 3 reader makes of a number: 0 is the empty id, otherwise the decimal digits
    /// [WIRE-64].
    #[must_use]
    pub fn from_number(number: u64) -> MemberId {
        if number == 0 {
            return MemberId::EMPTY;
        }
        let digits = number.to_string();
        let mut bytes = [0; MAX_MEMBER_ID];
        bytes[..digits.len()].copy_from_slice(digits.as_bytes());
        // A u64 has at most 20 digits.
        MemberId { length: digits.len().try_into().unwrap_or(20), bytes }
    }

    /// Whether the id survives a round trip through versions 1 to 3: canonical positive decimal, or empty
    /// [WIRE-65].
    #[must_use]
    pub fn is_canonical_number(&self) -> bool {
        self.as_number().is_some_and(|number| MemberId::from_number(number) == *self)
    }
}

/// C's `strtoull(s, .., 0)` over the whole string [WIRE-63].
fn parse_c_number(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t'..=b'\r'))?;
    let text = &text[start..];
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', _, ..] => (8, text),
        rest => (10, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    let mut saturated = false;
    for &digit in digits {
        let digit = (digit as char).to_digit(base)?;
        match value.checked_mul(u64::from(base)).and_then(|v| v.checked_add(u64::from(digit))) {
            Some(next) => value = next,
            None => saturated = true,
        }
    }
    Some(match (saturated, negative) {
        (true, _) => u64::MAX,
        (false, true) => value.wrapping_neg(),
        (false, false) => value,
    })
}

impl Default for MemberId {
    fn default() -> Self {
        MemberId::EMPTY
    }
}

impl Ord for MemberId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.length.cmp(&other.length).then_with(|| self.as_bytes().cmp(other.as_bytes()))
    }
}

impl PartialOrd for MemberId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        MemberId::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    /// [WIRE-66] [PROTO-1]
    #[test]
    fn ids_are_ordered_by_length_first() {
        for (smaller, larger) in [("9", "10"), ("b", "aa"), ("", "a"), ("A", "a"), ("aa", "ab"), ("2", "10")]
        {
            assert!(id(smaller) < id(larger), "{smaller} < {larger}");
        }
        assert_eq!(id("abc").cmp(&id("abc")), Ordering::Equal);
    }

    /// [WIRE-63] [WIRE-64] [WIRE-65]
    #[test]
    fn numbers_follow_the_rules_of_c() {
        for (text, number) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("7", Some(7)),
            ("007", Some(7)),
            ("010", Some(8)),
            ("0x10", Some(16)),
            ("0XfF", Some(255)),
            (" \t+12", Some(12)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("-18446744073709551616", Some(u64::MAX)),
            ("09", None),
            ("0x", None),
            ("12a", None),
            ("alpha", None),
            ("1 ", None),
            ("+", None),
            (" ", None),
        ] {
            assert_eq!(id(text).as_number(), number, "{text:?}");
        }
        assert_eq!(MemberId::from_number(0), MemberId::EMPTY);
        assert_eq!(MemberId::from_number(u64::MAX), id("18446744073709551615"));
        assert!(id("18446744073709551615").is_canonical_number());
        for text in ["0", "007", "0x10", "+1", "-1", "a"] {
            assert!(!id(text).is_canonical_number(), "{text}");
        }
    }

    /// [HARD-29]
    #[test]
    fn long_ids_and_nuls_are_refused() {
        assert!(MemberId::from_bytes(&[b'a'; 63]).is_ok());
        assert_eq!(MemberId::from_bytes(&[b'a'; 64]), Err(MemberIdError::TooLong));
        assert_eq!(MemberId::from_bytes(b"a\0b"), Err(MemberIdError::ContainsNul));
    }
}
