//! Command templates: how to start a host that is not ours.

use std::ffi::OsString;
use std::path::Path;

use super::HostError;

/// A program and its arguments with placeholders, written as a shell would take them:
/// `/opt/old/host --id {id} --dir {dir} --members {members}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    program: OsString,
    arguments: Vec<String>,
}

/// What the placeholders stand for.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    pub(super) id: &'a str,
    pub(super) dir: &'a Path,
    pub(super) version: u16,
    pub(super) members: &'a str,
    pub(super) self_member: &'a str,
    pub(super) control: u16,
    pub(super) events: &'a Path,
    pub(super) execlog: &'a Path,
}

const PLACEHOLDERS: [&str; 8] = ["id", "dir", "version", "members", "self", "control", "events", "execlog"];

impl Template {
    /// Parses a template. Quotes and backslashes work as in a shell; an unknown placeholder is an error, and
    /// `{id}`, `{dir}`, `{version}`, `{members}` and `{control}` must all be there.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let wrong = |why: String| HostError::Template(why);
        let mut words =
            shlex::split(text).ok_or_else(|| wrong("a quote is not closed".to_owned()))?.into_iter();
        let program = words.next().ok_or_else(|| wrong("no program is named".to_owned()))?;
        let arguments: Vec<String> = words.collect();
        for argument in &arguments {
            if let Some(name) = placeholders(argument).find(|name| !PLACEHOLDERS.contains(name)) {
                return Err(wrong(format!("unknown placeholder {{{name}}}")));
            }
        }
        for name in ["id", "dir", "version", "members", "control"] {
            if !arguments.iter().any(|argument| placeholders(argument).any(|found| found == name)) {
                return Err(wrong(format!("placeholder {{{name}}} is missing")));
            }
        }
        Ok(Self { program: program.into(), arguments })
    }

    /// The template of `rsl replica`, given the path of the `rsl` binary.
    pub fn rsl_replica(rsl: &Path) -> Self {
        let arguments = "replica --id {id} --dir {dir} --version {version} --members {members} --self {self} \
                         --control {control} --events {events} --execlog {execlog}";
        Self {
            program: rsl.as_os_str().to_owned(),
            arguments: arguments.split_ascii_whitespace().map(str::to_owned).collect(),
        }
    }

    /// The program to start.
    pub fn program(&self) -> &OsString {
        &self.program
    }

    /// Adds arguments behind those of the template.
    #[must_use]
    pub fn with_arguments<I: IntoIterator<Item = S>, S: Into<String>>(mut self, more: I) -> Self {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }

    /// The arguments with all placeholders replaced.
    pub(super) fn arguments(&self, values: &Values<'_>) -> Vec<OsString> {
        self.arguments.iter().map(|argument| expand(argument, values)).collect()
    }
}

/// The names in braces. A brace without a partner is plain text.
fn placeholders(argument: &str) -> impl Iterator<Item = &str> {
    argument.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

fn expand(argument: &str, values: &Values<'_>) -> OsString {
    let mut expanded = OsString::new();
    let mut rest = argument;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push(before);
        let known = after.split_once('}').filter(|(name, _)| PLACEHOLDERS.contains(name));
        let Some((name, next)) = known else {
            expanded.push("{");
            rest = after;
            continue;
        };
        match name {
            "id" => expanded.push(values.id),
            "dir" => expanded.push(values.dir),
            "version" => expanded.push(values.version.to_string()),
            "members" => expanded.push(values.members),
            "self" => expanded.push(values.self_member),
            "control" => expanded.push(values.control.to_string()),
            "events" => expanded.push(values.events),
            _execlog => expanded.push(values.execlog),
        }
        rest = next;
    }
    expanded.push(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values<'static> {
        Values {
            id: "a",
            dir: Path::new("/d {id}"),
            version: 4,
            members: "a@127.0.0.1:1",
            self_member: "a@127.0.0.1:1:2",
            control: 7,
            events: Path::new("/e"),
            execlog: Path::new("/x"),
        }
    }

    #[test]
    fn words_are_split_like_a_shell_and_placeholders_replaced_once() {
        let template = Template::parse(
            "'/my host' -i={id} '{dir}' {version}{members} --self {self} {control} \"{events} {execlog}\"",
        )
        .unwrap();
        assert_eq!(template.program(), "/my host");
        let expected =
            ["-i=a", "/d {id}", "4a@127.0.0.1:1", "--self", "a@127.0.0.1:1:2", "7", "/e /x", "--n", "{odd"];
        assert_eq!(template.with_arguments(["--n", "{odd"]).arguments(&values()), expected);
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in [
            "",
            "host 'x",
            "host {id} {dir} {version} {members}",
            "host {id} {dir} {version} {members} {control} {port}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
