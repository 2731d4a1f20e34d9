//! Progress that many threads read: single words, no lock.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};

use crate::engine::Role;
use crate::types::{Decree, ProtocolVersion};

/// How far a replica is. Written by the loop (passed, role) and the execution context (executed, saving).
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Never decreases while a replica runs [API-103].
    executed: AtomicU64,
    passed: AtomicU64,
    saving: AtomicBool,
    leading: AtomicBool,
    role: AtomicU8,
    /// The protocol version spoken now, as a number.
    version: AtomicU16,
    /// Decrees handed to the execution context and not executed, and jobs that stand for them [PROTO-138].
    pending: AtomicU64,
}

impl Progress {
    pub(super) fn executed(&self) -> Decree {
        Decree(self.executed.load(Ordering::SeqCst))
    }

    pub(super) fn set_executed(&self, decree: Decree) {
        self.executed.store(decree.0, Ordering::SeqCst);
    }

    /// The last decree known to be chosen; never below the executed one [API-103].
    pub(super) fn passed(&self) -> Decree {
        Decree(self.passed.load(Ordering::Acquire)).max(self.executed())
    }

    pub(super) fn set_passed(&self, decree: Decree) {
        self.passed.store(decree.0, Ordering::Release);
    }

    /// A checkpoint is being saved.
    pub(super) fn is_saving(&self) -> bool {
        self.saving.load(Ordering::SeqCst)
    }

    pub(super) fn set_saving(&self, saving: bool) {
        self.saving.store(saving, Ordering::SeqCst);
    }

    /// The engine's role is Primary; the application may not know yet.
    pub(super) fn is_leading(&self) -> bool {
        self.leading.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    pub(super) fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Ordering::SeqCst);
    }

    /// Returns whether the role has changed.
    pub(super) fn set_role(&self, role: Role) -> bool {
        self.leading.store(role == Role::Primary, Ordering::SeqCst);
        self.role.swap(role as u8, Ordering::Release) != role as u8
    }

    /// The engine's role after its last turn.
    pub(super) fn role(&self) -> Role {
        let role = self.role.load(Ordering::Acquire);
        [Role::Primary, Role::Secondary, Role::Preparing, Role::Initializing]
            .into_iter()
            .find(|known| *known as u8 == role)
            .unwrap_or(Role::Inactive)
    }

    /// The protocol version spoken now.
    pub(super) fn version(&self) -> ProtocolVersion {
        ProtocolVersion::from_number(self.version.load(Ordering::Acquire)).unwrap_or(ProtocolVersion::V1)
    }

    pub(super) fn set_version(&self, version: ProtocolVersion) {
        self.version.store(version.number(), Ordering::Release);
    }

    /// Stable primary or stable secondary [API-88].
    pub(super) fn is_stable(&self) -> bool {
        matches!(self.role(), Role::Primary | Role::Secondary)
    }

    /// A passed decree waits for execution or is being executed [PROTO-138].
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    pub(super) fn add_pending(&self, decrees: u64) {
        self.pending.fetch_add(decrees, Ordering::AcqRel);
    }

    pub(super) fn remove_pending(&self, decrees: u64) {
        self.pending.fetch_sub(decrees, Ordering::AcqRel);
    }
}
