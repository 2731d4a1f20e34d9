//! Which clauses the tests cite.
//!
//! A citation is a clause id in square brackets: `[WIRE-45]`; several may share a pair: `[WIRE-45, HARD-2]`.
//! It counts when it stands inside a test function or in the comments and attributes directly above it.
//! A Rust test function is
//!
//! - a `fn` with an attribute whose path ends in `test` (`#[test]`), also inside `proptest!`, or
//! - in a file below a `tests/` directory, a `fn` whose doc comment begins with `Trial:` (the functions that
//!   libtest-mimic runs by name).
//!
//! A C# test function is a method below `csharp-bindings/Tests` with the attribute `[Test]`, on a line of its own.
//!
//! The same ids in code that no test runs, or in a table beside a test, do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::sources::Source;
use super::spec::ClauseId;

/// Clause -> the tests that cite it, each as `path:line`.
pub(crate) type Citations = BTreeMap<ClauseId, Vec<String>>;

/// A test that a test runner knows by the name of its function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// The file it is in.
    pub(crate) path: String,
    /// The name of the function.
    pub(crate) name: String,
}

/// Collects the citations in all test functions of the given Rust and C# files.
pub(crate) fn collect(sources: &[Source]) -> Result<Citations> {
    let mut citations = Citations::new();
    for source in sources {
        let found = if source.path.ends_with(".cs") { in_csharp(source) } else { in_file(source)? };
        for (line, id) in found {
            citations.entry(id).or_default().push(format!("{}:{line}", source.path));
        }
    }
    Ok(citations)
}

/// The tests of each cited clause, without those that libtest-mimic runs: they have names of their own.
pub(crate) fn tests(sources: &[Source]) -> Result<BTreeMap<ClauseId, BTreeSet<Test>>> {
    let mut tests = BTreeMap::<_, BTreeSet<Test>>::new();
    for source in sources {
        let named = find(source)?;
        for (line, id) in in_file(source)? {
            let above = |first: usize| comment_lines_above(&source.text.lines().collect::<Vec<_>>(), first);
            let around =
                named.iter().filter(|found| (found.first - above(found.first)..=found.last).contains(&line));
            for name in around.filter_map(|found| found.name.clone()) {
                tests.entry(id.clone()).or_default().insert(Test { path: source.path.clone(), name });
            }
        }
    }
    Ok(tests)
}

/// The test functions of a file.
fn find(source: &Source) -> Result<Vec<Found>> {
    let file = syn::parse_file(&source.text).with_context(|| format!("parsing {}", source.path))?;
    let trials_count = format!("/{}", source.path).contains("/tests/");
    let mut finder = TestFinder { trials_count, found: Vec::new() };
    finder.visit_file(&file);
    Ok(finder.found)
}

/// Citations of one file, in order, each with its line (from 1).
fn in_file(source: &Source) -> Result<Vec<(usize, ClauseId)>> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut wanted = vec![false; lines.len()];
    for Found { first, last, .. } in find(source)? {
        let above = comment_lines_above(&lines, first);
        wanted[first - 1 - above..last].fill(true);
    }
    let cited = lines.iter().enumerate().filter(|(index, _)| wanted[*index]);
    Ok(cited.flat_map(|(index, line)| ids_in(line).into_iter().map(move |id| (index + 1, id))).collect())
}

/// Citations of one C# file. A method ends with a brace below the attribute's column; comments above it belong to it.
fn in_csharp(source: &Source) -> Vec<(usize, ClauseId)> {
    if !source.path.starts_with("csharp-bindings/Tests/") {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "[Test]") {
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let last = lines[index..].iter().position(|line| *line == end).map_or(lines.len(), |len| index + len);
        let first = index - comment_lines_above(&lines, index + 1);
        let cited = lines.iter().enumerate().take(last).skip(first);
        found.extend(cited.flat_map(|(at, line)| ids_in(line).into_iter().map(move |id| (at + 1, id))));
    }
    found
}

/// How many lines directly above line `first` (from 1) are `//` comments.
fn comment_lines_above(lines: &[&str], first: usize) -> usize {
    lines[..first - 1].iter().rev().take_while(|line| line.trim_start().starts_with("//")).count()
}

/// The ids inside square brackets on one line.
fn ids_in(line: &str) -> Vec<ClauseId> {
    let mut ids = Vec::new();
    for part in line.split('[').skip(1) {
        let Some((inside, _)) = part.split_once(']') else { continue };
        let listed: Result<Vec<ClauseId>> =
            inside.split(',').map(|id| ClauseId::from_str(id.trim())).collect();
        ids.extend(listed.unwrap_or_default());
    }
    ids
}

/// A test function: its lines (from 1, both ends included) from its first attribute to its last brace, and its name
/// unless libtest-mimic runs it.
struct Found {
    first: usize,
    last: usize,
    name: Option<String>,
}

struct TestFinder {
    trials_count: bool,
    found: Vec<Found>,
}

impl<'ast> Visit<'ast> for TestFinder {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_test =
            function.attrs.iter().any(|a| a.path().segments.last().is_some_and(|s| s.ident == "test"));
        if is_test || (self.trials_count && is_trial(&function.attrs)) {
            let span = function.span();
            let name = is_test.then(|| function.sig.ident.to_string());
            self.found.push(Found { first: span.start().line, last: span.end().line, name });
        }
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if mac.path.segments.last().is_some_and(|segment| segment.ident == "proptest") {
            self.visit_proptest(mac.tokens.clone());
        }
    }
}

impl TestFinder {
    /// Inside `proptest!` functions have patterns that `syn` does not know, so we look for
    /// `#[..]* fn name (..) .. {..}` among the tokens.
    fn visit_proptest(&mut self, tokens: TokenStream) {
        let mut start = None;
        let mut attributes = String::new();
        let mut name = None;
        for token in tokens {
            match token {
                TokenTree::Punct(hash) if hash.as_char() == '#' => {
                    start.get_or_insert(hash.span().start().line);
                }
                TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Bracket => {
                    attributes.push_str(&group.to_string());
                }
                TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace => {
                    if let Some(first) = start.take().filter(|_| attributes.contains("[test]")) {
                        self.found.push(Found {
                            first,
                            last: group.span_close().end().line,
                            name: name.take(),
                        });
                    }
                    attributes.clear();
                }
                // The last word before the arguments.
                TokenTree::Ident(word) => name = Some(word.to_string()),
                TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

/// Whether the doc comment begins with `Trial:`.
fn is_trial(attributes: &[syn::Attribute]) -> bool {
    let first = attributes.iter().find(|attribute| attribute.path().is_ident("doc"));
    let Some(syn::Meta::NameValue(doc)) = first.map(|attribute| &attribute.meta) else { return false };
    matches!(&doc.value, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })
        if text.value().trim_start().starts_with("Trial:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        in_file(&source).unwrap().into_iter().map(|(line, id)| format!("{line}:{id}")).collect()
    }

    #[test]
    fn citations_count_inside_and_directly_above_tests_only() {
        let text = "\
//! [WIRE-1]
/// [WIRE-2]
fn helper() { /* [WIRE-3] */ }

// [WIRE-4] far above

// [WIRE-5, HARD-6] directly above
#[test]
/// [WIRE-7]
fn proves() {
    // [WIRE-8] and (WIRE-9)
    assert!(true, \"[WIRE-10]\"); let a = [WIRE-x]; let b = [0];
}
// [WIRE-11] below
";
        let found = cited("a.rs", &text.replace("[WIRE-x]", "[x]"));
        assert_eq!(found, ["7:WIRE-5", "7:HARD-6", "9:WIRE-7", "11:WIRE-8", "12:WIRE-10"]);
    }

    #[test]
    fn csharp_methods_with_the_attribute_are_tests() {
        let text = "\
        // [WIRE-1]

        // [WIRE-2] directly above
        [Test]
        public void Proves()
        {
            // [WIRE-3]
            if (x)
            {
            }
            var x = y[0]; // [HARD-6]
        }
        // [WIRE-4]
        public void Helps()
        {
            // [WIRE-5]
        }
";
        let cited = |path: &str| -> Vec<String> {
            let source = Source { path: path.to_owned(), text: text.to_owned() };
            in_csharp(&source).into_iter().map(|(line, id)| format!("{line}:{id}")).collect()
        };
        assert_eq!(cited("csharp-bindings/Tests/A.cs"), ["3:WIRE-2", "7:WIRE-3", "11:HARD-6"]);
        assert_eq!(cited("csharp-bindings/Host/A.cs"), [""; 0]);
    }

    #[test]
    fn proptest_functions_are_tests() {
        let text = "proptest! {\n    #![proptest_config(x)]\n    // [WIRE-1] only a comment, but directly above\n    \
                    #[test]\n    /// [WIRE-2]\n    fn any(x in 0..9u8) {\n        // [WIRE-3]\n    }\n    fn helper() {\n  // [WIRE-4]\n}\n}";
        assert_eq!(cited("a.rs", text), ["3:WIRE-1", "5:WIRE-2", "7:WIRE-3"]);
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        let found = tests(&[source]).unwrap();
        let any = Test { path: "a.rs".to_owned(), name: "any".to_owned() };
        assert_eq!(found[&"WIRE-1".parse().unwrap()], [any.clone()].into());
        assert_eq!(found[&"WIRE-3".parse().unwrap()], [any].into());
    }

    #[test]
    fn trials_are_named_by_their_doc_comment() {
        let text =
            "/// Trial: one directory.\n/// [STOR-1]\nfn case() {}\n/// Other. [STOR-2]\nfn other() {}\n";
        assert_eq!(cited("x/tests/golden.rs", text), ["2:STOR-1"]);
        assert_eq!(cited("x/src/golden.rs", text), [""; 0]);
    }
}
