//! The built-in catalogue of models: facts kept as a text file, searched as they are needed.
//!
//! `scripts/models_refresh.rs` writes the file. Pure; a search reads some 40 KB and takes microseconds.

use crate::config::types::ModelCost;

const FILE: &str = include_str!("catalogue.txt");

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Listed {
    pub(super) provider: &'static str,
    pub(super) api: &'static str,
    pub(super) base_url: &'static str,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) reasoning: bool,
    pub(super) sees: bool,
    pub(super) context_window: u64,
    pub(super) max_tokens: u64,
    pub(super) cost: ModelCost,
}

impl Listed {
    /// Returns what it takes, in the words of configurations.
    pub(super) fn input(&self) -> Vec<String> {
        let kinds: &[&str] = if self.sees { &["text", "image"] } else { &["text"] };
        kinds.iter().map(|kind| (*kind).to_owned()).collect()
    }
}

/// Returns what is known of a model.
pub(super) fn find(provider: &str, id: &str) -> Option<Listed> {
    rows(provider).find(|(_, row)| row.split('\t').next() == Some(id)).and_then(|(head, row)| read(head, row))
}

/// Returns the models of a provider.
pub(super) fn of(provider: &str) -> Vec<Listed> {
    rows(provider).filter_map(|(head, row)| read(head, row)).collect()
}

/// Yields the rows of a provider, each with the head of its section.
fn rows(provider: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let sections = FILE.split("\n@ ").skip(1).filter_map(|section| section.split_once('\n'));
    let own = sections.filter(move |(head, _)| head.split(' ').next() == Some(provider));
    own.flat_map(|(head, rows)| rows.lines().map(move |row| (head, row)))
}

fn read(head: &'static str, row: &'static str) -> Option<Listed> {
    let mut words = head.split(' ');
    let (provider, api, base_url) = (words.next()?, words.next()?, words.next()?);
    let mut fields = row.split('\t');
    let (id, name, marks) = (fields.next()?, fields.next()?, fields.next()?);
    let mut number = || fields.next()?.parse::<f64>().ok();
    let (context_window, max_tokens) = (number()? as u64, number()? as u64);
    let cost = ModelCost { input: number()?, output: number()?, cache_read: number()?, cache_write: number()? };
    let (reasoning, sees) = (marks.contains('r'), marks.contains('i'));
    Some(Listed { provider, api, base_url, id, name, reasoning, sees, context_window, max_tokens, cost })
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{SPOKEN, builtin};
    use super::*;

    #[test]
    fn every_row_is_whole_and_spoken() {
        let heads = FILE.lines().filter_map(|line| line.strip_prefix("@ ")).map(|head| head.split(' ').next());
        let providers: std::collections::BTreeSet<&str> = heads.flatten().collect();
        let mut count = 0;
        for provider in &providers {
            for listed in of(provider) {
                assert!(SPOKEN.contains(&listed.api) && listed.base_url.starts_with("https://"), "{listed:?}");
                assert!(listed.context_window > 0 && listed.max_tokens > 0, "{listed:?}");
                count += 1;
            }
        }
        let rows = FILE.lines().filter(|line| !line.starts_with(['#', '@'])).count();
        assert_eq!(count, rows, "every row can be read");
        assert!(providers.contains("anthropic") && providers.contains("openai"), "{providers:?}");
    }

    #[test]
    fn defaults_of_providers_are_listed() {
        for provider in ["anthropic", "openai", "google", "groq", "mistral", "minimax", "opencode", "vercel-ai-gateway"]
        {
            let known = builtin(provider).expect("a provider");
            let listed = find(provider, known.model_default);
            assert!(listed.is_some_and(|listed| listed.provider == provider), "{provider}/{}", known.model_default);
        }
        assert_eq!(find("anthropic", "nothing"), None);
    }
}
