//! What a service consists of: its names, its program, its environment.
//!
//! Pure functions over variables that the caller reads.

use std::path::PathBuf;

use crate::base::text::trimmed;

/// Mark of all our services, in their environment.
const MARKER: &str = "clawdbot";

/// What a service is called by each manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// systemd unit, without `.service`.
    pub unit: String,
    /// launchd label.
    pub label: String,
    /// Windows task.
    pub task: String,
    /// Start of the names of its log files.
    pub log_prefix: String,
}

impl Names {
    /// Returns those of the node host, which are the same for every profile.
    pub fn node() -> Self {
        Self {
            unit: "clawdbot-node".to_owned(),
            label: "com.clawdbot.node".to_owned(),
            task: "Clawdbot Node".to_owned(),
            log_prefix: "node".to_owned(),
        }
    }

    /// Returns those of a profile's gateway; variables that name a unit, a label, a task or a log win.
    pub fn gateway(profile: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| env(name).and_then(trimmed);
        let profile = profile.filter(|profile| !profile.eq_ignore_ascii_case("default"));
        let (unit, label, task) = match profile {
            None => ("clawdbot-gateway".to_owned(), "com.clawdbot.gateway".to_owned(), "Clawdbot Gateway".to_owned()),
            Some(profile) => (
                format!("clawdbot-gateway-{profile}"),
                format!("com.clawdbot.{profile}"),
                format!("Clawdbot Gateway ({profile})"),
            ),
        };
        let given_unit = var("CLAWDBOT_SYSTEMD_UNIT").map(|unit| unit.trim_end_matches(".service").to_owned());
        Self {
            unit: given_unit.unwrap_or(unit),
            label: var("CLAWDBOT_LAUNCHD_LABEL").unwrap_or(label),
            task: var("CLAWDBOT_WINDOWS_TASK_NAME").unwrap_or(task),
            log_prefix: var("CLAWDBOT_LOG_PREFIX").unwrap_or_else(|| "gateway".to_owned()),
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One line for people.
    pub description: String,
    /// Program and arguments.
    pub program: Vec<String>,
    /// Variables, in order; none is blank.
    pub environment: Vec<(String, String)>,
    /// What it and its children may take of the machine's memory, where the manager can see to that.
    pub memory: Option<Memory>,
}

/// Limits of memory, in systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// `MemoryMax`: beyond it the kernel ends a process of the service, the largest first.
    pub max: &'static str,
    /// `OOMScoreAdjust`: above 100, what a login has, the kernel looks here first when the whole machine runs short.
    pub oom_score_adjust: i32,
}

/// The gateway's: it needs a few dozen megabytes, but commands that the assistant starts count, too. A share of the
/// machine fits the smallest host and the largest build; what is left keeps the host reachable.
pub const GATEWAY_MEMORY: Memory = Memory { max: "75%", oom_score_adjust: 200 };

/// Which gateway a node host service connects to, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeOptions {
    /// Host name or address of the gateway.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// SHA-256 of its certificate.
    pub tls_fingerprint: Option<String>,
    /// Id of the node, when it is not the stored one.
    pub node_id: Option<String>,
    /// Name of the node, when it is not the stored one.
    pub display_name: Option<String>,
}

impl Plan {
    /// Returns the node host's; `program` is this program, `env` reads a variable.
    pub fn node(
        names: &Names,
        options: &NodeOptions,
        program: String,
        version: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut arguments = vec![program];
        arguments.extend(["node", "run", "--host"].map(str::to_owned));
        arguments.extend([options.host.clone(), "--port".to_owned(), options.port.to_string()]);
        if options.tls || options.tls_fingerprint.is_some() {
            arguments.push("--tls".to_owned());
        }
        let valued = [
            ("--tls-fingerprint", &options.tls_fingerprint),
            ("--node-id", &options.node_id),
            ("--display-name", &options.display_name),
        ];
        for (flag, value) in valued {
            arguments.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        let variables = [
            ("HOME", env("HOME")),
            ("PATH", Some(minimal_path(&env))),
            ("CLAWDBOT_STATE_DIR", env("CLAWDBOT_STATE_DIR")),
            ("CLAWDBOT_CONFIG_PATH", env("CLAWDBOT_CONFIG_PATH")),
            ("CLAWDBOT_LAUNCHD_LABEL", Some(names.label.clone())),
            ("CLAWDBOT_SYSTEMD_UNIT", Some(names.unit.clone())),
            ("CLAWDBOT_WINDOWS_TASK_NAME", Some(names.task.clone())),
            ("CLAWDBOT_TASK_SCRIPT_NAME", Some("node.cmd".to_owned())),
            ("CLAWDBOT_LOG_PREFIX", Some(names.log_prefix.clone())),
            ("CLAWDBOT_SERVICE_MARKER", Some(MARKER.to_owned())),
            ("CLAWDBOT_SERVICE_KIND", Some("node".to_owned())),
            ("CLAWDBOT_SERVICE_VERSION", Some(version.to_owned())),
        ];
        let environment = without_blanks(variables);
        Self { description: format!("Clawdbot Node Host (v{version})"), program: arguments, environment, memory: None }
    }

    /// Returns the gateway's; `program` is this program, `env` reads a variable.
    pub fn gateway(
        names: &Names,
        options: &GatewayOptions,
        program: String,
        version: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let port = options.port.to_string();
        let arguments = [program.as_str(), "gateway", "--port", &port].map(str::to_owned).into();
        let mut environment = options.variables.clone();
        environment.extend(without_blanks([
            ("HOME", env("HOME")),
            ("PATH", Some(minimal_path(&env))),
            ("CLAWDBOT_PROFILE", env("CLAWDBOT_PROFILE")),
            ("CLAWDBOT_STATE_DIR", env("CLAWDBOT_STATE_DIR")),
            ("CLAWDBOT_CONFIG_PATH", env("CLAWDBOT_CONFIG_PATH")),
            ("CLAWDBOT_GATEWAY_PORT", Some(port)),
            ("CLAWDBOT_GATEWAY_TOKEN", options.token.clone()),
            ("CLAWDBOT_LAUNCHD_LABEL", cfg!(target_os = "macos").then(|| names.label.clone())),
            ("CLAWDBOT_SYSTEMD_UNIT", Some(format!("{}.service", names.unit))),
            ("CLAWDBOT_SERVICE_MARKER", Some(MARKER.to_owned())),
            ("CLAWDBOT_SERVICE_KIND", Some("gateway".to_owned())),
            ("CLAWDBOT_SERVICE_VERSION", Some(version.to_owned())),
        ]));
        let profile = options.profile.as_deref().filter(|profile| !profile.eq_ignore_ascii_case("default"));
        let description = match profile {
            Some(profile) => format!("Clawdbot Gateway (profile: {profile}, v{version})"),
            None => format!("Clawdbot Gateway (v{version})"),
        };
        Self { description, program: arguments, environment, memory: Some(GATEWAY_MEMORY) }
    }
}

/// What a gateway's service is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Its port.
    pub port: u16,
    /// Its shared token, when it is known: a service does not see the variables of a shell.
    pub token: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// Variables of the configuration file, which come first.
    pub variables: Vec<(String, String)>,
}

fn without_blanks<const N: usize>(variables: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    let given = |(name, value): (&str, Option<String>)| {
        let value = value?.trim().to_owned();
        (!value.is_empty()).then(|| (name.to_owned(), value))
    };
    variables.into_iter().filter_map(given).collect()
}

/// Returns the `PATH` of services: where users keep programs, then the system's own directories.
///
/// compat: the original's list, of which its audit reports what is missing.
fn minimal_path(env: impl Fn(&str) -> Option<String>) -> String {
    minimal_path_dirs(env).join(":")
}

/// Returns the directories of that `PATH`.
pub fn minimal_path_dirs(env: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let var = |name: &str| env(name).filter(|text| !text.trim().is_empty());
    let mut parts: Vec<String> = Vec::new();
    if cfg!(target_os = "macos") {
        parts.push("/opt/homebrew/bin".to_owned());
    } else {
        let rooted = [
            ("PNPM_HOME", ""),
            ("NPM_CONFIG_PREFIX", "bin"),
            ("BUN_INSTALL", "bin"),
            ("VOLTA_HOME", "bin"),
            ("ASDF_DATA_DIR", "shims"),
            ("NVM_DIR", "current/bin"),
            ("FNM_DIR", "current/bin"),
        ];
        for (name, below) in rooted {
            let Some(root) = var(name) else { continue };
            let is_there = below.is_empty() || root.ends_with(&format!("/{below}"));
            parts.push(if is_there { root } else { PathBuf::from(root).join(below).to_string_lossy().into_owned() });
        }
        if let Some(home) = var("HOME") {
            let below = [
                ".local/bin",
                ".npm-global/bin",
                "bin",
                ".nvm/current/bin",
                ".fnm/current/bin",
                ".volta/bin",
                ".asdf/shims",
                ".local/share/pnpm",
                ".bun/bin",
            ];
            parts.extend(below.map(|below| format!("{home}/{below}")));
        }
    }
    parts.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(str::to_owned));
    let mut unique: Vec<String> = Vec::new();
    for part in parts {
        if !unique.contains(&part) {
            unique.push(part);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_s_names_follow_its_profile_and_its_environment_is_marked() {
        let none = |_: &str| None;
        assert_eq!(Names::gateway(None, none).unit, "clawdbot-gateway");
        let named = Names::gateway(Some("work"), none);
        assert_eq!((named.unit.as_str(), named.label.as_str()), ("clawdbot-gateway-work", "com.clawdbot.work"));
        assert_eq!(named.task, "Clawdbot Gateway (work)");
        let own = |name: &str| (name == "CLAWDBOT_SYSTEMD_UNIT").then(|| "mine.service".to_owned());
        assert_eq!(Names::gateway(Some("default"), own).unit, "mine");
        let options = GatewayOptions {
            port: 7,
            token: Some("t".to_owned()),
            profile: Some("work".to_owned()),
            variables: vec![("A".to_owned(), "b".to_owned())],
        };
        let env = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let plan = Plan::gateway(&named, &options, "/bin/clawdbot".to_owned(), "1.2", env);
        assert_eq!(plan.program, ["/bin/clawdbot", "gateway", "--port", "7"]);
        assert_eq!(plan.description, "Clawdbot Gateway (profile: work, v1.2)");
        let names: Vec<&str> = plan.environment.iter().map(|(name, _)| name.as_str()).collect();
        let shown = names.iter().copied().filter(|name| *name != "CLAWDBOT_LAUNCHD_LABEL").collect::<Vec<_>>();
        let wanted = [
            "A",
            "HOME",
            "PATH",
            "CLAWDBOT_GATEWAY_PORT",
            "CLAWDBOT_GATEWAY_TOKEN",
            "CLAWDBOT_SYSTEMD_UNIT",
            "CLAWDBOT_SERVICE_MARKER",
            "CLAWDBOT_SERVICE_KIND",
            "CLAWDBOT_SERVICE_VERSION",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_node_host_is_told_its_gateway_by_arguments() {
        let options = NodeOptions {
            host: "gw".to_owned(),
            port: 7,
            tls_fingerprint: Some("ab".to_owned()),
            display_name: Some("my box".to_owned()),
            ..NodeOptions::default()
        };
        let env = |name: &str| match name {
            "HOME" => Some("/h".to_owned()),
            "CLAWDBOT_STATE_DIR" => Some("  ".to_owned()),
            "BUN_INSTALL" => Some("/h/.bun".to_owned()),
            _ => None,
        };
        let plan = Plan::node(&Names::node(), &options, "/bin/clawdbot".to_owned(), "1.2", env);
        let expected = "/bin/clawdbot node run --host gw --port 7 --tls --tls-fingerprint ab --display-name my box";
        assert_eq!(plan.program.join(" "), expected);
        assert_eq!(plan.description, "Clawdbot Node Host (v1.2)");
        let names: Vec<&str> = plan.environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["HOME", "PATH", "CLAWDBOT_LAUNCHD_LABEL"]);
        assert!(plan.environment.contains(&("CLAWDBOT_SERVICE_KIND".to_owned(), "node".to_owned())));
        if cfg!(target_os = "linux") {
            let path = &plan.environment[1].1;
            assert!(path.starts_with("/h/.bun/bin:/h/.local/bin:") && path.ends_with(":/usr/local/bin:/usr/bin:/bin"));
            assert_eq!(path.matches("/h/.bun/bin").count(), 1, "{path}");
        }
    }
}
