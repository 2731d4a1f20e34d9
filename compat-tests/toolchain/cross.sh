#!/usr/bin/env bash
# Runs a command with a Rust toolchain that knows a target for which rustup here has no std. Debian 12, root.
# usage: cross.sh TARGET COMMAND..., for example cross.sh x86_64-pc-windows-gnu cargo check --target x86_64-pc-windows-gnu
# env: RSL_CROSS_DIR, a folder that survives between runs (default ~/.cache/rsl-cross)
#
# Debian's rustc-web is newer than the Rust we build with and comes with the sources of std. It is unpacked into the
# folder, never installed, so that it gets in nobody's way; std is built once per target. Programs of the target run
# under Wine or qemu-user, also those that cargo starts.
set -euo pipefail
target=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
cache=${RSL_CROSS_DIR:-$HOME/.cache/rsl-cross}
rust=$cache/rust/usr
mkdir -p "$cache"
# Two commands that start at once prepare the folder one after the other.
exec 9>"$cache/lock"
flock 9

need="libllvm22 libgit2-1.5 libssh2-1 libsqlite3-0 libcurl4 gcc libc6-dev"
case $target in
    x86_64-pc-windows-gnu)
        need="$need g++-mingw-w64-x86-64-posix wine wine64"
        export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$here/wine.sh"
        # Quiet, and without asking for Mono and a browser.
        export WINEPREFIX=$cache/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
        ;;
    aarch64-unknown-linux-gnu)
        # std is linked as a dynamic library, too.
        need="$need gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="env -u LD_LIBRARY_PATH qemu-aarch64 -L /usr/aarch64-linux-gnu"
        ;;
    *)
        echo "cross.sh: $target is not known" >&2
        exit 2
        ;;
esac
# shellcheck disable=SC2086
if ! dpkg -s $need >/dev/null 2>&1; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=500 install -y --no-install-recommends $need >/dev/null
fi
if [ ! -x "$rust/bin/rustc" ]; then
    echo "unpacking rustc-web" >&2
    mkdir -p "$cache/debs"
    (
        cd "$cache/debs"
        std=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -1)
        apt-get -q download rustc-web cargo-web rust-web-src libstd-rust-web-dev "$std" >/dev/null
        for package in *.deb; do dpkg -x "$package" "$cache/rust"; done
    )
    rm -rf "$cache/debs"
fi
unpacked() {
    env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTC PATH="$rust/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        LD_LIBRARY_PATH="$rust/lib/x86_64-linux-gnu" "$@"
}
if [ ! -e "$rust/lib/rustlib/$target/lib/complete" ]; then
    echo "building std for $target" >&2
    unpacked env RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=stablestd \
        RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=no" \
        cargo build --quiet --manifest-path "$rust"/src/rustc-*/library/sysroot/Cargo.toml --target "$target" \
        --release --features "panic-unwind backtrace" --target-dir "$cache/std"
    mkdir -p "$rust/lib/rustlib/$target/lib"
    cp "$cache/std/$target"/release/deps/lib*.rlib "$rust/lib/rustlib/$target/lib/"
    rm -rf "$cache/std"
    touch "$rust/lib/rustlib/$target/lib/complete"
fi
if [ "$target" = x86_64-pc-windows-gnu ] && [ ! -e "$WINEPREFIX/complete" ]; then
    echo "making a Wine prefix" >&2
    wineboot -i >/dev/null 2>&1
    # Wine 8 lacks this system library of Windows 7 and later; Rust's std takes its random numbers from it.
    x86_64-w64-mingw32-gcc -O2 -shared -static -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
        "$here/bcryptprimitives.c" -ladvapi32
    touch "$WINEPREFIX/complete"
fi
flock -u 9
exec 9>&-
unpacked "$@"
