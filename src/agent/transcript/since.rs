//! What happened in a transcript since one of its entries, read from the end and no further than that entry.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::open_backwards;
use crate::base::clock::{UnixMs, iso_utc};

/// How far the clock may have been set back since the entry was written.
const SLACK_MS: UnixMs = 60 * 60_000;

/// Returns the messages behind the entry `id`, oldest first; `None` when there is no such entry. It is not looked for
/// among entries that were written before `written_at`.
///
/// # Errors
/// Any I/O error but "not found".
pub fn since(path: &Path, id: &str, written_at: UnixMs) -> io::Result<Option<Vec<Value>>> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: Option<String>,
        #[serde(default)]
        timestamp: Value,
        message: Option<Value>,
    }
    let Some(mut lines) = open_backwards(path)? else { return Ok(None) };
    let oldest = iso_utc(written_at.saturating_sub(SLACK_MS));
    let mut messages = Vec::new();
    while let Some(line) = lines.next_line()? {
        let Some(line) = line.parse::<Line>() else { continue };
        if line.id.as_deref() == Some(id) {
            messages.reverse();
            return Ok(Some(messages));
        }
        // Times of one form sort as texts do.
        if line.timestamp.as_str().is_some_and(|at| at < oldest.as_str()) {
            break;
        }
        messages.extend(line.message);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, user};
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn what_came_after_an_entry() {
        let dir = TempDir::new("since");
        let path = dir.path().join("a.jsonl");
        let written_at = 1_795_353_648_869;
        assert_eq!(since(&path, "x", written_at).expect("read"), None);
        let mut transcript = open(&path);
        let ids: Vec<String> = ["one", "two", "three"]
            .iter()
            .map(|text| transcript.append_message(&user(text)).expect("append"))
            .collect();
        let texts = |id: &str, written_at| -> Option<Vec<String>> {
            let messages = since(&path, id, written_at).expect("read")?;
            Some(messages.iter().map(|it| it["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect())
        };
        assert_eq!(texts(&ids[0], written_at), Some(vec!["two".to_owned(), "three".to_owned()]));
        assert_eq!(texts(&ids[2], written_at), Some(Vec::new()));
        assert_eq!(texts("00000000", written_at), None);
        assert_eq!(texts(&ids[0], written_at + 2 * SLACK_MS), None, "not among what is older");
    }
}
