//! How a message of a chat looks to the model: who says it, where, when, and what it answers (channels.md §5). Pure.

use super::channel::Info;
use super::inbound::{Chat, Inbound, Location, Sender};
use crate::base::clock::{UnixMs, envelope_time, iso_utc};
use crate::config::types::Config;

/// What the head shows, from `agents.defaults`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// `local`, `utc`, `user` or an IANA name.
    zone: String,
    has_time: bool,
    has_elapsed: bool,
}

impl Style {
    /// Reads it.
    pub fn of(config: &Config) -> Self {
        let defaults = &config.tree["agents"]["defaults"];
        let text = |key: &str| defaults[key].as_str().map(str::trim).filter(|text| !text.is_empty());
        let zone = match text("envelopeTimezone").unwrap_or("local") {
            "user" => text("userTimezone").unwrap_or("local"),
            other => other,
        };
        Self {
            zone: zone.to_owned(),
            has_time: text("envelopeTimestamp") != Some("off"),
            has_elapsed: text("envelopeElapsed") != Some("off"),
        }
    }
}

/// Returns `[Channel from +elapsed time] body`.
pub fn envelope(
    channel: &Info,
    from: &str,
    at: Option<UnixMs>,
    previous: Option<UnixMs>,
    style: &Style,
    body: &str,
) -> String {
    let mut head = format!("{} {from}", channel.label);
    let elapsed = at.zip(previous).filter(|_| style.has_elapsed).and_then(|(at, previous)| at.checked_sub(previous));
    if let Some(ms) = elapsed {
        head.push_str(&format!(" +{}", elapsed_text(ms / 1000)));
    }
    if let Some(at) = at.filter(|_| style.has_time) {
        head.push(' ');
        head.push_str(&envelope_time(at, &style.zone));
    }
    format!("[{head}] {body}")
}

fn elapsed_text(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Returns what a conversation is called in the head.
pub fn conversation(message: &Inbound) -> String {
    let Chat { id, title, thread, .. } = &message.chat;
    if !message.chat.is_group() {
        return direct_label(&message.sender);
    }
    let topic = thread.as_ref().map(|thread| format!(" topic:{thread}")).unwrap_or_default();
    match title.as_deref().map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("{title} id:{id}{topic}"),
        None => format!("group:{}", message.chat.place()),
    }
}

/// Returns `Name (@handle) id:…`.
fn direct_label(sender: &Sender) -> String {
    if let (Some(e164), None) = (&sender.e164, &sender.username) {
        return e164.clone();
    }
    let handle = sender.username.as_deref().map(|handle| format!("@{handle}"));
    let label = match (sender.name.as_deref().filter(|name| !name.is_empty()), handle) {
        (Some(name), Some(handle)) => format!("{name} ({handle})"),
        (Some(name), None) => name.to_owned(),
        (None, Some(handle)) => handle,
        (None, None) => return format!("id:{}", sender.id),
    };
    format!("{label} id:{}", sender.id)
}

/// Returns how a sender is called within a group: `Name (id)`.
pub fn sender_label(sender: &Sender) -> String {
    let shown = sender.name.as_deref().filter(|name| !name.is_empty()).or(sender.username.as_deref());
    let id = sender.e164.as_deref().unwrap_or(&sender.id);
    match shown {
        Some(name) if !id.is_empty() && name != id => format!("{name} ({id})"),
        Some(name) => name.to_owned(),
        None => id.to_owned(),
    }
}

/// Returns what a message says, without who says it: its text, its place, or what stands for its media.
pub fn raw_body(message: &Inbound) -> String {
    let location = message.location.as_ref().map(location_text);
    let texts = [Some(message.text.trim().to_owned()), location];
    let body: Vec<String> = texts.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    match (body.is_empty(), message.media.first()) {
        (true, Some(first)) if message.media.len() > 1 => {
            format!("{} ({} images)", first.kind.placeholder(), message.media.len())
        }
        (true, Some(first)) => first.kind.placeholder().to_owned(),
        _ => body.join("\n"),
    }
}

/// Returns the body of the envelope: where it was passed on from, what it says, and what it answers.
pub fn body(message: &Inbound) -> String {
    let mut body = String::new();
    if let Some(forwarded) = &message.forwarded {
        let at = forwarded.sent_at.map(|at| format!(" at {}", iso_utc(at))).unwrap_or_default();
        body.push_str(&format!("[Forwarded from {}{at}]\n", forwarded.label));
    }
    body.push_str(&raw_body(message));
    if let Some(quoted) = message.quoted.as_ref().filter(|quoted| !quoted.text.is_empty()) {
        let id = quoted.message_id.as_ref().map(|id| format!(" id:{id}")).unwrap_or_default();
        body.push_str(&format!("\n\n[Replying to {}{id}]\n{}\n[/Replying]", quoted.sender, quoted.text));
    }
    body
}

/// Returns a place in words.
pub fn location_text(location: &Location) -> String {
    let accuracy = location.accuracy_metres.map(|metres| format!(" ±{}m", metres.round())).unwrap_or_default();
    let point = format!("{:.6}, {:.6}{accuracy}", location.latitude, location.longitude);
    if location.is_live {
        return format!("🛰 Live location: {point}");
    }
    let words: Vec<&str> = [&location.name, &location.address].into_iter().flatten().map(String::as_str).collect();
    if words.is_empty() { format!("📍 {point}") } else { format!("📍 {} ({point})", words.join(" — ")) }
}

/// Returns the lines that announce saved files.
pub fn media_note(files: &[(String, Option<String>)]) -> Option<String> {
    let line = |head: &str, (path, mime): &(String, Option<String>)| {
        let mime = mime.as_ref().map(|mime| format!(" ({mime})")).unwrap_or_default();
        format!("[media attached{head}: {path}{mime} | {path}]")
    };
    match files {
        [] => None,
        [one] => Some(line("", one)),
        many => {
            let head = format!("[media attached: {} files]", many.len());
            let rows =
                many.iter().enumerate().map(|(index, file)| line(&format!(" {}/{}", index + 1, many.len()), file));
            Some(std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::inbound::{ChatKind, Forwarded, Quoted};

    const TELEGRAM: Info = Info { id: "telegram", label: "Telegram", detail_label: "", system_image: "" };

    #[test]
    fn envelopes() {
        let sender =
            Sender { id: "42".into(), name: Some("Ada L".into()), username: Some("ada".into()), ..Sender::default() };
        let dm = Inbound { sender: sender.clone(), text: "hi".into(), ..Inbound::default() };
        let style = Style { zone: "utc".into(), has_time: true, has_elapsed: true };
        let at = 1_795_353_648_869;
        let text = envelope(&TELEGRAM, &conversation(&dm), Some(at), Some(at - 125_000), &style, &body(&dm));
        assert_eq!(text, "[Telegram Ada L (@ada) id:42 +2m 2026-11-22T13:20Z] hi");
        let style = Style { has_time: false, ..style };
        assert_eq!(envelope(&TELEGRAM, "x", Some(at), Some(at + 5), &style, "b"), "[Telegram x] b");
        let chat = |title: Option<&str>| Chat {
            id: "-1".into(),
            kind: ChatKind::Group,
            title: title.map(str::to_owned),
            thread: Some("7".into()),
            ..Chat::default()
        };
        let group = Inbound { chat: chat(Some("Team")), ..dm.clone() };
        assert_eq!(conversation(&group), "Team id:-1 topic:7");
        assert_eq!(conversation(&Inbound { chat: chat(None), ..dm.clone() }), "group:-1:topic:7");
        assert_eq!(sender_label(&sender), "Ada L (42)");
        assert_eq!(sender_label(&Sender { id: "5".into(), ..Sender::default() }), "5");
        let answer = Inbound {
            quoted: Some(Quoted {
                message_id: Some("9".into()),
                sender: "Bob".into(),
                text: "why?".into(),
                is_ours: false,
            }),
            forwarded: Some(Forwarded { label: "News".into(), sent_at: Some(0) }),
            ..dm
        };
        let expected =
            "[Forwarded from News at 1970-01-01T00:00:00.000Z]\nhi\n\n[Replying to Bob id:9]\nwhy?\n[/Replying]";
        assert_eq!(body(&answer), expected);
    }

    #[test]
    fn places_and_files() {
        let place = Location { latitude: 52.5, longitude: 13.4, accuracy_metres: Some(12.4), ..Location::default() };
        assert_eq!(location_text(&place), "📍 52.500000, 13.400000 ±12m");
        let named =
            Location { name: Some("Zoo".into()), address: Some("A 1".into()), accuracy_metres: None, ..place.clone() };
        assert_eq!(location_text(&named), "📍 Zoo — A 1 (52.500000, 13.400000)");
        assert!(location_text(&Location { is_live: true, ..place }).starts_with("🛰 Live location: 52.5"));
        let file = |name: &str| (name.to_owned(), Some("image/png".to_owned()));
        assert_eq!(media_note(&[file("/a")]).as_deref(), Some("[media attached: /a (image/png) | /a]"));
        let two = "[media attached: 2 files]\n[media attached 1/2: /a (image/png) | /a]\n[media attached 2/2: /b (image/png) | /b]";
        assert_eq!(media_note(&[file("/a"), file("/b")]).as_deref(), Some(two));
    }
}
