//! Command templates: how to start a host that is not ours.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::HostError;

/// A program and its arguments with placeholders, written as a shell would take them:
/// `/opt/old/host --id {id} --dir {dir} --members {members}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    program: OsString,
    arguments: Vec<String>,
    /// Directory prefixes and what the program calls them.
    dir_map: Vec<(PathBuf, String)>,
    /// What the other hosts of a mixed set are started with.
    others: Vec<Template>,
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
        Ok(Self { program: program.into(), arguments, dir_map: Vec::new(), others: Vec::new() })
    }

    /// The template of `rsl replica`, given the path of the `rsl` binary.
    pub fn rsl_replica(rsl: &Path) -> Self {
        Self::ours(rsl, &["replica"])
    }

    /// The template of `rsl legacy-model`, given the path of the `rsl` binary.
    pub fn rsl_legacy_model(rsl: &Path) -> Self {
        Self::ours(rsl, &["legacy-model"])
    }

    /// The template of a host that takes the arguments of the contract behind its `first` ones.
    pub(super) fn ours(program: &Path, first: &[&str]) -> Self {
        let arguments = "--id {id} --dir {dir} --version {version} --members {members} --self {self} \
                         --control {control} --events {events} --execlog {execlog}";
        let first = first.iter().map(|word| (*word).to_owned());
        Self {
            program: program.as_os_str().to_owned(),
            arguments: first.chain(arguments.split_ascii_whitespace().map(str::to_owned)).collect(),
            dir_map: Vec::new(),
            others: Vec::new(),
        }
    }

    /// For a set of different hosts: these templates in turn, this one first.
    #[must_use]
    pub fn mixed_with(mut self, others: Vec<Template>) -> Self {
        self.others = others;
        self
    }

    /// The template of the host at a place of a set.
    pub(super) fn of(&self, place: usize) -> &Template {
        match place % (self.others.len() + 1) {
            0 => self,
            other => &self.others[other - 1],
        }
    }

    /// Whether the program is told its own address apart from the list of members.
    pub fn names_self(&self) -> bool {
        self.arguments.iter().any(|argument| placeholders(argument).any(|name| name == "self"))
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

    /// Rewrites directories for a program that sees another file system: those below `from` begin with `to` instead,
    /// with backslashes behind it when `to` holds one. `map` is `FROM=TO`.
    pub fn with_dir_map(mut self, map: &str) -> Result<Self, HostError> {
        let (from, to) = map
            .split_once('=')
            .filter(|(from, to)| !from.is_empty() && !to.is_empty())
            .ok_or_else(|| HostError::Template(format!("directory map {map}: expected FROM=TO")))?;
        self.dir_map.push((from.into(), to.to_owned()));
        Ok(self)
    }

    /// A path as the program calls it.
    fn mapped(&self, path: &Path) -> OsString {
        let found = self.dir_map.iter().find_map(|(from, to)| Some((to, path.strip_prefix(from).ok()?)));
        let Some((to, below)) = found else { return path.as_os_str().to_owned() };
        let separator = if to.contains('\\') { "\\" } else { "/" };
        let mut mapped = OsString::from(to.trim_end_matches(['/', '\\']));
        for part in below {
            mapped.push(separator);
            mapped.push(part);
        }
        mapped
    }

    /// The arguments with all placeholders replaced.
    pub(super) fn arguments(&self, values: &Values<'_>) -> Vec<OsString> {
        let paths = [values.dir, values.events, values.execlog].map(|path| self.mapped(path));
        self.arguments.iter().map(|argument| expand(argument, values, &paths)).collect()
    }
}

/// The names in braces. A brace without a partner is plain text.
fn placeholders(argument: &str) -> impl Iterator<Item = &str> {
    argument.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

/// `paths`: directory, events and exec log.
fn expand(argument: &str, values: &Values<'_>, paths: &[OsString; 3]) -> OsString {
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
            "dir" => expanded.push(&paths[0]),
            "version" => expanded.push(values.version.to_string()),
            "members" => expanded.push(values.members),
            "self" => expanded.push(values.self_member),
            "control" => expanded.push(values.control.to_string()),
            "events" => expanded.push(&paths[1]),
            _execlog => expanded.push(&paths[2]),
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
    fn directories_are_renamed_for_a_program_that_sees_others() {
        let mapped = |map: &str, path: &str| {
            let template = Template::parse("p {id} {dir} {version} {members} {control}").unwrap();
            template.with_dir_map(map).unwrap().mapped(Path::new(path))
        };
        assert_eq!(mapped("/tmp/x=Z:\\x", "/tmp/x/r1/logs"), "Z:\\x\\r1\\logs");
        assert_eq!(mapped("/tmp/x=Z:\\", "/tmp/x/r1"), "Z:\\r1");
        assert_eq!(mapped("/tmp/x=/y/", "/tmp/x"), "/y");
        assert_eq!(mapped("/tmp/x=/y", "/tmp/xx/r1"), "/tmp/xx/r1", "no part of a name");
        let template = Template::parse("p {id} {dir} {version} {members} {control}").unwrap();
        assert!(template.clone().with_dir_map("/tmp").is_err() && template.with_dir_map("=x").is_err());
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
