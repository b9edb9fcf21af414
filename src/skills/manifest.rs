//! One skill: what its `SKILL.md` says of it.
//!
//! Pure functions; what is missing or odd in a file counts as not said. Not here: finding the files (`load`), judging
//! whether a skill can be used (`status`).

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::front_matter::{self, text_of};
use crate::base::text::{parse_flag, trimmed, unless_blank};
use crate::config::json5;

/// Where a skill comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `skills.load.extraDirs`.
    Extra,
    /// The directory of bundled skills.
    Bundled,
    /// `<state>/skills`.
    Managed,
    /// `<workspace>/skills`.
    Workspace,
}

impl Source {
    /// Returns its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extra => "clawdbot-extra",
            Self::Bundled => "clawdbot-bundled",
            Self::Managed => "clawdbot-managed",
            Self::Workspace => "clawdbot-workspace",
        }
    }
}

/// A skill as its file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from.
    pub source: Source,
    /// Its `SKILL.md`.
    pub file: PathBuf,
    /// The directory of that file.
    pub dir: PathBuf,
    /// Its key in `skills.entries`.
    pub key: String,
    /// The variable that `skills.entries.<key>.apiKey` fills.
    pub primary_env: Option<String>,
    /// Its sign.
    pub emoji: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// Whether it may be used whatever it requires.
    pub always: bool,
    /// What it requires.
    pub requires: Requires,
    /// How to get what it requires.
    pub install: Vec<InstallSpec>,
    /// Whether people may call it by a slash command.
    pub is_user_invocable: bool,
    /// The tool that its slash command calls, instead of telling the model of it.
    pub tool: Option<String>,
    /// Whether the model is not told of it.
    pub is_hidden_from_model: bool,
}

/// What a skill requires; on the wire the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requires {
    /// Programs, all of them.
    pub bins: Vec<String>,
    /// Programs, one of them.
    pub any_bins: Vec<String>,
    /// Environment variables.
    pub env: Vec<String>,
    /// Paths of the configuration that must be set.
    pub config: Vec<String>,
    /// Platforms, one of them, as Node names them (`linux`, `darwin`).
    pub os: Vec<String>,
}

/// Who installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallKind {
    /// Homebrew.
    Brew,
    /// npm or its like.
    Node,
    /// `go install`.
    Go,
    /// `uv tool install`.
    Uv,
    /// A file from a URL.
    Download,
}

impl InstallKind {
    /// Returns its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Brew => "brew",
            Self::Node => "node",
            Self::Go => "go",
            Self::Uv => "uv",
            Self::Download => "download",
        }
    }

    /// Returns what it installs: formula, package, module, url.
    pub fn object(self) -> &'static str {
        match self {
            Self::Brew => "formula",
            Self::Node | Self::Uv => "package",
            Self::Go => "module",
            Self::Download => "url",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let all = [Self::Brew, Self::Node, Self::Go, Self::Uv, Self::Download];
        all.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name.trim()))
    }
}

/// One way to get what a skill requires.
#[derive(Debug, Clone, PartialEq)]
pub struct InstallSpec {
    /// Its id within the skill.
    pub id: String,
    /// Who installs.
    pub kind: InstallKind,
    /// What it is called in lists.
    pub label: Option<String>,
    /// Programs that are there afterwards.
    pub bins: Vec<String>,
    /// Platforms; empty = all.
    pub os: Vec<String>,
    /// Formula, package, module or URL; empty when the file names none.
    pub object: String,
    /// What to do with a downloaded file.
    pub unpack: Unpack,
}

/// What to do with a downloaded file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unpack {
    /// `tar.gz`, `tar.bz2`, `zip`; else by the file's name.
    pub archive: Option<String>,
    /// Whether it is unpacked; else when it is an archive.
    pub extract: Option<bool>,
    /// Leading directories to drop.
    pub strip_components: Option<u64>,
    /// Where it goes; else `<state>/tools/<key>`.
    pub target_dir: Option<String>,
}

/// Reads a skill from the text of its file; `None` without a description, as the original has it.
pub fn parse(text: &str, file: &Path, source: Source) -> Option<Skill> {
    let head = front_matter::parse(text);
    let text = |key: &str| text_of(head.get(key));
    let description = text("description")?;
    let dir = file.parent().unwrap_or(file).to_owned();
    let dir_name = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = text("name").unwrap_or_else(dir_name);
    let metadata = metadata(&head);
    let of = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
    let homepage = of("homepage").or_else(|| ["homepage", "website", "url"].into_iter().find_map(text));
    let requires = metadata.get("requires").and_then(Value::as_object);
    let required = |key: &str| list(requires.and_then(|requires| requires.get(key)));
    let install = metadata.get("install").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(Skill {
        key: of("skillKey").unwrap_or_else(|| name.clone()),
        primary_env: of("primaryEnv"),
        emoji: of("emoji").or_else(|| text("emoji")),
        homepage: homepage.and_then(trimmed),
        always: metadata.get("always") == Some(&Value::Bool(true)),
        requires: Requires {
            bins: required("bins"),
            any_bins: required("anyBins"),
            env: required("env"),
            config: required("config"),
            os: list(metadata.get("os")),
        },
        // Numbered before others are filtered out, so that an id means the same everywhere.
        install: install
            .iter()
            .filter_map(known)
            .enumerate()
            .map(|(index, (kind, spec))| of_spec(index, kind, spec))
            .collect(),
        is_user_invocable: flag(head.get("user-invocable")).unwrap_or(true),
        tool: text("command-tool").filter(|_| text("command-dispatch").as_deref() == Some("tool")),
        is_hidden_from_model: flag(head.get("disable-model-invocation")).unwrap_or(false),
        name,
        description,
        source,
        file: file.to_owned(),
        dir,
    })
}

/// Returns `metadata.clawdbot`; `metadata` may be JSON, a text that holds JSON, or a map.
fn metadata(head: &Map<String, Value>) -> Map<String, Value> {
    let metadata = match head.get("metadata") {
        Some(Value::String(text)) => json5::parse(text).ok(),
        other => other.cloned(),
    };
    match metadata {
        Some(Value::Object(mut map)) => match map.remove("clawdbot") {
            Some(Value::Object(clawdbot)) => clawdbot,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn known(spec: &Value) -> Option<(InstallKind, &Map<String, Value>)> {
    let spec = spec.as_object()?;
    let kind = spec.get("kind").or_else(|| spec.get("type")).and_then(Value::as_str)?;
    Some((InstallKind::parse(kind)?, spec))
}

fn of_spec(index: usize, kind: InstallKind, spec: &Map<String, Value>) -> InstallSpec {
    let text = |key: &str| spec.get(key).and_then(Value::as_str).map(|text| text.trim().to_owned());
    InstallSpec {
        id: text("id").unwrap_or_else(|| format!("{}-{index}", kind.as_str())),
        kind,
        label: text("label").filter(|label| !label.is_empty()),
        bins: list(spec.get("bins")),
        os: list(spec.get("os")),
        object: text(kind.object()).unwrap_or_default(),
        unpack: Unpack {
            archive: text("archive").filter(|archive| !archive.is_empty()),
            extract: spec.get("extract").and_then(Value::as_bool),
            strip_components: spec.get("stripComponents").and_then(Value::as_u64),
            target_dir: text("targetDir").filter(|dir| !dir.is_empty()),
        },
    }
}

/// Reads a list, or a text of parts between commas.
fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(|item| text_of(Some(item))).collect(),
        Some(Value::String(text)) => text.split(',').filter_map(unless_blank).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn flag(value: Option<&Value>) -> Option<bool> {
    parse_flag(&text_of(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Option<Skill> {
        parse(&format!("---\n{head}\n---\n# Body\n"), Path::new("/s/dir-name/SKILL.md"), Source::Workspace)
    }

    #[test]
    fn a_description_makes_a_skill() {
        assert_eq!(read("name: x"), None);
        let skill = read("description: d").expect("skill");
        assert_eq!(
            (skill.name.as_str(), skill.key.as_str(), skill.dir),
            ("dir-name", "dir-name", "/s/dir-name".into())
        );
        assert!(skill.is_user_invocable && !skill.is_hidden_from_model && !skill.always);
        let skill = read("name: n\ndescription: d\nwebsite: w\nuser-invocable: no\ndisable-model-invocation: yes")
            .expect("skill");
        assert_eq!(skill.homepage.as_deref(), Some("w"));
        assert!(!skill.is_user_invocable && skill.is_hidden_from_model);
        let skill = read("name: n\ndescription: d\ncommand-dispatch: tool\ncommand-tool: web_fetch").expect("a skill");
        assert_eq!(skill.tool.as_deref(), Some("web_fetch"));
    }

    #[test]
    fn metadata_may_be_json_a_text_or_a_map() {
        for metadata in [
            r#"metadata: {"clawdbot":{"skillKey":"k","always":true,"requires":{"bins":["a"],"env":"X, Y"},"os":["linux"]}}"#,
            r#"metadata: '{"clawdbot":{"skillKey":"k","always":true,"requires":{"bins":["a"],"env":"X, Y"},"os":["linux"]}}'"#,
            "metadata:\n  clawdbot:\n    skillKey: k\n    always: true\n    requires:\n      bins: [a]\n      env: X, Y\n    os: linux",
        ] {
            let skill = read(&format!("name: n\ndescription: d\n{metadata}")).expect("skill");
            assert_eq!((skill.key.as_str(), skill.always), ("k", true), "{metadata}");
            let requires = Requires {
                bins: vec!["a".into()],
                env: vec!["X".into(), "Y".into()],
                os: vec!["linux".into()],
                ..Requires::default()
            };
            assert_eq!(skill.requires, requires, "{metadata}");
        }
        for metadata in ["metadata: {", "metadata: x", "metadata: {clawdbot: 1}", "metadata: {other: {always: true}}"] {
            assert!(!read(&format!("description: d\n{metadata}")).expect("skill").always, "{metadata}");
        }
    }

    #[test]
    fn installers_of_known_kinds_are_numbered() {
        let skill = read(
            r#"description: d
metadata: {clawdbot: {install: [{kind: "apt"}, {type: " Go ", module: "m@latest"}, {kind: "uv", id: "u", package: "p"}, 3,
  {kind: "download", url: "https://x/y.zip", stripComponents: 1, extract: false, label: ""}]}}"#,
        );
        let install = skill.expect("skill").install;
        let ids: Vec<_> = install.iter().map(|spec| (spec.id.as_str(), spec.kind, spec.object.as_str())).collect();
        let wanted = [
            ("go-0", InstallKind::Go, "m@latest"),
            ("u", InstallKind::Uv, "p"),
            ("download-2", InstallKind::Download, "https://x/y.zip"),
        ];
        assert_eq!(ids, wanted);
        assert_eq!((install[2].unpack.strip_components, install[2].unpack.extract), (Some(1), Some(false)));
        assert_eq!(install[2].label, None);
    }
}
