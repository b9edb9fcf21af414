//! `apply_patch`: several files changed by one patch, in the form that OpenAI's models write.
//!
//! Everything is worked out before the first file is written, so that a patch that does not fit changes nothing.

use std::path::PathBuf;

use super::arguments::Arguments;
use super::edit::read_text;
use super::policy::Subject;
use super::write::replace;
use super::{Tool, ToolContext, ToolResult};

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";
const END_OF_FILE: &str = "*** End of File";

pub(super) const TOOL: Tool = Tool {
    name: "apply_patch",
    description: "Change files by a patch: *** Begin Patch, then *** Add File, *** Update File (with @@ hunks) or *** Delete \
                  File sections, then *** End Patch.",
    parameters: &[("input", "string*", "The whole patch, with its first and last line")],
    is_local: true,
    is_wanted,
    run,
};

/// Only where it is switched on, and for models that know the form.
fn is_wanted(subject: &Subject<'_>) -> bool {
    let settings = &subject.config.tree["tools"]["exec"]["applyPatch"];
    let (provider, id) = subject.model;
    let full = format!("{provider}/{id}");
    let models = settings["allowModels"].as_array().filter(|models| !models.is_empty());
    let is_listed = models.is_none_or(|models| {
        let mut names = models.iter().filter_map(|name| name.as_str());
        names.any(|name| name.trim().eq_ignore_ascii_case(id) || name.trim().eq_ignore_ascii_case(&full))
    });
    settings["enabled"] == true && matches!(provider, "openai" | "openai-codex") && is_listed
}

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let input = args.raw("input").unwrap_or_default();
    if !is_wanted(&cx.subject()) {
        return Err("apply_patch is switched off (tools.exec.applyPatch.enabled); use write and edit".to_owned());
    }
    let sections = parse(input)?;
    let mut steps = Vec::new();
    for section in &sections {
        steps.push(plan(cx, section)?);
    }
    let mut lines = Vec::new();
    for step in steps {
        let failed = |error: std::io::Error| format!("{}: {error} (done before that: {})", step.name, lines.join(", "));
        if let Some((path, content)) = &step.write {
            replace(path, content.as_bytes()).map_err(failed)?;
        }
        if let Some(path) = &step.remove {
            std::fs::remove_file(path).map_err(failed)?;
        }
        lines.push(format!("{} {}", step.letter, step.name));
    }
    Ok(ToolResult::text(format!("Success. Updated the following files:\n{}", lines.join("\n")), None))
}

/// What is to be done with one file.
struct Step {
    letter: char,
    name: String,
    write: Option<(PathBuf, String)>,
    remove: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Section {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, moved_to: Option<String>, hunks: Vec<Hunk> },
}

/// A place of a file, and what stands there afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    /// A line above it that tells where to look.
    anchor: Option<String>,
    old: Vec<String>,
    new: Vec<String>,
    /// Whether it is at the end of the file.
    is_last: bool,
}

fn plan(cx: &ToolContext<'_>, section: &Section) -> Result<Step, String> {
    match section {
        Section::Add { path, content } => {
            let target = cx.resolve(path);
            if target.exists() {
                return Err(format!("{path}: it is there already; use *** Update File"));
            }
            Ok(Step { letter: 'A', name: path.clone(), write: Some((target, content.clone())), remove: None })
        }
        Section::Delete { path } => {
            let target = cx.resolve(path);
            if !target.is_file() {
                return Err(format!("{path}: there is no such file"));
            }
            Ok(Step { letter: 'D', name: path.clone(), write: None, remove: Some(target) })
        }
        Section::Update { path, moved_to, hunks } => {
            let target = cx.resolve(path);
            let content = read_text(&target).map_err(|error| format!("{path}: {error}"))?;
            let content = patched(&content, hunks).map_err(|error| format!("{path}: {error}"))?;
            let moved = moved_to.as_ref().map(|to| cx.resolve(to)).filter(|to| *to != target);
            let remove = moved.is_some().then(|| target.clone());
            let name = moved_to.as_ref().unwrap_or(path).clone();
            Ok(Step { letter: 'M', name, write: Some((moved.unwrap_or(target), content)), remove })
        }
    }
}

fn parse(input: &str) -> Result<Vec<Section>, String> {
    let mut lines: Vec<&str> = input.trim().lines().collect();
    // Some models wrap it as if for a shell.
    if lines.first().is_some_and(|line| line.trim_start().starts_with("<<")) && lines.len() >= 2 {
        lines.remove(0);
        lines.pop();
    }
    if lines.first().map(|line| line.trim()) != Some(BEGIN) {
        return Err(format!("the first line of a patch must be '{BEGIN}'"));
    }
    if lines.last().map(|line| line.trim()) != Some(END) || lines.len() < 2 {
        return Err(format!("the last line of a patch must be '{END}'"));
    }
    let mut sections = Vec::new();
    let mut rest = lines[1..lines.len() - 1].iter().copied().peekable();
    while let Some(line) = rest.next() {
        if let Some(path) = line.strip_prefix(ADD) {
            let mut content = String::new();
            while let Some(text) = rest.peek().and_then(|line| line.strip_prefix('+')) {
                content.push_str(text);
                content.push('\n');
                rest.next();
            }
            sections.push(Section::Add { path: named(path)?, content });
        } else if let Some(path) = line.strip_prefix(DELETE) {
            sections.push(Section::Delete { path: named(path)? });
        } else if let Some(path) = line.strip_prefix(UPDATE) {
            let path = named(path)?;
            let moved_to = rest.next_if(|line| line.starts_with(MOVE)).map(|line| line[MOVE.len()..].trim().to_owned());
            let mut hunks = Vec::new();
            while let Some(line) = rest.next_if(|line| !line.starts_with("*** ") || *line == END_OF_FILE) {
                hunk_line(&mut hunks, line).map_err(|error| format!("{path}: {error}"))?;
            }
            hunks.retain(|hunk| !hunk.old.is_empty() || !hunk.new.is_empty());
            if hunks.is_empty() && moved_to.is_none() {
                return Err(format!("{path}: the update has no hunks"));
            }
            sections.push(Section::Update { path, moved_to, hunks });
        } else if !line.trim().is_empty() {
            return Err(format!("{line:?} is no section of a patch: '{ADD}', '{UPDATE}' or '{DELETE}' is"));
        }
    }
    if sections.is_empty() { Err("the patch is empty".to_owned()) } else { Ok(sections) }
}

fn named(path: &str) -> Result<String, String> {
    let path = path.trim();
    if path.is_empty() { Err("a section of the patch names no file".to_owned()) } else { Ok(path.to_owned()) }
}

fn hunk_line(hunks: &mut Vec<Hunk>, line: &str) -> Result<(), String> {
    if line == "@@" || line.starts_with("@@ ") {
        let anchor = line[2..].trim();
        hunks.push(Hunk { anchor: (!anchor.is_empty()).then(|| anchor.to_owned()), ..Hunk::default() });
        return Ok(());
    }
    if hunks.is_empty() {
        // The first may do without its mark.
        hunks.push(Hunk::default());
    }
    let Some(hunk) = hunks.last_mut() else { return Ok(()) };
    if line == END_OF_FILE {
        hunk.is_last = true;
        return Ok(());
    }
    match line.chars().next() {
        Some('+') => hunk.new.push(line[1..].to_owned()),
        Some('-') => hunk.old.push(line[1..].to_owned()),
        // An empty line stands for one of the file.
        None => {
            hunk.old.push(String::new());
            hunk.new.push(String::new());
        }
        Some(' ') => {
            hunk.old.push(line[1..].to_owned());
            hunk.new.push(line[1..].to_owned());
        }
        Some(_) => return Err(format!("a line of a hunk begins with ' ', '+' or '-', not as {line:?}")),
    }
    Ok(())
}

fn patched(content: &str, hunks: &[Hunk]) -> Result<String, String> {
    let has_crlf = content.contains("\r\n");
    let mut lines: Vec<String> = content.lines().map(str::to_owned).collect();
    let mut from = 0;
    for hunk in hunks {
        if let Some(anchor) = &hunk.anchor {
            let at = find(&lines, std::slice::from_ref(anchor), from, false);
            from = at.ok_or_else(|| format!("the line {anchor:?} was not found"))? + 1;
        }
        let at = if hunk.old.is_empty() {
            // Nothing to look for: after the anchor, else at the end.
            if hunk.anchor.is_some() { from } else { lines.len() }
        } else {
            find(&lines, &hunk.old, from, hunk.is_last)
                .ok_or_else(|| format!("these lines were not found:\n{}", hunk.old.join("\n")))?
        };
        lines.splice(at..at + hunk.old.len(), hunk.new.iter().cloned());
        from = at + hunk.new.len();
    }
    let end = if has_crlf { "\r\n" } else { "\n" };
    let mut text = lines.join(end);
    if !text.is_empty() {
        text.push_str(end);
    }
    Ok(text)
}

/// Returns where lines stand at or after `from`: exactly, else but for blanks at their ends, else but for blanks around them.
fn find(lines: &[String], wanted: &[String], from: usize, is_last: bool) -> Option<usize> {
    let last = lines.len().checked_sub(wanted.len())?;
    let same: [fn(&str, &str) -> bool; 3] =
        [|a, b| a == b, |a, b| a.trim_end() == b.trim_end(), |a, b| a.trim() == b.trim()];
    same.iter().find_map(|same| {
        let fits = |at: &usize| wanted.iter().zip(&lines[*at..]).all(|(wanted, line)| same(line, wanted));
        if is_last && last >= from && fits(&last) {
            return Some(last);
        }
        (from..=last).find(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(content: &str, hunks: &str) -> Result<String, String> {
        let input = format!("{BEGIN}\n{UPDATE}f\n{hunks}\n{END}");
        match parse(&input)?.remove(0) {
            Section::Update { hunks, .. } => patched(content, &hunks),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn patches_have_sections() {
        let input = "*** Begin Patch\n*** Add File: a/b\n+one\n+\n*** Delete File: c\n*** Update File: d\n*** Move to: e\n@@ fn x\n y\n-z\n+w\n*** End Patch\n";
        let sections = parse(input).expect("a patch");
        assert_eq!(sections[0], Section::Add { path: "a/b".into(), content: "one\n\n".into() });
        assert_eq!(sections[1], Section::Delete { path: "c".into() });
        let hunk = Hunk {
            anchor: Some("fn x".into()),
            old: vec!["y".into(), "z".into()],
            new: vec!["y".into(), "w".into()],
            is_last: false,
        };
        assert_eq!(sections[2], Section::Update { path: "d".into(), moved_to: Some("e".into()), hunks: vec![hunk] });
        for bad in ["", "*** Begin Patch", "*** Begin Patch\n*** End Patch", "*** Begin Patch\nnoise\n*** End Patch"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hunks_find_their_place() {
        for (content, hunks, expected) in [
            ("a\nb\nc\n", "@@\n a\n-b\n+x\n c", "a\nx\nc\n"),
            ("a\nb", "-b\n+x", "a\nx\n"),
            ("f\na\ng\na\n", "@@ g\n-a\n+x", "f\na\ng\nx\n"),
            ("a  \nb\n", "@@\n-a\n+x", "x\nb\n"),
            ("  a\nb\n", "@@\n-a\n+  x", "  x\nb\n"),
            ("a\nb\na\n", "@@\n-a\n+x\n*** End of File", "a\nb\nx\n"),
            ("a\n", "@@\n+x", "a\nx\n"),
            ("a\r\nb\r\n", "@@\n-a\n+x", "x\r\nb\r\n"),
            ("a\nb\nc\nd\n", "@@\n-a\n+1\n@@\n-d\n+4", "1\nb\nc\n4\n"),
        ] {
            assert_eq!(apply(content, hunks).as_deref(), Ok(expected), "{content:?} {hunks:?}");
        }
        assert!(apply("a\n", "@@\n-b\n+x").is_err());
        assert!(apply("a\n", "@@ no\n-a\n+x").is_err());
    }
}
