//! Text: cutting, shortening, durations and sizes as people read them, queries as servers do.

use std::fmt::Write as _;

use serde_json::Value;

/// Reads `1`, `true`, `yes`, `on`.
pub fn is_truthy(text: &str) -> bool {
    parse_flag(text) == Some(true)
}

/// Returns the longest prefix of at most `bytes_max` bytes that ends at a character boundary.
pub fn cut_bytes(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Returns `text`, or its first `chars_max` characters and `...` when it is longer.
pub fn ellipsize(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the last `chars_max` characters.
pub fn tail_chars(text: &str, chars_max: usize) -> &str {
    let count = text.chars().count();
    if count <= chars_max {
        return text;
    }
    let start = text.char_indices().nth(count - chars_max).map_or(text.len(), |(index, _)| index);
    &text[start..]
}

/// Returns whether a name fits a pattern in which `*` stands for anything.
pub fn fits_pattern(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

/// Parses `<number>(ms|s|m|h|d)`, in any case, into milliseconds; a number alone counts `bare_unit_ms` each.
pub fn parse_duration_ms(text: &str, bare_unit_ms: f64) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let unit_ms = match text[split..].trim() {
        "" => bare_unit_ms,
        unit => duration_unit_ms(unit)?,
    };
    Some(number * unit_ms)
}

/// Parses a flag as people write it: `true`, `1`, `yes`, `on`, or `false`, `0`, `no`, `off`, in any case.
pub fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Returns the milliseconds of a unit as durations have it: `ms`, `s`, `m`, `h` or `d`.
pub fn duration_unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    })
}

/// Formats a duration with its two largest parts: `850ms`, `12s`, `3m 4s`, `2h 5m`, `1d 3h`, `2w 1d`.
pub fn duration(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let mut rest = ms / 1000;
    let mut parts = Vec::new();
    for (unit, seconds) in [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= seconds {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

/// Formats an age coarsely: `just now`, `5m ago`, `3h ago` (up to 47 hours), `2d ago`.
pub fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes}m ago"),
        60..2880 => format!("{}h ago", minutes / 60),
        _ => format!("{}d ago", minutes / 1440),
    }
}

/// Formats an age by its largest unit: `5s`, `3m`, `2h`, `4d`.
pub fn short_age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Formats a count of tokens: `950`, `1.5k`, `12k`, `1.2m`.
pub fn tokens(count: u64) -> String {
    let short = |value: f64, unit: &str| {
        if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
    };
    match count {
        0..1000 => count.to_string(),
        1000..1_000_000 => short(count as f64 / 1000.0, "k"),
        _ => format!("{:.1}m", count as f64 / 1_000_000.0),
    }
}

/// Returns the text without white space around it; `None` when nothing is left.
pub fn unless_blank(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Returns a text of one's own, trimmed, unless that leaves nothing.
pub fn trimmed(text: impl AsRef<str>) -> Option<String> {
    unless_blank(text.as_ref()).map(str::to_owned)
}

/// Returns a JSON value as people write it: texts without quotes, everything else as it is.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the text as it stands in a query or a form: all but unreserved characters as `%XX`.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Returns the text that stands so in a query or a form; what is no `%XX` stays.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|&byte| (byte as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Collapses runs of white space to one blank and trims.
pub fn collapse_whitespace(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_character_boundaries() {
        assert_eq!(cut_bytes("aé", 2), "a");
        assert_eq!(ellipsize("héllo", 2), "hé...");
        assert_eq!(ellipsize("hé", 2), "hé");
        assert_eq!(tail_chars("héllo", 3), "llo");
    }

    #[test]
    fn queries_go_there_and_back() {
        assert_eq!(percent_encoded("a b&c=é~"), "a%20b%26c%3D%C3%A9~");
        assert_eq!(percent_decoded("a+b%26c%3D%C3%A9%7E 5%"), "a b&c=é~ 5%");
        assert_eq!(percent_decoded("%2B%+F"), "+% F");
        assert_eq!((unless_blank(" x "), unless_blank(" \n")), (Some("x"), None));
    }

    #[test]
    fn shows_durations_ages_and_counts() {
        assert_eq!(
            ["850ms", "12s", "3m 4s", "1w"],
            [duration(850), duration(12_000), duration(184_000), duration(604_800_000)].each_ref().map(String::as_str)
        );
        assert_eq!(
            ["just now", "5m ago", "47h ago", "2d ago"],
            [age(0), age(300_000), age(47 * 3_600_000), age(48 * 3_600_000)].each_ref().map(String::as_str)
        );
        assert_eq!(
            ["0s", "59s", "1m", "23h", "2d"],
            [short_age(999), short_age(59_999), short_age(60_000), short_age(86_399_000), short_age(172_800_000)]
                .each_ref()
                .map(String::as_str)
        );
        assert_eq!(
            ["950", "1.5k", "12k", "1.2m"],
            [tokens(950), tokens(1500), tokens(12_000), tokens(1_200_000)].each_ref().map(String::as_str)
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("exec", "exec", true),
            ("ex*", "exec", true),
            ("*", "x", true),
            ("*ec", "exec", true),
            ("e*x", "exec", false),
        ] {
            assert_eq!(fits_pattern(pattern, name), fits, "{pattern} {name}");
        }
    }
}
