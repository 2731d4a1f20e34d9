//! `include/rsl_c.h`, generated from the crate `rsl-ffi`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use cbindgen::{Builder, Config, DocumentationLength, DocumentationStyle, Language, SortKey, Style};

use crate::native::root;

const HEADER: &str = "\
/* The C ABI of the Replicated State Library. docs/FFI.md is the guide to it.
 *
 * Rules for every function, unless its comment says otherwise:
 * - A NULL or malformed argument gives a negative code and changes nothing; out-parameters are written on success only.
 * - Input is borrowed for the call and copied. What a callback gets is valid until it returns.
 * - Any thread may call it, callbacks included; it waits neither for a callback nor for another replica. Who creates,
 *   initializes, replays and destroys one machine does that in turn. None may be called in the child of a fork, or while the library is unloaded.
 * - A status is RSL_OK (0), a legacy code above 0, or a negative code with a text (rsl_last_error). On a machine that is
 *   not initialised, functions with a status give RSL_E_STATE, others 0; structs of a wrong size give RSL_E_ABI.
 * - What is handed out has one function that releases it; nothing is freed across the boundary otherwise.
 * - Strings are UTF-8 and end with a NUL.
 *
 * Generated from rsl-ffi by `cargo xtask header`. Do not edit. */";

/// Structs and cookies count on it [CABI-4].
const SIXTY_FOUR_BITS: &str = "
#if UINTPTR_MAX != 0xffffffffffffffff
#error \"librsl is for 64-bit targets\"
#endif";

/// Where the header is kept.
#[must_use]
pub fn path() -> PathBuf {
    root().join("include/rsl_c.h")
}

/// The text of the header as the code says it now.
///
/// # Errors
/// When the crate cannot be parsed.
pub fn generate() -> Result<String> {
    let mut config = Config {
        language: Language::C,
        header: Some(HEADER.to_owned()),
        include_guard: Some("RSL_C_H".to_owned()),
        cpp_compat: true,
        documentation_style: DocumentationStyle::C99,
        documentation_length: DocumentationLength::Full,
        style: Style::Both,
        usize_is_size_t: true,
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        after_includes: Some(SIXTY_FOUR_BITS.to_owned()),
        line_length: 110,
        ..Config::default()
    };
    config.function.sort_by = Some(SortKey::None);
    let sources = root().join("rsl-ffi/src");
    let mut builder = Builder::new().with_config(config);
    // In the order in which the header is read best.
    for file in [
        "codes",
        "types",
        "callbacks",
        "process",
        "lifecycle",
        "calls",
        "queries",
        "members",
        "streams",
        "checkpoint_tools",
        "machine",
    ] {
        builder = builder.with_src(sources.join(file).with_extension("rs"));
    }
    let bindings = builder.generate().context("rsl-ffi/src")?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    // The sections for Rust's own readers say nothing that the rules at the top do not.
    let text = String::from_utf8(text)?;
    Ok(with_parentheses(&without_safety(&text)))
}

/// Leaves out `# Safety` and what follows it in a comment.
fn without_safety(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut skipping = false;
    for line in text.lines() {
        let comment = line.trim_start().strip_prefix("//");
        skipping &= comment.is_some();
        if comment.is_some_and(|words| words.trim() == "# Safety") {
            skipping = true;
            while lines.last().is_some_and(|line| line.trim() == "//") {
                lines.pop();
            }
        }
        if !skipping {
            lines.push(line.trim_end());
        }
    }
    lines.push("");
    lines.join("\n")
}

/// A negative number in a macro belongs in parentheses.
fn with_parentheses(text: &str) -> String {
    let one = |line: &str| match line.split_once(" -") {
        Some((name, number)) if name.starts_with("#define ") => format!("{name} (-{number})\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(one).collect()
}
