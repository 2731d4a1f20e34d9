//! The process driver: starts, watches, restarts and kills replica hosts.
//!
//! A host is any program that follows the host contract: ours in Rust, C++ or C#, or an old one. It is named
//! by a [`Template`], listens on leased loopback [`ports`], is run by a [`Host`] and asked through [`Control`];
//! a [`Cluster`] is a set of them.

mod cluster;
mod control;
mod error;
mod member;
pub mod ports;
mod process;
mod template;

pub use cluster::Cluster;
pub use control::Control;
pub use error::HostError;
pub use member::Member;
pub use process::{Host, HostSettings, Watch};
pub use template::Template;
