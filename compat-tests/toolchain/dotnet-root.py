#!/usr/bin/env python3
"""Makes a .NET root that runs any program out of the runtime files inside a self-contained application.

usage: dotnet-root.py APPLICATION OUTPUT MUXER    (MUXER: a `dotnet` of any version)
"""
import json
import os
import shutil
import sys
from pathlib import Path

FRAMEWORK = "Microsoft.NETCore.App"


def main(application: Path, output: Path, muxer: Path) -> None:
    # The dependencies of the application say which of its files are the runtime.
    described = json.loads(next(application.glob("*.deps.json")).read_text())
    target = described["runtimeTarget"]["name"]
    pack, files = next(
        (name, parts)
        for name, parts in described["targets"][target].items()
        if name.startswith(f"runtimepack.{FRAMEWORK}.Runtime.")
    )
    version = pack.split("/")[1]
    framework = output / "shared" / FRAMEWORK / version
    resolver = output / "host" / "fxr" / version
    framework.mkdir(parents=True)
    resolver.mkdir(parents=True)
    for kind in ("runtime", "native"):
        for file in files.get(kind, {}):
            shutil.copy2(application / os.path.basename(file), framework)
    shutil.copy2(application / "libhostpolicy.so", framework)
    shutil.copy2(application / "libhostfxr.so", resolver)
    listed = {
        kind: {
            os.path.basename(file): {"fileVersion": "0.0.0.0"} if kind == "native" else dict(about)
            for file, about in files.get(kind, {}).items()
        }
        for kind in ("runtime", "native")
    }
    name = f"{FRAMEWORK}/{version}"
    (framework / f"{FRAMEWORK}.deps.json").write_text(
        json.dumps(
            {
                "runtimeTarget": {"name": target, "signature": ""},
                "compilationOptions": {},
                "targets": {target: {name: listed}},
                "libraries": {name: {"type": "package", "serviceable": True, "sha512": ""}},
            },
            indent=1,
        )
    )
    program = output / "dotnet"
    shutil.copy2(muxer, program)
    program.chmod(0o755)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
