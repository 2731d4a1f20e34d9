//! The client of a rehearsal: unique requests, the books about them, and load that goes on in the background.

mod load;
mod traffic;

pub(crate) use load::{BATCH, Load};
pub(crate) use traffic::{Batch, Traffic};
