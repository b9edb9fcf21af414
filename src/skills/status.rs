//! Whether a skill can be used as things are, what it lacks, and how to get that.
//!
//! Pure functions of the skill and its [`Surroundings`]. Not here: installing (`install`).

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::manifest::{InstallKind, InstallSpec, Requires, Skill, Source};
use crate::base::host::platform;
use crate::base::process::find_program;
use crate::config::tree;
use crate::config::types::{Config, SkillEntry, SkillsInstall};

/// What eligibility is judged by.
pub struct Surroundings<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a program is on this host.
    pub has_program: &'a dyn Fn(&str) -> bool,
    /// What connected nodes add.
    pub remote: Option<&'a Remote>,
}

/// What connected nodes can do in this host's place.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// Their platforms, as Node names them.
    pub platforms: Vec<String>,
    /// Programs on them.
    pub bins: BTreeSet<String>,
}

impl<'a> Surroundings<'a> {
    /// Returns those of this process.
    pub fn of_process(config: &'a Config, remote: Option<&'a Remote>) -> Self {
        let env: &dyn Fn(&str) -> Option<String> = &|name| std::env::var(name).ok();
        Self { config, env, has_program: &|name| find_program(name).is_some(), remote }
    }

    fn has_bin(&self, name: &str) -> bool {
        (self.has_program)(name) || self.remote.is_some_and(|remote| remote.bins.contains(name))
    }

    fn is_platform(&self, names: &[String]) -> bool {
        let is_named = |platform: &str| names.iter().any(|name| name == platform);
        let remote = self.remote.map(|remote| remote.platforms.as_slice()).unwrap_or_default();
        names.is_empty() || is_named(platform()) || remote.iter().any(|platform| is_named(platform))
    }
}

/// How things stand with one skill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from.
    pub source: &'static str,
    /// Its file.
    pub file_path: String,
    /// The directory of that file.
    pub base_dir: String,
    /// Its key in `skills.entries`.
    pub skill_key: String,
    /// The variable that `apiKey` fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_env: Option<String>,
    /// Its sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Whether it may be used whatever it requires.
    pub always: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether it is bundled and not among those allowed.
    pub blocked_by_allowlist: bool,
    /// Whether it can be used.
    pub eligible: bool,
    /// What it requires.
    pub requirements: Requires,
    /// What of that is not there.
    pub missing: Requires,
    /// The configuration paths it requires.
    pub config_checks: Vec<ConfigCheck>,
    /// How to get what is missing.
    pub install: Vec<InstallOption>,
}

/// One required path of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigCheck {
    /// The path.
    pub path: String,
    /// What stands there: flags and numbers only, because callers with the scope to read may not see secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whether that is enough.
    pub satisfied: bool,
}

/// One way to get what is missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstallOption {
    /// For `skills.install`.
    pub id: String,
    /// Who installs.
    pub kind: &'static str,
    /// For people.
    pub label: String,
    /// Programs that are there afterwards.
    pub bins: Vec<String>,
}

/// Judges a skill.
pub fn of(skill: &Skill, around: &Surroundings<'_>) -> Status {
    let settings = &around.config.skills;
    let entry = settings.entries.get(&skill.key);
    let disabled = entry.is_some_and(|entry| entry.enabled == Some(false));
    let blocked_by_allowlist = !is_allowed(skill, settings.allow_bundled.as_deref());
    let config_checks: Vec<ConfigCheck> =
        skill.requires.config.iter().map(|path| check_config(&around.config.tree, path)).collect();
    let missing = missing(skill, entry, &config_checks, around);
    Status {
        name: skill.name.clone(),
        description: skill.description.clone(),
        source: skill.source.as_str(),
        file_path: skill.file.display().to_string(),
        base_dir: skill.dir.display().to_string(),
        skill_key: skill.key.clone(),
        primary_env: skill.primary_env.clone(),
        emoji: skill.emoji.clone(),
        homepage: skill.homepage.clone(),
        always: skill.always,
        disabled,
        blocked_by_allowlist,
        eligible: !disabled && !blocked_by_allowlist && missing == Requires::default(),
        requirements: skill.requires.clone(),
        missing,
        config_checks,
        install: install_options(&skill.install, &settings.install, around.has_program),
    }
}

/// Returns the package manager for Node packages.
pub fn node_manager(install: &SkillsInstall) -> &'static str {
    let wanted = install.node_manager.as_deref().unwrap_or_default().trim();
    ["npm", "pnpm", "yarn", "bun"].into_iter().find(|name| name.eq_ignore_ascii_case(wanted)).unwrap_or("npm")
}

fn is_allowed(skill: &Skill, allowed: Option<&[String]>) -> bool {
    let mut allowed =
        allowed.unwrap_or_default().iter().map(|name| name.trim()).filter(|name| !name.is_empty()).peekable();
    skill.source != Source::Bundled
        || allowed.peek().is_none()
        || allowed.any(|name| name == skill.key || name == skill.name)
}

fn missing(skill: &Skill, entry: Option<&SkillEntry>, checks: &[ConfigCheck], around: &Surroundings<'_>) -> Requires {
    let requires = &skill.requires;
    let os = if around.is_platform(&requires.os) { Vec::new() } else { requires.os.clone() };
    // The platform counts even then: runs leave such a skill out, so its status must not say otherwise.
    if skill.always {
        return Requires { os, ..Requires::default() };
    }
    let has_env = |name: &String| {
        let is_set = |value: Option<&String>| value.is_some_and(|value| !value.is_empty());
        is_set((around.env)(name).as_ref())
            || entry.is_some_and(|entry| {
                let is_primary = skill.primary_env.as_ref() == Some(name);
                is_set(entry.env.get(name)) || (is_primary && is_set(entry.api_key.as_ref()))
            })
    };
    let has_any = requires.any_bins.iter().any(|bin| around.has_bin(bin));
    Requires {
        bins: requires.bins.iter().filter(|bin| !around.has_bin(bin)).cloned().collect(),
        any_bins: if has_any { Vec::new() } else { requires.any_bins.clone() },
        env: requires.env.iter().filter(|name| !has_env(name)).cloned().collect(),
        config: checks.iter().filter(|check| !check.satisfied).map(|check| check.path.clone()).collect(),
        os,
    }
}

fn check_config(config: &Value, path: &str) -> ConfigCheck {
    let segments: Vec<&str> = path.split('.').filter(|segment| !segment.is_empty()).collect();
    let value = tree::get(config, &segments);
    let satisfied = match value {
        None => path == "browser.enabled",
        Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(_) | Value::Object(_)) => true,
    };
    let value = value.filter(|value| value.is_boolean() || value.is_number()).cloned();
    ConfigCheck { path: path.to_owned(), value, satisfied }
}

/// Returns the one way that suits this host best, or every download when there is nothing else.
fn install_options(
    specs: &[InstallSpec],
    settings: &SkillsInstall,
    has_program: &dyn Fn(&str) -> bool,
) -> Vec<InstallOption> {
    let is_here = |spec: &&InstallSpec| spec.os.is_empty() || spec.os.iter().any(|os| os == platform());
    let specs: Vec<&InstallSpec> = specs.iter().filter(is_here).collect();
    let option = |spec: &InstallSpec| InstallOption {
        id: spec.id.clone(),
        kind: spec.kind.as_str(),
        label: label(spec, node_manager(settings)),
        bins: spec.bins.clone(),
    };
    if specs.iter().all(|spec| spec.kind == InstallKind::Download) {
        return specs.into_iter().map(option).collect();
    }
    let of_kind = |kind: InstallKind| specs.iter().find(|spec| spec.kind == kind).copied();
    let prefers_brew = settings.prefer_brew != Some(false) && has_program("brew");
    let brew = of_kind(InstallKind::Brew);
    let best = brew
        .filter(|_| prefers_brew)
        .or_else(|| of_kind(InstallKind::Uv))
        .or_else(|| of_kind(InstallKind::Node))
        .or(brew)
        .or_else(|| of_kind(InstallKind::Go));
    best.map(option).into_iter().collect()
}

fn label(spec: &InstallSpec, node_manager: &str) -> String {
    let object = &spec.object;
    let given = || spec.label.clone();
    match spec.kind {
        // The manager that will be used, whatever the file says.
        InstallKind::Node if !object.is_empty() => format!("Install {object} ({node_manager})"),
        _ if spec.label.is_some() => given().unwrap_or_default(),
        _ if object.is_empty() => "Run installer".to_owned(),
        InstallKind::Download => {
            let name = object.rsplit('/').next().filter(|name| !name.is_empty());
            format!("Download {}", name.unwrap_or(object))
        }
        kind => format!("Install {object} ({})", kind.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skills::manifest;
    use serde_json::json;
    use std::path::Path;

    fn skill(clawdbot: Value, source: Source) -> Skill {
        let text = format!("---\nname: n\ndescription: d\nmetadata: {}\n---\n", json!({"clawdbot": clawdbot}));
        manifest::parse(&text, Path::new("/s/n/SKILL.md"), source).expect("skill")
    }

    fn config(tree: Value) -> Config {
        let mut config: Config = serde_json::from_value(tree.clone()).expect("configuration");
        config.tree = tree;
        config
    }

    fn judge(clawdbot: Value, tree: Value) -> Status {
        let config = config(tree);
        let env = |name: &str| (name == "SET").then(|| "1".to_owned()).or((name == "BLANK").then(String::new));
        let remote = Remote { platforms: vec!["darwin".into()], bins: BTreeSet::from(["far".to_owned()]) };
        let has_program = |name: &str| name == "here" || name == "brew";
        let around = Surroundings { config: &config, env: &env, has_program: &has_program, remote: Some(&remote) };
        of(&skill(clawdbot, Source::Bundled), &around)
    }

    #[test]
    fn requirements() {
        let none = json!({});
        for (clawdbot, tree, missing) in [
            (json!({}), none.clone(), json!({})),
            (json!({"requires": {"bins": ["here", "far"]}}), none.clone(), json!({})),
            (json!({"requires": {"bins": ["here", "gone"]}}), none.clone(), json!({"bins": ["gone"]})),
            (json!({"requires": {"anyBins": ["gone", "far"]}}), none.clone(), json!({})),
            (json!({"requires": {"anyBins": ["gone", "lost"]}}), none.clone(), json!({"anyBins": ["gone", "lost"]})),
            (json!({"os": ["win32", "darwin"]}), none.clone(), json!({})),
            (
                json!({"os": ["win32"], "always": true, "requires": {"bins": ["gone"]}}),
                none.clone(),
                json!({"os": ["win32"]}),
            ),
            (json!({"always": true, "requires": {"bins": ["gone"]}}), none.clone(), json!({})),
            (json!({"requires": {"env": ["SET", "BLANK", "UNSET"]}}), none.clone(), json!({"env": ["BLANK", "UNSET"]})),
            (
                json!({"requires": {"env": ["KEY", "OTHER", "THIRD"]}, "primaryEnv": "KEY"}),
                json!({"skills": {"entries": {"n": {"apiKey": "k", "env": {"OTHER": "o", "THIRD": ""}}}}}),
                json!({"env": ["THIRD"]}),
            ),
            (
                json!({"requires": {"config": ["a.b", "a.c", "browser.enabled", "gone"]}}),
                json!({"a": {"b": 1, "c": " "}}),
                json!({"config": ["a.c", "gone"]}),
            ),
        ] {
            let status = judge(clawdbot.clone(), tree);
            let mut all = json!({"bins": [], "anyBins": [], "env": [], "config": [], "os": []});
            tree::merge_replacing(&mut all, missing.clone());
            assert_eq!(json!(status.missing), all, "{clawdbot}");
            assert_eq!(status.eligible, missing == json!({}), "{clawdbot}");
        }
    }

    #[test]
    fn switched_off_or_not_allowed() {
        let off = judge(json!({}), json!({"skills": {"entries": {"n": {"enabled": false}}}}));
        assert!(off.disabled && !off.eligible);
        for (allowed, is_blocked) in
            [(json!(["x"]), true), (json!(["x", " n "]), false), (json!([]), false), (json!([""]), false)]
        {
            let status = judge(json!({}), json!({"skills": {"allowBundled": allowed}}));
            assert_eq!((status.blocked_by_allowlist, status.eligible), (is_blocked, !is_blocked));
        }
        let config = config(json!({"skills": {"allowBundled": ["x"]}}));
        assert!(of(&skill(json!({}), Source::Workspace), &Surroundings::of_process(&config, None)).eligible);
    }

    #[test]
    fn secrets_of_the_configuration_are_not_shown() {
        let tree = json!({"a": {"token": "secret", "on": true, "more": {"key": "secret"}}});
        let status = judge(json!({"requires": {"config": ["a.token", "a.on", "a.more"]}}), tree);
        let wanted = json!([{"path": "a.token", "satisfied": true}, {"path": "a.on", "value": true, "satisfied": true},
            {"path": "a.more", "satisfied": true}]);
        assert_eq!(json!(status.config_checks), wanted);
    }

    #[test]
    fn the_best_installer_is_offered() {
        let brew = json!({"kind": "brew", "formula": "f"});
        let node = json!({"kind": "node", "package": "p", "label": "with npm"});
        let go = json!({"kind": "go", "module": "m"});
        let mac = json!({"kind": "brew", "formula": "f", "os": ["plan9"]});
        let zip = json!({"kind": "download", "url": "https://x/y.zip"});
        let doc = json!({"kind": "download", "url": "https://x/", "label": "The rest"});
        for (specs, settings, wanted) in [
            (json!([node, brew]), json!({}), vec!["brew-1 Install f (brew)"]),
            (json!([node, brew]), json!({"preferBrew": false, "nodeManager": "PNPM"}), vec!["node-0 Install p (pnpm)"]),
            (json!([go, mac]), json!({}), vec!["go-0 Install m (go)"]),
            (json!([zip, doc]), json!({}), vec!["download-0 Download y.zip", "download-1 The rest"]),
            (json!([zip, go]), json!({}), vec!["go-1 Install m (go)"]),
            (json!([{"kind": "uv"}]), json!({}), vec!["uv-0 Run installer"]),
            (json!([mac]), json!({}), vec![]),
        ] {
            let status = judge(json!({"install": specs}), json!({"skills": {"install": settings}}));
            let options: Vec<_> =
                status.install.iter().map(|option| format!("{} {}", option.id, option.label)).collect();
            assert_eq!(options, wanted, "{specs}");
        }
    }
}
