//! Writes the built-in catalogue of models from an installed copy of the package that the original takes its own from.
//!
//! Usage: `cargo run --example models-refresh -- node_modules/@mariozechner/pi-ai/dist/models.generated.js`
//! Only facts are taken over: names, addresses, windows, limits and prices, of the wire formats that are spoken here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/agent/models/catalogue.txt");
const HEAD: &str = "\
# The built-in catalogue of models. Written by scripts/models_refresh.rs; edits are lost at its next run.
# `@ provider wire-format base-url`, then its models: id, name, r (reasons) and i (sees images), context window, largest
# answer, and the prices of input, output, cache reads and cache writes in USD per million tokens. Separated by tabs.
";

fn main() -> anyhow::Result<()> {
    let source = std::env::args().nth(1).context("name the package's models.generated.js")?;
    let text = std::fs::read_to_string(&source).with_context(|| format!("read {source}"))?;
    let start = text.find("MODELS = {").context("no table of models in that file")? + "MODELS = ".len();
    let end = text.rfind("};").context("the table of models does not end")? + 1;
    let table: BTreeMap<String, BTreeMap<String, Value>> =
        json5::from_str(&text[start..end]).context("read the table")?;

    let mut sections: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for (provider, models) in &table {
        for model in models.values() {
            let word = |field: &str| model[field].as_str().unwrap_or_default().replace(['\t', '\n'], " ");
            let api = word("api");
            // Antigravity answers only who says to be that editor.
            if !clawdbot::agent::models::SPOKEN.contains(&api.as_str()) || provider == "google-antigravity" {
                continue;
            }
            let sees = model["input"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "image"));
            let marks = format!("{}{}", if model["reasoning"] == true { "r" } else { "" }, if sees { "i" } else { "" });
            let number = |value: &Value| format!("{}", value.as_f64().unwrap_or(0.0));
            let cost = ["input", "output", "cacheRead", "cacheWrite"].map(|part| number(&model["cost"][part]));
            let row = format!(
                "{}\t{}\t{marks}\t{}\t{}\t{}\n",
                word("id"),
                word("name"),
                number(&model["contextWindow"]),
                number(&model["maxTokens"]),
                cost.join("\t")
            );
            sections.entry((provider.clone(), api, word("baseUrl"))).or_default().push(row);
        }
    }
    let mut out = HEAD.to_owned();
    for ((provider, api, url), mut rows) in sections {
        rows.sort();
        write!(out, "@ {provider} {api} {url}\n{}", rows.concat())?;
    }
    std::fs::write(FILE, &out).with_context(|| format!("write {FILE}"))?;
    println!("{FILE}: {} bytes", out.len());
    Ok(())
}
