//! Dependencies point down: what a module may name is decided by its layer, not by what is convenient.

use std::path::{Path, PathBuf};

/// From the ground up; a module may use those of lower layers, and of its own only itself.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["protocol", "config", "logging"],
    &["work", "net", "client"],
    &[
        "agent",
        "channels",
        "nodes",
        "devices",
        "cron",
        "discovery",
        "gmail",
        "canvas",
        "skills",
        "heartbeat",
        "approvals",
        "presence",
        "tts",
        "voicewake",
        "media",
        "wizard",
        "update",
    ],
    &["service", "gateway"],
    &["cli"],
    &["main", "lib"],
];

/// Uses that the layers alone would forbid.
const ALLOWED: &[(&str, &str)] = &[
    ("agent", "approvals"),
    // The node host keeps to this machine's policy.
    ("nodes", "approvals"),
    ("agent", "skills"),
    // Tools name nodes as people do.
    ("agent", "nodes"),
    ("channels", "media"),
    // Speech that a model asks for waits where files wait that are to be sent.
    ("agent", "media"),
    // One rule for answers that say that all is well.
    ("cron", "heartbeat"),
    // The wizard makes the workspace and offers the models that can be spoken to.
    ("wizard", "agent"),
    // The client signs the challenge with the device's key.
    ("client", "devices"),
];

#[test]
fn uses_point_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        let text = std::fs::read_to_string(&file).expect("readable");
        for (number, line) in text.lines().enumerate() {
            for used in named_modules(line) {
                if !may_use(module, used) {
                    wrong.push(format!("src/{}:{}: {module} uses {used}", relative.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "uses that point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(&source).expect("src").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(layer(module).is_some(), "{module} is in no layer");
    }
    for module in LAYERS.concat() {
        assert!(source.join(module).with_extension("rs").exists(), "{module} has a layer and is nowhere");
    }
}

#[test]
fn the_rule_itself() {
    assert!(may_use("net", "base") && may_use("gateway", "agent") && may_use("agent", "agent"));
    assert!(!may_use("base", "config") && !may_use("agent", "gateway") && !may_use("net", "work"));
    assert_eq!(named_modules("use crate::base::ids; // crate::net").collect::<Vec<_>>(), ["base"]);
    assert_eq!(named_modules("fn a(x: crate::net::Peer) -> crate::work::Job {").collect::<Vec<_>>(), ["net", "work"]);
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn may_use(module: &str, used: &str) -> bool {
    let below = matches!((layer(used), layer(module)), (Some(used), Some(module)) if used < module);
    below || module == used || ALLOWED.contains(&(module, used))
}

/// The top-level modules that a line of code names by `crate::` or, from the binary, by the crate's own name.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    ["crate::", "clawdbot::"].into_iter().flat_map(move |prefix| {
        code.split(prefix).skip(1).filter_map(|rest| {
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
            let name = &rest[..end];
            // A capital is a type or a macro of the root, `{` a group that this tree does not use.
            name.starts_with(|it: char| it.is_ascii_lowercase()).then_some(name)
        })
    })
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}
