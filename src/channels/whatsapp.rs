//! WhatsApp, as far as configuration and the credentials on disk tell (channels.md §13). Not here yet: the network.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::channel::{
    Account, Ack, AckGroup, Capabilities, Channel, Credentials, DEFAULT_ACCOUNT, Info, LoggedOut, NOT_BUILT_IN,
    ReceiveError, Reception, Setting, error_of,
};
use super::inbound::ChatKind;
use super::message::{Address, Part, Poll, SendError, Sent};
use super::reply::Reply;
use super::state::State;
use crate::base::cancel::CancelToken;
use crate::base::fs::read_text_capped;
use crate::config::types::Config;

/// Largest credentials file that is read, in bytes.
const CREDS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Options of a poll.
const POLL_OPTIONS_MAX: usize = 12;

/// See the module.
pub struct WhatsApp;

/// What the credentials of an account say.
#[derive(Debug, Default)]
struct Link {
    is_linked: bool,
    auth_age_ms: Option<u64>,
    jid: Option<String>,
}

impl Link {
    fn read(at: &Setting<'_>, account: &Account) -> Self {
        let file = auth_dir(at, account).join("creds.json");
        let Some(creds) = read_text_capped(&file, CREDS_BYTES_MAX).ok().flatten() else { return Self::default() };
        let Ok(creds) = serde_json::from_str::<Value>(&creds) else { return Self::default() };
        let written = std::fs::metadata(&file).and_then(|meta| meta.modified()).ok();
        let written_ms =
            written.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_millis() as u64);
        let jid = creds["me"]["id"].as_str().map(str::to_owned);
        Self { is_linked: true, auth_age_ms: written_ms.map(|written| at.now_ms.saturating_sub(written)), jid }
    }

    fn own(&self) -> Value {
        json!({"e164": self.jid.as_deref().and_then(e164_of_jid), "jid": self.jid})
    }
}

/// Returns the directory of an account's credentials.
fn auth_dir(at: &Setting<'_>, account: &Account) -> PathBuf {
    auth_place(at, account).0
}

/// Returns the directory of an account's credentials, and whether other credentials live there too: the oldest layout
/// kept the default account's beside the others.
fn auth_place(at: &Setting<'_>, account: &Account) -> (PathBuf, bool) {
    if let Some(dir) = account.text("authDir") {
        return (at.paths.expand(dir), false);
    }
    let base = at.paths.credentials_dir(at.env);
    let own = base.join("whatsapp").join(&account.id);
    let is_legacy =
        account.id == DEFAULT_ACCOUNT && !own.join("creds.json").exists() && base.join("creds.json").exists();
    if is_legacy { (base, true) } else { (own, false) }
}

fn e164_of_jid(jid: &str) -> Option<String> {
    let (user, server) = jid.split_once('@')?;
    let digits = user.split(':').next().unwrap_or_default();
    let is_phone = server == "s.whatsapp.net" && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_phone.then(|| format!("+{digits}"))
}

impl Channel for WhatsApp {
    fn info(&self) -> &'static Info {
        &Info { id: "whatsapp", label: "WhatsApp", detail_label: "WhatsApp Web", system_image: "message" }
    }

    fn capabilities(&self) -> &'static Capabilities {
        &Capabilities {
            chat_types: &["direct", "group"],
            actions: &["send", "poll", "react"],
            poll_options_max: Some(POLL_OPTIONS_MAX),
            has_reactions: true,
            has_threads: false,
            has_buttons: false,
            has_media: true,
            has_native_commands: false,
            has_block_streaming: false,
            has_web_login: true,
            id_prefixes: &["whatsapp:"],
            id_label: "Your WhatsApp phone number",
            id_column: "whatsappSenderId",
            target_hint: "<E.164|group JID>",
            pairing_counts_in_groups: false,
            answers_sends_itself: false,
            binds_accounts: true,
            has_voice_notes: false,
            inbound_media_mb: 50,
            // Who may speak is read for each message; only this is about the connection.
            restarted_by: &["web"],
        }
    }

    fn has_credentials(&self, at: &Setting<'_>) -> bool {
        self.accounts(at).iter().any(|account| auth_dir(at, account).join("creds.json").exists())
    }

    fn is_configured(&self, at: &Setting<'_>, account: &Account) -> bool {
        Link::read(at, account).is_linked
    }

    fn snapshot(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let link = Link::read(at, account);
        let mut row = json!({"accountId": account.id});
        if let Some(name) = account.text("name") {
            row["name"] = name.into();
        }
        let more = json!({
            "enabled": account.is_enabled(),
            "configured": true,
            "linked": link.is_linked,
            "running": state.is_running,
            "connected": state.is_connected,
            "reconnectAttempts": state.reconnect_attempts,
            "lastConnectedAt": state.last_connected_at,
            "lastDisconnect": disconnect(state),
            "lastMessageAt": state.last_inbound_at,
            "lastEventAt": state.last_event_at,
            "lastError": error(at, account, &link, state),
            "dmPolicy": account.text("dmPolicy").unwrap_or("pairing"),
            "allowFrom": account.list("allowFrom"),
            "lastInboundAt": state.last_inbound_at,
            "lastOutboundAt": state.last_outbound_at,
        });
        if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
            row.extend(more);
        }
        row
    }

    fn summary(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let link = Link::read(at, account);
        json!({
            "configured": link.is_linked,
            "linked": link.is_linked,
            "authAgeMs": link.auth_age_ms,
            "self": link.own(),
            "running": state.is_running,
            "connected": state.is_connected,
            "lastConnectedAt": state.last_connected_at,
            "lastDisconnect": disconnect(state),
            "reconnectAttempts": state.reconnect_attempts,
            "lastMessageAt": state.last_inbound_at,
            "lastEventAt": state.last_event_at,
            "lastError": error(at, account, &link, state),
        })
    }

    fn health(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        // compat: health shows no attempts.
        let mut health = self.summary(at, account, state);
        if let Value::Object(health) = &mut health {
            health.shift_remove("reconnectAttempts");
            health.insert("accountId".to_owned(), account.id.as_str().into());
        }
        health
    }

    fn target(&self, _at: &Setting<'_>, _account: &Account, given: &str) -> Result<String, String> {
        let given = given.trim();
        let bare = given.strip_prefix("whatsapp:").unwrap_or(given).trim();
        if bare
            .strip_suffix("@g.us")
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
        {
            return Ok(bare.to_owned());
        }
        let phone = match bare.contains('@') {
            true => e164_of_jid(bare),
            false => Some(bare.chars().filter(char::is_ascii_digit).collect::<String>())
                .filter(|digits| !digits.is_empty())
                .map(|digits| format!("+{digits}")),
        };
        phone.ok_or_else(|| {
            "Delivering to WhatsApp requires target <E.164|group JID> or channels.whatsapp.allowFrom[0]".to_owned()
        })
    }

    fn is_address(&self, target: &str) -> bool {
        let target = target.trim();
        let has_prefix = target.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("whatsapp:"));
        let number = target.strip_prefix('+').unwrap_or(target);
        has_prefix || target.contains('@') || number.starts_with(|c: char| c.is_ascii_digit())
    }

    fn chat_kind(&self, to: &str) -> ChatKind {
        if to.ends_with("@g.us") { ChatKind::Group } else { ChatKind::Direct }
    }

    fn history_mark(&self, _chat: &str, message_id: &str) -> String {
        format!("\n[message_id: {message_id}]")
    }

    fn ack(&self, _config: &Config, account: &Account) -> Ack {
        // compat: it has a setting of its own, and `messages.ackReaction` is not used.
        let own = account.settings.get("ackReaction").unwrap_or(&Value::Null);
        let in_groups = match own["group"].as_str() {
            Some("always") => AckGroup::Always,
            Some("never") => AckGroup::Never,
            _ => AckGroup::Meant,
        };
        let emoji = Some(own["emoji"].as_str().unwrap_or_default().to_owned());
        Ack { in_direct: own["direct"] != false, in_groups, emoji, is_passing: false }
    }

    fn settings_of(&self, _account: &str, given: &Credentials<'_>) -> Result<Map<String, Value>, String> {
        Ok(given.auth_dir.map(|dir| ("authDir".to_owned(), Value::from(dir))).into_iter().collect())
    }

    fn receive(&self, _reception: &Reception<'_>) -> Result<(), ReceiveError> {
        Err(ReceiveError::Refused(NOT_BUILT_IN.to_owned()))
    }

    fn prepare(&self, _: &Setting<'_>, _: &Account, _: &Address, reply: &Reply) -> Result<Vec<Part>, String> {
        Ok(vec![json!({"text": reply.text, "media": reply.media})])
    }

    fn send(
        &self,
        at: &Setting<'_>,
        account: &Account,
        _: &Address,
        _: &Part,
        _: &CancelToken,
    ) -> Result<Sent, SendError> {
        Err(self.refusal(at, account))
    }

    fn poll(
        &self,
        at: &Setting<'_>,
        account: &Account,
        _: &Address,
        _: &Poll,
        _: &CancelToken,
    ) -> Result<Sent, SendError> {
        Err(self.refusal(at, account))
    }

    fn log_in(&self, _: &Setting<'_>, _: &Account, _: bool, _: Duration) -> Value {
        json!({"message": format!("Failed to start WhatsApp login: WhatsApp is {NOT_BUILT_IN}")})
    }

    fn log_out(&self, at: &Setting<'_>, account: &Account) -> Result<LoggedOut, String> {
        let (dir, is_shared) = auth_place(at, account);
        let nothing = LoggedOut { cleared: false, more: Map::new() };
        if !dir.join("creds.json").exists() {
            return Ok(nothing);
        }
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        if is_shared {
            for entry in std::fs::read_dir(&dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if is_session_file(&entry.file_name().to_string_lossy()) {
                    std::fs::remove_file(entry.path()).map_err(failed)?;
                }
            }
        } else {
            std::fs::remove_dir_all(&dir).map_err(failed)?;
        }
        let more = Map::from_iter([("loggedOut".to_owned(), Value::Bool(true))]);
        Ok(LoggedOut { cleared: true, more })
    }
}

impl WhatsApp {
    fn refusal(&self, at: &Setting<'_>, account: &Account) -> SendError {
        let id = &account.id;
        if self.is_configured(at, account) {
            return SendError::Failed(format!("WhatsApp is {NOT_BUILT_IN}"));
        }
        let login = at.paths.hint(&format!("channels login --channel whatsapp --account {id}"));
        SendError::NotLinked(format!(
            "No active WhatsApp Web listener (account: {id}). Start the gateway, then link WhatsApp with: {login}."
        ))
    }
}

fn disconnect(state: &State) -> Value {
    state.last_disconnect.as_ref().map_or(Value::Null, |(at, error)| json!({"at": at, "error": error}))
}

fn error(at: &Setting<'_>, account: &Account, link: &Link, state: &State) -> Value {
    match error_of(at, account, link.is_linked, state) {
        error if error == "not configured" => json!("not linked"),
        error => error,
    }
}

fn is_session_file(name: &str) -> bool {
    let is_key = ["app-state-sync-", "session-", "sender-key-", "pre-key-"].iter().any(|kind| name.starts_with(kind));
    matches!(name, "creds.json" | "creds.json.bak") || (is_key && name.ends_with(".json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::config::paths::Paths;

    #[test]
    fn targets_credentials_and_logout() {
        let dir = TempDir::new("whatsapp");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let config = Config::default();
        let at = Setting { config: &config, paths: &paths, env: &|_| None, now_ms: u64::MAX, is_skipped: false };
        let account = WhatsApp.default_account(&at);
        for (given, expected) in [
            ("+1 (555) 555-0123", Some("+15555550123")),
            ("whatsapp:49170", Some("+49170")),
            ("123-456@g.us", Some("123-456@g.us")),
            ("49170:3@s.whatsapp.net", Some("+49170")),
            ("abc", None),
            ("x@g.us", None),
            ("", None),
        ] {
            assert_eq!(WhatsApp.target(&at, &account, given).ok().as_deref(), expected, "{given}");
        }
        for (given, expected) in [("+49 170", true), ("x@g.us", true), ("WhatsApp:5", true), ("Mum", false)] {
            assert_eq!(WhatsApp.is_address(given), expected, "{given}");
        }
        let acks = |own: Value| {
            let account = Account { settings: Map::from_iter([("ackReaction".to_owned(), own)]), ..account.clone() };
            WhatsApp.ack(&config, &account)
        };
        let quiet = Ack { in_direct: true, in_groups: AckGroup::Meant, emoji: Some(String::new()), is_passing: false };
        assert_eq!(acks(Value::Null), quiet, "without an emoji there is no sign");
        let chosen = acks(json!({"emoji": "👀", "direct": false, "group": "always"}));
        assert_eq!(
            (chosen.in_direct, chosen.in_groups, chosen.emoji.as_deref()),
            (false, AckGroup::Always, Some("👀"))
        );
        assert_eq!(WhatsApp.summary(&at, &account, &State::default())["lastError"], "not linked");
        assert!(matches!(WhatsApp.refusal(&at, &account), SendError::NotLinked(_)));

        let own = paths.state_dir.join("credentials/whatsapp/default");
        std::fs::create_dir_all(&own).expect("dir");
        std::fs::write(own.join("creds.json"), r#"{"me":{"id":"4917012345:2@s.whatsapp.net"}}"#).expect("write");
        let summary = WhatsApp.summary(&at, &account, &State::default());
        assert_eq!((&summary["linked"], &summary["self"]["e164"]), (&json!(true), &json!("+4917012345")));
        assert!(matches!(WhatsApp.refusal(&at, &account), SendError::Failed(_)));
        assert!(WhatsApp.log_out(&at, &account).expect("logout").cleared);
        assert!(!own.exists() && !WhatsApp.log_out(&at, &account).expect("logout").cleared);
    }
}
