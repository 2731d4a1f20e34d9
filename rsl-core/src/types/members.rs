//! Nodes, member sets and configurations: who takes part.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Decree, MemberId, ProtocolVersion};

/// Longest host name in bytes [WIRE-71].
pub const MAX_HOST_NAME: usize = 255;
/// Longest cookie of a member set in bytes [WIRE-72].
pub const MAX_MEMBER_SET_COOKIE: usize = 8192;

/// Where a member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its member id.
    pub id: MemberId,
    /// Its IPv4 address; 0.0.0.0 = to be resolved by host name [WIRE-4].
    pub ip: Ipv4Addr,
    /// Port of the packet service.
    pub rsl_port: u16,
    /// Port of the learn service; 0 = `rsl_port + 1` [WIRE-1].
    pub learn_port: u16,
    /// Application port, carried instead of the learn port up to version 3 [WIRE-70].
    pub app_port: u16,
    /// Host name, at most 255 bytes, any bytes but no terminator.
    pub host_name: Bytes,
}

impl Node {
    /// The learn port in use: the configured one, or `rsl_port + 1` (modulo 65536) [WIRE-1] [PROTO-3].
    #[must_use]
    pub const fn effective_learn_port(&self) -> u16 {
        if self.learn_port == 0 { self.rsl_port.wrapping_add(1) } else { self.learn_port }
    }
}

/// The members of a configuration with the cookie that travels with them [WIRE-70].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSet {
    /// The members in the order in which they were given.
    pub nodes: Vec<Node>,
    /// Opaque application bytes, at most 8192 [WIRE-72].
    pub cookie: Bytes,
}

/// Why a member set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberSetError {
    /// No member at all.
    #[error("the member set is empty")]
    Empty,
    /// More members than the encoding can count [HARD-12].
    #[error("the member set has more than 65535 members")]
    TooManyMembers,
    /// An id occurs twice.
    #[error("member id {0} occurs twice")]
    DuplicateId(MemberId),
    /// An empty id.
    #[error("a member has an empty id")]
    EmptyId,
    /// RSL port 0.
    #[error("member {0} has RSL port 0")]
    ZeroPort(MemberId),
    /// Versions 1 to 3 can only say canonical positive decimal ids [WIRE-65] [HARD-302].
    #[error(
        "member id {id} cannot be used with protocol version {version}: it is not a plain decimal number"
    )]
    IdNotNumeric {
        /// The id.
        id: MemberId,
        /// The version that cannot carry it.
        version: ProtocolVersion,
    },
    /// Host name longer than [`MAX_HOST_NAME`].
    #[error("host name of member {0} is longer than {MAX_HOST_NAME} bytes")]
    HostNameTooLong(MemberId),
    /// Cookie longer than [`MAX_MEMBER_SET_COOKIE`] [HARD-11].
    #[error("the member set's cookie is longer than {MAX_MEMBER_SET_COOKIE} bytes")]
    CookieTooLong,
}

impl MemberSet {
    /// Checks a set that an application or a peer proposes [WIRE-73].
    ///
    /// # Errors
    /// Says what is wrong with the set.
    pub fn verify(&self, version: ProtocolVersion) -> Result<(), MemberSetError> {
        if self.nodes.is_empty() {
            return Err(MemberSetError::Empty);
        }
        if self.nodes.len() > usize::from(u16::MAX) {
            return Err(MemberSetError::TooManyMembers);
        }
        if self.cookie.len() > MAX_MEMBER_SET_COOKIE {
            return Err(MemberSetError::CookieTooLong);
        }
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            if node.id.is_empty() {
                return Err(MemberSetError::EmptyId);
            }
            if !seen.insert(node.id) {
                return Err(MemberSetError::DuplicateId(node.id));
            }
            if node.rsl_port == 0 {
                return Err(MemberSetError::ZeroPort(node.id));
            }
            if node.host_name.len() > MAX_HOST_NAME {
                return Err(MemberSetError::HostNameTooLong(node.id));
            }
            if !version.has_string_ids() && !node.id.is_canonical_number() {
                return Err(MemberSetError::IdNotNumeric { id: node.id, version });
            }
        }
        Ok(())
    }

    /// The node of a member.
    #[must_use]
    pub fn get(&self, id: MemberId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether `id` is a member.
    #[must_use]
    pub fn contains(&self, id: MemberId) -> bool {
        self.get(id).is_some()
    }
}

/// A numbered member set [PROTO-141].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its number: 0 = never bootstrapped, 1 = the first.
    pub number: u32,
    /// The first decree decided by it.
    pub initial_decree: Decree,
    /// Its members.
    pub members: Arc<MemberSet>,
}

impl Configuration {
    /// The configuration of a replica that knows no members.
    #[must_use]
    pub fn empty(number: u32) -> Configuration {
        Configuration { number, initial_decree: Decree::ZERO, members: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, port: u16) -> Node {
        Node {
            id: id.parse().unwrap(),
            ip: Ipv4Addr::LOCALHOST,
            rsl_port: port,
            learn_port: 0,
            app_port: 0,
            host_name: Bytes::new(),
        }
    }

    fn set(nodes: Vec<Node>) -> MemberSet {
        MemberSet { nodes, cookie: Bytes::new() }
    }

    /// [WIRE-73] [HARD-11] [HARD-12] [HARD-302] [API-22] What makes a set valid for a version.
    #[test]
    fn proposed_sets_are_checked() {
        let v4 = ProtocolVersion::V4;
        assert_eq!(set(vec![]).verify(v4), Err(MemberSetError::Empty));
        assert!(matches!(
            set(vec![node("a", 1), node("a", 2)]).verify(v4),
            Err(MemberSetError::DuplicateId(_))
        ));
        assert!(matches!(set(vec![node("a", 0)]).verify(v4), Err(MemberSetError::ZeroPort(_))));
        assert_eq!(set(vec![node("a", 1)]).verify(v4), Ok(()));
        assert!(matches!(set(vec![node("a", 1), node("", 2)]).verify(v4), Err(MemberSetError::EmptyId)));
        for version in ProtocolVersion::ALL {
            assert_eq!(set(vec![node("1", 1), node("18446744073709551615", 1)]).verify(version), Ok(()));
        }
        assert!(matches!(
            set(vec![node("a", 1)]).verify(ProtocolVersion::V3),
            Err(MemberSetError::IdNotNumeric { .. })
        ));
        assert!(matches!(
            set(vec![node("007", 1)]).verify(ProtocolVersion::V3),
            Err(MemberSetError::IdNotNumeric { .. })
        ));
        let mut long = set(vec![node("1", 1)]);
        long.cookie = vec![0; MAX_MEMBER_SET_COOKIE + 1].into();
        assert_eq!(long.verify(v4), Err(MemberSetError::CookieTooLong));
        let many = (1..=65536).map(|id: u32| node(&id.to_string(), 1)).collect();
        assert_eq!(set(many).verify(v4), Err(MemberSetError::TooManyMembers));
    }

    /// [HARD-504] [HARD-302] Up to version 3 an id is its number on the wire: of the ways to write one, only the plain
    /// decimal one is taken, so two ids of a set never mean one member. From version 4 on ids are texts.
    #[test]
    fn ids_do_not_collide_numerically() {
        for other in ["08", "010", "0x8", " 8", "8 ", "+8"] {
            let both = set(vec![node("8", 1), node(other, 2)]);
            for version in ProtocolVersion::ALL {
                let expected = if version.has_string_ids() {
                    Ok(())
                } else {
                    Err(MemberSetError::IdNotNumeric { id: other.parse().unwrap(), version })
                };
                assert_eq!(both.verify(version), expected, "{other:?}");
            }
        }
    }

    /// [WIRE-1] [PROTO-3]
    #[test]
    fn an_unset_learn_port_is_the_next_one() {
        assert_eq!(node("1", 20000).effective_learn_port(), 20001);
        assert_eq!(Node { learn_port: 7, ..node("1", 20000) }.effective_learn_port(), 7);
    }
}
