//! `cargo xtask tidy`: what rustc and clippy cannot see. Also run as a test.
//!
//! 1. Line 1 of every Rust file says what the file is (`//! ...`).
//! 2. A file over 600 lines says why in a comment that begins with `Long file:`; 1,000 lines are too many.
//! 3. Modules use only what the layering of docs/ARCHITECTURE.md allows. Test code is not bound by it.
//! 4. No file names a directory of somebody's machine.
//! 5. Relative links between documents lead somewhere, and the service in the README is the example that is compiled.

use std::fmt;

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::sources::{Source, files, root};

const LONG: usize = 600;
const TOO_LONG: usize = 1000;

/// Text files that must not name a machine.
const TEXT: &[&str] = &[
    ".rs", ".md", ".toml", ".sh", ".yml", ".json", ".c", ".h", ".cc", ".hh", ".cs", ".py", ".txt", "run",
    ".in", ".service",
];

/// Runs all checks over the repository. True when there is no finding.
pub(crate) fn run() -> Result<bool> {
    let findings = check(&files(root(), TEXT)?)?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(findings.is_empty())
}

struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn check(sources: &[Source]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in sources {
        let mut add = |line, what: String| findings.push(Finding { path: source.path.clone(), line, what });
        machine_paths(source, &mut add);
        if source.path.ends_with(".md") {
            links(source, sources, &mut add);
        }
        if source.path == "README.md" {
            service(source, sources, &mut add);
        }
        if source.path.ends_with(".rs") {
            first_line(source, &mut add);
            length(source, &mut add);
            layering(source, &mut add)?;
        }
    }
    Ok(findings)
}

fn first_line(source: &Source, add: &mut dyn FnMut(usize, String)) {
    let first = source.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//! ").is_none_or(|words| words.trim().is_empty()) {
        add(1, "line 1 must say what the file is: `//! ...`".to_owned());
    }
}

fn length(source: &Source, add: &mut dyn FnMut(usize, String)) {
    let lines = source.text.lines().count();
    let justified = source.text.lines().any(|line| {
        let comment = line.trim_start().trim_start_matches('/').trim_start_matches('!').trim_start();
        line.trim_start().starts_with("//")
            && comment.strip_prefix("Long file:").is_some_and(|why| !why.trim().is_empty())
    });
    if lines > TOO_LONG {
        add(lines, format!("{lines} lines: split the file, {TOO_LONG} is the limit"));
    } else if lines > LONG && !justified {
        add(lines, format!("{lines} lines: split the file or say why in a comment `Long file: ...`"));
    }
}

fn machine_paths(source: &Source, add: &mut dyn FnMut(usize, String)) {
    // Put together here so that this file does not name them itself.
    let roots = ["work", "home", "root", "Users"].map(|dir| format!("/{dir}/"));
    for (index, line) in source.text.lines().enumerate() {
        for root in &roots {
            for (at, _) in line.match_indices(root.as_str()) {
                // Part of a longer path or of a URL is fine: `target/work/x`, `https://x.org/home/`.
                let before = line[..at].chars().next_back();
                if before.is_none_or(|c| !c.is_ascii_alphanumeric() && !"._-/}>*".contains(c)) {
                    add(index + 1, format!("names a directory of one machine ({root}...)"));
                }
            }
        }
    }
}

/// Every `](path)` names a file or directory beside the document.
fn links(source: &Source, all: &[Source], add: &mut dyn FnMut(usize, String)) {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (index, line) in source.text.lines().enumerate() {
        for target in
            line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
            for part in target.trim_end_matches('/').split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    name => parts.push(name),
                }
            }
            let path = parts.join("/");
            let below = format!("{path}/");
            if !all.iter().any(|file| file.path == path || file.path.starts_with(&below)) {
                add(index + 1, format!("the link {target} leads nowhere"));
            }
        }
    }
}

const EXAMPLE: &str = "rsl-core/examples/counter.rs";

/// The Rust code of the README is the example, without its header.
fn service(readme: &Source, all: &[Source], add: &mut dyn FnMut(usize, String)) {
    let code = readme
        .text
        .split_once("```rust\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .map(|(code, _)| code);
    let example = all.iter().find(|file| file.path == EXAMPLE);
    let compiled = example.and_then(|file| file.text.split_once("\n\n")).map(|(_, code)| code);
    if code.is_none() || code != compiled {
        add(1, format!("the Rust code differs from {EXAMPLE}"));
    }
}

/// Code below `layer` must not mention any of `never`.
struct Layer {
    layer: &'static str,
    never: &'static [&'static str],
}

/// Files, sockets, clocks, threads and what unites them.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::sync::mpsc",
    "mio",
    "tokio",
    "socket2",
    "parking_lot",
    "libc",
    "windows_sys",
    "getrandom",
    "crate::storage",
    "crate::net",
    "crate::replica",
    "crate::sim",
];

/// What makes two runs of the engine differ.
const UNSTABLE: &[&str] =
    &["HashMap", "HashSet", "std::collections::hash_map", "std::hash::RandomState", "rand"];

const LAYERS: &[Layer] = &[
    Layer { layer: "rsl-core/src/types", never: OUTSIDE },
    Layer { layer: "rsl-core/src/types", never: &["crate::wire", "crate::format", "crate::engine"] },
    Layer { layer: "rsl-core/src/wire", never: OUTSIDE },
    Layer { layer: "rsl-core/src/wire", never: &["crate::format", "crate::engine"] },
    Layer { layer: "rsl-core/src/format", never: OUTSIDE },
    Layer { layer: "rsl-core/src/format", never: &["crate::engine"] },
    Layer { layer: "rsl-core/src/engine", never: OUTSIDE },
    Layer { layer: "rsl-core/src/engine", never: UNSTABLE },
    Layer {
        layer: "rsl-core/src/storage",
        never: &["crate::net", "crate::replica", "crate::sim", "tokio", "mio"],
    },
    Layer { layer: "rsl-core/src/storage", never: &["crate::engine::Engine"] },
    Layer { layer: "rsl-core/src/net", never: &["crate::storage", "crate::replica", "crate::sim"] },
    Layer { layer: "rsl-core/src/net", never: &["crate::engine::Engine"] },
    Layer { layer: "rsl-core/src/replica", never: &["crate::sim"] },
    Layer {
        layer: "rsl-core/src/sim",
        never: &[
            "crate::net",
            "tokio",
            "mio",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    },
    Layer { layer: "rsl-core/src/sim", never: &["HashMap", "HashSet"] },
    // The boundary is over the driver and the offline tools; what they consist of is none of its business.
    Layer {
        layer: "rsl-ffi/src",
        never: &[
            "crate::engine",
            "crate::wire",
            "crate::format",
            "crate::net",
            "crate::sim",
            "crate::legacy_model",
        ],
    },
];

fn layering(source: &Source, add: &mut dyn FnMut(usize, String)) -> Result<()> {
    let in_tests = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
    let layers: Vec<&Layer> = LAYERS.iter().filter(|layer| within(&source.path, layer.layer)).collect();
    if in_tests || layers.is_empty() {
        return Ok(());
    }
    let tokens: TokenStream =
        source.text.parse().map_err(|e| anyhow::anyhow!("{e}")).context(source.path.clone())?;
    for (line, path) in paths_in(tokens) {
        let path = resolve(&path, &source.path);
        for layer in &layers {
            let hit = layer.never.iter().find(|never| names(&path, never));
            if let Some(never) = hit {
                add(line, format!("{} must not use {never} (found {path})", layer.layer));
            }
        }
    }
    Ok(())
}

/// Whether `file` is the module `layer` (a directory or a file of that name).
fn within(file: &str, layer: &str) -> bool {
    file.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Whether `path` is `never` or something below it. A single capitalised word is looked for everywhere.
fn names(path: &str, never: &str) -> bool {
    if never.starts_with(|c: char| c.is_ascii_uppercase()) {
        return path.split("::").any(|segment| segment == never);
    }
    path.strip_prefix(never).is_some_and(|rest| rest.starts_with("::"))
        || (path == never && (never.contains("::") || never.starts_with("crate")))
}

/// Turns leading `super` and `rsl_core` into `crate::...`; `core` and `alloc` name the same things as `std`.
fn resolve(path: &str, file: &str) -> String {
    let mut segments: Vec<&str> = path.split("::").collect();
    let supers = segments.iter().take_while(|segment| **segment == "super").count();
    if supers > 0 {
        let inside = file.split_once("/src/").map_or(file, |(_, rest)| rest);
        let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let mut parents: Vec<&str> = module.split('/').collect();
        parents.truncate(parents.len().saturating_sub(supers));
        segments.splice(..supers, std::iter::once("crate").chain(parents));
    } else if segments[0] == "rsl_core" && segments.len() > 1 {
        segments[0] = "crate";
    } else if ["core", "alloc"].contains(&segments[0]) && segments.len() > 1 {
        segments[0] = "std";
    }
    segments.join("::")
}

/// Every path in the code with its line (from 1): `use` trees are spelled out, macro arguments are included,
/// items under `#[cfg(test)]` are not.
fn paths_in(tokens: TokenStream) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    scan(tokens, "", &mut found);
    found
}

fn scan(tokens: TokenStream, prefix: &str, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                let test_only = matches!(tokens.get(at + 1), Some(TokenTree::Group(group))
                    if group.delimiter() == Delimiter::Bracket && group.to_string().replace(' ', "") == "[cfg(test)]");
                at += 1;
                if test_only {
                    at = end_of_item(&tokens, at + 1);
                }
            }
            TokenTree::Ident(ident) => {
                let line = ident.span().start().line;
                let mut path = join(prefix, &ident.to_string());
                at += 1;
                while is_colons(&tokens, at) {
                    at += 2;
                    match tokens.get(at) {
                        Some(TokenTree::Ident(next)) => {
                            path = join(&path, &next.to_string());
                            at += 1;
                        }
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            scan(group.stream(), &path, found);
                            at += 1;
                            break;
                        }
                        _ => break,
                    }
                }
                found.push((line, path));
            }
            TokenTree::Group(group) => {
                scan(group.stream(), "", found);
                at += 1;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

fn join(prefix: &str, segment: &str) -> String {
    if prefix.is_empty() { segment.to_owned() } else { format!("{prefix}::{segment}") }
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

/// The index after the item that starts at `at`: after its `;` or its braces.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let last = tokens[at..].iter().position(|token| match token {
        TokenTree::Punct(p) => p.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    });
    last.map_or(tokens.len(), |offset| at + offset + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&[source]).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_repository_is_tidy() {
        let found = check(&files(root(), TEXT).unwrap()).unwrap();
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(text.is_empty(), "{}", text.join("\n"));
    }

    #[test]
    fn every_way_to_reach_a_forbidden_module_is_seen() {
        for code in [
            "use std::collections::HashMap;",
            "use std::{collections::{BTreeMap, HashMap}, fmt};",
            "fn f() { let m = std::collections::HashMap::<u8, u8>::new(); }",
            "use crate::storage::Disk;",
            "use super::super::storage;",
            "use crate::{net, types};",
            "fn f() { assert!(std::time::Instant::now() > x); }",
            "use std::thread;",
            "fn f() { tokio::spawn(x); }",
        ] {
            let found = findings("rsl-core/src/engine/core.rs", &format!("//! Core.\n{code}\n"));
            assert!(!found.is_empty(), "{code}");
            assert!(found[0].starts_with("rsl-core/src/engine/core.rs:2: "), "{found:?}");
        }
    }

    #[test]
    fn the_c_abi_is_over_the_driver() {
        for code in ["use rsl_core::engine::StopReason;", "fn f() { rsl_core::wire::checksum(b); }"] {
            assert_eq!(findings("rsl-ffi/src/calls.rs", &format!("//! Calls.\n{code}\n")).len(), 1, "{code}");
        }
        let fine = "//! Calls.\nuse rsl_core::{checksum, replica::Replica, storage::OsDisk};\nuse crate::log::notify;\n";
        assert_eq!(findings("rsl-ffi/src/calls.rs", fine), [""; 0]);
    }

    #[test]
    fn allowed_uses_and_test_code_pass() {
        let text = "//! Core.\nuse std::collections::BTreeMap;\nuse crate::types::Instant;\nuse super::net_name;\n\
                    // std::thread in a comment\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }\n";
        assert_eq!(findings("rsl-core/src/engine/core.rs", text), [""; 0]);
        let hash = "//! X.\nuse std::collections::HashMap;\n";
        assert_eq!(findings("rsl-core/src/net/peers.rs", hash), [""; 0]);
        assert_eq!(findings("rsl-core/src/engine/tests/x.rs", hash), [""; 0]);
    }

    #[test]
    fn the_readme_shows_the_example() {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let example = file(EXAMPLE, "//! Header.\n\nfn main() {}\n");
        let good = file("README.md", "words\n```rust\nfn main() {}\n```\n");
        let bad = file("README.md", "words\n```rust\nfn main() { }\n```\n");
        assert_eq!(check(&[example, good]).unwrap().len(), 0);
        assert_eq!(check(&[bad]).unwrap().len(), 1);
    }

    #[test]
    fn headers_lengths_and_machine_paths() {
        assert_eq!(findings("a.rs", "fn main() {}\n").len(), 1);
        let long = format!("//! A.\n{}", "// x\n".repeat(LONG));
        assert_eq!(findings("a.rs", &long).len(), 1);
        assert_eq!(findings("a.rs", &format!("{long}// Long file: one table.\n")), [""; 0]);
        assert_eq!(
            findings("a.rs", &format!("//! A.\n// Long file: y.\n{}", "// x\n".repeat(TOO_LONG))).len(),
            1
        );
        let link = "[a](sub/b.md#x) [b](https://x.y) [c](../c.md)\n";
        assert_eq!(findings("docs/a.md", link).len(), 2);
        let path = format!("see /{}/x\n", "work");
        assert_eq!(findings("a.md", &path).len(), 1);
        assert_eq!(findings("a.md", &path.replace(" /", " target/")), [""; 0]);
    }
}
