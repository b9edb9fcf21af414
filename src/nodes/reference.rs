//! Which node somebody means: an id, an address, a name, or the beginning of an id (cli.md §18). Pure.

use serde_json::Value;

/// Fewest characters of an id's beginning.
const PREFIX_CHARS_MIN: usize = 6;

/// Returns the id of the node of a list (rows of `node.list`) that `query` means.
///
/// # Errors
/// The text for the person: no such node, or several.
pub fn choose(nodes: &[Value], query: &str) -> Result<String, String> {
    let query = query.trim();
    if query.is_empty() {
        return Err("node required".to_owned());
    }
    let id = |node: &Value| node["nodeId"].as_str().unwrap_or_default().to_owned();
    if nodes.iter().any(|node| id(node) == query) {
        return Ok(query.to_owned());
    }
    let is_meant = |node: &&Value| {
        let name = node["displayName"].as_str().unwrap_or_default();
        node["remoteIp"] == *query
            || (!name.is_empty() && normal(name) == normal(query))
            || (query.chars().count() >= PREFIX_CHARS_MIN && id(node).starts_with(query))
    };
    let shown = |nodes: &[&Value]| {
        let name = |node: &&Value| {
            let texts = [&node["displayName"], &node["remoteIp"], &node["nodeId"]];
            texts.into_iter().filter_map(Value::as_str).find(|text| !text.is_empty()).map(str::to_owned)
        };
        nodes.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    match nodes.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok(id(one)),
        [] if nodes.is_empty() => Err(format!("unknown node: {query}")),
        [] => Err(format!("unknown node: {query} (known: {})", shown(&nodes.iter().collect::<Vec<_>>()))),
        several => Err(format!("ambiguous node: {query} (matches: {})", shown(several))),
    }
}

/// Lower case, everything but letters and digits as one dash.
fn normal(name: &str) -> String {
    let name = name.to_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references() {
        let nodes = [
            json!({"nodeId": "abcdef12", "displayName": "My Phone"}),
            json!({"nodeId": "abcdef34", "remoteIp": "192.0.2.7"}),
            json!({"nodeId": "abcdef"}),
        ];
        let check = |query: &str, expected: Result<&str, &str>| {
            assert_eq!(choose(&nodes, query).as_deref().map_err(String::as_str), expected, "{query}");
        };
        check("abcdef12", Ok("abcdef12"));
        check("abcdef", Ok("abcdef"));
        check("abcdef1", Ok("abcdef12"));
        check(" my-phone ", Ok("abcdef12"));
        check("192.0.2.7", Ok("abcdef34"));
        check("abcde", Err("unknown node: abcde (known: My Phone, 192.0.2.7, abcdef)"));
        check("", Err("node required"));
        assert_eq!(
            choose(&nodes[..2], "abcdef"),
            Err("ambiguous node: abcdef (matches: My Phone, 192.0.2.7)".to_owned())
        );
        assert_eq!(choose(&[], "x"), Err("unknown node: x".to_owned()));
    }

    #[test]
    fn nodes_are_found_by_id_address_name_and_prefix() {
        let nodes = [
            json!({"nodeId": "abcdef123", "displayName": "My Phone!", "remoteIp": "10.0.0.1"}),
            json!({"nodeId": "abcdef456", "displayName": "my-phone"}),
            json!({"nodeId": "zz", "remoteIp": "10.0.0.2"}),
        ];
        let check = |typed: &str, expected: Result<&str, &str>| {
            assert_eq!(choose(&nodes, typed).as_deref().map_err(String::as_str), expected, "{typed}");
        };
        check("abcdef123", Ok("abcdef123"));
        check("10.0.0.2", Ok("zz"));
        check("abcdef4", Ok("abcdef456"));
        check("MY phone", Err("ambiguous node: MY phone (matches: My Phone!, my-phone)"));
        check("abcdef", Err("ambiguous node: abcdef (matches: My Phone!, my-phone)"));
        check("z", Err("unknown node: z (known: My Phone!, my-phone, 10.0.0.2)"));
        assert_eq!(choose(&[], "x"), Err("unknown node: x".to_owned()));
    }
}
