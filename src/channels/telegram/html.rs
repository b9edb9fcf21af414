//! Styled text in Telegram's HTML (channels.md §12.8).

use crate::channels::markdown::{Span, Style, Styled};

/// Writes it.
pub fn html(styled: &Styled) -> String {
    let text = &styled.text;
    let mut out = String::with_capacity(text.len() + 16 * styled.spans.len());
    let mut edges: Vec<usize> =
        styled.spans.iter().flat_map(|span| [span.start, span.end]).chain([text.len()]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut open: Vec<&Span> = Vec::new();
    let mut at = 0;
    for edge in edges {
        escape(&text[at..edge], &mut out);
        at = edge;
        // A span may end before one that began later: that one is closed too, and opened again.
        if let Some(first) = open.iter().position(|span| span.end == edge) {
            open[first..].iter().rev().for_each(|span| out.push_str(close_tag(&span.style)));
            open = open.iter().copied().filter(|span| span.end != edge).collect();
            open.iter().skip(first).for_each(|span| open_tag(&span.style, &mut out));
        }
        for span in styled.spans.iter().filter(|span| span.start == edge) {
            open_tag(&span.style, &mut out);
            open.push(span);
        }
    }
    out
}

fn escape(text: &str, out: &mut String) {
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            it => out.push(it),
        }
    }
}

fn open_tag(style: &Style, out: &mut String) {
    match style {
        Style::Link(to) => {
            let mut escaped = String::new();
            escape(to, &mut escaped);
            out.push_str("<a href=\"");
            out.push_str(&escaped.replace('"', "&quot;"));
            out.push_str("\">");
        }
        Style::CodeBlock => out.push_str("<pre><code>"),
        Style::Code => out.push_str("<code>"),
        Style::Bold => out.push_str("<b>"),
        Style::Italic => out.push_str("<i>"),
        Style::Strike => out.push_str("<s>"),
    }
}

fn close_tag(style: &Style) -> &'static str {
    match style {
        Style::Link(_) => "</a>",
        Style::CodeBlock => "</code></pre>",
        Style::Code => "</code>",
        Style::Bold => "</b>",
        Style::Italic => "</i>",
        Style::Strike => "</s>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::markdown::{Cut, Tables, parse};

    fn check(markdown: &str, expected: &str) {
        assert_eq!(html(&parse(markdown, Tables::Code)), expected, "{markdown}");
    }

    #[test]
    fn markdown_becomes_html() {
        for (markdown, expected) in [
            ("", ""),
            ("a **b** __c__ *d* _e_ ~~f~~", "a <b>b</b> <b>c</b> <i>d</i> <i>e</i> <s>f</s>"),
            ("***both***", "<b><i>both</i></b>"),
            ("`x < y` & z", "<code>x &lt; y</code> &amp; z"),
            ("```rust\nfn a() {}\n```\nafter", "<pre><code>fn a() {}\n</code></pre>\nafter"),
            ("    indented", "<pre><code>indented\n</code></pre>"),
            ("[t](http://a.b/?q=\"1\"&r=2)", "<a href=\"http://a.b/?q=&quot;1&quot;&amp;r=2\">t</a>"),
            ("[](http://a.b)", ""),
            (
                "see https://a.b/c_d_e (or http://x.y/z(1)).",
                "see <a href=\"https://a.b/c_d_e\">https://a.b/c_d_e</a> (or <a href=\"http://x.y/z(1)\">http://x.y/z(1)</a>).",
            ),
            ("no http:// here, nor xhttp://a", "no http:// here, nor xhttp://a"),
            ("![alt](http://a.b/c.png)", "alt"),
            ("# Title\ntext", "Title\n\ntext"),
            ("a\n\nb\nc  \nd", "a\n\nb\nc\nd"),
            ("- a\n- b\n  - c\n  - d\n\nend", "• a\n• b\n  • c\n  • d\n\nend"),
            ("3. x\n4. y", "3. x\n4. y"),
            ("- a\n\n  more\n- b", "• a\nmore\n• b"),
            ("> quoted\n> more\n\nafter", "quoted\nmore\n\nafter"),
            ("a <b>x</b> & <script>", "a &lt;b&gt;x&lt;/b&gt; &amp; &lt;script&gt;"),
            ("about ~5 or ~6, ~~gone~~", "about ~5 or ~6, <s>gone</s>"),
            ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
            ("<https://a.b>", "<a href=\"https://a.b\">https://a.b</a>"),
        ] {
            check(markdown, expected);
        }
    }

    #[test]
    fn tables_become_code() {
        check(
            "| a | **b** |\n|---|---|\n| 1 | <x> |",
            "<pre><code>| a   | b   |\n| --- | --- |\n| 1   | &lt;x&gt; |\n</code></pre>",
        );
        let bullets = html(&parse("| n | v |\n|---|---|\n| x | `1` |\n| y | 2 |", Tables::Bullets));
        assert_eq!(bullets, "<b>x</b>\n• v: <code>1</code>\n\n<b>y</b>\n• v: 2");
        let off = "| n | v |\n|---|---|\n| x | 1 |";
        assert_eq!(html(&parse(off, Tables::Off)), off);
    }

    #[test]
    fn no_tag_is_ever_cut() {
        let markdown =
            "**bold words that go on** and `code` with [a link](http://a.b/c) \n\n```\nlines\n  of\n code\n```\n";
        let whole = markdown.repeat(7);
        let styled = parse(&whole, Tables::Code);
        for units in 1..120 {
            for piece in styled.chunks(units, Cut::Length) {
                assert!(piece.text.encode_utf16().count() <= units, "{units}: {piece:?}");
                balanced(&html(&piece));
            }
        }
    }

    fn balanced(html: &str) {
        let mut open = Vec::new();
        for part in html.split('<').skip(1) {
            let tag = part.split(['>', ' ']).next().expect("a first part");
            match tag.strip_prefix('/') {
                Some(tag) => assert_eq!(open.pop(), Some(tag), "{html}"),
                None => open.push(tag),
            }
        }
        assert!(open.is_empty(), "{html}");
    }

    #[test]
    fn spans_that_cross_are_nested() {
        let span = |start, end, style| Span { start, end, style };
        let crossing =
            Styled { text: "abcdef".into(), spans: vec![span(0, 4, Style::Bold), span(2, 6, Style::Italic)] };
        assert_eq!(html(&crossing), "<b>ab<i>cd</i></b><i>ef</i>");
    }
}
