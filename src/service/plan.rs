//! What a service consists of: its names, its program, its environment.
//!
//! Pure functions over variables that the caller reads.

use std::path::PathBuf;

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
}

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
        let environment = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let value = value?.trim().to_owned();
                (!value.is_empty()).then(|| (name.to_owned(), value))
            })
            .collect();
        Self { description: format!("Clawdbot Node Host (v{version})"), program: arguments, environment }
    }
}

/// Returns the `PATH` of services: where users keep programs, then the system's own directories.
///
/// compat: the original's list, of which its audit reports what is missing.
fn minimal_path(env: impl Fn(&str) -> Option<String>) -> String {
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
    unique.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

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
