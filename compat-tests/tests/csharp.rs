//! The declarations of the managed bindings.

/// [NET-41] [CABI-30] `NativeMethods.g.cs` is what the header says; strings and structs cross as they are.
#[test]
fn the_csharp_declarations_are_up_to_date() {
    let header = std::fs::read_to_string(compat_tests::c_header::path()).unwrap();
    let committed = std::fs::read_to_string(compat_tests::csharp::path()).unwrap();
    let generated = compat_tests::csharp::generate(&header).unwrap();
    assert!(committed == generated, "NativeMethods.g.cs is not what `cargo xtask header` writes");
    let declarations = generated.replace("private const string Library", "");
    for marshalled in ["string", "bool ", "MarshalAs", "ref "] {
        assert!(!declarations.contains(marshalled), "{marshalled} needs marshalling");
    }
    for function in ["rsl_machine_create", "rsl_writer_free", "rsl_checksum"] {
        assert!(generated.contains(&format!(" {function}(")), "{function} is missing");
    }
}

/// What the generator does not know is an error, never left out.
#[test]
fn unknown_declarations_are_refused() {
    for header in [
        "double rsl_x(void);",
        "typedef struct a {\n  long x;\n} a;",
        "#define A b",
        "int32_t rsl_x(char ***x);",
    ] {
        assert!(compat_tests::csharp::generate(header).is_err(), "{header}");
    }
}

/// The README shows the sample as it is, in at most 60 lines.
#[test]
fn the_readme_shows_the_counter() {
    let read = |path: &str| std::fs::read_to_string(compat_tests::native::root().join(path)).unwrap();
    let counter = read("csharp-bindings/Samples/Counter/Counter.cs");
    assert!(counter.lines().count() <= 60, "{} lines", counter.lines().count());
    assert!(
        read("README.md").contains(&format!("```csharp\n{counter}```\n")),
        "README.md shows another Counter.cs"
    );
}
