//! The durability gate: messages that must not leave before a log record is on stable storage.

use std::collections::VecDeque;

use super::effect::{AppendSeq, Destination};
use crate::wire::Message;

/// Holds back messages until the append they wait for is durable; the same code for replica and simulator.
///
/// Invariant: a message never leaves before `durable >= after` [PROTO-27].
#[derive(Debug, Default)]
pub struct Outbox {
    durable: AppendSeq,
    waiting: VecDeque<(AppendSeq, Destination, Message)>,
}

impl Outbox {
    /// Takes a message; hands it back when it may leave now.
    pub fn submit(
        &mut self,
        to: Destination,
        message: Message,
        after: Option<AppendSeq>,
    ) -> Option<(Destination, Message)> {
        match after {
            Some(seq) if seq > self.durable => {
                self.waiting.push_back((seq, to, message));
                None
            }
            Some(_) | None => Some((to, message)),
        }
    }

    /// Notes that everything up to `through` is durable and returns, in submission order, what may leave now.
    pub fn appended(&mut self, through: AppendSeq) -> Vec<(Destination, Message)> {
        assert!(through >= self.durable, "durability never goes backwards");
        self.durable = through;
        let mut released = Vec::new();
        self.waiting.retain(|(seq, to, message)| {
            let wait = *seq > through;
            if !wait {
                released.push((*to, message.clone()));
            }
            wait
        });
        released
    }
}
