//! The vectors of one agent's notes: `<state>/memory/<agent>.vectors.jsonl`.
//!
//! A vector is kept by what its piece of a note says, so a changed file costs only its changed pieces, and nothing has to be
//! compared with dates. Each number is kept as one byte with a factor for all: what is like what stays the same. The file
//! is written whole, so a crash leaves the old or the new one; a broken or foreign one counts as empty and is made anew.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::base::fs::{self, Durability, read_text_capped};
use crate::base::hash::sha256_hex;

/// Version of the file's form.
const VERSION: u64 = 1;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most pieces that have vectors; what is beyond is found by words only.
pub(super) const VECTORS_MAX: usize = 4096;

/// See the module.
pub(super) struct Vectors {
    path: PathBuf,
    of: String,
    known: HashMap<String, Vector>,
    has_changed: bool,
}

struct Vector {
    factor: f32,
    numbers: Vec<i8>,
}

/// Returns the name of a piece.
pub(super) fn name_of(text: &str) -> String {
    let mut name = sha256_hex(text.as_bytes());
    name.truncate(32);
    name
}

impl Vectors {
    /// Opens the file; vectors of another service or model are none.
    pub(super) fn open(path: PathBuf, of: &str) -> Self {
        let text = read_text_capped(&path, FILE_BYTES_MAX).unwrap_or_else(|error| {
            log::warn!(target: "agent", "{} is made anew: {error}", path.display());
            None
        });
        let text = text.unwrap_or_default();
        let mut lines = text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
        let is_own = lines.next().is_some_and(|head| head["version"] == VERSION && head["of"] == of);
        let known = lines.filter(|_| is_own).filter_map(|line| {
            let bytes = STANDARD.decode(line["vector"].as_str()?).ok()?;
            let numbers = bytes.into_iter().map(|byte| i8::from_le_bytes([byte])).collect();
            Some((line["name"].as_str()?.to_owned(), Vector { factor: line["factor"].as_f64()? as f32, numbers }))
        });
        let known = known.collect();
        Self { path, of: of.to_owned(), known, has_changed: false }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Keeps a vector.
    pub(super) fn put(&mut self, name: &str, vector: &[f32]) {
        let vector = unit(vector);
        let largest = vector.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let factor = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let numbers = vector.iter().map(|number| (number / factor).round() as i8).collect();
        self.known.insert(name.to_owned(), Vector { factor, numbers });
        self.has_changed = true;
    }

    /// Forgets all others.
    pub(super) fn keep(&mut self, names: &HashSet<String>) {
        let before = self.known.len();
        self.known.retain(|name, _| names.contains(name));
        self.has_changed |= before != self.known.len();
    }

    /// Writes the file if something has changed.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.has_changed) {
            return Ok(());
        }
        let mut text = format!("{}\n", json!({"version": VERSION, "of": self.of}));
        let mut names: Vec<&String> = self.known.keys().collect();
        names.sort();
        for name in names {
            let vector = &self.known[name];
            let bytes: Vec<u8> = vector.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let line = json!({"name": name, "factor": vector.factor, "vector": STANDARD.encode(bytes)});
            text.push_str(&format!("{line}\n"));
        }
        if let Some(dir) = self.path.parent() {
            fs::create_dir_private(dir)?;
        }
        fs::write_atomic(&self.path, text.as_bytes(), fs::MODE_PRIVATE, Durability::Process)
    }

    /// Returns how like a piece is to a query, from -1 to 1; `None` when its vector is not known.
    pub(super) fn likeness(&self, name: &str, query: &[f32]) -> Option<f64> {
        let vector = self.known.get(name).filter(|vector| vector.numbers.len() == query.len())?;
        let sum: f32 = vector.numbers.iter().zip(query).map(|(number, other)| f32::from(*number) * other).sum();
        Some(f64::from(sum * vector.factor))
    }
}

/// Returns the vector of length one in the same direction.
pub(super) fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    vector.iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn vectors_outlive_the_process_and_are_of_one_service() {
        let dir = TempDir::new("vectors");
        let path = dir.path().join("memory/main.vectors.jsonl");
        let mut vectors = Vectors::open(path.clone(), "openai/a");
        vectors.put("one", &[3.0, 4.0, 0.0]);
        vectors.put("two", &[0.0, 0.0, -2.0]);
        vectors.save().expect("saved");
        let mut again = Vectors::open(path.clone(), "openai/a");
        let query = unit(&[6.0, 8.0, 0.0]);
        assert!((again.likeness("one", &query).expect("known") - 1.0).abs() < 0.01);
        assert!(again.likeness("two", &query).expect("known").abs() < 0.01);
        assert_eq!((again.likeness("one", &[1.0]), again.likeness("none", &query)), (None, None));
        again.keep(&HashSet::from(["two".to_owned()]));
        again.save().expect("saved");
        assert_eq!(
            (Vectors::open(path.clone(), "openai/a").len(), Vectors::open(path.clone(), "openai/b").len()),
            (1, 0)
        );
        std::fs::write(&path, "{").expect("write");
        assert_eq!(Vectors::open(path, "openai/a").len(), 0);
    }
}
