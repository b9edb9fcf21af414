//! launchd agents (cli.md §26.7).
//!
//! Owns `~/Library/LaunchAgents/<label>.plist`: its text both ways, and the calls of `launchctl` in the user's domain.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::plan::{Names, Plan};
use super::{Installed, Manager, Runtime, Told, ask, key_values, read, why, write};
use crate::base::fs::create_dir_private;
use crate::config::paths::Paths;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
  <dict>
"#;

/// See the module.
#[derive(Debug, Clone)]
pub struct Launchd {
    names: Names,
    file: PathBuf,
    trash: PathBuf,
    logs: PathBuf,
    domain: String,
}

impl Launchd {
    /// Returns the manager for one service; nothing is asked yet.
    pub fn new(names: Names, paths: &Paths) -> Self {
        // SAFETY: getuid has no preconditions and cannot fail.
        let uid = unsafe { libc::getuid() };
        let name = format!("{}.plist", names.label);
        Self {
            file: paths.home.join("Library/LaunchAgents").join(&name),
            trash: paths.home.join(".Trash").join(&name),
            logs: paths.state_dir.join("logs"),
            domain: format!("gui/{uid}"),
            names,
        }
    }

    fn target(&self) -> String {
        format!("{}/{}", self.domain, self.names.label)
    }

    /// Returns the files that take stdout and stderr.
    fn log_files(&self) -> [PathBuf; 2] {
        let prefix = &self.names.log_prefix;
        [self.logs.join(format!("{prefix}.log")), self.logs.join(format!("{prefix}.err.log"))]
    }

    /// Takes agents of the gateway's older names away, which would start a second one.
    fn remove_legacy(&self) -> Result<(), String> {
        if self.names == Names::node() {
            return Ok(());
        }
        for label in super::scan::LEGACY_LABELS {
            let file = self.file.with_file_name(format!("{label}.plist"));
            Self { file: file.clone(), names: Names { label: label.to_owned(), ..self.names.clone() }, ..self.clone() }
                .unload()?;
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("remove {}: {error}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes an older agent out of launchd; one that is not there is no error.
    fn unload(&self) -> Result<(), String> {
        let file = self.file.to_string_lossy();
        launchctl(&["bootout", &self.domain, &file])?;
        launchctl(&["unload", &file])?;
        Ok(())
    }
}

impl Manager for Launchd {
    fn label(&self) -> &'static str {
        "LaunchAgent"
    }

    fn loaded_text(&self) -> &'static str {
        "loaded"
    }

    fn not_loaded_text(&self) -> &'static str {
        "not loaded"
    }

    fn is_loaded(&self) -> Result<bool, String> {
        Ok(launchctl(&["print", &self.target()])?.is_ok)
    }

    fn install(&self, plan: &Plan) -> Result<Vec<String>, String> {
        let [stdout, stderr] = self.log_files();
        create_dir_private(&self.logs).map_err(|error| format!("create {}: {error}", self.logs.display()))?;
        let text = render(&self.names.label, plan, &stdout, &stderr);
        write(&self.file, &text)?;
        self.remove_legacy()?;
        self.unload()?;
        // launchd remembers that a label was disabled, also when its file is gone.
        launchctl(&["enable", &self.target()])?;
        let told = launchctl(&["bootstrap", &self.domain, &self.file.to_string_lossy()])?;
        if !told.is_ok {
            return Err(format!("launchctl bootstrap failed: {}", told.detail()));
        }
        launchctl(&["kickstart", "-k", &self.target()])?;
        let installed = format!("Installed LaunchAgent: {}", self.file.display());
        Ok(vec![String::new(), installed, format!("Logs: {}", stdout.display())])
    }

    fn uninstall(&self) -> Result<Vec<String>, String> {
        self.unload()?;
        let file = self.file.display();
        if !self.file.exists() {
            return Ok(vec![format!("LaunchAgent not found at {file}")]);
        }
        let trashed = self
            .trash
            .parent()
            .map_or(Ok(()), create_dir_private)
            .and_then(|()| std::fs::rename(&self.file, &self.trash));
        Ok(vec![match trashed {
            Ok(()) => format!("Moved LaunchAgent to Trash: {}", self.trash.display()),
            Err(error) => format!("LaunchAgent remains at {file} (could not move: {error})"),
        }])
    }

    fn stop(&self) -> Result<Vec<String>, String> {
        let told = launchctl(&["bootout", &self.target()])?;
        let detail = told.detail().to_lowercase();
        let is_gone =
            ["no such process", "could not find service", "not found"].iter().any(|sign| detail.contains(sign));
        if !told.is_ok && !is_gone {
            return Err(format!("launchctl bootout failed: {}", told.detail()));
        }
        Ok(vec![format!("Stopped LaunchAgent: {}", self.target())])
    }

    fn restart(&self) -> Result<Vec<String>, String> {
        let told = launchctl(&["kickstart", "-k", &self.target()])?;
        if !told.is_ok {
            return Err(format!("launchctl kickstart failed: {}", told.detail()));
        }
        Ok(vec![format!("Restarted LaunchAgent: {}", self.target())])
    }

    fn installed(&self) -> Option<Installed> {
        read(&self.file, parse)
    }

    fn runtime(&self) -> Runtime {
        let told = match launchctl(&["print", &self.target()]) {
            Ok(told) if told.is_ok => told,
            failed => {
                return Runtime { status: "unknown", detail: why(failed), missing_unit: true, ..Runtime::default() };
            }
        };
        Runtime { cached_label: !self.file.exists(), ..parse_print(&told.stdout) }
    }

    fn start_hint(&self) -> String {
        format!("launchctl bootstrap gui/$UID ~/Library/LaunchAgents/{}.plist", self.names.label)
    }

    fn stop_hint(&self) -> String {
        format!("launchctl bootout gui/$UID/{}", self.names.label)
    }

    fn log_hints(&self) -> Vec<String> {
        let [stdout, stderr] = self.log_files();
        vec![
            format!("Launchd stdout (if installed): {}", stdout.display()),
            format!("Launchd stderr (if installed): {}", stderr.display()),
        ]
    }
}

fn launchctl(args: &[&str]) -> Result<Told, String> {
    ask("launchctl", args).map_err(|error| format!("launchctl: {error}"))
}

/// Returns the text of an agent's file.
fn render(label: &str, plan: &Plan, stdout: &Path, stderr: &Path) -> String {
    let string = |indent: &str, text: &str| format!("{indent}<string>{}</string>\n", escape(text));
    let mut text = String::from(HEAD);
    let mut entry = |key: &str, value: &str| {
        text.push_str(&format!("    <key>{key}</key>\n{value}"));
    };
    entry("Label", &string("    ", label));
    entry("Comment", &string("    ", &plan.description));
    entry("RunAtLoad", "    <true/>\n");
    entry("KeepAlive", "    <true/>\n");
    let words: String = plan.program.iter().map(|word| string("      ", word)).collect();
    entry("ProgramArguments", &format!("    <array>\n{words}    </array>\n"));
    entry("StandardOutPath", &string("    ", &stdout.to_string_lossy()));
    entry("StandardErrorPath", &string("    ", &stderr.to_string_lossy()));
    let variable =
        |(name, value): &(String, String)| format!("    <key>{}</key>\n{}", escape(name), string("    ", value));
    let variables: String = plan.environment.iter().map(variable).collect();
    entry("EnvironmentVariables", &format!("    <dict>\n{variables}    </dict>\n"));
    text.push_str("  </dict>\n</plist>\n");
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

fn unescape(text: &str) -> String {
    let text = text.replace("&apos;", "'").replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<");
    text.replace("&amp;", "&").trim().to_owned()
}

/// Reads an agent's file, ours or the original's.
fn parse(text: &str) -> Option<Installed> {
    let program_arguments: Vec<String> = elements(value_of(text, "ProgramArguments", "array")?, "string");
    let dict = value_of(text, "EnvironmentVariables", "dict").unwrap_or_default();
    let names = elements(dict, "key").into_iter();
    let environment: Map<String, Value> = names.zip(elements(dict, "string").into_iter().map(Value::from)).collect();
    (!program_arguments.is_empty()).then(|| Installed {
        program_arguments,
        working_directory: value_of(text, "WorkingDirectory", "string").map(unescape),
        environment,
        source_path: PathBuf::new(),
    })
}

/// Returns what stands in the element that follows a key.
fn value_of<'a>(text: &'a str, key: &str, element: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<key>{key}</key>"))?;
    let rest = rest.trim_start().strip_prefix(&format!("<{element}>"))?;
    rest.split_once(&format!("</{element}>")).map(|(value, _)| value)
}

fn elements(text: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(value, _)| unescape(value)).collect()
}

fn parse_print(text: &str) -> Runtime {
    let mut values = key_values(text);
    let mut take = |key: &str| values.remove(key).filter(|value| !value.is_empty());
    let state = take("state");
    let pid = take("pid").and_then(|pid| pid.parse().ok());
    let is_running = pid.is_some() || state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("running"));
    Runtime {
        status: match &state {
            _ if is_running => "running",
            Some(_) => "stopped",
            None => "unknown",
        },
        state,
        pid,
        last_exit_status: take("last exit status").and_then(|status| status.parse().ok()),
        last_exit_reason: take("last exit reason"),
        ..Runtime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_s_file_is_escaped_and_read_back() {
        let plan = Plan {
            description: "Clawdbot Node Host (v1)".to_owned(),
            program: ["/bin/clawdbot", "node", "run", "--display-name", "<A & \"B\">"].map(str::to_owned).into(),
            environment: vec![("HOME".to_owned(), "/u".to_owned()), ("PATH".to_owned(), "/a:/b".to_owned())],
            memory: None,
        };
        let text = render("com.clawdbot.node", &plan, Path::new("/s/logs/node.log"), Path::new("/s/logs/node.err.log"));
        assert!(text.contains("<string>&lt;A &amp; &quot;B&quot;&gt;</string>"), "{text}");
        assert!(text.starts_with(HEAD) && text.ends_with("  </dict>\n</plist>\n"), "{text}");
        let keys = [
            "Label",
            "Comment",
            "RunAtLoad",
            "KeepAlive",
            "ProgramArguments",
            "StandardOutPath",
            "StandardErrorPath",
            "EnvironmentVariables",
        ];
        let places: Vec<_> = keys.iter().map(|key| text.find(&format!("<key>{key}</key>"))).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}");
        let installed = parse(&text).expect("an agent");
        assert_eq!(installed.program_arguments, plan.program);
        assert_eq!(installed.environment["PATH"], "/a:/b");
        assert_eq!(parse("<plist/>"), None);
    }

    #[test]
    fn an_agent_s_file_is_a_plist() {
        let plan = Plan {
            description: "a <b> & 'c'".to_owned(),
            program: ["/bin/clawdbot", "gateway", "--port", "7"].map(str::to_owned).into(),
            environment: vec![("HOME".to_owned(), "/u \"x\"".to_owned())],
            memory: None,
        };
        let dir = crate::base::fs::testing::TempDir::new("plist");
        let file = dir.path().join("a.plist");
        std::fs::write(&file, render("com.clawdbot.gateway", &plan, Path::new("/o"), Path::new("/e"))).expect("write");
        let script = "import plistlib, sys
d = plistlib.load(open(sys.argv[1], 'rb'))
assert d['RunAtLoad'] is True and d['KeepAlive'] is True and d['Label'] == 'com.clawdbot.gateway', d
assert d['ProgramArguments'] == ['/bin/clawdbot', 'gateway', '--port', '7'], d
assert d['EnvironmentVariables'] == {'HOME': '/u \"x\"'} and d['Comment'] == \"a <b> & 'c'\", d
assert (d['StandardOutPath'], d['StandardErrorPath']) == ('/o', '/e'), d
";
        match std::process::Command::new("python3").args(["-c", script]).arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("SKIPPED: a plist read by plistlib: {error}"),
        }
    }

    #[test]
    fn states() {
        let runtime = parse_print("gui/501/x = {\n\tstate = running\n\tpid = 12\n\tlast exit status = 0\n}");
        assert_eq!((runtime.status, runtime.pid, runtime.last_exit_status), ("running", Some(12), Some(0)));
        assert_eq!(parse_print("\tstate = waiting\n").status, "stopped");
    }
}
