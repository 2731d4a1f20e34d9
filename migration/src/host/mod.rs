//! The process driver: starts, watches, restarts and kills replica hosts.
//!
//! A host is any program that follows the host contract: ours in Rust, C++ or C#, or an old one. It is named
//! by a [`Template`], listens on leased loopback [`ports`], is run by a [`Host`] and asked through [`Control`];
//! a [`Cluster`] is a set of them. A [`Network`] between its members can be disturbed.

mod cluster;
mod control;
mod error;
mod member;
mod named;
mod network;
pub mod ports;
mod process;
mod proxy;
mod template;

pub use cluster::{Cluster, office};
pub use control::Control;
pub use error::HostError;
pub use member::Member;
pub use named::NAMES;
pub use network::{Link, Network, Traffic};
pub use process::{Host, HostSettings, Watch};
pub use template::Template;
