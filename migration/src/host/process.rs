//! One host process: start, readiness, exit codes, restart, kill.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::template::Values;
use super::{Control, HostError, Member, Template};

/// Everything a host is started with. A restart uses the same settings.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// The replica itself; its id is the `{id}` of the template.
    pub member: Member,
    /// Its working directory.
    pub dir: PathBuf,
    /// Protocol version, 1 to 6.
    pub version: u16,
    /// The member set.
    pub members: Vec<Member>,
    /// Port of the control connection.
    pub control_port: u16,
    /// Where event lines, the exec log and the output of the process go; must exist.
    pub log_dir: PathBuf,
    /// More arguments, behind those of the template.
    pub extra: Vec<String>,
}

impl HostSettings {
    /// The file with one line per executed request.
    pub fn exec_log(&self) -> PathBuf {
        self.log_dir.join(format!("{}.exec.txt", self.member.id))
    }

    /// The file with one line per callback.
    pub fn events(&self) -> PathBuf {
        self.log_dir.join(format!("{}.events.txt", self.member.id))
    }

    /// What the process printed, standard output and standard error, all lives.
    pub fn output(&self) -> PathBuf {
        self.log_dir.join(format!("{}.output.txt", self.member.id))
    }
}

/// What [`Host::watch`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It runs.
    Running,
    /// It ended with code 0, which asks for a restart, and was restarted.
    Restarted,
    /// It was killed or stopped by us and not started again.
    Stopped,
}

/// A host process. Dropped, it is killed.
#[derive(Debug)]
pub struct Host {
    template: Template,
    settings: HostSettings,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    output: Arc<Output>,
}

/// What the process printed so far.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    /// The last lines of standard output.
    lines: Vec<String>,
    ready: bool,
    /// Both streams are closed.
    ended: bool,
}

/// Lines kept for error texts.
const KEPT_LINES: usize = 100;

impl Host {
    /// Starts the process; [`wait_ready`](Self::wait_ready) says when it works.
    pub fn start(template: &Template, settings: HostSettings) -> Result<Self, HostError> {
        let mut host = Self { template: template.clone(), settings, running: None };
        host.launch()?;
        Ok(host)
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &HostSettings {
        &self.settings
    }

    /// Changes the program, from the next start on.
    pub(super) fn set_template(&mut self, template: &Template) {
        self.template = template.clone();
    }

    /// Changes the protocol version, from the next start on.
    pub(super) fn set_version(&mut self, version: u16) {
        self.settings.version = version;
    }

    /// The replica's id.
    pub fn id(&self) -> &str {
        &self.settings.member.id
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// Starts the process again after [`kill`](Self::kill) or its end, with the same arguments.
    pub fn restart(&mut self) -> Result<(), HostError> {
        self.kill();
        self.launch()
    }

    fn launch(&mut self) -> Result<(), HostError> {
        let output_path = self.settings.output();
        let log = open_append(&output_path)?;
        let log_of_errors = log.try_clone().map_err(|source| file_error(&output_path, source))?;
        let members = Member::list(&self.settings.members);
        let self_member = self.settings.member.to_string();
        let (events, execlog) = (self.settings.events(), self.settings.exec_log());
        let arguments = self.template.arguments(&Values {
            id: &self.settings.member.id,
            dir: &self.settings.dir,
            version: self.settings.version,
            members: &members,
            self_member: &self_member,
            control: self.settings.control_port,
            events: &events,
            execlog: &execlog,
        });
        let mut command = Command::new(self.template.program());
        command.args(arguments).args(&self.settings.extra);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| HostError::Start {
            id: self.id().to_owned(),
            program: self.template.program().to_string_lossy().into_owned(),
            source,
        })?;
        let output = Arc::new(Output::default());
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let output = Arc::clone(&output);
            let errors = std::thread::spawn(move || copy_lines(stderr, log_of_errors, |_| {}));
            std::thread::spawn(move || {
                copy_lines(stdout, log, |line| output.note(line));
                // Ended only when the log has everything; copying does not panic.
                let _ = errors.join();
                output.end();
            });
        }
        self.running = Some(Running { child, output });
        Ok(())
    }

    /// Waits until the host has printed `READY`.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<(), HostError> {
        let deadline = Instant::now() + timeout;
        let Some(running) = &mut self.running else { return Err(self.not_ready(timeout, String::new())) };
        let mut state = running.output.state.lock();
        while !state.ready && !state.ended {
            if running.output.changed.wait_until(&mut state, deadline).timed_out() {
                let output = state.lines.join(" | ");
                drop(state);
                return Err(self.not_ready(timeout, output));
            }
        }
        let (ready, output) = (state.ready, state.lines.join(" | "));
        drop(state);
        if ready {
            return Ok(());
        }
        let id = self.settings.member.id.clone();
        match running.child.wait() {
            Ok(status) => Err(HostError::Ended { id, status, output }),
            Err(source) => Err(HostError::Control { id, source }),
        }
    }

    fn not_ready(&self, timeout: Duration, output: String) -> HostError {
        HostError::NotReady { id: self.id().to_owned(), seconds: timeout.as_secs(), output }
    }

    /// Opens a control connection.
    pub fn control(&self, timeout: Duration) -> Result<Control, HostError> {
        Control::connect(self.id(), self.settings.control_port, timeout)
    }

    /// Looks after the process as a service manager would: exit code 0 means "start me again", any other end
    /// is an error.
    pub fn watch(&mut self) -> Result<Watch, HostError> {
        match self.exit_status() {
            None if self.running.is_some() => Ok(Watch::Running),
            None => Ok(Watch::Stopped),
            Some(status) if status.success() => {
                self.restart()?;
                Ok(Watch::Restarted)
            }
            Some(status) => {
                let output = self.last_output();
                self.kill();
                Err(HostError::Ended { id: self.id().to_owned(), status, output })
            }
        }
    }

    /// How the process ended; nothing while it runs or when it was never running.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.child.try_wait().ok().flatten()
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            if Instant::now() >= deadline || self.running.is_none() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last lines the process printed on standard output.
    pub fn last_output(&self) -> String {
        self.running.as_ref().map(|running| running.output.state.lock().lines.join(" | ")).unwrap_or_default()
    }

    /// Kills the process at once (SIGKILL; TerminateProcess on Windows) and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Fails only for a process that has ended already.
            let _ = running.child.kill();
            let _ = running.child.wait();
            // Let the log have the last lines; a process that the host left behind may hold the pipe open.
            let deadline = Instant::now() + Duration::from_millis(200);
            let mut state = running.output.state.lock();
            while !state.ended && !running.output.changed.wait_until(&mut state, deadline).timed_out() {}
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    fn note(&self, line: String) {
        let mut state = self.state.lock();
        state.ready |= line == "READY";
        if state.lines.len() == KEPT_LINES {
            state.lines.remove(0);
        }
        state.lines.push(line);
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Copies what the process prints to the log, whole lines only so that the two streams do not mix within one, until the
/// process closes the stream.
fn copy_lines(stream: impl Read, mut log: File, mut note: impl FnMut(String)) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { break };
        // The log is a help for people; the run goes on without it.
        let _ = log.write_all(&[&line, b"\n".as_slice()].concat());
        note(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

fn open_append(path: &Path) -> Result<File, HostError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> HostError {
    HostError::File { path: path.display().to_string(), source }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A host that is a shell script; the placeholders are its arguments.
    fn host(script: &str) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("sh -c '{script}' {{id}} {{dir}} {{version}} {{members}} {{control}} {{execlog}}");
        let settings = HostSettings {
            member: Member::on_loopback("a", 1),
            dir: dir.path().to_owned(),
            version: 3,
            members: vec![Member::on_loopback("a", 1)],
            control_port: 9,
            log_dir: dir.path().to_owned(),
            extra: vec!["--extra".to_owned()],
        };
        let host = Host::start(&Template::parse(&text).unwrap(), settings).unwrap();
        (dir, host)
    }

    #[test]
    fn a_ready_host_runs_until_killed_and_its_output_is_kept() {
        let (dir, mut host) = host("echo id $0 v $2 $3 $6; echo warn >&2; echo READY; exec sleep 100");
        host.wait_ready(LONG).unwrap();
        assert_eq!(host.watch().unwrap(), Watch::Running);
        let pid = host.pid().unwrap();
        host.kill();
        assert_eq!(host.watch().unwrap(), Watch::Stopped);
        assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "still alive");
        let printed = std::fs::read_to_string(dir.path().join("a.output.txt")).unwrap();
        assert!(printed.contains("id a v 3 a@127.0.0.1:1:2 --extra\n"), "{printed}");
        assert!(printed.contains("READY\n") && printed.contains("warn\n"), "{printed}");
    }

    #[test]
    fn the_two_streams_of_a_host_do_not_mix_within_a_line() {
        let (_dir, mut host) =
            host("printf \"rsl replica\" >&2; echo INIT FAILED; sleep 0.1; echo \": why\" >&2; exit 5");
        assert_eq!(host.wait_exit(LONG).unwrap().code(), Some(5));
        host.kill();
        let printed = std::fs::read_to_string(host.settings().output()).unwrap();
        assert_eq!(printed, "INIT FAILED\nrsl replica: why\n");
    }

    #[test]
    fn exit_code_0_asks_for_a_restart_and_any_other_is_an_error() {
        let script = "echo READY; if [ -e $1/second ]; then sleep 0.1; exit 7; fi; touch $1/second";
        let (_dir, mut host) = host(script);
        host.wait_ready(LONG).unwrap();
        assert!(host.wait_exit(LONG).unwrap().success());
        assert_eq!(host.watch().unwrap(), Watch::Restarted);
        host.wait_ready(LONG).unwrap();
        assert_eq!(host.wait_exit(LONG).unwrap().code(), Some(7));
        let error = host.watch().unwrap_err().to_string();
        assert!(error.contains("exit status: 7") && error.contains("READY"), "{error}");
    }

    #[test]
    fn a_host_that_fails_hangs_or_is_missing_is_reported() {
        let (_dir, mut failing) = host("echo INIT FAILED; exit 5");
        let error = failing.wait_ready(LONG).unwrap_err().to_string();
        assert!(error.contains("INIT FAILED") && error.contains("exit status: 5"), "{error}");
        let (_dir, mut hanging) = host("echo starting; exec sleep 100");
        let error = hanging.wait_ready(Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, HostError::NotReady { .. }), "{error}");
        let (_dir, mut crashing) = host("echo READY; kill -9 $$");
        crashing.wait_ready(LONG).unwrap();
        assert_eq!(crashing.wait_exit(LONG).unwrap().signal(), Some(9));
        let template = Template::parse("./no-such-host {id} {dir} {version} {members} {control}").unwrap();
        let error = Host::start(&template, crashing.settings().clone()).unwrap_err().to_string();
        assert!(error.contains("no-such-host"), "{error}");
    }
}
