//! Files of messages: what kind they are, where received ones are kept, and how ones to be sent are got.
//!
//! The kind is read off the first bytes; names and headers are believed only when these say nothing. Received files lie
//! under `<state>/media/inbound` and stay. Any thread that may touch disk and network. Not here: the networks (`channels`).

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::cancel::CancelToken;
use crate::base::fs::{Durability, MODE_PRIVATE, create_dir_private, write_atomic};
use crate::base::rng::{Rng, uuid};
use crate::config::paths::Paths;
use crate::net::fetch::{Fetch, FetchError};

/// Directory of received files, within [`Paths::media_dir`].
pub const INBOUND: &str = "inbound";
/// Directory of files that are to be sent, within [`Paths::media_dir`], until that is done; whoever brought one
/// removes it then, and what is a day old goes by itself.
pub const OUTBOUND: &str = "outbound";
/// Characters of a received file's own name that are kept.
const NAME_CHARS_MAX: usize = 60;

/// Types with the extension of their files; the first extension of a type is the one that is written.
const TYPES: &[(&str, &str)] = &[
    ("image/jpeg", "jpg"),
    ("image/jpeg", "jpeg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/heic", "heic"),
    ("image/svg+xml", "svg"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("audio/ogg", "ogg"),
    ("audio/ogg", "oga"),
    ("audio/ogg", "opus"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/wav", "wav"),
    ("audio/flac", "flac"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/json", "json"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("text/csv", "csv"),
    ("text/html", "html"),
];

/// Kinds of file, which have caps of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A film.
    Video,
    /// Anything else.
    Document,
}

impl Kind {
    /// Returns the kind of a type.
    pub fn of(mime: &str) -> Self {
        match mime.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::Document,
        }
    }

    /// Returns how large a file of this kind may be that is sent, in bytes.
    pub const fn bytes_max(self) -> u64 {
        let megabytes = match self {
            Self::Image => 6,
            Self::Audio | Self::Video => 16,
            Self::Document => 100,
        };
        megabytes * 1024 * 1024
    }
}

/// A file to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its type.
    pub mime: String,
    /// Its name, when it has one.
    pub name: Option<String>,
}

/// Why a file is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// It is larger than it may be.
    TooLarge(String),
    /// It cannot be read or fetched; trying again may help only where a network is between.
    Failed {
        /// What happened.
        text: String,
        /// Whether a network was between.
        is_remote: bool,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(text) | Self::Failed { text, .. } => f.write_str(text),
        }
    }
}

/// Returns the type that the first bytes of a file tell.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "audio/wav",
        [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
        [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => "audio/mpeg",
        [b'f', b'L', b'a', b'C', ..] => "audio/flac",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "video/webm",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        [b'P', b'K', 3, 4, ..] => "application/zip",
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
            Some(b"M4A " | b"M4B ") => "audio/mp4",
            Some(b"heic" | b"heix" | b"mif1" | b"msf1") => "image/heic",
            Some(b"qt  ") => "video/quicktime",
            _ => "video/mp4",
        },
        _ => return None,
    })
}

/// Returns the type of a file: by its bytes, else as somebody says, else by its name.
pub fn mime_of(bytes: &[u8], said: Option<&str>, name: Option<&str>) -> Option<String> {
    let sniffed = sniff(bytes);
    let said = said.map(|said| said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let said = said.filter(|said| !said.is_empty() && said != "application/octet-stream");
    match (sniffed, &said) {
        // Office documents and the like are archives whose header knows better.
        (Some("application/zip"), Some(_)) => said,
        // Sound in a film's container.
        (Some("video/webm" | "video/mp4"), Some(said)) if said.starts_with("audio/") => Some(said.clone()),
        (Some(sniffed), _) => Some(sniffed.to_owned()),
        (None, Some(_)) => said,
        (None, None) => name.and_then(mime_of_name).map(str::to_owned),
    }
}

/// Returns the type that a file's name tells.
pub fn mime_of_name(name: &str) -> Option<&'static str> {
    let extension = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    TYPES.iter().find(|(_, known)| *known == extension).map(|(mime, _)| *mime)
}

/// Returns the extension of a type's files.
pub fn extension_of(mime: &str) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == mime).map(|(_, extension)| *extension)
}

/// Keeps a file in [`INBOUND`] or [`OUTBOUND`]; returns its path.
///
/// # Errors
/// Any I/O error.
pub fn save(
    paths: &Paths,
    place: &str,
    rng: &dyn Rng,
    bytes: &[u8],
    mime: Option<&str>,
    name: Option<&str>,
) -> io::Result<PathBuf> {
    let dir = paths.media_dir().join(place);
    create_dir_private(&dir)?;
    let own = name.map(Path::new);
    let stem = own.and_then(Path::file_stem).and_then(|stem| stem.to_str()).map(safe).filter(|stem| !stem.is_empty());
    let id = uuid(rng);
    let base = stem.map_or_else(|| id.clone(), |stem| format!("{stem}---{id}"));
    let own_extension = own.and_then(Path::extension).and_then(|it| it.to_str()).map(safe).filter(|it| !it.is_empty());
    let extension = mime.and_then(extension_of).map(str::to_owned).or(own_extension);
    let path = dir.join(extension.map_or_else(|| base.clone(), |extension| format!("{base}.{extension}")));
    write_atomic(&path, bytes, MODE_PRIVATE, Durability::Process)?;
    Ok(path)
}

/// Copies a file to [`OUTBOUND`], where it stays for as long as a message may be on its way, also over restarts; returns
/// its path.
///
/// # Errors
/// Any I/O error.
pub fn keep_for_sending(paths: &Paths, rng: &dyn Rng, file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().and_then(|name| name.to_str());
    save(paths, OUTBOUND, rng, &std::fs::read(file)?, None, name)
}

/// Keeps of a name what is safe in every file system.
fn safe(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' });
    kept.take(NAME_CHARS_MAX).collect::<String>().trim_matches(['.', '_']).to_owned()
}

/// Gets a file that is to be sent: `http(s)://`, `file://`, `~/…` or a path. It may be as large as any kind; whether it is
/// too large for its own is for whoever sends it, who may send it as another.
///
/// # Errors
/// See [`LoadError`].
pub fn load(paths: &Paths, source: &str, cancel: &CancelToken) -> Result<Loaded, LoadError> {
    let source = source.trim();
    let most = Kind::Document.bytes_max();
    let (bytes, said, name) = if source.starts_with("http://") || source.starts_with("https://") {
        fetch(source, most, cancel)?
    } else {
        let path = local(paths, source);
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        (read(&path, most)?, None, name)
    };
    let mime =
        mime_of(&bytes, said.as_deref(), name.as_deref()).unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(Loaded { bytes, mime, name })
}

/// Returns where a file of this host is that is named `file://…`, `~/…` or by its path.
pub fn local(paths: &Paths, source: &str) -> PathBuf {
    let source = source.trim();
    paths.expand(source.strip_prefix("file://").unwrap_or(source))
}

/// Says that a file is too large.
pub fn too_large(mime: &str, bytes_max: u64, size: Option<u64>) -> String {
    let megabytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let what = if mime == "image/gif" { "GIF" } else { "Media" };
    let got = size.map(|size| format!(" (got {:.2}MB)", megabytes(size))).unwrap_or_default();
    format!("{what} exceeds {:.0}MB limit{got}", megabytes(bytes_max))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let failed =
        |error: io::Error| LoadError::Failed { text: format!("{}: {error}", path.display()), is_remote: false };
    let file = std::fs::File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(failed(io::Error::other("not a file")));
    }
    if meta.len() > most {
        return Err(LoadError::TooLarge(too_large("", most, Some(meta.len()))));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

type Fetched = (Vec<u8>, Option<String>, Option<String>);

fn fetch(url: &str, most: u64, cancel: &CancelToken) -> Result<Fetched, LoadError> {
    let failed = |text: String| LoadError::Failed { text, is_remote: true };
    let fetch = Fetch::new(cancel);
    let shown = |error: FetchError| match error {
        FetchError::Cancelled => "it was stopped".to_owned(),
        FetchError::Failed(text) => text,
    };
    let answer = fetch.get(url, &[]).map_err(|error| failed(format!("Failed to fetch media: {}", shown(error))))?;
    if !(200..300).contains(&answer.status) {
        return Err(failed(format!("Failed to fetch media: HTTP {}", answer.status)));
    }
    let said = Some(answer.content_type.clone()).filter(|said| !said.is_empty());
    let mut bytes = Vec::new();
    let read = answer.body.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(format!("Failed to fetch media: {}", shown(fetch.read_failure(&error)))))?;
    if bytes.len() as u64 > most {
        return Err(LoadError::TooLarge(too_large("", most, None)));
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().filter(|name| name.contains('.') && !path.ends_with(&format!("//{name}")));
    Ok((bytes, said, name.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;

    #[test]
    fn kinds() {
        for (bytes, said, name, expected) in [
            (&b"\x89PNG\r\n"[..], Some("image/jpeg"), None, Some("image/png")),
            (b"PK\x03\x04", Some("application/vnd.x"), None, Some("application/vnd.x")),
            (b"\x00\x00\x00\x20ftypM4A ", None, None, Some("audio/mp4")),
            (b"hello", Some("text/plain; charset=utf-8"), None, Some("text/plain")),
            (b"hello", Some("application/octet-stream"), Some("a.MD"), Some("text/markdown")),
            (b"hello", None, Some("a"), None),
        ] {
            assert_eq!(mime_of(bytes, said, name).as_deref(), expected);
        }
        assert_eq!((Kind::of("image/png"), Kind::of("text/plain")), (Kind::Image, Kind::Document));
    }

    #[test]
    fn files_are_kept_and_loaded_within_caps() {
        let dir = TempDir::new("media");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let rng = SeededRng::new(1);
        let kept = save(&paths, INBOUND, &rng, b"\x89PNG", Some("image/png"), Some("../my photo.jpeg")).expect("save");
        let name = kept.file_name().and_then(|name| name.to_str()).expect("name");
        assert!(name.starts_with("my_photo---") && name.ends_with(".png"), "{name}");
        assert_eq!(kept.parent(), Some(paths.state_dir.join("media/inbound").as_path()));
        let token = CancelToken::new();
        let source = format!("file://{}", kept.display());
        let loaded = load(&paths, &source, &token).expect("load");
        assert_eq!((loaded.mime.as_str(), loaded.bytes.len()), ("image/png", 4));
        let huge = dir.path().join("huge");
        let file = std::fs::File::create(&huge).expect("create");
        file.set_len(Kind::Document.bytes_max() + 1).expect("a hole");
        let huge = load(&paths, &huge.display().to_string(), &token);
        assert!(matches!(huge, Err(LoadError::TooLarge(_))), "{huge:?}");
        assert!(matches!(load(&paths, "/nope", &token), Err(LoadError::Failed { is_remote: false, .. })));
        assert!(load(&paths, &home, &token).is_err(), "a directory is no file");
        assert_eq!(too_large("image/gif", 6 << 20, Some(7 << 20)), "GIF exceeds 6MB limit (got 7.00MB)");
    }
}
