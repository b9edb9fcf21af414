//! Marks in a text that matter: links behind words, and who is mentioned. Offsets are in UTF-16 units.

use super::types::Entity;

/// Writes links behind words as Markdown.
pub fn with_links(text: &str, entities: &[Entity]) -> String {
    let mut links: Vec<(usize, usize, &str)> = entities
        .iter()
        .filter(|entity| entity.kind == "text_link")
        .filter_map(|entity| {
            Some((byte_at(text, entity.offset)?, byte_at(text, entity.offset + entity.length)?, entity.url.as_deref()?))
        })
        .collect();
    // From the back, so that places further ahead stay true.
    links.sort_unstable_by(|one, other| other.cmp(one));
    let mut out = text.to_owned();
    let mut behind = text.len();
    for (start, end, url) in links {
        // Links do not overlap; whoever sends such a thing gets the last one.
        if end <= behind && start <= end {
            out.replace_range(start..end, &format!("[{}]({url})", &text[start..end]));
            behind = start;
        }
    }
    out
}

/// Returns whether anybody is mentioned.
pub fn has_mention(entities: &[Entity]) -> bool {
    entities.iter().any(|entity| entity.kind == "mention")
}

/// Returns the byte where a UTF-16 unit begins; `None` within a character or behind the end.
fn byte_at(text: &str, unit: usize) -> Option<usize> {
    let mut units = 0;
    for (at, it) in text.char_indices() {
        if units == unit {
            return Some(at);
        }
        units += it.len_utf16();
    }
    (units == unit).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_written_out() {
        let link =
            |offset, length, url: &str| Entity { kind: "text_link".into(), offset, length, url: Some(url.into()) };
        let bold = Entity { kind: "bold".into(), offset: 0, length: 2, url: None };
        let text = "😀 a and b";
        let entities = [bold, link(3, 1, "http://a"), link(9, 1, "http://b")];
        assert_eq!(with_links(text, &entities), "😀 [a](http://a) and [b](http://b)");
        for odd in [link(1, 1, "http://x"), link(90, 1, "http://x"), link(5, 99, "http://x")] {
            assert_eq!(with_links(text, &[odd]), text);
        }
    }
}
