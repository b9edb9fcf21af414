//! Named baselines: what an earlier run showed that this one can be compared with, on any machine.
//!
//! A file of `bench/baselines/` holds sizes and counts as they are, and everything else relative to the floor of the same
//! run. Of every value, less is better. Noise is what the turns of both runs showed, and at least [`NOISE_MIN`].

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::sheet::Sheet;

/// First key of the file: what it is.
const FORMAT: &str = "clawdbot-bench-1";

/// Less than this share is never called a change.
const NOISE_MIN: f64 = 0.05;

/// See the module.
pub struct Baseline {
    name: String,
    figures: Map<String, Value>,
}

/// Where a baseline of this name is; names are plain words.
pub fn path(name: &str) -> Result<PathBuf> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    ensure!(
        !name.is_empty() && !name.starts_with('.') && name.chars().all(is_word),
        "`{name}` is no name of a baseline: use letters, digits, `-`, `_` and `.`"
    );
    Ok(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench/baselines").join(format!("{name}.json")))
}

impl Baseline {
    /// What a run showed.
    pub fn of(sheet: &Sheet) -> Self {
        let figures = sheet.kept.iter();
        let figures =
            figures.map(|kept| (kept.name.clone(), json!({"value": round(kept.value), "spread": round(kept.spread)})));
        Self { name: String::new(), figures: figures.collect() }
    }

    /// Reads one.
    pub fn load(name: &str) -> Result<Self> {
        let path = path(name)?;
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the baseline {}: make one with `--save {name}`", path.display()))?;
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let figures =
            parsed.filter(|value| value["format"] == FORMAT).and_then(|value| value["figures"].as_object().cloned());
        let Some(figures) = figures.filter(|figures| figures.values().all(|figure| figure["value"].is_f64())) else {
            bail!(
                "{} is no baseline of this bench (`format` is not {FORMAT}): make it anew with `--save {name}`",
                path.display()
            );
        };
        Ok(Self { name: name.to_owned(), figures })
    }

    /// Writes it: the old file or the new one is there, never half of one.
    pub fn save(&self, name: &str) -> Result<PathBuf> {
        let path = path(name)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let value = json!({"format": FORMAT, "figures": self.figures});
        let text = serde_json::to_string_pretty(&value).context("word the baseline")? + "\n";
        std::fs::create_dir_all(path.parent().expect("a file in a directory")).context("make bench/baselines")?;
        std::fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
        std::fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Compares a run with it and says what is worse; returns whether anything is.
    pub fn judge(&self, sheet: &Sheet) -> Result<bool> {
        let (mut compared, mut worse) = (0, Vec::new());
        for kept in &sheet.kept {
            let Some(figure) = self.figures.get(&kept.name) else { continue };
            let number = |key: &str| figure[key].as_f64().unwrap_or(0.0);
            let (was, noise) = (number("value"), (number("spread") + kept.spread).max(NOISE_MIN));
            compared += 1;
            if kept.value > was * (1.0 + noise) + kept.slack {
                let (is, more) = (kept.value, (kept.value / was - 1.0) * 100.0);
                worse.push(format!(
                    "{}: was {was:.3}, is {is:.3}: {more:.0} % worse, noise allows {:.0} %",
                    kept.name,
                    noise * 100.0
                ));
            }
        }
        println!(
            "\n{compared} figures compared with the baseline {}: {} are worse beyond the noise.",
            self.name,
            worse.len()
        );
        worse.iter().for_each(|line| eprintln!("WORSE  {line}"));
        Ok(!worse.is_empty())
    }
}

/// Four digits that count: more would only make the file's changes hard to read.
fn round(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
