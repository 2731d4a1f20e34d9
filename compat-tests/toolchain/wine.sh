#!/usr/bin/env bash
# Runs a Windows program under Wine, without the library path of the cross toolchain and without Wine's hints about
# 32-bit packages. usage: wine.sh PROGRAM.EXE ARGUMENTS...
set -euo pipefail
unset LD_LIBRARY_PATH
export WINEPREFIX=${WINEPREFIX:-${RSL_CROSS_DIR:-$HOME/.cache/rsl-cross}/wine}
export WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES=${WINEDLLOVERRIDES:-mscoree,mshtml=}
for loader in /usr/lib/wine/wine64 wine64 wine; do
    if command -v "$loader" >/dev/null; then exec "$loader" "$@"; fi
done
echo "wine.sh: Wine is not installed" >&2
exit 127
