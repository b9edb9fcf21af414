//! The agent's Markdown notes, `MEMORY.md` and everything below `memory/`: finding, reading and searching them (agent.md
//! §16).
//!
//! Here: which files are notes, and their pieces. Conversations are a second source where the owner wants it (`conversations`). Search is by words (`words`) and, where a service is configured, by meaning
//! (`embeddings`, `vectors`); `search` puts both together. Runs on the thread that asks. Not here: writing notes,
//! which is the tools' work.

mod conversations;
pub mod embeddings;
pub mod search;
mod vectors;
mod words;

use std::path::{Path, PathBuf};

use crate::base::fs::read_text_capped;

/// Largest file that is read, most files, and bytes of all together; what is beyond is left out.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const FILES_MAX: usize = 2000;
const ALL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest directory below `memory/`.
const DEPTH_MAX: usize = 8;
/// Characters of a chunk, and of what two neighbours share (400 and 80 tokens).
const CHUNK_CHARS: usize = 1600;
const OVERLAP_CHARS: usize = 320;

/// Reads one note; nothing else of the machine can be read this way.
pub fn note(workspace: &Path, given: &str) -> Result<String, String> {
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

/// Returns all notes in pieces.
fn chunks(files: &[(String, String)]) -> Vec<Chunk> {
    files.iter().flat_map(|(path, text)| chunked(path, text)).collect()
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

/// Some lines of a note, or messages of a conversation.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    path: String,
    /// First and last line, from 1.
    start: usize,
    end: usize,
    text: String,
    /// `memory` or `sessions`.
    source: &'static str,
    /// Whether it will stay as it is; else a vector of it would soon be worth nothing.
    is_settled: bool,
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
            chunks.push(Chunk {
                path: path.to_owned(),
                start: start + 1,
                end,
                text,
                source: "memory",
                is_settled: true,
            });
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
