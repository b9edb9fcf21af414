//! The `clawdbot` program: everything is in the library.

fn main() {
    std::process::exit(clawdbot::cli::main(std::env::args().skip(1).collect()));
}
