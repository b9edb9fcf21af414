//! Inline buttons: what may be sent, and what may be pressed (channels.md §12.10).

use serde_json::{Value, json};

use crate::channels::channel::Account;

/// Longest word that a button says to us, in characters.
const DATA_CHARS_MAX: usize = 64;

/// What buttons are called among the abilities of an account.
pub const ABILITY: &str = "inlineButtons";

/// Where buttons are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Off,
    Dm,
    Group,
    All,
    Allowlist,
}

impl Scope {
    /// Returns that of an account.
    pub fn of(account: &Account) -> Self {
        match account.settings.get("capabilities") {
            Some(Value::Array(list)) if list.iter().any(|it| it == ABILITY) => Self::All,
            Some(Value::Array(_)) => Self::Off,
            Some(named) => match named[ABILITY].as_str() {
                Some("off") => Self::Off,
                Some("dm") => Self::Dm,
                Some("group") => Self::Group,
                Some("all") => Self::All,
                _ => Self::Allowlist,
            },
            None => Self::Allowlist,
        }
    }

    /// Returns whether a button in such a chat counts; whether this person may press it is another question.
    pub fn covers(self, is_group: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Dm => !is_group,
            Self::Group => is_group,
            Self::All | Self::Allowlist => true,
        }
    }
}

/// Judges rows of buttons for a chat and returns them as the API takes them; `None` when there are none.
///
/// # Errors
/// What is wrong, for whoever wrote them.
pub fn keyboard(account: &Account, to: &str, buttons: Option<&Value>) -> Result<Option<Value>, String> {
    let Some(given) = buttons.filter(|given| !given.is_null()) else { return Ok(None) };
    let rows = given.as_array().ok_or("buttons must be an array of button rows")?;
    let mut keyboard = Vec::new();
    for (r, row) in rows.iter().enumerate() {
        let row = row.as_array().ok_or_else(|| format!("buttons[{r}] must be an array"))?;
        let judged: Result<Vec<Value>, String> = row.iter().enumerate().map(|(c, it)| button(r, c, it)).collect();
        let judged = judged?;
        if !judged.is_empty() {
            keyboard.push(Value::from(judged));
        }
    }
    if keyboard.is_empty() {
        return Ok(None);
    }
    let number: Option<i64> = to.parse().ok();
    match (Scope::of(account), number) {
        (Scope::Off, _) => {
            Err("Telegram inline buttons are disabled. Set channels.telegram.capabilities.inlineButtons to \
             \"dm\", \"group\", \"all\", or \"allowlist\"."
                .to_owned())
        }
        (scope @ (Scope::Dm | Scope::Group), None) => {
            let word = if scope == Scope::Dm { "dm" } else { "group" };
            Err(format!("Telegram inline buttons require a numeric chat id when inlineButtons=\"{word}\"."))
        }
        (Scope::Dm, Some(..0)) => {
            Err("Telegram inline buttons are limited to DMs when inlineButtons=\"dm\".".to_owned())
        }
        (Scope::Group, Some(0..)) => {
            Err("Telegram inline buttons are limited to groups when inlineButtons=\"group\".".to_owned())
        }
        _ => Ok(Some(json!({"inline_keyboard": keyboard}))),
    }
}

fn button(r: usize, c: usize, given: &Value) -> Result<Value, String> {
    if !given.is_object() {
        return Err(format!("buttons[{r}][{c}] must be an object"));
    }
    let word = |key: &str| given[key].as_str().map(str::trim).filter(|text| !text.is_empty());
    let (Some(text), Some(data)) = (word("text"), word("callback_data")) else {
        return Err(format!("buttons[{r}][{c}] requires text and callback_data"));
    };
    if data.chars().count() > DATA_CHARS_MAX {
        return Err(format!("buttons[{r}][{c}] callback_data too long (max {DATA_CHARS_MAX} chars)"));
    }
    Ok(json!({"text": text, "callback_data": data}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(settings: Value) -> Account {
        Account { id: "default".into(), settings: settings.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn buttons_are_judged() {
        let good = json!([[{"text": " Yes ", "callback_data": "/think high"}], []]);
        let sent = keyboard(&account(json!({})), "1", Some(&good));
        let expected = json!({"inline_keyboard": [[{"text": "Yes", "callback_data": "/think high"}]]});
        assert_eq!(sent, Ok(Some(expected)));
        for (buttons, fault) in [
            (json!("x"), "buttons must be an array of button rows"),
            (json!(["x"]), "buttons[0] must be an array"),
            (json!([["x"]]), "buttons[0][0] must be an object"),
            (json!([[{"text": "x"}]]), "buttons[0][0] requires text and callback_data"),
            (
                json!([[{"text": "x", "callback_data": "x".repeat(65)}]]),
                "buttons[0][0] callback_data too long (max 64 chars)",
            ),
        ] {
            assert_eq!(keyboard(&account(json!({})), "1", Some(&buttons)), Err(fault.to_owned()));
        }
        assert_eq!(keyboard(&account(json!({})), "1", None), Ok(None));
    }

    #[test]
    fn scopes_limit_where_they_go() {
        let good = json!([[{"text": "y", "callback_data": "y"}]]);
        let check = |capabilities: Value, to: &str| {
            keyboard(&account(json!({"capabilities": capabilities})), to, Some(&good)).is_ok()
        };
        assert!(check(json!(["inlineButtons"]), "1") && check(json!({"inlineButtons": "all"}), "@name"));
        assert!(!check(json!(["other"]), "1") && !check(json!({"inlineButtons": "off"}), "1"));
        assert!(check(json!({"inlineButtons": "dm"}), "1") && !check(json!({"inlineButtons": "dm"}), "-1"));
        assert!(check(json!({"inlineButtons": "group"}), "-1") && !check(json!({"inlineButtons": "group"}), "@name"));
        assert!(Scope::of(&account(json!({}))).covers(true) && !Scope::Dm.covers(true));
    }
}
