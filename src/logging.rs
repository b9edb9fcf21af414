//! Logging: one `log` backend that writes JSON lines to the day's file and short lines to the console.
//!
//! A record's target is its subsystem (`gateway/ws`). Owns the open log file behind one lock; writes happen on the
//! thread that logs. Secrets are masked on the way in ([`redact`]). Not here: what is logged.

pub mod console;
pub mod file;
pub mod redact;
pub mod tail;

use std::path::PathBuf;
use std::sync::{OnceLock, RwLock};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::base::clock::{Clock as _, SystemClock};
use console::Style;
use file::FileLog;

/// What the configuration and the command line say about logging.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the file log goes.
    pub file: file::Destination,
    /// Minimum severity of the file.
    pub file_level: LevelFilter,
    /// Minimum severity of the console.
    pub console_level: LevelFilter,
    /// Look of the console.
    pub style: Style,
    /// Patterns that replace the built-in ones; `None` keeps those.
    pub redact_patterns: Option<Vec<String>>,
    /// Whether secrets are masked.
    pub is_redacting: bool,
}

struct Backend {
    settings: RwLock<Settings>,
    /// Honours RUST_LOG for the console, when it is set.
    filter: Option<env_logger::Logger>,
    file: FileLog,
}

static BACKEND: OnceLock<Backend> = OnceLock::new();

/// Installs the backend, or gives an installed one new settings.
pub fn init(settings: Settings) {
    redact::set_patterns(settings.is_redacting, settings.redact_patterns.clone());
    if let Some(backend) = BACKEND.get() {
        log::set_max_level(backend.max_level(&settings));
        *backend.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner) = settings;
        return;
    }
    let filter = std::env::var_os("RUST_LOG").map(|_| env_logger::Builder::from_default_env().build());
    let backend = Backend { settings: RwLock::new(settings.clone()), filter, file: FileLog::default() };
    if BACKEND.set(backend).is_ok()
        && let Some(backend) = BACKEND.get()
        && log::set_logger(backend).is_ok()
    {
        log::set_max_level(backend.max_level(&settings));
    }
}

/// Returns the file that is written now, if the backend is installed.
pub fn current_file() -> Option<PathBuf> {
    let backend = BACKEND.get()?;
    let settings = backend.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    Some(settings.file.path(SystemClock.now_ms()))
}

/// Parses a level of the configuration (`silent`, `fatal`, `error`, `warn`, `info`, `debug`, `trace`).
pub fn parse_level(text: Option<&str>) -> LevelFilter {
    match text {
        Some("silent") => LevelFilter::Off,
        Some("fatal" | "error") => LevelFilter::Error,
        Some("warn") => LevelFilter::Warn,
        Some("debug") => LevelFilter::Debug,
        Some("trace") => LevelFilter::Trace,
        _ => LevelFilter::Info,
    }
}

impl Log for Backend {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if is_foreign(metadata.target()) {
            return false;
        }
        let settings = self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        metadata.level() <= settings.file_level || self.is_on_console(metadata, &settings)
    }

    fn log(&self, record: &Record<'_>) {
        if is_foreign(record.target()) {
            return;
        }
        let settings = self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let to_file = record.level() <= settings.file_level;
        let to_console = self.is_on_console(record.metadata(), &settings);
        if !to_file && !to_console {
            return;
        }
        let now_ms = SystemClock.now_ms();
        let message = redact::redact(&record.args().to_string());
        if to_file {
            self.file.write(&settings.file, now_ms, record.level(), subsystem(record.target()), &message);
        }
        if to_console {
            console::write(settings.style, now_ms, record.level(), subsystem(record.target()), &message);
        }
    }

    fn flush(&self) {
        self.file.flush();
    }
}

impl Backend {
    /// Returns the level beyond which nobody reads: such records then cost one comparison where they are made.
    fn max_level(&self, settings: &Settings) -> LevelFilter {
        let console = self.filter.as_ref().map_or(settings.console_level, env_logger::Logger::filter);
        settings.file_level.max(console)
    }

    fn is_on_console(&self, metadata: &Metadata<'_>, settings: &Settings) -> bool {
        match &self.filter {
            Some(filter) => filter.enabled(metadata),
            None => metadata.level() <= settings.console_level,
        }
    }
}

/// Libraries log under module paths; this product's subsystems never hold `::`.
fn is_foreign(target: &str) -> bool {
    target.contains("::") && !target.starts_with("clawdbot")
        || matches!(target, "mio" | "notify" | "ureq" | "rustls" | "tungstenite")
}

fn subsystem(target: &str) -> &str {
    if target.starts_with("clawdbot") { "gateway" } else { target }
}

/// Name and id of a level as the original's log files carry them.
fn level_meta(level: Level) -> (u8, &'static str) {
    match level {
        Level::Trace => (1, "TRACE"),
        Level::Debug => (2, "DEBUG"),
        Level::Info => (3, "INFO"),
        Level::Warn => (4, "WARN"),
        Level::Error => (5, "ERROR"),
    }
}
