//! PDF files: their text, and pictures of their pages where there is little of it, by the programs of poppler where these
//! are installed (http.md §3.4).
//!
//! Nothing of a PDF is read in this process: such files are written by strangers. Runs on a job's thread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::agent::message::Block;
use crate::base::cancel::CancelToken;
use crate::base::fs::{Durability, write_atomic};
use crate::base::process::{self, Ended, Keep};
use crate::base::rng::{SystemRng, uuid};
use crate::config::types::http::PdfRules;

/// Its media type.
pub const MIME: &str = "application/pdf";
const PAGES_DEFAULT: usize = 4;
const PIXELS_DEFAULT: usize = 4_000_000;
const TEXT_CHARS_DEFAULT: usize = 200;
/// For each program.
const WITHIN: Duration = Duration::from_secs(30);
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest picture of a page that is taken.
const PAGE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// What was read.
pub struct Read {
    /// Text of the pages.
    pub text: String,
    /// The pages as pictures, where the text is too short to be all of it.
    pub pages: Vec<Block>,
}

/// Reads a file.
///
/// # Errors
/// What the client must know.
pub fn read(bytes: &[u8], rules: &PdfRules, cancel: &CancelToken) -> Result<Read, String> {
    let Some(to_text) = process::find_program("pdftotext") else {
        return Err("Error: PDF files need pdftotext on the gateway's host (package poppler-utils)".to_owned());
    };
    let place = Place::new().map_err(|error| format!("Error: PDF: {error}"))?;
    let file = place.0.join("a.pdf");
    write_atomic(&file, bytes, 0o600, Durability::Process).map_err(|error| format!("Error: PDF: {error}"))?;
    let pages_max = rules.max_pages.unwrap_or(PAGES_DEFAULT).max(1).to_string();
    let mut command = Command::new(to_text);
    command.args(["-q", "-l", &pages_max, "-enc", "UTF-8"]).arg(&file).arg("-");
    let text = finished(command, cancel)?;
    // A form feed ends each page.
    let text = text.split('\u{c}').map(str::trim).filter(|page| !page.is_empty()).collect::<Vec<_>>().join("\n\n");
    if text.chars().count() >= rules.min_text_chars.unwrap_or(TEXT_CHARS_DEFAULT) {
        return Ok(Read { text, pages: Vec::new() });
    }
    let pages = pictures(&place.0, &file, &pages_max, rules, cancel)?;
    let is_only_pictures = text.is_empty() && !pages.is_empty();
    let text = if is_only_pictures { "[PDF content rendered to images]".to_owned() } else { text };
    Ok(Read { text, pages })
}

fn pictures(
    place: &Path,
    file: &Path,
    pages_max: &str,
    rules: &PdfRules,
    cancel: &CancelToken,
) -> Result<Vec<Block>, String> {
    let Some(to_png) = process::find_program("pdftoppm") else {
        log::warn!(target: "gateway/http", "pages of a PDF cannot be shown: pdftoppm is not installed");
        return Ok(Vec::new());
    };
    let side = (rules.max_pixels.unwrap_or(PIXELS_DEFAULT) as f64).sqrt().max(1.0) as usize;
    let mut command = Command::new(to_png);
    command.args(["-q", "-png", "-l", pages_max, "-scale-to", &side.to_string()]).arg(file).arg(place.join("page"));
    finished(command, cancel)?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .collect();
    found.sort();
    let mut pages = Vec::new();
    for path in found {
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= PAGE_BYTES_MAX)
            && let Ok(bytes) = std::fs::read(&path)
        {
            pages.push(Block::Image { data: STANDARD.encode(bytes), mime_type: "image/png".to_owned() });
        }
    }
    Ok(pages)
}

fn finished(mut command: Command, cancel: &CancelToken) -> Result<String, String> {
    // Nothing of the gateway's environment is its business.
    command.env_clear();
    let captured = process::capture(command, Some(WITHIN), Keep::First(TEXT_BYTES_MAX), cancel);
    match captured {
        Ok(captured) if captured.ended == Ended::Exited(0) => Ok(captured.stdout),
        Ok(captured) => Err(format!("Error: this PDF cannot be read: {}", captured.stderr.trim())),
        Err(error) => Err(format!("Error: this PDF cannot be read: {error}")),
    }
}

/// A directory of its own, gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let name = format!("clawdbot-pdf-{}", uuid(&SystemRng));
        let path = std::env::temp_dir().join(name);
        crate::base::fs::create_dir_private(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!(target: "gateway/http", "cannot remove {}: {error}", self.0.display());
        }
    }
}
