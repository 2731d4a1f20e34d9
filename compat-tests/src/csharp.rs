//! `NativeMethods.g.cs`, the C# view of the C ABI, generated from `include/rsl_c.h`.
//!
//! The header is the input, not the crate: what C# sees is what every C compiler sees. The grammar is the little that
//! cbindgen writes; anything else is an error, so nothing of the header can be left out in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::native::root;

const TOP: &str = "\
// The C ABI as P/Invoke declarations, one for one. Generated from include/rsl_c.h by `cargo xtask header`. Do not edit.
#pragma warning disable IDE1006, CS0649
using System;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
";

/// Handles that C# owns: the type, its class, the function that releases it and takes the bare pointer.
const HANDLES: [(&str, &str, &str); 4] = [
    ("rsl_machine", "MachineHandle", "rsl_machine_destroy"),
    ("rsl_reader", "ReaderHandle", "rsl_reader_close"),
    ("rsl_writer", "WriterHandle", "rsl_writer_free"),
    ("rsl_member_set", "MemberSetHandle", "rsl_member_set_free"),
];

/// Where the file is kept.
#[must_use]
pub fn path() -> PathBuf {
    root().join("csharp-bindings/ManagedRSLib/Interop/NativeMethods.g.cs")
}

/// The C# text for a header.
///
/// # Errors
/// When the header holds something that this generator does not know.
pub fn generate(header: &str) -> Result<String> {
    let header = Header::parse(header)?;
    let mut out = TOP.to_owned();
    header.write(&mut out)?;
    out.push_str("}\n");
    Ok(out)
}

/// A C type: its name, how many stars, whether what it points to is constant.
#[derive(Clone, Debug)]
struct CType {
    name: String,
    stars: usize,
    constant: bool,
}

/// A named C type: a field, a parameter or, by its own name, a function's result.
#[derive(Clone, Debug)]
struct Declared {
    kind: CType,
    name: String,
    /// Elements of an array field.
    array: Option<String>,
}

#[derive(Clone, Debug)]
struct Function {
    result: CType,
    name: String,
    parameters: Vec<Declared>,
}

enum Field {
    Plain(Declared),
    Callback(Function),
}

#[derive(Default)]
struct Header {
    constants: BTreeMap<String, i64>,
    /// In the order of the header.
    constant_order: Vec<String>,
    aliases: BTreeMap<String, CType>,
    opaque: BTreeSet<String>,
    structs: Vec<(String, Vec<Field>)>,
    callbacks: Vec<Function>,
    functions: Vec<Function>,
}

impl Header {
    fn parse(text: &str) -> Result<Header> {
        let mut header = Header::default();
        for statement in statements(text) {
            header.take(&statement).with_context(|| statement.clone())?;
        }
        Ok(header)
    }

    fn take(&mut self, statement: &str) -> Result<()> {
        if let Some(define) = statement.strip_prefix("#define ") {
            let Some((name, value)) = define.split_once(' ') else { return Ok(()) };
            let value = value.trim_matches(['(', ')']).parse().context("a number")?;
            self.constants.insert(name.to_owned(), value);
            self.constant_order.push(name.to_owned());
            return Ok(());
        }
        let Some(typedef) = statement.strip_prefix("typedef ") else {
            self.functions.push(function(statement)?);
            return Ok(());
        };
        if let Some((head, rest)) = typedef.split_once('{') {
            let name = head.trim().strip_prefix("struct ").context("a struct")?.to_owned();
            let (fields, _) = rest.rsplit_once('}').context("the end of the struct")?;
            let fields = fields.split(';').map(str::trim).filter(|field| !field.is_empty());
            let one = |field: &str| -> Result<Field> {
                if field.contains("(*") {
                    Ok(Field::Callback(function(field)?))
                } else {
                    Ok(Field::Plain(declared(field)?))
                }
            };
            self.structs.push((name, fields.map(one).collect::<Result<_>>()?));
        } else if typedef.contains("(*") {
            self.callbacks.push(function(typedef)?);
        } else if typedef.starts_with("struct ") {
            let alias = declared(typedef)?;
            ensure!(alias.kind.name == alias.name && alias.kind.stars == 0, "an alias of a struct");
            self.opaque.insert(alias.name);
        } else {
            let alias = declared(typedef)?;
            self.aliases.insert(alias.name, alias.kind);
        }
        Ok(())
    }

    fn write(&self, out: &mut String) -> Result<()> {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    internal static class Abi\n    {{");
        for name in &self.constant_order {
            let _ = writeln!(out, "        internal const int {name} = {};", self.constants[name]);
        }
        out.push_str("    }\n");
        for function in &self.callbacks {
            self.write_delegate(out, &function.name, function)?;
        }
        for (name, fields) in &self.structs {
            for field in fields {
                if let Field::Callback(function) = field {
                    self.write_delegate(out, &format!("{name}_{}", function.name), function)?;
                }
            }
            self.write_struct(out, name, fields)?;
        }
        let _ = writeln!(out, "\n    internal static unsafe class NativeMethods\n    {{");
        let _ = writeln!(out, "        private const string Library = \"rsl\";");
        for function in &self.functions {
            let result = self.type_name(&function.result, Place::Result)?;
            let place = Place::Argument { releases: releases(&function.name) };
            let parameters = self.parameters(function, place)?;
            let _ = writeln!(
                out,
                "\n        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]\n\
                 \x20       internal static extern {result} {}({parameters});",
                function.name
            );
        }
        out.push_str("    }\n");
        Ok(())
    }

    fn write_struct(&self, out: &mut String, name: &str, fields: &[Field]) -> Result<()> {
        let _ = writeln!(
            out,
            "\n    [StructLayout(LayoutKind.Sequential)]\n    internal unsafe struct {name}\n    {{"
        );
        for field in fields {
            match field {
                Field::Callback(function) => {
                    let _ = writeln!(out, "        internal IntPtr {};", function.name);
                }
                Field::Plain(Declared { kind, name, array: Some(length) }) => {
                    ensure!(kind.name == "char" && kind.stars == 0, "an array of {}", kind.name);
                    let length = self.constants.get(length).with_context(|| length.clone())?;
                    let _ = writeln!(out, "        internal fixed byte {name}[{length}];");
                }
                Field::Plain(Declared { kind, name, array: None }) => {
                    let kind = self.type_name(kind, Place::Field)?;
                    let _ = writeln!(out, "        internal {kind} {name};");
                }
            }
        }
        out.push_str("    }\n");
        Ok(())
    }

    fn write_delegate(&self, out: &mut String, name: &str, function: &Function) -> Result<()> {
        let result = self.type_name(&function.result, Place::Result)?;
        let parameters = self.parameters(function, Place::Callback)?;
        let _ = writeln!(
            out,
            "\n    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]\n    \
             internal unsafe delegate {result} {name}({parameters});"
        );
        Ok(())
    }

    fn parameters(&self, function: &Function, place: Place) -> Result<String> {
        let one = |parameter: &Declared| -> Result<String> {
            Ok(format!("{} {}", self.type_name(&parameter.kind, place)?, parameter.name))
        };
        Ok(function.parameters.iter().map(one).collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// What C# calls a type there. Pointers to what C# does not look into are `IntPtr`.
    fn type_name(&self, kind: &CType, place: Place) -> Result<String> {
        let CType { name, stars, constant } = kind;
        let class = HANDLES.iter().find(|(handle, ..)| handle == name).map(|(_, class, _)| *class);
        let is_struct = self.structs.iter().any(|(known, _)| known == name);
        let is_callback = self.callbacks.iter().any(|callback| callback.name == *name);
        Ok(match (name.as_str(), stars) {
            ("void", 0) => "void".to_owned(),
            ("void", 1) if *constant && place != Place::Field => "void*".to_owned(),
            ("void", 2) => "void**".to_owned(),
            ("void", 1) | ("char", 1) if place == Place::Field || name == "void" => "IntPtr".to_owned(),
            ("char", 1) => "byte*".to_owned(),
            _ if is_callback && *stars == 0 => "IntPtr".to_owned(),
            _ if self.opaque.contains(name) => match (place, class, stars) {
                (Place::Argument { releases: false }, Some(class), 1) => class.to_owned(),
                (Place::Argument { releases: false }, Some(class), 2) => format!("out {class}"),
                (_, _, 1) => "IntPtr".to_owned(),
                _ => bail!("{name} with {stars} stars"),
            },
            _ if is_struct && *stars == 1 => format!("{name}*"),
            _ if *stars <= 1 => format!("{}{}", self.scalar(name)?, "*".repeat(*stars)),
            _ => bail!("{name} with {stars} stars"),
        })
    }

    fn scalar(&self, name: &str) -> Result<&'static str> {
        if let Some(alias) = self.aliases.get(name) {
            ensure!(alias.stars == 0, "{name} is an alias of a pointer");
            return self.scalar(&alias.name);
        }
        Ok(match name {
            "uint8_t" => "byte",
            "uint16_t" => "ushort",
            "int32_t" => "int",
            "uint32_t" => "uint",
            "int64_t" => "long",
            "uint64_t" => "ulong",
            "size_t" => "UIntPtr",
            _ => bail!("unknown type {name}"),
        })
    }
}

/// Where a type stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Field,
    Callback,
    Result,
    Argument { releases: bool },
}

fn releases(function: &str) -> bool {
    HANDLES.iter().any(|(_, _, release)| *release == function)
}

/// The declarations of a header, each on one line, without comments; of the preprocessor only `#define` with a value.
fn statements(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut pending = String::new();
    let (mut comment, mut depth) = (false, 0_i32);
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        comment |= line.starts_with("/*");
        if comment {
            comment = !line.ends_with("*/");
            continue;
        }
        if line.starts_with('#') {
            if line.starts_with("#define ") {
                statements.push(line.to_owned());
            }
            continue;
        }
        if line == "extern \"C\" {" || (line == "}" && depth == 0) {
            continue;
        }
        depth += count(line, '{') - count(line, '}');
        pending.push_str(line);
        pending.push(' ');
        if depth == 0 && line.ends_with(';') {
            statements.push(pending.trim().trim_end_matches(';').to_owned());
            pending.clear();
        }
    }
    statements
}

fn count(line: &str, character: char) -> i32 {
    i32::try_from(line.matches(character).count()).unwrap_or(i32::MAX)
}

/// `RESULT name(PARAMETERS)` or `RESULT (*name)(PARAMETERS)`.
fn function(text: &str) -> Result<Function> {
    let text = text.trim();
    let (head, parameters) = match text.split_once("(*") {
        Some((result, rest)) => {
            let (name, parameters) = rest.split_once(")(").context("parameters")?;
            (format!("{result} {name}"), parameters)
        }
        None => {
            let (head, parameters) = text.split_once('(').context("parameters")?;
            (head.to_owned(), parameters)
        }
    };
    let parameters = parameters.strip_suffix(')').context("the end of the parameters")?.trim();
    let parameters = match parameters {
        "void" | "" => Vec::new(),
        list => list.split(',').map(declared).collect::<Result<_>>()?,
    };
    let Declared { kind: result, name, array } = declared(&head)?;
    ensure!(array.is_none(), "a function is no array");
    Ok(Function { result, name, parameters })
}

/// `[const] [struct] type [*...]name[\[LENGTH\]]`.
fn declared(text: &str) -> Result<Declared> {
    let (text, array) = match text.trim().split_once('[') {
        Some((text, length)) => (text, Some(length.trim_end_matches(']').to_owned())),
        None => (text.trim(), None),
    };
    let stars = text.matches('*').count();
    let spaced = text.replace('*', " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let constant = words.contains(&"const");
    let words: Vec<&str> = words.into_iter().filter(|word| !matches!(*word, "const" | "struct")).collect();
    let [kind, name] = words[..] else { bail!("cannot read: {text}") };
    // A word that C# keeps for itself.
    let name = if matches!(name, "out" | "params" | "lock") { format!("@{name}") } else { name.to_owned() };
    Ok(Declared { kind: CType { name: kind.to_owned(), stars, constant }, name, array })
}
