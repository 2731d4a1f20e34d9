//! Hosts with a short name: ours in three languages, and the legacy model.

use std::path::{Path, PathBuf};

use super::{HostError, Template};

/// The short names, in the order in which they are listed.
pub const NAMES: [&str; 4] = ["legacy-model", "rust", "cpp", "csharp"];

impl Template {
    /// The host with a short name, or, for any other text, the template it is: see [`Template::parse`].
    pub fn named(text: &str) -> Result<Template, HostError> {
        let own = std::env::current_exe().map_err(|error| HostError::Template(error.to_string()))?;
        Template::named_beside(&own, text)
    }

    /// The same for the `rsl` binary at `own`: the other hosts are built beside it.
    fn named_beside(own: &Path, text: &str) -> Result<Template, HostError> {
        match text {
            "legacy-model" => Ok(Template::rsl_legacy_model(own)),
            "rust" => Ok(Template::rsl_replica(own)),
            "cpp" => Ok(Template::ours(&built(own, "cpp/rsl-host", "cargo xtask cpp")?, &[])),
            "csharp" => {
                let assembly = built(own, "dotnet/RSLHost.exe", "cargo xtask dotnet")?;
                if cfg!(windows) {
                    return Ok(Template::ours(&assembly, &[]));
                }
                Ok(Template::ours(Path::new("mono"), &[&assembly.to_string_lossy()]))
            }
            command => Template::parse(command),
        }
    }
}

/// A program that is built beside this one: next to it where it is installed, otherwise where cargo puts it.
fn built(own: &Path, path: &str, command: &str) -> Result<PathBuf, HostError> {
    let name = Path::new(path).file_name().map(Path::new).unwrap_or(Path::new(path));
    let dir = own.parent().unwrap_or(Path::new("."));
    let places = [dir.join(name), dir.join("..").join(path), dir.join("../..").join(path)];
    let missing = || HostError::Template(format!("{path} is not built beside {}: {command}", own.display()));
    places.into_iter().find(|place| place.is_file()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_a_program_beside_this_one() {
        let target = tempfile::tempdir().unwrap();
        let own = target.path().join("debug/rsl");
        let named = |text: &str| Template::named_beside(&own, text);
        assert_eq!(named("rust").unwrap(), Template::rsl_replica(&own));
        assert_ne!(named("rust").unwrap(), named("legacy-model").unwrap());
        let missing = named("cpp").unwrap_err().to_string();
        assert!(missing.contains("cargo xtask cpp"), "{missing}");
        for dir in ["debug", "cpp", "dotnet"] {
            std::fs::create_dir(target.path().join(dir)).unwrap();
        }
        std::fs::write(target.path().join("cpp/rsl-host"), "").unwrap();
        std::fs::write(target.path().join("dotnet/RSLHost.exe"), "").unwrap();
        assert!(named("cpp").unwrap().program().to_string_lossy().ends_with("cpp/rsl-host"));
        let names = NAMES.iter().map(|name| named(name).unwrap());
        assert!(names.into_iter().all(|template| template.names_self()));
        assert!(named("fortran").is_err(), "a command without placeholders");
    }
}
