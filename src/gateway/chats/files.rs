//! The files of a message: fetched, kept, and shown to the model where they are pictures.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::handle::Chat;
use crate::agent::message::Block;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::ids::RunId;
use crate::channels::channel::{Download, DownloadError};
use crate::channels::inbound::{Inbound, MediaRef};
use crate::channels::reply::Reply;
use crate::gateway::attachments::is_shown;
use crate::media;

/// What the model is told about sending files, when it got some.
pub(super) const HINT: &str =
    "To send a file back, use the message tool with media, or write a line MEDIA:<path or URL>.";
/// Attempts at a file, and the pauses between them.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// How long all files of a message may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest picture that is shown to the model.
const IMAGE_BYTES_MAX: usize = 5_000_000;

/// What became of a message's files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Paths and types of those that were kept.
    pub saved: Vec<(String, Option<String>)>,
    /// Pictures, and their places among those that were kept.
    pub images: Vec<(Option<usize>, Block)>,
    /// Why others are missing.
    pub failed: Vec<String>,
}

/// Fetches the files of a message. `Err(false)`: its only file is too large, and its sender was told; `Err(true)`: try again.
pub(super) fn fetch(chat: &Chat<'_>, message: &Inbound, id: &RunId) -> Result<Files, bool> {
    let mut files = Files::default();
    let configured = chat.account.settings.get("mediaMaxMb").and_then(|it| it.as_f64()).filter(|mb| *mb > 0.0);
    let megabytes = configured.unwrap_or(chat.channel.capabilities().inbound_media_mb as f64);
    let bytes_max = (megabytes * 1024.0 * 1024.0) as u64;
    let cancel = chat.cx.lifecycle.stopping().within(PATIENCE);
    for file in &message.media {
        if chat.cx.received.is_closed() {
            return Err(true);
        }
        match try_to_fetch(chat, file, bytes_max, &cancel) {
            Ok(download) => keep(chat, download, file, &mut files),
            Err(DownloadError::TooLarge) => {
                let text = format!("⚠️ File too large. Maximum size is {megabytes}MB.");
                let reply_to = Some(message.message_id.clone()).filter(|id| !id.is_empty());
                let reply = Reply { text, reply_to, ..Reply::default() };
                if !chat.say(message, &format!("{id}/large"), reply) {
                    return Err(true);
                }
                if message.media.len() == 1 {
                    return Err(false);
                }
                files.failed.push("a file is too large".to_owned());
            }
            // The next start tries again.
            Err(_) if cancel.reason() == Some(CancelReason::Shutdown) => return Err(true),
            Err(DownloadError::Failed(text) | DownloadError::Gone(text)) => {
                log::warn!(target: "gateway/channels", "a file of a message is missing: {text}");
                files.failed.push(text);
            }
        }
    }
    Ok(files)
}

fn try_to_fetch(
    chat: &Chat<'_>,
    file: &MediaRef,
    bytes_max: u64,
    cancel: &CancelToken,
) -> Result<Download, DownloadError> {
    if file.size_bytes.is_some_and(|size| size > bytes_max) {
        return Err(DownloadError::TooLarge);
    }
    let mut attempt = 1;
    loop {
        match chat.channel.download(chat.at, chat.account, file, bytes_max, cancel) {
            Err(DownloadError::Failed(text)) if attempt < ATTEMPTS => {
                log::debug!(target: "gateway/channels", "a file is tried again: {text}");
                if !cancel.sleep(PAUSE * attempt) {
                    return Err(DownloadError::Failed(text));
                }
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn keep(chat: &Chat<'_>, download: Download, file: &MediaRef, files: &mut Files) {
    let name = download.name.as_deref().or(file.name.as_deref());
    let mime = media::mime_of(&download.bytes, download.mime.as_deref().or(file.mime.as_deref()), name);
    let (paths, rng) = (chat.at.paths, &*chat.cx.rng);
    let place = match media::save(paths, media::INBOUND, rng, &download.bytes, mime.as_deref(), file.name.as_deref()) {
        Ok(path) => {
            files.saved.push((path.display().to_string(), mime.clone()));
            Some(files.saved.len() - 1)
        }
        Err(error) => {
            log::error!(target: "gateway/channels", "a received file cannot be kept: {error}");
            files.failed.push("it could not be written to the disk".to_owned());
            None
        }
    };
    let is_picture = mime.as_deref().is_some_and(is_shown);
    if is_picture && download.bytes.len() <= IMAGE_BYTES_MAX {
        let data = STANDARD.encode(&download.bytes);
        files.images.push((place, Block::Image { data, mime_type: mime.unwrap_or_default() }));
    }
}
