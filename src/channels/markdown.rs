//! Markdown as styled text: the words, and which styles lie over them.
//!
//! What models write is Markdown; networks want their own notation. [`parse`] reads it once (CommonMark, with tables and
//! `~~struck~~` text) into [`Styled`], whose spans nest and stay whole when the text is cut by [`Styled::chunks`], so that no
//! notation is ever cut in half. Pure. Not here: the notation of any network (`telegram::html`), what a table looks like
//! (`markdown::table`), where text is cut (`markdown::cut`).

mod cut;
mod table;

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, TextMergeWithOffset};

pub use self::cut::Cut;
use self::table::Table;
use crate::base::order::by_key;

/// How tables are shown (`markdown.tables`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// As they were written.
    Off,
    /// One section a row, one line a cell.
    Bullets,
    /// Aligned, as code.
    Code,
}

impl Tables {
    /// Returns the mode that a configuration names.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "bullets" => Some(Self::Bullets),
            "code" => Some(Self::Code),
            _ => None,
        }
    }
}

/// What a span looks like; of spans over the same words, the first listed here is outermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// Leads there.
    Link(String),
    /// Lines of code.
    CodeBlock,
    /// A word of code.
    Code,
    /// Strong.
    Bold,
    /// Emphasised.
    Italic,
    /// Struck through.
    Strike,
}

/// A style over `start..end`, in bytes of the text; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// Looks.
    pub style: Style,
}

/// Words and their styles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Styled {
    /// The words.
    pub text: String,
    /// Their styles, outer before inner.
    pub spans: Vec<Span>,
}

/// Reads Markdown.
pub fn parse(markdown: &str, tables: Tables) -> Styled {
    let mut options = Options::ENABLE_STRIKETHROUGH;
    options.set(Options::ENABLE_TABLES, tables != Tables::Off);
    let mut builder = Builder { tables, ..Builder::default() };
    for (event, range) in TextMergeWithOffset::new(Parser::new_ext(markdown, options).into_offset_iter()) {
        builder.take(event, &markdown[range]);
    }
    builder.finish()
}

/// The state while reading.
struct Builder {
    out: Styled,
    /// The cell that is being read; what is said goes there.
    cell: Option<Styled>,
    table: Option<Table>,
    tables: Tables,
    /// Styles whose end is to come, with their starts.
    open: Vec<(usize, Style)>,
    /// The lists that are open: the next number, or none.
    lists: Vec<Option<u64>>,
    /// Where the mark of the current list item ends.
    item_at: usize,
    in_code: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            out: Styled::default(),
            cell: None,
            table: None,
            tables: Tables::Off,
            open: Vec::new(),
            lists: Vec::new(),
            item_at: usize::MAX,
            in_code: false,
        }
    }
}

impl Builder {
    fn target(&mut self) -> &mut Styled {
        self.cell.as_mut().unwrap_or(&mut self.out)
    }

    fn push(&mut self, text: &str) {
        self.target().text.push_str(text);
    }

    fn open(&mut self, style: Style) {
        let start = self.target().text.len();
        self.open.push((start, style));
    }

    fn close(&mut self) {
        let Some((start, style)) = self.open.pop() else { return };
        self.target().add(start, style);
    }

    /// Begins a block: on a line of its own, below a blank one outside lists.
    fn block(&mut self) {
        let text = &mut self.out.text;
        if text.is_empty() || text.len() == self.item_at {
            return;
        }
        let wanted = if self.lists.is_empty() { 2 } else { 1 };
        let there = text.bytes().rev().take_while(|byte| *byte == b'\n').count();
        (there..wanted).for_each(|_| text.push('\n'));
    }

    fn take(&mut self, event: Event<'_>, source: &str) {
        match event {
            Event::Start(tag) => self.start(tag, source),
            Event::End(tag) => self.end(tag, source),
            Event::Text(text) if self.in_code || self.is_in_link() => self.push(&text),
            Event::Text(text) => self.target().push_linked(&text),
            Event::Code(text) if text.is_empty() => {}
            Event::Code(text) => {
                self.open(Style::Code);
                self.push(&text);
                self.close();
            }
            Event::Html(text) | Event::InlineHtml(text) => self.push(&text),
            Event::SoftBreak | Event::HardBreak => self.push("\n"),
            Event::Rule => {
                self.block();
                self.push("\n");
            }
            // Of extensions that are off.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.push(&text),
            Event::TaskListMarker(_) => {}
        }
    }

    fn is_in_link(&self) -> bool {
        self.open.iter().any(|(_, style)| matches!(style, Style::Link(_)))
    }

    fn start(&mut self, tag: Tag<'_>, source: &str) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } | Tag::HtmlBlock => self.block(),
            Tag::CodeBlock(_) => {
                self.block();
                self.in_code = true;
                self.open(Style::CodeBlock);
            }
            Tag::List(first) => {
                self.block();
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.open(Style::Italic),
            Tag::Strong => self.open(Style::Bold),
            Tag::Strikethrough if source.starts_with("~~") => self.open(Style::Strike),
            // "~5 or ~6": one tilde means "about".
            Tag::Strikethrough => self.push("~"),
            Tag::Link { link_type, dest_url, .. } => self.open(Style::Link(address(link_type, &dest_url))),
            Tag::Table(_) => {
                self.block();
                self.table = Some(Table::default());
            }
            Tag::TableCell => self.cell = Some(Styled::default()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, source: &str) {
        match tag {
            TagEnd::CodeBlock => {
                if !self.out.text.ends_with('\n') {
                    self.push("\n");
                }
                self.in_code = false;
                self.close();
            }
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Link => self.close(),
            TagEnd::Strikethrough if source.starts_with("~~") => self.close(),
            TagEnd::Strikethrough => self.push("~"),
            TagEnd::TableCell => {
                if let (Some(table), Some(cell)) = (&mut self.table, self.cell.take()) {
                    table.row.push(cell.trimmed());
                }
            }
            TagEnd::TableHead => {
                if let Some(table) = &mut self.table {
                    table.head = std::mem::take(&mut table.row);
                }
            }
            TagEnd::TableRow => {
                if let Some(table) = &mut self.table {
                    let row = std::mem::take(&mut table.row);
                    table.rows.push(row);
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    table.show(self.tables, &mut self.out);
                }
            }
            _ => {}
        }
    }

    /// Begins a list item: its mark, two spaces further in for each list around it.
    fn item(&mut self) {
        if !self.out.text.is_empty() && !self.out.text.ends_with('\n') && self.out.text.len() != self.item_at {
            self.push("\n");
        }
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number += 1;
                mark
            }
            _ => "• ".to_owned(),
        };
        self.push(&format!("{indent}{mark}"));
        self.item_at = self.out.text.len();
    }

    fn finish(mut self) -> Styled {
        while !self.open.is_empty() {
            self.close();
        }
        let code_end = self.out.spans.iter().filter(|span| span.style == Style::CodeBlock).map(|span| span.end).max();
        let len = self.out.text.trim_end().len().max(code_end.unwrap_or(0));
        self.out.slice(0, len)
    }
}

/// Returns where a link leads.
fn address(kind: LinkType, given: &CowStr<'_>) -> String {
    if kind == LinkType::Email { format!("mailto:{given}") } else { given.trim().to_owned() }
}

impl Styled {
    /// Lays a style over everything from `start` on; over nothing it is left out.
    fn add(&mut self, start: usize, style: Style) {
        let end = self.text.len();
        let is_blank = matches!(&style, Style::Link(to) if to.is_empty());
        if end > start && !is_blank {
            self.spans.push(Span { start, end, style });
        }
    }

    /// Appends words, and makes links of the addresses in them.
    fn push_linked(&mut self, words: &str) {
        let mut rest = words;
        while let Some((before, address)) = find_address(rest) {
            self.text.push_str(&rest[..before]);
            let start = self.text.len();
            self.text.push_str(address);
            self.add(start, Style::Link(address.to_owned()));
            rest = &rest[before + address.len()..];
        }
        self.text.push_str(rest);
    }

    /// Appends other styled text.
    fn append(&mut self, other: &Self) {
        let offset = self.text.len();
        self.text.push_str(&other.text);
        let moved =
            |span: &Span| Span { start: span.start + offset, end: span.end + offset, style: span.style.clone() };
        self.spans.extend(other.spans.iter().map(moved));
    }

    /// Returns a part, with the styles that lie over it.
    fn slice(&self, start: usize, end: usize) -> Self {
        let cut = |span: &Span| {
            let (from, to) = (span.start.max(start), span.end.min(end));
            (from < to).then(|| Span { start: from - start, end: to - start, style: span.style.clone() })
        };
        let mut spans: Vec<Span> = self.spans.iter().filter_map(cut).collect();
        by_key(&mut spans, |span| u64::from(rank(&span.style)));
        // Whatever begins first, then whatever is longer; text has fewer than 2³² bytes.
        by_key(&mut spans, |span| ((span.start as u64) << 32) + (u64::from(u32::MAX) - span.end as u64));
        Self { text: self.text[start..end].to_owned(), spans }
    }

    /// Returns it without white space around it.
    fn trimmed(&self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        self.slice(start, start.max(self.text.trim_end().len()))
    }
}

fn rank(style: &Style) -> u8 {
    match style {
        Style::Link(_) => 0,
        Style::CodeBlock => 1,
        Style::Code => 2,
        Style::Bold => 3,
        Style::Italic => 4,
        Style::Strike => 5,
    }
}

/// Finds the first web address: where it begins, and it itself without the punctuation of the sentence around it.
fn find_address(text: &str) -> Option<(usize, &str)> {
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let mut from = 0;
    while let Some(at) = text[from..].find("://").map(|at| from + at) {
        let scheme = ["https", "http"].into_iter().find(|scheme| {
            let start = at.checked_sub(scheme.len());
            start.is_some_and(|start| text.get(start..at).is_some_and(|it| it.eq_ignore_ascii_case(scheme)))
        });
        let start = scheme.map(|scheme| at - scheme.len());
        if let Some(start) = start.filter(|start| !text[..*start].ends_with(is_word)) {
            let end = text[start..].find(|it: char| it.is_whitespace() || matches!(it, '<' | '>' | '"' | '`'));
            let address = trim_address(&text[start..end.map_or(text.len(), |end| start + end)]);
            if address.len() > at + 3 - start {
                return Some((start, address));
            }
        }
        from = at + 3;
    }
    None
}

/// Takes off what belongs to the sentence: its stops, and closing brackets that the address did not open.
fn trim_address(mut address: &str) -> &str {
    loop {
        let Some(last) = address.chars().last() else { return address };
        let opening = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '~' => None,
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            _ => return address,
        };
        let count = |wanted: char| address.chars().filter(|it| *it == wanted).count();
        if opening.is_some_and(|opening| count(opening) >= count(last)) {
            return address;
        }
        address = &address[..address.len() - last.len_utf8()];
    }
}

#[cfg(test)]
mod tests;
