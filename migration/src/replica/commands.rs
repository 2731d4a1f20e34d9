//! The commands of the control port.

use std::str::SplitAsciiWhitespace;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rsl_core::replica::{Cookie, Grouping, Refused, Replica};
use rsl_core::types::{Decree, MemberSet, Node};
use serde_json::{Value, json};

use super::load::{Plan, Random, Rate, submit};
use super::machine::HostMachine;
use super::report;
use super::state::{PAD_HEAD, SAVE_HEAD};
use super::to_node;
use crate::host::Member;

/// How long requests are waited for where the command does not say.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest request of `replicate-random`.
const MAX_RANDOM: usize = 1 << 30;

/// Cookie of the first configuration change.
const FIRST_CHANGE: u64 = 0x1001;

/// What becomes of a command.
#[derive(Debug)]
pub(super) enum Done {
    /// An answer.
    Answer(Value),
    /// An answer, then the end of the process.
    Exit(Value, i32),
    /// The end of the process, at once.
    Crash(i32),
}

/// Runs commands against one replica.
#[derive(Debug)]
pub(super) struct Commands {
    replica: Replica,
    machine: Arc<HostMachine>,
    random: Mutex<Random>,
    /// Configuration changes asked for.
    changes: AtomicU64,
}

/// A wrong argument: its text is the answer's error.
type Failure = String;

/// The words behind a command.
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl Words<'_> {
    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Failure> {
        self.optional(what)?.ok_or_else(|| format!("{what} is missing"))
    }

    fn optional<T: std::str::FromStr>(&mut self, what: &str) -> Result<Option<T>, Failure> {
        self.0.next().map(|word| word.parse().map_err(|_| format!("{what} is no number: {word}"))).transpose()
    }

    fn flag(&mut self) -> Result<bool, Failure> {
        match self.0.next() {
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            _ => Err("expected 0 or 1".into()),
        }
    }

    fn hex(&mut self) -> Result<Option<Bytes>, Failure> {
        let decode = |word| hex::decode(word).map(Bytes::from).map_err(|error| format!("{word}: {error}"));
        self.0.next().map(decode).transpose()
    }

    fn nodes(&mut self) -> Result<Vec<Node>, Failure> {
        let list = self.0.next().ok_or("the members are missing")?;
        let members = Member::parse_list(list).map_err(|error| error.to_string())?;
        members.iter().map(to_node).collect()
    }

    /// `MEMBERS [COOKIEHEX]`.
    fn members(&mut self) -> Result<MemberSet, Failure> {
        let nodes = self.nodes()?;
        let cookie = self.hex()?.unwrap_or_default();
        self.end()?;
        Ok(MemberSet { nodes, cookie })
    }

    fn milliseconds(&mut self) -> Result<Option<Duration>, Failure> {
        Ok(self.optional("the time in milliseconds")?.map(Duration::from_millis))
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.0.next().map_or(Ok(()), |word| Err(format!("unexpected: {word}")))
    }
}

/// The name of a call's result code.
pub(super) fn rc(result: Result<(), Refused>) -> Value {
    json!({"rc": result_name(result)})
}

pub(super) fn result_name(result: Result<(), Refused>) -> &'static str {
    result.map_or_else(Refused::name, |()| "RSLSuccess")
}

fn ok() -> Value {
    json!({"ok": true})
}

impl Commands {
    pub(super) fn new(replica: Replica, machine: Arc<HostMachine>) -> Commands {
        Commands { replica, machine, random: Mutex::default(), changes: AtomicU64::new(0) }
    }

    /// Runs one line.
    pub(super) fn run(&self, line: &str) -> Done {
        let mut words = Words(line.split_ascii_whitespace());
        let command = words.0.next().unwrap_or_default();
        match command {
            "exit" => return Done::Exit(ok(), 0),
            "crash" => return Done::Crash(42),
            "unload" => {
                self.replica.unload();
                // As legacy without a spawn routine: the process ends and no answer comes [API-55].
                return Done::Crash(0);
            }
            _ => {}
        }
        let answer = self.answer(command, &mut words).unwrap_or_else(|error| json!({"error": error}));
        Done::Answer(answer)
    }

    fn answer(&self, command: &str, words: &mut Words<'_>) -> Result<Value, Failure> {
        let (replica, machine) = (&self.replica, &*self.machine);
        let switches = &machine.switches;
        match command {
            "replicate" => return self.replicate(words, Grouping::Batched, true),
            "replicate-exclusive" => return self.replicate(words, Grouping::Exclusive, true),
            "replicate-last" => return self.replicate(words, Grouping::LastDecree, true),
            "replicate-nowait" => return self.replicate(words, Grouping::Batched, false),
            "replicate-random" => return self.replicate_random(words, Grouping::Batched),
            "replicate-random-exclusive" => return self.replicate_random(words, Grouping::Exclusive),
            "replicate-rate" => return self.replicate_rate(words),
            "fastread" => return self.fast_read(words),
            "wait-seq" => {
                let seq = words.number("the sequence number")?;
                let timeout = words.milliseconds()?.unwrap_or(PATIENCE);
                words.end()?;
                machine.wait_for(seq, timeout);
                return Ok(report::status(replica, machine));
            }
            "bootstrap" => return self.bootstrap(words),
            "changeconfig" => {
                let members = words.members()?;
                // Legacy hosts number them from here on.
                let cookie = Cookie(FIRST_CHANGE + self.changes.fetch_add(1, Ordering::Relaxed));
                return Ok(rc(replica.change_configuration(members, cookie)));
            }
            "copystate" => {
                let cookie = Cookie(words.optional("the cookie")?.unwrap_or(0));
                words.end()?;
                return Ok(rc(replica.copy_state_from_replica(cookie)));
            }
            _ => {}
        }
        let value = match command {
            "status" => report::status(replica, machine),
            "checkpoint" => self.submit([Bytes::from_static(SAVE_HEAD)], Grouping::Batched, true),
            "pad" => {
                let pad: u64 = words.number("the padding")?;
                let request = [&PAD_HEAD[..], &pad.to_le_bytes()].concat();
                self.submit([request.into()], Grouping::Batched, true)
            }
            "config" => report::configuration(replica),
            "primary" => report::primary(replica),
            "replicas" => report::replicas(replica),
            "stats" => report::stats(replica),
            "stable" => json!({"stable": replica.is_in_stable_state()}),
            "pending" => json!({"pending": replica.is_any_request_pending_execution()}),
            "relinquish" => {
                replica.relinquish_primary();
                ok()
            }
            "promote" => {
                replica.attempt_promotion();
                ok()
            }
            "election-delay" => {
                replica.change_election_delay(Duration::from_secs(words.number("the delay")?));
                ok()
            }
            "payload" => {
                replica.set_vote_payload(words.number("the payload")?);
                ok()
            }
            "allowsave" => {
                replica.allow_save_state(words.flag()?);
                ok()
            }
            "global-accept" => {
                replica.set_accept_messages(words.flag()?);
                ok()
            }
            "trysave" => {
                switches.may_save.store(words.flag()?, Ordering::Relaxed);
                ok()
            }
            "accept" => {
                switches.accept.store(words.flag()?, Ordering::Relaxed);
                ok()
            }
            "canbecome" => {
                switches.may_lead.store(words.flag()?, Ordering::Relaxed);
                ok()
            }
            "cookie" => {
                let cookie = words.hex()?.unwrap_or_default();
                *switches.primary_cookie.lock() = cookie.into();
                ok()
            }
            "exec-delay" => {
                switches.exec_delay.store(words.number("the delay")?, Ordering::Relaxed);
                ok()
            }
            "save-delay" => {
                switches.save_delay.store(words.number("the delay")?, Ordering::Relaxed);
                ok()
            }
            "pause" => {
                replica.pause();
                ok()
            }
            "resume" => {
                replica.resume();
                ok()
            }
            "" => return Err("empty line".into()),
            other => return Err(format!("unknown command: {other}")),
        };
        words.end()?;
        Ok(value)
    }

    /// `MEMBERS [TIMEOUTS] [COOKIEHEX]`.
    fn bootstrap(&self, words: &mut Words<'_>) -> Result<Value, Failure> {
        let nodes = words.nodes()?;
        let timeout = words.optional("the time in seconds")?.unwrap_or(30);
        let cookie = words.hex()?.unwrap_or_default();
        words.end()?;
        let members = MemberSet { nodes, cookie };
        Ok(rc(self.replica.bootstrap(members, Duration::from_secs(timeout))))
    }

    fn replicate(&self, words: &mut Words<'_>, grouping: Grouping, wait: bool) -> Result<Value, Failure> {
        let mut requests = Vec::new();
        while let Some(request) = words.hex()? {
            requests.push(request);
        }
        if requests.is_empty() {
            return Err("no request is given".into());
        }
        Ok(self.submit(requests, grouping, wait))
    }

    fn submit(&self, requests: impl IntoIterator<Item = Bytes>, grouping: Grouping, wait: bool) -> Value {
        let plan = Plan { grouping, window: u64::MAX, timeout: PATIENCE, wait, rate: None };
        let outcome = submit(&self.replica, &self.machine.waiters, requests, plan);
        report::outcome(&outcome, &self.machine)
    }

    /// `N SIZE [WINDOW] [TIMEOUTMS] [SEED]`.
    fn replicate_random(&self, words: &mut Words<'_>, grouping: Grouping) -> Result<Value, Failure> {
        let count: u64 = words.number("the number of requests")?;
        let size: usize = words.number("the size")?;
        let window = words.optional("the window")?.unwrap_or(u64::MAX);
        let timeout = words.milliseconds()?.unwrap_or(PATIENCE);
        let seed = words.optional("the seed")?;
        words.end()?;
        let plan = Plan { grouping, window, timeout, wait: true, rate: None };
        self.submit_random(count, size, seed, plan)
    }

    /// `N SIZE RATE [TIMEOUTMS]`: an open loop, `RATE` requests per second; ours, not in the contract.
    fn replicate_rate(&self, words: &mut Words<'_>) -> Result<Value, Failure> {
        let count: u64 = words.number("the number of requests")?;
        let size: usize = words.number("the size")?;
        let rate: u32 = words.number("the rate")?;
        let timeout = words.milliseconds()?.unwrap_or(PATIENCE);
        words.end()?;
        if rate == 0 {
            return Err("the rate must be at least 1".into());
        }
        let grouping = Grouping::Batched;
        let plan = Plan { grouping, window: u64::MAX, timeout, wait: true, rate: Some(Rate(rate)) };
        self.submit_random(count, size, None, plan)
    }

    fn submit_random(
        &self,
        count: u64,
        size: usize,
        seed: Option<u64>,
        plan: Plan,
    ) -> Result<Value, Failure> {
        if size == 0 || size > MAX_RANDOM || count > u64::from(u32::MAX) || plan.window == 0 {
            return Err("size, number and window must be at least 1, and not absurd".into());
        }
        // Without a seed the sequence of the last call goes on.
        let mut random = match seed {
            Some(seed) => Random::seeded(seed),
            None => *self.random.lock(),
        };
        let requests = (0..count).map(|_| random.request(size));
        let outcome = submit(&self.replica, &self.machine.waiters, requests, plan);
        *self.random.lock() = random;
        Ok(report::outcome(&outcome, &self.machine))
    }

    /// `[SEQ] [TIMEOUTMS]`.
    fn fast_read(&self, words: &mut Words<'_>) -> Result<Value, Failure> {
        let seq = words.optional("the sequence number")?.unwrap_or(0);
        let timeout = words.milliseconds()?.unwrap_or_default();
        words.end()?;
        let (sender, receiver) = mpsc::channel();
        let cookie = self.machine.waiters.add_read(sender);
        if let Err(why) = self.replica.fast_read(Decree(seq), Bytes::from_static(b"read"), cookie, timeout) {
            self.machine.waiters.forget_read(cookie);
            return Ok(json!({"rc": why.name()}));
        }
        match receiver.recv_timeout(timeout + PATIENCE) {
            Ok(Ok((seq, count, hash))) => {
                Ok(json!({"rc": "RSLSuccess", "seq": seq, "count": count, "hash": format!("{hash:016x}")}))
            }
            Ok(Err(why)) => Ok(json!({"rc": "RSLSuccess", "abort": Refused::name(why)})),
            Err(_) => {
                self.machine.waiters.forget_read(cookie);
                Err("the read did not end".into())
            }
        }
    }
}
