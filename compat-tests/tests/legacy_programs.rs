//! The five managed programs of the legacy source tree, compiled unchanged against our assembly and run on mono.
//!
//! They are not part of this repository: `RSL_LEGACY_SOURCE` names a checkout of the legacy source. Without it, or
//! without mono, the tests count as ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use compat_tests::{managed, native};
use libtest_mimic::{Arguments, Failed, Trial};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// A test over the directory of the programs' sources.
type Test = fn(&Path) -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let sources =
        std::env::var_os("RSL_LEGACY_SOURCE").map(|root| Path::new(&root).join("src/RSL/ManagedSrc"));
    let sources = sources.filter(|path| path.is_dir() && managed::has_mono()).map(Arc::new);
    let tests: [(&str, Test); 4] = [
        ("legacy_source_sample_app_and_test_lib", sample_app),
        ("legacy_source_stress_app", stress_app),
        ("legacy_source_rsl_stress_test", rsl_stress_test),
        ("legacy_source_managed_net_test", managed_net_test),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let found = sources.clone();
        Trial::test(name, move || test(&found.ok_or("there is no legacy source")?))
            .with_ignored_flag(sources.is_none())
    });
    // They use fixed ports.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A directory with the compiled program and what it needs, to run it in.
struct Program {
    place: tempfile::TempDir,
    name: &'static str,
}

impl Program {
    /// Compiles it, with the library of its tests where it uses that.
    fn compile(sources: &Path, name: &'static str, with_test_lib: bool) -> Result<Program, Failed> {
        managed::build_framework(false)?;
        let place = tempfile::Builder::new().prefix("rsl-legacy-program-").tempdir()?;
        for file in ["ManagedRSLib.dll", managed::library_name()] {
            fs::copy(managed::output().join(file), place.path().join(file))?;
        }
        let compile = |directory: &str, output: &str, more: &[&str]| {
            let mut mcs = Command::new("mcs");
            mcs.current_dir(place.path()).args(["-sdk:4.0-api", "-langversion:7.2", "-r:ManagedRSLib.dll"]);
            mcs.args(["-r:System.dll", "-r:System.Data.dll", "-r:System.Xml.dll"]).args(more);
            mcs.arg(format!("-out:{output}"))
                .arg(format!("-recurse:{}/*.cs", sources.join(directory).display()));
            native::run(&mut mcs)
        };
        if with_test_lib {
            compile("TestLib", "TestLib.dll", &["-target:library"])?;
        }
        let library: &[&str] = if with_test_lib { &["-r:TestLib.dll"] } else { &[] };
        compile(name, &format!("{name}.exe"), library)?;
        Ok(Program { place, name })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.place.path().join(file)
    }

    /// Starts it; what it prints goes into a file.
    fn start(&self, log: &str, arguments: &[String]) -> Result<Running, Failed> {
        let file = fs::File::create(self.path(log))?;
        let mut mono = Command::new("mono");
        mono.current_dir(self.place.path()).arg(format!("{}.exe", self.name)).args(arguments);
        mono.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Running { child: mono.spawn()?, log: self.path(log) })
    }
}

/// A process, killed when dropped.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it ends with 0.
    fn end(&mut self) -> Result<String, Failed> {
        let mut status = None;
        wait("the end", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })
        .map_err(|why| format!("{}: {}", why.message().unwrap_or_default(), self.printed()))?;
        match status {
            Some(status) if status.success() => Ok(self.printed()),
            other => Err(format!("ended with {other:?}: {}", self.printed()).into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() >= deadline {
            return Err(format!("waited in vain for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Trial: [NET-43] [NET-39] [CABI-46] SampleApp and TestLib: three machines per process, in three AppDomains one after the other;
/// every request and read comes back as the program expects it.
fn sample_app(sources: &Path) -> Result<(), Failed> {
    let printed = Program::compile(sources, "SampleApp", true)?.start("log", &[])?.end()?;
    let count = |line: &str| printed.lines().filter(|found| found.trim() == line).count();
    for (line, times) in [("ReplicateCommand:True", 6), ("ExecuteFastRead:True", 9), ("Unloaded!", 3)] {
        if count(line) != times {
            return Err(format!("{line} {} times, not {times}: {printed}", count(line)).into());
        }
    }
    Ok(())
}

/// Trial: [NET-43] [NET-27] StressApp: 25 machines in a process, evicted, unloaded and initialised again under load.
fn stress_app(sources: &Path) -> Result<(), Failed> {
    let program = Program::compile(sources, "StressApp", true)?;
    let printed = program.start("log", &["/UnloadStress".to_owned()])?.end()?;
    if printed.contains("Exception") { Err(printed.into()) } else { Ok(()) }
}

/// Trial: [NET-43] RslStressTest: three processes count to a number together and say so.
fn rsl_stress_test(sources: &Path) -> Result<(), Failed> {
    let program = Program::compile(sources, "RslStressTest", false)?;
    let options = |id: &str| {
        let text = format!("/numreplicas 3 /id {id} /reqsize 64 /cases 100 /out out{id}");
        text.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let ids = ["1", "2", "3"];
    let all: Result<Vec<Running>, Failed> =
        ids.iter().map(|id| program.start(&format!("log{id}"), &options(id))).collect();
    let mut all = all?;
    wait("all to be done", || {
        if let Some(ended) = all.iter_mut().find_map(|one| one.child.try_wait().transpose()) {
            return Err(format!("one ended: {:?}: {}", ended?, all[0].printed()).into());
        }
        Ok(ids.iter().all(|id| program.path(&format!("out{id}.done")).is_file()))
    })
}

/// Trial: [NET-43] [NET-42] ManagedNetTest: three processes follow the member list in a file, and report each
/// configuration.
fn managed_net_test(sources: &Path) -> Result<(), Failed> {
    let program = Program::compile(sources, "ManagedNetTest", false)?;
    fs::write(program.path("members.txt"), "0\n3\n1\n2\n3\n")?;
    let all: Result<Vec<Running>, Failed> =
        ["1", "2", "3"].iter().map(|id| program.start(&format!("log{id}"), &[(*id).to_owned()])).collect();
    let all = all?;
    wait("a primary", || Ok(all.iter().any(|one| one.printed().contains("primary recovered"))))?;
    for (number, members) in [("1", "2\n1\n2\n"), ("2", "3\n1\n2\n3\n")] {
        fs::write(program.path("members.txt"), format!("{number}\n{members}"))?;
        wait("the configuration to be reported", || {
            Ok(fs::read_to_string(program.path("CurrentConfig.txt")).is_ok_and(|found| found == number))
        })
        .map_err(|why| format!("{}: {}", why.message().unwrap_or_default(), all[0].printed()))?;
    }
    Ok(())
}
