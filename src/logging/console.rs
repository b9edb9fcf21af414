//! The console log: short lines for people, or JSON (cli.md §23.2).

use std::io::{IsTerminal as _, Write as _};

use log::Level;
use serde_json::json;

use crate::base::clock::{UnixMs, iso_utc, local_time};

/// How console lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `HH:MM:SS [subsystem] message`, coloured when `colour` is set.
    Pretty {
        /// Whether escape sequences are written.
        colour: bool,
    },
    /// `<ISO time> [subsystem] message`.
    Compact,
    /// One JSON object per line.
    Json,
}

impl Style {
    /// Returns the style that the configuration names, else the one for this terminal.
    pub fn choose(configured: Option<&str>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let colour =
            std::env::var_os("NO_COLOR").is_none() && (is_terminal || std::env::var_os("FORCE_COLOR").is_some());
        match configured {
            Some("json") => Self::Json,
            Some("compact") => Self::Compact,
            Some("pretty") => Self::Pretty { colour },
            _ if is_terminal => Self::Pretty { colour },
            _ => Self::Compact,
        }
    }
}

/// Writes one record: warnings and errors to stderr, the rest to stdout.
pub fn write(style: Style, now_ms: UnixMs, level: Level, subsystem: &str, message: &str) {
    let line = format_line(style, now_ms, level, subsystem, message);
    // A closed console must not stop the gateway; the file log has the line.
    let _ = if level <= Level::Warn {
        std::io::stderr().lock().write_all(line.as_bytes())
    } else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
    };
}

fn format_line(style: Style, now_ms: UnixMs, level: Level, subsystem: &str, message: &str) -> String {
    let shown = shown_subsystem(subsystem);
    // "gateway: started" under subsystem gateway would say it twice.
    let message = message.strip_prefix(&format!("{shown}: ")).unwrap_or(message);
    match style {
        Style::Json => {
            let name = level.as_str().to_ascii_lowercase();
            let line = json!({"time": iso_utc(now_ms), "level": name, "subsystem": subsystem, "message": message});
            format!("{line}\n")
        }
        Style::Compact => format!("{} [{shown}] {message}\n", iso_utc(now_ms)),
        Style::Pretty { colour: false } => format!("{} [{shown}] {message}\n", local_time(now_ms)),
        Style::Pretty { colour: true } => {
            let code = match level {
                Level::Error => "31",
                Level::Warn => "33",
                Level::Info => "36",
                Level::Debug | Level::Trace => "90",
            };
            format!("\x1b[90m{}\x1b[0m \x1b[{code}m[{shown}]\x1b[0m {message}\n", local_time(now_ms))
        }
    }
}

/// `gateway/channels/telegram` → `telegram`, `gateway/ws` → `ws`, `agent/embedded` → `agent/embedded`.
fn shown_subsystem(subsystem: &str) -> &str {
    let mut rest = subsystem;
    while let Some((first, behind)) = rest.split_once('/') {
        if !matches!(first, "gateway" | "channels" | "providers") {
            break;
        }
        rest = behind;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let compact = format_line(Style::Compact, 0, Level::Info, "gateway/ws", "hi");
        assert_eq!(compact, "1970-01-01T00:00:00.000Z [ws] hi\n");
        assert_eq!(shown_subsystem("gateway"), "gateway");
        assert_eq!(shown_subsystem("gateway/channels/telegram"), "telegram");
        assert_eq!(shown_subsystem("agent/embedded"), "agent/embedded");
        assert!(format_line(Style::Compact, 0, Level::Info, "gateway", "gateway: up").ends_with("[gateway] up\n"));
    }
}
