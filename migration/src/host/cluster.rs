//! A set of hosts run together.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Control, Host, HostError, HostSettings, Template, Watch};

/// The hosts of one set. Dropped, all are killed.
#[derive(Debug)]
pub struct Cluster {
    hosts: Vec<Host>,
    /// A control connection per host, opened when first used.
    controls: Vec<Option<Control>>,
}

/// The ballot under which a replica says it is primary, in order: number, then length and bytes of the member id.
/// Nothing when it does not serve.
pub fn office(status: &Value) -> Option<(u64, usize, String)> {
    let serves = status["isPrimary"] == true && status["recovered"] == true;
    let ballot = &status["maxBallot"];
    let member = ballot[1].as_str().unwrap_or_default().to_owned();
    serves.then(|| (ballot[0].as_u64().unwrap_or_default(), member.len(), member))
}

/// How long one status query may take.
const STATUS: Duration = Duration::from_secs(5);

impl Cluster {
    /// Starts all hosts and waits until each has said READY.
    pub fn start(template: &Template, all: Vec<HostSettings>, ready: Duration) -> Result<Self, HostError> {
        let mut cluster = Self { hosts: Vec::with_capacity(all.len()), controls: Vec::new() };
        for (place, settings) in all.into_iter().enumerate() {
            cluster.hosts.push(Host::start(template.of(place), settings)?);
            cluster.controls.push(None);
        }
        for host in &mut cluster.hosts {
            host.wait_ready(ready)?;
        }
        Ok(cluster)
    }

    /// Starts one more host and waits until it has said READY; gives its place.
    pub fn add(
        &mut self,
        template: &Template,
        settings: HostSettings,
        ready: Duration,
    ) -> Result<usize, HostError> {
        let mut host = Host::start(template.of(self.hosts.len()), settings)?;
        host.wait_ready(ready)?;
        self.hosts.push(host);
        self.controls.push(None);
        Ok(self.hosts.len() - 1)
    }

    /// Changes the program of a host, from its next start on.
    pub fn set_template(&mut self, place: usize, template: &Template) {
        self.hosts[place].set_template(template);
    }

    /// Asks one host to end and waits for it; kills it when it does not. Tells whether it ended by itself with code 0.
    pub fn stop(&mut self, place: usize, patience: Duration) -> bool {
        // Whether the answer arrives or not: the end of the process is what counts.
        let _ = self.control(place).and_then(|control| control.ask("exit", STATUS));
        let ended = self.hosts[place].wait_exit(patience).is_some_and(|status| status.success());
        self.kill(place);
        ended
    }

    /// Changes the protocol version of a host, from its next start on.
    pub fn set_version(&mut self, place: usize, version: u16) {
        self.hosts[place].set_version(version);
    }

    /// How many hosts there are, running or not.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// One host.
    pub fn host(&self, place: usize) -> &Host {
        &self.hosts[place]
    }

    /// All hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Restarts every host that ended with code 0, as a service manager would; any other end is an error.
    pub fn watch(&mut self) -> Result<(), HostError> {
        for (host, control) in self.hosts.iter_mut().zip(&mut self.controls) {
            if host.watch()? == Watch::Restarted {
                *control = None;
            }
        }
        Ok(())
    }

    /// Kills one host at once.
    pub fn kill(&mut self, place: usize) {
        self.controls[place] = None;
        self.hosts[place].kill();
    }

    /// Starts a host again and waits for READY.
    pub fn restart(&mut self, place: usize, ready: Duration) -> Result<(), HostError> {
        self.controls[place] = None;
        self.hosts[place].restart()?;
        self.hosts[place].wait_ready(ready)
    }

    /// The control connection to one host.
    pub fn control(&mut self, place: usize) -> Result<&mut Control, HostError> {
        let slot = &mut self.controls[place];
        match slot {
            Some(control) => Ok(control),
            None => Ok(slot.insert(self.hosts[place].control(STATUS)?)),
        }
    }

    /// Forgets a control connection, for example because an answer is still under way on it.
    pub fn disconnect(&mut self, place: usize) {
        self.controls[place] = None;
    }

    /// The answer to `status` of one host. A host that is just restarting gives an error.
    pub fn status(&mut self, place: usize) -> Result<Value, HostError> {
        let answer = self.control(place)?.ask("status", STATUS);
        if answer.is_err() {
            self.disconnect(place);
        }
        answer
    }

    /// The host that is the recovered primary, if one is.
    pub fn primary(&mut self) -> Option<usize> {
        self.primary_among(0..self.len())
    }

    /// The recovered primary among these hosts. One that was outbid and does not know it yet may say that it is primary as
    /// well: the highest ballot counts.
    pub fn primary_among(&mut self, places: impl IntoIterator<Item = usize>) -> Option<usize> {
        let mut best = None;
        for place in places {
            if self.hosts[place].pid().is_none() {
                continue;
            }
            if let Ok(status) = self.status(place)
                && let Some(ballot) = office(&status)
            {
                best = best.max(Some((ballot, place)));
            }
        }
        best.map(|(_, place)| place)
    }

    /// Waits for a recovered primary, looking after the processes meanwhile; nothing when the time is over or
    /// `stop` says so.
    pub fn wait_primary(
        &mut self,
        limit: Duration,
        stop: impl Fn() -> bool,
    ) -> Result<Option<usize>, HostError> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && !stop() {
            self.watch()?;
            if let Some(place) = self.primary() {
                return Ok(Some(place));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }
}
