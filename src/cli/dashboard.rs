//! `dashboard`: the address of the Control UI, with the token that it needs.

use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use super::exit::Outcome;
use super::{Cli, Command, environment, output};
use crate::base::text::{percent_encoded, trimmed};
use crate::client::target::local_host;
use crate::config::paths::gateway_port;
use crate::config::types::Config;

/// open the Control UI in a browser, or say how to reach it
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Dashboard {
    /// print the address only
    #[argh(switch)]
    no_open: bool,
}

impl Command for Dashboard {
    fn run(self, cli: &Cli) -> Outcome {
        show(cli, !self.no_open);
        Ok(())
    }
}

/// Says where the page is, and opens it where that is wanted and possible.
pub(super) fn show(cli: &Cli, opens: bool) {
    let gateway = &cli.config().gateway;
    let port = gateway_port(None, cli.config());
    let token = gateway.auth.token.clone().or_else(|| environment::var("CLAWDBOT_GATEWAY_TOKEN"));
    let query = token.and_then(trimmed);
    let query = query.map(|token| format!("?token={}", percent_encoded(&token))).unwrap_or_default();
    let url = format!("{}{query}", page_url(cli.config(), port));
    output::line(&format!("Dashboard URL: {url}"));
    output::line(if copy(&url) { "Copied to clipboard." } else { "Copy to clipboard unavailable." });
    if !opens {
        output::line("Browser launch disabled (--no-open). Use the URL above.");
    } else if open(&url) {
        output::line("Opened in your browser. Keep that tab to control Clawdbot.");
    } else {
        let user = environment::var("USER").unwrap_or_else(|| "user".to_owned());
        output::line("No GUI detected. Open from your computer:");
        let (there, _) = local_host(cli.config());
        output::line(&format!("ssh -N -L {port}:{there}:{port} {user}@<host>"));
        output::line("Then open:");
        output::line(&format!("{}{query}", url_on("localhost", cli.config(), port)));
        output::line("Docs:");
        output::line("https://docs.clawd.bot/gateway/remote");
        output::line("https://docs.clawd.bot/web/control-ui");
    }
}

/// Returns the page's address on this machine, with a slash at its end.
pub(super) fn page_url(config: &Config, port: u16) -> String {
    url_on(&local_host(config).0.to_string(), config, port)
}

fn url_on(host: &str, config: &Config, port: u16) -> String {
    let scheme = if config.gateway.tls.enabled == Some(true) { "https" } else { "http" };
    format!("{scheme}://{host}:{port}{}/", base_path(config.gateway.control_ui.base_path.as_deref()))
}

/// Returns `/path` without a slash at the end; empty for the root.
fn base_path(configured: Option<&str>) -> String {
    let path = configured.unwrap_or_default().trim().trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}

fn has_display() -> bool {
    cfg!(target_os = "macos") || environment::var("DISPLAY").is_some() || environment::var("WAYLAND_DISPLAY").is_some()
}

/// Hands the address to the desktop's opener, which returns at once.
pub(super) fn open(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let is_remote = environment::var("SSH_CONNECTION").is_some();
    has_display()
        && !is_remote
        && Process::new(opener)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

fn copy(text: &str) -> bool {
    let tools: [&[&str]; 4] =
        [&["pbcopy"], &["wl-copy"], &["xclip", "-selection", "clipboard"], &["xsel", "--clipboard", "--input"]];
    // Without a display the tools of the desktop would only wait for one.
    has_display() && tools.iter().any(|tool| copy_with(tool, text))
}

fn copy_with(tool: &[&str], text: &str) -> bool {
    let [program, args @ ..] = tool else { return false };
    let child =
        Process::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
    child.wait().is_ok_and(|status| status.success()) && written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(percent_encoded("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!([base_path(None), base_path(Some("/ui/"))], [String::new(), "/ui".to_owned()]);
    }
}
