//! The Windows build: what the DLL exports and needs, programs in C and C++ against it under Wine, and sets of hosts under
//! Wine, alone and together with Linux hosts. `cargo xtask windows --test` builds what they need and runs them; their names begin with `windows_` so that other
//! runs of long tests can leave them out.

#![cfg(unix)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use compat_tests::managed::{GET_DOTNET, Runtime, Sdk, build_standard, standard_output, windows_dotnet};
use compat_tests::native::{Language, debug_library, root, run, target};
use compat_tests::windows::{
    built, compiler, exports_and_imports, host_template, program, static_program, wine,
};

/// A port with a free one behind it.
fn free_port() -> String {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port.to_string();
        }
    }
}

/// Where programs are compiled to, beside a copy of the DLL.
fn bin() -> &'static Path {
    static BIN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(built("rsl.dll").unwrap(), dir.path().join("rsl.dll")).unwrap();
        dir
    };
    BIN.get_or_init(make).path()
}

fn c(name: &str) -> PathBuf {
    root().join("compat-tests/c").join(name)
}

fn cpp(name: &str) -> PathBuf {
    root().join("compat-tests/cpp/tests").join(name)
}

/// Runs a program under Wine; gives its exit code and what it printed, errors first, with the line ends of this system.
fn output(program: &Path, words: &[&str]) -> (Option<i32>, String) {
    let done = wine(program).args(words).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&done.stdout));
    (done.status.code(), text.replace("\r\n", "\n"))
}

fn succeeds(program: &Path, words: &[&str]) {
    let (code, text) = output(program, words);
    assert!(code == Some(0) && text.ends_with("done\n"), "{}: {code:?} {text}", program.display());
}

/// [CABI-1] The DLL exports what the shared object exports: the functions of the header, nothing else.
#[test]
#[ignore = "needs the Windows build"]
fn windows_dll_exports_the_header() {
    let (exports, _) = exports_and_imports(&built("rsl.dll").unwrap()).unwrap();
    let listed = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(debug_library().unwrap().join("librsl.so"))
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut shared: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    shared.sort_unstable();
    assert_eq!(exports, shared);
    insta::assert_snapshot!("exports", exports.join("\n"));
    let definition = std::fs::read_to_string(built("rsl.def").unwrap()).unwrap();
    assert!(exports.iter().all(|name| definition.lines().any(|line| line.trim() == name)));
}

/// Library, tools and C++ host need DLLs of Windows 10 and nothing else.
#[test]
#[ignore = "needs the Windows build"]
fn windows_needs_only_system_libraries() {
    let needed: Vec<String> = ["rsl.dll", "rsl.exe", "rsl-host.exe"]
        .iter()
        .map(|name| {
            let (_, imports) = exports_and_imports(&built(name).unwrap()).unwrap();
            format!("{name}: {}", imports.join(" "))
        })
        .collect();
    insta::assert_snapshot!("imports", needed.join("\n"));
}

/// [CABI-7] [CABI-9] [API-8] Sizes and offsets under Windows are those of every other system: as mingw has them, where the
/// DLL agrees, and as clang has them with Microsoft's ABI.
#[test]
#[ignore = "needs the Windows build"]
fn windows_layouts_are_those_of_every_system() {
    let layout = bin().join("layout.exe");
    program(Language::C, &[c("layout.c"), c("check.c")], &layout).unwrap();
    let (code, text) = output(&layout, &[]);
    assert_eq!(code, Some(0), "{text}");
    let frozen = std::fs::read_to_string(root().join("compat-tests/tests/snapshots/c_abi__layouts.snap"));
    let frozen = frozen.unwrap();
    let frozen = frozen.splitn(3, "---\n").nth(2).unwrap();
    assert_eq!(text.trim_end(), frozen.trim_end());

    let mut asserts = "#include <stddef.h>\n#include \"rsl_c.h\"\n".to_owned();
    let mut owner = "";
    for line in frozen.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let more = match words[..] {
            [name, size] => {
                owner = name;
                format!("_Static_assert(sizeof({name}) == {size}, \"{name}\");\n")
            }
            [field, offset, size] => format!(
                "_Static_assert(offsetof({owner}, {field}) == {offset} && sizeof((({owner} *)0)->{field}) == {size}, \
                 \"{owner}.{field}\");\n"
            ),
            _ => panic!("{line}"),
        };
        asserts.push_str(&more);
    }
    assert!(asserts.lines().count() > 100);
    let source = bin().join("msvc.c");
    std::fs::write(&source, asserts).unwrap();
    for language in ["c", "c++"] {
        let mut clang = Command::new("clang-19");
        clang.args([
            "--target=x86_64-pc-windows-msvc",
            "-fsyntax-only",
            "-ffreestanding",
            "-Wall",
            "-Wextra",
        ]);
        clang.args(["-Werror", "-I"]).arg(root().join("include"));
        if language == "c++" {
            clang.arg("-D_Static_assert=static_assert");
        }
        run(clang.args(["-x", language]).arg(&source)).unwrap();
    }
}

/// [CABI-3] [CABI-5] [CABI-6] [CABI-10] [CABI-12] [CABI-13] [CABI-18] [CABI-21] [CABI-38] The C programs do under Wine what
/// they do here, against the DLL and with the static library.
#[test]
#[ignore = "needs the Windows build"]
fn windows_c_programs() {
    let arguments = bin().join("arguments.exe");
    program(Language::C, &[c("arguments.c"), c("check.c")], &arguments).unwrap();
    succeeds(&arguments, &[]);
    for name in ["single", "threads"] {
        let sources = [c(&format!("{name}.c")), c("check.c")];
        let (shared, fixed) = (bin().join(format!("{name}.exe")), bin().join(format!("{name}-static.exe")));
        program(Language::C, &sources, &shared).unwrap();
        static_program(Language::C, &sources, &fixed).unwrap();
        for built in [shared, fixed] {
            let dir = tempfile::tempdir().unwrap();
            let (data, copy, port) = (dir.path().join("data"), dir.path().join("copy.codex"), free_port());
            let mut words = vec![data.to_str().unwrap(), &port];
            if name == "single" {
                words.insert(1, copy.to_str().unwrap());
            }
            succeeds(&built, &words);
        }
    }
}

/// [CABI-25] [CABI-26] [API-55] [API-116] [API-117] [API-118] The ways a process ends, through the DLL: the exit codes are
/// those that a service manager sees. Without dumps the process fails fast.
#[test]
#[ignore = "needs the Windows build"]
fn windows_ends_of_processes() {
    let (ends, cpp_ends) = (bin().join("ends.exe"), bin().join("cpp-ends.exe"));
    program(Language::C, &[c("ends.c"), c("check.c")], &ends).unwrap();
    program(Language::Cpp(11), &[cpp("ends.cc")], &cpp_ends).unwrap();
    let end = |program: &Path, way: &str| {
        let dir = tempfile::tempdir().unwrap();
        output(program, &[way, dir.path().join("data").to_str().unwrap(), &free_port()])
    };
    for (way, code, last) in [
        ("fatal-keep", 1, "on_exit machine=0 reason=2 code=1\n"),
        // Windows gives the number of the exception, Wine always STATUS_FAIL_FAST_EXCEPTION; this system sees eight bits of it.
        ("abort", 0xC000_0602_u32.cast_signed() & 0xff, "on_exit machine=0 reason=2 code=1\n"),
        ("unload", 0, "on_exit machine=1 reason=1 code=0\n"),
        ("unload-inside", 0, "on_exit machine=1 reason=1 code=0\n"),
        ("unload-keep", 7, "still here\n"),
    ] {
        let (found, text) = end(&ends, way);
        assert!(found == Some(code) && text.contains(last), "{way}: {found:?} {text}");
    }
    for (way, code, last) in [
        ("exception", 1, "exception escaped ExecuteReplicatedRequest"),
        ("index", 1, "RSLNodeCollection: index out of range"),
        ("unload", 0, ""),
        ("leave", 7, "running\n"),
        ("tls", 0, "refused\n"),
    ] {
        let (found, text) = end(&cpp_ends, way);
        assert!(found == Some(code) && text.contains(last), "{way}: {found:?} {text}");
    }
}

/// [API-1] [API-2] [API-3] [API-8] [API-41] [API-43] [API-44] The C++ programs do with <windows.h> what they do without:
/// value classes, every member of the state machine, streams, checkpoint utilities, ten rings in one process.
#[test]
#[ignore = "needs the Windows build"]
fn windows_cpp_programs() {
    let built = |name: &str, sources: &[&str]| {
        let output = bin().join(format!("cpp-{name}.exe"));
        let sources: Vec<PathBuf> = sources.iter().map(|name| cpp(name)).collect();
        program(Language::Cpp(11), &sources, &output).unwrap();
        output
    };
    succeeds(&built("values", &["values.cc", "second.cc"]), &[]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    succeeds(&built("machine", &["machine.cc"]), &[&path("data"), &path("copy.codex"), &free_port()]);
    for name in ["utility", "streams"] {
        std::fs::create_dir(path(name)).unwrap();
        succeeds(&built(name, &[&format!("{name}.cc")]), &[&path(name)]);
    }
    let mut words = vec![path("rings")];
    words.extend((0..10).map(|_| free_port()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    std::fs::create_dir(path("rings")).unwrap();
    succeeds(&built("rings", &["rings.cc"]), &words);
    for year in [14, 17, 20] {
        for name in ["rsl.h", "rslutil.h", "rsl_win32.h"] {
            let text = format!("#include \"{name}\"\nint main() {{ return 0; }}\n");
            let source = bin().join("header.cc");
            std::fs::write(&source, text).unwrap();
            run(compiler(Language::Cpp(year)).arg("-fsyntax-only").arg(source)).unwrap();
        }
    }
}

/// [CABI-12] A path in the process's code page finds the file and comes back in that code page; the C ABI takes UTF-8.
#[test]
#[ignore = "needs the Windows build"]
fn windows_paths_are_in_the_code_page() {
    let exe = bin().join("codepage.exe");
    program(Language::Cpp(11), &[cpp("codepage.cc")], &exe).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let green = dir.path().join("gr\u{fc}n");
    std::fs::create_dir(&green).unwrap();
    std::fs::write(green.join("5.codex"), b"").unwrap();
    let mut command = wine(&exe);
    let done = command.current_dir(dir.path()).env("LC_ALL", "C.UTF-8").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.trim_end() == "done", "{done:?}");
}

/// A program in Microsoft's ABI, linked by a linker that takes Microsoft's import libraries, calls the DLL.
#[test]
#[ignore = "needs the Windows build"]
fn windows_import_library_serves_other_linkers() {
    let (object, exe) = (bin().join("tiny.obj"), bin().join("tiny.exe"));
    let source = bin().join("tiny.c");
    let text = "#include \"rsl_c.h\"\nint start(void) { return rsl_checksum(\"abc\", 3) == 0 ? 1 : \
                rsl_struct_size(0) == sizeof(rsl_node) ? 42 : 2; }\n";
    std::fs::write(&source, text).unwrap();
    let mut clang = Command::new("clang-19");
    clang.args(["--target=x86_64-pc-windows-msvc", "-ffreestanding", "-c", "-I"]).arg(root().join("include"));
    run(clang.arg(&source).arg("-o").arg(&object)).unwrap();
    let mut lld = Command::new("lld-link-19");
    lld.args(["/entry:start", "/subsystem:console", "/nodefaultlib"])
        .arg(&object)
        .arg(built("rsl.lib").unwrap());
    lld.arg(format!("/out:{}", exe.display()));
    run(&mut lld).unwrap();
    assert_eq!(output(&exe, &[]).0, Some(42));
}

/// The program `rsl` of this system.
fn rsl() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).current_dir(root()).args(["build", "--quiet", "--package", "migration"]))
            .unwrap();
    });
    target().join("debug/rsl")
}

fn cpp_host() -> String {
    host_template(&built("rsl-host.exe").unwrap(), "")
}

fn rust_host() -> String {
    host_template(&built("rsl.exe").unwrap(), "replica")
}

fn demo(words: &[&str]) {
    run(Command::new(rsl()).args(["demo", "--json", "--requests", "1000"]).args(words)).unwrap();
}

/// The directories that a demo left, one for each replica.
fn data_directories(demo: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![demo.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                found.push(directory.clone());
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What `rsl inspect --json` says of a directory, without what belongs to one system.
fn inspected(mut rsl: Command, directory: &Path) -> String {
    let done = rsl.args(["inspect", "--json"]).arg(directory).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    String::from_utf8(done.stdout).unwrap().replace("\r\n", "\n").replace("\\\\", "/")
}

/// Three C++ hosts under Wine elect, replicate, are killed, come back and save a checkpoint. Both systems read what they
/// left, and see the same in it; so they do in what Linux hosts leave.
#[test]
#[ignore = "needs the Windows build"]
fn windows_set_and_its_directories() {
    for (version, host) in [("6", Some(cpp_host())), ("2", Some(rust_host())), ("4", None)] {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        let mut words = vec!["--kills", "2", "--protocol", version, "--dir", kept.to_str().unwrap()];
        words.extend(host.iter().flat_map(|host| ["--host", host]));
        demo(&words);
        let directories = data_directories(&kept);
        assert_eq!(directories.len(), 3);
        for directory in directories {
            let windows = built("rsl.exe").unwrap();
            for mut verify in [Command::new(rsl()), wine(&windows)] {
                run(verify.arg("verify").arg(&directory)).unwrap();
            }
            let (here, there) =
                (inspected(Command::new(rsl()), &directory), inspected(wine(&windows), &directory));
            assert_eq!(here, there);
        }
    }
}

/// Hosts under Wine and hosts of this system in one set: kills, a checkpoint, growth, a bootstrap; nothing is lost and the
/// states are the same.
#[test]
#[ignore = "needs the Windows build"]
fn windows_and_linux_hosts_agree() {
    let (cpp, rust) = (cpp_host(), rust_host());
    for version in ["1", "3", "6"] {
        demo(&["--kills", "2", "--protocol", version, "--host", &cpp, "--host", "rsl", "--host", &rust]);
    }
    for scenario in ["bootstrap", "grow"] {
        run(Command::new(rsl()).args([
            "demo",
            "--json",
            "--scenario",
            scenario,
            "--host",
            &cpp,
            "--host",
            "rsl",
        ]))
        .unwrap();
    }
}

/// One replica at a time goes from Linux to Windows and back, each on its own directory; that includes copies of
/// checkpoints in both directions.
#[test]
#[ignore = "needs the Windows build"]
fn windows_upgrade_and_back() {
    let host = cpp_host();
    run(Command::new(rsl()).args(["upgrade", "classic-3-rollback", "--json", "--new", &host])).unwrap();
}

/// The whole host contract, with the hosts under Wine.
#[test]
#[ignore = "needs the Windows build"]
fn windows_hosts_conform() {
    for host in [cpp_host(), rust_host()] {
        run(Command::new(rsl()).args(["conformance", "--host", &host])).unwrap();
    }
}

/// The managed bindings on .NET Core for Windows, over the DLL: their tests, the host contract, and a set with hosts in
/// C# under Wine, in C# here and in Rust.
#[test]
#[ignore = "needs the Windows build"]
fn windows_managed_bindings() {
    let dotnet = windows_dotnet();
    assert!(dotnet.is_file(), "{} is missing: {GET_DOTNET}", dotnet.display());
    build_standard(&Sdk::find().expect(GET_DOTNET), false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(standard_output()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.extension().is_none_or(|extension| extension != "so") {
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::create_dir(dir.path().join("spec")).unwrap();
    for name in ["spec/ManagedRSLib.dll", "spec/managed.md"] {
        std::fs::copy(standard_output().join(name), dir.path().join(name)).unwrap();
    }
    std::fs::copy(built("rsl.dll").unwrap(), dir.path().join("rsl.dll")).unwrap();
    for stand_in in ["other", "foreign"] {
        std::fs::create_dir(dir.path().join(stand_in)).unwrap();
        let mut gcc = Command::new("x86_64-w64-mingw32-gcc-posix");
        gcc.arg("-shared").arg(standard_output().join(stand_in).join("library.c"));
        run(gcc.arg("-o").arg(dir.path().join(stand_in).join("rsl.dll"))).unwrap();
    }
    let assembly = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (code, text) = output(&dotnet, &[&assembly("ManagedRSLib.Tests.dll")]);
    assert!(code == Some(0) && text.contains(" passed, 0 failed"), "{code:?} {text}");

    let host = host_template(&dotnet, &assembly("RSLHost.dll"));
    run(Command::new(rsl()).args(["conformance", "--host", &host])).unwrap();
    let here = Runtime::all().into_iter().find(|runtime| runtime.name == ".NET Core 3.1").unwrap();
    demo(&["--kills", "2", "--host", &host, "--host", &here.host_template(), "--host", "rsl"]);
}
