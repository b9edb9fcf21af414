//! Cargo's build script: what the program carries and how it is linked.

#[path = "gzip.rs"]
mod gzip;

use std::path::Path;

/// Files of the page that browsers get compressed.
const PAGE: &str = "src/gateway/http/page";
const PAGE_FILES: [&str; 3] = ["app.js", "app.css", "favicon.svg"];
const SCHEMAS: &str = "schemas/protocol.schema.json";

/// Added to the linker's own script.
const NO_UNWINDING: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.gcc_except_table*) } } INSERT AFTER .rodata;";

fn main() {
    println!("cargo::rerun-if-changed=scripts/build.rs");
    println!("cargo::rerun-if-changed={SCHEMAS}");
    let schemas = std::fs::read_to_string(SCHEMAS).expect("the schema file is read");
    let out = std::env::var_os("OUT_DIR").expect("cargo names a directory");
    std::fs::write(Path::new(&out).join("protocol.schema.json"), without_blanks(&schemas)).expect("written");

    println!("cargo::rerun-if-changed=scripts/gzip.rs");
    for name in PAGE_FILES {
        let path = Path::new(PAGE).join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        let data = std::fs::read(&path).expect("a file of the page is read");
        std::fs::write(Path::new(&out).join(format!("{name}.gz")), gzip::gzip(&data)).expect("written");
    }

    let target = std::env::var("TARGET").expect("cargo names the target");
    if target.contains("linux") {
        // 0.8 MB of relocations become 6 KB. Read by glibc from 2.36 (Debian 12) and by musl from 1.2.4.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let is_set = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    if target.contains("linux") && is_set("CARGO_FEATURE_SMALL", "1") && is_set("PROFILE", "release") {
        // The small build ends at a panic, and who ends has no use for a megabyte that says how to unwind.
        let script = Path::new(&out).join("no-unwinding.ld");
        std::fs::write(&script, NO_UNWINDING).expect("written");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{}", script.display());
    }
    if has_lld(&target) {
        // One copy of functions that came out equal.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// Tells whether the compiler links with its own lld: GNU ld knows no folding and refuses the option.
fn has_lld(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").expect("cargo names the compiler");
    let sysroot = std::process::Command::new(rustc).args(["--print", "sysroot"]).output();
    let sysroot = sysroot.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    target == "x86_64-unknown-linux-gnu"
        && Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
}

/// JSON without the blanks between its parts: half of the file is indentation.
fn without_blanks(json: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    json.chars()
        .filter(|&char| {
            let is_kept = is_in_text || !char.is_ascii_whitespace();
            is_in_text ^= char == '"' && !is_escaped;
            is_escaped = is_in_text && char == '\\' && !is_escaped;
            is_kept
        })
        .collect()
}
