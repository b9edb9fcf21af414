//! A2UI messages: one JSON object per line, each with exactly one action.
//!
//! Pure functions. Not here: what a renderer makes of them.

use serde_json::{Value, json};

/// Actions of version 0.8, then the one that only version 0.9 has.
const ACTIONS: [&str; 5] = ["beginRendering", "surfaceUpdate", "dataModelUpdate", "deleteSurface", "createSurface"];
const ACTION_V09: &str = "createSurface";

/// Returns messages that show one text.
pub(super) fn of_text(text: &str) -> String {
    let column = json!({"Column": {"children": {"explicitList": ["text"]}}});
    let label = json!({"Text": {"text": {"literalString": text}, "usageHint": "body"}});
    let components = json!([{"id": "root", "component": column}, {"id": "text", "component": label}]);
    let update = json!({"surfaceUpdate": {"surfaceId": "main", "components": components}});
    let begin = json!({"beginRendering": {"surfaceId": "main", "root": "root"}});
    format!("{update}\n{begin}")
}

/// Returns how many messages there are; they must be of version 0.8.
pub(super) fn check(jsonl: &str) -> Result<usize, String> {
    let mut errors = Vec::new();
    let (mut count, mut is_v08, mut is_v09) = (0, false, false);
    for (number, line) in jsonl.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        count += 1;
        match serde_json::from_str::<Value>(line) {
            Err(error) => errors.push(format!("line {number}: SyntaxError: {error}")),
            Ok(Value::Object(message)) => {
                let actions: Vec<&str> = ACTIONS.into_iter().filter(|action| message.contains_key(*action)).collect();
                match actions[..] {
                    [ACTION_V09] => is_v09 = true,
                    [_] => is_v08 = true,
                    _ => {
                        errors.push(format!("line {number}: expected exactly one action key ({})", ACTIONS.join(", ")))
                    }
                }
            }
            Ok(_) => errors.push(format!("line {number}: expected JSON object")),
        }
    }
    if count == 0 {
        errors.push("no JSONL messages found".to_owned());
    }
    if is_v08 && is_v09 {
        errors.push("mixed A2UI v0.8 and v0.9 messages in one file".to_owned());
    }
    if !errors.is_empty() {
        return Err(format!("Invalid A2UI JSONL:\n- {}", errors.join("\n- ")));
    }
    if is_v09 {
        return Err("Detected A2UI v0.9 JSONL (createSurface). Clawdbot currently supports v0.8 only.".to_owned());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_checked() {
        assert_eq!(check(&of_text("hi \"there\"")), Ok(2));
        let fails = |jsonl: &str, words: &str| {
            let error = check(jsonl).expect_err(jsonl);
            assert!(error.contains(words), "{jsonl}: {error}");
        };
        fails(" \n", "no JSONL messages found");
        fails("{\"createSurface\":{}}", "supports v0.8 only");
        fails("{\"createSurface\":{}}\n\n{\"deleteSurface\":{}}", "mixed A2UI");
        fails("{\"a\":1}\n[]\n{", "line 1: expected exactly one action key");
        fails("{\"a\":1}\n[]\n{", "line 2: expected JSON object\n- line 3: SyntaxError");
    }
}
