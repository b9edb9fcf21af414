//! A file below a root, for a path that a stranger wrote: never a byte from outside, whatever the path says.
//!
//! A path is decoded once; no segment may climb; links count as missing, and what was opened must lie in the root still.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Largest page that gets a script put into it; a longer one is served as it is.
const HTML_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    /// A page.
    Html(Vec<u8>),
    /// A file of this type.
    File(&'static str, File, Metadata),
    /// A part of the program.
    Static(&'static str, &'static [u8]),
    /// Nothing.
    Missing,
    /// No page, where one would be; the text says what to do.
    MissingPage(String),
    /// It is no path.
    Malformed,
    /// A WebSocket is wanted here.
    Upgrade,
}

/// Types by extension; everything else is bytes.
const TYPES: &[(&str, &str)] = &[
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("ico", "image/x-icon"),
    ("svg", "image/svg+xml"),
    ("pdf", "application/pdf"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tar", "application/x-tar"),
    ("7z", "application/x-7z-compressed"),
    ("rar", "application/vnd.rar"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    // Beyond the original, which calls these bytes: web views want to know.
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("css", "text/css"),
    ("wasm", "application/wasm"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
];

/// Finds what the rest of a path leads to; pages are files like others unless `reads_pages`.
pub fn find(root: &Path, rest: &str, reads_pages: bool) -> Found {
    let Some(decoded) = decoded(rest) else { return Found::Malformed };
    let Some(mut path) = inside(root, &decoded) else { return Found::Missing };
    let is_directory = path.is_dir();
    if is_directory {
        path.push("index.html");
    }
    let wants_page = decoded.is_empty() || decoded.ends_with('/');
    if wants_page && !is_directory {
        return Found::MissingPage(String::new());
    }
    match open(root, &path) {
        Ok((file, meta)) if reads_pages && is_html(&path) && meta.len() <= HTML_BYTES_MAX => match read(file) {
            Ok(html) => Found::Html(html),
            Err(_) => Found::Missing,
        },
        Ok((file, meta)) => Found::File(kind_of(&path), file, meta),
        Err(_) if wants_page => Found::MissingPage(String::new()),
        Err(_) => Found::Missing,
    }
}

/// Decodes `%41`, once; `None` for half a code, for what is no text, and for a zero byte.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| (byte as char).to_digit(16));
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// Returns the path below the root; `None` when a segment climbs.
fn inside(root: &Path, decoded: &str) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => return None,
            segment => path.push(segment),
        }
    }
    Some(path)
}

/// Opens a plain file that lies in the root on a way without links.
fn open(root: &Path, path: &Path) -> io::Result<(File, Metadata)> {
    let outside = || io::Error::from(io::ErrorKind::NotFound);
    if path.canonicalize()? != path {
        return Err(outside());
    }
    // Neither a link that is put there now nor a pipe without a writer is waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(outside());
    }
    // A directory on the way may have become a link since: what was opened says where it is.
    if let Ok(place) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        && !place.starts_with(root)
    {
        return Err(outside());
    }
    Ok((file, meta))
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(HTML_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn is_html(path: &Path) -> bool {
    matches!(extension(path).as_str(), "html" | "htm")
}

fn kind_of(path: &Path) -> &'static str {
    let extension = extension(path);
    if is_html(path) {
        return "text/html; charset=utf-8";
    }
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, kind)| kind)
}

/// A text that is no markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree(PathBuf);

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nothing_outside_is_reached() {
        let base = std::env::temp_dir().join(format!("clawdbot-canvas-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        let root = base.join("tree");
        std::fs::create_dir_all(root.join("sub dir")).expect("directories");
        let root = root.canonicalize().expect("a path");
        let _tree = Tree(base.clone());
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("written");
        write(base.join("secret.txt"), "secret");
        write(root.join("a.txt"), "inside");
        write(root.join("sub dir/ä.css"), "inside");
        write(root.join("..%2f..odd"), "inside");
        symlink(base.join("secret.txt"), root.join("link.txt")).expect("link");
        symlink(&base, root.join("linkdir")).expect("link");
        symlink(root.join("a.txt"), root.join("near.txt")).expect("link");
        symlink(base.join("secret.txt"), root.join("index.html")).expect("link");

        let seen = |rest: &str| match find(&root, rest, true) {
            Found::File(kind, file, _) => {
                format!("{kind} {}", String::from_utf8(read(file).expect("bytes")).expect("text"))
            }
            Found::Missing => "missing".to_owned(),
            Found::MissingPage(_) => "no page".to_owned(),
            Found::Malformed => "malformed".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(seen("/a.txt"), "text/plain inside");
        assert_eq!(seen("/./sub%20dir//%C3%A4.css"), "text/css inside");
        assert_eq!(seen("/..%252f..odd"), "application/octet-stream inside", "decoded once");
        for missing in [
            "/../secret.txt",
            "/sub%20dir/../../secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e/secret.txt",
            "/%2e%2e%2fsecret.txt",
            "/.%2e/secret.txt",
            "/link.txt",
            "/near.txt",
            "/linkdir/secret.txt",
            "/linkdir/tree/a.txt",
            "/nothing",
            "//etc/passwd",
            "/a.txt/",
            "/a.txt/x",
            "/..\\secret.txt",
            "/%5c..%5csecret.txt",
            "/sub%20dir",
        ] {
            let found = seen(missing);
            assert!(found == "missing" || found == "no page", "{missing}: {found}");
        }
        for malformed in ["/%zz", "/%", "/%4", "/a%00.txt", "/%ff"] {
            assert_eq!(seen(malformed), "malformed", "{malformed}");
        }
        assert_eq!(seen("/"), "no page", "a link is no page either");
    }
}
