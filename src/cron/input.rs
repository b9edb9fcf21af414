//! What clients and older files write, brought into the one shape that the schema knows: wrappers taken off, kinds
//! inferred, times parsed. Pure; runs before validation, so anything may be anything.

use serde_json::{Map, Value};

use super::when::parse_moment;

/// Brings the parameters of `cron.add` into shape; `agent_id` makes an agent's id out of what is given as one.
pub fn add(raw: Value, agent_id: impl Fn(&str) -> String) -> Value {
    let Value::Object(raw) = raw else { return raw };
    let mut job = unwrap(raw);
    coerce(&mut job, agent_id);
    fill(&mut job);
    Value::Object(job)
}

/// Brings the parameters of `cron.update` into shape.
pub fn update(mut raw: Value, agent_id: impl Fn(&str) -> String) -> Value {
    if let Some(Value::Object(patch)) = raw.get_mut("patch") {
        let mut fields = unwrap(std::mem::take(patch));
        coerce(&mut fields, agent_id);
        *patch = fields;
    }
    raw
}

/// Brings a job of the store's file into shape: what older versions wrote, and what a hand left out.
pub fn stored(job: &mut Map<String, Value>) {
    coerce(job, str::to_owned);
    fill(job);
    let name = text(job, "name").trim().to_owned();
    let name = if name.is_empty() { infer_name(job) } else { name };
    job.insert("name".to_owned(), name.into());
    let description = text(job, "description").trim().to_owned();
    if description.is_empty() {
        job.remove("description");
    } else {
        job.insert("description".to_owned(), description.into());
    }
    // compat: a job that does not say is off, as `undefined` is false.
    let defaults = [
        ("enabled", Value::Bool(false)),
        ("createdAtMs", 0.into()),
        ("updatedAtMs", 0.into()),
        ("state", Value::Object(Map::new())),
    ];
    for (key, value) in defaults {
        job.entry(key).or_insert(value);
    }
}

/// Takes `{data: {…}}` and `{job: {…}}` off.
fn unwrap(mut raw: Map<String, Value>) -> Map<String, Value> {
    for wrapper in ["data", "job"] {
        if let Some(Value::Object(inner)) = raw.get_mut(wrapper) {
            return std::mem::take(inner);
        }
    }
    raw
}

fn coerce(job: &mut Map<String, Value>, agent_id: impl Fn(&str) -> String) {
    if let Some(Value::String(given)) = job.get("agentId") {
        match given.trim() {
            "" => drop(job.remove("agentId")),
            given => {
                let id = agent_id(given);
                job.insert("agentId".to_owned(), id.into());
            }
        }
    }
    if let Some(Value::String(given)) = job.get("enabled") {
        let enabled = match given.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        if let Some(enabled) = enabled {
            job.insert("enabled".to_owned(), enabled.into());
        }
    }
    if let Some(Value::Object(schedule)) = job.get_mut("schedule") {
        coerce_schedule(schedule);
    }
    if let Some(Value::Object(payload)) = job.get_mut("payload") {
        coerce_payload(payload);
    }
}

fn coerce_schedule(schedule: &mut Map<String, Value>) {
    let is = |key: &str, test: fn(&Value) -> bool| schedule.get(key).is_some_and(test);
    if !is("kind", Value::is_string) {
        let kind = if is("atMs", Value::is_number) || is("atMs", Value::is_string) || is("at", Value::is_string) {
            Some("at")
        } else if is("everyMs", Value::is_number) {
            Some("every")
        } else if is("expr", Value::is_string) {
            Some("cron")
        } else {
            None
        };
        if let Some(kind) = kind {
            schedule.insert("kind".to_owned(), kind.into());
        }
    }
    let at = schedule.remove("at");
    if !schedule.get("atMs").is_some_and(Value::is_number) {
        let given = schedule.get("atMs").and_then(Value::as_str).or(at.as_ref().and_then(Value::as_str));
        if let Some(at_ms) = given.and_then(parse_moment) {
            schedule.insert("atMs".to_owned(), at_ms.into());
        }
    }
}

/// compat: the channel of a delivery was once called `provider`.
fn coerce_payload(payload: &mut Map<String, Value>) {
    let provider = payload.remove("provider");
    let given = |value: Option<&Value>| {
        let channel = value.and_then(Value::as_str).unwrap_or_default().trim().to_lowercase();
        Some(channel).filter(|channel| !channel.is_empty())
    };
    if let Some(channel) = given(payload.get("channel")).or_else(|| given(provider.as_ref())) {
        payload.insert("channel".to_owned(), channel.into());
    }
}

/// Fills in what follows from the rest.
fn fill(job: &mut Map<String, Value>) {
    let is_missing = |value: Option<&Value>| value.is_none_or(|value| value.is_null() || value == "");
    if is_missing(job.get("wakeMode")) {
        job.insert("wakeMode".to_owned(), "next-heartbeat".into());
    }
    if is_missing(job.get("sessionTarget")) {
        let target = match job.get("payload").and_then(|payload| payload["kind"].as_str()) {
            Some("systemEvent") => "main",
            Some("agentTurn") => "isolated",
            _ => return,
        };
        job.insert("sessionTarget".to_owned(), target.into());
    }
}

/// Names a job of old by what it says, else by when it runs.
fn infer_name(job: &Map<String, Value>) -> String {
    let of = |part: &str, key: &str| job.get(part).and_then(|part| part[key].as_str()).unwrap_or_default().to_owned();
    let shorten = |text: &str, chars_max: usize| match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => format!("{}…", text.chars().take(chars_max - 1).collect::<String>().trim_end()),
    };
    let said = match of("payload", "kind").as_str() {
        "systemEvent" => of("payload", "text"),
        "agentTurn" => of("payload", "message"),
        _ => String::new(),
    };
    if let Some(line) = said.lines().map(str::trim).find(|line| !line.is_empty()) {
        return shorten(line, 60);
    }
    match of("schedule", "kind").as_str() {
        "cron" => format!("Cron: {}", shorten(&of("schedule", "expr"), 52)),
        "every" => format!("Every: {}ms", job["schedule"]["everyMs"]),
        "at" => "One-shot".to_owned(),
        _ => "Cron job".to_owned(),
    }
}

fn text<'a>(job: &'a Map<String, Value>, key: &str) -> &'a str {
    job.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(given: Value, expected: Value) {
        assert_eq!(add(given.clone(), str::to_lowercase), expected, "{given}");
    }

    #[test]
    fn additions() {
        check(
            json!({"job": {"name": "a", "enabled": " TRUE ", "agentId": " Ops ", "schedule": {"at": "2031-01-01"},
                "payload": {"kind": "agentTurn", "message": "m", "provider": " Telegram "}}}),
            json!({"name": "a", "enabled": true, "agentId": "ops", "schedule": {"kind": "at", "atMs": 1_924_992_000_000_u64},
                "payload": {"kind": "agentTurn", "message": "m", "channel": "telegram"},
                "wakeMode": "next-heartbeat", "sessionTarget": "isolated"}),
        );
        check(
            json!({"data": {"agentId": "  ", "schedule": {"everyMs": 5}, "payload": {"kind": "systemEvent"}}}),
            json!({"schedule": {"everyMs": 5, "kind": "every"}, "payload": {"kind": "systemEvent"},
                "wakeMode": "next-heartbeat", "sessionTarget": "main"}),
        );
        check(
            json!({"agentId": null, "enabled": "maybe", "schedule": {"atMs": "soon", "expr": "* * * * *"}, "wakeMode": "now"}),
            json!({"agentId": null, "enabled": "maybe", "schedule": {"atMs": "soon", "expr": "* * * * *", "kind": "at"},
                "wakeMode": "now"}),
        );
        check(json!([1]), json!([1]));
    }

    #[test]
    fn changes() {
        let given = json!({"id": "x", "patch": {"job": {"enabled": "false", "schedule": {"expr": "* * * * *"}}}});
        let expected =
            json!({"id": "x", "patch": {"enabled": false, "schedule": {"expr": "* * * * *", "kind": "cron"}}});
        assert_eq!(update(given, str::to_owned), expected);
        assert_eq!(update(json!({"patch": 1}), str::to_owned), json!({"patch": 1}));
        assert_eq!(update(json!(7), str::to_owned), json!(7));
    }

    #[test]
    fn old_jobs_get_names() {
        let long = "x".repeat(70);
        for (job, name) in [
            (json!({"payload": {"kind": "systemEvent", "text": "\n  hello\nworld"}}), "hello".to_owned()),
            (json!({"payload": {"kind": "agentTurn", "message": long}}), format!("{}…", "x".repeat(59))),
            (json!({"schedule": {"kind": "cron", "expr": "0 9 * * *"}}), "Cron: 0 9 * * *".to_owned()),
            (json!({"schedule": {"everyMs": 60000}}), "Every: 60000ms".to_owned()),
            (json!({"schedule": {"atMs": 5}}), "One-shot".to_owned()),
            (json!({"name": " mine "}), "mine".to_owned()),
            (json!({}), "Cron job".to_owned()),
        ] {
            let mut job = job.as_object().expect("an object").clone();
            stored(&mut job);
            assert_eq!(job["name"], name);
            assert_eq!((&job["enabled"], &job["state"]), (&json!(false), &json!({})));
        }
    }
}
