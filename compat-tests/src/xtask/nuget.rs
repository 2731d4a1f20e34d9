//! `cargo xtask nuget`: makes the package of the managed bindings, looks into it, and uses it in two small projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::sources::root;
use crate::managed::{self, GET_DOTNET, GET_MONO, Runtime, Sdk};
use crate::native;

/// What every package holds; `runtimes/win-x64/native/rsl.dll` as well where that library was built.
const ENTRIES: &[&str] = &[
    "ManagedRSLib.nuspec",
    "lib/net40/ManagedRSLib.dll",
    "lib/net40/ManagedRSLib.xml",
    "lib/netstandard2.0/ManagedRSLib.dll",
    "lib/netstandard2.0/ManagedRSLib.xml",
    "build/net40/ManagedRSLib.targets",
    "runtimes/linux-x64/native/librsl.so",
    "README.md",
    "LICENSE",
];

/// Prints the checksum of "a": the assembly is found, and the native library by it.
const PROGRAM: &str = "using System;\n\
    static class Program { static void Main() { \
    Console.WriteLine(\"{0:x16}\", ManagedRSLib.ManagedRSLUtils.CalculateChecksum(new[] { (byte)'a' })); } }\n";
const CHECKSUM: &str = "d62bafc94e2152f3";

const PROJECT: &str = r#"<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>netcoreapp3.1</TargetFramework>
    <RollForward>Major</RollForward>
    <UseAppHost>false</UseAppHost>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="ManagedRSLib" Version="VERSION" />
  </ItemGroup>
</Project>
"#;

/// Makes and checks the package; true when all is well.
pub(crate) fn run() -> Result<bool> {
    let sdk = Sdk::find().with_context(|| format!("no .NET SDK: {GET_DOTNET}"))?;
    ensure!(managed::has_mono(), "the reference assemblies of .NET Framework are missing: {GET_MONO}");
    let windows = windows_library();
    let package = pack(&sdk, windows.as_deref())?;
    println!("{}", package.display());
    let unpacked = check(&package, windows.is_some())?;
    use_on_mono(&unpacked)?;
    use_with_sdk(&sdk, &package, windows.is_some())?;
    println!("ok: the entries are there; used from projects for .NET Framework and .NET Core");
    Ok(true)
}

/// The library for Windows, where it was built.
fn windows_library() -> Option<PathBuf> {
    let built = native::target().join("windows/rsl.dll");
    built.is_file().then_some(built)
}

fn pack(sdk: &Sdk, windows: Option<&Path>) -> Result<PathBuf> {
    let linux = native::library(true)?.join("librsl.so");
    let (version, out) = (env!("CARGO_PKG_VERSION"), managed::output());
    let package = out.join(format!("package/ManagedRSLib.{version}.nupkg"));
    if package.exists() {
        fs::remove_file(&package)?;
    }
    let mut command = sdk.dotnet();
    command.arg("pack").arg(root().join("csharp-bindings/ManagedRSLib/ManagedRSLib.csproj"));
    command.args(["-nologo", "-v:q", "-c", "Release", "-p:Offline=true"]);
    command.arg("-p:FrameworkPathOverride=/usr/lib/mono/4.0-api").arg(format!("-p:Version={version}"));
    command
        .arg(format!("-p:RslOutput={}/", out.display()))
        .arg(format!("-p:NativeLinux={}", linux.display()));
    command.arg(format!("-p:RestoreConfigFile={}", no_registry().display()));
    if let Some(windows) = windows {
        command.arg(format!("-p:NativeWindows={}", windows.display()));
    }
    native::run(&mut command)?;
    ensure!(package.is_file(), "{} was not made", package.display());
    Ok(package)
}

fn no_registry() -> PathBuf {
    root().join("compat-tests/toolchain/offline/NuGet.Config")
}

/// Unpacks the package, and compares what is in it with what has to be, and with what it was made from.
fn check(package: &Path, with_windows: bool) -> Result<PathBuf> {
    let unpacked = fresh("unpacked")?;
    native::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(package).arg(&unpacked))?;
    let windows = with_windows.then_some("runtimes/win-x64/native/rsl.dll");
    for entry in ENTRIES.iter().copied().chain(windows) {
        let length = fs::metadata(unpacked.join(entry)).with_context(|| format!("no {entry} in it"))?.len();
        ensure!(length > 0, "{entry} is empty");
    }
    let assemblies: Vec<PathBuf> = files(&unpacked.join("lib"))?;
    ensure!(assemblies.len() == 4, "more below lib than the assembly and its comments: {assemblies:?}");
    let described = fs::read_to_string(unpacked.join("ManagedRSLib.nuspec"))?;
    for text in [
        "<id>ManagedRSLib</id>",
        "targetFramework=\".NETFramework4.0\"",
        "targetFramework=\".NETStandard2.0\"",
        ">MIT<",
    ] {
        ensure!(described.contains(text), "{text} is not in the description");
    }
    ensure!(!described.contains("<dependency "), "it depends on other packages");
    let native = fs::read(unpacked.join("runtimes/linux-x64/native/librsl.so"))?;
    ensure!(native == fs::read(native::target().join("release/librsl.so"))?, "another librsl.so is in it");
    if let (Some(entry), Some(built)) = (windows, windows_library()) {
        ensure!(fs::read(unpacked.join(entry))? == fs::read(built)?, "another rsl.dll is in it");
    }
    Ok(unpacked)
}

/// Compiles against the net40 assembly and runs beside the package's `runtimes`, as its targets file lays them out.
fn use_on_mono(unpacked: &Path) -> Result<()> {
    let place = fresh("framework")?;
    let native = place.join("runtimes/linux-x64/native");
    fs::create_dir_all(&native)?;
    fs::copy(unpacked.join("lib/net40/ManagedRSLib.dll"), place.join("ManagedRSLib.dll"))?;
    fs::copy(unpacked.join("runtimes/linux-x64/native/librsl.so"), native.join("librsl.so"))?;
    fs::write(place.join("Program.cs"), PROGRAM)?;
    let mut mcs = Command::new("mcs");
    native::run(mcs.current_dir(&place).args(["-sdk:4.0-api", "-r:ManagedRSLib.dll", "Program.cs"]))?;
    answers(Command::new("mono").current_dir(&place).arg("Program.exe"))
}

/// Builds a project that refers to the package, and runs it on every .NET Core that is here; on that for Windows under Wine
/// when the package has something for it.
fn use_with_sdk(sdk: &Sdk, package: &Path, with_windows: bool) -> Result<()> {
    let place = fresh("project")?;
    let version = env!("CARGO_PKG_VERSION");
    fs::write(place.join("Program.cs"), PROGRAM)?;
    fs::write(place.join("Program.csproj"), PROJECT.replace("VERSION", version))?;
    let source = package.parent().context("the package has a directory")?;
    // An older package of this version may lie in the cache.
    let cached = managed::output().join("obj/packages/managedrslib");
    if cached.exists() {
        fs::remove_dir_all(cached)?;
    }
    let mut build = sdk.dotnet();
    build.current_dir(&place).args(["build", "-nologo", "-v:q", "-c", "Release", "-o", "out"]);
    build.arg(format!("-p:RestoreSources={}", source.display()));
    build.arg(format!("-p:RestoreConfigFile={}", no_registry().display()));
    native::run(&mut build)?;
    let mut used = 0;
    for runtime in Runtime::all().iter().filter(|runtime| runtime.is_here && runtime.is_core()) {
        let mut command = Command::new(runtime.program());
        answers(command.arg(place.join("out/Program.dll"))).with_context(|| runtime.name)?;
        used += 1;
    }
    ensure!(used > 0, "no .NET Core to run it on");
    if with_windows {
        let dotnet = managed::windows_dotnet();
        ensure!(dotnet.is_file(), "{} is missing: {GET_DOTNET}", dotnet.display());
        answers(crate::windows::wine(&dotnet).arg(place.join("out/Program.dll")))
            .context(".NET Core for Windows")?;
    } else {
        println!(
            "target/windows/rsl.dll was not built (cargo xtask windows): the package has nothing for Windows"
        );
    }
    Ok(())
}

/// Whether a program prints the checksum.
fn answers(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || printed.trim() != CHECKSUM {
        bail!("{command:?} printed {printed}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// An empty directory outside of every project.
fn fresh(name: &str) -> Result<PathBuf> {
    let place = managed::output().join("package-test").join(name);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
