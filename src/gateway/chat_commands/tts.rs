//! `/tts`: which answers of a session are spoken, by whom, and a text spoken at once.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Ctx, Executed, Turn};
use crate::base::ids::SessionKey;
use crate::gateway::replies::voice;
use crate::tts::{ANSWER_CHARS, Auto, Provider, Settings};

const USAGE: &str = "⚙️ Usage: /tts <off|always|inbound|tagged|status|provider|limit|summary|audio> [value]\nExamples:\n\
     /tts always\n/tts provider openai\n/tts limit 2000\n/tts summary off\n/tts audio Good morning";

/// Carries it out.
pub(super) fn manage(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let (action, value) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let (action, value) = (action.to_lowercase(), value.trim());
    let config = cx.config.get();
    let settings = cx.tts.settings(&config).context("read the preferences of speech")?;
    let mode = if action == "on" { Some(Auto::Always) } else { Auto::parse(&action) };
    if let Some(mode) = mode {
        cx.sessions.update(&turn.session, |entry| {
            entry.other.insert("ttsAuto".to_owned(), mode.as_str().into());
        })?;
        return Executed::answer(match mode {
            Auto::Off => "🔇 TTS disabled.".to_owned(),
            Auto::Always => "🔊 TTS enabled (always).".to_owned(),
            mode => format!("🔊 TTS {}.", mode.as_str()),
        });
    }
    match action.as_str() {
        "" | "status" => Executed::answer(status(cx, turn, &settings)),
        "audio" if !value.is_empty() => match voice::speak(cx, &settings, value, &turn.speaker.channel) {
            Ok((path, is_voice)) => Ok(Executed::Audio { path, is_voice }),
            Err(error) => Executed::answer(format!("❌ Error generating audio: {error}")),
        },
        "provider" if value.is_empty() => Executed::answer(providers(&settings)),
        "provider" => match Provider::parse(&value.to_lowercase()) {
            Some(provider) => {
                cx.tts.set_provider(&config, provider).context("keep the preferences of speech")?;
                let settings = cx.tts.settings(&config).context("read the preferences of speech")?;
                let name = provider.as_str();
                let hint = match settings.is_configured(provider) {
                    true => "",
                    false if provider == Provider::Edge => "\nEdge TTS is not part of this build; the others speak.",
                    false => "\nIt has no API key yet, so it cannot speak.",
                };
                Executed::answer(format!("✅ TTS provider set to {name} (fallbacks: {}).{hint}", fallbacks(&settings)))
            }
            None => Executed::answer(USAGE),
        },
        "limit" if value.is_empty() => Executed::answer(format!("📏 TTS limit: {} characters.", settings.chars_max)),
        "limit" => match value.parse().ok().filter(|chars| ANSWER_CHARS.contains(chars)) {
            Some(chars) => {
                cx.tts.set_chars_max(&config, chars).context("keep the preferences of speech")?;
                Executed::answer(format!("✅ TTS limit set to {chars} characters."))
            }
            None => Executed::answer(USAGE),
        },
        "summary" if value.is_empty() => Executed::answer(format!("📝 TTS auto-summary: {}.", on(settings.shortens))),
        "summary" => match value.to_lowercase().as_str() {
            word @ ("on" | "off") => {
                let shortens = word == "on";
                cx.tts.set_shortens(&config, shortens).context("keep the preferences of speech")?;
                let sign = if shortens { "✅ TTS auto-summary enabled." } else { "❌ TTS auto-summary disabled." };
                Executed::answer(sign)
            }
            _ => Executed::answer(USAGE),
        },
        _ => Executed::answer(USAGE),
    }
}

/// Returns how answers of a session are spoken, for its status; `None` when they are not.
pub(super) fn line(cx: &Ctx, session: &SessionKey) -> Option<String> {
    let settings = cx.tts.settings(&cx.config.get()).ok()?;
    let auto = settings.auto_of(voice::own_mode(cx, session).as_deref());
    let (provider, limit, summary) = (settings.provider.as_str(), settings.chars_max, on(settings.shortens));
    (auto != Auto::Off).then(|| format!("{} · provider={provider} · limit={limit} · summary={summary}", auto.as_str()))
}

fn on(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn fallbacks(settings: &Settings) -> String {
    let names: Vec<&str> = settings.fallbacks().into_iter().map(Provider::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn providers(settings: &Settings) -> String {
    let sign = |provider| if settings.is_configured(provider) { "✅" } else { "❌" };
    format!(
        "🎙️ TTS provider\nPrimary: {}\nFallbacks: {}\nOpenAI key: {}\nElevenLabs key: {}\nEdge enabled: {}\n\
         Usage: /tts provider openai | elevenlabs | edge",
        settings.provider.as_str(),
        fallbacks(settings),
        sign(Provider::OpenAi),
        sign(Provider::ElevenLabs),
        sign(Provider::Edge),
    )
}

fn status(cx: &Ctx, turn: &Turn, settings: &Settings) -> String {
    let own = voice::own_mode(cx, &turn.session);
    let auto = settings.auto_of(own.as_deref());
    let is_own = own.as_deref().is_some_and(|own| Auto::parse(own).is_some()) && auto != Auto::Off;
    let key = match (settings.provider, settings.is_configured(settings.provider)) {
        (Provider::Edge, is_there) => {
            if is_there {
                "✅ enabled"
            } else {
                "❌ disabled"
            }
        }
        (_, true) => "✅ key",
        (_, false) => "❌ no key",
    };
    let mut text = format!(
        "📊 TTS status\nAuto: {}{}\nProvider: {} ({key})\nText limit: {} chars\nAuto-summary: {}",
        auto.as_str(),
        if is_own { " (session)" } else { "" },
        settings.provider.as_str(),
        settings.chars_max,
        on(settings.shortens),
    );
    if let Some(last) = cx.tts.last_attempt() {
        let ago = cx.clock.now_ms().saturating_sub(last.at_ms) / 1000;
        let sign = if last.result.is_ok() { "✅" } else { "❌" };
        text.push_str(&format!("\n\nLast attempt ({ago}s ago): {sign}\nText: {} chars\n", last.chars));
        text.push_str(&match last.result {
            Ok((provider, took_ms)) => format!("Provider: {}\nLatency: {took_ms}ms", provider.as_str()),
            Err(error) => format!("Error: {error}"),
        });
    }
    text
}
