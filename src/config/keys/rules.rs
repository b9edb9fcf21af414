//! Conditions over several keys of one object. They run only when the object was understood.

use serde_json::{Map, Value};

/// Receives path segments below the object and a message.
pub type Report<'a> = dyn FnMut(&[&str], String) + 'a;

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The duration and the hours of a heartbeat.
    Heartbeat,
    /// A browser profile is reached somehow.
    BrowserProfile,
    /// Open direct messages and the commands of a Telegram account.
    Telegram,
    /// Open direct messages of WhatsApp.
    WhatsApp,
    /// The same for one account.
    WhatsAppAccount,
    /// Broadcast lists name known agents.
    Broadcast,
}

impl Rule {
    /// Returns the rule of that name in the table.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "heartbeat" => Self::Heartbeat,
            "browser-profile" => Self::BrowserProfile,
            "telegram" => Self::Telegram,
            "whatsapp" => Self::WhatsApp,
            "whatsapp-account" => Self::WhatsAppAccount,
            "broadcast" => Self::Broadcast,
            _ => return None,
        })
    }

    /// Checks `object` and may normalise it.
    pub fn check(self, object: &mut Map<String, Value>, report: &mut Report) {
        match self {
            Self::Heartbeat => heartbeat(object, report),
            Self::BrowserProfile => {
                if !is_truthy(object.get("cdpPort")) && !is_truthy(object.get("cdpUrl")) {
                    report(&[], "Profile must set cdpPort or cdpUrl".to_owned());
                }
            }
            Self::Telegram => {
                open_direct(object, "channels.telegram.dmPolicy", "channels.telegram.allowFrom", report);
                telegram_commands(object, report);
            }
            Self::WhatsApp => open_direct(object, "channels.whatsapp.dmPolicy", "channels.whatsapp.allowFrom", report),
            Self::WhatsAppAccount => open_direct(object, "channels.whatsapp.accounts.*.dmPolicy", "allowFrom", report),
            Self::Broadcast => broadcast(object, report),
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

fn open_direct(object: &Map<String, Value>, policy: &str, list: &str, report: &mut Report) {
    let everybody = |entry: &Value| entry.as_str().is_some_and(|text| text.trim() == "*");
    let allows = object.get("allowFrom").and_then(Value::as_array).is_some_and(|items| items.iter().any(everybody));
    if text(object, "dmPolicy") == "open" && !allows {
        report(&["allowFrom"], format!("{policy}=\"open\" requires {list} to include \"*\""));
    }
}

fn telegram_commands(object: &mut Map<String, Value>, report: &mut Report) {
    let Some(Value::Array(commands)) = object.get_mut("customCommands") else { return };
    for (index, command) in commands.iter_mut().enumerate() {
        let Value::Object(command) = command else { continue };
        let given = text(command, "command").trim();
        let name = given.strip_prefix('/').unwrap_or(given).trim().to_lowercase();
        let description = text(command, "description").trim().to_owned();
        let index = index.to_string();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() {
            report(
                &["customCommands", &index, "command"],
                "Telegram custom command is missing a command name.".to_owned(),
            );
        } else if name.len() > 32 || !name.bytes().all(allowed) {
            let message =
                format!("Telegram custom command \"/{name}\" is invalid (use a-z, 0-9, underscore; max 32 chars).");
            report(&["customCommands", &index, "command"], message);
        } else if description.is_empty() {
            let message = format!("Telegram custom command \"/{name}\" is missing a description.");
            report(&["customCommands", &index, "description"], message);
        } else {
            command.insert("command".to_owned(), Value::from(name));
            command.insert("description".to_owned(), Value::from(description));
        }
    }
}

fn heartbeat(object: &Map<String, Value>, report: &mut Report) {
    let every = text(object, "every");
    // compat: without `every` the hours are not looked at either.
    if every.is_empty() {
        return;
    }
    if !is_duration(every) {
        report(&["every"], "invalid duration (use ms, s, m, h)".to_owned());
    }
    let Some(Value::Object(hours)) = object.get("activeHours") else { return };
    for key in ["start", "end"] {
        let message = match parse_time(text(hours, key)) {
            _ if text(hours, key).is_empty() => continue,
            None => "invalid time (use \"HH:MM\" 24h format)",
            Some((24, minute)) if minute > 0 => "invalid time (24:00 is the only allowed 24:xx value)",
            Some((24, _)) if key == "start" => "invalid time (start cannot be 24:00)",
            Some(_) => continue,
        };
        report(&["activeHours", key], message.to_owned());
    }
}

/// `30m`, `1.5h`, `250ms`; a bare number counts minutes.
fn is_duration(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(unit, "" | "ms" | "s" | "m" | "h" | "d") && digits(whole) && digits(fraction)
}

fn parse_time(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u8>().ok())?
    };
    Some((two(hour)?, two(minute)?)).filter(|(hour, minute)| *hour <= 24 && *minute < 60)
}

fn broadcast(object: &Map<String, Value>, report: &mut Report) {
    let agents = object.get("agents").and_then(|agents| agents.get("list")).and_then(Value::as_array);
    let Some(agents) = agents.filter(|agents| !agents.is_empty()) else { return };
    let Some(Value::Object(peers)) = object.get("broadcast") else { return };
    let known = |id: &str| agents.iter().any(|agent| agent.get("id").and_then(Value::as_str) == Some(id));
    for (peer, ids) in peers {
        for (index, id) in ids.as_array().into_iter().flatten().enumerate() {
            if let Some(id) = id.as_str().filter(|id| !known(id)) {
                let message = format!("Unknown agent id \"{id}\" (not in agents.list).");
                report(&["broadcast", peer, &index.to_string()], message);
            }
        }
    }
}
