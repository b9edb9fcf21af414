//! `gateway status`: configuration, port and an RPC probe of this machine's gateway (cli.md §5).
//!
//! Not here yet: the service manager's view; the report says that no service is known.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Outcome;
use super::rpc::{Positive, TIMEOUT_DEFAULT_MS, items};
use super::{Cli, Command, dashboard, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::client::target::{Overrides, Target};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::paths::gateway_port;

/// show whether the gateway runs and answers
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// gateway to probe (default: the local one)
    #[argh(option, arg_name = "url")]
    url: Option<String>,
    /// gateway token
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// gateway password
    #[argh(option, arg_name = "password")]
    password: Option<String>,
    /// longest wait of the probe in milliseconds (default 10000)
    #[argh(option, arg_name = "ms", default = "Default::default()")]
    timeout: Positive,
    /// do not ask the gateway
    #[argh(switch)]
    no_probe: bool,
    /// look for services in the system's directories, too
    #[argh(switch)]
    #[allow(dead_code)]
    deep: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Status {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let report = self.gather(cli);
        if self.json {
            output::json(&report)
        } else {
            print(cli, &report)
        }
        Ok(())
    }
}

impl Status {
    fn gather(&self, cli: &Cli) -> Value {
        let gateway = &cli.config().gateway;
        let port = gateway_port(None, cli.config());
        let bind_mode = gateway.bind.as_deref().unwrap_or("loopback");
        let host = match bind_mode {
            "custom" => gateway.custom_bind_host.clone(),
            "tailnet" => crate::base::host::tailnet_ipv4().map(|ip| ip.to_string()),
            _ => None,
        };
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let bind_host = if bind_mode == "lan" { "0.0.0.0" } else { &host };
        // compat: always ws, also with TLS.
        let url = self.url.clone().unwrap_or_else(|| format!("ws://{host}:{port}"));
        let mut view = json!({
            "bindMode": bind_mode, "bindHost": bind_host, "port": port, "portSource": "env/config", "probeUrl": url,
        });
        if let Some(note) = probe_note(bind_mode).filter(|_| self.url.is_none()) {
            view["probeNote"] = note.into();
        }
        let mut report = json!({
            "service": {
                "label": service_label(cli), "loaded": false, "loadedText": "enabled", "notLoadedText": "disabled",
                "command": null, "runtime": {"status": "unknown"}, "configAudit": {"ok": true, "issues": []},
            },
            "config": {"cli": config_view(cli), "daemon": config_view(cli)},
            "gateway": view,
            "port": port_view(port),
        });
        if !self.no_probe {
            report["rpc"] = match self.probe(cli, &url) {
                Ok(()) => json!({"ok": true, "url": url}),
                Err(error) => json!({"ok": false, "error": error, "url": url}),
            };
        }
        report["legacyServices"] = json!([]);
        report["extraServices"] = json!([]);
        report
    }

    fn probe(&self, cli: &Cli, url: &str) -> Result<(), String> {
        let overrides =
            Overrides { url: Some(url.to_owned()), token: self.token.clone(), password: self.password.clone() };
        let target = Target::resolve(&cli.paths, cli.config(), &overrides);
        let deadline = Deadline::after(Duration::from_millis(self.timeout.or(TIMEOUT_DEFAULT_MS)));
        let result = Client::connect(&cli.paths, &target, &Profile::cli(), deadline).and_then(|mut client| {
            let result = client.request("status", json!({}), false, deadline);
            client.close();
            result
        });
        result.map(|_| ()).map_err(|error: ClientError| match error.is_connection() {
            true => format!("{error}\n{}", target.details()),
            false => error.to_string(),
        })
    }
}

fn config_view(cli: &Cli) -> Value {
    let snapshot = cli.snapshot();
    let mut view = json!({"path": snapshot.path, "exists": snapshot.exists, "valid": snapshot.valid});
    if !snapshot.issues.is_empty() {
        let issues = snapshot.issues.iter().map(|issue| json!({"path": issue.path, "message": issue.message}));
        view["issues"] = issues.collect();
    }
    if let Some(control_ui) = snapshot.config["gateway"].get("controlUi") {
        view["controlUi"] = control_ui.clone();
    }
    view
}

/// Says whether somebody listens, by trying to.
fn port_view(port: u16) -> Value {
    let (status, hints): (_, &[&str]) = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => ("free", &[]),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            ("busy", &["Port is in use but process details are unavailable (install lsof or run as an admin user)."])
        }
        Err(_) => ("unknown", &[]),
    };
    json!({"port": port, "status": status, "listeners": [], "hints": hints})
}

fn probe_note(bind_mode: &str) -> Option<&'static str> {
    match bind_mode {
        "loopback" => Some("Loopback-only gateway; only local clients can connect."),
        "lan" => Some(
            "Local probe uses loopback (127.0.0.1). bind=lan listens on 0.0.0.0 (all interfaces); use a LAN IP for remote clients.",
        ),
        _ => None,
    }
}

/// Returns what the platform's service manager is called.
pub(super) fn service_label(_cli: &Cli) -> &'static str {
    if cfg!(target_os = "macos") { "LaunchAgent" } else { "systemd" }
}

fn print(cli: &Cli, report: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let snapshot = cli.snapshot();
    let service = &report["service"];
    output::line(&format!("Service: {} ({})", text(&service["label"]), text(&service["notLoadedText"])));
    let log = cli.config().logging.file.as_deref().map(|file| cli.paths.expand(file));
    let log = log.unwrap_or_else(|| cli.paths.default_log_file(SystemClock.now_ms()));
    output::line(&format!("File logs: {}\n", cli.paths.shorten(&log)));
    let missing = if snapshot.exists { "" } else { " (missing)" };
    let invalid = if snapshot.valid { "" } else { " (invalid)" };
    let shown = cli.paths.shorten(&snapshot.path);
    output::line(&format!("Config (cli): {shown}{missing}{invalid}"));
    for issue in snapshot.issues.iter().take(5) {
        let path = if issue.path.is_empty() { "<root>" } else { &issue.path };
        output::error_line(&format!("Config issue: {path}: {}", issue.message));
    }
    output::line(&format!("Config (service): {shown}{missing}{invalid}\n"));
    let view = &report["gateway"];
    output::line(&format!(
        "Gateway: bind={} ({}), port={} ({})",
        text(&view["bindMode"]),
        text(&view["bindHost"]),
        view["port"],
        text(&view["portSource"])
    ));
    output::line(&format!("Probe target: {}", text(&view["probeUrl"])));
    let control_ui = &cli.config().gateway.control_ui;
    let base = dashboard::base_path(control_ui.base_path.as_deref());
    let url = match control_ui.enabled {
        Some(false) => "disabled".to_owned(),
        _ => format!("http://127.0.0.1:{}{base}/", view["port"]),
    };
    output::line(&format!("Dashboard: {url}"));
    if let Some(note) = view["probeNote"].as_str() {
        output::line(&format!("Probe note: {note}"));
    }
    output::line(&format!("\nRuntime: {}", text(&service["runtime"]["status"])));
    match report["rpc"]["ok"].as_bool() {
        Some(true) => output::line(&format!("RPC probe: {}", output::verdict(true, "ok"))),
        Some(false) => {
            output::error_line(&format!("RPC probe: {}", output::verdict(false, "failed")));
            output::error_line(&format!("RPC target: {}", text(&report["rpc"]["url"])));
            for line in text(&report["rpc"]["error"]).lines().take(12) {
                output::error_line(&format!("  {line}"));
            }
        }
        None => {}
    }
    let port = &report["port"];
    if port["status"] == "busy" && report["rpc"]["ok"] != true {
        output::error_line(&format!("Port {} is already in use.", port["port"]));
        for hint in items(&port["hints"]) {
            output::error_line(&format!("- {}", text(hint)));
        }
    }
    output::line(&format!("\nTroubles: run {}", cli.paths.hint("status")));
    output::line("Troubleshooting: https://docs.clawd.bot/troubleshooting");
}
