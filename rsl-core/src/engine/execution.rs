//! Passed decrees: handing them to the execution context and hearing back from it.

use super::core::Engine;
use super::effect::{Apply, ChangeToken, RequestToken};
use crate::types::{Configuration, Decree};
use crate::wire::Vote;

impl Engine {
    /// PASS [PROTO-70] [PROTO-134]: `vote` is chosen. A decree may pass twice, and decree 0 passes unexecuted.
    pub(super) fn pass(&mut self, vote: Vote, tokens: Vec<RequestToken>, change: Option<ChangeToken>) {
        let decree = vote.decree();
        let version = vote.version();
        if decree == self.passed {
            assert!(tokens.is_empty() && change.is_none(), "a decree with local requests passes once");
        } else {
            assert!(decree.follows(self.passed), "decrees pass in order [PROTO-12]");
            self.passed = decree;
            if let Some(members) = vote.reconfiguration() {
                let number = self.configuration.number.saturating_add(1);
                self.state_configurations.push_back(Configuration {
                    number,
                    initial_decree: decree.next(),
                    members: members.clone(),
                });
            }
            self.apply(Apply::Execute { vote, tokens, change });
        }
        if version > self.version {
            tracing::info!(from = %self.version, to = %version, "protocol version rises");
            self.version = version;
        }
    }

    pub(super) fn on_executed(&mut self, decree: Decree, save_state: bool) {
        assert!(
            decree >= self.executed && decree <= self.passed,
            "only passed decrees are executed, in order"
        );
        self.executed = decree;
        while self.state_configurations.get(1).is_some_and(|next| next.initial_decree.previous() <= decree) {
            self.state_configurations.pop_front();
        }
        if save_state {
            self.checkpoints.request_at(decree);
        }
    }

    /// A replica that still has to execute does not stand for election [PROTO-120], unless it succeeds itself.
    pub(super) fn execution_is_ready(&self) -> bool {
        let succeeds = self.is_primary && self.quorum() == 1;
        self.settings.promote_while_catching_up || succeeds || self.execution_is_idle()
    }

    pub(super) fn execution_is_idle(&self) -> bool {
        self.executed == self.passed
    }
}
