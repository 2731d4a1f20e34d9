//! Builds `librsl` and C or C++ programs against it, for tests and for `cargo xtask cpp`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};

/// Names more flags for the compilers of C and C++, for example `-fsanitize=address`.
pub const TEST_FLAGS: &str = "RSL_TEST_FLAGS";
/// Names a program that runs test programs, with its arguments, for example `valgrind --quiet`.
pub const TEST_RUNNER: &str = "RSL_TEST_RUNNER";

/// The words of an environment variable.
fn words(variable: &str) -> Vec<String> {
    std::env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Starts a test program, below what `RSL_TEST_RUNNER` names.
#[must_use]
pub fn test_program(program: &Path) -> Command {
    let mut words = words(TEST_RUNNER).into_iter();
    match words.next() {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The top of the repository.
#[must_use]
pub fn root() -> &'static Path {
    // The package is a directory below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds.
#[must_use]
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

/// A path below the target directory for a program of this thread: a test runs in a thread of its own.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    let directory = target().join("test-programs");
    // Whoever writes the file says so if it is not there.
    let _ = std::fs::create_dir_all(&directory);
    directory.join(format!("{name}-{:?}", std::thread::current().id()).replace(['(', ')'], ""))
}

/// The directory that holds the library, which is built first.
///
/// # Errors
/// When cargo fails.
pub fn library(release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--quiet", "--package", "rsl-ffi"]);
    if release {
        cargo.arg("--release");
    }
    let output = cargo.output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "building rsl-ffi: {}", String::from_utf8_lossy(&output.stderr));
    Ok(target().join(if release { "release" } else { "debug" }))
}

/// The same, built once per test program.
///
/// # Errors
/// When cargo fails.
pub fn debug_library() -> Result<&'static Path> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = LIBRARY.get_or_init(|| library(false).map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// A language and how strictly it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C11.
    C,
    /// C++ of this standard: 11, 14, 17, 20.
    Cpp(u8),
}

impl Language {
    /// The compilers found here: `CC` or `cc`, `CXX` or `c++`; and clang where it is installed.
    #[must_use]
    pub fn compilers(self) -> Vec<OsString> {
        let (variable, usual, clangs) = match self {
            Language::C => ("CC", "cc", ["clang", "clang-19"]),
            Language::Cpp(_) => ("CXX", "c++", ["clang++", "clang++-19"]),
        };
        let mut found = vec![std::env::var_os(variable).unwrap_or_else(|| usual.into())];
        let works =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        found.extend(clangs.into_iter().find(works).map(OsString::from));
        found
    }

    fn standard(self) -> String {
        match self {
            Language::C => "-std=c11".to_owned(),
            Language::Cpp(year) => format!("-std=c++{year}"),
        }
    }
}

/// One compilation.
#[derive(Clone, Debug)]
pub struct Build {
    /// The language.
    pub language: Language,
    /// The compiler.
    pub compiler: OsString,
    /// More arguments.
    pub arguments: Vec<OsString>,
}

impl Build {
    /// With the first compiler of the language, every warning an error, no extensions of the compiler.
    #[must_use]
    pub fn new(language: Language) -> Build {
        let compiler = language.compilers().swap_remove(0);
        Build { language, compiler, arguments: Vec::new() }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Build {
        self.arguments.push(argument.into());
        self
    }

    /// The command without inputs and outputs.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.compiler);
        command.arg(self.language.standard()).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"]);
        command.arg("-I").arg(root().join("include")).args(&self.arguments);
        command.args(words(TEST_FLAGS));
        command
    }

    /// Compiles and links a program against the shared library, which it finds by itself.
    ///
    /// # Errors
    /// With what the compiler says.
    pub fn program(&self, sources: &[PathBuf], library: &Path, output: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(sources).arg("-o").arg(output).arg("-L").arg(library);
        command.arg(format!("-Wl,-rpath,{}", library.display())).args(["-lrsl", "-lpthread"]);
        run(&mut command)
    }

    /// Compiles and links a program with the static library.
    ///
    /// # Errors
    /// With what the compiler says.
    pub fn static_program(&self, sources: &[PathBuf], library: &Path, output: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(sources).arg("-o").arg(output).arg(library.join("librsl.a"));
        command.args(["-lpthread", "-ldl", "-lm"]);
        run(&mut command)
    }
}

/// Runs a command to its end.
///
/// # Errors
/// With what it printed.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{command:?} ended with {}\n{out}{err}", output.status);
    }
    Ok(())
}

/// Builds the C++ host and the samples under `target/cpp/`; gives their paths, the host first.
///
/// # Errors
/// With what cargo or a compiler says.
pub fn build_programs(release: bool) -> Result<Vec<PathBuf>> {
    let (library, output) = (library(release)?, target().join("cpp"));
    std::fs::create_dir_all(&output)?;
    let mut programs = vec![("rsl-host".to_owned(), root().join("compat-tests/cpp/host/main.cc"))];
    for directory in ["compat-tests/c/samples", "compat-tests/cpp/samples"] {
        for entry in std::fs::read_dir(root().join(directory)).context(directory)? {
            let path = entry?.path();
            if let (Some("c" | "cc"), Some(stem)) =
                (path.extension().and_then(|e| e.to_str()), path.file_stem().and_then(|s| s.to_str()))
            {
                programs.push((stem.to_owned(), path.clone()));
            }
        }
    }
    programs[1..].sort();
    let mut built = Vec::new();
    for (name, source) in programs {
        let is_c = source.extension().is_some_and(|extension| extension == "c");
        let language = if is_c { Language::C } else { Language::Cpp(11) };
        let program = output.join(name);
        Build::new(language).arg("-O1").program(&[source], &library, &program)?;
        built.push(program);
    }
    Ok(built)
}
