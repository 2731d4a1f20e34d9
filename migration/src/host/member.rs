//! One member of a replica set as hosts take it on their command line: `id@ip:port[:learnport][/hostname]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use super::HostError;

/// A member of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The replica's id.
    pub id: String,
    /// Where it takes packets.
    pub address: SocketAddrV4,
    /// Its learn port; the packet port + 1 when absent.
    pub learn_port: Option<u16>,
    /// Its host name, resolved when the ip is 0.
    pub host_name: Option<String>,
}

impl Member {
    /// A member on loopback whose learn port follows its packet port.
    pub fn on_loopback(id: impl Into<String>, port: u16) -> Self {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Self { id: id.into(), address, learn_port: Some(port + 1), host_name: None }
    }

    /// The address of the learn port.
    pub fn learn_address(&self) -> SocketAddrV4 {
        let port = self.learn_port.filter(|port| *port != 0).unwrap_or(self.address.port().wrapping_add(1));
        SocketAddrV4::new(*self.address.ip(), port)
    }

    /// Parses a comma-separated list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, HostError> {
        text.split(',').map(str::parse).collect()
    }

    /// Writes a list as `--members` takes it.
    pub fn list(members: &[Self]) -> String {
        members.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)?;
        if let Some(port) = self.learn_port {
            write!(f, ":{port}")?;
        }
        if let Some(name) = &self.host_name {
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

impl FromStr for Member {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let wrong = |why| HostError::Member { text: text.to_owned(), why };
        let (id, rest) = text.split_once('@').ok_or_else(|| wrong("no `@`"))?;
        let (addresses, host_name) = match rest.split_once('/') {
            Some((addresses, name)) => (addresses, Some(name.to_owned())),
            None => (rest, None),
        };
        let mut parts = addresses.split(':');
        let ip = parts.next().and_then(|ip| ip.parse().ok()).ok_or_else(|| wrong("no IPv4 address"))?;
        let port = parts.next().and_then(|port| port.parse().ok()).ok_or_else(|| wrong("no port"))?;
        let learn_port = match parts.next() {
            Some(port) => Some(port.parse().map_err(|_| wrong("bad learn port"))?),
            None => None,
        };
        if id.is_empty() || parts.next().is_some() {
            return Err(wrong("expected id@ip:port[:learnport][/hostname]"));
        }
        Ok(Self { id: id.to_owned(), address: SocketAddrV4::new(ip, port), learn_port, host_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_round_trip_and_default_their_learn_port() {
        for text in ["a@127.0.0.1:1", "a@127.0.0.1:1:9", "a-b.c@0.0.0.0:1/host", "7@10.0.0.1:65535:1/h"] {
            assert_eq!(text.parse::<Member>().unwrap().to_string(), text);
        }
        let learn = |text: &str| text.parse::<Member>().unwrap().learn_address().port();
        assert_eq!(
            (learn("a@127.0.0.1:10"), learn("a@127.0.0.1:10:0"), learn("a@127.0.0.1:10:5")),
            (11, 11, 5)
        );
        for text in [
            "",
            "a",
            "a@",
            "a@localhost:1",
            "a@127.0.0.1",
            "a@127.0.0.1:x",
            "@127.0.0.1:1",
            "a@127.0.0.1:1:2:3",
        ] {
            assert!(text.parse::<Member>().is_err(), "{text}");
        }
    }
}
