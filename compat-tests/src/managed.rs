//! Builds the managed bindings and their programs, and knows the .NET runtimes of this machine that they run on.
//!
//! Two builds of one source: for .NET Framework 4.0 with mono's compiler into `target/dotnet`, for .NET Standard 2.0 with
//! Roslyn into `target/dotnet/netstandard2.0`. The native library lies beside both.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::native::{self, Language, root, target};

/// The command that gets mono and its compiler.
pub const GET_MONO: &str = "apt-get install -y --no-install-recommends mono-mcs mono-devel";
/// The command that gets .NET Core, .NET and an SDK.
pub const GET_DOTNET: &str = "compat-tests/toolchain/dotnet.sh";

/// The programs: name and directory of the sources.
const PROGRAMS: [(&str, &str); 4] = [
    ("RSLHost", "Host"),
    ("ManagedRSLib.Tests", "Tests"),
    ("Counter", "Samples/Counter"),
    ("KeyValue", "Samples/KeyValue"),
];

/// What the programs need of a runtime; a later one does as well.
const RUNTIME_CONFIG: &str = r#"{ "runtimeOptions": { "tfm": "netcoreapp3.1", "rollForward": "Major",
  "framework": { "name": "Microsoft.NETCore.App", "version": "3.1.0" },
  "configProperties": { "System.Globalization.Invariant": true } } }
"#;

/// Where the assemblies for .NET Framework go, and below it everything else.
#[must_use]
pub fn output() -> PathBuf {
    target().join("dotnet")
}

/// Where the assemblies for .NET Standard go.
#[must_use]
pub fn standard_output() -> PathBuf {
    output().join("netstandard2.0")
}

/// Whether mono and its compiler are here.
#[must_use]
pub fn has_mono() -> bool {
    ["mcs", "mono"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success()))
}

/// A .NET runtime that the bindings are tested on.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// For people.
    pub name: &'static str,
    /// What gets it, when it is not here.
    pub install: &'static str,
    /// Whether it is here.
    pub is_here: bool,
    program: OsString,
    standard: bool,
}

impl Runtime {
    /// All that there are.
    #[must_use]
    pub fn all() -> Vec<Runtime> {
        let (mono, sdk) = (has_mono(), Sdk::find());
        let on_mono = |name, standard: bool| Runtime {
            name,
            install: if mono { GET_DOTNET } else { GET_MONO },
            is_here: mono && (!standard || sdk.is_some()),
            program: "mono".into(),
            standard,
        };
        let core = |name, directory: &str| {
            let program = cache().join(directory).join("dotnet");
            let is_here = sdk.is_some() && program.is_file();
            Runtime { name, install: GET_DOTNET, is_here, program: program.into(), standard: true }
        };
        vec![
            on_mono("mono, .NET Framework 4.0", false),
            on_mono("mono, .NET Standard 2.0", true),
            core(".NET Core 3.1", "core31"),
            core(".NET 9", "net9"),
        ]
    }

    /// The one that every machine of ours has.
    #[must_use]
    pub fn mono() -> Runtime {
        Self::all().swap_remove(0)
    }

    /// Whether it is .NET Core or a later .NET.
    #[must_use]
    pub fn is_core(&self) -> bool {
        self.program != "mono"
    }

    /// What runs assemblies.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// A program on this runtime.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.assembly(program));
        command
    }

    /// How the C# host is started, for `rsl conformance` and `rsl demo`.
    #[must_use]
    pub fn host_template(&self) -> String {
        format!(
            "'{}' '{}' --id {{id}} --dir {{dir}} --version {{version}} --members {{members}} --self {{self}} \
             --control {{control}} --events {{events}} --execlog {{execlog}}",
            self.program.display(),
            self.assembly("RSLHost").display()
        )
    }

    fn assembly(&self, program: &str) -> PathBuf {
        if self.standard {
            standard_output().join(format!("{program}.dll"))
        } else {
            output().join(format!("{program}.exe"))
        }
    }
}

/// Where `toolchain/dotnet.sh` puts what it gets.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("RSL_DOTNET_DIR").unwrap_or_else(|| {
        let home = || variable("HOME").unwrap_or_else(std::env::temp_dir);
        variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("rsl-dotnet")
    })
}

/// .NET Core 3.1 for Windows, where `toolchain/dotnet.sh` puts it.
#[must_use]
pub fn windows_dotnet() -> PathBuf {
    cache().join("core31win/dotnet.exe")
}

/// The .NET SDK with Roslyn, run on .NET 9.
#[derive(Clone, Debug)]
pub struct Sdk {
    dotnet: PathBuf,
    version: PathBuf,
}

impl Sdk {
    /// The one that `toolchain/dotnet.sh` got.
    #[must_use]
    pub fn find() -> Option<Sdk> {
        let (dotnet, sdks) = (cache().join("net9/dotnet"), cache().join("sdk31/sdk"));
        let versions = std::fs::read_dir(sdks).ok()?.flatten().map(|entry| entry.path());
        let version = versions.filter(|path| path.join("Roslyn/bincore/csc.dll").is_file()).max()?;
        dotnet.is_file().then_some(Sdk { dotnet, version })
    }

    /// `dotnet` without a registry; everything that it writes is in `target/dotnet/obj` or where the arguments say.
    #[must_use]
    pub fn dotnet(&self) -> Command {
        let mut command = Command::new(&self.dotnet);
        let own = output().join("obj");
        command.env("DOTNET_CLI_HOME", own.join("home")).env("NUGET_PACKAGES", own.join("packages"));
        for (name, value) in [
            ("DOTNET_ROLL_FORWARD", "Major"),
            ("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1"),
            ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
            ("DOTNET_SKIP_FIRST_TIME_EXPERIENCE", "1"),
            ("DOTNET_NOLOGO", "1"),
            ("MSBUILDDISABLENODEREUSE", "1"),
        ] {
            command.env(name, value);
        }
        command
    }

    /// The C# compiler against the reference assembly of .NET Standard 2.0, every warning an error.
    fn compiler(&self) -> Result<Command> {
        let config = output().join("obj/csc.runtimeconfig.json");
        std::fs::create_dir_all(output().join("obj"))?;
        std::fs::write(&config, RUNTIME_CONFIG)?;
        let mut csc = self.dotnet();
        csc.args(["exec", "--runtimeconfig"]).arg(config).arg(self.version.join("Roslyn/bincore/csc.dll"));
        csc.args(["-nologo", "-noconfig", "-nostdlib", "-langversion:7.2", "-warnaserror", "-unsafe"]);
        csc.args(["-optimize", "-debug:portable", "-deterministic", "-define:NETSTANDARD2_0"]);
        csc.arg(option("-r:", &self.version.join("ref/netstandard.dll")));
        Ok(csc)
    }
}

/// Compiles everything for .NET Framework 4.0 with mono's compiler.
///
/// # Errors
/// With what cargo or the compiler says.
pub fn build_framework(release: bool) -> Result<()> {
    ensure!(has_mono(), "the C# compiler and runtime are missing: {GET_MONO}");
    let mcs = || {
        let mut mcs = Command::new("mcs");
        mcs.args(["-sdk:4.0-api", "-langversion:7.2", "-warnaserror", "-unsafe", "-optimize", "-debug"]);
        mcs.args(["-define:NET40", "-r:System.dll", "-r:System.Core.dll"]);
        Ok(mcs)
    };
    build(&output(), "exe", release, mcs)
}

/// Compiles everything for .NET Standard 2.0.
///
/// # Errors
/// With what cargo or the compiler says.
pub fn build_standard(sdk: &Sdk, release: bool) -> Result<()> {
    let out = standard_output();
    build(&out, "dll", release, || sdk.compiler())?;
    for (program, _) in PROGRAMS {
        std::fs::write(out.join(format!("{program}.runtimeconfig.json")), RUNTIME_CONFIG)?;
    }
    Ok(())
}

/// Compiles all assemblies and puts the native library beside them.
fn build(out: &Path, extension: &str, release: bool, compiler: impl Fn() -> Result<Command>) -> Result<()> {
    std::fs::create_dir_all(out.join("spec")).with_context(|| out.display().to_string())?;
    let library = native::library(release)?.join(library_name());
    std::fs::copy(&library, out.join(library_name())).with_context(|| library.display().to_string())?;
    // The surface as the specification has it, to be compared with ours.
    let mut surface = compiler()?;
    surface.args(["-target:library", "-nowarn:67,414"]).arg(root().join("docs/spec/tools/ManagedSurface.cs"));
    native::run(surface.arg(option("-out:", &out.join("spec/ManagedRSLib.dll"))))?;
    std::fs::copy(root().join("docs/spec/managed.md"), out.join("spec/managed.md"))?;
    stand_ins(out)?;
    let bindings = out.join("ManagedRSLib.dll");
    let mut library = compiler()?;
    library.arg("-target:library").arg(option("-doc:", &out.join("ManagedRSLib.xml")));
    native::run(library.arg(sources("ManagedRSLib")).arg(option("-out:", &bindings)))?;
    for (program, directory) in PROGRAMS {
        let mut command = compiler()?;
        command.arg(option("-r:", &bindings)).arg(sources(directory));
        native::run(command.arg(option("-out:", &out.join(format!("{program}.{extension}")))))?;
    }
    Ok(())
}

/// Libraries of the same name that are not ours, for tests: one of another interface, one of something else.
fn stand_ins(out: &Path) -> Result<()> {
    for (directory, text) in [
        ("other", "unsigned rsl_abi_version(void) { return 9u << 16; }\n"),
        ("foreign", "int something_else(void) { return 0; }\n"),
    ] {
        let directory = out.join(directory);
        std::fs::create_dir_all(&directory)?;
        let source = directory.join("library.c");
        std::fs::write(&source, text)?;
        let mut compiler = Command::new(Language::C.compilers().swap_remove(0));
        compiler.args(["-shared", "-fPIC", "-o"]).arg(directory.join(library_name())).arg(source);
        native::run(&mut compiler)?;
    }
    Ok(())
}

/// The file name of the native library.
#[must_use]
pub fn library_name() -> &'static str {
    if cfg!(windows) { "rsl.dll" } else { "librsl.so" }
}

/// All sources in a directory and below it.
fn sources(directory: &str) -> OsString {
    option("-recurse:", &root().join("csharp-bindings").join(directory).join("*.cs"))
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}
