//! Wake words: what a listening device must hear to wake the assistant (protocol.md §5.12).
//!
//! Owns `settings/voicewake.json` in the original's format; keys of it that nobody here knows are kept. Runs on any
//! worker. Not here: who is told of a change (`gateway::methods::talk`), and listening, which devices do themselves.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::store::JsonStore;
use crate::base::text::unless_blank;

/// The words while nobody has chosen others.
const TRIGGERS_DEFAULT: [&str; 3] = ["clawd", "claude", "computer"];
/// Most words.
const TRIGGERS_MAX: usize = 32;
/// Longest word, in UTF-16 units as clients count.
const TRIGGER_LEN_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct VoiceWake {
    store: JsonStore<Map<String, Value>>,
}

impl VoiceWake {
    /// Opens `voicewake.json` in `directory`; a missing file means the default words.
    ///
    /// # Errors
    /// See [`JsonStore::open`].
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self { store: JsonStore::open(directory.join("voicewake.json"), Durability::Process)? })
    }

    /// Returns the words in force; never empty.
    pub fn triggers(&self) -> Vec<String> {
        let file = self.store.get();
        normalise(file.get("triggers").and_then(Value::as_array).map_or(&[], Vec::as_slice))
    }

    /// Replaces the words by what `wanted` holds of usable ones and returns those now in force.
    ///
    /// # Errors
    /// The write's error; the words are then as before.
    pub fn set(&self, wanted: &[Value], now_ms: UnixMs) -> io::Result<Vec<String>> {
        let triggers = normalise(wanted);
        self.store.update(|file| {
            file.insert("triggers".to_owned(), triggers.clone().into());
            file.insert("updatedAtMs".to_owned(), now_ms.into());
        })?;
        Ok(triggers)
    }

    /// Refuses every later change.
    pub fn close(&self) {
        self.store.close();
    }
}

/// Trims, drops what is blank or no text, and cuts to the limits; nothing left means the default words.
fn normalise(wanted: &[Value]) -> Vec<String> {
    let words = wanted.iter().filter_map(Value::as_str).filter_map(unless_blank);
    let words: Vec<String> = words.take(TRIGGERS_MAX).map(cut).collect();
    if words.is_empty() { TRIGGERS_DEFAULT.map(str::to_owned).to_vec() } else { words }
}

fn cut(word: &str) -> String {
    let mut len = 0;
    let fits = |c: &char| {
        len += c.len_utf16();
        len <= TRIGGER_LEN_MAX
    };
    word.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn words_are_cleaned_and_limited() {
        let check = |wanted: Value, expected: Value| {
            let words = normalise(wanted.as_array().expect("a list"));
            assert_eq!(json!(words), expected, "{wanted}");
        };
        check(json!([" clawd ", "", "computer"]), json!(["clawd", "computer"]));
        check(json!([1, null, "  ", {"a": 1}]), json!(TRIGGERS_DEFAULT));
        check(json!(["é".repeat(70), "😀".repeat(40)]), json!(["é".repeat(64), "😀".repeat(32)]));
        let many: Vec<String> = (0..40).map(|index| index.to_string()).collect();
        check(json!(many), json!(many[..32]));
    }

    #[test]
    fn the_file_keeps_what_it_does_not_know() {
        let dir = TempDir::new("voicewake");
        let file = dir.path().join("voicewake.json");
        std::fs::write(&file, r#"{"triggers": ["hey", 5], "theme": "x"}"#).expect("write");
        let wake = VoiceWake::open(dir.path()).expect("open");
        assert_eq!(wake.triggers(), ["hey"]);
        wake.set(&[json!("jarvis")], 7).expect("set");
        let text = std::fs::read_to_string(&file).expect("read");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(kept, json!({"triggers": ["jarvis"], "theme": "x", "updatedAtMs": 7}));
        wake.close();
        assert!(wake.set(&[json!("late")], 8).is_err());
        assert_eq!(VoiceWake::open(dir.path()).expect("open").triggers(), ["jarvis"]);
    }
}
