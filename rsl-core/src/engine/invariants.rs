//! What must hold between turns, checked after every one of them, in release builds too.

use super::core::{Engine, Role};
use crate::types::{Ballot, Decree, ProtocolVersion};

/// The values that may only grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    promised: Ballot,
    passed: Decree,
    executed: Decree,
    version: ProtocolVersion,
    configuration: u32,
    defunct: u32,
}

impl Snapshot {
    pub(super) fn of(engine: &Engine) -> Snapshot {
        Snapshot {
            promised: engine.promised,
            passed: engine.passed,
            executed: engine.executed,
            version: engine.version,
            configuration: engine.configuration.number,
            defunct: engine.defunct,
        }
    }

    /// Compares with the state a turn has led to, and checks that state itself.
    pub(super) fn check(&self, engine: &Engine) {
        let now = Snapshot::of(engine);
        assert!(now.promised >= self.promised, "promises never fall [PROTO-14]");
        assert!(now.passed >= self.passed, "passed decrees never fall [PROTO-138]");
        assert!(now.executed >= self.executed, "executed decrees never fall [PROTO-138]");
        assert!(now.version >= self.version, "the version never falls [PROTO-43]");
        assert!(now.configuration >= self.configuration, "configurations never fall [PROTO-141]");
        assert!(now.defunct >= self.defunct, "the defunct number never falls");
        check_state(engine);
    }
}

fn check_state(engine: &Engine) {
    let accepted = engine.accepted.position();
    assert!(engine.promised >= accepted.ballot, "a vote is accepted under a promise");
    assert!(engine.executed <= engine.passed, "what is executed has passed [PROTO-25]");
    assert!(engine.passed <= accepted.decree, "what has passed was accepted [PROTO-25]");
    assert!(
        engine.candidate.is_none() || engine.role == Role::Preparing,
        "only a candidate collects promises"
    );
    assert!(
        engine.election_question.is_none() || engine.role == Role::Initializing,
        "the application is asked in a status round"
    );
    match engine.role {
        Role::Primary => {
            assert_eq!(engine.promised.member, engine.settings.member, "a primary owns its ballot [PROTO-7]");
            assert_eq!(accepted.ballot, engine.promised, "a primary has proposed under its ballot");
            if let Some(outstanding) = &engine.outstanding {
                assert_eq!(outstanding.vote.position(), accepted, "the outstanding vote is the newest");
            }
        }
        Role::Preparing => {
            assert_eq!(engine.promised.member, engine.settings.member, "a candidate owns its ballot");
        }
        Role::Inactive => assert!(!engine.is_learning(), "an inactive replica learns nothing"),
        Role::Secondary | Role::Initializing => {}
    }
    let queues = engine.is_primary || engine.role == Role::Primary;
    assert!(queues || engine.queue.is_empty(), "only a primary queues votes");
}
