//! Answers that are spoken too, where the session or the configuration wants it (agent.md §11, `/tts`).
//!
//! The text goes out as always; the voice message follows it as a reply of its own, so that a sound which cannot be made
//! or sent costs no word. Where answers go out in parts, it follows the last one. Runs on the run's thread, which waits for
//! the provider. Not here: what of an answer is spoken (`tts::Spoken`).

use std::path::PathBuf;
use std::sync::Arc;

use crate::agent::reply::Said;
use crate::agent::run::RunRequest;
use crate::base::ids::SessionKey;
use crate::channels;
use crate::channels::reply::{Reply, ReplyKind};
use crate::gateway::ctx::Ctx;
use crate::media;
use crate::tts::{Auto, Settings, Spoken};

/// Returns which answers a session wants spoken, in its own word.
pub fn own_mode(cx: &Ctx, session: &SessionKey) -> Option<String> {
    cx.sessions.entry(session)?.other.get("ttsAuto")?.as_str().map(str::to_owned)
}

/// Returns what models are told of it; `None` where answers are not spoken. A session's own word does not count, so that
/// the prompt stays the same.
pub fn hint(cx: &Ctx) -> Option<String> {
    let settings = cx.tts.settings(&cx.config.get()).ok()?;
    let when = match settings.auto {
        Auto::Off => return None,
        Auto::Always => "Your answers are spoken.",
        Auto::Inbound => "Your answer is spoken when the message at hand came as sound.",
        Auto::Tagged if !settings.has_tags() => return None,
        Auto::Tagged => "Your answer is spoken when you put [[tts]] or [[tts:text]] into it.",
    };
    if !settings.has_tags() {
        return Some(format!("{when} What is spoken should have {} characters at most.", settings.chars_max));
    }
    Some(format!(
        "{when} What is spoken should have {} characters at most. [[tts:text]]…[[/tts:text]] holds what is to be said instead \
         of what you write, and [[tts:key=value …]] chooses provider, voice or model. The tags are taken off before sending.",
        settings.chars_max
    ))
}

/// Speaks a text for a chat; returns the file, which is kept for as long as a message may be on its way, also over restarts,
/// and whether the channel shows it as a voice message.
///
/// # Errors
/// Why nobody speaks.
pub fn speak(cx: &Ctx, settings: &Settings, text: &str, channel: &str) -> Result<(PathBuf, bool), String> {
    let channel = channels::by_id(channel);
    let is_voice = channel.is_some_and(|channel| channel.capabilities().has_voice_notes);
    let speech = cx.tts.convert(settings, text, is_voice).map_err(|error| error.to_string())?;
    let name = speech.audio.file_name().and_then(|name| name.to_str());
    let kept = std::fs::read(&speech.audio)
        .and_then(|bytes| media::save(&cx.paths, media::OUTBOUND, &*cx.rng, &bytes, None, name));
    cx.tts.remove_audio(&speech.audio);
    Ok((kept.map_err(|error| format!("cannot keep the audio: {error}"))?, speech.is_voice))
}

/// Returns a part of an answer as it is written, without the tags for what is spoken.
pub(super) fn shown(cx: &Ctx, request: &RunRequest, text: String) -> String {
    without_tags(cx, request, text, |settings, auto, text| Spoken::of(settings, auto, text, true, false).shown)
}

/// As [`shown`], of an answer that is still being written.
pub(super) fn shown_so_far(cx: &Ctx, request: &RunRequest, text: String) -> String {
    without_tags(cx, request, text, Spoken::shown_so_far)
}

fn without_tags(
    cx: &Ctx,
    request: &RunRequest,
    text: String,
    shown: impl FnOnce(&Settings, Auto, &str) -> String,
) -> String {
    if !text.contains("[[") {
        return text;
    }
    let Ok(settings) = cx.tts.settings(&cx.config.get()) else { return text };
    let auto = settings.auto_of(own_mode(cx, &request.session_key).as_deref());
    shown(&settings, auto, &text)
}

/// Adds to an answer what is spoken of it, and takes the tags for that out of its words. `streamed`: what went out in parts
/// before, of which only the sound is missing.
pub(super) fn with_voice(
    cx: &Arc<Ctx>,
    request: &RunRequest,
    replies: Vec<Reply>,
    streamed: Option<&[Said]>,
) -> Vec<Reply> {
    let settings = match cx.tts.settings(&cx.config.get()) {
        Ok(settings) => settings,
        Err(error) => {
            log::warn!(target: "gateway/tts", "answers are not spoken: {error}");
            return replies;
        }
    };
    let auto = settings.auto_of(own_mode(cx, &request.session_key).as_deref());
    if auto == Auto::Off || request.is_heartbeat {
        return replies;
    }
    let mut all = Vec::new();
    let spoken_only = |said: &Said| Reply { text: said.text.clone(), kind: ReplyKind::Final, ..Reply::default() };
    let streamed =
        streamed.into_iter().flatten().filter(|said| said.media.is_empty()).map(|said| (spoken_only(said), true));
    for (reply, is_out) in streamed.chain(replies.into_iter().map(|reply| (reply, false))) {
        let speaks = match reply.kind {
            ReplyKind::Final => true,
            ReplyKind::Block | ReplyKind::Tool => settings.speaks_parts(),
            ReplyKind::Reasoning | ReplyKind::Notice => false,
        };
        if !speaks {
            all.push(reply);
            continue;
        }
        let spoken = Spoken::of(&settings, auto, &reply.text, !reply.media.is_empty(), is_voice(&request.message));
        let kind = reply.kind;
        let reply = Reply { text: spoken.shown.clone(), ..reply };
        if !is_out && (!reply.text.is_empty() || !reply.media.is_empty()) {
            all.push(reply);
        }
        let Some(text) = &spoken.text else { continue };
        match speak(cx, &spoken.settings(settings.clone()), text, &request.channel) {
            Ok((path, is_voice)) => {
                let media = vec![path.display().to_string()];
                all.push(Reply { media, is_voice, kind, ..Reply::default() });
            }
            // Logged where it failed; the words are there.
            Err(_) => log::debug!(target: "gateway/tts", "an answer of run {} is not spoken", request.run_id),
        }
    }
    all
}

/// Returns whether a message came as sound.
fn is_voice(message: &str) -> bool {
    // The last two stand where a recording was put into words.
    ["<media:audio>", "[Audio]\n", "[Audio 1/"].iter().any(|mark| message.contains(mark))
        || message.lines().any(|line| line.starts_with("[media attached") && line.contains("(audio/"))
}

#[cfg(test)]
mod tests {
    use super::is_voice;

    #[test]
    fn what_came_as_sound() {
        for (message, expected) in [
            ("[Telegram Ada id:5] <media:audio>\n[message_id: 7]", true),
            ("[media attached: /x.ogg (audio/ogg) | /x.ogg]\n[Telegram Ada id:5] listen", true),
            ("[Telegram Ada id:5] [Audio]\nTranscript:\nhello\n[message_id: 7]", true),
            ("[media attached: /x.png (image/png) | /x.png]\n[Telegram Ada id:5] look", false),
            ("[Telegram Ada id:5] Audio", false),
        ] {
            assert_eq!(is_voice(message), expected, "{message}");
        }
    }
}
