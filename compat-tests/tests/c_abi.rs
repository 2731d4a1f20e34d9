//! The C ABI as a C program sees it: the header, the exported symbols, the layouts, and programs in C against the library.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use compat_tests::native::{Build, Language, debug_library, root, run, scratch, test_program};

fn source(name: &str) -> PathBuf {
    root().join("compat-tests/c").join(name)
}

/// A port with a free one behind it; ours as long as this process lives.
fn free_port() -> u16 {
    let lease = migration::host::ports::lease(1).unwrap().remove(0);
    let port = lease.first();
    std::mem::forget(lease);
    port
}

/// Compiles a program, for this test alone.
fn program(name: &str) -> PathBuf {
    let output = scratch(&format!("c-{name}"));
    let sources = [source(&format!("{name}.c")), source("check.c")];
    Build::new(Language::C).program(&sources, debug_library().unwrap(), &output).unwrap();
    output
}

fn output(program: &Path, words: &[&str]) -> (Output, String) {
    let output = test_program(program).args(words).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

/// [CABI-2] [CABI-30] The committed header is the one that the code says, and compiles alone as C and as C++ with every
/// compiler found here.
#[test]
fn the_header_is_up_to_date_and_compiles() {
    let committed = std::fs::read_to_string(compat_tests::c_header::path()).unwrap();
    let generated = compat_tests::c_header::generate().unwrap();
    assert!(committed == generated, "include/rsl_c.h is not what `cargo xtask header` writes");
    let header = compat_tests::c_header::path();
    for language in [Language::C, Language::Cpp(11), Language::Cpp(20)] {
        for compiler in language.compilers() {
            let mut build = Build::new(language);
            build.compiler = compiler;
            let kind = if language == Language::C { "c" } else { "c++" };
            run(build.command().args(["-fsyntax-only", "-x", kind]).arg(&header)).unwrap();
        }
    }
}

/// [CABI-1] Exactly the functions of the header are exported.
#[test]
fn exported_symbols() {
    let library = debug_library().unwrap().join("librsl.so");
    let listed =
        Command::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(library).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let mut symbols: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    symbols.sort_unstable();
    let header = std::fs::read_to_string(compat_tests::c_header::path()).unwrap();
    for symbol in &symbols {
        assert!(symbol.starts_with("rsl_"), "{symbol}");
        assert!(header.contains(&format!("{symbol}(")), "{symbol} is not in the header");
    }
    insta::assert_snapshot!("symbols", symbols.join("\n"));
}

/// Neither the simulator nor the model of the old library is in the libraries: not in a build of the package, and not in
/// one of the whole workspace, where the features that any package asks for are on for all.
#[test]
fn the_libraries_hold_no_simulator_and_no_model() {
    let directory = debug_library().unwrap();
    for library in ["librsl.so", "librsl.a"] {
        let bytes = std::fs::read(directory.join(library)).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        // As parts of symbols, mangled in whatever way.
        assert!(holds("rsl_core6engine"), "{library}: the search finds nothing");
        for word in ["rsl_core3sim", "12legacy_model", "LegacyModel", "legacy crash"] {
            assert!(!holds(word), "{library} holds {word}");
        }
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = |package: &str, edges: &str| {
        let mut command = Command::new(&cargo);
        command.current_dir(root()).args(["tree", "--workspace", "--edges", edges, "--invert", package]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let features = tree("rsl-core", "features,no-dev");
    assert!(features.contains("feature \"runtime\""), "{features}");
    assert!(!features.contains("feature \"sim\""), "{features}");
    let users = tree("legacy-model", "normal");
    assert!(users.contains("migration") && !users.contains("rsl-ffi"), "{users}");
}

/// [CABI-7] [CABI-9] [API-8] Sizes and offsets, as the C compiler sees them, are frozen; the library has the same sizes.
#[test]
fn struct_layouts() {
    let (done, text) = output(&program("layout"), &[]);
    assert!(done.status.success(), "{text}");
    assert!(text.starts_with("rsl_node 336\n"), "{text}");
    insta::assert_snapshot!("layouts", text);
}

/// [CABI-3] [CABI-5] [CABI-6] [CABI-10] [CABI-16] [CABI-17] [CABI-32] [CABI-38] [CABI-39] [CABI-40] [CABI-41] [API-45]
/// [HARD-541] [HARD-505] NULL for every pointer, sizes that cannot be, numbers out of range: the documented code, and
/// nothing happens.
#[test]
fn wrong_arguments_are_refused() {
    let (done, text) = output(&program("arguments"), &[]);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}

/// [CABI-12] [CABI-13] [CABI-15] [CABI-18] [CABI-20] [CABI-21] [CABI-22] [CABI-31] [CABI-33] [CABI-34] [CABI-35]
/// [CABI-36] [CABI-42] [API-32] [API-33] [API-34] [API-37] [API-38] [API-40] [API-41] [API-42] [API-55] [API-56]
/// [API-64] [API-65] [API-69] [API-107] [HARD-528] [HARD-533] [HARD-534] [HARD-542] [HARD-543] [HARD-545] [HARD-546]
/// [HARD-555] [HARD-560] [HARD-562] A sole member through its whole life, with the shared library.
#[test]
fn a_sole_member_lives_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy.codex"));
    let words = [data.to_str().unwrap(), copy.to_str().unwrap(), &free_port().to_string()];
    let (done, text) = output(&program("single"), &words);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}

/// The same program with the static library.
#[test]
fn the_static_library_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy, program) =
        (dir.path().join("data"), dir.path().join("copy.codex"), dir.path().join("program"));
    let sources = [source("single.c"), source("check.c")];
    Build::new(Language::C).static_program(&sources, debug_library().unwrap(), &program).unwrap();
    let words = [data.to_str().unwrap(), copy.to_str().unwrap(), &free_port().to_string()];
    let (done, text) = output(&program, &words);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}

/// Runs `ends.c` in one of its ways; gives the exit code and what it printed.
fn end(way: &str) -> (Option<i32>, String) {
    end_with(way, "")
}

/// The same, with a thread that panics.
fn end_with(way: &str, panic_thread: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut command = Command::new(program("ends"));
    command.args([way, data.to_str().unwrap(), &free_port().to_string()]);
    let done = command.env("RSL_PANIC_THREAD", panic_thread).output().unwrap();
    let text = format!("{done:?}");
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_ne!(done.status.code(), Some(99), "{text}");
    (done.status.code(), stdout)
}

/// [CABI-25] [API-118] [API-116] The fatal path: log, notification, line, policy, exit code 1; the policy cannot stop it.
/// Without dumps it aborts.
#[test]
fn the_fatal_path_is_told_and_ends_with_1() {
    let told = "log level=5 title=on purpose\nnotify level=5 id=1 title=on purpose message=NULL\n\
                Assert -- librsl, 0: on purpose\non_exit machine=0 reason=2 code=1\n";
    assert_eq!(end("fatal-keep"), (Some(1), told.to_owned()));
    assert_eq!(end("abort"), (None, told.to_owned()));
}

/// [CABI-16] [CABI-20] [HARD-544] A released handle, and a machine destroyed inside its own callback, take the fatal path.
#[test]
fn misuse_of_handles_is_fatal() {
    for (way, word) in [("released", "after its release"), ("destroy-inside", "inside a callback")] {
        let (code, text) = end(way);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

/// [CABI-26] [API-55] [API-56] [API-117] [HARD-576] Without threads of its own, an application that unloads ends with 0,
/// also from inside a callback; the exit policy can keep the process.
#[test]
fn an_unload_ends_the_process_unless_the_policy_says_no() {
    for way in ["unload", "unload-inside"] {
        assert_eq!(end(way), (Some(0), "on_exit machine=1 reason=1 code=0\n".to_owned()), "{way}");
    }
    assert_eq!(end("unload-all"), (Some(0), "on_exit machine=0 reason=1 code=0\n".to_owned()));
    let kept = "on_exit machine=1 reason=1 code=0\nstill here\n".to_owned();
    assert_eq!(end("unload-keep"), (Some(7), kept));
}

/// [API-46] [API-24] [API-112] A refused configuration is notified, and the field is named in the log.
#[test]
fn a_refused_start_is_notified() {
    let (code, text) = end("config");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("notify level=4 id=3 title=Could not load config message=NULL\n"), "{text}");
    assert!(text.contains("log level=4 title=Could not load config\n"), "{text}");
}

/// [CABI-21] [HARD-548] 24 threads on one handle, beside machines that come and go: nothing is lost, every cookie
/// comes back once.
#[test]
fn many_threads_on_one_handle() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (done, text) = output(&program("threads"), &[data.to_str().unwrap(), &free_port().to_string()]);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}

/// [CABI-24] [CABI-45] A panic in any thread of the library takes the fatal path: log entry, notification, line, exit policy,
/// exit code 1. (The thread of a transfer: `cpp_api`.)
#[test]
fn a_panic_in_any_thread_is_fatal() {
    for thread in [
        "rsl loop",
        "rsl callbacks",
        "rsl execute",
        "rsl reader",
        "rsl resolver",
        "rsl copy",
        "clean-up",
        "rsl-learn-accept",
        "rsl-learn",
    ] {
        let (code, text) = end_with("busy", thread);
        let what = format!("thread {thread} panicked: asked for by RSL_PANIC_THREAD");
        let told = format!(
            "log level=5 title={what}\nnotify level=5 id=1 title={what} message=NULL\n\
             Assert -- librsl, 0: {what}\non_exit machine=0 reason=2 code=1\n"
        );
        assert!(code == Some(1) && text.ends_with(&told), "{thread}: {code:?} {text}");
    }
}

/// [CABI-24] Every exported function is one that cannot panic, or runs its body behind the guard that catches.
#[test]
fn every_exported_function_is_guarded() {
    // Numbers in, numbers out.
    let plain = [
        "rsl_abi_version",
        "rsl_struct_size",
        "rsl_set_minidump_enabled",
        "rsl_enable_listen_on_all_ips",
        "rsl_tick_count_us",
        "rsl_tls_is_enabled",
        // Copies text that is there; its buffer is guarded.
        "rsl_last_error",
    ];
    let mut exported = 0;
    for entry in std::fs::read_dir(root().join("rsl-ffi/src")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for function in text.split("#[unsafe(no_mangle)]").skip(1) {
            let end = function.find("\n}\n").unwrap();
            let function = &function[..end];
            let name = function.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            let guarded = function.contains("guard!(") || function.contains("stream!(");
            assert!(guarded || plain.contains(&name), "{}: {name} is not guarded", path.display());
            exported += 1;
        }
    }
    assert!(exported > 60, "{exported} functions found");
}

/// Runs `loops.c`.
fn lives(rounds: u32) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let words = [data.to_str().unwrap(), &free_port().to_string(), &rounds.to_string()];
    // What the C library keeps per thread for the next allocation is not in use.
    let mut command = test_program(&program("loops"));
    let done = command.args(words).env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0").output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}

/// [CABI-14] [CABI-23] [CABI-27] Machines come and go: threads, files and memory of the process stay as they were. The library
/// changes no signal handler; a child that executes another program inherits nothing of it.
#[cfg(target_os = "linux")]
#[test]
fn nothing_stays_behind_a_machine() {
    lives(150);
}

/// [CABI-44] A thousand times.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: nightly"]
fn a_thousand_lives_leave_nothing_behind() {
    lives(1000);
}

/// [CABI-27] What would install a handler at exit is not even imported.
#[cfg(target_os = "linux")]
#[test]
fn no_handlers_are_installed() {
    let library = debug_library().unwrap().join("librsl.so");
    let listed =
        Command::new("nm").args(["--dynamic", "--undefined-only", "--format=posix"]).arg(library).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split([' ', '@']).next()).collect();
    assert!(names.contains(&"malloc"), "{listed}");
    for name in ["atexit", "on_exit", "__cxa_atexit", "signal"] {
        assert!(!names.contains(&name), "{name} is imported");
    }
}

/// [CABI-4] One calling convention, that of the platform; 64-bit targets only.
#[test]
fn the_header_is_for_64_bit_targets() {
    let header = compat_tests::c_header::path();
    let text = std::fs::read_to_string(&header).unwrap();
    for word in ["__stdcall", "__cdecl", "__fastcall", "__attribute__", "__declspec"] {
        assert!(!text.contains(word), "{word}");
    }
    let compile = |more: &[&str]| {
        let mut command = Build::new(Language::C).command();
        run(command.args(["-fsyntax-only", "-ffreestanding", "-x", "c"]).args(more).arg(&header))
    };
    compile(&[]).unwrap();
    if cfg!(target_arch = "x86_64") {
        let refused = format!("{:#}", compile(&["-m32"]).unwrap_err());
        assert!(refused.contains("64-bit targets"), "{refused}");
    }
}

/// The declarations of a header without comments, each on one line.
fn declarations(text: &str) -> Vec<String> {
    // The one comment of this kind is at the top.
    let text = text.split_once("*/").map_or(text, |(_, rest)| rest);
    let mut found = Vec::new();
    let (mut depth, mut current) = (0_i32, String::new());
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        // What surrounds all of it for C++.
        if line.starts_with("extern \"C\"") || (depth == 0 && line == "}") {
            continue;
        }
        if line.starts_with('#') {
            found.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
            continue;
        }
        for character in line.chars().chain([' ']) {
            depth += i32::from(character == '{') - i32::from(character == '}');
            current.push(character);
            if character == ';' && depth == 0 {
                found.push(std::mem::take(&mut current).split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    found
}

/// [CABI-8] Whatever version 1.0 declared is still there: functions and constants as they were, structs with more fields at
/// their end at most. A program compiled for 1.0 runs on this library.
#[test]
fn the_interface_only_grows() {
    let old = root().join("compat-tests/c/abi-1.0.h");
    let new = declarations(&std::fs::read_to_string(compat_tests::c_header::path()).unwrap());
    let minor = |line: &str| line.starts_with("#define RSL_ABI_MINOR");
    let known = declarations(&std::fs::read_to_string(&old).unwrap());
    assert!(known.iter().filter(|declaration| declaration.ends_with(");")).count() > 60, "{known:?}");
    for declaration in known {
        let same = new.contains(&declaration) || minor(&declaration);
        let longer =
            declaration.strip_suffix("}").or_else(|| declaration.rsplit_once("} ").map(|(body, _)| body));
        let grown = longer.is_some_and(|fields| {
            fields.contains("uint32_t struct_size;") && new.iter().any(|line| line.starts_with(fields))
        });
        assert!(same || grown, "gone or changed: {declaration}");
    }
    let (dir, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = bin.path().join("single-1.0");
    // As check.c asks for, before the first header.
    let build = Build::new(Language::C).arg("-D_POSIX_C_SOURCE=200809L").arg("-include").arg(&old);
    build.program(&[source("single.c"), source("check.c")], debug_library().unwrap(), &program).unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy.codex"));
    let words = [data.to_str().unwrap(), copy.to_str().unwrap(), &free_port().to_string()];
    let (done, text) = output(&program, &words);
    assert!(done.status.success() && done.stdout == b"done\n", "{text}");
}
