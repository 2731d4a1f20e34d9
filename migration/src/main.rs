//! The `rsl` binary: the operators' toolbox.

fn main() {
    eprintln!("no command yet");
    std::process::exit(2);
}
