//! systemd units: a user's own, or the whole system's (cli.md §26.3, §26.9).
//!
//! Owns `~/.config/systemd/user/<unit>.service`, or `/etc/systemd/system/<unit>.service`: its text both ways, and the
//! calls of `systemctl`.

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::plan::{Names, Plan};
use super::{Installed, Manager, Runtime, Scope, Told, ask, key_values, read, remove, system_unit_dirs, why, write};
use crate::config::paths::Paths;

const NOT_AVAILABLE: &str = "systemctl not available; systemd user services are required on Linux.";

/// See the module.
#[derive(Debug)]
pub struct Systemd {
    names: Names,
    file: PathBuf,
    scope: Scope,
}

impl Systemd {
    /// Returns the manager for one service; nothing is asked yet.
    pub fn new(names: Names, paths: &Paths, scope: Scope) -> Self {
        let name = format!("{}.service", names.unit);
        let file = match &scope {
            Scope::User => paths.home.join(".config/systemd/user").join(name),
            Scope::System { .. } => system_unit_dirs().swap_remove(0).join(name),
        };
        Self { names, file, scope }
    }

    fn systemctl(&self, args: &[&str]) -> Result<Told, String> {
        systemctl(&self.scope, args)
    }

    /// Returns `systemctl --user` or what it is for the whole system.
    fn tool(&self) -> &'static str {
        match self.scope {
            Scope::User => "systemctl --user",
            Scope::System { .. } => "sudo systemctl",
        }
    }

    fn unit(&self) -> String {
        format!("{}.service", self.names.unit)
    }

    /// Does one verb on the unit.
    fn verb(&self, verb: &str) -> Result<(), String> {
        let unit = self.unit();
        let args: &[&str] = if verb == "daemon-reload" { &[verb] } else { &[verb, &unit] };
        let told = self.systemctl(args)?;
        if told.is_ok { Ok(()) } else { Err(format!("systemctl {verb} failed: {}", told.detail())) }
    }
}

impl Manager for Systemd {
    fn label(&self) -> &'static str {
        "systemd"
    }

    fn loaded_text(&self) -> &'static str {
        "enabled"
    }

    fn not_loaded_text(&self) -> &'static str {
        "disabled"
    }

    fn is_loaded(&self) -> Result<bool, String> {
        check_available(&self.scope)?;
        Ok(self.systemctl(&["is-enabled", &self.unit()])?.is_ok)
    }

    fn install(&self, plan: &Plan) -> Result<Vec<String>, String> {
        check_available(&self.scope)?;
        write(&self.file, &render(plan, &self.scope))?;
        self.verb("daemon-reload")?;
        self.verb("enable")?;
        self.verb("restart")?;
        Ok(vec![String::new(), format!("Installed systemd service: {}", self.file.display())])
    }

    fn uninstall(&self) -> Result<Vec<String>, String> {
        check_available(&self.scope)?;
        // A unit that is not there cannot be disabled, which is what is wanted.
        self.systemctl(&["disable", "--now", &self.unit()])?;
        remove(&self.file, "Systemd service")
    }

    fn stop(&self) -> Result<Vec<String>, String> {
        check_available(&self.scope)?;
        self.verb("stop")?;
        Ok(vec![format!("Stopped systemd service: {}", self.unit())])
    }

    fn restart(&self) -> Result<Vec<String>, String> {
        check_available(&self.scope)?;
        self.verb("restart")?;
        Ok(vec![format!("Restarted systemd service: {}", self.unit())])
    }

    fn installed(&self) -> Option<Installed> {
        read(&self.file, parse)
    }

    fn runtime(&self) -> Runtime {
        let properties = "ActiveState,SubState,MainPID,ExecMainStatus,ExecMainCode";
        let told = check_available(&self.scope)
            .and_then(|()| self.systemctl(&["show", &self.unit(), "--no-page", "--property", properties]));
        match told {
            // compat: `Error:` because the original shows its exception.
            Err(error) => Runtime { status: "unknown", detail: Some(format!("Error: {error}")), ..Runtime::default() },
            Ok(told) if !told.is_ok => {
                let is_missing = told.detail().to_lowercase().contains("not found");
                Runtime {
                    status: if is_missing { "stopped" } else { "unknown" },
                    detail: why(Ok(told)),
                    missing_unit: is_missing,
                    ..Runtime::default()
                }
            }
            Ok(told) => parse_show(&told.stdout),
        }
    }

    fn start_hint(&self) -> String {
        format!("{} start {}", self.tool(), self.unit())
    }

    fn stop_hint(&self) -> String {
        format!("{} stop {}", self.tool(), self.unit())
    }

    fn log_hints(&self) -> Vec<String> {
        let user = if matches!(self.scope, Scope::User) { " --user" } else { "" };
        vec![format!("Logs: journalctl{user} -u {} -n 200 --no-pager", self.unit())]
    }
}

/// Returns whether an error means that there is no user systemd here.
pub fn is_unavailable(detail: &str) -> bool {
    let detail = detail.to_lowercase();
    let signs = [
        "systemctl --user unavailable",
        "systemctl unavailable",
        "systemctl not available",
        "not been booted with systemd",
        "failed to connect to bus",
        "systemd user services are required",
    ];
    signs.iter().any(|sign| detail.contains(sign))
}

/// Returns what to do where there is no user systemd; `run` is the command that runs in the foreground.
pub fn unavailable_hints(run: &str) -> Vec<String> {
    let kernel = crate::base::host::kernel_release().to_lowercase();
    if kernel.contains("microsoft") || kernel.contains("wsl") {
        return vec![
            "WSL2 needs systemd enabled: edit /etc/wsl.conf with [boot]\\nsystemd=true".to_owned(),
            "Then run: wsl --shutdown (from PowerShell) and reopen your distro.".to_owned(),
            "Verify: systemctl --user status".to_owned(),
        ];
    }
    vec![
        "systemd user services are unavailable; install/enable systemd or run it under your supervisor.".to_owned(),
        format!("If you're in a container, run it in the foreground instead: `{run}`."),
    ]
}

fn systemctl(scope: &Scope, args: &[&str]) -> Result<Told, String> {
    let args: Vec<&str> = match scope {
        Scope::User => [&["--user"], args].concat(),
        Scope::System { .. } => args.to_vec(),
    };
    ask("systemctl", &args).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NOT_AVAILABLE.to_owned(),
        _ => format!("{}: {error}", unavailable(scope)),
    })
}

/// Returns the start of the sentence that no systemd answers.
fn unavailable(scope: &Scope) -> &'static str {
    match scope {
        Scope::User => "systemctl --user unavailable",
        Scope::System { .. } => "systemctl unavailable",
    }
}

fn check_available(scope: &Scope) -> Result<(), String> {
    let told = systemctl(scope, &["status"])?;
    match told.detail() {
        _ if told.is_ok => Ok(()),
        detail if detail.to_lowercase().contains("not found") => Err(NOT_AVAILABLE.to_owned()),
        "" => Err(format!("{}: unknown error", unavailable(scope))),
        detail => Err(format!("{}: {detail}", unavailable(scope))),
    }
}

/// Returns the text of a unit.
fn render(plan: &Plan, scope: &Scope) -> String {
    let program: Vec<String> = plan.program.iter().map(|word| quote(&word.replace('$', "$$"))).collect();
    let mut lines = vec![
        "[Unit]".to_owned(),
        format!("Description={}", plan.description.replace('%', "%%")),
        "After=network-online.target".to_owned(),
        "Wants=network-online.target".to_owned(),
        String::new(),
        "[Service]".to_owned(),
        format!("ExecStart={}", program.join(" ")),
        "Restart=always".to_owned(),
        "RestartSec=5".to_owned(),
        // Children, such as monitors of containers, must not hold up a stop.
        "KillMode=process".to_owned(),
    ];
    if let Some(memory) = plan.memory {
        lines.push(format!("MemoryMax={}", memory.max));
        lines.push(format!("OOMScoreAdjust={}", memory.oom_score_adjust));
        // A command that took too much is ended alone; the default would stop the gateway with it.
        lines.push("OOMPolicy=continue".to_owned());
    }
    if let Scope::System { user, home } = scope {
        lines.push(format!("User={}", quote(user)));
        lines.push(format!("WorkingDirectory={}", home.display().to_string().replace('%', "%%")));
    }
    lines.extend(
        plan.environment.iter().map(|(name, value)| format!("Environment={}", quote(&format!("{name}={value}")))),
    );
    let wanted_by = if matches!(scope, Scope::User) { "default.target" } else { "multi-user.target" };
    lines.extend(["", "[Install]", &format!("WantedBy={wanted_by}"), ""].map(str::to_owned));
    lines.join("\n")
}

/// Quotes a word where systemd would split or unescape it; `%` starts a specifier everywhere.
fn quote(word: &str) -> String {
    let word = word.replace('%', "%%");
    if !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '\'')) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r"))
}

/// Reads a unit, ours or the original's.
fn parse(text: &str) -> Option<Installed> {
    let mut program_arguments = Vec::new();
    let mut working_directory = None;
    let mut environment = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "ExecStart" => program_arguments = words(value).iter().map(|word| word.replace("$$", "$")).collect(),
            "WorkingDirectory" => {
                working_directory = words(value).into_iter().next();
            }
            "Environment" => {
                // compat: one assignment per line; the original leaves values with blanks unquoted.
                let value = value.trim();
                let assignment =
                    if value.starts_with('"') { words(value).into_iter().next()? } else { unescape_percent(value) };
                if let Some((name, value)) = assignment.split_once('=').filter(|(name, _)| !name.is_empty()) {
                    environment.insert(name.to_owned(), Value::from(value));
                }
            }
            _ => {}
        }
    }
    (!program_arguments.is_empty()).then(|| Installed {
        program_arguments,
        working_directory,
        environment,
        source_path: PathBuf::new(),
    })
}

/// Splits at blanks outside double quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' => {
                let next = match chars.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some(next) => next,
                    None => break,
                };
                word.get_or_insert_default().push(next);
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.iter().map(|word| unescape_percent(word)).collect()
}

fn unescape_percent(text: &str) -> String {
    text.replace("%%", "%")
}

fn parse_show(text: &str) -> Runtime {
    let mut values = key_values(text);
    let mut take = |key: &str| values.remove(key).filter(|value| !value.is_empty());
    let state = take("activestate");
    Runtime {
        status: match state.as_deref() {
            Some(state) if state.eq_ignore_ascii_case("active") => "running",
            Some(_) => "stopped",
            None => "unknown",
        },
        state,
        sub_state: take("substate"),
        pid: take("mainpid").and_then(|pid| pid.parse().ok()).filter(|&pid| pid > 0),
        last_exit_status: take("execmainstatus").and_then(|status| status.parse().ok()),
        last_exit_reason: take("execmaincode"),
        ..Runtime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            description: "Clawdbot Node Host (v1)".to_owned(),
            program: ["/opt/my apps/clawdbot", "node", "run", "--display-name", "50% \"x\" $HOME\\"]
                .map(str::to_owned)
                .into(),
            environment: vec![("HOME".to_owned(), "/home/u".to_owned()), ("ODD".to_owned(), "a b%\n\"".to_owned())],
            memory: None,
        }
    }

    #[test]
    fn a_unit_is_quoted_where_systemd_would_not_take_it_literally() {
        let text = render(&plan(), &Scope::User);
        let expected = "[Unit]
Description=Clawdbot Node Host (v1)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=\"/opt/my apps/clawdbot\" node run --display-name \"50%% \\\"x\\\" $$HOME\\\\\"
Restart=always
RestartSec=5
KillMode=process
Environment=HOME=/home/u
Environment=\"ODD=a b%%\\n\\\"\"

[Install]
WantedBy=default.target
";
        assert_eq!(text, expected);
    }

    #[test]
    fn limits_and_the_system_s_unit() {
        let limited = Plan { memory: Some(crate::service::plan::GATEWAY_MEMORY), ..plan() };
        let text = render(&limited, &Scope::System { user: "me".to_owned(), home: "/home/me".into() });
        for line in [
            "MemoryMax=75%",
            "OOMScoreAdjust=200",
            "OOMPolicy=continue",
            "User=me",
            "WorkingDirectory=/home/me",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let installed = parse(&render(&plan(), &Scope::User)).expect("a unit");
        assert_eq!(installed.program_arguments, plan().program);
        assert_eq!(installed.environment["ODD"], "a b%\n\"");
        assert_eq!(installed.working_directory, None);
    }

    #[test]
    fn line_ends_in_a_value_stay_within_its_line() {
        let odd = "a\r\nb\r";
        let written = Plan { environment: vec![("ODD".to_owned(), odd.to_owned())], ..plan() };
        let text = render(&written, &Scope::User);
        assert!(text.contains("\nEnvironment=\"ODD=a\\r\\nb\\r\"\n"), "{text}");
        assert_eq!(parse(&text).expect("a unit").environment["ODD"], odd);
    }

    #[test]
    fn the_original_s_unit_is_read() {
        let text = "[Service]\n# ExecStart=no\nExecStart=/usr/bin/node \"/opt/dist/entry.js\" gateway --port 18789\nWorkingDirectory=/srv\nEnvironment=\"CLAWDBOT_SYSTEMD_UNIT=x.service\"\nEnvironment=PATH=/a b:/c\n";
        let installed = parse(text).expect("a unit");
        assert_eq!(installed.program_arguments, ["/usr/bin/node", "/opt/dist/entry.js", "gateway", "--port", "18789"]);
        assert_eq!(installed.working_directory.as_deref(), Some("/srv"));
        assert_eq!(installed.environment["CLAWDBOT_SYSTEMD_UNIT"], "x.service");
        assert_eq!(installed.environment["PATH"], "/a b:/c");
        assert_eq!(parse("[Service]\n"), None);
    }

    #[test]
    fn states() {
        let runtime =
            parse_show("ActiveState=active\nSubState=running\nMainPID=42\nExecMainStatus=0\nExecMainCode=0\n");
        assert_eq!((runtime.status, runtime.pid, runtime.last_exit_status), ("running", Some(42), Some(0)));
        let runtime = parse_show("ActiveState=inactive\nMainPID=0\n");
        assert_eq!((runtime.status, runtime.pid), ("stopped", None));
        assert_eq!(parse_show("").status, "unknown");
        assert!(is_unavailable("Failed to connect to bus: No medium found") && !is_unavailable("Unit x not loaded."));
    }
}
