//! Answers that are spoken too, where the session or the configuration wants it (agent.md §11, `/tts`).
//!
//! The text goes out as always, at once; voice messages follow it as replies of their own, so that a sound which takes its
//! time or cannot be made or sent costs no word. Where answers go out in parts, they follow the last one. Runs on the run's
//! thread, which waits for the provider. Not here: what of an answer is spoken (`tts::Spoken`).

use std::path::PathBuf;

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
    let kept = media::keep_for_sending(&cx.paths, &*cx.rng, &speech.audio);
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

/// Something that is to be said aloud.
pub(super) struct Aloud {
    text: String,
    settings: Settings,
    kind: ReplyKind,
}

impl Aloud {
    /// Says it; `None` when nobody does, which is logged: the words are there.
    pub(super) fn reply(&self, cx: &Ctx, request: &RunRequest) -> Option<Reply> {
        let spoken = speak(cx, &self.settings, &self.text, &request.channel);
        let spoken = spoken.inspect_err(|_| {
            log::debug!(target: "gateway/tts", "an answer of run {} is not spoken", request.run_id);
        });
        let (path, is_voice) = spoken.ok()?;
        Some(Reply { media: vec![path.display().to_string()], is_voice, kind: self.kind, ..Reply::default() })
    }
}

/// Parts an answer into what is shown, without the tags for what is spoken, and what is to be said aloud. `streamed`: what
/// went out in parts before, of which only the sound is missing.
pub(super) fn part(
    cx: &Ctx,
    request: &RunRequest,
    replies: Vec<Reply>,
    streamed: Option<&[Said]>,
) -> (Vec<Reply>, Vec<Aloud>) {
    let settings = match cx.tts.settings(&cx.config.get()) {
        Ok(settings) => settings,
        Err(error) => {
            log::warn!(target: "gateway/tts", "answers are not spoken: {error}");
            return (replies, Vec::new());
        }
    };
    let auto = settings.auto_of(own_mode(cx, &request.session_key).as_deref());
    if auto == Auto::Off || request.is_heartbeat {
        return (replies, Vec::new());
    }
    let (mut shown, mut aloud) = (Vec::new(), Vec::new());
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
            shown.push(reply);
            continue;
        }
        let spoken = Spoken::of(&settings, auto, &reply.text, !reply.media.is_empty(), is_voice(&request.message));
        if let Some(text) = &spoken.text {
            let settings = spoken.settings(settings.clone());
            aloud.push(Aloud { text: text.clone(), settings, kind: reply.kind });
        }
        let reply = Reply { text: spoken.shown, ..reply };
        if !is_out && (!reply.text.is_empty() || !reply.media.is_empty()) {
            shown.push(reply);
        }
    }
    (shown, aloud)
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
