//! `edit`: one place of a text file.

use super::arguments::Arguments;
use super::write::replace;
use super::{Tool, ToolContext, ToolResult, always};

/// Largest file that is edited.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub(super) const TOOL: Tool = Tool {
    name: "edit",
    description: "Replace a text in a file. The old text must occur exactly once, blanks and line breaks included.",
    parameters: &[
        ("path", "string*", "File to edit, relative to the workspace or absolute"),
        ("oldText", "string*", "Text to find, exactly"),
        ("newText", "string*", "Text to put in its place"),
    ],
    is_local: true,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("path")?;
    let old = args.raw("oldText").ok_or("oldText required")?;
    let new = args.raw("newText").ok_or("newText required")?;
    let path = cx.resolve(given);
    let content = read_text(&path).map_err(|error| format!("edit {given}: {error}"))?;
    let edited = edited(&content, old, new, given)?;
    replace(&path, edited.as_bytes()).map_err(|error| format!("write {given}: {error}"))?;
    Ok(ToolResult::text(format!("Successfully replaced text in {given}."), None))
}

/// Reads a text file that is to be changed.
pub(super) fn read_text(path: &std::path::Path) -> Result<String, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes; at most {FILE_BYTES_MAX} can be edited", found.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn edited(content: &str, old: &str, new: &str, given: &str) -> Result<String, String> {
    if old.is_empty() {
        return Err("oldText must not be empty; use write to make a file".to_owned());
    }
    // A file with Windows line ends is edited as if it had plain ones, and keeps its own.
    let has_crlf = content.contains("\r\n") && !old.contains("\r\n");
    let (old, new) = if has_crlf {
        (old.replace('\n', "\r\n"), new.replace("\r\n", "\n").replace('\n', "\r\n"))
    } else {
        (old.to_owned(), new.to_owned())
    };
    match content.matches(&old).count() {
        1 if old == new => Err(format!("No changes made to {given}: both texts are the same.")),
        1 => Ok(content.replacen(&old, &new, 1)),
        0 => Err(format!(
            "Could not find the exact text in {given}. The old text must match exactly including all whitespace and newlines."
        )),
        count => Err(format!(
            "Found {count} occurrences of the text in {given}. The text must be unique; give more of what surrounds it."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_edited() {
        for (content, old, new, expected) in [
            ("a b c", "b", "x", Ok("a x c")),
            ("a\r\nb\r\n", "a\nb", "a\nc", Ok("a\r\nc\r\n")),
            ("a b b", "b", "x", Err("Found 2 occurrences")),
            ("a", "b", "x", Err("Could not find the exact text in f.")),
            ("a", "a", "a", Err("No changes made")),
            ("a", "", "a", Err("oldText must not be empty")),
        ] {
            match (edited(content, old, new, "f"), expected) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(found), Err(wanted)) => assert!(found.starts_with(wanted), "{found}"),
                (found, _) => panic!("{content:?}: {found:?}"),
            }
        }
    }
}
