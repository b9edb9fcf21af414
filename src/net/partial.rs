//! Which part of something a request asks for, and whether of anything at all (RFC 9110 §13 and §14). Pure.
//!
//! A list of several ranges counts as none, which the standard allows: players and downloads ask for one. Dates are not
//! read, only compared with the one that was sent, so that a file with an older date counts as another one. Not here: what
//! is sent then.

use std::ops::Range;

use super::http::RequestHead;

/// What tells one state of a thing from another; both missing where that cannot be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, a strong one.
    pub tag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

/// What a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// 200, all of it.
    Whole,
    /// 206, these bytes.
    Part(Range<u64>),
    /// 304: it is known.
    Unchanged,
    /// 412: it is another by now.
    Changed,
    /// 416: there are no such bytes.
    Outside,
}

/// Judges a request for something of `length` bytes.
pub fn wanted(head: &RequestHead, of: &Validators, length: u64) -> Wanted {
    let (tag, modified) = (of.tag.as_deref(), of.modified.as_deref());
    let is_date = |name| head.header(name).map(|date| modified == Some(date.trim()));
    let is_same =
        head.header("if-match").map(|tags| names(tags, tag, false)).or_else(|| is_date("if-unmodified-since"));
    if is_same == Some(false) {
        return Wanted::Changed;
    }
    let known =
        head.header("if-none-match").map(|tags| names(tags, tag, true)).or_else(|| is_date("if-modified-since"));
    if known == Some(true) {
        return Wanted::Unchanged;
    }
    let is_current = head.header("if-range").is_none_or(|state| {
        let state = Some(state.trim());
        state == tag || state == modified
    });
    match head.header("range") {
        Some(range) if head.method == "GET" && is_current => part(range, length),
        _ => Wanted::Whole,
    }
}

/// Returns whether a list of tags names this one; weak ones count as equal where only an answer is saved.
pub fn names(tags: &str, tag: Option<&str>, takes_weak: bool) -> bool {
    tags.split(',').map(str::trim).any(|given| {
        let given = if takes_weak { given.strip_prefix("W/").unwrap_or(given) } else { given };
        given == "*" || Some(given) == tag
    })
}

fn part(range: &str, length: u64) -> Wanted {
    let Some((unit, range)) = range.split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = range.split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let (start, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.trim().is_empty() => (first, length),
        (None, Some(last)) if first.trim().is_empty() => (length.saturating_sub(last), length),
        _ => return Wanted::Whole,
    };
    if start < end { Wanted::Part(start..end) } else { Wanted::Outside }
}

/// Reads a number; one that is too large for any file stays that.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, headers: &[(&str, &str)], expected: Wanted) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = RequestHead { method: method.into(), target: "/".into(), is_http11: true, headers };
        let of = Validators { tag: Some("\"a\"".into()), modified: Some("Mon".into()) };
        assert_eq!(wanted(&head, &of, 100), expected, "{:?}", head.headers);
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..100)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("Bytes = 10 - 19 ", Wanted::Part(10..20)),
            ("bytes=99-1000", Wanted::Part(99..100)),
            ("bytes=-1", Wanted::Part(99..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=5-99999999999999999999999999", Wanted::Part(5..100)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=99999999999999999999999999-", Wanted::Outside),
            ("bytes=0-0,5-6", Wanted::Whole),
            ("bytes=6-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=x-", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            check("GET", &[("range", range)], expected);
            check("HEAD", &[("range", range)], Wanted::Whole);
        }
        let head = RequestHead { method: "GET".into(), target: "/".into(), is_http11: true, headers: vec![] };
        let head = RequestHead { headers: vec![("range".into(), "bytes=0-".into())], ..head };
        assert_eq!(wanted(&head, &Validators::default(), 0), Wanted::Outside);
    }

    #[test]
    fn conditions() {
        let part = ("range", "bytes=1-2");
        for (headers, expected) in [
            (&[("if-none-match", "\"x\", W/\"a\"")][..], Wanted::Unchanged),
            (&[("if-none-match", "*")], Wanted::Unchanged),
            (&[("if-none-match", "\"x\""), ("if-modified-since", "Mon")], Wanted::Whole),
            (&[("if-modified-since", "Mon"), part], Wanted::Unchanged),
            (&[("if-modified-since", "Tue")], Wanted::Whole),
            (&[("if-match", "W/\"a\"")], Wanted::Changed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", "Tue")], Wanted::Whole),
            (&[("if-unmodified-since", "Tue")], Wanted::Changed),
            (&[("if-range", "\"a\""), part], Wanted::Part(1..3)),
            (&[("if-range", "Mon"), part], Wanted::Part(1..3)),
            (&[("if-range", "W/\"a\""), part], Wanted::Whole),
            (&[("if-range", "\"x\""), part], Wanted::Whole),
        ] {
            check("GET", headers, expected);
        }
        // What cannot be told apart is never known.
        let headers = vec![("if-none-match".to_owned(), "\"a\"".to_owned()), ("if-range".to_owned(), "Mon".to_owned())];
        let head = RequestHead { method: "GET".into(), target: "/".into(), is_http11: true, headers };
        assert_eq!(wanted(&head, &Validators::default(), 9), Wanted::Whole);
    }
}
