//! Windows scheduled tasks (cli.md §26.8).
//!
//! Owns `<state>\gateway.cmd`, the script that a task starts at logon: its text both ways, and the calls of `schtasks`.

use std::path::PathBuf;

use serde_json::Map;

use super::plan::{Names, Plan};
use super::{Installed, Manager, Runtime, Told, ask, read, remove, why, write};
use crate::base::text::unless_blank;
use crate::config::paths::Paths;

/// See the module.
#[derive(Debug)]
pub struct ScheduledTask {
    names: Names,
    script: PathBuf,
}

impl ScheduledTask {
    /// Returns the manager for one service; nothing is asked yet.
    pub fn new(names: Names, paths: &Paths) -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let name = var("CLAWDBOT_TASK_SCRIPT_NAME").unwrap_or_else(|| format!("{}.cmd", names.log_prefix));
        let script = var("CLAWDBOT_TASK_SCRIPT").map_or_else(|| paths.state_dir.join(name), PathBuf::from);
        Self { names, script }
    }

    fn task(&self, args: &[&str]) -> Result<Told, String> {
        let args = [&[args[0], "/TN", &self.names.task], &args[1..]].concat();
        schtasks(&args)
    }
}

impl Manager for ScheduledTask {
    fn label(&self) -> &'static str {
        "Scheduled Task"
    }

    fn loaded_text(&self) -> &'static str {
        "registered"
    }

    fn not_loaded_text(&self) -> &'static str {
        "missing"
    }

    fn is_loaded(&self) -> Result<bool, String> {
        Ok(self.task(&["/Query"])?.is_ok)
    }

    fn install(&self, plan: &Plan) -> Result<Vec<String>, String> {
        write(&self.script, &render(plan))?;
        let user = std::env::var("USERNAME").unwrap_or_default();
        let with_user = create_args(&self.names.task, &self.script.to_string_lossy(), Some(&user));
        let plain = create_args(&self.names.task, &self.script.to_string_lossy(), None);
        let as_strs = |args: &[String]| schtasks(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut told = if user.is_empty() { as_strs(&plain)? } else { as_strs(&with_user)? };
        if !told.is_ok && !user.is_empty() {
            told = as_strs(&plain)?;
        }
        if !told.is_ok {
            let is_denied = told.detail().to_lowercase().contains("access is denied");
            let hint = if is_denied { " Run this as an administrator." } else { "" };
            return Err(format!("schtasks create failed: {}{hint}", told.detail()));
        }
        self.task(&["/Run"])?;
        let script = format!("Task script: {}", self.script.display());
        Ok(vec![String::new(), format!("Installed Scheduled Task: {}", self.names.task), script])
    }

    fn uninstall(&self) -> Result<Vec<String>, String> {
        self.task(&["/Delete", "/F"])?;
        remove(&self.script, "Task script")
    }

    fn stop(&self) -> Result<Vec<String>, String> {
        let told = self.task(&["/End"])?;
        if !told.is_ok && !told.detail().to_lowercase().contains("not running") {
            return Err(format!("schtasks end failed: {}", told.detail()));
        }
        Ok(vec![format!("Stopped Scheduled Task: {}", self.names.task)])
    }

    fn restart(&self) -> Result<Vec<String>, String> {
        self.task(&["/End"])?;
        let told = self.task(&["/Run"])?;
        if !told.is_ok {
            return Err(format!("schtasks run failed: {}", told.detail()));
        }
        Ok(vec![format!("Restarted Scheduled Task: {}", self.names.task)])
    }

    fn installed(&self) -> Option<Installed> {
        read(&self.script, parse)
    }

    fn runtime(&self) -> Runtime {
        match self.task(&["/Query", "/V", "/FO", "LIST"]) {
            Ok(told) if told.is_ok => parse_query(&told.stdout),
            failed => Runtime { status: "stopped", detail: why(failed), missing_unit: true, ..Runtime::default() },
        }
    }

    fn start_hint(&self) -> String {
        format!("schtasks /Run /TN \"{}\"", self.names.task)
    }

    fn stop_hint(&self) -> String {
        format!("schtasks /End /TN \"{}\"", self.names.task)
    }

    fn log_hints(&self) -> Vec<String> {
        vec![format!("Logs: schtasks /Query /TN \"{}\" /V /FO LIST", self.names.task)]
    }
}

fn schtasks(args: &[&str]) -> Result<Told, String> {
    ask("schtasks", args).map_err(|error| format!("schtasks: {error}"))
}

/// Returns the arguments that make a task.
fn create_args(task: &str, script: &str, user: Option<&str>) -> Vec<String> {
    let quoted = format!("\"{script}\"");
    let mut args = vec!["/Create", "/F", "/SC", "ONLOGON", "/RL", "LIMITED", "/TN", task, "/TR", &quoted];
    if let Some(user) = user {
        args.extend(["/RU", user, "/NP", "/IT"]);
    }
    args.into_iter().map(str::to_owned).collect()
}

/// Returns the text of the script.
fn render(plan: &Plan) -> String {
    let mut lines = vec!["@echo off".to_owned(), format!("rem {}", plan.description)];
    lines.extend(plan.environment.iter().map(|(name, value)| assignment(name, value)));
    lines.push(plan.program.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
    lines.push(String::new());
    lines.join("\r\n")
}

/// Returns a line that sets a variable. In quotes where the shell would see more in the value than a text.
fn assignment(name: &str, value: &str) -> String {
    // A line's end would begin a command.
    let value = value.replace('%', "%%").replace(['\r', '\n'], " ");
    let is_plain = value.trim() == value && !value.contains(|c: char| "\"&|<>^".contains(c));
    if is_plain { format!("set {name}={value}") } else { format!("set \"{name}={value}\"") }
}

/// Returns a word as the shell passes it on and a program reads it: a backslash counts only before a quote, and there twice.
fn quote(word: &str) -> String {
    let word = word.replace('%', "%%").replace(['\r', '\n'], " ");
    if !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "\"&|<>^(),;=".contains(c)) {
        return word;
    }
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => quoted.push_str(&"\\".repeat(std::mem::take(&mut backslashes) + 1)),
            _ => backslashes = 0,
        }
        quoted.push(c);
    }
    // Before the last quote, too.
    quoted.push_str(&"\\".repeat(backslashes));
    quoted.push('"');
    quoted
}

/// Reads a script, ours or the original's.
fn parse(text: &str) -> Option<Installed> {
    let mut installed = Installed {
        program_arguments: Vec::new(),
        working_directory: None,
        environment: Map::new(),
        source_path: PathBuf::new(),
    };
    for line in text.lines().filter_map(unless_blank) {
        let lower = line.to_lowercase();
        if lower.starts_with("@echo") || lower.starts_with("rem ") {
            continue;
        } else if let Some(assignment) = line.get(4..).filter(|_| lower.starts_with("set ")) {
            let assignment = assignment.trim();
            let inner = assignment.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            if let Some((name, value)) = inner.unwrap_or(assignment).split_once('=') {
                installed.environment.insert(name.trim().to_owned(), value.replace("%%", "%").into());
            }
        } else if let Some(dir) = line.get(6..).filter(|_| lower.starts_with("cd /d ")) {
            installed.working_directory = Some(dir.trim().trim_matches('"').to_owned());
        } else {
            installed.program_arguments = words(line);
        }
    }
    (!installed.program_arguments.is_empty()).then_some(installed)
}

/// Splits at blanks outside double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let mut count = 1;
                while chars.next_if_eq(&'\\').is_some() {
                    count += 1;
                }
                // Before a quote, two are one, and one more makes the quote a part of the word.
                let is_before_quote = chars.peek() == Some(&'"');
                let kept = if is_before_quote { count / 2 } else { count };
                word.get_or_insert_default().extend(std::iter::repeat_n('\\', kept));
                if is_before_quote && count % 2 == 1 {
                    chars.next();
                    word.get_or_insert_default().push('"');
                }
            }
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.iter().map(|word| word.replace("%%", "%")).collect()
}

fn parse_query(text: &str) -> Runtime {
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value.trim().to_owned())
    };
    let state = value("Status");
    let is_running = state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("running"));
    Runtime {
        status: match &state {
            _ if is_running => "running",
            Some(_) => "stopped",
            None => "unknown",
        },
        state,
        last_run_result: value("Last Result").or_else(|| value("Last Run Result")),
        last_run_time: value("Last Run Time"),
        ..Runtime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_written_and_read_back() {
        let plan = Plan {
            description: "Clawdbot Gateway (v1)".to_owned(),
            program: ["C:\\Program Files\\clawdbot.exe", "gateway", "--port", "7", "50%"].map(str::to_owned).into(),
            environment: vec![("A".to_owned(), "x y%".to_owned())],
            memory: None,
        };
        let text = render(&plan);
        let wanted = "@echo off\r\nrem Clawdbot Gateway (v1)\r\nset A=x y%%\r\n\"C:\\Program Files\\clawdbot.exe\" gateway --port 7 50%%\r\n";
        assert_eq!(text, wanted);
        let installed = parse(&text).expect("a script");
        assert_eq!(installed.program_arguments, plan.program);
        assert_eq!(installed.environment["A"], "x y%");
        assert_eq!(parse("@echo off\r\n"), None);
    }

    #[test]
    fn nothing_in_a_word_is_more_than_a_text() {
        for (word, wanted) in [
            ("plain", "plain"),
            ("C:\\dir\\x", "C:\\dir\\x"),
            ("a b", "\"a b\""),
            ("C:\\my dir\\", "\"C:\\my dir\\\\\""),
            ("a&b", "\"a&b\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("x\\\"y", "\"x\\\\\\\"y\""),
            ("50%", "50%%"),
            ("", "\"\""),
        ] {
            assert_eq!(quote(word), wanted);
            assert_eq!(words(&format!("{wanted} end")), [word, "end"], "{wanted}");
        }
        assert_eq!(quote("a\r\ndel x"), "\"a  del x\"");
        for (value, wanted) in
            [("a b", "set N=a b"), ("a&b", "set \"N=a&b\""), (" a", "set \"N= a\""), ("1\n2", "set N=1 2")]
        {
            assert_eq!(assignment("N", value), wanted);
            let installed = parse(&format!("{wanted}\r\nx.exe\r\n")).expect("a script");
            assert_eq!(installed.environment["N"], value.replace('\n', " "));
        }
    }

    #[test]
    fn tasks_start_at_logon_without_more_rights() {
        let args = create_args("Clawdbot Gateway", "C:\\s\\gateway.cmd", Some("me")).join(" ");
        let wanted =
            "/Create /F /SC ONLOGON /RL LIMITED /TN Clawdbot Gateway /TR \"C:\\s\\gateway.cmd\" /RU me /NP /IT";
        assert_eq!(args, wanted);
    }

    #[test]
    fn states() {
        let runtime =
            parse_query("TaskName: x\r\nStatus: Running\r\nLast Run Time: 1/2/2026 3:04\r\nLast Result: 0\r\n");
        assert_eq!((runtime.status, runtime.last_run_result.as_deref()), ("running", Some("0")));
        assert_eq!(parse_query("Status: Ready\n").status, "stopped");
    }
}
