//! Models for clients in `schemas/`: they are what the generator makes of the schema files, and languages take them.

#[path = "../scripts/client_models/model.rs"]
mod model;
#[path = "../scripts/client_models/swift.rs"]
mod swift;
#[path = "../scripts/client_models/typescript.rs"]
mod typescript;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::home::Ran;
use crate::support::{asks_npm, schema, skipped, wire};

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn protocol() -> model::Protocol {
    model::Protocol::read(&tree().join("schemas")).expect("schemas/ has models")
}

#[test]
fn the_models_match_the_schemas() {
    let protocol = protocol();
    for (file, text) in [(typescript::FILE, typescript::write(&protocol)), (swift::FILE, swift::write(&protocol))] {
        let stored = std::fs::read_to_string(tree().join("schemas").join(file)).unwrap_or_default();
        assert!(stored == text, "schemas/{file} differs from the schema files; run scripts/schema-gen.sh");
    }
}

#[test]
fn typescript_takes_them_and_finds_mistakes() {
    let Some(tsc) = tsc() else { return };
    let check = |file: &str| {
        let mut command = Command::new(&tsc[0]);
        command.args(&tsc[1..]).current_dir(tree());
        command.args(["--strict", "--noEmit", "--pretty", "false", "--target", "es2022", "--module", "es2022"]);
        command.args(["--moduleResolution", "bundler", "--lib", "es2022"]);
        Ran::of_within(command.arg(file), INSTALL_PATIENCE)
    };
    let client = check("tests/client_models/client.ts");
    assert_eq!(client.code, Some(0), "{client:#?}");

    let mistakes = check("tests/client_models/mistakes.ts");
    let text = std::fs::read_to_string(tree().join("tests/client_models/mistakes.ts")).unwrap();
    let marked: BTreeSet<usize> =
        text.lines().zip(1..).filter(|(line, _)| line.ends_with("// mistake")).map(|it| it.1).collect();
    let found: BTreeSet<usize> = mistakes
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("tests/client_models/mistakes.ts(")?.split(',').next()?.parse().ok())
        .collect();
    assert_eq!(found, marked, "{mistakes:#?}");
}

/// How long npm may take to bring the compiler.
const INSTALL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// How the TypeScript compiler starts, where there is one.
pub fn tsc() -> Option<Vec<String>> {
    if let Ok(program) = std::env::var("CLAWDBOT_TSC") {
        return Some(program.split_whitespace().map(str::to_owned).collect());
    }
    if on_path("tsc").is_some() {
        return Some(vec!["tsc".into()]);
    }
    if !asks_npm() {
        skipped(
            "TypeScript models: no tsc here (set CLAWDBOT_TEST_NPM=1 to fetch it, or CLAWDBOT_TSC to how it starts)",
        );
        return None;
    }
    let words = ["npx", "--yes", "--package", "typescript@5", "tsc"];
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("--version").env("npm_config_fetch_retries", "0");
    let tried = on_path(words[0]).map(|_| Ran::of_within(&mut command, INSTALL_PATIENCE));
    if tried.as_ref().is_none_or(|ran| ran.code != Some(0)) {
        skipped(&format!("TypeScript models: npm does not bring tsc: {tried:?}"));
        return None;
    }
    Some(words.map(str::to_owned).to_vec())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// What can be said about Swift without its compiler: brackets close, and every stored field has its key.
#[test]
fn swift_is_well_formed() {
    let protocol = protocol();
    let text = swift::write(&protocol);
    let mut open = Vec::new();
    for (line, number) in text.lines().filter(|line| !line.starts_with("//")).zip(1..) {
        for character in line.chars() {
            match character {
                '(' | '[' | '{' => open.push(character),
                ')' => assert_eq!(open.pop(), Some('('), "line {number}: {line}"),
                ']' => assert_eq!(open.pop(), Some('['), "line {number}: {line}"),
                '}' => assert_eq!(open.pop(), Some('{'), "line {number}: {line}"),
                _ => {}
            }
        }
    }
    assert!(open.is_empty());

    let mut names = BTreeSet::new();
    for named in &protocol.types {
        assert!(names.insert(&named.name), "{} is declared twice", named.name);
        let model::Shape::Object { fields, .. } = &named.shape else { continue };
        let start = text.find(&format!("public struct {}: Codable", named.name)).expect("declared");
        let body = text[start..].split("\n}\n").next().unwrap_or_default();
        for field in fields {
            let key = format!(" = {:?}\n", field.name);
            assert_eq!(body.matches(&key).count(), 1, "{}.{}", named.name, field.name);
        }
        assert_eq!(body.matches("    public var ").count(), fields.len(), "{}", named.name);
    }

    let Some(swiftc) = on_path("swiftc") else {
        skipped("Swift models by the compiler: no swiftc here");
        return;
    };
    let mut command = Command::new(swiftc);
    let ran = Ran::of_within(command.arg("-typecheck").arg(tree().join("schemas").join(swift::FILE)), INSTALL_PATIENCE);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

#[test]
fn the_original_says_what_is_defined() {
    let directory = std::fs::read_dir(tree().join("tests/wire")).expect("recordings");
    for path in
        directory.map(|entry| entry.expect("an entry").path()).filter(|it| it.extension() == Some("json".as_ref()))
    {
        let recording = wire::load(path.file_stem().and_then(|it| it.to_str()).expect("a name"));
        judge(&recording);
        recording.peers.iter().for_each(|(_, peer)| judge(peer));
    }
}

fn judge(recording: &wire::Recording) {
    // A frame that was shortened after recording is no whole one.
    for frame in recording.received.iter().filter(|frame| !frame.to_string().contains("_truncated")) {
        println!("{}", recording.name);
        let asked = recording.sent.iter().find(|sent| !sent["id"].is_null() && sent["id"] == frame["id"]);
        schema::judge(frame, asked.and_then(|sent| sent["method"].as_str()));
    }
}
