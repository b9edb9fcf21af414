//! Pages made readable: the main part of an HTML document as Markdown or plain text.
//!
//! A page's article, or its main element, is taken where that holds a fair share of its text; navigation, scripts, forms
//! and what is hidden never count. Pure.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// A readable page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub text: String,
}

/// Fewest characters that a part must have to stand for the page.
const PART_CHARS_MIN: usize = 250;
/// The share of the page that it must have, as one part of so many.
const PART_SHARE: usize = 4;
/// Deepest nesting of lists that is shown.
const INDENT_MAX: usize = 8;

/// Elements whose content is no text of the page.
const SKIPPED: [&str; 18] = [
    "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "canvas", "nav", "footer", "aside",
    "form", "button", "select", "dialog", "head", "title",
];
/// Elements without an end.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 20] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "figure",
    "figcaption",
    "table",
    "blockquote",
    "dl",
    "dd",
    "dt",
    "details",
    "summary",
    "address",
    "fieldset",
    "tbody",
    "thead",
    "hgroup",
];

/// Makes a page readable; `link` completes the target of a link.
pub fn readable(html: &str, is_markdown: bool, link: &dyn Fn(&str) -> String) -> Page {
    let tokens = tokens(html);
    let title = title(&tokens);
    let whole = render(&tokens, None, is_markdown, link);
    let text = ["article", "main"]
        .into_iter()
        .map(|part| render(&tokens, Some(part), is_markdown, link))
        .find(|part| part.len() >= PART_CHARS_MIN && part.len() * PART_SHARE >= whole.len())
        .unwrap_or(whole);
    Page { title, text }
}

fn tokens(html: &str) -> Vec<Token> {
    let mut emitter = DefaultEmitter::default();
    // What stands in scripts and styles is no markup.
    emitter.naively_switch_states(true);
    // Reading from a text cannot fail; what is no good HTML comes as tokens of errors.
    Tokenizer::new_with_emitter(html, emitter).filter_map(Result::ok).collect()
}

fn title(tokens: &[Token]) -> Option<String> {
    let start =
        tokens.iter().position(|token| matches!(token, Token::StartTag(tag) if name(&tag.name.0) == "title"))?;
    let mut title = String::new();
    for token in &tokens[start + 1..] {
        match token {
            Token::String(text) => title.push_str(&String::from_utf8_lossy(&text.value.0)),
            _ => break,
        }
    }
    let title = crate::base::text::collapse_whitespace(&title);
    (!title.is_empty()).then_some(title)
}

fn name(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn attribute<'a>(tag: &'a StartTag<()>, wanted: &str) -> Option<&'a str> {
    tag.attributes.iter().find(|(key, _)| key.0 == wanted.as_bytes()).map(|(_, value)| name(&value.value.0))
}

fn is_hidden(tag: &StartTag<()>) -> bool {
    let style = attribute(tag, "style").unwrap_or_default().replace(' ', "").to_ascii_lowercase();
    attribute(tag, "hidden").is_some()
        || attribute(tag, "aria-hidden") == Some("true")
        || style.contains("display:none")
        || style.contains("visibility:hidden")
}

/// Renders the page, or only the elements called `part`.
fn render(tokens: &[Token], part: Option<&str>, is_markdown: bool, link: &dyn Fn(&str) -> String) -> String {
    let mut writer = Writer { is_markdown, ..Writer::default() };
    // Name and depth of the element that is being skipped.
    let mut skipped: Option<(&str, usize)> = None;
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::StartTag(tag) => {
                let name = name(&tag.name.0);
                if let Some((skipped_name, count)) = &mut skipped {
                    if *skipped_name == name && !tag.self_closing {
                        *count += 1;
                    }
                    continue;
                }
                let is_closed = VOID.contains(&name) || tag.self_closing;
                // Only elements whose end is never left out may hide what is in them.
                let may_hide = matches!(name, "div" | "span" | "section" | "ul" | "a");
                if !is_closed && (SKIPPED.contains(&name) || (may_hide && is_hidden(tag))) {
                    skipped = Some((name, 1));
                    continue;
                }
                if part == Some(name) {
                    depth += 1;
                }
                if part.is_none() || depth > 0 {
                    writer.open(name, attribute(tag, "href").map(link));
                }
            }
            Token::EndTag(tag) => {
                let name = name(&tag.name.0);
                if let Some((skipped_name, count)) = &mut skipped {
                    if *skipped_name == name {
                        *count -= 1;
                        if *count == 0 {
                            skipped = None;
                        }
                    }
                    continue;
                }
                if part.is_none() || depth > 0 {
                    writer.close(name);
                }
                if part == Some(name) {
                    depth = depth.saturating_sub(1);
                }
            }
            Token::String(text) if skipped.is_none() && (part.is_none() || depth > 0) => {
                writer.text(&String::from_utf8_lossy(&text.value.0));
            }
            _ => {}
        }
    }
    writer.finish()
}

#[derive(Default)]
struct Writer {
    out: String,
    is_markdown: bool,
    /// Line breaks that are due before the next text.
    breaks: usize,
    /// Whether a blank is due before the next text.
    has_blank: bool,
    preformatted: usize,
    /// Open lists; numbered ones with their next number.
    lists: Vec<Option<usize>>,
    /// Where the text of an open link begins, and its target.
    link: Option<(usize, String)>,
}

impl Writer {
    fn open(&mut self, name: &str, href: Option<String>) {
        match name {
            "br" => self.breaks = self.breaks.max(1),
            "hr" => self.block(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.block();
                let level = usize::from(name.as_bytes()[1] - b'0');
                self.mark(&format!("{} ", "#".repeat(level)));
            }
            "ul" | "ol" => {
                if self.lists.is_empty() {
                    self.block();
                }
                self.lists.push((name == "ol").then_some(1));
            }
            "li" => {
                self.breaks = self.breaks.max(1);
                let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(INDENT_MAX));
                let bullet = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.write(&format!("{indent}{bullet}"));
            }
            "tr" => self.breaks = self.breaks.max(1),
            "td" | "th" if !self.out.ends_with('\n') && self.breaks == 0 => self.write(" | "),
            "pre" => {
                self.block();
                self.mark("```\n");
                self.preformatted += 1;
            }
            "code" if self.preformatted == 0 => self.mark("`"),
            "strong" | "b" => self.mark("**"),
            "em" | "i" => self.mark("*"),
            "a" => {
                if let Some(href) = href.filter(|_| self.is_markdown && self.link.is_none()) {
                    self.flush();
                    self.link = Some((self.out.len(), href));
                }
            }
            _ if BLOCKS.contains(&name) => self.block(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "ul" | "ol" => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.block();
                }
            }
            "pre" if self.preformatted > 0 => {
                self.preformatted -= 1;
                if !self.out.ends_with('\n') {
                    self.breaks = 1;
                }
                self.mark("```");
                self.block();
            }
            "code" if self.preformatted == 0 => self.end_mark("`"),
            "strong" | "b" => self.end_mark("**"),
            "em" | "i" => self.end_mark("*"),
            "a" => {
                let Some((start, href)) = self.link.take() else { return };
                let label = self.out[start..].trim().to_owned();
                self.out.truncate(start);
                if !label.is_empty() {
                    self.out.push_str(&format!("[{}]({href})", label.replace('\n', " ")));
                }
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.block(),
            _ if BLOCKS.contains(&name) => self.block(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            self.flush();
            self.out.push_str(text);
            return;
        }
        for (index, word) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            self.has_blank |= index > 0;
            if !word.is_empty() {
                self.flush();
                self.out.push_str(word);
            }
        }
    }

    /// Writes what belongs to Markdown alone.
    fn mark(&mut self, text: &str) {
        if self.is_markdown {
            self.write(text);
        }
    }

    /// Ends a mark, without the blank that may be due; an empty pair of marks is taken back.
    fn end_mark(&mut self, text: &str) {
        if !self.is_markdown {
            return;
        }
        let is_empty = self.out.ends_with(text) && self.breaks == 0;
        if is_empty && text != "*" {
            self.out.truncate(self.out.len() - text.len());
        } else {
            self.out.push_str(text);
        }
    }

    fn write(&mut self, text: &str) {
        self.flush();
        self.out.push_str(text);
    }

    fn block(&mut self) {
        self.breaks = 2;
    }

    /// Writes what is due.
    fn flush(&mut self) {
        if self.out.is_empty()
            || (self.breaks > 0 && self.link.as_ref().is_some_and(|(start, _)| *start == self.out.len()))
        {
            // At the beginning nothing is due.
        } else if self.breaks > 0 {
            let there = self.out.bytes().rev().take_while(|byte| *byte == b'\n').count();
            self.out.extend(std::iter::repeat_n('\n', self.breaks.saturating_sub(there)));
        } else if self.has_blank && self.takes_blank() {
            self.out.push(' ');
        }
        (self.breaks, self.has_blank) = (0, false);
    }

    /// Returns whether a blank counts here: not at the beginning of a line or of marked text.
    fn takes_blank(&self) -> bool {
        let mark = match self.out.chars().next_back() {
            Some(mark @ ('*' | '`')) => mark,
            last => return !matches!(last, Some(' ' | '\n') | None),
        };
        let line = self.out.rsplit('\n').next().unwrap_or_default();
        let width = if line.ends_with("**") { 2 } else { 1 };
        // An even number of marks: the last one closes.
        (line.matches(mark).count() / width).is_multiple_of(2)
    }

    fn finish(self) -> String {
        let lines: Vec<&str> = self.out.lines().map(str::trim_end).collect();
        lines.join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, markdown: &str, text: &str) {
        let link = |href: &str| format!("https://x/{href}");
        assert_eq!(readable(html, true, &link).text, markdown, "{html}");
        assert_eq!(readable(html, false, &link).text, text, "{html}");
    }

    #[test]
    fn documents_become_markdown_and_text() {
        check("<p>One\n two</p><p>Three</p>", "One two\n\nThree", "One two\n\nThree");
        check("<h2>Head</h2>text", "## Head\n\ntext", "Head\n\ntext");
        check("a <b>bold</b> and <i>thin</i> word", "a **bold** and *thin* word", "a bold and thin word");
        check("see <a href='p'>this <b>page</b></a>!", "see [this **page**](https://x/p)!", "see this page!");
        check("<ul><li>a<li>b<ol><li>c</ol></ul>after", "- a\n- b\n  1. c\n\nafter", "- a\n- b\n  1. c\n\nafter");
        check("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2", "a | b\n1 | 2");
        check("<pre>x\n  y</pre>z", "```\nx\n  y\n```\n\nz", "x\n  y\n\nz");
        check("a &lt;b&gt; &amp; &eacute;", "a <b> & é", "a <b> & é");
        check("a<script>if (a < b) {</script>b<style>p{}</style>", "ab", "ab");
        check("<nav>menu<nav>x</nav>y</nav>text<div hidden>secret<div></div></div>", "text", "text");
        check("broken <a href=x>link <p>p", "broken link\n\np", "broken link\n\np");
    }

    #[test]
    fn the_main_part_stands_for_the_page() {
        let article = "word ".repeat(100);
        let html = format!("<title> A \n page </title><div>around</div><article>{article}</article><p>below");
        let page = readable(&html, true, &str::to_owned);
        assert_eq!((page.title.as_deref(), page.text.as_str()), (Some("A page"), article.trim()));
        let short = readable("<p>around</p><article>short</article>", true, &str::to_owned);
        assert_eq!(short.text, "around\n\nshort");
    }

    #[test]
    fn nonsense_does_no_harm() {
        for html in
            ["", "<", "</a></p>", "<a href", "&#xFFFFFFFF;&", "<!-- x", "<ul></ol><li>", "\u{0}<pre></pre></pre>"]
        {
            readable(html, true, &str::to_owned);
        }
        let deep = "<div>".repeat(100_000);
        assert_eq!(readable(&deep, true, &str::to_owned).text, "");
    }
}
