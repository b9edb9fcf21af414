//! Search by words: BM25 over the pieces of the notes, worked out afresh each time, so that no index can grow stale.
//!
//! Pure functions.

use std::collections::HashMap;

use super::Chunk;

/// How quickly repetitions of a word count for less, and how much a chunk's length counts.
const BM25_K1: f64 = 1.2;
const BM25_B: f64 = 0.75;

/// Returns the places of the chunks that hold words of the query, the best first, with a score from 0 to 1.
pub(super) fn ranked(chunks: &[Chunk], query: &str) -> Vec<(f64, usize)> {
    let mut wanted = words(query);
    wanted.sort();
    wanted.dedup();
    let counted: Vec<(HashMap<&str, usize>, usize)> = chunks
        .iter()
        .map(|chunk| {
            let all = words(&chunk.text);
            let mut counts = HashMap::new();
            for wanted in &wanted {
                let count = all.iter().filter(|word| *word == wanted).count();
                if count > 0 {
                    counts.insert(wanted.as_str(), count);
                }
            }
            (counts, all.len())
        })
        .collect();
    let total = chunks.len() as f64;
    let average = counted.iter().map(|(_, length)| *length as f64).sum::<f64>() / total.max(1.0);
    let weight = |word: &str| {
        let with = counted.iter().filter(|(counts, _)| counts.contains_key(word)).count() as f64;
        (1.0 + (total - with + 0.5) / (with + 0.5)).ln()
    };
    let weights: Vec<(&str, f64)> = wanted.iter().map(|word| (word.as_str(), weight(word))).collect();
    // What a chunk would get that holds every word again and again.
    let best: f64 = weights.iter().map(|(_, weight)| weight * (BM25_K1 + 1.0)).sum();
    let mut found: Vec<(f64, usize)> = Vec::new();
    for (at, (counts, length)) in counted.iter().enumerate() {
        let size = 1.0 - BM25_B + BM25_B * (*length as f64 / average.max(1.0));
        let score: f64 = weights
            .iter()
            .filter_map(|(word, weight)| {
                let count = *counts.get(word)? as f64;
                Some(weight * count * (BM25_K1 + 1.0) / (count + BM25_K1 * size))
            })
            .sum();
        if score > 0.0 {
            found.push(((score / best.max(f64::MIN_POSITIVE)).min(1.0), at));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Returns the words of a text as they are compared: lower case, without common endings; signs of languages without blanks
/// stand alone.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase).chain([' ']) {
        let stands_alone = matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}');
        if c.is_alphanumeric() && !stands_alone {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(stem(&word).to_owned());
            word.clear();
        }
        if stands_alone {
            words.push(c.to_string());
        }
    }
    words
}

fn stem(word: &str) -> &str {
    if word.is_ascii() && word.len() > 4 {
        for ending in ["ing", "ed", "es", "s"] {
            if let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= 3 && !stem.ends_with('s')) {
                return stem;
            }
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_chunk_comes_first() {
        let chunk = |path: &str, text: &str| Chunk {
            path: path.into(),
            start: 1,
            end: 1,
            text: text.into(),
            source: "memory",
            is_settled: true,
        };
        let chunks = [
            chunk("a", "We deploy on Fridays, never on Mondays."),
            chunk("b", "Deployments: the deploy key is in the safe. Deploying needs two people."),
            chunk("c", "Grandmother's birthday is in May."),
            chunk("d", "会議は金曜日です"),
        ];
        let order =
            |query: &str| ranked(&chunks, query).iter().map(|(_, at)| chunks[*at].path.clone()).collect::<String>();
        assert_eq!(order("deploy key"), "ba");
        assert_eq!(order("friday deploys"), "ab");
        assert_eq!(order("Birthdays"), "c");
        assert_eq!(order("金曜日"), "d");
        assert_eq!(order("nothing"), "");
        assert_eq!(order(""), "");
        assert!(ranked(&chunks, "deploy key").iter().all(|(score, _)| (0.0..=1.0).contains(score)));
    }
}
