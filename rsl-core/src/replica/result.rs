//! What the calls of a replica answer when they refuse, with the numbers and names of the legacy API.

/// Why a call was refused, or why a request was aborted [API-5] (decision 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
#[non_exhaustive]
pub enum Refused {
    /// The fast read asks for a state this replica does not have in time.
    #[error("the replica is not far enough for this fast read")]
    FastReadStale = 1,
    /// This replica is not the primary. For an aborted request: it may still be executed, without its cookie.
    #[error("this replica is not the primary")]
    NotPrimary = 2,
    /// The replica drains or shuts down.
    #[error("the replica is shutting down")]
    ShuttingDown = 3,
    /// A primary of an earlier bootstrap has been seen.
    #[error("the replica is bootstrapped already")]
    AlreadyBootstrapped = 4,
    /// Bootstrap: this node is not in the set, another set was adopted, or the time is over.
    #[error("the bootstrap failed")]
    BootstrapFailed = 5,
    /// An argument cannot be used: an empty request, or one above the message limit (decision 1).
    #[error("invalid parameter")]
    InvalidParameter = 6,
    /// Too many bytes of requests wait already; try again later (decision 16).
    #[error("the request queue is full")]
    QueueFull = 100,
}

impl Refused {
    /// The number of the legacy `RSLResponseCode`.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name of the legacy `RSLResponseCode`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refused::FastReadStale => "RSLFastReadStale",
            Refused::NotPrimary => "RSLNotPrimary",
            Refused::ShuttingDown => "RSLShuttingDown",
            Refused::AlreadyBootstrapped => "RSLAlreadyBootstrapped",
            Refused::BootstrapFailed => "RSLBootstrapFailed",
            Refused::InvalidParameter => "RSLInvalidParameter",
            Refused::QueueFull => "RSLQueueFull",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [API-5] Numbers and names are those of legacy; the new code stays outside its range.
    #[test]
    fn codes_are_those_of_legacy() {
        let all = [
            (Refused::FastReadStale, 1, "RSLFastReadStale"),
            (Refused::NotPrimary, 2, "RSLNotPrimary"),
            (Refused::ShuttingDown, 3, "RSLShuttingDown"),
            (Refused::AlreadyBootstrapped, 4, "RSLAlreadyBootstrapped"),
            (Refused::BootstrapFailed, 5, "RSLBootstrapFailed"),
            (Refused::InvalidParameter, 6, "RSLInvalidParameter"),
            (Refused::QueueFull, 100, "RSLQueueFull"),
        ];
        for (refused, code, name) in all {
            assert_eq!((refused.code(), refused.name()), (code, name));
        }
    }
}
