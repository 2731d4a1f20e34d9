//! The callback thread: questions of consensus to the application, copies on its behalf, and the end.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::callbacks::Inside;
use super::copier::{Copier, Sources};
use super::executor::abort_late;
use super::resolver::Resolver;
use super::shared::Shared;
use super::start::Reload;
use super::threads::{Crew, Priority, ThreadSpawner};
use super::{Cookie, CookieSink, Refused, StateMachine};
use crate::engine::{Answer, Input, Question, QuestionId, Status, StopReason};
use crate::net::learn::LearnCanceller;
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
    /// Copy a checkpoint for the application [XFER-26].
    CopyState { cookie: Cookie, sources: Sources },
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

/// Copies under way for the application, and how they are started.
#[derive(Debug)]
pub(super) struct Copies {
    pub(super) spawner: Arc<dyn ThreadSpawner>,
    pub(super) copier: Arc<Copier>,
    pub(super) crew: Crew,
    pub(super) cancellers: Vec<LearnCanceller>,
}

impl Copies {
    /// Starts one on a thread of its own. Without a thread it fails at once, here.
    fn start(&mut self, machine: &Arc<dyn StateMachine>, cookie: Cookie, sources: Sources) {
        let canceller = LearnCanceller::default();
        self.cancellers.push(canceller.clone());
        let (copier, for_thread) = (Arc::clone(&self.copier), Arc::clone(machine));
        let shared = Arc::clone(&self.copier.shared);
        let copy = move || copier.run(&*for_thread, cookie, sources, &canceller);
        let panicked = move |text| shared.stop(StopReason::Panicked(text));
        let spawned = self.crew.spawn(&*self.spawner, "rsl copy", Priority::Normal, copy, panicked);
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot create a thread to copy a checkpoint");
            let (_guard, _inside) = self.copier.shared.callbacks.shared();
            machine.state_copied(Decree::ZERO, None, cookie);
        }
    }

    /// Ends all of them.
    fn end(&mut self) {
        self.cancellers.iter().for_each(LearnCanceller::cancel);
        self.crew.join();
    }
}

/// Runs until the replica has ended.
pub(super) fn run(
    shared: &Shared,
    machine: &Arc<dyn StateMachine>,
    errands: &Receiver<Errand>,
    crews: &Crews,
    mut copies: Copies,
    reload: Option<&Reload>,
) {
    while let Ok(errand) = errands.recv() {
        match errand {
            Errand::Ask { question, ask, from } => {
                let answer = ask_application(shared, &**machine, &ask, from.as_ref());
                shared.mailbox.input(Input::Answered { question, answer });
            }
            Errand::CopyState { cookie, sources } => copies.start(machine, cookie, sources),
            Errand::Finish { reason, last } => {
                copies.end();
                // Lets go of the directory, which may be started anew as soon as the replica has ended.
                drop(copies);
                return finish(shared, &**machine, crews, reason, last, reload);
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
            if shared.no_candidate_until.is_some_and(|until| shared.clock.now() < until) {
                return Answer::MayLead(None);
            }
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
    reload: Option<&Reload>,
) {
    let late = shared.admission.shut_down();
    shared.reads.close();
    shared.execution.stop();
    crews.execution.join();
    for command in late {
        abort_late(shared, machine, command);
    }
    crews.readers.join();
    crews.resolving.stop();
    crews.resolver.join();
    let _inside = Inside::enter();
    for cookie in shared.reads.drain() {
        machine.abort_request(Refused::ShuttingDown, cookie);
    }
    if let Some(reload) = reload.filter(|reload| !shared.is_unload_wanted() && reload.wants(&reason)) {
        // No ShutDown: that is the last callback of a process's replica (decision 13).
        if shared.admission.is_open() {
            shared.admission.ended();
            machine.notify_status(false);
        }
        crews.native.join();
        return reload.run(shared, &reason);
    }
    machine.shut_down(Refused::ShuttingDown);
    shared.admission.ended();
    crews.native.join();
    shared.end(reason, last);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::testing::Recorder;
    use super::*;
    use crate::replica::{Config, Setup};
    use crate::types::{MemberId, ProtocolVersion};

    /// [PROTO-173] The questions of consensus are answered while a callback holds the exclusive lock, so they overlap
    /// execution; there is one thread that asks them, one after another.
    #[test]
    fn questions_wait_for_no_callback() {
        let node = Node {
            id: MemberId::from_number(1),
            ip: std::net::Ipv4Addr::LOCALHOST,
            rsl_port: 1,
            learn_port: 0,
            app_port: 0,
            host_name: bytes::Bytes::new(),
        };
        let config = Config::builder("unused").build().unwrap();
        let shared = Arc::new(Shared::new(&Setup::new(config, ProtocolVersion::V6, node.clone())));
        let (_executing, _inside) = shared.callbacks.exclusive();
        let (sender, answers) = mpsc::channel();
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            let machine = Recorder::default();
            let asked =
                Question::AcceptMessage { from: node.id, cookie: bytes::Bytes::from_static(b"refuse") };
            for (question, from) in [(Question::CanBecomePrimary, None), (asked, Some(&node))] {
                sender.send(ask_application(&for_thread, &machine, &question, from)).unwrap();
            }
        });
        let answer = || answers.recv_timeout(Duration::from_secs(5));
        assert_eq!(answer(), Ok(Answer::MayLead(Some(bytes::Bytes::from_static(b"cookie")))));
        assert_eq!(answer(), Ok(Answer::Accept(false)));
    }
}
