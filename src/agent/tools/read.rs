//! `read`: a file's text by lines, or an image.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::message::Block;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most lines of one call.
const LINES_MAX: usize = 2000;
/// Most bytes of text of one call.
const TEXT_BYTES_MAX: usize = 50 * 1024;
/// Largest image.
const IMAGE_BYTES_MAX: u64 = 5 * 1024 * 1024;
/// Longest line that is read whole; what is longer is cut.
const LINE_BYTES_MAX: u64 = TEXT_BYTES_MAX as u64;

pub(super) const TOOL: Tool = Tool {
    name: "read",
    description: "Read a file. Text is cut at 2000 lines or 50 KB (use offset and limit for more); images are shown.",
    parameters: &[
        ("path", "string*", "File to read, relative to the workspace or absolute"),
        ("offset", "number", "Line to start at, from 1"),
        ("limit", "number", "Most lines to read"),
    ],
    is_local: true,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("path")?;
    let path = cx.resolve(given);
    let file = File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("ENOENT: no such file or directory, access '{}'", path.display()),
        _ => format!("{}: {error}", path.display()),
    })?;
    let kind = file.metadata().map_err(|error| error.to_string())?;
    if !kind.is_file() {
        // A pipe or a device could block for ever.
        return Err(format!("{} is not a regular file", path.display()));
    }
    if let Some(mime_type) = image_type(&path) {
        return image(file, kind.len(), mime_type, given);
    }
    let line = |name: &str| args.count(name).map(|number| number.max(1));
    let offset = line("offset").unwrap_or(1);
    let limit = line("limit").unwrap_or(LINES_MAX).min(LINES_MAX);
    let text = lines(&mut BufReader::new(file), offset, limit).map_err(|error| format!("{given}: {error}"))?;
    Ok(ToolResult::text(text, None))
}

/// Returns `given` as an absolute path.
pub(super) fn resolve(given: &str, workspace: &Path, home: &Path) -> PathBuf {
    match given.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None if given == "~" => home.to_owned(),
        None => workspace.join(given),
    }
}

pub(super) fn image_type(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

fn image(file: File, size: u64, mime_type: &str, given: &str) -> Result<ToolResult, String> {
    if size > IMAGE_BYTES_MAX {
        return Err(format!("{given} is too large ({size} bytes; at most {IMAGE_BYTES_MAX})"));
    }
    let mut bytes = Vec::new();
    file.take(IMAGE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| format!("{given}: {error}"))?;
    let content = vec![
        Block::text(format!("Read image file [{mime_type}]")),
        Block::Image { data: STANDARD.encode(bytes), mime_type: mime_type.to_owned() },
    ];
    Ok(ToolResult { content, details: None, is_error: false })
}

fn lines(reader: &mut impl BufRead, offset: usize, limit: usize) -> std::io::Result<String> {
    let mut out = String::new();
    let mut number = 0;
    let mut taken = 0;
    let mut line = Vec::new();
    let mut more = 0;
    while read_line(reader, &mut line)? {
        number += 1;
        if number < offset {
            continue;
        }
        if taken == limit || more > 0 || out.len() + line.len() > TEXT_BYTES_MAX {
            more += 1;
            continue;
        }
        out.push_str(&String::from_utf8_lossy(&line));
        taken += 1;
    }
    if number > 0 && offset > number {
        return Err(std::io::Error::other(format!("offset {offset} is beyond the end of the file ({number} lines)")));
    }
    if more > 0 {
        let next = offset + taken;
        out = format!("{}\n\n[{more} more lines in file. Use offset={next} to continue]", out.trim_end_matches('\n'));
    }
    Ok(out)
}

/// Reads one line into `line`, at most [`LINE_BYTES_MAX`] of it; false at the end.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
        skip_line(reader)?;
        line.truncate(line.len() - 16);
        line.extend_from_slice(b"...[cut]\n");
    }
    Ok(count > 0)
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let chunk = reader.fill_buf()?;
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        let is_end = end.is_some() || chunk.is_empty();
        reader.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_paged() {
        let text = "a\nb\nc\nd\n";
        let read = |offset, limit| lines(&mut text.as_bytes(), offset, limit).expect("readable");
        assert_eq!(read(1, 10), text);
        assert_eq!(read(2, 2), "b\nc\n\n[1 more lines in file. Use offset=4 to continue]");
        assert!(lines(&mut text.as_bytes(), 9, 1).is_err());
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("{}\nend\n", "x".repeat(200_000));
        let read = lines(&mut text.as_bytes(), 2, 10).expect("readable");
        assert_eq!(read, "end\n");
        let first = lines(&mut text.as_bytes(), 1, 1).expect("readable");
        assert!(first.len() <= TEXT_BYTES_MAX + 100 && first.contains("[cut]"));
    }
}
