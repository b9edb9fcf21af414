//! `models set`, `set-image`, `aliases`, `fallbacks` and `image-fallbacks`: changing what the file names.
//!
//! Edits are made on the file as it is written; references and aliases are understood as the gateway would.

use serde_json::{Map, Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::{Form, Slot, aliases, allowed, edit, resolve};
use crate::agent::models;
use crate::config::tree;

/// Declares a command that takes one model.
macro_rules! model_command {
    ($(#[$meta:meta])* $name:ident, $slot:ident, $run:ident) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(in crate::cli) struct $name {
            /// provider/model, or an alias
            #[argh(positional)]
            model: String,
        }

        impl Command for $name {
            fn run(self, cli: &Cli) -> Outcome {
                $run(cli, Slot::$slot, &self.model)
            }
        }
    };
}

model_command! {
    /// choose the model that agents use
    Set, Text, set
}
model_command! {
    /// choose the model that looks at images
    SetImage, Image, set
}
model_command! {
    /// try one more model when others fail
    FallbacksAdd, Text, add_fallback
}
model_command! {
    /// take a model off the fallbacks
    FallbacksRemove, Text, remove_fallback
}
model_command! {
    /// try one more model for images when others fail
    ImageFallbacksAdd, Image, add_fallback
}
model_command! {
    /// take a model off the fallbacks for images
    ImageFallbacksRemove, Image, remove_fallback
}

/// Declares a command that lists or clears fallbacks.
macro_rules! fallback_commands {
    ($slot:ident, $list:ident, $list_doc:literal, $clear:ident, $clear_doc:literal) => {
        #[doc = $list_doc]
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(in crate::cli) struct $list {
            /// print JSON
            #[argh(switch)]
            json: bool,
            /// print one name per line
            #[argh(switch)]
            plain: bool,
        }

        impl Command for $list {
            fn run(self, cli: &Cli) -> Outcome {
                list_fallbacks(cli, Slot::$slot, Form::of(self.json, self.plain)?);
                Ok(())
            }
        }

        #[doc = $clear_doc]
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(in crate::cli) struct $clear {}

        impl Command for $clear {
            fn run(self, cli: &Cli) -> Outcome {
                edit(cli, |config| {
                    put(config, Slot::$slot, |chain| drop(chain.insert("fallbacks".to_owned(), json!([]))))
                })?;
                output::line(&format!("{} list cleared.", title(Slot::$slot)));
                Ok(())
            }
        }
    };
}

fallback_commands! {
    Text, FallbacksList, "list the models that are tried when others fail", FallbacksClear, "try no other model any more"
}
fallback_commands! {
    Image, ImageFallbacksList, "list the models that are tried for images when others fail",
    ImageFallbacksClear, "try no other model for images any more"
}

/// list the short names of models
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct AliasesList {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// print one alias per line
    #[argh(switch)]
    plain: bool,
}

impl Command for AliasesList {
    fn run(self, cli: &Cli) -> Outcome {
        let aliases = aliases(&cli.snapshot().config);
        match Form::of(self.json, self.plain)? {
            Form::Json => {
                let map: Map<String, Value> = aliases.into_iter().map(|(alias, key)| (alias, key.into())).collect();
                output::json(&json!({"aliases": map}));
            }
            Form::Plain => aliases.iter().for_each(|(alias, key)| output::line(&format!("{alias} {key}"))),
            Form::Human => {
                let lines: Vec<String> = aliases.iter().map(|(alias, key)| format!("{alias} -> {key}")).collect();
                bullets("Aliases", &lines);
            }
        }
        Ok(())
    }
}

/// give a model a short name
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct AliasesAdd {
    /// the short name
    #[argh(positional)]
    alias: String,
    /// provider/model, or another alias
    #[argh(positional)]
    model: String,
}

impl Command for AliasesAdd {
    fn run(self, cli: &Cli) -> Outcome {
        let alias = check_alias(&self.alias)?;
        let key = resolve(cli, &self.model)?.to_string();
        if let Some((_, other)) =
            aliases(&cli.snapshot().config).iter().find(|(it, other)| it == alias && *other != key)
        {
            return Err(Failure::error(format!("Alias {alias} already points to {other}.")));
        }
        edit(cli, |config| tree::set(config, &["agents", "defaults", "models", &key, "alias"], alias.into()))?;
        output::line(&format!("Alias {alias} -> {key}"));
        Ok(())
    }
}

/// take a model's short name away
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct AliasesRemove {
    /// the short name
    #[argh(positional)]
    alias: String,
}

impl Command for AliasesRemove {
    fn run(self, cli: &Cli) -> Outcome {
        let alias = check_alias(&self.alias)?;
        let known = aliases(&cli.snapshot().config);
        let Some((_, key)) = known.iter().find(|(it, _)| it == alias) else {
            return Err(Failure::error(format!("Alias not found: {alias}")));
        };
        edit(cli, |config| {
            let path = ["agents", "defaults", "models", key, "alias"];
            // One that nobody wrote is built in: only a blank one in its place takes it away.
            if tree::unset(config, &path) && !is_builtin(alias, key) {
                Ok(())
            } else {
                tree::set(config, &path, "".into())
            }
        })?;
        if known.len() == 1 {
            output::line("No aliases configured.");
        }
        Ok(())
    }
}

fn is_builtin(alias: &str, key: &str) -> bool {
    crate::config::defaults::MODEL_ALIASES.contains(&(alias, key))
}

fn check_alias(text: &str) -> Result<&str, Failure> {
    let alias = text.trim();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    match alias {
        "" => Err(Failure::error("Alias cannot be empty.")),
        alias if alias.chars().all(is_allowed) => Ok(alias),
        _ => Err(Failure::error("Alias must use letters, numbers, dots, underscores, colons, or dashes.")),
    }
}

/// Lets agents use this model.
pub(super) fn set_default(cli: &Cli, text: &str) -> Outcome {
    set(cli, Slot::Text, text)
}

fn set(cli: &Cli, slot: Slot, text: &str) -> Outcome {
    let key = resolve(cli, text)?.to_string();
    edit(cli, |config| {
        allow(config, &key);
        put(config, slot, |chain| drop(chain.insert("primary".to_owned(), key.as_str().into())))
    })?;
    let what = if slot == Slot::Text { "Default model" } else { "Image model" };
    output::line(&format!("{what}: {key}"));
    Ok(())
}

fn add_fallback(cli: &Cli, slot: Slot, text: &str) -> Outcome {
    let name = resolve(cli, text)?;
    let (_, mut fallbacks) = slot.read(&cli.snapshot().config);
    if !fallbacks.iter().any(|known| models::parse_name(cli.config(), known).as_ref() == Some(&name)) {
        fallbacks.push(name.to_string());
        edit(cli, |config| {
            allow(config, &name.to_string());
            put(config, slot, |chain| drop(chain.insert("fallbacks".to_owned(), json!(fallbacks))))
        })?;
    }
    output::line(&format!("{}s: {}", title(slot), fallbacks.join(", ")));
    Ok(())
}

fn remove_fallback(cli: &Cli, slot: Slot, text: &str) -> Outcome {
    let name = resolve(cli, text)?;
    let (_, mut fallbacks) = slot.read(&cli.snapshot().config);
    let count = fallbacks.len();
    fallbacks.retain(|known| models::parse_name(cli.config(), known).as_ref() != Some(&name));
    if fallbacks.len() == count {
        return Err(Failure::error(format!("{} not found: {name}", title(slot))));
    }
    edit(cli, |config| put(config, slot, |chain| drop(chain.insert("fallbacks".to_owned(), json!(fallbacks)))))?;
    output::line(&format!("{}s: {}", title(slot), fallbacks.join(", ")));
    Ok(())
}

fn list_fallbacks(cli: &Cli, slot: Slot, form: Form) {
    let (_, fallbacks) = slot.read(&cli.snapshot().config);
    match form {
        Form::Json => output::json(&json!({"fallbacks": fallbacks})),
        Form::Plain => fallbacks.iter().for_each(|name| output::line(name)),
        Form::Human => bullets(&format!("{}s", title(slot)), &fallbacks),
    }
}

fn title(slot: Slot) -> &'static str {
    match slot {
        Slot::Text => "Fallback",
        Slot::Image => "Image fallback",
    }
}

fn bullets(title: &str, lines: &[String]) {
    output::line(&format!("{title} ({}):", lines.len()));
    if lines.is_empty() {
        output::line("- none");
    }
    lines.iter().for_each(|line| output::line(&format!("- {line}")));
}

/// Names a model under `agents.defaults.models`. compat: as in the original, the first one named there makes it the list of
/// those that sessions may choose.
fn allow(config: &mut Value, key: &str) {
    if allowed(config).is_none_or(|listed| !listed.contains_key(key)) {
        tree::object_mut(config, &["agents", "defaults", "models", key]);
    }
}

/// Changes a slot; one that holds a bare name keeps it as its first choice.
fn put(config: &mut Value, slot: Slot, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), String> {
    let bare = tree::get(config, &["agents", "defaults", slot.key()]).and_then(Value::as_str).map(str::to_owned);
    let chain = tree::object_mut(config, &["agents", "defaults", slot.key()]);
    if let Some(name) = bare {
        chain.insert("primary".to_owned(), name.into());
    }
    change(chain);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_becomes_a_chain() {
        let mut config = json!({"agents": {"defaults": {"model": "a/b"}}});
        allow(&mut config, "a/c");
        put(&mut config, Slot::Text, |chain| drop(chain.insert("fallbacks".to_owned(), json!(["a/c"])))).expect("put");
        put(&mut config, Slot::Image, |chain| drop(chain.insert("primary".to_owned(), json!("i/m")))).expect("put");
        let defaults = &config["agents"]["defaults"];
        assert_eq!(defaults["model"], json!({"primary": "a/b", "fallbacks": ["a/c"]}));
        assert_eq!(defaults["imageModel"], json!({"primary": "i/m"}));
        assert_eq!(defaults["models"], json!({"a/c": {}}));
        assert_eq!(Slot::Text.read(&config), (Some("a/b".to_owned()), vec!["a/c".to_owned()]));
    }

    #[test]
    fn aliases_are_words() {
        assert_eq!(check_alias(" a.b:c-d_1 "), Ok("a.b:c-d_1"));
        assert!(check_alias(" ").is_err() && check_alias("a b").is_err() && check_alias("a/b").is_err());
    }
}
