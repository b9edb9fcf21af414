//! Tables as text: networks have none.

use super::{Span, Style, Styled, Tables};

/// A table while it is read.
#[derive(Default)]
pub(super) struct Table {
    pub(super) head: Vec<Styled>,
    pub(super) rows: Vec<Vec<Styled>>,
    /// The row under way.
    pub(super) row: Vec<Styled>,
}

impl Table {
    /// Appends it.
    pub(super) fn show(&self, tables: Tables, out: &mut Styled) {
        match tables {
            Tables::Code => self.code(out),
            _ => self.bullets(out),
        }
    }

    /// One section a row: its first cell as the title, then a line a cell. A table of one column is a list.
    fn bullets(&self, out: &mut Styled) {
        let has_titles = self.head.len() > 1;
        for row in &self.rows {
            let title = row.first().filter(|title| has_titles && !title.text.is_empty());
            if let Some(title) = title {
                let start = out.text.len();
                out.append(title);
                out.add(start, Style::Bold);
                out.text.push('\n');
            }
            for (index, value) in row.iter().enumerate().skip(usize::from(has_titles)) {
                if value.text.is_empty() {
                    continue;
                }
                out.text.push_str("• ");
                match self.head.get(index).filter(|head| !head.text.is_empty()) {
                    Some(head) => {
                        out.append(head);
                        out.text.push_str(": ");
                    }
                    None if has_titles => out.text.push_str(&format!("Column {index}: ")),
                    None => {}
                }
                out.append(value);
                out.text.push('\n');
            }
            out.text.push('\n');
        }
    }

    /// Aligned columns, as code; styles within code mean nothing to any network.
    fn code(&self, out: &mut Styled) {
        let columns = self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let rows = || self.rows.iter().chain([&self.head]);
        let width = |column: usize| {
            let widths = rows().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            widths.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |cells: &[Styled], out: &mut String| {
            out.push('|');
            for (column, width) in widths.iter().enumerate() {
                let text = cells.get(column).map_or("", |cell| cell.text.as_str());
                out.push_str(&format!(" {text:<width$} |"));
            }
            out.push('\n');
        };
        let start = out.text.len();
        line(&self.head, &mut out.text);
        out.text.push('|');
        widths.iter().for_each(|width| out.text.push_str(&format!(" {} |", "-".repeat(*width))));
        out.text.push('\n');
        self.rows.iter().for_each(|row| line(row, &mut out.text));
        out.spans.push(Span { start, end: out.text.len(), style: Style::CodeBlock });
    }
}
