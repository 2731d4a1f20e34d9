//! Free loopback ports for hosts, leased so that processes started side by side do not take the same ones.
//!
//! A replica that is killed must find its port free when it comes back. Ports from the range that the system
//! hands to outgoing connections would not be safe from other replicas meanwhile, so leases come from below
//! that range, and a lock file per port keeps other drivers of this machine away as long as the lease lives.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use super::HostError;

const FIRST: u16 = 10_000;
const LAST: u16 = 30_000;

/// Two neighbouring ports, ours until dropped.
#[derive(Debug)]
pub struct PortLease {
    first: u16,
    /// Locked; the system drops the lock with the file, also when this process is killed.
    _lock: File,
}

impl PortLease {
    /// The first port; the second is one above.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The second port.
    pub fn second(&self) -> u16 {
        self.first + 1
    }
}

/// Leases `count` pairs of ports that nothing listens on.
pub fn lease(count: usize) -> Result<Vec<PortLease>, HostError> {
    let pairs = (LAST - FIRST) / 2;
    // Two drivers that start together should not try the same ports in the same order.
    let chance = std::hash::RandomState::new().build_hasher().finish() % u64::from(pairs);
    let start = u16::try_from(chance).unwrap_or_default();
    let candidates = (0..pairs).map(|step| FIRST + (start + step) % pairs * 2);
    let leases: Vec<PortLease> = candidates.filter_map(try_lease).take(count).collect();
    if leases.len() < count {
        return Err(HostError::Ports(format!("all pairs from {FIRST} to {LAST} are taken")));
    }
    Ok(leases)
}

/// Leases exactly the pair that begins at `first`, for example because a replica's files name it; waits as long for
/// others to give it back.
pub fn lease_exactly(first: u16, patience: Duration) -> Result<PortLease, HostError> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(lease) = try_lease(first) {
            return Ok(lease);
        }
        if Instant::now() >= deadline {
            return Err(HostError::Ports(format!("{first} or the port after it is taken")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn try_lease(first: u16) -> Option<PortLease> {
    let second = first.checked_add(1)?;
    let directory = std::env::temp_dir().join("rsl-port-leases");
    std::fs::create_dir_all(&directory).ok()?;
    let lock = File::create(directory.join(first.to_string())).ok()?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    for port in [first, second] {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    }
    Some(PortLease { first, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_differ_and_end_with_their_owner() {
        let leases = lease(20).unwrap();
        let mut ports: Vec<u16> = leases.iter().flat_map(|lease| [lease.first(), lease.second()]).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 40);
        let port = leases[0].first();
        assert!(lease_exactly(port, Duration::ZERO).is_err(), "leased twice");
        drop(leases);
        let again = lease_exactly(port, Duration::ZERO).unwrap();
        drop(again);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).unwrap();
        assert!(lease_exactly(port, Duration::ZERO).is_err(), "somebody listens there");
    }
}
