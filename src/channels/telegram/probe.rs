//! Trying an account's token, and looking whether the bot hears what its groups say (channels.md §11).
//!
//! Runs on a job. Not here: when it is done, and how it is shown.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::api::{Api, ApiError};
use super::types::{Member, User, WebhookInfo};
use crate::channels::channel::Account;

/// Groups that are looked at; each is a call.
const GROUPS_MAX: usize = 50;

/// Tries the token.
pub fn probe(api: &Api, within: Duration) -> Value {
    let started = Instant::now();
    let me: Result<User, ApiError> = api.call_within("getMe", &json!({}), within);
    let elapsed = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let me = match me {
        Ok(me) => me,
        Err(error) => {
            let (status, text) = match error.refusal() {
                Some(refusal) => (json!(refusal.code), refusal.description.clone()),
                None => (Value::Null, error.to_string()),
            };
            return json!({"ok": false, "status": status, "error": text, "elapsedMs": elapsed()});
        }
    };
    let mut probe = json!({
        "ok": true, "status": null, "error": null, "elapsedMs": 0,
        "bot": {
            "id": me.id, "username": me.username, "canJoinGroups": me.can_join_groups,
            "canReadAllGroupMessages": me.can_read_all_group_messages, "supportsInlineQueries": me.supports_inline_queries,
        },
    });
    let left = within.saturating_sub(started.elapsed()).max(Duration::from_millis(500));
    if let Ok(info) = api.call_within::<WebhookInfo>("getWebhookInfo", &json!({}), left) {
        probe["webhook"] = json!({"url": info.url, "hasCustomCert": info.has_custom_certificate});
    }
    probe["elapsedMs"] = elapsed().into();
    probe
}

/// Looks at the groups in which the bot is to hear everything; `None` when there are none.
pub fn audit(api: &Api, account: &Account, bot: i64, within: Duration) -> Option<Value> {
    let started = Instant::now();
    let groups = account.settings.get("groups").and_then(Value::as_object)?;
    let unmentioned = |group: &Value| group["requireMention"] == false && group["enabled"] != false;
    let listed: Vec<&str> = groups.iter().filter(|(_, group)| unmentioned(group)).map(|(id, _)| id.as_str()).collect();
    let has_wildcard = listed.contains(&"*");
    let is_number = |id: &&str| id.parse::<i64>().is_ok();
    let named: Vec<&str> = listed.iter().copied().filter(|id| *id != "*").collect();
    let numeric: Vec<&str> = named.iter().copied().filter(is_number).take(GROUPS_MAX).collect();
    let unresolved = named.iter().filter(|id| !is_number(id)).count();
    if numeric.is_empty() && unresolved == 0 && !has_wildcard {
        return None;
    }
    let rows: Vec<Value> = numeric
        .iter()
        .map(|id| {
            let left = within.saturating_sub(started.elapsed()).max(Duration::from_millis(200));
            let member: Result<Member, ApiError> =
                api.call_within("getChatMember", &json!({"chat_id": id, "user_id": bot}), left);
            let mut row = Map::new();
            row.insert("chatId".into(), (*id).into());
            match member {
                Ok(member) => {
                    let is_in = matches!(member.status.as_str(), "creator" | "administrator" | "member");
                    row.insert("ok".into(), is_in.into());
                    row.insert("status".into(), member.status.into());
                    row.insert("error".into(), if is_in { Value::Null } else { "bot not in group".into() });
                }
                Err(error) => {
                    let text = error.refusal().map_or_else(|| error.to_string(), |refusal| refusal.description.clone());
                    row.insert("ok".into(), false.into());
                    row.insert("status".into(), Value::Null);
                    row.insert("error".into(), text.into());
                }
            }
            row.insert("matchKey".into(), (*id).into());
            row.insert("matchSource".into(), "id".into());
            Value::Object(row)
        })
        .collect();
    let is_ok = unresolved == 0 && !has_wildcard && rows.iter().all(|row| row["ok"] == true);
    Some(json!({
        "ok": is_ok,
        "checkedGroups": rows.len(),
        "unresolvedGroups": unresolved,
        "hasWildcardUnmentionedGroups": has_wildcard,
        "groups": rows,
        "elapsedMs": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}
