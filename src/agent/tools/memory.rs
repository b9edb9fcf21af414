//! `memory_search` and `memory_get`: the agent's Markdown notes, `MEMORY.md` and everything below `memory/`.
//!
//! Search is by words (BM25 over chunks of lines), worked out afresh from the files at each call: there is no index that
//! could grow stale, and notes are small. Not here: embeddings, other sources than files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::policy::Subject;
use super::{Tool, ToolContext, ToolResult};
use crate::agent::session;
use crate::base::fs::read_text_capped;
use crate::base::text::ellipsize;

/// Largest file that is read, most files, and bytes of all together; what is beyond is left out.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const FILES_MAX: usize = 2000;
const ALL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest directory below `memory/`.
const DEPTH_MAX: usize = 8;
/// Characters of a chunk, and of what two neighbours share (400 and 80 tokens).
const CHUNK_CHARS: usize = 1600;
const OVERLAP_CHARS: usize = 320;
/// Characters of a snippet.
const SNIPPET_CHARS_MAX: usize = 700;
const RESULTS_DEFAULT: usize = 6;
const RESULTS_MAX: usize = 50;
/// How quickly repetitions of a word count for less, and how much a chunk's length counts.
const BM25_K1: f64 = 1.2;
const BM25_B: f64 = 0.75;

pub(super) const SEARCH: Tool = Tool {
    name: "memory_search",
    description: "Search your notes (MEMORY.md and memory/*.md) by words; returns snippets with path and lines. Do so before \
                  answering about earlier work, decisions, dates, people, preferences or todos.",
    parameters: &[
        ("query", "string*", "Words to look for"),
        ("maxResults", "number", "Most snippets, default 6"),
        ("minScore", "number", "Least score, 0 to 1"),
    ],
    is_local: true,
    is_wanted: is_enabled,
    run: search,
};

pub(super) const GET: Tool = Tool {
    name: "memory_get",
    description: "Read lines of MEMORY.md or of a file below memory/, as memory_search found them.",
    parameters: &[
        ("path", "string*", "Path within the workspace"),
        ("from", "number", "First line, from 1"),
        ("lines", "number", "Most lines"),
    ],
    is_local: true,
    is_wanted: is_enabled,
    run: get,
};

fn is_enabled(subject: &Subject<'_>) -> bool {
    let list = subject.config.tree["agents"]["list"].as_array();
    let is_own =
        |entry: &&Value| entry["id"].as_str().is_some_and(|id| session::normalize_agent_id(id) == *subject.agent);
    let own =
        list.and_then(|list| list.iter().find(is_own)).and_then(|entry| entry["memorySearch"]["enabled"].as_bool());
    let general = subject.config.tree.pointer("/agents/defaults/memorySearch/enabled").and_then(Value::as_bool);
    own.or(general).unwrap_or(true)
}

fn search(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let query = args.required("query")?;
    let count = args.count("maxResults").unwrap_or(RESULTS_DEFAULT).clamp(1, RESULTS_MAX);
    let least = args.number("minScore").unwrap_or(0.0);
    let mut chunks = Vec::new();
    for (path, text) in files(cx.workspace) {
        chunks.extend(chunked(&path, &text));
    }
    let results: Vec<Value> = ranked(&chunks, query)
        .into_iter()
        .filter(|(score, _)| *score >= least)
        .take(count)
        .map(|(score, chunk)| {
            json!({
                "path": chunk.path, "startLine": chunk.start, "endLine": chunk.end, "score": (score * 1000.0).round() / 1000.0,
                "snippet": ellipsize(chunk.text.trim(), SNIPPET_CHARS_MAX), "source": "memory",
            })
        })
        .collect();
    Ok(ToolResult::json(json!({"results": results, "provider": "none", "model": "bm25"})))
}

fn get(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("path")?;
    let text = match note(cx.workspace, given) {
        Ok(text) => text,
        Err(error) => return Ok(ToolResult::json(json!({"path": given, "text": "", "error": error}))),
    };
    let from = args.count("from").unwrap_or(1).max(1);
    let lines = args.count("lines").unwrap_or(usize::MAX);
    let text = match args.value("from").or(args.value("lines")) {
        None => text,
        Some(_) => text.lines().skip(from - 1).take(lines).collect::<Vec<_>>().join("\n"),
    };
    Ok(ToolResult::json(json!({"path": given, "text": text})))
}

/// Reads one note; nothing else of the machine can be read this way.
fn note(workspace: &Path, given: &str) -> Result<String, String> {
    let inside = given.trim_start_matches("./");
    let is_note =
        matches!(inside, "MEMORY.md" | "memory.md") || (inside.starts_with("memory/") && inside.ends_with(".md"));
    let refused = || "path required: MEMORY.md or a .md file below memory/".to_owned();
    if !is_note {
        return Err(refused());
    }
    let root = workspace.canonicalize().map_err(|error| error.to_string())?;
    // Links and `..` are followed first, so that they cannot lead outside.
    let path = root.join(inside).canonicalize().map_err(|error| format!("{given}: {error}"))?;
    let is_inside =
        path.starts_with(root.join("memory")) || ["MEMORY.md", "memory.md"].iter().any(|name| path == root.join(name));
    if !is_inside {
        return Err(refused());
    }
    let text = read_text_capped(&path, FILE_BYTES_MAX).map_err(|error| format!("{given}: {error}"))?;
    text.ok_or_else(|| format!("{given}: there is no such file"))
}

/// Returns the notes: path within the workspace, and text.
fn files(workspace: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = vec!["MEMORY.md".into(), "memory.md".into()];
    below(workspace, Path::new("memory"), DEPTH_MAX, &mut paths);
    let mut files = Vec::new();
    let mut bytes = 0;
    for path in paths {
        let text = match read_text_capped(&workspace.join(&path), FILE_BYTES_MAX) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(error) => {
                log::warn!(target: "agent", "a note is left out of the search: {}: {error}", path.display());
                continue;
            }
        };
        bytes += text.len();
        if bytes > ALL_BYTES_MAX {
            log::warn!(target: "agent", "notes beyond {ALL_BYTES_MAX} bytes are left out of the search");
            break;
        }
        // On file systems that know no case the two names are one file.
        if !files.iter().any(|(_, other)| path == Path::new("memory.md") && *other == text) {
            files.push((path.display().to_string(), text));
        }
    }
    files
}

fn below(workspace: &Path, directory: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(workspace.join(directory)) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = directory.join(entry.file_name());
        // Links are not followed.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            below(workspace, &path, depth - 1, paths);
        } else if kind.is_file() && path.extension().is_some_and(|it| it == "md") && paths.len() < FILES_MAX {
            paths.push(path);
        }
    }
}

/// Some lines of a note.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    path: String,
    /// First and last line, from 1.
    start: usize,
    end: usize,
    text: String,
}

fn chunked(path: &str, text: &str) -> Vec<Chunk> {
    let lines: Vec<&str> = text.lines().collect();
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < lines.len() {
        let mut end = start;
        let mut length = 0;
        while end < lines.len() && (end == start || length + lines[end].len() <= CHUNK_CHARS) {
            length += lines[end].len() + 1;
            end += 1;
        }
        let text = lines[start..end].join("\n");
        if !text.trim().is_empty() {
            chunks.push(Chunk { path: path.to_owned(), start: start + 1, end, text });
        }
        if end == lines.len() {
            break;
        }
        // The next begins with the end of this one, but always further on.
        let mut next = end;
        let mut shared = 0;
        while next > start + 1 && shared + lines[next - 1].len() < OVERLAP_CHARS {
            next -= 1;
            shared += lines[next].len() + 1;
        }
        start = next;
    }
    chunks
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

/// Returns the chunks that hold words of the query, the best first, with a score from 0 to 1.
fn ranked<'a>(chunks: &'a [Chunk], query: &str) -> Vec<(f64, &'a Chunk)> {
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
    let mut found: Vec<(f64, &Chunk)> = Vec::new();
    for (chunk, (counts, length)) in chunks.iter().zip(&counted) {
        let size = 1.0 - BM25_B + BM25_B * (*length as f64 / average.max(1.0));
        let score: f64 = weights
            .iter()
            .filter_map(|(word, weight)| {
                let count = *counts.get(word)? as f64;
                Some(weight * count * (BM25_K1 + 1.0) / (count + BM25_K1 * size))
            })
            .sum();
        if score > 0.0 {
            found.push(((score / best.max(f64::MIN_POSITIVE)).min(1.0), chunk));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn chunks_cover_every_line_and_overlap() {
        let text: String = (1..=200).map(|number| format!("line {number} {}\n", "x".repeat(30))).collect();
        let chunks = chunked("m", &text);
        assert!(chunks.len() > 3);
        assert_eq!((chunks[0].start, chunks.last().map(|chunk| chunk.end)), (1, Some(200)));
        for pair in chunks.windows(2) {
            assert!(pair[1].start > pair[0].start && pair[1].start <= pair[0].end, "{pair:?}");
            assert!(pair[0].text.len() <= CHUNK_CHARS + 50);
        }
        let long = "y".repeat(10_000);
        assert_eq!(chunked("m", &format!("{long}\n{long}")).len(), 2, "a line is never cut");
        assert!(chunked("m", "\n \n").is_empty());
    }

    #[test]
    fn the_best_chunk_comes_first() {
        let chunk = |path: &str, text: &str| Chunk { path: path.into(), start: 1, end: 1, text: text.into() };
        let chunks = [
            chunk("a", "We deploy on Fridays, never on Mondays."),
            chunk("b", "Deployments: the deploy key is in the safe. Deploying needs two people."),
            chunk("c", "Grandmother's birthday is in May."),
            chunk("d", "会議は金曜日です"),
        ];
        let order =
            |query: &str| ranked(&chunks, query).iter().map(|(_, chunk)| chunk.path.clone()).collect::<String>();
        assert_eq!(order("deploy key"), "ba");
        assert_eq!(order("friday deploys"), "ab");
        assert_eq!(order("Birthdays"), "c");
        assert_eq!(order("金曜日"), "d");
        assert_eq!(order("nothing"), "");
        assert_eq!(order(""), "");
        assert!(ranked(&chunks, "deploy key").iter().all(|(score, _)| (0.0..=1.0).contains(score)));
    }

    #[test]
    fn only_notes_can_be_read() {
        let dir = TempDir::new("memory");
        let home = dir.path();
        std::fs::create_dir_all(home.join("memory/deep")).expect("directory");
        std::fs::write(home.join("MEMORY.md"), "top").expect("write");
        std::fs::write(home.join("memory/deep/a.md"), "deep").expect("write");
        std::fs::write(home.join("secret.md"), "secret").expect("write");
        std::os::unix::fs::symlink("/etc/hostname", home.join("memory/out.md")).expect("link");
        let found: Vec<String> = files(home).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, ["MEMORY.md", "memory/deep/a.md"]);
        assert_eq!(note(home, "MEMORY.md").as_deref(), Ok("top"));
        assert_eq!(note(home, "./memory/deep/a.md").as_deref(), Ok("deep"));
        for bad in ["secret.md", "memory/../secret.md", "/etc/passwd", "memory/out.md", "memory/none.md", "memory"] {
            assert!(note(home, bad).is_err(), "{bad}");
        }
    }
}
