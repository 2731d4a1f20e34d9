//! Sections 15 and 16: bootstrap. Changes of the configuration are procedures (section 7).

use super::LegacyModel;
use crate::engine::{Apply, BootstrapResult, Effect, SaveRequest};
use crate::types::{Configuration, Decree, MemberSet};
use crate::wire::{Bootstrap, Header, Message};

impl LegacyModel {
    /// [PROTO-161]
    pub(super) fn is_bootstrapped(&self) -> bool {
        self.accepted.ballot().id > 0 || self.accepted.decree() > Decree(1)
    }

    /// [PROTO-160]
    pub(super) fn stage(&mut self, members: &MemberSet) -> BootstrapResult {
        if members.verify(self.version).is_err() {
            return BootstrapResult::InvalidParameter;
        }
        if self.is_bootstrapped() {
            return BootstrapResult::AlreadyBootstrapped;
        }
        if !members.contains(self.settings.member) {
            return BootstrapResult::Failed;
        }
        let persisted = (self.configuration.number > 0).then(|| &*self.configuration.members);
        if let Some(known) = persisted.or(self.staged.as_ref()) {
            let same = known.nodes.len() == members.nodes.len()
                && known.nodes.iter().all(|old| {
                    members.get(old.id).is_some_and(|new| {
                        new.ip == old.ip
                            && new.rsl_port == old.rsl_port
                            && new.host_name.eq_ignore_ascii_case(&old.host_name)
                    })
                });
            if !same {
                return BootstrapResult::Failed;
            }
        }
        self.staged = Some(members.clone());
        BootstrapResult::Success
    }

    pub(super) fn send_bootstrap(&mut self, members: &MemberSet) {
        if self.peers.is_empty() {
            // A connection to a member that is not known as a peer yet.
            self.emit(Effect::Peers(first(members)));
        }
        let header = Header { configuration: 0, ..self.header(Decree::ZERO) };
        self.send_all(Message::Bootstrap(Bootstrap { header, members: members.clone() }));
    }

    /// [PROTO-162]
    pub(super) fn check_bootstrap(&mut self) {
        if self.configuration.number == 0
            && let Some(members) = self.staged.take()
        {
            self.configuration = first(&members);
            self.configurations.push(self.configuration.clone());
            if !self.set_placeholder(1) {
                return;
            }
            self.persisting = true;
            return self.emit(Effect::PersistMembers(SaveRequest {
                at: Decree::ZERO,
                next_vote: Some(self.accepted.clone()),
                promised: self.promised,
                version: self.version,
                configuration: self.configuration.clone(),
            }));
        }
        if self.configuration.members.contains(self.settings.member) {
            self.make_peers();
            self.init();
        }
    }

    pub(super) fn members_persisted(&mut self, members: &MemberSet, written: bool) {
        if !self.persisting || *members != *self.configuration.members {
            return;
        }
        self.persisting = false;
        if !written {
            return self.dies("the bootstrap checkpoint cannot be written [HARD-362]");
        }
        self.emit(Effect::Apply(Apply::MembersPersisted));
        if self.configuration.members.contains(self.settings.member) {
            self.make_peers();
            self.init();
        }
    }
}

/// The first configuration of a bootstrapped cluster.
fn first(members: &MemberSet) -> Configuration {
    Configuration { number: 1, initial_decree: Decree(1), members: std::sync::Arc::new(members.clone()) }
}
