//! A replicated counter: `cargo run --example counter -- 1` in one terminal, 2 and 3 in others, then type numbers.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use rsl_core::replica::{
    Config, Cookie, Execution, Grouping, Refused, Replica, Setup, StateMachine, StateReader,
};
use rsl_core::types::{MemberSet, Node, ProtocolVersion};

/// The application: its state, what a request does to it, and how it is saved and loaded.
#[derive(Default)]
struct Counter(AtomicI64);

impl StateMachine for Counter {
    fn load_state(&self, checkpoint: Option<&mut dyn StateReader>) -> bool {
        let mut state = [0; 8];
        let loaded = checkpoint.is_none_or(|checkpoint| checkpoint.read_exact(&mut state).is_ok());
        self.0.store(i64::from_le_bytes(state), Ordering::Relaxed);
        loaded
    }

    fn execute(&self, request: &[u8], execution: &mut Execution) {
        // The same on every replica, and nothing but the state and the request decides it.
        let Ok(step) = request.try_into().map(i64::from_le_bytes) else { return };
        let value = self.0.load(Ordering::Relaxed).wrapping_add(step);
        self.0.store(value, Ordering::Relaxed);
        println!("decree {}: {value}", execution.decree());
    }

    fn try_save_state(&self, writer: &mut dyn Write) -> bool {
        writer.write_all(&self.0.load(Ordering::Relaxed).to_le_bytes()).is_ok()
    }

    fn abort_request(&self, why: Refused, _cookie: Cookie) {
        println!("not known whether it was executed: {why}");
    }

    fn notify_status(&self, is_primary: bool) {
        println!("primary: {is_primary}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own: u16 = std::env::args().nth(1).ok_or("which replica: 1, 2 or 3?")?.parse()?;
    let node = |number: u16| -> Result<Node, Box<dyn std::error::Error>> {
        let (id, ip) = (number.to_string().parse()?, Ipv4Addr::LOCALHOST);
        let rsl_port = 23_000 + 10 * number;
        Ok(Node { id, ip, rsl_port, learn_port: rsl_port + 1, app_port: 0, host_name: Bytes::new() })
    };
    let members = MemberSet { nodes: vec![node(1)?, node(2)?, node(3)?], cookie: Bytes::new() };
    let config = Config::builder("counter-data").build()?;
    let setup = Setup::new(config, ProtocolVersion::V6, node(own)?).members(members);
    let replica = Replica::start(setup, Arc::new(Counter::default()))?;
    for line in std::io::stdin().lines() {
        let Ok(step) = line?.trim().parse::<i64>() else { continue };
        if let Err(why) = replica.replicate(step.to_le_bytes().to_vec(), Cookie::NONE, Grouping::default()) {
            println!("refused: {why}");
        }
    }
    replica.unload();
    Ok(())
}
