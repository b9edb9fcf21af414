//! Templates of mapped hooks: `{{ expression }}` in texts (http.md §5.5). Pure.

use serde_json::{Map, Value};

/// What a template may look at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The path below the hooks' own, as it came.
    pub path: &'a str,
    /// Headers by lower-case name.
    pub headers: &'a Map<String, Value>,
    /// The query's fields.
    pub query: &'a Map<String, Value>,
    /// The body.
    pub payload: &'a Value,
    /// Now, as text.
    pub now: &'a str,
}

/// Renders a template; what is not there renders as nothing.
pub fn render(template: &str, seen: &Seen<'_>) -> String {
    let mut rendered = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let inner = &rest[start + 2..];
        // Without an end it is no expression, and neither is one that holds a brace.
        let Some(end) = inner.find('}').filter(|end| inner[*end..].starts_with("}}") && *end > 0) else {
            rendered.push_str(&rest[..start + 2]);
            rest = inner;
            continue;
        };
        rendered.push_str(&rest[..start]);
        rendered.push_str(&value(inner[..end].trim(), seen));
        rest = &inner[end + 2..];
    }
    rendered.push_str(rest);
    rendered
}

fn value(expression: &str, seen: &Seen<'_>) -> String {
    let field = |fields: &Map<String, Value>, name: &str| fields.get(name).map(text).unwrap_or_default();
    match expression {
        "path" => return seen.path.to_owned(),
        "now" => return seen.now.to_owned(),
        _ => {}
    }
    if let Some(name) = expression.strip_prefix("headers.") {
        return field(seen.headers, &name.to_lowercase());
    }
    if let Some(name) = expression.strip_prefix("query.") {
        return field(seen.query, name);
    }
    let path = expression.strip_prefix("payload.").unwrap_or(expression);
    at(seen.payload, path).map(text).unwrap_or_default()
}

/// Follows `a.b[0].c`; a plain number names an entry of an array, too.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = value;
    for part in path.split('.') {
        let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !name.is_empty() {
            here = match here {
                Value::Array(items) => items.get(name.trim().parse::<usize>().ok()?)?,
                Value::Object(fields) => fields.get(name.trim())?,
                _ => return None,
            };
        }
        for index in indexes.split('[').skip(1) {
            here = here.as_array()?.get(index.strip_suffix(']')?.trim().parse::<usize>().ok()?)?;
        }
    }
    Some(here)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let payload = json!({"a": {"b": [1, {"c": "x"}]}, "n": null, "o": {"k": true}, "from": "me"});
        let (headers, query) = (json!({"x-foo": "FOO"}), json!({"q": "QQ"}));
        let seen = Seen {
            path: "gh/push",
            headers: headers.as_object().expect("object"),
            query: query.as_object().expect("object"),
            payload: &payload,
            now: "2026-01-01T00:00:00.000Z",
        };
        for (template, text) in [
            ("plain", "plain"),
            ("{{path}} {{ now }}", "gh/push 2026-01-01T00:00:00.000Z"),
            ("{{headers.X-Foo}}/{{query.q}}/{{query.z}}", "FOO/QQ/"),
            ("{{a.b[1].c}} {{payload.a.b.0}} {{a.b[7]}}", "x 1 "),
            ("{{n}}{{o}}{{from}}", "{\"k\":true}me"),
            ("{{}} {{a} {{ from }", "{{}} {{a} {{ from }"),
            ("{{{from}}}", "}"),
            ("{{a.b[x]}}{{a.b[1}}", ""),
        ] {
            assert_eq!(render(template, &seen), text, "{template}");
        }
    }
}
