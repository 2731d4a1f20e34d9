#!/usr/bin/env bash
# Type-checks the workspace for a target that rustup's toolchain has no std for. Debian 12, root.
# usage: cross-check.sh TARGET, for example x86_64-pc-windows-gnu or aarch64-unknown-linux-gnu
# env: RSL_CROSS_DIR, a folder that survives between runs (default ~/.cache/rsl-cross)
#
# Debian's rustc-web is newer than the Rust we build with and comes with the sources of std. It is unpacked into the
# folder, never installed, so that it gets in nobody's way; std is built once per target.
set -euo pipefail
target=$1
repository=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RSL_CROSS_DIR:-$HOME/.cache/rsl-cross}
rust=$cache/rust/usr
mkdir -p "$cache"

need="libllvm22 libgit2-1.5 libssh2-1 libsqlite3-0 libcurl4 gcc libc6-dev"
case $target in
    aarch64-unknown-linux-gnu)
        # std is linked as a dynamic library, too.
        need="$need gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        ;;
esac
# shellcheck disable=SC2086
if ! dpkg -s $need >/dev/null 2>&1; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $need >/dev/null
fi
if [ ! -x "$rust/bin/rustc" ]; then
    echo "unpacking rustc-web"
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
unpacked rustc -V
if [ ! -e "$rust/lib/rustlib/$target/lib/complete" ]; then
    echo "building std for $target"
    unpacked env RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=stablestd \
        RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=no" \
        cargo build --quiet --manifest-path "$rust"/src/rustc-*/library/sysroot/Cargo.toml --target "$target" \
        --release --features "panic-unwind backtrace" --target-dir "$cache/std"
    mkdir -p "$rust/lib/rustlib/$target/lib"
    cp "$cache/std/$target"/release/deps/lib*.rlib "$rust/lib/rustlib/$target/lib/"
    rm -rf "$cache/std"
    touch "$rust/lib/rustlib/$target/lib/complete"
fi
cd "$repository"
unpacked cargo check --quiet --workspace --all-targets --target "$target" --target-dir "$cache/target"
echo "checked for $target"
