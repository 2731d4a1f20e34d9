//! The callback thread: questions of consensus to the application, copied checkpoints, and the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::callbacks::Inside;
use super::executor::abort_request;
use super::resolver::Resolver;
use super::shared::Shared;
use super::threads::Crew;
use super::{Cookie, CookieSink, Refused, StateMachine};
use crate::engine::{Answer, Input, Question, QuestionId, Status, StopReason};
use crate::types::{Decree, Node};

/// Something for the callback thread, in order.
#[derive(Debug)]
pub(super) enum Errand {
    /// Ask the application.
    Ask {
        question: QuestionId,
        ask: Question,
        /// The member an AcceptMessage question is about, if it is still one.
        from: Option<Node>,
    },
    /// StateCopied of a copy made to catch up [XFER-25].
    StateCopied { decree: Decree, path: PathBuf },
    /// The loop has ended.
    Finish { reason: StopReason, last: Option<Box<Status>> },
}

/// What the callback thread needs to end the replica.
#[derive(Debug)]
pub(super) struct Crews {
    /// The execution thread.
    pub(super) execution: Crew,
    /// The threads that run fast reads.
    pub(super) readers: Crew,
    /// The resolver thread.
    pub(super) resolver: Crew,
    /// The resolver itself.
    pub(super) resolving: Arc<Resolver>,
    /// The loop, and what it started beside it.
    pub(super) native: Crew,
}

/// Runs until the replica has ended.
pub(super) fn run(shared: &Shared, machine: &dyn StateMachine, errands: &Receiver<Errand>, crews: &Crews) {
    while let Ok(errand) = errands.recv() {
        match errand {
            Errand::Ask { question, ask, from } => {
                let answer = ask_application(shared, machine, &ask, from.as_ref());
                shared.mailbox.input(Input::Answered { question, answer });
            }
            Errand::StateCopied { decree, path } => {
                let (_guard, _inside) = shared.callbacks.shared();
                machine.state_copied(decree, Some(&path), Cookie::NONE);
            }
            Errand::Finish { reason, last } => {
                return finish(shared, machine, crews, reason, last);
            }
        }
    }
}

/// Without any lock; the two questions do not overlap each other [PROTO-173].
fn ask_application(
    shared: &Shared,
    machine: &dyn StateMachine,
    ask: &Question,
    from: Option<&Node>,
) -> Answer {
    let _inside = Inside::enter();
    match ask {
        Question::CanBecomePrimary => {
            let mut sink = CookieSink::default();
            let may = machine.can_become_primary(&mut sink);
            let cookie = sink.into_bytes();
            let len = cookie.len() as u64;
            if !may {
                return Answer::MayLead(None);
            }
            if !shared.admission.cookie_fits(len) {
                tracing::error!(len, "the primary cookie exceeds the message limit: no election [HARD-522]");
                return Answer::MayLead(None);
            }
            shared.admission.set_cookie_len(len);
            Answer::MayLead(Some(cookie.into()))
        }
        Question::AcceptMessage { cookie, .. } => {
            Answer::Accept(from.is_some_and(|node| machine.accept_message_from_replica(node, cookie)))
        }
    }
}

/// The end, in the order of [PROTO-168] [PROTO-170]: passed decrees finish, requests are aborted, then fast reads, then ShutDown;
/// no callback follows [HARD-348].
fn finish(
    shared: &Shared,
    machine: &dyn StateMachine,
    crews: &Crews,
    reason: StopReason,
    last: Option<Box<Status>>,
) {
    let late = shared.admission.shut_down();
    shared.reads.close();
    shared.execution.stop();
    crews.execution.join();
    for request in late {
        abort_request(shared, machine, request.token, Refused::ShuttingDown);
    }
    crews.readers.join();
    crews.resolving.stop();
    crews.resolver.join();
    let _inside = Inside::enter();
    for cookie in shared.reads.drain() {
        machine.abort_request(Refused::ShuttingDown, cookie);
    }
    machine.shut_down(Refused::ShuttingDown);
    shared.admission.ended();
    crews.native.join();
    shared.end(reason, last);
}
