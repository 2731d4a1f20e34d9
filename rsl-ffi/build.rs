//! Gives the shared library its name, so that programs find it by name whatever path it was linked or loaded from.
//!
//! `RSL_SONAME` sets another one: an installed library has its version in it (`cargo xtask install`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RSL_SONAME");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        let name = std::env::var("RSL_SONAME").unwrap_or_else(|_| "librsl.so".to_owned());
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{name}");
    }
}
