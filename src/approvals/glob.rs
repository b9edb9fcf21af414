//! Patterns of allowlists: `*` within a directory, `**` across, `?` one character; upper and lower case are alike.

/// Returns whether `pattern` matches the whole of `text`; time grows with the product of their lengths, no more.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    // Positions of the text that the pattern read so far can end at.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    let pattern = pattern.to_lowercase();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let is_deep = c == '*' && chars.next_if_eq(&'*').is_some();
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            let step = |from: &[bool]| at > 0 && from[at - 1];
            next[at] = match c {
                '*' => ends[at] || (step(&next) && (is_deep || text[at - 1] != '/')),
                '?' => step(&ends) && text[at - 1] != '/',
                _ => step(&ends) && text[at - 1] == c,
            };
        }
        ends = next;
    }
    ends[text.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("/usr/bin/ls", "/usr/bin/ls", true),
            ("/usr/bin/ls", "/usr/bin/lsof", false),
            ("/usr/bin/ls", "/x/usr/bin/ls", false),
            ("/USR/bin/LS", "/usr/BIN/ls", true),
            ("/usr/*/ls", "/usr/bin/ls", true),
            ("/usr/*/ls", "/usr/local/bin/ls", false),
            ("/usr/**/ls", "/usr/local/bin/ls", true),
            ("/usr/**", "/usr/", true),
            ("**", "/any/thing", true),
            ("/bin/l?", "/bin/ls", true),
            ("/bin/l?", "/bin/l", false),
            ("/bin?ls", "/bin/ls", false),
            ("/a.b", "/aXb", false),
            ("/a+(b)[c]", "/a+(b)[c]", true),
            ("", "", true),
            ("", "/", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "**a".repeat(60);
        assert!(!matches(&pattern, &"a".repeat(4000).replace("aaaa", "aaab")));
    }
}
