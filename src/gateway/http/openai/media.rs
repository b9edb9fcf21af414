//! Images and files that come with a request: read or fetched, judged, and made part of the turn (http.md §3.4–3.5).
//!
//! What must be fetched is fetched by a job, from public addresses alone, each redirection judged again. Failures are the
//! client's to mend and say how. Not here: how requests name them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::exchange::{Exchange, Request};
use super::super::{later, reply};
use super::pdf;
use super::turn::Turn;
use crate::agent::message::Block;
use crate::agent::tools::join_url;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::config::types::Config;
use crate::config::types::http::MediaRules;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;
use crate::net::public::{self, Judge, PublicError};

const MIB: usize = 1024 * 1024;
const IMAGE_BYTES_DEFAULT: usize = 10 * MIB;
const FILE_BYTES_DEFAULT: usize = 5 * MIB;
const FILE_CHARS_DEFAULT: usize = 200_000;
const REDIRECTS_DEFAULT: usize = 3;
const FETCH_MS_DEFAULT: u64 = 10_000;
/// Pictures that models read.
pub const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const FILE_TYPES: [&str; 6] =
    ["text/plain", "text/markdown", "text/html", "text/csv", "application/json", "application/pdf"];
/// Most images and files of one request.
const WANTED_MAX: usize = 64;

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At this URL.
    Url(String),
    /// Here, as base64.
    Data {
        /// As the client says.
        media_type: String,
        /// The bytes.
        base64: String,
    },
}

impl Source {
    /// Takes a data URL apart; any other stays one.
    pub fn of_url(url: &str) -> Self {
        match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((media_type, base64)) => Self::Data { media_type: media_type.to_owned(), base64: base64.to_owned() },
            None => Self::Url(url.to_owned()),
        }
    }
}

/// One thing that comes with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A picture for the model.
    Image(Source),
    /// A document whose text is for the model.
    File {
        /// Where it is.
        source: Source,
        /// Its name.
        name: String,
    },
}

impl Wanted {
    /// Returns whether it is a picture.
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Image(_))
    }

    /// Returns whether reading it takes its time: it is somewhere else, or another program reads it.
    fn is_slow(&self) -> bool {
        match self {
            Self::Image(source) | Self::File { source, .. } => match source {
                Source::Url(_) => true,
                Source::Data { media_type, .. } => mime(media_type) == pdf::MIME,
            },
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Media {
    images: Vec<Block>,
    /// Texts of files, marked with their names.
    contexts: Vec<String>,
}

impl Media {
    /// Makes it part of a turn.
    pub fn add_to(self, turn: &mut Turn) {
        turn.images.extend(self.images);
        if !self.contexts.is_empty() {
            let files = self.contexts.join("\n\n");
            turn.instructions = Some(match turn.instructions.take() {
                Some(before) => format!("{before}\n\n{files}"),
                None => files,
            });
        }
    }
}

/// How an API reads a request: what is asked and what it wants got before, or the answer that refuses it.
type Read<A> = fn(&Arc<Ctx>, &Request) -> Result<(A, Vec<Wanted>), Response>;

/// Serves a request for a run: reads it, gets what it wants, and has the run asked for.
pub fn serve<A: Send + 'static>(
    cx: &Arc<Ctx>,
    request: Request,
    exchange: Exchange,
    read: Read<A>,
    ask: fn(&Arc<Ctx>, A, Media, Exchange),
) {
    let (asked, wanted) = match read(cx, &request) {
        Ok(read) => read,
        Err(response) => return exchange.respond(&response),
    };
    // Its body may be large.
    drop(request);
    let turn_cx = cx.clone();
    with(cx, wanted, exchange, move |exchange, media| ask(&turn_cx, asked, media, exchange));
}

/// Gets what is wanted and goes on with it, here or on a job's thread; what cannot be had is answered.
fn with(cx: &Arc<Ctx>, wanted: Vec<Wanted>, exchange: Exchange, then: impl FnOnce(Exchange, Media) + Send + 'static) {
    let config = cx.config.get();
    let cancel = CancelToken::new();
    let is_slow = wanted.iter().any(Wanted::is_slow);
    let (token, flow) = (cancel.clone(), exchange.flow());
    let go = move || match collect(&config, &wanted, &token, public::is_public) {
        Ok(media) => then(exchange, media),
        Err(error) => exchange.respond(&reply::invalid_request(error)),
    };
    if !is_slow {
        return go();
    }
    flow.on_gone(move || cancel.cancel(CancelReason::Aborted));
    later(cx, "a request with media was not served", go);
}

/// Gets everything, in order.
fn collect(config: &Config, wanted: &[Wanted], cancel: &CancelToken, judge: Judge) -> Result<Media, String> {
    let rules = &config.gateway.http.endpoints.responses;
    if wanted.len() > WANTED_MAX {
        return Err(format!("Error: too many images and files: {} (limit: {WANTED_MAX})", wanted.len()));
    }
    let mut media = Media::default();
    for wanted in wanted {
        match wanted {
            Wanted::Image(source) => media.images.push(image(&rules.images, source, cancel, judge)?),
            Wanted::File { source, name } => file(&rules.files, source, name, cancel, judge, &mut media)?,
        }
    }
    Ok(media)
}

fn image(rules: &MediaRules, source: &Source, cancel: &CancelToken, judge: Judge) -> Result<Block, String> {
    let bytes_max = rules.max_bytes.unwrap_or(IMAGE_BYTES_DEFAULT);
    let (kind, data) = match source {
        Source::Data { media_type, base64 } => {
            let kind = if media_type.trim().is_empty() { "image/png".to_owned() } else { mime(media_type) };
            refuse_type(rules, &IMAGE_TYPES, &kind, "image", "")?;
            let bytes = decode(base64, "Image", bytes_max)?;
            (kind, STANDARD.encode(bytes))
        }
        Source::Url(url) => {
            if rules.allow_url == Some(false) {
                return Err("Error: input_image URL sources are disabled by config".to_owned());
            }
            let (kind, bytes) = fetch(url, rules, bytes_max, cancel, judge)?;
            let kind = mime(&kind);
            refuse_type(rules, &IMAGE_TYPES, &kind, "image", " from URL")?;
            (kind, STANDARD.encode(bytes))
        }
    };
    Ok(Block::Image { data, mime_type: kind })
}

fn file(
    rules: &MediaRules,
    source: &Source,
    name: &str,
    cancel: &CancelToken,
    judge: Judge,
    media: &mut Media,
) -> Result<(), String> {
    let bytes_max = rules.max_bytes.unwrap_or(FILE_BYTES_DEFAULT);
    let (kind, bytes) = match source {
        Source::Data { media_type, base64 } => (media_type.clone(), decode(base64, "File", bytes_max)?),
        Source::Url(_) if rules.allow_url == Some(false) => {
            return Err("Error: input_file URL sources are disabled by config".to_owned());
        }
        Source::Url(url) => fetch(url, rules, bytes_max, cancel, judge)?,
    };
    let charset = kind.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset=").map(str::to_owned));
    let kind = mime(&kind);
    if kind.is_empty() {
        return Err("Error: input_file missing media type".to_owned());
    }
    refuse_type(rules, &FILE_TYPES, &kind, "file", "")?;
    let text = if kind == pdf::MIME {
        let read = pdf::read(&bytes, &rules.pdf, cancel)?;
        media.images.extend(read.pages);
        read.text
    } else {
        decoded(&bytes, charset.as_deref())
    };
    let text: String = text.chars().take(rules.max_chars.unwrap_or(FILE_CHARS_DEFAULT)).collect();
    if !text.trim().is_empty() {
        media.contexts.push(format!("<file name=\"{}\">\n{text}\n</file>", escaped(name)));
    }
    Ok(())
}

/// Text as its sender wrote it: UTF-8, or Latin-1 where that is said.
fn decoded(bytes: &[u8], charset: Option<&str>) -> String {
    let charset = charset.map(|name| name.trim_matches('"').to_ascii_lowercase());
    match charset.as_deref() {
        Some("iso-8859-1" | "latin1" | "windows-1252" | "us-ascii") => bytes.iter().map(|&byte| byte as char).collect(),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// A name that cannot end the mark it stands in.
fn escaped(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A media type without parameters, in lower case.
fn mime(given: &str) -> String {
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn refuse_type(rules: &MediaRules, built_in: &[&str], kind: &str, what: &str, whence: &str) -> Result<(), String> {
    let own: Vec<String> = rules.allowed_mimes.iter().map(|kind| mime(kind)).filter(|kind| !kind.is_empty()).collect();
    let is_allowed = if own.is_empty() { built_in.contains(&kind) } else { own.iter().any(|allowed| allowed == kind) };
    if is_allowed { Ok(()) } else { Err(format!("Error: Unsupported {what} MIME type{whence}: {kind}")) }
}

fn decode(base64: &str, what: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let plain: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(plain).map_err(|_| format!("Error: {what} is not valid base64"))?;
    refuse_size(what, bytes.len(), bytes_max)?;
    Ok(bytes)
}

fn refuse_size(what: &str, bytes: usize, bytes_max: usize) -> Result<(), String> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(format!("Error: {what} too large: {bytes} bytes (limit: {bytes_max} bytes)"))
}

/// Gets a document from a public address; returns its type as sent, and its bytes.
fn fetch(
    url: &str,
    rules: &MediaRules,
    bytes_max: usize,
    cancel: &CancelToken,
    judge: Judge,
) -> Result<(String, Vec<u8>), String> {
    let redirects = rules.max_redirects.unwrap_or(REDIRECTS_DEFAULT);
    let until = Instant::now() + Duration::from_millis(rules.timeout_ms.unwrap_or(FETCH_MS_DEFAULT));
    let headers = [("user-agent", "Clawdbot-Gateway/1.0")];
    let mut here = url.to_owned();
    for _ in 0..=redirects {
        let scheme = here.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(format!("Error: Invalid URL protocol: {scheme}:. Only HTTP/HTTPS allowed."));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("Error: Failed to fetch: no answer in time".to_owned());
        }
        let answer =
            public::get(&here, &headers, left, bytes_max + 1, cancel, judge).map_err(|error| failure(&here, &error))?;
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            if !(200..300).contains(&answer.status) {
                return Err(format!("Error: Failed to fetch: {}", answer.status));
            }
            refuse_size("Content", answer.body.len(), bytes_max)?;
            let kind = if answer.content_type.is_empty() {
                "application/octet-stream".to_owned()
            } else {
                answer.content_type
            };
            return Ok((kind, answer.body));
        }
        let location = answer.location.ok_or(format!("Error: Redirect missing location header ({})", answer.status))?;
        here = join_url(&here, &location);
    }
    Err(format!("Error: Too many redirects (limit: {redirects})"))
}

fn failure(url: &str, error: &PublicError) -> String {
    let host = || {
        let authority =
            url.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        crate::gateway::auth::host_name(host).trim_end_matches('.').to_ascii_lowercase()
    };
    match error {
        PublicError::Invalid => "Error: Invalid URL".to_owned(),
        PublicError::Blocked(what) if what.contains("name") => {
            format!("SsrFBlockedError: Blocked hostname: {}", host())
        }
        PublicError::Blocked(what) if public::literal(&host()).is_some() => {
            format!("SsrFBlockedError: Blocked: {what}")
        }
        PublicError::Blocked(what) => format!("SsrFBlockedError: Blocked: resolves to {what}"),
        PublicError::Cancelled => "Error: the client went away".to_owned(),
        PublicError::Failed(error) if error.contains("cannot be resolved") => {
            format!("Error: Unable to resolve hostname: {}", host())
        }
        PublicError::Failed(error) => format!("Error: Failed to fetch: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(media_type: &str, bytes: &[u8]) -> Source {
        Source::Data { media_type: media_type.to_owned(), base64: STANDARD.encode(bytes) }
    }

    fn collected(config: serde_json::Value, wanted: &[Wanted]) -> Result<(usize, String), String> {
        let responses = json!({"gateway": {"http": {"endpoints": {"responses": config}}}});
        let config: Config = serde_json::from_value(responses).expect("configuration");
        // Nothing of this machine's network may be reached.
        collect(&config, wanted, &CancelToken::new(), public::is_public)
            .map(|media| (media.images.len(), media.contexts.join("|")))
    }

    #[test]
    fn what_is_here_is_judged() {
        let file = |kind: &str, bytes: &[u8]| Wanted::File { source: data(kind, bytes), name: "a\"<b>".into() };
        let image = |kind: &str| Wanted::Image(data(kind, b"abc"));
        let check = |config, wanted, expected: Result<(usize, &str), &str>| {
            let expected = expected.map(|(images, text)| (images, text.to_owned())).map_err(str::to_owned);
            assert_eq!(collected(config, &[wanted]), expected);
        };
        check(json!({}), image("image/PNG"), Ok((1, "")));
        check(json!({}), image("image/heic"), Err("Error: Unsupported image MIME type: image/heic"));
        check(
            json!({"images": {"maxBytes": 2}}),
            image("image/png"),
            Err("Error: Image too large: 3 bytes (limit: 2 bytes)"),
        );
        check(
            json!({}),
            file("text/plain; charset=latin1", b"\xe9"),
            Ok((0, "<file name=\"a&quot;&lt;b&gt;\">\n\u{e9}\n</file>")),
        );
        check(
            json!({"files": {"maxChars": 2}}),
            file("text/csv", b"abc"),
            Ok((0, "<file name=\"a&quot;&lt;b&gt;\">\nab\n</file>")),
        );
        check(json!({}), file("text/plain", b" \n"), Ok((0, "")));
        check(json!({}), file("", b"x"), Err("Error: input_file missing media type"));
        check(json!({}), file("application/zip", b"x"), Err("Error: Unsupported file MIME type: application/zip"));
        check(
            json!({"files": {"allowedMimes": [" Application/ZIP;x "]}}),
            file("application/zip", b"x"),
            Ok((0, "<file name=\"a&quot;&lt;b&gt;\">\nx\n</file>")),
        );
    }

    #[test]
    fn nothing_inside_is_fetched() {
        for (url, error) in [
            ("http://127.0.0.1:1/x", "SsrFBlockedError: Blocked: private/internal IP address"),
            ("http://[::ffff:10.0.0.1]/", "SsrFBlockedError: Blocked: private/internal IP address"),
            ("http://2130706433/", "SsrFBlockedError: Blocked: private/internal IP address"),
            ("http://a@localhost./x", "SsrFBlockedError: Blocked hostname: localhost"),
            ("http://foo.local/", "SsrFBlockedError: Blocked hostname: foo.local"),
            ("ftp://example.com/x", "Error: Invalid URL protocol: ftp:. Only HTTP/HTTPS allowed."),
            ("file:///etc/passwd", "Error: Invalid URL protocol: file:. Only HTTP/HTTPS allowed."),
        ] {
            let wanted = [Wanted::Image(Source::Url(url.to_owned()))];
            assert_eq!(collected(json!({}), &wanted), Err(error.to_owned()), "{url}");
            let off = collected(json!({"images": {"allowUrl": false}}), &wanted);
            assert_eq!(off, Err("Error: input_image URL sources are disabled by config".to_owned()));
        }
    }
}
