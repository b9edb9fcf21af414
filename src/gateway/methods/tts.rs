//! tts.*.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Any, Method, methods};
use crate::channels;
use crate::channels::outbox::Delivery;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::work::Due;
use crate::protocol::error::ErrorShape;
use crate::tts::{Auto, ELEVENLABS_MODELS, OPENAI_MODELS, OPENAI_VOICES, Provider, Settings};

/// How long a sound is kept for whoever fetches it.
const AUDIO_KEPT: Duration = Duration::from_secs(5 * 60);

pub(super) const METHODS: &[Method] = methods! {
    "tts.status" Read Any status;
    "tts.providers" Read Any providers;
    "tts.enable" Write Any enable;
    "tts.disable" Write Any disable;
    "tts.setProvider" Write Any set_provider;
    "tts.convert" Write Any convert on side;
};

fn settings(cx: &Ctx) -> Result<Settings, ErrorShape> {
    cx.tts.settings(&cx.config.get()).map_err(ErrorShape::exception)
}

fn status(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    let settings = settings(cx)?;
    let fallbacks: Vec<&str> = settings.fallbacks().into_iter().map(Provider::as_str).collect();
    Ok(Reply::Now(json!({
        "enabled": settings.auto != Auto::Off,
        "auto": settings.auto.as_str(),
        "provider": settings.provider.as_str(),
        // compat: null when there is none.
        "fallbackProvider": fallbacks.first(),
        "fallbackProviders": fallbacks,
        "prefsPath": settings.prefs_path,
        "hasOpenAIKey": settings.is_configured(Provider::OpenAi),
        "hasElevenLabsKey": settings.is_configured(Provider::ElevenLabs),
        "edgeEnabled": settings.is_configured(Provider::Edge),
    })))
}

fn providers(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    let settings = settings(cx)?;
    let row = |provider: Provider, name: &str, models: &[&str]| {
        let is_configured = settings.is_configured(provider);
        json!({"id": provider.as_str(), "name": name, "configured": is_configured, "models": models})
    };
    let mut openai = row(Provider::OpenAi, "OpenAI", &OPENAI_MODELS);
    openai["voices"] = json!(OPENAI_VOICES);
    let elevenlabs = row(Provider::ElevenLabs, "ElevenLabs", &ELEVENLABS_MODELS);
    let edge = row(Provider::Edge, "Edge TTS", &[]);
    Ok(Reply::Now(json!({"providers": [openai, elevenlabs, edge], "active": settings.provider.as_str()})))
}

fn enable(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    switch(cx, Auto::Always)
}

fn disable(cx: &Arc<Ctx>, _call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    switch(cx, Auto::Off)
}

fn switch(cx: &Ctx, auto: Auto) -> Result<Reply, ErrorShape> {
    cx.tts.set_auto(&cx.config.get(), auto).map_err(ErrorShape::exception)?;
    Ok(Reply::Now(json!({"enabled": auto != Auto::Off})))
}

fn set_provider(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let provider = Provider::parse(text(&params, "provider"))
        .ok_or_else(|| ErrorShape::invalid("Invalid provider. Use openai, elevenlabs, or edge."))?;
    cx.tts.set_provider(&cx.config.get(), provider).map_err(ErrorShape::exception)?;
    Ok(Reply::Now(json!({"provider": provider.as_str()})))
}

/// Speaks a text. Runs as a job: the provider may take its time.
fn convert(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let spoken = text(&params, "text");
    if spoken.is_empty() {
        return Err(ErrorShape::invalid("tts.convert requires text"));
    }
    let channel = channels::normalize(text(&params, "channel")).and_then(channels::by_id);
    let is_voice = channel.is_some_and(|channel| channel.capabilities().has_voice_notes);
    let speech = cx.tts.convert(&settings(cx)?, spoken, is_voice);
    let speech = speech.map_err(|error| ErrorShape::unavailable(error.to_string()))?;
    let payload = json!({
        "audioPath": speech.audio,
        "provider": speech.provider.as_str(),
        "outputFormat": speech.format,
        "voiceCompatible": speech.is_voice,
    });
    cx.timer.arm(AUDIO_KEPT, Due::SpeechExpired(speech.audio));
    Ok(Reply::Now(payload))
}

/// Removes a sound, unless a chat still waits for it: a network may be away for longer.
pub fn expire(cx: &Ctx, audio: PathBuf) {
    let path = audio.to_string_lossy();
    let is_in = |delivery: &Delivery| {
        delivery.content["media"].as_array().is_some_and(|media| media.iter().any(|source| *source == *path))
    };
    if cx.outbox.waiting().iter().any(is_in) {
        cx.timer.arm(AUDIO_KEPT, Due::SpeechExpired(audio));
    } else {
        cx.tts.remove_audio(&audio);
    }
}

fn text<'a>(params: &'a Value, key: &str) -> &'a str {
    params.get(key).and_then(Value::as_str).map_or("", str::trim)
}
